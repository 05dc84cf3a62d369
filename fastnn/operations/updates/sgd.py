"""Stochastic gradient descent."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.addresses import get
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import (
    CHANGES,
    D_TARGET,
    INPUTS,
    OTHER,
    OUTPUTS,
    PARAMS,
    SOURCE,
    TARGET,
    matrix_of,
    vector_of,
)
from fastnn.kernels.outer import descend_by_one_sample
from fastnn.kernels.units import unit
from fastnn.operations.updates.base import RATE, Optimizer, grads, params, rates


@kernel
def descend(params: Any, grads: Any, lr: Any) -> None:
    """params -= lr * grads, element by element. Distinct vectors."""
    for i in range(params.size):
        params[i] -= lr * grads[i]


@unit
def sgd_update(frame: Any) -> None:
    """p -= lr g."""
    p = params(frame)
    descend(p, grads(frame), p.dtype.type(rates(frame)[RATE]))


@unit
def sgd_outer(frame: Any) -> None:
    """p -= lr x^T dy for one sample with a finite dy; then TARGET = OTHER p + CHANGES, if there is an OTHER."""
    x, dy = vector_of(frame, SOURCE, get(frame, INPUTS)), vector_of(frame, D_TARGET, get(frame, OUTPUTS))
    params, rate = matrix_of(frame, PARAMS, x.size, dy.size), x.dtype.type(rates(frame)[RATE])
    ahead = vector_of(frame, OTHER, x.size if get(frame, OTHER) != 0 else 0)
    bias, y = vector_of(frame, CHANGES, dy.size), vector_of(frame, TARGET, dy.size)
    descend_by_one_sample(params, x, dy, rate, ahead, bias, y)


@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr g.

    Source: Robbins and Monro, Annals of Mathematical Statistics 22 (1951), 400-407.

    Parameters
    ----------
    lr : float
        The learning rate, at least 0.
    clip_value, clip_norm : float, optional
        As for `Optimizer`.

    Examples
    --------
    >>> params, grads = np.array([1.0, 2.0]), np.array([10.0, -10.0])
    >>> fastnn.sgd_update(params, grads, lr=0.1)
    >>> params
    array([0., 3.])

    >>> net, x, t = fastnn.Network([fastnn.Affine(3, 2)], rng=0), np.ones((1, 3)), np.array([0])
    >>> net.step(x, t, fastnn.SGD(lr=0.1, clip_norm=1.0)) > net.loss(x, t)  # the loss before and after
    True
    """

    update = "sgd"
    unit = sgd_update
    outer = sgd_outer
