"""Numerical gradients of unmodified code: which ones the engine evaluates, and which are left to the plain loop."""

import random
from typing import Any

import numpy as np
import pytest

from fastnn import Affine, Network, Sigmoid
from fastnn.dropin import record
from fastnn.dropin.common.gradient import numerical_gradient
from fastnn.dropin.common.layers import BatchNormalization, Dropout
from fastnn.observing.engine import CHECKS
from tests.book_style import (
    Decaying,
    Layered,
    OwnFormulas,
    Parameters,
    Squared,
    TwoLayers,
    assert_same,
    batch,
    observe_always,
    plain_loop,
    reasons,
    ways,
)

WIDTHS = (7, 9, 8)  # every array has more entries than the plain loop is quicker for
OBSERVED = 4 + 2  # calls for the first two entries, then under observation and without, before anything is decided


@pytest.fixture(autouse=True)
def fresh_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record.reset()
    observe_always(monkeypatch)


def bits(net: Parameters) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in net.params.items()}


KINDS: dict[str, tuple[type[Parameters], str]] = {
    "functions": (TwoLayers, "one-hot"),
    "functions, labels": (TwoLayers, "labels"),
    "own formulas": (OwnFormulas, "labels"),
    "squared": (Squared, "one-hot"),
    "layers": (Layered, "one-hot"),
    "layers, labels": (Layered, "labels"),
    "decay": (Decaying, "labels"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("widths", [WIDTHS, (7, 9, 10, 8)], ids=str)
def test_the_engine_gives_what_the_plain_loop_gives(kind: str, widths: tuple[int, ...]) -> None:
    made, targets = KINDS[kind]
    if made not in (Layered, Decaying):
        widths = WIDTHS
    net = made(widths)
    x, t = batch()
    if targets == "one-hot":
        t = np.eye(8)[t]
    before = bits(net)
    found = net.numerical_gradient(x, t)
    assert bits(net) == before
    assert set(ways()) == {"engine"}, reasons()
    assert_same(found, net.plain_gradient(x, t))


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_images_of_any_kind(dtype: str) -> None:
    net, (x, t) = TwoLayers(WIDTHS), batch()
    x = (3 * x).astype("int8").view("uint8") % 7 if dtype == "uint8" else x.astype(dtype)
    found = net.numerical_gradient(x, t.astype(np.uint8))
    assert "engine" in ways(), reasons()
    assert_same(found, net.plain_gradient(x, t))


def test_a_single_sample() -> None:
    net, (x, t) = TwoLayers(WIDTHS), batch()
    one_hot = np.eye(8)[t[0]]
    found = net.numerical_gradient(x[0], one_hot)
    assert "engine" in ways(), reasons()
    assert_same(found, net.plain_gradient(x[0], one_hot))
    assert_same(net.numerical_gradient(x[:1], t[:1].reshape(1, 1)), net.plain_gradient(x[:1], t[:1].reshape(1, 1)))


def test_labels_that_broadcast_are_left_to_the_plain_loop() -> None:
    """(N, 1) labels pair each with each, which is wrong, but what the book's function gives."""
    net, (x, t) = TwoLayers(WIDTHS), batch()
    found = net.numerical_gradient(x, t.reshape(-1, 1))
    assert set(ways()) == {"plain loop"}
    assert_same(found, net.plain_gradient(x, t.reshape(-1, 1)))


def test_extra_calls_are_those_documented() -> None:
    net, (x, t) = TwoLayers(WIDTHS), batch()
    calls: list[Any] = []
    W = net.params["W1"]

    class Counted:
        def __call__(self, W: Any) -> Any:
            calls.append(type(W).__name__)  # a list in a closure: state, so the plain loop's
            return net.loss(x, t)

    numerical_gradient(Counted(), W)
    assert ways() == ["plain loop"]
    assert len(calls) == 2 * W.size
    traced = TwoLayers(WIDTHS)
    seen = traced_calls(traced, x, t)
    assert ways()[-1] == "engine", reasons()
    assert seen == OBSERVED + 2 * CHECKS


def traced_calls(net: TwoLayers, x: Any, t: Any) -> int:
    """How often f is called, counted from outside by its prints."""
    import contextlib
    import io

    def f(_: Any) -> Any:
        print("called")
        return net.loss(x, t)

    with contextlib.redirect_stdout(io.StringIO()) as output:
        numerical_gradient(f, net.params["W1"])
    return output.getvalue().count("called")


class Dropping(Layered):
    """Its masks are drawn from the global generator."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__(widths)
        self.layers.insert(2, Dropout(0.3))


class Normalizing(Layered):
    """Its running values change with every call."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__(widths)
        self.layers.insert(1, BatchNormalization(np.ones(widths[1]), np.zeros(widths[1])))


class Counting(Layered):
    """Counts its calls."""

    calls = 0

    def loss(self, x: Any, t: Any) -> Any:
        self.calls += 1
        return super().loss(x, t)


class Remembering(Layered):
    """Keeps its losses."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__(widths)
        self.losses: list[float] = []

    def loss(self, x: Any, t: Any) -> Any:
        self.losses.append(super().loss(x, t))
        return self.losses[-1]


class Updating(Layered):
    """Changes an array in place."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__(widths)
        self.sum = np.zeros(1)

    def loss(self, x: Any, t: Any) -> Any:
        self.sum += 1
        return super().loss(x, t)


CALLS = {"global": 0}
LAST: Any  # which the functions below make
KEPT: Any


class Global(Layered):
    """Counts its calls in a global dictionary."""

    def loss(self, x: Any, t: Any) -> Any:
        CALLS["global"] += 1
        return super().loss(x, t)


class Drawing(Layered):
    """Has a generator of its own."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__(widths)
        self.generators: list[Any] = [np.random.RandomState(1), np.random.default_rng(2), random.Random(3)]
        self.drawn = 0.0

    def loss(self, x: Any, t: Any) -> Any:
        self.drawn = sum(generator.random() for generator in self.generators)
        return super().loss(x, t) + 0.0 * self.drawn


class Collecting(Layered):
    """Keeps a set, a new global name and a new attribute of its class."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__(widths)
        self.seen: set[int] = set()

    def loss(self, x: Any, t: Any) -> Any:
        global LAST
        self.seen.add(len(self.seen))
        LAST = Collecting.last = super().loss(x, t)  # type: ignore[attr-defined]
        return LAST


class OfClass(Layered):
    """Counts the calls of all its objects."""

    total = 0

    def loss(self, x: Any, t: Any) -> Any:
        OfClass.total += 1
        return super().loss(x, t)


def state(net: Any) -> list[Any]:
    """Everything that the calls may have changed."""
    legacy: Any = np.random.get_state()  # noqa: NPY002
    kept: list[Any] = [legacy[1:3], random.getstate(), CALLS["global"], OfClass.total]
    for owner in [net, *net.layers, net.last_layer]:
        kept += [(name, value) for name, value in sorted(vars(owner).items()) if name not in ("params", "layers")]
        kept += [generator.random() for generator in vars(owner).get("generators", [])]
    return kept


def assert_equal_states(a: Any, b: Any) -> None:
    if isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal_states(x, y)
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, int | float | str | set | None):
        assert a == b
    else:
        assert type(a) is type(b)


@pytest.mark.parametrize(
    "kind",
    [Dropping, Normalizing, Counting, Remembering, Updating, Global, OfClass, Drawing, Collecting],
    ids=lambda kind: kind.__name__,
)
def test_what_has_side_effects_comes_out_as_of_the_plain_loop(kind: type[Layered]) -> None:
    x, t = batch()
    results, states = [], []
    for gradient in ("numerical_gradient", "plain_gradient"):
        np.random.seed(7)  # noqa: NPY002
        random.seed(7)
        CALLS["global"] = OfClass.total = 0
        net = kind(WIDTHS)
        results.append(getattr(net, gradient)(x, t))
        states.append(state(net))
    assert set(ways()) == {"plain loop"}
    for name, array in results[1].items():
        np.testing.assert_array_equal(results[0][name], array)
    assert_equal_states(*states)


def test_the_layers_are_left_as_the_plain_loop_leaves_them() -> None:
    x, t = batch()
    nets = [Decaying(WIDTHS), Decaying(WIDTHS)]
    numerical_gradient(lambda _: nets[0].loss(x, t), nets[0].params["W1"])
    plain_loop(lambda _: nets[1].loss(x, t), nets[1].params["W1"])
    assert ways() == ["engine"]
    assert_equal_states(state(nets[0]), state(nets[1]))


@pytest.mark.parametrize("by_class", [False, True])
def test_no_stand_in_is_left_where_there_was_nothing(by_class: bool) -> None:
    net, (x, t) = TwoLayers(WIDTHS), batch()

    class Keeper:
        last: Any = None

    def f(W: Any) -> Any:
        global KEPT
        KEPT = net.last = W  # type: ignore[attr-defined]
        if by_class:
            Keeper.last = W
        return net.loss(x, t)

    numerical_gradient(f, net.params["W1"])
    assert ways() == ["plain loop" if by_class else "engine"]
    for kept in (KEPT, net.last, Keeper.last if by_class else KEPT):  # type: ignore[attr-defined]
        assert kept is net.params["W1"]


def test_iterators_are_not_asked_for_more() -> None:
    net, (x, t) = TwoLayers(WIDTHS), batch()
    batches = iter([(x, t)] * 1000)
    numerical_gradient(lambda _: net.loss(*next(batches)), net.params["W1"])
    assert ways() == ["plain loop"] and "iterator" in reasons()
    assert len(list(batches)) == 1000 - 2 * 63


@pytest.mark.parametrize(
    ("f", "reason"),
    [
        (lambda x: np.sum(x**2), "no product"),
        (lambda x: float(np.sum(x**2)), "conversion"),
        (lambda x: np.sum(x**2) if x[0, 0] > 0 else 0.0 * np.sum(x), "decision"),
        (lambda x: np.sum(np.linalg.inv(x @ x.T + np.eye(5))), "2 uses"),
        (lambda x: sum(float(v) for row in x for v in row), "loop"),
        (lambda x: np.sum(np.cumsum(x, axis=1)), "no weight decay"),
    ],
)
def test_other_functions_are_the_plain_loops(f: Any, reason: str) -> None:
    x = np.random.default_rng(3).normal(size=(5, 4))
    before = x.copy()
    found = numerical_gradient(f, x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(found, plain_loop(f, x))
    assert ways() == ["plain loop"] and reason in reasons()


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        (lambda v: np.log(1 + np.exp(-np.abs(v))) + np.maximum(v, 0), "Softplus"),
        (lambda v: v / (1 + np.exp(-v)), "Silu"),
        (lambda v: np.where(v > 0, v, 0.7 * (np.exp(v) - 1)), "Elu"),
        (lambda v: (np.exp(2 * v) - 1) / (np.exp(2 * v) + 1), "Tanh"),
        (lambda v: v * (v > 0), "Relu"),
    ],
)
def test_activations_however_they_are_written(activation: Any, name: str) -> None:
    net, (x, t) = TwoLayers(WIDTHS), batch()
    p = net.params

    def f(_: Any) -> Any:
        scores = activation(np.dot(x, p["W1"]) + p["b1"]) @ p["W2"]
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return -np.mean(np.log(shares[np.arange(len(t)), t]))

    found = numerical_gradient(f, p["W1"])
    assert ways() == ["engine"] and name in reasons()
    np.testing.assert_allclose(found, plain_loop(f, p["W1"]), rtol=0, atol=1e-9)


