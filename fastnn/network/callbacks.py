"""Callbacks of `fit`: what they may be, and when their methods are called."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from fastnn.gate import checks
from fastnn.network.checkpoint import Checkpoint
from fastnn.network.history import History

if TYPE_CHECKING:
    from fastnn.network.network import Network


class BatchFigures(NamedTuple):
    """What a callback by batch learns.

    Attributes
    ----------
    epoch, batch : int
        Counted from 0.
    batches : int or None
        The batches of the epoch; None where an iterable gives them.
    samples : int
    loss : float
        The mean loss of the batch, before its update.
    learning_rate : float
    """

    epoch: int
    batch: int
    batches: int | None
    samples: int
    loss: float
    learning_rate: float


class ByBatch(Protocol):
    """A callback that is called after each batch."""

    def after_batch(self, network: Any, figures: Any) -> object:
        """Look at a network and a BatchFigures; True ends the training."""


Callback: TypeAlias = "Callable[[Network, History], object] | ByBatch | Checkpoint"


def check(callbacks: Any) -> None:
    """Refuse anything but a list of functions of (network, history)."""
    functions = isinstance(callbacks, list | tuple) and all(map(_can_be_one, callbacks))
    if not functions or any(isinstance(callback, type) for callback in callbacks):
        remedy = "pass callbacks=[function]"
        if callable(getattr(callbacks, "begin", None)):
            remedy = "pass it in a list"
        for callback in callbacks if isinstance(callbacks, list | tuple) else ():
            if isinstance(callback, type):
                remedy = f"create one, {callback.__name__}()"
        expected = "callbacks: expected a list of functions of (network, history)"
        is_list = isinstance(callbacks, list | tuple)
        came = f"[{', '.join(checks.headed(one, repr) for one in callbacks)}]" if is_list else repr(callbacks)
        raise TypeError(f"{expected}, got {came}; {remedy}")


def _can_be_one(value: Any) -> bool:
    """Whether a value is called by epoch or by batch, or is a checkpoint."""
    return isinstance(value, Checkpoint) or checks.can_be_called(value, 2) or bool(by_batch([value]))


def by_batch(callbacks: Sequence[Any]) -> list[tuple[int, Any]]:
    """The callbacks that are called after each batch, with their numbers."""
    return [(i, one) for i, one in enumerate(callbacks) if callable(getattr(one, "after_batch", None))]


def may_write(callbacks: Sequence[Any]) -> bool:
    """Whether there are callbacks of users, which may write into the data, such as to augment them in place."""
    return any(type(one).__module__.partition(".")[0] != __name__.partition(".")[0] for one in callbacks)


def after_batch(callbacks: Sequence[tuple[int, Any]], network: "Network", figures: BatchFigures) -> bool:
    """Call after_batch of these callbacks; return whether one of them ends the training."""
    ends = [_ends(i, callback.after_batch(network, figures)) for i, callback in callbacks]  # all are called
    return any(ends)


def begin(callbacks: Sequence[Callback], network: "Network", figures: Sequence[str]) -> None:
    """Call begin of all callbacks; on an error, call end of the ones that have begun."""
    for number, callback in enumerate(callbacks):
        try:
            if callable(getattr(callback, "begin", None)):
                callback.begin(network, figures)  # type: ignore[union-attr]
        except BaseException:
            end(callbacks[:number], network, History())
            raise


def after_epoch(callbacks: Sequence[Callback], network: "Network", history: History) -> bool:
    """Call all callbacks; return whether one of them ends the training. Checkpoints are written after all others."""
    called = [(i, one) for i, one in enumerate(callbacks) if callable(one)]  # others are called by batch alone
    ends = [_ends(i, callback(network, history)) for i, callback in called]  # all are called
    return any(ends)


def end(callbacks: Sequence[Callback], network: "Network", history: History) -> None:
    """Call end of all callbacks, then raise the first error."""
    errors = []
    for callback in callbacks:
        if callable(getattr(callback, "end", None)):
            try:
                callback.end(network, history)  # type: ignore[union-attr]
            except Exception as error:
                errors.append(error)
    if errors:
        raise errors[0]


def _ends(i: int, result: object) -> bool:
    """Whether a callback's result ends the training."""
    if result is not None and not isinstance(result, bool | np.bool_):
        expected = f"callbacks[{i}]: expected True, to end the training, or False or None, to go on"
        raise TypeError(f"{expected}, got {checks.shown(result)}; return one of them")
    return bool(result)
