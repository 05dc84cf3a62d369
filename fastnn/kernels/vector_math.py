"""exp, log, tanh and their like, written to fill whole registers when LLVM vectorizes.

libm's functions are scalar calls inside Numba (about 5 ns an element; no SVML since numba 0.62). These are
branch-free: range reduction after Cody and Waite, a polynomial of fused multiply-adds, a scale built from the
exponent's bits. Rounding to an integer adds 1.5 * 2^23 (2^52), whose low mantissa bits then hold the integer; without a
conversion NaN passes through.

Reference: J.-M. Muller, Elementary Functions, 3rd edition, chapter 11 (range reduction).
"""

import math
from typing import Any

import numpy as np

from fastnn.kernels.compile import by_dtype, formula
from fastnn.kernels.simd import bits, fma, from_bits, lowered, multiply_add_of

_LOG2_E_32, _LOG2_E_64 = np.float32(1.4426950408889634), 1.4426950408889634
# ln 2 as a sum: the first part has trailing zero bits, so its product with the integer n is exact.
_LN2_HIGH_32, _LN2_LOW_32 = np.float32(0.693145751953125), np.float32(1.42860682030941723212e-6)
_LN2_HIGH_64, _LN2_LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROUND_32, _ROUND_64 = np.float32(12582912.0), np.float64(6755399441055744.0)
_ROUND_BITS_32, _ROUND_BITS_64 = np.int32(0x4B400000), np.int64(0x4338000000000000)
# Beyond these exp is 0 or infinity in the dtype, and n still fits the exponents used to scale.
_LOWEST_32, _HIGHEST_32 = np.float32(-104.0), np.float32(89.0)
_LOWEST_64, _HIGHEST_64 = np.float64(-746.0), np.float64(710.0)
# 1/2!, 1/3!, ...: with |r| <= ln(2) / 2 the next term is below 1e-8 (float32) and 1e-17 (float64).
_TERMS_32 = tuple(np.float32(v) for v in (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040))
_TERMS_64 = (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040, 1 / 40320, 1 / 362880, 1 / 3628800, 1 / 39916800,
             1 / 479001600, 1 / 6227020800)  # fmt: skip
# expm1 reduces nothing below this, where 2^n (exp(r) - 1) + (2^n - 1) would lose a digit: two more terms.
_UNREDUCED = 0.55
_MORE_TERMS_32 = (*_TERMS_32, np.float32(1 / 40320), np.float32(1 / 362880))
_MORE_TERMS_64 = (*_TERMS_64, 1 / 87178291200, 1 / 1307674368000)


