"""Optimizers: frozen descriptions of an update. Their state lives in the network.

Each is written, with its kernel, in a file of fastnn/operations/updates.
"""

import pickle
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import operations
from fastnn.gate import arrays, attributes, checks, foreign_names
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.operations.updates import base
from fastnn.operations.updates.base import Optimizer as Optimizer

# isort: split
# <generated: python -m docs.generate>
from fastnn.operations.updates.adagrad import AdaGrad as AdaGrad
from fastnn.operations.updates.adam import Adam as Adam
from fastnn.operations.updates.adam import AdamW as AdamW
from fastnn.operations.updates.momentum import Momentum as Momentum
from fastnn.operations.updates.momentum import Nesterov as Nesterov
from fastnn.operations.updates.rmsprop import RMSProp as RMSProp
from fastnn.operations.updates.sgd import SGD as SGD

# </generated>


class Rule(NamedTuple):
    """An update as kernels make it, read from an optimizer once: the class with its unit, and its numbers."""

    kind: type[Optimizer] | None  # None: no update
    numbers: Array  # (STEP,) float64
    given: tuple[float, ...] | None = None  # the optimizer's numbers that they were read from


NO_RULE = Rule(None, np.zeros(base.STEP))  # for a gradient without an update


def rule_of(optimizer: Optimizer, dtype: Any, before: Rule | None = None) -> Rule:
    """An optimizer's rule for parameters of `dtype`; TypeError or ValueError if it gives no valid update.

    before: an earlier rule for this dtype, which is returned if the optimizer gives the same numbers.
    """
    operations.refuse_replaced("optimizer", optimizer)
    kind = OPTIMIZERS[arrays.choice("optimizer.update", optimizer.update, OPTIMIZERS)]
    numbers = optimizer.numbers
    is_plain = type(numbers) is tuple and all(type(number) is float for number in numbers)
    if is_plain and before is not None and before.kind is kind and numbers == before.given:
        return before
    return Rule(kind, numbers_in(dtype, numbers), numbers)


def numbers_in(dtype: Any, numbers: tuple[float, ...]) -> Array:
    """The numbers of an update in float64; refused if they are not numbers, or infinite in `dtype`."""
    largest = float(np.finfo(dtype).max)
    values, kind = np.zeros(base.STEP), np.dtype(dtype)
    values[[base.CLIP_VALUE, base.CLIP_NORM]] = np.inf
    if not isinstance(numbers, tuple) or len(numbers) > base.STEP:
        came = f"{len(numbers)}" if isinstance(numbers, tuple) else checks.shown(numbers)
        expected = f"optimizer.numbers: expected a tuple of at most {base.STEP} numbers"
        raise TypeError(f"{expected}, got {came}; return super().numbers, or numbers like these")
    for place, number in enumerate(numbers):
        clips = place in (base.CLIP_VALUE, base.CLIP_NORM)
        if not (clips and isinstance(number, float) and number == np.inf):  # infinity clips nothing
            values[place] = arrays.real("optimizer", number, maximum=None if clips else largest)
    if values[base.EPSILON] > 0.0:
        arrays.survives("optimizer", "an epsilon above 0", values[base.EPSILON], 0.0, kind, "pass a larger one")
    for number in values[[base.FIRST, base.SECOND]]:
        arrays.survives("optimizer", "a share below 1", number, 1.0, kind, "pass a smaller one, or use float64")
    return values


OPTIMIZER_CLASSES = operations.OPTIMIZERS
OPTIMIZERS = operations.UPDATES
for _class in OPTIMIZER_CLASSES.values():
    answers_slips(_class)
# The classes whose numbers never change; those of a user's class may.
OWN = frozenset(OPTIMIZER_CLASSES.values())


def that_can_be_pickled(optimizer: Optimizer | None) -> Optimizer | None:
    """`optimizer` itself, or None if pickle does not find its class, such as one defined in a function.

    Refuses one whose class was defined again, as its name now stands for another.
    """
    try:
        pickle.dumps(optimizer)
    except Exception:
        kind = type(optimizer)
        if operations.is_replaced(kind) or getattr(sys.modules[kind.__module__], kind.__name__, kind) is not kind:
            came = f"{kind.__name__}, made before it was defined again; train by a new one, or initialize()"
            expected = "network.optimizer: expected one of a class as it is defined now"
            raise pickle.PicklingError(f"{expected}, got {came}") from None
        return None
    return optimizer


def check_optimizer(optimizer: Any) -> Optimizer:
    """`optimizer` itself; anything but an optimizer is refused."""
    if not isinstance(optimizer, Optimizer):
        remedy = "create one"
        if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
            remedy = f"create one, {optimizer.__name__}()"
        if isinstance(optimizer, str) and optimizer.lower() in OPTIMIZERS:
            remedy = f"create one, {OPTIMIZERS[optimizer.lower()].__name__}()"
        raise TypeError(f"optimizer: expected an optimizer such as fastnn.SGD(lr=0.1), got {optimizer!r}; {remedy}")
    return optimizer


if not TYPE_CHECKING:  # to type checkers it would make every name one of this module

    def __getattr__(name: str) -> Any:
        names = [kind.__name__ for kind in OPTIMIZERS.values()]
        raise attributes.of_module(__name__, name, names, foreign_names.OF_PACKAGE)
