"""Numerical differentiation of any function, as courses teach it.

A function compiled by Numba runs in compiled loops; the loss of a fastnn network, or of one written in NumPy, is
recognized and evaluated by fastnn/engine/perturbation.py; any other function is called for every point.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.engine import observation
from fastnn.engine.moving import Moving, moved
from fastnn.engine.perturbation import METHODS, Method, divisors, step_size
from fastnn.errors import warn_of_precision
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.names import DifferenceMethod, Step
from fastnn.gate.slips import answers_slips
from fastnn.gradients import evaluation
from fastnn.gradients.evaluation import Sample, number
from fastnn.gradients.step_choice import Quotients, Sampler, at_best_step, at_step
from fastnn.kernels import differences
from fastnn.observing import turns
from fastnn.observing.attempt import attempt, may_pay, why_not
from fastnn.observing.engine import Rule


class NumericalGradient(NamedTuple):
    """A numerical gradient with its error and its cost.

    Attributes
    ----------
    values : array like x
        NaN where no difference was evaluated.
    error : array like x, or None
        For the method "richardson" an estimate of each value's absolute error; infinite where the given step is too
        large for one, such as across a pole or a kink.
    evaluations : int
        How many times f was called, not counting calls under observation; for a network's loss, how many losses its
        differences stand for.

    Examples
    --------
    >>> x = np.array([3.0, 4.0])
    >>> found = fastnn.numerical_gradient(lambda x: (x**2).sum(), x, method="richardson", full_output=True)
    >>> found.values.round(6), bool(found.error.max() < 1e-6)
    (array([6., 8.]), True)
    """

    values: Array
    error: Array | None
    evaluations: int


def numerical_diff(
    f: Callable[[Any], Any], x: Any, h: float | Step = 1e-4, method: DifferenceMethod = "central"
) -> Any:
    """The derivative of a function of one variable at x by a difference quotient.

    Parameters
    ----------
    f : callable
        Takes a float or, if x is an array, an array, element by element.
    x : float or array
    h : float or "auto"
        Step, above 0. "auto": the best in theory for the method, relative to max(1, |x|), and smaller ones for entries
        where the quotients show that f varies over shorter distances; to see this, "richardson" needs no further calls
        of f, the others twice as many. A fastnn network's loss always takes the first.
    method : str
        "central": (f(x + h) - f(x - h)) / (2 h). "forward": (f(x + h) - f(x)) / h. "five_point" and "richardson":
        combinations of central ones, exact for polynomials up to the degrees 4 and 6. The divisor is the step really
        taken, (x + h) - x in floating point.

    Returns
    -------
    float, or array like x

    Notes
    -----
    Source: Burden and Faires, Numerical Analysis, 10th edition (2016), sections 4.1 and 4.2.

    Examples
    --------
    >>> round(fastnn.numerical_diff(lambda x: x**2, 3.0), 6)
    6.0
    >>> fastnn.numerical_diff(np.sin, np.array([0.0, np.pi])).round(6)
    array([ 1., -1.])
    >>> fastnn.numerical_diff(np.exp, 0.0, method="forward") - 1 > 1e-5  # one-sided: the error is about h / 2
    True
    >>> abs(fastnn.numerical_diff(np.exp, 0.0, h="auto", method="richardson") - 1) < 1e-11
    True
    """
    rule = METHODS[arrays.choice("method", method, METHODS)]
    arrays.function("f", f)
    many = isinstance(x, list) or (isinstance(x, np.ndarray) and x.ndim > 0)
    x = arrays.anything("x", x).item() if isinstance(x, np.ndarray) and not many else x
    point: Any = arrays.floats("x", x, dtype="float64", rounding=True) if many else np.float64(arrays.real("x", x))
    size, relative = step_size(h, rule)

    def sample(entries: Array, h: float) -> Sample:
        scale = h * np.maximum(1.0, np.abs(point)) if relative else h
        goals = [point + multiple * scale for multiple in rule.points]
        base = _values(f, point.copy(), many).reshape(-1)[entries] if method == "forward" else None
        values = [_values(f, goal.copy(), many).reshape(-1)[entries] for goal in goals]
        steps = [np.reshape(goal - point, -1)[entries] for goal in goals]
        position, calls = np.reshape(point, -1)[entries], len(goals) + (base is not None)
        return Sample(np.stack(values), np.stack(steps), base, position, calls)

    values = _quotients(method, sample, np.arange(point.size), size, relative, np.float64).values
    return values.reshape(point.shape) if many else float(values[0])


@answers_slips
def numerical_gradient(
    f: Callable[[Array], Any],
    x: Any,
    h: float | Step = 1e-4,
    *,
    method: DifferenceMethod = "central",
    subset: Any = None,
    max_entries: int | None = None,
    rng: int | np.random.Generator | None = None,
    full_output: bool = False,
) -> Any:
    """The gradient of f at x by difference quotients, one entry of x at a time.

    Parameters
    ----------
    f : callable
        Takes x and returns a number. There are four kinds. A function compiled by `numba.njit` is called in compiled
        loops on all threads, each with a copy of x. The loss of a fastnn network, such as `lambda W: net.loss(x, t)`
        with x `net.params["W1"]`, is recognized by two calls, one with all of x moved, and evaluated by
        `Network.numerical_gradient`. The loss of a network written in NumPy, for x in float64, is recognized by two
        calls with x as it is, after which all that f changed is put back, and evaluated likewise; the quotients of two
        entries are compared with plain calls. Any other function is called once for each point of each entry, with x
        itself, one entry moved, and, if it looked recognizable, a few times more, once with a stand-in for x, which
        `evaluations` does not count. While f is observed, for the first milliseconds, no other thread may use the
        objects that f reaches.
    x : array of float16, float32 or float64
        Writable, of any shape and order. It keeps its bits, whatever f does, even if f raises or Ctrl-C comes.
    h : float or "auto"
        Step, above 0, as for `numerical_diff`.
    method : str
        As for `numerical_diff`.
    subset : array of bool like x, or indices into x.ravel(), optional
        Only these entries.
    max_entries : int, optional
        Only this many entries, drawn at random without repetition.
    rng : int or numpy Generator, optional
        For the draw.
    full_output : bool
        Return a `NumericalGradient`: values, error and evaluations.

    Returns
    -------
    array like x, or NumericalGradient
        NaN where subset or max_entries leave an entry out.

    Raises
    ------
    TypeError, ValueError
        For anything but such a function or array, and if f writes to x.

    Warns
    -----
    PrecisionWarning
        If x has so few digits that the quotient is mostly rounding.

    Examples
    --------
    >>> fastnn.numerical_gradient(lambda x: (x**2).sum(), np.array([3.0, 4.0])).round(6)
    array([6., 8.])
    >>> net = fastnn.Network([fastnn.Affine(4, 3)], rng=0)
    >>> x, t = np.eye(4, dtype=np.float32), np.array([0, 1, 2, 0])
    >>> dW = fastnn.numerical_gradient(lambda W: net.loss(x, t), net.params["W1"])  # recognized
    >>> bool(np.abs(dW - net.gradient(x, t)["W1"]).max() < 1e-6)
    True
    """
    rule = METHODS[arrays.choice("method", method, METHODS)]
    f, x = arrays.function("f", f), arrays.perturbable("x", x)
    full_output = arrays.flag("full_output", full_output)
    size, relative = step_size(h, rule, x.dtype)
    entries = _entries(x, subset, max_entries, rng)
    compiled = differences.is_compiled(f)
    watched = not compiled and observation.may_be_loss(x)
    # A network is evaluated in float64, whatever its dtype: so is the best step.
    found = observation.network_gradient(f, x, *step_size(h, rule), method) if watched else None
    if found is not None:
        gradient, error = found[0][entries], None if found[1] is None else found[1][entries]
        evaluations = len(rule.points) * len(entries)
    else:
        _warn_of_rounding(x.dtype, size, rule)
        may_be_observed = may_pay(x, len(entries), len(rule.points) * len(entries))
        evaluate = _compiled if compiled else _observed if may_be_observed else _plain
        sample, quotients = evaluate(f, x, entries, method, size, relative)
        if quotients is None:
            quotients = _quotients(method, sample, entries, size, relative, x.dtype)
        gradient, error, evaluations = quotients
        evaluations += observation.EXTRA_CALLS if watched else 0
    result = _spread(x, entries, gradient)
    if not full_output:
        return result
    return NumericalGradient(result, None if error is None else _spread(x, entries, error), evaluations)


@answers_slips
def directional_derivative(
    f: Callable[[Array], Any],
    x: Any,
    v: Any,
    h: float | Step = 1e-4,
    *,
    method: DifferenceMethod = "central",
    unit: bool = False,
) -> float:
    """The derivative of f at x in the direction v, the gradient's scalar product with v, by one difference quotient.

    Parameters
    ----------
    f, x : callable, array
        As for `numerical_gradient`; f is called with x itself, moved by multiples of h v.
    v : array like x
    h : float or "auto"
        Step, above 0, as for `numerical_diff`.
    method : str
        As for `numerical_diff`.
    unit : bool
        Divide v by its length, the root of the sum of its squares, so that only its direction counts: the slope of f in
        that direction, which is largest, the length of the gradient, along the gradient.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As for `numerical_gradient`; and, with unit=True, if v has no direction.

    Examples
    --------
    >>> x, v = np.array([3.0, 4.0]), np.array([1.0, 2.0])
    >>> round(fastnn.directional_derivative(lambda x: (x**2).sum(), x, v), 6)  # (6, 8) times (1, 2)
    22.0
    >>> round(fastnn.directional_derivative(lambda x: (x**2).sum(), x, [6.0, 8.0], unit=True), 6)  # |(6, 8)|
    10.0
    """
    rule = METHODS[arrays.choice("method", method, METHODS)]
    f, x = arrays.function("f", f), arrays.perturbable("x", x)
    v = arrays.anything("v", v)
    if v.shape != x.shape or v.dtype.kind not in "fiub":
        raise ValueError(f"v: expected numbers of shape {x.shape}, got {v.dtype} of shape {v.shape}; pass one like x")
    if arrays.flag("unit", unit):
        v = _of_length_1(v)
    size, relative = step_size(h, rule, x.dtype)
    _warn_of_rounding(x.dtype, size, rule)
    largest = max(1.0, float(np.abs(x).max())) if relative else 1.0
    square = float(np.sum(np.square(v, dtype=np.float64))) or 1.0
    distance = float(np.abs(x).max()) / (float(np.abs(v).max()) or 1.0)

    def sample(_: Array, h: float) -> Sample:
        values, steps = [], []

        def work(moving: Moving) -> float | None:
            base = number(f(x)) if method == "forward" else None
            for multiple in rule.points:
                goal = (moving.kept + multiple * h * largest * v).astype(x.dtype)
                moving.move(..., goal)
                steps.append(float(np.sum((goal - moving.kept) * v)) / square)  # the rounded step along v
                values.append(number(f(x)))
            moving.move(..., moving.kept)
            return base

        base = moved(x, work)
        calls = len(values) + (base is not None)
        return Sample(np.array(values)[:, None], np.array(steps)[:, None], base, np.array([distance]), calls)

    return float(_quotients(method, sample, np.arange(1), size, relative, x.dtype).values[0])


def _of_length_1(v: Array) -> Array:
    """v over its length, which may over- or underflow only where v is not finite or 0."""
    largest = float(np.abs(v).max())
    if not 0.0 < largest < np.inf:
        raise ValueError(f"v: expected a direction of finite length above 0, got {largest:g}; pass one, or unit=False")
    v = v / largest
    made: Array = v / np.sqrt(np.sum(np.square(v, dtype=np.float64)))
    return made


def _quotients(method: str, sample: Sampler, entries: Array, h: float, adapts: bool, dtype: Any) -> Quotients:
    """The entries' quotients with the step h or, if `adapts`, with steps that suit f."""
    eps = float(np.finfo(dtype).eps)
    return (at_best_step if adapts else at_step)(method, sample, entries, h, eps)


