"""AdaGrad: rates scaled by the sum of all squares."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.units import unit
from fastnn.operations.updates import base
from fastnn.operations.updates.base import Optimizer, grads, params, rates, root, state


@unit
def adagrad_update(frame: Any) -> None:
    """s += g^2, p -= lr g / root(s)."""
    p, g, s, numbers = params(frame), grads(frame), state(frame, 0), rates(frame)
    lr, epsilon, inside = (
        p.dtype.type(numbers[base.RATE]),
        p.dtype.type(numbers[base.EPSILON]),
        numbers[base.INSIDE] != 0.0,
    )
    for i in range(p.size):
        s[i] += g[i] * g[i]
        p[i] -= lr * g[i] / root(s[i], epsilon, inside)


@dataclass(frozen=True, repr=False)
class AdaGrad(Optimizer):
    """Rates scaled by the sum of all squares: s += g^2, p -= lr g / (sqrt(s) + epsilon).

    Source: Duchi, Hazan and Singer, Journal of Machine Learning Research 12 (2011), 2121-2159.

    Parameters
    ----------
    lr : float
        The learning rate, at least 0.
    clip_value, clip_norm : float, optional
        As for `Optimizer`.
    epsilon : float
        Above 0.
    epsilon_inside : bool
        Divide by sqrt(s + epsilon) instead.

    Examples
    --------
    >>> params, grads, squares = np.zeros(2), np.array([100.0, 0.01]), np.zeros(2)
    >>> fastnn.adagrad_update(params, grads, squares, lr=0.1)
    >>> params.round(6), squares  # the first step is lr whatever the gradient's size
    (array([-0.1, -0.1]), array([1.e+04, 1.e-04]))

    >>> net, x, t = fastnn.Network([fastnn.Affine(3, 2)], rng=0), np.ones((1, 3)), np.array([0])
    >>> net.step(x, t, fastnn.AdaGrad(lr=0.1)) > net.loss(x, t)  # the loss before and after
    True
    """

    epsilon: float = 1e-10
    epsilon_inside: bool = False

    update = "adagrad"
    unit = adagrad_update
    keeps = ("squares",)
    above_zero = ("epsilon",)
    flags = ("epsilon_inside",)

    def _own(self) -> dict[int, float]:
        return {base.EPSILON: self.epsilon, base.INSIDE: self.epsilon_inside}
