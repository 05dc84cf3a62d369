"""Hopfield's network against a plain loop over its units, and what it is known to recall."""

import re
from typing import Any

import numpy as np
import pytest

from fastnn.models import HopfieldNetwork
from tests.shapes import Array


def signs(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).choice([-1.0, 1.0], shape)


def plain_recall(W: Array, state: Array, orders: Any) -> Array:
    """One unit after the other, until a round changes nothing."""
    state = state.copy()
    while True:
        before = state.copy()
        for i in next(orders):
            field = sum(W[i, j] * state[j] for j in range(len(state)) if j != i)
            state[i] = state[i] if field == 0 else np.sign(field)
        if (state == before).all():
            return state


def test_weights_are_hebbs() -> None:
    patterns = signs(1, 5, 8)
    expected: Any = sum(np.outer(p, p) for p in patterns) / 8
    np.fill_diagonal(expected, 0.0)
    memory = HopfieldNetwork(8).store(patterns[:2])
    assert memory.store(patterns[2:]) is memory
    np.testing.assert_array_equal(memory.weights, expected)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shuffle", [False, True])
def test_recall_equals_a_plain_loop(seed: int, shuffle: bool) -> None:
    """Powers of two as size, so that the plain loop's divided weights are exact, too."""
    patterns, x = signs(seed, 6, 16), signs(seed + 100, 20, 16)
    memory = HopfieldNetwork(16).store(patterns)
    found = memory.recall(x, shuffle=shuffle, rng=seed)
    for row, state in zip(found, x, strict=True):
        rng = np.random.default_rng(seed)
        orders = (rng.permutation(16) if shuffle else range(16) for _ in iter(int, 1))
        np.testing.assert_array_equal(row, plain_recall(memory.weights, state, orders))


def test_stored_patterns_are_recalled_from_damaged_ones() -> None:
    """100 units, 5 patterns, of each a tenth of the units turned round: far below the capacity of 0.138."""
    patterns, damaged = signs(0, 5, 100), signs(0, 5, 100)
    rng = np.random.default_rng(1)
    for row in damaged:
        row[rng.choice(100, 10, replace=False)] *= -1
    memory = HopfieldNetwork(100).store(patterns)
    np.testing.assert_array_equal(memory.recall(patterns), patterns)
    np.testing.assert_array_equal(memory.recall(damaged), patterns)
    np.testing.assert_array_equal(memory.recall(damaged, shuffle=True, rng=0), patterns)
    np.testing.assert_array_equal(memory.recall(-damaged), -patterns)


def test_energy() -> None:
    memory, x = HopfieldNetwork(16).store(signs(1, 3, 16)), signs(2, 50, 16)
    expected = [-s @ memory.weights @ s / 2 for s in x]
    np.testing.assert_array_equal(memory.energy(x), expected)
    at_rest = memory.recall(x)
    assert (memory.energy(at_rest) <= memory.energy(x)).all() and (memory.energy(at_rest) < memory.energy(x)).any()
    for unit in range(16):  # of what is at rest, no single change lowers the energy
        changed = at_rest.copy()
        changed[:, unit] *= -1
        assert (memory.energy(changed) >= memory.energy(at_rest)).all()


def test_nothing_stored_changes_nothing() -> None:
    x = signs(1, 3, 4)
    np.testing.assert_array_equal(HopfieldNetwork(4).recall(x), x)
    assert repr(HopfieldNetwork(4)) == "HopfieldNetwork(size=4)" and HopfieldNetwork(4).size == 4


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ([[1, 0]], ValueError, "expected values -1 and 1, got 0.0 at {0}[0, 1]; from 0 and 1 pass 2 * {0} - 1, from"),
        ([[1, np.nan]], ValueError, "expected values -1 and 1, got nan at {0}[0, 1]"),
        ([[1, 1, 1]], ValueError, "expected a float64 array of shape (N, 2), got shape (1, 3)"),
        ([1, -1], ValueError, "expected a float64 array of shape (N, 2), got shape (2,)"),
        ("abc", TypeError, "expected a float64 array of shape (N, 2), got"),
    ],
)
def test_refusals_change_nothing(given: Any, error: type[Exception], sentence: str) -> None:
    memory = HopfieldNetwork(2).store([[1, 1]])
    calls: dict[str, Any] = {"patterns": memory.store, "x": memory.recall}
    for name, call in [*calls.items(), ("x", memory.energy)]:
        with pytest.raises(error, match=f"^{re.escape(f'{name}: ' + sentence.format(name))}"):
            call(given)
    np.testing.assert_array_equal(memory.weights, [[0.0, 0.5], [0.5, 0.0]])
    with pytest.raises(ValueError, match=r"^size: expected an integer of at least 2, got 1"):
        HopfieldNetwork(1)
