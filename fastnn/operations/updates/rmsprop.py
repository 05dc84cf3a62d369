"""RMSProp: rates scaled by a running mean of squares."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.units import unit
from fastnn.operations.updates.base import (
    EPSILON,
    FIRST,
    INSIDE,
    RATE,
    Optimizer,
    check_epsilon,
    grads,
    params,
    rates,
    root,
    state,
)


@unit
def rmsprop_update(frame: Any) -> None:
    """s = decay s + (1 - decay) g^2, p -= lr g / root(s)."""
    p, g, s, numbers = params(frame), grads(frame), state(frame, 0), rates(frame)
    lr, epsilon, inside = p.dtype.type(numbers[RATE]), p.dtype.type(numbers[EPSILON]), numbers[INSIDE] != 0.0
    keep, add = p.dtype.type(numbers[FIRST]), p.dtype.type(1.0 - numbers[FIRST])
    for i in range(p.size):
        s[i] = keep * s[i] + add * (g[i] * g[i])
        p[i] -= lr * g[i] / root(s[i], epsilon, inside)


@dataclass(frozen=True, repr=False)
class RMSProp(Optimizer):
    """Rates scaled by a running mean of squares: s = decay s + (1 - decay) g^2, p -= lr g / (sqrt(s) + epsilon).

    Source: Tieleman and Hinton, Neural Networks for Machine Learning (2012), lecture 6.5.

    Parameters
    ----------
    lr, clip_value, clip_norm
        As for `Optimizer`.
    decay : float
        In [0, 1).
    epsilon : float
        Above 0.
    epsilon_inside : bool
        Divide by sqrt(s + epsilon) instead.
    """

    lr: float = 0.001
    decay: float = 0.99
    epsilon: float = 1e-8
    epsilon_inside: bool = False

    update = "rmsprop"
    unit = rmsprop_update
    keeps = ("squares",)
    in_unit_interval = ("decay",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_epsilon(self)

    def _own(self) -> dict[int, float]:
        return {FIRST: self.decay, EPSILON: self.epsilon, INSIDE: self.epsilon_inside}
