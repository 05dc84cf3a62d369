"""From a function to its numerical gradient by the engine: observe, recognise, evaluate, compare. Imports all of it.

Calls of f beyond the plain loop's: one under observation and one without, after which everything is put back; where f
is recognised, two more for each of CHECKS entries.
"""

import contextlib
import functools
import time
from typing import Any

import numpy as np

from fastnn.arrays import Array
from fastnn.dropin import record
from fastnn.dropin.common import layers as book
from fastnn.dropin.reach import Memory, Reach, ReadOnly, UnreachableError
from fastnn.dropin.recognition import Chain, recognise
from fastnn.dropin.tape import NotUnderstoodError, StandIn, stand_in
from fastnn.kernels.losses import OFFSET_CROSS_ENTROPY
from fastnn.layers import Activation, Affine, Relu, Sigmoid
from fastnn.perturbation import Model, Perturbation
from fastnn.plan import compile_plan

STEP = 1e-4  # the book's h
CHECKS = 2
# The plain quotient's own rounding: a few units in the last place of the loss, divided by 2 h.
ABSOLUTE, RELATIVE = 1e-9, 1e-6


def gradient(f: Any, x: Array, h: float) -> tuple[Array, Chain]:
    """The difference quotients of f at the array x, and what f was recognised as.

    Raises
    ------
    NotUnderstoodError
        With the reason, where the plain loop has to do it; then everything is as it was.
    """
    with _one_thread_for_numpy():
        return _gradient(f, x, h)


def _gradient(f: Any, x: Array, h: float) -> tuple[Array, Chain]:
    chain, base = _observe(f, x)
    result = of_chain(chain, h) + 2.0 * chain.decay * x
    if not np.isfinite(result).all():
        raise NotUnderstoodError("it gives numbers that are not finite")
    _compare(f, x, h, result, base)
    return result, chain


def of_chain(chain: Chain, h: float) -> Array:
    """The difference quotients of scale * loss by the array that the chain is about."""
    return chain.scale * _gradients(chain, h, chain.name)[chain.name]


def _gradients(chain: Chain, h: float, only: str | None) -> dict[str, Array]:
    """The difference quotients of the chain's loss by one of its parameters, or by all."""
    plan, places, columns, size = compile_plan(chain.layers, chain.loss)
    values = np.zeros(size)
    for number, (weights, bias) in enumerate(chain.parameters, start=1):
        for name, array in ((f"W{number}", weights), (f"b{number}", bias)):
            start, shape = places[name]
            values[start : start + array.size] = array.reshape(shape).ravel()
    labels, dense = chain.targets
    perturbation = Perturbation(Model(plan, places, columns, values), (chain.x, labels, dense))
    return perturbation.gradient("central", h, only=only)[0]


ACTIVATIONS: dict[type, type[Activation]] = {book.Sigmoid: Sigmoid, book.Relu: Relu}


def of_layers(layers: dict[str, Any], params: dict[str, Any], x: Any, t: Any, decay: float) -> dict[str, Array] | None:
    """The difference quotients of a network of the book's layers by all its parameters, by name.

    The loss is the cross entropy of the softmax, plus decay / 2 sum(W^2). None where one of the layers or arrays is
    another than the engine evaluates.
    """
    start = time.perf_counter()
    found: list[Any] = []
    pairs: list[tuple[Array, Array]] = []
    for layer in layers.values():
        if type(layer) is book.Affine:
            name = f"{len(pairs) + 1}"
            pair = (params.get(f"W{name}"), params.get(f"b{name}"))
            same = layer.W is pair[0] and layer.b is pair[1]
            if not (same and all(isinstance(array, np.ndarray) and array.dtype == np.float64 for array in pair)):
                return None
            pairs.append(pair)  # type: ignore[arg-type]
            found.append(Affine(*layer.W.shape))
        elif type(layer) in ACTIVATIONS:
            found.append(ACTIVATIONS[type(layer)]())
        else:
            return None
    x, t = np.asarray(x), np.asarray(t)
    labels = t.argmax(axis=1) if t.ndim == 2 and t.shape == (len(x), len(pairs[-1][1])) else t
    if labels.shape != x.shape[:1] or labels.dtype.kind not in "iu" or len(params) != 2 * len(pairs):
        return None
    rows = np.ascontiguousarray(x.reshape(len(x), -1), np.float64)
    targets = (labels.astype(np.intp), np.empty((0, 0)))
    chain = Chain(tuple(found), tuple(pairs), "", rows, OFFSET_CROSS_ENTROPY, targets, 1.0, decay / 2)
    if rows.shape[1] != pairs[0][0].shape[0] or not 0 <= labels.min() <= labels.max() < len(pairs[-1][1]):
        return None
    result = _gradients(chain, STEP, None)
    for name, array in params.items():
        if name[0] == "W":
            result[name] += decay * array
    size = sum(array.size for array in result.values())
    record.note((size,), "engine", f"{chain}; all parameters at once", time.perf_counter() - start)
    return {name: result[name] for name in params}


def _observe(f: Any, x: Array) -> tuple[Chain, float]:
    """Call f with a stand-in for x and with x, put everything back, recognise what it did; also the value of f."""
    try:
        reach = Reach(f)
    except UnreachableError as error:
        raise NotUnderstoodError(str(error)) from error
    if reach.is_held_fixed(x):
        raise NotUnderstoodError("a tuple holds the array")
    places = reach.places(x)
    before, substitute = Memory(reach), stand_in(x)
    try:
        with ReadOnly([*reach.arrays, x]):
            for place in places:
                place.put(substitute)
            root = f(substitute)
            first = Memory(reach)
            for place in places:
                place.put(x)
            value = f(x)
            second = Memory(reach)
        drew = before.drew_random_numbers()
    except NotUnderstoodError:
        raise
    except Exception as error:
        raise NotUnderstoodError(f"observed, it raises {type(error).__name__}: {error}") from error
    finally:
        before.restore()
    if drew:
        raise NotUnderstoodError("it draws random numbers")
    if not first.equals(second):
        raise NotUnderstoodError(
            "a second call leaves something else than the first: it counts, or keeps running values"
        )
    if not isinstance(root, StandIn):
        raise NotUnderstoodError("its value does not depend on the array, as far as one can see")
    if np.shape(root.node.value) != () or np.shape(value) != ():
        raise NotUnderstoodError(f"its value has the shape {np.shape(root.node.value)}")
    base, observed = float(value), float(root.node.value)
    if not abs(base - observed) <= ABSOLUTE * max(1.0, abs(base)):
        raise NotUnderstoodError(f"observed it gives {observed!r}, not {base!r}")
    return recognise(substitute.node, root.node), base


def _compare(f: Any, x: Array, h: float, result: Array, base: float) -> None:
    """Compare a few entries with the plain quotient. The last one comes last, so that f leaves what the loop leaves."""
    generator = np.random.default_rng(x.size)
    chosen = [*generator.integers(0, x.size, CHECKS - 1).tolist(), x.size - 1]
    for entry in chosen:
        place = np.unravel_index(entry, x.shape)
        plain = float(quotient(f, x, place, h))
        if not abs(plain - result[place]) <= ABSOLUTE * max(1.0, abs(base)) + RELATIVE * abs(plain):
            raise NotUnderstoodError(f"entry {place} is {plain!r} by the plain quotient, not {float(result[place])!r}")


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