def _compiled(
    f: Any, x: Array, entries: Array, method: str, h: float, relative: bool
) -> tuple[Sampler, Quotients | None]:
    """A sampler of a compiled function."""

    def sample(some: Array, step: float) -> Sample:
        return evaluation.by_compiled_loop(f, x, some, METHODS[method], step, relative)

    return sample, None


def _plain(
    f: Callable[[Array], Any], x: Array, entries: Array, method: str, h: float, relative: bool
) -> tuple[Sampler, Quotients | None]:
    """A sampler that calls f, where observing it cannot pay."""

    def sample(some: Array, step: float) -> Sample:
        return evaluation.by_calls(f, x, some, METHODS[method], step, relative)

    return sample, None


def _observed(
    f: Callable[[Array], Any], x: Array, entries: Array, method: str, h: float, relative: bool
) -> tuple[Sampler, Quotients | None]:
    """A sampler that calls f, and the engine's quotients if f is recognized; the first entry tells whether to try."""
    rule, seconds = METHODS[method], [0.0]
    calls = len(rule.points) * len(entries)

    def may_pay_now(call: float) -> bool:
        seconds[0] = call
        return not (observation.may_be_loss(x) or why_not(f, x, call, calls, len(entries)))

    with turns.plain_loop():
        head = evaluation.by_calls(f, x, entries, rule, h, relative, stop=may_pay_now)
    is_all = len(head.position) == len(entries)

    def sample(some: Array, step: float) -> Sample:
        if some is entries and step == h:
            return head if is_all else head.joined(rest(some[1:], step))
        return rest(some, step)

    def rest(some: Array, step: float) -> Sample:
        with turns.plain_loop():
            return evaluation.by_calls(f, x, some, rule, step, relative, head.base)

    if not is_all:
        found, _ = attempt(f, x, (method, h, relative), seconds[0], calls, entries, entries[-1])
        if found is not None:
            divisors(Rule(method, h, relative).steps(x.reshape(-1)[entries]), rule.points, h)
            error = None if found.error is None else found.error.ravel()[entries]
            return sample, Quotients(found.values.ravel()[entries], error, calls)
    return sample, None


