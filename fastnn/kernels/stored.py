"""The stored elements of a compressed matrix (CSR) as the pairs of an index; see kernels/indexed.py."""

from typing import Any

import numpy as np

from fastnn.kernels import lists
from fastnn.kernels.compile import kernel
from fastnn.kernels.simd import bits


@kernel
def _list_row(values: Any, numbers: Any, start: int, end: int, columns: int, scale: Any, pairs: Any) -> bool:
    """List the elements [start, end) times the scale; tells whether their columns rise within [0, columns)."""
    last, good = -1, True
    for p in range(start, end):
        column = int(numbers[np.uintp(p)])
        good &= (column > last) & (column < columns)
        last = column
        lists.put_pair(pairs, p, values[np.uintp(p)] * scale, column)
    return good


@kernel
def _are_finite(pairs: Any, start: int, end: int) -> bool:
    """Whether the values of the pairs [start, end) are."""
    largest = bits(pairs.dtype.type(0.0))
    for p in range(start, end):
        largest = max(largest, bits(abs(pairs[np.uintp(2 * p)])))
    return largest < bits(pairs.dtype.type(np.inf))


# More than ten parameters: three arrays are a matrix, two an index.
@kernel
def list_stored(
    values: Any, numbers: Any, given: Any, rows: tuple[int, int], columns: int, scale: Any, finite: bool,
    pairs: Any, starts: Any,
) -> bool:  # fmt: skip
    """List the rows [first, last) of a matrix, row n from given[n] on, times the scale; starts becomes as `given`.

    Returns False, with anything in the lists, where the gate should look: at starts that fall or lie outside the
    pairs, columns that do not rise or lie outside the matrix and, if `finite`, products that are NaN or infinite.
    """
    good = True
    for n in range(rows[0], rows[1]):
        start, end = int(given[np.uintp(n)]), int(given[np.uintp(n + 1)])
        if start < 0 or end < start or 2 * end > pairs.size or (n == 0 and start != 0):
            return False
        starts[n + 1] = end
        good &= _list_row(values, numbers, start, end, columns, scale, pairs)
        good &= not finite or _are_finite(pairs, start, end)
    return good
