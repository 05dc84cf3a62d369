"""Samples varied at random, and mini-batches of them, for your own training loops."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn.datasets import splits
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips


@answers_slips
def add_noise(x: Any, deviation: float, rng: int | np.random.Generator | None = None) -> Array:
    """x + deviation e, with independent standard normal e for each entry.

    Small noise on the inputs acts as a penalty on the outputs' gradient by them. Source: Bishop, Training with noise is
    equivalent to Tikhonov regularization, Neural Computation 7 (1995).

    Parameters
    ----------
    x : array (N, ...)
    deviation : float
        Standard deviation of the noise, at least 0.
    rng : int, numpy.random.Generator or None
        The same integer gives the same noise.

    Returns
    -------
    array like x
        A new array of the same dtype; float64 where x holds integers.

    Raises
    ------
    TypeError, ValueError
        If x is not an array of finite real numbers, or an argument is out of range.

    Examples
    --------
    >>> x = np.zeros((1000, 64), np.float32)
    >>> noisy = fastnn.datasets.add_noise(x, 0.1, rng=0)
    >>> noisy.shape, noisy.dtype, round(float(noisy.std()), 2)
    ((1000, 64), dtype('float32'), 0.1)
    """
    samples = arrays.floats("x", x, finite=True)
    scale = arrays.real("deviation", deviation, minimum=0.0, maximum=float(np.finfo(samples.dtype).max))
    noise: Array = arrays.generator("rng", rng).standard_normal(samples.shape, dtype=samples.dtype)
    noise *= scale
    noise += samples
    return noise


@answers_slips
def shift_images(
    x: npt.ArrayLike, pixels: int, rng: int | np.random.Generator | None = None, shape: tuple[int, int] | None = None
) -> npt.NDArray[Any]:
    """Each image moved by whole pixels, y[n, i, j] = x[n, i - a, j - b]; zeros come in from outside.

    a and b are drawn for each image, independently and uniformly from -pixels to pixels. Source: Simard, Steinkraus and
    Platt, Best practices for convolutional neural networks applied to visual document analysis, ICDAR 2003.

    Parameters
    ----------
    x : array (N, H W) or (N, H, W)
        Images of any dtype.
    pixels : int
        At least 0 and less than H and W.
    rng : int, numpy.random.Generator or None
        The same integer gives the same shifts.
    shape : (H, W), optional
        The shape of an image; by default, rows of a square number of pixels are square images.

    Returns
    -------
    array like x
        A new array of the same dtype.

    Raises
    ------
    TypeError, ValueError
        If x holds no such images, or an argument is out of range.

    Examples
    --------
    >>> x = np.array([[[0, 0, 0], [0, 1, 0], [0, 0, 0]]])
    >>> y = fastnn.datasets.shift_images(x, 1, rng=0)  # the 1 moves to one of the 9 places
    >>> y.shape, int(y.sum())
    ((1, 3, 3), 1)
    >>> digits = fastnn.datasets.load_digits()[0][0]  # rows of 64 pixels are images of 8 x 8
    >>> fastnn.datasets.shift_images(digits, 2).shape
    (1438, 64)
    """
    images = arrays.anything("x", x)
    height, width = _image_shape(images.shape, shape)
    reach = arrays.integer("pixels", pixels, minimum=0, maximum=min(height, width) - 1)
    count = len(images)
    shifts = arrays.generator("rng", rng).integers(-reach, reach, (2, count, 1), endpoint=True)
    padded = np.zeros((count, height + 2 * reach, width + 2 * reach), images.dtype)
    padded[:, reach : reach + height, reach : reach + width] = images.reshape(count, height, width)
    i, j = np.arange(height) + reach - shifts[0], np.arange(width) + reach - shifts[1]  # (N, H) and (N, W)
    moved: npt.NDArray[Any] = padded[np.arange(count)[:, None, None], i[:, :, None], j[:, None, :]]
    return moved.reshape(images.shape)


@answers_slips
def minibatches(
    x: npt.ArrayLike,
    t: npt.ArrayLike,
    batch_size: int,
    *,
    shuffle: bool = True,
    rng: int | np.random.Generator | None = None,
) -> Iterator[splits.Part]:
    """The mini-batches of one epoch: every sample once, `batch_size` at a time; the last batch may be smaller.

    The next epoch of `Network.fit` with the same generator would take the same order.

    Parameters
    ----------
    x, t : (N, ...)
        Samples and their targets, of any dtype.
    batch_size : int
        At least 1.
    shuffle : bool
        Whether the samples come in random order; otherwise in their own.
    rng : int, numpy.random.Generator or None
        Decides the order. Pass one generator to all epochs: the same integer would give each the same order.

    Yields
    ------
    (x_batch, t_batch)
        Copies, made one batch at a time.

    Raises
    ------
    TypeError, ValueError
        At the call: x and t differ in rows, or an argument is out of range.

    Examples
    --------
    >>> x, t = np.arange(10).reshape(5, 2), np.arange(5)
    >>> for x_batch, t_batch in fastnn.datasets.minibatches(x, t, 2, shuffle=False):
    ...     print(x_batch.shape, t_batch)
    (2, 2) [0 1]
    (2, 2) [2 3]
    (1, 2) [4]
    """
    samples, targets = arrays.anything("x", x), arrays.anything("t", t)
    splits.check_rows(samples, targets, False)
    rows, size = len(samples), arrays.integer("batch_size", batch_size, minimum=1)
    generator = arrays.generator("rng", rng)
    order = checks.permutation("rng", generator, rows) if arrays.flag("shuffle", shuffle) else np.arange(rows)
    batches = (order[first : first + size] for first in range(0, rows, size))
    return ((samples[batch], targets[batch]) for batch in batches)


def _image_shape(given: tuple[int, ...], shape: Any) -> tuple[int, int]:
    """(H, W) of images in an array of shape `given`."""
    if len(given) not in (2, 3) or 0 in given[1:]:
        raise ValueError(f"x: expected images of shape (N, H W) or (N, H, W), got shape {given}; reshape them")
    side = math.isqrt(given[1])
    if shape is None:
        if len(given) == 3:
            return given[1], given[2]
        if side * side != given[1]:
            raise ValueError(f"shape: expected (H, W) with H W = {given[1]}, got None, and the images are not square")
        return side, side
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise TypeError(f"shape: expected a pair (H, W), got {shape!r}; pass one such as (28, 28)")
    height, width = (arrays.integer("shape", size, minimum=1) for size in shape)
    if given[1:] not in ((height * width,), (height, width)):
        raise ValueError(f"shape: expected the images' shape, got {height, width} for x of shape {given}")
    return height, width
