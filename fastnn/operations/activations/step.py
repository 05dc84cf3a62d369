"""The step function."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant
from fastnn.operations.base import MOVES, Activation, units_of
from fastnn.operations.links import Elements


@formula
def step(x: Any, p: Any) -> Any:
    """1 where x > 0, else 0: the M-P neuron's threshold (McCulloch and Pitts, 1943)."""
    return constant(x, 1.0) if x > constant(x, 0.0) else constant(x, 0.0)


@formula
def _derivative(x: Any, y: Any, p: Any) -> Any:
    return constant(x, 0.0)


@dataclass(frozen=True)
class Step(Activation):
    """y = 1 where x > 0, else 0, also for NaN. Its derivative is 0, so layers before it learn nothing by gradients.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("step", x)
    array([0., 0., 1.])

    >>> net = fastnn.Network([fastnn.Affine(2, 1), fastnn.Step()], loss="mean_squared_error")
    >>> net.params["W1"][...], net.params["b1"][...] = 1.0, -1.5  # AND
    >>> net.predict(np.array([[0, 1], [1, 1]], np.float32))
    array([[0.],
           [1.]], dtype=float32)
    """

    activation = "step"
    work = (MOVES, MOVES)
    kinks = (0.0,)
    units = units_of(step, _derivative)
    link = Elements(exact_slopes=True)
