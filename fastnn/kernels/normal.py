"""The normal distribution's density, its values and its tail, written to fill whole registers as in vector_math."""

from typing import Any

import numpy as np

from fastnn.kernels.compile import JIT_DISABLED, by_dtype, formula
from fastnn.kernels.processor import HAS_FMA
from fastnn.kernels.simd import bits, fma, from_bits
from fastnn.kernels.vector_math import constant, polynomial, times_exp

# The tail beyond x >= 0 is exp(-x^2 / 2) p(y) / (1 + sqrt(pi / 2) x): p in y = (x - middle) / (x + middle), which is
# within [-1, 1] for all x; interpolated at Chebyshev's points, within 2e-9 (float32) and 9e-18. After M. Shepherd and
# J. Laframboise, Mathematics of Computation 36 (1981), 249-253. Beyond the limits tail and density round to 0.
_LIMIT_32, _LIMIT_64 = np.float32(14.5), np.float64(39.0)
_SLOPE = 1.2533141373155003
_MIDDLE_32, _MIDDLE_64 = np.float32(3.25), 4.0
_TERMS_32 = tuple(np.float32(v) for v in (
    0.5755730506400085, -0.07240215356728037, -0.040863293441805996, 0.06660173189813205,
    -0.0374031642963064, 0.007010224191686279, 0.0030117650725952753, -0.0014016196197962512,
    -0.00038835570224778244, 0.00020014940426787753, 7.833120029681697e-05))  # fmt: skip
_TERMS_64 = (
    0.5677154071290903, -0.07803568342632991, -0.013961083648834404, 0.05400974062957514,
    -0.048172496065215245, 0.024630732380600512, -0.006398124457417333, -0.0005197960464214344,
    0.0009183407855584826, -0.00010681107357361467, -0.00011736465877776356, 2.545975145279169e-05,
    1.816886072750251e-05, -4.0915447913900325e-06, -3.442256141099556e-06, 4.5484301352648353e-07,
    7.155087631797325e-07, 1.5048300238743853e-08, -1.4132276931488996e-07, -2.7760400945800295e-08,
    2.198798061763583e-08, 8.197789884461416e-09, -1.8614885967791278e-09, -9.977384827371702e-10)  # fmt: skip


# Below this the tail is 1/2 - x n(x^2), fitted within 5.0e-10 and 7.0e-21.
_NEAR = 0.7
_NEAR_TERMS_32 = tuple(np.float32(v) for v in (
    0.39894227696114204, -0.06649025346084438, 0.009972196240136174, -0.0011812117101273338,
    0.00010313340152427287))  # fmt: skip
_NEAR_TERMS_64 = (
    0.3989422804014327, -0.06649038006690543, 0.009973557010035222, -0.0011873282154689245,
    0.00011543468749234136, -9.444655454733161e-06, 6.659660538861216e-07, -4.121809291063023e-08,
    2.2597428554089323e-09, -1.0045617839664493e-10)  # fmt: skip


@formula
def _near_terms_32(square: Any) -> Any:
    return polynomial(_NEAR_TERMS_32, square)


@formula
def _near_terms_64(square: Any) -> Any:
    return polynomial(_NEAR_TERMS_64, square)


@formula
def _terms_32(x: Any) -> Any:
    return polynomial(_TERMS_32, (x - _MIDDLE_32) / (x + _MIDDLE_32))


@formula
def _terms_64(x: Any) -> Any:
    return polynomial(_TERMS_64, (x - _MIDDLE_64) / (x + _MIDDLE_64))


@formula
def _limit_32(x: Any) -> Any:
    return _LIMIT_32


@formula
def _limit_64(x: Any) -> Any:
    return _LIMIT_64


_limit = by_dtype(_limit_32, _limit_64)


@formula
def magnitude(x: Any) -> Any:
    """|x|, but no more than the limit."""
    distance, limit = abs(x), _limit(x)
    return limit if distance > limit else distance


@formula
def _head_32(x: Any) -> Any:
    """The first 12 bits of x, whose square is exact."""
    return from_bits(np.int32(bits(x) & np.int32(-4096)))


