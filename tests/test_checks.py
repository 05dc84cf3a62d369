"""The scalar checks: the values that they return, and the exact sentence for each one that they refuse."""

import contextlib
import fractions
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fastnn
from fastnn.gate import arrays, checks

NAMES = ("identity", "sigmoid", "tanh", "relu", "SGD")
HUGE = 10**9000  # more digits than Python is willing to write out
SEED = "rng: expected None, a seed of at least 0 or a np.random.Generator, got"


def refused(error: type[Exception], sentence: str) -> contextlib.AbstractContextManager[Any]:
    return pytest.raises(error, match=f"^{re.escape(sentence)}$")


@pytest.mark.parametrize("name", ["choice", "float_dtype", "generator", "integer", "real"])
def test_the_gate_offers_the_scalar_checks(name: str) -> None:
    assert getattr(arrays, name) is getattr(checks, name)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.int16(3)])
def test_integers_pass(value: Any) -> None:
    number = checks.integer("epochs", value, minimum=3, maximum=3)
    assert type(number) is int
    assert number == 3


@pytest.mark.parametrize(
    ("value", "came"),
    [
        (3.0, "3.0; pass 3"),
        (2.5, "2.5; pass 2 or 3"),
        (np.inf, "inf"),
        (np.float64(3), "np.float64(3.0); pass 3"),
        (True, "True"),
        (np.True_, "np.True_"),
        ("3", "'3'"),
        (None, "None"),
        (3j, "3j"),
        (np.timedelta64(3, "s"), "np.timedelta64(3,'s')"),
        (np.array(3), "an object of type ndarray"),
        ([3], "an object of type list"),
        ("x" * 200, "'" + "x" * 76 + "..."),
    ],
)
def test_what_is_no_integer(value: Any, came: str) -> None:
    with refused(TypeError, f"epochs: expected an integer of at least 1, got {came}"):
        checks.integer("epochs", value, minimum=1)


@pytest.mark.parametrize(
    ("value", "bounds", "came"),
    [
        (0, {"minimum": 1}, "of at least 1, got 0"),
        (np.int8(-5), {"minimum": 1, "maximum": 9}, "of at least 1 and of at most 9, got -5"),
        (10, {"minimum": 1, "maximum": 9}, "of at least 1 and of at most 9, got 10"),
        pytest.param(HUGE, {"maximum": 9}, "of at most 9, got an integer of 29898 bits", id="huge"),
    ],
)
def test_integers_out_of_range(value: Any, bounds: dict[str, int], came: str) -> None:
    with refused(ValueError, f"n_threads: expected an integer {came}"):
        checks.integer("n_threads", value, **bounds)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), np.float16(0.5), np.longdouble(0.5)])
def test_reals_pass(value: Any) -> None:
    number = checks.real("lr", value, minimum=0.5, maximum=0.5, above=0, below=1)
    assert type(number) is float
    assert number == 0.5
    assert type(checks.real("lr", 1)) is float
    assert checks.real("lr", np.uint8(7)) == 7.0


@pytest.mark.parametrize(
    ("value", "came"),
    [
        (True, "True"),
        (np.False_, "np.False_"),
        ("0.1", "'0.1'"),
        (None, "None"),
        (1j, "1j"),
        (np.array(0.1), "an object of type ndarray"),
        (np.timedelta64(1, "s"), "np.timedelta64(1,'s')"),
        (fractions.Fraction(1, 3), "an object of type Fraction"),
    ],
)
def test_what_is_no_real_number(value: Any, came: str) -> None:
    with refused(TypeError, f"lr: expected a finite number, got {came}"):
        checks.real("lr", value)


@pytest.mark.parametrize(
    ("value", "bounds", "came"),
    [
        (np.nan, {}, ", got nan"),
        (-np.inf, {}, ", got -inf"),
        pytest.param(HUGE, {}, ", got an integer of 29898 bits", id="huge"),
        (-0.1, {"minimum": 0}, " of at least 0, got -0.1"),
        (1.1, {"maximum": 1}, " of at most 1, got 1.1"),
        (0, {"above": 0}, " above 0, got 0"),
        (1.0, {"minimum": 0.0, "below": 1.0}, " of at least 0.0 and below 1.0, got 1.0"),
        (np.nan, {"minimum": 0, "maximum": 1}, " of at least 0 and of at most 1, got nan"),
    ],
)
def test_reals_out_of_range(value: Any, bounds: dict[str, float], came: str) -> None:
    with refused(ValueError, f"momentum: expected a finite number{came}"):
        checks.real("momentum", value, **bounds)


