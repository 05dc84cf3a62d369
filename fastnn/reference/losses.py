"""Losses in plain NumPy, with their gradients by the outputs: part of fastnn.reference.

Each takes outputs (N, K) and targets, and returns the mean over the batch and its gradient (N, K). `out` receives the
gradient.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .activations import Array, Out, quiet

Targets: TypeAlias = npt.NDArray[Any]


@quiet
def softmax_cross_entropy(x: Array, t: Targets, *, out: Out = None) -> tuple[float, Array]:
    """loss = -1/N sum over i and k of t[i, k] log(softmax(x)[i, k]), dx = (softmax(x) - t) / N.

    x: logits (N, K). t: labels (N,), one-hot or probabilities (N, K) whose rows sum to 1. The logarithm is a
    log-sum-exp; nothing is clipped. A class with t = 0 adds nothing, even where its logit is -inf; rows that softmax
    turns into NaN make the loss NaN. `out` receives dx. Source: Blanchard, Higham and Higham, IMA Journal of Numerical
    Analysis 41 (2021), 2311-2330.
    """
    dx: Array = np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    if t.ndim == 1:
        at_labels = np.arange(len(x)), t
        expected_logits = dx[at_labels]
    else:
        t = t.astype(dx.dtype, copy=False)
        expected_logits = (dx * t).sum(axis=1, where=t != 0)  # where=, because 0 * -inf is NaN
    np.exp(dx, out=dx)
    sums = dx.sum(axis=1, keepdims=True)
    losses = np.log(sums[:, 0])
    dx /= sums
    if t.ndim == 1:
        dx[at_labels] -= 1
    else:
        dx -= t
        losses *= t.sum(axis=1)
    dx /= len(x)
    losses -= expected_logits
    return float(losses.sum() / len(x)), dx


@quiet
def kl_divergence(x: Array, t: Targets, *, out: Out = None) -> tuple[float, Array]:
    """As softmax_cross_entropy, less the entropy of the targets: 1/N sum t log(t / softmax(x))."""
    loss, dx = softmax_cross_entropy(x, t, out=out)
    if t.ndim == 1:
        return loss, dx
    entropy = -np.sum(t * np.log(np.where(t > 0, t, 1)))
    return float(loss - entropy / len(x)), dx


@quiet
def mean_squared_error(y: Array, t: Targets, *, out: Out = None) -> tuple[float, Array]:
    """loss = sum((y - t)^2) / (2 N), dy = (y - t) / N.

    y and t (N, ...), N the length of the first axis. `out` receives dy.
    """
    dy: Array = np.subtract(y, t, out=out, dtype=y.dtype)
    loss = np.vdot(dy, dy) / (2 * len(y))
    dy /= len(y)
    return float(loss), dy


@quiet
def sigmoid_cross_entropy(x: Array, t: Targets, *, out: Out = None) -> tuple[float, Array]:
    """loss = -sum(t log s + (1 - t) log(1 - s)) / N with s = sigmoid(x), dx = (s - t) / N; x, t (N, K)."""
    e = np.exp(-np.abs(x))
    losses = t * (np.maximum(-x, 0) + np.log1p(e)) + (1 - t) * (np.maximum(x, 0) + np.log1p(e))
    s = np.where(x < 0, e, 1) / (1 + e)
    return _mean(losses, s - t, out)


@quiet
def absolute_error(y: Array, t: Targets, *, out: Out = None) -> tuple[float, Array]:
    """loss = sum(|y - t|) / N, dy = sign(y - t) / N; y, t (N, K)."""
    return _mean(np.abs(y - t), np.sign(y - t), out)


@quiet
def huber(y: Array, t: Targets, *, delta: float = 1.0, out: Out = None) -> tuple[float, Array]:
    """Half the square where |y - t| <= delta, else delta (|y - t| - delta / 2); summed, over N. y, t (N, K)."""
    e = y - t
    losses = np.where(np.abs(e) > delta, delta * (np.abs(e) - 0.5 * delta), 0.5 * e * e)
    return _mean(losses, np.clip(e, -delta, delta), out)


@quiet
def hinge(y: Array, t: Targets, *, out: Out = None) -> tuple[float, Array]:
    """sum(max(0, 1 - t y)) / N for t (N, K) of -1 and 1; for labels (N,) sum(max(0, 1 + y[k] - y[t])) / N, k != t."""
    if t.ndim == 2:
        margin = 1 - t * y
        return _mean(np.maximum(margin, 0), np.where(np.isnan(margin), margin, -t * (margin > 0)), out)
    rows = np.arange(len(y))
    margin = 1 + y - y[rows, t][:, None]
    margin[rows, t] = 0
    lacking = np.where(np.isnan(margin), margin, margin > 0).astype(y.dtype)
    lacking[rows, t] = -lacking.sum(axis=1)
    return _mean(np.maximum(margin, 0), lacking, out)


@quiet
def exponential(y: Array, t: Targets, *, out: Out = None) -> tuple[float, Array]:
    """sum(exp(-t y)) / N, dy = -t exp(-t y) / N for t (N, K) of -1 and 1."""
    e = np.exp(-t * y)
    return _mean(e, -t * e, out)


@quiet
def cross_entropy(y: Array, t: Targets, *, offset: float = 0.0, out: Out = None) -> tuple[float, Array]:
    """-sum(t log(y + offset)) / N of probabilities y (N, K); t labels (N,), one-hot or probabilities (N, K)."""
    dense = np.eye(y.shape[1], dtype=y.dtype)[t] if t.ndim == 1 else t
    some = dense != 0
    losses = np.where(some, -dense * np.log(np.where(some, y + offset, 1)), 0)
    return _mean(losses, np.where(some, -dense / np.where(some, y + offset, 1), 0), out)


@quiet
def log_loss(y: Array, t: Targets, *, offset: float = 0.0, out: Out = None) -> tuple[float, Array]:
    """-sum(t log(y + offset) + (1 - t) log(1 - y + offset)) / N of probabilities y (N, K); t (N, K) in [0, 1]."""
    one, dy = cross_entropy(y, t, offset=offset)
    other, dz = cross_entropy(1 - y, 1 - t, offset=offset)
    return one + other, np.subtract(dy, dz, out=out)


@quiet
def poisson(y: Array, t: Targets, *, out: Out = None) -> tuple[float, Array]:
    """sum(exp(y) - t y + t log t - t) / N, dy = (exp(y) - t) / N; y, t (N, K); t log t - t only where t > 0."""
    rate, some = np.exp(y), t > 0
    constants = np.where(some, t * np.log(np.where(some, t, 1)) - t, 0)
    return _mean(rate - np.where(t != 0, t * y, 0) + constants, rate - t, out)


def _mean(losses: Array, gradient: Array, out: Out) -> tuple[float, Array]:
    """The sum of the losses and the gradients, over N."""
    count = len(losses)
    return float(losses.sum() / count), np.divide(gradient, count, out=out, dtype=losses.dtype)


# To add a loss, write it above and enter it here.
LOSSES: dict[str, Callable[[Array, Targets], tuple[float, Array]]] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "sigmoid_cross_entropy": sigmoid_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "absolute_error": absolute_error,
    "huber": huber,
    "hinge": hinge,
    "exponential": exponential,
    "kl_divergence": kl_divergence,
    "cross_entropy": cross_entropy,
    "log_loss": log_loss,
    "poisson": poisson,
}
OF_PROBABILITIES = ("cross_entropy", "log_loss")  # losses of probabilities
# The targets (N, K) of losses that do not take all numbers: signs -1 and 1, numbers in [0, 1], or distributions.
TARGETS = {
    "softmax_cross_entropy": "probabilities",
    "kl_divergence": "probabilities",
    "cross_entropy": "probabilities",
    "sigmoid_cross_entropy": "shares",
    "log_loss": "shares",
    "hinge": "signs",
    "exponential": "signs",
}
