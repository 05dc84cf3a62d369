"""Functions with a state, changed networks, and threads: everything is left as the plain loop leaves it."""

import collections
import functools
import random
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn import Affine, Network, Sigmoid
from fastnn.dropin import record
from fastnn.dropin.common import layers as book
from fastnn.dropin.common.functions import cross_entropy_error, softmax
from fastnn.dropin.common.gradient import numerical_gradient
from fastnn.dropin.common.multi_layer_net import MultiLayerNet
from fastnn.dropin.common.multi_layer_net_extend import MultiLayerNetExtend
from tests.book_style import assert_same, observe_always, plain_loop, reasons, ways

GENERATOR = np.random.default_rng(5)
X = GENERATOR.normal(size=(6, 7))
X[:, -1] = 0.0  # as a pixel in a corner, which says nothing
T = GENERATOR.integers(0, 8, 6)


@pytest.fixture(autouse=True)
def fresh_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record.reset()
    observe_always(monkeypatch)


def weights(scale: float = 1.0) -> Any:
    return scale * np.random.default_rng(1).normal(size=(7, 8))


def cross_entropy(W: Any) -> Any:
    return cross_entropy_error(softmax(np.dot(X, W)), T)


def assert_as_the_loop(f: Callable[[Any], Any], W: Any, way: str | None = None) -> None:
    before = W.copy()
    found = numerical_gradient(f, W)
    assert np.array_equal(W, before)
    assert way is None or ways() == [way], reasons()
    np.testing.assert_allclose(found, plain_loop(f, W), rtol=1e-6, atol=2e-9)


# --- states -----------------------------------------------------------------------------------------


class Counter(list[Any]):
    calls = 0


def states() -> dict[str, tuple[Callable[[Any], Any], Callable[[], Any]]]:
    """Functions of one array with a state, and the state."""

    def attribute(W: Any) -> Any:
        attribute.calls += 1  # type: ignore[attr-defined]
        return cross_entropy(W)

    def history(W: Any) -> Any:
        history.losses.append(cross_entropy(W))  # type: ignore[attr-defined]
        return history.losses[-1]  # type: ignore[attr-defined]

    space = types.SimpleNamespace(calls=0)

    def namespace(W: Any) -> Any:
        space.calls += 1
        return cross_entropy(W)

    losses: list[Any] = []
    keep = losses.append

    def bound(W: Any) -> Any:
        keep(cross_entropy(W))
        return losses[-1]

    counter = Counter()

    def subclass(W: Any) -> Any:
        counter.calls += 1
        return cross_entropy(W)

    memory = bytearray(1)

    def buffer(W: Any) -> Any:
        memory[0] = (memory[0] + 1) % 251
        return cross_entropy(W)

    numpy_generator, python_generator = np.random.default_rng(0), random.Random(0)
    draw, draw_other = numpy_generator.random, python_generator.random

    def drawing(W: Any) -> Any:
        draw()
        return cross_entropy(W)

    def drawing_other(W: Any) -> Any:
        draw_other()
        return cross_entropy(W)

    attribute.calls, history.losses = 0, []  # type: ignore[attr-defined]
    net, kept = Network([Affine(7, 5), Sigmoid(), Affine(5, 8)], rng=0, dtype="float64"), []

    def of_network(_: Any) -> Any:
        kept.append(net.loss(X, T))
        return kept[-1]

    of_network.W = net.params["W1"]  # type: ignore[attr-defined]
    return {
        "attribute": (attribute, lambda: attribute.calls),  # type: ignore[attr-defined]
        "history": (history, lambda: history.losses),  # type: ignore[attr-defined]
        "namespace": (namespace, lambda: space.calls),
        "bound": (bound, lambda: losses),
        "subclass": (subclass, lambda: counter.calls),
        "buffer": (buffer, lambda: memory[0]),
        "drawing": (drawing, numpy_generator.random),
        "drawing, other": (drawing_other, python_generator.random),
        "network": (of_network, lambda: kept),
    }


@pytest.mark.parametrize("kind", states())
def test_states_are_those_of_the_plain_loop(kind: str) -> None:
    (f, state), (g, wanted) = states()[kind], states()[kind]
    W, V = getattr(f, "W", weights()), getattr(g, "W", weights())
    found = numerical_gradient(f, W)
    assert ways() == ["plain loop"]
    np.testing.assert_array_equal(found, plain_loop(g, V))
    assert state() == wanted()


def test_a_cache_of_functions_keeps_no_stand_in() -> None:
    W = weights()

    @functools.lru_cache
    def penalty() -> Any:
        return 1e-3 * np.sum(W**2)

    found = numerical_gradient(lambda _: cross_entropy(W) + penalty(), W)
    assert ways() == ["plain loop"] and "lru_cache" in reasons()
    np.testing.assert_array_equal(found, plain_loop(lambda _: cross_entropy(W) + penalty(), W))
    assert isinstance(penalty(), float)


def test_attributes_that_are_items() -> None:
    class Settings(dict[str, Any]):
        __getattr__ = dict.__getitem__

    kept: Any = Settings(W=weights())
    assert_as_the_loop(lambda _: cross_entropy(kept.W), kept.W, "engine")


