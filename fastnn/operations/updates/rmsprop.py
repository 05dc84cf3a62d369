"""RMSProp: rates scaled by a running mean of squares."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.units import unit
from fastnn.operations.updates import base
from fastnn.operations.updates.base import Optimizer, grads, params, rates, root, state


@unit
def rmsprop_update(frame: Any) -> None:
    """s = decay s + (1 - decay) g^2, p -= lr g / root(s)."""
    p, g, s, numbers = params(frame), grads(frame), state(frame, 0), rates(frame)
    lr, epsilon, inside = (
        p.dtype.type(numbers[base.RATE]),
        p.dtype.type(numbers[base.EPSILON]),
        numbers[base.INSIDE] != 0.0,
    )
    keep, add = p.dtype.type(numbers[base.FIRST]), p.dtype.type(1.0 - numbers[base.FIRST])
    for i in range(p.size):
        s[i] = keep * s[i] + add * (g[i] * g[i])
        p[i] -= lr * g[i] / root(s[i], epsilon, inside)


@dataclass(frozen=True, repr=False)
class RMSProp(Optimizer):
    """Rates scaled by a running mean of squares: s = decay s + (1 - decay) g^2, p -= lr g / (sqrt(s) + epsilon).

    Source: Tieleman and Hinton, Neural Networks for Machine Learning (2012), lecture 6.5.

    Parameters
    ----------
    lr : float
        The learning rate, at least 0.
    clip_value, clip_norm : float, optional
        As for `Optimizer`.
    decay : float
        In [0, 1).
    epsilon : float
        Above 0.
    epsilon_inside : bool
        Divide by sqrt(s + epsilon) instead.

    Examples
    --------
    >>> params, grads, squares = np.zeros(1), np.array([2.0]), np.zeros(1)
    >>> fastnn.rmsprop_update(params, grads, squares, lr=0.01, decay=0.75)
    >>> params.round(6), squares  # 0.25 * 2^2; -0.01 * 2 / sqrt(1)
    (array([-0.02]), array([1.]))

    >>> net, x, t = fastnn.Network([fastnn.Affine(3, 2)], rng=0), np.ones((1, 3)), np.array([0])
    >>> net.step(x, t, fastnn.RMSProp(lr=0.001)) > net.loss(x, t)  # the loss before and after
    True
    """

    lr: float = 0.001
    decay: float = 0.99
    epsilon: float = 1e-8
    epsilon_inside: bool = False

    update = "rmsprop"
    unit = rmsprop_update
    keeps = ("squares",)
    above_zero = ("epsilon",)
    flags = ("epsilon_inside",)
    in_unit_interval = ("decay",)

    def _own(self) -> dict[int, float]:
        return {base.FIRST: self.decay, base.EPSILON: self.epsilon, base.INSIDE: self.epsilon_inside}
