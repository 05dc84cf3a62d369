"""Numerical gradients by the slopes behind later operations: kinks that changes cross, and elements on a kink."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.engine.interpreters import jobs
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.layers import Layer
from tests.shapes import Array
from tests.test_gradients import ACTIVATION_LAYERS
from tests.test_perturbation import ROUNDING, network, plain, samples
from tests.tolerances import assert_close

HOMOGENEOUS = [fastnn.Relu(), fastnn.LeakyRelu(0.2), fastnn.LeakyRelu(-1.5), fastnn.PRelu(0.3), fastnn.Identity()]
LOSS: Any = "softmax_cross_entropy"


@pytest.mark.parametrize("layer", [*ACTIVATION_LAYERS, fastnn.PRelu(0.3)], ids=str)
def test_homogeneous_layers_are_so(layer: Layer) -> None:
    net = fastnn.Network([layer], "mean_squared_error", input_shape=6, dtype="float64")
    x = np.random.default_rng(1).standard_normal((50, 6))
    is_so = all(np.allclose(net.predict(c * x), c * net.predict(x), rtol=1e-12, atol=0) for c in (0.01, 3.0))
    assert layer.is_homogeneous == is_so


def places(net: fastnn.Network, x: Array, t: Any) -> list[bool]:
    """Which operations have a place in "along"."""
    return [bool(place >= 0) for place in net.engine.perturbation(net.engine.prepare(x, t, True)).table[:, jobs.ALONG]]


@pytest.mark.parametrize("h", [1e-6, 1e-4, 0.1, 3.0])
@pytest.mark.parametrize("activation", HOMOGENEOUS, ids=str)
def test_steps_that_cross_kinks(activation: Layer, h: float) -> None:
    """Small steps cross none, large ones some or most of them, in the next hidden layer or in a later one."""
    net, x, t = network((4, 6, 5, 7, 3), activation, LOSS), samples(8, 4), np.arange(8) % 3
    assert places(net, x, t) == [False, False, True, False, True, False, True]
    expected, found = plain(net, x, t, h), net.numerical_gradient(x, t, h=h)
    for name in expected:
        assert_close(found[name], expected[name], rtol=1e-9, atol=ROUNDING * 1e-4 / min(h, 1e-4))


@pytest.mark.parametrize("activation", [fastnn.Relu(), fastnn.LeakyRelu(0.2), fastnn.PRelu(0.3)], ids=str)
def test_units_that_stand_on_a_kink(activation: Layer) -> None:
    """Without biases, a sample of zeros has all units at 0; one layer has some there for other samples, too."""
    net, x, t = network((4, 6, 5, 3), activation, LOSS), samples(8, 4), np.arange(8) % 3
    for name, parameter in net.params.items():
        parameter[...] = 0.0 if name[0] == "b" else parameter
    net.params["W2"][:, 1] = 0.0
    x[::3] = 0.0
    expected, found = plain(net, x, t), net.numerical_gradient(x, t)
    for name in expected:
        assert_close(found[name], expected[name], rtol=1e-9, atol=ROUNDING)


def test_activations_of_several_kinds() -> None:
    """What follows a nonlinear activation goes along slopes; what precedes it is followed through the operations."""
    layers = [fastnn.Affine(4, 6), fastnn.Relu(), fastnn.Affine(6, 5), fastnn.Tanh(), fastnn.Affine(5, 6)]
    layers += [fastnn.LeakyRelu(0.5), fastnn.Relu(), fastnn.Affine(6, 4), fastnn.Affine(4, 3)]
    net, x, t = fastnn.Network(layers, LOSS, rng=1, dtype="float64"), samples(8, 4), np.arange(8) % 3
    assert places(net, x, t) == [False, False, False, False, True, False, False, True, True]
    for h in (1e-4, 0.5):
        expected, found = plain(net, x, t, h), net.numerical_gradient(x, t, h=h)
        for name in expected:
            assert_close(found[name], expected[name], rtol=1e-9, atol=ROUNDING)


@pytest.mark.filterwarnings("ignore::fastnn.PrecisionWarning")  # the step is lost in the huge weights
@pytest.mark.parametrize("huge", [1e155, 1e300])
def test_units_before_huge_weights_that_do_not_move(huge: float) -> None:
    """Slopes that overflow belong to units that are off; the others keep their quotients."""
    net, x, t = network((4, 6, 5, 3), fastnn.Relu(), LOSS), np.abs(samples(8, 4)) + 0.1, np.arange(8) % 3
    net.params["W1"][:, 2], net.params["b1"][2] = -1.0, -1.0
    before = net.numerical_gradient(x, t)
    net.params["W2"][2] = huge
    found = net.numerical_gradient(x, t)
    for name in before:
        assert_close(found[name], before[name], rtol=1e-9, atol=ROUNDING)


@pytest.mark.skipif(JIT_DISABLED, reason="needs compiled kernels")
@pytest.mark.parametrize("h", [1e-4, 0.03])
def test_same_bits_however_columns_are_cut(h: float, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, t = network((20, 30, 25, 7), fastnn.Relu(), LOSS), samples(60, 20), np.arange(60) % 7
    whole = net.numerical_gradient(x, t, h=h)
    for threads, size in ((1, 1 << 16), (2, 1), (2, 200), (2, 999)):
        net = network((20, 30, 25, 7), fastnn.Relu(), LOSS, n_threads=threads)
        monkeypatch.setattr("fastnn.engine.perturbation.BLOCK_SIZE", size)
        for name, found in net.numerical_gradient(x, t, h=h).items():
            assert found.tobytes() == whole[name].tobytes()


def test_samples_in_turn_where_slopes_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, t = network((4, 6, 5, 3), fastnn.Relu(), LOSS), samples(9, 4), np.arange(9) % 3
    whole = net.numerical_gradient(x, t)
    monkeypatch.setattr("fastnn.engine.perturbation.MOST_FLOP", 1.0)
    for name, found in net.numerical_gradient(x, t).items():
        assert_close(found, whole[name], rtol=1e-13, atol=1e-18)
