"""Images rotated and stretched, against scipy.ndimage, turns by right angles, and a plain loop."""

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastnn import datasets
from tests import shapes

KINDS = ("rotate_images", "stretch_images")


def matrices(kind: str, amount: float, count: int, seed: int) -> Any:
    """From places in y to places in x, both from the center."""
    rng = np.random.default_rng(seed)
    if kind == "rotate_images":
        angles = [math.radians(a) for a in rng.uniform(-amount, amount, count)]
        return [np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) for a in angles]
    return [np.diag(1 / np.array(pair)) for pair in (amount ** rng.uniform(-1, 1, (2, count))).T]


@pytest.mark.parametrize("size", [(8, 8), (5, 9), (1, 4), (28, 28)])
@pytest.mark.parametrize(
    ("kind", "amount"), [("rotate_images", 30.0), ("rotate_images", 180.0), ("stretch_images", 1.5)]
)
def test_they_are_scipys(kind: str, amount: float, size: tuple[int, int]) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    x = shapes.numbers(1, 20, *size)
    kept = x.copy()
    y = getattr(datasets, kind)(x, amount, 7)
    center = (np.array(size) - 1) / 2
    for image, found, matrix in zip(x, y, matrices(kind, amount, 20, 7), strict=True):
        offset = center - matrix @ center
        expected = ndimage.affine_transform(image, matrix, offset, order=1, mode="grid-constant", cval=0.0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(x, kept)
    assert not np.shares_memory(x, y)


def test_a_positive_angle_turns_counterclockwise() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    x = shapes.numbers(2, 1, 6, 6)
    angle = float(np.random.default_rng(3).uniform(-90.0, 90.0))
    expected = ndimage.rotate(x[0], angle, reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(datasets.rotate_images(x, 90.0, 3)[0], expected, rtol=0, atol=1e-10)

    class Quarter(np.random.Generator):
        def uniform(self, *_: Any, **__: Any) -> Any:
            return np.array([90.0])

    quarter = datasets.rotate_images(x, 90.0, Quarter(np.random.PCG64(0)))
    np.testing.assert_allclose(quarter[0], np.rot90(x[0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int64", "bool"])
def test_dtypes(kind: str, dtype: str) -> None:
    x = (shapes.numbers(4, 30, 7, 7) * 40 + 128).clip(0, 255).astype(dtype)
    amount = {"rotate_images": 20.0, "stretch_images": 1.3}[kind]
    y = getattr(datasets, kind)(x, amount, 0)
    assert y.dtype == dtype and y.shape == x.shape
    exact = getattr(datasets, kind)(x.astype(np.float64), amount, 0)
    expected = exact.astype(dtype) if x.dtype.kind == "f" else np.rint(exact).astype(dtype)
    np.testing.assert_array_equal(y, expected)
    assert y.min() >= 0 and float(y.max()) <= float(x.max())  # nothing wraps


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_seeds_and_no_change(kind: str) -> None:
    function = getattr(datasets, kind)
    none, much = {"rotate_images": (0.0, 45.0), "stretch_images": (1.0, 2.0)}[kind]
    x = shapes.numbers(5, 1003, 4, 6, dtype=np.float32)  # more than are turned at once
    np.testing.assert_array_equal(function(x, none, 0), x)
    y = function(x, much, 0)
    np.testing.assert_array_equal(function(x.reshape(1003, 24), much, 0, shape=(4, 6)), y.reshape(1003, 24))
    np.testing.assert_array_equal(function(x, much, np.random.default_rng(0)), y)
    assert not np.array_equal(function(x, much, 1), y)
    assert not np.array_equal(y[0], x[0]) and not np.array_equal(y[1002], x[1002])
    square = shapes.numbers(6, 3, 16)
    np.testing.assert_array_equal(function(square, much, 1), function(square.reshape(3, 4, 4), much, 1).reshape(3, 16))
    assert function(np.zeros((0, 9)), much, 0).shape == (0, 9)
    channels = shapes.numbers(7, 5, 3, 4, 6)
    found = function(channels, much, 2)
    for one in range(3):  # all of them alike
        np.testing.assert_array_equal(found[:, one], function(channels[:, one], much, 2))


def test_the_draws_reach_both_ends() -> None:
    """A lone pixel beside the center tells the angle; a ramp tells the factors."""
    ramp = np.broadcast_to(np.arange(101.0) - 50, (2000, 101, 101))[:500]
    wide = datasets.stretch_images(ramp, 2.0, 0)[:, 50, 60] / 10  # 1 / b
    assert 0.5 <= wide.min() < 0.51 and 1.96 < wide.max() <= 2.0
    assert abs(np.log(wide).mean()) < 4 * np.log(2) / np.sqrt(3 * 500)
    slopes = datasets.rotate_images(ramp, 30.0, 0)[:, 50, 60] / 10  # the cosine
    assert math.cos(math.radians(30)) <= slopes.min() < 0.875 and slopes.max() > 0.9999


@pytest.mark.parametrize(
    ("kind", "x", "amount", "message"),
    [
        ("rotate_images", np.zeros((2, 4)), -1.0, "degrees: expected a finite number of at least 0"),
        ("rotate_images", np.zeros((2, 4)), 181.0, "degrees: expected a finite number of at least 0"),
        ("rotate_images", np.zeros((2, 4)), np.nan, "degrees: expected a finite number"),
        ("stretch_images", np.zeros((2, 4)), 0.9, "factor: expected a finite number of at least 1"),
        ("stretch_images", np.zeros((2, 4)), np.inf, "factor: expected a finite number"),
        ("rotate_images", np.zeros((2, 5)), 1.0, "shape: expected (H, W) with H W = 5, got None"),
        ("stretch_images", np.zeros(5), 1.0, "x: expected images of shape (N, H W), (N, H, W) or (N, C, H, W)"),
        ("rotate_images", np.array([["a"]]), 1.0, "x: expected images of real numbers, got dtype <U1"),
        ("stretch_images", np.array([[1j]]), 1.0, "x: expected images of real numbers, got dtype complex128"),
        ("rotate_images", np.array([[np.nan]]), 1.0, "x: expected finite values, got nan at x[0, 0]"),
        ("stretch_images", np.array([[[np.inf]]]), 1.0, "x: expected finite values, got inf at x[0, 0, 0]"),
    ],
)
def test_refused(kind: str, x: npt.NDArray[Any], amount: float, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        getattr(datasets, kind)(x, amount, 0)
