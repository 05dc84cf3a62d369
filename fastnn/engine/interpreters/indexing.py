"""What is done to all data before the training: a look for NaN, and an index, see kernels/indexed.py."""

import numpy as np

from fastnn.kernels.byte_rows import count_bytes, list_bytes, scale_bytes
from fastnn.kernels.doors import Indices, Matrix, Vector, door_of_parts
from fastnn.kernels.indexed import count_elements, fill_row, list_rows
from fastnn.kernels.matmul import share
from fastnn.kernels.rows import all_finite
from fastnn.kernels.views import elements, vector_at
from fastnn.kernels.views import part as part_of


@door_of_parts
def finite_part(part: int, parts: int, values: Vector, fine: Indices) -> None:
    """fine[part] = 1 if the part's values are finite, else 0."""
    first, last = share(values.size, part, parts), share(values.size, part + 1, parts)
    fine[part] = 1 if all_finite(part_of(values, first, last - first)) else 0


@door_of_parts
def count_part(part: int, parts: int, x: Matrix, counts: Indices) -> None:
    """counts (N,) = the elements of each row of x (N, D) that are not 0; see count_elements."""
    count_elements(x, share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts), counts)


@door_of_parts
def list_part(part: int, parts: int, x: Matrix, starts: Indices, pairs: Vector) -> None:
    """List the rows of x (N, D) in pairs, row n from number starts[n] on; starts (N + 1,)."""
    list_rows(x, share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts), starts, pairs)


@door_of_parts
def fill_part(part: int, parts: int, pairs: Vector, starts: Indices, numbers: Indices, x: Matrix) -> None:
    """x (N, D) = the rows of an index with these numbers (N,)."""
    for n in range(share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts)):
        fill_row(pairs, starts[numbers[n]], starts[numbers[n] + 1], x[n])


@door_of_parts
def count_bytes_part(part: int, parts: int, address: int, depth: int, counts: Indices) -> None:
    """counts (N,) = the bytes of each row of `depth` that are not 0, from an address on."""
    rows = counts.size
    source = vector_at(address, rows * depth, np.uint8(0))
    count_bytes(source, depth, share(rows, part, parts), share(rows, part + 1, parts), counts)


@door_of_parts
def list_bytes_part(
    part: int, parts: int, address: int, depth: int, scale: float, starts: Indices, pairs: Vector
) -> None:
    """As list_part, for rows of `depth` bytes from an address on, times the scale."""
    rows = starts.size - 1
    source, factor = vector_at(address, rows * depth, np.uint8(0)), pairs.dtype.type(scale)
    list_bytes(source, depth, share(rows, part, parts), share(rows, part + 1, parts), factor, starts, pairs)


@door_of_parts
def scale_part(part: int, parts: int, address: int, scale: float, x: Matrix) -> None:
    """x (N, D) = the bytes from an address on, times the scale."""
    depth = x.shape[1]
    first, last = share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts)
    source = vector_at(address + first * depth, (last - first) * depth, np.uint8(0))
    scale_bytes(source, x.dtype.type(scale), elements(x[first:last]))
