"""Changes of a layer's outputs, followed through the rest of a network up to the loss.

As long as operations take single elements, one element of each sample changes; the next operation turns it into a
change of all its outputs. After that the changes of many perturbations are computed at once, as the columns of one
matrix, a *block*: a row for each element of a tensor, and a column for each sample, point and output j, in this order
(see perturbing.py). All is float64.
"""

from typing import Any, NamedTuple

import numpy as np

from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.along import choose, place_along, scales_along
from fastnn.kernels import frames
from fastnn.kernels.addresses import call, get, put
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import CHANGE, FOLLOW, FORWARD, PLACE, SPREAD, reals_of
from fastnn.kernels.simd import bits, from_bits
from fastnn.kernels.small_changes import SMALL
from fastnn.kernels.views import matrix, part, vector_at
from fastnn.operations.moved_elements import BLOCK, COLUMNS

LINES = 5  # of `columns` numbers in a space


class Space(NamedTuple):
    """Addresses of one part's scratch, for blocks of `columns` columns."""

    columns: Any
    one: Any  # (largest width * columns,), a block
    other: Any  # another block
    work: Any  # (columns,)
    changes: Any  # (columns,)
    losses: Any  # (columns,)
    single: Any  # (columns,), the losses of one element
    steps: Any  # (columns,)
    own: Any  # a copy of the parameters of one operation


@kernel
def _row(frame: Any, slot: int, width: int, n: int) -> Any:
    """One sample's row of the tensor at a slot."""
    return part(reals_of(frame, slot, (n + 1) * width), n * width, width)


@kernel
def _forward(operations: Any, i: int, rows: int, source: int, target: int, frame: Any) -> None:
    """Run operation i forward for rows at an address; afterwards the frame is for all samples again."""
    all_source, all_target, samples = get(frame, frames.SOURCE), get(frame, frames.TARGET), get(frame, frames.ROWS)
    put(frame, frames.SOURCE, source)
    put(frame, frames.TARGET, target)
    put(frame, frames.ROWS, rows)
    jobs.call_unit(operations, i, FORWARD, frame)
    put(frame, frames.SOURCE, all_source)
    put(frame, frames.TARGET, all_target)
    put(frame, frames.ROWS, samples)


@kernel
def _change_columns(operations: Any, i: int, frame: Any) -> None:
    """d = f(x + d) - f(x) for an operation f on single elements, if COLUMN to COLUMN + WIDTH of each sample change.

    CHANGES (samples, points, WIDTH), OTHER: scratch of its size.
    """
    if jobs.has_unit(operations, i, CHANGE):
        put(frame, frames.LAYOUT, COLUMNS)
        jobs.call_unit(operations, i, CHANGE, frame)
        return
    samples = frames.samples_of(frame)
    j, width, size = get(frame, frames.COLUMN), get(frame, frames.WIDTH), get(frame, frames.OUTPUTS)
    points, rows = get(frame, frames.RUN) // width, samples.size * (get(frame, frames.RUN) // width)
    # Views from index 0 spare Numba's test for negative indices, with which LLVM does not vectorize; nor does it
    # vectorize an activation in place.
    moved, d = reals_of(frame, frames.OTHER, rows * width), reals_of(frame, frames.CHANGES, rows * width)
    for s in range(samples.size):
        x = part(_row(frame, frames.SOURCE, size, samples[s]), j, width)
        for r in range(s * points, (s + 1) * points):
            row, out = part(d, r * width, width), part(moved, r * width, width)
            for k in range(width):
                out[k] = x[k] + row[k]
    put(frame, frames.INPUTS, width)
    put(frame, frames.OUTPUTS, width)
    _forward(operations, i, rows, get(frame, frames.OTHER), get(frame, frames.CHANGES), frame)
    for s in range(samples.size):
        y = part(_row(frame, frames.TARGET, size, samples[s]), j, width)
        for r in range(s * points, (s + 1) * points):
            row = part(d, r * width, width)
            for k in range(width):
                row[k] -= y[k]


@kernel
def _subtract_base(samples: Any, run: int, rows: int, frame: Any, block: Any) -> None:
    """block -= the outputs of each sample."""
    columns = samples.size * run
    for s in range(samples.size):
        y = _row(frame, frames.TARGET, rows, samples[s])
        for k in range(rows):
            value, row = y[k], part(block, k * columns + s * run, run)
            for c in range(run):
                row[c] -= value


