"""The exponential loss, as in AdaBoost."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant, exp, exp_of_moderate_32, expm1
from fastnn.operations.losses.base import SIGNS, Loss, Targets, signs
from fastnn.operations.losses.elementwise import InFloat32, in_float64, units_of


@formula
def exponential(y: Any, t: Any, p: Any) -> Any:
    """exp(-t y), t = -1 or 1."""
    return exp(-t * y)


@formula
def _derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    return -t * loss


@formula
def _in_float32(y: Any, t: Any, p: Any) -> Any:
    """Value and slope."""
    value = exp_of_moderate_32(-t * y)
    return value, -t * value


@formula
def _suits(y: Any, t: Any, p: Any) -> Any:
    """Whether t y is exact, and exp(-t y) a normal number."""
    return (abs(t) == constant(y, 1.0)) & (abs(y) < constant(y, 80.0))


@formula
def _change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """exp(-t y) (exp(-t d) - 1)."""
    return exponential(y, t, p) * expm1(-t * d)


@dataclass(frozen=True)
class Exponential(Loss):
    """sum(exp(-t y)) for targets t (N, K) of -1 and 1, as in AdaBoost.

    Source: Friedman, Hastie and Tibshirani, Annals of Statistics 28 (2000), 337-407.

    Examples
    --------
    >>> loss, dy = fastnn.exponential(np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]]))
    >>> round(loss, 4)  # (exp(0) + exp(-2)) / 2
    0.5677
    >>> dy.round(4)
    array([[-0.5   ],
           [-0.0677]])

    >>> net = fastnn.Network([fastnn.Affine(3, 1)], loss="exponential")
    """

    name = "exponential"
    accepts = SIGNS
    border = 0.0
    units = units_of(exponential, _derivative, _change, in_float64, InFloat32(_in_float32, _suits))

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        return signs(name, t, rows, outputs, dtype, finite)
