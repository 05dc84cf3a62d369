"""The logistic sigmoid."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels import vector_math
from fastnn.kernels.compile import formula
from fastnn.kernels.simd import fma
from fastnn.kernels.small_changes import small_expm1
from fastnn.kernels.vector_math import constant
from fastnn.operations.base import COMPUTES, MOVES, Activation, units_of
from fastnn.operations.links import Elements, logistic_distance


@formula
def sigmoid(x: Any, p: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return vector_math.sigmoid(x)


@formula
def _derivative(x: Any, y: Any, p: Any) -> Any:
    return y * (constant(y, 1.0) - y)


@formula
def _change(x: Any, y: Any, d: Any, p: Any) -> Any:
    """y (1 - y) e / (1 + y e) with e = exp(d) - 1."""
    e = small_expm1(d)
    return y * (1.0 - y) * e / fma(y, e, 1.0)


@dataclass(frozen=True)
class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x)).

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("sigmoid", x).round(3)
    array([0.269, 0.5  , 0.881])

    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Sigmoid(), fastnn.Affine(3, 2)])
    """

    activation = "sigmoid"
    work = (COMPUTES, MOVES)
    units = units_of(sigmoid, _derivative, _change)
    link = Elements(saturates=True, most=1.0, distance=logistic_distance(1.0))
