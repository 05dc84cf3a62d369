"""A table: columns of numbers or texts by name, as they stand in a file."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from fastnn.errors import DatasetError
from fastnn.gate import checks
from fastnn.gate.arrays import Array

MISSING = ("", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")  # cells without a value
MOST_SHOWN = 12  # names in a message


@dataclass(frozen=True)
class Numbers:
    """A column of numbers, float64 (N,); NaN where there is none."""

    values: Array

    @property
    def missing(self) -> Any:
        """Which rows have no value."""
        return np.isnan(self.values)


@dataclass(frozen=True)
class Texts:
    """A column of texts: row n has names[codes[n]], or nothing where the code is -1."""

    codes: Any
    names: list[str]

    @property
    def missing(self) -> Any:
        """Which rows have no value."""
        return self.codes < 0


@dataclass(frozen=True)
class Other:
    """A column that is neither; it can only be ignored."""

    kind: str


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
    """

    source: str
    columns: dict[str, Column]
    rows: int
    has_header: bool = True
    groups: dict[str, list[str]] = field(default_factory=dict)

    def find(self, option: str, given: Sequence[str]) -> list[str]:
        """The names of the columns that an option names, by names or numbers from 1, also several between commas."""
        found: list[str] = []
        for text in given:
            whole = self._find(text)
            parts = [whole] if whole else [self._find(part.strip()) for part in text.split(",")]
            for part, columns in zip([text] if whole else text.split(","), parts, strict=True):
                if not columns:
                    raise DatasetError(f"{option}: expected {self.shown}, got {part!r}{self._near(part)}")
                found += [name for name in columns if name not in found]
        return found

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


def listed(names: Collection[str]) -> str:
    """The first names, and how many there are."""
    first = ", ".join(list(names)[:MOST_SHOWN])
    return first if len(names) <= MOST_SHOWN else f"{first}, ... {len(names):,} in all"


def number_text(value: float) -> str:
    """A number as a name: 3 for 3.0."""
    return str(int(value)) if value.is_integer() and abs(value) < 2.0**53 else repr(float(value))


def as_texts(column: Column) -> Column:
    """A column of numbers as texts, in the order of the numbers; others as they are."""
    if not isinstance(column, Numbers):
        return column
    missing = column.missing
    values, codes = np.unique(np.where(missing, 0.0, column.values), return_inverse=True)
    return Texts(np.where(missing, -1, codes.reshape(-1)), [number_text(float(value)) for value in values])


def texts_of(values: Any) -> Texts:
    """An array of texts as a column."""
    names, codes = np.unique(values, return_inverse=True)
    known = [str(name) for name in names]
    gone = np.array([name in MISSING for name in known], bool)
    return Texts(np.where(gone[codes], -1, codes).reshape(-1), known)


def is_number(text: str) -> bool:
    """Whether a cell holds a number."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text not in MISSING
