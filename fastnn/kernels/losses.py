"""Losses of a network's outputs, row by row. Imports compile, rows, vector_math and views.

Each kernel writes one loss a row, in float64, and the gradient of their sum over a divisor; the caller adds the rows in
order, so that the mean has the same bits however the rows were shared among threads. To add a loss: its kernel or its
formulas, a row in LOSSES, a branch in `loss_rows` and in loss_changes.loss_change, its description in fastnn/losses.py,
and its twin in reference/losses.py.

Targets come in two forms, of which one is empty: labels (N,) intp, or dense (N, K) one-hot rows, probabilities or
values. A formula of single outputs is l(y, t, p), its derivative l'(y, t, p, l), p the loss's one parameter. They are
evaluated in the dtype of y as far as no loss overflows in it that float64 holds, else in float64.
"""

from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.rows import all_finite, divide_by_sum, exp_in_place, first_largest, subtract_largest, sum_of
from fastnn.kernels.vector_math import constant, exp, log, sigmoid, softplus
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
def _softmax_cross_entropy(
    y: Any, labels: Any, dense: Any, rows: Any, divisor: float, dy: Any, out: Any, entropy: bool
) -> None:
    """-sum(t log softmax(y)) of each row by log-sum-exp, for logits of any size; dy = (softmax(y) - t) / divisor.

    entropy: add sum(t log t). A class with t = 0 adds 0 whatever its logit. NaN for a label that is none: the gate
    has checked it, but the array is the user's, who may have changed it since.
    """
    losses, sums, _, values = out
    share = dy.dtype.type(divisor)
    flat_y, flat_t, flat_dy, width = y.reshape(y.size), dense.reshape(dense.size), dy.reshape(dy.size), y.shape[1]
    for n in range(y.shape[0]):
        losses[n] = subtract_largest(part(flat_y, n * width, width), part(flat_dy, n * width, width))
    exp_in_place(flat_dy)
    for n in range(y.shape[0]):
        sums[n] = divide_by_sum(part(flat_dy, n * width, width))
    for n in range(y.shape[0]):
        sums[n] = log(sums[n])
    for n in range(y.shape[0]):
        row, highest = part(flat_y, n * width, width), losses[n]
        slopes = part(flat_dy, n * width, width)
        if labels.size > 0:
            label = labels[rows[n]]
            if label < 0 or label >= width:
                slopes[:] = np.nan
                losses[n] = np.nan
                continue
            losses[n] = sums[n] + (highest - row[label])
            slopes[label] -= dy.dtype.type(1.0)
        else:
            t = part(flat_t, rows[n] * width, width)
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
    for i in range(flat_dy.size):
        flat_dy[i] /= share


@formula
def mean_squared_error(y: Any, t: Any, p: Any) -> Any:
    """(y - t)^2 / 2."""
    difference = np.float64(y) - np.float64(t)
    return 0.5 * difference * difference


@formula
def _mean_squared_error_derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    """y - t, infinite where the dtype of y holds no such number; in float64 the loss took 1.7 times as long."""
    return y - t


@formula
def absolute_error(y: Any, t: Any, p: Any) -> Any:
    """|y - t|."""
    return abs(np.float64(y) - np.float64(t))


@formula
def _absolute_error_derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    """The sign of y - t; 0 where they are equal, NaN where one is."""
    difference, zero, one = y - t, constant(y, 0.0), constant(y, 1.0)
    return one if difference > zero else -one if difference < zero else difference


@formula
def huber(y: Any, t: Any, p: Any) -> Any:
    """(y - t)^2 / 2 where |y - t| <= p, else p (|y - t| - p / 2) (Huber, 1964)."""
    distance, delta = abs(np.float64(y) - np.float64(t)), np.float64(p)
    return delta * (distance - 0.5 * delta) if distance > delta else 0.5 * distance * distance


@formula
def _huber_derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    """y - t, kept within [-p, p]."""
    difference = y - t
    return p if difference > p else -p if difference < -p else difference


@formula
def sigmoid_cross_entropy(y: Any, t: Any, p: Any) -> Any:
    """-t log s - (1 - t) log(1 - s) with s = sigmoid(y), as log(1 + exp(-|y|)) + |y| times the share of the other side.

    Nothing cancels; a share of 0 adds 0, whatever the logit.
    """
    zero = constant(y, 0.0)
    other = constant(y, 1.0) - t if y > zero else t
    return softplus(-abs(y)) + (other * abs(y) if other != zero else zero)


