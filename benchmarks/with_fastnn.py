"""The cases in fastnn, through its public functions."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numba
import numpy as np

import fastnn
from benchmarks import images
from benchmarks.cases import Case
from benchmarks.data import Data, rosenbrock, rosenbrock_loop, some_entries
from benchmarks.expected import (
    ADAM_RATE,
    COMPARED_STEPS,
    LEARNING_RATE,
    MOMENTUM,
    ORDER_SEED,
    PERCEPTRON_EPOCHS,
    STEP,
    WEIGHT_DECAY,
    compared,
)
from benchmarks.peers import Target
from benchmarks.two_layer_net import TwoLayerNet
from fastnn import operations

EPOCHS_PER_CALL = 3  # a call of `fit` checks its data once
# Steps of a call of `fit` that is timed as a run of steps.
RUN_FLOP, RUN_BYTES, FEWEST_STEPS, MOST_STEPS = 2e9, 64e6, 8, 4000


def numerical_gradient(case: Case, data: Data, threads: int) -> Target:
    widths = case.sizes[1:]
    activation = {"sigmoid": fastnn.Sigmoid(), "tanh": fastnn.Tanh(), "relu": fastnn.Relu()}[case.variant.split(",")[0]]
    layers = [layer for pair in itertools.pairwise(widths) for layer in (fastnn.Affine(*pair), activation)]
    made = fastnn.Network(layers[:-1], rng=0, dtype="float64")
    for name, value in data["weights"].items():
        made.params[name] = value
    return Target(lambda: made.numerical_gradient(data["x"], data["t"], h=STEP), _of_parameters)


def dropin_gradient(case: Case, data: Data, threads: int) -> Target:
    net = TwoLayerNet({name: value.copy() for name, value in data["weights"].items()})
    return Target(lambda: net.numerical_gradient(data["x"], data["t"]), _of_parameters)


def _of_parameters(results: list[dict[str, Any]]) -> list[Any]:
    return _some_and_all(np.concatenate([part.ravel() for part in results[0].values()]))


def _some_and_all(gradient: Any) -> list[Any]:
    return [gradient[some_entries(gradient.size)], gradient]


def function_gradient(case: Case, data: Data, threads: int) -> Target:
    x = data["x"].copy()
    f = numba.njit(rosenbrock_loop) if case.variant == "compiled" else rosenbrock
    return Target(lambda: fastnn.numerical_gradient(f, x, h=STEP), lambda results: _some_and_all(results[0]))


def affine_forward(case: Case, data: Data, threads: int) -> Target:
    x, W, b = data["x"], data["W"], data["b"]
    y = np.empty((len(x), len(b)), np.float32)
    return Target(lambda: fastnn.affine_forward(x, W, b, out=y), lambda results: [y])


def affine_backward(case: Case, data: Data, threads: int) -> Target:
    x, W, dy = data["x"], data["W"], data["dy"]
    out = np.empty_like(x), np.empty_like(W), np.empty_like(data["b"])
    return Target(lambda: fastnn.affine_backward(dy, x, W, out=out), lambda results: out)


def activation(case: Case, data: Data, threads: int) -> Target:
    x, y = data["x"], np.empty_like(data["x"])
    return Target(lambda: fastnn.activation_forward(case.variant, x, out=y), lambda results: [y])


def activation_backward(case: Case, data: Data, threads: int) -> Target:
    x, dy, dx = data["x"], data["dy"], np.empty_like(data["x"])
    y = fastnn.activation_forward(case.variant, x)
    return Target(lambda: fastnn.activation_backward(case.variant, dy, x, y, out=dx), lambda results: [dx])


def loss(case: Case, data: Data, threads: int) -> Target:
    x, t, dx, function = data["x"], data["t"], np.empty_like(data["x"]), getattr(fastnn, case.variant or case.kind)
    return Target(lambda: function(x, t, out=dx), lambda results: [results[0][0], dx])


def sgd_update(case: Case, data: Data, threads: int) -> Target:
    p, g = data["p"].copy(), data["g"]
    return Target(lambda: fastnn.sgd_update(p, g, LEARNING_RATE), lambda results: [p])


def momentum_update(case: Case, data: Data, threads: int) -> Target:
    p, g, v = data["p"].copy(), data["g"], data["v"].copy()
    return Target(lambda: fastnn.momentum_update(p, g, v, LEARNING_RATE, MOMENTUM), lambda results: [p, v])


def network(
    widths: tuple[int, ...],
    data: Data,
    n_threads: int | None = None,
    between: tuple[fastnn.layers.Layer, ...] = (fastnn.Relu(),),
) -> fastnn.Network:
    """A network with ReLU or other activations between its affine layers and the table's initial parameters."""
    layers = [layer for pair in itertools.pairwise(widths) for layer in (fastnn.Affine(*pair), *between)]
    made = fastnn.Network(layers[: -len(between)], rng=0, n_threads=n_threads)
    for name, value in data["params"].items():
        made.params[name] = value
    return made


