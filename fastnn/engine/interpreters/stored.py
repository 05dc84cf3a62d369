"""The index of a compressed matrix (CSR), whose numbers are checked as they are listed; see kernels/stored.py."""

import numpy as np

from fastnn.kernels.doors import Indices, Vector, door_of_parts
from fastnn.kernels.matmul import share
from fastnn.kernels.stored import list_stored
from fastnn.kernels.views import vector_at


# More than ten parameters: two arrays come by their addresses, as their integers may be of 4 or 8 bytes.
@door_of_parts
def list_stored_part(
    part: int, parts: int, values: Vector, numbers: int, given: int, item: int, columns: int, scale: float,
    finite: bool, pairs: Vector, starts: Indices, fine: Indices,
) -> None:  # fmt: skip
    """List the rows of a matrix with `columns` columns; fine[0] becomes 0 where the gate should look at them."""
    rows, size, factor = starts.size - 1, pairs.size // 2, values.dtype.type(scale)
    some = share(rows, part, parts), share(rows, part + 1, parts)
    if item == 4:
        short, begins = vector_at(numbers, size, np.int32(0)), vector_at(given, rows + 1, np.int32(0))
        good = list_stored(values, short, begins, some, columns, factor, finite, pairs, starts)
    else:
        long, places = vector_at(numbers, size, np.int64(0)), vector_at(given, rows + 1, np.int64(0))
        good = list_stored(values, long, places, some, columns, factor, finite, pairs, starts)
    if not good:
        fine[0] = 0
