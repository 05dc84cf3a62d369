"""Numerical gradients where formulas could cancel or overflow: confident outputs, saturated units, huge weights."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

import fastnn
from tests.shapes import Array
from tests.tolerances import assert_close

H = 2.0**-24


def slope(activation: Any, x: Array) -> Array:
    """The derivative, without a difference of nearly equal numbers."""
    if isinstance(activation, fastnn.Relu):
        return (x > 0).astype(np.float64)
    scale = 1.0 if isinstance(activation, fastnn.Sigmoid) else 2.0
    e = np.exp(-scale * np.abs(x))
    found: Array = scale * scale * e / (1 + e) ** 2
    return found


def gradients(net: fastnn.Network, activation: Any, x: Array, target: int) -> dict[str, Array]:
    """Those of affine layers with an activation between them for one row x, without differences of outputs from 1."""
    affine = len(net.params) // 2
    inputs, sums = [x], []
    for n in range(1, affine + 1):
        sums.append(inputs[-1] @ net.params[f"W{n}"] + net.params[f"b{n}"])
        inputs.append(fastnn.activation_forward(type(activation).activation, sums[-1]))
    logits = sums[-1][0]
    p = np.exp(logits - logits.max())
    p /= p.sum()
    others = np.arange(p.size) != target
    delta = np.where(others, p, -p[others].sum())[None]
    last = net.params[f"W{affine}"]
    below = ((last[:, others] - last[:, [target]]) @ p[others])[None]
    found = {}
    for n in range(affine, 0, -1):
        if n < affine:
            delta = (below if n == affine - 1 else delta @ net.params[f"W{n + 1}"].T) * slope(activation, sums[n - 1])
        found[f"W{n}"], found[f"b{n}"] = inputs[n - 1].T @ delta, delta[0]
    return found


def network(widths: tuple[int, ...], activation: Any, **arguments: Any) -> fastnn.Network:
    layers = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [fastnn.Affine(inputs, outputs), activation]
    return fastnn.Network(layers[:-1], rng=2, dtype="float64", **arguments)


@pytest.mark.parametrize("widths", [(3, 4), (3, 5, 4), (3, 5, 6, 4)], ids=str)
@pytest.mark.parametrize("activation", [fastnn.Sigmoid(), fastnn.Tanh(), fastnn.Relu()], ids=str)
@pytest.mark.parametrize("sure", [0.0, 20.0, 40.0])
def test_confident_outputs(widths: tuple[int, ...], activation: Any, sure: float) -> None:
    """However near to 1 the target's probability is, the quotient has all digits."""
    net, x, target = network(widths, activation), np.array([[0.5, -1.0, 0.75]]), 2
    net.params[f"b{len(widths) - 1}"][target] = sure
    expected, found = gradients(net, activation, x, target), net.numerical_gradient(x, np.array([target]), h=H)
    for name, value in expected.items():
        assert_close(found[name], value, rtol=1e-11, atol=1e-13 * np.abs(value).max())


@pytest.mark.parametrize("at", [-15.0, -8.0, -2.0, 0.0, 2.0, 8.0, 15.0])
@pytest.mark.parametrize("activation", [fastnn.Sigmoid(), fastnn.Tanh()], ids=str)
def test_saturated_units(activation: Any, at: float) -> None:
    """1 - y has the digits that the forward pass leaves it: 1e-16 of 1, not of itself."""
    net, x, target = network((1, 1, 1, 2), activation), np.ones((1, 1)), 0
    net.params["W1"], net.params["b1"] = np.array([[0.5]]), np.array([0.25])
    net.params["W2"], net.params["b2"] = np.array([[1.0]]), np.array([at])
    expected, found = gradients(net, activation, x, target), net.numerical_gradient(x, np.array([target]), h=H)
    exponent = max(at + 1, 0.0) if isinstance(activation, fastnn.Sigmoid) else 2 * (abs(at) + 1)
    lost = 2.0**-53 * math.exp(exponent)
    for name in ("W1", "b1", "b2", "W2"):
        assert expected[name].all() and math.isfinite(expected[name].sum())
        assert_close(found[name], expected[name], rtol=1e-11 + lost, atol=0)


@pytest.mark.filterwarnings("ignore::fastnn.PrecisionWarning")  # of the huge weights' own quotients
@pytest.mark.parametrize("size", [1e40, 1e50, 1e150, 1e300])
def test_a_unit_that_does_not_move_before_huge_weights(size: float) -> None:
    """Powers of such slopes overflow, and infinity times a change of 0 is no change."""
    net = network((3, 4, 3), fastnn.Relu())
    net.params["W1"][:, 1], net.params["b1"][1] = 0.0, -50.0
    net.params["W2"][1] *= size
    x, t = np.random.default_rng(5).normal(size=(2, 3)), np.arange(2)
    analytic = net.gradient(x, t)
    for name, found in net.numerical_gradient(x, t, h=H).items():
        assert_close(found, analytic[name], rtol=1e-11, atol=1e-13)
