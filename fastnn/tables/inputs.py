"""How a column of a table becomes inputs of a network: numbers standardized, texts one-hot."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from fastnn.datasets.standardize import Standardize
from fastnn.errors import DatasetError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.tables.table import Column, Numbers, Other, Table, Texts, as_texts, is_number, listed

UNUSABLE = "convert it to numbers or texts, or leave it out by --ignore"
LARGEST_SHOWN = 40  # characters of a cell


@dataclass(frozen=True)
class NumberInput:
    """One input, (value - mean) / deviation, or the value itself if it is not scaled; without a value, the mean's."""

    name: str
    mean: float
    deviation: float
    is_scaled: bool

    kind: ClassVar[str] = "number"
    width: ClassVar[int] = 1

    @classmethod
    def learn(cls, table: Table, name: str, rows: Any, is_scaled: bool) -> "NumberInput":
        """Learn mean and deviation from some rows, those without a value aside."""
        values = numbers_in(table, name)[rows]
        values = values[~np.isnan(values)]
        if not len(values):
            came = "none in the rows to train on"
            raise DatasetError(f"{table.source}: expected values in column {name!r}, got {came}; pass --ignore {name}")
        learned = Standardize().fit(values[:, None])
        return cls(name, float(learned.mean[0]), float(learned.deviation[0]), is_scaled)

    def encode(self, table: Table, out: Array) -> None:
        """Write the column's inputs (N, 1)."""
        values = numbers_in(table, self.name)
        values = np.where(np.isnan(values), self.mean, values)
        out[:, 0] = (values - self.mean) / self.deviation if self.is_scaled else values

    def to_note(self) -> dict[str, Any]:
        """A description in JSON."""
        return {"name": self.name, "mean": self.mean, "deviation": self.deviation, "scaled": self.is_scaled}

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> "NumberInput":
        """The input that a description describes; KeyError, TypeError, ValueError if it does not."""
        deviation = arrays.real("deviation", note["deviation"], above=0.0)
        return cls(
            text("name", note["name"]),
            arrays.real("mean", note["mean"]),
            deviation,
            arrays.flag("scaled", note["scaled"]),
        )


@dataclass(frozen=True)
class TextInput:
    """An input for each category, 1 for the row's own, else 0; without a value, the categories' shares."""

    name: str
    categories: tuple[str, ...]
    shares: tuple[float, ...]

    kind: ClassVar[str] = "text"

    @property
    def width(self) -> int:
        """The number of inputs."""
        return len(self.categories)

    @classmethod
    def learn(cls, table: Table, name: str, rows: Any, most: int) -> "TextInput":
        """Take the categories of all rows, as they are mere names, and their shares in some rows."""
        column = texts_in(table, name)
        categories = categories_of(table.source, name, column, most)
        codes = places(column, categories)[rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(categories))
        return cls(name, categories, tuple(float(count) for count in counts / max(1, counts.sum())))

    def encode(self, table: Table, out: Array) -> None:
        """Write the column's inputs (N, categories)."""
        column = texts_in(table, self.name)
        codes = places(column, self.categories)
        unknown = (codes < 0) & ~column.missing
        if unknown.any():
            row = int(unknown.argmax())
            expected = f"{table.source}: expected categories of the training in column {self.name!r}"
            came = f"{shown(column.names[column.codes[row]])} in row {row + 1:,}"
            remedy = "correct the cell, or train on a file that has it, too"
            raise DatasetError(f"{expected} ({listed(self.categories)}), got {came}; {remedy}")
        out[:] = np.where(codes[:, None] < 0, np.array(self.shares), codes[:, None] == np.arange(self.width))

    def to_note(self) -> dict[str, Any]:
        """A description in JSON."""
        return {"name": self.name, "categories": list(self.categories), "shares": list(self.shares)}

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> "TextInput":
        """The input that a description describes; KeyError, TypeError, ValueError if it does not."""
        categories = texts("categories", note["categories"])
        shares = tuple(arrays.real("shares", one, minimum=0.0, maximum=1.0) for one in note["shares"])
        if len(shares) != len(categories):
            raise ValueError(f"shares: expected {len(categories)} numbers, one for each category, got {len(shares)}")
        return cls(text("name", note["name"]), categories, shares)


