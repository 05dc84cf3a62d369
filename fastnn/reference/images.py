"""Layers of images in plain NumPy: part of fastnn.reference.

x, dx (N, C, H, W); W (F, C, height, width), b (F,); y, dy (N, F, rows, columns).
"""

import numpy as np

from .activations import Array, quiet


def _padded(x: Array, padding: int) -> Array:
    """x with so many rows and columns of 0 around each image."""
    return np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])


def _windows(x: Array, size: tuple[int, ...], stride: int, padding: int) -> Array:
    """The windows of images (N, C, rows, columns, height, width)."""
    windows = np.lib.stride_tricks.sliding_window_view(_padded(x, padding), size, axis=(2, 3))
    return windows[:, :, ::stride, ::stride]


@quiet
def conv2d_forward(x: Array, W: Array, b: Array, *, stride: int = 1, padding: int = 0) -> Array:
    """y[n, f, i, j] = b[f] + the sum over c, a and b of W[f, c, a, b] x[n, c, i stride + a, j stride + b], x padded.

    Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998), 2278-2324.
    """
    windows = _windows(x, W.shape[2:], stride, padding)
    y: Array = np.tensordot(windows, W, axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2) + b[:, None, None]
    return np.ascontiguousarray(y)


@quiet
def conv2d_backward(dy: Array, x: Array, W: Array, *, stride: int = 1, padding: int = 0) -> tuple[Array, Array, Array]:
    """dx, dW and db = the sum of dy over the batch and the pixels, divided by nothing."""
    _, _, rows, columns = dy.shape
    dW = np.tensordot(dy, _windows(x, W.shape[2:], stride, padding), axes=([0, 2, 3], [0, 2, 3]))
    padded = np.zeros_like(_padded(x, padding))
    for a, b in np.ndindex(*W.shape[2:]):
        some = padded[:, :, a : a + stride * rows : stride, b : b + stride * columns : stride]
        some += np.tensordot(dy, W[:, :, a, b], axes=([1], [0])).transpose(0, 3, 1, 2)
    inside = slice(padding, padding + x.shape[2]), slice(padding, padding + x.shape[3])
    return np.ascontiguousarray(padded[:, :, *inside]), dW, dy.sum(axis=(0, 2, 3))
