"""One part's rows of a batch: forward, loss and backward.

An operation such as batch normalization needs statistics of all rows to go forward, and sums over all rows to go
backward; in a large affine operation each part computes its share of the columns for all rows (partition.py). Both
*cut* the batch into *stages*, between which all parts wait for each other (training.py); without such operations there
is only one stage.
"""

from typing import Any, NamedTuple

from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.forward import BLOCK_ROWS, fill_rows, forward_rows, share_of_rows
from fastnn.kernels import frames
from fastnn.kernels.addresses import call, call_part, get, new_frame, put, zero_of
from fastnn.kernels.byte_rows import scale_bytes
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import (
    BACKWARD,
    BACKWARD_COLUMNS,
    BATCH_STATISTICS,
    BATCH_SUMS,
    FORWARD_COLUMNS,
    OFF,
    SLOTS,
    put_real,
)
from fastnn.kernels.matmul import share, share_of_columns
from fastnn.kernels.random_bits import key_of
from fastnn.kernels.rows import all_finite, first_largest, is_first_largest
from fastnn.kernels.units import part_unit, unit
from fastnn.kernels.views import part as part_of
from fastnn.kernels.views import vector_at


class Stage(NamedTuple):
    """The operations that one stage takes: forward [forward_from, forward_to), backward [back_from, back_to)."""

    forward_from: Any
    forward_to: Any
    takes_loss: Any
    back_from: Any
    back_to: Any


@kernel
def _stage(job: Any, operations: Any, cuts: int, number: int) -> Stage:
    """Stage `number` of 2 cuts + 1.

    Forward, each stage ends before a cut, backward behind one. An operation that is taken by columns lies between two
    stages, one that uses statistics is in the second of the two.
    """
    count = operations.shape[0]
    if cuts == 0:
        return Stage(0, count, True, 0, count)
    ahead, start = jobs.cut_at(job, operations, number), 0
    if 0 < number <= cuts:
        start = jobs.cut_at(job, operations, number - 1)
        start += operations[start, jobs.BY_COLUMNS]
    if number < cuts:
        return Stage(start, ahead, False, 0, 0)
    left = 2 * cuts - number
    back_from, back_to = 0, jobs.cut_at(job, operations, left)
    if left > 0:
        back_from = jobs.cut_at(job, operations, left - 1) + 1
    if left < cuts:
        back_to += 1 - operations[back_to, jobs.BY_COLUMNS]
    return Stage(start, count if number == cuts else 0, number == cuts, back_from, back_to)


@kernel
def _fill_inputs(job: Any, first: int, last: int) -> None:
    """Make rows [first, last) of the mini-batch dense, from the index of all rows."""
    start, row = get(job, jobs.START), get(job, jobs.ITEM) * get(job, jobs.DATA_INPUTS)
    fill_rows(job, start + first, start + last, get(job, jobs.AT_INPUTS) + row * first)


@kernel
def _scale_inputs(job: Any, first: int, last: int) -> None:
    """Make rows [first, last) of the mini-batch floats, from the bytes of all rows."""
    columns, start, gathered = get(job, jobs.DATA_INPUTS), get(job, jobs.START), jobs.numbers(job, jobs.AT_INPUTS)
    order, source, scale = (
        jobs.integers(job, jobs.AT_ORDER),
        jobs.bytes_of(job),
        gathered.dtype.type(jobs.byte_scale(job)),
    )
    for n in range(first, last):
        number = order[start + n] if order.size > 0 else start + n
        scale_bytes(part_of(source, number * columns, columns), scale, part_of(gathered, n * columns, columns))


@part_unit
def unpack(job: Any, first: int, last: int) -> None:
    """Write rows [first, last) of the mini-batch to "inputs", from an index or bytes of all rows."""
    if jobs.has_index(job):
        _fill_inputs(job, first, last)
    else:
        _scale_inputs(job, first, last)


