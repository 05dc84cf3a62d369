"""The largest element and the sum of a row, and softmax, which is made of them.

Narrow rows, such as the ten outputs of a classifier, and wide ones are handled differently, to the same numbers.
"""

from typing import Any

import numpy as np

from fastnn.kernels.compile import by_dtype, formula, kernel
from fastnn.kernels.simd import bits, from_bits, product_of_eighths, sum_of_eighths
from fastnn.kernels.vector_math import exp
from fastnn.kernels.views import elements, part

# Rows from this size on are taken in registers: the largest and the sum of 24, 32 and 64 float32 take 24, 36 and 79 ns
# one by one, 28, 29 and 38 in registers (Zen 3).
WIDE = 32
BLOCK = 4096  # elements that softmax takes through all its loops at once, 16 KiB of float32 in a first cache of 32


@formula
def _rank_32(x: Any) -> Any:
    """An integer that is larger for a larger number, the same for both zeros, and the largest for NaN."""
    pattern = bits(x + np.float32(0.0))  # turns -0 into 0
    return np.int32(2147483647) if x != x else np.int32(pattern ^ ((pattern >> 31) & 2147483647))


@formula
def _rank_64(x: Any) -> Any:
    """As _rank_32."""
    pattern = bits(x + 0.0)
    return np.int64(9223372036854775807) if x != x else pattern ^ ((pattern >> 63) & 9223372036854775807)


@formula
def _number_32(x: Any, rank: Any) -> Any:
    """The number of this rank, of the type of x; a NaN for the rank of NaN."""
    return from_bits(np.int32(rank ^ ((rank >> 31) & 2147483647)))


@formula
def _number_64(x: Any, rank: Any) -> Any:
    """As _number_32."""
    return from_bits(np.int64(rank ^ ((rank >> 63) & 9223372036854775807)))


_rank = by_dtype(_rank_32, _rank_64)
_number = by_dtype(_number_32, _number_64)


@kernel
def _largest_rank(row: Any) -> Any:
    """The largest rank; integers, because LLVM vectorizes only their maximum."""
    rank = _rank(row[0])
    for k in range(1, row.size):
        rank = max(rank, _rank(row[k]))
    return rank


@kernel
def all_finite(values: Any) -> bool:
    """Whether no element of a vector is NaN or infinite: the largest bit pattern without its sign is a number's.

    Integers, because LLVM vectorizes only their maximum.
    """
    largest = bits(values.dtype.type(0.0))
    for i in range(values.size):
        largest = max(largest, bits(abs(values[i])))
    return largest < bits(values.dtype.type(np.inf))


@kernel
def scale_elements(x: Any, scale: Any, y: Any) -> bool:
    """y = x times the scale, a number of their dtype; tells whether `all_finite` of y."""
    largest = bits(y.dtype.type(0.0))
    for i in range(x.size):
        y[i] = x[i] * scale
        largest = max(largest, bits(abs(y[i])))
    return largest < bits(y.dtype.type(np.inf))


@kernel
def first_largest(row: Any) -> int:
    """The place of the largest element, the first of equals; NaN counts as largest, as in NumPy."""
    if row.size >= WIDE:
        rank, best = _largest_rank(row), row.size
        for k in range(row.size):
            best = min(best, k if _rank(row[k]) == rank else row.size)
        return best
    best, highest = 0, _rank(row[0])
    for k in range(1, row.size):  # without a branch, see `largest`
        rank = _rank(row[k])
        best = k if rank > highest else best
        highest = max(highest, rank)
    return best


@kernel
def is_first_largest(row: Any, place: int) -> bool:
    """Whether `first_largest` is this place; False for one outside the row.

    Without branches and, unlike `first_largest`, without a chain: a row of ten takes 9 ns instead of 29.
    """
    if place < 0 or place >= row.size:
        return False
    highest, larger = _rank(row[place]), False
    for k in range(row.size):
        rank = _rank(row[k])
        larger |= (rank > highest) | ((rank == highest) & (k < place))
    return not larger


@kernel
def largest(row: Any) -> Any:
    """The largest element; any element of a row with NaN."""
    if row.size >= WIDE:
        return _number(row[0], _largest_rank(row))
    highest = row[0]
    for k in range(1, row.size):  # without a branch, which would be mispredicted twice for ten elements
        highest = row[k] if row[k] > highest else highest
    return highest


@kernel
def sum_of(values: Any, count: int) -> float:
    """The float64 sum of a vector's first `count` elements; a long one adds up eight sums of every eighth."""
    whole = count // 8 * 8 if count >= WIDE else 0
    total = sum_of_eighths(values, whole) if whole > 0 else np.float64(0.0)
    for i in range(whole, count):
        total += values[i]
    return total


@kernel
def sum_of_products(a: Any, b: Any) -> float:
    """The float64 sum of the products of two vectors' elements, added up as in `sum_of`."""
    whole = a.size // 8 * 8 if a.size >= WIDE else 0
    total = product_of_eighths(a, b, whole) if whole > 0 else np.float64(0.0)
    for i in range(whole, a.size):
        total += a[i] * b[i]
    return total


@kernel
def subtract_largest(x: Any, y: Any) -> Any:
    """y = x - max x of one row; y may be x. Returns the largest."""
    highest = largest(x)
    for k in range(x.size):
        y[k] = x[k] - highest
    return highest


@kernel
def exp_in_place(y: Any) -> None:
    """y = exp(y) for all rows at once: the few columns of one row would hardly fill a register."""
    for i in range(y.size):
        y[i] = exp(y[i])


@kernel
def divide_by_sum(y: Any) -> float:
    """y = y / sum y of one row; returns the sum, in float64.

    With quotients, softmax of 1000 x 1000 float32 takes 1.15 times the time, of 1000 x 100 float64 1.5 times.
    """
    total = sum_of(y, y.size)
    share = y.dtype.type(1.0 / total)
    for k in range(y.size):
        y[k] *= share
    return total


@kernel
def softmax_rows(x: Any, y: Any) -> None:
    """y = exp(x - max x) / sum exp(x - max x) of each row. x, y (N, K); y may be x."""
    flat_x, flat_y, width = elements(x), elements(y), x.shape[1]
    count = max(1, BLOCK // width)
    for first in range(0, x.shape[0], count):
        last = min(first + count, x.shape[0])
        for n in range(first, last):
            subtract_largest(part(flat_x, n * width, width), part(flat_y, n * width, width))
        exp_in_place(part(flat_y, first * width, (last - first) * width))
        for n in range(first, last):
            divide_by_sum(part(flat_y, n * width, width))


@kernel
def are_apart(written: Any, read: Any) -> bool:
    """Whether two contiguous arrays share no memory."""
    start, other = written.ctypes.data, read.ctypes.data
    return start + written.size * written.itemsize <= other or other + read.size * read.itemsize <= start
