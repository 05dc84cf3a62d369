"""Dropout of channels: in training, random channels of images are set to 0 and the others scaled."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.addresses import get
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import FIRST_ROW, KEY, OFF, d_source, d_target, number, size_in, source, target
from fastnn.kernels.random_bits import mixed
from fastnn.kernels.units import unit
from fastnn.kernels.views import part
from fastnn.operations.base import Shape, Units
from fastnn.operations.dropout import DropoutLayer, key_of_layer


@kernel
def _drop_channels(frame: Any, x: Any, y: Any) -> None:
    """y = x / (1 - rate) for channels that are kept, with probability 1 - rate, else 0. y may be x."""
    channels, off = size_in(frame, 0), get(frame, KEY) == OFF
    pixels, own, rate = x.shape[1] // channels, key_of_layer(frame), number(frame, 0)
    bound, one, zero = int(rate * 4294967296.0), x.dtype.type(1.0), x.dtype.type(0.0)
    scale = one if off else x.dtype.type(1.0 / (1.0 - rate))
    for n in range(x.shape[0]):
        start = (get(frame, FIRST_ROW) + n) * channels
        for c in range(channels):
            image, out = part(x[n], c * pixels, pixels), part(y[n], c * pixels, pixels)
            if off or mixed(own ^ mixed(start + c)) >= bound:
                for k in range(pixels):
                    out[k] = scale * image[k]
            else:
                for k in range(pixels):
                    out[k] = zero


@unit
def dropout2d_forward(frame: Any) -> None:
    """y = x m / (1 - rate) with a mask m of 0 and 1 for each channel."""
    _drop_channels(frame, source(frame), target(frame))


@unit
def dropout2d_backward(frame: Any) -> None:
    """dx = dy m / (1 - rate) with the same mask."""
    _drop_channels(frame, d_target(frame), d_source(frame))


@dataclass(frozen=True)
class Dropout2d(DropoutLayer):
    """In training y[c] = x[c] / (1 - rate) or, with probability `rate`, 0, for whole channels c; otherwise y = x.

    Neighboring pixels say much the same, so dropping single ones hides little. `Network.step` and `fit` draw anew for
    each channel of each image. `predict`, `loss`, `gradient` and gradient checks drop nothing (Tompson et al., CVPR,
    2015).

    Parameters
    ----------
    rate : float
        The fraction of channels dropped, in [0, 1).

    Examples
    --------
    >>> layers = [fastnn.Conv2d(1, 8, 3), fastnn.Dropout2d(0.25), fastnn.Flatten(), fastnn.Affine(288, 10)]
    >>> net = fastnn.Network(layers, input_shape=(1, 8, 8), rng=0)
    >>> x = np.ones((1, 1, 8, 8))
    >>> np.array_equal(net.predict(x), net.predict(x))  # `fit` drops a quarter of the channels, `predict` nothing
    True
    """

    takes_images = True
    units = Units(dropout2d_forward, dropout2d_backward)

    def shape_of_output(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            remedy = "add Conv2d before it, or take Dropout"
            raise ValueError(f"expected images (channels, height, width) for {self}, got the shape {shape}; {remedy}")
        return shape
