"""Optimizers: frozen descriptions of an update. Imports the gate, slips and numpy.

Their state lives in the network, their arithmetic in kernels/updates.py.
"""

import pickle
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastnn import arrays, checks
from fastnn.arrays import Array
from fastnn.kernels import updates
from fastnn.slips import answers_slips


@dataclass(frozen=True, repr=False)
class Optimizer:
    """What all optimizers share: the name of their update in kernels/updates.py, the learning rate, and clipping.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0.
    clip_value : float, optional
        Each entry of the gradient is kept within [-clip_value, clip_value]; by keyword only, as is clip_norm.
    clip_norm : float, optional
        The gradient by all parameters together is scaled so that its Euclidean norm is at most this (Pascanu, Mikolov
        and Bengio, 2013). With both, by the norm first.
    """

    update: ClassVar[str] = ""
    in_unit_interval: ClassVar[tuple[str, ...]] = ()  # parameters in [0, 1)

    lr: float = 0.01
    clip_value: float | None = field(default=None, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.update not in updates.UPDATES or self.update == "none":
            came = f"the base class {type(self).__name__}"
            raise TypeError(f"optimizer: expected one such as SGD, got {came}; use a subclass")
        object.__setattr__(self, "lr", arrays.real("lr", self.lr, minimum=0.0))
        for name in ("clip_value", "clip_norm"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, arrays.real(name, getattr(self, name), above=0.0))
        for name in self.in_unit_interval:
            object.__setattr__(self, name, arrays.real(name, getattr(self, name), minimum=0.0, below=1.0))

    @property
    def numbers(self) -> tuple[float, ...]:
        """The numbers of its update, as kernels/updates.py lists them, but for that of the step."""
        numbers = [0.0] * updates.STEP
        numbers[updates.CLIP_VALUE] = np.inf if self.clip_value is None else self.clip_value
        numbers[updates.CLIP_NORM] = np.inf if self.clip_norm is None else self.clip_norm
        for place, number in {updates.RATE: self.lr, **self._own()}.items():
            numbers[place] = float(number)
        return tuple(numbers)

    def _own(self) -> dict[int, float]:
        """The update's own numbers by their place."""
        return {}

    def __repr__(self) -> str:
        given = [(one.name, getattr(self, one.name)) for one in fields(self)]
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given if value is not None)})"


@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr g (Robbins and Monro, 1951).

    Parameters
    ----------
    lr, clip_value, clip_norm
        As for `Optimizer`.
    """

    update = "sgd"


@dataclass(frozen=True, repr=False)
class Momentum(Optimizer):
    """Gradient descent with momentum: v = momentum v - lr g, p += v (Polyak, 1964).

    Parameters
    ----------
    lr, clip_value, clip_norm
        As for `Optimizer`.
    momentum : float
        In [0, 1).
    """

    momentum: float = 0.9

    update = "momentum"
    in_unit_interval = ("momentum",)

    def _own(self) -> dict[int, float]:
        return {updates.FIRST: self.momentum}


@dataclass(frozen=True, repr=False)
class Nesterov(Momentum):
    """Nesterov's accelerated gradient: v = momentum v - lr g, p += momentum v - lr g.

    The parameters are those at which the method looks ahead, so that g is the gradient there (Sutskever et al., 2013).

    Parameters
    ----------
    lr, clip_value, clip_norm
        As for `Optimizer`.
    momentum : float
        In [0, 1).
    """

    update = "nesterov"


def _check_epsilon(optimizer: Any) -> None:
    object.__setattr__(optimizer, "epsilon", arrays.real("epsilon", optimizer.epsilon, above=0.0))
    object.__setattr__(optimizer, "epsilon_inside", arrays.flag("epsilon_inside", optimizer.epsilon_inside))


@dataclass(frozen=True, repr=False)
class AdaGrad(Optimizer):
    """Rates by the sum of all squares: s += g^2, p -= lr g / (sqrt(s) + epsilon) (Duchi, Hazan and Singer, 2011).

    Parameters
    ----------
    lr, clip_value, clip_norm
        As for `Optimizer`.
    epsilon : float
        Above 0.
    epsilon_inside : bool
        Divide by sqrt(s + epsilon) instead.
    """

    epsilon: float = 1e-10
    epsilon_inside: bool = False

    update = "adagrad"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_epsilon(self)

    def _own(self) -> dict[int, float]:
        return {updates.EPSILON: self.epsilon, updates.INSIDE: self.epsilon_inside}


@dataclass(frozen=True, repr=False)
class RMSProp(Optimizer):
    """Rates by a running mean of squares: s = decay s + (1 - decay) g^2, p -= lr g / (sqrt(s) + epsilon).

    Source: Tieleman and Hinton, Neural Networks for Machine Learning (2012), lecture 6.5.

    Parameters
    ----------
    lr, clip_value, clip_norm
        As for `Optimizer`.
    decay : float
        In [0, 1).
    epsilon : float
        Above 0.
    epsilon_inside : bool
        Divide by sqrt(s + epsilon) instead.
    """

    lr: float = 0.001
    decay: float = 0.99
    epsilon: float = 1e-8
    epsilon_inside: bool = False

    update = "rmsprop"
    in_unit_interval = ("decay",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_epsilon(self)

    def _own(self) -> dict[int, float]:
        return {updates.FIRST: self.decay, updates.EPSILON: self.epsilon, updates.INSIDE: self.epsilon_inside}


@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Running means m = b1 m + (1 - b1) g and v = b2 v + (1 - b2) g^2; p -= lr m' / (sqrt(v') + e).

    m' = m / (1 - b1^t) and v' = v / (1 - b2^t) at the t-th update, as both begin at 0 (Kingma and Ba, 2015).

    Parameters
    ----------
    lr, clip_value, clip_norm
        As for `Optimizer`.
    beta1, beta2 : float
        b1 and b2, in [0, 1).
    epsilon : float
        e, above 0.
    epsilon_inside : bool
        Divide by sqrt(v' + e) instead.
    bias_correction : bool
        False: m' = m and v' = v.
    """

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_inside: bool = False
    bias_correction: bool = True

    update = "adam"
    in_unit_interval = ("beta1", "beta2")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_epsilon(self)
        object.__setattr__(self, "bias_correction", arrays.flag("bias_correction", self.bias_correction))

    def _own(self) -> dict[int, float]:
        return {
            updates.FIRST: self.beta1,
            updates.SECOND: self.beta2,
            updates.EPSILON: self.epsilon,
            updates.INSIDE: self.epsilon_inside,
            updates.CORRECTED: self.bias_correction,
        }


