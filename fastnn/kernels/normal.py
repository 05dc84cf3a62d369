"""The normal distribution's density, its values and its tail, written to fill whole registers as in vector_math."""

from typing import Any

import numpy as np

from fastnn.kernels.compile import JIT_DISABLED, by_dtype, formula
from fastnn.kernels.processor import HAS_FMA
from fastnn.kernels.simd import bits, fma, from_bits
from fastnn.kernels.vector_math import constant, polynomial, times_exp, times_exp_of_half_32

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


# x times the tail in float32: exp(-x^2 / 2) t / (2 + k t + x c(x)) with t = x + x^2 p(x), fitted within 2.3e-8. t is
# above and below, so that its rounding hardly counts where x is large; where x is small, the sum's hardly counts.
_TOP = tuple(np.float32(v) for v in (
    0.9170854687690735, 0.39655381441116333, 0.09141787886619568, 0.009735827334225178))  # fmt: skip
_BELOW = tuple(np.float32(v) for v in (
    0.9233074188232422, 0.23099437355995178, 0.02432379685342312))  # fmt: skip
_SHARE_BELOW = np.float32(2.5066332817077637)


@formula
def _share_of_normal_tail_32(x: Any) -> Any:
    """See `_TOP`."""
    square = x * x
    top = fma(square, polynomial(_TOP, x), x)
    below = np.float32(2) + fma(_SHARE_BELOW, top, x * polynomial(_BELOW, x))
    return times_exp_of_half_32(top / below, square, _lost(x, square))


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
