"""The search for masked arrays in lists: its finds, its end, its cost."""

import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn.gate import arrays


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_masked_values_in_lists_at_any_depth(depth: int) -> None:
    value: Any = [np.ma.array([1.0, 2.0], mask=[True, False])]
    for _ in range(depth):
        value = [[[0.0, 1]], value] if depth > 1 else (value,)
    with pytest.raises(TypeError, match=r"^x: expected .*, got a list with masked values"):
        arrays.floats("x", value)


def test_a_list_that_holds_itself_twice() -> None:
    """It has more paths than can be followed."""
    value: list[Any] = []
    value += [value, value]
    with pytest.raises(RecursionError):
        arrays._holds_masked(value)


def test_the_search_for_masked_values_costs_little() -> None:
    """Numbers are not looked at one by one, and the numbers of a range not at all."""
    numbers = list(range(300_000))
    assert best(lambda: arrays._holds_masked(numbers)) < 4.0 * best(lambda: np.asarray(numbers))
    assert not arrays._holds_masked(range(10**15))


def best(call: Callable[[], Any]) -> float:
    return min(timeit.repeat(call, number=1, repeat=7))
