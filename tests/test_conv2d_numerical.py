"""The whole numerical gradient of the book's SimpleConvNet for one image, against the textbook's loop."""

import time
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Conv2d, Flatten, MaxPool2d, Network, Relu
from fastnn.kernels.compile import JIT_DISABLED

STEP = 1e-4


def simple_conv_net() -> Network:
    layers = [Conv2d(1, 30, 5), Relu(), MaxPool2d(2), Flatten(), Affine(4320, 100), Relu(), Affine(100, 10)]
    return Network(layers, input_shape=(1, 28, 28), rng=0, dtype="float64")


def quotient(net: Network, x: Any, t: Any, p: Any, entry: Any) -> float:
    """(f(p + h) - f(p - h)) / (2 h) for one entry of a parameter, as the book's loop computes it."""
    kept = p[entry]
    p[entry] = kept + STEP
    above = net.loss(x, t)
    p[entry] = kept - STEP
    below = net.loss(x, t)
    p[entry] = kept
    return (above - below) / (2.0 * STEP)


@pytest.mark.skipif(JIT_DISABLED, reason="without the compiler it takes minutes")
def test_the_whole_gradient_of_one_image() -> None:
    """All 433,890 entries, and the plain loop at 200 random ones, as many in each layer."""
    net, rng = simple_conv_net(), np.random.default_rng(0)
    x, t = rng.random((1, 1, 28, 28)), rng.integers(0, 10, 1)
    start = time.perf_counter()
    numerical, analytic = net.numerical_gradient(x, t, h=STEP), net.gradient(x, t)
    assert time.perf_counter() - start < 20.0
    assert sum(part.size for part in numerical.values()) == 433_890
    for name, count in {"W1": 60, "b1": 7, "W2": 60, "b2": 7, "W3": 60, "b3": 6}.items():
        p, found = net.params[name], numerical[name]
        assert found.shape == p.shape
        # A weight of a filter moves 576 outputs, of which some pass a kink; the plain loop sees the same kinks.
        np.testing.assert_allclose(found, analytic[name], rtol=0.0, atol=1e-2 if name == "W1" else 1e-7)
        entries = [np.unravel_index(entry, p.shape) for entry in rng.choice(p.size, count, replace=False)]
        expected = np.array([quotient(net, x, t, p, entry) for entry in entries])
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose([found[entry] for entry in entries], expected, rtol=0.0, atol=1e-9)


@pytest.mark.skipif(JIT_DISABLED, reason="without the compiler it takes minutes")
def test_a_check_of_the_whole_network() -> None:
    net, rng = simple_conv_net(), np.random.default_rng(0)
    assert fastnn.check_gradients(net, rng.random((1, 1, 28, 28)), rng.integers(0, 10, 1)).passed
