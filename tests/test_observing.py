"""One observation for every way in, any step and method; short loops and functions refused before are left alone."""

import contextlib
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.dropin import record
from fastnn.dropin.common.gradient import numerical_gradient
from fastnn.engine.perturbation import METHODS
from fastnn.gradients import evaluation
from fastnn.observing import attempt, read_only
from fastnn.observing.engine import CHECKS
from fastnn.observing.tape import NotUnderstoodError
from tests.book_style import OwnFormulas, Squared, batch, observe_always, plain_loop, reasons, ways

WIDTHS = (7, 9, 8)
OBSERVED = 2  # calls under observation and without


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    observe_always(monkeypatch)


@pytest.fixture(autouse=True)
def fresh_record() -> None:
    record.reset()
    attempt.forget()


def calls_of(
    gradient: Callable[..., Any], f: Callable[[Any], Any], *arguments: Any, **keywords: Any
) -> tuple[Any, int]:
    """A gradient, and how often f was called, counted outside, where nothing is put back."""

    def called(x: Any) -> Any:
        print("called")
        return f(x)

    with contextlib.redirect_stdout(io.StringIO()) as output:
        result = gradient(called, *arguments, **keywords)
    return result, output.getvalue().count("called")


@pytest.mark.parametrize("h", [1e-4, 1e-2, 1e-6, "auto"])
@pytest.mark.parametrize("method", METHODS)
def test_a_network_in_numpy_by_any_step_and_method(
    always: None, monkeypatch: pytest.MonkeyPatch, method: Any, h: Any
) -> None:
    """The plain loop evaluates a few entries, too few to observe f."""
    net, (x, t) = OwnFormulas(WIDTHS), batch()
    f = lambda W: net.loss(x, t) + 0.05 * np.sum(net.params["W1"] ** 2)  # noqa: E731
    W = net.params["W1"]
    before, evaluated = W.tobytes(), []
    evaluate = evaluation.by_calls

    def counting(*arguments: Any, **keywords: Any) -> Any:
        sample = evaluate(*arguments, **keywords)
        evaluated.append(len(sample.position))
        return sample

    monkeypatch.setattr(evaluation, "by_calls", counting)
    found = fastnn.numerical_gradient(f, W, h, method=method, full_output=True)
    assert evaluated == [1], "the engine evaluates all but the first"
    assert found.evaluations == len(METHODS[method].points) * W.size
    assert W.tobytes() == before
    parts = [range(i, min(i + 5, W.size)) for i in range(0, W.size, 5)]
    plain = [fastnn.numerical_gradient(f, W, h, method=method, subset=list(some), full_output=True) for some in parts]
    values = np.concatenate([one.values.ravel()[list(some)] for one, some in zip(plain, parts, strict=True)])
    smallest = 1.5e-8 if (method, h) == ("forward", "auto") else 1e-7 if h == 1e-6 else 2e-5
    assert (found.error is not None) == (method == "richardson")
    # The loop takes a smaller step than the engine's across a kink, where the estimate tells.
    estimate = 0.0 if found.error is None else 3 * found.error.ravel()
    assert (np.abs(found.values.ravel() - values) <= estimate + 1e-14 / smallest).all()


def test_a_short_loop_is_evaluated_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated, evaluate = [], evaluation.by_calls

    def counting(*arguments: Any, **keywords: Any) -> Any:
        evaluated.append(len(arguments[2]))
        return evaluate(*arguments, **keywords)

    monkeypatch.setattr(evaluation, "by_calls", counting)
    fastnn.numerical_gradient(lambda x: np.sum(x**2), np.arange(20.0))
    assert evaluated == [20]


def test_subsets_of_a_network_in_numpy(always: None) -> None:
    net, (x, t) = OwnFormulas(WIDTHS), batch()
    W = np.asfortranarray(net.params["W1"])
    net.params["W1"] = W
    f = lambda _: net.loss(x, t)  # noqa: E731
    mask = np.arange(W.size).reshape(W.shape) % 3 == 1
    found, calls = calls_of(fastnn.numerical_gradient, f, W, subset=mask, full_output=True)
    assert calls == 2 + OBSERVED + 2 * CHECKS < found.evaluations == 2 * mask.sum()
    assert (np.isnan(found.values) == ~mask).all()
    np.testing.assert_allclose(found.values[mask], plain_loop(lambda _: net.loss(x, t), W)[mask], rtol=0, atol=1e-9)


def test_a_step_lost_in_rounding_warns_as_the_loop(always: None) -> None:
    net, (x, t) = Squared(WIDTHS), batch()
    net.params["b1"][0] = 1e13
    f = lambda _: net.loss(x, np.eye(8)[t])  # noqa: E731
    with pytest.warns(fastnn.PrecisionWarning, match=r"^h: a step of 0\.0001 is lost in the rounding of 1 entry"):
        found, calls = calls_of(fastnn.numerical_gradient, f, net.params["b1"])
    assert calls == 2 + OBSERVED + 2 * CHECKS and found[0] == 0.0


@pytest.mark.parametrize("gradient", [numerical_gradient, fastnn.numerical_gradient])
def test_a_function_that_counts_its_calls_counts_those_of_the_loop(always: None, gradient: Any) -> None:
    net, (x, t) = OwnFormulas(WIDTHS), batch()
    calls: list[Any] = []

    def f(W: Any) -> Any:
        calls.append(W)
        return net.loss(x, t)

    W = net.params["W1"]
    np.testing.assert_allclose(gradient(f, W), plain_loop(lambda _: net.loss(x, t), W), rtol=0, atol=1e-9)
    assert len(calls) == 2 * W.size and all(one is W for one in calls)
    calls.clear()
    assert fastnn.numerical_gradient(f, W, full_output=True).evaluations == len(calls)


