"""What the drop-in must not overlook, waste or keep alive when it evaluates gradients by several arrays together.

One hidden unit's weights are 0 at first, so that a comparison of single quotients would not show a change of this unit.
"""

import gc
import os
import random
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.dropin.common.functions import cross_entropy_error, sigmoid, softmax
from fastnn.dropin.common.gradient import numerical_gradient, plain_numerical_gradient
from fastnn.dropin.common.layers import Affine, Relu, SoftmaxWithLoss
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.observing import attempt, engine
from fastnn.observing.state import State
from fastnn.observing.tape import NotUnderstoodError
from tests.hidden_states import UNIT, WAYS, H, install

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="the loop is not slower than the engine then")

N, D, K = 40, 30, 10


def parameters() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    found = {"W1": 0.3 * generator.normal(size=(D, H)), "b1": 0.1 * generator.normal(size=H)}
    found |= {"W2": 0.3 * generator.normal(size=(H, K)), "b2": 0.1 * generator.normal(size=K)}
    found["W2"][UNIT] = 0.0
    return found


def made_name() -> None: ...


array_of_flags = np.ones(2)


def data() -> tuple[Any, Any]:
    generator = np.random.default_rng(1)
    return generator.normal(size=(N, D)), np.eye(K)[generator.integers(0, K, N)]


class Gated:
    """A network of functions, whose hidden units are multiplied by factors that a function gives."""

    def __init__(self, params: dict[str, Any], factors: Callable[..., Any]) -> None:
        self.params, self.factors = params, factors

    def loss(self, x: Any, t: Any) -> Any:
        p = self.params
        z = sigmoid(np.dot(x, p["W1"]) + p["b1"]) * self.factors()
        return cross_entropy_error(softmax(np.dot(z, p["W2"]) + p["b2"]), t)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    return install(monkeypatch)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether each gradient that was evaluated along with another was given out."""
    attempt.forget()
    found: list[bool] = []
    original = engine.again

    def again(*arguments: Any) -> Any:
        found.append(False)
        result = original(*arguments)
        found[-1] = True
        return result

    monkeypatch.setattr(engine, "again", again)
    yield found
    attempt.forget()


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The array of each call of the engine; None for all arrays."""
    found: list[Any] = []
    original = engine.gradients

    def gradients(chain: Any, rule: Any, only: Any) -> Any:
        found.append(only)
        return original(chain, rule, only)

    monkeypatch.setattr(engine, "gradients", gradients)
    return found


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__[3:])
def test_no_change_is_overlooked(way: Any, settings: Any, tmp_path: Path, given: list[bool]) -> None:
    arguments = (settings, tmp_path) if way.__code__.co_argcount == 2 else (settings,)
    factors, change = way(*arguments)
    net, (x, t) = Gated(parameters(), factors), data()
    f = lambda _: net.loss(x, t)  # noqa: E731
    for array in net.params.values():
        numerical_gradient(f, array)
    before = plain_numerical_gradient(f, net.params["W2"])
    numerical_gradient(f, net.params["W1"])
    change()
    expected = plain_numerical_gradient(f, net.params["W2"])
    assert np.abs(expected - before).max() > 1e-3
    np.testing.assert_allclose(numerical_gradient(f, net.params["W2"]), expected, rtol=1e-7, atol=1e-10)
    assert not any(given)


@pytest.mark.parametrize("function", [time.time, random.random, np.random.rand, input, print, open, os.getenv])
def test_functions_of_the_outside_are_refused(function: Any) -> None:
    with pytest.raises(NotUnderstoodError):
        State(lambda _: function())


def test_a_state_tells_objects_that_look_alike_apart() -> None:
    one, other = type("One", (), {}), type("Other", (), {})
    array = np.ones(3)
    held: list[Any] = [None]

    def number() -> float:
        return 1.0

    def f(_: Any) -> Any:
        return held[0], number()

    for first, second in ((one, other), (array, array[:]), (array, array.copy()), (1, 1.0), (1, True), (0.0, -0.0)):
        held[0] = first
        before = State(f)
        assert before.equals(State(f))
        held[0] = second
        assert not before.equals(State(f))
    before = State(f)
    number.__code__ = number.__code__.replace(
        co_consts=tuple(2.0 if constant == 1.0 else constant for constant in number.__code__.co_consts)
    )
    assert number() == 2.0
    assert not before.equals(State(f))


@pytest.mark.parametrize("read", [lambda _: made_name.__name__, lambda _: array_of_flags.flags.writeable])
def test_names_and_flags_of_objects_are_refused(read: Any) -> None:
    with pytest.raises(NotUnderstoodError, match="may hide a state"):
        State(read)


class Stateless:
    """A layer that keeps nothing of its last call."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        return np.dot(x, self.W) + self.b


class Keeping(Stateless):
    """A layer as the book's."""

    x: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.dot(x, self.W) + self.b


class Layered:
    """A network of layers."""

    def __init__(self, kind: Any, last: Any) -> None:
        self.params = parameters()
        p = self.params
        self.layers = [kind(p["W1"], p["b1"]), kind(p["W2"], p["b2"])]
        self.last = last

    def loss(self, x: Any, t: Any) -> Any:
        z = np.maximum(self.layers[0].forward(x), 0.0)
        return self.last(self.layers[1].forward(z), t)


def last_of_functions(z: Any, t: Any) -> Any:
    return cross_entropy_error(softmax(z), t)


