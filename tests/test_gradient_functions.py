"""Difference quotients of any function: compiled, plain, or a network's loss; directions, subsets, descents."""

import math
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import fastnn
from fastnn import PrecisionWarning
from fastnn.dropin.common import gradient
from fastnn.engine.perturbation import METHODS
from fastnn.kernels.compile import JIT_DISABLED
from tests.shapes import Array
from tests.tolerances import assert_close


def compiled(function: Any) -> Any:
    return function if JIT_DISABLED else numba.njit(function)


def rosenbrock(x: Array) -> float:
    total = 0.0
    for i in range(x.size - 1):
        total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total


def sum_of_products(x: Array) -> float:
    total = 0.0
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            total += x[i, j] ** 2 * (i + 2 * j + 1)
    return total


def squares(x: Array) -> Any:
    return (x * x).sum()


# --- one variable -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_derivative_of_one_variable(method: Any) -> None:
    assert fastnn.numerical_diff(math.exp, 1.0, 1e-3, method) == pytest.approx(
        math.e, rel={"forward": 1e-3, "central": 1e-6}.get(method, 1e-10)
    )
    assert fastnn.numerical_diff(math.exp, 1.0, "auto", method) == pytest.approx(math.e, rel=1e-7)


def test_derivatives_of_many_points_at_once() -> None:
    x = np.array([0.0, 1.0, -2.0])
    assert_close(fastnn.numerical_diff(np.sin, x, method="five_point"), np.cos(x), atol=1e-11)
    assert isinstance(fastnn.numerical_diff(lambda v: 0.01 * v**2 + 0.1 * v, 5), float)
    assert fastnn.numerical_diff(lambda v: 0.01 * v**2 + 0.1 * v, 5) == pytest.approx(0.2, rel=1e-9)


# --- compiled functions -----------------------------------------------------------------------------------------------


def test_a_compiled_function_gives_what_the_plain_loop_gives() -> None:
    x = np.random.default_rng(0).random(23)
    before = x.tobytes()
    found = fastnn.numerical_gradient(compiled(rosenbrock), x, full_output=True)
    expected = fastnn.numerical_gradient(rosenbrock, x)
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)
    assert x.tobytes() == before
    assert found.evaluations == 2 * x.size + (0 if JIT_DISABLED else 2)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_functions_of_matrices(dtype: str, order: Any) -> None:
    x = np.asarray(np.random.default_rng(0).random((4, 5)), dtype, order=order)
    weights = np.add.outer(np.arange(4), 2 * np.arange(5)) + 1
    found = fastnn.numerical_gradient(compiled(sum_of_products), x, h=2.0**-6)
    assert_close(found, (2 * x * weights).astype(dtype), rtol=1e-9, atol=2e-2 if dtype == "float32" else 1e-12)


@pytest.mark.skipif(JIT_DISABLED, reason="needs compiled kernels and two threads")
def test_compiled_functions_have_the_same_bits_on_any_number_of_threads() -> None:
    x = np.random.default_rng(0).random(3000)
    f = compiled(rosenbrock)
    results = []
    kept = fastnn.get_num_threads()
    try:
        for n in (1, 2):
            fastnn.set_num_threads(n)
            results.append(fastnn.numerical_gradient(f, x).tobytes())
    finally:
        fastnn.set_num_threads(kept)
    assert results[0] == results[1]


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")
def test_a_compiled_function_that_raises_raises() -> None:
    def refuses(x: Array) -> float:
        total = 0.0
        for i in range(x.size):
            total += math.sin(x[i])
        if x[1] > 1.0:
            raise ValueError("too large")
        return total

    for size in (3, 3000):  # on one thread and on several
        x = np.ones(size)
        with pytest.raises(ValueError, match="too large"):
            fastnn.numerical_gradient(compiled(refuses), x)
        assert (x == 1).all()


