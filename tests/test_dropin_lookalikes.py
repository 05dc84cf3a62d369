"""Functions that look like a network and are none, or keep a state: all entries are compared with the plain loop."""

import collections
import functools
import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import Affine, Network
from fastnn.dropin import record
from fastnn.dropin.common.functions import cross_entropy_error, softmax
from fastnn.dropin.common.gradient import numerical_gradient
from tests.book_style import observe_always, plain_loop, reasons, ways

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


# --- losses that are another one where a network is sure -------------------------------------------

CLIPPED: dict[str, Callable[[Any], Any]] = {
    "clip 1e-7": lambda p: np.log(np.clip(p, 1e-7, 1 - 1e-7)),
    "clip 1e-15": lambda p: np.log(np.clip(p, 1e-15, 1.0)),
    "maximum": lambda p: np.log(np.maximum(p, 1e-10)),
    "another offset": lambda p: np.log(p + 1e-15),
}


@pytest.mark.parametrize("kind", CLIPPED)
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_losses_that_are_clipped(kind: str, scale: float) -> None:
    W = weights(scale)
    assert_as_the_loop(lambda _: -np.mean(CLIPPED[kind](softmax(X @ W)[np.arange(6), T])), W)


def test_a_sure_network_is_recognized() -> None:
    """Its loss is nearly 0, and rounding is a large part of it."""
    W = np.zeros((7, 8))
    x = np.eye(7)[:6]
    W[np.arange(6), T] = 30.0
    assert_as_the_loop(lambda _: -np.mean(np.log(softmax(x @ W)[np.arange(6), T])), W, "engine")


def test_a_huber_loss_within_its_limit() -> None:
    W, y = weights(), GENERATOR.normal(size=(6, 8))

    def huber(_: Any) -> Any:
        e = np.abs(X @ W - y)
        limit = float(e.max()) if isinstance(e, np.ndarray) else 1e3
        return np.where(e <= limit, 0.5 * e**2, limit * (e - 0.5 * limit)).sum() / 6

    assert_as_the_loop(huber, W)
    limit = float(np.abs(X @ W - y).max()) * 1.001
    assert_as_the_loop(lambda _: np.where(np.abs(X @ W - y) <= limit, 0.5 * (X @ W - y) ** 2, 0.0).sum() / 6, W)


def huber_of(e: Any, delta: float) -> Any:
    return np.where(abs(e) <= delta, 0.5 * e**2, delta * (abs(e) - 0.5 * delta)).sum() / 6


def log_loss_of(p: Any, t: Any, offset: float) -> Any:
    return -np.sum(t * np.log(p + offset) + (1 - t) * np.log(1 - p + offset)) / 6


ONE_HOT = np.eye(8)[T]
WITH_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "Huber": lambda z: huber_of(z - ONE_HOT, 0.7),
    "Huber of shares": lambda z: huber_of(softmax(z) - ONE_HOT, 0.3),
    "log loss": lambda z: log_loss_of(1 / (1 + np.exp(-z)), ONE_HOT, 1e-7),
    "log loss, another offset": lambda z: log_loss_of(1 / (1 + np.exp(-z)), ONE_HOT, 1e-5),
    "smoothed labels": lambda z: -np.sum((0.9 * ONE_HOT + 0.1 / 8) * np.log(softmax(z))) / 6,
    "absolute error of a sigmoid": lambda z: abs(1 / (1 + np.exp(-z)) - ONE_HOT).sum() / 6,
}


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_losses_with_an_option_are_recognized(name: str) -> None:
    W, b = weights(), GENERATOR.normal(size=8)
    assert_as_the_loop(lambda _: WITH_OPTIONS[name](X @ W + b), W, "engine")


def own_swish(x: Any, beta: Any) -> Any:
    return x / (1.0 + math.exp(-beta * x))


def own_slopes(x: Any, beta: Any) -> Any:
    s = 1.0 / (1.0 + math.exp(-beta * x))
    return s + beta * x * s * (1.0 - s), x * x * s * (1.0 - s)


@pytest.mark.parametrize("kind", ["PReLU", "one's own", "one's own, one beta", "another"])
def test_layers_with_parameters_are_recognized(kind: str) -> None:
    fastnn.layer(own_swish, derivative=own_slopes, parameters={"beta": 1.0}, name="observed_swish")
    W, b, after = weights(), GENERATOR.normal(size=8), GENERATOR.normal(size=(8, 8))
    slopes = 0.1 + GENERATOR.random(8)
    layer: Callable[[Any], Any] = {
        "PReLU": lambda z: np.where(z > 0, z, slopes * z),
        "one's own": lambda z: z / (1 + np.exp(-slopes * z)),
        "one's own, one beta": lambda z: z / (1 + np.exp(-1.7 * z)),
        "another": lambda z: np.where(z > 1, z, slopes * z),
    }[kind]
    way = "plain loop" if kind == "another" else "engine"
    assert_as_the_loop(lambda _: cross_entropy_error(softmax(layer(X @ W + b) @ after), T), W, way)


@pytest.mark.parametrize("unit", [0, 17, 39])
def test_a_unit_that_is_masked(unit: int) -> None:
    W, after, mask = GENERATOR.normal(size=(7, 40)), GENERATOR.normal(size=(40, 8)), np.ones(40)
    mask[unit] = 0.0
    x = X[:1]
    assert_as_the_loop(lambda _: cross_entropy_error(softmax(np.maximum(x @ W, 0) * mask @ after), T[:1]), W)


