"""An index of the elements that are not 0, made once for data that are mostly zeros."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.engine import finite, threads
from fastnn.engine.inputs import is_bytes
from fastnn.engine.interpreters import indexing
from fastnn.engine.interpreters.stored import list_stored_part
from fastnn.engine.plan import Plan
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.kernels.matmul import FEW_STEPS

SAMPLES = 512  # elements that are looked at
FEWEST_ELEMENTS = 1 << 16  # of data for which an index pays: 0.3 ms of training
MOST_ELEMENTS = 1 / 3  # of a row that are not 0, on average
WORK = 4.0  # for each element, when it is asked whether threads pay
FILLING = 1.0  # for each element of rows that are made dense
ONE = np.float32(1.0)
WIDTHS = np.dtype(np.int32), np.dtype(np.int64)  # of the integers in a matrix of SciPy's


class Index(NamedTuple):
    """The elements of rows that are not 0, as lists; see kernels/indexed.py.

    Attributes
    ----------
    pairs : array
        Their values and columns. At least one pair: without any, there would be no index.
    starts : array (N + 1,)
        The number of each row's first pair, and how many there are.
    """

    pairs: Array
    starts: Array


def index_for(plan: Plan, x: Array, rows: int, n_threads: int, scale: Any = ONE) -> Index | None:
    """The index of prepared data, if batches of `rows` rows gain by it and there are units that take it; else None.

    x may be bytes; then the index holds them times the scale, in its dtype.
    """
    return index_of(x, n_threads, scale) if _takes_index(plan, rows) else None


def _takes_index(plan: Plan, rows: int) -> bool:
    return rows > FEW_STEPS and plan.layers[0].units.indexed_forward is not None


class FirstLook:
    """A look for NaN and infinity in data that also makes their index, so that memory is read once less.

    batch_size: as the user gave it.

    Attributes
    ----------
    index : Index or None
        What `index_for` would return, where it `serves`.
    """

    def __init__(self, plan: Plan, batch_size: Any) -> None:
        self.takes_index = _takes_index(plan, batch_size if isinstance(batch_size, int) else FEW_STEPS + 1)
        self.index: Index | None = None
        self._is_made = False

    def serves(self, rows: int) -> bool:
        """Whether the index is known for batches of `rows` rows."""
        return self._is_made and rows > FEW_STEPS

    def __call__(self, name: str, x: Array, n_threads: int | None) -> None:
        """As `finite.check_finite`."""
        if self.takes_index and _is_large_and_sparse(x):
            parts = threads.at_most(n_threads)
            rows = x.reshape(len(x), -1)
            self.index = listed(rows, parts, refuse=lambda: arrays.check_finite(name, x, arrays.CHECK_FINITE))
            self._is_made = True
        else:
            finite.check_finite(name, x, n_threads)


def index_of(x: Array, n_threads: int, scale: Any = ONE) -> Index | None:
    """The index of x (N, D), float32, float64 or bytes, if it is large and two of three elements are 0; else None.

    It takes at most two thirds of the memory of x in floats, and 8 bytes for each row.
    """
    return listed(x, n_threads, scale) if _is_large_and_sparse(x) else None


def listed(x: Array, n_threads: int, scale: Any = ONE, refuse: Callable[[], None] | None = None) -> Index | None:
    """The index of x (N, D), if two of three elements are 0; else None. refuse: called if x is not finite."""
    starts, depth = np.zeros(len(x) + 1, np.intp), x.shape[1]
    of_bytes = is_bytes(x)
    if of_bytes:
        address = x.ctypes.data
        threads.run(indexing.count_bytes_part, WORK * x.size, address, depth, starts[1:], n_threads=n_threads)
    else:
        threads.run(indexing.count_part, WORK * x.size, x, starts[1:], n_threads=n_threads)
    if starts.min() < 0:
        if refuse is not None:
            refuse()
        np.maximum(starts, ~starts, out=starts)
    np.cumsum(starts, out=starts)
    if starts[-1] > MOST_ELEMENTS * x.size:
        return None
    dtype = scale.dtype if of_bytes else x.dtype
    pairs = np.empty(2 * int(starts[-1]), dtype) if starts[-1] else np.zeros(2, dtype)
    if of_bytes:
        rest = address, depth, float(scale), starts, pairs
        threads.run(indexing.list_bytes_part, WORK * x.size, *rest, n_threads=n_threads)
    else:
        threads.run(indexing.list_part, WORK * x.size, x, starts, pairs, n_threads=n_threads)
    return Index(pairs, starts)


def index_of_stored(values: Array, columns: Array, starts: Array) -> Index:
    """The index of rows of which the gate has let through the stored elements; see `gate.sparse.Compressed`."""
    pairs = np.empty(2 * values.size, values.dtype) if values.size else np.zeros(2, values.dtype)
    pairs[0 : 2 * values.size : 2] = values
    pairs.view(np.int32 if values.itemsize == 4 else np.int64)[1 : 2 * values.size : 2] = columns
    return Index(pairs, starts)


def index_of_matrix(x: Any, columns: int, dtype: Any, scale: float, finite: bool) -> Index | None:
    """The index of a user's CSR matrix times a scale; None where the gate should convert or refuse something.

    finite: whether the products must be.
    """
    if x.format != "csr" or x.ndim != 2 or x.shape[1] != columns or not arrays.is_plain(x.data, dtype):
        return None
    values, numbers, given = x.data, x.indices, x.indptr
    are_adjacent = all(type(one) is np.ndarray and one.ndim == 1 and one.flags.carray for one in (numbers, given))
    if not are_adjacent or numbers.dtype != given.dtype or numbers.dtype not in WIDTHS or given.size != x.shape[0] + 1:
        return None
    count = int(given[-1])
    if values.ndim != 1 or not 0 < count <= min(values.size, numbers.size):
        return None
    pairs, starts, fine = np.empty(2 * count, dtype), np.zeros(given.size, np.intp), np.ones(1, np.intp)
    source = values, numbers.ctypes.data, given.ctypes.data, numbers.itemsize
    threads.run(list_stored_part, WORK * count, *source, columns, scale, finite, pairs, starts, fine)
    return Index(pairs, starts) if fine[0] else None


def _is_large_and_sparse(x: Array) -> bool:
    """Whether an index may pay: a sample of the elements, spread evenly by the golden ratio, is mostly 0."""
    if x.size < FEWEST_ELEMENTS:
        return False
    places = (np.arange(1, SAMPLES + 1) * 0.6180339887498949 % 1.0 * x.size).astype(np.intp)
    return bool(np.count_nonzero(x.reshape(-1)[places]) <= MOST_ELEMENTS * SAMPLES)