@kernel
def _change_block(operations: Any, i: int, frame: Any) -> None:
    """The block CHANGES = f(x + d) - f(x) for an operation f on single elements; OTHER: scratch of its size."""
    if jobs.has_unit(operations, i, CHANGE):
        put(frame, frames.LAYOUT, BLOCK)
        jobs.call_unit(operations, i, CHANGE, frame)
        return
    samples, run = frames.samples_of(frame), get(frame, frames.RUN)
    rows, columns = get(frame, frames.OUTPUTS), samples.size * run
    d, moved = reals_of(frame, frames.CHANGES, rows * columns), reals_of(frame, frames.OTHER, rows * columns)
    for s in range(samples.size):
        x = _row(frame, frames.SOURCE, rows, samples[s])
        for k in range(rows):
            value, row, out = x[k], part(d, k * columns + s * run, run), part(moved, k * columns + s * run, run)
            for c in range(run):
                out[c] = row[c] + value
    put(frame, frames.INPUTS, columns)
    put(frame, frames.OUTPUTS, columns)
    _forward(operations, i, rows, get(frame, frames.OTHER), get(frame, frames.CHANGES), frame)
    _subtract_base(samples, run, rows, frame, d)


@kernel
def _follow_by_forward(operations: Any, i: int, frame: Any) -> None:
    """The block OTHER = f(x + d) - f(x) from the block CHANGES, which is overwritten, for an operation f on rows."""
    samples, run = frames.samples_of(frame), get(frame, frames.RUN)
    inputs, outputs, columns = get(frame, frames.INPUTS), get(frame, frames.OUTPUTS), samples.size * run
    d, across = reals_of(frame, frames.CHANGES, inputs * columns), reals_of(frame, frames.OTHER, inputs * columns)
    for s in range(samples.size):
        x = _row(frame, frames.SOURCE, inputs, samples[s])
        for c in range(s * run, (s + 1) * run):
            row = part(across, c * inputs, inputs)
            for k in range(inputs):
                row[k] = d[k * columns + c] + x[k]
    _forward(operations, i, columns, get(frame, frames.OTHER), get(frame, frames.CHANGES), frame)
    rows = matrix(reals_of(frame, frames.CHANGES, outputs * columns), 0, columns, outputs)
    block = reals_of(frame, frames.OTHER, outputs * columns)
    for c in range(columns):
        row = rows[c]
        for k in range(outputs):
            block[k * columns + c] = row[k]
    _subtract_base(samples, run, outputs, frame, block)


@kernel
def _spread_as_it_is(rows: int, frame: Any) -> None:
    """The block OTHER of `rows` rows, in which the elements from COLUMN on change by CHANGES and the others do not."""
    j, width = get(frame, frames.COLUMN), get(frame, frames.WIDTH)
    columns = get(frame, frames.SAMPLE_COUNT) * get(frame, frames.RUN)
    count = columns // width
    changes, block = reals_of(frame, frames.CHANGES, columns), reals_of(frame, frames.OTHER, rows * columns)
    for k in range(rows):
        out = matrix(block, k * columns, count, width)
        for r in range(count):
            for c in range(width):
                out[r, c] = changes[r * width + c] if k == j + c else 0.0


@kernel
def _take_loss(job: Any, operations: Any, unit: int, inputs: int, losses: int, frame: Any) -> None:
    """Call a unit of the loss for a frame's changes, of so many inputs; the changes of losses go to an address."""
    count = operations.shape[0]
    choose(job, operations, count - 1, frame)
    put(frame, frames.INPUTS, inputs)
    put(frame, frames.NUMBERS, get(job, jobs.AT_NUMBERS) + jobs.REAL * jobs.NUMBERS_EACH * count)
    put(frame, frames.DENSE, get(job, jobs.AT_DENSE))
    put(frame, frames.PREPARED, get(job, jobs.AT_PREPARED_OUTPUTS))
    put(frame, frames.LOSSES, losses)
    call(unit, frame)


@kernel
def follow_block(job: Any, operations: Any, i: int, frame: Any, space: Space, losses: int) -> None:
    """The losses at an address if the inputs of operation i change by the block at space.one, which is overwritten."""
    count, one, other = operations.shape[0], space.one, space.other
    for later in range(i, count):
        choose(job, operations, later, frame)
        put(frame, frames.CHANGES, one)
        put(frame, frames.OTHER, other)
        if operations[later, jobs.TAKES_ELEMENTS] != 0:
            _change_block(operations, later, frame)
            continue
        if jobs.has_unit(operations, later, FOLLOW):
            jobs.call_unit(operations, later, FOLLOW, frame)
        else:
            _follow_by_forward(operations, later, frame)
        one, other = other, one
    put(frame, frames.CHANGES, one)
    put(frame, frames.OTHER, space.work)
    _take_loss(job, operations, get(job, jobs.LOSS_CHANGE), operations[count - 1, jobs.WIDTH_IN], losses, frame)


