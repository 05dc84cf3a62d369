"""Lines that fastnn writes beside its results; failing to write one is no error.

A stream may be closed, full, a terminal that has gone, or an object with little more than `write`, such as programs put
in place of standard output to write to two places.
"""

import sys
from typing import Any


def write(stream: Any, text: str) -> bool:
    """Write to a stream and flush it; return whether that succeeded. None stands for no stream."""
    try:
        stream.write(text)
        stream.flush()
    except Exception:  # whatever an object in a stream's place raises
        return False
    return True


def tell(line: str) -> None:
    """Write a line to standard error, which is None in a program without a console."""
    write(sys.stderr, line + "\n")


def is_terminal(stream: Any) -> bool:
    """Whether a stream says that it is a terminal."""
    try:
        return bool(stream.isatty())
    except Exception:  # as above: no such method, or closed
        return False
