"""Stochastic gradient descent."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.addresses import get
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import D_TARGET, INPUTS, OUTPUTS, PARAMS, SOURCE, matrix_of, vector_of
from fastnn.kernels.units import unit
from fastnn.operations.updates.base import RATE, Optimizer, grads, params, rates


@kernel
def descend(params: Any, grads: Any, lr: Any) -> None:
    """params -= lr * grads, element by element. Distinct vectors."""
    for i in range(params.size):
        params[i] -= lr * grads[i]


@kernel
def descend_by_one_sample(params: Any, x: Any, dy: Any, lr: Any) -> None:
    """params -= lr * (x^T dy), rounded as in the product and `descend`. params (rows, H), x (rows,), dy (H,).

    A row whose x is 0 keeps its values, so dy must be finite. 784 x 50 takes 4 us instead of 9 by two passes.
    """
    for i in range(params.shape[0]):
        if x[i] != x.dtype.type(0.0):
            for j in range(params.shape[1]):
                params[i, j] -= lr * (x[i] * dy[j])


@unit
def sgd_update(frame: Any) -> None:
    """p -= lr g."""
    p = params(frame)
    descend(p, grads(frame), p.dtype.type(rates(frame)[RATE]))


@unit
def sgd_outer(frame: Any) -> None:
    """p -= lr x^T dy for one sample with a finite dy."""
    x, dy = vector_of(frame, SOURCE, get(frame, INPUTS)), vector_of(frame, D_TARGET, get(frame, OUTPUTS))
    descend_by_one_sample(matrix_of(frame, PARAMS, x.size, dy.size), x, dy, x.dtype.type(rates(frame)[RATE]))


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
