"""Recognition, from two calls of a function, that it is the loss of a fastnn network.

`Network` registers itself, and its `loss` reports each call to a watcher in the same thread.
"""

import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn.engine.moving import Moving, moved
from fastnn.gate.arrays import Array

if TYPE_CHECKING:
    from fastnn.engine.samples import Prepared

# Keyed by the identity of the parameters' memory, the base of the views in `params`.
_engines: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class Call(NamedTuple):
    """A watched call of `Network.loss`."""

    engine: Any
    data: "Prepared"
    parameters: Array  # a copy at the time of the call
    loss: float


class _Watch(threading.local):
    calls: list[Call] | None = None


_watch = _Watch()


def register(engine: Any) -> None:
    """Register a network's engine, once it has its parameters."""
    _engines[id(engine.memory)] = engine


def is_watching() -> bool:
    """Whether calls of `Network.loss` are noted."""
    return _watch.calls is not None


def note_loss(engine: Any, data: "Prepared", loss: float) -> None:
    """Note a call of `Network.loss` with its data, from the gate, and its result."""
    if _watch.calls is not None:
        _watch.calls.append(Call(engine, data, engine.values.copy(), loss))


def is_network(thing: Any) -> bool:
    """Whether this is a network."""
    attributes = getattr(thing, "__dict__", None)
    engine = attributes.get("_engine") if isinstance(attributes, dict) else None
    return engine is not None and _engines.get(id(getattr(engine, "memory", None))) is engine


EXTRA_CALLS = 2  # for a function that may be a network's loss


def may_be_loss(x: Array) -> bool:
    """Whether x is a network's parameter, so that f is called EXTRA_CALLS times to recognize it."""
    engine = _engines.get(id(x.base))
    return engine is not None and engine.memory is x.base and _name(engine, x) is not None


def network_gradient(
    f: Callable[[Array], Any], x: Array, h: float, relative: bool, method: str
) -> tuple[Array, Array | None] | None:
    """The numerical gradient of f by x, flat, and an estimate of its error; None if f is no network's loss.

    f is called only if x is a network's parameter, and then twice: with x as it is, and with all of x moved. It is the
    loss if each time it returns the result of its only call of `Network.loss`, both calls were on the same data, and
    all other parameters were and are unchanged.
    """
    if not may_be_loss(x):
        return None
    engine = _engines[id(x.base)]
    before = engine.values.copy()
    generator = np.random.default_rng(0)

    def watched_twice(moving: Moving) -> tuple[Call, Call] | None:
        first = _watched(f, x)
        if first is None or not _is_untouched(engine, first, before):
            return None
        point = x + (0.01 * generator.standard_normal(x.shape)).astype(x.dtype)
        moving.move(..., point)
        further = engine.values.copy()
        second = _watched(f, x)
        is_loss = second is not None and _is_untouched(engine, second, further)
        if np.array_equal(x, point, equal_nan=True):  # else f wrote to it, as will be said
            moving.move(..., moving.kept)
        return (first, second) if is_loss and second is not None else None

    calls = moved(x, watched_twice)
    if calls is None:
        return None
    first, second = calls
    from fastnn.engine.samples import is_same  # here, as it loads the compiler

    if not all(map(is_same, first.data, second.data)):
        return None
    name = _name(engine, x)
    assert name is not None
    values, error = engine.perturbation(first.data).gradient(method, h, relative, only=name)
    return values[name].ravel(), None if error is None else error[name].ravel()


def _watched(f: Callable[[Array], Any], x: Array) -> Call | None:
    """The only call of a network's loss, if f returns its result; else None."""
    outer = _watch.calls
    calls: list[Call] = []
    _watch.calls = calls
    try:
        result = f(x)
    finally:
        _watch.calls = outer
    return calls[0] if len(calls) == 1 and result is calls[0].loss else None


def _is_untouched(engine: Any, call: Call, expected: Array) -> bool:
    """Whether a call was of this network, with these parameters, which it still has."""
    same = call.engine is engine and np.array_equal(call.parameters, expected, equal_nan=True)
    return same and np.array_equal(engine.values, expected, equal_nan=True)


def _name(engine: Any, x: Array) -> str | None:
    """The name of the parameter that x is, if any."""
    return next((name for name, parameter in engine.params.items() if _is_same(parameter, x)), None)


def _is_same(parameter: Array, x: Array) -> bool:
    """Whether both are the same view."""
    same_memory = parameter.ctypes.data == x.ctypes.data and parameter.strides == x.strides
    return same_memory and parameter.shape == x.shape


def _renew_locks() -> None:
    """Renew locks in a forked child: another thread of the parent may have held one, and have been at work."""
    for engine in list(_engines.values()):
        engine.lock, engine.workspace = threading.RLock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
