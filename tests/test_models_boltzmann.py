"""The restricted Boltzmann machine against plain NumPy, and sums over all of its states."""

import itertools
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.models import RestrictedBoltzmannMachine
from tests.shapes import Array, FloatType
from tests.tolerances import assert_close

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def plain_fit(
    x: Array, hidden: int, seed: int, epochs: int, size: int, lr: float, momentum: float, k: int, dtype: FloatType
) -> tuple[list[Array], list[float]]:
    """CD-k written as in Hinton's papers, sample by sample, in float64 with the machine's random numbers."""
    rng, visible = np.random.default_rng(seed), x.shape[1]
    W, b, c = (
        (0.01 * rng.standard_normal((visible, hidden))).astype(dtype).astype(float),
        np.zeros(hidden),
        np.zeros(visible),
    )
    changes, errors = [np.zeros_like(one) for one in (W, b, c)], []
    for _ in range(epochs):
        order, error = rng.permutation(len(x)), 0.0
        for first in range(0, len(x), size):
            batch = x[order[first : first + size]].astype(float)
            numbers = [rng.random((len(batch), hidden), dtype) for _ in range(k)]
            total = [np.zeros_like(one) for one in (W, b, c)]
            for n, v0 in enumerate(batch):
                p0 = p = sigmoid(v0 @ W + b)
                for u in numbers:
                    v = sigmoid(W @ (u[n] < p) + c)
                    p = sigmoid(v @ W + b)
                total[0] += np.outer(v0, p0) - np.outer(v, p)
                total[1] += p0 - p
                total[2] += v0 - v
                error += ((v0 - v) ** 2).sum()
            changes = [momentum * old + lr * now / len(batch) for old, now in zip(changes, total, strict=True)]
            W, b, c = W + changes[0], b + changes[1], c + changes[2]
        errors.append(error / x.size)
    return [W, b, c], errors


@every_dtype
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    ("rows", "visible", "hidden", "size"), [(1, 1, 1, 1), (7, 5, 3, 3), (40, 17, 33, 16), (5, 4, 2, 99)]
)
def test_contrastive_divergence_equals_numpy(
    dtype: FloatType, k: int, rows: int, visible: int, hidden: int, size: int
) -> None:
    x = np.random.default_rng(5).random((rows, visible)).astype(dtype)
    machine = RestrictedBoltzmannMachine(visible, hidden, rng=3, dtype=dtype)
    kept = x.copy()
    errors = machine.fit(x, epochs=2, batch_size=size, lr=0.3, momentum=0.7, k=k)
    expected, plain_errors = plain_fit(x, hidden, 3, 2, size, 0.3, 0.7, k, dtype)
    for found, one in zip((machine.weights, machine.hidden_bias, machine.visible_bias), expected, strict=True):
        assert_close(found, one, dtype)
    assert_close(np.array(errors), np.array(plain_errors), rtol=1e-6 if dtype is np.float32 else 1e-12)
    np.testing.assert_array_equal(x, kept)


def random_machine(visible: int, hidden: int, dtype: Any = "float64") -> RestrictedBoltzmannMachine:
    machine, rng = RestrictedBoltzmannMachine(visible, hidden, rng=0, dtype=dtype), np.random.default_rng(1)
    for array in (machine.weights, machine.hidden_bias, machine.visible_bias):
        array[...] = rng.normal(size=array.shape)
    return machine


def states(units: int) -> Array:
    return np.array(list(itertools.product([0.0, 1.0], repeat=units)))


def log_of_sums(machine: RestrictedBoltzmannMachine, x: Array) -> Array:
    """For each visible state the logarithm of the sum of exp(-E) over all hidden states."""
    h = states(machine.hidden_bias.size)
    minus_energy = x @ machine.weights @ h.T + (x @ machine.visible_bias)[:, None] + h @ machine.hidden_bias
    found: Array = np.log(np.exp(minus_energy).sum(axis=1))
    return found


def log_likelihood(machine: RestrictedBoltzmannMachine, x: Array) -> float:
    """The mean log P(v), by sums over all states."""
    total = np.log(np.exp(log_of_sums(machine, states(machine.visible_bias.size))).sum())
    return float(np.mean(log_of_sums(machine, x)) - total)


@every_dtype
def test_free_energy_sums_over_all_hidden_states(dtype: FloatType) -> None:
    machine, x = random_machine(6, 5, dtype), states(6).astype(dtype)
    expected = -log_of_sums(machine, x.astype(float))
    assert_close(machine.free_energy(x), expected, dtype, rtol=1e-5 if dtype is np.float32 else 1e-12)


@every_dtype
def test_transform_and_reconstruct(dtype: FloatType) -> None:
    machine, x = random_machine(9, 4, dtype), np.random.default_rng(2).random((7, 9)).astype(dtype)
    W, b, c = (one.astype(float) for one in (machine.weights, machine.hidden_bias, machine.visible_bias))
    hidden = sigmoid(x.astype(float) @ W + b)
    assert_close(machine.transform(x), hidden, dtype)
    assert_close(machine.reconstruct(x), sigmoid(hidden @ W.T + c), dtype)


