"""Regularization: a penalty added to the mean loss."""

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.engine.interpreters.jobs import SUMS
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.kernels.penalty import penalty


@answers_slips
@dataclass(frozen=True)
class Regularization:
    """A penalty added to the mean loss, so that weights stay small: E = data loss + l1 sum |w| + l2 / 2 sum w^2.

    The sums are over all weights W1, W2, ..., not the biases. It is part of `loss`, of both gradients and of training.

    Parameters
    ----------
    l1, l2 : float
        At least 0 (Tibshirani, 1996; Hoerl and Kennard, 1970).
    data : float
        The factor of the mean loss itself, above 0.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(2, 2)], regularization=fastnn.Regularization(l2=0.1))
    >>> net.params["W1"][...] = [[1.0, 2.0], [3.0, 0.0]]
    >>> plain = fastnn.Network(net.layers)
    >>> plain.params["W1"][...] = net.params["W1"]
    >>> x, t = np.ones((1, 2)), np.array([0])
    >>> round(net.loss(x, t) - plain.loss(x, t), 4)  # 0.1 / 2 (1 + 4 + 9)
    0.7
    """

    l1: float = 0.0
    l2: float = 0.0
    data: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "l1", arrays.real("l1", self.l1, minimum=0.0))
        object.__setattr__(self, "l2", arrays.real("l2", self.l2, minimum=0.0))
        object.__setattr__(self, "data", arrays.real("data", self.data, above=0.0))

    @classmethod
    def blend(cls, share: float) -> "Regularization":
        """share E + (1 - share) sum w^2, 0 < share <= 1, as some courses write it (Zhou, Machine Learning, 2016).

        Examples
        --------
        >>> fastnn.Regularization.blend(0.75)
        Regularization(l1=0.0, l2=0.5, data=0.75)
        """
        share = arrays.real("share", share, above=0.0, maximum=1.0)
        return cls(l2=2.0 * (1.0 - share), data=share)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """data, l1 and l2, in a plan's order."""
        return self.data, self.l1, self.l2

    @property
    def is_none(self) -> bool:
        """Whether it has no effect."""
        return self.numbers == (1.0, 0.0, 0.0)


@functools.lru_cache(maxsize=64)  # estimators change between two penalties with each epoch
def with_l2(regularization: Regularization, l2: float) -> Regularization:
    """The same penalty with another l2."""
    return replace(regularization, l2=l2)


def penalty_on(regularization: Regularization, weights: list[Array]) -> float:
    """The penalty on vectors of weights."""
    l1, l2 = regularization.l1, regularization.l2
    if l1 == l2 == 0.0:
        return 0.0
    sums = np.empty(SUMS)  # as in training, so that the bits are the same
    return sum(float(penalty(vector, l1, l2, sums)) for vector in weights)


def check_regularization(given: Any, dtype: Any) -> Regularization:
    """A penalty as fastnn's own class describes it, none for None; refuses numbers that are infinite in the dtype."""
    if given is not None and not isinstance(given, Regularization):
        came = f"{given!r}; pass fastnn.Regularization(l2=1e-4)"
        raise TypeError(f"regularization: expected a fastnn.Regularization or None, got {came}")
    own = Regularization() if given is None else Regularization(given.l1, given.l2, given.data)
    for name, number in vars(own).items():
        arrays.real(f"regularization.{name}", number, maximum=float(np.finfo(dtype).max))
    return own
