"""Dropout: its masks, the way forward and back beside NumPy, and where it is off."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Dropout, Network, Relu, Tanh, reference
from fastnn.engine.interpreters import jobs
from fastnn.kernels.compile import JIT_DISABLED
from tests import shapes

N, D, H, K = 12, 5, 6, 3
X, T = shapes.numbers(1, N, D), shapes.targets("labels", N, K, np.float64)


def mixed(h: Any) -> Any:
    """MurmurHash3's finalizer, in NumPy's integers of 32 bits."""
    h = np.asarray(h).astype(np.uint32)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def mask(seed: int, draw: int, number: int, rows: int, width: int, rate: float) -> Any:
    """The factors of the elements of a batch."""
    key = int(mixed([(int(mixed([seed])[0]) + 0x9E3779B1 * draw) % 2**32])[0])
    own = mixed([(key + 0x85EBCA77 * number) % 2**32])
    kept = mixed(own ^ mixed(np.arange(rows * width))) >= int(rate * 2**32)
    return kept.reshape(rows, width) / (1 - rate)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_masks_keep_what_they_should(rate: float) -> None:
    rows, width = 400, 500
    found = mask(3, 7, 1, rows, width, rate)
    kept = found != 0
    np.testing.assert_allclose(found[kept], 1 / (1 - rate), rtol=1e-15)
    spread = 5 * np.sqrt(rate * (1 - rate) / found.size)
    assert abs(kept.mean() - (1 - rate)) <= spread
    assert abs(kept.mean(axis=0) - (1 - rate)).max() <= 6 * np.sqrt(rate * (1 - rate) / rows)
    assert abs(kept.mean(axis=1) - (1 - rate)).max() <= 6 * np.sqrt(rate * (1 - rate) / width)
    if rate == 0.5:
        signs = 2.0 * kept - 1
        neighbors = [signs[1:] * signs[:-1], signs[:, 1:] * signs[:, :-1], signs[1:, 1:] * signs[:-1, :-1]]
        for products in neighbors:
            assert abs(products.mean()) <= 5 / np.sqrt(products.size)


def test_masks_differ_by_seed_draw_and_operation() -> None:
    masks = [mask(seed, draw, number, 20, 30, 0.5) != 0 for seed in (0, 1) for draw in (0, 1, 2) for number in (2, 5)]
    for i, a in enumerate(masks):
        for b in masks[:i]:
            assert abs(np.mean(a == b) - 0.5) < 0.12


def network(rate: float = 0.4, dtype: str = "float64", **options: Any) -> Network:
    return Network([Affine(D, H), Tanh(), Dropout(rate), Affine(H, K)], rng=0, dtype=dtype, **options)


@pytest.mark.parametrize("batch_size", [1, 5, None])
def test_training_is_that_of_numpy_with_the_same_masks(batch_size: int | None) -> None:
    net = network()
    params = {name: array.copy() for name, array in net.params.items()}
    history = net.fit(X, T, epochs=2, batch_size=batch_size, optimizer=SGD(0.5), shuffle=False, progress=False)
    draw, total = 0, 0.0
    for _ in range(2):
        total = 0.0
        for first in range(0, N, batch_size or N):
            x, t = X[first : first + (batch_size or N)], T[first : first + (batch_size or N)]
            factor = mask(int(net.engine.counters[jobs.SEED]), draw, 2, len(x), H, 0.4)
            hidden = np.tanh(x @ params["W1"] + params["b1"])
            loss, dy = reference.softmax_cross_entropy((hidden * factor) @ params["W2"] + params["b2"], t)
            back = (dy @ params["W2"].T) * factor * (1 - hidden**2)
            gradient = {"W1": x.T @ back, "b1": back.sum(0), "W2": (hidden * factor).T @ dy, "b2": dy.sum(0)}
            reference.sgd_update(params, gradient, 0.5)
            total += loss * len(x)
            draw += 1
    for name, array in net.params.items():
        np.testing.assert_allclose(array, params[name], rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(history.loss[-1], total / N, rtol=1e-12)


def test_it_is_off_but_in_training() -> None:
    net, plain = network(), Network([Affine(D, H), Tanh(), Affine(H, K)], rng=0, dtype="float64")
    for name, array in plain.params.items():
        np.testing.assert_array_equal(array, net.params[name])
    np.testing.assert_array_equal(net.predict(X), plain.predict(X))
    assert net.loss(X, T) == plain.loss(X, T)
    for name, array in net.gradient(X, T).items():
        np.testing.assert_array_equal(array, plain.gradient(X, T)[name])
        # A loss behind one hidden layer is followed by a series, behind two operations by its parts.
        numerical = net.numerical_gradient(X, T)[name], plain.numerical_gradient(X, T)[name]
        np.testing.assert_allclose(*numerical, rtol=1e-9, atol=1e-12)
    assert fastnn.check_gradients(net, X, T).passed
    assert net.step(X, T, SGD(0.0)) != net.loss(X, T)
    with pytest.raises(
        ValueError, match=r"^gradient: expected 'analytic' for a network with Dropout, got 'numerical', which"
    ):
        net.fit(X, T, gradient="numerical", progress=False)


@pytest.mark.skipif(JIT_DISABLED, reason="starts no threads without the compiler")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_on_any_number_of_threads_and_after_loading(dtype: str, tmp_path: Any) -> None:
    x, t = shapes.numbers(3, 60, 40, dtype=dtype), shapes.targets("labels", 60, 10, np.float64)
    found = []
    for parts in (1, 2, 3):
        layers = [Affine(40, 64), Relu(), Dropout(0.2), Affine(64, 64), Dropout(), Affine(64, 10)]
        net = Network(layers, rng=0, dtype=dtype, n_threads=parts)
        for epoch in range(2):
            net.fit(x, t, epochs=1, batch_size=25, optimizer=SGD(0.1), rng=epoch, progress=False)
            if parts > 1:
                net.save(tmp_path / "net.npz")
                net = fastnn.load(tmp_path / "net.npz")
        found.append(b"".join(array.tobytes() for array in net.params.values()))
    assert len(set(found)) == 1


def test_initializing_draws_another_seed() -> None:
    nets = [network(), network()]
    assert nets[0].step(X, T, SGD(0.1)) == nets[1].step(X, T, SGD(0.1))
    before = nets[0].engine.counters[jobs.SEED]
    nets[0].initialize(1)
    assert nets[0].engine.counters[jobs.SEED] != before and nets[0].engine.counters[jobs.DRAWS] == 0


@pytest.mark.parametrize("rate", [1.0, -0.1, np.nan])
def test_refused_rates(rate: float) -> None:
    with pytest.raises(ValueError, match=r"^rate: expected a finite number of at least 0.0 and below 1.0, got"):
        Dropout(rate)
