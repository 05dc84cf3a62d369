"""Softmax, the only activation that mixes the elements of a row."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.kernels.frames import d_source, d_target, source, target
from fastnn.kernels.rows import softmax_rows, sum_of_products
from fastnn.kernels.units import unit
from fastnn.operations.base import COMPUTES, MOVES, Activation, Shape, Units, one_dimension
from fastnn.operations.links import EPS, STEP, Back, Link, Operation, Taken


@unit
def softmax_forward(frame: Any) -> None:
    """y = exp(x - max x) / sum exp(x - max x) of each row."""
    softmax_rows(source(frame), target(frame))


@unit
def softmax_backward(frame: Any) -> None:
    """dx = y (dy - sum(dy y)) of each row, the product of dy with the Jacobian diag(y) - y y^T."""
    dys, ys, dxs = d_target(frame), target(frame), d_source(frame)
    for n in range(ys.shape[0]):
        dy, y, dx = dys[n], ys[n], dxs[n]
        shift = y.dtype.type(sum_of_products(dy, y))
        for k in range(y.size):
            dx[k] = y[k] * (dy[k] - shift)


class _Shares(Link):
    """dy times the Jacobian, which is symmetric: a quotient in the direction of dy."""

    def forward(self, at: Operation, x: Any) -> Taken:
        y = at.forward(x)
        lost = np.abs(y[0]) * (2 + np.abs(x[0] - x[0].max(axis=1, keepdims=True)))
        return Taken(x, np.minimum(y + at.noise(at.unit * lost), 1.0))

    def backward(self, at: Operation, taken: Taken, dy: Any, need_dx: bool) -> Back:
        y = taken.y
        rounded = EPS * float(np.abs(dy[0] * y[0]).sum())
        if y.shape[2] == 1:  # always 1
            return Back(np.zeros_like(dy), [], rounded)
        largest = np.abs(dy).max(axis=2, keepdims=True)
        steps = np.array(at.points).reshape(-1, 1, 1, 1) * STEP
        ratio, estimate = at.quotient(_changes(y, steps * (dy / np.where(largest > 0.0, largest, 1.0))), steps)
        inner = np.abs(dy[0]) + (np.abs(dy[0]) * y[0]).sum(axis=1, keepdims=True)
        error = 4 * largest[0] * estimate[0] + (at.unit + 8 * EPS) * y[0] * inner
        return Back(ratio * largest + at.noise(error), [], rounded)


def _changes(y: Any, moves: Any) -> Any:
    """softmax(x + moves) - softmax(x), where y = softmax(x), to the relative accuracy of y, however small y is.

    With outputs of 1e-87 and 1, subtracting two softmaxes would lose everything in the rounding of 1.
    """
    rest = np.log1p((y * np.expm1(moves)).sum(axis=-1, keepdims=True))  # the change of the logarithm of the sum
    return y * np.expm1(moves - rest)


@dataclass(frozen=True)
class Softmax(Activation):
    """y = exp(x) / sum(exp(x)) over each row. A classifier should rather end with the loss softmax_cross_entropy.

    Examples
    --------
    >>> x = np.array([[0.0, np.log(3.0)]])
    >>> fastnn.activation_forward("softmax", x).round(6)
    array([[0.25, 0.75]])

    >>> layers = [fastnn.Affine(4, 3), fastnn.Softmax()]
    >>> net = fastnn.Network(layers, loss="cross_entropy", rng=0)  # a loss of probabilities
    >>> net.predict(np.ones((2, 4), np.float32)).sum(axis=1).round(6)
    array([1., 1.], dtype=float32)
    """

    activation = "softmax"
    work = (COMPUTES, MOVES)
    takes_elements = False
    units = Units(softmax_forward, softmax_backward)
    link = _Shares()

    def shape_of_output(self, shape: Shape) -> Shape:
        return one_dimension(self, shape)
