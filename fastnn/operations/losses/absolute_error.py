"""The absolute distance."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.kernels.compile import formula
from fastnn.kernels.vector_math import constant
from fastnn.operations.losses.base import Loss
from fastnn.operations.losses.elementwise import units_of


@formula
def absolute_error(y: Any, t: Any, p: Any) -> Any:
    """|y - t|."""
    return abs(np.float64(y) - np.float64(t))


@formula
def _derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    """The sign of y - t; 0 if they are equal, NaN if either is."""
    difference, zero, one = y - t, constant(y, 0.0), constant(y, 1.0)
    return one if difference > zero else -one if difference < zero else difference


@formula
def _change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """|y + d - t| - |y - t|: d or -d on one side of the kink."""
    before = y - t
    after = before + d
    if before >= 0.0 and after >= 0.0:
        return d
    return -d if before <= 0.0 and after <= 0.0 else abs(after) - abs(before)


@dataclass(frozen=True)
class AbsoluteError(Loss):
    """sum(|y - t|); targets (N, K). The gradient is sign(y - t), 0 where they are equal.

    Examples
    --------
    >>> loss, dy = fastnn.absolute_error(np.array([[1.0, 3.0, 3.0]]), np.array([[1.0, 1.0, 1.0]]))
    >>> loss, dy
    (4.0, array([[0., 1., 1.]]))

    >>> net = fastnn.Network([fastnn.Affine(3, 1)], loss="absolute_error")
    """

    name = "absolute_error"
    has_kink = True
    units = units_of(absolute_error, _derivative, _change)
