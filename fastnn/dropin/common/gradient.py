"""Numerical gradients as the first volume has them (Saito, 2016, chapter 4), evaluated by the engine where f is a
network that it recognises. Imports the engine and the record.
"""

import time
import warnings
from typing import Any

import numpy as np

from fastnn.dropin import record
from fastnn.errors import PrecisionWarning
from fastnn.observing import engine, turns
from fastnn.observing.tape import NotUnderstoodError

__all__ = ["np", "numerical_gradient", "numerical_gradient_2d"]

# Below this many entries the plain loop is as quick as looking for a network.
SMALL = 2 * engine.CHECKS + 3


def numerical_gradient(f: Any, x: Any) -> Any:
    """(f(x + h) - f(x - h)) / 2h with h = 1e-4, one entry of x at a time; like x.

    f may ignore its argument and read x from where it is kept: x itself is changed, and put back to its own bits. Where
    observing f shows a network, entries are evaluated from what each changes; where not, f is called twice for each.

    Warns
    -----
    PrecisionWarning
        If x is an array of integers, which swallow the step.
    """
    start = time.perf_counter()
    with turns.engine() as free:
        result, way, reason = _by_engine(f, x) if free else (None, "plain loop", "another thread is at it")
    try:
        if result is None:
            with turns.plain_loop():
                result = plain_numerical_gradient(f, x)
    except Exception as error:
        reason = f"it raises {type(error).__name__}"
        raise
    finally:
        record.note(np.shape(x), way, reason, time.perf_counter() - start)
    return result


def numerical_gradient_2d(f: Any, X: Any) -> Any:
    """As numerical_gradient for one dimension; of two, f sees one row at a time."""
    if X.ndim == 1:
        return plain_numerical_gradient(f, X) if X.size else np.zeros_like(X)
    if X.ndim != 2:
        raise TypeError(f"X: expected one or two dimensions, got {X.ndim}; use numerical_gradient")
    result = np.zeros_like(X)
    for row, x in enumerate(X):
        result[row] = numerical_gradient_2d(f, x)
    return result


def _by_engine(f: Any, x: Any) -> tuple[Any, str, str]:
    """The gradient, how it is evaluated and why so; None where the plain loop has to do it."""
    way = "plain loop"
    if not isinstance(x, np.ndarray) or x.dtype != np.float64:
        return None, way, f"{getattr(x, 'dtype', type(x).__name__)} in place of float64"
    if x.size <= SMALL or not x.flags.writeable:
        return None, way, f"no more than {SMALL} entries" if x.size <= SMALL else "the array is read-only"
    try:
        result, recognised = engine.gradient(f, x, engine.STEP)
    except NotUnderstoodError as error:
        return None, way, str(error)
    out = np.zeros_like(x)
    out[...] = result
    return out, "engine", recognised


def plain_numerical_gradient(f: Any, x: Any) -> Any:
    """As numerical_gradient, never by the engine: exactly 2 x.size calls of f, plus before minus, entry after entry as
    they lie in memory. If f raises, its entry stays moved, as in the book.
    """
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x: expected an array, got {type(x).__name__}; pass np.array(x, float)")
    if x.dtype.kind in "iu":
        warnings.warn(
            f"x: expected floats, got {x.dtype}, which cannot hold x + {engine.STEP}: the quotients are wrong; "
            "pass x.astype(float)",
            PrecisionWarning,
            stacklevel=3,
        )
    result = np.zeros_like(x)
    entries = np.nditer(x, flags=["multi_index"], op_flags=["readwrite"])
    for _ in entries:
        result[entries.multi_index] = engine.quotient(f, x, entries.multi_index, engine.STEP)
    return result
