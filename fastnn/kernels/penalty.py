"""The penalty on large weights, l1 sum |w| + l2 / 2 sum w^2, and its gradient.

Sources: Hoerl and Kennard (1970) for the squares, Tibshirani (1996) for the absolute values.
"""

from typing import Any

from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Vector, door


@kernel
def penalty_of(values: Any, l1: float, l2: float) -> float:
    """The penalty on a vector of weights, in float64; four sums, as one alone waits for each addition."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = values.size // 4 * 4
    half = 0.5 * l2
    for i in range(0, whole, 4):
        a += abs(values[i]) * (l1 + half * abs(values[i]))
        b += abs(values[i + 1]) * (l1 + half * abs(values[i + 1]))
        c += abs(values[i + 2]) * (l1 + half * abs(values[i + 2]))
        d += abs(values[i + 3]) * (l1 + half * abs(values[i + 3]))
    for i in range(whole, values.size):
        a += abs(values[i]) * (l1 + half * abs(values[i]))
    return (a + b) + (c + d)


@kernel
def add_penalty_gradient(values: Any, l1: float, l2: float, gradient: Any) -> None:
    """gradient += l1 sign(w) + l2 w, in place; sign(0) = 0. Vectors of one length."""
    first, second, zero = values.dtype.type(l1), values.dtype.type(l2), values.dtype.type(0.0)
    for i in range(values.size):
        value = values[i]
        gradient[i] += (first if value > zero else -first if value < zero else zero) + second * value


@door
def penalty(values: Vector, l1: float, l2: float) -> float:
    """The penalty on a vector of weights."""
    return penalty_of(values, l1, l2)
