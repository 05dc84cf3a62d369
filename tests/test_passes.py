"""The outputs of each layer, and a user's own gradients taken backward."""

import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, BatchNorm, Dropout, Network, PRelu, Regularization, Relu, Sigmoid, Tanh
from tests import shapes
from tests.tolerances import assert_close

N, D, H, K = 30, 7, 6, 4


def network(dtype: str = "float64") -> Network:
    layers = [Affine(D, H), Tanh(), BatchNorm(), PRelu(), Dropout(0.5), Affine(H, K)]
    return Network(layers, rng=0, dtype=dtype, regularization=Regularization(l2=0.1))


def samples(dtype: str = "float64") -> Any:
    return shapes.numbers(1, N, D, dtype=np.dtype(dtype).type)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_of_layers(dtype: str) -> None:
    net, x = network(dtype), samples(dtype)
    found = net.outputs_of_layers(x)
    assert [array.shape for array in found] == [(N, H)] * 5 + [(N, K)]
    assert found[-1].tobytes() == net.predict(x).tobytes()
    assert found[0].tobytes() == fastnn.affine_forward(x, net.params["W1"].copy(), net.params["b1"].copy()).tobytes()
    assert_close(found[1], np.tanh(found[0].astype(np.float64)), dtype)
    assert found[4].tobytes() == found[3].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_a_loss_of_fastnn(dtype: str) -> None:
    """Taken backward by hand, it equals `gradient` but for the regularization."""
    net, x, t = network(dtype), samples(dtype), np.arange(N) % K
    plain = Network(net.layers, rng=0, dtype=dtype)
    dy = fastnn.softmax_cross_entropy(net.predict(x), t)[1]
    found = net.backward(x, dy)
    for name, array in plain.gradient(x, t).items():
        assert found[name].tobytes() == array.tobytes(), name


def test_the_gradient_by_the_data() -> None:
    net, x = Network([Affine(D, H), Sigmoid(), Affine(H, K)], rng=0, dtype="float64"), samples()
    dy = shapes.numbers(2, N, K)
    _, dx = net.backward(x, dy, need_dx=True)
    for n, i in ((0, 0), (5, 3), (N - 1, D - 1)):
        sums = []
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[n, i] += step
            sums.append(float((net.predict(moved) * dy).sum()))
        assert_close(dx[n, i], (sums[0] - sums[1]) / 2e-5, rtol=1e-7)


def test_zeros_of_the_data_and_the_network_afterwards() -> None:
    net = Network([Affine(200, 20), Relu(), Affine(20, K)], rng=0)
    x = np.where(shapes.numbers(1, 100, 200) > 1.0, 1.0, 0.0).astype(np.float32)
    dy, before = shapes.numbers(2, 100, K, dtype=np.float32), net.predict(x).tobytes()
    found = net.backward(x, dy)
    hidden = net.outputs_of_layers(x)[1]
    assert_close(found["W2"], hidden.T.astype(np.float64) @ dy, "float32")
    assert net.predict(x).tobytes() == before


def test_refusals() -> None:
    net = network()
    with pytest.raises(
        ValueError, match=f"^{re.escape(f'dy: expected a float64 array of shape ({N}, {K}), got shape')}"
    ):
        net.backward(samples(), np.zeros((N, K + 1)))
    with pytest.raises(
        ValueError, match=r"^x: expected finite values, got nan at x\[0, 0\]; correct the data, or pass check"
    ):
        net.outputs_of_layers(np.full((2, D), np.nan))


def test_what_is_not_finite() -> None:
    net, x = network(), samples()
    dy = np.full((N, K), np.nan)
    with pytest.raises(ValueError, match=r"^dy: expected finite values, got nan at dy\[0, 0\]"):
        net.backward(x, dy)
    assert np.isnan(net.backward(x, dy, check_finite=False)["W1"]).all()


def test_outputs_of_no_rows() -> None:
    net = network()
    assert [array.shape for array in net.outputs_of_layers(np.empty((0, D)))] == [(0, H)] * 5 + [(0, K)]
