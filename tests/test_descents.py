"""gradient_descent from a number, upwards, and with rates that change, against loops in plain Python."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as package
from fastnn import schedules

fastnn: Any = package  # slips are of wrong types


def parabola(x: Any) -> Any:
    return (x - 2.0) ** 2


def slope(x: Any) -> Any:
    return 2.0 * (x - 2.0)


def followed(rates: Any, sign: float, x: float) -> list[float]:
    """The positions of a descent on the parabola by these rates; sign: -1 for an ascent."""
    path = [x]
    for rate in rates:
        x -= sign * rate * slope(x)
        path.append(x)
    return path


@pytest.mark.parametrize("start", [5, 5.0, np.float64(5.0), np.float32(5.0), np.array(5.0)])
def test_from_a_number(start: Any) -> None:
    expected = followed([0.1] * 20, 1.0, 5.0)
    seen: list[Any] = []

    def f(x: float) -> float:
        seen.append(x)
        return float(parabola(x))

    for options in ({}, {"gradient": slope}):
        x, path = fastnn.gradient_descent(f, start, lr=0.1, step_num=20, **options)
        assert type(x) is float and path.shape == (21,) and path.dtype == np.float64 and path[-1] == x
        np.testing.assert_allclose(path, expected, rtol=1e-9)
    assert seen and all(type(one) is float for one in seen)
    x, path = fastnn.gradient_descent(f, start, lr=0.1, stop=lambda x: abs(x - 2.0) < 0.5)
    assert abs(x - 2.0) < 0.5 <= abs(path[-2] - 2.0)
    x, path = fastnn.gradient_descent(f, start, lr=0.1, stop=0.01)
    assert abs(slope(x)) < 0.01 <= abs(slope(path[-2]))


def test_upwards() -> None:
    """Ascent on f is descent on -f, to the bit."""

    def hill(x: Any) -> float:
        return float(3.0 - x[0] ** 2 - 2.0 * (x[1] + 1.0) ** 2)

    up, path = fastnn.gradient_descent(hill, [1.0, 2.0], 0.1, 60, maximize=True)
    down, other = fastnn.gradient_descent(lambda x: -hill(x), [1.0, 2.0], 0.1, 60)
    assert np.array_equal(path, other) and np.array_equal(up, down)
    np.testing.assert_allclose(up, [0.0, -1.0], atol=1e-5)
    _, path = fastnn.gradient_descent(lambda x: -parabola(x), 5.0, 0.1, 9, gradient=lambda x: -slope(x), maximize=True)
    np.testing.assert_allclose(path, followed([0.1] * 9, 1.0, 5.0), rtol=1e-14)


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        (schedules.StepDecay(every=3, factor=0.5), lambda n: 0.5 ** (n // 3)),
        (schedules.ExponentialDecay(rate=0.1), lambda n: math.exp(-0.1 * n)),
        (schedules.InverseTime(decay=0.5), lambda n: 1.0 / (1.0 + 0.5 * n)),
        (schedules.Cosine(epochs=8), lambda n: (1.0 + math.cos(math.pi * min(n, 8) / 8)) / 2),
        (schedules.Warmup(4), lambda n: min(1.0, (n + 1) / 5)),
        (schedules.Constant(), lambda n: 1.0),
        (lambda step, history: 0.9**step, lambda n: 0.9**n),
    ],
)
def test_schedules(schedule: Any, factor: Callable[[int], float]) -> None:
    rates = [0.2 * factor(n) for n in range(12)]
    for start in (5.0, np.array([5.0])):
        given = {"lr": 0.2, "step_num": 12, "schedule": schedule, "gradient": slope}
        _, path = fastnn.gradient_descent(lambda x: float(np.sum(parabola(x))), start, **given)
        np.testing.assert_allclose(path.ravel(), followed(rates, 1.0, 5.0), rtol=1e-13)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_history_holds_the_values(sign: float) -> None:
    """These are values of the function that becomes small, so that a plateau is one upwards, too."""
    seen: list[list[float]] = []

    def watched(step: int, history: Any) -> float:
        assert step == len(seen) == history.epochs
        seen.append(list(history.loss))
        return 1.0

    given = {"lr": 0.1, "step_num": 4, "gradient": lambda x: sign * slope(x), "maximize": sign < 0}
    _, path = fastnn.gradient_descent(lambda x: sign * parabola(x), 5.0, schedule=watched, **given)
    np.testing.assert_allclose(seen[-1], parabola(path[:3]), rtol=1e-14)
    flat = schedules.ReduceOnPlateau(factor=0.5, patience=2)
    _, path = fastnn.gradient_descent(lambda x: 0.0, 1.0, 1.0, 6, schedule=flat, gradient=lambda x: 1.0)
    assert np.diff(path).tolist() == [-1.0, -1.0, -1.0, -0.5, -0.5, -0.25]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fastnn.gradient_descent(parabola, 1.0, schedule=0.5), "schedule: expected a function of (epoch, hist"),
        (
            lambda: fastnn.gradient_descent(parabola, 1.0, schedule=lambda step, history: -1.0),
            "schedule(step=0, history): expected a finite number of at least 0.0, got -1.0",
        ),
        (lambda: fastnn.gradient_descent(parabola, 1.0, maximize="yes"), "maximize: expected True or False, got 'yes'"),
        (lambda: fastnn.gradient_descent(parabola, True), "init_x: expected a finite number, got True"),
        (lambda: fastnn.gradient_descent(parabola, np.nan), "init_x: expected a finite number, got nan"),
        (lambda: fastnn.gradient_descent(parabola, 1j), "init_x: "),
        (lambda: fastnn.gradient_descent(parabola, 1.0, gradient=lambda x: "up"), "gradient: expected a finite number"),
        (lambda: fastnn.gradient_descent(lambda x: "low", 1.0), "f: expected a function that returns one number"),
    ],
)
def test_what_is_refused(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value).startswith(sentence)
