"""Everything that a network computes: one file for each operation. The rest of fastnn finds them through these tables.

LAYERS are keyed by class name, ACTIVATIONS, LOSSES and UPDATES by the names that users write. An operation is found
because its file is in this folder; nothing else needs to know of it.
"""

import importlib
import pkgutil
from typing import Any

from fastnn.operations.base import Activation, Layer
from fastnn.operations.losses.base import Loss
from fastnn.operations.updates.base import Optimizer

# In lists that users read, the usual operations come first; the ones not named here come after them.
FIRST = (
    "affine", "identity", "step", "sigmoid", "tanh", "relu", "leaky_relu", "prelu", "elu", "gelu", "silu", "softplus",
    "softmax", "conv2d", "max_pool2d", "avg_pool2d", "flatten", "dropout", "dropout2d", "batch_norm",
    "softmax_cross_entropy", "sigmoid_cross_entropy", "mean_squared_error", "absolute_error", "huber", "hinge",
    "exponential", "kl_divergence", "cross_entropy", "log_loss",
    "sgd", "momentum", "adagrad", "rmsprop", "adam",
)  # fmt: skip
__all__ = ["ACTIVATIONS", "LAYERS", "LOSSES", "OPTIMIZERS", "UPDATES"]


def _classes() -> list[type[Any]]:
    """The classes that the modules of this folder define, in the order of their names."""
    found = []
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        loaded = importlib.import_module(module.name)
        found += [value for value in vars(loaded).values() if getattr(value, "__module__", "") == module.name]
    return [value for value in found if isinstance(value, type)]


def _kinds(base: type[Any], name: str) -> dict[str, Any]:
    """The subclasses of a base that have an attribute, keyed by it."""
    kinds = [kind for kind in _found if issubclass(kind, base) and getattr(kind, name)]
    return {getattr(kind, name): kind for kind in reversed(kinds)}


def name_of(kind: type[Any]) -> str:
    """The name of an operation's file, which lists and fastnn.reference use, too."""
    return kind.__module__.rpartition(".")[2]


def _rank(kind: type[Any]) -> tuple[int, str]:
    """The place of a class in lists."""
    name = name_of(kind)
    return FIRST.index(name) if name in FIRST else len(FIRST), name


_found = sorted(_classes(), key=_rank)
LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in _found if issubclass(kind, Layer) and hasattr(kind, "units")
}
ACTIVATIONS: dict[str, type[Activation]] = dict(reversed(_kinds(Activation, "activation").items()))
LOSSES: dict[str, type[Loss]] = dict(reversed(_kinds(Loss, "name").items()))
OPTIMIZERS: dict[str, type[Optimizer]] = {
    kind.__name__: kind for kind in _found if issubclass(kind, Optimizer) and kind.update
}
# Keyed by the name of their update; the first optimizer with an update counts, such as Adam before AdamW.
UPDATES: dict[str, type[Optimizer]] = dict(reversed(_kinds(Optimizer, "update").items()))
# The classes that users made: what each is, and where it was registered.
MADE: dict[type[Any], tuple[str, dict[str, Any], str]] = {}


def is_replaced(kind: type[Any]) -> bool:
    """Whether a user made this class, or one that it derives from, and defined another by its name since."""
    places = (MADE[one] + (one,) for one in kind.__mro__ if one in MADE)
    return any(table.get(key) is not one for _, table, key, one in places)


def refuse_replaced(name: str, described: Any) -> None:
    """Refuse an operation whose class was defined again, as its name now stands for another formula."""
    if MADE and is_replaced(type(described)):
        came = f"{described}, made before {type(described).__name__} was defined again"
        raise ValueError(f"{name}: expected one of a class as it is defined now, got {came}; create it anew")
