"""Losses of a network's outputs, row by row. Imports compile, activations and vector_math.

Each kernel writes one loss a row, in float64, and the gradient of their sum over a divisor; the caller adds the rows in
order, so that the mean has the same bits however the rows were shared among threads. To add a loss: its kernel or its
formulas, a row in LOSSES, a branch in `loss_rows` and in loss_changes.loss_change, its description in fastnn/losses.py,
and its twin in reference_losses.py.

Targets come in two forms, of which one is empty: labels (N,) intp, or dense (N, K) one-hot rows, probabilities or
values. A formula of single outputs is l(y, t, p), its derivative l'(y, t, p), p the loss's one parameter; in float64.
"""

from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels.activations import divide_by_sum, exp_in_place, first_largest, subtract_largest, sum_of
from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.vector_math import exp, log, sigmoid, softplus
from fastnn.kernels.views import part


class Row(NamedTuple):
    """What the rest of fastnn needs to know of a loss: a row of LOSSES."""

    code: int
    parameter: str = ""  # the keyword of its parameter, if any
    default: float = 0.0
    has_kink: bool = False  # whether its derivative jumps


(SOFTMAX_CROSS_ENTROPY, MEAN_SQUARED_ERROR, SIGMOID_CROSS_ENTROPY, ABSOLUTE_ERROR, HUBER, HINGE, EXPONENTIAL,
 KL_DIVERGENCE, CROSS_ENTROPY, LOG_LOSS, MULTICLASS_HINGE, OFFSET_CROSS_ENTROPY) = range(12)  # fmt: skip

LOSSES = {
    "softmax_cross_entropy": Row(SOFTMAX_CROSS_ENTROPY),
    "sigmoid_cross_entropy": Row(SIGMOID_CROSS_ENTROPY),
    "mean_squared_error": Row(MEAN_SQUARED_ERROR),
    "absolute_error": Row(ABSOLUTE_ERROR, has_kink=True),
    "huber": Row(HUBER, "delta", 1.0),
    "hinge": Row(HINGE, has_kink=True),
    "exponential": Row(EXPONENTIAL),
    "kl_divergence": Row(KL_DIVERGENCE),
    "cross_entropy": Row(CROSS_ENTROPY, "offset"),
    "log_loss": Row(LOG_LOSS, "offset"),
}

# -log(softmax(y)_t + OFFSET) for one-hot targets: what courses write so that log(0) does not happen (Saito, Deep
# Learning from Scratch, 2016, chapter 4). It has changes alone: what it is for is their numerical gradient.
OFFSET = 1e-7
LARGEST_32 = 3.4028234663852886e38


@kernel
def _is_hit(loss: int, y: Any, t: Any) -> int:
    """1 where the largest output is that of the largest target, the first of equals; of one output, where both are of
    the same class: a logit or a margin is parted at 0, a probability at 1/2. Else 0.
    """
    if y.size > 1:
        return 1 if first_largest(y) == first_largest(t) else 0
    border = y.dtype.type(0.0)
    half = y.dtype.type(0.5)
    if loss in (SIGMOID_CROSS_ENTROPY, LOG_LOSS):
        return 1 if (y[0] > (half if loss == LOG_LOSS else border)) == (t[0] > half) else 0
    return 1 if (y[0] > border) == (t[0] > border) else 0


@kernel
def _softmax_cross_entropy(
    y: Any, labels: Any, dense: Any, rows: Any, divisor: float, dy: Any, out: Any, entropy: bool
) -> None:
    """-sum(t log softmax(y)) of each row by log-sum-exp, for logits of any size; dy = (softmax(y) - t) / divisor.

    entropy: add sum(t log t). A class with t = 0 adds 0 whatever its logit. NaN for a label that is none: the gate
    has checked it, but the array is the user's, who may have changed it since.
    """
    losses, sums, hits, values = out
    share = dy.dtype.type(divisor)
    flat_y, flat_t, flat_dy, width = y.reshape(y.size), dense.reshape(dense.size), dy.reshape(dy.size), y.shape[1]
    for n in range(y.shape[0]):
        hits[n] = subtract_largest(part(flat_y, n * width, width), part(flat_dy, n * width, width))
    exp_in_place(dy)
    for n in range(y.shape[0]):
        sums[n] = divide_by_sum(part(flat_dy, n * width, width))
    for n in range(y.shape[0]):
        sums[n] = log(sums[n])
    for n in range(y.shape[0]):
        row, highest = part(flat_y, n * width, width), np.float64(flat_y[n * width + hits[n]])
        slopes = part(flat_dy, n * width, width)
        if labels.size > 0:
            label = labels[rows[n]]
            if label < 0 or label >= width:
                slopes[:] = np.nan
                losses[n], hits[n] = np.nan, 0
                continue
            losses[n] = sums[n] + (highest - row[label])
            slopes[label] -= dy.dtype.type(1.0)
        else:
            t = part(flat_t, rows[n] * width, width)
            label = first_largest(t)
            losses[n] = 0.0
            for begin in range(0, width, values.size):
                count = min(values.size, width - begin)
                some, targets = part(flat_y, n * width + begin, count), part(flat_t, rows[n] * width + begin, count)
                for k in range(count):
                    one = np.float64(targets[k])
                    change = sums[n] + (highest - some[k])
                    change += log(one) if entropy else 0.0
                    values[k] = one * change if one != 0.0 else 0.0
                losses[n] += sum_of(values, count)
            for k in range(width):
                slopes[k] -= t[k]
        hits[n] = 1 if hits[n] == label else 0
    for i in range(flat_dy.size):
        flat_dy[i] /= share


