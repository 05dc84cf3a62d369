"""Losses of a network's outputs, row by row. Imports compile and activations.

Each kernel writes one loss a row, in float64, and the gradient of their mean; the caller adds the rows in order, so
that the mean has the same bits however the rows were shared among threads. To add a loss: its kernel, a row in
LOSSES, a branch in `loss_rows`, and its twin in reference.py.

Targets come in two forms, of which one is empty: labels (N,) intp, or dense (N, K) one-hot rows, probabilities or
values.
"""

import math
from typing import Any

import numpy as np

from fastnn.kernels.activations import softmax_row
from fastnn.kernels.compile import kernel

SOFTMAX_CROSS_ENTROPY, MEAN_SQUARED_ERROR = range(2)

LOSSES = {"softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY, "mean_squared_error": MEAN_SQUARED_ERROR}


@kernel
def _softmax_cross_entropy_label(x: Any, label: int, batch: int, dx: Any) -> float:
    """-log softmax(x)[label] of one row by log-sum-exp, for logits of any size.

    dx = (softmax(x) - one_hot(label)) / batch. NaN for a label that is none: the gate has checked it, but the array is
    the user's, who may have changed it since.
    """
    if label < 0 or label >= x.size:
        for k in range(x.size):
            dx[k] = np.nan
        return np.nan
    score = x[label]
    highest, total = softmax_row(x, dx)
    count = dx.dtype.type(batch)
    dx[label] -= dx.dtype.type(1.0)
    for k in range(x.size):
        dx[k] /= count
    return math.log(total) + (np.float64(highest) - score)


@kernel
def _softmax_cross_entropy_dense(x: Any, t: Any, batch: int, dx: Any) -> float:
    """-sum(t log softmax(x)) of one row; dx = (softmax(x) - t) / batch.

    A class with t = 0 adds 0 whatever its logit.
    """
    highest, total = softmax_row(x, dx)
    log_total = math.log(total)
    count = dx.dtype.type(batch)
    loss = np.float64(0.0)
    for k in range(x.size):
        if t[k] != dx.dtype.type(0.0):
            loss += t[k] * (log_total + (np.float64(highest) - x[k]))
        dx[k] = (dx[k] - t[k]) / count
    return loss


@kernel
def _squared_error(y: Any, t: Any, batch: int, dy: Any) -> float:
    """sum((y - t)^2) / 2 of one row; dy = (y - t) / batch."""
    count = dy.dtype.type(batch)
    loss = np.float64(0.0)
    for k in range(y.size):
        difference = y[k] - t[k]
        loss += 0.5 * difference * difference
        dy[k] = difference / count
    return loss


@kernel
def loss_rows(
    loss: int, y: Any, labels: Any, dense: Any, rows: Any, batch: int, dy: Any, losses: Any, hits: Any
) -> None:
    """losses[n], dy[n] and hits[n] for each row of y (M, K), a part of a batch of `batch` rows.

    Row n has the target labels[rows[n]] or dense[rows[n]], of which one is empty. hits[n] = 1 where the largest output
    is that of the label or largest target, else 0; of equal ones the first counts. dy (M, K), losses (M,) float64 and
    hits (M,) intp are overwritten.
    """
    for n in range(y.shape[0]):
        if labels.size > 0:
            label = labels[rows[n]]
            losses[n] = _softmax_cross_entropy_label(y[n], label, batch, dy[n])
        else:
            t = dense[rows[n]]
            label = _first_largest(t)
            if loss == SOFTMAX_CROSS_ENTROPY:
                losses[n] = _softmax_cross_entropy_dense(y[n], t, batch, dy[n])
            elif loss == MEAN_SQUARED_ERROR:
                losses[n] = _squared_error(y[n], t, batch, dy[n])
        hits[n] = 1 if _first_largest(y[n]) == label else 0


@kernel
def _first_largest(row: Any) -> int:
    """Where the largest element is; the first of equals, and a NaN counts as largest, as in NumPy."""
    best = 0
    for k in range(1, row.size):
        if row[k] > row[best] or (row[k] != row[k] and row[best] == row[best]):
            best = k
    return best
