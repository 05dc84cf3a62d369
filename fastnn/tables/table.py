"""A table: columns of numbers or texts by name, as they stand in a file."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from fastnn.errors import DatasetError
from fastnn.gate import checks
from fastnn.gate.arrays import Array

# Cells without a value, as pandas has them; spaces around them do not count.
MISSING = frozenset(
    ("", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None",
     "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN")
)  # fmt: skip
MOST_SHOWN = 12  # names in a message
LARGEST_EXACT = 2.0**53  # from here on different integers are the same float64


@dataclass(frozen=True)
class Texts:
    """A column of texts: row n has names[codes[n]], or nothing where the code is -1.

    is_guessed: whether the cells of a text file alone show that it is none of numbers.
    """

    codes: Any
    names: list[str]
    is_guessed: bool = False

    @classmethod
    def of(cls, codes: Any, names: list[str], is_guessed: bool = False) -> "Texts":
        """The column in which some names, such as NA, and the code -1 stand for no value."""
        gone = np.array([*map(is_missing, names), True], bool)
        return cls(np.where(gone[codes], -1, codes), names, is_guessed)

    @property
    def missing(self) -> Any:
        """Which rows have no value."""
        return self.codes < 0

    def take(self, rows: Any) -> "Texts":
        """The column of these rows."""
        return replace(self, codes=self.codes[rows])


@dataclass(frozen=True)
class Numbers:
    """A column of numbers, float64 (N,); NaN where there is none; also as the texts in the file, if they are wished."""

    values: Array
    cells: Texts | None = None

    @property
    def missing(self) -> Any:
        """Which rows have no value."""
        return np.isnan(self.values)

    def take(self, rows: Any) -> "Numbers":
        """The column of these rows."""
        return Numbers(self.values[rows], None if self.cells is None else self.cells.take(rows))


@dataclass(frozen=True)
class Other:
    """A column that is neither; it can only be ignored."""

    kind: str

    def take(self, rows: Any) -> "Other":
        """The column of these rows."""
        return self


Column: TypeAlias = Numbers | Texts | Other


@dataclass(frozen=True)
class Table:
    """The columns of a file.

    Attributes
    ----------
    source : str
        The file's name, for messages.
    columns : dict of str to Column
        In the order of the file.
    rows : int
    has_header : bool
        Whether the file names its columns; else they are called by their numbers, from 1.
    groups : dict of str to list of str
        The columns that are one array of the file, by the array's name.
    decimal : str
        The decimal point in its texts.
    is_header_guessed : bool
        Whether the first line itself showed if it has names.
    kept : integer array, optional
        The places of the rows in the file, if they are not all.
    """

    source: str
    columns: dict[str, Column]
    rows: int
    has_header: bool = True
    groups: dict[str, list[str]] = field(default_factory=dict)
    decimal: str = "."
    is_header_guessed: bool = False
    kept: Any = None

    def take(self, rows: Any) -> "Table":
        """The table of these rows, which messages go on to call by their numbers in the file."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return replace(self, columns=columns, rows=len(rows), kept=rows if self.kept is None else self.kept[rows])

    def number(self, row: int) -> int:
        """The number of a row in the file, from 1."""
        return int(row if self.kept is None else self.kept[row]) + 1

    def find(self, option: str, given: Sequence[str]) -> list[str]:
        """The names of the columns that an option names, by names or numbers from 1, also several between commas."""
        found: dict[str, None] = {}
        for text in given:
            whole = self._find(text)
            parts = [whole] if whole else [self._find(part.strip()) for part in text.split(",")]
            for part, columns in zip([text] if whole else text.split(","), parts, strict=True):
                if not columns:
                    raise DatasetError(f"{option}: expected {self.shown}, got {part!r}{self._near(part)}")
                found |= dict.fromkeys(columns)
        return list(found)

    def _find(self, text: str) -> list[str]:
        """The columns of one name, or of one number; none where there are none."""
        if text in self.columns:
            return [text]
        if text in self.groups:
            return self.groups[text]
        names = list(self.columns)
        number = int(text) if text.removeprefix("-").isdecimal() and len(text) < 10 else 0
        if not 1 <= abs(number) <= len(names):
            return []
        return [names[number - 1 if number > 0 else number]]

    def _near(self, text: str) -> str:
        return checks.did_you_mean(text, list(self.columns)) or f"; a number counts from 1 to {len(self.columns)}"

    @property
    def shown(self) -> str:
        """The columns in a message."""
        return f"a column of {self.source} ({listed(self.columns)})"


@dataclass(frozen=True)
class Wishes:
    """The columns that shall be texts, and those of numbers that shall also keep the texts of their cells."""

    texts: Collection[str] = ()
    cells: Collection[str] = ()


# Tells the wishes for a file from a table with the names of its columns, but without rows.
Chooser: TypeAlias = Callable[[Table], Wishes]


def head(source: str, names: Sequence[str], has_header: bool, groups: dict[str, list[str]]) -> Table:
    """A table without rows."""
    return Table(source, {name: Numbers(np.empty(0)) for name in names}, 0, has_header, groups)


def listed(names: Collection[str]) -> str:
    """The first names, and how many there are."""
    first = ", ".join(list(names)[:MOST_SHOWN])
    return first if len(names) <= MOST_SHOWN else f"{first}, ... {len(names):,} in all"


def number_text(value: float) -> str:
    """A number as a name: 3 for 3.0."""
    return str(int(value)) if value.is_integer() and abs(value) < LARGEST_EXACT else repr(float(value))


def as_texts(values: Array) -> Texts:
    """Numbers as texts, in their order; NaN as no value."""
    missing = np.isnan(values)
    names, codes = np.unique(np.where(missing, 0.0, values), return_inverse=True)
    return Texts(np.where(missing, -1, codes.reshape(-1)), [number_text(float(value)) for value in names])


def texts_of(values: Any) -> Texts:
    """An array of texts, or of integers, as a column of texts."""
    names, codes = np.unique(values, return_inverse=True)
    return Texts.of(codes.reshape(-1), [str(name) for name in names])


def is_missing(cell: str) -> bool:
    """Whether a cell has no value."""
    return cell.strip() in MISSING


def number_of(cell: str, decimal: str = ".") -> float | None:
    """The number in a cell; None where there is none."""
    if "_" in cell or (decimal != "." and "." in cell):  # Python allows the first, and the second is no comma
        return None
    try:
        value = float(cell.replace(decimal, "."))
    except ValueError:
        return None
    return value if value == value else None  # nan is no number


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell holds a number."""
    return number_of(cell, decimal) is not None
