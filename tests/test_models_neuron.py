"""Threshold neurons and gates, by their truth tables and the formula."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import models as package
from tests.shapes import numbers

models: Any = package  # arguments of wrong types
PAIRS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


@pytest.mark.parametrize(
    ("gate", "outputs"), [(models.AND, [0, 0, 0, 1]), (models.OR, [0, 1, 1, 1]), (models.NAND, [1, 1, 1, 0])]
)
@pytest.mark.parametrize("kind", [np.int64, bool, np.float32, np.float64, list])
def test_gates_of_two(gate: package.McCullochPittsNeuron, outputs: list[int], kind: Any) -> None:
    result = gate.predict(PAIRS.tolist() if kind is list else PAIRS.astype(kind))
    assert result.dtype == np.intp
    assert result.tolist() == outputs


def test_not() -> None:
    assert models.NOT.predict([[0], [1]]).tolist() == [1, 0]


def test_xor() -> None:
    result = models.xor(PAIRS)
    assert result.dtype == np.intp
    assert result.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("kind", [int, float, bool, np.float64, np.int8, np.bool_])
def test_gates_called_with_numbers(kind: Any) -> None:
    """As in the book: AND(0, 1); each output is a number."""
    for x1, x2 in PAIRS.tolist():
        given, a, b = (kind(x1), kind(x2)), bool(x1), bool(x2)
        found = [models.AND(*given), models.OR(*given), models.NAND(*given), models.XOR(*given), models.NOT(given[0])]
        assert found == [a and b, a or b, not (a and b), a != b, not a]
        assert all(type(one) is int for one in found)
    assert models.McCullochPittsNeuron([1, 1, 1], 1.5)(1, 0, 1) == 1


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: models.AND(1),
            "inputs: expected 2 numbers, one for each weight, got 1; for an array of samples (N, D",
        ),
        (lambda: models.AND(PAIRS), "inputs: expected 2 numbers, one for each weight, got 1; for an array of samples"),
        (lambda: models.NOT(PAIRS), "inputs[0]: expected a finite number, got "),
        (lambda: models.XOR(0, np.nan), "inputs[1]: expected a finite number, got nan"),
        (lambda: models.OR("0", 1), "inputs[0]: expected a finite number, got '0'"),
    ],
)
def test_calls_that_are_refused(call: Any, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(sentence)}"):
        call()


def test_at_the_threshold_it_does_not_fire() -> None:
    neuron = models.McCullochPittsNeuron([1.0, 2.0], 3.0)
    above = np.nextafter(1.0, 2.0)
    assert neuron.predict([[1.0, 1.0], [1.0, above], [0.5, 1.0]]).tolist() == [0, 1, 0]


def test_it_may_fire_at_the_threshold() -> None:
    neuron = models.McCullochPittsNeuron([1.0, 2.0], 3.0, fastnn.Step(at_zero=1))
    below = np.nextafter(1.0, 0.0)
    found = neuron.predict([[1.0, 1.0], [1.0, below], [0.5, 1.0], [2.0, 1.0]])
    assert found.tolist() == [1, 0, 0, 1] and found.dtype == np.intp
    assert neuron(1, 1) == 1 and type(neuron(1, 1)) is int


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        ("sigmoid", lambda v: 1 / (1 + np.exp(-v))),
        (fastnn.Tanh(), np.tanh),
        ("identity", lambda v: v),
        (fastnn.Relu(), lambda v: np.maximum(v, 0)),
        (fastnn.LeakyRelu(slope=0.25), lambda v: np.where(v > 0, v, 0.25 * v)),
        ("elu", lambda v: np.where(v > 0, v, np.expm1(v))),
    ],
)
def test_any_activation(activation: Any, formula: Any) -> None:
    x, weights = numbers(1, 50, 7), numbers(2, 7)
    neuron = models.McCullochPittsNeuron(weights, 0.5, activation)
    found = neuron.predict(x)
    assert found.shape == (50,) and found.dtype == np.float64
    np.testing.assert_allclose(found, formula(x @ weights - 0.5), rtol=1e-12, atol=1e-12)
    assert type(neuron(*x[0].tolist())) is float
    assert neuron(*x[0].tolist()) == found[0]
    assert neuron == models.McCullochPittsNeuron(weights, 0.5, activation) and hash(neuron) == hash(neuron)


def test_formula() -> None:
    x, weights = numbers(1, 50, 7), numbers(2, 7)
    sums = x @ weights
    threshold = float(np.median(sums))
    assert 0 < np.count_nonzero(sums > threshold) < 50
    sure = np.abs(sums - threshold) > 1e-9  # of 50 sums, two lie beside the median
    assert sure.sum() >= 48
    predicted = models.McCullochPittsNeuron(weights, threshold).predict(x)
    np.testing.assert_array_equal(predicted[sure], (sums > threshold)[sure])


def test_neurons_are_values() -> None:
    neuron = models.McCullochPittsNeuron(np.array([1, 1], np.float32), 1.5)
    assert neuron == models.AND
    assert hash(neuron) == hash(models.AND)
    text = "McCullochPittsNeuron(weights=(1.0, 1.0), threshold=1.5, activation=Step(0.0))"
    assert repr(models.AND) == text
    assert models.McCullochPittsNeuron([1, 1], 1.5, fastnn.Step(1)) != models.AND
    with pytest.raises(dataclasses.FrozenInstanceError):
        neuron.threshold = 2.0


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda: models.McCullochPittsNeuron(np.ones((1, 1)), 0.0),
            ValueError,
            "weights: expected a float64 array of shape (D,), got shape (1, 1); pass weights.ravel()",
        ),
        (lambda: models.McCullochPittsNeuron([np.nan], 0.0), ValueError, "weights: expected finite values, got nan"),
        (
            lambda: models.McCullochPittsNeuron([1.0], np.inf),
            ValueError,
            "threshold: expected a finite number, got inf",
        ),
        (lambda: models.McCullochPittsNeuron([1.0], True), TypeError, "threshold: expected a finite number, got True"),
        (
            lambda: models.McCullochPittsNeuron([1.0], 0.0, "sigmoyd"),
            ValueError,
            "activation: expected one of 'identity', 'step', 'sigmoid', ",
        ),
        (
            lambda: models.McCullochPittsNeuron([1.0], 0.0, np.tanh),
            TypeError,
            "activation: expected an activation of single numbers, such as fastnn.Sigmoid() or its name, got ",
        ),
        (
            lambda: models.McCullochPittsNeuron([1.0], 0.0, fastnn.Sigmoid),
            TypeError,
            "activation: expected an activation of single numbers, such as fastnn.Sigmoid() or its name, got ",
        ),
        (
            lambda: models.McCullochPittsNeuron([1.0], 0.0, "softmax"),
            TypeError,
            "activation: expected an activation of single numbers, such as fastnn.Sigmoid() or its name, got Softmax()",
        ),
        (
            lambda: models.AND.predict([[1, 0, 1]]),
            ValueError,
            "x: expected a float64 array of shape (N, 2), got shape (1, 3)",
        ),
        (
            lambda: models.AND.predict([0, 1]),
            ValueError,
            "x: expected a float64 array of shape (N, 2), got shape (2,); for a single sample pass",
        ),
        (lambda: models.OR.predict([[0.0, np.nan]]), ValueError, "x: expected finite values, got nan at x[0, 1]"),
        (lambda: models.xor([[1]]), ValueError, "x: expected a float64 array of shape (N, 2), got shape (1, 1)"),
    ],
)
def test_refusals(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        call()
