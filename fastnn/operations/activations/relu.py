"""The rectified linear unit."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant
from fastnn.operations.base import MOVES, Activation, units_of
from fastnn.operations.links import Elements


@formula
def relu(x: Any, p: Any) -> Any:
    """max(0, x), written so that NaN, which is not below 0, passes."""
    return constant(x, 0.0) if x < constant(x, 0.0) else x


@formula
def _derivative(x: Any, y: Any, p: Any) -> Any:
    """1 where x > 0, else 0; 0 at the kink."""
    return constant(x, 1.0) if x > constant(x, 0.0) else constant(x, 0.0)


@formula
def _change(x: Any, y: Any, d: Any, p: Any) -> Any:
    """d where x and x + d are above 0, 0 where both are not, and what is left of d where a kink is between them."""
    if x > 0.0:
        return -x if d < -x else d
    return relu(x + d, p)


@dataclass(frozen=True)
class Relu(Activation):
    """y = max(0, x) (Nair and Hinton, 2010).

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("relu", x)
    array([0., 0., 2.])

    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Relu(), fastnn.Affine(3, 2)])
    """

    activation = "relu"
    work = (MOVES, MOVES)
    is_homogeneous = True
    kinks = (0.0,)
    init_before = "he"
    units = units_of(relu, _derivative, _change)
    link = Elements(exact_slopes=True)
