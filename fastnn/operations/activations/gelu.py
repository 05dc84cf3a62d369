"""The Gaussian error linear unit."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.compile import formula
from fastnn.kernels.normal import magnitude, normal_density, normal_distribution, share_of_normal_tail
from fastnn.kernels.vector_math import constant, within
from fastnn.operations.base import Activation, units_of
from fastnn.operations.links import Elements


@formula
def gelu(x: Any, p: Any) -> Any:
    """x times the normal distribution at x (Hendrycks and Gimpel, 2016), as max(0, x) less |x| times its tail."""
    zero = constant(x, 0.0)
    return (zero if x < zero else x) - share_of_normal_tail(magnitude(x))


@formula
def _derivative(x: Any, y: Any, p: Any) -> Any:
    return normal_distribution(x) + within(x, 50.0) * normal_density(x)


@dataclass(frozen=True)
class Gelu(Activation):
    """y = x Phi(x) with the standard normal distribution Phi, (1 + erf(x / sqrt(2))) / 2.

    Source: Hendrycks and Gimpel, Gaussian error linear units (2016).

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("gelu", x).round(3)
    array([-0.159,  0.   ,  1.954])

    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Gelu(), fastnn.Affine(3, 2)])
    """

    activation = "gelu"
    init_before = "he"
    units = units_of(gelu, _derivative)
    link = Elements(sums=True)
