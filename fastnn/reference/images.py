"""Layers of images in plain NumPy: part of fastnn.reference.

x, dx (N, C, H, W); W (F, C, height, width), b (F,); y, dy (N, F, rows, columns).
"""

import numpy as np

from .activations import Array, Out, quiet


def _padded(x: Array, padding: int) -> Array:
    """x with so many rows and columns of 0 around each image."""
    return np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])


def _windows(x: Array, size: tuple[int, ...], stride: int, padding: int) -> Array:
    """The windows of images (N, C, rows, columns, height, width)."""
    windows = np.lib.stride_tricks.sliding_window_view(_padded(x, padding), size, axis=(2, 3))
    return windows[:, :, ::stride, ::stride]


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
    dx = _kept(_gradient_by_images(dy, x, W, stride, padding), dx_out) if need_dx else None
    return dx, _kept(dW, dW_out), dy.sum(axis=(0, 2, 3), out=db_out)


def _kept(result: Array, out: Out) -> Array:
    """The result, C-contiguous, in `out` if it is given."""
    if out is None:
        return np.ascontiguousarray(result)
    out[...] = result
    return out


def _gradient_by_images(dy: Array, x: Array, W: Array, stride: int, padding: int) -> Array:
    """dx: each weight's share of dy at the pixels that it meets."""
    _, _, rows, columns = dy.shape
    padded = np.zeros_like(_padded(x, padding))
    for a, b in np.ndindex(*W.shape[2:]):
        some = padded[:, :, a : a + stride * rows : stride, b : b + stride * columns : stride]
        some += np.tensordot(dy, W[:, :, a, b], axes=([1], [0])).transpose(0, 3, 1, 2)
    inside = slice(padding, padding + x.shape[2]), slice(padding, padding + x.shape[3])
    dx: Array = padded[:, :, *inside]
    return dx
