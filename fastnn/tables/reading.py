"""Reading a table from a file, in the format of its suffix."""

import bz2
import gzip
import importlib
import io
import lzma
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fastnn.datasets import mnist
from fastnn.errors import DatasetError
from fastnn.gate.arrays import Array
from fastnn.system import files
from fastnn.tables import text_files
from fastnn.tables.table import Chooser, Column, Numbers, Other, Table, Texts, Wishes, as_texts, head, texts_of
from fastnn.tables.text_files import Format

PACKED: dict[str, Callable[[Any], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
LARGEST_UNPACKED = mnist.LARGEST_ARRAY  # bytes
TABBED, ARRAYS = (".tsv", ".tab"), (".npz", ".npy", ".parquet")
TEXT = (".csv", *TABBED, ".txt", ".dat", ".data")
PLAIN = Format()


def read(path: str, style: Format = PLAIN, wishes: Chooser = lambda _: Wishes()) -> Table:
    """The table in a file; wishes: says, by the columns' names, of which columns the numbers are texts.

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
            return text_files.read(path, _checked(path, suffix, content), style, wishes)
    return (_parquet if suffix == ".parquet" else _arrays)(path, wishes)


def _unpacked(path: str, content: bytes, packed: str) -> bytes:
    if not packed:
        return content
    try:
        with PACKED[packed](io.BytesIO(content)) as file:
            unpacked: bytes = file.read(LARGEST_UNPACKED + 1)
    except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise DatasetError(
            f"{path}: expected a whole {packed} file, got a damaged one ({error}); copy it anew"
        ) from error
    if len(unpacked) > LARGEST_UNPACKED:
        raise _too_large(path)
    return unpacked


def _too_large(path: str) -> DatasetError:
    remedy = "unpack it first, if you trust it"
    return DatasetError(f"{path}: expected at most {LARGEST_UNPACKED:,} bytes when unpacked, got more; {remedy}")


def _checked(path: str, suffix: str, content: bytes) -> bytes:
    """The content of a file of texts; others are refused."""
    if suffix in TEXT or b"\0" not in content[:4096] or content[:2] in text_files.MARKS:
        return content
    raise DatasetError(
        f"{path}: expected a file of one of the formats {', '.join([*TEXT, *ARRAYS])}, got another; convert it"
    )


def _loaded(path: str) -> dict[str, Any]:
    """The arrays in a file of NumPy, by name; "" for a single one."""
    try:
        with open(path, "rb") as file:  # which NumPy itself leaves open where it fails
            if zipfile.is_zipfile(file):
                packed = [one for one in zipfile.ZipFile(file).infolist() if one.compress_type != zipfile.ZIP_STORED]
                if sum(one.file_size for one in packed) > LARGEST_UNPACKED:
                    raise _too_large(path)
            file.seek(0)
            found: Any = np.load(file, allow_pickle=False)
            arrays = {"": found} if isinstance(found, np.ndarray) else dict(found)
    except DatasetError:
        raise
    except Exception as error:  # damaged headers raise whatever the parsers of Python and NumPy come across
        remedy = "save arrays of numbers or texts by numpy.savez, numpy.save"
        reason = " ".join(str(error).split()) or type(error).__name__
        came = "others or damaged ones"
        if "pickle" not in reason:  # NumPy's advice to read any file as a pickle
            came += f" ({reason})"
        raise DatasetError(f"{path}: expected arrays that are read without pickle, got {came}; {remedy}") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise DatasetError(f"{path}: expected arrays alone, got bytes called {name}; save them by numpy.savez")
    return arrays


def _arrays(path: str, wishes: Chooser) -> Table:
    """The table in a file of NumPy."""
    arrays = _loaded(path)
    columns: dict[str, Any] = {}
    groups: dict[str, list[str]] = {}
    rows = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(rows) != 1 or rows == {0}:
        came = ", ".join(f"{name or 'one'} {array.shape}" for name, array in arrays.items()) or "none"
        raise DatasetError(f"{path}: expected arrays with a row for each sample, got {came}; save x (N, D) and t (N,)")
    for name, array in arrays.items():
        if array.dtype.names:
            columns |= {field: array[field] for field in array.dtype.names}
        elif array.ndim == 1:
            columns[name or "1"] = array
        elif array.ndim == 2:
            groups[name] = [f"{name}{i + 1}" for i in range(array.shape[1])]
            columns |= {one: array[:, i] for i, one in enumerate(groups[name])}
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
    wished = wishes(head(path, list(columns), is_named, groups))
    made = {name: _column(path, name, array, wished) for name, array in columns.items()}
    return Table(path, made, rows.pop(), is_named, groups)


def _column(path: str, name: str, array: Any, wished: Wishes) -> Column:
    """A column of an array; truth values are texts, as in a file of texts."""
    if array.ndim > 1:
        return Other(f"arrays {array.shape[1:]}")
    if array.dtype.kind == "b":
        return texts_of(array.astype(str))
    if array.dtype.kind in "iuf":
        return _numbers(
            array.astype(np.float64), name, wished, (lambda: texts_of(array)) if array.dtype.kind in "iu" else None
        )
    if array.dtype.kind in "US":
        try:
            return texts_of(np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array)
        except UnicodeDecodeError as error:
            remedy = "save an array of str"
            raise DatasetError(
                f"{path}: expected texts in UTF-8 in column {name!r}, got others ({error}); {remedy}"
            ) from error
    return Other(str(array.dtype))


def _numbers(values: Array, name: str, wished: Wishes, exactly: Callable[[], Texts] | None) -> Column:
    """Numbers, as texts where that is wished; exactly: makes texts of integers, before large ones become one float."""
    if name not in wished.texts and name not in wished.cells:
        return Numbers(values)
    cells = as_texts(values) if exactly is None else exactly()
    return cells if name in wished.texts else Numbers(values, cells)


def _parquet(path: str, wishes: Chooser) -> Table:
    """The table in a file of Apache Parquet, by the library pyarrow."""
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        remedy = 'run pip install "fastnn-kernels[parquet]", or save the table as .csv'
        raise ImportError(f"{path}: expected pyarrow for a file of this format, got none; {remedy}") from error
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DatasetError(f"{path}: expected a Parquet file, got another or a damaged one ({error})") from error
    names = text_files.names_of(path, table.column_names)
    wished = wishes(head(path, names, True, {}))
    columns = {
        name: _arrow_column(pyarrow, column, name, wished) for name, column in zip(names, table.columns, strict=True)
    }
    if table.num_rows == 0 or not columns:
        raise DatasetError(f"{path}: expected rows, got none; pass a file with data")
    return Table(path, columns, table.num_rows)


def _arrow_column(pyarrow: Any, column: Any, name: str, wished: Wishes) -> Column:
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
        values = column.cast("float64", safe=False).to_numpy().astype(np.float64)
        is_integer = types.is_integer(kind)
        return _numbers(values, name, wished, (lambda: _arrow_texts(column.cast("string"))) if is_integer else None)
    if types.is_string(kind) or types.is_large_string(kind):
        return _arrow_texts(column)
    return Other(str(column.type))


def _arrow_texts(column: Any) -> Texts:
    """A column of Arrow's texts."""
    codes = column.combine_chunks().dictionary_encode()
    codes = codes.combine_chunks() if hasattr(codes, "chunks") else codes
    indices = codes.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.intp)
    return Texts.of(indices, codes.dictionary.to_pylist())
