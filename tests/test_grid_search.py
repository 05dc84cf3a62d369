"""grid_search against cross-validation by hand: closed-form ridge in NumPy, and a plain loop of cross_validate."""

import functools
import math
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.validation.grid_search import GridSearch
from tests import shapes

fit: Any = {"batch_size": None, "optimizer": fastnn.SGD(lr=0.1), "shuffle": False}


def ridge_network(l2: float, rng: Any) -> fastnn.Network:
    penalty = fastnn.Regularization(l2=l2)
    return fastnn.Network([fastnn.Affine(8, 1)], "mean_squared_error", regularization=penalty, rng=rng, dtype="float64")


def ridge_error(l2: float, fold: Any) -> float:
    """Half the mean squared error on the test part, of the closed form on the training part; by NumPy alone."""
    (x, t), (x_test, t_test) = fold
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x, x_test = (x - mean) / deviation, (x_test - mean) / deviation
    W = np.linalg.solve(x.T @ x + len(x) * l2 * np.eye(x.shape[1]), x.T @ (t - t.mean()))
    return float(((x_test @ W + t.mean() - t_test) ** 2).mean() / 2)


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")
def test_ridge_on_the_cars_is_that_of_the_closed_form() -> None:
    (x, t), _ = fastnn.datasets.load_auto_mpg(dtype="float64")
    values = [0.01, 0.1, 1.0, 10.0]
    folds = list(fastnn.datasets.k_fold(x, t, 5, rng=0, stratify=False))
    expected = np.array([[ridge_error(l2, fold) for fold in folds] for l2 in values])
    descent: Any = {**fit, "optimizer": fastnn.SGD(lr=0.05)}
    search = fastnn.grid_search(ridge_network, values, x, t, iter(folds), standardize=True, epochs=6000, **descent)
    np.testing.assert_allclose(search.loss, expected, rtol=1e-5)
    assert search.values == tuple(values)
    assert search.best_index == expected.mean(axis=1).argmin()
    assert search.best == values[search.best_index]
    np.testing.assert_allclose(search.mean_loss, expected.mean(axis=1), rtol=1e-5)
    errors = expected.std(axis=1, ddof=1) / math.sqrt(5)
    np.testing.assert_allclose(search.standard_error, errors, rtol=1e-4)
    limit = expected.mean(axis=1).min() + errors[search.best_index]
    within = [value for value, loss in zip(values, expected.mean(axis=1), strict=True) if loss <= limit]
    assert list(search.within_one_error) == within and 0 < len(within) < 4
    assert np.isnan(search.accuracy).all()  # the targets are no classes


def tanh_network(width: int, rng: Any) -> fastnn.Network:
    return fastnn.Network([fastnn.Affine(5, width), fastnn.Tanh(), fastnn.Affine(width, 3)], rng=rng)


@pytest.mark.parametrize("from_generator", [False, True])
def test_it_is_cross_validation_on_the_same_folds(from_generator: bool) -> None:
    x, t = shapes.numbers(1, 60, 5, dtype=np.float32), shapes.targets("labels", 60, 3, np.float32)

    def rng() -> Any:
        return np.random.default_rng(7) if from_generator else 7

    search = fastnn.grid_search(tanh_network, np.array([1, 4]), x, t, 4, rng=rng(), epochs=3)
    assert search.values == (1, 4) and type(search.values[0]) is int
    for i, width in enumerate((1, 4)):
        make = functools.partial(tanh_network, width)
        expected = fastnn.cross_validate(make, x, t, 4, rng=rng(), epochs=3)
        np.testing.assert_array_equal(search.loss[i], expected.loss)
        np.testing.assert_array_equal(search.accuracy[i], expected.accuracy)
    again = fastnn.grid_search(tanh_network, [4, 4], x, t, 4, rng=None, epochs=3, n_jobs=2)
    np.testing.assert_array_equal(again.loss[0], again.loss[1])  # nothing but the value differs
    assert again.best_index == 0


def test_a_value_that_diverges_loses() -> None:
    (x, t), _ = fastnn.datasets.load_auto_mpg(dtype="float64")
    search = fastnn.grid_search(ridge_network, [1e6, 0.1], x, t, 3, rng=0, standardize=True, epochs=100, **fit)
    assert np.isinf(search.loss[0]).all() and np.isnan(search.accuracy).all()
    assert search.best == 0.1 and search.within_one_error == (0.1,)
    assert np.isnan(search.standard_error[0]) and search.standard_error[1] > 0
    with pytest.raises(fastnn.TrainingDivergedError, match=r"^loss: expected a finite number for one of 1 values, got"):
        fastnn.grid_search(ridge_network, [1e6], x, t, 3, rng=0, standardize=True, epochs=100, **fit)


