"""The methods that callbacks of fit may have: begin and end."""

from typing import Any

import numpy as np
import pytest

from fastnn import Affine, History, Network
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
