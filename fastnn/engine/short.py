"""The short way of operations on plain arrays: one compiled call checks and computes.

A *way* is a door (kernels/doors.py) with its first arguments. It answers ASK where the gate should look at the arrays;
a call for which there is no way yet, or with anything but arrays, takes the long way, too. Both compute the same bits.
"""

import functools
from collections.abc import Callable
from typing import Any

from fastnn.engine.interpreters.on_arrays import ASK, DONE, LARGE
from fastnn.engine.threads import SMALL_WORK
from fastnn.kernels.doors import made_for

__all__ = ["ASK", "DONE", "LARGE", "NOT_PLAIN", "Ways", "ask", "way"]

# What objects that are not plain arrays raise when they are asked for their shape and dtype, or looked up.
NOT_PLAIN = (
    AttributeError, IndexError, KeyError, TypeError, ValueError, MemoryError, OverflowError, RuntimeError,
)  # fmt: skip


class Ways(dict[Any, Callable[..., Any]]):
    """The ways of one operation by dtype, or by another key."""

    def __missing__(self, key: Any) -> Callable[..., Any]:
        return ask

    def learn(self, key: Any, door: Any, dtype: Any, *first: Any) -> None:
        """Note the way of a door, which has been called for this dtype."""
        if key not in self:
            self[key] = way(door, dtype, *first)


def way(door: Any, dtype: Any, *first: Any) -> Callable[..., Any]:
    """A door with its first arguments, for calls of less work than threads pay for."""
    made = made_for(door, dtype)
    return ask if made is None else functools.partial(made, 1, 0, float(SMALL_WORK), *first)


def ask(*arguments: Any) -> int:
    """The way of no door."""
    return ASK