@kernel
def _follow_single(job: Any, operations: Any, i: int, s: int, c: int, frame: Any, space: Space) -> None:
    """Put losses of a space right for sample s if input COLUMN + c of operation i alone changes, by CHANGES."""
    run, j, width = get(frame, frames.RUN), get(frame, frames.COLUMN), get(frame, frames.WIDTH)
    samples, count = get(frame, frames.SAMPLES), get(frame, frames.SAMPLE_COUNT)
    changes, points = get(frame, frames.CHANGES), run // width
    one, moved = vector_at(space.work, points, 0.0), vector_at(changes, count * run, 0.0)
    for p in range(points):
        one[p] = moved[s * run + p * width + c]
    choose(job, operations, i, frame)
    put(frame, frames.SAMPLES, samples + jobs.INTEGER * s)
    put(frame, frames.SAMPLE_COUNT, 1)
    put(frame, frames.RUN, points)
    put(frame, frames.COLUMN, j + c)
    put(frame, frames.WIDTH, 1)
    put(frame, frames.CHANGES, space.work)
    put(frame, frames.OTHER, space.one)
    jobs.call_unit(operations, i, SPREAD, frame)
    follow_block(job, operations, i + 1, frame, space, space.single)
    single, losses = vector_at(space.single, points, 0.0), vector_at(space.losses, count * run, 0.0)
    for p in range(points):
        losses[s * run + p * width + c] = single[p]
    put(frame, frames.SAMPLES, samples)
    put(frame, frames.SAMPLE_COUNT, count)
    put(frame, frames.RUN, run)
    put(frame, frames.COLUMN, j)
    put(frame, frames.WIDTH, width)
    put(frame, frames.CHANGES, changes)


@kernel
def _take_loss_along(job: Any, operations: Any, i: int, frame: Any, space: Space) -> None:
    """A space's losses if inputs of operation i change by CHANGES: along the slopes, but for changes across a kink."""
    last, points = operations.shape[0] - 1, get(job, jobs.AT_POINTS + 1)
    slopes = get(job, jobs.AT_PREPARED) + jobs.REAL * jobs.place_of(operations, i, 0, PLACE)
    put(frame, frames.SLOPES, slopes if i == last else 0)
    put(frame, frames.ALONG, place_along(job, operations, i))
    inputs = operations[i, jobs.WIDTH_IN]
    _take_loss(job, operations, get(job, jobs.LOSS_CHANGE_ALONG), inputs, space.losses, frame)
    if i == last:
        return
    samples, run, width = frames.samples_of(frame), get(frame, frames.RUN), get(frame, frames.WIDTH)
    changes = reals_of(frame, frames.CHANGES, samples.size * run)
    for s in range(samples.size):
        scales = part(scales_along(job, operations, i, samples[s]), get(frame, frames.COLUMN), width)
        largest = bits(np.float64(0.0))
        for start in range(s * run, (s + 1) * run, width):
            some = part(changes, start, width)
            for c in range(width):
                largest = max(largest, bits(abs(some[c] * scales[c])))
        if from_bits(np.int64(largest)) <= SMALL:
            continue
        for c in range(width):
            is_small = True
            for p in range(points):
                is_small = is_small and abs(changes[s * run + p * width + c] * scales[c]) <= SMALL
            if not is_small:
                _follow_single(job, operations, i, s, c, frame, space)


@kernel
def follow(job: Any, operations: Any, first: int, frame: Any, space: Space) -> None:
    """A space's losses = the changes of each sample's loss when the outputs of operation `first` change.

    The frame's CHANGES, which is overwritten, SAMPLES, SAMPLE_COUNT, RUN, COLUMN and WIDTH say which; see
    _change_columns.
    """
    count, i = operations.shape[0], first + 1
    put(frame, frames.OTHER, space.other)
    while i < count and operations[i, jobs.TAKES_ELEMENTS] != 0:
        choose(job, operations, i, frame)
        _change_columns(operations, i, frame)
        i += 1
    if i == count:
        put(frame, frames.OTHER, space.work)
        _take_loss(job, operations, get(job, jobs.LOSS_CHANGE_OF_ONE), 0, space.losses, frame)
        return
    put(frame, frames.OTHER, space.one)
    if operations[i, jobs.ALONG] >= 0:
        _take_loss_along(job, operations, i, frame, space)
        return
    choose(job, operations, i, frame)
    if jobs.has_unit(operations, i, SPREAD):
        jobs.call_unit(operations, i, SPREAD, frame)
        i += 1
    else:
        _spread_as_it_is(operations[i - 1, jobs.WIDTH_OUT], frame)
    follow_block(job, operations, i, frame, space, space.losses)
