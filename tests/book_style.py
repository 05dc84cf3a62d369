"""Small networks of our own in the style of the book's, and the plain loop of its numerical gradient."""

import itertools
from typing import Any

import numpy as np
import pytest

from fastnn.dropin import record
from fastnn.dropin.common.functions import cross_entropy_error, sigmoid, softmax
from fastnn.dropin.common.gradient import numerical_gradient
from fastnn.dropin.common.layers import Affine, Relu, SoftmaxWithLoss
from fastnn.observing import attempt


def observe_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have functions observed however short their loops are, and whether or not they were recognized before."""
    monkeypatch.setattr(attempt, "PATIENCE", np.inf)
    monkeypatch.setattr(attempt, "CONFIDENCE", np.inf)
    monkeypatch.setattr(attempt, "MOST_SKIPPED", 0)
    attempt.forget()


def plain_loop(f: Any, x: Any) -> Any:
    """The textbook's loop."""
    result = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + 1e-4
        above = f(x)
        x[place] = kept - 1e-4
        below = f(x)
        result[place] = (above - below) / 2e-4
        x[place] = kept
    return result


class Parameters:
    """Weights of layers of these widths, by name."""

    def __init__(self, widths: tuple[int, ...], scale: float = 0.5) -> None:
        generator = np.random.default_rng(widths)
        self.params: dict[str, Any] = {}
        for i, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
            self.params[f"W{i}"] = scale * generator.normal(size=(inputs, outputs))
            self.params[f"b{i}"] = scale * generator.normal(size=outputs)

    def loss(self, x: Any, t: Any) -> Any:
        raise NotImplementedError

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, Any]:
        loss_W = lambda W: self.loss(x, t)  # noqa: E731 - as the book has it
        return {name: numerical_gradient(loss_W, array) for name, array in self.params.items()}

    def plain_gradient(self, x: Any, t: Any) -> dict[str, Any]:
        return {name: plain_loop(lambda W: self.loss(x, t), array) for name, array in self.params.items()}


class TwoLayers(Parameters):
    """A dictionary of parameters and functions of common.functions; the loss takes probabilities."""

    def predict(self, x: Any) -> Any:
        a1 = np.dot(x, self.params["W1"]) + self.params["b1"]
        z1 = sigmoid(a1)
        a2 = np.dot(z1, self.params["W2"]) + self.params["b2"]
        return softmax(a2)

    def loss(self, x: Any, t: Any) -> Any:
        return cross_entropy_error(self.predict(x), t)


class OwnFormulas(Parameters):
    """Everything in NumPy, written in another way."""

    def loss(self, x: Any, t: Any) -> Any:
        p = self.params
        hidden = x @ p["W1"] + p["b1"]
        hidden = np.where(hidden > 0, hidden, 0.1 * hidden)
        scores = (hidden @ p["W2"] + p["b2"]).T
        scores -= scores.max(axis=0)
        shares = np.exp(scores) / np.sum(np.exp(scores), axis=0)
        return -np.log(shares.T[np.arange(len(t)), t]).mean()


class Squared(Parameters):
    """Half the squared distance of the softmax, not divided by the batch, as the book's chapter 4 has it."""

    def loss(self, x: Any, t: Any) -> Any:
        hidden = np.tanh(np.dot(x, self.params["W1"]) + self.params["b1"])
        y = softmax(np.dot(hidden, self.params["W2"]) + self.params["b2"])
        return 0.5 * np.sum((y - t) ** 2)


class Layered(Parameters):
    """Layers that hold the arrays, and weight decay."""

    decay = 0.0

    def __init__(self, widths: tuple[int, ...], scale: float = 0.5) -> None:
        super().__init__(widths, scale)
        self.layers: list[Any] = []
        for i in range(1, len(widths)):
            self.layers += [Affine(self.params[f"W{i}"], self.params[f"b{i}"]), Relu()]
        self.layers.pop()
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        weight_decay: Any = 0
        for name, array in self.params.items():
            if name[0] == "W":
                weight_decay += 0.5 * self.decay * np.sum(array**2)
        return self.last_layer.forward(self.predict(x), t) + weight_decay


class Decaying(Layered):
    """Like Layered, with weight decay."""

    decay = 0.1


def batch(rows: int = 6, inputs: int = 7, classes: int = 8) -> tuple[Any, Any]:
    generator = np.random.default_rng(rows)
    x = generator.normal(size=(rows, inputs))
    x[:, 2] = 0.0
    return x, generator.integers(0, classes, rows)


def ways() -> list[str]:
    return [entry.way for entry in record.entries()]


def reasons() -> str:
    return "; ".join(entry.reason for entry in record.entries())


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-9, err_msg=name)
