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
from fastnn.kernels.compile import kernel
from fastnn.kernels.vector_math import log

SOFTMAX_CROSS_ENTROPY, MEAN_SQUARED_ERROR = range(2)

LOSSES = {"softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY, "mean_squared_error": MEAN_SQUARED_ERROR}


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
            loss += 0.5 * difference * difference
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
