"""Network.numerical_gradient against the plain loop in float64: every activation, loss, method and depth."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn.engine.perturbation import METHODS
from fastnn.kernels import addresses, frames
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.layers import Activation, Layer
from tests.crossings import crossed
from tests.shapes import Array
from tests.test_gradients import ACTIVATION_LAYERS, batch_targets
from tests.tolerances import assert_close

H = 1e-4
# The plain loop's own rounding: 1e-16 of a loss of order 1, divided by 2 h.
ROUNDING = 2e-11


def network(
    widths: Sequence[int], activation: Layer, loss: Any, last: bool = False, **arguments: Any
) -> fastnn.Network:
    layers: list[Layer] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [fastnn.Affine(inputs, outputs), activation]
    net = fastnn.Network(layers if last else layers[:-1], loss, rng=3, **{"dtype": "float64", **arguments})
    for name, parameter in net.params.items():
        if name[0] == "b":
            parameter[...] = np.random.default_rng(4).standard_normal(parameter.shape) * 0.1
    return net


def samples(rows: int, inputs: int, zeros: float = 0.4) -> Array:
    generator = np.random.default_rng(5)
    x = generator.standard_normal((rows, inputs))
    x[generator.random(x.shape) < zeros] = 0
    return x


def plain(net: fastnn.Network, x: Array, t: Any, h: float = H) -> dict[str, Array]:
    """The textbook's loop: two whole losses for every parameter."""
    return {name: reference.numerical_gradient(lambda _: net.loss(x, t), p, h) for name, p in net.params.items()}


WIDTHS = [(3, 4), (4, 1), (5, 3, 4), (4, 6, 5, 3)] + ([] if JIT_DISABLED else [(3, 5, 4, 6, 2)])


@crossed(4, activation=ACTIVATION_LAYERS, widths=WIDTHS, kind=["labels", "probabilities", "values"], last=[False, True])
def test_same_as_the_plain_loop(activation: Layer, widths: tuple[int, ...], kind: str, last: bool) -> None:
    if kind != "values" and (widths[-1] == 1 or (last and isinstance(activation, fastnn.Softmax))):
        return  # a network of logits has several, and does not end with Softmax
    loss = "mean_squared_error" if kind == "values" else "softmax_cross_entropy"
    if last and widths[-1] == 1 and isinstance(activation, fastnn.Softmax):
        return  # for one output it is always 1
    net, x = network(widths, activation, loss, last), samples(6, widths[0])
    t = batch_targets(kind, 6, widths[-1], "float64")
    expected, found = plain(net, x, t), net.numerical_gradient(x, t)
    assert list(found) == list(net.params)
    for name in expected:
        assert_close(found[name], expected[name], rtol=1e-9, atol=ROUNDING)


def test_inputs_that_are_never_zero_and_many_outputs() -> None:
    widths = (3, 9, 11) if JIT_DISABLED else (7, 37, 23)
    net, x = network(widths, fastnn.Sigmoid(), "softmax_cross_entropy"), samples(5, widths[0], zeros=0.0)
    t = np.arange(5)
    assert_close(net.numerical_gradient(x, t)["W1"], plain(net, x, t)["W1"], rtol=1e-9, atol=ROUNDING)


@pytest.mark.parametrize("h", [1e-4, 0.3, 5.0])
def test_steps_of_any_size(h: float) -> None:
    """Large changes leave the series of small ones; the quotient is exact all the same."""
    for widths, loss in itertools.product([(4, 3), (4, 5, 3)], ["softmax_cross_entropy", "mean_squared_error"]):
        net, x = network(widths, fastnn.Tanh(), loss), samples(6, 4)
        t = batch_targets("labels" if loss[0] == "s" else "values", 6, 3, "float64")
        expected, found = plain(net, x, t, h), net.numerical_gradient(x, t, h=h)
        for name in expected:
            assert_close(found[name], expected[name], rtol=1e-9, atol=ROUNDING)


