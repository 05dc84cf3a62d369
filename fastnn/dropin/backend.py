"""Which arrays go to fastnn's kernels, and which to NumPy.

The modules that replace the books' call these functions. Anything but a plain array, such as one of another class or
order, goes to NumPy and so behaves as without fastnn. So does everything until kernels would have saved a program
enough time to pay for loading the compiler.
"""

import itertools
import math
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.system import loading

# Below this many elements NumPy's own call is as fast as the gate.
SMALL = 512
SMALL_PRODUCT = 250_000  # multiplications; 1 x 784 x 50 takes 18 us by the kernel and its gate, 9 by NumPy
# A kernel's gain for each element of an activation, roughly; decides only whether loading the compiler pays.
SECONDS_SAVED = 3e-9


def is_plain(*values: Any) -> bool:
    """Whether all are arrays of the same float dtype that kernels take as they are."""
    dtype = getattr(values[0], "dtype", None)
    return dtype in (np.float32, np.float64) and all(arrays.is_plain(value, dtype) for value in values)


def activation(name: str, x: Any) -> Array | None:
    """f(x) by a kernel; None if NumPy has to do it."""
    if not (isinstance(x, np.ndarray) and x.size >= SMALL and x.ndim > 0 and is_plain(x)):
        return None
    if not loading.pays(SECONDS_SAVED * x.size):
        return None
    from fastnn.functional import layers as functional

    return functional.activation_forward(name, x)


def clear(values: Any, mask: Any) -> None:
    """values[mask] = 0; for arrays of floats by their bits, which takes a seventh of the time."""
    is_bits = is_plain(values) and getattr(mask, "dtype", None) == np.bool_ and mask.flags.c_contiguous
    if is_bits and values.size >= SMALL and mask.shape == values.shape:
        integers = values.view(f"i{values.itemsize}")
        integers &= mask.view(np.int8) - np.int8(1)  # all ones where nothing changes
    else:
        values[mask] = 0


def affine(x: Any, W: Any, b: Any) -> Array | None:
    """x W + b by a kernel, float32 images beside float64 weights in float64; None if NumPy has to do it."""
    if not (isinstance(x, np.ndarray) and isinstance(W, np.ndarray) and x.ndim == 2 and x.dtype.kind == "f"):
        return None
    if len(x) * W.size < SMALL_PRODUCT:
        return None
    if x.dtype == np.float32 and getattr(W, "dtype", None) == np.float64:
        x = x.astype(np.float64)
    good = is_plain(x, W, b) and W.ndim == 2 and b.shape == W.shape[1:] and x.shape[1] == W.shape[0]
    if not (good and loading.pays(0.0)):
        return None
    from fastnn.functional import layers as functional

    return functional.affine_forward(x, W, b)


def affine_backward(dout: Any, x: Any, W: Any) -> tuple[Array, Array, Array] | None:
    """dout W^T, x^T dout and the sum of dout over the rows by a kernel; None if NumPy has to do it."""
    if not (isinstance(dout, np.ndarray) and isinstance(x, np.ndarray) and dout.ndim == x.ndim == 2):
        return None
    if x.size * dout.shape[1] < SMALL_PRODUCT:
        return None
    if x.dtype == np.float32 and dout.dtype == np.float64:
        x = x.astype(np.float64)
    if not (is_plain(dout, x, W) and W.shape == (x.shape[1], dout.shape[1]) and len(x) == len(dout)):
        return None
    if not loading.pays(0.0):
        return None
    from fastnn.functional import layers as functional

    dx, dW, db = functional.affine_backward(dout, x, W)
    assert dx is not None
    return dx, dW, db


def convolution(x: Any, W: Any, b: Any, stride: Any, pad: Any) -> Array | None:
    """The scalar products of filters with windows of images, plus b, in float64 by a kernel; None if NumPy has to."""
    b = np.full(len(W), b, np.float64) if type(b) in (int, float) and type(W) is np.ndarray else b
    if not (_are_images(x, W, stride, pad) and type(b) is np.ndarray and b.dtype.kind == "f" and b.shape == (len(W),)):
        return None
    from fastnn.functional import images as functional_images

    return functional_images.conv2d_forward(*map(_float64, (x, W, b)), stride=stride, padding=pad)


def convolution_backward(dout: Any, x: Any, W: Any, stride: Any, pad: Any) -> tuple[Array, Array, Array] | None:
    """The gradients by images, filters and bias, in float64 by a kernel; None if NumPy has to do it."""
    if not (_are_images(x, W, stride, pad) and type(dout) is np.ndarray and dout.dtype.kind == "f"):
        return None
    if dout.shape != (len(x), len(W), *_windows(x, W, stride, pad)):
        return None
    from fastnn.functional import images as functional_images

    given = map(_float64, (dout, x, W))
    dx, dW, db = functional_images.conv2d_backward(*given, stride=stride, padding=pad)
    assert dx is not None
    return dx, dW, db


def _windows(x: Array, W: Array, stride: int, pad: int) -> tuple[int, ...]:
    """How many windows lie below and beside one another."""
    return tuple((x.shape[d] + 2 * pad - W.shape[d]) // stride + 1 for d in (2, 3))


def _are_images(x: Any, W: Any, stride: Any, pad: Any) -> bool:
    """Whether kernels may convolve these images by these filters, and it pays."""
    if not (
        type(x) is type(W) is np.ndarray and x.dtype.kind in "fiu" and W.dtype.kind == "f" and x.ndim == W.ndim == 4
    ):
        return False
    if not (type(stride) is type(pad) is int and 0 < stride < 1000 and 0 <= pad < 1000 and x.shape[1] == W.shape[1]):
        return False
    windows = _windows(x, W, stride, pad)
    return min(windows) > 0 and len(x) * math.prod(windows) * W.size >= SMALL_PRODUCT and loading.pays(0.0)


def _float64(array: Array) -> Array:
    """The array in float64, as the books' windows are."""
    return np.ascontiguousarray(array, np.float64)


def sgd(p: Any, g: Any, lr: Any) -> bool:
    """p -= lr g by a kernel; False, and nothing done, if NumPy has to do it."""
    if not _is_update(lr, p, g):
        return False
    from fastnn.functional import updates as functional_updates

    functional_updates.sgd_update(p, g, lr)
    return True


def momentum(p: Any, g: Any, v: Any, lr: Any, share: Any) -> bool:
    """v = share v - lr g, p += v by a kernel; False, and nothing done, if NumPy has to do it."""
    if not (_is_update(lr, p, g, v) and type(share) is float and 0.0 <= share < 1.0):
        return False
    from fastnn.functional import updates as functional_updates

    functional_updates.momentum_update(p, g, v, lr, share)
    return True


def _is_update(lr: Any, *values: Any) -> bool:
    """Whether a kernel may update the first array by the others."""
    if not (type(lr) is float and 0.0 <= lr < 1e30 and isinstance(values[0], np.ndarray)):
        return False
    shape = values[0].shape
    if values[0].size < SMALL or not is_plain(*values) or any(value.shape != shape for value in values):
        return False
    if any(np.may_share_memory(a, b) for a, b in itertools.combinations(values, 2)):
        return False
    return loading.pays(0.0)
