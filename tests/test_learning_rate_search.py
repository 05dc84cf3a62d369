"""find_learning_rate: the steps that it takes, when it ends, its suggestion and its picture."""

import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Adam, Affine, BatchNorm, Dropout, Network, Relu, plots
from tests import shapes
from tests.model_files import bits

X, T = shapes.numbers(3, 90, 5, dtype=np.float32), shapes.targets("labels", 90, 3, np.float32)


def network() -> Network:
    return Network([Affine(5, 16), BatchNorm(), Relu(), Dropout(0.1), Affine(16, 3)], rng=1)


@pytest.mark.parametrize("optimizer", [None, Adam()])
def test_its_steps_are_those_of_a_loop(optimizer: Any) -> None:
    """The network itself stays as it is."""
    net, twin = network(), network()
    before = bits(net)
    found = fastnn.find_learning_rate(
        net, X, T, optimizer=optimizer, lowest=1e-4, highest=0.1, steps=7, batch_size=40, rng=3
    )
    assert bits(net) == before and net.history is None
    np.testing.assert_allclose(found.rates, 10.0 ** np.linspace(-4, -1, 7))
    generator, losses, mean, means = np.random.default_rng(3), [], 0.0, []
    for i, rate in enumerate(found.rates):
        if i % 2 == 0:
            order = generator.permutation(90)
        rows = order[40 * (i % 2) : 40 * (i % 2) + 40]
        losses.append(twin.step(X[rows], T[rows], (Adam if optimizer else SGD)(float(rate))))
        mean = 0.9 * mean + 0.1 * losses[-1]
        means.append(mean / (1 - 0.9 ** (i + 1)))
    np.testing.assert_allclose(found.losses, losses, rtol=1e-6)
    np.testing.assert_allclose(found.smoothed, means, rtol=1e-6)


def test_it_ends_where_the_loss_explodes_and_suggests_a_rate_before() -> None:
    """On (w - 1)^2 / 2 a rate of 1 is the best, and beyond 2 the steps diverge."""
    x, t = np.ones((4, 1)), np.ones((4, 1))
    net = Network([Affine(1, 1, "zeros")], "mean_squared_error", dtype="float64")
    found = fastnn.find_learning_rate(net, x, t, lowest=1e-3, highest=1e3, steps=200, batch_size=None)
    assert len(found.rates) < 200 and found.rates[-1] < 20
    assert found.suggestion is not None and 0.01 < found.suggestion < 1.0
    assert re.fullmatch(r"\d+ rates from 0.001 to .*: the loss falls most steeply at 0.\d+", str(found))


def test_noise_of_the_first_batches_is_no_fall() -> None:
    """The running mean of few batches varies; rates up to a thousandth do not change this network in so few steps."""
    (x, t), _ = fastnn.datasets.load_digits(test_fraction=0.2, rng=0)
    for seed, batch_size in ((0, 20), (8, 20), (8, 100)):
        net = Network([Affine(64, 50), Relu(), Affine(50, 10)], rng=seed)
        found = fastnn.find_learning_rate(net, x, t, batch_size=batch_size, rng=seed)
        assert found.suggestion is not None and 0.1 < found.suggestion < 2.0


def test_a_loss_that_does_not_fall() -> None:
    net = Network([Affine(1, 1, "zeros")], "mean_squared_error", dtype="float64")
    found = fastnn.find_learning_rate(net, np.ones((4, 1)), np.zeros((4, 1)), steps=5)
    assert found.suggestion is None and str(found).endswith("to 10: the loss does not fall")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lowest": 0.0}, "lowest: expected a finite number above 0.0, got 0.0"),
        ({"highest": 1e-9}, "highest: expected a finite number above 1e-06, got 1e-09"),
        ({"steps": 1}, "steps: expected an integer of at least 2, got 1"),
        ({"network": 3}, "network: expected a fastnn.Network, got 3; pass the one to train"),
        ({"min_lr": 1}, "find_learning_rate: expected arguments out of network, x, "),
    ],
)
def test_bad_arguments(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(sentence)}"):
        fastnn.find_learning_rate(**{"network": network(), "x": X, "t": T, **options})


@pytest.mark.usefixtures("closed_figures")
def test_its_picture() -> None:
    found = fastnn.find_learning_rate(network(), X, (X[:, 0] > 0).astype(int), steps=60, batch_size=30, rng=0)
    assert found.suggestion is not None
    ax = found.plot()
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "learning rate"
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), found.losses)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), found.smoothed)
    assert list(ax.lines[2].get_xdata()) == [found.suggestion] * 2
    with pytest.raises(TypeError, match=r"^search: expected a LearningRateSearch, got 3; pass what fastnn.find_learn"):
        plots.learning_rate_search(3)  # type: ignore[arg-type]
