"""The worked examples about training: what they say of games, stationary points, depth and width is so."""

import numpy as np
import pytest

import fastnn
from fastnn.demos import (
    dying_relu,
    guess_number,
    multi_task,
    polynomials,
    sparse,
    stationary_points,
    vanishing_gradients,
    width_and_depth,
)
from tests.test_demos import needs_compiler


@pytest.mark.parametrize("seed", range(5))
def test_guesses_come_near_the_number(seed: int) -> None:
    number = guess_number.secret(seed)
    assert 0.0 <= number <= 10.0 and abs(number - 5.0) > 1.0
    for name, guesses in guess_number.games(seed).items():
        assert guesses[0] == 5.0
        if name.startswith("lr"):
            factors = (1.0 - float(name[3:])) ** np.arange(len(guesses))
            np.testing.assert_allclose(guesses - number, (5.0 - number) * factors, atol=1e-8)
        else:
            assert abs(guesses[-1] - number) < 10.0 / 2**10
    assert guess_number.rounds_needed(np.array([5.0, number]), number) == "1"
    assert guess_number.rounds_needed(np.array([5.0]), number) == "more than 12"


def test_answers_to_guesses() -> None:
    answers = ["much too low", "too low", "a little too low", "right", "a little too high", "too high", "much too high"]
    assert [guess_number.answer(error) for error in (-3.0, -1.0, -0.2, 0.01, 0.2, 1.0, 3.0)] == answers


