"""Sums whose bits depend only on the numbers and their order."""

from typing import Any

from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.views import elements


@formula
def _four(values: Any, at: int, step: int) -> Any:
    """The sum of four elements, pairwise."""
    return (values[at] + values[at + step]) + (values[at + 2 * step] + values[at + 3 * step])


@kernel
def sums_of_columns(a: Any, sums: Any, first: int, out: Any) -> None:
    """out = the sums of columns first, first + 1, ... of a (N, H): eight rows pairwise, eights in float64.

    sums: float64 scratch of any size. A few columns at once, row after row: one column at a time took ten times as
    long, every row in float64 four times.
    """
    flat, width, whole = elements(a), a.shape[1], a.shape[0] // 8 * 8
    for begin in range(0, out.size, sums.size):
        count = min(sums.size, out.size - begin)
        at = first + begin
        for j in range(count):
            sums[j] = 0.0
        for n in range(0, whole, 8):
            for j in range(at, at + count):
                sums[j - at] += _four(flat, n * width + j, width) + _four(flat, (n + 4) * width + j, width)
        for n in range(whole, a.shape[0]):
            for j in range(at, at + count):
                sums[j - at] += flat[n * width + j]
        for j in range(count):
            out[begin + j] = sums[j]


@kernel
def sum_in_order(values: Any) -> float:
    """The sum of a float64 vector, first element first."""
    total = 0.0
    for i in range(values.size):
        total += values[i]
    return total
