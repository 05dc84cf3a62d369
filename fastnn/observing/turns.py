"""Turns among Python threads that ask for numerical gradients at once.

While a function is observed, the arrays that it reaches are read-only and a stand-in takes the place of one; a plain
loop writes to its array. So a gradient by the engine must be alone, while plain loops may run side by side.
"""

import contextlib
import os
import threading
from collections.abc import Iterator

SECONDS = 10.0  # of waiting; then a function that waits for a thread of its own gets its plain loop

_changed = threading.Condition()
_engine: int | None = None  # the thread that has the engine
_depth = 0
_loops: dict[int, int] = {}  # how many plain loops each thread is in


def _is_free(thread: int) -> bool:
    return _engine in (None, thread) and all(other == thread for other in _loops)


@contextlib.contextmanager
def engine() -> Iterator[bool]:
    """Reserve the engine for this thread; False while others are in plain loops, or if one keeps it for SECONDS."""
    global _engine, _depth
    thread = threading.get_ident()
    with _changed:
        _changed.wait_for(lambda: _engine in (None, thread), SECONDS)
        free = _is_free(thread)
        if free:
            _engine, _depth = thread, _depth + 1
    try:
        yield free
    finally:
        if free:
            with _changed:
                _depth -= 1
                _engine = thread if _depth else None
                _changed.notify_all()


@contextlib.contextmanager
def plain_loop() -> Iterator[None]:
    """Keep other threads from the engine meanwhile; begins when none has it."""
    thread = threading.get_ident()
    with _changed:
        _changed.wait_for(lambda: _engine in (None, thread), SECONDS)
        _loops[thread] = _loops.get(thread, 0) + 1
    try:
        yield
    finally:
        with _changed:
            _loops[thread] -= 1
            if not _loops[thread]:
                del _loops[thread]
            _changed.notify_all()


def _renew() -> None:
    """Forget the parent's other threads in a forked child: they will give nothing back."""
    global _changed, _engine, _depth
    _changed, thread = threading.Condition(), threading.get_ident()
    if _engine != thread:
        _engine, _depth = None, 0
    for other in list(_loops):
        if other != thread:
            del _loops[other]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
