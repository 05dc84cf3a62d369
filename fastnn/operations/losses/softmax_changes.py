"""Changes of the cross entropy of classes, from changes of the logits, for its numerical gradient.

With OFFSET it is -log(softmax(y)_t + OFFSET) for one-hot targets, by which courses avoid log(0) (Saito, Deep Learning
from Scratch, 2016, chapter 4).
"""

from typing import Any

import numpy as np

from fastnn.kernels import frames
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import matrix_of, reals_of, target
from fastnn.kernels.rows import first_largest, softmax_rows
from fastnn.kernels.simd import bits, fma, from_bits
from fastnn.kernels.small_changes import SMALL, largest_magnitude, log1p, small_expm1, small_log1p
from fastnn.kernels.units import unit
from fastnn.kernels.vector_math import exp, expm1, log
from fastnn.kernels.views import matrix, part
from fastnn.operations.losses import base

OFFSET = 1e-7
MOMENTS = 7  # powers, as in small_expm1
NUMBERS_ALONG = MOMENTS + 2


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


@kernel
def _row_along(p: Any, t: Any, slopes: Any, along: Any) -> None:
    """Moments of one sample: sum(p s^m) / m! for m = 1 to 7 of the slopes s, then sum(t s), then the largest |s|."""
    a, b, c, e, f, g, h = along[0], along[1], along[2], along[3], along[4], along[5], along[6]
    products, largest = along[MOMENTS], along[MOMENTS + 1]
    along[:] = 0.0
    for k in range(p.size):
        share, target, s = p[k], t[k], slopes[k]
        for j in range(s.size):
            first = share * s[j]
            second = first * (s[j] * (1 / 2))
            third = second * (s[j] * (1 / 3))
            fourth = third * (s[j] * (1 / 4))
            fifth = fourth * (s[j] * (1 / 5))
            sixth = fifth * (s[j] * (1 / 6))
            a[j] += first
            b[j] += second
            c[j] += third
            e[j] += fourth
            f[j] += fifth
            g[j] += sixth
            h[j] += sixth * (s[j] * (1 / 7))
        for j in range(s.size):
            products[j] += target * s[j]
            largest[j] = largest[j] if abs(s[j]) <= largest[j] else abs(s[j])


@kernel
def _change_along(d: Any, first: int, along: Any, mass: float, out: Any) -> None:
    """sum(t) log(1 + sum of moments d^m) - sum(t s) d: the series of _change, by powers of one number.

    One polynomial takes the place of the exponentials of all outputs.
    """
    size = d.size
    a, b, c = part(along[0], first, size), part(along[1], first, size), part(along[2], first, size)
    e, f, g = part(along[3], first, size), part(along[4], first, size), part(along[5], first, size)
    h, products = part(along[6], first, size), part(along[MOMENTS], first, size)
    for i in range(size):
        x = d[i]
        terms = fma(x, fma(x, fma(x, fma(x, fma(x, fma(x, h[i], g[i]), f[i]), e[i]), c[i]), b[i]), a[i])
        out[i] = mass * small_log1p(x * terms) - products[i] * x


@kernel
def _changes_along(frame: Any, offset: bool) -> None:
    """See LossUnits.change_along."""
    samples, run, ys, ts, d, result = base.changes_of(frame, 1)
    outputs, inputs, width = ys.shape[1], get(frame, frames.INPUTS), get(frame, frames.WIDTH)
    ps, j = matrix_of(frame, frames.PREPARED, ys.shape[0], outputs), get(frame, frames.COLUMN)
    slopes, work = matrix_of(frame, frames.SLOPES, outputs, inputs), reals_of(frame, frames.OTHER, outputs + width)
    one, reach = matrix(work, 0, outputs, 1), part(work, outputs, width)
    size = NUMBERS_ALONG * inputs
    all_along = reals_of(frame, frames.ALONG, ys.shape[0] * size)
    for s in range(samples.size):
        n = samples[s]
        y, p, t, mass = ys[n], ps[n], ts[n], 0.0
        along = matrix(all_along, n * size, NUMBERS_ALONG, inputs)
        largest = part(along[MOMENTS + 1], j, width)
        for k in range(outputs):
            mass += t[k]
        for start in range(s * run, (s + 1) * run, width):
            some, out = part(d[0], start, width), part(result, start, width)
            _change_along(some, j, along, mass, out)
            for c in range(width):
                reach[c] = some[c] * largest[c]
            if not largest_magnitude(reach) <= SMALL:
                for c in range(width):
                    if not abs(reach[c]) <= SMALL:
                        for k in range(outputs):
                            one[k, 0] = slopes[k, j + c] * some[c]
                        out[c] = _large_change(one, 0, -1, y, p, t, mass)
            if offset:
                _with_offset(_of_target(p, t), out)


@unit
def softmax_prepare_along(frame: Any) -> None:
    """The moments of the slopes for all rows; see _row_along."""
    rows, outputs, inputs = get(frame, frames.ROWS), get(frame, frames.OUTPUTS), get(frame, frames.INPUTS)
    slopes = matrix_of(frame, frames.SLOPES, outputs, inputs)
    ps, ts = matrix_of(frame, frames.PREPARED, rows, outputs), matrix_of(frame, frames.DENSE, rows, outputs)
    size = NUMBERS_ALONG * inputs
    along = reals_of(frame, frames.ALONG, rows * size)
    for n in range(rows):
        _row_along(ps[n], ts[n], slopes, matrix(along, n * size, NUMBERS_ALONG, inputs))


@unit
def softmax_cross_entropy_change_along(frame: Any) -> None:
    """sum(t) log(sum(p exp(s d))) - sum(t s) d."""
    _changes_along(frame, False)


@unit
def offset_change_along(frame: Any) -> None:
    """The change of -log(softmax(y)_t + OFFSET)."""
    _changes_along(frame, True)


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


# change, change_of_one, prepare, change_along, prepare_along, numbers_along of losses.base.LossUnits
CHANGE_UNITS = (
    *(softmax_cross_entropy_change, softmax_cross_entropy_change_of_one, softmax_prepare),
    *(softmax_cross_entropy_change_along, softmax_prepare_along, NUMBERS_ALONG),
)
OFFSET_CHANGE_UNITS = (
    *(offset_change, offset_change_of_one, softmax_prepare),
    *(offset_change_along, softmax_prepare_along, NUMBERS_ALONG),
)
