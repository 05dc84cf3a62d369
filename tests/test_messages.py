"""Messages never break the work that they accompany: streams may be closed, full, gone, or not quite streams."""

import io
import sys
from typing import Any

import pytest

from fastnn.kernels import cache
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.system import messages
from fastnn.system.progress import Progress
from fastnn.system.waiting import Waiting
from tests.compiled_package import RESULTS, Package, finished
from tests.test_training import T, X, parameter_bits, small_network


class Tee:
    """A stream that programs put in the place of standard output to write to two places."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


class Gone(io.StringIO):
    """A terminal that breaks after so many writes."""

    def __init__(self, writes: int = 0) -> None:
        super().__init__()
        self.writes = writes

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes -= 1
        if self.writes < 0:
            raise OSError(5, "Input/output error")
        return super().write(text)


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


class Full(io.StringIO):
    """A stream whose output does not fit on the disk."""

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


class Terminal(Tee):
    """A Tee that asks its terminal, and has no encoding."""

    def isatty(self) -> bool:
        return True


STREAMS: list[Any] = [lambda: None, Tee, closed, Gone, lambda: Gone(1), Terminal, Full, object]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_fit_trains_whatever_the_streams_are(name: str, stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, other = small_network(), small_network()
    other.fit(X, T, epochs=2, rng=0, progress=False)
    monkeypatch.setattr("fastnn.system.progress.REDRAW_SECONDS", 0.0)
    monkeypatch.setattr(sys, name, stream())
    net.fit(X, T, epochs=2, batch_size=100, rng=0)
    monkeypatch.undo()
    assert parameter_bits(net) == parameter_bits(other)


@pytest.mark.parametrize("stream", STREAMS)
def test_compilation_is_announced_as_far_as_it_goes(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stream()
    waiting = Waiting()
    monkeypatch.setattr(cache, "WAITING", waiting)
    monkeypatch.setattr(sys, "stderr", made)
    try:
        with waiting.group(2), waiting.kernel():
            cache._announce_compilation()
    finally:
        monkeypatch.undo()
    if isinstance(made, Terminal):
        assert made.text.startswith("\rfastnn: compiling kernels for their first use: 0 of 2, 0 s")
    elif isinstance(made, Tee):
        assert made.text.startswith("fastnn: compiling kernels for their first use (")
        assert made.text.endswith(")\n")


# The first call of a program whose standard error does not work, with an empty cache.
FIRST_CALL = """
import sys
{}
import json
import numpy as np
from fastnn.kernels.caller import total
print(json.dumps(total(np.ones(3))))
"""


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")
@pytest.mark.parametrize("breaking", ["sys.stderr.close()", "import os; os.close(2)"])
def test_the_first_call_of_a_program_without_standard_error(breaking: str, package: Package) -> None:
    assert finished(package.start(FIRST_CALL.format(breaking)))[0] == RESULTS[-1][-1]
    assert len(package.files()) == 1  # kept, too


def test_a_terminal_that_goes_is_left_alone() -> None:
    terminal = Gone(2)
    line = Progress(10, stream=terminal)
    for _ in range(4):
        line._drawn_at = -1.0
        line.update(1)
    line.close()
    assert terminal.getvalue().count("\r") == 2
    assert terminal.writes == -1  # it was not tried again
    assert not messages.write(None, "text")
