"""The Kullback-Leibler divergence of the softmax of logits from probabilities."""

from dataclasses import dataclass
from typing import Any

from fastnn.gate import arrays
from fastnn.kernels.units import unit
from fastnn.operations.losses.base import PROBABILITIES, Loss, LossUnits, Targets
from fastnn.operations.losses.softmax_changes import CHANGE_UNITS
from fastnn.operations.losses.softmax_cross_entropy import cross_entropy_rows, cross_entropy_rows_of_labels


@unit
def kl_divergence_rows(frame: Any) -> None:
    """sum(t log(t / softmax(y))) of each row."""
    cross_entropy_rows(frame, True)


@dataclass(frozen=True)
class KLDivergence(Loss):
    """sum(t log(t / softmax(y))) of logits y; targets probabilities (N, K) or labels (N,).

    It is the cross entropy less the entropy of the targets: at least 0, and 0 where both agree. The gradient is
    softmax(y) - t. Source: Kullback and Leibler, Annals of Mathematical Statistics 22 (1951), 79-86.

    Examples
    --------
    >>> x, t = np.log([[0.25, 0.75]]), np.array([[0.5, 0.5]])  # softmax(x) is (1 / 4, 3 / 4)
    >>> loss, dx = fastnn.kl_divergence(x, t)
    >>> round(loss, 4), dx.round(4)
    (0.1438, array([[-0.25,  0.25]]))

    >>> net = fastnn.Network([fastnn.Affine(4, 3)], loss="kl_divergence")
    """

    name = "kl_divergence"
    accepts = PROBABILITIES
    applies = "softmax"
    compares_classes = True
    units = LossUnits(kl_divergence_rows, *CHANGE_UNITS)
    labels_units = LossUnits(cross_entropy_rows_of_labels, *CHANGE_UNITS)

    @property
    def takes_labels(self) -> bool:
        return True

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        return arrays.targets(name, t, rows, outputs, dtype)
