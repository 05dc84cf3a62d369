"""Dropout2d: its masks of channels, the way forward and back beside NumPy, and where it is off."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Conv2d, Dropout2d, Flatten, Network, Tanh, reference
from fastnn.engine.interpreters import jobs
from tests import shapes
from tests.test_dropout import mask

N, K, SHAPE = 12, 3, (4, 3, 5)
X, T = shapes.numbers(1, N, *SHAPE), shapes.targets("labels", N, K, np.float64)


def network(rate: float = 0.4, dtype: str = "float64", **options: Any) -> Network:
    layers = [Tanh(), Dropout2d(rate), Flatten(), Affine(60, K)]
    return Network(layers, rng=0, dtype=dtype, input_shape=SHAPE, **options)


@pytest.mark.parametrize("batch_size", [1, 5, None])
def test_training_is_that_of_numpy_with_the_same_masks(batch_size: int | None) -> None:
    """A channel is kept or dropped whole, as its number in the batch says."""
    net = network()
    params = {name: array.copy() for name, array in net.params.items()}
    history = net.fit(X, T, epochs=2, batch_size=batch_size, optimizer=SGD(0.5), shuffle=False, progress=False)
    draw, total = 0, 0.0
    for _ in range(2):
        total = 0.0
        for first in range(0, N, batch_size or N):
            x, t = X[first : first + (batch_size or N)], T[first : first + (batch_size or N)]
            factor = mask(int(net.engine.counters[jobs.SEED]), draw, 1, len(x), SHAPE[0], 0.4)
            hidden = (np.tanh(x) * factor[:, :, None, None]).reshape(len(x), -1)
            loss, dy = reference.softmax_cross_entropy(hidden @ params["W1"] + params["b1"], t)
            reference.sgd_update(params, {"W1": hidden.T @ dy, "b1": dy.sum(0)}, 0.5)
            total += loss * len(x)
            draw += 1
    for name, array in net.params.items():
        np.testing.assert_allclose(array, params[name], rtol=1e-9, atol=1e-11, err_msg=name)
    np.testing.assert_allclose(history.loss[-1], total / N, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_takes_the_same_masks(dtype: str) -> None:
    """A filter whose channel is dropped for all images does not move; the others move as in NumPy."""
    layers = [Conv2d(4, 6, 2), Dropout2d(0.5), Flatten(), Affine(48, K)]
    net = Network(layers, rng=0, dtype=dtype, input_shape=SHAPE)
    before = {name: array.astype(np.float64) for name, array in net.params.items()}
    x, t = X[:2].astype(dtype), T[:2]
    net.step(x, t, SGD(1.0))
    factor = mask(int(net.engine.counters[jobs.SEED]), 0, 1, 2, 6, 0.5)
    assert ((factor == 0).all(axis=0)).any() and (factor != 0).any()
    wide = x.astype(np.float64)
    hidden = reference.conv2d_forward(wide, before["W1"], before["b1"]) * factor[:, :, None, None]
    _, dy = reference.softmax_cross_entropy(hidden.reshape(2, -1) @ before["W2"] + before["b2"], t)
    back = (dy @ before["W2"].T).reshape(hidden.shape) * factor[:, :, None, None]
    _, dW, db = reference.conv2d_backward(back, wide, before["W1"])
    tolerance: Any = {"rtol": 1e-3, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(net.params["W1"], before["W1"] - dW, **tolerance)
    np.testing.assert_allclose(net.params["b1"], before["b1"] - db, **tolerance)


def test_it_is_off_outside_training() -> None:
    net, plain = network(), network(0.0)
    assert net.predict(X).tobytes() == plain.predict(X).tobytes() and net.loss(X, T) == plain.loss(X, T)
    assert net.gradient(X, T)["W1"].tobytes() == plain.gradient(X, T)["W1"].tobytes()
    assert fastnn.check_gradients(net, X, T).verdict == "agree"


def test_the_same_bits_on_any_number_of_threads() -> None:
    found = set()
    for parts in (1, 2, 3):
        net = network(n_threads=parts)
        net.fit(X, T, epochs=3, batch_size=5, rng=0, progress=False)
        found.add(net.engine.values.tobytes())
    assert len(found) == 1


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"layers\[1\]: expected images .* for Dropout2d\(0\.5\)"):
        Network([Affine(4, 3), Dropout2d()])
    with pytest.raises(ValueError, match=r"^rate: expected a finite number of at least 0.0 and below 1.0, got 1"):
        Dropout2d(1.0)