@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr weight_decay p before Adam's update (Loshchilov and Hutter, 2019).

    Weights and biases decay alike. Its state is Adam's: one goes on where the other stopped.

    Parameters
    ----------
    lr, beta1, beta2, epsilon, epsilon_inside, bias_correction, clip_value, clip_norm
        As for `Adam`.
    weight_decay : float
        At least 0.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "weight_decay", arrays.real("weight_decay", self.weight_decay, minimum=0.0))

    def _own(self) -> dict[int, float]:
        return {**super()._own(), updates.DECAY: self.weight_decay}


class Rule(NamedTuple):
    """An update as kernels make it, read from an optimizer once: its name in kernels/updates.py, and its numbers."""

    update: str
    numbers: Array  # (STEP,) float64
    given: tuple[float, ...] | None = None  # what they were read from


NO_RULE = Rule("none", np.zeros(updates.STEP))  # of a gradient by itself


def rule_of(optimizer: Optimizer, dtype: Any, before: Rule | None = None) -> Rule:
    """What an optimizer does to parameters of `dtype`; refused with TypeError or ValueError where that is no update.

    before: a rule for this dtype; it is the result where the optimizer gives the same numbers, which is soon seen.
    """
    update, numbers = arrays.choice("optimizer.update", optimizer.update, OPTIMIZERS), optimizer.numbers
    is_plain = type(numbers) is tuple and all(type(number) is float for number in numbers)
    if is_plain and before is not None and before.update == update and numbers == before.given:
        return before
    return Rule(update, numbers_in(dtype, numbers), numbers)


def numbers_in(dtype: Any, numbers: tuple[float, ...]) -> Array:
    """The numbers of an update in float64, refused where they are none, or `dtype` makes infinity of one."""
    largest = float(np.finfo(dtype).max)
    values, kind = np.zeros(updates.STEP), np.dtype(dtype)
    values[[updates.CLIP_VALUE, updates.CLIP_NORM]] = np.inf
    if not isinstance(numbers, tuple) or len(numbers) > updates.STEP:
        came = f"{len(numbers)}" if isinstance(numbers, tuple) else checks.shown(numbers)
        expected = f"optimizer.numbers: expected a tuple of at most {updates.STEP} numbers"
        raise TypeError(f"{expected}, got {came}; return super().numbers, or numbers like these")
    for place, number in enumerate(numbers):
        clips = place in (updates.CLIP_VALUE, updates.CLIP_NORM)
        if not (clips and isinstance(number, float) and number == np.inf):  # infinity clips nothing
            values[place] = arrays.real("optimizer", number, maximum=None if clips else largest)
    if values[updates.EPSILON] > 0.0:
        arrays.survives("optimizer", "an epsilon above 0", values[updates.EPSILON], 0.0, kind, "pass a larger one")
    for number in values[[updates.FIRST, updates.SECOND]]:
        arrays.survives("optimizer", "a share below 1", number, 1.0, kind, "pass a smaller one, or use float64")
    return values


OPTIMIZER_CLASSES: dict[str, type[Optimizer]] = {
    optimizer.__name__: optimizer for optimizer in (SGD, Momentum, Nesterov, AdaGrad, RMSProp, AdamW, Adam)
}
for _class in OPTIMIZER_CLASSES.values():
    answers_slips(_class)
# Those whose numbers never change; of a user's class they may.
OWN = frozenset(OPTIMIZER_CLASSES.values())
# By the name of their update; AdamW's is Adam's.
OPTIMIZERS = {optimizer.update: optimizer for optimizer in OPTIMIZER_CLASSES.values()}


def that_can_be_pickled(optimizer: Optimizer | None) -> Optimizer | None:
    """`optimizer` itself, or None for one of a user's class that pickle does not find, such as a function's own."""
    try:
        pickle.dumps(optimizer)
    except Exception:
        return None
    return optimizer


def check_optimizer(optimizer: Any) -> Optimizer:
    """`optimizer` itself, refused if it is none."""
    if not isinstance(optimizer, Optimizer):
        remedy = "create one"
        if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
            remedy = f"create one, {optimizer.__name__}()"
        if isinstance(optimizer, str) and optimizer.lower() in OPTIMIZERS:
            remedy = f"create one, {OPTIMIZERS[optimizer.lower()].__name__}()"
        raise TypeError(f"optimizer: expected an optimizer such as fastnn.SGD(lr=0.1), got {optimizer!r}; {remedy}")
    return optimizer
