"""Noise, shifted images and mini-batches, against plain loops and the definitions."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastnn
from fastnn import datasets
from tests import shapes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_has_the_deviation(dtype: str) -> None:
    x = shapes.numbers(1, 200, 5, 10, dtype=dtype)
    kept = x.copy()
    noisy = datasets.add_noise(x, 0.25, 3)
    assert noisy.shape == x.shape
    assert noisy.dtype == dtype
    np.testing.assert_array_equal(x, kept)
    noise = noisy.astype(np.float64) - x
    # of 10,000 draws: 5 standard errors
    assert abs(noise.mean()) < 5 * 0.25 / 100
    assert abs(noise.std() - 0.25) < 5 * 0.25 / np.sqrt(2 * 10_000)
    expected = x + 0.25 * np.random.default_rng(3).standard_normal(x.shape, dtype=x.dtype)
    np.testing.assert_allclose(noisy, expected, rtol=1e-6, atol=1e-6)


def test_noise_follows_the_generator() -> None:
    x = np.zeros((3, 4))
    first, again, other = (datasets.add_noise(x, 1.0, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
    none = datasets.add_noise([[1, 2]], 0.0, 0)
    np.testing.assert_array_equal(none, [[1.0, 2.0]])
    assert none.dtype == np.float64


@pytest.mark.parametrize(
    ("x", "deviation", "message"),
    [
        (np.array([[np.nan]]), 0.1, r"^x: expected finite values, got nan at x\[0, 0\]"),
        (np.ones((2, 2)), -0.1, r"^deviation: expected a finite number of at least 0"),
        (np.ones((2, 2), np.float32), 1e300, r"^deviation: expected a finite number .* of at most 3\.4"),
        (np.array([["a"]]), 0.1, r"^x: expected a float32 or float64 array, got dtype <U1"),
    ],
)
def test_noise_refuses(x: npt.NDArray[Any], deviation: float, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        datasets.add_noise(x, deviation, 0)


def shifted(image: npt.NDArray[Any], a: int, b: int) -> npt.NDArray[Any]:
    """By a rows and b columns, one pixel at a time."""
    result = np.zeros_like(image)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            if 0 <= i - a < image.shape[0] and 0 <= j - b < image.shape[1]:
                result[i, j] = image[i - a, j - b]
    return result


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("pixels", [0, 1, 3])
def test_images_are_shifted(dtype: str, pixels: int) -> None:
    x = np.arange(1, 1 + 12 * 4 * 5).reshape(12, 4, 5).astype(dtype)
    kept = x.copy()
    moved = datasets.shift_images(x, pixels, 7)
    shifts = np.random.default_rng(7).integers(-pixels, pixels, (2, 12), endpoint=True)
    assert pixels == 0 or len(np.unique(shifts)) == 2 * pixels + 1  # the two ends included
    expected = [shifted(image, a, b) for image, a, b in zip(x, *shifts, strict=True)]
    np.testing.assert_array_equal(moved, expected)
    assert moved.dtype == dtype
    assert not np.shares_memory(moved, x)
    np.testing.assert_array_equal(x, kept)
    rows = datasets.shift_images(x.reshape(12, 20), pixels, 7, shape=(4, 5))
    np.testing.assert_array_equal(rows, moved.reshape(12, 20))


def test_channels_are_shifted_together() -> None:
    x = shapes.numbers(1, 6, 3, 4, 5)
    moved = datasets.shift_images(x, 2, 1)
    for channel in range(3):
        np.testing.assert_array_equal(moved[:, channel], datasets.shift_images(x[:, channel], 2, 1))


def test_square_images_need_no_shape() -> None:
    x = shapes.numbers(1, 6, 9)
    moved = datasets.shift_images(x, 2, 1)
    np.testing.assert_array_equal(moved, datasets.shift_images(x, 2, 1, shape=(3, 3)))
    np.testing.assert_array_equal(moved, datasets.shift_images(x.reshape(6, 3, 3), 2, 1).reshape(6, 9))
    assert datasets.shift_images(np.zeros((0, 9)), 1, 0).shape == (0, 9)


@pytest.mark.parametrize(
    ("x", "pixels", "shape", "message"),
    [
        ((2, 4, 5), 4, None, "pixels: expected an integer of at least 0 and of at most 3, got 4"),
        ((2, 4, 5), -1, None, "pixels: expected an integer of at least 0 and of at most 3, got -1"),
        ((2, 4, 5), 1.0, None, "pixels: expected an integer"),
        ((2, 20), 1, None, "shape: expected (H, W) with H W = 20, got None, and the images are not square"),
        ((2, 20), 1, (4, 4), "shape: expected the images' shape, got (4, 4) for x of shape (2, 20)"),
        ((2, 4, 5), 1, (5, 4), "shape: expected the images' shape, got (5, 4) for x of shape (2, 4, 5)"),
        ((2, 20), 1, 20, "shape: expected a pair (H, W), got 20"),
        ((20,), 1, None, "x: expected images of shape (N, H W), (N, H, W) or (N, C, H, W), got shape (20,)"),
    ],
)
def test_bad_shifts(x: tuple[int, ...], pixels: int, shape: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        datasets.shift_images(np.zeros(x), pixels, 0, shape)


def test_minibatches_hold_every_sample_once() -> None:
    x, t = np.arange(20).reshape(10, 2), np.arange(10)
    batches = list(datasets.minibatches(x, t, 4, rng=0))
    assert [len(x_batch) for x_batch, _ in batches] == [4, 4, 2]
    order = np.concatenate([t_batch for _, t_batch in batches])
    assert sorted(order) == list(range(10)) != order.tolist()
    for x_batch, t_batch in batches:
        np.testing.assert_array_equal(x_batch, x[t_batch])
        x_batch[:] = -1  # a copy
    assert (x >= 0).all()
    in_order = list(datasets.minibatches(x, t, 100, shuffle=False))
    assert len(in_order) == 1
    np.testing.assert_array_equal(in_order[0][1], t)
    in_order[0][0][:] = -1
    assert (x >= 0).all()


def test_minibatches_are_those_of_fit() -> None:
    x, t = shapes.numbers(1, 23, 5, dtype=np.float32), shapes.targets("labels", 23, 3, np.float32)
    fitted, stepped = (fastnn.Network([fastnn.Affine(5, 3)], rng=0) for _ in range(2))
    optimizer = fastnn.Momentum(0.1)
    fitted.fit(x, t, epochs=2, batch_size=4, optimizer=optimizer, rng=5)
    rng = np.random.default_rng(5)
    for _ in range(2):
        for x_batch, t_batch in datasets.minibatches(x, t, 4, rng=rng):
            stepped.step(x_batch, t_batch, optimizer)
    for name, values in fitted.params.items():
        np.testing.assert_array_equal(stepped.params[name], values)


@pytest.mark.parametrize(
    ("rows", "batch_size", "shuffle", "message"),
    [
        ((3, 4), 2, True, "t: expected a row for each of the 3 samples of x, got shape (4,)"),
        ((3, 3), 0, True, "batch_size: expected an integer of at least 1, got 0"),
        ((3, 3), 2, "no", "shuffle: expected True or False, got 'no'"),
    ],
)
def test_bad_minibatches(rows: tuple[int, int], batch_size: int, shuffle: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        datasets.minibatches(np.zeros(rows[0]), np.zeros(rows[1]), batch_size, shuffle=shuffle)  # at the call
