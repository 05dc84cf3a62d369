"""One part of the parameters: their gradients, summed over the batch, and their update."""

import math
from typing import Any

import numpy as np

from fastnn.engine.interpreters import jobs
from fastnn.kernels import frames
from fastnn.kernels.addresses import LATER, call, get, new_frame, put, zero_of
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import (
    BREADTH,
    FROZEN,
    GRADIENT,
    HEIGHT,
    INDEXED_FORWARD,
    INDEXED_GRADIENT,
    IS_MATRIX,
    OFF,
    PLACE,
    RULE,
    SLOTS,
    SPARSE_GRADIENT,
)
from fastnn.kernels.indexed import chains_of, first_of_share
from fastnn.kernels.matmul import FEW_STEPS, chain_of, share
from fastnn.kernels.outer import takes_ahead
from fastnn.kernels.penalty import add_penalty_gradient, penalty_of
from fastnn.kernels.rows import all_finite
from fastnn.kernels.units import part_unit, unit
from fastnn.kernels.views import elements
from fastnn.operations.updates.base import CLIP_NORM, CLIP_VALUE, RATES
from fastnn.operations.updates.base import grads as grads_of
from fastnn.operations.updates.base import params as params_of
from fastnn.operations.updates.base import rates as rates_of

UPDATE_SIZE = 4096
FEWEST_ROWS = 192  # except for deep sums, so that copying their operands pays
INDEXED_SIZE = 32768  # with an index: the rows of the batch are searched once for each block


@unit
def clip_values(frame: Any) -> None:
    """Clip GRADS (COUNT,) to [-bound, bound], in place; NaN stays NaN."""
    grads = grads_of(frame)
    limit = grads.dtype.type(rates_of(frame)[CLIP_VALUE])
    for i in range(grads.size):
        value = grads[i]
        grads[i] = limit if value > limit else -limit if value < -limit else value


@unit
def clip_to_norm(frame: Any) -> None:
    """Scale GRADS (COUNT,) in place so that their norm, the root of the sum of their squares, is at most a bound.

    RESULT: 1, or 0 where the norm is not finite; then nothing is done.
    """
    grads, bound, scale = grads_of(frame), rates_of(frame)[CLIP_NORM], 0.0
    put(frame, frames.RESULT, 0)
    for i in range(grads.size):
        magnitude = abs(np.float64(grads[i]))
        scale = magnitude if not magnitude <= scale else scale  # NaN counts as largest
    if not scale < np.inf:
        return
    total = 0.0
    if scale > 0.0:  # so that no square overflows
        for i in range(grads.size):
            one = np.float64(grads[i]) / scale
            total += one * one
    norm = scale * math.sqrt(total)
    if norm > bound:
        factor = grads.dtype.type(bound / norm)
        for i in range(grads.size):
            grads[i] *= factor
    put(frame, frames.RESULT, 1)


@kernel
def clip_gradients(job: Any, frame: Any) -> bool:
    """Clip all gradients to a norm; return False if the norm is not finite."""
    put(frame, frames.GRADS, get(job, jobs.AT_GRADIENTS))
    put(frame, frames.COUNT, get(job, jobs.TRAINED))
    put(frame, frames.NUMBERS, get(job, jobs.AT_RATES))
    call(get(job, jobs.CLIP_TO_NORM), frame)
    return get(frame, frames.RESULT) != 0


@unit
def penalize(frame: Any) -> None:
    """Add the gradient of the penalty on PARAMS (COUNT,) to GRADS; NUMBERS: l1 and l2."""
    add_penalty_gradient(params_of(frame), frames.number(frame, 0), frames.number(frame, 1), grads_of(frame))


@unit
def measure_penalty(frame: Any) -> None:
    """Add the penalty on PARAMS (COUNT,) to the float64 at OUT; NUMBERS: l1 and l2."""
    l1, l2 = frames.number(frame, 0), frames.number(frame, 1)
    frames.reals_of(frame, frames.OUT, 1)[0] += penalty_of(params_of(frame), l1, l2, frames.sums(frame))


@kernel
def _is_penalized(job: Any, i: int, p: int) -> bool:
    """Whether there is a penalty on parameter number p of operation i."""
    numbers, at = jobs.reals(job, jobs.AT_NUMBERS), jobs.penalty_at(i, p)
    return get(job, jobs.PENALIZE) != 0 and (numbers[at + jobs.L1] != 0.0 or numbers[at + jobs.L2] != 0.0)


