"""Whether large arrays hold NaN or infinity: all threads look."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from fastnn.engine import threads
from fastnn.engine.interpreters import indexing
from fastnn.gate import arrays
from fastnn.gate.arrays import Array

# NumPy looks through fewer elements in 0.1 ms, for which nothing needs to be compiled.
FEWEST_ELEMENTS = 1 << 18
MOST_ELEMENTS = 1 << 28  # in one call, which cannot be interrupted
WORK = 1.0  # for each element, when it is asked whether threads pay
Look: TypeAlias = Callable[[str, Array, int | None], None]  # a function like check_finite, for arrays of floats


def all_finite(x: Array, n_threads: int | None) -> bool:
    """Whether x, float32 or float64 and C-contiguous, holds neither NaN nor infinity."""
    if x.size < FEWEST_ELEMENTS:
        return bool(np.isfinite(x).all())
    return looked_through(x, threads.at_most(n_threads))


def looked_through(x: Array, n_threads: int) -> bool:
    """As all_finite, of any size by the kernel: memory is read at 43 GB/s by two threads, and at 25 GB/s by NumPy."""
    flat: Any = x.reshape(-1)
    for start in range(0, x.size, MOST_ELEMENTS):
        some, fine = flat[start : start + MOST_ELEMENTS], np.ones(n_threads, np.intp)
        threads.run(indexing.finite_part, WORK * some.size, some, fine, n_threads=n_threads)
        if not fine.all():
            return False
    return True


def check_finite(name: str, x: Array, n_threads: int | None) -> None:
    """Refuse NaN and infinity in data; see `arrays.check_finite`."""
    if not all_finite(x, n_threads):
        arrays.check_finite(name, x, arrays.CHECK_FINITE)
