"""How a loss changes where outputs do: what the perturbation engine asks for. Imports losses and what they import.

A change is no difference of two losses where that would cancel, so nothing is lost where the step is small. All is
float64.
"""

from typing import Any

import numpy as np

from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.losses import (
    ABSOLUTE_ERROR,
    CROSS_ENTROPY,
    EXPONENTIAL,
    HINGE,
    HUBER,
    LOG_LOSS,
    MEAN_SQUARED_ERROR,
    MULTICLASS_HINGE,
    OFFSET,
    OFFSET_CROSS_ENTROPY,
    SIGMOID_CROSS_ENTROPY,
    exponential,
    hinge,
    huber,
)
from fastnn.kernels.rows import first_largest
from fastnn.kernels.simd import bits, fma, from_bits
from fastnn.kernels.vector_math import exp, expm1, log, polynomial, sigmoid, softplus

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


@formula
def _squared_change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """(y + d - t)^2 / 2 - (y - t)^2 / 2."""
    return d * (0.5 * d + (y - t))


@formula
def _absolute_change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """|y + d - t| - |y - t|: d or -d on one side of the kink."""
    before = y - t
    after = before + d
    if before >= 0.0 and after >= 0.0:
        return d
    return -d if before <= 0.0 and after <= 0.0 else abs(after) - abs(before)


@formula
def _huber_change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """That of a square, or p d, on one side of where one becomes the other; else the difference."""
    before = y - t
    after = before + d
    if abs(before) <= p and abs(after) <= p:
        return _squared_change(d, y, t, p)
    if before > p and after > p:
        return p * d
    return -p * d if before < -p and after < -p else huber(y + d, t, p) - huber(y, t, p)


@formula
def _softplus_change(d: Any, y: Any) -> Any:
    """log(1 + exp(y + d)) - log(1 + exp(y)) = log(1 + s (exp(d) - 1)) with s = sigmoid(y)."""
    if abs(d) <= _SMALL:
        return _small_log1p(sigmoid(y) * _small_expm1(d))
    return softplus(y + d) - softplus(y)


@formula
def _sigmoid_cross_entropy_change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """That of t softplus(-y) + (1 - t) softplus(y)."""
    first = t * _softplus_change(-d, -y) if t != 0.0 else 0.0
    return first + ((1.0 - t) * _softplus_change(d, y) if t != 1.0 else 0.0)


@formula
def _hinge_change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """-t d or 0 on one side of the kink; else the difference."""
    before = 1.0 - t * y
    after = before - t * d
    if before >= 0.0 and after >= 0.0:
        return -t * d
    return 0.0 if before <= 0.0 and after <= 0.0 else hinge(y + d, t, p) - hinge(y, t, p)


@formula
def _exponential_change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """exp(-t y) (exp(-t d) - 1)."""
    return exponential(y, t, p) * expm1(-t * d)


@formula
def _cross_entropy_change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """-t log(1 + d / (y + p))."""
    if t == 0.0:
        return 0.0
    u = d / (y + p)
    return -t * (_small_log1p(u) if abs(u) <= _SMALL else log(1.0 + u))


@formula
def _log_loss_change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """That of -t log(y + p) - (1 - t) log(1 - y + p)."""
    return _cross_entropy_change(d, y, t, p) + _cross_entropy_change(-d, 1.0 - y, 1.0 - t, p)


@formula
def _changes_of_outputs(change: Any, p: float, d: Any, first: int, y: Any, t: Any, out: Any) -> None:
    """out[c] = the sum of change(d, y, t, p) over the outputs."""
    for c in range(out.size):
        out[c] = 0.0
    for k in range(t.size):
        row = d[k, first : first + out.size]
        for c in range(out.size):
            out[c] += change(row[c], y[k], t[k], p)


@formula
def _changes_of_one(change: Any, p: float, d: Any, y: Any, t: Any, out: Any) -> None:
    """out[c] = change(d[c], y[c], t[c], p)."""
    for c in range(out.size):
        out[c] = change(d[c], y[c], t[c], p)


