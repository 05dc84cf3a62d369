"""Doors: compiled functions that take Python's objects as they are."""

import math
import os
import pathlib
import sys
import threading
import time
from typing import Annotated, Any

import numpy as np
import pytest

import fastnn
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.doors import Flat, Indices, Matrix, RealMatrix, Reals, Rows, Vector, door, door_of_parts
from fastnn.kernels.ground import DONE, FLAT, OWN, ROWS, Kind, bound
from fastnn.kernels.units import launcher
from tests.forked import Forks

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


Result = Annotated[Any, Kind(OWN, 2, "x.0 W.1", True)]


@door
def outer(
    outcome: int, n: int, x: Matrix, W: Matrix, y: Result, r: Annotated[Any, Kind("float64", 1, "n", True)]
) -> Any:
    """y[i, j] = x[i, 0] W[0, j]; r = n. Returns the outcome given, and the size of y."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = x[i, 0] * W[0, j]
    r[:] = n
    return outcome, y.size


@door
def double(
    outcome: int, x: Rows, y: Annotated[Any, Kind(OWN, ROWS, "x", True)], z: Annotated[Any, Kind(OWN, FLAT, "x")]
) -> int:
    """y = 2 x, z = 3 x."""
    two = x.dtype.type(2.0)
    for n in range(x.shape[0]):
        for k in range(x.shape[1]):
            y[n, k] = two * x[n, k]
            z[n * x.shape[1] + k] = x[n, k] + y[n, k]
    return outcome


def way(door: Any, *first: Any) -> Any:
    """The door with its first arguments, for both dtypes."""
    doors = [door.made_for(np.dtype(dtype)) for dtype in FLOATS]
    return bound(doors[0], *first, following=bound(doors[1], *first))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 3), (0, 3), (2, 2, 1, 5)])
def test_results_are_made_where_none_is_given(dtype: Any, shape: tuple[int, ...]) -> None:
    x = np.arange(math.prod(shape), dtype=dtype).reshape(shape)
    call, z, out = way(double, DONE), np.empty_like(x), np.empty_like(x)
    made = call(x, None, z)
    assert type(made) is np.ndarray and made.dtype is x.dtype and made.flags.owndata and made.flags.c_contiguous
    np.testing.assert_array_equal(made, 2 * x)
    np.testing.assert_array_equal(z, 3 * x)
    assert call(x, out, z) is out
    np.testing.assert_array_equal(out, 2 * x)


def test_results_come_after_what_a_function_returns() -> None:
    x, W = np.ones((2, 1), np.float32), np.ones((1, 3), np.float32)
    size, y, r = way(outer, DONE, 4)(x, W, None, None)
    assert (size, y.shape, y.dtype, r.tolist()) == (6, (2, 3), np.float32, [4.0] * 4)
    assert way(outer, 7, 4)(x, W, None, None) == 7  # another outcome: no results
    assert outer(DONE, 4, x, W, y, r) == (DONE, 6)  # nothing bound


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_has_another_shape_is_refused(dtype: Any) -> None:
    x, call = np.ones((2, 3), dtype), way(double, DONE)
    for wrong in (x[:1], x.reshape(3, 2), x.reshape(6), x.reshape(2, 3, 1), x.astype(int), x.tolist()):
        for given in ((x, wrong, x), (x, None, wrong), (wrong, x, x), (x, x, None)):
            assert call(*given) is NotImplemented
    assert call(x, None) is call() is call(x, None, x, x) is NotImplemented
    assert way(outer, DONE, 4)(x, x, None, np.empty(5)) is NotImplemented


def test_results_too_large_for_memory_are_refused() -> None:
    x, call = np.empty((1, 1), np.float32), way(outer, DONE, 1 << 60)
    assert call(x, x, None, None) is NotImplemented  # without an exception, which would be a SystemError
    assert way(outer, DONE, 2)(x, x, None, None)[0] == 1


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 1 << 200])
def test_integers_of_more_than_64_bits_are_refused(number: int) -> None:
    given = arguments(np.float32)
    everything(*given)
    given[0] = number
    with pytest.raises((OverflowError, TypeError)):
        everything(*given)
    x = np.ones((1, 1), np.float32)
    outer(DONE, 1, x, x, x.copy(), np.ones(1))
    call: Any = bound(outer.made_for(np.dtype(np.float32)), DONE)  # type: ignore[attr-defined]
    assert call(number, x, x, None, None) is NotImplemented
    assert call(-1, x, x, None, None) is NotImplemented  # -1 is an integer, but no length
    given[0] = -1
    assert everything(*given)[0] == -1


def test_a_lack_of_memory_for_any_object_is_an_error() -> None:
    testing = pytest.importorskip("_testcapi")
    x, call = np.ones((2, 1), np.float32), way(outer, DONE, 4)
    held = [(call(x, x[:1], None, None), float(i)) for i in range(3000)]  # so that Python has no freed tuples at hand
    outcomes = set()
    for first in range(12):
        testing.set_nomemory(first, first + 1)
        try:
            found = call(x, x[:1], None, None)
        except MemoryError:
            found = MemoryError
        finally:
            testing.remove_mem_hooks()
        outcomes.add("error" if found is MemoryError else "asked" if found is NotImplemented else "done")
        assert found in (MemoryError, NotImplemented) or (found[0] == 2 and found[1].shape == (2, 1))
    assert held and "error" in outcomes and "done" in outcomes


def test_results_keep_no_references() -> None:
    x, out = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    calls = [way(double, DONE), way(double, 5)]
    for given in ((x, None, x), (x, out, x), (x, x[:1], x)):
        before = [sys.getrefcount(one) for one in (x, out, None, NotImplemented)]
        for _ in range(1000):
            for call in calls:
                call(*given)
        after = [sys.getrefcount(one) for one in (x, out, None, NotImplemented)]
        assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 100
    made, like = calls[0](x, None, out), np.ones(3)
    assert sys.getrefcount(made) == sys.getrefcount(like)  # 2, or 1 from Python 3.14 on


def test_bound_arguments_stay_and_go_with_the_function() -> None:
    first = np.ones((2, 3), np.float32)
    count = sys.getrefcount(first)
    call: Any = bound(double.made_for(np.dtype(np.float32)), DONE, first)  # type: ignore[attr-defined]
    assert sys.getrefcount(call.__self__.kept[0][1]) > count
    np.testing.assert_array_equal(call(None, np.empty_like(first)), 2 * first)
    del call
    assert sys.getrefcount(first) == count


def test_functions_outlive_the_module_that_made_them(forks: Forks) -> None:
    """At its end Python frees modules in an order of its own; a function reads its definition when it is freed."""
    script = """
import ctypes, gc
import numpy as np
import fastnn
from fastnn.kernels import ground
net = fastnn.Network([fastnn.Affine(3, 2)], rng=0)
for _ in range(3):
    net.predict(np.ones((2, 3), np.float32))
size = ctypes.sizeof(ground._Definition)
assert ground._definitions
ground._definitions.clear()
gc.collect()
written = [(ctypes.c_char * size)(*b"\\xff" * size) for _ in range(20_000)]  # over what was freed
net = None
gc.collect()
"""
    forks.output(script, {**os.environ, "PYTHONPATH": str(pathlib.Path(fastnn.__file__).parents[1])})
