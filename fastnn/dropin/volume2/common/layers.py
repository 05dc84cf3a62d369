"""Layers of the second volume (Saito, 2018, chapters 1 and 4): `params` and `grads` are lists of arrays.

A gradient's array is made once and overwritten by each backward, because models keep it in lists of their own.
"""

from typing import Any

import numpy as np

from fastnn.dropin import backend
from fastnn.dropin.base import Layer
from fastnn.dropin.volume2.common.config import GPU
from fastnn.dropin.volume2.common.functions import cross_entropy_error, sigmoid, softmax

__all__ = [
    "GPU",
    "Affine",
    "Dropout",
    "Embedding",
    "MatMul",
    "Sigmoid",
    "SigmoidWithLoss",
    "Softmax",
    "SoftmaxWithLoss",
    "cross_entropy_error",
    "np",
    "sigmoid",
    "softmax",
]


class MatMul(Layer):
    """x W."""

    def __init__(self, W: Any) -> None:
        self.params, self.grads = [W], [np.zeros_like(W)]
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.dot(x, self.params[0])

    def backward(self, dout: Any) -> Any:
        self.grads[0][...] = np.dot(self.x.T, dout)
        return np.dot(dout, self.params[0].T)


class Affine(Layer):
    """x W + b."""

    def __init__(self, W: Any, b: Any) -> None:
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        W, b = self.params
        self.x = x
        out = backend.affine(x, W, b)
        return np.dot(x, W) + b if out is None else out

    def backward(self, dout: Any) -> Any:
        W, _ = self.params
        results = backend.affine_backward(dout, self.x, W)
        if results is None:
            results = np.dot(dout, W.T), np.dot(self.x.T, dout), np.sum(dout, axis=0)
        dx, self.grads[0][...], self.grads[1][...] = results
        return dx


class Softmax(Layer):
    """exp(x) / sum(exp(x)) of each row."""

    def __init__(self) -> None:
        self.params: list[Any] = []
        self.grads: list[Any] = []
        self.out: Any = None

    def forward(self, x: Any) -> Any:
        self.out = softmax(x)
        return self.out

    def backward(self, dout: Any) -> Any:
        shares = self.out * dout
        return shares - self.out * np.sum(shares, axis=1, keepdims=True)


class SoftmaxWithLoss(Layer):
    """The cross entropy of the softmax, for labels or one-hot rows."""

    def __init__(self) -> None:
        self.params: list[Any] = []
        self.grads: list[Any] = []
        self.y: Any = None
        self.t: Any = None

    def forward(self, x: Any, t: Any) -> Any:
        self.y = softmax(x)
        self.t = t.argmax(axis=1) if t.size == self.y.size else t
        return cross_entropy_error(self.y, self.t)

    def backward(self, dout: Any = 1) -> Any:
        """dout (y - t) / N."""
        count = self.t.shape[0]
        dx = self.y.copy()
        dx[np.arange(count), self.t] -= 1
        dx *= dout
        return dx / count


class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    def __init__(self) -> None:
        self.params: list[Any] = []
        self.grads: list[Any] = []
        self.out: Any = None

    def forward(self, x: Any) -> Any:
        self.out = sigmoid(x)
        return self.out

    def backward(self, dout: Any) -> Any:
        return dout * (1.0 - self.out) * self.out


class SigmoidWithLoss(Layer):
    """The cross entropy of the sigmoid s and 1 - s, for labels 0 and 1."""

    def __init__(self) -> None:
        self.params: list[Any] = []
        self.grads: list[Any] = []
        self.loss: Any = None
        self.y: Any = None
        self.t: Any = None

    def forward(self, x: Any, t: Any) -> Any:
        self.t, self.y = t, sigmoid(x)
        self.loss = cross_entropy_error(np.c_[1 - self.y, self.y], self.t)
        return self.loss

    def backward(self, dout: Any = 1) -> Any:
        """dout (y - t) / N."""
        return (self.y - self.t) * dout / self.t.shape[0]


class Dropout(Layer):
    """x where a random number is above the ratio, else 0; not rescaled. Without training, x times 1 - ratio."""

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        self.params: list[Any] = []
        self.grads: list[Any] = []
        self.dropout_ratio = dropout_ratio
        self.mask: Any = None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if not train_flg:
            return x * (1.0 - self.dropout_ratio)
        self.mask = np.random.rand(*x.shape) > self.dropout_ratio  # noqa: NPY002 - the generator the books seed
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class Embedding(Layer):
    """The rows of W at some indices."""

    def __init__(self, W: Any) -> None:
        self.params, self.grads = [W], [np.zeros_like(W)]
        self.idx: Any = None

    def forward(self, idx: Any) -> Any:
        self.idx = idx
        return self.params[0][idx]

    def backward(self, dout: Any) -> None:
        """The gradient of each row is the sum over its uses."""
        gradient = self.grads[0]
        gradient[...] = 0
        np.add.at(gradient, self.idx, dout)