@kernel
def _choose_penalized(job: Any, penalty: int, place: int, count: int, frame: Any) -> None:
    """Let a frame have `count` parameters from `place` on, and l1 and l2, at `penalty`, as its NUMBERS."""
    put(frame, frames.PARAMS, get(job, jobs.AT_VALUES) + get(frame, frames.ITEM) * place)
    put(frame, frames.COUNT, count)
    put(frame, frames.NUMBERS, get(job, jobs.AT_NUMBERS) + jobs.REAL * penalty)


@kernel
def _penalize(job: Any, penalty: int, place: int, count: int, grads: int, frame: Any) -> None:
    """Add the gradient of the penalty on `count` parameters from `place` on to the gradients at an address."""
    _choose_penalized(job, penalty, place, count, frame)
    put(frame, frames.GRADS, grads)
    call(get(job, jobs.PENALIZE), frame)


@kernel
def add_penalty(job: Any, rows: int, frame: Any) -> None:
    """Add `rows` times the penalty on all parameters to the first of the job's penalties."""
    penalties, operations = jobs.reals(job, jobs.AT_PENALTIES), jobs.operations_of(job)
    penalties[1] = 0.0
    jobs.begin_frame(job, 0, OFF, 0, frame)
    put(frame, frames.OUT, get(job, jobs.AT_PENALTIES) + jobs.REAL)
    for i in range(operations.shape[0]):
        for p in range(operations[i, jobs.PARAMETERS]):
            if _is_penalized(job, i, p):
                count = jobs.place_of(operations, i, p, HEIGHT) * jobs.place_of(operations, i, p, BREADTH)
                _choose_penalized(job, jobs.penalty_at(i, p), jobs.place_of(operations, i, p, PLACE), count, frame)
                call(get(job, jobs.MEASURE_PENALTY), frame)
    penalties[0] += rows * penalties[1]


@kernel
def _rates_at(job: Any, rule: int) -> int:
    """The address of a row of "rates"."""
    return get(job, jobs.AT_RATES) + jobs.REAL * RATES * rule


