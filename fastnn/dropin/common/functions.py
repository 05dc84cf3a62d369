"""Activations and losses of the first volume (Saito, Deep Learning from Scratch, 2016, chapters 3 to 5).

Large plain arrays go to kernels, all others to NumPy.
"""

from typing import Any

import numpy as np

from fastnn.dropin import backend

__all__ = [
    "cross_entropy_error",
    "identity_function",
    "mean_squared_error",
    "np",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
]


def identity_function(x: Any) -> Any:
    """x itself."""
    return x


def step_function(x: Any) -> Any:
    """1 where x > 0, else 0, as integers."""
    return np.array(x > 0, dtype=np.int64)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), element by element."""
    y = backend.activation("sigmoid", x)
    return 1 / (1 + np.exp(-x)) if y is None else y


def sigmoid_grad(x: Any) -> Any:
    """The derivative of the sigmoid at x, (1 - s) s."""
    s = sigmoid(x)
    return (1.0 - s) * s


def relu(x: Any) -> Any:
    """max(0, x), element by element."""
    return np.maximum(0, x)


def relu_grad(x: Any) -> Any:
    """1 where x >= 0, else 0; like x."""
    slope = np.zeros_like(x)
    slope[x >= 0] = 1
    return slope


def softmax(x: Any) -> Any:
    """exp(x) / sum(exp(x)) along the last axis."""
    y = backend.activation("softmax", x)
    if y is not None:
        return y
    if isinstance(x, list | tuple):
        x = np.array(x)
    shares = np.exp(x - x.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def sum_squared_error(y: Any, t: Any) -> Any:
    """sum((y - t)^2) / 2 over all entries, not divided by the number of samples."""
    return 0.5 * np.sum((y - t) ** 2)


mean_squared_error = sum_squared_error  # its name in the first editions


def cross_entropy_error(y: Any, t: Any) -> Any:
    """-sum(log(y + 1e-7)) / N at the targets, for probabilities y (N, K) or (K,).

    t: one-hot rows if it has the size of y (the largest entry of each counts), else labels.
    """
    if y.ndim == 1:
        y, t = y.reshape(1, y.size), t.reshape(1, t.size)
    labels = t.argmax(axis=1) if t.size == y.size else t
    count = y.shape[0]
    return -np.log(y[np.arange(count), labels] + 1e-7).sum() / count


def softmax_loss(X: Any, t: Any) -> Any:
    """The cross entropy of the softmax of X."""
    return cross_entropy_error(softmax(X), t)
