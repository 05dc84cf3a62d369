"""Scratch of calls that have ended, for the next ones.

New memory of 100 KB and more comes from the system page by page: a product of 784 x 50 on two threads took 23 us with
it instead of 10.
"""

from typing import Any

import numpy as np

from fastnn.gate.arrays import Array

# What no call is using, each (parts, size). Python threads take and append without a lock.
_spare: dict[Any, list[Array]] = {np.dtype(np.float32): [], np.dtype(np.float64): []}


def take(parts: int, size: int, dtype: Any) -> Array:
    """Scratch of `size` elements and more for each of `parts` threads or more, to be given back after use."""
    try:
        scratch = _spare[dtype].pop()
    except IndexError:
        return np.empty((parts, size), dtype)
    enough = scratch.shape[0] >= parts and scratch.shape[1] >= size
    return scratch if enough else np.empty((max(parts, scratch.shape[0]), max(size, scratch.shape[1])), dtype)


def give_back(scratch: Array) -> None:
    """Keep the scratch for another call."""
    _spare[scratch.dtype].append(scratch)
