"""Numerical gradients of networks with Convolution and Pooling: by the engine where it knows them, and always right."""

import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn.dropin import record
from fastnn.dropin.common.gradient import numerical_gradient
from fastnn.dropin.common.layers import Affine, Convolution, Pooling, Relu, Sigmoid, SoftmaxWithLoss
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.observing.tape import StandIn
from tests.book_style import assert_same, observe_always, plain_loop, reasons, ways
from tests.test_dropin_script import run

SIDE, CLASSES = 7, 8

# The network of the book's chapter 7 as readers write it.
SCRIPT = """
import time
from collections import OrderedDict
import numpy as np
from common.gradient import numerical_gradient
from common.layers import *


class SimpleConvNet:
    def __init__(self, images=(1, 28, 28), filters=30, size=5, hidden=100, classes=10, scale=0.01):
        channels, side, _ = images
        pooled = filters * ((side - size + 1) // 2) ** 2
        self.params = {"W1": scale * np.random.randn(filters, channels, size, size), "b1": np.zeros(filters)}
        self.params.update(W2=scale * np.random.randn(pooled, hidden), b2=np.zeros(hidden))
        self.params.update(W3=scale * np.random.randn(hidden, classes), b3=np.zeros(classes))
        p = self.params
        self.layers = OrderedDict(Conv1=Convolution(p["W1"], p["b1"]), Relu1=Relu(), Pool1=Pooling(2, 2, stride=2))
        self.layers.update(Affine1=Affine(p["W2"], p["b2"]), Relu2=Relu(), Affine2=Affine(p["W3"], p["b3"]))
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.last_layer.forward(self.predict(x), t)

    def numerical_gradient(self, x, t):
        loss_w = lambda w: self.loss(x, t)
        return {name: numerical_gradient(loss_w, self.params[name]) for name in ("W1", "b1", "W2", "b2", "W3", "b3")}


np.random.seed(0)
net, x, t = SimpleConvNet(), np.random.rand(1, 1, 28, 28), np.array([3])
start = time.perf_counter()
gradient = net.numerical_gradient(x, t)
print("seconds", time.perf_counter() - start)

differences = []
for name, array in net.params.items():
    for i in np.random.choice(array.size, min(array.size, 50), replace=False):
        place = np.unravel_index(i, array.shape)
        kept, found = array[place], []
        for step in (1e-4, -1e-4):
            array[place] = kept + step
            found.append(net.loss(x, t))
        array[place] = kept
        differences.append(gradient[name][place] - (found[0] - found[1]) / 2e-4)
print("quotients", len(differences), "worst", np.abs(differences).max(), "largest", np.abs(gradient["W1"]).max())
"""


class Images:
    """Layers on images, two affine layers behind them, and a loss; the parameters by name."""

    decay = 0.0

    def __init__(self, layers: list[Any], x: Any, classes: int = CLASSES) -> None:
        generator = np.random.default_rng(3)
        self.layers, self.last_layer = list(layers), SoftmaxWithLoss()
        for layer in layers:
            x = layer.forward(x)
        for inputs, outputs in ((x[0].size, 9), (9, classes)):
            W = generator.normal(size=(inputs, outputs)) / np.sqrt(inputs)
            self.layers += [Affine(W, 0.5 * generator.normal(size=outputs)), Relu()]
        self.layers.pop()
        self.params: dict[str, Any] = {}
        for i, layer in enumerate(one for one in self.layers if hasattr(one, "W")):
            self.params[f"W{i}"], self.params[f"b{i}"] = layer.W, layer.b

    def loss(self, x: Any, t: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        decay = sum(0.5 * self.decay * np.sum(self.params[name] ** 2) for name in self.params if name[0] == "W")
        return self.last_layer.forward(x, t) + decay

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, Any]:
        return {name: numerical_gradient(lambda _: self.loss(x, t), array) for name, array in self.params.items()}

    def plain_gradient(self, x: Any, t: Any) -> dict[str, Any]:
        return {name: plain_loop(lambda _: self.loss(x, t), array) for name, array in self.params.items()}


