"""Optimizers: frozen descriptions of an update. Imports the gate and numpy.

Their state lives in the network, their arithmetic in kernels/updates.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import arrays
from fastnn.arrays import Array
from fastnn.kernels.updates import UPDATES


@dataclass(frozen=True)
class Optimizer:
    """What all optimizers share: the name of their update in kernels/updates.py, and its numbers."""

    update = ""

    @property
    def numbers(self) -> tuple[float, ...]:
        """The numbers that the update takes, the learning rate first."""
        raise TypeError(
            f"optimizer: expected one such as SGD, got the base class {type(self).__name__}; use a subclass"
        )


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr g (Robbins and Monro, 1951).

    Parameters
    ----------
    lr : float
        Learning rate, at least 0.
    """

    lr: float = 0.01

    update = "sgd"

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", arrays.real("lr", self.lr, minimum=0.0))

    @property
    def numbers(self) -> tuple[float, ...]:
        return (self.lr,)


@dataclass(frozen=True)
class Momentum(Optimizer):
    """Gradient descent with momentum: v = momentum v - lr g, p += v (Polyak, 1964).

    Parameters
    ----------
    lr : float
        Learning rate, at least 0.
    momentum : float
        In [0, 1).
    """

    lr: float = 0.01
    momentum: float = 0.9

    update = "momentum"

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", arrays.real("lr", self.lr, minimum=0.0))
        object.__setattr__(self, "momentum", arrays.real("momentum", self.momentum, minimum=0.0, below=1.0))

    @property
    def numbers(self) -> tuple[float, ...]:
        return (self.lr, self.momentum)


def numbers_in(dtype: Any, numbers: tuple[float, ...]) -> Array:
    """The numbers of an update in float64, refused where `dtype` makes infinity of them."""
    largest = float(np.finfo(dtype).max)
    return np.array([arrays.real("optimizer", number, maximum=largest) for number in numbers], np.float64)


OPTIMIZERS: dict[str, type[Optimizer]] = {optimizer.update: optimizer for optimizer in (SGD, Momentum)}


def check_optimizer(optimizer: Any) -> Optimizer:
    """`optimizer` itself, refused if it is none, or one whose update the kernels do not know."""
    if not isinstance(optimizer, Optimizer) or optimizer.update not in UPDATES:
        raise TypeError(f"optimizer: expected an optimizer such as fastnn.SGD(lr=0.1), got {optimizer!r}; create one")
    return optimizer
