"""The line on standard error that says how far the compilation of kernels has come.

On a terminal it counts them and is rewritten in place until they are done. Elsewhere it is written once.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator

from fastnn.system import messages

TITLE = "fastnn: compiling kernels for their first use"


class Waiting:
    """The kernels that are needed, and how many of them are there."""

    def __init__(self) -> None:
        self.needed = self.done = 0
        self._groups = 0  # open ones
        self._spent = 0.0  # the seconds of groups that are closed
        self._since: float | None = None  # when the first kernel of the open groups was to be compiled
        self._width = 0  # of the line on the terminal
        self._told = False

    @contextlib.contextmanager
    def group(self, count: int = 0) -> Iterator[None]:
        """Around making `count` kernels; the line is removed when the outermost group ends."""
        self.needed += count
        self._groups += 1
        try:
            yield
        finally:
            self._groups -= 1
            if self._groups == 0:
                self._close()

    @contextlib.contextmanager
    def kernel(self) -> Iterator[None]:
        """Around making one kernel, which belongs to the open group if there is one."""
        with self.group(0 if self._groups else 1):
            yield
            self.done += 1

    def tell(self, where: str, is_kept: bool = True) -> None:
        """Note that a kernel is compiled now. where: in which folder it is kept, or why it is not.

        A terminal is not told the folder, if the kernel is one that `kernel` counts.
        """
        on_terminal = self._groups > 0 and messages.is_terminal(sys.stderr)
        if not (self._told or (on_terminal and is_kept)):
            messages.tell(f"{TITLE} ({where})")
            self._told = True
        if self._since is None:
            self._since = time.monotonic()
        if on_terminal:
            seconds = self._spent + time.monotonic() - self._since
            self._draw(f"{TITLE}: {self.done} of {max(self.needed, self.done + 1)}, {seconds:.0f} s")

    def _close(self) -> None:
        self.needed = self.done
        if self._since is not None:
            self._spent += time.monotonic() - self._since
            self._since = None
        if self._width:
            self._draw("")
            messages.write(sys.stderr, "\r")

    def _draw(self, line: str) -> None:
        line = line[: max(shutil.get_terminal_size().columns - 1, 0)]  # a longer one would not be overwritten
        messages.write(sys.stderr, "\r" + line.ljust(self._width))
        self._width = len(line)


WAITING = Waiting()
