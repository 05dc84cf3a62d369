"""Whether a function is worth observing, also by earlier attempts.

Observing must cost little where the function is not recognized, and a short loop needs no engine. So a loop of plain
calls evaluates its first entry, which tells how long a call takes, and asks here about the rest.
"""

import types
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.observing import turns
from fastnn.observing.reach import MOST
from fastnn.observing.tape import NotUnderstoodError
from fastnn.system import loading

if TYPE_CHECKING:
    from fastnn.observing.engine import Found
    from fastnn.observing.shared import Others

SMALL = 7  # entries; for no more than these the loop is as quick as looking at f
PATIENCE = 0.1  # the part of the loop's time that may be lost where f is not recognized
CONFIDENCE = 0.5  # likewise, where the same code was recognized before
# The cost of observing and recognizing: in seconds, in calls of f, and for each object that f reaches.
SECONDS, CALLS, SECONDS_PER_OBJECT = 5e-4, 20, 2e-6
MOST_SKIPPED = 1023  # loops in a row
MOST_ASKED = 64  # arrays

TOO_SHORT = "a loop too short to gain from being observed"


class Past:
    """The past of one function's code: whether it was recognized, and the refusals by the array's shape."""

    def __init__(self) -> None:
        self.is_known = False
        self.asked: list[weakref.ref[Any]] = []  # the arrays by which gradients were asked for
        self.others: Others | None = None
        self.watched: list[weakref.ref[Any]] = []  # the arrays of others
        self.shares = True  # False once quotients by other arrays could not be given out
        self.refused: dict[tuple[int, ...], Refusal] = {}
        self.calls: dict[tuple[int, ...], float] = {}  # the seconds of a call by the shapes that were recognized last

    def keep(self, others: "Others | None") -> None:
        """Keep quotients by other arrays for as long as all arrays exist that f reached."""

        def drop(_: Any) -> None:
            self.others = None

        self.others = others
        arrays = [] if others is None else [one() for one in others.state.arrays]
        self.watched = [weakref.ref(array, drop) for array in arrays]


class Refusal:
    """Why a function was refused, how often, and how many loops must not try again: 1, 3, 7, ..."""

    def __init__(self) -> None:
        self.reason, self.count, self.skip = "", 0, 0


_pasts: weakref.WeakKeyDictionary[Any, Past] = weakref.WeakKeyDictionary()


def forget() -> None:
    """Forget all functions that were observed."""
    _pasts.clear()


def attempt(
    f: Any, x: Any, rule: tuple[str, float, bool], call: float, calls: int, entries: Any = None, last: int = -1
) -> "tuple[Found | None, str]":
    """The difference quotients of f by the engine, and what f was recognized as; or None, and why not.

    rule: as for `engine.Rule`.
    call, calls: the seconds that one call of f takes, and the number of calls that the plain loop needs.
    entries, last: as for `engine.gradient`.
    """
    reason = why_not(f, x, call, calls, x.size if entries is None else len(entries))
    if reason:
        return None, reason
    past = _past_of(f)
    refusal = past.refused.get(x.shape)
    if refusal is not None and refusal.skip:
        refusal.skip -= 1
        return None, refusal.reason
    if not loading.pays(calls * call):
        return None, TOO_SHORT
    with turns.engine() as free:
        if not free:
            return None, "another thread uses the engine"
        from fastnn.observing import engine  # loads Numba

        try:
            most = int(min(MOST, _spare(past, x, call, calls) / SECONDS_PER_OBJECT))
            is_shared = past.shares and past.others is None and entries is None  # entries: not from the drop-in
            asked = _asked(past) if is_shared else ()
            found = engine.gradient(f, x, engine.Rule(*rule), entries, last, most, asked)
        except NotUnderstoodError as error:
            past.calls.pop(x.shape, None)
            refusal = past.refused.setdefault(x.shape, Refusal())
            refusal.reason, refusal.count = str(error), refusal.count + 1
            refusal.skip = min(MOST_SKIPPED, 2**refusal.count - 1)
            return None, refusal.reason
    past.is_known = True
    past.refused.pop(x.shape, None)
    past.calls[x.shape] = found.call
    past.shares = past.shares and found.shares
    if found.others is not None:
        past.keep(found.others)
    return found, found.text


def recall(f: Any, x: Any, rule: tuple[str, float, bool], last: int) -> "Found | None":
    """The quotients by x, if they were evaluated along with those by another array and nothing has changed since.

    Each is given out once. It also notes that x was asked for.
    """
    if not (type(x) is np.ndarray and x.dtype == np.float64 and x.flags.c_contiguous and x.flags.writeable):
        return None
    past = _past_of(f)
    others = past.others
    if others is not None and (others.first() is x or others.rule != rule):
        others = past.others = None  # evaluated in vain
        past.shares = False
    if others is not None and any(array() is x for array in others.arrays):
        from fastnn.observing import engine

        with turns.engine() as free:
            try:
                found = engine.again(f, x, others, last) if free else None
            except NotUnderstoodError:
                found = past.others = None
                past.shares = False
        if found is not None:
            left = [(array, values) for array, values in zip(*others[:2], strict=True) if array() is not x]
            arrays, values = [array for array, _ in left], [values for _, values in left]
            past.others = others._replace(arrays=arrays, values=values) if left else None
            return found
    if all(array is not x for array in _asked(past)):
        past.asked = [weakref.ref(array) for array in (*_asked(past), x)][-MOST_ASKED:]
    return None


def known_call(f: Any, x: Any) -> float | None:
    """The seconds of a call, if the same code was recognized for the last array of this shape; then nothing is timed.

    A call of NumPy's on all threads leaves them spinning for a while, beside the engine's.
    """
    return _past_of(f).calls.get(x.shape)


def _asked(past: Past) -> list[Any]:
    """The arrays by which gradients were asked for, as far as they still exist."""
    return [array for array in (one() for one in past.asked) if array is not None]


def may_pay(x: Any, count: int, calls: int) -> bool:
    """Whether an attempt at `count` entries in place of so many calls may ever be worth it, however long f takes.

    See `_spare`. A gradient of 10 entries takes 21 us beside its calls of f, and 31 where a call is timed to find out.
    """
    return count > SMALL and calls * CONFIDENCE > CALLS and x.dtype == np.float64


def why_not(f: Any, x: Any, call: float, calls: int, count: int) -> str:
    """Why an attempt at `count` entries is not worth it, regardless of earlier ones; "" if it may be."""
    if x.dtype != np.float64:
        return f"{x.dtype} in place of float64"
    if count <= SMALL:
        return f"no more than {SMALL} entries"
    if not x.flags.writeable:
        return "the array is read-only"
    return "" if _spare(_past_of(f), x, call, calls) >= 0.0 else TOO_SHORT


def _spare(past: Past, x: Any, call: float, calls: int) -> float:
    """The seconds that observing may take beyond its least cost."""
    share = CONFIDENCE if past.is_known and x.shape not in past.refused else PATIENCE
    return calls * call * share - SECONDS - CALLS * call


def last_in_memory(x: Any) -> int:
    """The flat index of the entry that lies last in memory, the last one that nditer visits."""
    place = [0 if stride < 0 else size - 1 for size, stride in zip(x.shape, x.strides, strict=True)]
    return int(np.ravel_multi_index(place, x.shape)) if place else 0


def _past_of(f: Any) -> Past:
    """The past of a function's or a method's code, or of a callable object's class."""
    while isinstance(f, types.MethodType):
        f = f.__func__
    code = getattr(f, "__code__", None)
    return _pasts.setdefault(code if isinstance(code, types.CodeType) else type(f), Past())
