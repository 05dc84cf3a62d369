"""Softplus, a smooth ReLU."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels import softplus as kernels
from fastnn.kernels import vector_math
from fastnn.kernels.compile import formula
from fastnn.operations.base import Activation, units_of


@formula
def softplus(x: Any, p: Any) -> Any:
    """log(1 + exp(x))."""
    return kernels.softplus(x)


@formula
def _derivative(x: Any, y: Any, p: Any) -> Any:
    return vector_math.sigmoid(x)


@dataclass(frozen=True)
class Softplus(Activation):
    """y = log(1 + exp(x)) (Dugas et al., 2001).

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("softplus", x).round(3)
    array([0.313, 0.693, 2.127])

    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Softplus(), fastnn.Affine(3, 2)])
    """

    activation = "softplus"
    init_before = "he"
    units = units_of(softplus, _derivative)
