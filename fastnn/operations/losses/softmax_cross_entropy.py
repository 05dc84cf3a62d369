"""The cross entropy of classes from logits, by log-sum-exp."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.kernels import frames
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import d_target, get_real, matrix_of, reals_of, sums, target
from fastnn.kernels.rows import divide_by_sum, exp_in_place, first_largest, softmax_rows, subtract_largest, sum_of
from fastnn.kernels.simd import bits, fma, from_bits
from fastnn.kernels.small_changes import SMALL, largest_magnitude, log1p, small_expm1, small_log1p
from fastnn.kernels.units import unit
from fastnn.kernels.vector_math import exp, expm1, log
from fastnn.kernels.views import elements, matrix, part
from fastnn.operations.losses import base

# -log(softmax(y)_t + OFFSET) for one-hot targets, by which courses avoid log(0) (Saito, Deep Learning from Scratch,
# 2016, chapter 4). It has only changes, for its numerical gradient.
OFFSET = 1e-7


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
    """Divide dy by a number, in place."""
    flat, share = elements(dy), dy.dtype.type(divisor)
    for i in range(flat.size):
        flat[i] /= share


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


@unit
def softmax_prepare(frame: Any) -> None:
    """softmax(y)."""
    y = target(frame)
    softmax_rows(y, matrix_of(frame, frames.PREPARED, y.shape[0], y.shape[1]))


@kernel
def _log_sum_exp(y: Any) -> float:
    """log(sum(exp(y))) of a float64 vector."""
    highest = y[first_largest(y)]
    total = 0.0
    for k in range(y.size):
        total += exp(y[k] - highest)
    return highest + log(total)


@kernel
def _large_change(d: Any, column: int, only: int, y: Any, p: Any, t: Any, mass: float) -> float:
    """mass log(sum(p exp(d))) - sum(t d) of one column, for changes of any size.

    All is relative to the target's output, so that nothing cancels if the network is sure of it. A large change is
    log-sum-exp of y + d less that of y, as probabilities p may underflow.
    """
    moved = base.changed(d, first_largest(t), column, only)
    total, highest, rest = 0.0, -np.inf, 0.0
    for k in range(t.size):
        change = base.changed(d, k, column, only) - moved
        highest = y[k] + change if y[k] + change > highest else highest
        total += p[k] * expm1(change)
        rest += t[k] * change if t[k] != 0.0 else 0.0
    if total > -0.5 and total < np.inf:
        return mass * log1p(total) - rest
    total = 0.0
    for k in range(t.size):
        total += exp(y[k] + (base.changed(d, k, column, only) - moved) - highest)
    return mass * (highest + log(total) - _log_sum_exp(y)) - rest


@kernel
def _change(d: Any, first: int, y: Any, p: Any, t: Any, work: Any, out: Any) -> None:
    """sum(t) log(sum(p exp(d))) - sum(t d): no difference of two losses, so a small d loses nothing.

    Columns of small changes are computed by short series, all at once, the others one by one. The choice, and so the
    bits, depend on the column alone.
    """
    mass, bound, size = 0.0, bits(np.float64(0.0)), out.size
    for c in range(size):
        work[c] = 0.0
    for k in range(t.size):
        share, row = p[k], part(d[k], first, size)
        mass += t[k]
        bound = max(bound, bits(largest_magnitude(row)))
        for c in range(size):
            work[c] = fma(share, small_expm1(row[c]), work[c])
    for c in range(size):
        out[c] = mass * small_log1p(work[c])
    for k in range(t.size):
        if t[k] != 0.0:
            one, row = t[k], part(d[k], first, size)
            for c in range(size):
                out[c] -= one * row[c]
    if from_bits(np.int64(bound)) <= SMALL:
        return
    for c in range(size):
        largest = 0.0
        for k in range(t.size):
            magnitude = abs(d[k, first + c])
            largest = largest if magnitude <= largest else magnitude
        if not largest <= SMALL:
            out[c] = _large_change(d, first + c, -1, y, p, t, mass)


@kernel
def _change_of_one(d: Any, first: int, y: Any, p: Any, t: Any, mass: float, out: Any) -> None:
    """As _change if in column c only output first + c changes, by d[c]."""
    some, targets = part(p, first, d.size), part(t, first, d.size)
    for c in range(d.size):
        out[c] = mass * small_log1p(some[c] * small_expm1(d[c])) - targets[c] * d[c]
    if not largest_magnitude(d) <= SMALL:
        row = matrix(d, 0, 1, d.size)
        for c in range(d.size):
            if not abs(d[c]) <= SMALL:
                out[c] = _large_change(row, c, first + c, y, p, t, mass)


@kernel
def _with_offset(probability: float, out: Any) -> None:
    """Turn changes of -log(p), out, into those of -log(p + OFFSET): -log(1 + p / (p + OFFSET) (exp(-out) - 1))."""
    share = probability / (probability + OFFSET)
    if largest_magnitude(out) <= SMALL:  # a loop without branches, which vectorizes
        for c in range(out.size):
            out[c] = -small_log1p(share * small_expm1(-out[c]))
        return
    for c in range(out.size):
        change = -out[c]
        if abs(change) <= SMALL:
            out[c] = -small_log1p(share * small_expm1(change))
        else:
            u = share * expm1(change)
            out[c] = -log1p(u) if u > -0.5 else -log((1.0 - share) + share * exp(change))


@kernel
def _of_target(p: Any, t: Any) -> float:
    """The probability of a one-hot target."""
    total = 0.0
    for k in range(t.size):
        total += p[k] * t[k]
    return total


@kernel
def _changes(frame: Any, offset: bool) -> None:
    """See LossUnits.change."""
    samples, run, ys, ts, d, result = base.changes_of(frame, get(frame, frames.OUTPUTS))
    ps, work = matrix_of(frame, frames.PREPARED, ys.shape[0], ys.shape[1]), reals_of(frame, frames.OTHER, run)
    for s in range(samples.size):
        n, out = samples[s], part(result, s * run, run)
        _change(d, s * run, ys[n], ps[n], ts[n], work, out)
        if offset:
            _with_offset(_of_target(ps[n], ts[n]), out)


@kernel
def _changes_of_one(frame: Any, offset: bool) -> None:
    """See LossUnits.change_of_one."""
    samples, run, ys, ts, d, result = base.changes_of(frame, 1)
    ps, width = matrix_of(frame, frames.PREPARED, ys.shape[0], ys.shape[1]), get(frame, frames.WIDTH)
    for s in range(samples.size):
        y, p, t, mass = ys[samples[s]], ps[samples[s]], ts[samples[s]], 0.0
        for k in range(t.size):
            mass += t[k]
        for start in range(s * run, (s + 1) * run, width):
            out = part(result, start, width)
            _change_of_one(part(d[0], start, width), get(frame, frames.COLUMN), y, p, t, mass, out)
            if offset:
                _with_offset(_of_target(p, t), out)


@unit
def softmax_cross_entropy_change(frame: Any) -> None:
    """sum(t) log(sum(p exp(d))) - sum(t d)."""
    _changes(frame, False)


@unit
def softmax_cross_entropy_change_of_one(frame: Any) -> None:
    """sum(t) log(1 + p (exp(d) - 1)) - t d."""
    _changes_of_one(frame, False)


@unit
def offset_change(frame: Any) -> None:
    """The change of -log(softmax(y)_t + OFFSET)."""
    _changes(frame, True)


@unit
def offset_change_of_one(frame: Any) -> None:
    """The change of -log(softmax(y)_t + OFFSET)."""
    _changes_of_one(frame, True)


CHANGE_UNITS = (softmax_cross_entropy_change, softmax_cross_entropy_change_of_one, softmax_prepare)
# for labels
OFFSET_UNITS = base.LossUnits(cross_entropy_rows_of_labels, offset_change, offset_change_of_one, softmax_prepare)


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
