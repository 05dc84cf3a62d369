"""The convolution of images by filters, whose weights every place of an image shares."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.kernels import frames
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import kernel
from fastnn.kernels.filters import (
    Convolution,
    bias_gradient,
    convolution_of,
    convolve,
    convolve_backward,
    filters_gradient,
    scratch_size,
    sizes_of,
)
from fastnn.kernels.frames import d_target, matrix_of, number, parameter, scratch, size_in, size_out, source, target
from fastnn.kernels.units import unit
from fastnn.operations import initializers
from fastnn.operations.affine import WIDEST
from fastnn.operations.base import Shape, TrainedLayer, Units
from fastnn.operations.windows import WindowLayer

W, B = 0, 1
TALL, WIDE, STRIDE, PADDING = range(4)


@kernel
def _sizes(frame: Any) -> Convolution:
    """The sizes of the operation."""
    image = size_in(frame, 0), size_in(frame, 1), size_in(frame, 2)
    size = int(number(frame, TALL)), int(number(frame, WIDE))
    stride, padding = int(number(frame, STRIDE)), int(number(frame, PADDING))
    return convolution_of(image, size_out(frame, 0), size, stride, padding)


@unit
def conv2d_products(frame: Any) -> None:
    """y = x * W + b for each image; dx; dW and db. One unit, as they share the products' tiles."""
    role, sizes, memory = get(frame, frames.ROLE), _sizes(frame), scratch(frame)
    first, end = get(frame, frames.BEGIN), get(frame, frames.END)
    if role == frames.FORWARD:
        convolve(source(frame), frames.weights(frame, W), parameter(frame, B), sizes, memory, target(frame))
    elif role == frames.BACKWARD:
        convolve_backward(d_target(frame), frames.weights(frame, W), sizes, memory, frames.d_source(frame))
    elif get(frame, frames.PARAMETER) == B:
        bias_gradient(d_target(frame), sizes, first, frames.out(frame))
    else:
        dW = matrix_of(frame, frames.OUT, end - first, sizes.depth)
        filters_gradient(source(frame), d_target(frame), sizes, first, memory, dW)


@dataclass(frozen=True)
class Conv2d(WindowLayer, TrainedLayer):
    """y[f] = the sum over the channels of the correlations of x[c] with W[f, c], and b[f], for images (C, H, W).

    y[f, i, j] = b[f] + the sum over c, a and b of W[f, c, a, b] x[c, i stride + a - padding, j stride + b - padding],
    with x = 0 outside the image (LeCun et al., Proceedings of the IEEE 86, 1998). The outputs have
    (H + 2 padding - kernel height) // stride + 1 rows, and columns likewise. The first layer of a network needs its
    `input_shape`.

    Parameters
    ----------
    in_channels, out_channels : int
        C, and the number of filters F.
    kernel_size : int or (int, int)
        The height and width of a filter.
    stride : int
        The step from one window to the next.
    padding : int
        Rows and columns of 0 around the image.
    init : str or float
        As for `Affine`, where a unit's inputs are the C times height times width elements of a window.
    trainable : bool
    learning_rate_factor : float
        As for `Affine`.

    Examples
    --------
    >>> layers = [fastnn.Conv2d(1, 6, 5), fastnn.Relu(), fastnn.MaxPool2d(2), fastnn.Flatten(), fastnn.Affine(864, 10)]
    >>> net = fastnn.Network(layers, input_shape=(1, 28, 28), rng=0)
    >>> net.params["W1"].shape, net.predict(np.zeros((5, 1, 28, 28))).shape
    ((6, 1, 5, 5), (5, 10))
    """

    in_channels: int
    out_channels: int
    kernel_size: int | tuple[int, int]
    stride: int = 1
    padding: int = 0
    init: str | float | None = None

    penalized = ("W",)
    biases = ("b",)
    units = Units(conv2d_products, conv2d_products, conv2d_products)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("in_channels", "out_channels"):
            object.__setattr__(self, name, arrays.integer(name, getattr(self, name), 1, WIDEST))
        self.check_window()
        if self.init is not None:
            object.__setattr__(self, "init", initializers.check("init", self.init))

    def shape_of_output(self, shape: Shape) -> Shape:
        rows, columns = self.window.outputs(self, shape)
        if shape[0] != self.in_channels:
            size = self.kernel_size
            expected = f"expected images of {self.in_channels} channels for {self}, got the shape {shape}"
            raise ValueError(f"{expected}; take Conv2d({shape[0]}, {self.out_channels}, {size})")
        return (self.out_channels, rows, columns)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        """W (out_channels, in_channels, height, width) and b (out_channels,)."""
        return {"W": (self.out_channels, self.in_channels, *self.window.size), "b": (self.out_channels,)}

    def beginnings(self, follows: str, generator: np.random.Generator) -> dict[str, Any]:
        init, seen = follows if self.init is None else self.init, int(np.prod(self.window.size))
        shape = self.parameters(())["W"]
        drawn = initializers.weights(init, self.in_channels * seen, self.out_channels * seen, generator, shape)
        return {"W": drawn, "b": 0.0}

    def scratch_size(self, rows: int, inputs: Shape, outputs: Shape) -> int:
        sizes = sizes_of(inputs, self.out_channels, self.window.size, self.stride, self.padding)
        return scratch_size(sizes, rows > 0)