def filters(
    count: int, channels: int, size: tuple[int, int], *rest: Any, kind: type = Convolution, **named: Any
) -> Any:
    """A layer of random filters."""
    generator = np.random.default_rng(count)
    W, b = 0.5 * generator.normal(size=(count, channels, *size)), 0.1 * generator.normal(size=count)
    return kind(W, b, *rest, **named)


def images(count: int = 2, channels: int = 1) -> tuple[Any, Any]:
    generator = np.random.default_rng(count)
    return generator.normal(size=(count, channels, SIDE, SIDE)), generator.integers(0, CLASSES, count)


@pytest.fixture(autouse=True)
def fresh_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record.reset()
    observe_always(monkeypatch)


NETWORKS: dict[str, Callable[[], list[Any]]] = {
    "as in the book": lambda: [filters(8, 1, (2, 2)), Relu(), Pooling(2, 2, stride=2)],
    "steps and padding": lambda: [filters(8, 1, (3, 2), 2, 1), Sigmoid(), Pooling(2, 3, stride=1)],
    "nothing between": lambda: [filters(8, 1, (3, 3)), Pooling(3, 3, stride=2)],
    "no pool": lambda: [filters(8, 1, (3, 3), stride=2), Relu()],
    "a pool first": lambda: [Pooling(2, 2, stride=1), filters(8, 1, (3, 3), pad=1), Relu()],
    "deep": lambda: [
        *(filters(8, 1, (3, 3), 2, 1), Relu(), filters(8, 8, (2, 2)), Relu(), Pooling(2, 2, stride=1)),
        *(filters(8, 8, (2, 1), pad=1), Relu()),
    ],
}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_engine_gives_what_the_plain_loop_gives(network: str) -> None:
    x, t = images()
    net = Images(NETWORKS[network](), x)
    before = {name: array.tobytes() for name, array in net.params.items()}
    found = net.numerical_gradient(x, t)
    assert set(ways()) == {"engine"}, reasons()
    assert before == {name: array.tobytes() for name, array in net.params.items()}
    assert_same(found, net.plain_gradient(x, t))
    assert np.abs(found["W0"]).max() > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_images_of_any_kind_with_weight_decay(dtype: str) -> None:
    x, t = images(3, channels=2)
    x = np.abs(3 * x).astype(dtype)
    net = Images([filters(8, 2, (3, 3), 2), Relu()], x)
    net.decay = 0.3
    found = net.numerical_gradient(x, np.eye(CLASSES)[t])
    assert set(ways()) == {"engine"}, reasons()
    assert_same(found, net.plain_gradient(x, np.eye(CLASSES)[t]))


@pytest.mark.parametrize("pool", [[], [Pooling(2, 2)]])
def test_layers_keep_what_the_plain_loop_leaves(pool: list[Any]) -> None:
    """Such as the windows, with which `backward` goes on; a stand-in must not stay."""
    x, t = images()
    kept: list[dict[Any, Any]] = []
    for gradient in ("numerical_gradient", "plain_gradient"):
        net = Images([filters(8, 1, (3, 3)), Relu(), *pool], x)
        getattr(net, gradient)(x, t)
        held = {(i, name): value for i, layer in enumerate(net.layers) for name, value in vars(layer).items()}
        assert not any(isinstance(value, StandIn) for value in held.values())
        held = {name: value for name, value in held.items() if value is not None}
        kept.append(held)
        dout = net.last_layer.backward()
        for layer in reversed(net.layers):
            dout = layer.backward(dout)
        kept[-1]["dW"] = net.layers[0].dW
    assert kept[0].keys() == kept[1].keys()
    for name, value in kept[1].items():
        np.testing.assert_allclose(kept[0][name], value, rtol=1e-9, atol=1e-12, err_msg=str(name))


