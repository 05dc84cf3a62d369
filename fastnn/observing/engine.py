"""From a function to its numerical gradient by the engine: observe, recognise, evaluate, compare. Imports all of it.

Calls of f beyond the plain loop's: one under observation and one without, after which everything is put back; where f
is recognised, two more for each of CHECKS entries.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import observation
from fastnn.arrays import Array
from fastnn.observing.reach import Memory, RandomStates, Reach, ReadOnly
from fastnn.observing.recognition import Chain, recognise
from fastnn.observing.tape import NotUnderstoodError, StandIn, stand_in
from fastnn.perturbation import Model, Perturbation
from fastnn.plan import check_layers, compile_plan

STEP = 1e-4  # the book's h
CHECKS = 2
# The plain quotient's own rounding: a few units in the last place of the loss, divided by 2 h.
ABSOLUTE, RELATIVE = 1e-9, 1e-6


# Decides which entries are compared: others in each call, and not from the global generator, which is the script's.
_generator = np.random.default_rng(20161024)


def gradient(f: Any, x: Array, h: float) -> tuple[Array, str]:
    """The difference quotients of f at the array x, and what f was recognised as.

    Raises
    ------
    NotUnderstoodError
        With the reason, where the plain loop has to do it; then everything is as it was.
    """
    with _one_thread_for_numpy():
        if observation.may_be_loss(x):
            return _gradient_of_network(f, x, h)
        chain, base = _observe(f, x)
        result = _understood(lambda: of_chain(chain, h) + 2.0 * chain.decay * x)
        compare(f, x, h, result, base)
        return result, str(chain)


def _understood(function: Callable[[], Any]) -> Any:
    """The value of a function of ours that works on what f computes; whatever it raises, the plain loop can do it."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as that the step is lost in a large number, which the book does not
            return function()
    except NotUnderstoodError:
        raise
    except Exception as error:
        raise NotUnderstoodError(f"{type(error).__name__} while it was recognised") from error


def of_chain(chain: Chain, h: float) -> Array:
    """The difference quotients of scale * loss by the array that the chain is about."""
    return chain.scale * gradients(chain, h, chain.name)[chain.name]


def gradients(chain: Chain, h: float, only: str | None) -> dict[str, Array]:
    """The difference quotients of the chain's loss by one of its parameters, or by all."""
    compiled = compile_plan(check_layers(chain.layers), chain.loss)
    values = np.zeros(compiled.size)
    for number, (weights, bias) in enumerate(chain.parameters, start=1):
        for name, array in ((f"W{number}", weights), (f"b{number}", bias)):
            start, shape = compiled.places[name]
            values[start : start + array.size] = array.reshape(shape).ravel()
    labels, dense = chain.targets
    perturbation = Perturbation(
        Model(compiled.plan, compiled.places, compiled.columns, values), (chain.x, labels, dense)
    )
    return perturbation.gradient("central", h, only=only)[0]


def _observe(f: Any, x: Array) -> tuple[Chain, float]:
    """Call f with a stand-in for x and with x, put everything back, recognise what it did; also the value of f."""
    reach = Reach(f)
    reach.refuse_aliases(x)
    substitute = stand_in(x)

    def observed() -> Any:
        places = reach.places(x)
        for place in places:
            place.put(substitute)
        root = f(substitute)
        for place in places:
            place.put(x)
        return root

    root, value = _call_twice(reach, x, observed, lambda: f(x))
    if not isinstance(root, StandIn):
        raise NotUnderstoodError("its value does not depend on the array, as far as one can see")
    if np.shape(root.node.value) != () or np.shape(value) != ():
        raise NotUnderstoodError(f"its value has the shape {np.shape(root.node.value)}")
    base, observed_value = float(value), float(root.node.value)
    if not np.isfinite(base):
        raise NotUnderstoodError("its value is not finite")
    if not abs(base - observed_value) <= ABSOLUTE * max(1.0, abs(base)):
        raise NotUnderstoodError("observed it gives another value")
    return _understood(lambda: recognise(substitute.node, root.node)), base


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
        raise NotUnderstoodError(f"observed, it raises {type(error).__name__}: {error}") from error
    finally:
        before.restore()
        drew = states.restore()
    if drew:
        raise NotUnderstoodError("it draws random numbers")
    if not after_one.equals(after_two):
        raise NotUnderstoodError(
            "a second call leaves something else than the first: it counts, or keeps running values"
        )
    return one, two


def _gradient_of_network(f: Any, x: Array, h: float) -> tuple[Array, str]:
    """As gradient, where x is one of a fastnn network's parameters; f is called four times, then for the comparison."""
    reach = Reach(f)
    base, _ = _call_twice(reach, x, lambda: f(x), lambda: f(x))
    before, states = Memory(reach), RandomStates(reach)
    try:
        found = observation.network_gradient(f, x, h, False, "central")
    except Exception as error:
        raise NotUnderstoodError(f"observed, it raises {type(error).__name__}: {error}") from error
    finally:
        before.restore()
        states.restore()
    if found is None:
        raise NotUnderstoodError("it reads a network's parameters, and is not the network's loss")
    result = found[0].reshape(x.shape)
    compare(f, x, h, result, base)
    return result, "a fastnn network"


def compare(f: Any, x: Array, h: float, result: Array, base: float) -> None:
    """Compare CHECKS entries with the plain quotient, refused where one differs.

    One by chance among those whose quotient is not 0, where a difference would show; then the last one of the plain
    loop, so that f leaves what the loop leaves.
    """
    if not np.isfinite(result).all():
        raise NotUnderstoodError("it gives numbers that are not finite")
    candidates = np.flatnonzero(result)
    chosen = int(candidates[_generator.integers(candidates.size)]) if candidates.size else 0
    # In memory the last, as nditer goes, which the loop uses.
    last = tuple(0 if stride < 0 else size - 1 for size, stride in zip(x.shape, x.strides, strict=True))
    for place in (np.unravel_index(chosen, x.shape), last):
        kept = x[place]
        try:
            plain = float(quotient(f, x, place, h))
        except Exception as error:
            raise NotUnderstoodError(f"moved, it raises {type(error).__name__}: {error}") from error
        finally:
            x[place] = kept
        if not abs(plain - result[place]) <= ABSOLUTE * max(1.0, abs(base)) + RELATIVE * abs(plain):
            raise NotUnderstoodError("the plain quotient differs at an entry that was compared")


def quotient(f: Any, x: Array, place: Any, h: float) -> Any:
    """(f(x + h) - f(x - h)) / 2h at one entry of x, which is put back."""
    kept = x[place]
    x[place] = float(kept) + h
    above = f(x)
    x[place] = float(kept) - h
    below = f(x)
    x[place] = kept
    return (above - below) / (2 * h)


def _one_thread_for_numpy() -> Any:
    """A context in which NumPy's products have one thread, where threadpoolctl is there to see to it.

    On two threads OpenBLAS keeps them spinning for some 20 ms after each product, and the engine's threads beside them
    take twice their time: 110 ms instead of 50 for a network of 784-50-10.
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
