"""A function's values at points around x, for difference quotients: by calls, or in compiled loops."""

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.engine import threads
from fastnn.engine.moving import ONLY_READS, REFUSED, REMEDY, Moving, moved
from fastnn.engine.pace import SECONDS_PER_CALL
from fastnn.engine.perturbation import Method
from fastnn.gate.arrays import Array
from fastnn.kernels import differences

FLOP_PER_SECOND = 2e9  # turns the time of one call into work, which decides whether threads pay: from 0.1 ms on


class Sample(NamedTuple):
    """A function's values at the points of E entries.

    Attributes
    ----------
    values, steps : array (points, E)
        The values of f, and how far each entry was really moved.
    base : float, array (E,) or None
        f at x itself, for the method "forward".
    position : array (E,)
        The entries of x.
    calls : int
        How often f was called.
    """

    values: Array
    steps: Array
    base: Any
    position: Array
    calls: int

    def joined(self, other: "Sample") -> "Sample":
        """This sample followed by another one with the same points and base."""
        values, steps = (np.concatenate(both, axis=1) for both in zip(self[:2], other[:2], strict=True))
        return Sample(
            values, steps, self.base, np.concatenate([self.position, other.position]), self.calls + other.calls
        )

    @property
    def changes(self) -> Array:
        """The differences that the quotients divide."""
        return self.values if self.base is None else self.values - self.base

    def rounding(self, slopes: Array, eps: float) -> Array:
        """A bound on the rounding of a quotient: of f, and of x within f, which has these slopes.

        Where all values of f are float32 numbers, f was evaluated in float32.
        """
        coarse = (self.values == self.values.astype(np.float32)).all(axis=0) & (np.ptp(self.values, axis=0) > 0)
        unit = np.where(coarse, max(eps, float(np.finfo(np.float32).eps)), eps)
        magnitude = np.abs(self.values).max(axis=0) + np.abs(self.position * slopes)
        bound: Array = unit * magnitude / np.abs(self.steps).min(axis=0)
        return np.where(np.isnan(bound), 0.0, bound)


def number(value: Any) -> float:
    """The number that f returned, as a float; TypeError for anything but one number."""
    if isinstance(value, float):  # NumPy's float64, too
        return float(value)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiub" or isinstance(value, np.ma.MaskedArray):
        came = (
            f"a {type(value).__name__}" if array.dtype.kind not in "fiubc" else f"{array.dtype} of shape {array.shape}"
        )
        raise TypeError(f"f: expected a function that returns one number, got {came}; return a float")
    return float(array.reshape(-1)[0])


def by_calls(
    f: Callable[[Array], Any],
    x: Array,
    entries: Array,
    rule: Method,
    h: float,
    relative: bool,
    base: float | None = None,
    stop: Callable[[float], bool] | None = None,
) -> Sample:
    """f with each entry at each of the rule's points, called with x itself; base: f at x, if known.

    After the first entry `stop`, if given, is called with the seconds of a call and says whether to end there.
    """
    kept = _flat(x)[entries]
    scale: Any = h * np.maximum(1.0, np.abs(kept.astype(np.float64))) if relative else np.full(kept.shape, h)
    goals = kept + np.multiply.outer(rule.points, scale).astype(x.dtype, copy=False)
    values: list[float] = []

    def work(moving: Moving) -> float | None:
        known = number(f(x)) if base is None and len(rule.points) == 1 else base
        rows = zip(_places(x, entries), kept.tolist(), goals.T.tolist(), strict=True)
        if stop is not None and entries.size:
            times: list[float] = []
            values.extend(_values_at(itertools.islice(rows, 1), _timed(f, times), moving))
            if stop(min(times)):
                return known
        values.extend(_values_at(rows, f, moving))
        return known

    found = moved(x, work)
    table = np.array(values, np.float64).reshape(-1, len(rule.points)).T
    count = table.shape[1]
    steps = (goals - kept).astype(np.float64, copy=False)
    if count < entries.size:
        kept, steps = kept[:count], steps[:, :count]
    return Sample(table, steps, found, kept.astype(np.float64, copy=False), table.size + (found is not base))


def _values_at(rows: Any, f: Callable[[Array], Any], moving: Moving) -> list[float]:
    """f with each place moved to each of its goals, and then back."""
    values: list[float] = []
    x, target, move, note = moving.x, moving.target, moving.move, values.append
    for place, back, goals in rows:
        for goal in goals:
            try:
                target[place] = goal
            except REFUSED:
                move(place, goal)
            value = f(x)
            note(value if isinstance(value, float) else number(value))
        try:
            target[place] = back
        except REFUSED:
            move(place, back)
    return values


def _timed(f: Callable[[Array], Any], times: list[float]) -> Callable[[Array], Any]:
    """f, with the seconds of each call appended to `times`."""

    def call(x: Array) -> Any:
        start = time.perf_counter()
        value = f(x)
        times.append(time.perf_counter() - start)
        return value

    return call


def _flat(x: Array) -> Array:
    return np.asarray(x).reshape(-1)


def _places(x: Array, entries: Array) -> Any:
    """The entries' places as indices into x."""
    if x.ndim == 1:
        return entries.tolist()
    indices = np.unravel_index(entries, x.shape) if x.ndim else ()
    return zip(*(index.tolist() for index in indices), strict=True) if x.ndim else [()] * entries.size


def _position(x: Array, entries: Array) -> Array:
    return _flat(x)[entries].astype(np.float64)


def by_compiled_loop(f: Any, x: Array, entries: Array, rule: Method, h: float, relative: bool) -> Sample:
    """As by_calls, for a function compiled by Numba, which is called with copies of x."""
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
            differences.evaluate(1, 0, *arguments)
        if first > 0:  # the first call compiled
            seconds = max(1e-9, (time.perf_counter() - start) / (last - first) / len(points) * parts)
            size = max(1, min(4 * size, int(SECONDS_PER_CALL * parts / seconds / len(points))))
        first = last
    if copies.tobytes() != x.tobytes() * parts:
        raise ValueError(f"{ONLY_READS}, got one that wrote to it; {REMEDY}")
    return Sample(values, steps, base if len(points) == 1 else None, _position(x, entries), values.size + 2)
