"""Which arrays go to fastnn's kernels, and which to NumPy. Imports the gate; what compiles when it is first needed.

The modules that replace those of the books call these; whatever is no plain array, such as an array of another class or
order, is NumPy's, so that it behaves as it would there. So is everything until a program's work has taken so long that
loading the compiler pays.
"""

import itertools
import math
from typing import Any

import numpy as np

from fastnn import arrays, loading
from fastnn.arrays import Array

# Below this many elements NumPy's own call is as fast as the gate.
SMALL = 512
SMALL_PRODUCT = 250_000  # multiplications; likewise: 1 x 784 x 50 takes 18 us by the kernel and its gate, 9 by NumPy
FLOP_OF_COPY = 4.0  # for each element moved; decides only whether threads pay
# About what NumPy takes, which decides only whether loading the compiler pays.
SECONDS_OF_ELEMENT, SECONDS_OF_PRODUCT = 5e-9, 5e-11
LONGEST = 2**31 - 1  # of windows, strides and padding: what kernels count with has room for their products


def is_plain(*values: Any) -> bool:
    """Whether all are arrays of one float dtype that kernels take as they are."""
    dtype = getattr(values[0], "dtype", None)
    return dtype in (np.float32, np.float64) and all(arrays.is_plain(value, dtype) for value in values)


def activation(name: str, x: Any) -> Array | None:
    """f(x) by a kernel; None where it is NumPy's."""
    if not (isinstance(x, np.ndarray) and x.size >= SMALL and x.ndim > 0 and is_plain(x)):
        return None
    if not loading.pays(SECONDS_OF_ELEMENT * x.size):
        return None
    from fastnn import functional

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
    if not (good and loading.pays(SECONDS_OF_PRODUCT * len(x) * W.size)):
        return None
    from fastnn import functional

    return functional.affine_forward(x, W, b)


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
    if not loading.pays(2 * SECONDS_OF_PRODUCT * len(x) * W.size):
        return None
    from fastnn import functional

    dx, dW, db = functional.affine_backward(dout, x, W)
    assert dx is not None
    return dx, dW, db


def sgd(p: Any, g: Any, lr: Any) -> bool:
    """p -= lr g by a kernel; False, and nothing done, where it is NumPy's."""
    if not _is_update(lr, p, g):
        return False
    from fastnn import functional_updates

    functional_updates.sgd_update(p, g, lr)
    return True


def momentum(p: Any, g: Any, v: Any, lr: Any, share: Any) -> bool:
    """v = share v - lr g, p += v by a kernel; False, and nothing done, where it is NumPy's."""
    if not (_is_update(lr, p, g, v) and type(share) is float and 0.0 <= share < 1.0):
        return False
    from fastnn import functional_updates

    functional_updates.momentum_update(p, g, v, lr, share)
    return True


def _is_update(lr: Any, *values: Any) -> bool:
    """Whether a kernel may update the first by the others."""
    if not (type(lr) is float and 0.0 <= lr < 1e30 and isinstance(values[0], np.ndarray)):
        return False
    shape = values[0].shape
    if values[0].size < SMALL or not is_plain(*values) or any(value.shape != shape for value in values):
        return False
    if any(np.may_share_memory(a, b) for a, b in itertools.combinations(values, 2)):
        return False
    return loading.pays(SECONDS_OF_ELEMENT * values[0].size)