@kernel
def _inputs(job: Any, first: int, last: int, gather: bool) -> int:
    """The address of rows [first, last) of the mini-batch, which are gathered if they are not adjacent.

    With an index of them they are made dense, if something reads them. Bytes become floats.

    gather: whether they are yet to be gathered.
    """
    columns, start, item = get(job, jobs.DATA_INPUTS), get(job, jobs.START), get(job, jobs.ITEM)
    order = jobs.integers(job, jobs.AT_ORDER)
    if jobs.are_packed(job):
        if gather and (not jobs.has_index(job) or get(job, jobs.SKIPS_ZEROS) == 0 or jobs.are_filled(job)):
            call_part(get(job, jobs.UNPACK), job, first, last)
        return get(job, jobs.AT_INPUTS) + item * first * columns
    if order.size == 0:
        return get(job, jobs.AT_X) + item * (start + first) * columns
    x, gathered = jobs.numbers(job, jobs.AT_X), jobs.numbers(job, jobs.AT_INPUTS)
    for n in range(first, last if gather else first):
        row, copy = part_of(x, order[start + n] * columns, columns), part_of(gathered, n * columns, columns)
        for i in range(columns):
            copy[i] = row[i]
    return get(job, jobs.AT_INPUTS) + item * first * columns


@kernel
def _set_targets(job: Any, first: int, frame: Any) -> None:
    """Point a frame to the targets of the rows from `first` on of the mini-batch."""
    start, outputs, item = get(job, jobs.START) + first, get(job, jobs.DATA_OUTPUTS), get(job, jobs.ITEM)
    is_ordered = get(job, jobs.AT_ORDER + 1) > 0
    skipped = 0 if is_ordered else start
    numbers_of_rows = get(job, jobs.AT_NUMBERS_OF_ROWS)
    if is_ordered:
        numbers_of_rows = get(job, jobs.AT_ORDER) + jobs.INTEGER * start
    put(frame, frames.LABELS, get(job, jobs.AT_LABELS) + jobs.INTEGER * skipped)
    put(frame, frames.LABELS_SIZE, max(0, get(job, jobs.AT_LABELS + 1) - skipped))
    put(frame, frames.DENSE, get(job, jobs.AT_DENSE) + item * skipped * outputs)
    put(frame, frames.DENSE_SIZE, max(0, get(job, jobs.AT_DENSE + 1) - skipped * outputs))
    put(frame, frames.ROW_NUMBERS, numbers_of_rows)


@kernel
def is_hit(y: Any, t: Any, border: float, target_border: float) -> int:
    """1 if the largest output is at the largest target, the first of equals, or, for one output, if both are on the
    same side of their borders; else 0.
    """
    if y.size > 1:
        return 1 if first_largest(y) == first_largest(t) else 0
    return 1 if (y[0] > border) == (t[0] > target_border) else 0


@kernel
def count_hits(frame: Any, border: float, target_border: float, hits: Any) -> None:
    """hits[n] = 1 if row n of the outputs is right, see is_hit, else 0; an invalid label is never hit."""
    y, labels = frames.target(frame), frames.integers_of(frame, frames.LABELS, get(frame, frames.LABELS_SIZE))
    dense, width = frames.vector_of(frame, frames.DENSE, get(frame, frames.DENSE_SIZE)), y.shape[1]
    rows = frames.integers_of(frame, frames.ROW_NUMBERS, y.shape[0])
    for n in range(y.shape[0]):
        if labels.size > 0:
            hits[n] = 1 if is_first_largest(y[n], labels[rows[n]]) else 0
        else:
            hits[n] = is_hit(y[n], part_of(dense, rows[n] * width, width), border, target_border)


@unit
def hits_of_rows(frame: Any) -> None:
    """Note in OTHER which rows are hits, as count_hits; NUMBERS holds the numbers of the loss."""
    hits = frames.integers_of(frame, frames.OTHER, get(frame, frames.ROWS))
    count_hits(frame, frames.number(frame, jobs.BORDER), frames.number(frame, jobs.TARGET_BORDER), hits)


@unit
def weigh(frame: Any) -> None:
    """Multiply LOSSES and their gradients D_TARGET by weights: row n by OTHER[ROW_NUMBERS[n]].

    A row of weight 0 counts for nothing, even if its loss is infinite.
    """
    weights, dy = frames.reals_of(frame, frames.OTHER, get(frame, frames.WIDTH)), frames.d_target(frame)
    losses = frames.reals_of(frame, frames.LOSSES, dy.shape[0])
    rows = frames.integers_of(frame, frames.ROW_NUMBERS, dy.shape[0])
    for n in range(losses.size):
        weight = weights[rows[n]]
        losses[n] = 0.0 if weight == 0.0 else losses[n] * weight
        slopes, zero, factor = dy[n], dy.dtype.type(0.0), dy.dtype.type(weight)
        for k in range(slopes.size):
            slopes[k] = zero if weight == 0.0 else slopes[k] * factor