@formula
def _head_64(x: Any) -> Any:
    """The first 26 bits of x, whose square is exact."""
    return from_bits(np.int64(bits(x) & np.int64(-134217728)))


_terms = by_dtype(_terms_32, _terms_64)
_near_terms = by_dtype(_near_terms_32, _near_terms_64)
_head = by_dtype(_head_32, _head_64)


@formula
def _lost_without_fma(x: Any, square: Any) -> Any:
    """x^2 - square, the rounding of the square (after Dekker, 1971)."""
    head = _head(x)
    return (head * head - square) + (x - head) * (x + head)


@formula
def _lost_with_fma(x: Any, square: Any) -> Any:
    """x^2 - square, the rounding of the square."""
    return fma(x, x, -square)


_lost = _lost_with_fma if HAS_FMA and not JIT_DISABLED else _lost_without_fma


@formula
def _times_exp_of_half_square(factor: Any, x: Any) -> Any:
    """factor exp(-x^2 / 2)."""
    half, square = constant(x, -0.5), x * x
    return times_exp(factor, half * square, half * _lost(x, square))


@formula
def times_normal_tail(factor: Any, x: Any) -> Any:
    """The factor times the probability that a standard normal number is above x, for x from 0 to the limit."""
    share = factor * _terms(x) / fma(x, constant(x, _SLOPE), constant(x, 1.0))
    near = factor * fma(-x, _near_terms(x * x), constant(x, 0.5))
    return near if x < constant(x, _NEAR) else _times_exp_of_half_square(share, x)


# x times the tail in float32: beyond 1, exp(-x^2 / 2) p(z) with z = a / (x + 2) + b, which is within [-1, 1]; fitted
# within 8e-9. One division and fewer products than `times_normal_tail`: an error of 3.1 units instead of 4.3, 0.9 of
# the time. Up to 1 as there, fitted within 8e-10.
_FAR, _MIDDLE_OF_FAR, _STEEPNESS, _SHIFT = (np.float32(v) for v in (1.0, 2.0, 7.323529411764706, -1.441176470588235))
_FAR_TERMS = tuple(np.float32(v) for v in (
    0.3659917438739476, -0.06073268564964193, -0.037570727123764164, -0.007446880240064803, 0.0010042684585690872,
    0.0004433878875413689, -9.774043669443012e-05, -2.2908312817204037e-05, 9.831503226015196e-06))  # fmt: skip
_LONGER_NEAR_TERMS = tuple(np.float32(v) for v in (
    0.39894228011762145, -0.06649035992208503, 0.009973323399702897, -0.001186329915013903, 0.00011348634232710388,
    -7.654196788339887e-06))  # fmt: skip


@formula
def _share_of_normal_tail_32(x: Any) -> Any:
    """See `_FAR`."""
    z = fma(_STEEPNESS, np.float32(1) / (x + _MIDDLE_OF_FAR), _SHIFT)
    near = x * fma(-x, polynomial(_LONGER_NEAR_TERMS, x * x), np.float32(0.5))
    return near if x < _FAR else _times_exp_of_half_square(polynomial(_FAR_TERMS, z), x)


@formula
def _share_of_normal_tail_64(x: Any) -> Any:
    """As _share_of_normal_tail_32, of `times_normal_tail`."""
    return times_normal_tail(x, x)


# x times the probability that a standard normal number is above it, for x from 0 to the limit.
share_of_normal_tail = by_dtype(_share_of_normal_tail_32, _share_of_normal_tail_64)


@formula
def normal_distribution(x: Any) -> Any:
    """The probability that a standard normal number is below x, (1 + erf(x / sqrt(2))) / 2."""
    tail = times_normal_tail(constant(x, 1.0), magnitude(x))
    return constant(x, 1.0) - tail if x > constant(x, 0.0) else tail


@formula
def normal_density(x: Any) -> Any:
    """exp(-x^2 / 2) / sqrt(2 pi)."""
    return _times_exp_of_half_square(constant(x, 0.3989422804014327), magnitude(x))
