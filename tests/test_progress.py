"""The progress line: its text, how often and how wide it is drawn, and when it is not."""

import importlib.util
import io
import os
import re
import sys
import time
import types
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from fastnn.system import progress
from fastnn.system.progress import Progress


class Terminal(io.TextIOWrapper):
    """A stream that calls itself a terminal and remembers what was written."""

    def __init__(self, encoding: str = "ascii") -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding=encoding, newline="")

    def isatty(self) -> bool:
        return True

    def getvalue(self) -> str:
        """The flushed output."""
        return self._bytes.getvalue().decode(self.encoding)

    def lines(self) -> list[str]:
        """Every line that was drawn, without the spaces that wipe the line before."""
        return [line.rstrip() for line in self.getvalue().split("\r")[1:]]

    def screen(self) -> str:
        """The text on the terminal after all the output."""
        cells: list[str] = []
        for line in self.getvalue().split("\r"):
            cells[: len(line)] = line
        return "".join(cells).rstrip()


class Clock:
    """Stands in for time.monotonic; moves only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.monotonic, time=time.time))
    monkeypatch.setenv("COLUMNS", "120")
    return clock


def whole(sentence: str) -> str:
    return f"^{re.escape(sentence)}$"


def test_line_shows_label_bar_per_cent_figures_time_left_and_rate(clock: Clock) -> None:
    terminal = Terminal()
    line = Progress(200, "epoch 1/10", stream=terminal)
    clock.now += 2
    line.update(50, loss=0.12341, accuracy=0.5)
    bar = "#" * 7 + "-" * 23
    assert terminal.lines() == [f"epoch 1/10  {bar}  25%  loss 0.1234  accuracy 0.5000  0:06 left  25 samples/s"]


def test_unit_and_slow_rate(clock: Clock) -> None:
    terminal = Terminal()
    line = Progress(4, unit="files", stream=terminal)
    clock.now += 2
    line.update(1)
    assert terminal.lines() == ["#" * 7 + "-" * 23 + "  25%  0:06 left  0.5 files/s"]


def test_unknown_total_shows_only_the_rate(clock: Clock) -> None:
    terminal = Terminal()
    line = Progress(0, "fetching", unit="bytes", stream=terminal)
    clock.now += 2
    line.update(5000)
    assert terminal.lines() == ["fetching  2,500 bytes/s"]


def test_more_than_the_total_is_shown_as_done(clock: Clock) -> None:
    terminal = Terminal()
    line = Progress(10, stream=terminal)
    clock.now += 1
    line.update(20)
    assert terminal.lines() == ["#" * 30 + "  100%  0:00 left  20 samples/s"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "0:01"), (61, "1:01"), (3599.4, "59:59"), (3661, "1:01:01"), (90000, "25:00:00")]
)
def test_time_left(clock: Clock, seconds: float, text: str) -> None:
    terminal = Terminal()
    line = Progress(2, stream=terminal)
    clock.now += seconds
    line.update(1)
    assert f"  {text} left  " in terminal.lines()[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12341, "0.1234"), (-2.5, "-2.5000"), (12345.0, "1.23e+04"), (1e-5, "1e-05"), (0.0, "0"), (float("nan"), "nan")],
)
def test_figures(clock: Clock, value: float, text: str) -> None:
    terminal = Terminal()
    Progress(0, stream=terminal).update(0, loss=value)
    assert terminal.lines() == [f"loss {text}"]


def test_figures_stay_until_others_replace_them(clock: Clock) -> None:
    terminal = Terminal()
    line = Progress(0, stream=terminal)
    for figures in ({"loss": 0.5}, {}, {"accuracy": 0.25}):
        line.update(0, **figures)
        clock.now += 1
    assert terminal.lines() == ["loss 0.5000", "loss 0.5000", "accuracy 0.2500"]


def test_redraws_at_most_ten_times_a_second(clock: Clock) -> None:
    terminal = Terminal()
    line = Progress(1000, stream=terminal)
    for millisecond in range(1000):
        clock.now = 1000 + millisecond / 1000
        line.update(1)
    assert 9 <= len(terminal.lines()) <= 10
    assert line.done == 1000


@pytest.mark.parametrize("columns", [1, 2, 8, 20, 40, 60, 80, 200])
def test_fits_the_terminal_and_drops_whole_parts(clock: Clock, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    line = Progress(200, "epoch", stream=terminal)
    clock.now += 2
    line.update(50, loss=0.5)
    (drawn,) = terminal.lines()
    assert len(drawn) < columns
    parts = ["epoch", "25%", "loss 0.5000", "0:06 left", "25 samples/s"]
    if columns > 8:
        shown = [part for part in drawn.split("  ") if not set(part) <= {"#", "-"}]
        assert shown == parts[: len(shown)]
        assert len(shown) >= 2


def test_shorter_line_wipes_the_longer_one_before(clock: Clock) -> None:
    terminal = Terminal()
    line = Progress(0, stream=terminal)
    line.update(0, loss=123.0)
    clock.now += 1
    line.update(0, loss=0.0)
    assert terminal.screen() == "loss 0"


def test_close_clears_the_line_and_returns_the_cursor(clock: Clock) -> None:
    terminal = Terminal()
    with Progress(10, "epoch", stream=terminal) as line:
        line.update(5)
        assert terminal.screen().startswith("epoch")
    assert terminal.screen() == ""
    assert terminal.getvalue().endswith("\r")
    written = terminal.getvalue()
    line.close()
    clock.now += 1
    line.update(1)
    assert terminal.getvalue() == written


def test_close_without_a_drawn_line_writes_nothing() -> None:
    terminal = Terminal()
    Progress(10, stream=terminal).close()
    assert terminal.getvalue() == ""


def test_an_exception_clears_the_line_and_passes(clock: Clock) -> None:
    terminal = Terminal()
    with pytest.raises(KeyboardInterrupt), Progress(10, "epoch", stream=terminal) as line:
        line.update(5)
        raise KeyboardInterrupt
    assert "epoch" in terminal.getvalue()
    assert terminal.screen() == ""


def test_other_characters_only_where_the_stream_knows_them(clock: Clock) -> None:
    lines = {}
    for encoding in ("utf-8", "ascii"):
        terminal = Terminal(encoding)
        Progress(2, "größe", stream=terminal).update(1)
        lines[encoding] = terminal.lines()
    assert lines["utf-8"] == ["größe  " + "█" * 15 + "░" * 15 + "  50%"]
    assert lines["ascii"] == ["gr??e  " + "#" * 15 + "-" * 15 + "  50%"]


def test_silent_on_a_stream_that_is_no_terminal() -> None:
    stream = io.StringIO()
    with Progress(10, "epoch", stream=stream) as line:
        line.update(5, loss=1.0)
    assert stream.getvalue() == ""
    assert line.done == 5


def test_silent_where_not_enabled() -> None:
    terminal = Terminal()
    with Progress(10, enabled=False, stream=terminal) as line:
        line.update(5)
    assert terminal.getvalue() == ""


def test_silent_without_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with Progress(10) as line:
        line.update(5)
    assert line.done == 5


def test_writes_to_standard_output(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    Progress(0).update(0, loss=0.5)
    assert terminal.lines() == ["loss 0.5000"]


def test_in_a_pseudo_terminal(clock: Clock) -> None:
    pty = pytest.importorskip("pty", reason="pseudo terminals are a matter of POSIX")
    leader, follower = pty.openpty()
    with open(follower, "w", encoding="utf-8") as stream, Progress(4, "epoch", stream=stream) as line:
        shown = "\repoch  " + "█" * 7 + "░" * 23 + "  25%"
        blanks = "\r" + " " * (len(shown) - 1) + "\r"
        line.update(1)
        drawn = _read(leader, len(shown.encode()))
        line.close()
        cleared = _read(leader, len(blanks))
    os.close(leader)
    assert drawn == shown
    assert cleared == blanks


def _read(terminal: int, length: int) -> str:
    """Read this many bytes, which a terminal may hand over in parts."""
    found = b""
    while len(found) < length:
        found += os.read(terminal, length - len(found))
    return found.decode()


def test_total_is_checked() -> None:
    fraction: Any = 1.5
    with pytest.raises(ValueError, match=whole("total: expected an integer of at least 0, got -1")):
        Progress(-1)
    with pytest.raises(TypeError, match=whole("total: expected an integer of at least 0, got 1.5; pass 1 or 2")):
        Progress(fraction)


# --- notebooks ---------------------------------------------------------------------------------------


class Bar:
    """Stands for tqdm's bar; notes what is asked of it."""

    made: ClassVar[list["Bar"]] = []

    def __init__(self, **options: Any) -> None:
        self.options, self.calls, self.n, self.start_t = options, list[Any](), 0, 0.0
        self.container = self
        self.made.append(self)

    def update(self, data: dict[str, str], raw: bool) -> None:
        """The display in which the bar stands."""
        assert raw
        self.calls.append(data)

    def set_description(self, label: str, refresh: bool) -> None:
        assert not refresh
        self.calls.append(label)

    def set_postfix(self, figures: dict[str, str], refresh: bool) -> None:
        assert not refresh
        self.calls.append(figures)

    def refresh(self) -> None:
        self.calls.append(self.n)

    def close(self) -> None:
        self.calls.append("closed")


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of Jupyter's with tqdm and ipywidgets."""
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.notebook", SimpleNamespace(tqdm=Bar))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=lambda bar, display_id: bar))
    monkeypatch.setattr(Bar, "made", [])


