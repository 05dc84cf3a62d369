"""Recognises, from one call of a function, that it is the loss of a fastnn network. Imports the gate.

`Network` registers itself, and its `loss` reports each call to whoever is watching in the same thread.
"""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from fastnn.arrays import Array

# By the identity of its vector of parameters, into which `params` gives views.
_networks: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class _Watch(threading.local):
    calls: list[tuple[Any, tuple[Array, Array, Array], float]] | None = None


_watch = _Watch()


def register(network: Any) -> None:
    """Called by a network when it has its parameters."""
    _networks[id(network._values)] = network


def note_loss(network: Any, data: tuple[Array, Array, Array], loss: float) -> None:
    """Called by `Network.loss` with its data, as they came through the gate, and its result."""
    if _watch.calls is not None:
        _watch.calls.append((network, data, loss))


def network_gradient(
    f: Callable[[Array], Any], x: Array, h: float, relative: bool, method: str
) -> tuple[Array, Array | None] | None:
    """The numerical gradient of f by x, flat, and an estimate of its error; None if f is no network's loss.

    f is called only if x is one of a network's parameters, and then once. It is taken for the loss if it returns what
    its only call of `Network.loss` returned, the same object.
    """
    network = _networks.get(id(x.base))
    if network is None or network._values is not x.base:
        return None
    names = [name for name, parameter in network.params.items() if _is_same(parameter, x)]
    if not names:
        return None
    _watch.calls = []
    try:
        result = f(x)
        calls = _watch.calls
    finally:
        _watch.calls = None
    if len(calls) != 1 or calls[0][0] is not network or result is not calls[0][2]:
        return None
    values, error = network._perturbation(calls[0][1]).gradient(method, h, relative, only=names[0])
    return values[names[0]].ravel(), None if error is None else error[names[0]].ravel()


def _is_same(parameter: Array, x: Array) -> bool:
    """Whether both are the same view."""
    same_memory = parameter.ctypes.data == x.ctypes.data and parameter.strides == x.strides
    return same_memory and parameter.shape == x.shape


def _renew_locks() -> None:
    """In a forked child: another thread of the parent may have held a network's lock, and have been at work."""
    for network in list(_networks.values()):
        network._lock, network._workspace = threading.RLock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