@formula
def _sigmoid_cross_entropy_derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    return sigmoid(y) - t


@formula
def hinge(y: Any, t: Any, p: Any) -> Any:
    """max(0, 1 - t y), t = -1 or 1 (Cortes and Vapnik, 1995), written so that NaN passes."""
    margin, zero = constant(y, 1.0) - t * y, constant(y, 0.0)
    return zero if margin < zero else margin


@formula
def _hinge_derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    """-t where t y < 1, else 0; 0 at the kink, NaN where y is."""
    margin, zero = constant(y, 1.0) - t * y, constant(y, 0.0)
    return -t if margin > zero else zero if margin <= zero else margin


@formula
def exponential(y: Any, t: Any, p: Any) -> Any:
    """exp(-t y), t = -1 or 1: the loss of AdaBoost (Friedman, Hastie and Tibshirani, 2000)."""
    return exp(-t * y)


@formula
def _exponential_derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    return -t * loss


@formula
def cross_entropy(y: Any, t: Any, p: Any) -> Any:
    """-t log(y + p) of a probability; a share of 0 adds 0, whatever the probability."""
    return -t * log(y + p) if t != 0.0 else 0.0


@formula
def _cross_entropy_derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    return -t / (y + p) if t != 0.0 else 0.0


@formula
def log_loss(y: Any, t: Any, p: Any) -> Any:
    """-t log(y + p) - (1 - t) log(1 - y + p) of a probability."""
    return cross_entropy(y, t, p) + cross_entropy(1.0 - y, 1.0 - t, p)


@formula
def _log_loss_derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    return _cross_entropy_derivative(y, t, p, loss) - _cross_entropy_derivative(1.0 - y, 1.0 - t, p, loss)


@formula
def _as_it_is(x: Any) -> Any:
    return x