def test_hidden_probabilities_are_the_exact_ones() -> None:
    """By the sum of exp(-E) over the hidden states in which a unit is 1."""
    machine, x, h = random_machine(4, 3), states(4), states(3)
    weight = np.exp(x @ machine.weights @ h.T + h @ machine.hidden_bias)
    assert_close(machine.transform(x), weight @ h / weight.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("k", [1, 5])
def test_the_exact_likelihood_rises(k: int) -> None:
    """Four bars in a picture of 3 x 3 become nearly as likely as they can be, log(1 / 4) each."""
    bars = np.zeros((4, 3, 3))
    bars[0, 0] = bars[1, 2] = 1.0
    bars[2, :, 0] = bars[3, :, 2] = 1.0
    x = bars.reshape(4, 9)
    machine = RestrictedBoltzmannMachine(9, 6, rng=0, dtype="float64")
    likelihoods = [log_likelihood(machine, x)]
    for _ in range(4):
        machine.fit(x, epochs=100, batch_size=4, lr=0.1, momentum=0.5, k=k)
        likelihoods.append(log_likelihood(machine, x))
    assert abs(likelihoods[0] + 9 * np.log(2)) < 0.1
    assert likelihoods[1] > likelihoods[0] + 1.0 and likelihoods[-1] > likelihoods[1], likelihoods
    assert likelihoods[-1] > np.log(1 / 4) - 1.0, likelihoods
    others = states(9)[~(states(9)[:, None] == x[None]).all(axis=2).any(axis=1)]
    assert machine.free_energy(x).mean() < machine.free_energy(others).mean() - 1.0


def test_training_goes_on_and_has_one_result(chosen_threads: None) -> None:
    x, results = np.random.default_rng(0).random((300, 200)), []
    for threads in (1, 2):
        fastnn.set_num_threads(threads)
        machine = RestrictedBoltzmannMachine(200, 150, rng=4)
        machine.fit(x, epochs=1, batch_size=100, momentum=0.0)
        machine.fit(x, epochs=1, batch_size=100, momentum=0.0)
        results.append((machine.weights.tobytes(), machine.transform(x).tobytes()))
    whole = RestrictedBoltzmannMachine(200, 150, rng=4)
    whole.fit(x, epochs=2, batch_size=100, momentum=0.0)
    assert results[0] == results[1] == (whole.weights.tobytes(), whole.transform(x).tobytes())
    assert repr(whole) == "RestrictedBoltzmannMachine(200, 150)"


def test_what_diverges_keeps_the_last_finite_weights() -> None:
    machine, x = RestrictedBoltzmannMachine(3, 2, rng=0), np.eye(3)
    machine.fit(x, epochs=1)
    kept = machine.weights.copy()
    with pytest.raises(fastnn.TrainingDivergedError, match=r"^weights: expected finite numbers, .*; lower lr$"):
        machine.fit(x, epochs=500, lr=3e38, momentum=0.99)
    assert np.isfinite(machine.weights).all() and np.isfinite(machine.visible_bias).all() and kept.shape == (3, 2)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        (
            {"x": 16 * np.ones((2, 3))},
            ValueError,
            "x: expected values from 0 to 1, got 16.0 at x[0, 0]; scale them, as by",
        ),
        ({"x": np.full((2, 3), -0.5)}, ValueError, "x: expected values from 0 to 1, got -0.5 at x[0, 0]"),
        ({"x": np.full((2, 3), np.nan)}, ValueError, "x: expected values from 0 to 1, got nan at x[0, 0]"),
        ({"x": np.ones((2, 4))}, ValueError, "x: expected a float32 array of shape (N, 3), got shape (2, 4)"),
        ({"k": 0}, ValueError, "k: expected an integer of at least 1, got 0"),
        ({"lr": np.nan}, ValueError, "lr: expected a finite number"),
        ({"momentum": 1.0}, ValueError, "momentum: expected a finite number of at least 0.0 and below 1.0, got 1.0"),
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer of at least 1, got 0"),
        ({"epochs": 1.5}, TypeError, "epochs: expected an integer"),
        ({"learning_rate": 0.1}, TypeError, "fit: expected arguments out of "),
    ],
)
def test_refusals_change_nothing(options: Any, error: type[Exception], sentence: str) -> None:
    machine = RestrictedBoltzmannMachine(3, 2, rng=0)
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        machine.fit(**{"x": np.ones((2, 3)), **options})
    again = RestrictedBoltzmannMachine(3, 2, rng=0)
    np.testing.assert_array_equal(machine.weights, again.weights)
    machine.fit(np.eye(3), epochs=1), again.fit(np.eye(3), epochs=1)  # no random number was drawn
    np.testing.assert_array_equal(machine.weights, again.weights)
