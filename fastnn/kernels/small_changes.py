"""exp, log and tanh of small changes, exact to rounding, for differences of losses. All is float64."""

from typing import Any

import numpy as np

from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.simd import bits, fma, from_bits
from fastnn.kernels.vector_math import log, polynomial

# Below this a change is small: exp and log are short series, exact to float64's rounding.
SMALL = 1.0 / 64.0
_EXPM1_TERMS = (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040)
_ARTANH_TERMS = (1 / 3, 1 / 5, 1 / 7, 1 / 9)
_TANH_TERMS = (-1 / 3, 2 / 15, -17 / 315, 62 / 2835)


@kernel
def largest_magnitude(values: Any) -> float:
    """The largest absolute value of a float64 vector, by bit patterns, which vectorizes; NaN counts as largest."""
    largest = bits(np.float64(0.0))
    for i in range(values.size):
        largest = max(largest, bits(abs(values[i])))
    return from_bits(np.int64(largest))


@formula
def small_expm1(d: Any) -> Any:
    """exp(d) - 1 = d + d^2 / 2! + ... + d^7 / 7!, |d| <= 1 / 64."""
    return fma(d * d, polynomial(_EXPM1_TERMS, d), d)


@formula
def small_tanh(d: Any) -> Any:
    """tanh(d) = d - d^3 / 3 + 2 d^5 / 15 - 17 d^7 / 315 + 62 d^9 / 2835, |d| <= 1 / 64."""
    square = d * d
    return fma(d * square, polynomial(_TANH_TERMS, square), d)


@formula
def small_log1p(u: Any) -> Any:
    """log(1 + u) = 2 artanh(s) = 2 (s + s^3 / 3 + ... + s^9 / 9) with s = u / (2 + u), |u| <= 1 / 63."""
    s = u / (2.0 + u)
    return 2.0 * fma(s * s * s, polynomial(_ARTANH_TERMS, s * s), s)


@kernel
def log1p(u: Any) -> float:
    """log(1 + u) for u > -1/2, exact to rounding: (1 + u) - 1 has the rounding of the sum, too."""
    w = 1.0 + u
    return u if w == 1.0 else log(w) * (u / (w - 1.0))
