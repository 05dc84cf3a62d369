"""The slopes along which a network's outputs change when one input of a later operation does.

Behind the last nonlinear operation the outputs change by a multiple of fixed numbers, the *slopes*: affine operations
are linear, and so is ReLU as long as no element crosses its kink. So for each sample and each input j of such an
operation, the loss prepares what it needs to know about the slopes, and a change costs as much as in a network with
one layer less. How large a change of input j crosses no kink is known beforehand, too; larger ones are followed through
the operations (changes.py). The slope of an operation f at x is f(x) / x, for f(c x) = c f(x): no derivative is used.
"""

from typing import Any

import numpy as np

from fastnn.engine.interpreters import jobs
from fastnn.kernels import frames
from fastnn.kernels.addresses import call, get, put
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import PLACE, matrix_of, reals_of
from fastnn.kernels.small_changes import SMALL
from fastnn.kernels.views import matrix, vector_at

MORE_ROWS = 3  # than outputs, for slopes; see _prepare_row


@kernel
def choose(job: Any, operations: Any, i: int, frame: Any) -> None:
    """Set a frame to operation i and all samples."""
    jobs.choose_operation(job, operations, i, frame)
    jobs.choose_rows(operations, i, 0, get(job, jobs.SAMPLES), frame)
    put(frame, frames.PREPARED, get(job, jobs.AT_PREPARED) + jobs.REAL * jobs.place_of(operations, i, 0, PLACE))


@kernel
def place_along(job: Any, operations: Any, i: int) -> int:
    """The address of what the loss knows along the slopes of operation i, (samples, numbers along, inputs)."""
    before = get(job, jobs.SAMPLES) * get(job, jobs.NUMBERS_ALONG) * operations[i, jobs.ALONG]
    return int(get(job, jobs.AT_ALONG) + jobs.REAL * before)


@kernel
def scales_along(job: Any, operations: Any, i: int, n: int) -> Any:
    """Sample n's factors of changes of the inputs of operation i, which are small up to SMALL; see LossUnits."""
    each, inputs = get(job, jobs.NUMBERS_ALONG), operations[i, jobs.WIDTH_IN]
    place = place_along(job, operations, i) + jobs.REAL * (n * each + each - 1) * inputs
    return vector_at(place, inputs, 0.0)


@kernel
def _take_elements(operations: Any, i: int, later: int, n: int, frame: Any, steps: Any, rates: Any) -> None:
    """The slopes of the operations between i and `later` at sample n, and the inverse of what crosses no kink."""
    width = operations[i, jobs.WIDTH_OUT]
    steps[:] = 1.0
    rates[:] = 0.0
    for between in range(i + 1, later):
        jobs.choose_rows(operations, between, n, n + 1, frame)
        x, y = reals_of(frame, frames.SOURCE, width), reals_of(frame, frames.TARGET, width)
        for k in range(width):
            if not 0.0 < abs(x[k]) < np.inf:  # on a kink, or not a number
                steps[k], rates[k] = 0.0, np.inf
                continue
            rate = abs(steps[k] / x[k])
            rates[k] = rates[k] if rate <= rates[k] else rate
            steps[k] *= y[k] / x[k]


@kernel
def _take_products(last: int, weights: Any, steps: Any, rates: Any, after: Any, before: Any) -> None:
    """The slopes by the inputs of an operation, in rows before `last`, and in this the inverse of what crosses no kink.

    weights (outputs, inputs); steps, rates: of its outputs, by _take_elements; after: the slopes by the inputs of the
    next one. Several of these change at once, so their inverses are added.
    """
    later = before[last]
    for o in range(last + 1):
        before[o, :] = 0.0
    for k in range(weights.shape[0]):
        row = weights[k]
        for o in range(last):
            slope, out = steps[k] * after[o, k], before[o]
            for j in range(row.size):
                out[j] += slope * row[j]
        rate = abs(steps[k]) * after[last, k]
        for j in range(row.size):
            later[j] += rate * abs(row[j])
    for k in range(weights.shape[0]):
        row, rate = weights[k], rates[k]
        for j in range(row.size):
            own = rate * abs(row[j])
            later[j] = later[j] if own <= later[j] or later[j] != later[j] else own


