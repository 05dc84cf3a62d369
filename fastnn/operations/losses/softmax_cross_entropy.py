"""The cross entropy of classes from logits, by log-sum-exp."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.kernels import frames
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import d_target, get_real, sums, target
from fastnn.kernels.rows import divide_by_sum, exp_in_place, subtract_largest, sum_of
from fastnn.kernels.units import unit
from fastnn.kernels.vector_math import log
from fastnn.kernels.views import elements, part
from fastnn.operations.losses import base
from fastnn.operations.losses.softmax_changes import CHANGE_UNITS, OFFSET_CHANGE_UNITS


@kernel
def _loss_of_label(row: Any, slopes: Any, label: int, highest: float, log_sum: float) -> float:
    """The loss of one row with a label; NaN for an invalid one, as users may change their array."""
    if label < 0 or label >= row.size:
        for k in range(slopes.size):
            slopes[k] = np.nan
        return np.nan
    slopes[label] -= slopes.dtype.type(1.0)
    return log_sum + (highest - row[label])


@kernel
def _loss_of_shares(row: Any, slopes: Any, t: Any, highest: float, log_sum: float, values: Any, entropy: bool) -> float:
    """The loss of one row with a probability for each class."""
    loss = 0.0
    for begin in range(0, row.size, values.size):
        count = min(values.size, row.size - begin)
        some, targets = part(row, begin, count), part(t, begin, count)
        for k in range(count):
            one = np.float64(targets[k])
            change = log_sum + (highest - some[k])
            change += log(one) if entropy else 0.0
            values[k] = one * change if one != 0.0 else 0.0
        loss += sum_of(values, count)
    for k in range(row.size):
        slopes[k] -= t[k]
    return loss


@kernel
def _exponentials(y: Any, dy: Any, losses: Any, log_sums: Any) -> None:
    """dy = softmax(y), losses = the largest of each row, log_sums = log(sum(exp(row - its largest)))."""
    flat_y, flat_dy, width = elements(y), elements(dy), y.shape[1]
    for n in range(y.shape[0]):
        losses[n] = subtract_largest(part(flat_y, n * width, width), part(flat_dy, n * width, width))
    exp_in_place(flat_dy)
    for n in range(y.shape[0]):
        log_sums[n] = divide_by_sum(part(flat_dy, n * width, width))
    for n in range(y.shape[0]):
        log_sums[n] = log(log_sums[n])


@kernel
def _divide(dy: Any, divisor: float) -> None:
    """Divide dy by a number, in place, by its reciprocal as in `divide_by_sum`."""
    flat, share = elements(dy), dy.dtype.type(1.0 / divisor)
    for i in range(flat.size):
        flat[i] *= share


@kernel
def cross_entropy_rows(frame: Any, entropy: bool) -> None:
    """-sum(t log softmax(y)) of each row by log-sum-exp, for logits of any size; dy = (softmax(y) - t) / DIVISOR.

    entropy: add sum(t log t). A class with t = 0 adds 0 whatever its logit.
    """
    y, dy, dense, rows = target(frame), d_target(frame), base.dense_of(frame), base.row_numbers_of(frame)
    values, losses, log_sums, width = sums(frame), base.losses_of(frame), base.loss_sums_of(frame), y.shape[1]
    _exponentials(y, dy, losses, log_sums)
    for n in range(y.shape[0]):
        t = part(dense, rows[n] * width, width)
        losses[n] = _loss_of_shares(y[n], dy[n], t, losses[n], log_sums[n], values, entropy)
    _divide(dy, get_real(frame, frames.DIVISOR))


@unit
def softmax_cross_entropy_rows(frame: Any) -> None:
    """-sum(t log softmax(y)) of each row."""
    cross_entropy_rows(frame, False)


@unit
def cross_entropy_rows_of_labels(frame: Any) -> None:
    """-log softmax(y)_t of each row, and its gradient; see cross_entropy_rows."""
    y, dy, labels, rows = target(frame), d_target(frame), base.labels_of(frame), base.row_numbers_of(frame)
    losses, log_sums = base.losses_of(frame), base.loss_sums_of(frame)
    _exponentials(y, dy, losses, log_sums)
    for n in range(y.shape[0]):
        losses[n] = _loss_of_label(y[n], dy[n], labels[rows[n]], losses[n], log_sums[n])
    _divide(dy, get_real(frame, frames.DIVISOR))


# for labels; it has only changes
OFFSET_UNITS = base.LossUnits(cross_entropy_rows_of_labels, *OFFSET_CHANGE_UNITS)


@dataclass(frozen=True)
class SoftmaxCrossEntropy(base.Loss):
    """-sum(t log(softmax(y))) of logits y; targets labels (N,), one-hot rows or probabilities (N, K), which sum to 1.

    It is computed by log-sum-exp, unclipped; the gradient is softmax(y) - t. Source: Bishop, Pattern Recognition and
    Machine Learning (2006), equations 4.108 and 4.109.

    Parameters
    ----------
    label_smoothing : float
        s in [0, 1): targets t become (1 - s) t + s / K (Szegedy et al., 2016).

    Examples
    --------
    >>> x = np.log([[0.2, 0.5, 0.3], [0.2, 0.2, 0.6]])  # logits; softmax(x) gives these probabilities
    >>> loss, dx = fastnn.softmax_cross_entropy(x, np.array([2, 2]), reduction="none")
    >>> loss.round(2)  # -log 0.3, -log 0.6
    array([1.2 , 0.51])
    >>> dx.round(2)
    array([[ 0.2,  0.5, -0.7],
           [ 0.2,  0.2, -0.4]])

    >>> loss = fastnn.losses.SoftmaxCrossEntropy(label_smoothing=0.1)
    >>> net = fastnn.Network([fastnn.Affine(4, 3)], loss=loss)
    """

    label_smoothing: float = 0.0

    name = "softmax_cross_entropy"
    accepts = base.PROBABILITIES
    applies = "softmax"
    compares_classes = True
    units = base.LossUnits(softmax_cross_entropy_rows, *CHANGE_UNITS)
    labels_units = base.LossUnits(cross_entropy_rows_of_labels, *CHANGE_UNITS)

    def __post_init__(self) -> None:
        smoothing = arrays.real("label_smoothing", self.label_smoothing, minimum=0.0, below=1.0)
        object.__setattr__(self, "label_smoothing", smoothing)

    @property
    def takes_labels(self) -> bool:
        return self.label_smoothing == 0.0

    @property
    def takes_classes(self) -> bool:
        return True

    @property
    def smooths_labels(self) -> bool:
        return self.label_smoothing > 0.0

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> base.Targets:
        labels, dense = arrays.targets(name, t, rows, outputs, dtype)
        if self.label_smoothing == 0.0:
            return labels, dense
        dense = base.one_hot(labels, rows, outputs, dtype) if labels.size else dense
        smoothed = (1.0 - self.label_smoothing) * dense.astype(np.float64) + self.label_smoothing / outputs
        return np.empty(0, np.intp), smoothed.astype(dtype)
