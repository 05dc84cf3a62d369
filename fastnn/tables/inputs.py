"""How a column of a table becomes inputs of a network: numbers standardized, texts one-hot."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from fastnn.datasets.standardize import Standardize
from fastnn.errors import DatasetError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.tables.table import (
    LARGEST_EXACT,
    Column,
    Other,
    Table,
    Texts,
    as_texts,
    is_missing,
    is_number,
    listed,
    number_of,
)

UNUSABLE = "convert it to numbers or texts, or leave it out by --ignore"
LARGEST_SHOWN = 40  # characters of a cell
# A column that is the same in all rows to train on says nothing: divided by this, whatever it holds later is 0.
CONSTANT = sys.float_info.max
# Numbers with separators of thousands: 1,234 and 1.234,5, but not 0,125.
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}((,\d{3})+(\.\d*)?|(\.\d{3})+(,\d*)?)")


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
        """Learn mean and deviation from the values in these rows."""
        values = numbers_in(table, name)[rows]
        values = values[~np.isnan(values)]
        if not len(values):
            raise _no_values(table, name)
        learned = Standardize().fit(values[:, None])
        deviation = CONSTANT if (values == values[0]).all() else float(learned.deviation[0])
        return cls(name, float(learned.mean[0]), deviation, is_scaled)

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
        """Take the categories of all rows, as they are mere names, and their shares in these rows."""
        column = texts_in(table, name)
        wanted, remedy = f"categories in the column of texts {name!r}", f"leave it out by --ignore {name}"
        categories = categories_of(table.source, wanted, column, most, remedy)
        codes = places(column, categories)[rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(categories))
        if not counts.any():
            raise _no_values(table, name)
        return cls(name, categories, tuple(float(count) for count in counts / counts.sum()))

    def encode(self, table: Table, out: Array) -> None:
        """Write the column's inputs (N, categories)."""
        column = texts_in(table, self.name)
        codes = places(column, self.categories)
        unknown = (codes < 0) & ~column.missing
        if unknown.any():
            row = int(unknown.argmax())
            expected = f"{table.source}: expected categories of the training in column {self.name!r}"
            came = f"{shown(column.names[column.codes[row]])} in row {table.number(row):,}"
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
        shares = tuple(
            arrays.real("shares", one, minimum=0.0, maximum=1.0) for one in listing("shares", note["shares"])
        )
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
    refuse_mixed(table, name)
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
        found = [number_of(one, table.decimal) for one in column.names]
        where = np.array([*(number is None for number in found), False])[column.codes] & ~column.missing
        if not where.any():  # it was read as one of texts, by another column's wish
            values = np.array([*(np.nan if number is None else number for number in found), np.nan])
            taken: Array = values[column.codes]
            return taken
        row = int(where.argmax())
        odd = [name for name, number in zip(column.names, found, strict=True) if number is None]
        came = f"{shown(column.names[column.codes[row]])} in row {table.number(row):,}"
        raise DatasetError(f"{expected}, got {came}; {_hint(odd, table.decimal) or 'correct the cell'}")
    infinite = np.isinf(column.values)
    if infinite.any():
        row = int(infinite.argmax())
        remedy = "correct the cell, or leave it empty"
        raise DatasetError(f"{expected}, got {column.values[row]} in row {table.number(row):,}; {remedy}")
    return column.values


def refuse_mixed(table: Table, name: str) -> None:
    """DatasetError for a column of a text file whose cells are mostly numbers, or numbers written another way."""
    column = table.columns[name]
    if not isinstance(column, Texts) or not column.is_guessed:
        return
    are_numbers = np.array([is_number(one, table.decimal) for one in column.names], bool)
    odd = [one for one, is_one in zip(column.names, are_numbers, strict=True) if not is_one and not is_missing(one)]
    where = ~column.missing & ~are_numbers[column.codes]
    count, hint = table.rows - int(column.missing.sum() + where.sum()), _hint(odd, table.decimal)
    if not hint and count <= where.sum():
        return
    row = int(where.argmax())
    numbers = f"{count:,} numbers and " if count else ""
    came = f"{numbers}{shown(column.names[column.codes[row]])} in row {table.number(row):,}"
    remedy = hint or "correct the cell, or leave it empty (see --missing)"
    expected = f"{table.source}: expected either numbers or texts in column {name!r}"
    raise DatasetError(f"{expected}, got {came}; {remedy}; if they are categories, pass --categorical {name}")


