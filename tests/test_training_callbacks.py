"""The methods that callbacks of fit may have: begin and end."""

from typing import Any

import numpy as np
import pytest

from fastnn import History, Network
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
