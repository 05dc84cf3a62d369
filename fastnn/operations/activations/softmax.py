"""Softmax, the only activation that mixes the elements of a row."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.frames import d_source, d_target, source, target
from fastnn.kernels.rows import softmax_rows
from fastnn.kernels.units import unit
from fastnn.operations.base import Activation, Units


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
        total = 0.0
        for k in range(y.size):
            total += dy[k] * y[k]
        shift = y.dtype.type(total)
        for k in range(y.size):
            dx[k] = y[k] * (dy[k] - shift)


@dataclass(frozen=True)
class Softmax(Activation):
    """y = exp(x) / sum(exp(x)) over each row. As a classifier's last layer use the loss softmax_cross_entropy."""

    activation = "softmax"
    takes_elements = False
    units = Units(softmax_forward, softmax_backward)