@kernel
def _slopes_at(job: Any, number: int, which: int, inputs: int) -> Any:
    """One of the two places of part `number` for slopes by so many inputs; what the rows after the slopes are, see
    _prepare_row."""
    each, rows = get(job, jobs.AT_SLOPES + 1) // (2 * get(job, jobs.PARTS)), get(job, jobs.DATA_OUTPUTS) + MORE_ROWS
    return matrix(jobs.reals(job, jobs.AT_SLOPES), (2 * number + which) * each, rows, inputs)


@kernel
def _prepare_loss(job: Any, operations: Any, i: int, n: int, slopes: Any, frame: Any) -> None:
    """Let the loss prepare sample n for changes of the inputs of operation i, whose slopes are known."""
    last, inputs, each = operations.shape[0] - 1, operations[i, jobs.WIDTH_IN], get(job, jobs.NUMBERS_ALONG)
    outputs = get(job, jobs.DATA_OUTPUTS)
    jobs.choose_operation(job, operations, last, frame)
    jobs.choose_rows(operations, last, n, n + 1, frame)
    put(frame, frames.INPUTS, inputs)
    put(frame, frames.PREPARED, get(job, jobs.AT_PREPARED_OUTPUTS) + jobs.REAL * n * outputs)
    put(frame, frames.DENSE, get(job, jobs.AT_DENSE) + jobs.REAL * n * outputs)
    put(frame, frames.SLOPES, slopes.ctypes.data)
    put(frame, frames.ALONG, place_along(job, operations, i) + jobs.REAL * n * each * inputs)
    call(get(job, jobs.LOSS_PREPARE_ALONG), frame)
    scales, rates = scales_along(job, operations, i, n), slopes[outputs]
    for j in range(inputs):
        rate = SMALL * rates[j]
        scales[j] = scales[j] if rate <= scales[j] else rate


@kernel
def _prepare_row(job: Any, operations: Any, number: int, n: int, frame: Any) -> None:
    """Prepare sample n for changes of the inputs of all operations that have a place in "along", the last one first.

    A row of rates follows the slopes by an operation's inputs, then two rows of scratch for _take_elements.
    """
    later, which, outputs = operations.shape[0] - 1, 0, get(job, jobs.DATA_OUTPUTS)
    width = operations[later, jobs.WIDTH_IN]
    choose(job, operations, later, frame)
    weights, after = matrix_of(frame, frames.PREPARED, outputs, width), _slopes_at(job, number, which, width)
    for k in range(width):
        for o in range(outputs):
            after[o, k] = weights[o, k]
        after[outputs, k] = 0.0
    _prepare_loss(job, operations, later, n, after, frame)
    for i in range(later - 1, 0, -1):
        if operations[i, jobs.ALONG] >= 0:
            inputs, width = operations[i, jobs.WIDTH_IN], operations[i, jobs.WIDTH_OUT]
            before, after = _slopes_at(job, number, 1 - which, inputs), _slopes_at(job, number, which, width)
            steps, rates = after[outputs + 1], after[outputs + 2]
            _take_elements(operations, i, later, n, frame, steps, rates)
            choose(job, operations, i, frame)
            _take_products(outputs, matrix_of(frame, frames.PREPARED, width, inputs), steps, rates, after, before)
            _prepare_loss(job, operations, i, n, before, frame)
            later, which = i, 1 - which


@kernel
def prepare_along(job: Any, operations: Any, number: int, first: int, last: int, frame: Any) -> None:
    """Prepare the rows [first, last); number: of the part."""
    for n in range(first, last):
        _prepare_row(job, operations, number, n, frame)
