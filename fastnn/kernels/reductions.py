"""Sums whose bits depend on nothing but the numbers and their order."""

from typing import Any

from fastnn.kernels.compile import kernel


@kernel
def sums_of_columns(a: Any, sums: Any, first: int, out: Any) -> None:
    """out = the sums of columns first, first + 1, ... of a (N, H): eight rows pairwise, eights in float64.

    sums: any number of float64, scratch. A few columns at once, row after row: down one column at a time took ten times
    as long, every row in float64 four times.
    """
    whole = a.shape[0] // 8 * 8
    for begin in range(0, out.size, sums.size):
        count = min(sums.size, out.size - begin)
        at = first + begin
        for j in range(count):
            sums[j] = 0.0
        for n in range(0, whole, 8):
            for j in range(at, at + count):
                low = (a[n, j] + a[n + 1, j]) + (a[n + 2, j] + a[n + 3, j])
                high = (a[n + 4, j] + a[n + 5, j]) + (a[n + 6, j] + a[n + 7, j])
                sums[j - at] += low + high
        for n in range(whole, a.shape[0]):
            for j in range(at, at + count):
                sums[j - at] += a[n, j]
        for j in range(count):
            out[begin + j] = sums[j]


@kernel
def sum_in_order(values: Any) -> float:
    """The sum of a float64 vector, first element first."""
    total = 0.0
    for i in range(values.size):
        total += values[i]
    return total
