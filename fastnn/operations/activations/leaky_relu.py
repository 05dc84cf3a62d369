"""The leaky rectified linear unit."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant
from fastnn.operations.base import MOVES, Activation, units_of
from fastnn.operations.links import Elements


@formula
def leaky_relu(x: Any, slope: Any) -> Any:
    """x where x > 0, else slope x."""
    return x if x > constant(x, 0.0) else slope * x


@formula
def _derivative(x: Any, y: Any, slope: Any) -> Any:
    """1 where x > 0, else slope; slope at the kink."""
    return constant(x, 1.0) if x > constant(x, 0.0) else slope


@formula
def _change(x: Any, y: Any, d: Any, slope: Any) -> Any:
    """d or slope d where x and x + d are on one side of 0, so that no two values are subtracted."""
    moved = x + d
    if (x > 0.0) == (moved > 0.0):
        return d if x > 0.0 else slope * d
    return leaky_relu(moved, slope) - y


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """y = x where x > 0, else slope x (Maas, Hannun and Ng, 2013).

    Parameters
    ----------
    slope : float
        The derivative below 0.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("leaky_relu", x, slope=0.1)
    array([-0.1,  0. ,  2. ])

    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.LeakyRelu(slope=0.1), fastnn.Affine(3, 2)])
    """

    slope: float = 0.01

    activation = "leaky_relu"
    work = (MOVES, MOVES)
    option = "slope"
    is_homogeneous = True
    kinks = (0.0,)
    init_before = "he"
    units = units_of(leaky_relu, _derivative, _change)
    link = Elements(exact_slopes=True)
