"""Comparing and timing a target, for workers and the pytest benchmarks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data
from benchmarks.peers import Target

ROUNDS = 5
SHORTEST_SAMPLE_NS = 20_000  # shorter calls are timed several at a time, so that the clock does not count
SETTLING_SECONDS = 0.1  # until the threads of the BLAS that computed the expected results have gone to sleep


@dataclass(frozen=True)
class Limits:
    """How long a case is timed: until both minimums are reached, or the longest time."""

    seconds: float
    least_samples: int

    @property
    def longest_seconds(self) -> float:
        """A slow case ends after this time, with fewer samples."""
        return 10 * self.seconds


def largest_error(got: Sequence[Any], expected: Sequence[Any]) -> float:
    """The largest |got - expected| / |expected| of all arrays, with Euclidean norms; infinity for NaN or another shape.

    It is a norm, not the largest entry, as an input of ReLU near 0 may round to either side of it.
    """
    if len(got) != len(expected):
        return np.inf
    worst = 0.0
    for actual, wanted in zip(got, expected, strict=True):
        actual, wanted = np.asarray(actual, np.float64), np.asarray(wanted, np.float64)
        if actual.shape != wanted.shape or not np.isfinite(actual).all():
            return np.inf
        if wanted.size:
            worst = max(worst, float(np.linalg.norm(actual - wanted) / (np.linalg.norm(wanted) or 1.0)))
    return worst


def first_calls(case: Case, data: Data, target: Target) -> dict[str, Any]:
    """Make the calls that are compared with the table: the seconds of the first one, and the error."""
    results, seconds = [], []
    for _ in range(target.compared):
        start = time.perf_counter()
        results.append(target.call())
        seconds.append(time.perf_counter() - start)
    expected = case.expected(data)[slice(*target.part)]
    error = largest_error(_changes(target.outputs(results), data), _changes(expected, data))
    agrees = error <= case.tolerance
    found: dict[str, Any] = {"first_call_seconds": seconds[0], "error": error if np.isfinite(error) else None}
    if agrees:
        return found | {"status": "agrees"}
    return found | {"status": "differs", "reason": f"error {error:.1e}, allowed {case.tolerance:.0e}"}


def _changes(arrays: Sequence[Any], data: Data) -> list[Any]:
    """The results, with the changes of the parameters, which come last: initial values would hide a step's effect."""
    initial = list(data.get("params", {}).values())
    if len(arrays) <= len(initial):
        return list(arrays)
    kept = len(arrays) - len(initial)
    moved = [np.asarray(after, np.float64) - before for after, before in zip(arrays[kept:], initial, strict=True)]
    return [*arrays[:kept], *moved]


def time_target(target: Target, limits: Limits) -> dict[str, Any]:
    """Warm up, then sample the seconds of one case in several rounds."""
    call = target.timed or target.call
    time.sleep(SETTLING_SECONDS)
    once = min(_sample(call, 1) for _ in range(4 if target.timed is None else 1))
    loops = max(1, SHORTEST_SAMPLE_NS // max(int(once), 1))
    samples: list[float] = []
    wall, processor = time.perf_counter(), time.process_time()
    for number in range(1, ROUNDS + 1):
        _round(call, loops, samples, wall, number / ROUNDS, limits)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {
        **statistics(np.array(samples) * 1e-9 / target.divisor),
        "calls": len(samples) * loops * target.divisor,
        "processors": processor / wall,  # how many were busy
    }


def _sample(call: Any, loops: int) -> float:
    """The nanoseconds of a call, the mean of several."""
    start = time.perf_counter_ns()
    for _ in range(loops):
        call()
    return (time.perf_counter_ns() - start) / loops


def _round(call: Any, loops: int, samples: list[float], start: float, share: float, limits: Limits) -> None:
    """Sample until this fraction of the time and of the samples is reached."""
    while True:
        elapsed = time.perf_counter() - start
        enough = elapsed >= share * limits.seconds and len(samples) >= share * limits.least_samples
        if samples and (enough or elapsed >= limits.longest_seconds):
            return
        samples.append(_sample(call, loops))


def statistics(seconds: Any) -> dict[str, float | int]:
    """The 10th percentile, by which cases are compared, the quartiles, and the number of samples."""
    low, first, median, third = np.percentile(seconds, [10, 25, 50, 75])
    return {
        "seconds": float(low),
        "first_quartile": float(first),
        "median": float(median),
        "third_quartile": float(third),
        "samples": len(seconds),
    }
