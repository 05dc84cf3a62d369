"""Pre-training against machines and autoencoders trained by hand, and what it is good for."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.models import RestrictedBoltzmannMachine, pretrain
from tests.shapes import Array
from tests.tolerances import assert_close

OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 4, "lr": 0.2, "momentum": 0.7}


def deep(activation: Callable[[], Any] = fastnn.Sigmoid, dtype: str = "float64", **options: Any) -> fastnn.Network:
    layers = [fastnn.Affine(9, 6), activation(), fastnn.Affine(6, 5), activation(), fastnn.Affine(5, 3)]
    return fastnn.Network(layers, rng=1, dtype=dtype, **options)


def samples(rows: int = 20, columns: int = 9) -> Array:
    return np.random.default_rng(2).random((rows, columns))


def test_a_deep_belief_network_is_a_stack_of_machines() -> None:
    net, x, rng = deep(), samples(), np.random.default_rng(7)
    output = net.params["W3"].copy()
    errors = pretrain(net, x, k=2, rng=7, **OPTIONS)
    first = RestrictedBoltzmannMachine(9, 6, rng=rng, dtype="float64")
    assert errors[0] == first.fit(x, k=2, **OPTIONS)
    second = RestrictedBoltzmannMachine(6, 5, rng=rng, dtype="float64")
    assert_close(np.array(errors[1]), np.array(second.fit(first.transform(x), k=2, **OPTIONS)))
    for n, machine in ((1, first), (2, second)):
        assert_close(net.params[f"W{n}"], machine.weights)
        assert_close(net.params[f"b{n}"], machine.hidden_bias)
    np.testing.assert_array_equal(net.params["W3"], output)
    np.testing.assert_array_equal(net.params["b3"], 0.0)
    assert_close(net.outputs_of_layers(x)[3], second.transform(first.transform(x)))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_autoencoders_equal_numpy(activation: str) -> None:
    """One batch of all samples, so that their order decides nothing; the decoder's weights are the drawn ones."""
    net, inputs = deep(getattr(fastnn, activation.capitalize())), samples()
    weights, rng = {name: value.copy() for name, value in net.params.items()}, np.random.default_rng(7)
    errors = pretrain(net, inputs, method="autoencoder", rng=7, epochs=4, batch_size=20, lr=0.1, momentum=0.6)
    for n, (D, H) in enumerate(((9, 6), (6, 5)), start=1):
        drawn = fastnn.Network([fastnn.Affine(D, H), fastnn.Sigmoid(), fastnn.Affine(H, D)], rng=rng, dtype="float64")
        layers = [("affine", D, H), (activation,), ("affine", H, D)]
        params = {"W1": weights[f"W{n}"], "b1": weights[f"b{n}"], "W2": drawn.params["W2"], "b2": np.zeros(D)}
        changes, plain_errors = {name: np.zeros_like(value) for name, value in params.items()}, []
        for _ in range(4):
            rng.permutation(20)
            loss, gradients = reference.network_gradient(layers, params, inputs, inputs, "mean_squared_error")
            plain_errors.append(2 * loss / D)
            changes = {name: 0.6 * changes[name] - 0.1 * gradients[name] for name in params}
            params = {name: params[name] + changes[name] for name in params}
        assert_close(np.array(errors[n - 1]), np.array(plain_errors))
        assert_close(net.params[f"W{n}"], params["W1"])
        assert_close(net.params[f"b{n}"], params["b1"])
        inputs = reference.activation_forward(activation, inputs @ params["W1"] + params["b1"])


def test_dropout_makes_an_autoencoder_denoise() -> None:
    """Before a layer it hides inputs in training; the machines leave it out."""
    x, coder = samples(), [fastnn.Dropout(0.4), fastnn.Affine(9, 6), fastnn.Sigmoid()]
    net = fastnn.Network([*coder, fastnn.Dropout(0.2), fastnn.Affine(6, 3)], rng=1, dtype="float64", input_shape=9)
    rng = np.random.default_rng(7)
    both = fastnn.Network(
        [*coder, fastnn.Affine(6, 9)], "mean_squared_error", rng=rng, dtype="float64", input_shape=(9,)
    )
    both.params.update(W1=net.params["W1"], b1=net.params["b1"])
    options = {name: OPTIONS[name] for name in ("epochs", "batch_size")}
    history = both.fit(x, x, rng=rng, optimizer=fastnn.Momentum(0.2, 0.7), progress=False, **options)
    errors = pretrain(net, x, method="autoencoder", rng=7, **OPTIONS)
    assert errors == [[2 * loss / 9 for loss in history.loss]]
    np.testing.assert_array_equal(net.params["W1"], both.params["W1"])
    machine = RestrictedBoltzmannMachine(9, 6, rng=7, dtype="float64")
    assert pretrain(net, x, rng=7, **OPTIONS) == [machine.fit(x, **OPTIONS)]