def test_a_layer_that_changes_the_rows() -> None:
    W, after = weights()[:, :3], GENERATOR.normal(size=(6, 5))
    W = np.ascontiguousarray(W)
    assert_as_the_loop(lambda _: cross_entropy_error(softmax(np.tanh(X @ W).reshape(3, 6) @ after), T[:3] % 5), W)


def test_a_ufunc_where_a_condition_holds() -> None:
    W = weights()

    def f(_: Any) -> Any:
        z = X @ W
        np.multiply(z, 0.01, out=z, where=z < 0)
        return cross_entropy_error(softmax(z), T)

    assert_as_the_loop(f, W, "plain loop")


def test_what_a_probe_may_not_be() -> None:
    """Random numbers form no positive definite matrix: that says nothing about f."""
    A = X.T @ X + np.eye(7)
    assert_as_the_loop(lambda _: 2 * np.sum(np.log(np.diag(np.linalg.cholesky(A)))), A, "plain loop")


# --- other ways to the array ------------------------------------------------------------------------


class OfClass:
    W: Any = None


def aliases(W: Any) -> dict[str, Callable[[], Any]]:
    """Rows of W in places where no stand-in can replace it."""
    row, holder, pair = W[2], types.SimpleNamespace(W=W), (W,)
    user, objects, memory, transposed = collections.UserDict(W=W), np.empty(1, object), memoryview(W), W.T
    objects[0] = OfClass.W = W

    def default(W: Any = W) -> Any:
        return W[2]

    return {
        "view": lambda: row,
        "default": default,
        "partial": functools.partial(lambda W: W[2], W),
        "bound method": functools.partial(W.__getitem__, 2),
        "class": lambda: OfClass.W[2],
        "namespace": lambda: holder.W[2],
        "tuple": lambda: pair[0][2],
        "user dictionary": lambda: user["W"][2],
        "array of objects": lambda: objects[0][2],
        "memory view": lambda: np.asarray(memory)[2],
        "transposed": lambda: transposed[:, 2],
    }


@pytest.mark.parametrize("way", aliases(weights()))
def test_another_way_to_the_array(way: str) -> None:
    W = weights()
    row = aliases(W)[way]
    assert_as_the_loop(lambda _: cross_entropy(W) + 0.5 * np.sum(row() ** 2), W)


def test_a_network_that_holds_the_array() -> None:
    net = Network([Affine(7, 8)], rng=0, dtype="float64")
    W, some = net.params["W1"], net.params["W1"][:3]
    assert_as_the_loop(lambda _: cross_entropy(W) + net.loss(X, T), W, "plain loop")
    record.reset()
    assert_as_the_loop(lambda _: cross_entropy_error(softmax(X[:, :3] @ some), T) + net.loss(X, T), some, "plain loop")


# --- whatever is written ---------------------------------------------------------------------------------

ACTIVATIONS: list[Callable[[Any], Any]] = [
    np.tanh,
    lambda v: np.maximum(v, 0),
    lambda v: np.clip(v, -1.0, 1.0),
    lambda v: np.minimum(np.maximum(v, 0), 6),
    lambda v: np.where(v > 0, v, 0.3 * v),
    lambda v: v * np.linspace(0.0, 1.0, v.shape[-1]),
    lambda v: np.abs(v),
    lambda v: v**2,
    lambda v: v - v.mean(axis=0),
    lambda v: 1 / (1 + np.exp(-v)) + 1e-6 * v,
]
LOSSES: list[Callable[[Any], Any]] = [
    lambda y: cross_entropy_error(softmax(y), T),
    lambda y: -np.mean(np.log(softmax(y) + 1e-7)[np.arange(6), T]),
    lambda y: -np.mean(np.log(softmax(y)[np.arange(6), T] + 1e-4)),
    lambda y: -np.sum(np.log(softmax(y))[np.arange(6), T] * np.linspace(0.5, 1.5, 6)),
    lambda y: np.sum((y - np.eye(8)[T]) ** 2) / 12,
    lambda y: np.mean(np.abs(y - np.eye(8)[T])),
    lambda y: np.sum((softmax(y) - np.eye(8)[T]) ** 2),
    lambda y: np.max(y),
    lambda y: -np.mean(np.log(np.maximum(softmax(y)[np.arange(6), T], 1e-3))),
]
TERMS: list[Callable[[Any], Any]] = [
    lambda W: 0.0,
    lambda W: 0.05 * np.sum(W**2),
    lambda W: 0.05 * np.sum(W[:2] ** 2),
    lambda W: 0.01 * np.sum(np.abs(W)),
    lambda W: 1e-3 * np.sum(W**4),
    lambda W: 0.01 * np.linalg.norm(W),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(ACTIVATIONS),
    st.sampled_from(LOSSES),
    st.sampled_from(TERMS),
    st.sampled_from([0.1, 1.0, 8.0]),
    st.integers(0, 2**32 - 1),
)
def test_whatever_is_written(activation: Any, loss: Any, term: Any, scale: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    W, after, bias = scale * generator.normal(size=(7, 5)), scale * generator.normal(size=(5, 8)), np.zeros(5)

    def f(_: Any) -> Any:
        return loss(activation(np.dot(X, W) + bias) @ after) + term(W)

    value = abs(float(f(0)))
    np.testing.assert_allclose(numerical_gradient(f, W), plain_loop(f, W), rtol=1e-6, atol=1e-9 * max(1.0, value))
