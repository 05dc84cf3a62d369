"""The base of optimizers: their description, the numbers of an update, and the frame entries that its unit reads."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from fastnn.gate import arrays
from fastnn.kernels.addresses import get, zero_of
from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.frames import COUNT, GRADS, NUMBERS, PARAMS, STATE, STRIDE, reals_of, vector_of
from fastnn.kernels.units import Unit
from fastnn.kernels.vector_math import constant
from fastnn.kernels.views import vector_at

# An update's numbers, float64: the learning rate, then the update's own; each update reads only its own.
RATE, FIRST, SECOND, EPSILON, INSIDE, CORRECTED, DECAY = range(7)
CLIP_VALUE, CLIP_NORM = 8, 9  # the bounds of gradients, infinity for none
STEP = 10  # the number of this update, from 1 on
RATES = 11
OWN_RATES = (FIRST, SECOND, DECAY)  # the places of the rates of an update made by `unit_of`


@kernel
def params(frame: Any) -> Any:
    """The parameters (COUNT,), read and written."""
    return vector_of(frame, PARAMS, get(frame, COUNT))


@kernel
def grads(frame: Any) -> Any:
    """Their gradient (COUNT,)."""
    return vector_of(frame, GRADS, get(frame, COUNT))


@kernel
def state(frame: Any, which: int) -> Any:
    """One of the optimizer's state vectors (COUNT,), read and written."""
    return vector_at(get(frame, STATE) + which * get(frame, STRIDE), get(frame, COUNT), zero_of(frame))


@kernel
def rates(frame: Any) -> Any:
    """The update's numbers (RATES,), in float64."""
    return reals_of(frame, NUMBERS, RATES)


@formula
def root(square: Any, epsilon: Any, inside: bool) -> Any:
    """sqrt(square + epsilon) if `inside`, else sqrt(square) + epsilon."""
    return math.sqrt(square + epsilon) if inside else math.sqrt(square) + epsilon


@formula
def _no_state(vectors: Any, i: int) -> Any:
    return 0.0


@formula
def _one_state(vectors: Any, i: int) -> Any:
    return vectors[0][i]


@formula
def _two_states(vectors: Any, i: int) -> Any:
    return vectors[0][i], vectors[1][i]


@formula
def _put_no_state(vectors: Any, i: int, values: Any) -> None:
    pass


@formula
def _put_one_state(vectors: Any, i: int, values: Any) -> None:
    vectors[0][i] = values


@formula
def _put_two_states(vectors: Any, i: int, values: Any) -> None:
    vectors[0][i], vectors[1][i] = values[0], values[1]


@formula
def _rates_0(like: Any, numbers: Any) -> Any:
    return (constant(like, numbers[RATE]),)


@formula
def _rates_1(like: Any, numbers: Any) -> Any:
    return constant(like, numbers[RATE]), constant(like, numbers[FIRST])


@formula
def _rates_2(like: Any, numbers: Any) -> Any:
    return constant(like, numbers[RATE]), constant(like, numbers[FIRST]), constant(like, numbers[SECOND])


@formula
def _rates_3(like: Any, numbers: Any) -> Any:
    """The learning rate and three others, in the dtype of `like`."""
    first, second, third = numbers[FIRST], numbers[SECOND], numbers[DECAY]
    return constant(like, numbers[RATE]), constant(like, first), constant(like, second), constant(like, third)


_RATES = (_rates_0, _rates_1, _rates_2, _rates_3)
_STATES = ((_no_state, _put_no_state), (_one_state, _put_one_state), (_two_states, _put_two_states))


def unit_of(update: Callable[..., Any], vectors: int, own_rates: int) -> Unit:
    """The unit of an update made of a formula of p, g, s and rates that returns (p, s).

    vectors: how many numbers s has, 0 to 2, see `fastnn.optimizer`. own_rates: how many rates follow the learning rate.
    """
    (take, keep), rates_of = _STATES[vectors], _RATES[own_rates]

    def own_update(frame: Any) -> None:
        p, g, numbers, like = params(frame), grads(frame), rates(frame), zero_of(frame)
        kept = state(frame, 0), state(frame, vectors - 1 if vectors > 0 else 0)
        own = rates_of(like, numbers)
        for i in range(p.size):
            value, values = update(p[i], g[i], take(kept, i), own)
            p[i] = value
            keep(kept, i, values)

    return Unit(own_update, made_of=(update, take, keep, rates_of))


@dataclass(frozen=True, repr=False)
class Optimizer:
    """The base class of optimizers: the name of their update, the learning rate, and clipping.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0.
    clip_value : float, optional
        Each entry of the gradient is kept within [-clip_value, clip_value]; keyword only, as is clip_norm.
    clip_norm : float, optional
        The gradient by all parameters together is scaled so that its Euclidean norm is at most this (Pascanu, Mikolov
        and Bengio, 2013). With both, the norm comes first.
    """

    update: ClassVar[str] = ""
    unit: ClassVar[Unit]
    outer: ClassVar[Unit | None] = None  # the update by the outer product of one sample's x and dy, if it has one
    keeps: ClassVar[tuple[str, ...]] = ()  # the names of its state vectors
    counts: ClassVar[bool] = False  # True if it depends on the number of the update
    in_unit_interval: ClassVar[tuple[str, ...]] = ()  # parameters in [0, 1)
    above_zero: ClassVar[tuple[str, ...]] = ()  # parameters above 0
    flags: ClassVar[tuple[str, ...]] = ()  # parameters that are True or False

    lr: float = 0.01
    clip_value: float | None = field(default=None, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.update:
            came = f"the base class {type(self).__name__}"
            raise TypeError(f"optimizer: expected one such as SGD, got {came}; use a subclass")
        object.__setattr__(self, "lr", arrays.real("lr", self.lr, minimum=0.0))
        for name in ("clip_value", "clip_norm"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, arrays.real(name, getattr(self, name), above=0.0))
        for name in self.in_unit_interval:
            object.__setattr__(self, name, arrays.real(name, getattr(self, name), minimum=0.0, below=1.0))
        for name in self.above_zero:
            object.__setattr__(self, name, arrays.real(name, getattr(self, name), above=0.0))
        for name in self.flags:
            object.__setattr__(self, name, arrays.flag(name, getattr(self, name)))

    @property
    def numbers(self) -> tuple[float, ...]:
        """The numbers of its update, except the step's."""
        numbers = [0.0] * STEP
        numbers[CLIP_VALUE] = np.inf if self.clip_value is None else self.clip_value
        numbers[CLIP_NORM] = np.inf if self.clip_norm is None else self.clip_norm
        for place, number in {RATE: self.lr, **self._own()}.items():
            numbers[place] = float(number)
        return tuple(numbers)

    def _own(self) -> dict[int, float]:
        """The update's own numbers by their place."""
        return {}

    def __repr__(self) -> str:
        given = [(one.name, getattr(self, one.name)) for one in fields(self)]
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given if value is not None)})"
