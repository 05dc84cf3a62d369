"""Optimizers of the first volume over dictionaries of parameters (Saito, 2016, chapter 6).

Each updates arrays in place and puts Python numbers back into the dictionary; its state appears with the first update.
"""

from typing import Any

import numpy as np

from fastnn.dropin import backend
from fastnn.dropin.base import Optimizer

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]

EPSILON = 1e-7  # beside the root, so that nothing is divided by 0
Dictionary = dict[str, Any]


def _zeros(params: Dictionary) -> Dictionary:
    return {key: np.zeros_like(value) for key, value in params.items()}


class SGD(Optimizer):
    """p -= lr g."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def update(self, params: Dictionary, grads: Dictionary) -> None:
        for key in params:
            if not backend.sgd(params[key], grads[key], self.lr):
                params[key] -= self.lr * grads[key]


class Momentum(Optimizer):
    """v = momentum v - lr g; p += v."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr, self.momentum = lr, momentum
        self.v: Dictionary | None = None

    def update(self, params: Dictionary, grads: Dictionary) -> None:
        if self.v is None:
            self.v = _zeros(params)
        for key in params:
            if not backend.momentum(params[key], grads[key], self.v[key], self.lr, self.momentum):
                self.v[key] = self.momentum * self.v[key] - self.lr * grads[key]
                params[key] += self.v[key]


class Nesterov(Optimizer):
    """p += momentum^2 v - (1 + momentum) lr g; then v = momentum v - lr g."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr, self.momentum = lr, momentum
        self.v: Dictionary | None = None

    def update(self, params: Dictionary, grads: Dictionary) -> None:
        if self.v is None:
            self.v = _zeros(params)
        for key in params:
            params[key] += self.momentum * self.momentum * self.v[key]
            params[key] -= (1 + self.momentum) * self.lr * grads[key]
            self.v[key] *= self.momentum
            self.v[key] -= self.lr * grads[key]


class AdaGrad(Optimizer):
    """h += g^2; p -= lr g / (sqrt(h) + 1e-7)."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: Dictionary | None = None

    def update(self, params: Dictionary, grads: Dictionary) -> None:
        if self.h is None:
            self.h = _zeros(params)
        for key in params:
            self.h[key] += grads[key] * grads[key]
            params[key] -= self.lr * grads[key] / (np.sqrt(self.h[key]) + EPSILON)


class RMSprop(Optimizer):
    """h = decay_rate h + (1 - decay_rate) g^2; p -= lr g / (sqrt(h) + 1e-7)."""

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr, self.decay_rate = lr, decay_rate
        self.h: Dictionary | None = None

    def update(self, params: Dictionary, grads: Dictionary) -> None:
        if self.h is None:
            self.h = _zeros(params)
        for key in params:
            self.h[key] *= self.decay_rate
            self.h[key] += (1 - self.decay_rate) * grads[key] * grads[key]
            params[key] -= self.lr * grads[key] / (np.sqrt(self.h[key]) + EPSILON)


class Adam(Optimizer):
    """Running means m of g and v of g^2; p -= rate m / (sqrt(v) + 1e-7), the rate corrected for their start at 0."""

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.iter = 0
        self.m: Dictionary | None = None
        self.v: Dictionary | None = None

    def update(self, params: Dictionary, grads: Dictionary) -> None:
        if self.m is None or self.v is None:
            self.m, self.v = _zeros(params), _zeros(params)
        self.iter += 1
        rate = self.lr * np.sqrt(1.0 - self.beta2**self.iter) / (1.0 - self.beta1**self.iter)
        for key in params:
            self.m[key] += (1 - self.beta1) * (grads[key] - self.m[key])
            self.v[key] += (1 - self.beta2) * (grads[key] ** 2 - self.v[key])
            params[key] -= rate * self.m[key] / (np.sqrt(self.v[key]) + EPSILON)
