"""The largest element of each window of an image."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate.arrays import Array
from fastnn.kernels.frames import d_source, d_target, scratch, source, target
from fastnn.kernels.pooling import (
    are_squares,
    largest_of_squares,
    largest_of_squares_backward,
    largest_of_windows,
    largest_of_windows_backward,
    pooling_of,
    scratch_of_windows,
)
from fastnn.kernels.units import unit
from fastnn.operations.base import Shape, Units
from fastnn.operations.links import EPS, NOISY, SHARES, Back, Link, Operation, Taken, spread
from fastnn.operations.pools import PoolLayer


@unit
def max_pool2d_forward(frame: Any) -> None:
    """y = the largest element of each window; NaN is the largest."""
    xs, ys, sizes = source(frame), target(frame), pooling_of(frame)
    for n in range(xs.shape[0]):
        if are_squares(sizes):
            largest_of_squares(xs[n], sizes, ys[n])
        else:
            largest_of_windows(xs[n], sizes, ys[n])


@unit
def max_pool2d_backward(frame: Any) -> None:
    """dx = the sums of dy over the windows whose largest element it is, the first of equals; distinct from dy."""
    xs, ys, dxs, dys, sizes = source(frame), target(frame), d_source(frame), d_target(frame), pooling_of(frame)
    for n in range(xs.shape[0]):
        if are_squares(sizes):
            largest_of_squares_backward(dys[n], xs[n], ys[n], sizes, dxs[n])
        else:
            largest_of_windows_backward(dys[n], xs[n], ys[n], sizes, scratch(frame), dxs[n])


class _Largest(Link):
    """Forward by the unit, which rounds nothing; backward by its own search of the windows.

    Of equals, the gradient goes to the first, to the last, or half to each. An element that rounding may make the
    largest is it in one noisy run.
    """

    def forward(self, at: Operation, x: Array) -> Taken:
        return Taken(x, at.forward(x))

    def backward(self, at: Operation, taken: Taken, dy: Array, need_dx: bool) -> Back:
        x, noise = taken.x, _windows(at, spread(taken.x), 0.0)
        exact = _windows(at, x[0], -np.inf)
        first, last = exact.argmax(axis=-1), exact.shape[-1] - 1 - exact[..., ::-1].argmax(axis=-1)
        dx = np.empty_like(x)
        for run, share in enumerate(SHARES):
            if NOISY.start <= run < NOISY.stop:
                values = _windows(at, x[run], -np.inf)
                chosen = values.argmax(axis=-1) if run > NOISY.start else _doubtful(exact, noise, first)
                dx[run] = _at_windows(at, chosen, dy[run])
            else:
                dx[run] = (1.0 - share) * _at_windows(at, first, dy[run]) + share * _at_windows(at, last, dy[run])
        added = np.where(_at_windows(at, first, np.ones_like(dy[0])) > 1.0, _at_windows(at, first, np.abs(dy[0])), 0.0)
        rounded = EPS * float(np.abs(dy[0] * taken.y[0]).sum() + np.abs(dx[0] * x[0]).sum())
        return Back(dx + at.noise(at.unit * added), [], rounded)


def _windows(at: Operation, x: Array, beyond: float) -> Array:
    """The windows of x (N, D), (N, channels, rows, columns, places); `beyond`: the value outside the image."""
    (tall, wide), (down, right), p = at.layer.window.size, at.layer.window.steps, at.layer.padding
    images = np.pad(x.reshape(-1, *at.shapes[0]), ((0, 0), (0, 0), (p, p), (p, p)), constant_values=beyond)
    found = np.lib.stride_tricks.sliding_window_view(images, (tall, wide), (2, 3))[:, :, ::down, ::right]
    return found.reshape(*found.shape[:4], tall * wide)


def _doubtful(values: Array, noise: Array, first: Array) -> Array:
    """The places of the largest elements, or of the second ones where their noise may make them the largest."""
    first = first[..., None]
    others = np.array(values)
    np.put_along_axis(others, first, -np.inf, axis=-1)
    second = others.argmax(axis=-1)[..., None]
    gap = np.take_along_axis(values, first, -1) - np.take_along_axis(others, second, -1)
    both = np.take_along_axis(noise, first, -1) + np.take_along_axis(noise, second, -1)
    return np.where((gap <= both) & (both > 0.0), second, first)[..., 0]


def _at_windows(at: Operation, chosen: Array, dy: Array) -> Array:
    """dx (N, D): the sums of dy (N, H) at the chosen places of the windows."""
    (tall, wide), (down, right), p = at.layer.window.size, at.layer.window.steps, at.layer.padding
    (channels, height, width), (_, rows, columns) = at.shapes
    dx, dy = np.zeros((len(dy), channels, height + 2 * p, width + 2 * p)), dy.reshape(chosen.shape)
    for place in range(tall * wide):
        a, b = place // wide, place % wide
        some = dx[:, :, a : a + down * (rows - 1) + 1 : down, b : b + right * (columns - 1) + 1 : right]
        some += np.where(chosen == place, dy, 0.0)
    return dx[:, :, p : p + height, p : p + width].reshape(len(dx), -1)


@dataclass(frozen=True)
class MaxPool2d(PoolLayer):
    """y[c, i, j] = the largest element of x[c] in window (i, j), for images (C, H, W).

    The window has the rows i stride - padding to i stride - padding + height - 1, and columns likewise; what lies
    beyond the image does not count. The outputs have (H + 2 padding - height) // stride + 1 rows. Pixels behind the
    last window are left out. The gradient goes to the first of equal elements, row after row; NaN counts as the largest
    (Ranzato et al., CVPR, 2007).

    Parameters
    ----------
    kernel_size : int or (int, int)
        The height and width of a window.
    stride : int, optional
        The step from one window to the next; by default they meet without a gap.
    padding : int
        Rows and columns around the image that windows reach, at most half of `kernel_size`.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.MaxPool2d(2)], "mean_squared_error", input_shape=(1, 2, 4))
    >>> net.predict(np.array([[[[1.0, 2.0, 5.0, 5.0], [3.0, 4.0, 5.0, 7.0]]]]))
    array([[[[4., 7.]]]], dtype=float32)
    """

    has_ties = True
    units = Units(max_pool2d_forward, max_pool2d_backward)
    link = _Largest()

    def scratch_size(self, rows: int, inputs: Shape, outputs: Shape) -> int:
        return scratch_of_windows(math.prod(self.window.size), outputs[2])