@pytest.mark.parametrize("kind", [Affine, Keeping])
def test_layers_that_keep_arrays_cost_no_more_than_one_array_each(
    kind: Any, given: list[bool], evaluated: list[Any]
) -> None:
    last = SoftmaxWithLoss().forward if kind is Affine else last_of_functions
    net, (x, t) = Layered(kind, last), data()
    for _ in range(4):
        for array in net.params.values():
            found = numerical_gradient(lambda _: net.loss(x, t), array)
            expected = plain_numerical_gradient(lambda _: net.loss(x, t), array)
            np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10)
    assert 4 <= len(evaluated) <= 4 * 4  # short loops do without the engine
    assert None not in evaluated  # None is all arrays
    assert given == []


def test_layers_that_keep_nothing_are_shared_until_one_changes(given: list[bool], evaluated: list[Any]) -> None:
    net, (x, t) = Layered(Stateless, last_of_functions), data()
    f = lambda _: net.loss(x, t)  # noqa: E731
    for _ in range(3):
        for array in net.params.values():
            numerical_gradient(f, array)
    assert given == [True] * 6
    numerical_gradient(f, net.params["W1"])
    net.layers[1].W = 1.5 * net.layers[1].W
    expected = plain_numerical_gradient(f, net.params["b2"])
    np.testing.assert_allclose(numerical_gradient(f, net.params["b2"]), expected, rtol=1e-7, atol=1e-10)
    assert given == [True] * 6 + [False]


def test_layers_that_are_held_but_not_used_do_not_matter(given: list[bool]) -> None:
    net, (x, t) = Gated(parameters(), lambda: 1.0), data()
    net.layers = [Affine(net.params["W1"], net.params["b1"]), Relu()]  # type: ignore[attr-defined]
    for _ in range(2):
        for array in net.params.values():
            numerical_gradient(lambda _: net.loss(x, t), array)
    assert given == [True] * 3


def test_an_overridden_method_does_not_matter_unless_it_is_called(given: list[bool]) -> None:
    class Overridden:
        def loss(self, x: Any, t: Any) -> Any:
            return np.random.random()  # noqa: NPY002

    class Overriding(Gated, Overridden):
        pass

    class Calling(Gated, Overridden):
        def loss(self, x: Any, t: Any) -> Any:
            return super().loss(x, t)

    def loss_of(net: Any) -> Callable[[Any], Any]:
        return lambda _: net.loss(1.0, 2.0)

    State(loss_of(Overriding(parameters(), lambda: 1.0)))
    for net in (Calling(parameters(), lambda: 1.0), Overridden()):
        with pytest.raises(NotUnderstoodError):
            State(loss_of(net))


def test_quotients_evaluated_in_vain_are_not_evaluated_again(given: list[bool], evaluated: list[Any]) -> None:
    net, (x, t) = Gated(parameters(), lambda: 1.0), data()
    f = lambda _: net.loss(x, t)  # noqa: E731
    for array in net.params.values():
        numerical_gradient(f, array)
    evaluated.clear()
    for _ in range(4):
        numerical_gradient(f, net.params["W1"])
    assert [one is None for one in evaluated] == [True, False, False, False]


@pytest.mark.parametrize("names", [["W1", "b1", "W2", "b2"], ["W1"]])
def test_a_network_and_its_data_are_freed(names: list[str], given: list[bool]) -> None:
    def run() -> list[weakref.ref[Any]]:
        net, (x, t) = Gated(parameters(), lambda: 1.0), data()
        for chosen in (list(net.params), names):
            for name in chosen:
                numerical_gradient(lambda _: net.loss(x, t), net.params[name])
        assert any(past.others is not None for past in attempt._pasts.values()) == (names == ["W1"])
        return [weakref.ref(net), weakref.ref(x), weakref.ref(net.params["W2"])]

    references = run()
    gc.collect()
    assert [one() for one in references] == [None] * 3
    assert all(past.others is None for past in attempt._pasts.values())


def test_an_exception_in_the_middle_reaches_the_user_and_leaves_everything(given: list[bool]) -> None:
    limit = [np.inf]

    class Failing(Gated):
        def loss(self, x: Any, t: Any) -> Any:
            if float(np.sum(x)) > limit[0]:
                raise ValueError("too large")
            return Gated.loss(self, x, t)

    net, (x, t) = Failing(parameters(), lambda: 1.0), data()
    f = lambda _: net.loss(x, t)  # noqa: E731
    for _ in range(2):
        for array in net.params.values():
            numerical_gradient(f, array)
    numerical_gradient(f, net.params["W1"])
    kept = {name: array.copy() for name, array in net.params.items()}
    limit[0] = -np.inf
    with pytest.raises(ValueError, match="too large"):
        numerical_gradient(f, net.params["W2"])
    limit[0] = np.inf
    expected = plain_numerical_gradient(f, net.params["W2"])
    np.testing.assert_allclose(numerical_gradient(f, net.params["W2"]), expected, rtol=1e-7, atol=1e-10)
    assert all(np.array_equal(kept[name], array) for name, array in net.params.items())


@pytest.mark.parametrize("does", ["counts", "prints"])
def test_a_loss_that_prints_or_counts_is_observed_for_each_array(
    does: str, given: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    count = [0]

    def counting() -> Any:
        count[0] += 1
        return 1.0

    def printing() -> Any:
        print("called")
        return 1.0

    net, (x, t) = Gated(parameters(), counting if does == "counts" else printing), data()
    f = lambda _: net.loss(x, t)  # noqa: E731
    for _ in range(3):
        for array in net.params.values():
            before = count[0]
            found = numerical_gradient(f, array)
            assert count[0] - before == (2 * array.size if does == "counts" else 0)
            np.testing.assert_allclose(found, plain_numerical_gradient(f, array), rtol=1e-7, atol=1e-10)
    assert given == []
    assert does == "counts" or "called" in capsys.readouterr().out
