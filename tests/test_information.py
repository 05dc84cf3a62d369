"""fastnn.information: the worked numbers of the notes, SciPy's entropies, units, infinities, and refusals."""

import math
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.information import cross_entropy, entropy, information, kl_divergence
from tests.tolerances import assert_close

P = np.array([0.7, 0.2, 0.1])
Q = np.array([0.5, 0.25, 0.25])
INF = math.inf


def distributions(seed: int, *shape: int) -> np.ndarray[Any, Any]:
    """Random distributions along the last axis, with zeros among them."""
    numbers = np.random.default_rng(seed).random(shape)
    numbers[..., 0] *= numbers[..., 0] > 0.5
    result: np.ndarray[Any, Any] = numbers / numbers.sum(axis=-1, keepdims=True)
    return result


def test_worked_numbers() -> None:
    assert np.round(information(P), 2).tolist() == [0.36, 1.61, 2.30]
    assert round(entropy(P), 2) == 0.80


def test_information() -> None:
    assert information(0.5, base=2) == 1.0
    assert information(np.float32(0.25)) == pytest.approx(math.log(4), rel=1e-15)
    assert_close(information([0.5, 0.125], base=2), np.array([1.0, 3.0]))
    assert_close(information(np.array([[1.0, 0.0], [0.1, 1e-300]])), np.array([[0.0, INF], -np.log([0.1, 1e-300])]))
    assert (information(0), information(1)) == (INF, 0.0)
    assert not np.signbit(information(1.0)), "no -0.0"
    assert type(information(1)) is float


@pytest.mark.parametrize("base", [None, 2, 10.0])
@pytest.mark.parametrize("axis", [0, 1, -1, -3])
def test_as_scipy(axis: int, base: float | None) -> None:
    reference = pytest.importorskip("scipy.stats", reason="SciPy, whose entropies are compared, is not installed")
    p = np.moveaxis(distributions(0, 4, 5, 6), -1, axis)
    q = np.moveaxis(distributions(1, 4, 5, 6) / 2 + 1 / 12, -1, axis)  # positive
    expected_entropy, expected_divergence = (reference.entropy(p, pk, base, axis) for pk in (None, q))
    assert_close(entropy(p, axis, base=base), expected_entropy)
    assert_close(kl_divergence(p, q, axis, base=base), expected_divergence)
    assert_close(cross_entropy(p, q, axis, base=base), expected_entropy + expected_divergence)


@pytest.mark.parametrize("classes", [1, 2, 3, 1000])
def test_extremes_of_the_entropy(classes: int) -> None:
    """It is 0 if one outcome is certain, and log K if all are equally likely."""
    certain = np.eye(classes)[0]
    assert entropy(certain) == 0.0
    assert not np.signbit(entropy(certain))
    assert entropy(np.full(classes, 1 / classes), base=2) == pytest.approx(math.log2(classes), rel=1e-13, abs=1e-15)


def test_cross_entropy_with_one_hot_targets_is_the_information_of_the_class() -> None:
    y = np.array([[0.2, 0.5, 0.3], [0.2, 0.2, 0.6]])
    found = cross_entropy(np.eye(3)[[2, 2]], y)
    assert_close(found, information(y[:, 2]))
    assert np.round(found, 2).tolist() == [1.20, 0.51]


def test_divergence_is_not_symmetric_and_0_for_equals() -> None:
    assert kl_divergence(P, Q) == pytest.approx(sum(p * math.log(p / q) for p, q in zip(P, Q, strict=True)), rel=1e-13)
    assert abs(kl_divergence(P, Q) - kl_divergence(Q, P)) > 1e-3
    p = distributions(2, 50, 7)
    assert np.array_equal(kl_divergence(p, p), np.zeros(50))
    assert (kl_divergence(p, p[::-1]) >= 0).all()


