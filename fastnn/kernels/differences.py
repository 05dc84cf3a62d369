"""Values of a user's compiled function at moved points."""

from typing import Any

import numba

from fastnn.kernels.units import entry_of_functions


def is_compiled(f: Any) -> bool:
    """Whether f is a function compiled by numba.njit, which compiled code can call."""
    return isinstance(f, numba.core.dispatcher.Dispatcher)


def is_parallel(f: Any) -> bool:
    """Whether a compiled function starts threads itself."""
    return bool(f.targetoptions.get("parallel"))


# Twelve parameters: compiled code takes arrays one by one.
@entry_of_functions
def evaluate(
    part: int,
    parts: int,
    copies: Any,
    entries: Any,
    first: int,
    last: int,
    points: Any,
    h: float,
    relative: bool,
    values: Any,
    steps: Any,
    f: Any,
) -> None:
    """values[p, e] = f with entry entries[e] moved to the point p, steps[p, e] = how far; for entries [first, last).

    copies (parts, *shape of x): each part moves its own copy and puts it back.
    """
    x = copies[part]
    flat = x.reshape(x.size)
    for e in range(first + part, last, parts):
        kept = flat[entries[e]]
        scale = h * max(1.0, abs(kept)) if relative else h
        for p in range(points.size):
            flat[entries[e]] = kept + points[p] * scale
            steps[p, e] = float(flat[entries[e]]) - float(kept)
            values[p, e] = f(x)
        flat[entries[e]] = kept
