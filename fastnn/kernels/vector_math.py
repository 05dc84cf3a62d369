"""exp, log, tanh and their like, written to fill whole registers when LLVM vectorizes.

libm's functions are scalar calls inside Numba (about 5 ns an element; no SVML since numba 0.62). These are
branch-free: range reduction after Cody and Waite, a polynomial of fused multiply-adds, a scale built from the
exponent's bits. Rounding to an integer adds 1.5 * 2^23 (2^52), whose low mantissa bits then hold the integer; without a
conversion NaN passes through.

Reference: J.-M. Muller, Elementary Functions, 3rd edition, chapter 11 (range reduction).
"""

from typing import Any

import numpy as np

from fastnn.kernels.compile import by_dtype, formula
from fastnn.kernels.simd import bits, fma, from_bits, lowered, multiply_add_of

_LOG2_E_32, _LOG2_E_64 = np.float32(1.4426950408889634), 1.4426950408889634
# ln 2 as a sum: the first part has trailing zero bits, so its product with the integer n is exact.
_LN2_HIGH_32, _LN2_LOW_32 = np.float32(0.693145751953125), np.float32(1.42860682030941723212e-6)
_LN2_HIGH_64, _LN2_LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# Added to n, an integer, these leave n + 126 (n + 1022) in the lowest bits: the exponent of 2^(n - 1).
_ROUND_32, _ROUND_64 = np.float32(12582912.0 + 126.0), np.float64(6755399441055744.0 + 1022.0)
# Beyond these exp is 0, also 1,000 times as large, or infinity in the dtype, and 2^(n - 1) is not.
_LOWEST_32, _HIGHEST_32 = np.float32(-125.0), np.float32(89.0)
_LOWEST_64, _HIGHEST_64 = np.float64(-770.0), np.float64(710.0)
# Below these exp is computed 2^64 (2^200) times as large, as 2^(n - 1) would be subnormal.
_SCALED_BELOW_32, _SCALE_32, _ROUND_SCALED_32 = np.float32(-85.0), np.float32(2.0**-64), np.float32(_ROUND_32 + 64.0)
_SCALED_BELOW_64, _SCALE_64, _ROUND_SCALED_64 = np.float64(-700.0), 2.0**-200, np.float64(_ROUND_64 + 200.0)
# These leave the exponent of 2^(n - 64) (2^(n - 200)).
_ROUND_DOWN_32, _ROUND_DOWN_64 = np.float32(_ROUND_32 - 63.0), np.float64(_ROUND_64 - 199.0)
# (exp(r) - 1 - r) / r^2, fitted on |r| <= ln(2) / 2, relative to exp: within 3e-9 (float32) and 4e-18.
_TERMS_32 = tuple(np.float32(v) for v in (0.49999993442267254, 0.16666520579042807, 0.04166838916814847,
                                          0.008368721775791833, 0.001381454436425407))  # fmt: skip
_TERMS_64 = (0.5000000000000011, 0.16666666666666413, 0.041666666666529996, 0.008333333333494349,
             0.0013888888943668835, 0.00019841269506958107, 2.480149306188884e-05, 2.7557585957603736e-06,
             2.7630260660062427e-07, 2.5000210365480012e-08)  # fmt: skip
# expm1 reduces nothing below this, where 2^n (exp(r) - 1) + (2^n - 1) would lose a digit: more terms, within 7e-9 and
# 2e-18 of expm1.
_UNREDUCED = 0.55
_MORE_TERMS_32 = tuple(np.float32(v) for v in (0.500000068064655, 0.1666666203276035, 0.04166475296921178,
                                               0.00833368245705673, 0.0014018723581634405,
                                               0.0001985394940194758))  # fmt: skip
_MORE_TERMS_64 = (0.5, 0.1666666666666667, 0.041666666666669065, 0.008333333333331276, 0.001388888888823452,
                  0.00019841269844159554, 2.480158805703264e-05, 2.7557317541158867e-06, 2.755689798904038e-07,
                  2.505248186237221e-08, 2.0989057889845136e-09, 1.6060929278630368e-10)  # fmt: skip


