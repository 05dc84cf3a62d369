"""Numerical differentiation of any function, as courses teach it.

A function compiled by Numba runs in compiled loops; the loss of a fastnn network, or of one written in NumPy, is
recognised and evaluated by fastnn/perturbation.py; any other function is called for every point. Imports the gate,
observation and observing, perturbation, threads and kernels.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn import arrays, observation, threads
from fastnn.arrays import Array
from fastnn.errors import PrecisionWarning
from fastnn.kernels import differences
from fastnn.observing import turns
from fastnn.observing.attempt import attempt
from fastnn.observing.engine import Rule
from fastnn.perturbation import METHODS, Method, divisors, quotient, step_size

SECONDS_PER_CALL = 0.05  # of compiled code, so that Ctrl-C answers within 0.1 s
FLOP_PER_SECOND = 2e9  # tells from the time of one call whether threads pay: from 0.1 ms on, as it is timed once


class NumericalGradient(NamedTuple):
    """All that a numerical gradient knows of itself.

    Attributes
    ----------
    values : array like x
        NaN where no difference was evaluated.
    error : array like x, or None
        For the method "richardson" an estimate of each value's absolute error.
    evaluations : int
        How many times f was called, without calls after which all was put back; of a network's loss, how many losses
        its differences stand for.
    """

    values: Array
    error: Array | None
    evaluations: int


def numerical_diff(f: Callable[[Any], Any], x: Any, h: float | str = 1e-4, method: str = "central") -> Any:
    """The derivative of a function of one variable at x by a difference quotient.

    Parameters
    ----------
    f : callable
        Called with a float; or with an array, where x is one, whose elements it takes one by one.
    x : float or array
    h : float or "auto"
        Step, above 0. "auto": relative to max(1, |x|), the best for the method by theory.
    method : str
        "central": (f(x + h) - f(x - h)) / (2 h). "forward": (f(x + h) - f(x)) / h. "five_point" and "richardson":
        combinations of central ones, exact for polynomials up to the degrees 4 and 6. The divisor is the step really
        taken, (x + h) - x in floating-point numbers.

    Returns
    -------
    float, or array like x

    Notes
    -----
    Source: Burden and Faires, Numerical Analysis, 10th edition (2016), sections 4.1 and 4.2.
    """
    rule = METHODS[arrays.choice("method", method, METHODS)]
    arrays.function("f", f)
    many = isinstance(x, list) or (isinstance(x, np.ndarray) and x.ndim > 0)
    x = x.item() if isinstance(x, np.ndarray) and not many else x
    point: Any = arrays.floats("x", x, dtype="float64", rounding=True) if many else np.float64(arrays.real("x", x))
    size, relative = step_size(h, rule)
    scale = size * np.maximum(1.0, np.abs(point)) if relative else size
    moved = [point + multiple * scale for multiple in rule.points]
    base = _values(f, point, many) if method == "forward" else 0.0
    values = [_values(f, m, many) for m in moved]
    steps = np.stack([np.asarray(m - point) for m in moved])
    result = quotient(method, np.stack(values) - base, divisors(steps, rule.points, size))[0]
    return result if many else float(result)


def numerical_gradient(
    f: Callable[[Array], Any],
    x: Any,
    h: float | str = 1e-4,
    *,
    method: str = "central",
    subset: Any = None,
    max_entries: int | None = None,
    rng: int | np.random.Generator | None = None,
    full_output: bool = False,
) -> Any:
    """The gradient of f at x by difference quotients, one entry of x at a time.

    Parameters
    ----------
    f : callable
        Takes x and returns a number. One of four kinds. Compiled by `numba.njit`: called in compiled loops on all
        threads, each with a copy of x. The loss of a fastnn network, such as `lambda W: net.loss(x, t)` where x is
        `net.params["W1"]`: found out by two calls, one of them with all of x moved, and evaluated by
        `Network.numerical_gradient`. The loss of a network written in NumPy, x of float64: found out by two calls, with
        x as it is, after which all that f changed is put back, and evaluated alike; the quotients of two entries are
        compared with those of plain calls. Any other: called exactly once for each point of each entry, with x itself,
        one entry of it moved.
    x : array of float16, float32 or float64
        Of any shape and order, writable. Each entry is put back to its own bits, also when f raises or Ctrl-C comes.
    h, method
        See `numerical_diff`.
    subset : array of bool like x, or indices into x.ravel(), optional
        Only these entries.
    max_entries : int, optional
        Only so many entries, drawn at random without repetition.
    rng : int or numpy Generator, optional
        For the draw.
    full_output : bool
        Return a `NumericalGradient`: values, error and evaluations.

    Returns
    -------
    array like x, or NumericalGradient
        NaN where subset or max_entries leave an entry out.

    Warns
    -----
    PrecisionWarning
        If x has so few digits that the quotient is mostly rounding.
    """
    rule = METHODS[arrays.choice("method", method, METHODS)]
    f, x = arrays.function("f", f), arrays.perturbable("x", x)
    size, relative = step_size(h, rule, x.dtype)
    entries = _entries(x, subset, max_entries, rng)
    watched = not differences.is_compiled(f) and observation.may_be_loss(x)
    # A network is evaluated in float64, whatever its dtype: so is the best step.
    found = observation.network_gradient(f, x, *step_size(h, rule), method) if watched else None
    if found is not None:
        gradient, error = found[0][entries], None if found[1] is None else found[1][entries]
        evaluations = len(rule.points) * len(entries)
    elif differences.is_compiled(f):
        _warn_of_rounding(x.dtype, size, rule)
        values, steps, evaluations = _evaluate_compiled(f, x, entries, rule, size, relative)
        gradient, error = quotient(method, values, divisors(steps, rule.points, size))
    else:
        _warn_of_rounding(x.dtype, size, rule)
        gradient, error, evaluations = _observed(f, x, entries, method, size, relative)
        evaluations += observation.EXTRA_CALLS if watched else 0
    result = _spread(x, entries, gradient)
    if not full_output:
        return result
    return NumericalGradient(result, None if error is None else _spread(x, entries, error), evaluations)


def directional_derivative(
    f: Callable[[Array], Any], x: Any, v: Any, h: float | str = 1e-4, *, method: str = "central"
) -> float:
    """The derivative of f at x in the direction v, the gradient's scalar product with v, by one difference quotient.

    Parameters
    ----------
    f, x, h, method
        As for `numerical_gradient`; f is called with x itself, moved by multiples of h v.
    v : array like x

    Returns
    -------
    float
    """
    rule = METHODS[arrays.choice("method", method, METHODS)]
    f, x = arrays.function("f", f), arrays.perturbable("x", x)
    v = np.asarray(v)
    if v.shape != x.shape or v.dtype.kind not in "fiub":
        raise ValueError(f"v: expected numbers of shape {x.shape}, got {v.dtype} of shape {v.shape}; pass one like x")
    size, relative = step_size(h, rule, x.dtype)
    _warn_of_rounding(x.dtype, size, rule)
    scale = size * max(1.0, float(np.abs(x).max())) if relative else size
    kept = x.copy()
    base = number(f(x)) if method == "forward" else 0.0
    values, steps = [], []
    square = float(np.sum(np.square(v, dtype=np.float64))) or 1.0
    try:
        for multiple in rule.points:
            x[...] = kept + multiple * scale * v
            steps.append(float(np.sum((x - kept) * v)) / square)  # what rounding leaves of it, in the direction of v
            values.append(number(f(x)) - base)
    finally:
        x[...] = kept
    return float(quotient(method, np.array(values), divisors(np.array(steps), rule.points, scale))[0])


def _warn_of_rounding(dtype: Any, h: float, rule: Method) -> None:
    """A tenth of the best step leaves a relative error of rounding ten times as large as with the best."""
    best, _ = step_size("auto", rule, dtype)
    if dtype != np.float64 and h < best / 10:
        warnings.warn(
            f"x: {dtype} holds too few digits for h={h:g}, the quotient is mostly rounding; pass x in float64, "
            'or h="auto"',
            PrecisionWarning,
            stacklevel=3,
        )


def _entries(x: Array, subset: Any, max_entries: int | None, rng: Any) -> Array:
    """The flat indices of the entries to evaluate, in order."""
    entries = np.arange(x.size)
    if subset is not None:
        chosen = np.asarray(subset, int if np.size(subset) == 0 else None)
        mask = chosen.dtype == bool and chosen.shape == x.shape
        if not mask and not (chosen.dtype.kind in "iu" and chosen.ndim == 1):
            came = f"{chosen.dtype} of shape {chosen.shape}"
            raise ValueError(f"subset: expected bools of shape {x.shape} or a list of flat indices, got {came}")
        entries = np.flatnonzero(chosen) if mask else np.unique(chosen.astype(np.intp))
        if entries.size and (entries[0] < 0 or entries[-1] >= x.size):
            raise ValueError(f"subset: expected indices from 0 to {x.size - 1}, got {entries[[0, -1]].tolist()}")
    if max_entries is not None and arrays.integer("max_entries", max_entries, minimum=1) < entries.size:
        entries = np.sort(arrays.generator("rng", rng).choice(entries, max_entries, replace=False))
    return entries


def _spread(x: Array, entries: Array, values: Any) -> Array:
    """Values of some entries as an array like x, NaN elsewhere."""
    result = np.full(x.shape, np.nan, x.dtype)
    result.reshape(-1)[entries] = values
    return result


def _values(f: Callable[[Any], Any], point: Any, many: bool) -> Any:
    """f at a number, or at each element of an array."""
    if not many:
        return np.float64(number(f(float(point))))
    values = np.asarray(f(point))
    if values.shape != point.shape or values.dtype.kind not in "fiub":
        came = f"{values.dtype} of shape {values.shape}"
        raise TypeError(f"f: expected a function that returns numbers of shape {point.shape}, got {came}")
    return values.astype(np.float64)


def number(value: Any) -> float:
    """What f returned, as a float.

    Raises
    ------
    TypeError
        For anything but one number.
    """
    if isinstance(value, float):  # NumPy's float64, too
        return float(value)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiub":
        came = (
            f"a {type(value).__name__}" if array.dtype.kind not in "fiubc" else f"{array.dtype} of shape {array.shape}"
        )
        raise TypeError(f"f: expected a function that returns one number, got {came}; return a float")
    return float(array.reshape(-1)[0])


def _observed(
    f: Callable[[Array], Any], x: Array, entries: Array, method: str, h: float, relative: bool
) -> tuple[Array, Array | None, int]:
    """The quotients, estimates of their errors, and how often f was called: by the engine if observing f shows how."""
    rule = METHODS[method]
    calls = len(rule.points) * len(entries)
    with turns.plain_loop():
        base = number(f(x)) if len(rule.points) == 1 else 0.0
        start = time.perf_counter()
        values, steps = _evaluate(f, x, entries[:1], rule, base, h, relative)
        seconds = (time.perf_counter() - start) / len(rule.points)
    if len(entries) and not observation.may_be_loss(x):
        found, _ = attempt(f, x, (method, h, relative), seconds, calls, entries, entries[-1])
        if found is not None:
            divisors(Rule(method, h, relative).steps(x.reshape(-1)[entries]), rule.points, h, stacklevel=4)
            return found.values.ravel()[entries], None if found.error is None else found.error.ravel()[entries], calls
    with turns.plain_loop():
        rest = _evaluate(f, x, entries[1:], rule, base, h, relative)
    values, steps = (np.concatenate(both, axis=1) for both in zip((values, steps), rest, strict=True))
    gradient, error = quotient(method, values, divisors(steps, rule.points, h, stacklevel=4))
    return gradient, error, calls + (len(rule.points) == 1)


def _evaluate(
    f: Callable[[Array], Any], x: Array, entries: Array, rule: Method, base: float, h: float, relative: bool
) -> tuple[Array, Array]:
    """f less a base, and the steps taken, at each point of each entry, (points, entries)."""
    values = np.empty((len(rule.points), entries.size))
    steps = np.empty_like(values)
    flat: Any = x.reshape(-1) if x.flags.c_contiguous else x.flat
    for column, entry in enumerate(entries.tolist()):
        kept = flat[entry]
        scale = h * max(1.0, abs(float(kept))) if relative else h
        try:
            for row, multiple in enumerate(rule.points):
                flat[entry] = moved = kept + multiple * scale
                steps[row, column] = moved - kept
                values[row, column] = number(f(x)) - base
        finally:
            flat[entry] = kept
    return values, steps


def _evaluate_compiled(
    f: Any, x: Array, entries: Array, rule: Method, h: float, relative: bool
) -> tuple[Array, Array, int]:
    """As _evaluate for "forward" less f at x itself, by a compiled loop; and how often f was called."""
    if x.dtype not in (np.float32, np.float64):
        remedy = "pass x.astype(np.float64)"
        raise TypeError(f"x: expected float32 or float64 for a compiled f, got {x.dtype}; {remedy}")
    x = np.ascontiguousarray(x)
    parts = 1 if differences.is_parallel(f) or threads.may_not_nest() else threads.get_num_threads()
    copies = np.stack([x] * parts)
    values = np.full((len(rule.points), entries.size), np.nan)
    steps = np.zeros_like(values)
    points = np.array(rule.points)
    base = number(f(copies[0]))
    start = time.perf_counter()
    f(copies[0])
    seconds = max(1e-7, time.perf_counter() - start)
    first, size = 0, max(1, int(SECONDS_PER_CALL / seconds / len(points)))
    while first < entries.size:
        last, start = min(entries.size, first + size), time.perf_counter()
        work = FLOP_PER_SECOND * seconds * len(points) * (last - first)
        arguments = (f, copies, entries, first, last, points, h, relative, values, steps)
        threads.run(differences.evaluate, work, *arguments, n_threads=parts)
        if np.isnan(
            values[:, first:last]
        ).any():  # a thread loses the exception that ended it, the serial loop does not
            differences.evaluate.serial(1, *arguments)
        if first > 0:  # the first call compiled
            seconds = max(1e-9, (time.perf_counter() - start) / (last - first) / len(points) * parts)
            size = max(1, min(4 * size, int(SECONDS_PER_CALL * parts / seconds / len(points))))
        first = last
    return values - (base if len(points) == 1 else 0.0), steps, values.size + 2
