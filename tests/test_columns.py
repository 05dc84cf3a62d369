"""Every layer with parameters for each column against its NumPy twin; one that is added is found here by its file."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Network, reference
from fastnn.operations import LAYERS, name_of
from fastnn.operations.columns import ColumnLayer
from tests import shapes
from tests.tolerances import assert_close

KINDS = [kind for kind in LAYERS.values() if issubclass(kind, ColumnLayer)]
N, D, H, K = 13, 4, 7, 3


def numbers(layer: Any) -> dict[str, float]:
    """The initial values of its parameters."""
    return {one.name: getattr(layer, one.name) for one in fields(layer) if not one.kw_only}


def problem(kind: Any, dtype: str) -> tuple[Network, Any, Any]:
    """A network with one such layer, whose units have parameters of their own, and data."""
    net = Network([Affine(D, H), kind(), Affine(H, K)], rng=0, dtype=dtype)
    for name in numbers(kind()):
        net.params[f"{name}1"] += 0.1 * np.arange(H) - 0.2
    return net, shapes.numbers(1, N, D, dtype=np.dtype(dtype).type), shapes.targets("labels", N, K, np.float64)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_its_twin(kind: Any, dtype: str) -> None:
    assert numbers(kind()) == reference.UNITS[name_of(kind)].parameters
    net, x, t = problem(kind, dtype)
    params = {name: array.astype(np.float64) for name, array in net.params.items()}
    exact, words = x.astype(np.float64), [("affine", D, H), (name_of(kind),), ("affine", H, K)]
    loss, gradient = reference.network_gradient(words, params, exact, t)
    assert_close(net.predict(x), reference.network_forward(words, params, exact), dtype)
    assert_close(net.loss(x, t), loss, dtype)
    found = net.gradient(x, t)
    assert found.keys() == gradient.keys()
    for name, array in found.items():
        assert_close(array, gradient[name], dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_its_gradients_agree(kind: Any) -> None:
    net, x, t = problem(kind, "float64")
    report = fastnn.check_gradients(net, x, t)
    assert report.passed, report
    numerical = net.numerical_gradient(x, t, 1e-6)
    for name, array in net.gradient(x, t).items():
        assert_close(numerical[name], array, rtol=1e-6, atol=1e-8)