@kernel
def _take_loss(job: Any, operations: Any, first: int, last: int, frame: Any) -> None:
    """Compute the losses of the rows [first, last) and the gradient by their outputs."""
    count = operations.shape[0]
    jobs.choose_operation(job, operations, count - 1, frame)
    jobs.choose_rows(operations, count - 1, first, last, frame)
    _set_targets(job, first, frame)
    put(frame, frames.NUMBERS, get(job, jobs.AT_NUMBERS) + jobs.REAL * jobs.NUMBERS_EACH * count)
    put(frame, frames.LOSSES, get(job, jobs.AT_LOSSES) + jobs.REAL * first)
    put(frame, frames.LOSS_SUMS, get(job, jobs.AT_LOSS_SUMS) + jobs.REAL * first)
    put_real(frame, frames.DIVISOR, get(job, jobs.COUNT) / jobs.plan_number(job, jobs.DATA_SHARE))
    if get(job, jobs.COUNTS_HITS) != 0:
        put(frame, frames.OTHER, get(job, jobs.AT_HITS) + jobs.INTEGER * first)
        call(get(job, jobs.COUNT_HITS), frame)
    call(get(job, jobs.LOSS_OF_LABELS if get(job, jobs.AT_LABELS + 1) > 0 else jobs.LOSS), frame)
    if get(job, jobs.AT_WEIGHTS + 1) > 0:
        skipped = 0 if get(job, jobs.AT_ORDER + 1) > 0 else get(job, jobs.START) + first
        put(frame, frames.OTHER, get(job, jobs.AT_WEIGHTS) + jobs.REAL * skipped)
        put(frame, frames.WIDTH, get(job, jobs.AT_WEIGHTS + 1) - skipped)
        call(get(job, jobs.WEIGH), frame)


@kernel
def _backward_rows(job: Any, operations: Any, frame: Any, begin: int, end: int, first: int, last: int) -> None:
    """Take the rows [first, last) of a batch backward through the operations [begin, end).

    Images: as forward_rows.
    """
    stop = end
    while stop > begin:
        start, at_once = stop - 1, operations[stop - 1, jobs.AT_ONCE]
        while start > begin and at_once > 0 and operations[start - 1, jobs.AT_ONCE] > 0:
            start -= 1
        step = at_once if at_once > 0 else max(1, last - first)
        for row in range(first, last, step):
            for i in range(stop - 1, start - 1, -1):
                jobs.choose_operation(job, operations, i, frame)
                jobs.choose_rows(operations, i, row, min(row + step, last), frame)
                jobs.call_unit(operations, i, BACKWARD, frame)
        stop = start


@kernel
def random_key(job: Any) -> int:
    """The key of this batch's random numbers; OFF for a gradient without an update, which drops nothing."""
    counters = jobs.integers(job, jobs.AT_COUNTERS)
    return OFF if get(job, jobs.UPDATE) == 0 else key_of(counters[jobs.SEED], counters[jobs.DRAWS])


@kernel
def _take_stage(job: Any, operations: Any, stage: Stage, frame: Any, part: int, parts: int) -> None:
    """Take one part's rows of a mini-batch through a stage; the first one gathers them."""
    count, gather, skip = get(job, jobs.COUNT), get(job, jobs.STAGE) == 0, get(job, jobs.SKIPS_ZEROS) != 0
    begin, end = share_of_rows(operations, count, part, parts), share_of_rows(operations, count, part + 1, parts)
    back_from = max(stage.back_from, jobs.lowest_trained(job, operations) + 1)  # nothing needs other gradients
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        put(frame, frames.X, _inputs(job, first, last, gather))
        jobs.choose_lists(job, first, frame)
        forward_rows(job, operations, frame, stage.forward_from, stage.forward_to, first, last, skip)
        if stage.takes_loss:
            _take_loss(job, operations, first, last, frame)
        _backward_rows(job, operations, frame, back_from, stage.back_to, first, last)