@kernel
def _mean_squared_error(y: Any, dense: Any, rows: Any, divisor: float, dy: Any, out: Any) -> None:
    """sum((y - t)^2) / 2 of each row; dy = (y - t) / divisor."""
    losses, _, hits, values = out
    share = dy.dtype.type(divisor)
    flat_y, flat_t, flat_dy, width = y.reshape(y.size), dense.reshape(dense.size), dy.reshape(dy.size), y.shape[1]
    for n in range(y.shape[0]):
        losses[n] = 0.0
        for begin in range(0, width, values.size):
            count = min(values.size, width - begin)
            some, targets = part(flat_y, n * width + begin, count), part(flat_t, rows[n] * width + begin, count)
            slopes = part(flat_dy, n * width + begin, count)
            for k in range(count):
                difference = some[k] - targets[k]
                exact = np.float64(difference)
                values[k] = 0.5 * exact * exact
                slopes[k] = difference / share
            losses[n] += sum_of(values, count)
        hits[n] = _is_hit(MEAN_SQUARED_ERROR, part(flat_y, n * width, width), part(flat_t, rows[n] * width, width))


@formula
def absolute_error(y: Any, t: Any, p: Any) -> Any:
    """|y - t|."""
    return abs(y - t)


@formula
def _absolute_error_derivative(y: Any, t: Any, p: Any) -> Any:
    """The sign of y - t; 0 where they are equal, NaN where one is."""
    difference = y - t
    return 1.0 if difference > 0.0 else -1.0 if difference < 0.0 else difference


@formula
def huber(y: Any, t: Any, p: Any) -> Any:
    """(y - t)^2 / 2 where |y - t| <= p, else p (|y - t| - p / 2) (Huber, 1964)."""
    distance = abs(y - t)
    return p * (distance - 0.5 * p) if distance > p else 0.5 * distance * distance


@formula
def _huber_derivative(y: Any, t: Any, p: Any) -> Any:
    """y - t, kept within [-p, p]."""
    difference = y - t
    return p if difference > p else -p if difference < -p else difference


@formula
def sigmoid_cross_entropy(y: Any, t: Any, p: Any) -> Any:
    """-t log s - (1 - t) log(1 - s) with s = sigmoid(y), as t softplus(-y) + (1 - t) softplus(y): nothing cancels.

    A share of 0 adds 0, whatever the logit.
    """
    first = t * softplus(-y) if t != 0.0 else 0.0
    return first + ((1.0 - t) * softplus(y) if t != 1.0 else 0.0)


@formula
def _sigmoid_cross_entropy_derivative(y: Any, t: Any, p: Any) -> Any:
    return sigmoid(y) - t


@formula
def hinge(y: Any, t: Any, p: Any) -> Any:
    """max(0, 1 - t y), t = -1 or 1 (Cortes and Vapnik, 1995), written so that NaN passes."""
    margin = 1.0 - t * y
    return 0.0 if margin < 0.0 else margin


@formula
def _hinge_derivative(y: Any, t: Any, p: Any) -> Any:
    """-t where t y < 1, else 0; 0 at the kink, NaN where y is."""
    margin = 1.0 - t * y
    return -t if margin > 0.0 else 0.0 if margin <= 0.0 else margin


@formula
def exponential(y: Any, t: Any, p: Any) -> Any:
    """exp(-t y), t = -1 or 1: the loss of AdaBoost (Friedman, Hastie and Tibshirani, 2000)."""
    return exp(-t * y)


@formula
def _exponential_derivative(y: Any, t: Any, p: Any) -> Any:
    return -t * exp(-t * y)


@formula
def cross_entropy(y: Any, t: Any, p: Any) -> Any:
    """-t log(y + p) of a probability; a share of 0 adds 0, whatever the probability."""
    return -t * log(y + p) if t != 0.0 else 0.0


@formula
def _cross_entropy_derivative(y: Any, t: Any, p: Any) -> Any:
    return -t / (y + p) if t != 0.0 else 0.0


@formula
def log_loss(y: Any, t: Any, p: Any) -> Any:
    """-t log(y + p) - (1 - t) log(1 - y + p) of a probability."""
    return cross_entropy(y, t, p) + cross_entropy(1.0 - y, 1.0 - t, p)


