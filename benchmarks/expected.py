"""The results that each case must reproduce, computed by the NumPy twins in float64."""

import importlib.util
import inspect
import itertools
import pathlib
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.data import Data, some_entries

LEARNING_RATE, MOMENTUM = 0.01, 0.9
COMPARED_STEPS = 3
ADAM_RATE, WEIGHT_DECAY = 1e-3, 0.01
STEP = 1e-4  # of difference quotients
PERCEPTRON_EPOCHS = 5
ORDER_SEED = 1  # of the random order of an epoch, which is part of what is timed


def _load_reference() -> Any:
    """Load the package under its own name: importing fastnn.reference would load fastnn, and with it the compiler."""
    file = pathlib.Path(__file__).parents[1] / "fastnn" / "reference" / "__init__.py"
    spec = importlib.util.spec_from_file_location("fastnn_reference", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # where its relative imports look for it
    spec.loader.exec_module(module)
    return module


reference = _load_reference()


def network_layers(widths: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Affine layers of these widths with ReLU between them, as fastnn.reference describes them."""
    return [layer for pair in itertools.pairwise(widths) for layer in (("affine", *pair), ("relu",))][:-1]


def case_layers(case: Any) -> list[tuple[Any, ...]]:
    """Like network_layers, with a layer on units before each ReLU (batch_norm), or in its place (prelu)."""
    layers = network_layers(case.sizes[1:])
    if case.kind != "layer_step":
        return layers
    instead = [(case.variant,)] if case.variant == "prelu" else [(case.variant,), ("relu",)]
    return [one for layer in layers for one in (instead if layer == ("relu",) else [layer])]


def gradient_layers(case: Any) -> list[tuple[Any, ...]]:
    """Like network_layers, with the case's activation."""
    activation = (case.variant.split(",")[0],)
    return [activation if layer == ("relu",) else layer for layer in network_layers(case.sizes[1:])]


def gradient(case: Any, data: Data) -> list[Any]:
    """The gradient by back-propagation, at some entries, then at all; quotients differ by truncation and at kinks."""
    _, found = reference.network_gradient(gradient_layers(case), data["weights"], data["x"], data["t"])
    gradient = np.concatenate([value.ravel() for value in found.values()])
    return [gradient[some_entries(gradient.size)], gradient]


def function(case: Any, data: Data) -> list[Any]:
    x = data["x"]
    inner = 200.0 * (x[1:] - x[:-1] ** 2)
    gradient = np.zeros_like(x)
    gradient[1:] += inner
    gradient[:-1] -= 2.0 * x[:-1] * inner + 2.0 * (1.0 - x[:-1])
    return [gradient[some_entries(x.size)], gradient]


def as_double(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_double(part) for key, part in value.items()}
    return value.astype(np.float64) if value.dtype.kind == "f" else value.copy()


def affine_forward(case: Any, data: Data) -> list[Any]:
    wide = as_double(data)
    return [reference.affine_forward(wide["x"], wide["W"], wide["b"])]


def affine_backward(case: Any, data: Data) -> list[Any]:
    wide = as_double(data)
    return list(reference.affine_backward(wide["dy"], wide["x"], wide["W"]))


def activation(case: Any, data: Data) -> list[Any]:
    return [reference.activation_forward(case.variant, as_double(data["x"]))]


def activation_backward(case: Any, data: Data) -> list[Any]:
    wide = as_double(data)
    y = reference.activation_forward(case.variant, wide["x"])
    return [reference.activation_backward(case.variant, wide["dy"], wide["x"], y)]


def loss(case: Any, data: Data) -> list[Any]:
    """The value and the gradient of a loss."""
    wide = as_double(data)
    value, dx = reference.LOSSES[case.variant or case.kind](wide["x"], wide["t"])
    return [np.array(value), dx]


def sgd(case: Any, data: Data) -> list[Any]:
    wide = as_double(data)
    reference.sgd_update(wide["p"], wide["g"], LEARNING_RATE)
    return [wide["p"]]


def momentum(case: Any, data: Data) -> list[Any]:
    wide = as_double(data)
    reference.momentum_update(wide["p"], wide["g"], wide["v"], LEARNING_RATE, MOMENTUM)
    return [wide["p"], wide["v"]]


def steps(case: Any, data: Data) -> list[Any]:
    """The losses of a few steps, each before its update, and the parameters after the last."""
    layers, wide = case_layers(case), as_double(data)
    step = (layers, wide["params"], wide["x"], wide["t"], LEARNING_RATE)
    losses = [reference.network_step(*step) for _ in range(COMPARED_STEPS)]
    return [np.array(losses), *compared(case, list(wide["params"].values()))]


def compared(case: Any, params: list[Any]) -> list[Any]:
    """The parameters without the biases before batch normalization, which move by rounding alone."""
    return [p for i, p in enumerate(params) if case.variant != "batch_norm" or i % 4 != 1 or i == len(params) - 1]


class OptimizerInNumpy:
    """A network in plain NumPy, trained by one of OPTIMIZERS."""

    def __init__(self, name: str, layers: list[tuple[Any, ...]], params: Data) -> None:
        self.layers, self.params, self.count = layers, params, 0
        self._update: Any = getattr(reference, f"{'adam' if name == 'adamw' else name}_update")
        given = list(inspect.signature(self._update).parameters)
        self._given = given[2 : given.index("lr")]  # between the gradients and the rate: the state, and the step
        self._state = [{key: np.zeros_like(p) for key, p in params.items()} for one in self._given if one != "step"]
        self._rate = ADAM_RATE if name.startswith("adam") else LEARNING_RATE
        self._options = {"weight_decay": WEIGHT_DECAY} if name == "adamw" else {}

    def update(self, gradient: Data) -> None:
        """One update, the count-th."""
        count = [self.count] if "step" in self._given else []
        self._update(self.params, gradient, *self._state, *count, self._rate, **self._options)

    def step(self, x: Any, t: Any) -> float:
        """One step; the loss before it."""
        self.count += 1
        loss, gradient = reference.network_gradient(self.layers, self.params, x, t)
        self.update(gradient)
        return float(loss)


def optimizer_steps(case: Any, data: Data) -> list[Any]:
    """Like steps, by the case's optimizer."""
    wide = as_double(data)
    network = OptimizerInNumpy(case.variant, network_layers(case.sizes[1:]), wide["params"])
    losses = [network.step(wide["x"], wide["t"]) for _ in range(COMPARED_STEPS)]
    return [np.array(losses), *wide["params"].values()]


def epoch_order(rng: np.random.Generator, count: int) -> Any:
    """A random order of the samples, as Network.fit draws it."""
    order = np.arange(count)
    rng.shuffle(order)
    return order


def epoch(case: Any, data: Data) -> list[Any]:
    """The mean loss of an epoch and the parameters after it."""
    count, batch, *widths = case.sizes
    layers, params = network_layers(tuple(widths)), as_double(data["params"])
    order = epoch_order(np.random.default_rng(ORDER_SEED), count)
    losses = []
    for rows in order.reshape(-1, batch):
        x, t = as_double(data["x"][rows]), data["t"][rows]
        losses.append(reference.network_step(layers, params, x, t, LEARNING_RATE))
    return [np.mean(losses), *params.values()]


def predict(case: Any, data: Data) -> list[Any]:
    wide = as_double(data)
    return [reference.network_forward(network_layers(case.sizes[1:]), wide["params"], wide["x"])]


def learn_planes(x: Any, t: Any, epochs: int) -> tuple[Any, list[int]]:
    """The weights (w, b) of a perceptron that get the fewest samples wrong, and the mistakes of each epoch."""
    w, b = np.zeros(x.shape[1]), 0.0
    mistakes: list[int] = []
    best, least = np.zeros(x.shape[1] + 1), int(np.sum(t != 0))
    while len(mistakes) < epochs and mistakes[-1:] != [0]:
        mistakes.append(0)
        for some, label in zip(x, t.tolist(), strict=True):
            error = label - (1 if some @ w + b > 0.0 else 0)
            if error:
                w += error * some
                b += error
                mistakes[-1] += 1
        wrong = int(np.sum((x @ w + b > 0.0) != t))
        if wrong < least:
            best, least = np.append(w, b), wrong
    return best, mistakes


def perceptron(case: Any, data: Data) -> list[Any]:
    best, mistakes = learn_planes(data["x"], data["t"], PERCEPTRON_EPOCHS)
    return [best, np.array(mistakes, float)]


def line_fit_losses(case: Any, data: Data) -> list[Any]:
    return [reference.line_fit_losses(data["x"], data["t"], data["w"], data["b"])]


def contention(case: Any, data: Data) -> list[Any]:
    """The product of `a` with itself; then the results of the steps."""
    wide = as_double(data["a"])
    return [wide @ wide, *steps(replace(case, sizes=case.sizes[1:]), data)]
