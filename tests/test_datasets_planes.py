"""Points in a plane: which class a point gets, what noise adds, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest

from fastnn import datasets

MAKERS = (datasets.make_circles, datasets.make_xor, datasets.make_spiral, datasets.make_gaussians)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_shapes_and_shares(make: Any, n: int) -> None:
    x, t = make(n, rng=0)
    assert (x.shape, x.dtype, t.shape, t.dtype) == ((n, 2), np.float32, (n,), np.int64)
    assert x.flags.c_contiguous
    assert np.bincount(t, minlength=2).tolist() == [n - n // 2, n // 2]


@pytest.mark.parametrize("make", MAKERS)
def test_the_generator_decides(make: Any) -> None:
    first, again, other = make(50, 0.1, rng=3), make(50, 0.1, rng=np.random.default_rng(3)), make(50, 0.1, rng=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_circles() -> None:
    x, t = datasets.make_circles(1000, rng=0)
    radius = np.hypot(*x.T.astype(float))
    assert radius[t == 1].max() <= 0.5 + 1e-6
    assert radius[t == 0].min() >= 0.7 - 1e-6 and radius[t == 0].max() <= 1 + 1e-6
    assert abs(radius[t == 1].mean() - 0.25) < 0.02 and abs(radius[t == 0].mean() - 0.85) < 0.02


def test_xor() -> None:
    x, t = datasets.make_xor(1000, rng=0)
    assert np.array_equal(t, (x[:, 0] * x[:, 1] < 0).astype(int))
    assert np.abs(x).min() >= 0.05 - 1e-6 and np.abs(x).max() <= 1
    assert {tuple(row) for row in np.sign(x)} == {(a, b) for a in (-1, 1) for b in (-1, 1)}


def test_spirals_turn() -> None:
    """The angle of a point, minus what its radius turns, is 0 for one class and pi for the other."""
    x, t = datasets.make_spiral(1000, rng=0)
    z = x[:, 0].astype(complex) + 1j * x[:, 1]
    z = z[np.abs(z) > 0.01] * np.exp(-3.5j * math.pi * np.abs(z[np.abs(z) > 0.01]))
    signs = 1 - 2 * t[np.hypot(*x.T) > 0.01]
    assert np.allclose(z / np.abs(z), signs, atol=1e-4)


def test_clouds_err_as_the_formula_says() -> None:
    x, t = datasets.make_gaussians(200_000, noise=0.5, rng=0)
    errors = np.mean((x.sum(axis=1) > 0) != t)
    expected = 0.5 * math.erfc(math.sqrt(0.5) / 0.5 / math.sqrt(2))
    assert abs(errors - expected) < 0.003


@pytest.mark.parametrize("make", MAKERS[:3])
def test_noise_is_added(make: Any) -> None:
    """It is the last that is drawn, so the points beneath it are the same."""
    quiet, t = make(20_000, 0.0, rng=5)
    noisy, same = make(20_000, 0.3, rng=5)
    assert np.array_equal(t, same)
    added = noisy - quiet
    assert abs(float(added.std()) - 0.3) < 0.01 and abs(float(added.mean())) < 0.01


@pytest.mark.parametrize("make", MAKERS)
def test_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"^n: expected an integer of at least 1 and of at most 16777216, got 0$"):
        make(0)
    with pytest.raises(TypeError, match=r"^n: expected an integer"):
        make(2.5)
    with pytest.raises(ValueError, match=r"^noise: expected a finite number"):
        make(10, -0.1)
    with pytest.raises(ValueError, match=r"^rng: expected None, a seed"):
        make(10, rng=-1)
    with pytest.raises(TypeError, match="pass rng"):
        make(10, seed=1)