@formula
def _log_loss_derivative(y: Any, t: Any, p: Any) -> Any:
    return _cross_entropy_derivative(y, t, p) - _cross_entropy_derivative(1.0 - y, 1.0 - t, p)


@formula
def _rows_of_outputs(
    value: Any, derivative: Any, loss: int, p: float, y: Any, dense: Any, rows: Any, divisor: float, dy: Any, out: Any
) -> None:
    """The sum of value(y, t, p) over the outputs of each row; dy = derivative(y, t, p) / divisor."""
    losses, _, hits, values = out
    largest = dy.dtype.type(LARGEST_32)
    flat_y, flat_t, flat_dy, width = y.reshape(y.size), dense.reshape(dense.size), dy.reshape(dy.size), y.shape[1]
    for n in range(y.shape[0]):
        losses[n] = 0.0
        for begin in range(0, width, values.size):
            count = min(values.size, width - begin)
            some, targets = part(flat_y, n * width + begin, count), part(flat_t, rows[n] * width + begin, count)
            slopes = part(flat_dy, n * width + begin, count)
            for k in range(count):
                values[k] = value(np.float64(some[k]), np.float64(targets[k]), p)
            losses[n] += sum_of(values, count)
            for k in range(count):
                slope = derivative(np.float64(some[k]), np.float64(targets[k]), p) / divisor
                rounded = dy.dtype.type(slope)
                # Finite, but not in float32: times 0 it must not be NaN.
                bound = largest if slope > 0.0 else -largest
                slopes[k] = bound if abs(rounded) == np.inf and abs(slope) < np.inf else rounded
        hits[n] = _is_hit(loss, part(flat_y, n * width, width), part(flat_t, rows[n] * width, width))


@kernel
def _multiclass_hinge(y: Any, labels: Any, rows: Any, divisor: float, dy: Any, out: Any) -> None:
    """The sum of max(0, 1 + y[k] - y[t]) over the classes k other than the label t (Weston and Watkins, 1999).

    dy = (1 for each k whose margin is lacking, minus their number for t) / divisor. NaN for a label that is none.
    """
    losses, _, hits, values = out
    share = 1.0 / divisor
    flat_y, flat_dy, width = y.reshape(y.size), dy.reshape(dy.size), y.shape[1]
    for n in range(y.shape[0]):
        label = labels[rows[n]]
        if label < 0 or label >= y.shape[1]:
            dy[n, :] = np.nan
            losses[n], hits[n] = np.nan, 0
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
        hits[n] = 1 if first_largest(part(flat_y, n * width, width)) == label else 0


@kernel
def loss_rows(
    loss: int, p: float, y: Any, labels: Any, dense: Any, rows: Any, divisor: float, dy: Any, out: Any
) -> None:
    """losses[n], dy[n] and hits[n] for each row of y (M, K); dy is the gradient of the losses' sum over `divisor`.

    Row n has the target labels[rows[n]] or dense[rows[n]], of which one is empty; p: the loss's parameter. hits[n]: see
    _is_hit. dy (M, K) and out = (losses (M,) float64, sums (M,) float64 for scratch, hits (M,) intp, values, any number
    of float64 for scratch) are overwritten. Loops over `values` are vectorised, sums of them are sum_of's.
    """
    if loss == HINGE and labels.size > 0:
        _multiclass_hinge(y, labels, rows, divisor, dy, out)
    elif loss in (SOFTMAX_CROSS_ENTROPY, OFFSET_CROSS_ENTROPY) or labels.size > 0:
        _softmax_cross_entropy(y, labels, dense, rows, divisor, dy, out, False)
    elif loss == KL_DIVERGENCE:
        _softmax_cross_entropy(y, labels, dense, rows, divisor, dy, out, True)
    elif loss == MEAN_SQUARED_ERROR:
        _mean_squared_error(y, dense, rows, divisor, dy, out)
    elif loss == SIGMOID_CROSS_ENTROPY:
        _rows_of_outputs(
            sigmoid_cross_entropy, _sigmoid_cross_entropy_derivative, loss, p, y, dense, rows, divisor, dy, out
        )
    elif loss == ABSOLUTE_ERROR:
        _rows_of_outputs(absolute_error, _absolute_error_derivative, loss, p, y, dense, rows, divisor, dy, out)
    elif loss == HUBER:
        _rows_of_outputs(huber, _huber_derivative, loss, p, y, dense, rows, divisor, dy, out)
    elif loss == HINGE:
        _rows_of_outputs(hinge, _hinge_derivative, loss, p, y, dense, rows, divisor, dy, out)
    elif loss == EXPONENTIAL:
        _rows_of_outputs(exponential, _exponential_derivative, loss, p, y, dense, rows, divisor, dy, out)
    elif loss == CROSS_ENTROPY:
        _rows_of_outputs(cross_entropy, _cross_entropy_derivative, loss, p, y, dense, rows, divisor, dy, out)
    elif loss == LOG_LOSS:
        _rows_of_outputs(log_loss, _log_loss_derivative, loss, p, y, dense, rows, divisor, dy, out)
