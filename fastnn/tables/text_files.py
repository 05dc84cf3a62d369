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
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from fastnn.errors import DatasetError
from fastnn.gate.arrays import Array
from fastnn.tables.table import Chooser, Column, Numbers, Table, Texts, head, is_missing, is_number

# Read at a time: cells that stay in the cache (2**18 of them take a third longer), but also so many rows, as each
# column of a block has its own cost.
BLOCK_CELLS, FEWEST_ROWS = 2**14, 64
SEPARATORS = "\t;|,"  # a file with decimal commas also has commas, so these come last
LARGEST_CELL = 2**27
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
SAMPLE = 20  # lines that show the separator

Rows: TypeAlias = Iterator[list[str]]


@dataclass(frozen=True)
class Format:
    """How a file is written; None where the file itself shows it."""

    separator: str | None = None
    decimal: str = "."
    header: bool | None = None
    encoding: str | None = None


def read(source: str, content: bytes, style: Format, wishes: Chooser) -> Table:
    """The table in a file's content."""
    csv.field_size_limit(LARGEST_CELL)
    encoding = _encoding(content, style)
    try:
        return _read(source, content, replace(style, encoding=encoding), wishes)
    except UnicodeError as error:
        came = f"bytes that are not, {_wrong_bytes(content, encoding) or error}"
        remedy = "save it as UTF-8, or name its encoding, such as --encoding latin-1"
        raise DatasetError(
            f"{source}: expected text in {encoding.removesuffix('-sig')}, got {came}; {remedy}"
        ) from error
    except csv.Error as error:
        remedy = "check that each quoted cell has its second quotation mark, followed by the separator"
        raise DatasetError(f"{source}: expected comma-separated values, got others ({error}); {remedy}") from error


def _encoding(content: bytes, style: Format) -> str:
    """The encoding of the text."""
    if style.encoding is None:
        return MARKS.get(content[:2], "utf-8-sig")
    try:
        io.TextIOWrapper(io.BytesIO(), style.encoding)  # which also refuses codecs that are none of texts
    except (LookupError, ValueError) as error:
        raise DatasetError(f"--encoding: expected one that Python knows, got {style.encoding!r}; pass utf-8") from error
    return style.encoding


def _wrong_bytes(content: bytes, encoding: str) -> str:
    """The first bytes that are no text, and their place in the file."""
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        return f"{content[error.start : error.start + 4]!r} at {error.start:,}"
    except UnicodeError:
        pass
    return ""


def _read(source: str, content: bytes, style: Format, wishes: Chooser) -> Table:
    encoding = style.encoding or "utf-8"
    lines = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    separator = style.separator or separator_of(list(itertools.islice(lines, SAMPLE)))
    top = list(itertools.islice(_rows(content, encoding, separator), 2))
    if not top:
        raise DatasetError(f"{source}: expected a table, got an empty file; pass another")
    has_header = has_names(top, style.decimal) if style.header is None else style.header
    names = names_of(source, top[0]) if has_header else [str(i + 1) for i in range(len(top[0]))]
    wished, places = wishes(head(source, names, has_header, {})), {name: i for i, name in enumerate(names)}
    asked, kept = ({places[name] for name in group if name in places} for group in (wished.texts, wished.cells))
    texts, complete = asked, False
    while not complete:
        rows = itertools.islice(_rows(content, encoding, separator), int(has_header), None)
        parsed = [_Cells(i in texts, i not in asked, i in kept, style.decimal) for i in range(len(names))]
        count = 0
        for block in _blocks(source, rows, names):
            count += len(block)
            for column, cells in zip(parsed, zip(*block, strict=True), strict=True):
                column.add(cells)
        complete = not any(column.is_late for column in parsed)
        texts = {i for i, column in enumerate(parsed) if column.is_text}
    if count == 0:
        raise DatasetError(f"{source}: expected rows below the header, got none; pass a file with data")
    columns = {name: column.column() for name, column in zip(names, parsed, strict=True)}
    is_guessed = style.header is None
    return Table(source, columns, count, has_header, decimal=style.decimal, is_header_guessed=is_guessed)


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


def has_names(top: Sequence[Sequence[str]], decimal: str) -> bool:
    """Whether the first row names the columns: it holds a text and no number, or a text above a number."""
    if not any(is_number(cell, decimal) for cell in top[0]):
        return not all(map(is_missing, top[0]))
    pairs = zip(*top, strict=False) if len(top) > 1 else ()
    return any(
        is_number(below, decimal) and not is_number(cell, decimal) and not is_missing(cell) for cell, below in pairs
    )


def names_of(source: str, cells: Sequence[str]) -> list[str]:
    """The names in the header; a column without one is called by its number."""
    places: dict[str, int] = {}
    for i, cell in enumerate(cells):
        name = cell.strip() or str(i + 1)
        if places.setdefault(name, i) != i:
            came = f"{name!r} for the columns {places[name] + 1} and {i + 1}"
            raise DatasetError(f"{source}: expected a name of its own for each column, got {came}; rename one")
    return list(places)


class _Cells:
    """A column in the making: numbers, until a cell is a text; keeps: also the cells of numbers as texts."""

    def __init__(self, is_text: bool, is_guessed: bool, keeps: bool, decimal: str) -> None:
        self.is_text, self.is_guessed, self.keeps, self.decimal = is_text, is_guessed, keeps, decimal
        self.is_late = False
        self.numbers: list[Any] = []
        self.coded: list[Any] = []
        self.codes: dict[str, int] = {}

    def add(self, cells: tuple[str, ...]) -> None:
        """Take the cells of a block."""
        if not self.is_text:
            values = numbers_of(cells, self.decimal)
            if values is None:
                self.is_text, self.is_late = True, bool(self.numbers) and not self.keeps
            else:
                self.numbers.append(values)
        if self.keeps or (self.is_text and not self.is_late):  # if late, the file is read again
            codes = self.codes
            self.coded.append(np.array([codes.setdefault(cell, len(codes)) for cell in cells], np.int32))

    def column(self) -> Column:
        """The whole column."""
        texts = Texts.of(np.concatenate(self.coded), list(self.codes), self.is_guessed) if self.coded else None
        if self.is_text and texts is not None:
            return texts
        return Numbers(np.concatenate(self.numbers), texts)


def numbers_of(cells: Sequence[str], decimal: str) -> Array | None:
    """The numbers in cells, NaN for missing ones; None if any is a text."""
    joined = "".join(cells)
    if "_" in joined:  # which Python takes within a number
        return None
    if decimal != ".":
        if "." in joined and any("." in cell and not is_missing(cell) for cell in cells):
            return None
        cells = [cell.replace(decimal, ".") for cell in cells]
    try:
        values = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        try:
            return np.array([np.nan if is_missing(cell) else float(cell) for cell in cells])
        except ValueError:
            return None
    unlike = any(not is_missing(cells[row]) for row in np.flatnonzero(np.isnan(values)).tolist())  # such as NAN
    return None if unlike else values
