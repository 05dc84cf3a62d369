"""Layers whose `params` and `grads` are lists of arrays."""

from typing import Any

import numpy as np
from common.functions import sigmoid


class Affine:
    """x W + b."""

    def __init__(self, W: Any, b: Any) -> None:
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.dot(x, self.params[0]) + self.params[1]

    def backward(self, dout: Any) -> Any:
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = dout.sum(axis=0)
        return np.dot(dout, self.params[0].T)


class Sigmoid:
    """1 / (1 + exp(-x))."""

    def __init__(self) -> None:
        self.params: list[Any] = []
        self.grads: list[Any] = []
        self.out: Any = None

    def forward(self, x: Any) -> Any:
        self.out = sigmoid(x)
        return self.out

    def backward(self, dout: Any) -> Any:
        return dout * (1 - self.out) * self.out