# --- plain functions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_evaluations_are_counted(method: Any) -> None:
    calls: list[Array] = []

    def f(x: Array) -> Any:
        calls.append(x)
        return squares(x)

    x = np.array([[1.0, 2.0], [3.0, 4.0]])[:, ::-1]  # not contiguous
    result = fastnn.numerical_gradient(f, x, 1e-3, method=method, full_output=True)
    assert_close(result.values, 2 * x, atol=2e-3 if method == "forward" else 1e-9)
    assert result.evaluations == len(calls) == len(METHODS[method].points) * 4 + (method == "forward")
    assert all(one is x for one in calls)
    assert (result.error is not None) == (method == "richardson")
    if result.error is not None:
        assert (np.abs(result.values - 2 * x) <= result.error + 1e-10).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "longdouble"])
def test_other_dtypes(dtype: str) -> None:
    x = np.array([1.0, -2.0], dtype)
    found = fastnn.numerical_gradient(squares, x, h="auto" if dtype != "longdouble" else 1e-4)
    assert found.dtype == x.dtype
    np.testing.assert_allclose(found.astype(float), [2, -4], rtol=2e-2 if dtype == "float16" else 1e-3)


def test_too_few_digits_for_the_step() -> None:
    x = np.ones(2, np.float32)
    with pytest.warns(
        PrecisionWarning, match=r"^x: float32 holds too few digits for h=0\.0001, the quotient is mostly"
    ):
        fastnn.numerical_gradient(squares, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastnn.numerical_gradient(squares, x, h=1e-2)


def test_subsets() -> None:
    x = np.arange(6.0).reshape(2, 3)
    mask = x > 3
    for subset in (mask, [4, 5], np.array([5, 4, 4])):
        found = fastnn.numerical_gradient(squares, x, subset=subset)
        assert (np.isnan(found) == ~mask).all()
        assert_close(found[mask], 2 * x[mask], atol=1e-9)
    found = fastnn.numerical_gradient(squares, x, max_entries=2, rng=0)
    assert np.isnan(found).sum() == 4
    assert np.array_equal(found, fastnn.numerical_gradient(squares, x, max_entries=2, rng=0), equal_nan=True)
    for bad in ([6], [-1], [[0]], mask[:1], [0.5]):
        with pytest.raises(ValueError, match=r"^subset: expected"):
            fastnn.numerical_gradient(squares, x, subset=bad)


def test_x_is_put_back_after_ctrl_c() -> None:
    x = np.array([0.1, 0.2, 0.3])
    before = x.tobytes()

    def f(v: Array) -> float:
        if v[1] != 0.2:
            raise KeyboardInterrupt
        return 0.0

    for call in (lambda: fastnn.numerical_gradient(f, x), lambda: fastnn.directional_derivative(f, x, np.ones(3))):
        with pytest.raises(KeyboardInterrupt):
            call()
        assert x.tobytes() == before


@pytest.mark.parametrize("value", [None, "1", np.ones(2), [1.0, 2.0], 1j])
def test_f_must_return_a_number(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^f: expected a function that returns one number, got"):
        fastnn.numerical_gradient(lambda x: value, np.ones(2))


def test_directional_derivative() -> None:
    x, v = np.random.default_rng(0).random((2, 7))
    expected = float((fastnn.numerical_gradient(rosenbrock, x, 1e-3, method="five_point") * v).sum())
    tolerances: dict[Any, float] = {"central": 1e-6, "five_point": 1e-9, "forward": 1e-2}
    for method, rtol in tolerances.items():
        assert fastnn.directional_derivative(rosenbrock, x, v, method=method) == pytest.approx(expected, rel=rtol)
    with pytest.raises(ValueError, match=r"^v: expected numbers of shape \(7,\), got"):
        fastnn.directional_derivative(rosenbrock, x, v[:3])


@pytest.mark.parametrize("scale", [1.0, -3.0, 1e-200, 1e200])
def test_the_slope_in_a_direction(scale: float) -> None:
    """The cosine form of note 004, whatever the direction's length; of the steepest one it is the gradient's."""
    x, v = np.random.default_rng(0).random((2, 7))
    gradient = fastnn.numerical_gradient(rosenbrock, x, 1e-3, method="five_point")
    expected = math.copysign(float(gradient @ v) / math.sqrt(float(v @ v)), scale)
    expected = expected if gradient @ v > 0 else -expected
    slope = fastnn.directional_derivative(rosenbrock, x, scale * v, method="five_point", unit=True)
    assert slope == pytest.approx(expected, rel=1e-9)
    steepest = fastnn.directional_derivative(rosenbrock, x, scale * gradient, method="five_point", unit=True)
    assert abs(steepest) == pytest.approx(math.sqrt(float(gradient @ gradient)), rel=1e-9)
    assert fastnn.directional_derivative(squares, x, [2, 0, 0, 0, 0, 0, 0], unit=True) == pytest.approx(2 * x[0])


@pytest.mark.parametrize("v", [np.zeros(3), np.array([1.0, np.nan, 1.0]), np.array([1.0, np.inf, 1.0])])
def test_no_direction(v: Array) -> None:
    with pytest.raises(ValueError, match=r"^v: expected a direction of finite length above 0, got "):
        fastnn.directional_derivative(squares, np.ones(3), v, unit=True)


# --- the loss of a network --------------------------------------------------------------------------------------------


def test_half_a_step_lost() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fastnn.numerical_diff(lambda v: v, 2.0**53, h=1.0) == 1.0


@pytest.mark.parametrize(("x", "h"), [(1e11, 1e-4), (1e13, "auto")])
def test_the_step_really_taken_in_a_direction(x: float, h: Any) -> None:
    assert fastnn.directional_derivative(lambda v: float(v.sum()), np.array([x]), [1.0], h) == pytest.approx(1.0)


def test_a_number_in_an_array() -> None:
    assert fastnn.numerical_diff(lambda v: v * v, np.array(3.0)) == pytest.approx(6.0)


@pytest.mark.skipif(JIT_DISABLED, reason="about threads")
def test_a_compiled_function_that_starts_threads_on_any_layer() -> None:
    code = """
import numba, numpy as np, fastnn
@numba.njit(parallel=True)
def inner(x):
    total = 0.0
    for i in numba.prange(x.size):
        total += x[i] ** 2
    return total
@numba.njit
def f(x):
    return inner(x)
x = np.linspace(0, 1, 2000)
print(abs(fastnn.numerical_gradient(f, x) - 2 * x).max() < 1e-6)
"""
    settings = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr


# --- descents ---------------------------------------------------------------------------------------------------------


def bowl(x: Array) -> float:
    return float(x[0] ** 2 + x[1] ** 2)


def test_descent_into_a_bowl() -> None:
    start = np.array([-3.0, 4.0])
    x, path = fastnn.gradient_descent(bowl, start, lr=0.1, step_num=100)
    assert x == pytest.approx([-6.11e-10, 8.15e-10], abs=1e-9)
    assert path.shape == (101, 2)
    assert (path[0] == [-3, 4]).all()
    assert (path[-1] == x).all()
    assert (start == [-3, 4]).all()


def test_descent_until_the_value_is_small() -> None:
    """x^2 from 1.2 with the rate 0.3, until it is below 0.001."""
    _, path = fastnn.gradient_descent(lambda x: float(x[0] ** 2), [1.2], lr=0.3, stop=lambda x: x[0] ** 2 < 1e-3)
    assert path[1:, 0] == pytest.approx([0.48, 0.192, 0.0768, 0.03072], rel=1e-9)


def test_descent_in_two_variables() -> None:
    """x^2 + sin^2 y from (3, 1) with the rate 0.1, until it is below 0.01."""

    def f(v: Array) -> float:
        return float(v[0] ** 2 + math.sin(v[1]) ** 2)

    _, path = fastnn.gradient_descent(f, [3.0, 1.0], lr=0.1, stop=lambda v: f(v) < 0.01)
    assert [*path[1], f(path[1])] == pytest.approx([2.4, 0.909070, 6.382415], abs=1e-6)
    assert [*path[15], f(path[15])] == pytest.approx([0.105553, 0.063481, 0.015166], abs=1e-6)
    assert [*path[16], f(path[16])] == pytest.approx([0.084442, 0.050819, 0.009711], abs=1e-6)
    assert len(path) == 17


def test_descent_on_an_analytic_gradient_until_it_is_flat() -> None:
    calls: list[Array] = []

    def slope(v: Array) -> Array:
        calls.append(v)
        return 2 * v

    x, path = fastnn.gradient_descent(bowl, [1.0, 1.0], 0.25, 100, gradient=slope, stop=0.1)
    assert np.abs(2 * x).max() < 0.1
    assert np.abs(2 * path[-2]).max() >= 0.1
    assert len(calls) == len(path)


def test_descent_refuses() -> None:
    with pytest.raises(fastnn.TrainingDivergedError, match=r"^x: expected finite positions, got NaN or infinity after"):
        fastnn.gradient_descent(bowl, [10.0], lr=1.0, step_num=1100, gradient=lambda x: np.full_like(x, np.inf))
    with pytest.raises(ValueError, match=r"^gradient: expected an array of shape \(2,\), got \(3,\)"):
        fastnn.gradient_descent(bowl, [1.0, 2.0], gradient=lambda x: np.ones(3))
    with pytest.raises(ValueError, match=r"^lr: expected a finite number above 0\.0, got 0\.0"):
        fastnn.gradient_descent(bowl, [1.0, 2.0], lr=0.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fastnn.numerical_diff(3, 1.0),  # type: ignore[arg-type]
        lambda: fastnn.numerical_gradient(3, np.ones(2)),  # type: ignore[arg-type]
        lambda: fastnn.directional_derivative(3, np.ones(2), np.ones(2)),  # type: ignore[arg-type]
        lambda: fastnn.gradient_descent(3, np.ones(2)),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_function(call: Any) -> None:
    with pytest.raises(TypeError, match=r"^f: expected a function of x, got 3; pass one such as lambda x: \(x\*\*2\)"):
        call()


def test_what_a_compiled_function_cannot_take() -> None:
    message = r"^x: expected float32 or float64 for a compiled f, got float16; pass x.astype\(np.float64\)$"
    if not JIT_DISABLED:
        with pytest.raises(TypeError, match=message):
            fastnn.numerical_gradient(compiled(rosenbrock), np.ones(3, np.float16), h="auto")


def test_nothing_chosen() -> None:
    assert np.isnan(fastnn.numerical_gradient(rosenbrock, np.ones(3), subset=[])).all()


@pytest.mark.parametrize(
    ("f", "x", "came"),
    [
        (lambda v: np.array([v, v]), 1.0, "one number, got float64 of shape (2,); return a float"),
        (lambda v: 1j, 1.0, "one number, got complex128 of shape (); return a float"),
        (lambda v: v.sum(), np.ones(3), "numbers of shape (3,), got float64 of shape ()"),
    ],
)
def test_what_a_derivative_needs(f: Any, x: Any, came: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(f'f: expected a function that returns {came}')}$"):
        fastnn.numerical_diff(f, x)


def test_a_descent_so_far_away_that_h_is_lost_has_diverged() -> None:
    with pytest.raises(fastnn.TrainingDivergedError, match=r"^x: expected positions where a step of h = 0.0001 is not"):
        fastnn.gradient_descent(lambda x: x[0] ** 2, np.array([1.2]), lr=1.5, step_num=100)


def test_warnings_name_the_users_line() -> None:
    net, one = fastnn.Network([fastnn.Affine(2, 1)], "mean_squared_error", rng=0), np.ones((1, 2))
    calls: list[Callable[[], Any]] = [
        lambda: fastnn.numerical_gradient(lambda x: x[0] + x[1], np.array([1e20, 1.0])),
        lambda: fastnn.numerical_gradient(squares, np.ones(2, np.float32)),
        lambda: fastnn.numerical_diff(lambda x: x, 1e30),
        lambda: net.numerical_gradient(one, one[:, :1], h=1e-40),
        lambda: fastnn.check_gradients(net, one, one[:, :1], h=1e-40),
        lambda: gradient.numerical_gradient(squares, np.array([1, 2])),
    ]
    for call in calls:
        with pytest.warns(PrecisionWarning) as found:
            call()
        assert {warning.filename for warning in found} == {__file__}


def test_an_infinite_difference_is_nan_without_a_warning() -> None:
    def square(x: Any) -> float:
        with np.errstate(over="ignore"):
            return float(x[0] * x[0])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", PrecisionWarning)
        assert np.isnan(fastnn.numerical_gradient(square, np.array([1e300])))