def _warn_of_rounding(dtype: Any, h: float, rule: Method) -> None:
    """Warn below a tenth of the best step, where the relative error of rounding is ten times as large."""
    if dtype != np.float64 and h < step_size("auto", rule, dtype)[0] / 10:
        warn_of_precision(
            f"x: {dtype} holds too few digits for h={h:g}, the quotient is mostly rounding; pass x in float64, "
            'or h="auto"'
        )


def _entries(x: Array, subset: Any, max_entries: int | None, rng: Any) -> Array:
    """The flat indices of the entries to evaluate, in order."""
    entries = np.arange(x.size)
    if subset is not None:
        chosen = arrays.anything("subset", subset)
        chosen = chosen.astype(np.intp) if chosen.size == 0 and chosen.dtype != bool else chosen
        mask = chosen.dtype == bool and chosen.shape == x.shape
        if not mask and not (chosen.dtype.kind in "iu" and chosen.ndim == 1):
            came = f"{chosen.dtype} of shape {chosen.shape}"
            raise ValueError(f"subset: expected bools of shape {x.shape} or a list of flat indices, got {came}")
        entries = np.flatnonzero(chosen) if mask else np.unique(chosen.astype(np.intp))
        if entries.size and (entries[0] < 0 or entries[-1] >= x.size):
            raise ValueError(f"subset: expected indices from 0 to {x.size - 1}, got {entries[[0, -1]].tolist()}")
    if rng is not None:
        rng = arrays.generator("rng", rng)
    if max_entries is not None and arrays.integer("max_entries", max_entries, minimum=1) < entries.size:
        entries = np.sort(arrays.generator("rng", rng).choice(entries, max_entries, replace=False))
    return entries


def _spread(x: Array, entries: Array, values: Any) -> Array:
    """The entries' values in an array like x, NaN elsewhere."""
    result = np.full(x.shape, np.nan, x.dtype)
    result.reshape(-1)[entries] = values
    return result


def _values(f: Callable[[Any], Any], point: Any, many: bool) -> Any:
    """f at a number, or at each element of an array."""
    if not many:
        return np.float64(number(f(float(point))))
    values = f(point)
    values = np.asarray(values) if np.isscalar(values) else arrays.anything("f", values)
    if values.shape != point.shape or values.dtype.kind not in "fiub":
        came = f"{values.dtype} of shape {values.shape}"
        raise TypeError(f"f: expected a function that returns numbers of shape {point.shape}, got {came}")
    return values.astype(np.float64)