@pytest.mark.parametrize("activation", [fastnn.Sigmoid(), fastnn.Tanh(), fastnn.Relu(), fastnn.LeakyRelu(0.2)], ids=str)
@pytest.mark.parametrize("widths", [(4, 5, 3), (4, 6, 5, 3)])
def test_small_steps_lose_no_digits(activation: Activation, widths: tuple[int, ...]) -> None:
    """No two values are subtracted, so the error falls with h squared down to the gradient's own rounding."""
    net, x, t = network(widths, activation, "softmax_cross_entropy"), samples(6, 4), np.arange(6) % 3
    analytic = net.gradient(x, t)
    for name, found in net.numerical_gradient(x, t, h=2.0**-24).items():
        assert_close(found, analytic[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", [fastnn.Sigmoid(), fastnn.Tanh(), fastnn.LeakyRelu(0.2)], ids=str)
def test_small_and_large_changes_side_by_side(activation: Activation) -> None:
    """Inputs of all sizes move one unit by 1e-6 and the next by 10, and slopes of all sizes take that to the loss."""
    net, x = network((3, 9, 4), activation, "softmax_cross_entropy"), samples(8, 3)
    x *= 10.0 ** np.linspace(-3, 2, 8)[:, None]
    net.params["W1"] *= 0.1
    net.params["W2"] *= 10.0 ** np.linspace(-2, 2, 9)[:, None]
    t = batch_targets("probabilities", 8, 4, "float64")
    expected, found = plain(net, x, t, 0.05), net.numerical_gradient(x, t, h=0.05)
    for name in expected:
        assert_close(found[name], expected[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("logit", [-800.0, 800.0])
def test_sure_of_itself_or_quite_wrong(logit: float) -> None:
    net, x, t = network((1, 2), fastnn.Identity(), "softmax_cross_entropy"), np.ones((1, 1)), np.array([0])
    net.params["W1"], net.params["b1"] = np.array([[logit, 0.0]]), np.zeros(2)
    expected = np.array([0.0, 0.0]) if logit > 0 else np.array([-1.0, 1.0])
    for h in (1e-4, 1.0, 900.0):
        found = net.numerical_gradient(x, t, h=h)["b1"]
        if h < 900:
            assert_close(found, expected, rtol=1e-9, atol=1e-12)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("method", METHODS)
def test_methods(method: Any) -> None:
    """Each is nearer to the analytic gradient than its truncation error allows."""
    net, x, t = network((4, 5, 3), fastnn.Tanh(), "softmax_cross_entropy"), samples(6, 4), np.arange(6) % 3
    analytic = net.gradient(x, t)
    allowed = {"forward": 1e-2, "central": 1e-4, "five_point": 1e-8, "richardson": 1e-11}[method]
    errors = []
    for name, found in net.numerical_gradient(x, t, h=1e-2, method=method).items():
        errors.append(np.abs(found - analytic[name]).max())
    assert max(errors) < allowed
    if method != "richardson":
        assert max(errors) > allowed / 1e4  # it is a difference quotient, with its truncation error


def test_the_step_may_be_chosen() -> None:
    net, x, t = network((4, 5, 3), fastnn.Tanh(), "softmax_cross_entropy"), samples(6, 4), np.arange(6) % 3
    net.params["W1"] = net.params["W1"] * 1000
    for method in METHODS:
        for name, found in net.numerical_gradient(x, t, h="auto", method=method).items():  # type: ignore[arg-type]
            assert_close(found, net.gradient(x, t)[name], rtol=1e-5, atol=1e-7)


def test_the_divisor_is_the_step_really_taken() -> None:
    """A parameter of 2^40 moves by 0 or 2^-12, not by 1e-4."""
    net, x, t = network((1, 1), fastnn.Identity(), "mean_squared_error"), np.ones((1, 1)), np.zeros((1, 1))
    net.params["W1"], net.params["b1"] = np.array([[2.0**40]]), np.array([-(2.0**40)])
    found = net.numerical_gradient(x, t, h=3e-4)
    assert_close(found["W1"], np.zeros((1, 1)), atol=1e-15)  # the quotient of a parabola at its lowest point
    found = net.numerical_gradient(x, t + 1, h=3e-4)
    assert_close(found["W1"], np.array([[-1.0]]), rtol=1e-12)


def test_a_kink_has_the_half_slope() -> None:
    net, t = network((2, 1, 1), fastnn.Relu(), "mean_squared_error"), np.zeros((1, 1))
    net.params["W1"], net.params["b1"] = np.zeros((2, 1)), np.zeros(1)
    net.params["W2"], net.params["b2"] = np.array([[3.0]]), np.array([1.0])
    x = np.array([[2.0, 0.0]])
    found = net.numerical_gradient(x, t)
    assert_close(found["W1"], np.array([[3.0 * 2.0 / 2], [0.0]]), rtol=1e-3)
    assert_close(found["b1"], np.array([3.0 / 2]), rtol=1e-3)
    forward = net.numerical_gradient(x, t, method="forward")
    assert_close(forward["b1"], np.array([3.0]), rtol=1e-3)


@pytest.mark.skipif(not JIT_DISABLED, reason="a compiled backward pass cannot be replaced")
def test_it_is_not_the_analytic_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, t = network((4, 5, 3), fastnn.Tanh(), "softmax_cross_entropy"), samples(6, 4), np.arange(6) % 3
    before, analytic = net.numerical_gradient(x, t), net.gradient(x, t)
    backward = fastnn.Tanh.units.backward.address(np.dtype(np.float64))
    functions = [*addresses.FUNCTIONS]
    functions[backward] = lambda frame: frames.flat(frame, frames.D_SOURCE).fill(7)
    monkeypatch.setattr(addresses, "FUNCTIONS", functions)
    assert not np.allclose(net.gradient(x, t)["W1"], analytic["W1"])
    for name, found in net.numerical_gradient(x, t).items():
        assert found.tobytes() == before[name].tobytes()


def test_parameters_and_data_keep_their_bits() -> None:
    net, x, t = network((4, 5, 3), fastnn.Relu(), "softmax_cross_entropy"), samples(6, 4), np.arange(6) % 3
    before = [net.engine.values.tobytes(), x.tobytes(), t.tobytes()]
    net.numerical_gradient(x, t)
    assert [net.engine.values.tobytes(), x.tobytes(), t.tobytes()] == before


def test_float64_whatever_the_network_holds() -> None:
    net = network((4, 5, 3), fastnn.Tanh(), "softmax_cross_entropy", dtype="float32")
    double = network((4, 5, 3), fastnn.Tanh(), "softmax_cross_entropy")
    for name, parameter in net.params.items():
        double.params[name] = parameter.astype(np.float64)
    x, t = samples(6, 4).astype(np.float32), np.arange(6) % 3
    expected = double.numerical_gradient(x.astype(np.float64), t)
    for name, found in net.numerical_gradient(x, t).items():
        assert found.dtype == np.float64
        assert found.tobytes() == expected[name].tobytes()


@pytest.mark.skipif(JIT_DISABLED, reason="needs compiled kernels")
@pytest.mark.parametrize("activation", [fastnn.Relu(), fastnn.Softmax()], ids=str)
def test_same_bits_on_any_number_of_threads(activation: Activation) -> None:
    x, t = samples(300, 40), np.arange(300) % 7
    results = []
    for n in (1, 2):
        net = network((40, 50, 30, 7), activation, "softmax_cross_entropy", n_threads=n)
        found = net.numerical_gradient(x, t)
        results.append([value.tobytes() for value in found.values()])
    assert results[0] == results[1]


@pytest.mark.skipif(JIT_DISABLED, reason="allocates without the compiler")
def test_samples_in_turn_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are taken in turn where the tensors of all would take too much memory."""
    net, x, t = network((4, 5, 3), fastnn.Tanh(), "softmax_cross_entropy"), samples(60, 4), np.arange(60) % 3
    whole = net.numerical_gradient(x, t)
    monkeypatch.setattr("fastnn.engine.perturbation.TENSOR_BYTES", 8 * net.engine.columns * 7)
    for name, found in net.numerical_gradient(x, t).items():
        assert found.tobytes() == whole[name].tobytes()


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, t = network((4, 6, 5, 3), fastnn.Sigmoid(), "softmax_cross_entropy"), samples(9, 4), np.arange(9) % 3
    whole = net.numerical_gradient(x, t)
    for size in (1, 40, 100):
        monkeypatch.setattr("fastnn.engine.perturbation.BLOCK_SIZE", size)
        for name, found in net.numerical_gradient(x, t).items():
            assert found.tobytes() == whole[name].tobytes()


@pytest.mark.parametrize("operations", [1.0, 2e4, 1e5])
def test_calls_of_any_length_give_the_same(operations: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are short enough for Ctrl-C: in a wide network they take part of the outputs and inputs at once."""
    net, x, t = network((4, 6, 5, 3), fastnn.Sigmoid(), "softmax_cross_entropy"), samples(9, 4), np.arange(9) % 3
    whole = net.numerical_gradient(x, t)
    monkeypatch.setattr("fastnn.engine.perturbation.FIRST_FLOP", operations)
    monkeypatch.setattr("fastnn.engine.perturbation.SECONDS_PER_CALL", 0.0)
    for name, found in net.numerical_gradient(x, t).items():
        assert found.tobytes() == whole[name].tobytes()


def test_one_parameter_alone() -> None:
    net, x, t = network((4, 5, 3), fastnn.Tanh(), "softmax_cross_entropy"), samples(6, 4), np.arange(6) % 3
    whole = net.numerical_gradient(x, t)
    for name in net.params:
        found, _ = net.engine.perturbation(net.engine.prepare(x, t, True)).gradient(only=name)
        assert list(found) == [name]
        assert found[name].tobytes() == whole[name].tobytes()


def test_nan_passes_through() -> None:
    net, x, t = network((4, 5, 3), fastnn.Relu(), "softmax_cross_entropy"), samples(6, 4), np.arange(6) % 3
    x[0, 0] = np.nan
    assert np.isnan(net.numerical_gradient(x, t, check_finite=False)["W1"][0]).all()
    with pytest.raises(ValueError, match=r"^x: expected finite values, got nan at x\[0, 0\]"):
        net.numerical_gradient(x, t)


def test_training_by_numerical_gradient_alone() -> None:
    x, t = samples(60, 4, zeros=0.2), np.arange(60) % 3
    x[np.arange(60), t] += 2
    losses = {}
    for gradient in ("analytic", "numerical"):
        net = network((4, 5, 3), fastnn.Tanh(), "softmax_cross_entropy")
        optimizer = fastnn.Momentum(lr=0.05)
        epochs = 2 if JIT_DISABLED else 5
        history = net.fit(
            x, t, epochs=epochs, batch_size=16, optimizer=optimizer, rng=0, gradient=gradient, progress=False
        )
        losses[gradient] = history.loss
        assert math.isclose(history.accuracy[-1], round(history.accuracy[-1] * 60) / 60)
    np.testing.assert_allclose(losses["numerical"], losses["analytic"], rtol=1e-7)
    assert losses["numerical"][-1] < losses["numerical"][0]
    with pytest.raises(ValueError, match=r"^gradient: expected one of 'analytic', 'numerical', got 'numeric'"):
        net.fit(x, t, gradient="numeric")  # type: ignore[arg-type]


@pytest.mark.parametrize("logits", [(25.0, 0.0), (30.0, 0.0), (330.0, 300.0)])
def test_a_sure_network_with_large_inputs(logits: tuple[float, float]) -> None:
    """A large change of the logits at a loss of nearly 0 is exact, unlike the plain loop's."""
    net = fastnn.Network([fastnn.Affine(1, 2)], rng=0, dtype="float64")
    x, t = np.array([[255.0]]), np.array([0])
    net.params["W1"] = np.array([logits]) / 255.0
    found = net.numerical_gradient(x, t)["W1"][0]
    gap = np.longdouble(logits[0]) - np.longdouble(logits[1])
    step = np.longdouble(255) * np.longdouble(1e-4)
    losses = [np.log1p(np.exp(-gap - sign * step)) for sign in (1, -1)]
    expected = float((losses[0] - losses[1]) / np.longdouble(2e-4))
    np.testing.assert_allclose(found, [expected, -expected], rtol=1e-9)


def test_columns_of_all_sizes_have_the_same_bits_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small and large changes of the loss side by side in one block."""
    generator, width, rows = np.random.default_rng(2), *((10, 12) if JIT_DISABLED else (40, 30))
    net = fastnn.Network([fastnn.Affine(3, width), fastnn.Tanh(), fastnn.Affine(width, 10)], rng=0, dtype="float64")
    net.params["W2"] *= 10.0 ** generator.uniform(-2, 3, (width, 1))
    x = generator.normal(size=(rows, 3)) * 10.0 ** generator.uniform(-2, 2, (rows, 1))
    t = generator.integers(0, 10, rows)
    expected = {name: value.tobytes() for name, value in net.numerical_gradient(x, t).items()}
    for parts, flop, size in ((1, 1e3, 1 << 16), (2, 1e5, 1 << 12), (2, 2e8, 1 << 9)):
        net.n_threads = parts
        monkeypatch.setattr("fastnn.engine.perturbation.FIRST_FLOP", flop)
        monkeypatch.setattr("fastnn.engine.perturbation.BLOCK_SIZE", size)
        assert {name: value.tobytes() for name, value in net.numerical_gradient(x, t).items()} == expected


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "mean_squared_error"])
def test_a_loss_that_is_not_finite_makes_all_quotients_nan(loss: Any) -> None:
    net = fastnn.Network([fastnn.Affine(3, 2)], loss, rng=0, dtype="float64")
    x = np.random.default_rng(1).normal(size=(4, 3))
    x[2] = [np.nan, 0.0, 1.0]
    t = np.zeros(4, int) if loss == "softmax_cross_entropy" else np.zeros((4, 2))
    for value in net.numerical_gradient(x, t, check_finite=False).values():
        assert np.isnan(value).all()