def _horner(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Build `polynomial` without a loop, beside which LLVM would not vectorize the loop over an array.

    (softplus of 100,000 float64: 0.5 ms instead of 2.2. Estrin's scheme, whose operations wait less for each other, was
    no faster, and lost a digit.)
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
def _reduced_32(x: Any, low: Any, rounding: Any, is_small: Any) -> Any:
    """(r, lost, 2^(n - 1)) with x + low = r + lost + n ln 2, |r| <= ln(2) / 2 and a rounding of r that is lost.

    low: small, -0 for none. A larger number for `rounding` makes the power so much larger. is_small: let n be 0.
    """
    shifted = rounding if is_small else fma(x, _LOG2_E_32, rounding)
    n = shifted - rounding
    rest = fma(n, -_LN2_HIGH_32, x) + low
    r = fma(n, -_LN2_LOW_32, rest)
    return r, fma(n, -_LN2_LOW_32, rest - r), from_bits(np.int32(bits(shifted) << np.int32(23)))


@formula
def _reduced_64(x: Any, low: Any, rounding: Any, is_small: Any) -> Any:
    """As _reduced_32."""
    shifted = rounding if is_small else fma(x, _LOG2_E_64, rounding)
    n = shifted - rounding
    rest = fma(n, -_LN2_HIGH_64, x) + low
    r = fma(n, -_LN2_LOW_64, rest)
    return r, fma(n, -_LN2_LOW_64, rest - r), from_bits(np.int64(bits(shifted) << np.int64(52)))


@formula
def _clamp(x: Any, lowest: Any, highest: Any) -> Any:
    """x within [lowest, highest]; the order of the comparisons keeps NaN."""
    x = lowest if x < lowest else x
    return highest if x > highest else x


@formula
def _exp_32(x: Any) -> Any:
    """(2 + 2 (exp(r) - 1)) 2^(n - 1), as 2^n alone may be beyond the largest float."""
    x, two = _clamp(x, _LOWEST_32, _HIGHEST_32), np.float32(2)
    is_scaled = x < _SCALED_BELOW_32
    r, _, half = _reduced_32(x, np.float32(-0.0), _ROUND_SCALED_32 if is_scaled else _ROUND_32, False)
    return fma(two, fma(r * r, polynomial(_TERMS_32, r), r), two) * half * (_SCALE_32 if is_scaled else np.float32(1))


@formula
def _exp_64(x: Any) -> Any:
    """As _exp_32."""
    x = _clamp(x, _LOWEST_64, _HIGHEST_64)
    is_scaled = x < _SCALED_BELOW_64
    r, _, half = _reduced_64(x, -0.0, _ROUND_SCALED_64 if is_scaled else _ROUND_64, False)
    return fma(2.0, fma(r * r, polynomial(_TERMS_64, r), r), 2.0) * half * (_SCALE_64 if is_scaled else 1.0)


@formula
def _parts_of_exp_32(x: Any, low: Any) -> Any:
    """(r, rest, half, scale): exp(x + low) = 2 (1 + (r + rest)) half scale, for x up to 88."""
    x = _LOWEST_32 if x < _LOWEST_32 else x
    is_scaled = x < _SCALED_BELOW_32
    r, lost, half = _reduced_32(x, low, _ROUND_SCALED_32 if is_scaled else _ROUND_32, False)
    return r, fma(r * r, polynomial(_TERMS_32, r), lost), half, _SCALE_32 if is_scaled else np.float32(1)


@formula
def _parts_of_exp_64(x: Any, low: Any) -> Any:
    """As _parts_of_exp_32."""
    x = _LOWEST_64 if x < _LOWEST_64 else x
    is_scaled = x < _SCALED_BELOW_64
    r, lost, half = _reduced_64(x, low, _ROUND_SCALED_64 if is_scaled else _ROUND_64, False)
    return r, fma(r * r, polynomial(_TERMS_64, r), lost), half, _SCALE_64 if is_scaled else 1.0


_parts_of_exp = by_dtype(_parts_of_exp_32, _parts_of_exp_64)


@formula
def times_exp(factor: Any, x: Any, low: Any) -> Any:
    """factor exp(x + low) for x up to 88 and a small `low`: it loses a digit less than a product."""
    r, rest, half, scale = _parts_of_exp(x, low)
    twice = factor + factor
    return fma(twice, r + rest, twice) * half * scale


_MINUS_HALF_LOG2_E_32 = np.float32(-0.5) * _LOG2_E_32
_TWO_LN2_HIGH_32, _TWO_LN2_LOW_32 = np.float32(2) * _LN2_HIGH_32, np.float32(2) * _LN2_LOW_32
# (exp(-r / 2) - 1) / r, and what leaves n + 191, the exponent of 2^(n + 64).
_TERMS_OF_HALF_32 = np.float32(-0.5), *(np.float32(v * (-0.5) ** i) for i, v in enumerate(_TERMS_32, 2))
_ROUND_HALF_32 = np.float32(_ROUND_32 + 65.0)


@formula
def times_exp_of_half_32(factor: Any, x: Any, low: Any) -> Any:
    """factor exp(-(x + low) / 2) for a float32 x from 0 to 211 and a small `low`; r is reduced by 2 ln 2.

    It is computed 2^64 times as large, as the exponential alone may be subnormal.
    """
    shifted = fma(x, _MINUS_HALF_LOG2_E_32, _ROUND_HALF_32)
    n = shifted - _ROUND_HALF_32
    r = fma(n, _TWO_LN2_HIGH_32, x) + fma(n, _TWO_LN2_LOW_32, low)
    large = fma(factor, r * polynomial(_TERMS_OF_HALF_32, r), factor)
    return large * from_bits(np.int32(bits(shifted) << np.int32(23))) * _SCALE_32


@formula
def _expm1_32(x: Any) -> Any:
    """2 (2^(n - 1) (exp(r) - 1) + (2^(n - 1) - 1 / 2))."""
    x = _clamp(x, np.float32(-18.0), _HIGHEST_32)
    r, _, half = _reduced_32(x, np.float32(-0.0), _ROUND_32, abs(x) < np.float32(_UNREDUCED))
    y = fma(half, fma(r * r, polynomial(_MORE_TERMS_32, r), r), half - np.float32(0.5)) * np.float32(2)
    return x if abs(x) < np.float32(1e-30) else y  # the sign of zero, and all digits of subnormals


@formula
def _expm1_64(x: Any) -> Any:
    """As _expm1_32."""
    x = _clamp(x, np.float64(-38.0), _HIGHEST_64)
    r, _, half = _reduced_64(x, -0.0, _ROUND_64, abs(x) < _UNREDUCED)
    y = fma(half, fma(r * r, polynomial(_MORE_TERMS_64, r), r), half - 0.5) * 2.0
    return x if abs(x) < 1e-300 else y  # the sign of zero, and all digits of subnormals


@formula
def exp_less_32(u: Any, one: Any) -> Any:
    """(exp(u) - one, exp(u) - 1 - u) of a float32 u from -84 to 84; one: 0 or 1."""
    is_small = abs(u) < np.float32(_UNREDUCED)
    r, _, half = _reduced_32(u, np.float32(-0.0), _ROUND_32, is_small)
    rest = r * r * polynomial(_MORE_TERMS_32, r)
    power = fma(half, r + rest, fma(np.float32(-0.5), one, half)) * np.float32(2)
    return power, rest if is_small else power - u


@formula
def exp_of_moderate_32(x: Any) -> Any:
    """exp(x) of a float32 x from -84 to 84."""
    two = np.float32(2)
    r, _, half = _reduced_32(x, np.float32(-0.0), _ROUND_32, False)
    return fma(two, fma(r * r, polynomial(_TERMS_32, r), r), two) * half


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
_INTEGER, _INTEGER_BITS = np.float64(6755399441055744.0), np.int64(0x4338000000000000)  # 1.5 * 2^52


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
    exponent = from_bits(np.int64(n + _INTEGER_BITS)) - _INTEGER - (54.0 if tiny else 0.0)
    s = f / (2.0 + f)
    square = 0.5 * f * f
    rest = s * (square + s * s * polynomial(_LOG_TERMS, s * s))
    y = fma(exponent, _LN2_HIGH_64, f - (square - fma(exponent, _LN2_LOW_64, rest)))
    y = y if x < np.inf else x + x  # infinity, NaN
    y = -np.inf if x == 0.0 else y
    return np.nan if x < 0.0 else y


# (log(1 + f) - f) / f^2, fitted on [sqrt(1/2) - 1, sqrt(2) - 1] relative to log(1 + f): within 5e-9.
_LOG_TERMS_32 = tuple(np.float32(v) for v in (
    -0.4999998830463132, 0.3333332556794453, -0.25001585401152987, 0.20001980577169995, -0.1660904222691174,
    0.14181709351287328, -0.13243164399250368, 0.12905082882781294, -0.07622107804836631))  # fmt: skip


@formula
def _parts_of_log_32(x: Any) -> Any:
    """(n, f, rest): log x = n ln 2 + f + rest of a positive normal x = 2^n (1 + f), 1 + f in [sqrt(1/2), sqrt(2))."""
    pattern = np.int32(bits(x) + np.int32(0x3F800000 - 0x3F3504F3))
    f = from_bits(np.int32(np.int32(pattern & np.int32(0x007FFFFF)) + np.int32(0x3F3504F3))) - np.float32(1)
    n = np.float32(np.int32(np.int32(pattern >> np.int32(23)) - np.int32(127)))
    return n, f, f * f * polynomial(_LOG_TERMS_32, f)


@formula
def log_of_normal_32(x: Any) -> Any:
    """log x of a positive normal float32."""
    n, f, rest = _parts_of_log_32(x)
    return fma(n, _LN2_HIGH_32, f + fma(n, _LN2_LOW_32, rest))


@formula
def less_log_32(y: Any, x: Any) -> Any:
    """y - log x of a positive normal float32: where both are near each other, it loses fewer digits than the log."""
    n, f, rest = _parts_of_log_32(x)
    return (fma(n, -_LN2_HIGH_32, y) - f) - fma(n, _LN2_LOW_32, rest)


@formula
def _log_32(x: Any) -> Any:
    """As _log_64, in float32."""
    tiny = x < np.float32(1.1754943508222875e-38)
    n, f, rest = _parts_of_log_32(x * np.float32(33554432.0) if tiny else x)  # 2^25
    n = n - np.float32(25) if tiny else n
    y = fma(n, _LN2_HIGH_32, f + fma(n, _LN2_LOW_32, rest))
    y = y if x < np.float32(np.inf) else x + x  # infinity, NaN
    y = np.float32(-np.inf) if x == np.float32(0) else y
    return np.float32(np.nan) if x < np.float32(0) else y


log = by_dtype(_log_32, _log_64)


@formula
def _signed_32(y: Any, x: Any) -> Any:
    """y >= 0 with the sign of x."""
    return from_bits(np.int32(bits(y) | np.int32(bits(x) & np.int32(-2147483648))))


@formula
def _signed_64(y: Any, x: Any) -> Any:
    """As _signed_32."""
    return from_bits(np.int64(bits(y) | np.int64(bits(x) & np.int64(-9223372036854775808))))


@formula
def _tanh_32(x: Any) -> Any:
    """tanh|x| = h / (1 + h) with h = (exp(2 |x|) - 1) / 2, for small h as h - h (h / (1 + h)), then the sign of x."""
    magnitude, limit = abs(x), np.float32(20.0)  # tanh(20) rounds to 1
    magnitude = limit if magnitude > limit else magnitude
    twice = magnitude + magnitude
    is_near = twice < np.float32(_UNREDUCED)
    r, _, half = _reduced_32(twice, np.float32(-0.0), _ROUND_32, is_near)
    h = fma(half, fma(r * r, polynomial(_MORE_TERMS_32, r), r), half - np.float32(0.5))
    y = h / (np.float32(1) + h)
    return _signed_32(fma(-h, y, h) if is_near else y, x)


@formula
def _tanh_64(x: Any) -> Any:
    """As _tanh_32."""
    magnitude = abs(x)
    magnitude = 20.0 if magnitude > 20.0 else magnitude
    twice = magnitude + magnitude
    is_near = twice < _UNREDUCED
    r, _, half = _reduced_64(twice, -0.0, _ROUND_64, is_near)
    h = fma(half, fma(r * r, polynomial(_MORE_TERMS_64, r), r), half - 0.5)
    y = h / (1.0 + h)
    return _signed_64(fma(-h, y, h) if is_near else y, x)


tanh = by_dtype(_tanh_32, _tanh_64)


# (exp(-r) - 1 + r) / r^2.
_TERMS_OF_MINUS_32 = tuple(np.float32(v * (-1.0) ** i) for i, v in enumerate(_TERMS_32))
_TERMS_OF_MINUS_64 = tuple(v * (-1.0) ** i for i, v in enumerate(_TERMS_64))
_LOGISTIC_LIMIT_32, _LOGISTIC_LIMIT_64 = np.float32(40.0), np.float64(100.0)


@formula
def _logistic_sum_32(x: Any) -> Any:
    """2^-64 (1 + exp(-x)) of x within [-125, 40], by exp(-r): nothing is then beyond the dtype."""
    shifted = fma(x, -_LOG2_E_32, _ROUND_DOWN_32)
    n = shifted - _ROUND_DOWN_32
    r = fma(n, _LN2_LOW_32, fma(n, _LN2_HIGH_32, x))
    power = from_bits(np.int32(bits(shifted) << np.int32(23)))
    return power + fma(power, fma(r * r, polynomial(_TERMS_OF_MINUS_32, r), -r), _SCALE_32)


@formula
def _sigmoid_32(x: Any) -> Any:
    """1 / (1 + exp(-x)); 1 from the limit on."""
    return _SCALE_32 / _logistic_sum_32(_clamp(x, _LOWEST_32, _LOGISTIC_LIMIT_32))


@formula
def _times_sigmoid_32(x: Any) -> Any:
    """x / (1 + exp(-x)); x from the limit on."""
    near = _clamp(x, _LOWEST_32, _LOGISTIC_LIMIT_32)
    return x if x > _LOGISTIC_LIMIT_32 else near / _logistic_sum_32(near) * _SCALE_32


@formula
def _logistic_sum_64(x: Any) -> Any:
    """2^-200 (1 + exp(-x)) of x within [-770, 100]."""
    shifted = fma(x, -_LOG2_E_64, _ROUND_DOWN_64)
    n = shifted - _ROUND_DOWN_64
    r = fma(n, _LN2_LOW_64, fma(n, _LN2_HIGH_64, x))
    power = from_bits(np.int64(bits(shifted) << np.int64(52)))
    return power + fma(power, fma(r * r, polynomial(_TERMS_OF_MINUS_64, r), -r), _SCALE_64)


@formula
def _sigmoid_64(x: Any) -> Any:
    """As _sigmoid_32."""
    return _SCALE_64 / _logistic_sum_64(_clamp(x, _LOWEST_64, _LOGISTIC_LIMIT_64))


@formula
def _times_sigmoid_64(x: Any) -> Any:
    """As _times_sigmoid_32."""
    near = _clamp(x, _LOWEST_64, _LOGISTIC_LIMIT_64)
    return x if x > _LOGISTIC_LIMIT_64 else near / _logistic_sum_64(near) * _SCALE_64


sigmoid = by_dtype(_sigmoid_32, _sigmoid_64)  # 1 / (1 + exp(-x))
times_sigmoid = by_dtype(_times_sigmoid_32, _times_sigmoid_64)  # x / (1 + exp(-x))