def test_an_exception_leaves_the_array_as_it_was() -> None:
    W = weights()
    before, calls = W.copy(), types.SimpleNamespace(count=0)

    def f(_: Any) -> Any:
        calls.count += 1
        if calls.count == 3:
            raise ZeroDivisionError("third")
        return cross_entropy(W)

    with pytest.raises(ZeroDivisionError, match="third"):
        numerical_gradient(f, W)
    assert W.tobytes() == before.tobytes()
    assert reasons() == "it raises ZeroDivisionError"


def test_a_reversed_view_ends_at_its_last_entry_in_memory() -> None:
    kept: list[Any] = []
    W, model = weights()[::-1, ::-1], types.SimpleNamespace(scores=None)

    def f(_: Any) -> Any:
        model.scores = np.dot(X, W)
        return cross_entropy_error(softmax(model.scores), T)

    for gradient in (numerical_gradient, plain_in_memory_order):
        gradient(f, W)
        kept.append(model.scores)
    assert ways() == ["engine"], reasons()
    np.testing.assert_array_equal(kept[0], kept[1])


def plain_in_memory_order(f: Any, x: Any) -> None:
    """The book's loop, by nditer."""
    entries = np.nditer(x, flags=["multi_index"], op_flags=[["readwrite"]])
    while not entries.finished:
        place = entries.multi_index
        kept = x[place]
        x[place] = kept + 1e-4
        f(x)
        x[place] = kept - 1e-4
        f(x)
        x[place] = kept
        entries.iternext()


# --- networks of the book that were changed -----------------------------------------------------------


class Penalized(MultiLayerNet):
    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, t) + 0.1 * np.abs(self.params["W1"]).sum()


class Halved(MultiLayerNetExtend):
    def predict(self, x: Any, train_flg: bool = False) -> Any:
        return 0.5 * super().predict(x, train_flg)


class Squared:
    def forward(self, y: Any, t: Any) -> Any:
        return 0.5 * np.sum((y - np.eye(8)[t]) ** 2)


class OwnAffine(book.Affine):
    def forward(self, x: Any) -> Any:
        return super().forward(x) * 2.0


def changed(kind: str) -> Any:
    np.random.seed(3)  # noqa: NPY002
    classes = {"loss": Penalized, "predict": Halved}
    net: Any = classes.get(kind, MultiLayerNet)(7, [7], 8)
    if kind == "last layer":
        net.last_layer = Squared()
    elif kind == "instance":
        predict = net.predict
        net.predict = lambda x: 0.5 * predict(x)
    elif kind == "layer":
        net.layers["Affine1"] = OwnAffine(net.params["W1"], net.params["b1"])
    elif kind == "tied":
        net.params["W2"] = net.layers["Affine2"].W = np.ascontiguousarray(net.params["W2"][:, :7])
        net.params["b2"] = net.layers["Affine2"].b = np.zeros(7)
        net.params["W1"] = net.layers["Affine1"].W = net.params["W2"]
    elif kind == "view":
        net.params["b1"] = net.layers["Affine1"].b = net.params["W1"][3]
    return net


@pytest.mark.parametrize("kind", ["loss", "predict", "last layer", "instance", "layer", "tied", "view"])
def test_networks_that_were_changed(kind: str) -> None:
    net, t = changed(kind), T % 7
    plain = {name: plain_loop(lambda _: net.loss(X, t), array) for name, array in net.params.items()}
    assert_same(net.numerical_gradient(X, t), plain)


def test_layers_of_the_network_are_left_as_the_loop_leaves_them() -> None:
    np.random.seed(3)  # noqa: NPY002
    net: Any = MultiLayerNet(7, [7], 8)
    net.numerical_gradient(X, T)
    assert "all parameters" in reasons()
    found = net.last_layer.loss, net.last_layer.y.copy(), net.layers["Affine1"].x
    net.last_layer.loss = net.last_layer.y = net.layers["Affine1"].x = None
    array = net.params["b2"]
    plain_loop(lambda _: net.loss(X, T), array)
    assert found[0] == net.last_layer.loss
    np.testing.assert_array_equal(found[1], net.last_layer.y)
    np.testing.assert_array_equal(found[2], net.layers["Affine1"].x)


# --- threads ------------------------------------------------------------------------------------------

NETS = {name: {"W": GENERATOR.normal(size=(7, 8))} for name in "abcd"}


def test_threads_with_networks_side_by_side() -> None:
    """All networks reach the dictionary that holds them all."""
    wanted = {name: plain_loop(cross_entropy, net["W"]) for name, net in NETS.items()}
    found: dict[str, list[Any]] = collections.defaultdict(list)

    def work(name: str) -> None:
        W = NETS[name]["W"]
        for _ in range(20):
            found[name].append(numerical_gradient(lambda _: cross_entropy(NETS[name]["W"]), W))

    threads = [threading.Thread(target=work, args=(name,)) for name in NETS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, gradients in wanted.items():
        assert len(found[name]) == 20 and type(NETS[name]["W"]) is np.ndarray and NETS[name]["W"].flags.writeable
        for gradient in found[name]:
            np.testing.assert_allclose(gradient, gradients, rtol=0, atol=1e-9)


def test_a_gradient_within_a_function() -> None:
    W, V = weights(), weights(0.5)

    def f(_: Any) -> Any:
        return cross_entropy(W) + np.sum(numerical_gradient(lambda _: cross_entropy(V), V) ** 2)

    assert_as_the_loop(f, W)
