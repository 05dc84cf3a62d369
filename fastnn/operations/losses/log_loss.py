"""The cross entropy of two classes, from probabilities."""

from dataclasses import dataclass
from typing import Any

from fastnn.gate import arrays
from fastnn.kernels.compile import formula
from fastnn.operations.losses.base import SHARES, Loss, Targets, shares
from fastnn.operations.losses.cross_entropy import cross_entropy, cross_entropy_change, cross_entropy_derivative
from fastnn.operations.losses.elementwise import in_float64, units_of


@formula
def log_loss(y: Any, t: Any, p: Any) -> Any:
    """-t log(y + p) - (1 - t) log(1 - y + p) of a probability."""
    return cross_entropy(y, t, p) + cross_entropy(1.0 - y, 1.0 - t, p)


@formula
def _derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    return cross_entropy_derivative(y, t, p, loss) - cross_entropy_derivative(1.0 - y, 1.0 - t, p, loss)


@formula
def _change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """The change of -t log(y + p) - (1 - t) log(1 - y + p)."""
    return cross_entropy_change(d, y, t, p) + cross_entropy_change(-d, 1.0 - y, 1.0 - t, p)


@dataclass(frozen=True)
class LogLoss(Loss):
    """-sum(t log(y + offset) + (1 - t) log(1 - y + offset)) of probabilities y, such as a last Sigmoid() gives.

    Targets are (N, K) in [0, 1], or (N,) for one output. From logits, `SigmoidCrossEntropy` is exact where a
    probability rounds to 0 or 1.

    Parameters
    ----------
    offset : float
        At least 0.

    Examples
    --------
    >>> loss, dy = fastnn.log_loss(np.array([[0.6], [0.7]]), np.array([[1.0], [1.0]]), reduction="none")
    >>> loss.round(2)  # -log 0.6, -log 0.7
    array([0.51, 0.36])

    >>> net = fastnn.Network([fastnn.Affine(4, 1), fastnn.Sigmoid()], loss="log_loss")
    """

    offset: float = 0.0

    name = "log_loss"
    option = "offset"
    accepts = SHARES
    border = 0.5
    target_border = 0.5
    follows = ("sigmoid", "softmax")
    units = units_of(log_loss, _derivative, _change, in_float64)

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", arrays.real("offset", self.offset, minimum=0.0))

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        return shares(name, t, rows, outputs, dtype, finite)