def test_batch_normalization_and_slopes_are_trained_with_their_layer() -> None:
    """Beside autoencoders by hand; the second one's inputs go through what the first one's have learned."""
    hidden = [[fastnn.Affine(9, 6), fastnn.BatchNorm(), fastnn.PRelu()], [fastnn.Affine(6, 5), fastnn.PRelu()]]
    net = fastnn.Network([*hidden[0], *hidden[1], fastnn.Affine(5, 3)], rng=1, dtype="float64")
    x, rng, before, expected = samples(), np.random.default_rng(7), net.params.copy(), []
    inputs, values = x, iter([before[name] for name in ("W1", "b1", "W2", "b2")])
    options = {name: OPTIONS[name] for name in ("epochs", "batch_size")}
    trained: list[Any] = []
    for layers, (D, H) in zip(hidden, ((9, 6), (6, 5)), strict=True):
        both = fastnn.Network([*layers, fastnn.Affine(H, D)], "mean_squared_error", rng=rng, dtype="float64")
        both.params.update(W1=next(values), b1=next(values))
        history = both.fit(inputs, inputs, rng=rng, optimizer=fastnn.Momentum(0.2, 0.7), progress=False, **options)
        expected.append([2 * loss / D for loss in history.loss])
        inputs = both.outputs_of_layers(inputs)[len(layers) - 1]
        trained.append(both)
    assert pretrain(net, x, method="autoencoder", rng=7, **OPTIONS) == expected
    for n, both in enumerate(trained, start=1):
        for name in ("W", "b", "slope"):
            np.testing.assert_array_equal(net.params[f"{name}{n}"], both.params[f"{name}1"])
    for name in ("gamma1", "beta1"):
        np.testing.assert_array_equal(net.params[name], trained[0].params[name])
    for name, statistic in trained[0].statistics.items():
        np.testing.assert_array_equal(net.statistics[name], statistic)
    np.testing.assert_array_equal(net.params["W3"], before["W3"])


@pytest.mark.parametrize("method", ["rbm", "autoencoder"])
def test_frozen_layers_stay(method: str) -> None:
    net = deep()
    before = net.params.copy()
    net.change_layers(0, trainable=False)
    assert len(pretrain(net, samples(), method=method, rng=0, **OPTIONS)) == 1
    for name, stays in (("W1", True), ("b1", True), ("W2", False), ("W3", True)):
        assert np.array_equal(net.params[name], before[name]) == stays


@pytest.mark.parametrize("method", ["rbm", "autoencoder"])
def test_images_and_their_scale(method: str) -> None:
    """Bytes of images that the network scales are taken as the scaled numbers in rows."""
    images = np.random.default_rng(3).integers(0, 17, (12, 1, 3, 3)).astype(np.uint8)
    layers = [fastnn.Affine(9, 6), fastnn.Sigmoid(), fastnn.Affine(6, 3)]
    plain = fastnn.Network(layers, rng=1)
    of_images = fastnn.Network([fastnn.Flatten(), *layers], rng=1, input_shape=(1, 3, 3), input_scale=1 / 16)
    expected = pretrain(plain, images.reshape(12, 9) / 16, method=method, rng=0, **OPTIONS)
    assert pretrain(of_images, images, method=method, rng=0, **OPTIONS) == expected
    for name, value in plain.params.items():
        np.testing.assert_array_equal(of_images.params[name], value)


@pytest.mark.parametrize("method", ["rbm", "autoencoder"])
def test_the_same_bits_on_any_number_of_threads(method: str, chosen_threads: None) -> None:
    x, results = samples(200, 150), []
    for n in (1, 2):
        fastnn.set_num_threads(n)
        net = fastnn.Network([fastnn.Affine(150, 120), fastnn.Sigmoid(), fastnn.Affine(120, 2)], rng=0)
        errors = pretrain(net, x, method=method, epochs=1, batch_size=100, lr=0.01, rng=3)
        results.append((errors, net.params["W1"].tobytes()))
    assert results[0] == results[1]


