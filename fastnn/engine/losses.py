"""Losses of outputs, by a unit of a loss, on several threads."""

import math
from typing import Any

import numpy as np

from fastnn.engine import threads
from fastnn.engine.interpreters import jobs, on_arrays, on_outputs
from fastnn.engine.short import FEW_ROWS, SMALL, Way
from fastnn.gate.arrays import Array
from fastnn.kernels.units import Unit, compiling
from fastnn.operations.losses.base import VALUES, Loss

NO_HITS = np.empty(0, np.intp)
_NUMBERS_OF_ROWS = np.arange(FEW_ROWS)


def _sums(parts: int) -> Array:
    """Scratch of the units of a loss."""
    return np.empty((parts, jobs.SUMS))


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
    units = on_arrays.rows_part.address(y.dtype), *(unit.address(y.dtype),) * 2
    first = (*units, on_outputs.ANYTHING, False, np.arange(len(y)) if rows is None else rows)
    scratch = (float(len(y) if divisor is None else divisor), losses, log_sums, hits, _sums(parts))
    arguments = (*first, *scratch, np.array(numbers, np.float64), y, labels, dense, dy)
    work = on_outputs.WORK / 4.0 * y.nbytes
    return float(threads.run(on_outputs.loss, work, math.inf, *arguments, n_threads=parts)[1]), losses


def learn_loss(way: Way, loss: Loss, dtype: Any, of_labels: bool, is_networks: bool) -> None:
    """Let the short way of a loss of outputs also take this dtype and labels, or dense targets.

    It takes (numbers, y, t, t, dy); a network's (y, t, t, dy), which also wants finite targets, and knows that outputs
    are what its loss follows.
    """
    if way.knows(dtype, of_labels) or loss.smooths_labels or (of_labels and not loss.takes_classes):
        return  # the gate makes targets of smoothed labels
    with compiling:  # another thread may learn the other kind of targets
        _learn_loss(way, loss, dtype, of_labels, is_networks)


def _learn_loss(way: Way, loss: Loss, dtype: Any, of_labels: bool, is_networks: bool) -> None:
    of_dense, by_label = loss.units.rows, (loss.labels_units or loss.units).rows if loss.takes_classes else None
    wanted = {of_labels, *(labels for labels in (False, True) if way.knows(dtype, labels))}
    units = [of_dense if False in wanted or of_dense is by_label else None, by_label if True in wanted else None]
    addresses = [0 if unit is None else unit.address(dtype) for unit in units]
    accepts = loss.accepts if is_networks or loss.accepts != VALUES else on_outputs.ANYTHING
    scratch = (0.0, np.empty(FEW_ROWS), np.empty(FEW_ROWS), NO_HITS, _sums)
    first = (on_arrays.rows_part.address(dtype), *addresses, accepts, bool(loss.follows) and not is_networks)
    numbers = [np.array(loss.numbers())] if is_networks else []
    arguments = (*first, _NUMBERS_OF_ROWS, *scratch, *numbers)
    way.learn_up_to(-SMALL, on_outputs.loss, dtype, *arguments, key=of_labels)


def learn_hits(way: Way, dtype: Any, accepts: int, border: float, target_border: float, is_strict: bool) -> None:
    """Let the short way of the number of right rows also take this dtype; it takes (y, t, t). See on_outputs.hits."""
    way.learn(on_outputs.hits, dtype, SMALL, accepts, border, target_border, is_strict)
