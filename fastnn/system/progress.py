"""One line on the terminal, or a bar in a notebook, that says how far a long task has come."""

import importlib
import importlib.util
import shutil
import sys
import time
from types import TracebackType
from typing import Any, Self, TextIO

from fastnn.gate import arrays
from fastnn.system import messages

REDRAW_SECONDS = 0.1
NOTEBOOK_SECONDS = 0.5  # before a bar appears in a notebook, where each leaves an empty output behind
SHORTEST_BAR = 5
LONGEST_BAR = 30
GAP = "  "


class Progress:
    """A line rewritten in place: label, bar, per cent, figures, time left and rate.

    It is silent if `enabled` is False or the stream is no terminal, so that logs and pipes stay clean, and once writing
    to it fails. In a notebook it is a bar of tqdm, where that library is installed.

    total: the whole task, in `unit`; 0 if unknown: then no bar, per cent or time left is shown.
    label: what is being done, at the beginning of the line.
    unit: what `total` and the amounts count; the rate is shown as `unit`/s.
    enabled: False for silence.
    stream: where to write; None is standard output.
    Raises TypeError, ValueError if `total` is no integer or is negative.
    """

    def __init__(
        self, total: int, label: str = "", unit: str = "samples", enabled: bool = True, stream: TextIO | None = None
    ) -> None:
        self.total = arrays.integer("total", total, minimum=0)
        self.label = label
        self.unit = unit
        self.done = 0
        self._figures: dict[str, float] = {}
        self._stream: Any = sys.stdout if stream is None else stream
        self._visible = enabled and messages.is_terminal(self._stream)
        self._bar_of_notebook = _NotebookBar(total, unit) if enabled and stream is None and _in_notebook() else None
        self._started = time.monotonic()
        self._drawn_at = -REDRAW_SECONDS
        self._drawn_width = 0

    def update(self, amount: int, **figures: float) -> None:
        """Add `amount` to the work done; `figures`, such as loss=0.1234, stay until others replace them."""
        self.done += amount
        self._figures = figures or self._figures
        now = time.monotonic()
        if self._bar_of_notebook is not None:
            self._bar_of_notebook.show(self.label, self.done, self._figures, now, now - self._started)
        if not self._visible:
            return
        if now - self._drawn_at >= REDRAW_SECONDS:
            self._drawn_at = now
            self._draw(self._line(now - self._started))

    def begin(self, label: str) -> None:
        """Begin the same work anew, such as the next epoch; a bar of a notebook stays where it is."""
        self.clear()
        self.label, self.done, self._figures = label, 0, {}
        self._started, self._drawn_at = time.monotonic(), -REDRAW_SECONDS

    def clear(self) -> None:
        """Clear the line, so that others may write; the cursor is left at its beginning."""
        if self._visible and self._drawn_width:
            self._draw("")
            messages.write(self._stream, "\r")

    def close(self) -> None:
        """Clear the line, and show no more. Closing twice does nothing more."""
        if self._bar_of_notebook is not None:
            self._bar_of_notebook.close()
        self.clear()
        self._visible, self._bar_of_notebook = False, None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _draw(self, line: str) -> None:
        if not messages.write(self._stream, "\r" + line.ljust(self._drawn_width)):
            self._visible = False  # the terminal has gone
        self._drawn_width = len(line)

    def _line(self, elapsed: float) -> str:
        """The line at the terminal's present width; ASCII where the stream may not know other characters."""
        unicode = str(getattr(self._stream, "encoding", None)).lower().startswith("utf")
        # the last column stays free: a character there makes some terminals wrap
        width = shutil.get_terminal_size().columns - 1
        figures = [f"{name} {_short(value)}" for name, value in self._figures.items()]
        parts = list(filter(None, [self.label, self._percent(), *figures, *self._pace(elapsed)]))
        while len(GAP.join(parts)) > width and len(parts) > 1:
            parts.pop()
        bar = self._bar(width - len(GAP.join(parts)) - len(GAP), "█░" if unicode else "#-")
        if bar:
            parts.insert(1 if self.label else 0, bar)
        line = GAP.join(parts)[: max(width, 0)]
        return line if unicode else line.encode("ascii", "replace").decode("ascii")

    def _fraction(self) -> float:
        return min(self.done / self.total, 1.0)

    def _percent(self) -> str:
        return f"{self._fraction():3.0%}" if self.total else ""

    def _bar(self, room: int, filling: str) -> str:
        """A bar at most `room` wide; nothing where the total is unknown or there is no room."""
        if not self.total or room < SHORTEST_BAR:
            return ""
        width = min(room, LONGEST_BAR)
        full = int(width * self._fraction())
        return filling[0] * full + filling[1] * (width - full)

    def _pace(self, elapsed: float) -> list[str]:
        """The time left and the rate, as far as they are known."""
        if self.done <= 0 or elapsed <= 0:
            return []
        rate = self.done / elapsed
        texts = [f"{rate:,.0f} {self.unit}/s" if rate >= 10 else f"{rate:.2g} {self.unit}/s"]
        if self.total:
            minutes, seconds = divmod(round(max(self.total - self.done, 0) / rate), 60)
            hours, minutes = divmod(minutes, 60)
            clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
            texts.insert(0, f"{clock} left")
        return texts


class _NotebookBar:
    """A bar of tqdm, which appears once the work has taken a while, and vanishes at its end."""

    def __init__(self, total: int, unit: str) -> None:
        self.options = {"total": total or None, "unit": f" {unit}", "unit_scale": True, "leave": False}
        self._bar: Any = None
        self._place: Any = None
        self._drawn_at, self._pause = time.monotonic(), NOTEBOOK_SECONDS

    def show(self, label: str, done: int, figures: dict[str, float], now: float, elapsed: float) -> None:
        """Draw the state, if that is due."""
        if now - self._drawn_at < self._pause:
            return
        self._drawn_at, self._pause = now, REDRAW_SECONDS
        if self._bar is None and not self._make():
            return
        # tqdm draws and says how fast it goes; it does not count, as an epoch begins at 0 again
        self._bar.n, self._bar.start_t = done, time.time() - elapsed
        self._bar.set_description(label, refresh=False)
        self._bar.set_postfix({name: _short(value) for name, value in figures.items()}, refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """Take the bar away. The place of a widget is emptied, as a file of the notebook would keep what it was."""
        if self._bar is not None:
            self._bar.close()
        if self._place is not None:
            self._place.update({}, raw=True)

    def _make(self) -> bool:
        """Make a widget, or without ipywidgets a line of text; return whether there is tqdm."""
        try:
            if importlib.util.find_spec("ipywidgets") is None:
                self._bar = importlib.import_module("tqdm").tqdm(file=sys.stdout, **self.options)
                return True
            self._bar = importlib.import_module("tqdm.notebook").tqdm(display=False, **self.options)
        except ImportError:
            return False
        self._place = importlib.import_module("IPython.display").display(self._bar.container, display_id=True)
        return True


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"  # of Jupyter's kernels


def _short(value: float) -> str:
    """Four places in the common range, so that the line does not dance; three digits outside it."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e3 else f"{value:.3g}"