@formula
def _rows_of_outputs(
    value: Any, derivative: Any, number: Any, p: float, y: Any, dense: Any, rows: Any, divisor: float, dy: Any, out: Any
) -> None:
    """The sum of value(y, t, p) over the outputs of each row; dy = derivative(y, t, p) / divisor.

    number(y): y in the dtype in which they are evaluated. Several narrow rows are taken at once, as ten outputs would
    hardly fill a register, and wide ones in pieces.
    """
    losses, _, _, values = out
    flat_y, flat_t, flat_dy, width = y.reshape(y.size), dense.reshape(dense.size), dy.reshape(dy.size), y.shape[1]
    largest, zero = y.dtype.type(LARGEST_32), number(y.dtype.type(0.0))
    share, parameter = constant(zero, 1.0 / divisor), constant(zero, p)
    several = max(1, values.size // width)
    for first in range(0, y.shape[0], several):
        last = min(first + several, y.shape[0])
        for n in range(first, last):
            losses[n] = 0.0
            targets = part(flat_t, rows[n] * width, width)
            slopes = part(flat_dy, n * width, width)
            for k in range(width):
                slopes[k] = targets[k]
        for begin in range(first * width, last * width, values.size):
            count = min(values.size, last * width - begin)
            outputs, slopes = part(flat_y, begin, count), part(flat_dy, begin, count)
            for i in range(count):
                values[i] = value(number(outputs[i]), number(slopes[i]), parameter)
            for i in range(count):
                slope = derivative(number(outputs[i]), number(slopes[i]), parameter, values[i]) * share
                rounded, bound = y.dtype.type(slope), largest if slope > zero else -largest
                # Finite, but not in float32: times 0 it must not be NaN.
                slopes[i] = bound if abs(rounded) == np.inf and abs(slope) < np.inf else rounded
            if several == 1:
                losses[first] += sum_of(values, count)
            else:
                for n in range(first, last):
                    losses[n] = sum_of(part(values, (n - first) * width, width), width)


@kernel
def _multiclass_hinge(y: Any, labels: Any, rows: Any, divisor: float, dy: Any, out: Any) -> None:
    """The sum of max(0, 1 + y[k] - y[t]) over the classes k other than the label t (Weston and Watkins, 1999).

    dy = (1 for each k whose margin is lacking, minus their number for t) / divisor. NaN for a label that is none.
    """
    losses, _, _, values = out
    share = 1.0 / divisor
    flat_y, flat_dy, width = y.reshape(y.size), dy.reshape(dy.size), y.shape[1]
    for n in range(y.shape[0]):
        label = labels[rows[n]]
        if label < 0 or label >= y.shape[1]:
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
def are_targets(loss: int, dense: Any) -> bool:
    """Whether all of a vector are finite values, shares or signs, as the loss takes them; of probabilities never.

    The gate says what is wrong where they are not, and looks at the sums of probabilities.
    """
    one, wrong = dense.dtype.type(1.0), 0
    if loss in (MEAN_SQUARED_ERROR, ABSOLUTE_ERROR, HUBER):
        return all_finite(dense)
    if loss in (SIGMOID_CROSS_ENTROPY, LOG_LOSS):
        for i in range(dense.size):
            wrong |= not (dense[i] >= dense.dtype.type(0.0) and dense[i] <= one)
        return wrong == 0
    if loss in (HINGE, EXPONENTIAL):
        for i in range(dense.size):
            wrong |= abs(dense[i]) != one
        return wrong == 0
    return False


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
def _count_hits(loss: int, y: Any, labels: Any, dense: Any, rows: Any, hits: Any) -> None:
    """hits[n] = 1 where row n of y is right, see _is_hit, else 0; a label that is none is never hit."""
    flat_y, flat_t, width = y.reshape(y.size), dense.reshape(dense.size), y.shape[1]
    for n in range(y.shape[0]):
        row = part(flat_y, n * width, width)
        if labels.size > 0:
            hits[n] = 1 if first_largest(row) == labels[rows[n]] else 0
        else:
            hits[n] = _is_hit(loss, row, part(flat_t, rows[n] * width, width))


@kernel
def loss_rows(
    loss: int, p: float, y: Any, labels: Any, dense: Any, rows: Any, divisor: float, dy: Any, out: Any
) -> None:
    """losses[n], dy[n] and hits[n] for each row of y (M, K); dy is the gradient of the losses' sum over `divisor`.

    Row n has the target labels[rows[n]] or dense[rows[n]], of which one is empty; p: the loss's parameter. hits[n]: see
    _count_hits; empty where nobody asks, as of wide rows they take longer than the loss. dy (M, K) and out = (losses
    (M,) float64, sums (M,) float64 for scratch, hits (M,) intp or empty, values, any number of float64 for scratch) are
    overwritten. Loops over `values` are vectorised, sums of them are sum_of's.
    """
    hits = out[2]
    if hits.size > 0:
        _count_hits(loss, y, labels, dense, rows, hits)
    if loss == HINGE and labels.size > 0:
        _multiclass_hinge(y, labels, rows, divisor, dy, out)
    elif loss in (SOFTMAX_CROSS_ENTROPY, OFFSET_CROSS_ENTROPY) or labels.size > 0:
        _softmax_cross_entropy(y, labels, dense, rows, divisor, dy, out, False)
    elif loss == KL_DIVERGENCE:
        _softmax_cross_entropy(y, labels, dense, rows, divisor, dy, out, True)
    elif loss == MEAN_SQUARED_ERROR:
        _rows_of_outputs(
            mean_squared_error, _mean_squared_error_derivative, _as_it_is, p, y, dense, rows, divisor, dy, out
        )
    elif loss == SIGMOID_CROSS_ENTROPY:
        _rows_of_outputs(
            sigmoid_cross_entropy, _sigmoid_cross_entropy_derivative, _as_it_is, p, y, dense, rows, divisor, dy, out
        )
    elif loss == ABSOLUTE_ERROR:
        _rows_of_outputs(absolute_error, _absolute_error_derivative, _as_it_is, p, y, dense, rows, divisor, dy, out)
    elif loss == HUBER:
        _rows_of_outputs(huber, _huber_derivative, _as_it_is, p, y, dense, rows, divisor, dy, out)
    elif loss == HINGE:
        _rows_of_outputs(hinge, _hinge_derivative, _as_it_is, p, y, dense, rows, divisor, dy, out)
    elif loss == EXPONENTIAL:
        _rows_of_outputs(exponential, _exponential_derivative, np.float64, p, y, dense, rows, divisor, dy, out)
    elif loss == CROSS_ENTROPY:
        _rows_of_outputs(cross_entropy, _cross_entropy_derivative, np.float64, p, y, dense, rows, divisor, dy, out)
    elif loss == LOG_LOSS:
        _rows_of_outputs(log_loss, _log_loss_derivative, np.float64, p, y, dense, rows, divisor, dy, out)
