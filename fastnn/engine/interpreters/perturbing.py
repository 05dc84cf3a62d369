"""The loss at perturbed parameters, evaluated from the changed parts alone.

Moving W[i, j] by s moves column j of an affine operation's outputs by s x[n, i], which is 0 for samples whose x[n, i]
is 0. The further changes are followed (changes.py), and the loss's changes are summed over the samples in their order.
So the result is the difference of the losses at both parameters, as exactly as float64 allows. It is never a
derivative: no unit of a backward pass is called.

A *point* is a multiple of the step, such as 1 and -1. All is float64. Each sum is computed by one part, in one order:
the same bits on any number of threads.
"""

from typing import Any

import numpy as np

from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.along import choose, prepare_along
from fastnn.engine.interpreters.changes import LINES, Space, follow, follow_block
from fastnn.engine.interpreters.forward import BLOCK_ROWS, forward_rows
from fastnn.kernels import frames
from fastnn.kernels.addresses import call, get, new_frame, put, zero_of
from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Indices, door
from fastnn.kernels.frames import BREADTH, FORWARD, HEIGHT, MOVE, OFF, PLACE, PREPARE, REACHES, SLOTS
from fastnn.kernels.matmul import share
from fastnn.kernels.units import part_unit, run_parts
from fastnn.kernels.views import part as part_of
from fastnn.kernels.views import vector_at


def space_size(widest: int, columns: int, own: int, scratch: int) -> int:
    """Elements of one part's memory; own: see Space; scratch: the operations' part of it."""
    return (2 * widest + LINES) * columns + own + scratch


