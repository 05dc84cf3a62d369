"""Changes of the cross entropy of classes, from changes of the logits, for its numerical gradient.

With OFFSET it is -log(softmax(y)_t + OFFSET) for one-hot targets, by which courses avoid log(0) (Saito, Deep Learning
from Scratch, 2016, chapter 4).
"""

from typing import Any

import numpy as np

from fastnn.kernels import frames
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import formula, kernel
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
TINY = 2.2250738585072014e-308  # the smallest normal float64


@unit
def softmax_prepare(frame: Any) -> None:
    """softmax(y); in place of one above 1/2 that probability less 1, from the sum of the others, exact near 1, too."""
    y = target(frame)
    p = matrix_of(frame, frames.PREPARED, y.shape[0], y.shape[1])
    softmax_rows(y, p)
    for n in range(y.shape[0]):
        row, k, others = p[n], first_largest(y[n]), 0.0
        if row[k] > 0.5:
            for i in range(row.size):
                others += row[i] if i != k else 0.0
            row[k] = -max(others, TINY)


@formula
def _probability(share: Any) -> Any:
    """The probability that softmax_prepare has stored as `share`."""
    return share if share >= 0.0 else 1.0 + share


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
        total += _probability(p[k]) * expm1(change)
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

    d is taken less its value for the target, whose share then adds nothing: the rest cancels nothing, however sure of
    the target the network is. Columns of small changes are computed by short series, all at once, the others one by
    one. The choice, and so the bits, depend on the column alone.
    """
    mass, bound, size, target = 0.0, bits(np.float64(0.0)), out.size, first_largest(t)
    moved = part(d[target], first, size)
    for c in range(size):
        work[c] = 0.0
    for k in range(t.size):
        mass += t[k]
        if k != target:
            share, row = _probability(p[k]), part(d[k], first, size)
            for c in range(size):
                change = row[c] - moved[c]
                bound = max(bound, bits(abs(change)))
                work[c] = fma(share, small_expm1(change), work[c])
    for c in range(size):
        out[c] = mass * small_log1p(work[c])
    for k in range(t.size):
        if t[k] != 0.0 and k != target:
            one, row = t[k], part(d[k], first, size)
            for c in range(size):
                out[c] -= one * (row[c] - moved[c])
    if from_bits(np.int64(bound)) <= SMALL:
        return
    for c in range(size):
        largest = 0.0
        for k in range(t.size):
            magnitude = abs(d[k, first + c] - moved[c])
            largest = largest if magnitude <= largest else magnitude
        if not largest <= SMALL:
            out[c] = _large_change(d, first + c, -1, y, p, t, mass)


@kernel
def _change_of_one(d: Any, first: int, y: Any, p: Any, t: Any, mass: float, out: Any) -> None:
    """As _change if in column c only output first + c changes, by d[c].

    With a probability above 1/2, log(1 + p (exp(d) - 1)) is d + log(1 + q (exp(-d) - 1)) with q = 1 - p, so that
    nothing cancels.
    """
    shares, targets = part(p, first, d.size), part(t, first, d.size)
    for c in range(d.size):
        share, own = shares[c], targets[c]
        u = small_expm1(d[c] if share >= 0.0 else -d[c])
        out[c] = mass * small_log1p(abs(share) * u) + (-own if share >= 0.0 else mass - own) * d[c]
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
        total += _probability(p[k]) * t[k]
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
    """Moments of one sample: sum(p s^m) / m! for m = 1 to 7, then sum(t s), then the largest |s|.

    s are the slopes less the one of the target, as in _change. Where moments overflow, all changes count as large.
    """
    a, b, c, e, f, g, h = along[0], along[1], along[2], along[3], along[4], along[5], along[6]
    products, largest, target = along[MOMENTS], along[MOMENTS + 1], first_largest(t)
    along[:] = 0.0
    for k in range(p.size):
        if k == target:
            continue
        share, one, row, moved = _probability(p[k]), t[k], slopes[k], slopes[target]
        for j in range(row.size):
            s = row[j] - moved[j]
            first = share * s
            second = first * (s * (1 / 2))
            third = second * (s * (1 / 3))
            fourth = third * (s * (1 / 4))
            fifth = fourth * (s * (1 / 5))
            sixth = fifth * (s * (1 / 6))
            a[j] += first
            b[j] += second
            c[j] += third
            e[j] += fourth
            f[j] += fifth
            g[j] += sixth
            h[j] += sixth * (s * (1 / 7))
        for j in range(row.size):
            s = row[j] - moved[j]
            products[j] += one * s
            largest[j] = largest[j] if abs(s) <= largest[j] else abs(s)
    for j in range(h.size):
        largest[j] = largest[j] if abs(h[j]) < np.inf else np.inf


@kernel
def _change_along(d: Any, first: int, along: Any, mass: float, out: Any) -> None:
    """sum(t) log(1 + sum of moments d^m) - sum(t s) d with the s of _row_along.

    The series of _change in powers of one number: one polynomial takes the place of the exponentials of all outputs.
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
            steps, out = part(d[0], start, width), part(result, start, width)
            _change_along(steps, j, along, mass, out)
            for c in range(width):
                reach[c] = steps[c] * largest[c]
            if get(frame, frames.SLOPES) != 0 and not largest_magnitude(reach) <= SMALL:
                for c in range(width):
                    if not abs(reach[c]) <= SMALL:
                        for k in range(outputs):
                            one[k, 0] = slopes[k, j + c] * steps[c]
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