def test_a_view_that_is_kept_elsewhere_is_noticed() -> None:
    """The stand-in is not seen through it, so the spot checks or the record have to notice."""
    net, (x, t) = TwoLayers(WIDTHS), batch()
    kept = {"W": net.params["W1"].T}

    def f(_: Any) -> Any:
        hidden = np.tanh(np.dot(x, kept["W"].T)) + np.tanh(np.dot(x, net.params["W1"]))
        y = np.exp(hidden[:, :8])
        return -np.mean(np.log(y[np.arange(len(t)), t] / y.sum(axis=1)))

    found = numerical_gradient(f, net.params["W1"])
    assert ways() == ["plain loop"]
    np.testing.assert_array_equal(found, plain_loop(f, net.params["W1"]))


def test_an_exception_of_f_is_its_own() -> None:
    net = TwoLayers(WIDTHS)

    def f(_: Any) -> Any:
        raise ZeroDivisionError("of the script")

    with pytest.raises(ZeroDivisionError, match="of the script"):
        numerical_gradient(f, net.params["W1"])
    assert all(type(array) is np.ndarray for array in net.params.values())
    assert all(array.flags.writeable for array in net.params.values())


def test_a_loss_of_a_fastnn_network() -> None:
    net = Network([Affine(7, 5), Sigmoid(), Affine(5, 8)], rng=0, dtype="float64")
    x, t = batch()
    found = numerical_gradient(lambda W: net.loss(x, t), net.params["W1"])
    assert ways() == ["engine"] and reasons() == "a fastnn network"
    np.testing.assert_allclose(found, plain_loop(lambda W: net.loss(x, t), net.params["W1"]), rtol=0, atol=1e-9)


def test_the_layout_of_the_array_is_kept() -> None:
    net, (x, t) = TwoLayers(WIDTHS), batch()
    net.params["W1"] = np.asfortranarray(net.params["W1"])
    found = net.numerical_gradient(x, t)["W1"]
    assert ways()[0] == "engine"
    assert found.flags.f_contiguous
    np.testing.assert_allclose(found, net.plain_gradient(x, t)["W1"], rtol=0, atol=1e-9)