@kernel
def _space(job: Any, part: int, frame: Any) -> Space:
    """One part's memory, cut into pieces; the rest is the operations' scratch."""
    at, columns = jobs.row_of_part(job, jobs.AT_MEMORY, part, jobs.REAL), get(job, jobs.COLUMNS)
    block, line = jobs.REAL * get(job, jobs.WIDEST) * columns, jobs.REAL * columns
    rest, own = at + 2 * block, at + 2 * block + LINES * line
    before = (2 * get(job, jobs.WIDEST) + LINES) * columns + get(job, jobs.OWN)
    put(frame, frames.SCRATCH, own + jobs.REAL * get(job, jobs.OWN))
    put(frame, frames.SCRATCH_SIZE, get(job, jobs.AT_MEMORY + 1) // get(job, jobs.PARTS) - before)
    lines = rest, rest + line, rest + 2 * line, rest + 3 * line, rest + 4 * line
    return Space(columns, at, at + block, lines[0], lines[1], lines[2], lines[3], lines[4], own)


@kernel
def _reached(job: Any, operations: Any, o: int, samples: Any, frame: Any) -> int:
    """List the samples that row BEGIN of a parameter reaches in `samples`; return how many."""
    if jobs.has_unit(operations, o, MOVE) and jobs.has_unit(operations, o, REACHES):
        jobs.call_unit(operations, o, REACHES, frame)
        return get(frame, frames.RESULT)
    for n in range(get(job, jobs.SAMPLES)):
        samples[n] = n
    return get(job, jobs.SAMPLES)


@kernel
def step_taken(value: float, point: float, step: Any) -> float:
    """The real step of a parameter, (value + point h) - value; step = (h, whether relative to max(1, |value|))."""
    h = step[0] * max(1.0, abs(value)) if step[1] != 0.0 else step[0]
    return (value + point * h) - value


@kernel
def _set_steps(job: Any, place: int, width: int, steps: Any) -> None:
    """Set the steps of `width` parameters from a place on, for each point."""
    values = jobs.reals(job, jobs.AT_VALUES)
    points, step = jobs.reals(job, jobs.AT_POINTS), jobs.reals(job, jobs.AT_STEP)
    for p in range(points.size):
        for k in range(width):
            steps[p * width + k] = step_taken(values[place + k], points[p], step)


@kernel
def _add_losses(job: Any, count: int, run: int, place: int, width: int, losses: Any) -> None:
    """Add the changes of some samples' losses to the entries of the parameters from a place on."""
    points, changes, size = get(job, jobs.AT_POINTS + 1), jobs.reals(job, jobs.AT_CHANGES), get(job, jobs.AT_VALUES + 1)
    for s in range(count):
        for p in range(points):
            total, some = part_of(changes, p * size + place, width), part_of(losses, s * run + p * width, width)
            for k in range(width):
                total[k] += some[k]


@kernel
def _own_parameters(job: Any, operations: Any, o: int, space: Space) -> Any:
    """A fresh copy of the parameters of operation o."""
    size = 0
    for p in range(operations[o, jobs.PARAMETERS]):
        size += jobs.place_of(operations, o, p, HEIGHT) * jobs.place_of(operations, o, p, BREADTH)
    own = vector_at(space.own, size, 0.0)
    values = part_of(jobs.reals(job, jobs.AT_VALUES), jobs.place_of(operations, o, 0, PLACE), size)
    for k in range(size):
        own[k] = values[k]
    return own


@kernel
def _move_by_forward(operations: Any, o: int, first: int, own: Any, at: int, frame: Any, space: Space) -> None:
    """The block at space.one: the changes of all outputs of operation o, of SAMPLE_COUNT samples from `first` on.

    Each column has its own step of WIDTH parameters from own[at] on. It takes the operation forward from a copy of its
    parameters, one of which is moved, and subtracts.
    """
    count, run, width = get(frame, frames.SAMPLE_COUNT), get(frame, frames.RUN), get(frame, frames.WIDTH)
    inputs, outputs, steps = get(frame, frames.INPUTS), get(frame, frames.OUTPUTS), vector_at(space.steps, run, 0.0)
    columns, values, all_rows = count * run, get(frame, frames.VALUES), get(frame, frames.ROWS)
    source, target = get(frame, frames.SOURCE), get(frame, frames.TARGET)
    block, base = vector_at(space.one, outputs * columns, 0.0), vector_at(target, all_rows * outputs, 0.0)
    moved = vector_at(space.other, count * outputs, 0.0)
    put(frame, frames.VALUES, space.own - jobs.REAL * jobs.place_of(operations, o, 0, PLACE))
    put(frame, frames.SOURCE, source + jobs.REAL * first * inputs)
    put(frame, frames.TARGET, space.other)
    put(frame, frames.ROWS, count)
    for r in range(run):
        kept = own[at + r % width]
        own[at + r % width] = kept + steps[r]
        jobs.call_unit(operations, o, FORWARD, frame)
        own[at + r % width] = kept
        for s in range(count):
            row, before = part_of(moved, s * outputs, outputs), part_of(base, (first + s) * outputs, outputs)
            for k in range(outputs):
                block[k * columns + s * run + r] = row[k] - before[k]
    put(frame, frames.VALUES, values)
    put(frame, frames.SOURCE, source)
    put(frame, frames.TARGET, target)
    put(frame, frames.ROWS, all_rows)


@kernel
def _perturb_row(job: Any, operations: Any, row: int, samples_at: int, frame: Any, space: Space) -> None:
    """Add the samples' changes for columns [BEGIN, END) of one row of a parameter."""
    o, which, points = get(job, jobs.OPERATION), get(job, jobs.PARAMETER), get(job, jobs.AT_POINTS + 1)
    samples = vector_at(samples_at, get(job, jobs.SAMPLES), np.intp(0))
    choose(job, operations, o, frame)
    put(frame, frames.PARAMETER, which)
    put(frame, frames.BEGIN, row)
    put(frame, frames.SAMPLES, samples_at)
    reached = _reached(job, operations, o, samples, frame)
    place = jobs.place_of(operations, o, which, PLACE) + row * jobs.place_of(operations, o, which, BREADTH)
    most, by_forward = max(1, space.columns // points), not jobs.has_unit(operations, o, MOVE)
    own = _own_parameters(job, operations, o, space) if by_forward else part_of(jobs.reals(job, jobs.AT_VALUES), 0, 0)
    for j in range(get(job, jobs.BEGIN), get(job, jobs.END), most):
        width = min(most, get(job, jobs.END) - j)
        run = points * width
        _set_steps(job, place + j, width, vector_at(space.steps, run, 0.0))
        size = max(1, space.columns // run)
        for begin in range(0, reached, size):
            count = min(size, reached - begin)
            choose(job, operations, o, frame)
            put(frame, frames.PARAMETER, which)
            put(frame, frames.BEGIN, row)
            put(frame, frames.SAMPLES, samples_at + jobs.INTEGER * begin)
            put(frame, frames.SAMPLE_COUNT, count)
            put(frame, frames.RUN, run)
            put(frame, frames.COLUMN, j)
            put(frame, frames.WIDTH, width)
            put(frame, frames.STEPS, space.steps)
            put(frame, frames.CHANGES, space.changes)
            if by_forward:
                at = place + j - jobs.place_of(operations, o, 0, PLACE)
                _move_by_forward(operations, o, begin, own, at, frame, space)
                follow_block(job, operations, o + 1, frame, space, space.losses)
            else:
                jobs.call_unit(operations, o, MOVE, frame)
                follow(job, operations, o, frame, space)
            _add_losses(job, count, run, place + j, width, vector_at(space.losses, count * run, 0.0))


@part_unit
def perturb_part(job: Any, part: int, parts: int) -> None:
    """Perturb rows FIRST + part, FIRST + part + parts, ... before LAST of a parameter."""
    operations, frame = jobs.operations_of(job), new_frame(SLOTS, zero_of(job))
    jobs.begin_frame(job, 0, OFF, 0, frame)
    put(frame, frames.X, get(job, jobs.AT_X))
    space = _space(job, part, frame)
    samples_at = jobs.row_of_part(job, jobs.AT_SAMPLES, part, jobs.INTEGER)
    for row in range(get(job, jobs.FIRST) + part, get(job, jobs.LAST), parts):
        _perturb_row(job, operations, row, samples_at, frame, space)


@part_unit
def prepare_part(job: Any, part: int, parts: int) -> None:
    """Take one part's rows of x through all operations."""
    operations, frame, samples = jobs.operations_of(job), new_frame(SLOTS, zero_of(job)), get(job, jobs.SAMPLES)
    count = operations.shape[0]
    jobs.begin_frame(job, 0, OFF, 0, frame)
    _space(job, part, frame)
    begin, end = share(samples, part, parts), share(samples, part + 1, parts)
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        put(frame, frames.X, get(job, jobs.AT_X) + jobs.REAL * first * get(job, jobs.DATA_INPUTS))
        forward_rows(job, operations, frame, 0, count, first, last, False)
        if get(job, jobs.LOSS_PREPARE) != 0:
            jobs.choose_operation(job, operations, count - 1, frame)
            jobs.choose_rows(operations, count - 1, first, last, frame)
            offset = jobs.REAL * first * get(job, jobs.DATA_OUTPUTS)
            put(frame, frames.PREPARED, get(job, jobs.AT_PREPARED_OUTPUTS) + offset)
            call(get(job, jobs.LOSS_PREPARE), frame)
        if get(job, jobs.LOSS_PREPARE_ALONG) != 0:
            prepare_along(job, operations, part, first, last, frame)


@door
def prepare(n_threads: int, launcher: int, table: Indices) -> None:
    """Compute the unperturbed network for x (N, D): its tensors, and the units' prepared values."""
    job = jobs.job_at(table, 0.0)
    operations, frame = jobs.operations_of(job), new_frame(SLOTS, zero_of(job))
    jobs.begin_frame(job, 0, OFF, 0, frame)
    for i in range(operations.shape[0]):
        if jobs.has_unit(operations, i, PREPARE):
            choose(job, operations, i, frame)
            jobs.call_unit(operations, i, PREPARE, frame)
    run_parts(launcher, get(job, jobs.PREPARE_PART), job, n_threads)


@door
def perturb(
    n_threads: int, launcher: int, table: Indices, o: int, parameter: int, first: int, last: int, begin: int, end: int
) -> None:
    """Add to the changes (points, V) those of the sum of losses by some entries of a parameter of operation o.

    The entries are columns [begin, end) of the rows [first, last).
    """
    job = jobs.job_at(table, 0.0)
    put(job, jobs.OPERATION, o)
    put(job, jobs.PARAMETER, parameter)
    put(job, jobs.FIRST, first)
    put(job, jobs.LAST, last)
    put(job, jobs.BEGIN, begin)
    put(job, jobs.END, end)
    run_parts(launcher, get(job, jobs.PERTURB_PART), job, n_threads)