LOOKS = {"total": 300, "unit": " samples", "unit_scale": True, "leave": False, "display": False}


@pytest.mark.usefixtures("notebook")
def test_a_notebook_shows_one_bar_for_all_epochs(clock: Clock) -> None:
    with Progress(300) as line:
        line.begin("epoch 1/2")
        for done in (100, 200, 300):
            clock.now += 0.3
            line.update(100, loss=0.25)
            assert len(Bar.made) == (done >= 200)  # once it has taken half a second
        clock.now += 0.01
        line.begin("epoch 2/2")
        line.update(100, loss=0.125)  # not yet due
        clock.now += 0.3
        line.update(100)
    (bar,) = Bar.made
    assert bar.options == LOOKS
    assert bar.calls[:6] == ["epoch 1/2", {"loss": "0.2500"}, 200, "epoch 1/2", {"loss": "0.2500"}, 300]
    assert bar.calls[6:] == ["epoch 2/2", {"loss": "0.1250"}, 200, "closed", {}]
    assert time.time() - bar.start_t == pytest.approx(0.3, abs=0.2)  # of the second epoch


@pytest.mark.usefixtures("notebook")
def test_a_short_task_leaves_nothing_in_a_notebook(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(300, "epoch 1/1") as line:
        clock.now += 0.4
        line.update(300)
    Progress(300, enabled=False).update(3)
    assert Bar.made == [] and capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("notebook")
def test_a_shell_on_a_terminal_has_no_bar(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = type("TerminalInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with Progress(300, "epoch 1/1") as line:
        clock.now += 1.0
        line.update(300)
    assert Bar.made == []


@pytest.mark.usefixtures("notebook")
def test_a_notebook_without_tqdm_shows_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tqdm", "tqdm.notebook"):
        monkeypatch.setitem(sys.modules, name, None)
    with Progress(300, "epoch 1/1") as line:
        clock.now += 1.0
        line.update(300)


@pytest.mark.usefixtures("notebook")
def test_a_notebook_without_widgets_shows_a_line_and_no_warning(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """tqdm.auto warns that IProgress was not found, and writes where errors go."""
    for name in ("tqdm", "tqdm.notebook"):
        monkeypatch.delitem(sys.modules, name)
    tqdm = pytest.importorskip("tqdm")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with Progress(300) as line:
        for epoch in (1, 2):
            line.begin(f"epoch {epoch}/2")
            clock.now += 1.0
            line.update(150, loss=0.25)
            assert isinstance(line._bar_of_notebook._bar, tqdm.tqdm)  # type: ignore[union-attr]
    shown = capsys.readouterr()
    assert shown.err == ""
    assert re.search(r"\repoch 1/2: +50%.*150/300.*loss=0\.2500", shown.out)
    assert re.search(r"\repoch 2/2: +50%.*150/300.*loss=0\.2500", shown.out)
    assert shown.out.rpartition("\r")[0].rpartition("\r")[2].strip() == ""  # nothing stays


def test_epochs_take_the_same_line(clock: Clock) -> None:
    """Between them the line is clear, so that callbacks may write."""
    terminal = Terminal()
    with Progress(100, stream=terminal) as line:
        for epoch in (1, 2):
            line.begin(f"epoch {epoch}/2")
            clock.now += 1.0
            line.update(50)
            assert terminal.screen().startswith(f"epoch {epoch}/2  ###") and "100 " not in terminal.screen()
            line.clear()
            assert terminal.screen() == ""
