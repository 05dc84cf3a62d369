"""Huber's loss: the square of small distances, the absolute value of large ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.kernels.compile import formula
from fastnn.operations.losses.base import Loss
from fastnn.operations.losses.elementwise import units_of
from fastnn.operations.losses.mean_squared_error import squared_change


@formula
def huber(y: Any, t: Any, p: Any) -> Any:
    """(y - t)^2 / 2 where |y - t| <= p, else p (|y - t| - p / 2)."""
    distance, delta = abs(np.float64(y) - np.float64(t)), np.float64(p)
    return delta * (distance - 0.5 * delta) if distance > delta else 0.5 * distance * distance


@formula
def _derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    """y - t, kept within [-p, p]."""
    difference = y - t
    return p if difference > p else -p if difference < -p else difference


@formula
def _change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """The change of a square, or p d, if both ends are on one side of the border; else the difference."""
    before = y - t
    after = before + d
    if abs(before) <= p and abs(after) <= p:
        return squared_change(d, y, t, p)
    if before > p and after > p:
        return p * d
    return -p * d if before < -p and after < -p else huber(y + d, t, p) - huber(y, t, p)


@dataclass(frozen=True)
class Huber(Loss):
    """sum((y - t)^2 / 2 where |y - t| <= delta, else delta (|y - t| - delta / 2)); targets (N, K).

    The gradient is y - t, kept within [-delta, delta]. Source: Huber, Annals of Mathematical Statistics 35 (1964),
    73-101.

    Parameters
    ----------
    delta : float
        Above 0.

    Examples
    --------
    >>> loss, dy = fastnn.huber(np.array([[0.5, 3.0]]), np.array([[0.0, 0.0]]))
    >>> loss, dy  # 0.5^2 / 2 and 3 - 1 / 2
    (2.625, array([[0.5, 1. ]]))

    >>> net = fastnn.Network([fastnn.Affine(3, 1)], loss=fastnn.losses.Huber(delta=0.5))
    """

    delta: float = 1.0

    name = "huber"
    option = "delta"
    units = units_of(huber, _derivative, _change)

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", arrays.real("delta", self.delta, above=0.0))
