"""From a function to its numerical gradient by the engine: observe, recognize, evaluate, compare.

f is called twice more than by the plain loop, once under observation, and everything is put back; where f is
recognized, it is also called for the quotients of CHECKS entries.
"""

import contextlib
import functools
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.engine import observation
from fastnn.engine.perturbation import METHODS, Model, Perturbation, divisors, quotient
from fastnn.engine.plan import NO_LOSS_NUMBERS, check_layers, compile_plan
from fastnn.gate.arrays import Array
from fastnn.observing.reach import MOST, Memory, RandomStates, Reach
from fastnn.observing.read_only import ReadOnly
from fastnn.observing.recognition import Chain, recognize
from fastnn.observing.shared import Others, may_share, numbers_of, seen_from
from fastnn.observing.state import State
from fastnn.observing.tape import NotUnderstoodError, StandIn, forbidden, stand_in

CHECKS = 2
# The plain quotient's own rounding: a few units in the last place of the loss, divided by the step.
ABSOLUTE, RELATIVE = 1e-13, 1e-6
# Steps that rounding leaves large enough to compare, and that stay near the observed point.
SMALLEST_STEP, LARGEST_STEP = 1e-10, 1.0


class Rule(NamedTuple):
    """A difference quotient: the name of its method, its step, and whether the step is relative to max(1, |x|)."""

    method: str = "central"
    h: float = 1e-4
    relative: bool = False

    def steps(self, x: Array) -> Array:
        """The steps really taken from x at each of the method's points, (points, *x.shape)."""
        scale = self.h * np.maximum(1.0, np.abs(x)) if self.relative else self.h
        return np.stack([np.asarray((x + multiple * scale) - x) for multiple in METHODS[self.method].points])


BOOK = Rule()


class Seen(NamedTuple):
    """What was observed: f as a chain, its value, other arrays with their numbers among the chain's parameters."""

    chain: Chain
    base: float
    numbers: list[tuple[Array, int]]
    state: State | None
    shares: bool = True


class Found(NamedTuple):
    """Difference quotients like x, for "richardson" an estimate of their errors, and what f was recognized as."""

    values: Array
    error: Array | None
    text: str
    others: Others | None = None
    shares: bool = True  # False if f was understood only without stand-ins for other arrays
    call: float = 0.0  # seconds


# Chooses the entries to compare, new ones in each call; the global generator belongs to the script.
_generator = np.random.default_rng(20161024)


def gradient(
    f: Any,
    x: Array,
    rule: Rule = BOOK,
    entries: Array | None = None,
    last: int = -1,
    most: int = MOST,
    asked: Sequence[Array] = (),
) -> Found:
    """The difference quotients of f at the array x.

    entries: the entries that the plain loop would evaluate, if not all.
    last: the flat index of the last of them.
    most: refuse a function that reaches more objects.
    asked: arrays by which the gradient of such a function was asked for before; see shared.py.
    Raises NotUnderstoodError with the reason, if the plain loop has to do it; everything is then as it was.
    """
    farthest = rule.h * (max(1.0, float(np.max(np.abs(x)))) if rule.relative else 1.0)
    if not (rule.h >= SMALLEST_STEP and farthest <= LARGEST_STEP):
        raise NotUnderstoodError(f"a step of {rule.h:g}")
    with _one_thread_for_numpy():
        if observation.may_be_loss(x):
            found, base = _gradient_of_network(f, x, rule, most)
        else:
            seen = _observe_all(f, x, most, asked)
            base = seen.base
            found = _understood(lambda: _of_chain(seen, x, rule))
        call = compare(f, x, rule, found.values, base, entries, last)
        return found._replace(call=call)


