"""The activations by their names against formulas in plain NumPy."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as package
from fastnn.operations import ACTIVATIONS
from tests.tolerances import assert_close

fastnn: Any = package  # functions by their names

FORMULAS: dict[str, Callable[..., Any]] = {
    "identity": lambda x: x,
    "step": lambda x, at_zero=0.0: np.heaviside(x, at_zero),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "leaky_relu": lambda x, slope=0.01: np.where(x > 0, x, slope * x),
    "elu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x)),
    "gelu": lambda x: x * np.vectorize(lambda one: (1 + math.erf(one / math.sqrt(2))) / 2)(x),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
}
OPTIONS = {"step": {"at_zero": 1.0}, "leaky_relu": {"slope": 0.3}, "elu": {"alpha": 0.5}}


def test_each_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7,), (3, 17), (2, 3, 5)])
def test_values(name: str, dtype: Any, shape: tuple[int, ...]) -> None:
    x = np.linspace(-6, 6, math.prod(shape)).astype(dtype).reshape(shape)
    kept = x.copy()
    for options in ({}, OPTIONS.get(name, {})):
        y = getattr(fastnn, name)(x, **options)
        assert y.dtype == dtype
        assert_close(y, FORMULAS[name](x.astype(np.float64), **options), dtype)
        out = np.full_like(x, np.nan)
        assert getattr(fastnn, name)(x, out=out, **options) is out
        assert np.array_equal(out, y) and np.array_equal(x, kept)
        in_place = x.copy()
        assert getattr(fastnn, name)(in_place, out=in_place, **options) is in_place
        assert np.array_equal(in_place, y)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_docstring_says_the_formula_and_the_option(name: str) -> None:
    function = getattr(fastnn, name)
    assert str(inspect.getdoc(function)).startswith("y = ")
    assert set(inspect.signature(function).parameters) - {"x", "out"} == set(OPTIONS.get(name, {}))