@pytest.mark.parametrize(
    ("value", "question"),
    [
        ("sigmod", "; did you mean 'sigmoid'?"),
        ("ReLU", "; did you mean 'relu'?"),
        ("sgd", "; did you mean 'SGD'?"),
        ("", ""),
        ("convolution", ""),
    ],
)
def test_choices(value: str, question: str) -> None:
    assert [checks.choice("activation", name, NAMES) for name in NAMES] == list(NAMES)
    expected = "activation: expected one of 'identity', 'sigmoid', 'tanh', 'relu', 'SGD'"
    with refused(ValueError, f"{expected}, got {value!r}{question}"):
        checks.choice("activation", value, NAMES)
    with refused(TypeError, f"{expected}, got None"):
        checks.choice("activation", None, NAMES)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_float_dtypes(name: str) -> None:
    dtype = np.dtype(name)
    for value in (name, dtype, dtype.type):
        assert checks.float_dtype("dtype", value) is dtype
    assert checks.float_dtype("dtype", float) == np.float64


@pytest.mark.parametrize(
    ("value", "came"),
    [
        ("float16", "'float16'"),
        ("f4", "'f4'"),
        (np.float16, "<class 'numpy.float16'>"),
        (int, "<class 'int'>"),
        (np.dtype(">f4"), "dtype('>f4')"),
        (None, "None"),
        (32, "32"),
        (np.zeros(3), "an object of type ndarray"),
    ],
)
def test_other_dtypes(value: Any, came: str) -> None:
    with refused(TypeError, f"dtype: expected 'float32' or 'float64', got {came}"):
        checks.float_dtype("dtype", value)


def test_generators() -> None:
    given = np.random.default_rng(3)
    assert checks.generator("rng", given) is given
    expected = np.random.default_rng(3).random(4).tolist()
    assert checks.generator("rng", 3).random(4).tolist() == expected
    assert checks.generator("rng", np.uint8(3)).random(4).tolist() == expected
    fresh = [checks.generator("rng", None).random() for _ in range(2)]
    assert fresh[0] != fresh[1]


@pytest.mark.parametrize(
    ("make", "came"),
    [
        (lambda: np.random.RandomState(0), "an object of type RandomState"),
        (lambda: np.random, "an object of type module"),
        (lambda: True, "True"),
        (lambda: 1.5, "1.5"),
        (lambda: [1, 2], "an object of type list"),
    ],
)
def test_what_is_no_generator(make: Callable[[], Any], came: str) -> None:
    with refused(TypeError, f"{SEED} {came}; pass np.random.default_rng(seed)"):
        checks.generator("rng", make())


@pytest.mark.parametrize("seed", [-1, np.int64(-1)])
def test_a_negative_seed(seed: Any) -> None:
    with refused(ValueError, f"{SEED} -1; pass one such as 0"):
        checks.generator("rng", seed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_remedy_names_the_dtype_that_is_expected(dtype: str) -> None:
    remedy = f"if it holds numbers pass np.array(x, dtype=np.{dtype})"
    with refused(TypeError, f"x: expected a {dtype} array, got dtype object; {remedy}"):
        arrays.floats("x", np.ones(2, object), dtype=np.dtype(dtype))


@pytest.mark.parametrize("dtype", ["<U32", "|S3", "object", "complex64", "datetime64[s]"])
def test_an_output_of_another_dtype_is_called_by_its_dtype(dtype: str) -> None:
    sentence = f"out: expected a float32 array of shape (2,), got dtype {dtype}; pass np.empty((2,), dtype=np.float32)"
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}"):
        fastnn.activation_forward("relu", np.ones(2, np.float32), out=np.empty(2, dtype))


@pytest.mark.parametrize(
    ("columns", "came"),
    [
        ({"a": [1.0, 2.0], "b": [True, False]}, "columns of the types bool, float64; pass x.astype(float)"),
        (
            {"a": [1.0, 2.0], "city": ["Bern", "Rome"]},
            "columns that hold no numbers, 'city'; encode them, as by pandas.get_dummies(x, dtype=float)",
        ),
    ],
)
def test_a_table_is_told_which_columns_are_no_numbers(columns: Any, came: str) -> None:
    table = pd.DataFrame(columns)
    with refused(TypeError, f"x: expected a float32 array of shape (N, 2), got a DataFrame with {came}"):
        fastnn.Network([fastnn.Affine(2, 2)], rng=0).predict(table)
    numbers = pd.get_dummies(table, dtype=float).astype(float)
    fastnn.Network([fastnn.Affine(numbers.shape[1], 2)], rng=0).predict(numbers)
