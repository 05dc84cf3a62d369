"""check_gradients on random and on very deep networks: no false alarms, errors of 1 % found, few open verdicts.

`python -m benchmarks.gradient_checks` counts the same over thousands of networks.
"""

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from benchmarks import exact_gradients, gradient_checks
from fastnn.gradients import chained_gradient
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.layers import Activation
from tests.shapes import Array

NETWORKS = {"random": 6, "relu": 3} if JIT_DISABLED else {"random": 30, "relu": 20, "sigmoid": 2, "deep-relu": 2}
WORK = 3e4 if JIT_DISABLED else 1e8
DEPTH = 16 if JIT_DISABLED else 1
MOST_UNKNOWN = 0.15  # of the networks below: all their units are saturated in float32, or their loss overflows


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("share", [0.3, pytest.param(1.0, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", NETWORKS)
def test_random_networks(name: str, share: float) -> None:
    networks = math.ceil(share * NETWORKS[name])
    counts = gradient_checks.Counts(gradient_checks.SETS[name]._replace(most_work=WORK))
    for seed in range(networks):
        counts.note(seed, True)
    assert counts.right.total() == networks
    assert counts.right["differ"] == 0, counts
    assert counts.right["agree"] >= (1 - MOST_UNKNOWN) * networks, counts
    assert counts.planted.total() >= 0.9 * networks, counts
    assert counts.planted["differ"] == counts.planted.total(), counts


@pytest.mark.filterwarnings("ignore")
def test_exact_gradients() -> None:
    """The reference's in long doubles are nearly the network's, but for a few tensors that are all rounding."""
    far = total = 0
    for seed in range(NETWORKS["random"]):
        net, x, t = gradient_checks.problem(seed, gradient_checks.SETS["random"]._replace(most_work=WORK))
        exact = exact_gradients.exact_gradient(net, x, t)
        assert list(exact) == list(net.params)
        limit = 1e-3 if net.dtype == np.float32 else 1e-8
        for name, array in net.gradient(x, t).items():
            total += 1
            far += not np.abs(array - exact[name]).max() <= limit * np.abs(exact[name]).max()
    assert far <= 0.02 * total


def test_an_error_is_planted_where_one_shows() -> None:
    """An entry that is not 0 is chosen, however few there are, such as the ones behind the last step function."""
    net, x, t = shallow("mean_squared_error", activation=fastnn.Step())
    right = net.gradient(x, t)
    assert {name for name, array in right.items() if array.any()} == {"W2", "b2"}
    for seed in range(10):
        gradient, what = gradient_checks.plant(gradient_checks.Problem(net, x, t), seed)
        assert gradient is not None, what
        changed = [name for name, array in gradient.items() if (array != right[name]).any()]
        assert changed == [what.split()[-1]], what
        error = np.abs(gradient[changed[0]] - right[changed[0]]).max()
        assert 0.0 < error <= 0.0101 * np.linalg.norm(right[changed[0]]), what


def test_an_error_that_rounding_hides_is_not_planted() -> None:
    """The outputs of a softmax sum to 1 whatever it takes: the gradient is 0, and in the dtype 1e-17."""
    layers = [fastnn.Affine(3, 4), fastnn.Softmax(), fastnn.Affine(4, 1)]
    net = fastnn.Network(layers, "mean_squared_error", rng=0, dtype="float64")
    net.params["W2"] = np.ones((4, 1))
    found = gradient_checks.Problem(net, shallow("mean_squared_error").x, np.zeros((5, 1)))
    assert exact_gradients.roundings(*found)["W2"] < 1e-14
    assert (
        exact_gradients.roundings(net, found.x, found.t)["W1"] > 1e-3 or not net.gradient(found.x, found.t)["W1"].any()
    )
    planted = {gradient_checks.plant(found, seed)[1].split()[-1] for seed in range(20)}
    assert planted == {"W2", "b2"}


def test_why_no_error_is_planted() -> None:
    net, x, _ = shallow("mean_squared_error")
    assert gradient_checks.plant(gradient_checks.Problem(net, x, net.predict(x)), 0) == (None, "no gradient but 0")
    net.params["b2"] = np.array([1e200, 0.0])
    found = gradient_checks.Problem(net, x, np.zeros((5, 2)))
    assert gradient_checks.plant(found, 0) == (None, "loss or gradient not finite")


def deep(activation: Activation, depth: int, dtype: str, seed: int) -> gradient_checks.Problem:
    generator = np.random.default_rng(seed)
    layers: list[fastnn.layers.Layer] = []
    for _ in range(depth // DEPTH):
        layers += [fastnn.Affine(6, 6), activation]
    net = fastnn.Network([*layers, fastnn.Affine(6, 3)], rng=seed, dtype=dtype, n_threads=1)
    return gradient_checks.Problem(net, generator.normal(size=(4, 6)), generator.integers(0, 3, 4))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("activation", "depth"), [(fastnn.Sigmoid(), 50), (fastnn.Relu(), 100)], ids=str)
def test_deep_networks(activation: Activation, depth: int, dtype: str, seed: int) -> None:
    """Differences of the loss vanish in its rounding, or cross kinks; differences of each layer by itself do not."""
    net, x, t = deep(activation, depth, dtype, seed)
    report = fastnn.check_gradients(net, x, t)
    assert report.passed, report
    right = net.gradient(x, t)
    for name in ("W1", f"W{max(2, depth // DEPTH // 2)}", f"b{depth // DEPTH}")[: 1 if JIT_DISABLED else 3]:
        if not right[name].any():  # all units of a layer are off
            continue
        found = fastnn.check_gradients(net, x, t, gradient={**right, name: 1.01 * right[name]})
        assert {tensor.name for tensor in found.tensors.values() if tensor.verdict == "differ"} == {name}, found


def shallow(loss: Any, dtype: str = "float64", activation: Activation | None = None) -> gradient_checks.Problem:
    generator = np.random.default_rng(0)
    layers = [fastnn.Affine(3, 4), activation or fastnn.Tanh(), fastnn.Affine(4, 2)]
    net = fastnn.Network(layers, loss, rng=0, dtype=dtype)
    return gradient_checks.Problem(net, generator.normal(size=(5, 3)), generator.normal(size=(5, 2)))


def test_a_wrong_gradient_by_the_outputs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chained quotients begin with the loss's own gradient and are wrong with it; quotients of the loss are not."""
    net, x, t = shallow("mean_squared_error")
    wrong = {name: 1.01 * array for name, array in net.gradient(x, t).items()}
    right = chained_gradient._Chain._loss_kernel

    def kernel(self: chained_gradient._Chain, y: Array, some: slice, dtype: type) -> Array:
        return 1.01 * right(self, y, some, dtype)

    monkeypatch.setattr(chained_gradient._Chain, "_loss_kernel", kernel)
    report = fastnn.check_gradients(net, x, t, gradient=wrong)
    assert {tensor.verdict for tensor in report.tensors.values()} == {"differ"}, report
    assert fastnn.check_gradients(net, x, t).passed, "the quotients of the loss alone tell"


@pytest.mark.parametrize("exponent", [-190, 230])
def test_an_error_in_gradients_whose_squares_overflow_or_vanish(exponent: int) -> None:
    net, x, _ = shallow("exponential")
    net.params["b2"] = np.full(2, -exponent * np.log(10.0))
    right = net.gradient(x, np.ones((5, 2)))
    assert np.abs(np.log10(np.abs(right["b2"])) - exponent).max() < 2
    assert fastnn.check_gradients(net, x, np.ones((5, 2))).passed
    for name, array in right.items():
        report = fastnn.check_gradients(net, x, np.ones((5, 2)), gradient={**right, name: 1.01 * array})
        assert {tensor.name for tensor in report.tensors.values() if tensor.verdict == "differ"} == {name}, report


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_of_what_overflows_nothing_is_said(dtype: str) -> None:
    net, x, _ = shallow("exponential", dtype)
    net.params["b2"] = np.array([-1e3, 5.0])
    report = fastnn.check_gradients(net, x, np.ones((5, 2)))
    assert report.verdict == "cannot tell", report
    assert report.tensors["b2"].unknown > 0


def test_an_error_behind_a_softmax_that_is_sure_is_found() -> None:
    """Of outputs of 1 and 1e-87 the change of the small one shows in no difference of two softmaxes."""
    net = fastnn.Network(
        [fastnn.Affine(2, 3), fastnn.Affine(3, 3), fastnn.Softmax()],
        fastnn.losses.CrossEntropy(1e-7),
        rng=0,
        dtype="float64",
    )
    net.params["b2"] = np.array([0.0, 200.0, 190.0])
    x, t = np.array([[1.0, -2.0]]), np.array([0])
    assert 0.0 < net.predict(x)[0, 0] < 1e-80
    assert fastnn.check_gradients(net, x, t).passed
    right = net.gradient(x, t)
    for name, array in right.items():
        wrong = array.copy()
        wrong.flat[0] += 0.01 * np.linalg.norm(array)
        report = fastnn.check_gradients(net, x, t, gradient={**right, name: wrong})
        assert {tensor.name for tensor in report.tensors.values() if tensor.verdict == "differ"} == {name}, report


@pytest.mark.parametrize("activation", [fastnn.Sigmoid(), fastnn.Tanh(), fastnn.Elu(0.5)], ids=str)
def test_slopes_near_a_limit_are_exact(activation: Activation) -> None:
    """A slope of 1e-13 is lost in differences of outputs near 1, but not in differences of distances to 1."""
    x = np.array([[-40.0, -30.0, -3.0, -0.5, 0.5, 3.0, 30.0, 40.0]])
    net = fastnn.Network([fastnn.Affine(8, 8), activation], "mean_squared_error", dtype="float64")
    perturbation = net.engine.perturbation(net.engine.prepare(x, x, True))
    chain = chained_gradient._Chain(perturbation, np.float64)
    link: Any = activation.link
    slopes, error = link.quotients(chain.operations[1], x, 0.25)
    alpha = getattr(activation, "alpha", 1.0)
    exact = {
        "sigmoid": 1 / (4 * np.cosh(x / 2) ** 2),
        "tanh": 1 / np.cosh(x) ** 2,
        "elu": np.where(x > 0, 1, alpha * np.exp(x)),
    }[activation.activation]
    np.testing.assert_allclose(slopes, exact, rtol=1e-9)
    assert (error[0] < 1e-8 * exact[0]).all()


@pytest.mark.parametrize(("activation", "sign"), [(fastnn.Sigmoid(), 1.0), (fastnn.Elu(), -1.0)], ids=str)
def test_units_at_their_limit_hide_no_error(activation: Activation, sign: float) -> None:
    """Their outputs are exact, so that 400 of them say nothing about the rounding of one nearby."""
    net = fastnn.Network(
        [fastnn.Affine(1, 1), fastnn.Affine(1, 401), activation, fastnn.Affine(401, 1)],
        "mean_squared_error",
        dtype="float64",
    )
    net.params["W2"] = sign * np.array([[28.0, *[78.0] * 400]])
    net.params["W1"], net.params["W3"] = np.ones((1, 1)), np.ones((401, 1))
    x, t = np.ones((1, 1)), np.zeros((1, 1))
    assert fastnn.check_gradients(net, x, t).verdict != "differ"
    right = net.gradient(x, t)
    report = fastnn.check_gradients(net, x, t, gradient={**right, "W1": 1.01 * right["W1"]})
    assert {tensor.name for tensor in report.tensors.values() if tensor.verdict == "differ"} == {"W1"}, report


def test_sigmoids_near_1_whose_logarithm_is_asked_for() -> None:
    """The rounding of 1 - y is in the loss's gradient and in the slope alike: it cancels where both take one y."""
    net = fastnn.Network([fastnn.Affine(1, 1), fastnn.Sigmoid()], fastnn.losses.LogLoss(), dtype="float64")
    net.params["W1"] = np.ones((1, 1))
    for x in np.linspace(10.0, 36.0, 80):
        report = fastnn.check_gradients(net, [[x]], np.zeros((1, 1)))
        assert report.verdict != "differ", f"{x}\n{report}"


def test_an_error_behind_numbers_that_underflow_is_found() -> None:
    """They underflow gradually in float32, below 1e-38; 1e-40 still has four digits."""
    layers = [fastnn.Affine(2, 2), fastnn.LeakyRelu(), fastnn.Affine(2, 2)]
    net = fastnn.Network(layers, "mean_squared_error", rng=0)
    net.params["W1"] *= np.float32(1e-39)
    x, t = np.array([[1.0, 2.0], [3.0, -1.0]]), np.zeros((2, 2))
    net.params["b2"] = np.array([1.0, -2.0])
    right = net.gradient(x, t)
    assert 0.0 < np.abs(right["W2"]).max() < 1e-38
    assert fastnn.check_gradients(net, x, t).passed
    for name in ("W1", "b1", "W2"):
        report = fastnn.check_gradients(net, x, t, gradient={**right, name: right[name] * 1.01})
        assert {tensor.name for tensor in report.tensors.values() if tensor.verdict == "differ"} == {name}, report
