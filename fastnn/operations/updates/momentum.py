"""Gradient descent with momentum, Polyak's and Nesterov's."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.units import unit
from fastnn.operations.updates.base import FIRST, RATE, Optimizer, grads, params, rates, state


@unit
def momentum_update(frame: Any) -> None:
    """v = momentum v - lr g, p += v."""
    p, g, v, numbers = params(frame), grads(frame), state(frame, 0), rates(frame)
    lr, momentum = p.dtype.type(numbers[RATE]), p.dtype.type(numbers[FIRST])
    for i in range(p.size):
        v[i] = momentum * v[i] - lr * g[i]
        p[i] += v[i]


@unit
def nesterov_update(frame: Any) -> None:
    """v = momentum v - lr g, p += momentum v - lr g."""
    p, g, v, numbers = params(frame), grads(frame), state(frame, 0), rates(frame)
    lr, momentum = p.dtype.type(numbers[RATE]), p.dtype.type(numbers[FIRST])
    for i in range(p.size):
        step = lr * g[i]
        v[i] = momentum * v[i] - step
        p[i] += momentum * v[i] - step


@dataclass(frozen=True, repr=False)
class Momentum(Optimizer):
    """Gradient descent with momentum: v = momentum v - lr g, p += v.

    Source: Polyak, USSR Computational Mathematics and Mathematical Physics 4 (1964), 1-17.

    Parameters
    ----------
    lr : float
        The learning rate, at least 0.
    clip_value, clip_norm : float, optional
        As for `Optimizer`.
    momentum : float
        In [0, 1).

    Examples
    --------
    >>> params, grads, velocity = np.array([1.0]), np.array([10.0]), np.zeros(1)
    >>> for _ in range(2):
    ...     fastnn.momentum_update(params, grads, velocity, lr=0.1)
    ...     print(params.round(6), velocity.round(6))
    [0.] [-1.]
    [-1.9] [-1.9]

    >>> net, x, t = fastnn.Network([fastnn.Affine(3, 2)], rng=0), np.ones((1, 3)), np.array([0])
    >>> net.step(x, t, fastnn.Momentum(lr=0.1, momentum=0.9)) > net.loss(x, t)  # the loss before and after
    True
    """

    momentum: float = 0.9

    update = "momentum"
    unit = momentum_update
    keeps = ("velocity",)
    in_unit_interval = ("momentum",)

    def _own(self) -> dict[int, float]:
        return {FIRST: self.momentum}


@dataclass(frozen=True, repr=False)
class Nesterov(Momentum):
    """Nesterov's accelerated gradient: v = momentum v - lr g, p += momentum v - lr g.

    The parameters are the point where the method looks ahead, and g is the gradient there. Source: Sutskever,
    Martens, Dahl and Hinton, ICML (2013), 1139-1147.

    Parameters
    ----------
    lr : float
        The learning rate, at least 0.
    clip_value, clip_norm : float, optional
        As for `Optimizer`.
    momentum : float
        In [0, 1).

    Examples
    --------
    >>> params, grads, velocity = np.array([1.0]), np.array([10.0]), np.zeros(1)
    >>> fastnn.nesterov_update(params, grads, velocity, lr=0.1)
    >>> params.round(6), velocity  # v = -0.1 * 10, p = 1 + 0.9 v - 0.1 * 10
    (array([-0.9]), array([-1.]))

    >>> net, x, t = fastnn.Network([fastnn.Affine(3, 2)], rng=0), np.ones((1, 3)), np.array([0])
    >>> net.step(x, t, fastnn.Nesterov(lr=0.1, momentum=0.9)) > net.loss(x, t)  # the loss before and after
    True
    """

    update = "nesterov"
    unit = nesterov_update
