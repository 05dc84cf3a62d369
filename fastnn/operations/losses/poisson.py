"""The Poisson deviance of a rate, from its logarithm."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant, exp, exp_less_32, expm1, less_log_32, log
from fastnn.operations.losses.base import Loss
from fastnn.operations.losses.elementwise import InFloat32, in_float64, units_of


@formula
def poisson(y: Any, t: Any, p: Any) -> Any:
    """exp(y) - t y + t log t - t, as t (exp(u) - 1 - u) with u = y - log t, which loses no digits near its minimum."""
    zero = constant(y, 0.0)
    if t > zero:
        u = y - log(t)
        return t * (expm1(u) - u)
    return exp(y) - (t * y if t != zero else zero)


@formula
def _derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    """exp(y) - t."""
    return exp(y) - t


@formula
def _in_float32(y: Any, t: Any, p: Any) -> Any:
    """Value and slope, both from exp(u) - 1 for t > 0."""
    zero, is_rate = constant(y, 0.0), t > constant(y, 0.0)
    power, excess = exp_less_32(less_log_32(y, t) if is_rate else y, constant(y, 1.0) if is_rate else zero)
    return t * excess if is_rate else power - t * y, t * power if is_rate else power - t


@formula
def _suits(y: Any, t: Any, p: Any) -> Any:
    """Whether exp(y - log t) is neither large nor small."""
    size = abs(t)
    is_moderate = (size > constant(y, 1e-18)) & (size < constant(y, 1e18)) | (t == constant(y, 0.0))
    return is_moderate & (abs(y) < constant(y, 40.0))


@formula
def _change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """exp(y) (exp(d) - 1) - t d."""
    return exp(y) * expm1(d) - (t * d if t != 0.0 else 0.0)


@dataclass(frozen=True)
class Poisson(Loss):
    """sum(exp(y) - t y + t log t - t), half the Poisson deviance of the rate exp(y); targets (N, K), counts or rates.

    The gradient is exp(y) - t. A target of at most 0 adds exp(y) - t y; below 0 that has no minimum. Source:
    McCullagh and Nelder, Generalized Linear Models (1989), section 6.2.

    Examples
    --------
    >>> x, t = np.log([[1.0], [4.0]]), np.array([[1.0], [2.0]])  # rates 1 and 4, counts 1 and 2
    >>> loss, dy = fastnn.poisson(x, t, reduction="none")
    >>> loss.round(4), dy.round(4).ravel()  # 0, and 4 - 2 log 4 + 2 log 2 - 2; the rates less the counts
    (array([0.    , 0.6137]), array([0., 2.]))

    >>> net = fastnn.Network([fastnn.Affine(3, 1)], loss="poisson")
    """

    name = "poisson"
    predicts_logarithms = True
    units = units_of(poisson, _derivative, _change, in_float64, InFloat32(_in_float32, _suits))