@part_unit
def batch_part(job: Any, part: int, parts: int) -> None:
    """Take one part's rows of a mini-batch forward and backward, if no operation cuts it."""
    operations, frame = jobs.operations_of(job), new_frame(SLOTS, zero_of(job))
    jobs.begin_frame(job, part, random_key(job), 0, frame)
    count = operations.shape[0]
    _take_stage(job, operations, Stage(get(job, jobs.AHEAD), count, True, 0, count), frame, part, parts)


@part_unit
def staged_part(job: Any, part: int, parts: int) -> None:
    """Take one part's rows of a mini-batch through one stage."""
    operations, frame = jobs.operations_of(job), new_frame(SLOTS, zero_of(job))
    batch_rows = get(job, jobs.COUNT) if jobs.normalizers(job, operations) > 0 else 0
    jobs.begin_frame(job, part, random_key(job), batch_rows, frame)
    stage = _stage(job, operations, jobs.cuts(job, operations), get(job, jobs.STAGE))
    _take_stage(job, operations, stage, frame, part, parts)


@kernel
def _take_columns(job: Any, operations: Any, i: int, forward: bool, frame: Any, part: int, parts: int) -> None:
    """Take a mini-batch forward or backward through operation i, one part's columns of the result.

    Inputs that are mostly zeros go forward by rows, whose zeros are found once.
    """
    count = get(job, jobs.COUNT)
    if forward and i == 0 and get(job, jobs.SKIPS_ZEROS) != 0:
        first, last = share(count, part, parts), share(count, part + 1, parts)
        put(frame, frames.X, _inputs(job, first, last, False))
        jobs.choose_lists(job, first, frame)
        forward_rows(job, operations, frame, 0, 1, first, last, True)
        return
    if not forward and i <= jobs.lowest_trained(job, operations):  # nothing needs this gradient
        return
    put(frame, frames.X, _inputs(job, 0, count, False))
    jobs.choose_operation(job, operations, i, frame)
    jobs.choose_rows(operations, i, 0, count, frame)
    columns = operations[i, jobs.WIDTH_OUT if forward else jobs.WIDTH_IN]
    put(frame, frames.BEGIN, share_of_columns(columns, part, parts))
    put(frame, frames.END, share_of_columns(columns, part + 1, parts))
    jobs.call_unit(operations, i, FORWARD_COLUMNS if forward else BACKWARD_COLUMNS, frame)


@part_unit
def between_stages(job: Any, part: int, parts: int) -> None:
    """Take one part of the cut behind a stage: its columns, or statistics and, going backward, sums of its units."""
    operations, frame = jobs.operations_of(job), new_frame(SLOTS, zero_of(job))
    count, number, cuts = get(job, jobs.COUNT), get(job, jobs.STAGE), jobs.cuts(job, operations)
    forward = number < cuts
    i = jobs.cut_at(job, operations, number if forward else 2 * cuts - number - 1)
    jobs.begin_frame(job, part, OFF, count, frame)
    if operations[i, jobs.BY_COLUMNS] != 0:
        _take_columns(job, operations, i, forward, frame, part, parts)
        return
    put(frame, frames.X, _inputs(job, 0, count, False))
    jobs.choose_operation(job, operations, i, frame)
    jobs.choose_rows(operations, i, 0, count, frame)
    units = jobs.place_of(operations, i, frames.MOST_PARAMETERS, frames.HEIGHT)  # of the first statistic
    put(frame, frames.BEGIN, share(units, part, parts))
    put(frame, frames.END, share(units, part + 1, parts))
    jobs.call_unit(operations, i, BATCH_STATISTICS if forward else BATCH_SUMS, frame)


@kernel
def first_gradient_is_finite(job: Any, operations: Any, count: int) -> bool:
    """Whether the gradient by the first operation's outputs is finite, for the rows of a batch."""
    width, item = operations[0, jobs.WIDTH_OUT], get(job, jobs.ITEM)
    start = get(job, jobs.AT_TENSOR_GRADIENTS) + item * operations[0, jobs.WRITES]
    return all_finite(vector_at(start, count * width, zero_of(job)))
