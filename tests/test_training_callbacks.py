"""The methods that callbacks of fit may have: begin and end."""

from typing import Any

import numpy as np
import pytest

from fastnn import SGD, Affine, History, Network
from tests.test_training import T, X, parameter_bits, small_network


class Recorder:
    """A callback with all three methods, which notes their calls."""

    def __init__(self, refuses: bool = False, fails: bool = False) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refuses, self.fails = refuses, fails

    def begin(self, net: Network, figures: tuple[str, ...]) -> None:
        self.calls.append(("begin", figures))
        if self.refuses:
            raise ValueError("refused")

    def __call__(self, net: Network, history: History) -> None:
        self.calls.append(("epoch", net.history is history))
        if self.fails:
            raise KeyboardInterrupt

    def end(self, net: Network, history: History) -> None:
        self.calls.append(("end", net.history is history, history.epochs))


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("targets", [T, np.eye(3)[T] * 0.5 + 1 / 6], ids=["labels", "probabilities"])
def test_begin_and_end_of_callbacks(targets: Any, validated: bool) -> None:
    """`begin` learns what the history will hold; `end` comes after the last epoch, or when training fails."""
    net, recorder, failing = small_network(), Recorder(), Recorder(fails=True)
    validation = (X, targets) if validated else None
    history = net.fit(X, targets, epochs=2, validation_data=validation, callbacks=[recorder, lambda net, history: None])
    figures = tuple(name for name, row in vars(history).items() if row)
    assert set(recorder.calls[0][1]) == set(figures) and len(recorder.calls[0][1]) == len(figures)
    assert recorder.calls[1:] == [("epoch", True), ("epoch", True), ("end", True, 2)]
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, targets, epochs=2, callbacks=[failing])
    assert failing.calls[1:] == [("epoch", True), ("end", True, 1)]


def test_begin_may_refuse() -> None:
    net, refusing = small_network(), Recorder(refuses=True)
    history, before = net.fit(X, T, epochs=1), parameter_bits(net)
    with pytest.raises(ValueError, match=r"^refused$"):
        net.fit(X, T, callbacks=[first := Recorder(), refusing, last := Recorder()])
    assert [call[0] for call in refusing.calls] == ["begin"]
    assert [call[0] for call in first.calls] == ["begin", "end"] and first.calls[1][2] == 0  # no epoch
    assert last.calls == []
    assert net.history is history
    assert parameter_bits(net) == before


@pytest.mark.parametrize(("result", "epochs"), [(True, 1), (np.True_, 1), (False, 3), (np.False_, 3), (None, 3)])
def test_true_ends_the_training(result: Any, epochs: int) -> None:
    assert small_network().fit(X, T, epochs=3, callbacks=[lambda net, history: result]).epochs == epochs


class ByBatch:
    """A callback that is called after batches alone."""

    def __init__(self, last: int = 10**6, result: Any = True) -> None:
        self.figures: list[Any] = []
        self.last, self.result = last, result

    def after_batch(self, net: Network, figures: Any) -> Any:
        self.figures.append(figures)
        return self.result if len(self.figures) == self.last else None


@pytest.mark.parametrize("as_batches", [True, False])
def test_callbacks_by_batch(as_batches: bool) -> None:
    """Each sees the loss of its batch before the update; the training has the same bits as without one."""
    net, plain, other, callback = small_network(), small_network(), small_network(), ByBatch()
    options: dict[str, Any] = {"epochs": 2, "batch_size": 30, "shuffle": False, "optimizer": SGD(0.2)}
    pairs = [(X[i : i + 30], T[i : i + 30]) for i in (0, 30, 60)]
    data = (pairs,) if as_batches else (X, T)
    history = net.fit(*data, schedule=lambda epoch, _: 0.5**epoch, callbacks=[callback], **options)
    expected = plain.fit(X, T, schedule=lambda epoch, _: 0.5**epoch, **options)
    assert (history.loss, parameter_bits(net)) == (expected.loss, parameter_bits(plain))
    batches = None if as_batches else 3
    rest = [(figures[:4], figures.learning_rate) for figures in callback.figures]
    assert rest == [((e, b, batches, 10 if b == 2 else 30), (0.2, 0.1)[e]) for e in range(2) for b in range(3)]
    losses = [other.step(*pair, SGD(rate)) for rate in (0.2, 0.1) for pair in pairs]
    np.testing.assert_allclose([figures.loss for figures in callback.figures], losses, rtol=1e-6)


def test_a_callback_by_batch_ends_the_training() -> None:
    """The epoch ends there: its figures are of the batches so far, and callbacks by epoch are called."""
    net, other, recorder = small_network(), small_network(), Recorder()
    options: dict[str, Any] = {"batch_size": 30, "shuffle": False, "optimizer": SGD(0.2)}
    history = net.fit(X, T, epochs=5, callbacks=[ByBatch(2), recorder], **options)
    expected = other.fit(X[:60], T[:60], epochs=1, **options)
    assert (history.loss, history.accuracy, parameter_bits(net)) == (
        expected.loss,
        expected.accuracy,
        parameter_bits(other),
    )
    assert [call[0] for call in recorder.calls] == ["begin", "epoch", "end"]
    with pytest.raises(
        TypeError, match=r"^callbacks\[1\]: expected True, to end the training, or False or None, to go on"
    ):
        net.fit(X, T, callbacks=[recorder, ByBatch(1, "stop")])


@pytest.mark.parametrize("result", ["stop", 0.25, 0, 1, np.array(True)])
def test_other_results_are_refused(result: Any) -> None:
    """A callback that happens to return a number would end the training without a word."""
    net, recorder = small_network(), Recorder()
    sentence = r"^callbacks\[1\]: expected True, to end the training, or False or None, to go on, got .*; return one of"
    with pytest.raises(TypeError, match=sentence):
        net.fit(X, T, epochs=3, callbacks=[recorder, lambda net, history: result])
    assert recorder.calls[-1] == ("end", True, 1)


def test_the_arguments_of_a_wrong_function_are_named() -> None:
    net: Any = small_network()
    with pytest.raises(TypeError, match=r"^callbacks: .*, got \[the function <lambda>\(a\)\]; pass callbacks="):
        net.fit(X, T, callbacks=[lambda a: 1])
    with pytest.raises(TypeError, match=r"^schedule: .*, got the function <lambda>\(e\); pass one such as"):
        net.fit(X, T, schedule=lambda e: 0.1)


@pytest.mark.parametrize("targets", [np.ones((8, 2)), np.full((8, 2), 2.5), np.zeros(3), [[0.5, -1.0]] * 8])
def test_accuracy_of_numbers_names_the_loss(targets: Any) -> None:
    net = Network([Affine(4, 2)], "mean_squared_error", rng=0)
    remedy = "; accuracy compares classes: for targets that are numbers call loss$"
    with pytest.raises(ValueError, match=rf"^t: expected [^;]*{remedy}"):
        net.accuracy(np.ones((8, 4)), targets)
