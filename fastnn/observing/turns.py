"""Whose turn it is, among Python threads that ask for numerical gradients at once.

While a function is observed, what it reaches holds a stand-in and cannot be written to, and a plain loop writes. So a
gradient by the engine has to be alone, while plain loops may run side by side.
"""

import contextlib
import os
import threading
from collections.abc import Iterator

SECONDS = 10.0  # of waiting; after it a function that waits for a thread of its own gets its plain loop

_changed = threading.Condition()
_engine: int | None = None  # the thread that has the engine
_depth = 0
_loops: dict[int, int] = {}  # how many plain loops each thread is in


def _is_free(thread: int) -> bool:
    return _engine in (None, thread) and all(other == thread for other in _loops)


@contextlib.contextmanager
def engine() -> Iterator[bool]:
    """Have the engine for this thread alone; False where others are in plain loops, or keep it for SECONDS."""
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
    """Have no other thread take the engine meanwhile; begins when none has it."""
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
    """In a forked child, which has one thread: the others of the parent are not there to give anything back."""
    global _changed, _engine, _depth
    _changed, thread = threading.Condition(), threading.get_ident()
    if _engine != thread:
        _engine, _depth = None, 0
    for other in list(_loops):
        if other != thread:
            del _loops[other]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