def step(case: Case, data: Data, threads: int) -> Target:
    return _steps(network(case.sizes[1:], data), data, fastnn.SGD(LEARNING_RATE))


def image_network(case: Case, data: Data) -> fastnn.Network:
    """The case's network of images with the table's initial parameters."""
    kinds: dict[str, Callable[..., fastnn.layers.Layer]] = {
        "conv2d": lambda channels, filters, size, padding: fastnn.Conv2d(channels, filters, size, padding=padding),
        "max_pool2d": fastnn.MaxPool2d,
        "affine": fastnn.Affine,
        "flatten": fastnn.Flatten,
        "relu": fastnn.Relu,
    }
    layers = [kinds[name](*sizes) for name, *sizes in images.case_layers(case)]
    made = fastnn.Network(layers, rng=0, input_shape=data["x"].shape[1:])
    for name, value in data["params"].items():
        made.params[name] = value
    return made


def image_step(case: Case, data: Data, threads: int) -> Target:
    return _steps(image_network(case, data), data, fastnn.SGD(LEARNING_RATE))


def layer_step(case: Case, data: Data, threads: int) -> Target:
    layer = next(kind for kind in operations.LAYERS.values() if operations.name_of(kind) == case.variant)
    between = [layer()] if case.variant == "prelu" else [layer(), fastnn.Relu()]
    made = network(case.sizes[1:], data, between=tuple(between))
    target = _steps(made, data, fastnn.SGD(LEARNING_RATE))
    return replace(target, outputs=lambda losses: [np.array(losses), *compared(case, list(made.params.values()))])


def optimizer_step(case: Case, data: Data, threads: int) -> Target:
    kind: Any = {name.lower(): kind for name, kind in operations.OPTIMIZERS.items()}[case.variant]
    options = {"weight_decay": WEIGHT_DECAY} if case.variant == "adamw" else {}
    optimizer = kind(lr=ADAM_RATE if case.variant.startswith("adam") else LEARNING_RATE, **options)
    return _steps(network(case.sizes[1:], data), data, optimizer)


def _steps(made: fastnn.Network, data: Data, optimizer: Any) -> Target:
    x, t = data["x"], data["t"]
    return Target(
        lambda: made.step(x, t, optimizer),
        lambda losses: [np.array(losses), *made.params.values()],
        compared=COMPARED_STEPS,
    )


