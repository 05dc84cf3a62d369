"""The penalty on large weights, l1 sum |w| + l2 / 2 sum w^2, and its gradient.

Sources: Hoerl and Kennard (1970) for the squares, Tibshirani (1996) for the absolute values.
"""

from typing import Any

import numpy as np

from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Reals, Vector, door
from fastnn.kernels.rows import sum_of
from fastnn.kernels.views import part


@kernel
def add_penalty_gradient(values: Any, l1: float, l2: float, gradient: Any) -> None:
    """gradient += l1 sign(w) + l2 w, in place; sign(0) = 0. Vectors of one length."""
    first, second, zero = values.dtype.type(l1), values.dtype.type(l2), values.dtype.type(0.0)
    for i in range(values.size):
        value = values[i]
        gradient[i] += (first if value > zero else -first if value < zero else zero) + second * value


@kernel
def penalty_of(values: Any, l1: float, l2: float, sums: Any) -> float:
    """The penalty on a vector of weights, in float64; sums: scratch of any size.

    The terms of several weights come first, as a loop that adds each of them takes four times as long.
    """
    total, half = 0.0, 0.5 * l2
    for begin in range(0, values.size, sums.size):
        count = min(sums.size, values.size - begin)
        some = part(values, begin, count)
        for i in range(count):
            size = np.float64(abs(some[i]))
            sums[i] = size * (l1 + half * size)
        total += sum_of(sums, count)
    return total


@door
def penalty(values: Vector, l1: float, l2: float, sums: Reals) -> float:
    """As `penalty_of`."""
    return penalty_of(values, l1, l2, sums)
