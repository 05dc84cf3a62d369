"""Samples as kernels take them: an array with a row for each, or an index that stands for the array."""

from typing import Any, TypeAlias

import numpy as np

from fastnn.engine import threads
from fastnn.engine.indexing import FILLING, Index, index_of_stored
from fastnn.engine.inputs import InputScale
from fastnn.engine.interpreters import indexing
from fastnn.gate import sparse
from fastnn.gate.arrays import Array


class SparseRows:
    """Rows (N, D) of which an index is held, and no array; some of them become an array on demand.

    Attributes
    ----------
    index : Index
    shape : (N, D)
    dtype : numpy.dtype
    array : array (N, 0)
        What kernels get in place of an array.
    """

    def __init__(self, index: Index, columns: int) -> None:
        self.index, self.dtype = index, index.pairs.dtype
        self.array = np.empty((len(index.starts) - 1, 0), self.dtype)
        self.shape = len(self.array), columns

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Any:
        raise TypeError("SparseRows: take some rows, as the array of all may not fit into memory")

    def __getitem__(self, rows: Any) -> Array:
        """Some rows, chosen by a slice or by their numbers, as an array."""
        numbers = np.arange(len(self), dtype=np.intp)[rows]
        x = np.empty((len(numbers), self.shape[1]), self.dtype)
        threads.run(indexing.fill_part, FILLING * x.size, *self.index, numbers, x)
        return x

    def between(self, first: int, last: int) -> "SparseRows":
        """The rows [first, last), which share the memory of these."""
        pairs, starts = self.index
        return SparseRows(Index(pairs, starts[first : last + 1]), self.shape[1])


Samples: TypeAlias = Array | SparseRows
Prepared: TypeAlias = tuple[Samples, Array, Array]  # x, labels, dense; see engine/interpreters/jobs.py


def sparse_rows(name: str, x: Any, shape: tuple[int, ...], scale: InputScale, **options: Any) -> SparseRows:
    """The rows of a user's sparse matrix (N, *shape), times the scale of inputs; options: see `sparse.compressed`."""
    if len(shape) > 1:
        expected = f"{name}: expected an array of shape (N, {', '.join(map(str, shape))})"
        raise TypeError(f"{expected}, got a sparse matrix; pass {name}.toarray(), in that shape")
    values, columns, starts, (_, width) = sparse.compressed(name, x, shape[0], **options)
    if options["finite"]:
        scale.check_finite(f"{name}.data", values)
    return SparseRows(index_of_stored(scale.of(values), columns, starts), width)


def parts_of(x: Samples) -> tuple[Array, ...]:
    """The arrays that hold samples."""
    return tuple(x.index) if isinstance(x, SparseRows) else (x,)


def is_same(a: Samples, b: Samples) -> bool:
    """Whether two samples, or targets, hold the same numbers in the same way."""
    both = parts_of(a), parts_of(b)
    return len(both[0]) == len(both[1]) and all(map(_is_equal, *both))


def _is_equal(a: Array, b: Array) -> bool:
    return np.array_equal(a, b, equal_nan=True)