def _hint(cells: Sequence[str], decimal: str) -> str:
    """What makes numbers of cells that are written another way, if all are."""
    cells = [cell.strip() for cell in cells if not is_missing(cell)]
    if all(map(THOUSANDS.fullmatch, cells)):
        return "write numbers without separators of thousands"
    other = "," if decimal == "." else "."
    return f"pass --decimal {other}" if all(is_number(cell, other) for cell in cells) else ""


def _no_values(table: Table, name: str) -> DatasetError:
    came = "none in the rows to train on"
    return DatasetError(f"{table.source}: expected values in column {name!r}, got {came}; pass --ignore {name}")


def texts_in(table: Table, name: str) -> Texts:
    """The texts of a column, numbers as texts."""
    column: Column = table.columns[name]
    if isinstance(column, Texts):
        return column
    expected = f"{table.source}: expected texts in column {name!r}"
    if isinstance(column, Other):
        raise DatasetError(f"{expected}, got {column.kind}; {UNUSABLE} {name}")
    if (np.abs(column.values) >= LARGEST_EXACT).any():
        raise DatasetError(f"{expected}, got numbers beyond 2**53, which are not exact; pass --categorical {name}")
    return as_texts(column.values)


def categories_of(source: str, wanted: str, column: Texts, most: int, remedy: str) -> tuple[str, ...]:
    """The categories that occur, numbers in order of their values, texts in alphabetical order."""
    used = np.unique(column.codes[column.codes >= 0])
    names = [column.names[code] for code in used]
    if len(names) > most:
        expected = f"{source}: expected at most {most} {wanted}"
        came = f"{len(names):,} in {len(column.codes):,} rows, such as {shown(names[0])}"
        raise DatasetError(f"{expected}, got {came}; {remedy}, or pass --most-categories {len(names)}")
    return tuple(sorted(names, key=(float if all(map(is_number, names)) else str)))


def places(column: Texts, categories: tuple[str, ...], by_value: bool = False) -> Any:
    """The place of each row's text among the categories; -1 for others and for none.

    by_value: the categories are different numbers, however they are written.
    """
    known = {one: i for i, one in enumerate(categories)}
    values = {number_of(one): i for i, one in enumerate(categories)} if by_value else {}
    found = (known.get(one, values.get(number_of(one), -1) if by_value else -1) for one in column.names)
    return np.array([*found, -1], np.intp)[column.codes]


def too_far(table: Table, name: str, row: int, near: str) -> DatasetError:
    """The error about a number that is infinite as an input or a target."""
    came = f"{numbers_in(table, name)[row]:g} in row {table.number(row):,}"
    return DatasetError(f"{table.source}: expected numbers {near}, in column {name!r}, got {came}; correct the cell")


def shown(cell: str) -> str:
    """A cell in a message."""
    return repr(cell if len(cell) <= LARGEST_SHOWN else cell[:LARGEST_SHOWN] + "...")


def text(name: str, value: Any) -> str:
    """`value` itself; TypeError for anything but a text."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a text, got an object of type {type(value).__name__}")
    return value


def listing(name: str, values: Any) -> list[Any]:
    """`values` itself; TypeError for anything but a list."""
    if not isinstance(values, list):
        raise TypeError(f"{name}: expected a list, got an object of type {type(values).__name__}")
    return values


def texts(name: str, values: Any) -> tuple[str, ...]:
    """Different texts, at least one."""
    found = tuple(text(name, value) for value in listing(name, values))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{name}: expected different texts, got {len(found)} with {len(set(found))} different ones")
    return found
