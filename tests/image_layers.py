"""Layers for tests alone: they map images (C, H, W) to others, through the roles that fastnn's own layers use."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.kernels.addresses import get
from fastnn.kernels.frames import (
    BEGIN,
    END,
    d_source,
    d_target,
    out,
    parameter,
    size_in,
    size_out,
    source,
    target,
    weights,
)
from fastnn.kernels.units import unit
from fastnn.operations import LAYERS
from fastnn.operations.base import Layer, Shape, Units


@unit
def pool_forward(frame: Any) -> None:
    """The mean of each square of 2 x 2 pixels; a last odd row or column is left out."""
    x, y, height, width = source(frame), target(frame), size_in(frame, 1), size_in(frame, 2)
    rows, columns, share = size_out(frame, 1), size_out(frame, 2), x.dtype.type(0.25)
    for n in range(x.shape[0]):
        for c in range(size_out(frame, 0)):
            for i in range(rows):
                for j in range(columns):
                    at = (c * height + 2 * i) * width + 2 * j
                    total = (x[n, at] + x[n, at + 1]) + (x[n, at + width] + x[n, at + width + 1])
                    y[n, (c * rows + i) * columns + j] = share * total


@unit
def pool_backward(frame: Any) -> None:
    """A quarter of dy for each pixel of its square, 0 for pixels left out."""
    dx, dy, height, width = d_source(frame), d_target(frame), size_in(frame, 1), size_in(frame, 2)
    rows, columns, share = size_out(frame, 1), size_out(frame, 2), dx.dtype.type(0.25)
    for n in range(dx.shape[0]):
        for k in range(dx.shape[1]):
            c, i, j = k // (height * width), k // width % height // 2, k % width // 2
            inside = i < rows and j < columns
            dx[n, k] = share * dy[n, (c * rows + i) * columns + j] if inside else dx.dtype.type(0.0)


@dataclass(frozen=True)
class Pool(Layer):
    """(C, H, W) to (C, H // 2, W // 2): means."""

    units = Units(pool_forward, pool_backward)

    def shape_of_output(self, shape: Shape) -> Shape:
        if len(shape) != 3 or min(shape[1:]) < 2:
            raise ValueError(f"expected images of at least 2 x 2 pixels for {self}, got the shape {shape}; pad them")
        return (shape[0], shape[1] // 2, shape[2] // 2)


@unit
def wrong_pool_backward(frame: Any) -> None:
    """Like pool_backward, but the first row of pixels gets too much."""
    dx, dy, height, width = d_source(frame), d_target(frame), size_in(frame, 1), size_in(frame, 2)
    rows, columns = size_out(frame, 1), size_out(frame, 2)
    for n in range(dx.shape[0]):
        for k in range(dx.shape[1]):
            c, i, j = k // (height * width), k // width % height // 2, k % width // 2
            share = dx.dtype.type(0.26 if k // width % height == 0 else 0.25)
            inside = i < rows and j < columns
            dx[n, k] = share * dy[n, (c * rows + i) * columns + j] if inside else dx.dtype.type(0.0)


@dataclass(frozen=True)
class WrongPool(Pool):
    """Pool with a wrong backward pass."""

    units = Units(pool_forward, wrong_pool_backward)


@unit
def scale_forward(frame: Any) -> None:
    """y = s[c] x."""
    x, y, scales, pixels = source(frame), target(frame), parameter(frame, 0), size_in(frame, 1) * size_in(frame, 2)
    for n in range(x.shape[0]):
        for k in range(x.shape[1]):
            y[n, k] = scales[k // pixels] * x[n, k]


@unit
def scale_backward(frame: Any) -> None:
    """dx = s[c] dy."""
    dx, dy, scales = d_source(frame), d_target(frame), parameter(frame, 0)
    pixels = size_in(frame, 1) * size_in(frame, 2)
    for n in range(dx.shape[0]):
        for k in range(dx.shape[1]):
            dx[n, k] = scales[k // pixels] * dy[n, k]


@unit
def scale_gradient(frame: Any) -> None:
    """ds[c] = the sum of dy x over the batch and the pixels."""
    x, dy, ds, pixels = source(frame), d_target(frame), out(frame), size_in(frame, 1) * size_in(frame, 2)
    for c in range(get(frame, BEGIN), get(frame, END)):
        total = 0.0
        for n in range(x.shape[0]):
            for k in range(c * pixels, (c + 1) * pixels):
                total += np.float64(dy[n, k]) * np.float64(x[n, k])
        ds[c - get(frame, BEGIN)] = total


@dataclass(frozen=True)
class Scale(Layer):
    """(C, H, W) to (C, H, W): each channel times its own parameter."""

    units = Units(scale_forward, scale_backward, scale_gradient)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"scale": shape[:1]}

    def beginnings(self, follows: str, generator: np.random.Generator) -> dict[str, Any]:
        return {"scale": 1.0}


@unit
def mix_forward(frame: Any) -> None:
    """y[f] = the sum of M[f, c] x[c] over the channels, pixel by pixel."""
    x, y, mix, pixels = source(frame), target(frame), weights(frame, 0), size_in(frame, 1) * size_in(frame, 2)
    for n in range(x.shape[0]):
        for f in range(mix.shape[0]):
            for p in range(pixels):
                total = x.dtype.type(0.0)
                for c in range(mix.shape[1]):
                    total += mix[f, c] * x[n, c * pixels + p]
                y[n, f * pixels + p] = total


@unit
def mix_backward(frame: Any) -> None:
    """dx[c] = the sum of M[f, c] dy[f]."""
    dx, dy, mix, pixels = d_source(frame), d_target(frame), weights(frame, 0), size_in(frame, 1) * size_in(frame, 2)
    for n in range(dx.shape[0]):
        for c in range(mix.shape[1]):
            for p in range(pixels):
                total = dx.dtype.type(0.0)
                for f in range(mix.shape[0]):
                    total += mix[f, c] * dy[n, f * pixels + p]
                dx[n, c * pixels + p] = total


@unit
def mix_gradient(frame: Any) -> None:
    """dM[f, c] = the sum of dy[f] x[c] over the batch and the pixels; for the rows [BEGIN, END)."""
    x, dy, dm, mix = source(frame), d_target(frame), out(frame), weights(frame, 0)
    pixels, channels = size_in(frame, 1) * size_in(frame, 2), mix.shape[1]
    for f in range(get(frame, BEGIN), get(frame, END)):
        for c in range(channels):
            total = 0.0
            for n in range(x.shape[0]):
                for p in range(pixels):
                    total += np.float64(dy[n, f * pixels + p]) * np.float64(x[n, c * pixels + p])
            dm[(f - get(frame, BEGIN)) * channels + c] = total


@dataclass(frozen=True)
class Mix(Layer):
    """(C, H, W) to (F, H, W): a convolution of single pixels."""

    filters: int

    units = Units(mix_forward, mix_backward, mix_gradient)

    def shape_of_output(self, shape: Shape) -> Shape:
        return (self.filters, *shape[1:])

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"mix": (self.filters, shape[0])}

    def beginnings(self, follows: str, generator: np.random.Generator) -> dict[str, Any]:
        return {"mix": 1.0 / (1 + np.arange(self.filters)[:, None])}


@contextmanager
def registered() -> Iterator[None]:
    """The place where networks and files look for layers."""
    kinds: tuple[type[Layer], ...] = (WrongPool, Pool, Scale, Mix)
    LAYERS.update({kind.__name__: kind for kind in kinds})
    try:
        yield
    finally:
        for kind in kinds:
            del LAYERS[kind.__name__]
