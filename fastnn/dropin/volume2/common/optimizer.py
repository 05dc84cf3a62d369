"""Optimizers of the second volume over lists of arrays (Saito, 2018): each updates its arrays in place."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.dropin.base import Optimizer
from fastnn.dropin.common import optimizer as first
from fastnn.dropin.volume2.common.config import GPU

__all__ = ["GPU", "SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]


class _Listed(Optimizer):
    """An optimizer of the first volume, over lists instead of dictionaries."""

    def update(self, params: Any, grads: Any) -> None:
        named: dict[Any, Any] = dict(enumerate(params))
        super().update(named, dict(enumerate(grads)))
        for name, state in vars(self).items():
            if isinstance(state, dict):
                setattr(self, name, list(state.values()))
        for i, value in named.items():
            if value is not params[i]:  # a Python number
                params[i] = value


class SGD(_Listed, first.SGD):
    """p -= lr g."""


class Momentum(_Listed, first.Momentum):
    """v = momentum v - lr g; p += v."""


class AdaGrad(_Listed, first.AdaGrad):
    """h += g^2; p -= lr g / (sqrt(h) + 1e-7)."""


class RMSprop(_Listed, first.RMSprop):
    """h = decay_rate h + (1 - decay_rate) g^2; p -= lr g / (sqrt(h) + 1e-7)."""


class Adam(_Listed, first.Adam):
    """Running means m of g and v of g^2; p -= rate m / (sqrt(v) + 1e-7), the rate corrected for their start at 0."""


class Nesterov(Optimizer):
    """v = momentum v - lr g; p += momentum^2 v - (1 + momentum) lr g, with the new v."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr, self.momentum = lr, momentum
        self.v: Sequence[Any] | None = None

    def update(self, params: list[Any], grads: list[Any]) -> None:
        if self.v is None:
            self.v = [np.zeros_like(param) for param in params]
        for i in range(len(params)):
            self.v[i][...] = self.momentum * self.v[i] - self.lr * grads[i]
            params[i] += self.momentum * self.momentum * self.v[i]
            params[i] -= (1 + self.momentum) * self.lr * grads[i]