def _understood(function: Callable[[], Any]) -> Any:
    """The value of a function of ours that works on what f computed; if it raises, the plain loop takes over."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of a step lost in a large number
            return function()
    except NotUnderstoodError:
        raise
    except Exception as error:
        raise NotUnderstoodError(f"{type(error).__name__} while it was recognized") from error


def _of_chain(seen: Seen, x: Array, rule: Rule) -> Found:
    """The difference quotients by the chain's array x, including the weight decay's, and by other arrays."""
    chain = seen.chain
    values, error = gradients(chain, rule, None if seen.numbers else chain.name)
    result = chain.scale * values[chain.name]
    if chain.decay:
        steps = rule.steps(x)
        changes = chain.decay * steps * (2.0 * x + steps)
        result += quotient(rule.method, changes, divisors(steps, METHODS[rule.method].points, rule.h))[0]
    others = None
    if seen.state is not None:
        each = list(values.values())
        quotients = [chain.scale * each[number].reshape(array.shape) for array, number in seen.numbers]
        arrays = [weakref.ref(array) for array, _ in seen.numbers]
        others = Others(arrays, quotients, weakref.ref(x), seen.state, seen.base, str(chain), rule)
    error_of_x = None if error is None else abs(chain.scale) * error[chain.name]
    return Found(result, error_of_x, str(chain), others, seen.shares)


def gradients(chain: Chain, rule: Rule, only: str | None) -> tuple[dict[str, Array], dict[str, Array] | None]:
    """The difference quotients of the chain's loss by one of its parameters, or by all, and estimates of errors."""
    numbers = (chain.loss_parameter, *NO_LOSS_NUMBERS[1:])
    compiled = compile_plan(*check_layers(chain.layers, chain.input_shape), chain.loss, numbers)
    values = np.concatenate([array.ravel() for array in chain.parameters])
    labels, dense = chain.targets
    perturbation = Perturbation(
        Model(compiled.plan, compiled.places, compiled.columns, values), (chain.x, labels, dense)
    )
    return perturbation.gradient(*rule, only=only)


def _observe_all(f: Any, x: Array, most: int, asked: Sequence[Array]) -> Seen:
    """As _observe, with stand-ins for the other arrays that were asked for; for x alone if that is not understood."""
    if not asked:
        return _observe(f, x, most)
    try:
        if may_share(f):
            return _observe(f, x, most, asked, State(f))
        return _observe(f, x, most)._replace(shares=False)
    except NotUnderstoodError:
        return _observe(f, x, most)._replace(shares=False)


def _observe(f: Any, x: Array, most: int, asked: Sequence[Array] = (), state: State | None = None) -> Seen:
    """Call f with a stand-in for x, and for other arrays, then with x; put everything back, recognize what f did.

    state: before the calls, if there are other arrays. They are forgotten if f itself changes it.
    """
    reach = Reach(f, most)
    known = state if state is not None and state.has(x) else None
    others = [] if known is None else [array for array in asked if array is not x and known.has(array)]
    views = [(place, view) for array in (x, *others) for view in reach.views(array) for place in reach.places(view)]
    after: list[State] = []
    substitute, further = stand_in(x), [stand_in(array) for array in others]

    def observed() -> Any:
        pairs = zip((x, *others), (substitute, *further), strict=True)
        places = [(place, array, other) for array, other in pairs for place in reach.places(array)]
        hidden = [(place, view, forbidden(view)) for place, view in views]
        for place, _, other in (*places, *hidden):
            place.put(other)
        root = f(substitute)
        for place, array, _ in places:
            place.put(array)
        for place, view, other in hidden:
            if place.holds(other):  # else f has put something there
                place.put(view)
        return root

    def plain() -> Any:
        value = f(x)
        if others:
            after.append(State(f))
        return value

    root, value = _call_twice(reach, x, observed, plain)
    if not isinstance(root, StandIn):
        raise NotUnderstoodError("its value does not seem to depend on the array")
    if np.shape(root.node.value) != () or np.shape(value) != ():
        raise NotUnderstoodError(f"its value has the shape {np.shape(root.node.value)}")
    base, observed_value = float(value), float(root.node.value)
    if not np.isfinite(base):
        raise NotUnderstoodError("its value is not finite")
    if not abs(base - observed_value) <= 1e-9 * max(1.0, abs(base)):
        raise NotUnderstoodError("under observation it gives another value")
    seen = seen_from(root.node, substitute.node)
    if root.node not in seen:
        raise NotUnderstoodError("its value does not seem to depend on the array")
    chain = _understood(lambda: recognize(substitute.node, seen[root.node]))
    if known is None or not others:
        return Seen(chain, base, [], None)
    if not known.equals(after[0]):
        return Seen(chain, base, [], None, shares=False)
    leaves = {one.node: array for one, array in zip(further, others, strict=True)}
    numbers = numbers_of(leaves, root.node, seen, chain)
    return Seen(chain, base, [(leaves[leaf], number) for leaf, number in numbers.items()], known if numbers else None)