@pytest.mark.parametrize("values", [[1], [1, 2]])
def test_one_network_for_all_is_refused_by_the_arguments_own_name(values: list[int]) -> None:
    net = tanh_network(3, np.random.default_rng(0))
    came = (
        "got the same one again; it may have learned from samples that it must not see: pass one such as lambda width, "
    )
    with pytest.raises(ValueError, match=f"^make_network: expected a new network at each call, {came}rng: "):
        fastnn.grid_search(lambda _, rng: net, values, shapes.numbers(1, 12, 5), np.arange(12) % 3, epochs=1)


def test_texts() -> None:
    loss = np.array([[1.0, 3.0], [0.5, 0.5]])
    search = GridSearch((0.001, "a"), loss, np.full((2, 2), np.nan))
    assert str(search).splitlines() == [
        "value   mean loss       error",
        "0.001      2.0000 +-   1.0000",
        "    a      0.5000 +-   0.0000  lowest",
    ]
    assert repr(search) == "<GridSearch: 2 values, lowest loss 0.5 for 'a'>"
    alone = GridSearch((1,), loss[:1, :1], loss[:1, :1])
    assert np.isnan(alone.standard_error).all() and alone.within_one_error == (1,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"values": []}, "values: expected at least one value to try, got none; pass a list such as [0.0, 0.01, 0.1]"),
        ({"values": 0.1}, "values: expected a list of values to try, got 0.1; pass one such as [0.0, 0.01, 0.1]"),
        ({"values": "abc"}, "values: expected a list of values to try, got 'abc'"),
        ({"make_network": lambda rng: None}, "make_network: expected a function that takes a value and a numpy Gener"),
        ({"make_network": lambda value, rng: None}, "make_network: expected a function that returns a network"),
        ({"folds": 1}, "folds: expected an integer of at least 2, got 1"),
        ({"folds": "five"}, "folds: expected a number or pairs"),
        ({"cv": 3}, "grid_search: expected options of Network.fit ("),
        ({"validation_data": (1, 2)}, "grid_search: expected options of Network.fit ("),
    ],
)
def test_refused(changed: dict[str, Any], message: str) -> None:
    x, t = shapes.numbers(1, 12, 5), np.arange(12) % 3
    arguments: dict[str, Any] = {"make_network": tanh_network, "values": [1], "x": x, "t": t, "epochs": 1}
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        fastnn.grid_search(**{**arguments, **changed})


def results(values: list[Any], losses: list[float]) -> GridSearch:
    loss = np.array(losses)[:, None] + np.array([-0.1, 0.0, 0.1])
    return GridSearch(tuple(values), loss, np.full_like(loss, np.nan))


@pytest.mark.parametrize(
    ("values", "places", "scale", "label"),
    [
        ([0.0, 0.01, 1.0], [0.001, 0.01, 1.0], "log", "lowest, 0.01"),
        ([1.0, 0.01, 0.1], [0.01, 0.1, 1.0], "log", "lowest, 0.01"),
        ([1, 2, 4], [1, 2, 4], "linear", "lowest, 2"),
        (["relu", "tanh", "elu"], [0, 1, 2], "linear", "lowest, tanh"),
    ],
)
def test_picture(values: list[Any], places: list[float], scale: str, label: str) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    search = results(values, [3.0, 1.0, 2.0])
    ax = search.plot()
    assert ax.get_xscale() == scale
    line, marker, limit = ax.lines[0], next(one for one in ax.lines if one.get_label() == label), ax.lines[-1]
    np.testing.assert_allclose(line.get_xdata(), places)
    by_place = dict(zip([places[0], *places[1:]], line.get_ydata(), strict=True))
    assert by_place[float(marker.get_xdata()[0])] == 1.0
    error = 0.1 / math.sqrt(3)
    np.testing.assert_allclose(limit.get_ydata(), 1.0 + error)
    ends = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(np.sort(ends[:, 1] - ends[:, 0]), 2 * error)
    texts = [one.get_text() for one in ax.get_xticklabels()]
    assert "tanh" in texts if isinstance(values[0], str) else values[0] != 0.0 or texts[0] == "0"
    infinite = results(values, [np.inf, 1.0, 2.0])
    assert len(fastnn.plots.grid_search(infinite).lines[0].get_xdata()) == 2
    with pytest.raises(TypeError, match=r"^search: expected a GridSearch, got 3; pass what fastnn.grid_search returns"):
        fastnn.plots.grid_search(3)  # type: ignore[arg-type]
    pyplot.close("all")
