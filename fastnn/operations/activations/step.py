"""The step function."""

from dataclasses import dataclass
from typing import Any

from fastnn.gate import checks
from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant
from fastnn.operations.base import MOVES, Activation, units_of
from fastnn.operations.links import Elements


@formula
def step(x: Any, at_zero: Any) -> Any:
    """1 where x > 0, at_zero where x = 0, else 0: the M-P neuron's threshold (McCulloch and Pitts, 1943)."""
    zero = constant(x, 0.0)
    return constant(x, 1.0) if x > zero else at_zero if x == zero else zero


@formula
def _derivative(x: Any, y: Any, at_zero: Any) -> Any:
    return constant(x, 0.0)


@dataclass(frozen=True)
class Step(Activation):
    """y = 1 where x > 0, at_zero where x = 0, else 0, also for NaN.

    Its derivative is 0, so layers before it learn nothing by gradients.

    Parameters
    ----------
    at_zero : float
        The value at 0: 0, or 1 as in texts that write y = 1 where x >= 0.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.activation_forward("step", x, at_zero=1)
    array([0., 1., 1.])

    >>> net = fastnn.Network([fastnn.Affine(2, 1), fastnn.Step()], loss="mean_squared_error")
    >>> net.params["W1"][...], net.params["b1"][...] = 1.0, -1.5  # AND
    >>> net.predict(np.array([[0, 1], [1, 1]], np.float32))
    array([[0.],
           [1.]], dtype=float32)
    """

    at_zero: float = 0.0

    activation = "step"
    work = (MOVES, MOVES)
    option = "at_zero"
    kinks = (0.0,)
    units = units_of(step, _derivative)
    link = Elements(exact_slopes=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at_zero not in (0.0, 1.0):
            came = checks.shown(self.at_zero)
            raise ValueError(f"at_zero: expected 0 or 1, got {came}; pass 1 for a step that is 1 where x >= 0")
