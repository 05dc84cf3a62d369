"""The hyperbolic tangent."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels import vector_math
from fastnn.kernels.compile import formula
from fastnn.kernels.simd import fma
from fastnn.kernels.small_changes import small_tanh
from fastnn.kernels.vector_math import constant
from fastnn.operations.base import COMPUTES, MOVES, Activation, units_of
from fastnn.operations.links import Elements, logistic_distance


@formula
def tanh(x: Any, p: Any) -> Any:
    """tanh(x)."""
    return vector_math.tanh(x)


@formula
def _derivative(x: Any, y: Any, p: Any) -> Any:
    return constant(y, 1.0) - y * y


@formula
def _change(x: Any, y: Any, d: Any, p: Any) -> Any:
    """(1 - y^2) u / (1 + y u) with u = tanh(d), by the addition theorem."""
    u = small_tanh(d)
    return (1.0 - y) * (1.0 + y) * u / fma(y, u, 1.0)


@dataclass(frozen=True)
class Tanh(Activation):
    """y = tanh(x).

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("tanh", x).round(3)
    array([-0.762,  0.   ,  0.964])

    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Tanh(), fastnn.Affine(3, 2)])
    """

    activation = "tanh"
    work = (COMPUTES, MOVES)
    units = units_of(tanh, _derivative, _change)
    link = Elements(distance=logistic_distance(2.0))
