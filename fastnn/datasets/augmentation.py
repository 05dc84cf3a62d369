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

AT_ONCE = 1000  # images: as many of 28 x 28 take some 100 MB on their way


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
    x : array (N, H W), (N, H, W) or (N, C, H, W)
        Images of any dtype. All channels of an image go the same way.
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
    shifts = arrays.generator("rng", rng).integers(-reach, reach, (2, len(images), 1), endpoint=True)
    shifts = np.repeat(shifts, _channels(images), axis=1)
    count = shifts.shape[1]
    padded = np.zeros((count, height + 2 * reach, width + 2 * reach), images.dtype)
    padded[:, reach : reach + height, reach : reach + width] = images.reshape(count, height, width)
    i, j = np.arange(height) + reach - shifts[0], np.arange(width) + reach - shifts[1]  # (N, H) and (N, W)
    moved: npt.NDArray[Any] = padded[np.arange(count)[:, None, None], i[:, :, None], j[:, None, :]]
    return moved.reshape(images.shape)


@answers_slips
def rotate_images(
    x: npt.ArrayLike, degrees: float, rng: int | np.random.Generator | None = None, shape: tuple[int, int] | None = None
) -> npt.NDArray[Any]:
    """Each image turned about its center by an angle of its own, bilinearly; zeros come in from outside.

    With positive angles it turns counterclockwise: y at the place (i, j), counted from the center, is x at
    (i cos a + j sin a, j cos a - i sin a), taken linearly between the four pixels around it. a is drawn for each image,
    uniformly from -degrees to degrees. Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998),
    section III.C.

    Parameters
    ----------
    x : array (N, H W), (N, H, W) or (N, C, H, W)
        Images of numbers. All channels of an image turn together. Small angles keep a 6 from becoming a 9.
    degrees : float
        The largest angle, from 0 to 180.
    rng : int, numpy.random.Generator or None
        The same integer gives the same angles.
    shape : (H, W), optional
        The shape of an image; by default, rows of a square number of pixels are square images.

    Returns
    -------
    array like x
        A new array of the same dtype; integers are rounded.

    Raises
    ------
    TypeError, ValueError
        If x holds no such images, or no finite numbers, or an argument is out of range.

    Examples
    --------
    >>> digits = fastnn.datasets.load_digits()[0][0]  # rows of 64 pixels are images of 8 x 8
    >>> turned = fastnn.datasets.rotate_images(digits, 15, rng=0)
    >>> turned.shape, turned.dtype
    ((1438, 64), dtype('float32'))
    """
    images = arrays.anything("x", x)
    height, width = _image_shape(images.shape, shape)
    largest = arrays.real("degrees", degrees, minimum=0.0, maximum=180.0)
    angles = np.deg2rad(arrays.generator("rng", rng).uniform(-largest, largest, len(images)))
    cosines, sines = np.cos(angles), np.sin(angles)
    places = np.array([[cosines, sines], [-sines, cosines]])
    return _resampled(images, places, height, width)


@answers_slips
def stretch_images(
    x: npt.ArrayLike, factor: float, rng: int | np.random.Generator | None = None, shape: tuple[int, int] | None = None
) -> npt.NDArray[Any]:
    """Each image stretched or shrunk about its center, in height and width apart, bilinearly; zeros around it.

    y at the place (i, j), counted from the center, is x at (i / a, j / b), taken linearly between the four pixels
    around it. a and b are drawn for each image, independently from 1 / factor to factor, with uniform logarithms.
    Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998), section III.C.

    Parameters
    ----------
    x : array (N, H W), (N, H, W) or (N, C, H, W)
        Images of numbers. All channels of an image are stretched together.
    factor : float
        The largest factor, from 1 to 100; 1.2 stretches by at most a fifth.
    rng : int, numpy.random.Generator or None
        The same integer gives the same factors.
    shape : (H, W), optional
        The shape of an image; by default, rows of a square number of pixels are square images.

    Returns
    -------
    array like x
        A new array of the same dtype; integers are rounded.

    Raises
    ------
    TypeError, ValueError
        If x holds no such images, or no finite numbers, or an argument is out of range.

    Examples
    --------
    >>> digits = fastnn.datasets.load_digits()[0][0]  # rows of 64 pixels are images of 8 x 8
    >>> fastnn.datasets.stretch_images(digits, 1.25, rng=0).shape
    (1438, 64)
    """
    images = arrays.anything("x", x)
    height, width = _image_shape(images.shape, shape)
    largest = arrays.real("factor", factor, minimum=1.0, maximum=100.0)
    factors = largest ** arrays.generator("rng", rng).uniform(-1.0, 1.0, (2, len(images)))
    places = np.zeros((2, 2, len(images)))
    places[0, 0], places[1, 1] = 1.0 / factors
    return _resampled(images, places, height, width)