class Reading(Images):
    """The loss reads what the first layer keeps, or one of its parameters in another way."""

    def __init__(self, layers: list[Any], x: Any, read: Callable[[Any], Any]) -> None:
        super().__init__(layers, x)
        self.read = read

    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, t) + self.read(self.layers[0])


class Doubling(Convolution):
    def forward(self, x: Any) -> Any:
        return super().forward(2.0 * x)


class Scaled(Convolution):
    """Filters of length 1."""

    def forward(self, x: Any) -> Any:
        raw = self.W
        self.W = raw / np.sqrt(np.sum(raw**2))
        out = super().forward(x)
        self.W = raw
        return out


READS: dict[str, Callable[[Any], Any]] = {
    "the filters as columns": lambda layer: np.sum(layer.col_W**3),
    "the windows": lambda layer: np.sum(layer.col**2) * np.sum(layer.b),
    "the filters": lambda layer: 0.1 * np.sum(layer.W**3),
}


@pytest.mark.parametrize("read", READS)
def test_what_a_layer_keeps_is_not_taken_for_a_constant(read: str) -> None:
    x, t = images()
    net = Reading([filters(8, 1, (3, 3), 2), Relu()], x, READS[read])
    found = net.numerical_gradient(x, t)
    assert "plain loop" in ways()
    assert_same(found, net.plain_gradient(x, t))


@pytest.mark.parametrize("kind", [Doubling, Scaled])
def test_derived_layers(kind: type) -> None:
    x, t = images()
    net = Images([filters(8, 1, (3, 3), 2, kind=kind), Relu()], x)
    found = net.numerical_gradient(x, t)
    assert ways()[:2] == (["engine", "engine"] if kind is Doubling else ["plain loop", "engine"]), reasons()
    assert_same(found, net.plain_gradient(x, t))


def test_a_view_of_the_filters_that_the_loss_reads() -> None:
    x, t = images()
    net = Images([filters(8, 1, (3, 3), 2), Relu()], x)
    view = net.params["W0"][0]
    f = lambda _: net.loss(x, t) + np.sum(view**3)  # noqa: E731
    found = numerical_gradient(f, net.params["W0"])
    assert (ways(), reasons()) == (["plain loop"], "another array shares the array's memory")
    np.testing.assert_allclose(found, plain_loop(f, net.params["W0"]), rtol=0, atol=1e-9)
    held = [net.params["W0"][1:]]
    found = numerical_gradient(lambda _: net.loss(x, t) if held else 0.0, net.params["W0"])
    assert ways()[-1] == "engine", reasons()
    np.testing.assert_allclose(found, plain_loop(lambda _: net.loss(x, t), net.params["W0"]), rtol=0, atol=1e-9)


def test_images_without_an_affine_layer_are_left_to_the_plain_loop() -> None:
    x, t = images()
    layer, last = filters(CLASSES, 1, (SIDE, SIDE)), SoftmaxWithLoss()
    f = lambda _: last.forward(layer.forward(x).reshape(len(x), -1), t)  # noqa: E731
    np.testing.assert_allclose(numerical_gradient(f, layer.W), plain_loop(f, layer.W), rtol=0, atol=1e-9)


@pytest.mark.skipif(JIT_DISABLED, reason="the loop is not slower than the engine then")
def test_a_script_of_chapter_7(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, SCRIPT, "--report")
    assert done.returncode == 0, done.stderr
    seconds, quotients, worst, largest = map(float, re.findall(r"(?<= )[\d.e-]+", done.stdout)[:4])
    assert quotients >= 200 and worst < 1e-9 < 1e-4 < largest
    assert seconds < 60, "1.4 s on two cores; the plain loop takes minutes"
    assert done.stdout.count("engine") >= 5, done.stdout
    assert "Conv2d, Relu, MaxPool2d, Flatten, Affine, Relu, Affine, cross entropy" in done.stdout
