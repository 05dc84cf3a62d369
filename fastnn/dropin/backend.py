"""Which arrays go to fastnn's kernels, and which to NumPy. Imports the gate, functional, threads and kernels.

The modules that replace those of the books call these; whatever is no plain array, such as an array of another class or
order, is NumPy's, so that it behaves as it would there.
"""

import itertools
from typing import Any

import numpy as np

from fastnn import arrays, functional, functional_updates, threads
from fastnn.arrays import Array
from fastnn.kernels import convolution

# Below this many elements NumPy's own call is as fast as the gate.
SMALL = 512
SMALL_PRODUCT = 250_000  # multiplications; likewise: 1 x 784 x 50 takes 18 us by the kernel and its gate, 9 by NumPy
FLOP_OF_COPY = 4.0  # for each element moved; decides only whether threads pay


def is_plain(*values: Any) -> bool:
    """Whether all are arrays of one float dtype that kernels take as they are."""
    dtype = getattr(values[0], "dtype", None)
    return dtype in (np.float32, np.float64) and all(arrays.is_plain(value, dtype) for value in values)


def activation(name: str, x: Any) -> Array | None:
    """f(x) by a kernel; None where it is NumPy's."""
    if not (isinstance(x, np.ndarray) and x.size >= SMALL and x.ndim > 0 and is_plain(x)):
        return None
    return functional.activation_forward(name, x)


def affine(x: Any, W: Any, b: Any) -> Array | None:
    """x W + b by a kernel, float32 images beside float64 weights in float64; None where it is NumPy's."""
    if not (isinstance(x, np.ndarray) and isinstance(W, np.ndarray) and x.ndim == 2 and x.dtype.kind == "f"):
        return None
    if len(x) * W.size < SMALL_PRODUCT:
        return None
    if x.dtype == np.float32 and getattr(W, "dtype", None) == np.float64:
        x = x.astype(np.float64)
    good = is_plain(x, W, b) and W.ndim == 2 and b.shape == W.shape[1:] and x.shape[1] == W.shape[0]
    return functional.affine_forward(x, W, b) if good else None


def affine_backward(dout: Any, x: Any, W: Any) -> tuple[Array, Array, Array] | None:
    """dout W^T, x^T dout and the sum of dout over the rows by a kernel; None where it is NumPy's."""
    if not (isinstance(dout, np.ndarray) and isinstance(x, np.ndarray) and dout.ndim == x.ndim == 2):
        return None
    if x.size * dout.shape[1] < SMALL_PRODUCT:
        return None
    if x.dtype == np.float32 and dout.dtype == np.float64:
        x = x.astype(np.float64)
    if not (is_plain(dout, x, W) and W.shape == (x.shape[1], dout.shape[1]) and len(x) == len(dout)):
        return None
    dx, dW, db = functional.affine_backward(dout, x, W)
    assert dx is not None
    return dx, dW, db


def sgd(p: Any, g: Any, lr: Any) -> bool:
    """p -= lr g by a kernel; False, and nothing done, where it is NumPy's."""
    if not _is_update(lr, p, g):
        return False
    functional_updates.sgd_update(p, g, lr)
    return True


def momentum(p: Any, g: Any, v: Any, lr: Any, share: Any) -> bool:
    """v = share v - lr g, p += v by a kernel; False, and nothing done, where it is NumPy's."""
    if not (_is_update(lr, p, g, v) and type(share) is float and 0.0 <= share < 1.0):
        return False
    functional_updates.momentum_update(p, g, v, lr, share)
    return True


def _is_update(lr: Any, *values: Any) -> bool:
    """Whether a kernel may update the first by the others."""
    if not (type(lr) is float and 0.0 <= lr < 1e30 and isinstance(values[0], np.ndarray)):
        return False
    shape = values[0].shape
    if values[0].size < SMALL or not is_plain(*values) or any(value.shape != shape for value in values):
        return False
    return not any(np.may_share_memory(a, b) for a, b in itertools.combinations(values, 2))


def windows(images: Array, height: int, width: int, stride: int, pad: int) -> Array:
    """The windows of images (N, C, H, W), as (N, oh, ow, C, height, width) float64."""
    N, C, H, W = images.shape
    rows, columns = (H + 2 * pad - height) // stride + 1, (W + 2 * pad - width) // stride + 1
    out = np.empty((N, rows, columns, C, height, width))
    threads.run(convolution.im2col, FLOP_OF_COPY * out.size, _images(images), stride, pad, out)
    return out


def add_windows(columns: Array, stride: int, images: Array) -> None:
    """images (N, C, H, W) += windows (N, oh, ow, C, height, width)."""
    threads.run(convolution.col2im, FLOP_OF_COPY * columns.size, _images(columns), stride, images)


def max_pool(images: Array, height: int, width: int, stride: int) -> tuple[Array, Array]:
    """The largest of each window (N, C, oh, ow) in float64, and where in the window it is, (N, oh, ow, C)."""
    N, C, H, W = images.shape
    rows, columns = (H - height) // stride + 1, (W - width) // stride + 1
    out, places = np.empty((N, C, rows, columns)), np.empty((N, rows, columns, C), np.intp)
    work, parts = FLOP_OF_COPY * out.size * height * width, threads.get_num_threads()
    sizes, scratch = (height, width, stride), np.empty((parts, height * width))
    threads.run(convolution.max_pool, work, _images(images), *sizes, scratch, out, places, n_threads=parts)
    return out, places


def max_pool_backward(dout: Array, places: Array, width: int, stride: int, images: Array) -> None:
    """images (N, C, H, W) += dout (N, C, oh, ow) where the largest of each window was."""
    work = FLOP_OF_COPY * dout.size
    threads.run(convolution.max_pool_backward, work, _images(dout), places, width, stride, images)


def _images(images: Any) -> Array:
    """As kernels take them: float32 or float64, in order."""
    images = np.asarray(images)
    if images.dtype not in (np.float32, np.float64):
        images = images.astype(np.float64)
    return arrays.floats("images", images, rounding=True, allow_empty=True)
