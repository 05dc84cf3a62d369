"""The sigmoid linear unit, also called swish."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant, sigmoid, times_sigmoid, within
from fastnn.operations.base import Activation, units_of
from fastnn.operations.links import Elements


@formula
def silu(x: Any, p: Any) -> Any:
    """x sigmoid(x); 0 at -infinity (Elfwing, Uchibe and Doya, 2018)."""
    return times_sigmoid(x)


@formula
def _derivative(x: Any, y: Any, p: Any) -> Any:
    """s (1 + x (1 - s)) with s = sigmoid(x)."""
    s, one = sigmoid(x), constant(x, 1.0)
    return s * (one + within(x, 1000.0) * (one - s))


@dataclass(frozen=True)
class Silu(Activation):
    """y = x / (1 + exp(-x)), also called swish (Elfwing, Uchibe and Doya, 2018).

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("silu", x).round(3)
    array([-0.269,  0.   ,  1.762])

    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Silu(), fastnn.Affine(3, 2)])
    """

    activation = "silu"
    init_before = "he"
    units = units_of(silu, _derivative)
    link = Elements(sums=True)
