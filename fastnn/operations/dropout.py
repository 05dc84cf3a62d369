"""Dropout: in training, random elements are set to 0 and the others scaled so that the mean stays.

Whether an element is kept depends only on a key and its place in the batch, so the bits are the same on any number of
threads, and the backward pass finds the same mask.
"""

from dataclasses import dataclass
from typing import Any

from fastnn.gate import arrays
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import FIRST_ROW, KEY, NUMBER, OFF, d_source, d_target, number, source, target
from fastnn.kernels.random_bits import mixed
from fastnn.kernels.units import unit
from fastnn.operations.base import Layer, Units
from fastnn.operations.links import Link


@kernel
def key_of_layer(frame: Any) -> int:
    """The key of the operation's own masks in this batch."""
    return mixed(get(frame, KEY) + 0x85EBCA77 * get(frame, NUMBER))


@kernel
def _drop(frame: Any, x: Any, y: Any) -> None:
    """y = x / (1 - rate) for elements that are kept, with probability 1 - rate, else 0. y may be x."""
    if get(frame, KEY) == OFF:
        for n in range(x.shape[0]):
            row, out = x[n], y[n]
            for k in range(x.shape[1]):
                out[k] = row[k]
        return
    own = key_of_layer(frame)
    rate, first = number(frame, 0), get(frame, FIRST_ROW)
    bound = int(rate * 4294967296.0)
    scale, zero = x.dtype.type(1.0 / (1.0 - rate)), x.dtype.type(0.0)
    for n in range(x.shape[0]):
        row, out = x[n], y[n]
        start = (first + n) * x.shape[1]
        for k in range(x.shape[1]):
            kept = mixed(own ^ mixed(start + k)) >= bound
            out[k] = scale * row[k] if kept else zero


@unit
def dropout_forward(frame: Any) -> None:
    """y = x m / (1 - rate) with a mask m of 0 and 1."""
    _drop(frame, source(frame), target(frame))


@unit
def dropout_backward(frame: Any) -> None:
    """dx = dy m / (1 - rate) with the same mask."""
    _drop(frame, d_target(frame), d_source(frame))


@dataclass(frozen=True)
class DropoutLayer(Layer):
    """The base of layers that drop in training, with probability `rate`, and otherwise do nothing."""

    rate: float = 0.5

    takes_elements = True
    is_random = True
    init_before = ""
    outside_training = "drops nothing"
    link = Link()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", arrays.real("rate", self.rate, minimum=0.0, below=1.0))

    def numbers(self) -> tuple[float, ...]:
        return (self.rate,)


@dataclass(frozen=True)
class Dropout(DropoutLayer):
    """In training y = x / (1 - rate) or, with probability `rate`, 0; otherwise y = x.

    `Network.step` and `fit` draw anew for each element of each batch. `predict`, `loss`, `gradient` and gradient
    checks drop nothing (Srivastava et al., Journal of Machine Learning Research 15, 2014).

    Parameters
    ----------
    rate : float
        The fraction of elements dropped, in [0, 1).

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Relu(), fastnn.Dropout(0.2), fastnn.Affine(3, 2)], rng=0)
    >>> x = np.ones((1, 4))
    >>> np.array_equal(net.predict(x), net.predict(x))  # `fit` drops a fifth, `predict` nothing
    True
    """

    units = Units(dropout_forward, dropout_backward)
