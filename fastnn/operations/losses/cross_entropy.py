"""The cross entropy of probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.kernels.compile import formula
from fastnn.kernels.small_changes import SMALL, small_log1p
from fastnn.kernels.vector_math import constant, log, log_of_normal_32
from fastnn.operations.losses.base import PROBABILITIES, Loss, Targets, one_hot
from fastnn.operations.losses.elementwise import InFloat32, in_float64, units_of


@formula
def cross_entropy(y: Any, t: Any, p: Any) -> Any:
    """-t log(y + p) of a probability y; t = 0 gives 0, whatever y is."""
    return -t * log(y + p) if t != 0.0 else 0.0


@formula
def cross_entropy_derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    """-t / (y + p)."""
    return -t / (y + p) if t != 0.0 else 0.0


@formula
def _in_float32(y: Any, t: Any, p: Any) -> Any:
    """Value and slope."""
    probability, zero = y + p, constant(y, 0.0)
    value, slope = t * log_of_normal_32(probability), t / probability
    return -value if t != zero else zero, -slope if t != zero else zero


@formula
def _suits(y: Any, t: Any, p: Any) -> Any:
    """Whether neither the logarithm nor the slope is large."""
    probability, most = y + p, constant(y, 1e8)
    return (t == constant(y, 0.0)) | ((probability > constant(y, 1e-30)) & (probability < most) & (abs(t) < most))


@formula
def cross_entropy_change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """-t log(1 + d / (y + p))."""
    if t == 0.0:
        return 0.0
    u = d / (y + p)
    return -t * (small_log1p(u) if abs(u) <= SMALL else log(1.0 + u))


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """-sum(t log(y + offset)) of probabilities y, such as a last Softmax() gives; targets as for SoftmaxCrossEntropy.

    It is infinite where y + offset = 0 at a target above 0. From logits, `SoftmaxCrossEntropy` is exact where a
    probability rounds to 0, and faster.

    Parameters
    ----------
    offset : float
        At least 0. Courses write 1e-7, to avoid log(0) (Saito, Deep Learning from Scratch, 2016,
        chapter 4).

    Examples
    --------
    >>> y = np.array([[0.2, 0.5, 0.3], [0.2, 0.2, 0.6]])  # probabilities
    >>> fastnn.cross_entropy(y, np.array([2, 2]), reduction="none")[0].round(2)  # -log 0.3, -log 0.6
    array([1.2 , 0.51])

    >>> layers = [fastnn.Affine(4, 3), fastnn.Softmax()]
    >>> net = fastnn.Network(layers, loss=fastnn.losses.CrossEntropy(offset=1e-7))
    """

    offset: float = 0.0

    name = "cross_entropy"
    option = "offset"
    accepts = PROBABILITIES
    follows = ("softmax",)
    compares_classes = True
    units = units_of(
        cross_entropy, cross_entropy_derivative, cross_entropy_change, in_float64, InFloat32(_in_float32, _suits)
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", arrays.real("offset", self.offset, minimum=0.0))

    @property
    def takes_classes(self) -> bool:
        return True

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        labels, dense = arrays.targets(name, t, rows, outputs, dtype)
        return np.empty(0, np.intp), one_hot(labels, rows, outputs, dtype) if labels.size else dense
