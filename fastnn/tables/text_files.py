"""Files of comma-separated values, read in blocks of rows by the standard library.

Cells become numbers or codes of texts block by block, so that a file of a million rows never stands in memory as texts.
A column is one of texts if any cell is neither a number nor missing. Where that shows after its first block, the
file is read once more, as the texts of earlier cells are gone by then.
"""

import codecs
import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fastnn.errors import DatasetError
from fastnn.gate.arrays import Array
from fastnn.tables.table import MISSING, Column, Numbers, Table, Texts, is_number

# Read at a time: cells that stay in the cache (2**18 of them take a third longer), but also so many rows, as each
# column of a block has its own cost.
BLOCK_CELLS, FEWEST_ROWS = 2**14, 64
SEPARATORS = "\t;|,"  # a file with decimal commas also has commas, so these come last
LARGEST_CELL = 2**27
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
MISSING_SET = frozenset(MISSING)
SAMPLE = 20  # lines that show the separator

Rows: TypeAlias = Iterator[list[str]]


@dataclass(frozen=True)
class Format:
    """How a file is written; None where the file itself shows it."""

    separator: str | None = None
    decimal: str = "."
    header: bool | None = None
    encoding: str | None = None


def read(source: str, content: bytes, style: Format, as_text: Sequence[str]) -> Table:
    """The table in a file's content; as_text: columns, by their names, whose numbers are texts."""
    csv.field_size_limit(LARGEST_CELL)
    try:
        return _read(source, content, style, as_text)
    except UnicodeDecodeError as error:
        came = f"bytes that are not, {content[error.start : error.start + 4]!r} at {error.start:,}"
        remedy = "save it as UTF-8, or name its encoding, such as --encoding latin-1"
        raise DatasetError(f"{source}: expected text in {error.encoding}, got {came}; {remedy}") from error
    except LookupError as error:
        raise DatasetError(f"--encoding: expected one that Python knows, got {style.encoding}; pass utf-8") from error
    except csv.Error as error:
        remedy = "check that each quoted cell has its second quotation mark, followed by the separator"
        raise DatasetError(f"{source}: expected comma-separated values, got others ({error}); {remedy}") from error


def _read(source: str, content: bytes, style: Format, as_text: Sequence[str]) -> Table:
    encoding = style.encoding or MARKS.get(content[:2], "utf-8-sig")
    lines = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    separator = style.separator or separator_of(list(itertools.islice(lines, SAMPLE)))
    top = list(itertools.islice(_rows(content, encoding, separator), 2))
    if not top:
        raise DatasetError(f"{source}: expected a table, got an empty file; pass another")
    has_header = has_names(top) if style.header is None else style.header
    names = names_of(source, top[0]) if has_header else [str(i + 1) for i in range(len(top[0]))]
    texts, complete = {names.index(name) for name in as_text if name in names}, False
    while not complete:
        rows = itertools.islice(_rows(content, encoding, separator), int(has_header), None)
        parsed = [_Cells(i in texts, style.decimal) for i in range(len(names))]
        count = 0
        for block in _blocks(source, rows, names):
            count += len(block)
            for column, cells in zip(parsed, zip(*block, strict=True), strict=True):
                column.add(cells)
        complete = not any(column.is_late for column in parsed)
        texts |= {i for i, column in enumerate(parsed) if column.is_text}
    if count == 0:
        raise DatasetError(f"{source}: expected rows below the header, got none; pass a file with data")
    columns = {name: column.column() for name, column in zip(names, parsed, strict=True)}
    return Table(source, columns, count, has_header)


def _rows(content: bytes, encoding: str, separator: str) -> Rows:
    """The rows of cells, without empty lines."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    return filter(None, csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True))


def _blocks(source: str, rows: Rows, names: Sequence[str]) -> Iterator[list[list[str]]]:
    """The rows in blocks; DatasetError for a row with more or fewer cells than columns."""
    size, done = max(FEWEST_ROWS, BLOCK_CELLS // len(names)), 0
    while block := list(itertools.islice(rows, size)):
        for i, row in enumerate(block):
            if len(row) != len(names):
                remedy = "quote cells that hold the separator, or name it by --separator"
                came = f"{len(row)} in row {done + i + 1:,}"
                raise DatasetError(f"{source}: expected {len(names)} cells, as in the first line, got {came}; {remedy}")
        done += len(block)
        yield block


def separator_of(lines: Sequence[str]) -> str:
    """The separator that divides the first lines into the same number of cells; a comma where none does."""
    for separator in SEPARATORS:
        try:
            sizes = {len(row) for row in csv.reader(lines, delimiter=separator, skipinitialspace=True) if row}
        except csv.Error:
            continue
        if len(sizes) == 1 and sizes != {1}:
            return separator
    counts = {separator: lines[0].count(separator) if lines else 0 for separator in reversed(SEPARATORS)}
    return max(counts, key=lambda separator: counts[separator])


def has_names(top: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: it holds no number, or a text above a number."""
    if not any(map(is_number, top[0])):
        return True
    return len(top) > 1 and any(is_number(below) and not is_number(cell) for cell, below in zip(*top, strict=False))


def names_of(source: str, cells: Sequence[str]) -> list[str]:
    """The names in the header; a column without one is called by its number."""
    names = [cell.strip() or str(i + 1) for i, cell in enumerate(cells)]
    for i, name in enumerate(names):
        if name in names[:i]:
            came = f"{name!r} for the columns {names.index(name) + 1} and {i + 1}"
            raise DatasetError(f"{source}: expected a name of its own for each column, got {came}; rename one")
    return names


class _Cells:
    """A column in the making: numbers, until a cell is a text."""

    def __init__(self, is_text: bool, decimal: str) -> None:
        self.is_text, self.is_late, self.decimal = is_text, False, decimal
        self.parts: list[Any] = []
        self.codes = {text: i for i, text in enumerate(MISSING)}

    def add(self, cells: tuple[str, ...]) -> None:
        """Take the cells of a block."""
        if not self.is_text:
            values = numbers_of(cells, self.decimal)
            if values is not None:
                self.parts.append(values)
                return
            self.is_text, self.is_late = True, bool(self.parts)
        if not self.is_late:  # else the file is read again
            codes = self.codes
            self.parts.append(np.array([codes.setdefault(cell, len(codes)) for cell in cells], np.int32))

    def column(self) -> Column:
        """The whole column."""
        whole = np.concatenate(self.parts) if self.parts else np.empty(0)
        if not self.is_text:
            return Numbers(whole)
        return Texts(np.maximum(whole - len(MISSING), -1), list(self.codes)[len(MISSING) :])


def numbers_of(cells: Sequence[str], decimal: str) -> Array | None:
    """The numbers in cells, NaN for missing ones; None if any is a text."""
    if decimal != ".":
        cells = [cell.replace(decimal, ".") for cell in cells]
    if "_" in "".join(cells):  # which Python takes within a number
        return None
    try:
        return np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        pass
    try:
        return np.array([np.nan if cell in MISSING_SET else float(cell) for cell in cells])
    except ValueError:
        return None
