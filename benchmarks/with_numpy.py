"""The cases in NumPy: fastnn.reference in float32, as a competent NumPy user writes it, with out= where it can be.

Imports the table and numpy.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import (
    COMPARED_STEPS,
    LEARNING_RATE,
    MOMENTUM,
    ORDER_SEED,
    Case,
    Data,
    epoch_order,
    network_layers,
    reference,
)
from benchmarks.peers import Target


def affine_forward(case: Case, data: Data, threads: int) -> Target:
    """Also the products, whose bias is zero: without it."""
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


def softmax_cross_entropy(case: Case, data: Data, threads: int) -> Target:
    x, t, dx = data["x"], data["t"], np.empty_like(data["x"])
    return Target(lambda: reference.softmax_cross_entropy(x, t, out=dx), lambda results: [results[0][0], dx])


def sgd_update(case: Case, data: Data, threads: int) -> Target:
    p, g = data["p"].copy(), data["g"]
    return Target(lambda: reference.sgd_update(p, g, LEARNING_RATE), lambda results: [p])


def momentum_update(case: Case, data: Data, threads: int) -> Target:
    p, g, v = data["p"].copy(), data["g"], data["v"].copy()
    return Target(lambda: reference.momentum_update(p, g, v, LEARNING_RATE, MOMENTUM), lambda results: [p, v])


def _copies(data: Data) -> dict[str, Any]:
    return {name: value.copy() for name, value in data["params"].items()}


def step(case: Case, data: Data, threads: int) -> Target:
    layers, params, x, t = network_layers(case.sizes[1:]), _copies(data), data["x"], data["t"]
    return Target(
        lambda: reference.network_step(layers, params, x, t, LEARNING_RATE),
        lambda losses: [np.array(losses), *params.values()],
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
    "numpy": {
        "affine_forward": affine_forward,
        "affine_backward": affine_backward,
        "product": affine_forward,
        "activation": activation,
        "softmax_cross_entropy": softmax_cross_entropy,
        "sgd_update": sgd_update,
        "momentum_update": momentum_update,
        "step": step,
        "epoch": epoch,
        "predict": predict,
        "contention": contention,
    }
}