@pytest.mark.parametrize("h", [1e-12, 2.0])
def test_steps_that_are_left_to_the_loop(always: None, h: float) -> None:
    net, (x, t) = OwnFormulas(WIDTHS), batch()
    _, calls = calls_of(fastnn.numerical_gradient, lambda _: net.loss(x, t), net.params["W1"], h)
    assert calls == 2 * net.params["W1"].size


# --- the reasons that are given -------------------------------------------------------------------


def test_a_method_of_another_array(always: None) -> None:
    x, w = np.random.default_rng(0).normal(size=(10, 20)), np.ones(20)
    numerical_gradient(lambda w: np.sum(x.dot(w) ** 2), w)
    assert reasons() == "another array's method takes the array, as in X.dot(W); write np.dot(X, W)"


def test_a_running_mean_of_the_loss(always: None) -> None:
    """Under observation it is a stand-in, and the second call makes another; the reason is no comparison of ours."""
    net, (x, t) = OwnFormulas(WIDTHS), batch()
    mean = {"loss": 0.0}

    def f(_: Any) -> Any:
        mean["loss"] = 0.9 * mean["loss"] + 0.1 * net.loss(x, t)
        return mean["loss"]

    numerical_gradient(f, net.params["W1"])
    assert reasons() == "a second call leaves another state than the first: it counts, or keeps running values"


# --- functions not worth observing ------------------------------------------------------------------


def test_a_short_loop_is_not_observed() -> None:
    """20 entries: observing and recognizing takes a dozen calls, more than a tenth of the loop's."""
    x, t = np.random.default_rng(0).normal(size=(1000, 20)), np.arange(1000) % 2
    f, w = lambda w: np.mean(np.abs(x @ w - t)), np.ones(20)
    for gradient in (numerical_gradient, fastnn.numerical_gradient):
        found, calls = calls_of(gradient, f, w)
        np.testing.assert_allclose(found, plain_loop(f, w), rtol=0, atol=1e-11)
        assert calls == 2 * w.size
    assert reasons() == attempt.TOO_SHORT and ways() == ["plain loop"]


def test_what_was_refused_is_tried_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "PATIENCE", np.inf)
    x, w = np.random.default_rng(0).normal(size=(10, 20)), np.ones(20)
    f = lambda w: np.mean(np.abs(x @ w))  # noqa: E731
    called = [calls_of(numerical_gradient, f, w)[1] for _ in range(8)]
    assert [number > 2 * w.size for number in called] == [True, False, True, False, False, False, True, False]
    assert len(record.entries()) == 1, "the reason is what it was"


def test_what_was_recognized_is_observed_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (x, t) = OwnFormulas(WIDTHS), batch()
    f = lambda _: net.loss(x, t)  # noqa: E731
    monkeypatch.setattr(attempt, "CONFIDENCE", np.inf)
    monkeypatch.setattr(attempt, "PATIENCE", np.inf)
    numerical_gradient(f, net.params["W1"])
    monkeypatch.setattr(attempt, "PATIENCE", 0.0)
    numerical_gradient(f, net.params["b1"])
    numerical_gradient(lambda _: net.loss(x, t), net.params["b1"])
    assert ways() == ["engine", "engine", "plain loop"]


class Held:
    """Memory that only __array_interface__ tells of."""

    def __init__(self, array: Any) -> None:
        self.array = array

    @property
    def __array_interface__(self) -> Any:
        return self.array.__array_interface__


@pytest.mark.parametrize("closed_over", [False, True])
def test_memory_without_a_buffer_stays_writable(always: None, closed_over: bool) -> None:
    foreign = np.asarray(Held(np.arange(1.0, 21.0)))
    x = np.arange(1.0, 21.0) if closed_over else foreign
    found = fastnn.numerical_gradient(lambda v: float(np.sum(v * foreign)), x)
    np.testing.assert_allclose(found, foreign if closed_over else 2 * foreign, rtol=1e-6)
    assert x.flags.writeable
    assert foreign.flags.writeable


@pytest.mark.parametrize("protocol", [2, 4])
def test_an_array_on_a_pickles_memory_is_refused_with_its_remedy(protocol: int) -> None:
    loaded = pickle.loads(pickle.dumps(np.ones((40, 4)), protocol))
    with pytest.raises(NotUnderstoodError, match=r"an array \(40, 4\) .*pickle\.load gives; copy it: W = W\.copy\(\)$"):
        read_only.ReadOnly([np.zeros(3), loaded])
    read_only.ReadOnly([np.zeros(3), loaded.copy()])


def test_read_only_undoes_itself_when_it_is_interrupted() -> None:
    class Interrupting(np.ndarray[Any, Any]):
        looks = 0

        @property
        def flags(self) -> Any:
            self.looks += 1
            if self.looks > 2:
                raise KeyboardInterrupt
            return super().flags

    a, b = np.zeros(3), np.zeros(3).view(Interrupting)
    context = read_only.ReadOnly([a, b])
    b.looks = 2
    with pytest.raises(KeyboardInterrupt), context:
        pass
    assert a.flags.writeable
