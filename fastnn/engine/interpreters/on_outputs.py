"""Operations on outputs and their targets: losses with their gradients, and how many outputs are right."""

import math
from typing import Annotated, Any

from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.batch import is_hit
from fastnn.engine.interpreters.on_arrays import ASK, BORDER, HITS, LARGE, TARGET_BORDER, UNSEEN, begin_rows
from fastnn.engine.interpreters.training import are_targets
from fastnn.kernels import frames
from fastnn.kernels.addresses import new_frame, put
from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Dense, Indices, Labels, Matrix, RealMatrix, Reals, door
from fastnn.kernels.frames import SLOTS
from fastnn.kernels.ground import DONE, OWN, Kind
from fastnn.kernels.reductions import sum_in_order
from fastnn.kernels.rows import all_finite, are_apart, is_first_largest
from fastnn.kernels.units import run_parts
from fastnn.kernels.views import elements
from fastnn.kernels.views import part as part_of

ANYTHING = -1  # dense targets of any numbers, NaN included
WORK = 10.0  # of each float32, half of a float64's; it decides only whether threads pay
LONGEST_LOOK = 1 << 20  # elements that are looked at while other Python threads wait, which takes about a millisecond


@kernel
def _are_labels(labels: Any, rows: int, classes: int) -> bool:
    """Whether there is a label for each row, of one class out of several."""
    wrong = labels.size != rows or classes < 2
    for n in range(labels.size):
        wrong |= labels[n] < 0 or labels[n] >= classes
    return not wrong


@kernel
def _are_dense(dense: Any, y: Any, accepts: int) -> bool:
    """Whether the gate would find nothing to convert or refuse in dense targets for y; accepts: see losses/base.py."""
    is_like = y.size > 0 and dense.shape[0] == y.shape[0] and dense.shape[1] == y.shape[1]
    return is_like and (accepts == ANYTHING or are_targets(accepts, elements(dense), y.shape[1]))


@kernel
def _are_probabilities(y: Any) -> bool:
    """Whether no output is surely none."""
    wrong, values = False, elements(y)
    for i in range(values.size):
        wrong |= (values[i] < 0.0) | (values[i] > 1.0)
    return not wrong


@kernel
def _set_one_hot(labels: Any, dy: Any) -> None:
    """dy = the labels as one-hot rows."""
    for n in range(labels.size):
        for k in range(dy.shape[1]):
            dy[n, k] = 1.0 if k == labels[n] else 0.0


# More than ten parameters: compiled code takes arrays one by one.
@door
def loss(
    n_threads: int, launcher: int, limit: float, part: int, unit: int, unit_of_labels: int, accepts: int, follows: bool,
    rows: Indices, divisor: float, losses: Reals, log_sums: Reals, hits: Indices, sums: RealMatrix, numbers: Reals,
    y: Matrix, labels: Labels, dense: Dense, dy: Annotated[Any, Kind(OWN, 2, "y", True)],
) -> Any:  # fmt: skip
    """What is to be done, and the sum of the losses of outputs y (N, K); dy is its gradient over `divisor`.

    Row n has the target labels[rows[n]] or dense[rows[n]]; the other one is empty. numbers: the loss's, and the borders
    of its hits; hits (N,) intp, or empty. Scratch: losses and log_sums (N,) and sums (parts, any), float64. With a
    limit, there may be more rows, losses and log_sums, row n has the target n, N is the divisor, and the mean is
    returned; below 0 it is that of calls whose numbers another way is to look at. Then either unit may be 0, if it is
    not compiled yet, and one unit for both takes labels as one-hot rows. follows: whether y is to be probabilities.
    """
    like, count, has_labels = y.dtype.type(0.0), y.shape[0], labels.size > 0
    request, chosen = new_frame(SLOTS, like), unit_of_labels if has_labels else unit
    begin_rows(request, chosen, y, y.shape[1])
    if limit < math.inf:
        if chosen == 0 or y.size > LONGEST_LOOK:
            return ASK, 0.0
        is_large = WORK / 4.0 * y.size * y.itemsize >= abs(limit) or count > rows.size
        if is_large and limit < 0.0:
            return UNSEEN, 0.0
        if not (are_apart(dy, y) and are_apart(dy, labels) and are_apart(dy, dense)):
            return ASK, 0.0
        if not (_are_labels(labels, count, y.shape[1]) if has_labels else _are_dense(dense, y, accepts)):
            return ASK, 0.0
        if follows and not _are_probabilities(y):
            return ASK, 0.0
        if is_large:
            return LARGE, 0.0
        divisor = float(count)
    put(request, frames.TARGET, y.ctypes.data)
    put(request, frames.D_TARGET, dy.ctypes.data)
    jobs.set_array(request, frames.LABELS, labels)
    jobs.set_array(request, frames.DENSE, dense)
    if has_labels and unit_of_labels == unit and limit < math.inf:
        # Its rows read a target before they write the gradient in its place.
        _set_one_hot(labels, dy)
        jobs.set_array(request, frames.DENSE, dy)
    put(request, frames.ROW_NUMBERS, rows.ctypes.data)
    frames.put_real(request, frames.DIVISOR, divisor)
    put(request, frames.LOSSES, losses.ctypes.data)
    put(request, frames.LOSS_SUMS, log_sums.ctypes.data)
    put(request, frames.NUMBERS, numbers.ctypes.data)
    frames.put_real(request, BORDER, numbers[1])
    frames.put_real(request, TARGET_BORDER, numbers[2])
    jobs.set_array(request, HITS, hits)
    jobs.set_array(request, frames.SUMS, sums[0])
    run_parts(launcher, part, request, n_threads)
    total = sum_in_order(part_of(losses, 0, count))
    return DONE, total / divisor if limit < math.inf else total


@door
def hits(
    n_threads: int, launcher: int, limit: float, accepts: int, border: float, target_border: float, is_strict: bool,
    y: Matrix, labels: Labels, dense: Dense,
) -> Any:  # fmt: skip
    """What is to be done, and how many rows of outputs y (N, K) are right by labels or dense targets; see is_hit.

    is_strict: whether the gate is to look at single outputs, and at NaN and infinity.
    """
    count, has_labels = 0, labels.size > 0
    if y.size >= limit:
        return LARGE, 0
    if not (_are_labels(labels, y.shape[0], y.shape[1]) if has_labels else _are_dense(dense, y, accepts)):
        return ASK, 0
    if is_strict and (y.shape[1] < 2 or not all_finite(elements(y))):
        return ASK, 0
    for n in range(y.shape[0]):
        if has_labels:
            count += 1 if is_first_largest(y[n], labels[n]) else 0
        else:
            count += is_hit(y[n], dense[n], border, target_border)
    return DONE, count
