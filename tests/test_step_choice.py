"""Steps that suit the function, and estimates of errors that are honest: against derivatives known in closed form."""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import fastnn
from fastnn.engine.perturbation import METHODS
from fastnn.kernels.compile import JIT_DISABLED
from tests.crossings import crossed
from tests.shapes import Array

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # raised by the functions, as for log(-1)
Function = Callable[[Any], Any]
# The function, its derivative, and points: near poles, kinks and ends, far away, and where the function is flat.
FUNCTIONS: dict[str, tuple[Function, Function, tuple[float, ...]]] = {
    "1 / x": (lambda x: 1 / x, lambda x: -1 / x**2, (1e-8, 1e-3, -1e-3, 3e-3, 6e-3, 0.1, 1.0, 7.0, 1e3, 1e9)),
    "log": (np.log, lambda x: 1 / x, (1e-8, 1e-3, 2e-3, 0.1, 1.0, 1e3, 1e9)),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), (1e-8, 1e-3, 5e-3, 0.1, 1.0, 1e3, 1e9)),
    "exp": (np.exp, np.exp, (-20.0, -3.0, 0.0, 1e-9, 1e-3, 0.3, 20.0)),
    "sin": (np.sin, np.cos, (0.0, 1e-9, 1e-3, 1.0, math.pi / 2, 30.0, 1e4)),
    "sin(1000 x)": (lambda x: np.sin(1000 * x), lambda x: 1000 * np.cos(1000 * x), (0.0, 1e-3, 0.7, 1.0, 3.0)),
    "tanh(200 x)": (lambda x: np.tanh(200 * x), lambda x: 200 / np.cosh(200 * x) ** 2, (0.0, 1e-3, 0.01, -0.02)),
    "x^5": (lambda x: x * x * x * x * x, lambda x: 5 * x**4, (1e-3, 1.0, 100.0)),
    "Runge": (
        lambda x: 1 / (1 + 1e6 * x * x),
        lambda x: -2e6 * x / (1 + 1e6 * x * x) ** 2,
        (1e-4, 1e-3, 0.01, 0.1, 1.0),
    ),
    "10^6 + sin": (lambda x: 1e6 + np.sin(x), np.cos, (0.0, 0.5, 1.0)),
    "|x|": (np.abs, np.sign, (1e-3, -1e-5, 1.0, -3.0)),
    "max(0, x - 1/2)": (lambda x: np.maximum(x - 0.5, 0.0), lambda x: float(x > 0.5), (0.5001, 0.4999, 0.501, 0.4)),
    "x log x": (lambda x: x * np.log(x), lambda x: np.log(x) + 1, (1e-6, 1e-3, 0.367879, 10.0)),
    "1 / (x - 1)": (lambda x: 1 / (x - 1), lambda x: -1 / (x - 1) ** 2, (1.001, 0.9999, 1.01, 0.0, 2.0)),
    "exp(-1 / x)": (lambda x: np.exp(-1 / x), lambda x: np.exp(-1 / x) / x**2, (0.01, 0.1, 1.0)),
    "in float32": (lambda x: np.sin(np.float32(x)), np.cos, (0.3, 1.0, 2.0)),
}
A_FEW = 3.0  # estimates
ALLOWED = {"forward": 1e-5, "central": 1e-7, "five_point": 1e-8, "richardson": 1e-10}
POINTS = [(name, point) for name, row in FUNCTIONS.items() for point in row[2]]


def gradient(name: str, x: float, **options: Any) -> tuple[float, float, float, int]:
    """The quotient, the estimate of its error, the derivative, and the number of calls."""
    f, derivative, _ = FUNCTIONS[name]
    found = fastnn.numerical_gradient(lambda v: f(v[0]), np.array([x]), **options, full_output=True)
    error = math.nan if found.error is None else float(found.error[0])
    return float(found.values[0]), error, float(derivative(x)), found.evaluations


@pytest.mark.parametrize(("name", "x"), POINTS)
def test_the_true_error_is_within_a_few_estimates(name: str, x: float) -> None:
    value, error, expected, _ = gradient(name, x, h="auto", method="richardson")
    assert abs(value - expected) <= A_FEW * error + 1e-15 * abs(expected)
    rough = {"in float32": 1e-3, "10^6 + sin": 1e-6}.get(name, 0.0)
    assert error <= max(rough, 1e-8 * abs(expected), 1e-12)  # honest and useful


