"""Every activation inside a network: its gradient against difference quotients, value and gradient beside PyTorch's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Network
from fastnn.layers import LAYERS, Activation
from tests import shapes

N, D, H, K = 9, 5, 6, 3
X, T = shapes.numbers(1, N, D), shapes.targets("labels", N, K, np.float64)
KINDS = [layer for layer in LAYERS.values() if issubclass(layer, Activation)]


def network(layer: Any) -> Network:
    return Network([Affine(D, H, 1.0), layer, Affine(H, K, 1.0)], rng=0, dtype="float64")


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_inside_a_network(kind: type[Activation]) -> None:
    report = fastnn.check_gradients(network(kind()), X, T)
    assert report.passed, str(report)


def in_torch(name: str) -> Callable[[Any], Any]:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    formulas: dict[str, Callable[[Any], Any]] = {
        "identity": lambda x: x,
        "step": lambda x: (x > 0).to(x.dtype) + 0.0 * x,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "leaky_relu": lambda x: functional.leaky_relu(x, 0.01),
        "elu": functional.elu,
        "gelu": functional.gelu,
        "silu": functional.silu,
        "softplus": functional.softplus,
        "softmax": lambda x: torch.softmax(x, 1),
    }
    return formulas.get(name) or pytest.skip(f"{name} has no formula in PyTorch here")


@pytest.mark.parametrize("kind", KINDS)
def test_value_and_gradient_are_those_of_torch(kind: type[Activation]) -> None:
    torch = pytest.importorskip("torch")
    net = network(kind())
    params = {name: torch.tensor(array, requires_grad=True) for name, array in net.params.items()}
    hidden = in_torch(kind.activation)(torch.tensor(X) @ params["W1"] + params["b1"])
    y = hidden @ params["W2"] + params["b2"]
    value = torch.nn.functional.cross_entropy(y, torch.tensor(T))
    value.backward()
    np.testing.assert_allclose(net.predict(X), y.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(net.loss(X, T), value.item(), rtol=1e-12)
    for name, array in net.gradient(X, T).items():
        np.testing.assert_allclose(array, params[name].grad.numpy(), rtol=1e-9, atol=1e-13)