Input: TypeAlias = NumberInput | TextInput


def input_of(note: Any) -> Input:
    """The input that a description describes."""
    kind = TextInput if "categories" in note else NumberInput
    return kind.of_note(note)


def learn(table: Table, name: str, rows: Any, is_scaled: bool, most_categories: int) -> Input:
    """Learn how a column becomes inputs."""
    if isinstance(table.columns[name], Texts):
        return TextInput.learn(table, name, rows, most_categories)
    return NumberInput.learn(table, name, rows, is_scaled)


def numbers_in(table: Table, name: str) -> Array:
    """The numbers of a column; DatasetError for a text or infinity, with its row."""
    column = table.columns[name]
    expected = f"{table.source}: expected a number in each row of column {name!r}"
    if isinstance(column, Other):
        raise DatasetError(f"{expected}, got {column.kind}; {UNUSABLE} {name}")
    if isinstance(column, Texts):
        wrong = [i for i, one in enumerate(column.names) if not is_number(one)]
        where = np.isin(column.codes, wrong)
        if not where.any():  # it was read as one of texts, by another column's wish
            found: Array = np.array([*map(float, column.names), np.nan])[column.codes]
            return found
        row = int(where.argmax())
        cell = column.names[column.codes[row]]
        remedy = "pass --decimal ," if is_number(cell.replace(",", ".")) else "correct the cell"
        raise DatasetError(f"{expected}, got {shown(cell)} in row {row + 1:,}; {remedy}")
    infinite = np.isinf(column.values)
    if infinite.any():
        row = int(infinite.argmax())
        remedy = "correct the cell, or leave it empty"
        raise DatasetError(f"{expected}, got {column.values[row]} in row {row + 1:,}; {remedy}")
    return column.values


def texts_in(table: Table, name: str) -> Texts:
    """The texts of a column, numbers as texts."""
    column: Column = as_texts(table.columns[name])
    if isinstance(column, Texts):
        return column
    kind = "numbers" if isinstance(column, Numbers) else column.kind
    raise DatasetError(f"{table.source}: expected texts in column {name!r}, got {kind}; {UNUSABLE} {name}")


def categories_of(source: str, name: str, column: Texts, most: int) -> tuple[str, ...]:
    """The categories that occur, numbers in order of their values, texts in that of their letters."""
    used = np.unique(column.codes[column.codes >= 0])
    names = [column.names[code] for code in used]
    if len(names) > most:
        expected = f"{source}: expected at most {most} categories in the column of texts {name!r}"
        came = f"{len(names):,} in {len(column.codes):,} rows, such as {shown(names[0])}"
        looks_decimal = "," in names[-1] and is_number(names[-1].replace(",", "."))
        decimal = "pass --decimal , if they are numbers, " if looks_decimal else ""
        remedy = f"{decimal}leave it out by --ignore {name}, or pass --most-categories {len(names)}"
        raise DatasetError(f"{expected}, got {came}; {remedy}")
    return tuple(sorted(names, key=(float if all(map(is_number, names)) else str)))


def places(column: Texts, categories: tuple[str, ...]) -> Any:
    """The place of each row's text among the categories; -1 for others and for none."""
    known = {one: i for i, one in enumerate(categories)}
    return np.array([*(known.get(one, -1) for one in column.names), -1], np.intp)[column.codes]


def shown(cell: str) -> str:
    """A cell in a message."""
    return repr(cell if len(cell) <= LARGEST_SHOWN else cell[:LARGEST_SHOWN] + "...")


def text(name: str, value: Any) -> str:
    """`value` itself; TypeError for anything but a text."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a text, got an object of type {type(value).__name__}")
    return value


def texts(name: str, values: Any) -> tuple[str, ...]:
    """Different texts, at least one."""
    found = tuple(text(name, value) for value in values)
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{name}: expected different texts, got {len(found)} with {len(set(found))} different ones")
    return found
