"""Reading a table from a file, in the format of its suffix."""

import bz2
import gzip
import importlib
import lzma
import os
import pathlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastnn.errors import DatasetError
from fastnn.system import files
from fastnn.tables import text_files
from fastnn.tables.table import Column, Numbers, Other, Table, Texts, as_texts, texts_of
from fastnn.tables.text_files import Format

PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress,
}  # fmt: skip
TABBED, ARRAYS = (".tsv", ".tab"), (".npz", ".npy", ".parquet")
TEXT = (".csv", *TABBED, ".txt", ".dat", ".data")
PLAIN = Format()


def read(path: str, style: Format = PLAIN, as_text: Sequence[str] = ()) -> Table:
    """The table in a file; as_text: columns whose numbers are texts, by their names.

    Raises
    ------
    DatasetError
        For a file that holds no table.
    OSError, ImportError
    """
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: expected a file with a table, got a folder; name a file in it")
    suffixes = [suffix.lower() for suffix in pathlib.Path(path).suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in PACKED else ""
    suffix = suffixes[-1] if suffixes else ""
    with files.reading(path, path) as file:
        if suffix not in ARRAYS or packed:
            content = _unpacked(path, file.read(), packed)
            if suffix in TABBED and style.separator is None:
                style = replace(style, separator="\t")
            return text_files.read(path, _checked(path, suffix, content), style, as_text)
    table = (_parquet if suffix == ".parquet" else _arrays)(path)
    for name in as_text:
        if name in table.columns:
            table.columns[name] = as_texts(table.columns[name])
    return table


def _unpacked(path: str, content: bytes, packed: str) -> bytes:
    try:
        return PACKED[packed](content) if packed else content
    except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise DatasetError(
            f"{path}: expected a whole {packed} file, got a damaged one ({error}); copy it anew"
        ) from error


def _checked(path: str, suffix: str, content: bytes) -> bytes:
    """The content of a file of texts; others are refused."""
    if suffix in TEXT or b"\0" not in content[:4096] or content[:2] in text_files.MARKS:
        return content
    raise DatasetError(
        f"{path}: expected a file of one of the formats {', '.join([*TEXT, *ARRAYS])}, got another; convert it"
    )


def _arrays(path: str) -> Table:
    """The table in a file of NumPy."""
    try:
        found: Any = np.load(path, allow_pickle=False)
        arrays = {"": found} if isinstance(found, np.ndarray) else dict(found)
    except (ValueError, EOFError, OSError) as error:
        remedy = "save arrays of numbers or texts by numpy.savez, numpy.save"
        raise DatasetError(
            f"{path}: expected arrays that are read without pickle, got others ({error}); {remedy}"
        ) from error
    columns: dict[str, Column] = {}
    groups: dict[str, list[str]] = {}
    rows = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(rows) != 1 or rows == {0}:
        came = ", ".join(f"{name or 'one'} {array.shape}" for name, array in arrays.items()) or "none"
        raise DatasetError(f"{path}: expected arrays with a row for each sample, got {came}; save x (N, D) and t (N,)")
    for name, array in arrays.items():
        if array.dtype.names:
            columns |= {field: _column(array[field]) for field in array.dtype.names}
        elif array.ndim == 1:
            columns[name or "1"] = _column(array)
        elif array.ndim == 2:
            groups[name] = [f"{name}{i + 1}" for i in range(array.shape[1])]
            columns |= {one: _column(array[:, i]) for i, one in enumerate(groups[name])}
        else:
            remedy = "save x.reshape(len(x), -1)"
            raise DatasetError(
                f"{path}: expected arrays (N,) or (N, D), got {array.shape} for {name or 'one'}; {remedy}"
            )
    if len(columns) != sum(
        array.shape[1] if array.ndim == 2 else len(array.dtype.names or "1") for array in arrays.values()
    ):
        raise DatasetError(f"{path}: expected arrays whose columns differ in their names, got the same; rename one")
    is_named = "" not in arrays or bool(arrays[""].dtype.names)
    return Table(path, columns, rows.pop(), is_named, groups)


def _column(array: Any) -> Column:
    """A column of an array; truth values are texts, as in a file of texts."""
    if array.dtype.kind == "b":
        return texts_of(array.astype(str))
    if array.dtype.kind in "iuf":
        return Numbers(array.astype(np.float64))
    if array.dtype.kind in "US":
        return texts_of(np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array)
    return Other(str(array.dtype))


def _parquet(path: str) -> Table:
    """The table in a file of Apache Parquet, by the library pyarrow."""
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        remedy = 'run pip install "fastnn-kernels[parquet]", or save the table as .csv'
        raise ImportError(f"{path}: expected pyarrow for a file of this format, got none; {remedy}") from error
    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{path}: expected a Parquet file, got another or a damaged one ({error})") from error
    names = text_files.names_of(path, table.column_names)
    columns = {name: _arrow_column(pyarrow, column) for name, column in zip(names, table.columns, strict=True)}
    if table.num_rows == 0 or not columns:
        raise DatasetError(f"{path}: expected rows, got none; pass a file with data")
    return Table(path, columns, table.num_rows)


def _arrow_column(pyarrow: Any, column: Any) -> Column:
    """A column of Arrow's."""
    types, kind = pyarrow.types, column.type
    if types.is_dictionary(kind):
        kind = kind.value_type
        column = column.cast(kind)
    if types.is_boolean(kind):  # as in a file of texts
        missing = column.is_null().to_numpy()
        found = texts_of(column.fill_null(False).to_numpy().astype(str))
        return Texts(np.where(missing, -1, found.codes), found.names)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return Numbers(column.cast("float64", safe=False).to_numpy().astype(np.float64))
    if types.is_string(kind) or types.is_large_string(kind):
        codes = column.combine_chunks().dictionary_encode()
        codes = codes.combine_chunks() if hasattr(codes, "chunks") else codes
        indices = codes.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.intp)
        names = codes.dictionary.to_pylist()
        gone = np.array([*(name in text_files.MISSING_SET for name in names), True], bool)  # the last for -1
        return Texts(np.where(gone[indices], -1, indices), names)
    return Other(str(column.type))