@crossed(3, point=[point for point in POINTS if "1000" not in point[0] and point[0] != "Runge"], h=[1e-2, 1e-3, 1e-5])
def test_the_estimate_is_honest_for_steps_that_do_not_suit(point: tuple[str, float], h: float) -> None:
    name, x = point
    value, error, expected, evaluations = gradient(name, x, h=h, method="richardson")
    assert evaluations == 6
    if not math.isnan(value):
        assert abs(value - expected) <= 3 * A_FEW * error + 1e-15 * abs(expected)


@crossed(2, point=[point for point in POINTS if point[0] not in ("in float32", "10^6 + sin")], method=METHODS)
def test_steps_adapt_to_the_function(point: tuple[str, float], method: Any) -> None:
    name, x = point
    value, _, expected, _ = gradient(name, x, h="auto", method=method)
    rounding = 1e-16 * abs(FUNCTIONS[name][0](x)) / 1e-9  # for derivatives near 0
    assert abs(value - expected) <= ALLOWED[method] * abs(expected) + rounding
    by_points = fastnn.numerical_diff(FUNCTIONS[name][0], np.array([x, x]), "auto", method)
    np.testing.assert_array_equal(by_points, [value, value])
    one = fastnn.numerical_diff(FUNCTIONS[name][0], x, "auto", method)
    assert abs(one - expected) <= ALLOWED[method] * abs(expected) + rounding


def test_one_over_x_near_its_pole() -> None:
    value, error, _, _ = gradient("1 / x", 1e-3, h="auto", method="richardson")
    assert value == pytest.approx(-1e6, rel=1e-11)
    assert error < 1e-4
    value, error, _, _ = gradient("1 / x", 1e-3, h=5.8e-3, method="richardson")
    assert abs(value + 1e6) > 1e6 and error == math.inf


def test_where_the_step_suits_f_is_called_no_more_than_before() -> None:
    x = np.random.default_rng(0).standard_normal(200)
    found = fastnn.numerical_gradient(lambda v: np.sin(v).sum(), x, "auto", method="richardson", full_output=True)
    assert found.evaluations <= 1.02 * 6 * x.size
    found = fastnn.numerical_gradient(lambda v: np.sin(v).sum(), x, "auto", full_output=True)
    assert found.evaluations <= 1.02 * 4 * x.size


def test_entries_of_one_array_have_steps_of_their_own() -> None:
    def f(x: Array) -> float:
        total = 0.0
        for i in range(x.size):
            total += 1.0 / x[i]
        return total

    x = np.array([1e-2, 3e-2, 1.0, 50.0])
    for function in (f, f if JIT_DISABLED else numba.njit(f)):
        found = fastnn.numerical_gradient(function, x, "auto", method="richardson", full_output=True)
        error = np.abs(found.values + 1 / x**2)
        assert (error <= 1e-9 / x**2).all() and (error <= A_FEW * found.error).all()


def test_directions() -> None:
    x, v = np.array([1e-3, 2.0]), np.array([2.0, -1.0])
    for method in METHODS:
        found = fastnn.directional_derivative(lambda z: (1 / z).sum(), x, v, "auto", method=method)  # type: ignore[arg-type]
        assert found == pytest.approx(float((-v / x**2).sum()), rel=ALLOWED[method])


def test_a_networks_estimate_across_a_kink() -> None:
    net = fastnn.Network([fastnn.Affine(1, 1), fastnn.Relu(), fastnn.Affine(1, 1)], loss="mean_squared_error", rng=0)
    net.params["W1"][...], net.params["b1"][...], net.params["W2"][...] = 1.0, 0.0, 1.0
    x, t = np.array([[0.01]]), np.array([[1.0]])
    found = fastnn.numerical_gradient(
        lambda _: net.loss(x, t), net.params["b1"], 0.1, method="richardson", full_output=True
    )
    analytic = net.gradient(x, t)["b1"]
    assert np.abs(found.values - analytic) > 1e-3
    assert np.abs(found.values - analytic) <= 5 * found.error