def _resampled(images: npt.NDArray[Any], places: Array, height: int, width: int) -> npt.NDArray[Any]:
    """y[n] at the place p from the center is x[n] at places[:, :, n] p, bilinearly; zeros outside.

    places: (2, 2, N).
    """
    if images.dtype.kind not in "biuf":
        remedy = "pass numbers, such as the bytes of load_mnist(normalize=False)"
        raise TypeError(f"x: expected images of real numbers, got dtype {images.dtype}; {remedy}")
    if images.dtype.kind == "f":
        arrays.check_finite("x", images)
    places = np.repeat(places, _channels(images), axis=2)
    given = images.reshape(places.shape[2], height, width)
    result = np.empty(given.shape, images.dtype)
    down, right = np.arange(height)[:, None] - (height - 1) / 2.0, np.arange(width) - (width - 1) / 2.0
    for first in range(0, len(given), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        x, m = given[some].astype(np.float64), places[:, :, some, None, None]
        padded = np.zeros((len(x), height + 3, width + 3))
        padded[:, 1:-2, 1:-2] = x
        # Farther outside than a pixel all is 0.
        i = np.clip(m[0, 0] * down + m[0, 1] * right + (height - 1) / 2.0, -1.0, height)
        j = np.clip(m[1, 0] * down + m[1, 1] * right + (width - 1) / 2.0, -1.0, width)
        n, above, left = np.arange(len(x))[:, None, None], np.floor(i).astype(np.intp), np.floor(j).astype(np.intp)
        below, beside = i - above, j - left  # the shares of the pixels below and to the right
        upper = (1 - beside) * padded[n, above + 1, left + 1] + beside * padded[n, above + 1, left + 2]
        lower = (1 - beside) * padded[n, above + 2, left + 1] + beside * padded[n, above + 2, left + 2]
        y = (1 - below) * upper + below * lower
        result[some] = y if images.dtype.kind == "f" else np.rint(y)
    return result.reshape(images.shape)


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


def _channels(images: npt.NDArray[Any]) -> int:
    return images.shape[1] if images.ndim == 4 else 1


def _image_shape(given: tuple[int, ...], shape: Any) -> tuple[int, int]:
    """(H, W) of images in an array of shape `given`."""
    if len(given) not in (2, 3, 4) or 0 in given[1:]:
        expected = "x: expected images of shape (N, H W), (N, H, W) or (N, C, H, W)"
        raise ValueError(f"{expected}, got shape {given}; reshape them")
    side = math.isqrt(given[1])
    if shape is None:
        if len(given) > 2:
            return given[-2], given[-1]
        if side * side != given[1]:
            raise ValueError(f"shape: expected (H, W) with H W = {given[1]}, got None, and the images are not square")
        return side, side
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise TypeError(f"shape: expected a pair (H, W), got {shape!r}; pass one such as (28, 28)")
    height, width = (arrays.integer("shape", size, minimum=1) for size in shape)
    if given[1:] != (height * width,) and (len(given) == 2 or given[-2:] != (height, width)):
        raise ValueError(f"shape: expected the images' shape, got {height, width} for x of shape {given}")
    return height, width
