"""Regularization: a penalty added to the mean loss."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.jobs import SUMS
from fastnn.engine.plan import Plan
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.kernels.penalty import penalty

Strength: TypeAlias = float | Mapping[str, float]


@answers_slips
@dataclass(frozen=True, repr=False)
class Regularization:
    """A penalty added to the mean loss, so that weights stay small: E = data loss + l1 sum |w| + l2 / 2 sum w^2.

    The sums are over all weights W1, W2, ..., not the biases. It is part of `loss`, of both gradients and of training.

    Parameters
    ----------
    l1, l2 : float or mapping of str to float
        At least 0 (Tibshirani, 1996; Hoerl and Kennard, 1970). A mapping gives a number to each parameter that it
        names, weights or not, such as {"W1": 0.1, "b1": 0.2}, and none to the others.
    data : float
        The factor of the mean loss itself, above 0.
    biases : bool
        Whether the sums of an l1 or l2 that is a number are over the biases b1, b2, ..., too.

    Raises
    ------
    TypeError, ValueError
        For other numbers; by `Network`, for a name that none of its parameters has.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(2, 2)], regularization=fastnn.Regularization(l2=0.1))
    >>> net.params["W1"][...] = [[1.0, 2.0], [3.0, 0.0]]
    >>> plain = fastnn.Network(net.layers)
    >>> plain.params["W1"][...] = net.params["W1"]
    >>> x, t = np.ones((1, 2)), np.array([0])
    >>> round(net.loss(x, t) - plain.loss(x, t), 4)  # 0.1 / 2 (1 + 4 + 9)
    0.7

    >>> fastnn.Regularization(l2={"W2": 1000.0})  # of the second layer's weights alone
    Regularization(l1=0.0, l2={'W2': 1000.0}, data=1.0)
    """

    l1: Strength = 0.0
    l2: Strength = 0.0
    data: float = 1.0
    biases: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "l1", _strength("l1", self.l1))
        object.__setattr__(self, "l2", _strength("l2", self.l2))
        object.__setattr__(self, "data", arrays.real("data", self.data, above=0.0))
        object.__setattr__(self, "biases", arrays.flag("biases", self.biases))

    def __hash__(self) -> int:
        return hash((*(frozenset(_named(one).items()) for one in (self.l1, self.l2)), self.data, self.biases))

    def __repr__(self) -> str:
        biases = ", biases=True" if self.biases else ""
        return f"Regularization(l1={self.l1!r}, l2={self.l2!r}, data={self.data!r}{biases})"

    @classmethod
    def blend(cls, share: float, *, biases: bool = False) -> "Regularization":
        """share E + (1 - share) sum w^2, 0 < share <= 1, as some courses write it (Zhou, Machine Learning, 2016).

        biases: whether the sum is over the biases, too, which are such a course's thresholds.

        Examples
        --------
        >>> fastnn.Regularization.blend(0.75)
        Regularization(l1=0.0, l2=0.5, data=0.75)
        """
        share = arrays.real("share", share, above=0.0, maximum=1.0)
        return cls(l2=2.0 * (1.0 - share), data=share, biases=biases)

    @property
    def is_none(self) -> bool:
        """Whether it has no effect."""
        return self.data == 1.0 and not any((*_named(self.l1).values(), *_named(self.l2).values()))


def _strength(name: str, given: Any) -> Strength:
    """A number of at least 0, or several by the names of parameters, in a dictionary of their own."""
    if not isinstance(given, Mapping):
        return arrays.real(name, given, minimum=0.0)
    for key in given:
        if not isinstance(key, str):
            expected = f'{name}: expected the names of parameters, such as "W1"'
            raise TypeError(f"{expected}, got {checks.shown(key)}; pass {{name: number}}")
    return {key: arrays.real(f"{name}[{key!r}]", number, minimum=0.0) for key, number in given.items()}


def _named(strength: Strength) -> Mapping[str, float]:
    """The numbers by name; a single one has none."""
    return strength if isinstance(strength, Mapping) else {"": strength}


@functools.lru_cache(maxsize=64)  # estimators change between two penalties with each epoch
def with_l2(regularization: Regularization, l2: float) -> Regularization:
    """The same penalty with another l2."""
    return replace(regularization, l2=l2)


def set_penalties(plan: Plan, regularization: Regularization) -> None:
    """Write the numbers of a penalty to a plan, where kernels read them."""
    for one in plan.tensors:
        takes = one.is_weight or (one.is_bias and regularization.biases)
        for which, strength in ((jobs.L1, regularization.l1), (jobs.L2, regularization.l2)):
            number = strength.get(one.name, 0.0) if isinstance(strength, Mapping) else strength if takes else 0.0
            plan.numbers[one.penalty + which] = number


def penalty_on(parameters: Sequence[tuple[Array, float, float]]) -> float:
    """The penalty on vectors of parameters, each with its l1 and l2."""
    if not parameters:
        return 0.0
    sums = np.empty(SUMS)  # as in training, so that the bits are the same
    return sum(float(penalty(vector, l1, l2, sums)) for vector, l1, l2 in parameters)


def check_regularization(given: Any, dtype: Any) -> Regularization:
    """A penalty as fastnn's own class describes it, none for None; refuses numbers that are infinite in the dtype."""
    if given is not None and not isinstance(given, Regularization):
        came = f"{given!r}; pass fastnn.Regularization(l2=1e-4)"
        raise TypeError(f"regularization: expected a fastnn.Regularization or None, got {came}")
    if given is None:
        return Regularization()
    own = Regularization(given.l1, given.l2, given.data, biases=given.biases)
    for name, numbers in (("l1", own.l1), ("l2", own.l2), ("data", own.data)):
        for number in _named(numbers).values():
            arrays.real(f"regularization.{name}", number, maximum=float(np.finfo(dtype).max))
    return own


def check_names(regularization: Regularization, names: Sequence[str]) -> None:
    """Refuse a penalty on parameters that there are not among these names."""
    for option, strength in (("l1", regularization.l1), ("l2", regularization.l2)):
        for name in strength if isinstance(strength, Mapping) else ():
            if name not in names:
                expected = f"regularization.{option}: expected names out of {', '.join(names)}"
                raise ValueError(f"{expected}, got {name!r}; pass one of these names")
