"""The short way of operations on plain arrays: one compiled call checks and computes.

A *way* is a door (kernels/doors.py) that is bound to its first arguments, for float32 and for float64. It takes
whatever objects a user passes and answers the result; anything else where the gate should look at them or threads may
pay. Both ways compute the same bits. Scratch is bound, too: such a call keeps the interpreter's lock, so no other one
uses it.
"""

from collections.abc import Callable
from typing import Any

from fastnn.engine.interpreters.on_arrays import ASK, LARGE
from fastnn.engine.threads import SMALL_WORK, get_num_threads
from fastnn.kernels.doors import made_for
from fastnn.kernels.ground import DONE, bound
from fastnn.kernels.units import compiling

__all__ = ["ASK", "DONE", "FEW_ROWS", "LARGE", "SCRATCH", "SMALL", "SMALL_PRODUCT", "Way", "Ways", "on_one_thread"]

# 64 x 64 x 64 forward and backward: starting threads through Python takes as long as a second one gains.
SMALL_PRODUCT = 1_050_000.0
SMALL = float(SMALL_WORK)
SCRATCH = 1 << 15  # elements, which 64 x 64 x 64 needs half of
FEW_ROWS = 1024  # of a loss
# Where there is one thread, a call of so many times the work is short, too: other Python threads wait 0.2 ms for it.
LONGER = 16.0


def ask(*arguments: Any) -> int:
    """The way of no door."""
    return ASK


class Way:
    """The short way of one operation: `call` takes what its door does behind the bound arguments.

    So does `longer`, for more work on one thread.
    """

    __slots__ = ("call", "known", "longer")

    def __init__(self) -> None:
        self.call: Callable[..., Any] = ask
        self.longer: Callable[..., Any] = ask
        self.known: set[Any] = set()

    def knows(self, dtype: Any, key: Any = None) -> bool:
        """Whether it has learned the way for this dtype."""
        return (dtype, key) in self.known

    def __reduce__(self) -> Any:
        """A copy learns anew."""
        return Way, ()

    def learn_up_to(self, limit: float, door: Any, dtype: Any, *first: Any, key: Any = None) -> None:
        """Learn a door whose first bound argument is a limit of its work, also for more work on one thread."""
        with compiling:
            if not self.knows(dtype, key):
                following = None if self.longer is ask else self.longer
                self.learn(door, dtype, limit, *first, key=key)
                made = made_for(door, dtype)
                if made is not None:
                    self.longer = bound(made, 1, 0, LONGER * limit, *first, following=following)

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


def on_one_thread(found: Any, way: Way, *arguments: Any) -> Any:
    """What a way has answered; LARGE only if there are threads to share the work, or if it is too much for one call."""
    return way.longer(*arguments) if found == LARGE and get_num_threads() == 1 else found


class Ways(dict[Any, Way]):
    """The ways of operations by a key."""

    def __missing__(self, key: Any) -> Way:
        made = self[key] = Way()
        return made