def _call_twice(reach: Reach, x: Array, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """The results of two calls of f, after which everything is put back; refused where f is no function of x alone."""
    before, states, drew = Memory(reach), RandomStates(reach), False
    try:
        with ReadOnly([*reach.arrays, x]):
            one = first()
            after_one = Memory(reach)
            two = second()
            after_two = Memory(reach)
    except NotUnderstoodError:
        raise
    except Exception as error:
        raise NotUnderstoodError(f"under observation, it raises {type(error).__name__}: {error}") from error
    finally:
        before.restore()
        drew = states.restore()
    if drew:
        raise NotUnderstoodError("it draws random numbers")
    if not after_one.equals(after_two):
        raise NotUnderstoodError(
            "a second call leaves another state than the first: it counts, or keeps running values"
        )
    return one, two


def _gradient_of_network(f: Any, x: Array, rule: Rule, most: int) -> tuple[Found, float]:
    """The quotients by x, a parameter of a fastnn network, and the value of f, which is called four times."""
    reach = Reach(f, most)
    base, _ = _call_twice(reach, x, lambda: f(x), lambda: f(x))
    before, states = Memory(reach), RandomStates(reach)
    try:
        found = observation.network_gradient(f, x, rule.h, rule.relative, rule.method)
    except Exception as error:
        raise NotUnderstoodError(f"under observation, it raises {type(error).__name__}: {error}") from error
    finally:
        before.restore()
        states.restore()
    if found is None:
        raise NotUnderstoodError("it reads a network's parameters, and is not the network's loss")
    errors = None if found[1] is None else found[1].reshape(x.shape)
    return Found(found[0].reshape(x.shape), errors, "a fastnn network"), base


def again(f: Any, x: Array, others: Others, last: int) -> Found:
    """The quotients by one of the arrays of `others`, if nothing has changed since f was observed; compared, too."""
    with _one_thread_for_numpy():
        if not others.state.equals(State(f)):
            raise NotUnderstoodError("it has changed")
        number = next(i for i, array in enumerate(others.arrays) if array() is x)
        found = Found(others.values[number], None, others.text)
        compare(f, x, others.rule, found.values, others.base, None, last, known=True)
        return found


def compare(
    f: Any,
    x: Array,
    rule: Rule,
    result: Array,
    base: float,
    entries: Array | None = None,
    last: int = -1,
    known: bool = False,
) -> float:
    """Compare CHECKS entries with the plain quotient; refuse f where one differs. Return the seconds of a call.

    One is chosen at random among entries whose quotient is not 0, where a difference would show; the other is the plain
    loop's last, so that f leaves the same state as the loop. If f is known by a comparison with another array, this one
    is enough where its quotient is not 0.
    """
    flat = result.ravel() if entries is None else result.ravel()[entries]
    if not np.isfinite(flat).all():
        raise NotUnderstoodError("it gives numbers that are not finite")
    candidates = np.flatnonzero(flat)
    chosen = int(candidates[_generator.integers(candidates.size)]) if candidates.size else 0
    chosen = chosen if entries is None else int(entries[chosen])
    final, seconds = last % x.size, np.inf
    for number in (final,) if known and result.ravel()[final] else (chosen, final):
        place = np.unravel_index(number, x.shape)
        kept, start = x[place], time.perf_counter()
        try:
            plain = _plain_quotient(f, x, place, rule)
            seconds = min(seconds, (time.perf_counter() - start) / len(METHODS[rule.method].points))
        except Exception as error:
            raise NotUnderstoodError(f"moved, it raises {type(error).__name__}: {error}") from error
        finally:
            x[place] = kept
        rounding = ABSOLUTE / rule.h * max(1.0, abs(base))
        if not abs(plain - result[place]) <= rounding + RELATIVE * abs(plain):
            raise NotUnderstoodError("the plain quotient differs at an entry that was compared")
    return seconds


def _plain_quotient(f: Any, x: Array, place: Any, rule: Rule) -> float:
    """The difference quotient at one entry of x, by calls of f in the order of the loop."""
    kept, points = x[place], METHODS[rule.method].points
    base = float(f(x)) if len(points) == 1 else 0.0
    steps, values = rule.steps(kept), []
    for step in steps:
        x[place] = kept + step
        values.append(float(f(x)) - base)
    x[place] = kept
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the step lost in rounding
        return float(quotient(rule.method, np.array(values), divisors(steps, points, rule.h))[0])


def _one_thread_for_numpy() -> Any:
    """A context in which NumPy's products have one thread, if threadpoolctl is installed.

    OpenBLAS's threads spin for about 20 ms after each product, which doubles the time of the engine's threads: 110 ms
    instead of 50 for a network of 784-50-10.
    """
    controller = _controller()
    return contextlib.nullcontext() if controller is None else controller.limit(limits=1, user_api="blas")


@functools.cache
def _controller() -> Any:
    try:
        import threadpoolctl
    except ImportError:
        return None
    return threadpoolctl.ThreadpoolController()
