"""The exponential linear unit."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant, expm1
from fastnn.operations.base import COMPUTES, MOVES, Activation, units_of
from fastnn.operations.links import Elements


@formula
def elu(x: Any, alpha: Any) -> Any:
    """x where x > 0, else alpha (exp(x) - 1)."""
    return x if x > constant(x, 0.0) else alpha * expm1(x)


@formula
def _derivative(x: Any, y: Any, alpha: Any) -> Any:
    """1 where x > 0, else alpha exp(x) = y + alpha; alpha at 0.

    The sum is off by a rounding of alpha, which is negligible beside the other side's derivative of 1.
    """
    return constant(x, 1.0) if x > constant(x, 0.0) else y + alpha


def _distance(layer: "Elu", x: Any, moved: Any) -> Any:
    """The distances to -alpha."""
    return layer.alpha * np.exp(x), layer.alpha * np.exp(moved), x < -1.0


@dataclass(frozen=True)
class Elu(Activation):
    """y = x where x > 0, else alpha (exp(x) - 1) (Clevert, Unterthiner and Hochreiter, 2016).

    Parameters
    ----------
    alpha : float
        The limit at -inf is -alpha.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("elu", x).round(3)
    array([-0.632,  0.   ,  2.   ])

    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Elu(alpha=0.5), fastnn.Affine(3, 2)])
    """

    alpha: float = 1.0

    activation = "elu"
    work = (COMPUTES, MOVES)
    option = "alpha"
    kinks = (0.0,)
    init_before = "he"
    units = units_of(elu, _derivative)
    link = Elements(saturates=True, distance=_distance)