@pytest.mark.skipif(JIT_DISABLED, reason="trains for long")
def test_few_labels() -> None:
    """50 digits with a label, 1,438 without: pre-training helps each of four networks."""
    (x, t), test = fastnn.datasets.load_digits()
    gains = []
    for seed in range(4):
        rows = np.random.default_rng(seed).permutation(len(x))[:50]
        accuracies = []
        for epochs in (0, 10):
            layers = [fastnn.Affine(64, 100), fastnn.Sigmoid(), fastnn.Affine(100, 100), fastnn.Sigmoid()]
            net = fastnn.Network([*layers, fastnn.Affine(100, 10)], rng=seed)
            if epochs:
                pretrain(net, x, epochs=epochs, batch_size=20, lr=0.2, rng=seed)
            net.fit(x[rows], t[rows], epochs=100, optimizer=fastnn.Momentum(0.03), batch_size=10, rng=seed)
            accuracies.append(net.accuracy(*test))
        gains.append(accuracies[1] - accuracies[0])
    assert min(gains) > 0.0, gains


def layers_of(*between: Any) -> fastnn.Network:
    return fastnn.Network([fastnn.Affine(3, 2), *between, fastnn.Affine(2, 2)], rng=0)


@pytest.mark.parametrize(
    ("net", "options", "error", "sentence"),
    [
        (3, {}, TypeError, "net: expected a fastnn.Network, got 3; make one of Affine layers"),
        (
            layers_of(fastnn.Relu()),
            {},
            ValueError,
            "net: expected Sigmoid() after Affine(3, 2), got Relu(); pass method=",
        ),
        (layers_of(), {}, ValueError, "net: expected Sigmoid() after Affine(3, 2), got none; add it"),
        (
            layers_of(),
            {"method": "autoencoder"},
            ValueError,
            "net: expected an activation after Affine(3, 2), got none; add it",
        ),
        (
            layers_of(fastnn.BatchNorm(), fastnn.Sigmoid()),
            {},
            ValueError,
            "net: expected Sigmoid() after Affine(3, 2), got BatchNorm(0.9, 1e-05) and Sigmoid(); pass method=",
        ),
        (
            layers_of(fastnn.BatchNorm()),
            {"method": "autoencoder"},
            ValueError,
            "net: expected an activation after Affine(3, 2), got BatchNorm(0.9, 1e-05)",
        ),
        (
            fastnn.Network([fastnn.Affine(3, 2)], rng=0),
            {},
            ValueError,
            "net: expected two or more Affine layers, and none that takes images, got 1 Affine layer; "
            "add a hidden one: fastnn.Network([fastnn.Affine(3, 50), fastnn.Sigmoid(), fastnn.Affine(50, 2)])",
        ),
        (
            fastnn.Network(
                [fastnn.Conv2d(1, 2, 3), fastnn.Flatten(), fastnn.Affine(2, 2)], input_shape=(1, 3, 3), rng=0
            ),
            {},
            ValueError,
            "net: expected two or more Affine layers, and none that takes images, got Conv2d(1, 2, 3); "
            "pre-train a network",
        ),
        (
            layers_of(fastnn.Sigmoid()),
            {"method": "dbn"},
            ValueError,
            "method: expected one of 'rbm', 'autoencoder', got",
        ),
        (
            layers_of(fastnn.Sigmoid()),
            {"method": "autoencoder", "k": 2},
            ValueError,
            "k: expected it to be left out with method='autoencoder', got 2; pass method='rbm'",
        ),
        (layers_of(fastnn.Sigmoid()), {"x": 2 * np.eye(3)}, ValueError, "x: expected values from 0 to 1, got 2.0 at"),
        (
            layers_of(fastnn.Sigmoid()),
            {"x": np.full((2, 3), np.nan), "method": "autoencoder"},
            ValueError,
            "x: expected finite values, got nan at x[0, 0]; ",
        ),
        (layers_of(fastnn.Sigmoid()), {"lr": -1.0}, ValueError, "lr: expected a finite number of at least 0.0"),
        (layers_of(fastnn.Sigmoid()), {"x": np.eye(2)}, ValueError, "x: expected a float32 array of shape (N, 3), got"),
    ],
)
def test_refusals_change_nothing(net: Any, options: Any, error: type[Exception], sentence: str) -> None:
    kept = {name: value.copy() for name, value in net.params.items()} if net != 3 else {}
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        pretrain(**{"net": net, "x": np.eye(3), **options})
    for name, value in kept.items():
        np.testing.assert_array_equal(net.params[name], value)


def test_what_diverges_keeps_the_weights() -> None:
    net = deep(fastnn.Relu)
    kept = net.params["W1"].copy()
    with pytest.raises(fastnn.TrainingDivergedError):
        pretrain(net, samples(), method="autoencoder", lr=1e6, epochs=50)
    np.testing.assert_array_equal(net.params["W1"], kept)
