"""log(1 + exp(x)), written to fill whole registers as in vector_math."""

from typing import Any

import numpy as np

from fastnn.kernels.compile import by_dtype, formula
from fastnn.kernels.simd import fma
from fastnn.kernels.vector_math import constant, exp, polynomial

# (log(1 + u) - u) / u^2 on [0, 1], fitted relative to log(1 + u): within 5e-9 (float32) and 1e-17.
_LOG1P_TERMS_32 = tuple(np.float32(v) for v in (
    -0.4999993263298399, 0.3333050736607857, -0.2495854539524418, 0.19695181658345728, -0.1535476086832785,
    0.10679475399438959, -0.05765375995578373, 0.02019888981163698, -0.0033172081113659628))  # fmt: skip
_LOG1P_TERMS_64 = (
    -0.4999999999999946, 0.33333333333235265, -0.24999999993678443, 0.19999999791151635, -0.1666666249282002,
    0.14285658810817967, -0.12499478801046625, 0.11107500757794404, -0.09980990402773827, 0.09013067699619941,
    -0.08080981502646273, 0.07035067320430644, -0.05749442163627847, 0.04229072598109101, -0.02673507067413669,
    0.013832262601676927, -0.005539838016867337, 0.0015945818039079802, -0.00029150935230498316,
    2.5304652004822583e-05)  # fmt: skip


@formula
def _log1p_terms_32(u: Any) -> Any:
    return polynomial(_LOG1P_TERMS_32, u)


@formula
def _log1p_terms_64(u: Any) -> Any:
    return polynomial(_LOG1P_TERMS_64, u)


_log1p_terms = by_dtype(_log1p_terms_32, _log1p_terms_64)


@formula
def softplus(x: Any) -> Any:
    """log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|)), exact to rounding where it is small."""
    zero = constant(x, 0.0)
    u = exp(-abs(x))
    return fma(u * u, _log1p_terms(u), u) + (zero if x < zero else x)