@kernel
def _multiclass_hinge_change(d: Any, column: int, only: int, y: Any, t: Any) -> float:
    """The change of the sum of max(0, 1 + y[k] - y[label]) in one column; see _change_at."""
    label = first_largest(t)
    moved, total = _change_at(d, label, column, only), 0.0
    for k in range(t.size):
        if k != label:
            total += _hinge_change(_change_at(d, k, column, only) - moved, y[k] - y[label], -1.0, 0.0)
    return total


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
def _softmax_cross_entropy_change_of_one(
    d: Any, first: int, y: Any, softmax: Any, t: Any, mass: float, out: Any
) -> None:
    """As _softmax_cross_entropy_change where one output alone changes; see loss_change_of_one."""
    shares, targets = softmax[first : first + d.size], t[first : first + d.size]
    for c in range(d.size):
        out[c] = mass * _small_log1p(shares[c] * _small_expm1(d[c])) - targets[c] * d[c]
    if not largest_magnitude(d) <= _SMALL:
        row = d.reshape(1, d.size)
        for c in range(d.size):
            if not abs(d[c]) <= _SMALL:
                out[c] = _large_change(row, c, first + c, y, softmax, t, mass)


@kernel
def loss_change(loss: int, p: float, d: Any, first: int, y: Any, shares: Any, t: Any, work: Any, out: Any) -> None:
    """out[c] = loss of (y + d[:, first + c]) - loss of y, for one sample's outputs y (K,) and targets t (K,).

    d (K, any), shares (K,) = softmax(y), p the loss's parameter, out (C,) overwritten, work (C,) scratch.
    """
    if loss == MEAN_SQUARED_ERROR:
        _changes_of_outputs(_squared_change, p, d, first, y, t, out)
    elif loss == SIGMOID_CROSS_ENTROPY:
        _changes_of_outputs(_sigmoid_cross_entropy_change, p, d, first, y, t, out)
    elif loss == ABSOLUTE_ERROR:
        _changes_of_outputs(_absolute_change, p, d, first, y, t, out)
    elif loss == HUBER:
        _changes_of_outputs(_huber_change, p, d, first, y, t, out)
    elif loss == HINGE:
        _changes_of_outputs(_hinge_change, p, d, first, y, t, out)
    elif loss == EXPONENTIAL:
        _changes_of_outputs(_exponential_change, p, d, first, y, t, out)
    elif loss == CROSS_ENTROPY:
        _changes_of_outputs(_cross_entropy_change, p, d, first, y, t, out)
    elif loss == LOG_LOSS:
        _changes_of_outputs(_log_loss_change, p, d, first, y, t, out)
    elif loss == MULTICLASS_HINGE:
        for c in range(out.size):
            out[c] = _multiclass_hinge_change(d, first + c, -1, y, t)
    else:
        _softmax_cross_entropy_change(d, first, y, shares, t, work, out)
        if loss == OFFSET_CROSS_ENTROPY:
            _with_offset(of_target(shares, t), out)


@kernel
def loss_change_of_one(
    loss: int, p: float, d: Any, first: int, y: Any, softmax: Any, t: Any, mass: float, out: Any
) -> None:
    """As loss_change where in column c output first + c alone changes, by d[c]. d, out (C,); mass: the sum of t."""
    some, targets = y[first : first + d.size], t[first : first + d.size]
    if loss == MEAN_SQUARED_ERROR:
        _changes_of_one(_squared_change, p, d, some, targets, out)
    elif loss == SIGMOID_CROSS_ENTROPY:
        _changes_of_one(_sigmoid_cross_entropy_change, p, d, some, targets, out)
    elif loss == ABSOLUTE_ERROR:
        _changes_of_one(_absolute_change, p, d, some, targets, out)
    elif loss == HUBER:
        _changes_of_one(_huber_change, p, d, some, targets, out)
    elif loss == HINGE:
        _changes_of_one(_hinge_change, p, d, some, targets, out)
    elif loss == EXPONENTIAL:
        _changes_of_one(_exponential_change, p, d, some, targets, out)
    elif loss == CROSS_ENTROPY:
        _changes_of_one(_cross_entropy_change, p, d, some, targets, out)
    elif loss == LOG_LOSS:
        _changes_of_one(_log_loss_change, p, d, some, targets, out)
    elif loss == MULTICLASS_HINGE:
        row = d.reshape(1, d.size)
        for c in range(d.size):
            out[c] = _multiclass_hinge_change(row, c, first + c, y, t)
    else:
        _softmax_cross_entropy_change_of_one(d, first, y, softmax, t, mass, out)
        if loss == OFFSET_CROSS_ENTROPY:
            _with_offset(of_target(softmax, t), out)
