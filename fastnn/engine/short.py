"""The short way of operations on plain arrays: one compiled call checks and computes.

A *way* is a door (kernels/doors.py) that is bound to its first arguments, for float32 and for float64. It takes
whatever objects a user passes and answers the result; anything else where the gate should look at them or threads may
pay. Both ways compute the same bits. Scratch is bound, too: such a call keeps the interpreter's lock, so no other one
uses it.
"""

from collections.abc import Callable
from typing import Any

from fastnn.engine import contention
from fastnn.engine.interpreters.on_arrays import ASK, LARGE, UNSEEN
from fastnn.engine.threads import SMALL_WORK, free_threads
from fastnn.kernels.doors import made_for
from fastnn.kernels.ground import DONE, bound
from fastnn.kernels.units import compiling, launcher

__all__ = [
    "ASK",
    "DONE",
    "FEW_ROWS",
    "LARGE",
    "SCRATCH",
    "SMALL",
    "SMALL_PRODUCT",
    "UNSEEN",
    "Way",
    "Ways",
    "on_threads",
]

# 64 x 64 x 64 forward and backward: starting threads through Python takes as long as a second one gains.
SMALL_PRODUCT = 1_050_000.0
SMALL = float(SMALL_WORK)
# Elements, reserved and not touched before they are used: as many as a product below the limit may need. With a quarter
# of it 1 x 784 x 50 took the long way, and 3.1 us instead of 1.5.
SCRATCH = 1 << 17
FEW_ROWS = 4096  # of a loss
# A call of so many times the work for each thread is short, too: other Python threads wait 0.2 ms for it. The long way
# takes 4 us more, for which two threads lost half of what they gain in relu of 100,000 float32.
LONGER = 16.0


def ask(*arguments: Any) -> int:
    """The way of no door."""
    return ASK


class Way:
    """The short way of one operation: `call` takes what its door does behind the bound arguments.

    So do the functions that `on` returns, for more work.
    """

    __slots__ = ("call", "known", "learned", "teams")

    def __init__(self) -> None:
        self.call: Callable[..., Any] = ask
        self.known: set[Any] = set()
        self.learned: list[tuple[Any, float, tuple[Any, ...]]] = []  # doors for more work, with `limit` and `first`
        self.teams: dict[int, Callable[..., Any]] = {}  # by the number of threads, made when they are needed

    def knows(self, dtype: Any, key: Any = None) -> bool:
        """Whether it has learned the way for this dtype."""
        return (dtype, key) in self.known

    def __reduce__(self) -> Any:
        """A copy learns anew."""
        return Way, ()

    def learn_up_to(self, limit: float, door: Any, dtype: Any, *first: Any, key: Any = None) -> None:
        """Learn a door whose first bound argument is a limit of its work, also for more work and several threads.

        first: one that is a function is called with the number of threads for the argument.
        """
        with compiling:
            made = None if self.knows(dtype, key) else made_for(door, dtype)
            if made is not None:
                self.learn(door, dtype, limit, *_for_threads(1, first), key=key)
                self.learned.append((made, limit, first))
                self.teams = {}

    def on(self, n: int) -> Callable[..., Any]:
        """The way of more work on n threads."""
        found = self.teams.get(n)
        if found is None:
            with compiling:
                for made, limit, first in self.learned:
                    arguments = n, launcher() if n > 1 else 0, n * LONGER * abs(limit), *_for_threads(n, first)
                    found = bound(made, *arguments, following=found)
                found = self.teams[n] = found or ask
        return found

    def learn(self, door: Any, dtype: Any, *first: Any, key: Any = None, keeps: Any = None) -> None:
        """Also take the way of a door, which has been called for this dtype; a later one for the same dtype counts.

        first: its arguments after the number of threads and the launcher. key: what is learned, if not the dtype alone.
        keeps: see ground.bound.
        """
        with compiling:  # two threads may learn at once
            made = None if self.knows(dtype, key) else made_for(door, dtype)
            if made is not None:
                following = None if self.call is ask else self.call
                self.call = bound(made, 1, 0, *first, following=following, keeps=keeps)
                self.known.add((dtype, key))


def _for_threads(n: int, first: tuple[Any, ...]) -> tuple[Any, ...]:
    """First arguments of a call on n threads."""
    return tuple(one(n) if callable(one) else one for one in first)


def on_threads(found: Any, way: Way, *arguments: Any) -> Any:
    """What a way has answered or, where that was too much work for it, what it answers on all threads.

    LARGE still says that the arrays are plain, and need the long way.
    """
    if found not in (LARGE, UNSEEN):
        return found
    n = free_threads()
    if n == 1:
        return way.on(1)(*arguments)
    if n == 0:
        return found if found == LARGE else ASK
    try:
        return way.on(n)(*arguments)
    finally:
        contention.note_end()


class Ways(dict[Any, Way]):
    """The ways of operations by a key."""

    def __missing__(self, key: Any) -> Way:
        made = self[key] = Way()
        return made