def test_impossible_outcomes() -> None:
    """0 log 0 is 0, even if both are 0; an outcome that happens though q rules it out is infinitely surprising."""
    p, q = [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]
    log2 = math.log(2)
    assert_close(entropy(p), np.array([log2, log2, 0.0]))
    assert_close(cross_entropy(p, q), np.array([log2, INF, log2]))
    assert_close(kl_divergence(p, q), np.array([0.0, INF, log2]))


def test_types_and_shapes() -> None:
    p = distributions(3, 2, 3, 4)
    before = p.copy()
    assert type(entropy(P)) is type(cross_entropy(P, Q)) is type(kl_divergence(P, Q)) is float
    assert entropy(p, axis=2).shape == (2, 3)
    assert np.array_equal(p, before)
    narrow = p.astype(np.float32)  # its sums are off by up to 1e-7
    assert_close(entropy(narrow), entropy(p), np.float64, rtol=1e-6)
    assert_close(kl_divergence(narrow, p.astype(np.float16)), np.zeros((2, 3)), np.float64, atol=1e-3)
    above = np.array([np.nextafter(np.float32(1), np.float32(2)), 0], np.float32)
    assert entropy(above) == 0.0
    assert entropy([1, 0]) == 0.0


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: information(1.5), ValueError, "p: expected a finite number of at least 0.0 and of at most 1.0, "),
        (lambda: information(math.nan), ValueError, "p: expected a finite number"),
        (lambda: information(True), TypeError, "p: expected a finite number"),
        (lambda: information("a"), TypeError, "p: expected a float32 or float64 array"),
        (lambda: information([[1], [1, 0]]), TypeError, "p: expected a float32 or float64 array, got a ragged list"),
        (
            lambda: information([0.5, -0.1]),
            ValueError,
            "p: expected probabilities from 0 to 1, got -0.1 at p[1]; pass probabilities, not logits",
        ),
        (lambda: information(0.5, base=1), ValueError, "base: expected a finite number above 1.0, got 1"),
        (lambda: entropy(0.5), TypeError, "p: expected a distribution of shape (K,) or (..., K), got 0.5"),
        (lambda: entropy([]), ValueError, "p: expected a float32 or float64 array, got the empty shape (0,)"),
        (
            lambda: entropy([[0.5, 0.5], [0.5, math.nan]]),
            ValueError,
            "p: expected probabilities from 0 to 1, got nan at p[1, 1]; ",
        ),
        (
            lambda: entropy([[0.5, 0.5], [0.25, 0.5]]),
            ValueError,
            "p: expected a sum of 1 within 1e-06 along axis -1, got 0.75; divide by p.sum(axis=-1, keepdims=True)",
        ),
        (lambda: entropy([[0.5, 0.5], [0.25, 0.75]], axis=0), ValueError, "p: expected a sum of 1 within 1e-06 along "),
        (lambda: entropy(P, axis=1), ValueError, "axis: expected an integer of at least -1 and of at most 0, got 1"),
        (lambda: entropy(P, base=-2), ValueError, "base: expected a finite number above 1.0, got -2"),
        (lambda: cross_entropy(P, P + 0.1), ValueError, "q: expected a sum of 1 within 1e-06"),
        (
            lambda: kl_divergence([P, P], P),
            ValueError,
            "q: expected the shape of p, (2, 3), got (3,); pass np.broadcast_to(q, ...)",
        ),
    ],
)
def test_refused(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        call()


def test_the_divergence_of_close_distributions_is_exact() -> None:
    p, q = np.array([0.5, 0.5]), np.array([0.5 + 1e-9, 0.5 - 1e-9])
    assert fastnn.information.kl_divergence(p, q) == pytest.approx(2e-18, rel=1e-6)
    rng = np.random.default_rng(0)
    many = rng.dirichlet(np.ones(5), 1000)
    close = many * (1 + 1e-8 * rng.standard_normal(many.shape))
    close /= close.sum(axis=1, keepdims=True)
    assert (fastnn.information.kl_divergence(many, close) >= 0).all()
