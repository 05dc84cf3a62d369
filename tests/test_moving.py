"""An array that is differentiated comes back with its bits, whatever the function does to it, raises or returns."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.dropin.common import gradient as dropin_gradient
from fastnn.engine.perturbation import METHODS
from tests.shapes import Array

ONLY_READS = r"^f: expected a function that only reads x, got one that {}; pass one that works on a copy"


def squares(x: Array) -> Any:
    return (np.asarray(x) ** 2).sum()


class Derived(np.ndarray):
    """An array whose assignments go astray."""

    def __setitem__(self, place: Any, value: Any) -> None:
        np.ndarray.__setitem__(self, ..., 7.0)


def points() -> Iterator[tuple[str, Array]]:
    x = np.random.default_rng(0).standard_normal((4, 6))
    x[0, 0], x[1, 1] = -0.0, 1e3
    yield "plain", x.copy()
    yield "columns", np.asfortranarray(x)
    yield "strides", x.copy()[::-2, ::3]
    yield "overlapping rows of no stride", np.lib.stride_tricks.as_strided(x.copy(), (2, 3), (48, 16))
    yield "no dimension", np.array(1.5)
    yield "derived", x.copy().view(Derived)
    yield "half", x.clip(-5, 5).astype(np.float16)
    yield "long", x.astype(np.longdouble)
    yield "unaligned", np.frombuffer(bytearray(b"-" + x.tobytes()), np.float64, offset=1)


def writes(x: Array) -> Any:
    np.ndarray.__setitem__(x, (0,) * x.ndim, 3.0)
    return squares(x)


def writes_and_raises(x: Array) -> Any:
    np.ndarray.__setitem__(x, ..., 3.0)
    raise ZeroDivisionError


def makes_read_only(x: Array) -> Any:
    x.flags.writeable = False
    return squares(x)


def interrupts(_: Array) -> Any:
    raise KeyboardInterrupt


FUNCTIONS: dict[str, tuple[Callable[[Array], Any], Any]] = {
    "returns": (squares, None),
    "writes": (writes, ValueError),
    "writes and raises": (writes_and_raises, ZeroDivisionError),
    "makes read-only": (makes_read_only, None),
    "interrupts": (interrupts, KeyboardInterrupt),
    "returns no number": (lambda x: "1", TypeError),
    "returns x": (lambda x: x, TypeError),
    "raises": (lambda x: 1 / 0, ZeroDivisionError),
}
CALLS: dict[str, Callable[..., Any]] = {
    "numerical_gradient": fastnn.numerical_gradient,
    "directional_derivative": lambda f, x, **options: fastnn.directional_derivative(f, x, np.ones(x.shape), **options),
}


@pytest.mark.filterwarnings("ignore::fastnn.PrecisionWarning")
@pytest.mark.parametrize("h", [1e-2, "auto"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("what", FUNCTIONS)
@pytest.mark.parametrize("call", CALLS)
def test_x_comes_back(call: str, what: str, method: Any, h: Any) -> None:
    f, error = FUNCTIONS[what]
    if (call, what) == ("directional_derivative", "writes"):
        error = None  # all of x is written to at each point anyway
    for name, x in points():
        if name == "no dimension" and what in ("returns x", "writes"):
            continue  # a number; and all of it is put back before the next point
        if name == "overlapping rows of no stride" and what == "makes read-only":
            continue  # NumPy gives no way back
        before, bits, form = x.flags.writeable, x.tobytes(), (x.shape, x.strides, x.dtype, x.ctypes.data)
        with np.errstate(all="ignore"):
            try:
                CALLS[call](f, x, h=h, method=method)
                assert error is None, name
            except (ValueError, ZeroDivisionError, TypeError, KeyboardInterrupt) as raised:
                assert error is not None and isinstance(raised, error), name
        assert x.tobytes() == bits, name
        assert (x.shape, x.strides, x.dtype, x.ctypes.data) == form, name
        assert x.flags.writeable == before


@pytest.mark.parametrize("gradient", ["numerical_gradient", "plain_numerical_gradient", "numerical_gradient_2d"])
@pytest.mark.parametrize("what", ["returns", "writes and raises", "makes read-only", "raises", "interrupts"])
def test_x_comes_back_from_the_drop_in(what: str, gradient: str) -> None:
    f, error = FUNCTIONS[what]
    for name, x in points():
        if x.dtype != np.float64 or x.ndim != 2 or (name == "overlapping rows of no stride" and "only" in what):
            continue
        bits = x.tobytes()
        try:
            getattr(dropin_gradient, gradient)(f, x)
            assert error is None
        except (ZeroDivisionError, KeyboardInterrupt) as raised:
            assert error is not None and isinstance(raised, error)
        assert x.tobytes() == bits, name


def test_a_function_that_writes_to_x_is_told_so() -> None:
    x = np.ones(3)
    with pytest.raises(ValueError, match=ONLY_READS.format("wrote to it")):
        fastnn.numerical_gradient(writes, x)
    assert fastnn.directional_derivative(writes, x, np.array([5.0, 1.0, 1.0])) == pytest.approx(4.0)


@pytest.mark.parametrize("size", [0, 2, 5, 100_000])
def test_a_function_that_resizes_x(size: int) -> None:
    def resizes(x: Array) -> float:
        x.resize(size, refcheck=False)
        return 0.0

    for call in CALLS.values():
        x = np.array([1.0, 2.0, 3.0])
        with pytest.raises(ValueError, match=ONLY_READS.format("resized it")):
            call(resizes, x)
        assert x.tolist() == [1.0, 2.0, 3.0]


def test_a_function_that_resizes_x_and_back() -> None:
    def resizes(x: Array) -> float:
        x.resize(100_000, refcheck=False)
        x.resize(3, refcheck=False)
        return float(x.sum())

    for call in CALLS.values():
        x = np.array([1.0, 2.0, 3.0])
        try:
            call(resizes, x)
        except ValueError as error:
            assert "resized it" in str(error)
        assert x.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.filterwarnings("ignore:Setting the (shape|strides|dtype):DeprecationWarning")
def test_a_function_that_reshapes_x() -> None:
    def reshapes(x: Array) -> float:
        x.shape = (6,)
        return 0.0

    def changes_the_dtype(x: Array) -> float:
        x.dtype = np.dtype(np.int64)  # type: ignore[misc]
        return 0.0

    for call in CALLS.values():
        for f in (reshapes, changes_the_dtype):
            x = np.arange(6.0).reshape(2, 3)
            with pytest.raises(ValueError, match=ONLY_READS.format("changed its shape or dtype")):
                call(f, x)
            assert x.dtype == np.float64 and x.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_ctrl_c_at_any_line_of_ours() -> None:
    """It may even come while x is put back."""
    x = np.array([1.0, -2.0, 3.0])
    bits = x.tobytes()
    files = ("numerical.py", "evaluation.py", "moving.py", "step_choice.py")
    for call in CALLS.values():
        interrupted, at = True, 0
        while interrupted:
            at, interrupted, lines = at + 1, False, 0

            def trace(frame: Any, event: str, _: Any) -> Any:
                nonlocal lines, interrupted
                if not frame.f_code.co_filename.endswith(files):
                    return None
                lines += event == "line"
                if lines == at and not interrupted:  # noqa: B023
                    interrupted = True
                    raise KeyboardInterrupt
                return trace

            kept = sys.gettrace()
            sys.settrace(trace)
            try:
                call(squares, x, h="auto")
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(kept)
            assert x.tobytes() == bits, at
        assert at > 50


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_matrices_and_masked_arrays_are_refused_before_f_is_called() -> None:
    for call in CALLS.values():
        for x, came in (
            (np.matrix([[1.0, 2.0]]), "a np.matrix"),
            (np.ma.array([1.0, 2.0], mask=[False, True]), "a masked"),
        ):
            before = x.tobytes()
            with pytest.raises(TypeError, match=f"^x: expected an array of floats, writable and not empty, got {came}"):
                call(interrupts, x)
            assert x.tobytes() == before


def test_points_of_other_functions_are_left_alone() -> None:
    """numerical_diff and gradient_descent give f copies."""
    x = np.array([1.0, 2.0])

    def doubles(v: Any) -> Any:
        v *= 2
        return v

    for method in METHODS:
        fastnn.numerical_diff(doubles, x, method=method)  # type: ignore[arg-type]
        assert x.tolist() == [1.0, 2.0]
    fastnn.gradient_descent(squares, x, gradient=doubles, step_num=3)
    with pytest.raises(ValueError, match=ONLY_READS.format("wrote to it")):
        fastnn.gradient_descent(writes, x, step_num=3)
    with pytest.raises(KeyboardInterrupt):
        fastnn.gradient_descent(interrupts, x)
    assert x.tolist() == [1.0, 2.0]


def test_a_networks_parameters_come_back() -> None:
    net = fastnn.Network([fastnn.Affine(3, 2), fastnn.Sigmoid(), fastnn.Affine(2, 2)], rng=0)
    x, t = np.ones((2, 3), np.float32), np.array([0, 1])
    calls = []

    def f(W: Array) -> float:
        calls.append(1)
        if len(calls) == 2:  # with all of it moved
            W.flags.writeable = False
            raise KeyboardInterrupt
        return float(net.loss(x, t)) if len(calls) > 2 else net.loss(x, t)

    W = net.params["W1"]
    before = W.tobytes()
    with pytest.raises(KeyboardInterrupt):
        fastnn.numerical_gradient(f, W, 1e-2)
    assert W.tobytes() == before and W.flags.writeable
