"""Difference quotients with a step that suits the function: smaller ones where the quotients do not settle."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastnn.engine.perturbation import METHODS, divisors, quotient, settled_error
from fastnn.gate.arrays import Array
from fastnn.gradients.evaluation import Sample

SHRINK = 8.0  # from one step to the next that is tried
MOST_STEPS = 14
ROUNDING = 4.0  # times its bound: an error that no smaller step reduces
POOR = 0.01  # a relative error above which a quotient has not settled
PROMISED = 100.0  # times eps^(order / (order + 1)), the error of the method's best step: good enough

Sampler = Callable[[Array, float], Sample]  # takes entries and a step


class Quotients(NamedTuple):
    """Difference quotients of some entries, estimates of their errors, and how often f was called."""

    values: Array
    error: Array | None
    calls: int


def at_step(method: str, sample: Sampler, entries: Array, h: float, eps: float) -> Quotients:
    """The quotients for the given step; the error is infinite where they drift apart as the step shrinks."""
    found = sample(entries, h)
    steps = divisors(found.steps, METHODS[method].points, h)
    with np.errstate(all="ignore"):  # inf - inf
        values, error = quotient(method, found.changes, steps)
        if error is not None:
            rounding = found.rounding(values, eps)
            settled = settled_error(found.changes, found.steps, values, error)
            drifts = (settled > error) & (settled > POOR * np.abs(values)) & (settled > ROUNDING * rounding)
            error = np.where(drifts, np.inf, settled + rounding)
    return Quotients(values, error, found.calls)


def at_best_step(method: str, sample: Sampler, entries: Array, h: float, eps: float) -> Quotients:
    """The quotients, each entry with a step of its own: h, h / 8, h / 64, ...

    h suits functions that vary over distances like max(1, |x|). For others, such as 1 / x near 0, the estimated errors
    do not settle; smaller steps are tried until only rounding is left.
    """
    first = _level(method, sample, entries, h, eps, True)
    values, error, calls = first.values.copy(), first.error.copy(), first.calls
    trusted, is_open = first.is_trusted.copy(), ~first.is_done
    second = np.full(entries.shape, np.nan)
    for k in range(1, MOST_STEPS):
        places = np.flatnonzero(is_open)
        if not places.size:
            break
        found = _level(method, sample, entries[places], h / SHRINK**k, eps, False)
        calls += found.calls
        if k == 1:
            second[places] = found.values
        agrees = np.abs(found.values - values[places]) <= 2 * error[places]
        better = found.is_trusted & (~trusted[places] | (agrees & (found.error < error[places] / 4)))
        is_open[places] = ~found.is_done & (better | ~trusted[places])
        some = places[better]
        values[some], error[some], trusted[some] = found.values[better], found.error[better], True
    unsure = ~trusted & np.isfinite(second)  # nothing settled: the first is as good as any, and may be wrong
    error[unsure] = np.fmax(error[unsure], np.abs(second - values)[unsure])
    return Quotients(values, error if method == "richardson" else None, calls)


class _Level(NamedTuple):
    values: Array
    error: Array
    is_trusted: Array
    is_done: Array
    calls: int


def _level(method: str, sample: Sampler, entries: Array, h: float, eps: float, warn: bool) -> _Level:
    """The quotients for one step and how far to trust them; `warn` of steps lost in rounding."""
    rule, found = METHODS[method], sample(entries, h)
    steps = divisors(found.steps, rule.points, h) if warn else found.steps
    with np.errstate(all="ignore"):
        values, error = quotient(method, found.changes, steps)
        rounding, calls = found.rounding(values, eps), found.calls
        if error is None:  # one quotient alone has no estimate
            other = sample(entries, h / SHRINK)
            calls += other.calls
            error = np.abs(quotient(method, other.changes, other.steps)[0] - values)
            is_rounding = error <= ROUNDING * other.rounding(values, eps)
        else:
            error = settled_error(found.changes, steps, values, error)
            is_rounding = error <= ROUNDING * rounding
        is_trusted = is_rounding | (error <= POOR * np.abs(values))
        promised = PROMISED * eps ** (rule.order / (rule.order + 1)) * np.abs(values)
        return _Level(values, error + rounding, is_trusted, is_rounding | (error <= promised), calls)