def count_windows(shape: Any, height: Any, width: Any, stride: Any, pad: Any) -> tuple[int, int]:
    """How many windows lie below and beside one another in images (N, C, H, W).

    Raises
    ------
    TypeError, ValueError
        For sizes that are no integers, and where no window fits in. Kernels check nothing.
    """
    if len(shape) != 4:
        raise ValueError(
            f"images: expected four dimensions (N, C, H, W), got {len(shape)}: {tuple(shape)}; reshape them"
        )
    pad, stride = arrays.integer("pad", pad, 0, LONGEST), arrays.integer("stride", stride, 1, LONGEST)
    counts = []
    for name, size, window in (("height", shape[2], height), ("width", shape[3], width)):
        window = arrays.integer(f"{name} of the window", window, 1, LONGEST)
        if window > size + 2 * pad:
            came = f"{window} for images of {name} {size}" + (f" and pad {pad} on both sides" if pad else "")
            raise ValueError(
                f"{name} of the window: expected at most {size + 2 * pad}, got {came}; "
                "take a smaller one, or more padding"
            )
        counts.append((size + 2 * pad - window) // stride + 1)
    return counts[0], counts[1]


def windows(images: Any, height: int, width: int, stride: int, pad: int) -> Array:
    """The windows of images (N, C, H, W), as (N, oh, ow, C, height, width) float64."""
    images = _images("images", images)
    rows, columns = count_windows(images.shape, height, width, stride, pad)
    if not len(images):
        raise ValueError(f"images: expected one or more, got {images.shape}; leave an empty batch out")
    out = np.empty((len(images), rows, columns, images.shape[1], height, width))
    from fastnn import threads
    from fastnn.kernels import convolution

    threads.run(convolution.im2col, FLOP_OF_COPY * out.size, images, int(stride), int(pad), out)
    return out


def add_windows(columns: Any, shape: Any, height: int, width: int, stride: int, pad: int) -> Array:
    """The sum of windows, rows (N oh ow, C height width), where they lie in images of a shape (N, C, H, W).

    The images are padded on both sides, and by stride - 1 on the second once more.
    """
    below, beside = count_windows(shape, height, width, stride, pad)
    N, C, H, W = shape
    columns = _images("col", columns)
    wanted = (N, below, beside, C, height, width)
    if columns.size != math.prod(wanted):
        expected = f"{math.prod(wanted[:3])} x {math.prod(wanted[3:])} numbers, the windows of images {tuple(shape)}"
        raise ValueError(f"col: expected {expected}, got {columns.shape}; pass the shape of what im2col was given")
    images = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
    from fastnn import threads
    from fastnn.kernels import convolution

    threads.run(convolution.col2im, FLOP_OF_COPY * columns.size, columns.reshape(wanted), int(stride), images)
    return images


def max_pool(images: Any, height: int, width: int, stride: int) -> tuple[Array, Array]:
    """The largest of each window (N, C, oh, ow) in float64, and where in the window it is, (N, oh, ow, C)."""
    images = _images("x", images)
    rows, columns = count_windows(images.shape, height, width, stride, 0)
    N, C, _, _ = images.shape
    if not N:
        raise ValueError(f"x: expected one image or more, got {images.shape}; leave an empty batch out")
    out, places = np.empty((N, C, rows, columns)), np.empty((N, rows, columns, C), np.intp)
    from fastnn import threads
    from fastnn.kernels import convolution

    work, parts = FLOP_OF_COPY * out.size * height * width, threads.get_num_threads()
    sizes, scratch = (int(height), int(width), int(stride)), np.empty((parts, height * width))
    threads.run(convolution.max_pool, work, images, *sizes, scratch, out, places, n_threads=parts)
    return out, places


def max_pool_backward(dout: Any, places: Any, shape: Any, height: int, width: int, stride: int) -> Array:
    """Images of a shape (N, C, H, W), plus stride - 1 below and beside: dout where the largest of each window was.

    dout has the shape (N, C, oh, ow), or any other of four dimensions with as many numbers: as in the book they are
    then taken in the order (N, oh, ow, C).
    """
    rows, columns = count_windows(shape, height, width, stride, 0)
    N, C, H, W = shape
    dout, places = _images("dout", dout), np.ascontiguousarray(places)
    size = N * rows * columns * C
    if dout.ndim != 4 or dout.size != size:
        expected = f"the shape of the layer's output, {(N, C, rows, columns)}"
        raise ValueError(f"dout: expected {expected}, got {dout.shape}; pass the gradient by that output")
    if places.dtype != np.intp or places.size != size:
        raise ValueError(f"arg_max: expected {size} integers, got {places.dtype} {places.shape}; call forward again")
    if size and places.view(np.uintp).max() >= height * width:  # a negative one is large without its sign
        raise ValueError(f"arg_max: expected numbers from 0 to {height * width - 1}; leave it as forward made it")
    dout = dout.transpose(0, 2, 3, 1).reshape(N, rows, columns, C).transpose(0, 3, 1, 2)
    images = np.zeros((N, C, H + stride - 1, W + stride - 1))
    places = places.reshape(N, rows, columns, C)
    numbers = _images("dout", dout)
    from fastnn import threads
    from fastnn.kernels import convolution

    threads.run(convolution.max_pool_backward, FLOP_OF_COPY * size, numbers, places, int(width), int(stride), images)
    return images


def _images(name: str, images: Any) -> Array:
    """As kernels take them: float32 or float64, in order."""
    if isinstance(images, np.ndarray) and images.dtype.kind != "c" and images.dtype not in (np.float32, np.float64):
        images = images.astype(np.float64)
    return arrays.floats(name, images, rounding=True, allow_empty=True)