def _horner(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Build `polynomial` without a loop, beside which LLVM would not vectorize the loop over an array.

    (softplus of 100,000 float64: 0.5 ms instead of 2.2.)
    """
    total, *rest = reversed([builder.extract_value(args[0], i) for i in range(signature.args[0].count)])
    for term in rest:
        total = multiply_add_of(builder, total, args[1], term)
    return total


@lowered(lambda context, terms, x: (x(terms, x), _horner))
def polynomial(terms: Any, x: Any) -> Any:
    """terms[0] + terms[1] x + terms[2] x^2 + ... by Horner's rule."""
    total = terms[-1]
    for i in range(len(terms) - 2, -1, -1):
        total = fma(total, x, terms[i])
    return total


@formula
def _reduce_32(x: Any, terms: Any, unreduced: Any) -> Any:
    """(exp(r) - 1, n) with x = r + n ln 2 and |r| <= ln(2) / 2, or n = 0 for |x| < unreduced."""
    shifted = fma(x, _LOG2_E_32, _ROUND_32)
    shifted = _ROUND_32 if abs(x) < np.float32(unreduced) else shifted
    n = shifted - _ROUND_32
    r = fma(n, -_LN2_LOW_32, fma(n, -_LN2_HIGH_32, x))
    return fma(r * r, polynomial(terms, r), r), np.int32(bits(shifted) - _ROUND_BITS_32)


@formula
def _reduce_64(x: Any, terms: Any, unreduced: Any) -> Any:
    """As _reduce_32."""
    shifted = fma(x, _LOG2_E_64, _ROUND_64)
    shifted = _ROUND_64 if abs(x) < unreduced else shifted
    n = shifted - _ROUND_64
    r = fma(n, -_LN2_LOW_64, fma(n, -_LN2_HIGH_64, x))
    return fma(r * r, polynomial(terms, r), r), bits(shifted) - _ROUND_BITS_64


@formula
def _power_of_two_32(n: Any) -> Any:
    return from_bits(np.int32((n + np.int32(127)) << np.int32(23)))


@formula
def _power_of_two_64(n: Any) -> Any:
    return from_bits(np.int64((n + np.int64(1023)) << np.int64(52)))


@formula
def _clamp(x: Any, lowest: Any, highest: Any) -> Any:
    """x within [lowest, highest]; the order of the comparisons keeps NaN."""
    x = lowest if x < lowest else x
    return highest if x > highest else x


@formula
def _exp_32(x: Any) -> Any:
    """2^n (1 + (exp(r) - 1))."""
    fraction, n = _reduce_32(_clamp(x, _LOWEST_32, _HIGHEST_32), _TERMS_32, 0.0)
    half = np.int32(n >> np.int32(1))  # two factors, because 2^n alone may be subnormal or beyond the largest float
    return (np.float32(1) + fraction) * _power_of_two_32(half) * _power_of_two_32(np.int32(n - half))


@formula
def _exp_64(x: Any) -> Any:
    """As _exp_32."""
    fraction, n = _reduce_64(_clamp(x, _LOWEST_64, _HIGHEST_64), _TERMS_64, 0.0)
    half = n >> np.int64(1)
    return (1.0 + fraction) * _power_of_two_64(half) * _power_of_two_64(n - half)


@formula
def _expm1_32(x: Any) -> Any:
    """2^n (exp(r) - 1) + (2^n - 1), the power split as in _exp_32."""
    fraction, n = _reduce_32(_clamp(x, np.float32(-18.0), _HIGHEST_32), _MORE_TERMS_32, _UNREDUCED)
    half = np.int32(n >> np.int32(1))
    first, rest = _power_of_two_32(half), np.int32(n - half)
    y = fma(first, fraction, first - _power_of_two_32(np.int32(-rest))) * _power_of_two_32(rest)
    return x if x == np.float32(0) else y  # the sign of zero


@formula
def _expm1_64(x: Any) -> Any:
    """As _expm1_32."""
    fraction, n = _reduce_64(_clamp(x, np.float64(-38.0), _HIGHEST_64), _MORE_TERMS_64, _UNREDUCED)
    half = n >> np.int64(1)
    first, rest = _power_of_two_64(half), n - half
    y = fma(first, fraction, first - _power_of_two_64(-rest)) * _power_of_two_64(rest)
    return x if x == 0.0 else y  # the sign of zero


@formula
def _constant_32(x: Any, value: Any) -> Any:
    return np.float32(value)


@formula
def _constant_64(x: Any, value: Any) -> Any:
    return np.float64(value)


exp = by_dtype(_exp_32, _exp_64)
expm1 = by_dtype(_expm1_32, _expm1_64)
constant = by_dtype(_constant_32, _constant_64)  # constant(x, value): the value in the dtype of x


@formula
def within(x: Any, bound: Any) -> Any:
    """x within [-bound, bound], so that no infinity is multiplied by 0; NaN stays NaN."""
    limit = constant(x, bound)
    x = limit if x > limit else x
    return -limit if x < -limit else x


# log(1 + f) - f + f^2 / 2 as s (f^2 / 2 + s^2 (terms in s^2)), s = f / (2 + f): 2/3, 2/5, ..., fitted on [-0.3, 0.42].
_LOG_TERMS = (6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
              1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01)  # fmt: skip
_SUBNORMAL_SCALE = 18014398509481984.0  # 2^54


@formula
def _log_64(x: Any) -> Any:
    """n ln 2 + log(m), x = 2^n m and m in [sqrt(1/2), sqrt(2)); after fdlibm's e_log.c (Sun Microsystems, 1993)."""
    tiny = x < 2.2250738585072014e-308
    scaled = x * _SUBNORMAL_SCALE if tiny else x
    # The exponent, moved up by one where the fraction is above sqrt(2).
    pattern = bits(scaled) + np.int64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    n = np.int64(pattern >> np.int64(52)) - np.int64(1023)
    f = from_bits(np.int64(pattern & np.int64(0x000FFFFFFFFFFFFF)) + np.int64(0x3FE6A09E667F3BCD)) - 1.0
    # An integer below 2^51 is the low bits of the float 1.5 * 2^52 + n.
    exponent = from_bits(np.int64(n + _ROUND_BITS_64)) - _ROUND_64 - (54.0 if tiny else 0.0)
    s = f / (2.0 + f)
    square = 0.5 * f * f
    rest = s * (square + s * s * polynomial(_LOG_TERMS, s * s))
    y = fma(exponent, _LN2_HIGH_64, f - (square - fma(exponent, _LN2_LOW_64, rest)))
    y = y if x < np.inf else x + x  # infinity, NaN
    y = -np.inf if x == 0.0 else y
    return np.nan if x < 0.0 else y


@formula
def _log_32(x: Any) -> Any:
    return np.float32(_log_64(np.float64(x)))


log = by_dtype(_log_32, _log_64)


@formula
def _quotient(a: Any, b: Any, c: Any) -> Any:
    """a / (b + c) for b >= c, corrected for the rounding of the sum and of the reciprocal."""
    total = b + c
    lost = c - (total - b)
    inverse = constant(a, 1.0) / total
    error = fma(-inverse, total, constant(a, 1.0)) - inverse * lost
    return a * fma(inverse, error, inverse)


# (tanh(x) / x - 1) / x^2 in powers of x^2, fitted on |x| <= 0.625, where it is within 5e-9 of tanh.
_TANH_TERMS = tuple(np.float32(v) for v in (-0.33333281901720796, 0.1333144441483485, -0.0537400214029694,
                                            0.020640277986402937, -0.005706422617509348))  # fmt: skip


@formula
def _tanh_32(x: Any) -> Any:
    """x + x^3 (terms in x^2) for |x| <= 0.625; beyond, 1 - 2 / (exp(2 |x|) + 1) with the sign of x.

    It takes a third of the time of the formula for float64, which loses no digit where the two parts meet.
    """
    magnitude = abs(x)
    square = x * x
    near = fma(x * square, polynomial(_TANH_TERMS, square), x)
    limit = np.float32(20.0)  # tanh(20) rounds to 1
    fraction, n = _reduce_32((limit if magnitude > limit else magnitude) * np.float32(2.0), _TERMS_32, 0.0)
    power = _power_of_two_32(n)
    far = np.float32(1.0) - np.float32(2.0) / (fma(power, fraction, power) + np.float32(1.0))
    far = -far if x < np.float32(0.0) else far
    y = far if magnitude > np.float32(0.625) else near
    return x if x == np.float32(0.0) else y  # the sign of zero


@formula
def _tanh_64(x: Any) -> Any:
    """tanh|x| = e / (e + 2) with e = expm1(2 |x|), then the sign of x; exact to rounding near 0."""
    magnitude = abs(x)
    magnitude = 20.0 if magnitude > 20.0 else magnitude  # tanh(20) rounds to 1
    e = expm1(magnitude + magnitude)
    y = _quotient(e, 2.0 if e < 2.0 else e, e if e < 2.0 else 2.0)
    y = -y if x < 0.0 else y
    return x if x == 0.0 else y  # the sign of zero


tanh = by_dtype(_tanh_32, _tanh_64)


@formula
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), from exp(-|x|) so that nothing overflows and small results keep their relative accuracy."""
    one = constant(x, 1.0)
    negative = x < constant(x, 0.0)
    e = exp(x if negative else -x)
    return _quotient(e if negative else one, one, e)


# log(1 + u) as 2 (s + s^3 (terms in s^2)) with s = u / (2 + u) <= 1 / 3: 1/3, 1/5, ..., as far as the dtype can tell.
_LOG1P_TERMS = tuple(1 / n for n in range(3, 37, 2))
_LOG1P_TERMS_32 = tuple(np.float32(term) for term in _LOG1P_TERMS[:6])


@formula
def _log1p_terms_32(square: Any) -> Any:
    return polynomial(_LOG1P_TERMS_32, square)


@formula
def _log1p_terms_64(square: Any) -> Any:
    return polynomial(_LOG1P_TERMS, square)


_log1p_terms = by_dtype(_log1p_terms_32, _log1p_terms_64)


@formula
def softplus(x: Any) -> Any:
    """log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|)), exact to rounding where it is small."""
    zero, two = constant(x, 0.0), constant(x, 2.0)
    u = exp(-abs(x))
    s = u / (two + u)
    square = s * s
    rest = two * fma(s * square, _log1p_terms(square), s)
    return rest + (zero if x < zero else x)


# The normal distribution's tail beyond x >= 0 as exp(-x^2 / 2) p(y) / (1 + sqrt(pi / 2) x): p in y = (x - K) / (x + K),
# which is within [-1, 1] for all x; interpolated at Chebyshev's points. After M. Shepherd and J. Laframboise,
# Mathematics of Computation 36 (1981), 249-253.
_TAIL_SLOPE = 1.2533141373155003
_TAIL_TERMS_32 = tuple(np.float32(v) for v in (
    0.5783993964207171, -0.06869363696036118, -0.05180931398944499, 0.06831067312673103,
    -0.030040763715459905, 0.0007219714186138088, 0.004020835279844113, -0.00036890451768595344,
    -0.0006787623975766432, 2.688066995790677e-05, 0.00012395042908405966, 3.0169726924665776e-06,
    -1.5342592014148526e-05))  # fmt: skip
_TAIL_TERMS_64 = (
    0.5755730505955997, -0.07240215184466843, -0.04086330552132107, 0.06660161392750615,
    -0.03740275711482939, 0.007012093269653897, 0.0030087353631949917, -0.001413410113725239,
    -0.00038242321153162203, 0.00023281387881900217, 8.477838228605586e-05, -3.384578339999065e-05,
    -2.271343175408098e-05, 2.265737534894973e-06, 5.5369117353785706e-06, 1.0833684123261116e-06,
    -9.647067268257505e-07, -6.125119878740661e-07, 2.6020130203407798e-08, 1.792079548921825e-07,
    5.249208604880519e-08, -3.186092961767045e-08, -1.811196944922172e-08, 2.7248299995079624e-09,
    2.333100137231663e-09)  # fmt: skip


@formula
def _tail_32(x: Any) -> Any:
    """exp(-x^2 / 2) p(y) / (1 + sqrt(pi / 2) x) for x >= 0; 0 beyond 15."""
    x = np.float32(15.0) if x > np.float32(15.0) else x
    y = (x - np.float32(3.0)) / (x + np.float32(3.0))
    share = polynomial(_TAIL_TERMS_32, y) / fma(x, np.float32(_TAIL_SLOPE), np.float32(1.0))
    return share * _exp_of_half_square(x)


@formula
def _tail_64(x: Any) -> Any:
    """As _tail_32; 0 beyond 40."""
    x = np.float64(40.0) if x > 40.0 else x
    y = (x - 3.25) / (x + 3.25)
    share = polynomial(_TAIL_TERMS_64, y) / fma(x, _TAIL_SLOPE, 1.0)
    return share * _exp_of_half_square(x)


@formula
def _head_32(x: Any) -> Any:
    """The first 12 bits of x, whose square is exact."""
    return from_bits(np.int32(bits(x) & np.int32(-4096)))


@formula
def _head_64(x: Any) -> Any:
    """The first 26 bits of x, whose square is exact."""
    return from_bits(np.int64(bits(x) & np.int64(-134217728)))


_head = by_dtype(_head_32, _head_64)


@formula
def _exp_of_half_square(x: Any) -> Any:
    """exp(-x^2 / 2), corrected for the rounding of the square (after Dekker, 1971, which also works without FMA)."""
    half = constant(x, 0.5)
    head = _head(x)
    square = x * x
    lost = (head * head - square) + (x - head) * (x + head)
    e = exp(-half * square)
    return fma(-half * lost, e, e)


_tail = by_dtype(_tail_32, _tail_64)

# Near 0 the distribution is 1/2 + x (terms in x^2): (-1/2)^n / (n! (2 n + 1) sqrt(2 pi)), as far as the dtype can tell.
_NEAR = 0.7
_NEAR_TERMS = tuple((-0.5) ** n / (math.factorial(n) * (2 * n + 1) * math.sqrt(2 * math.pi)) for n in range(13))
_NEAR_TERMS_32 = tuple(np.float32(term) for term in _NEAR_TERMS[:8])


@formula
def _near_terms_32(square: Any) -> Any:
    return polynomial(_NEAR_TERMS_32, square)


@formula
def _near_terms_64(square: Any) -> Any:
    return polynomial(_NEAR_TERMS, square)


_near_terms = by_dtype(_near_terms_32, _near_terms_64)


@formula
def normal_distribution(x: Any) -> Any:
    """The probability that a standard normal number is below x, (1 + erf(x / sqrt(2))) / 2."""
    magnitude = abs(x)
    tail = _tail(magnitude)
    far = constant(x, 1.0) - tail if x > constant(x, 0.0) else tail
    near = fma(x, _near_terms(x * x), constant(x, 0.5))
    return near if magnitude < constant(x, _NEAR) else far


@formula
def normal_density(x: Any) -> Any:
    """exp(-x^2 / 2) / sqrt(2 pi)."""
    limit = constant(x, 40.0)
    magnitude = abs(x)
    return constant(x, 0.3989422804014327) * _exp_of_half_square(limit if magnitude > limit else magnitude)
