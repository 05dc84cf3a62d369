"""Windows of images (N, C, H, W), their sums and maxima, by kernels or, for a few windows, by NumPy.

Kernels check nothing, so a script's arguments are checked here. Both ways add in the same order, to the same bits.
"""

import itertools
import math
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.system import loading

SMALL = 512  # numbers in windows; below it NumPy is quick enough without loading a kernel
SECONDS_OF_NUMBER = 5e-9  # NumPy's time, roughly; decides only whether loading the compiler pays
FLOP_OF_COPY = 4.0  # for each element moved; decides only whether threads pay
LONGEST = 2**31 - 1  # of windows, strides and padding: their products fit into the kernels' integers


def count_windows(shape: Any, height: Any, width: Any, stride: Any, pad: Any) -> tuple[int, int]:
    """How many windows lie below and beside one another in images (N, C, H, W).

    Raises
    ------
    TypeError, ValueError
        If sizes are not integers, or no window fits in.
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
    if not _kernels_pay(out.size):
        return _few_windows(images, (height, width, stride, pad), out)
    from fastnn.engine import threads
    from fastnn.kernels import convolution

    threads.run(convolution.im2col, FLOP_OF_COPY * out.size, images, int(stride), int(pad), out)
    return out


def add_windows(columns: Any, shape: Any, height: int, width: int, stride: int, pad: int) -> Array:
    """Images of a shape (N, C, H, W) that add up the windows, rows (N oh ow, C height width), in their places.

    The images are padded on both sides, and by stride - 1 more on the second.
    """
    below, beside = count_windows(shape, height, width, stride, pad)
    N, C, H, W = shape
    columns = _images("col", columns)
    wanted = (N, below, beside, C, height, width)
    if columns.size != math.prod(wanted):
        expected = f"{math.prod(wanted[:3])} x {math.prod(wanted[3:])} numbers, the windows of images {tuple(shape)}"
        raise ValueError(f"col: expected {expected}, got {columns.shape}; pass the shape of im2col's images")
    images = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
    if not _kernels_pay(columns.size):
        return _add_few(columns.reshape(wanted), stride, images)
    from fastnn.engine import threads
    from fastnn.kernels import convolution

    threads.run(convolution.col2im, FLOP_OF_COPY * columns.size, columns.reshape(wanted), int(stride), images)
    return images


def max_pool(images: Any, height: int, width: int, stride: int) -> tuple[Array, Array]:
    """The maximum of each window (N, C, oh, ow) in float64, and its place in the window, (N, oh, ow, C)."""
    images = _images("x", images)
    rows, columns = count_windows(images.shape, height, width, stride, 0)
    N, C, _, _ = images.shape
    if not N:
        raise ValueError(f"x: expected one image or more, got {images.shape}; leave an empty batch out")
    out, places = np.empty((N, C, rows, columns)), np.empty((N, rows, columns, C), np.intp)
    if not _kernels_pay(out.size * height * width):
        rows_of = np.empty((*places.shape, height, width))
        rows_of = _few_windows(images, (height, width, stride, 0), rows_of).reshape(*places.shape, height * width)
        places[...] = rows_of.argmax(axis=-1)
        out[...] = np.take_along_axis(rows_of, places[..., None], axis=-1)[..., 0].transpose(0, 3, 1, 2)
        return out, places
    from fastnn.engine import threads
    from fastnn.kernels import convolution

    work, parts = FLOP_OF_COPY * out.size * height * width, threads.get_num_threads()
    sizes, scratch = (int(height), int(width), int(stride)), np.empty((parts, height * width))
    threads.run(convolution.max_pool, work, images, *sizes, scratch, out, places, n_threads=parts)
    return out, places


def max_pool_backward(dout: Any, places: Any, shape: Any, height: int, width: int, stride: int) -> Array:
    """Images of a shape (N, C, H, W), plus stride - 1 below and beside: dout at the maximum of each window.

    dout has the shape (N, C, oh, ow), or another one of four dimensions with as many numbers, which are then taken in
    the book's order (N, oh, ow, C).
    """
    rows, columns = count_windows(shape, height, width, stride, 0)
    N, C, H, W = shape
    dout, places = _images("dout", dout), np.require(np.asarray(places), requirements=["C", "A", "W"])
    size = N * rows * columns * C
    if dout.ndim != 4 or dout.size != size:
        expected = f"the shape of the layer's output, {(N, C, rows, columns)}"
        raise ValueError(f"dout: expected {expected}, got {dout.shape}; pass the gradient by that output")
    if places.dtype != np.intp or places.size != size:
        raise ValueError(f"arg_max: expected {size} integers, got {places.dtype} {places.shape}; call forward again")
    if size and places.view(np.uintp).max() >= height * width:  # read as unsigned, a negative one is large
        raise ValueError(f"arg_max: expected numbers from 0 to {height * width - 1}; leave it as forward made it")
    dout, places = dout.transpose(0, 2, 3, 1).reshape(N, rows, columns, C), places.reshape(N, rows, columns, C)
    images = np.zeros((N, C, H + stride - 1, W + stride - 1))
    if not _kernels_pay(size * height * width):
        spread = np.zeros((*places.shape, height * width))
        np.put_along_axis(spread, places[..., None], dout[..., None], axis=-1)
        return _add_few(spread.reshape(*places.shape, height, width), stride, images)
    numbers = _images("dout", dout.transpose(0, 3, 1, 2))
    from fastnn.engine import threads
    from fastnn.kernels import convolution

    threads.run(convolution.max_pool_backward, FLOP_OF_COPY * size, numbers, places, int(width), int(stride), images)
    return images


def _kernels_pay(numbers: int) -> bool:
    """Whether kernels pay for so many numbers in windows."""
    return numbers >= SMALL and loading.pays(SECONDS_OF_NUMBER * numbers)


def _few_windows(images: Array, sizes: tuple[int, int, int, int], out: Array) -> Array:
    """As `windows`, in NumPy."""
    N, C, H, W = images.shape
    height, width, stride, pad = sizes
    padded = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
    padded[:, :, pad : pad + H, pad : pad + W] = images
    shown: Any = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    out[...] = shown[:, :, ::stride, ::stride].transpose(0, 2, 3, 1, 4, 5)
    return out


def _add_few(columns: Array, stride: int, images: Array) -> Array:
    """images += windows (N, oh, ow, C, height, width) in NumPy; last places first, as the kernels add them."""
    _, below, beside, _, height, width = columns.shape
    for a, b in itertools.product(range(height - 1, -1, -1), range(width - 1, -1, -1)):
        shown = images[:, :, a : a + stride * below : stride, b : b + stride * beside : stride]
        shown += columns[..., a, b].transpose(0, 3, 1, 2)
    return images


def _images(name: str, images: Any) -> Array:
    """The images in float32 or float64, contiguous, for kernels."""
    if isinstance(images, np.ndarray) and images.dtype.kind != "c" and images.dtype not in (np.float32, np.float64):
        images = images.astype(np.float64)
    return arrays.floats(name, images, rounding=True, allow_empty=True)
