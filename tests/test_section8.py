"""Worked numbers from courses and textbooks, as far as the package computes them."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import reference
from tests.shapes import DTYPES, Array, FloatType

either = pytest.mark.parametrize("module", [fastnn, reference], ids=["fastnn", "reference"])

# Two answers to a picture of a 2: the first prefers the 2, the second the 7.
ANSWERS = ([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0], [0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0])


def cross_entropy(module: ModuleType, y: Any, label: int, dtype: FloatType = np.float64, added: float = 0.0) -> float:
    """-log(y[label] + added), through the logits log(y + added), whose softmax is divided by the sum of y + added."""
    powers = np.array([y]) + added
    loss, _ = module.softmax_cross_entropy(np.log(powers).astype(dtype), np.array([label]))
    assert isinstance(loss, float)
    return loss - math.log(powers.sum())


def half_squares(module: ModuleType, y: Any, t: Any) -> float:
    loss, _ = module.mean_squared_error(np.array([y], np.float64), np.array([t], np.float64))
    assert isinstance(loss, float)
    return loss


def descend(f: Callable[[Array], float], start: list[float], lr: float, updates: int) -> list[Array]:
    """The points of a gradient descent with the numerical gradient, the start included."""
    x = np.array(start)
    points = [x.copy()]
    for _ in range(updates):
        fastnn.sgd_update(x, fastnn.numerical_gradient(f, x), lr)
        points.append(x.copy())
    return points


def sum_of_squares(x: Array) -> float:
    return float(np.sum(x * x))


@either
def test_cross_entropy_with_1e_7_in_the_logarithm(module: ModuleType) -> None:
    expected = (0.51082545709933802, 2.3025840929945458)
    for y, value in zip(ANSWERS, expected, strict=True):
        assert cross_entropy(module, y, 2, added=1e-7) == pytest.approx(value, rel=1e-14)
        assert cross_entropy(module, y, 2, np.float32, added=1e-7) == pytest.approx(value, rel=1e-6)


@either
def test_half_the_squared_error(module: ModuleType) -> None:
    one_hot = np.eye(10)[2]
    assert half_squares(module, ANSWERS[0], one_hot) == pytest.approx(0.0975, rel=1e-14)
    assert half_squares(module, ANSWERS[1], one_hot) == pytest.approx(0.5975, rel=1e-14)


@either
def test_squared_error(module: ModuleType) -> None:
    assert 2 * half_squares(module, [1, 2, 3], [1, 1, 1]) == 5
    assert 2 * half_squares(module, [1, 3, 3], [1, 1, 1]) == 8


@either
def test_binary_cross_entropy(module: ModuleType) -> None:
    """A sigmoid of a is a softmax of the two logits log(a / (1 - a)) and 0."""
    for a, value in ((0.6, 0.51), (0.7, 0.36)):
        loss, _ = module.softmax_cross_entropy(np.array([[math.log(a / (1 - a)), 0.0]]), np.array([0]))
        assert loss == pytest.approx(-math.log(a), rel=1e-14)
        assert round(loss, 2) == value


@either
@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_of_three_classes(module: ModuleType, dtype: FloatType) -> None:
    assert round(cross_entropy(module, [0.2, 0.5, 0.3], 2, dtype), 2) == 1.20
    assert round(cross_entropy(module, [0.2, 0.2, 0.6], 2, dtype), 2) == 0.51


@either
def test_information_and_entropy(module: ModuleType) -> None:
    p = np.array([[0.7, 0.2, 0.1]])
    assert [round(cross_entropy(module, p[0], label), 2) for label in range(3)] == [0.36, 1.61, 2.30]
    assert round(module.softmax_cross_entropy(np.log(p), p)[0], 2) == 0.80


def test_the_same_numbers_by_the_losses_themselves() -> None:
    for y, value in zip(ANSWERS, (0.51082545709933802, 2.3025840929945458), strict=True):
        assert fastnn.cross_entropy(np.array([y]), [2], offset=1e-7)[0] == pytest.approx(value, rel=1e-15)
    squares = fastnn.mean_squared_error(np.array(ANSWERS), np.eye(10)[[2, 2]], reduction="none")[0]
    assert squares == pytest.approx([0.0975, 0.5975], rel=1e-14)
    assert [round(fastnn.log_loss(np.array([[a]]), [1.0])[0], 2) for a in (0.6, 0.7)] == [0.51, 0.36]
    three = fastnn.cross_entropy(np.array([[0.2, 0.5, 0.3], [0.2, 0.2, 0.6]]), [2, 2], reduction="none")[0]
    assert three.round(2).tolist() == [1.20, 0.51]
    outputs, t = np.array([[1.0, 2, 3], [1, 3, 3]]), np.ones((2, 3))
    assert fastnn.absolute_error(outputs, t, reduction="none")[0].tolist() == [3, 4]
    assert fastnn.mean_squared_error(outputs, t, half=False, reduction="none")[0].tolist() == [5, 8]
    p = np.array([0.7, 0.2, 0.1])
    assert fastnn.information.information(p).round(2).tolist() == [0.36, 1.61, 2.30]
    assert round(float(fastnn.information.entropy(p)), 2) == 0.80


@pytest.mark.parametrize(("point", "expected"), [((3, 4), (6, 8)), ((0, 2), (0, 4)), ((3, 0), (6, 0))])
def test_numerical_gradient_of_the_sum_of_squares(point: tuple[int, int], expected: tuple[int, int]) -> None:
    x = np.array(point, np.float64)
    assert fastnn.numerical_gradient(sum_of_squares, x) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert np.array_equal(x, point)


def test_partial_derivatives() -> None:
    def f(v: Array) -> float:
        x, y, z = v
        return float(x * x + 3 * x * y + y * y + z**3)

    for x, y, z in ((1.0, 2.0, 3.0), (-0.5, 0.25, -2.0)):
        expected = (2 * x + 3 * y, 3 * x + 2 * y, 3 * z * z)
        assert fastnn.numerical_gradient(f, np.array([x, y, z])) == pytest.approx(expected, rel=1e-7)


def test_a_step_that_rounding_swallows() -> None:
    x = np.array([3.0, 4.0])
    with pytest.warns(fastnn.PrecisionWarning, match="^h: a step of 1e-50 is lost in the rounding of 2 entries"):
        assert np.array_equal(fastnn.numerical_gradient(sum_of_squares, x, h=1e-50, method="forward"), [0.0, 0.0])


def test_gradient_descent_on_the_sum_of_squares() -> None:
    points = descend(sum_of_squares, [-3.0, 4.0], lr=0.1, updates=100)
    assert points[-1] == pytest.approx((-6.11e-10, 8.15e-10), rel=0, abs=1e-9)


def test_descent_on_a_parabola() -> None:
    points = descend(sum_of_squares, [1.2], lr=0.3, updates=4)
    assert [point.item() for point in points[1:]] == pytest.approx([0.48, 0.192, 0.0768, 0.03072], rel=1e-9)


def test_descent_on_a_parabola_and_a_sine() -> None:
    def f(v: Array) -> float:
        return float(v[0] ** 2 + math.sin(v[1]) ** 2)

    points = descend(f, [3.0, 1.0], lr=0.1, updates=16)
    expected = {1: (2.4, 0.909070, 6.382415), 15: (0.105553, 0.063481, 0.015166), 16: (0.084442, 0.050819, 0.009711)}
    for updates, row in expected.items():
        point = points[updates]
        assert (*point, f(point)) == pytest.approx(row, rel=0, abs=6e-7)
    assert [f(point) < 0.01 for point in points] == [False] * 16 + [True]
