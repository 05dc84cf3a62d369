"""The first volume's numerical gradients (Saito, 2016, chapter 4), evaluated by the engine where it recognizes f."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnn.dropin import record
from fastnn.engine.moving import REFUSED, Moving
from fastnn.errors import warn_of_precision
from fastnn.observing import turns
from fastnn.observing.attempt import attempt, known_call, last_in_memory, recall, why_not

__all__ = ["np", "numerical_gradient", "numerical_gradient_2d"]

STEP = 1e-4  # the book's h


def numerical_gradient(f: Any, x: Any) -> Any:
    """(f(x + h) - f(x - h)) / 2h with h = 1e-4, one entry of x at a time; like x.

    f may ignore its argument and read x elsewhere: x itself is changed, and put back to its own bits. If f is
    recognized as a network's loss, only the changes of each entry are evaluated; otherwise f is called twice for each
    entry.

    Warns
    -----
    PrecisionWarning
        If x is an array of integers, which swallow the step.
    """
    return with_step(f, x, STEP)


def with_step(f: Any, x: Any, h: float) -> Any:
    """As numerical_gradient, with another step."""
    start, way, reason = time.perf_counter(), "plain loop", ""
    try:
        last = last_in_memory(x) if isinstance(x, np.ndarray) and x.size else -1
        recalled = recall(f, x, ("central", h, False), last)
        if recalled is not None:
            way, reason = "engine", recalled.text
            return recalled.values.copy()
        result, loop = _loop(f, x, h)
        call = known_call(f, x)
        with turns.plain_loop():
            if call is None:
                loop(1)
                second = time.perf_counter()  # a first call may load, allocate or compile
                loop(1)
                call = (time.perf_counter() - second) / 2
            reason = why_not(f, x, call, 2 * x.size, x.size)
            if reason:
                loop(None)
                return result
        found, reason = attempt(f, x, ("central", h, False), call, 2 * x.size, last=last_in_memory(x))
        if found is None:
            with turns.plain_loop():
                loop(None)
        else:
            result[...], way = found.values, "engine"
    except Exception as error:
        reason = f"it raises {type(error).__name__}"
        raise
    finally:
        record.note(np.shape(x), way, reason, time.perf_counter() - start)
    return result


def numerical_gradient_2d(f: Any, X: Any) -> Any:
    """As numerical_gradient for one dimension; for two, f gets one row at a time."""
    if X.ndim == 1:
        return plain_numerical_gradient(f, X) if X.size else np.zeros_like(X)
    if X.ndim != 2:
        raise TypeError(f"X: expected one or two dimensions, got {X.ndim}; use numerical_gradient")
    result = np.zeros_like(X)
    for row, x in enumerate(X):
        result[row] = numerical_gradient_2d(f, x)
    return result


def plain_numerical_gradient(f: Any, x: Any) -> Any:
    """As numerical_gradient, never by the engine: exactly 2 x.size calls of f, plus before minus, entry after entry in
    the order of memory. If f raises, x gets its bits back; in the book it stays moved.
    """
    result, loop = _loop(f, x, STEP)
    loop(None)
    return result


_numerical_gradient_1d = plain_numerical_gradient  # a name of the first editions, for one dimension


def _loop(f: Any, x: Any, h: float) -> tuple[Any, Callable[[int | None], None]]:
    """The result, and a function that fills in a number of further entries, or all."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x: expected an array, got {type(x).__name__}; pass np.array(x, float)")
    if x.dtype.kind in "iu":
        warn_of_precision(
            f"x: expected floats, got {x.dtype}, which cannot hold x + {h}: the quotients are wrong; "
            "pass x.astype(float)"
        )
    result = np.zeros_like(x)
    moving = Moving(x)
    entries = _entries(x, moving.kept)
    target, move = moving.target, moving.move

    def loop(count: int | None) -> None:
        try:
            for place, kept in itertools.islice(entries, count):
                number = float(kept)
                try:
                    target[place] = number + h
                except REFUSED:
                    move(place, number + h)
                above = f(x)
                try:
                    target[place] = number - h
                except REFUSED:
                    move(place, number - h)
                below = f(x)
                move(place, kept)
                result[place] = (above - below) / (2 * h)
        except BaseException:
            moving.put_back()
            raise

    return result, loop


def _entries(x: Any, before: Any) -> Iterator[tuple[Any, Any]]:
    """The place of each entry of x and its value before, in the order of memory."""
    if x.dtype == np.float64 and x.flags.c_contiguous and x.flags.writeable and x.size:  # Python's are quicker
        places = range(x.size) if x.ndim == 1 else itertools.product(*map(range, x.shape))
        yield from zip(places, before.ravel().tolist(), strict=True)
        return
    entries = np.nditer(x, flags=["multi_index"])  # to read: another thread may observe x, when it cannot be written to
    yield from ((entries.multi_index, before[entries.multi_index]) for _ in entries)
