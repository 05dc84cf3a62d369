"""Doors: compiled functions that take Python's objects as they are."""

import math
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.doors import Flat, Indices, Matrix, RealMatrix, Reals, Rows, Vector, door, door_of_parts
from fastnn.kernels.units import launcher

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="without the compiler a door is the Python function")

FLOATS = [np.float32, np.float64]


@door
def everything(n: int, flag: bool, scale: float, x: Matrix, v: Vector, r: Reals, m: RealMatrix, i: Indices) -> Any:
    """x = scale v in each row; returns what came otherwise."""
    for a in range(x.shape[0]):
        for b in range(x.shape[1]):
            x[a, b] = scale * v[b]
    return n, flag, r[0] + m[m.shape[0] - 1, m.shape[1] - 1], i[i.size - 1]


@door
def nothing(v: Vector) -> None:
    """v += 1."""
    for i in range(v.size):
        v[i] += v.dtype.type(1.0)


@door
def spin(count: int, v: Reals) -> float:
    """Something that takes long."""
    for n in range(count):
        for i in range(v.size):
            v[i] = v[i] * 0.5 + n
    return float(v[0])


@door_of_parts
def number_parts(part: int, parts: int, out: Indices) -> None:
    """out[part::parts] = part + 1."""
    for i in range(part, out.size, parts):
        out[i] = part + 1


def arguments(dtype: Any) -> list[Any]:
    x, v = np.zeros((3, 4), dtype), np.arange(4, dtype=dtype)
    return [7, True, 0.5, x, v, np.array([2.5]), np.array([[1.0, 2.0]]), np.array([3, 4, 5])]


@pytest.mark.parametrize("dtype", FLOATS)
def test_arguments_and_results_pass_through(dtype: Any) -> None:
    given = arguments(dtype)
    assert everything(*given) == (7, 1, 4.5, 5)
    np.testing.assert_array_equal(given[3], np.tile(0.5 * np.arange(4), (3, 1)))
    assert nothing(given[4]) is None
    np.testing.assert_array_equal(given[4], np.arange(4) + 1)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, "1"), (0, None), (1, None), (2, "a"), (2, np.ones(1)), (2, 1j),
        (3, lambda x: x.T), (3, lambda x: x[:, ::2]), (3, lambda x: x[0]), (3, lambda x: x[None]), (3, list),
        (3, lambda x: x.astype(np.float16)), (3, lambda x: x.astype(">f4")), (3, lambda x: x.astype(np.intp)),
        (3, lambda x: np.ma.array(x)), (3, lambda x: x.view(np.matrix)), (3, lambda x: None),
        (4, lambda v: v[::-1]), (4, lambda v: v.astype(np.complex64)), (5, lambda r: r.astype(np.float32)),
        (6, lambda m: m.astype(np.float32)), (7, lambda i: i.astype(np.int32)), (7, lambda i: i.astype(np.uint64)),
    ],
)  # fmt: skip
def test_what_is_not_declared_is_refused(dtype: Any, place: int, wrong: Any) -> None:
    everything(*arguments(np.float32)), everything(*arguments(np.float64))
    given = arguments(dtype)
    given[place] = wrong(given[place]) if callable(wrong) else wrong
    with pytest.raises(TypeError, match="everything: expected int bool float own:2"):
        everything(*given)
    assert not given[3][0].any() if isinstance(given[3], np.ndarray) else True  # nothing was written


def test_numbers_of_numpy_are_numbers() -> None:
    given = arguments(np.float32)
    given[:3] = np.intp(7), np.True_, np.float64(0.5)
    assert everything(*given) == (7, 1, 4.5, 5)
    given[2] = 1
    everything(*given)
    np.testing.assert_array_equal(given[3][0], np.arange(4))


@pytest.mark.parametrize("dtype", FLOATS)
def test_dtypes_with_metadata_are_the_same_memory(dtype: Any) -> None:
    given = arguments(dtype)
    given[3] = given[3].astype(np.dtype(dtype, metadata={"unit": "m"}))
    given[7] = given[7].astype(np.dtype(np.int64, metadata={"unit": "m"}))
    assert everything(*given) == (7, 1, 4.5, 5)
    np.testing.assert_array_equal(given[3], np.tile(0.5 * np.arange(4), (3, 1)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_two_dtypes_do_not_mix(dtype: Any) -> None:
    given = arguments(dtype)
    given[4] = given[4].astype(FLOATS[dtype is np.float32])
    with pytest.raises(TypeError, match="everything: expected"):
        everything(*given)


def test_read_only_and_unaligned_memory_is_refused() -> None:
    v = np.zeros(4)
    v.flags.writeable = False
    unaligned = np.zeros(33, np.uint8)[1:].view(np.float64)
    for wrong in (v, unaligned):
        with pytest.raises(TypeError, match="nothing: expected own:1"):
            nothing(wrong)


def test_another_number_of_arguments_is_refused() -> None:
    for wrong in ([], [np.zeros(3), np.zeros(3)]):
        with pytest.raises((TypeError, ValueError)):
            nothing(*wrong)


def test_empty_arrays_are_arrays() -> None:
    nothing(np.zeros(0, np.float32))
    given = arguments(np.float64)
    given[3] = np.zeros((0, 4))
    assert everything(*given)[0] == 7


def test_no_reference_is_lost_or_kept() -> None:
    given = arguments(np.float32)
    made = everything.made_for(np.dtype(np.float32))  # type: ignore[attr-defined]
    made(*given), made(1), nothing(given[4])
    watched = [None, NotImplemented, *given, np.dtype(np.float32)]
    before = [sys.getrefcount(one) for one in watched]
    for _ in range(1000):
        made(*given)
        made(1)
        nothing(given[4])
    after = [sys.getrefcount(one) for one in watched]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 100


def test_other_python_threads_run_meanwhile() -> None:
    spin(1, np.zeros(3))
    ended: list[float] = []

    def work() -> None:
        ended.append(spin(3_000_000, np.zeros(64)))

    thread = threading.Thread(target=work)
    thread.start()
    ticks = 0
    while thread.is_alive():
        time.sleep(0.001)
        ticks += 1
    assert ended and ticks > 10


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_are_all_called(parts: int) -> None:
    for start in (0, launcher()):
        out = np.zeros(10, np.intp)
        number_parts(parts, start, out)
        np.testing.assert_array_equal(out, np.arange(10) % parts + 1)


@door
def describe(flat: Flat, rows: Rows) -> Any:
    """The sizes that a door sees, and the sums."""
    total = other = 0.0
    for i in range(flat.size):
        total += flat[i]
    for n in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            other += rows[n, k] * (k + 1)
    return flat.size, rows.shape[0], rows.shape[1], total, other


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 1, 3), (2, 2, 2, 3), (0, 3), (3, 0), (2, 0, 3)])
def test_arrays_of_any_rank(dtype: Any, shape: tuple[int, ...]) -> None:
    x = np.arange(math.prod(shape), dtype=dtype).reshape(shape)
    expected = float((x * (np.arange(shape[-1]) + 1)).sum())
    assert describe(x, x) == (x.size, math.prod(shape[:-1]), shape[-1], float(x.sum()), expected)


def test_an_array_without_axes_is_refused() -> None:
    with pytest.raises(TypeError, match="describe: expected own:0 own:-1"):
        describe(np.array(1.0), np.ones(2))
