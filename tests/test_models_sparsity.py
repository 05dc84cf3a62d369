"""Penalties on activations against their formulas and numerical gradients."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.models import SparseKL, SparseL1
from tests.tolerances import assert_close


def activations(dtype: str = "float64", shape: tuple[int, ...] = (7, 5)) -> Any:
    return (0.05 + 0.9 * np.random.default_rng(1).random(shape)).astype(dtype)


@pytest.mark.parametrize("shape", [(7, 5), (1, 3), (4, 2, 3, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_those_of_the_formulas(dtype: str, shape: tuple[int, ...]) -> None:
    h = activations(dtype, shape)
    kl, m = 0.0, h.astype(np.float64).mean(axis=0).ravel()
    for unit in m:
        kl += 0.1 * np.log(0.1 / unit) + 0.9 * np.log(0.9 / (1 - unit))
    assert_close(SparseKL(0.1, 0.7).loss(h), 0.7 * kl, dtype)
    signed = h - dtype_of(h)(0.5)
    expected = 0.7 * np.mean([np.abs(row.astype(np.float64)).sum() for row in signed])
    assert_close(SparseL1(0.7).loss(signed), expected, dtype)
    for penalty in (SparseKL(), SparseL1()):
        assert penalty.gradient(h).dtype == h.dtype and penalty.gradient(h).shape == h.shape


def dtype_of(h: Any) -> Any:
    return h.dtype.type


@pytest.mark.parametrize("penalty", [SparseKL(0.05, 0.1), SparseKL(0.6, 2.0), SparseL1(0.3)], ids=repr)
def test_gradients_equal_numerical_ones(penalty: Any) -> None:
    h = activations() if isinstance(penalty, SparseKL) else activations() - 0.5
    numerical = fastnn.numerical_gradient(penalty.loss, h.copy(), h=1e-5)
    np.testing.assert_allclose(penalty.gradient(h), numerical, rtol=1e-6, atol=1e-9)


def test_limits() -> None:
    h = np.full((3, 2), 0.25)
    assert SparseKL(0.25, 1.0).loss(h) == 0.0 and not SparseKL(0.25, 1.0).gradient(h).any()
    assert SparseKL(0.25, 1.0).loss(np.zeros((3, 1))) == SparseKL(0.25, 1.0).loss(np.ones((3, 1))) == np.inf
    assert SparseL1(2.0).gradient(np.array([[0.0, -1.0, 1.0]])).tolist() == [[0.0, -2.0, 2.0]]
    assert SparseKL(0.1) == SparseKL(0.1, 0.1) != SparseKL(0.2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        SparseKL().rate = 0.2  # type: ignore[misc]
    h = activations()
    before = h.copy()
    SparseKL().gradient(h), SparseL1().gradient(h)
    np.testing.assert_array_equal(h, before)


L1: Any = SparseL1  # for an argument that type checkers refuse


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: SparseKL(0.0), "rate: expected a finite number above 0.0 and below 1.0, got 0.0"),
        (lambda: SparseKL(1.0), "rate: expected a finite number above 0.0 and below"),
        (lambda: SparseKL(0.1, -1.0), "weight: expected a finite number of at least 0.0"),
        (lambda: SparseL1(np.nan), "weight: expected a"),
        (lambda: L1(l1=0.1), "SparseL1: expected arguments out of weight, got l1"),
        (lambda: SparseKL().loss([[0.5, -0.1]]), "h: expected activations from 0 to 1, got -0.1 at h[0, 1]; end the"),
        (lambda: SparseKL().gradient([[1.5]]), "h: expected activations from 0 to 1, got 1.5 at h[0, 0]; end the"),
        (lambda: SparseL1().loss([0.5]), "h: expected activations (N, H), got shape (1,); pass a row for each sample"),
        (lambda: SparseL1().loss([[np.nan]]), "h: expected finite values, got nan at h[0, 0]"),
    ],
)
def test_what_is_refused(call: Any, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(sentence)):
        call()


def test_no_weight_is_no_penalty() -> None:
    """Also where the divergence is infinite: 0 times infinity would be NaN."""
    h = np.array([[0.0, 1.0, 0.5], [0.0, 1.0, 0.5]])
    penalty = SparseKL(0.1, weight=0.0)
    with np.errstate(all="raise"):
        assert penalty.loss(h) == 0.0
        assert (penalty.gradient(h) == 0.0).all()
    assert SparseKL(0.1, weight=1.0).loss(h) == np.inf
