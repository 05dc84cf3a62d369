"""The cases in NumPy: fastnn.reference in float32, as a competent NumPy user writes it, with out= where it can be."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import numpy_images
from benchmarks.cases import Case
from benchmarks.data import Data, rosenbrock, some_entries
from benchmarks.expected import (
    COMPARED_STEPS,
    LEARNING_RATE,
    MOMENTUM,
    ORDER_SEED,
    PERCEPTRON_EPOCHS,
    STEP,
    OptimizerInNumpy,
    case_layers,
    compared,
    epoch_order,
    gradient_layers,
    learn_planes,
    network_layers,
    reference,
)
from benchmarks.peers import Target


def numerical_gradient(case: Case, data: Data, threads: int) -> Target:
    """The gradient as a user who sees the structure writes it: for each input of a layer the losses of all weights at
    once.

    In both directions, each sample that the input reaches and each weight have a row of changed outputs, which is taken
    through the rest of the network.
    """
    layers, weights, x, t = gradient_layers(case), data["weights"], data["x"], data["t"]

    def call() -> Any:
        return np.concatenate([part.ravel() for part in _structured(layers, weights, x, t).values()])

    return Target(call, lambda results: [results[0][some_entries(results[0].size)], results[0]])


def _structured(layers: Any, weights: Any, x: Any, t: Any) -> dict[str, Any]:
    names = [layer[0] for layer in layers]
    inputs, found = x, {}
    for place, name in enumerate(names):
        if name != "affine":
            inputs = reference.activation_forward(name, inputs)
            continue
        number = names[: place + 1].count("affine")
        W, b = weights[f"W{number}"], weights[f"b{number}"]
        z = inputs @ W + b
        rest = (names[place + 1 :], weights, number + 1)
        found[f"W{number}"] = np.array([_row(z, inputs[:, i], rest, t) for i in range(len(W))])
        found[f"b{number}"] = _row(z, np.ones(len(x)), rest, t)
        inputs = z
    return found


def _row(z: Any, column: Any, rest: Any, t: Any) -> Any:
    """The quotients of all weights of one input, whose values are `column`."""
    rows = np.flatnonzero(column)
    if not rows.size:
        return np.zeros(z.shape[1])
    losses = []
    for sign in (1.0, -1.0):
        outputs = np.repeat(z[rows, None, :], z.shape[1], axis=1)
        outputs[:, np.arange(z.shape[1]), np.arange(z.shape[1])] += sign * STEP * column[rows, None]
        losses.append(_losses(outputs, rest, t[rows]))
    return (losses[0] - losses[1]).sum(axis=0) / (2 * STEP * len(z))


def _losses(outputs: Any, rest: Any, t: Any) -> Any:
    """The loss of each sample and perturbation from the outputs (samples, perturbations, width) of a layer."""
    names, weights, number = rest
    for name in names:
        if name == "affine":
            outputs = outputs @ weights[f"W{number}"] + weights[f"b{number}"]
            number += 1
        else:
            outputs = reference.activation_forward(name, outputs)
    outputs = outputs - outputs.max(axis=2, keepdims=True)
    return np.log(np.exp(outputs).sum(axis=2)) - outputs[np.arange(len(t)), :, t]


def plain_loop(case: Case, data: Data, threads: int) -> Target:
    """The textbook's loop over some entries, two forward passes for each."""
    layers, x, t = gradient_layers(case), data["x"], data["t"]
    weights = {name: value.copy() for name, value in data["weights"].items()}
    places = [(value, i) for value in weights.values() for i in range(value.size)]
    chosen = [places[entry] for entry in some_entries(len(places))]

    def loss() -> float:
        return float(reference.softmax_cross_entropy(reference.network_forward(layers, weights, x), t)[0])

    def call() -> Any:
        return np.array([_quotient(loss, value.reshape(-1), i) for value, i in chosen])

    return Target(call, lambda results: results, part=(0, 1), divisor=len(chosen) / len(places))


def _quotient(f: Callable[[], float], entries: Any, i: int) -> float:
    kept = entries[i]
    entries[i] = kept + STEP
    above = f()
    entries[i] = kept - STEP
    below = f()
    entries[i] = kept
    return (above - below) / (2 * STEP)


def function_gradient(case: Case, data: Data, threads: int) -> Target:
    """The textbook's loop, f in NumPy."""
    x = data["x"].copy()
    return Target(
        lambda: np.array([_quotient(lambda: rosenbrock(x), x, i) for i in range(x.size)]),
        lambda results: [results[0][some_entries(x.size)], results[0]],
    )


def affine_forward(case: Case, data: Data, threads: int) -> Target:
    """Also used for the products, whose bias is zero and left out."""
    x, W, b = data["x"], data["W"], data["b"]
    y = np.empty((len(x), len(b)), np.float32)
    if case.kind == "product":
        return Target(lambda: np.matmul(x, W, out=y), lambda results: [y])
    return Target(lambda: reference.affine_forward(x, W, b, out=y), lambda results: [y])


