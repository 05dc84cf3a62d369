"""Losses of outputs, by a unit of a loss, on several threads."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.engine import threads
from fastnn.engine.interpreters import jobs, on_arrays
from fastnn.engine.short import ask, way
from fastnn.gate.arrays import Array
from fastnn.gate.checks import FLOAT32, FLOAT64
from fastnn.kernels.units import Unit
from fastnn.operations.losses.base import OTHERS, Loss

NO_HITS = np.empty(0, np.intp)


def sum_of_losses(
    unit: Unit,
    numbers: Any,
    y: Array,
    labels: Array,
    dense: Array,
    dy: Array,
    *,
    rows: Array | None = None,
    divisor: float | None = None,
    hits: Array = NO_HITS,
    parts: int = 1,
) -> tuple[float, Array]:
    """The sum of the losses of outputs y (N, K), and the losses (N,); dy becomes the gradient of their mean.

    unit: that of a loss's rows, and its numbers. rows: which target a row has, instead of its own; divisor: instead of
    N; hits (N,) intp, which rows are right; parts: the most threads.
    """
    losses, log_sums = np.empty((2, len(y)))
    units = on_arrays.rows_part.address(y.dtype), unit.address(y.dtype)
    first = (*units, on_arrays.ANYTHING, np.array(numbers, np.float64), np.arange(len(y)) if rows is None else rows)
    scratch = (losses, log_sums, hits, np.empty((parts, jobs.SUMS)))
    arguments = (*first, float(len(y) if divisor is None else divisor), *scratch, y, labels, dense, dy)
    work = on_arrays.FLOP_PER_LOSS * y.size
    return float(threads.run(on_arrays.loss, work, math.inf, *arguments, n_threads=parts)[1]), losses


def way_of_loss(loss: Loss, accepts: int, dtype: Any, of_labels: bool) -> tuple[Array, Callable[..., Any]]:
    """The targets that are not there, labels or dense ones, and the short way for outputs and targets (short.py)."""
    if dtype not in (FLOAT32, FLOAT64) or (of_labels and not loss.takes_labels):
        return NO_HITS, ask
    units = loss.labels_units if of_labels and loss.labels_units is not None else loss.units
    accepts = OTHERS if loss.takes_classes else accepts  # the gate adds up probabilities
    scratch = (0.0, np.empty(0), np.empty(0), NO_HITS, np.empty((1, 0)))
    first = on_arrays.rows_part.address(dtype), units.rows.address(dtype), accepts, np.array(loss.numbers()), NO_HITS
    return np.empty((0, 1), dtype) if of_labels else NO_HITS, way(on_arrays.loss, dtype, *first, *scratch)
