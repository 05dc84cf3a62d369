"""The gate for sparse matrices of SciPy's, which is no dependency: whoever has one has imported it."""

import sys
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array


class Compressed(NamedTuple):
    """The elements of a matrix that are stored, row after row (CSR).

    Attributes
    ----------
    values : array
        float32 or float64.
    columns : array of integers
        The column of each, in rising order within a row, each once.
    starts : array of intp (N + 1,)
        The number of each row's first element, and how many there are.
    shape : (N, D)
    """

    values: Array
    columns: Array
    starts: Array
    shape: tuple[int, int]


def is_sparse(value: Any) -> bool:
    """Whether this is a sparse matrix or a sparse array of SciPy's."""
    module: Any = None if type(value) is np.ndarray else sys.modules.get("scipy.sparse")
    return module is not None and bool(module.issparse(value))


def compressed(
    name: str,
    value: Any,
    columns: int,
    *,
    dtype: npt.DTypeLike,
    finite: bool = False,
    rounding: bool = False,
    option: str = "",
    allow_empty: bool = False,
) -> Compressed:
    """The elements of a sparse matrix (N, columns), converted as `arrays.floats` converts.

    Other formats than CSR are converted by SciPy. Nothing of the user's is changed. Where an element is stored more
    than once, they are added, as in `toarray`.

    Raises TypeError, ValueError as `arrays.floats`, for the matrix or the array of its elements, and ValueError for
        indices that are outside the matrix.
    """
    expected = checks.expectation(name, ("N", columns), np.dtype(dtype))
    shape = tuple(int(size) for size in value.shape)
    checks.check_shape(name, shape, ("N", columns), expected, allow_empty)
    rows = _rows(name, value, expected)
    starts, numbers, values = (np.asarray(part) for part in (rows.indptr, rows.indices, rows.data))
    starts = starts.astype(np.intp)
    numbers, values = numbers[: starts[-1]], values[: starts[-1]]
    if values.dtype.kind in "biuf" and not _rise(numbers, starts):
        numbers, values, starts = _merged(numbers, values, starts)
    if finite and values.dtype.kind == "f" and not (is_fine := np.isfinite(values)).all():
        p = int(is_fine.argmin())
        came = f"{values[p]} at {name}[{np.searchsorted(starts, p, side='right') - 1}, {numbers[p]}]"
        remedy = "correct the data" + (f", or pass {option}=False" if option else "")
        raise ValueError(f"{name}: expected finite values, got {came}; {remedy}")
    options: Any = {"dtype": dtype, "rounding": rounding, "finite": finite, "option": option, "allow_empty": True}
    return Compressed(arrays.floats(f"{name}.data", values, ("N",), **options), numbers, starts, (shape[0], shape[1]))


def samples(name: str, value: Any) -> Any:
    """`value` as an array, see `arrays.anything`, or as a CSR matrix, whose rows are only to be counted or chosen."""
    if is_sparse(value) and value.ndim == 2:
        return _rows(name, value, f"{name}: expected an array or a sparse matrix")
    return arrays.anything(name, value)


def _rows(name: str, value: Any, expected: str) -> Any:
    """A sparse matrix as CSR; SciPy converts and takes rows without a look at indices, so they are looked at first."""
    if not _is_whole(value):
        remedy = f"{name}.check_format() says where; build it again from your data"
        raise ValueError(f"{expected}, got a sparse one whose indices are not of its shape; {remedy}")
    return value.tocsr()


def _is_whole(value: Any) -> bool:
    """Whether all indices of a sparse matrix lie within its shape."""
    height, width = value.shape
    if value.format == "coo":
        rows, columns = np.asarray(value.row), np.asarray(value.col)
        are_pairs = rows.size == columns.size == np.size(value.data)
        return are_pairs and _are_below(rows, height) and _are_below(columns, width)
    if value.format not in ("csr", "csc", "bsr"):
        return True  # held by objects of Python, or with no indices
    starts, numbers, values = (np.asarray(part) for part in (value.indptr, value.indices, value.data))
    blocks = value.blocksize if value.format == "bsr" else (1, 1)
    lines, places = height // blocks[0], width // blocks[1]
    if value.format == "csc":
        lines, places = places, lines
    if not _are_starts(starts, lines, min(numbers.size, len(values))):
        return False
    return _are_below(numbers[: starts[-1]], places)


def _are_below(numbers: Array, limit: int) -> bool:
    """Whether these are integers from 0 to limit - 1."""
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        return False
    return bool(numbers.size == 0 or (numbers.min() >= 0 and numbers.max() < limit))


def _are_starts(starts: Array, rows: int, size: int) -> bool:
    """Whether these are the starts of so many rows among at most `size` elements."""
    if starts.shape != (rows + 1,) or starts.dtype.kind not in "iu" or starts[0] != 0 or starts[-1] > size:
        return False
    return bool((starts[1:] >= starts[:-1]).all())


def _rise(numbers: Array, starts: Array) -> bool:
    """Whether the numbers of each row rise."""
    rising = numbers[1:] > numbers[:-1]
    begins = starts[1:-1]
    rising[begins[(begins > 0) & (begins < numbers.size)] - 1] = True  # the first ones of a row
    return bool(rising.all())


def _merged(numbers: Array, values: Array, starts: Array) -> tuple[Array, Array, Array]:
    """The elements in order, the ones at one place added."""
    rows = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    order = np.lexsort((numbers, rows))  # stable, so that sums are taken in the order of storage
    rows, numbers, values = rows[order], numbers[order], values[order]
    differs = np.ones(numbers.size, np.bool_)
    differs[1:] = (numbers[1:] != numbers[:-1]) | (rows[1:] != rows[:-1])
    sums = np.zeros(np.count_nonzero(differs), values.dtype)
    with np.errstate(all="ignore"):
        np.add.at(sums, np.cumsum(differs) - 1, values)
    counts = np.bincount(rows[differs], minlength=starts.size - 1)
    return numbers[differs], sums, np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
