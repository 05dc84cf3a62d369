"""A given gradient by the outputs, in place of a loss's."""

from typing import Any

from fastnn.kernels.frames import d_target
from fastnn.kernels.units import unit
from fastnn.operations.losses.base import LossUnits, dense_of, losses_of, row_numbers_of


@unit
def given_rows(frame: Any) -> None:
    """dy = the dense targets, and losses of 0."""
    dy, rows, given, losses = d_target(frame), row_numbers_of(frame), dense_of(frame), losses_of(frame)
    width = dy.shape[1]
    for n in range(dy.shape[0]):
        row = dy[n]
        for k in range(width):
            row[k] = given[rows[n] * width + k]
        losses[n] = 0.0


GIVEN = LossUnits(given_rows, given_rows, given_rows)  # it has no value that could change
