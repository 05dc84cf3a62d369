"""The hinge loss of support vector machines, for two classes and for several."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.kernels import frames
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.frames import d_target, get_real, sums, target
from fastnn.kernels.rows import first_largest, sum_of
from fastnn.kernels.units import unit
from fastnn.kernels.vector_math import constant
from fastnn.kernels.views import elements, part
from fastnn.operations.losses import base, elementwise


@formula
def hinge(y: Any, t: Any, p: Any) -> Any:
    """max(0, 1 - t y), t = -1 or 1, written so that NaN passes."""
    margin, zero = constant(y, 1.0) - t * y, constant(y, 0.0)
    return zero if margin < zero else margin


@formula
def _derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    """-t where t y < 1, else 0; 0 at the kink, NaN if y is."""
    margin, zero = constant(y, 1.0) - t * y, constant(y, 0.0)
    return -t if margin > zero else zero if margin <= zero else margin


@formula
def _change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """-t d or 0 on one side of the kink; else the difference."""
    before = 1.0 - t * y
    after = before - t * d
    if before >= 0.0 and after >= 0.0:
        return -t * d
    return 0.0 if before <= 0.0 and after <= 0.0 else hinge(y + d, t, p) - hinge(y, t, p)


@unit
def multiclass_rows(frame: Any) -> None:
    """The sum of max(0, 1 + y[k] - y[t]) over the classes k other than the label t (Weston and Watkins, 1999).

    dy = (1 for each k whose margin is lacking, minus their number for t) / DIVISOR. NaN for an invalid label.
    """
    y, dy, labels, rows = target(frame), d_target(frame), base.labels_of(frame), base.row_numbers_of(frame)
    values, losses, share = sums(frame), base.losses_of(frame), 1.0 / get_real(frame, frames.DIVISOR)
    flat_y, flat_dy, width = elements(y), elements(dy), y.shape[1]
    for n in range(y.shape[0]):
        label = labels[rows[n]]
        if label < 0 or label >= width:
            dy[n, :] = np.nan
            losses[n] = np.nan
            continue
        losses[n], lacking, expected = 0.0, 0.0, np.float64(y[n, label])
        for begin in range(0, width, values.size):
            count = min(values.size, width - begin)
            some, slopes = part(flat_y, n * width + begin, count), part(flat_dy, n * width + begin, count)
            for k in range(count):
                margin = 1.0 + (np.float64(some[k]) - expected)
                values[k] = 0.0 if begin + k == label or margin <= 0.0 else margin
            losses[n] += sum_of(values, count)
            for k in range(count):
                values[k] = 1.0 if values[k] > 0.0 else values[k]  # 0, or NaN
                slopes[k] = values[k] * share
            lacking += sum_of(values, count)
        dy[n, label] = -lacking * share


@kernel
def _multiclass_change(d: Any, column: int, only: int, y: Any, t: Any) -> float:
    """The change of the sum of max(0, 1 + y[k] - y[label]) in one column."""
    label = first_largest(t)
    moved, total = base.changed(d, label, column, only), 0.0
    for k in range(t.size):
        if k != label:
            total += _change(base.changed(d, k, column, only) - moved, y[k] - y[label], -1.0, 0.0)
    return total


@kernel
def _multiclass_changes(frame: Any, of_one: bool) -> None:
    """See LossUnits.change and, if only one output of each column changes, change_of_one."""
    samples, run, ys, ts, d, result = base.changes_of(frame, 1 if of_one else get(frame, frames.OUTPUTS))
    for s in range(samples.size):
        for c in range(s * run, (s + 1) * run):
            only = get(frame, frames.COLUMN) + c % get(frame, frames.WIDTH) if of_one else -1
            result[c] = _multiclass_change(d, c, only, ys[samples[s]], ts[samples[s]])


@unit
def multiclass_change(frame: Any) -> None:
    """See LossUnits.change."""
    _multiclass_changes(frame, False)


@unit
def multiclass_change_of_one(frame: Any) -> None:
    """See LossUnits.change_of_one."""
    _multiclass_changes(frame, True)


@dataclass(frozen=True)
class Hinge(base.Loss):
    """sum(max(0, 1 - t y)) for targets t (N, K) of -1 and 1. The gradient is 0 at the kink.

    For labels (N,) and several outputs it is the sum of max(0, 1 + y[k] - y[t]) over the other classes k. Sources:
    Cortes and Vapnik (1995); Weston and Watkins (1999).

    Examples
    --------
    >>> loss, dy = fastnn.hinge(np.array([[2.0], [0.5], [-1.0]]), np.array([[1.0], [1.0], [1.0]]))
    >>> round(loss, 4)  # (0 + 0.5 + 2) / 3
    0.8333
    >>> fastnn.hinge(np.array([[1.0, 0.5, 3.0]]), np.array([0]))[0]  # label 0: 1 + 0.5 - 1 and 1 + 3 - 1
    3.5

    >>> net = fastnn.Network([fastnn.Affine(3, 1)], loss="hinge")
    """

    name = "hinge"
    has_kink = True
    accepts = base.SIGNS
    border = 0.0
    units = elementwise.units_of(hinge, _derivative, _change)
    labels_units = base.LossUnits(multiclass_rows, multiclass_change, multiclass_change_of_one)

    @property
    def takes_labels(self) -> bool:
        return True

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> base.Targets:
        if outputs > 1 and arrays.anything(name, t).ndim == 1:
            return arrays.labels(name, t, rows, outputs), np.empty((0, outputs), dtype)
        return base.signs(name, t, rows, outputs, dtype, finite)
