"""The parametric rectified linear unit: a trained slope for each unit."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant
from fastnn.operations.base import Shape, one_dimension
from fastnn.operations.columns import ColumnLayer, units_of_columns
from fastnn.operations.links import Elements


@formula
def prelu(x: Any, slope: Any, _b: Any, _c: Any) -> Any:
    """x where x > 0, else slope x."""
    return x if x > constant(x, 0.0) else slope * x


@formula
def _slopes(x: Any, slope: Any, _b: Any, _c: Any) -> Any:
    """The derivative by x is 1 where x > 0, else slope; by the slope, 0 where x > 0, else x."""
    zero, one = constant(x, 0.0), constant(x, 1.0)
    return (one if x > zero else slope), (zero if x > zero else x), zero, zero


@formula
def _move(value: Any, which: int, step: Any, x: Any, slope: Any, _b: Any, _c: Any) -> Any:
    """The change, which is linear in the slope."""
    return step * (0.0 if x > 0.0 else x)


@dataclass(frozen=True)
class PRelu(ColumnLayer):
    """y = x where x > 0, else slope x, with a slope for each unit, trained like a weight (He et al., 2015).

    Its parameters are `slope1` (outputs,), `slope2`, ... Regularization leaves them alone. It takes no images.

    Parameters
    ----------
    slope : float
        The initial value of all slopes.
    trainable : bool
    learning_rate_factor : float
        As for `Affine`.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.PRelu(), fastnn.Affine(3, 2)], rng=0)
    >>> net.params["slope1"]
    array([0.25, 0.25, 0.25], dtype=float32)
    """

    slope: float = 0.25

    is_homogeneous = True
    kinks = (0.0,)
    init_before = "he"
    units = units_of_columns(prelu, _slopes, _move)
    link = Elements(exact_slopes=True)

    def shape_of_output(self, shape: Shape) -> Shape:
        return one_dimension(self, shape, "take LeakyRelu() for images, or add Flatten() before it")
