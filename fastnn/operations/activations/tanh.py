"""The hyperbolic tangent."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels import vector_math
from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant
from fastnn.operations.base import Activation, units_of
from fastnn.operations.links import Elements, logistic_distance


@formula
def tanh(x: Any, p: Any) -> Any:
    """tanh(x)."""
    return vector_math.tanh(x)


@formula
def _derivative(x: Any, y: Any, p: Any) -> Any:
    return constant(y, 1.0) - y * y


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
    units = units_of(tanh, _derivative)
    link = Elements(distance=logistic_distance(2.0))