@kernel
def update_range(job: Any, rule: int, place: int, count: int, grads: int, frame: Any) -> None:
    """Update `count` parameters from `place` on by the gradients at an address, clipped in place if asked for.

    rule: the row of "rates" by which they are updated.
    It overwrites the frame's NUMBERS and the entries that an update reads; see operations/updates/base.py.
    """
    item = get(frame, frames.ITEM)
    state = get(job, jobs.AT_STATE) + item * place
    put(frame, frames.PARAMS, get(job, jobs.AT_VALUES) + item * place)
    put(frame, frames.GRADS, grads)
    put(frame, frames.STATE, state)
    put(frame, frames.STRIDE, item * (get(job, jobs.AT_STATE + 1) // max(1, get(job, jobs.STATE_VECTORS))))
    put(frame, frames.COUNT, count)
    put(frame, frames.NUMBERS, _rates_at(job, rule))
    if get(job, jobs.CLIP_VALUES) != 0:
        call(get(job, jobs.CLIP_VALUES), frame)
    call(get(job, jobs.UPDATE), frame)


@kernel
def update_by_rules(job: Any, first: int, last: int, frame: Any) -> None:
    """Update the parameters [first, last) by the flat gradients, as many as have the same rule at once."""
    operations, item, gradients = jobs.operations_of(job), get(frame, frames.ITEM), get(job, jobs.AT_GRADIENTS)
    begin, end, current = first, first, FROZEN
    for i in range(operations.shape[0]):
        for p in range(operations[i, jobs.PARAMETERS]):
            rule = jobs.place_of(operations, i, p, RULE)
            if rule != current:
                if current != FROZEN and end > begin:
                    update_range(job, current, begin, end - begin, gradients + item * begin, frame)
                begin, current = end, rule
            place, height = jobs.place_of(operations, i, p, PLACE), jobs.place_of(operations, i, p, HEIGHT)
            end = max(begin, min(last, place + height * jobs.place_of(operations, i, p, BREADTH)))
    if current != FROZEN and end > begin:
        update_range(job, current, begin, end - begin, gradients + item * begin, frame)


@kernel
def forget_gradients(job: Any, operations: Any, i: int, p: int, first: int, last: int) -> None:
    """Set the gradient by rows [first, last) of a frozen parameter to 0, so that no norm counts it."""
    breadth, gradients = jobs.place_of(operations, i, p, BREADTH), jobs.numbers(job, jobs.AT_GRADIENTS)
    place = jobs.place_of(operations, i, p, PLACE)
    for k in range(place + first * breadth, place + last * breadth):
        gradients[k] = gradients.dtype.type(0.0)


@kernel
def _is_outer(job: Any, operations: Any, i: int, is_penalized: bool, frame: Any) -> bool:
    """Whether a matrix of parameters is updated at once by the outer product of one sample's x and dy."""
    if get(job, jobs.COUNT) != 1 or get(job, jobs.OUTER) <= LATER or get(job, jobs.CLIP_VALUES) != 0:
        return False
    if is_penalized or not jobs.has_unit(operations, i, SPARSE_GRADIENT):
        return False
    return all_finite(elements(frames.d_target(frame)))  # it skips zeros of x


@kernel
def _look_ahead(job: Any, operations: Any, i: int, breadth: int, frame: Any) -> None:
    """Let an update by an outer product compute the outputs of the next sample, if that is known: it reads all of W.

    The operation is y = x W + b, and b is up to date.
    """
    following, item = get(job, jobs.NEXT), get(frame, frames.ITEM)
    put(frame, frames.OTHER, 0)
    if i == 0 and following >= 0 and takes_ahead(get(frame, frames.INPUTS), breadth, item):
        put(frame, frames.OTHER, get(job, jobs.AT_X) + item * following * get(job, jobs.DATA_INPUTS))
        put(frame, frames.CHANGES, get(job, jobs.AT_VALUES) + item * jobs.place_of(operations, i, 1, PLACE))
        put(job, jobs.AHEAD, 1)


@kernel
def _update_matrix(
    job: Any, operations: Any, i: int, p: int, role: int, first: int, last: int, part: int, frame: Any
) -> None:
    """Compute the gradient by rows [first, last) of a matrix of parameters and use it at once for the update.

    So the gradient is read from the cache, and never written to the flat vector.
    """
    breadth = jobs.place_of(operations, i, p, BREADTH)
    place, item = jobs.place_of(operations, i, p, PLACE), get(job, jobs.ITEM)
    is_penalized, rule = _is_penalized(job, i, p), jobs.place_of(operations, i, p, RULE)
    if _is_outer(job, operations, i, is_penalized, frame):
        put(frame, frames.SOURCE, get(frame, frames.SOURCE) + item * first)
        put(frame, frames.INPUTS, last - first)
        put(frame, frames.PARAMS, get(job, jobs.AT_VALUES) + item * (place + first * breadth))
        put(frame, frames.NUMBERS, _rates_at(job, rule))
        _look_ahead(job, operations, i, breadth, frame)
        call(get(job, jobs.OUTER), frame)
        return
    size = get(job, jobs.AT_UPDATES + 1) // get(job, jobs.PARTS)
    buffer = get(job, jobs.AT_UPDATES) + item * part * size
    wanted = INDEXED_SIZE if role == INDEXED_GRADIENT else UPDATE_SIZE
    height = min(size // breadth, max(wanted // breadth, FEWEST_ROWS if get(job, jobs.COUNT) > FEW_STEPS else 1))
    numbers_of_operation = get(frame, frames.NUMBERS)
    for begin in range(first, last, height):
        end = min(last, begin + height)
        at, count = place + begin * breadth, (end - begin) * breadth
        put(frame, frames.BEGIN, begin)
        put(frame, frames.END, end)
        put(frame, frames.OUT, buffer)
        put(frame, frames.NUMBERS, numbers_of_operation)
        jobs.call_unit(operations, i, role, frame)
        if is_penalized:
            _penalize(job, jobs.penalty_at(i, p), at, count, buffer, frame)
        update_range(job, rule, at, count, buffer, frame)


@kernel
def _gradient_of_range(
    job: Any, operations: Any, i: int, p: int, role: int, first: int, last: int, fused: bool, frame: Any
) -> None:
    """Compute the gradient by rows [first, last) of a parameter in the flat vector; then update, if fused."""
    breadth, item = jobs.place_of(operations, i, p, BREADTH), get(job, jobs.ITEM)
    place, count = jobs.place_of(operations, i, p, PLACE) + first * breadth, (last - first) * breadth
    address = get(job, jobs.AT_GRADIENTS) + item * place
    put(frame, frames.BEGIN, first)
    put(frame, frames.END, last)
    put(frame, frames.OUT, address)
    jobs.call_unit(operations, i, role, frame)
    if _is_penalized(job, i, p):
        _penalize(job, jobs.penalty_at(i, p), place, count, address, frame)
    if fused:
        update_range(job, jobs.place_of(operations, i, p, RULE), place, count, address, frame)


@kernel
def may_multiply_following(job: Any, parts: int) -> bool:
    """Whether `multiply_following` is possible and pays: an index of the data, and as many chains as threads."""
    if not jobs.has_index(job) or parts == 1 or get(job, jobs.AT_CHAIN_SUMS + 1) == 0:
        return False
    return chains_of(get(job, jobs.DATA_INPUTS)) >= parts


@kernel
def multiply_following(job: Any, operations: Any, part: int, parts: int, frame: Any) -> None:
    """Multiply the rows of the next batch by one part's rows of the first operation's weights, just updated.

    So each thread reads only the weights that it has written: two threads that read all of 784 x 50 for their rows of
    the batch took 32 us, of which half was for the lines that the other one had written. The products' chains of sums
    (matmul.py) are computed apart, and added in their order when the next batch begins.
    """
    inputs = get(job, jobs.DATA_INPUTS)
    put(frame, frames.BEGIN, first_of_share(inputs, part, parts))
    put(frame, frames.END, first_of_share(inputs, part + 1, parts))
    put(frame, frames.CHAIN_SUMS, get(job, jobs.AT_CHAIN_SUMS))
    jobs.choose_operation(job, operations, 0, frame)
    jobs.choose_lists(job, get(job, jobs.COUNT), frame)
    put(frame, frames.ROWS, get(job, jobs.FOLLOWING))
    if get(frame, frames.END) > get(frame, frames.BEGIN):
        jobs.call_unit(operations, 0, INDEXED_FORWARD, frame)


@kernel
def _share_of_parameter(job: Any, i: int, is_matrix: bool, height: int, part: int, parts: int) -> int:
    """The first of one part's rows of a parameter; for multiply_following, whole chains of the first operation's W."""
    if i > 0 or get(job, jobs.FOLLOWING) == 0:
        return share(height, part, parts)
    if is_matrix:
        return min(height, first_of_share(height, part, parts) * chain_of(height))
    return 0 if part == 0 else height  # the bias goes before the first chain


@part_unit
def parameter_part(job: Any, part: int, parts: int) -> None:
    """Sum the gradient by one part's rows of each parameter over the batch, and update them."""
    operations, frame, count = jobs.operations_of(job), new_frame(SLOTS, zero_of(job)), get(job, jobs.COUNT)
    rows = count if jobs.normalizers(job, operations) > 0 else 0
    updates, by_norm = get(job, jobs.UPDATE) != 0, get(job, jobs.CLIP_TO_NORM) != 0
    fused = updates and not by_norm
    jobs.begin_frame(job, part, OFF, rows, frame)
    item, start, inputs = get(job, jobs.ITEM), get(job, jobs.START), get(job, jobs.DATA_INPUTS)
    is_gathered, skips = get(job, jobs.GATHERED) != 0, get(job, jobs.SKIPS_ZEROS) != 0 and count > FEW_STEPS
    put(frame, frames.X, get(job, jobs.AT_INPUTS) if is_gathered else get(job, jobs.AT_X) + item * start * inputs)
    jobs.choose_lists(job, 0, frame)
    skipping = INDEXED_GRADIENT if jobs.has_index(job) else SPARSE_GRADIENT
    # The first operation last, and its bias first: _look_ahead overwrites the outputs that the second one reads.
    for i in range(operations.shape[0] - 1, -1, -1):
        for p in range(operations[i, jobs.PARAMETERS] - 1, -1, -1):
            jobs.choose_operation(job, operations, i, frame)
            jobs.choose_rows(operations, i, 0, count, frame)
            put(frame, frames.PARAMETER, p)
            height, is_matrix = jobs.place_of(operations, i, p, HEIGHT), jobs.place_of(operations, i, p, IS_MATRIX) != 0
            sparse = skips and operations[i, jobs.READS] == jobs.INPUT and is_matrix
            role = skipping if sparse else GRADIENT
            first = _share_of_parameter(job, i, is_matrix, height, part, parts)
            last = _share_of_parameter(job, i, is_matrix, height, part + 1, parts)
            if updates and jobs.place_of(operations, i, p, RULE) == FROZEN:
                forget_gradients(job, operations, i, p, first, last if by_norm else first)
            elif fused and is_matrix:
                _update_matrix(job, operations, i, p, role, first, last, part, frame)
            else:
                _gradient_of_range(job, operations, i, p, role, first, last, fused, frame)
    if get(job, jobs.FOLLOWING) > 0:
        multiply_following(job, operations, part, parts, frame)


@part_unit
def clipped_part(job: Any, part: int, parts: int) -> None:
    """Update one part of the parameters after their gradients were clipped to a norm."""
    frame, size, item = new_frame(SLOTS, zero_of(job)), get(job, jobs.TRAINED), get(job, jobs.ITEM)
    first, last = share(size, part, parts), share(size, part + 1, parts)
    put(frame, frames.ITEM, item)
    update_by_rules(job, first, last, frame)
