"""Layers of images in plain NumPy: part of fastnn.reference.

x, dx (N, C, H, W); W (F, C, height, width), b (F,); y, dy (N, F, rows, columns), of pools (N, C, rows, columns).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .activations import Array, Out, quiet


def _sizes(kernel_size: Any, stride: int | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """The rows and columns of a window, and the steps down and to the right to the next; stride None: its size."""
    tall, wide = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    return (tall, wide), (tall, wide) if stride is None else (stride, stride)


def _windows(x: Array, kernel_size: Any, stride: int | None, padding: int, beyond: float = 0.0) -> Array:
    """The windows of images: a view (N, C, rows, columns, height, width); beyond the images stands `beyond`."""
    size, (down, right) = _sizes(kernel_size, stride)
    padded = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)], constant_values=beyond)
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=(2, 3))[:, :, ::down, ::right]


def _sums_of_windows(
    terms: Callable[[int, int], Any], x: Array, kernel_size: Any, stride: int | None, padding: int
) -> Array:
    """dx: the sums over the windows of terms(a, b), (N, C, rows, columns), at row a and column b of each window."""
    (tall, wide), (down, right) = _sizes(kernel_size, stride)
    height, width = x.shape[2:]
    rows, columns = (height + 2 * padding - tall) // down + 1, (width + 2 * padding - wide) // right + 1
    padded = np.zeros((*x.shape[:2], height + 2 * padding, width + 2 * padding), x.dtype)
    for a, b in np.ndindex(tall, wide):
        last_row, last_column = a + down * (rows - 1), b + right * (columns - 1)
        padded[:, :, a : last_row + 1 : down, b : last_column + 1 : right] += terms(a, b)
    dx: Array = padded[:, :, padding : padding + height, padding : padding + width]
    return dx


def _kept(result: Array, out: Out) -> Array:
    """The result, C-contiguous, in `out` if it is given."""
    if out is None:
        return np.ascontiguousarray(result)
    out[...] = result
    return out


@quiet
def conv2d_forward(x: Array, W: Array, b: Array, *, stride: int = 1, padding: int = 0, out: Out = None) -> Array:
    """y[n, f, i, j] = b[f] + the sum over c, a and b of W[f, c, a, b] x[n, c, i stride + a, j stride + b], x padded.

    Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998), 2278-2324.
    """
    windows = _windows(x, W.shape[2:], stride, padding)
    y = np.tensordot(windows, W, axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2) + b[:, None, None]
    return _kept(y, out)


@quiet
def conv2d_backward(
    dy: Array,
    x: Array,
    W: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    need_dx: bool = True,
    out: tuple[Out, Out, Out] | None = None,
) -> tuple[Out, Array, Array]:
    """dx, dW and db = the sum of dy over the batch and the pixels, divided by nothing; without need_dx, no dx."""
    dx_out, dW_out, db_out = out if out is not None else (None, None, None)
    dW = np.tensordot(dy, _windows(x, W.shape[2:], stride, padding), axes=([0, 2, 3], [0, 2, 3]))

    def terms(a: int, b: int) -> Array:
        return np.tensordot(dy, W[:, :, a, b], axes=([1], [0])).transpose(0, 3, 1, 2)

    dx = _kept(_sums_of_windows(terms, x, W.shape[2:], stride, padding), dx_out) if need_dx else None
    return dx, _kept(dW, dW_out), dy.sum(axis=(0, 2, 3), out=db_out)


@quiet
def max_pool2d_forward(x: Array, kernel_size: Any = 2, stride: int | None = None, padding: int = 0) -> Array:
    """y = the largest element of each window; NaN is the largest.

    Source: Ranzato, Huang, Boureau and LeCun, CVPR (2007).
    """
    y: Array = _windows(x, kernel_size, stride, padding, -np.inf).max(axis=(4, 5))
    return y


@quiet
def max_pool2d_backward(
    dy: Array, x: Array, kernel_size: Any = 2, stride: int | None = None, padding: int = 0
) -> tuple[Array]:
    """dx, the sums of dy over the windows whose largest element it is, the first of equals."""
    windows = _windows(x, kernel_size, stride, padding, -np.inf)
    inside = _windows(np.ones_like(x), kernel_size, stride, padding) == 1
    largest = inside & ((windows == windows.max(axis=(4, 5), keepdims=True)) | np.isnan(windows))
    chosen = largest.reshape(*windows.shape[:4], -1).argmax(axis=-1)

    def terms(a: int, b: int) -> Array:
        return np.where(chosen == a * windows.shape[5] + b, dy, 0)

    return (_sums_of_windows(terms, x, kernel_size, stride, padding),)


@quiet
def avg_pool2d_forward(x: Array, kernel_size: Any = 2, stride: int | None = None, padding: int = 0) -> Array:
    """y = the mean of each window, in which zeros stand beyond the image.

    Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998), 2278-2324.
    """
    y: Array = _windows(x, kernel_size, stride, padding).mean(axis=(4, 5))
    return y


@quiet
def avg_pool2d_backward(
    dy: Array, x: Array, kernel_size: Any = 2, stride: int | None = None, padding: int = 0
) -> tuple[Array]:
    """dx, the sums of dy over the windows of an element, divided by their size."""
    share = dy / float(np.prod(_sizes(kernel_size, stride)[0]))
    return (_sums_of_windows(lambda a, b: share, x, kernel_size, stride, padding),)