def affine_backward(case: Case, data: Data, threads: int) -> Target:
    x, W, dy = data["x"], data["W"], data["dy"]
    out = np.empty_like(x), np.empty_like(W), np.empty_like(data["b"])
    return Target(lambda: reference.affine_backward(dy, x, W, out=out), lambda results: out)


def activation(case: Case, data: Data, threads: int) -> Target:
    x, y = data["x"], np.empty_like(data["x"])
    return Target(lambda: reference.activation_forward(case.variant, x, out=y), lambda results: [y])


def activation_backward(case: Case, data: Data, threads: int) -> Target:
    x, dy, dx = data["x"], data["dy"], np.empty_like(data["x"])
    y = reference.activation_forward(case.variant, x)
    return Target(lambda: reference.activation_backward(case.variant, dy, x, y, out=dx), lambda results: [dx])


def loss(case: Case, data: Data, threads: int) -> Target:
    x, t, dx, function = data["x"], data["t"], np.empty_like(data["x"]), reference.LOSSES[case.variant or case.kind]
    return Target(lambda: function(x, t, out=dx), lambda results: [results[0][0], dx])


def sgd_update(case: Case, data: Data, threads: int) -> Target:
    p, g = data["p"].copy(), data["g"]
    return Target(lambda: reference.sgd_update(p, g, LEARNING_RATE), lambda results: [p])


def momentum_update(case: Case, data: Data, threads: int) -> Target:
    p, g, v = data["p"].copy(), data["g"], data["v"].copy()
    return Target(lambda: reference.momentum_update(p, g, v, LEARNING_RATE, MOMENTUM), lambda results: [p, v])


def _copies(data: Data) -> dict[str, Any]:
    return {name: value.copy() for name, value in data["params"].items()}


def step(case: Case, data: Data, threads: int) -> Target:
    layers, params, x, t = case_layers(case), _copies(data), data["x"], data["t"]
    return Target(
        lambda: reference.network_step(layers, params, x, t, LEARNING_RATE),
        lambda losses: [np.array(losses), *compared(case, list(params.values()))],
        compared=COMPARED_STEPS,
    )


def optimizer_step(case: Case, data: Data, threads: int) -> Target:
    network = OptimizerInNumpy(case.variant, network_layers(case.sizes[1:]), _copies(data))
    return Target(
        lambda: network.step(data["x"], data["t"]),
        lambda losses: [np.array(losses), *network.params.values()],
        compared=COMPARED_STEPS,
    )


def epoch(case: Case, data: Data, threads: int) -> Target:
    layers, params, x, t = network_layers(case.sizes[2:]), _copies(data), data["x"], data["t"]
    rng = np.random.default_rng(ORDER_SEED)

    def call() -> float:
        total = 0.0
        for rows in epoch_order(rng, len(x)).reshape(-1, case.sizes[1]):
            total += reference.network_step(layers, params, x[rows], t[rows], LEARNING_RATE)
        return total * case.sizes[1] / len(x)

    return Target(call, lambda losses: [losses[0], *params.values()])


def predict(case: Case, data: Data, threads: int) -> Target:
    layers, params, x = network_layers(case.sizes[1:]), data["params"], data["x"]
    return Target(lambda: reference.network_forward(layers, params, x), lambda results: results)


def perceptron(case: Case, data: Data, threads: int) -> Target:
    x, t = data["x"], data["t"]
    return Target(
        lambda: learn_planes(x, t, PERCEPTRON_EPOCHS), lambda results: [results[0][0], np.array(results[0][1], float)]
    )


def line_fit_losses(case: Case, data: Data, threads: int) -> Target:
    """All intercepts of one slope at once."""
    x, t, w, b = data["x"], data["t"], data["w"], data["b"][:, None]
    losses = np.empty((len(w), len(b)))

    def call() -> None:
        for i, slope in enumerate(w):
            errors = slope * x + b
            errors -= t
            np.einsum("jn,jn->j", errors, errors, out=losses[i])
        np.divide(losses, 2 * len(x), out=losses)

    return Target(call, lambda results: [losses])


def contention(case: Case, data: Data, threads: int) -> Target:
    """The product alone."""
    call, product = square(case, data)
    return Target(call, lambda results: [product], part=(0, 1))


_limits: list[Any] = []  # in force from one contention case to the next


def square(case: Case, data: Data) -> tuple[Callable[[], object], Any]:
    """A function that multiplies a square matrix by itself, and the array that receives the product."""
    a, product = data["a"], np.empty_like(data["a"])
    while _limits:
        _limits.pop().restore_original_limits()
    if case.variant == "NumPy on one thread":
        _limits.append(importlib.import_module("threadpoolctl").threadpool_limits(1, user_api="blas"))
    return lambda: np.matmul(a, a, out=product), product


FACTORIES = {
    "numpy_loop": dict.fromkeys(("numerical_gradient", "deep_gradient", "dropin_gradient"), plain_loop),
    "numpy": {
        "numerical_gradient": numerical_gradient,
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
        "layer_step": step,
        "epoch": epoch,
        "predict": predict,
        "image_step": numpy_images.step,
        "image_predict": numpy_images.predict,
        "perceptron": perceptron,
        "line_fit_losses": line_fit_losses,
        "contention": contention,
    },
}
