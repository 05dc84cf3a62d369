"""Losses of a network's outputs, row by row. Imports compile, activations and vector_math.

Each kernel writes one loss a row, in float64, and the gradient of their mean; the caller adds the rows in order, so
that the mean has the same bits however the rows were shared among threads. To add a loss: its kernel, a row in
LOSSES, a branch in `loss_rows`, and its twin in reference.py.

Targets come in two forms, of which one is empty: labels (N,) intp, or dense (N, K) one-hot rows, probabilities or
values.
"""

from typing import Any

import numpy as np

from fastnn.kernels.activations import divide_by_sum, exp_in_place, first_largest, subtract_largest
from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.simd import bits, fma, from_bits
from fastnn.kernels.vector_math import exp, expm1, log, polynomial

SOFTMAX_CROSS_ENTROPY, MEAN_SQUARED_ERROR, OFFSET_CROSS_ENTROPY = range(3)

LOSSES = {"softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY, "mean_squared_error": MEAN_SQUARED_ERROR}

# -log(softmax(y)_t + OFFSET) for one-hot targets: what courses write so that log(0) does not happen (Saito, Deep
# Learning from Scratch, 2016, chapter 4). It has changes alone: what it is for is their numerical gradient.
OFFSET = 1e-7


@kernel
def _softmax_cross_entropy(y: Any, labels: Any, dense: Any, rows: Any, batch: int, dy: Any, out: Any) -> None:
    """-sum(t log softmax(y)) of each row by log-sum-exp, for logits of any size; dy = (softmax(y) - t) / batch.

    A class with t = 0 adds 0 whatever its logit. NaN for a label that is none: the gate has checked it, but the array
    is the user's, who may have changed it since.
    """
    losses, sums, hits = out
    count = dy.dtype.type(batch)
    for n in range(y.shape[0]):
        hits[n] = subtract_largest(y[n], dy[n])
    exp_in_place(dy)
    for n in range(y.shape[0]):
        sums[n] = divide_by_sum(dy[n])
    for n in range(y.shape[0]):
        sums[n] = log(sums[n])
    for n in range(y.shape[0]):
        row, highest = y[n], np.float64(y[n, hits[n]])
        if labels.size > 0:
            label = labels[rows[n]]
            if label < 0 or label >= row.size:
                dy[n, :] = np.nan
                losses[n], hits[n] = np.nan, 0
                continue
            losses[n] = sums[n] + (highest - row[label])
            dy[n, label] -= dy.dtype.type(1.0)
        else:
            t = dense[rows[n]]
            label = first_largest(t)
            loss = np.float64(0.0)
            for k in range(row.size):
                if t[k] != dy.dtype.type(0.0):
                    loss += t[k] * (sums[n] + (highest - row[k]))
                dy[n, k] -= t[k]
            losses[n] = loss
        hits[n] = 1 if hits[n] == label else 0
    flat = dy.reshape(dy.size)
    for i in range(flat.size):
        flat[i] /= count


@kernel
def _mean_squared_error(y: Any, dense: Any, rows: Any, batch: int, dy: Any, out: Any) -> None:
    """sum((y - t)^2) / 2 of each row; dy = (y - t) / batch."""
    losses, _, hits = out
    count = dy.dtype.type(batch)
    for n in range(y.shape[0]):
        t = dense[rows[n]]
        loss = np.float64(0.0)
        for k in range(t.size):
            difference = y[n, k] - t[k]
            exact = np.float64(difference)
            loss += 0.5 * exact * exact
            dy[n, k] = difference / count
        losses[n] = loss
        hits[n] = 1 if first_largest(y[n]) == first_largest(t) else 0


@kernel
def loss_rows(loss: int, y: Any, labels: Any, dense: Any, rows: Any, batch: int, dy: Any, out: Any) -> None:
    """losses[n], dy[n] and hits[n] for each row of y (M, K), a part of a batch of `batch` rows.

    Row n has the target labels[rows[n]] or dense[rows[n]], of which one is empty. hits[n] = 1 where the largest output
    is that of the label or largest target, else 0; of equal ones the first counts. dy (M, K) and out = (losses (M,)
    float64, sums (M,) float64 for scratch, hits (M,) intp) are overwritten.
    """
    if loss == SOFTMAX_CROSS_ENTROPY or labels.size > 0:
        _softmax_cross_entropy(y, labels, dense, rows, batch, dy, out)
    elif loss == MEAN_SQUARED_ERROR:
        _mean_squared_error(y, dense, rows, batch, dy, out)


# --- changes: what the perturbation engine asks for ---

# Below this a change of the logits is small: exp and log are short series, exact to float64's rounding.
_SMALL = 1.0 / 64.0
_EXPM1_TERMS = (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040)
_ARTANH_TERMS = (1 / 3, 1 / 5, 1 / 7, 1 / 9)


@kernel
def largest_magnitude(values: Any) -> float:
    """The largest absolute value of a float64 vector, by bit patterns, which vectorises; NaN counts as largest."""
    largest = bits(np.float64(0.0))
    for i in range(values.size):
        largest = max(largest, bits(abs(values[i])))
    return from_bits(np.int64(largest))


@formula
def _small_expm1(d: Any) -> Any:
    """exp(d) - 1 = d + d^2 / 2! + ... + d^7 / 7!, |d| <= 1 / 64."""
    return fma(d * d, polynomial(_EXPM1_TERMS, d), d)


@formula
def _small_log1p(u: Any) -> Any:
    """log(1 + u) = 2 artanh(s) = 2 (s + s^3 / 3 + ... + s^9 / 9) with s = u / (2 + u), |u| <= 1 / 63."""
    s = u / (2.0 + u)
    return 2.0 * fma(s * s * s, polynomial(_ARTANH_TERMS, s * s), s)


@kernel
def _log1p(u: Any) -> float:
    """log(1 + u) for u > -1/2, exact to rounding: what the sum loses is in (1 + u) - 1, too."""
    w = 1.0 + u
    return u if w == 1.0 else log(w) * (u / (w - 1.0))


@kernel
def _change_at(d: Any, k: int, column: int, only: int) -> float:
    """The change of output k in a column, where all change (only < 0), or one alone, by d[0, column]."""
    if only < 0:
        return d[k, column]
    return d[0, column] if k == only else 0.0


@kernel
def _large_change(d: Any, column: int, only: int, y: Any, p: Any, t: Any, mass: float) -> float:
    """mass log(sum(p exp(d))) - sum(t d) of one column, whatever its size.

    All is relative to the target's output, so that nothing cancels where the network is sure of it. Where the change is
    large itself, log-sum-exp of y + d less that of y, as shares p may be too small to be numbers.
    """
    target = _change_at(d, first_largest(t), column, only)
    total, highest, rest = 0.0, -np.inf, 0.0
    for k in range(t.size):
        change = _change_at(d, k, column, only) - target
        highest = y[k] + change if y[k] + change > highest else highest
        total += p[k] * expm1(change)
        rest += t[k] * change if t[k] != 0.0 else 0.0
    if total > -0.5 and total < np.inf:
        return mass * _log1p(total) - rest
    total = 0.0
    for k in range(t.size):
        total += exp(y[k] + (_change_at(d, k, column, only) - target) - highest)
    return mass * (highest + log(total) - _log_sum_exp(y)) - rest


@kernel
def _log_sum_exp(y: Any) -> float:
    """log(sum(exp(y))) of a float64 vector."""
    highest = y[first_largest(y)]
    total = 0.0
    for k in range(y.size):
        total += exp(y[k] - highest)
    return highest + log(total)


@kernel
def _softmax_cross_entropy_change(d: Any, first: int, y: Any, p: Any, t: Any, sums: Any, out: Any) -> None:
    """sum(t) log(sum(p exp(d))) - sum(t d): no difference of two losses, so nothing is lost where d is small.

    Columns of small changes by short series, all of them at once; the others one by one. Which it is depends on a
    column alone, and so do its bits.
    """
    mass, bound, size = 0.0, bits(np.float64(0.0)), out.size
    for c in range(size):
        sums[c] = 0.0
    for k in range(t.size):
        share, row = p[k], d[k, first : first + size]
        mass += t[k]
        bound = max(bound, bits(largest_magnitude(row)))
        for c in range(size):
            sums[c] = fma(share, _small_expm1(row[c]), sums[c])
    for c in range(size):
        out[c] = mass * _small_log1p(sums[c])
    for k in range(t.size):
        if t[k] != 0.0:
            target, row = t[k], d[k, first : first + size]
            for c in range(size):
                out[c] -= target * row[c]
    if from_bits(np.int64(bound)) <= _SMALL:
        return
    for c in range(size):
        largest = 0.0
        for k in range(t.size):
            magnitude = abs(d[k, first + c])
            largest = largest if magnitude <= largest else magnitude
        if not largest <= _SMALL:
            out[c] = _large_change(d, first + c, -1, y, p, t, mass)


@kernel
def _mean_squared_error_change(d: Any, first: int, y: Any, t: Any, out: Any) -> None:
    """sum((y + d - t)^2 - (y - t)^2) / 2 = sum(d (d / 2 + y - t))."""
    for c in range(out.size):
        out[c] = 0.0
    for k in range(t.size):
        difference, row = y[k] - t[k], d[k, first : first + out.size]
        for c in range(out.size):
            out[c] += row[c] * (0.5 * row[c] + difference)


@kernel
def _with_offset(probability: float, out: Any) -> None:
    """Make of changes of -log(p), out, those of -log(p + OFFSET): -log(1 + p / (p + OFFSET) (exp(-out) - 1))."""
    share = probability / (probability + OFFSET)
    if largest_magnitude(out) <= _SMALL:  # a loop without a choice, which vectorises
        for c in range(out.size):
            out[c] = -_small_log1p(share * _small_expm1(-out[c]))
        return
    for c in range(out.size):
        change = -out[c]
        if abs(change) <= _SMALL:
            out[c] = -_small_log1p(share * _small_expm1(change))
        else:
            u = share * expm1(change)
            out[c] = -_log1p(u) if u > -0.5 else -log((1.0 - share) + share * exp(change))


@kernel
def of_target(p: Any, t: Any) -> float:
    """The probability of a one-hot target."""
    total = 0.0
    for k in range(t.size):
        total += p[k] * t[k]
    return total


@kernel
def loss_change(loss: int, d: Any, first: int, y: Any, p: Any, t: Any, work: Any, out: Any) -> None:
    """out[c] = loss of (y + d[:, first + c]) - loss of y, for one sample's outputs y (K,) and targets t (K,).

    d (K, any), p (K,) = softmax(y), out (C,) overwritten, work (C,) scratch. All float64.
    """
    if loss == MEAN_SQUARED_ERROR:
        _mean_squared_error_change(d, first, y, t, out)
        return
    _softmax_cross_entropy_change(d, first, y, p, t, work, out)
    if loss == OFFSET_CROSS_ENTROPY:
        _with_offset(of_target(p, t), out)


@kernel
def loss_change_of_one(loss: int, d: Any, first: int, y: Any, p: Any, t: Any, mass: float, out: Any) -> None:
    """As loss_change where in column c output first + c alone changes, by d[c]. d, out (C,); mass: the sum of t."""
    some, shares, targets = y[first : first + d.size], p[first : first + d.size], t[first : first + d.size]
    if loss == MEAN_SQUARED_ERROR:
        for c in range(d.size):
            out[c] = d[c] * (0.5 * d[c] + (some[c] - targets[c]))
        return
    for c in range(d.size):
        out[c] = mass * _small_log1p(shares[c] * _small_expm1(d[c])) - targets[c] * d[c]
    if not largest_magnitude(d) <= _SMALL:
        row = d.reshape(1, d.size)
        for c in range(d.size):
            if not abs(d[c]) <= _SMALL:
                out[c] = _large_change(row, c, first + c, y, p, t, mass)
    if loss == OFFSET_CROSS_ENTROPY:
        _with_offset(of_target(p, t), out)
