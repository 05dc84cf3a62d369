"""Users' functions that compiled rows cannot run: they may raise an exception, or read beyond an array."""

from typing import Any

import numba
import numpy as np
import pytest

import fastnn
from fastnn.kernels.compile import JIT_DISABLED


def of_a_table(x: Any) -> Any:
    return (1.0, 2.0, 3.0)[int(x) % 4]  # fails where x is 3


def of_a_list(x: Any) -> Any:
    return [1.0, x][int(x) % 3]


def of_a_power(x: Any) -> Any:
    return (x - 100.0) ** -1


def of_a_range(x: Any) -> Any:
    return 1.0 * len(range(0, 3, int(x) - 100))


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python raises where it stands")
@pytest.mark.parametrize("f", [of_a_table, of_a_list, of_a_power, of_a_range])
def test_one_that_may_raise_without_saying_so_is_refused(f: Any) -> None:
    with pytest.raises(TypeError, match=rf"^f: expected .* got {f.__name__}; it may raise .* a number for every x$"):
        fastnn.activation(f, derivative=lambda x, y: 0.0, name="unsaid")


TABLE = np.arange(100.0)


def of_an_array(x: Any) -> Any:
    return TABLE[int(x)]


def of_bytes(x: Any) -> Any:
    return b"abc"[int(x)] * x


def sum_of_an_array(x: Any) -> Any:
    return x + TABLE[:3].sum()


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python raises where it stands")
@pytest.mark.parametrize("f", [of_an_array, of_bytes, sum_of_an_array])
def test_one_that_reads_an_array_is_refused(f: Any) -> None:
    """Compiled code reads what stands behind the array, or crashes."""
    array = "^f: expected .*; it takes an array, whose bounds .* write a formula, or take numbers of a tuple$"
    helper = numba.njit(f)
    for one in (f, helper, lambda x: helper(x)):
        with pytest.raises(TypeError, match=array):
            fastnn.activation(one, derivative=lambda x, y: 0.0, name="table", at=(1.5, 2.5))
    with pytest.raises(TypeError, match=array.replace("f:", "update:")):
        fastnn.optimizer(lambda p, g, s, rates: (p - helper(g), s), state=0, rates={}, name="table")


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python takes it")
def test_what_numba_does_not_know_is_refused() -> None:
    def counting(x: Any) -> Any:
        global TABLE
        TABLE = x
        return x

    with pytest.raises(TypeError, match=r"^f: expected .* got counting; Numba says: .*STORE_GLOBAL"):
        fastnn.activation(counting, derivative=lambda x, y: 1.0, name="counting")


def test_an_optimizer_of_two_states_is_told_how_it_gets_them() -> None:
    remedy = r"; write one: def update\(p, g, s, rates\): return \.\.\., where with state=2 s is a tuple of both$"
    with pytest.raises(TypeError, match=remedy):
        fastnn.optimizer(lambda p, g, m, v, rates: (p, m, v), state=2, rates={}, name="two_states")