def run_of_steps(case: Case, data: Data, threads: int) -> Target:
    """The same batch again and again, as the data of one epoch."""
    rows = case.sizes[0]
    room = RUN_BYTES / data["x"].nbytes
    steps = int(min(max(RUN_FLOP / case.flop, FEWEST_STEPS), max(room, FEWEST_STEPS), MOST_STEPS))
    made, losses = network(case.sizes[1:], data), []
    rng, settings = np.random.default_rng(ORDER_SEED), _settings(rows)

    def keep_loss(made: fastnn.Network, history: fastnn.History) -> None:
        losses.append(history.loss[-1])

    def compared() -> object:
        return made.fit(data["x"], data["t"], epochs=COMPARED_STEPS, shuffle=False, callbacks=[keep_loss], **settings)

    x, t = np.tile(data["x"], (steps, 1)), np.tile(data["t"], steps)
    return Target(
        compared,
        lambda results: [np.array(losses), *made.params.values()],
        timed=lambda: made.fit(x, t, epochs=1, rng=rng, **settings),
        divisor=steps,
    )


def _settings(batch_size: int) -> dict[str, Any]:
    return {"batch_size": batch_size, "optimizer": fastnn.SGD(LEARNING_RATE), "progress": False}


def epoch(case: Case, data: Data, threads: int) -> Target:
    made, settings, rng = network(case.sizes[2:], data), _settings(case.sizes[1]), np.random.default_rng(ORDER_SEED)
    return Target(
        lambda: made.fit(data["x"], data["t"], epochs=1, rng=rng, **settings).loss[0],
        lambda losses: [losses[0], *made.params.values()],
        timed=lambda: made.fit(data["x"], data["t"], epochs=EPOCHS_PER_CALL, rng=rng, **settings),
        divisor=EPOCHS_PER_CALL,
    )


def predict(case: Case, data: Data, threads: int) -> Target:
    return _predict(network(case.sizes[1:], data), data)


def image_predict(case: Case, data: Data, threads: int) -> Target:
    return _predict(image_network(case, data), data)


def _predict(made: fastnn.Network, data: Data) -> Target:
    x = data["x"]
    y = np.empty_like(made.predict(x))
    return Target(lambda: made.predict(x, out=y), lambda results: [y])


def perceptron(case: Case, data: Data, threads: int) -> Target:
    made, x, t = fastnn.models.Perceptron(), data["x"], data["t"]
    return Target(
        lambda: made.fit(x, t, epochs=PERCEPTRON_EPOCHS),
        lambda results: [np.append(made.weights, made.bias), np.array(results[0].mistakes, float)],
    )


def line_fit_losses(case: Case, data: Data, threads: int) -> Target:
    points, w, b = (data["x"], data["t"]), data["w"], data["b"]
    losses = np.empty((len(w), len(b)))
    return Target(lambda: fastnn.line_fit_losses(*points, w, b, out=losses), lambda results: [losses])


def contention(case: Case, data: Data, threads: int) -> Target:
    """The step alone."""
    target = contention_step(case, data)
    return Target(target.call, target.outputs, compared=target.compared, part=(1, None))


def contention_step(case: Case, data: Data) -> Target:
    """The step of a contention case."""
    n_threads = 1 if case.variant == "fastnn on one thread" else None
    return _steps(network(case.sizes[2:], data, n_threads), data, fastnn.SGD(LEARNING_RATE))


_FASTNN: dict[str, Callable[[Case, Data, int], Target]] = {
    "numerical_gradient": numerical_gradient,
    "deep_gradient": numerical_gradient,
    "dropin_gradient": dropin_gradient,
    "function_gradient": function_gradient,
    "affine_forward": affine_forward,
    "affine_backward": affine_backward,
    "product": affine_forward,
    "activation": activation,
    "activation_backward": activation_backward,
    "softmax_of_rows": activation,
    "softmax_cross_entropy": loss,
    "loss": loss,
    "sgd_update": sgd_update,
    "momentum_update": momentum_update,
    "step": step,
    "optimizer_step": optimizer_step,
    "layer_step": layer_step,
    "epoch": epoch,
    "predict": predict,
    "image_step": image_step,
    "image_predict": image_predict,
    "perceptron": perceptron,
    "line_fit_losses": line_fit_losses,
    "contention": contention,
}
FACTORIES = {"fastnn": _FASTNN, "fastnn_run": {"step": run_of_steps}}
