"""The identity."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant
from fastnn.operations.base import MOVES, Activation, units_of
from fastnn.operations.links import Elements


@formula
def identity(x: Any, p: Any) -> Any:
    """x."""
    return x


@formula
def _derivative(x: Any, y: Any, p: Any) -> Any:
    return constant(x, 1.0)


@dataclass(frozen=True)
class Identity(Activation):
    """y = x.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("identity", x)
    array([-1.,  0.,  2.])

    >>> net = fastnn.Network([fastnn.Identity()], input_shape=4)  # a network without parameters
    >>> len(net.params)
    0
    """

    activation = "identity"
    work = (MOVES, MOVES)
    is_homogeneous = True
    units = units_of(identity, _derivative)
    link = Elements(exact_slopes=True)
