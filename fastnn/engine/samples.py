"""Samples as kernels take them: an array with a row for each, or an index, or bytes, that stand for the array."""

from typing import Any, TypeAlias

import numpy as np

from fastnn.engine import threads
from fastnn.engine.indexing import FILLING, Index, index_of_matrix, index_of_stored
from fastnn.engine.inputs import InputScale, is_bytes
from fastnn.engine.interpreters import indexing
from fastnn.gate import checks, sparse
from fastnn.gate.arrays import Array

MOST = np.array([255], np.uint8)


class RowsOnDemand:
    """Rows (N, D) that are held otherwise than in an array of floats; some of them become one on demand.

    Attributes
    ----------
    shape : (N, D)
    dtype : numpy.dtype
        That of the rows on demand.
    array : array (N, 0)
        What kernels get in place of an array.
    """

    def __init__(self, rows: int, columns: int, dtype: Any) -> None:
        self.shape, self.dtype = (rows, columns), dtype
        self.array = np.empty((rows, 0), dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Any:
        raise TypeError(f"{type(self).__name__}: take some rows, as the array of all may not fit into memory")

    def __getitem__(self, rows: Any) -> Array:
        """Some rows, chosen by a slice or by their numbers, as an array."""
        raise NotImplementedError


class SparseRows(RowsOnDemand):
    """Rows of which an index is held."""

    def __init__(self, index: Index, columns: int) -> None:
        super().__init__(len(index.starts) - 1, columns, index.pairs.dtype)
        self.index = index

    def __getitem__(self, rows: Any) -> Array:
        numbers = np.arange(len(self), dtype=np.intp)[rows]
        x = np.empty((len(numbers), self.shape[1]), self.dtype)
        threads.run(indexing.fill_part, FILLING * x.size, *self.index, numbers, x)
        return x


class ByteRows(RowsOnDemand):
    """Rows of bytes (N, D), adjacent in memory, which become floats times a scale."""

    def __init__(self, held: Array, scale: InputScale) -> None:
        super().__init__(len(held), held.shape[1], scale.rounded.dtype)
        self.held, self.scale = held, scale

    def __getitem__(self, rows: Any) -> Array:
        return self.scale.of(self.held[rows])

    def fill(self, first: int, x: Array, n_threads: int | None) -> None:
        """x (n, D) = the rows from number `first` on."""
        address = self.held[first:].ctypes.data
        threads.run(
            indexing.scale_part, FILLING * x.size, address, self.scale.factor, x, n_threads=threads.at_most(n_threads)
        )


Samples: TypeAlias = Array | SparseRows | ByteRows
Prepared: TypeAlias = tuple[Samples, Array, Array]  # x, labels, dense; see engine/interpreters/jobs.py


def sparse_rows(name: str, x: Any, shape: tuple[int, ...], scale: InputScale, **options: Any) -> SparseRows:
    """The rows of a user's sparse matrix (N, *shape), times the scale of inputs; options: see `sparse.compressed`."""
    if len(shape) > 1:
        expected = f"{name}: expected an array of shape (N, {', '.join(map(str, shape))})"
        raise TypeError(f"{expected}, got a sparse matrix; pass {name}.toarray(), in that shape")
    index = index_of_matrix(x, shape[0], options["dtype"], scale.factor, options["finite"])
    if index is not None:
        return SparseRows(index, shape[0])
    values, columns, starts, (_, width) = sparse.compressed(name, x, shape[0], **options)
    if options["finite"]:
        scale.check_finite(f"{name}.data", values)
    return SparseRows(index_of_stored(scale.of(values), columns, starts), width)


def byte_rows(x: Any, shape: tuple[int, ...], scale: InputScale) -> ByteRows | None:
    """The rows of an array of uint8 (N, *shape), in memory or in a file, if all products with the scale are finite."""
    is_array = type(x) in (np.ndarray, np.memmap) and is_bytes(x)
    wanted: Any = ("N", *shape)
    if not is_array or x.size == 0 or not checks.fits(x.shape, wanted) or not np.isfinite(scale.of(MOST)[0]):
        return None
    return ByteRows(np.ascontiguousarray(x).view(np.ndarray).reshape(len(x), -1), scale)


def parts_of(x: Samples) -> tuple[Array, ...]:
    """The arrays that hold samples."""
    if isinstance(x, SparseRows):
        return tuple(x.index)
    return (x.held if isinstance(x, ByteRows) else x,)


def is_same(a: Samples, b: Samples) -> bool:
    """Whether two samples, or targets, hold the same numbers in the same way."""
    both = parts_of(a), parts_of(b)
    return (
        isinstance(a, ByteRows) == isinstance(b, ByteRows)
        and len(both[0]) == len(both[1])
        and all(map(_is_equal, *both))
    )


def _is_equal(a: Array, b: Array) -> bool:
    return np.array_equal(a, b, equal_nan=True)