def test_points_are_stationary_as_said() -> None:
    hessians = {"saddle": (2.0, -2.0), "local minimum": (3 * 1.332**2 - 2, 2.0)}
    for name, point in (("saddle", [0.0, 0.0]), ("local minimum", [1.33199, 0.0])):
        f = stationary_points.POINTS[name][0]
        assert np.abs(fastnn.numerical_gradient(f, np.array(point))).max() < 1e-3
        second = [
            (f(np.array(point) + step) - 2 * f(np.array(point)) + f(np.array(point) - step)) / 1e-6
            for step in 1e-3 * np.eye(2)
        ]
        np.testing.assert_allclose(second, hessians[name], atol=1e-2)
    grid = np.stack(np.meshgrid(*[np.linspace(-3, 3, 301)] * 2), axis=-1).reshape(-1, 2)
    for f, _, _, least in stationary_points.POINTS.values():
        assert min(map(f, grid)) == pytest.approx(least, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_descents_end_where_the_text_says(seed: int) -> None:
    values = {}
    for name, (f, *_, least) in stationary_points.POINTS.items():
        for way, path in stationary_points.descents(name, seed).items():
            values[name, way] = f(path[-1]) - least
    assert values["saddle", "plain"] == pytest.approx(1.0, abs=1e-6)
    assert values["plateau", "plain"] > 0.9
    assert values["local minimum", "plain"] > 0.5 and values["local minimum", "noisy gradient"] > 0.5
    assert values["saddle", "noisy gradient"] < 0.01 and values["plateau", "momentum 0.9"] < 0.1
    assert all(values[name, "random restarts"] < 1e-3 for name in stationary_points.POINTS)


@needs_compiler
def test_gradients_vanish_through_sigmoids() -> None:
    x, t = vanishing_gradients.digits()
    ratios = {}
    for name, start in vanishing_gradients.STARTS.items():
        network = vanishing_gradients.new_network(start)
        sizes = vanishing_gradients.gradient_sizes(network, x, t)
        ratios[name] = sizes[0] / sizes[-1]
        y = np.asarray(x, np.float64)
        for n, found in enumerate(vanishing_gradients.outputs(network, x), start=1):
            z = y @ network.params[f"W{n}"] + network.params[f"b{n}"]
            y = {"s": 1 / (1 + np.exp(-z)), "t": np.tanh(z), "r": np.maximum(z, 0)}[name[0]]
            np.testing.assert_allclose(found, y, rtol=1e-3, atol=1e-5)
        assert n == 11
        if name == "relu, deviation 0.01":
            assert y.std() < 1e-12 and sizes.max() < 1e-12
        if name == "sigmoid, deviation 1":
            assert np.mean((y < 0.1) | (y > 0.9)) > 0.5  # most are saturated
    assert ratios["sigmoid, xavier"] < 1e-5
    assert ratios["tanh, xavier"] > 0.1 and ratios["relu, he"] > 0.01


@needs_compiler
def test_units_die_as_said() -> None:
    found = {name: dying_relu.train(name) for name in dying_relu.CASES}
    assert {name: units[-1] > 90 for name, (units, _, _) in found.items()} == {
        "relu, lr 0.5": False,
        "relu, lr 2": True,
        "leaky relu, lr 2": False,
        "relu, b = -3, lr 0.5": True,
        "elu, b = -3, lr 0.5": False,
    }
    assert found["relu, b = -3, lr 0.5"][2] == 0  # none learns
    assert found["elu, b = -3, lr 0.5"][2] == 100
    accuracies = [accuracies[-1] for _, accuracies, _ in found.values()]
    assert [accuracy > 0.85 for accuracy in accuracies] == [True, False, True, False, True]


@needs_compiler
def test_more_units_and_more_layers_follow_the_curve() -> None:
    errors = {
        name: width_and_depth.error(width_and_depth.train(widths)) for name, widths in width_and_depth.SHAPES.items()
    }
    assert errors["1 x 100"] < errors["1 x 20"] < errors["1 x 5"] < errors["1 x 2"]
    assert errors["3 x 6"] < errors["1 x 20"] + 0.05 and errors["3 x 20"] < 0.1
    counts = [width_and_depth.parameters(width_and_depth.new_network(w)) for w in width_and_depth.SHAPES.values()]
    assert counts == [7, 16, 61, 301, 118, 103, 901]


def test_polynomials_are_least_squares() -> None:
    x, t = polynomials.points()
    curve = polynomials.without_noise()
    found = polynomials.fits()
    for (degree, penalty), w in found.items():
        if not penalty:
            line = np.linspace(-1, 1, 50)
            expected = np.polynomial.Polynomial.fit(x, t, degree)(line)
            np.testing.assert_allclose(polynomials.value(w, line), expected, atol=1e-7)
            continue
        design = np.column_stack([x**n for n in range(degree + 1)])  # the gradient of the penalized loss is 0
        slope = 2 * design.T @ (design @ w - t) / len(x) + 2 * penalty * np.where(np.arange(degree + 1) == 0, 0.0, w)
        assert np.abs(slope).max() < 1e-10
    assert polynomials.error(found[9, 0.0], (x, t)) < 1e-9
    errors = {case: polynomials.error(w, curve) for case, w in found.items()}
    assert errors[3, 0.0] < errors[9, 0.0] < errors[1, 0.0]
    assert errors[9, 1e-3] < errors[9, 0.0] < errors[9, 1.0]


@needs_compiler
def test_a_second_task_helps_by_what_it_adds() -> None:
    (_, t), _ = fastnn.datasets.load_digits()
    known = multi_task.labeled(t, 3)
    assert np.bincount(t[known]).tolist() == [5] * 10
    found = multi_task.accuracies()
    gains = {name: values - found["none"] for name, values in found.items()}
    errors = {name: one.std(ddof=1) / np.sqrt(len(one)) for name, one in gains.items()}
    assert all(len(one) == 10 for one in gains.values())
    assert gains["odd or even, of all"].mean() > 3 * errors["odd or even, of all"] > 0.0
    for name in ("odd or even, of the same 50", "the pixels, of all"):
        assert abs(gains[name].mean()) < 0.01


@needs_compiler
@pytest.mark.parametrize("seed", [0, 1])
def test_penalties_turn_units_off(seed: int) -> None:
    found = {name: sparse.activations(sparse.train(name, seed)) for name in sparse.PENALTIES}
    none, l1, kl = found.values()
    assert 0.4 < none.mean() < 0.6 and np.mean(none < 0.1) < 0.01
    assert kl.mean() < 0.1 < l1.mean() < 0.2 < none.mean()
    assert kl.mean(axis=0).min() > 0.03 and kl.mean(axis=0).max() < 0.12
    assert l1.mean(axis=0).min() < 0.03 and l1.mean(axis=0).max() > 0.25
    errors = [sparse.error(sparse.train(name, seed)) for name in sparse.PENALTIES]
    assert errors == sorted(errors) and errors[-1] < 0.13
