"""A network forward: predictions, and the first half of a training step.

A prediction takes one region, in which each part takes its rows through all operations. If an operation has so much
weight that all parts share its columns (engine/partition.py), the operations between two such ones take a region each.
Either way gives the same bits.
"""

from typing import Annotated, Any

from fastnn.engine.interpreters import jobs
from fastnn.kernels import frames
from fastnn.kernels.addresses import LATER, get, new_frame, put, zero_of
from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Indices, Matrix, door
from fastnn.kernels.frames import (
    BREADTH,
    FORWARD,
    FORWARD_COLUMNS,
    HEIGHT,
    INDEXED_FORWARD,
    OFF,
    PLACE,
    SLOTS,
    SPARSE_FORWARD,
)
from fastnn.kernels.ground import OWN, Kind
from fastnn.kernels.indexed import fill_row
from fastnn.kernels.matmul import share, share_of_columns
from fastnn.kernels.rows import all_finite, are_apart
from fastnn.kernels.sparse import FEWEST_ROWS, mostly_zero
from fastnn.kernels.units import part_unit, run_parts
from fastnn.kernels.views import elements, vector_at
from fastnn.kernels.views import part as part_of

# Rows taken through all layers together: a layer's outputs are in the cache when the next one reads them, and a copied
# panel of weights serves many tiles (of 64, 128 and 256 rows, 128 did best or as well at all sizes tried).
BLOCK_ROWS = 128
NO_CHECK, CHECK, ONLY_CHECK = range(3)  # what jobs.CHECKS says
# An x of fewer elements is looked through before the regions: another one would take as long.
FEW_ELEMENTS = 1 << 15


def parts_of(rows: int, most: int, shares_columns: bool, takes_images: bool) -> int:
    """How many parts of a prediction have work, at most `most`: all if they share columns, else by share_of_rows."""
    return most if shares_columns else max(1, min(most, rows if takes_images else (rows + 3) // 4))


@kernel
def share_of_rows(operations: Any, count: int, part: int, parts: int) -> int:
    """The first row of part number `part`, by matmul.share; of images, which have much work, even one is a share."""
    if operations[0, jobs.AT_ONCE] > 0:
        return min(count, max(count * part // parts, min(part, 1)))
    return share(count, part, parts)


@kernel
def is_sparse(job: Any, operations: Any, x: Any, rows: int) -> bool:
    """Tell whether the first operation has units that skip zeros, and they pay for batches of `rows` rows of x."""
    if jobs.has_index(job):
        return jobs.has_unit(operations, 0, INDEXED_FORWARD)
    if not jobs.has_unit(operations, 0, SPARSE_FORWARD) or rows < FEWEST_ROWS:
        return False
    return mostly_zero(jobs.bytes_of(job)) if jobs.has_bytes(job) else mostly_zero(x)


@kernel
def lacks_sparse(job: Any, operations: Any, sparse: bool) -> bool:
    """Tell whether the units that skip zeros are not compiled yet, but pay: `sparse`; if so, WANTED says which ones."""
    role = INDEXED_FORWARD if jobs.has_index(job) else SPARSE_FORWARD
    if not sparse or operations[0, jobs.UNITS_AT + role] != LATER:
        return False
    put(job, jobs.WANTED, jobs.INDEXED if jobs.has_index(job) else jobs.SPARSE)
    return True


@kernel
def skips_zeros(job: Any, operations: Any, sparse: bool) -> bool:
    """Tell whether to skip zeros if they are many: only with finite parameters, as 0 times infinity is NaN."""
    if not sparse:
        return False
    finite, values = True, jobs.numbers(job, jobs.AT_VALUES)
    for p in range(operations[0, jobs.PARAMETERS]):
        size = jobs.place_of(operations, 0, p, HEIGHT) * jobs.place_of(operations, 0, p, BREADTH)
        finite = finite and all_finite(part_of(values, jobs.place_of(operations, 0, p, PLACE), size))
    return finite


@kernel
def fill_rows(job: Any, first: int, last: int, address: int) -> None:
    """Write the samples [first, last) to an address as dense rows, from the index of all rows."""
    columns, order, pairs = (
        get(job, jobs.DATA_INPUTS),
        jobs.integers(job, jobs.AT_ORDER),
        jobs.numbers(job, jobs.AT_LISTS),
    )
    starts, rows = jobs.integers(job, jobs.AT_LIST_STARTS), vector_at(address, (last - first) * columns, zero_of(job))
    for n in range(first, last):
        number = order[n] if order.size > 0 else n
        fill_row(pairs, starts[number], starts[number + 1], part_of(rows, (n - first) * columns, columns))


@kernel
def end_of_run(operations: Any, begin: int, end: int) -> int:
    """The end of the operations from `begin` on that few rows are taken through together, if there are others."""
    stop = begin + 1
    while stop < end and operations[begin, jobs.AT_ONCE] > 0 and operations[stop, jobs.AT_ONCE] > 0:
        stop += 1
    return stop


@kernel
def forward_rows(
    job: Any, operations: Any, frame: Any, begin: int, end: int, first: int, last: int, skip: bool
) -> None:
    """Take the rows [first, last) of a batch forward through the operations [begin, end).

    Images go through operations on images a few at once, so that one finds in the cache what the other has written.
    """
    skipping = INDEXED_FORWARD if jobs.has_index(job) else SPARSE_FORWARD
    item, x, y, i = get(job, jobs.ITEM), get(frame, frames.X), get(frame, frames.Y), begin
    while i < end:
        stop, at_once = end_of_run(operations, i, end), operations[i, jobs.AT_ONCE]
        step = at_once if at_once > 0 else max(1, last - first)
        for row in range(first, last, step):
            put(frame, frames.X, x + item * (row - first) * get(job, jobs.DATA_INPUTS))
            put(frame, frames.Y, 0 if y == 0 else y + item * (row - first) * get(job, jobs.DATA_OUTPUTS))
            for k in range(i, stop):
                jobs.choose_operation(job, operations, k, frame)
                jobs.choose_rows(operations, k, row, min(row + step, last), frame)
                follows = k == 0 and get(job, jobs.FOLLOWING) > 0
                put(frame, frames.CHAIN_SUMS, get(job, jobs.AT_CHAIN_SUMS) if follows else 0)
                put(frame, frames.END, 0)
                jobs.call_unit(operations, k, skipping if skip and k == 0 else FORWARD, frame)
        i = stop
    put(frame, frames.X, x)
    put(frame, frames.Y, y)


@kernel
def choose_data(job: Any, first: int, frame: Any) -> None:
    """Point a frame to the rows of x and y from `first` on."""
    item = get(job, jobs.ITEM)
    put(frame, frames.X, get(job, jobs.AT_X) + item * first * get(job, jobs.DATA_INPUTS))
    put(frame, frames.Y, get(job, jobs.AT_Y) + item * first * get(job, jobs.DATA_OUTPUTS))


@part_unit
def predict_part(job: Any, part: int, parts: int) -> None:
    """Predict one part's rows, in BLOCK_ROWS rows of the tensors. FINE becomes 0 if CHECKS finds NaN."""
    operations, frame = jobs.operations_of(job), new_frame(SLOTS, zero_of(job))
    item, samples, inputs = get(job, jobs.ITEM), get(job, jobs.SAMPLES), get(job, jobs.DATA_INPUTS)
    jobs.begin_frame(job, part, OFF, 0, frame)
    begin, end = share_of_rows(operations, samples, part, parts), share_of_rows(operations, samples, part + 1, parts)
    row = part * BLOCK_ROWS
    skip, checks, x = get(job, jobs.SKIPS_ZEROS) != 0, get(job, jobs.CHECKS), jobs.numbers(job, jobs.AT_X)
    for first in range(begin, end, BLOCK_ROWS):
        rows = min(BLOCK_ROWS, end - first)
        if checks != NO_CHECK and not all_finite(part_of(x, first * inputs, rows * inputs)):
            put(job, jobs.FINE, 0)
            return
        if checks != ONLY_CHECK:
            choose_data(job, first, frame)
            if jobs.has_index(job):
                put(frame, frames.X, jobs.row_of_part(job, jobs.AT_INPUTS, part, item))
                jobs.choose_lists(job, first, frame)
                if not skip:
                    fill_rows(job, first, first + rows, get(frame, frames.X))
            forward_rows(job, operations, frame, 0, operations.shape[0], row, row + rows, skip)


@kernel
def _takes_columns(job: Any, operations: Any, i: int) -> bool:
    """Whether operation i is taken by columns: not if it skips zeros, which are found row by row."""
    return operations[i, jobs.BY_COLUMNS] != 0 and not (i == 0 and get(job, jobs.SKIPS_ZEROS) != 0)


@part_unit
def predict_stage(job: Any, part: int, parts: int) -> None:
    """Take COUNT rows from BEGIN on through the operations [FIRST, LAST): one by columns, or several by rows."""
    operations, frame = jobs.operations_of(job), new_frame(SLOTS, zero_of(job))
    start, count, i = get(job, jobs.BEGIN), get(job, jobs.COUNT), get(job, jobs.FIRST)
    jobs.begin_frame(job, part, OFF, 0, frame)
    if not _takes_columns(job, operations, i):
        first, last = share_of_rows(operations, count, part, parts), share_of_rows(operations, count, part + 1, parts)
        choose_data(job, start + first, frame)
        forward_rows(job, operations, frame, i, get(job, jobs.LAST), first, last, get(job, jobs.SKIPS_ZEROS) != 0)
        return
    choose_data(job, start, frame)
    jobs.choose_operation(job, operations, i, frame)
    jobs.choose_rows(operations, i, 0, count, frame)
    put(frame, frames.BEGIN, share_of_columns(operations[i, jobs.WIDTH_OUT], part, parts))
    put(frame, frames.END, share_of_columns(operations[i, jobs.WIDTH_OUT], part + 1, parts))
    jobs.call_unit(operations, i, FORWARD_COLUMNS, frame)


@kernel
def _predict_in_stages(job: Any, operations: Any, launcher: int, n_threads: int) -> None:
    """Predict as many rows at once as there is memory for, with a region for each stage."""
    samples, capacity, count = get(job, jobs.SAMPLES), get(job, jobs.CAPACITY), operations.shape[0]
    for start in range(0, samples, capacity):
        put(job, jobs.BEGIN, start)
        put(job, jobs.COUNT, min(capacity, samples - start))
        last = 0
        while last < count:
            first = last
            last += 1
            by_columns = _takes_columns(job, operations, first)
            while not by_columns and last < count and not _takes_columns(job, operations, last):
                last += 1
            put(job, jobs.FIRST, first)
            put(job, jobs.LAST, last)
            if by_columns or share_of_rows(operations, get(job, jobs.COUNT), 1, n_threads) < get(job, jobs.COUNT):
                run_parts(launcher, get(job, jobs.PREDICT_STAGE), job, n_threads)
            else:
                run_parts(0, get(job, jobs.PREDICT_STAGE), job, 1)


@kernel
def _is_plain(job: Any, x: Any, y: Any) -> bool:
    """Whether the gate would find nothing to convert or refuse."""
    if x.shape[1] != get(job, jobs.DATA_INPUTS) or x.shape[0] == 0 or x.shape[0] != y.shape[0]:
        return False
    is_wide_enough = y.shape[1] == get(job, jobs.DATA_OUTPUTS)
    return is_wide_enough and are_apart(y, x) and are_apart(y, jobs.numbers(job, jobs.AT_VALUES))


@door
def predict(
    n_threads: int, launcher: int, most: int, outputs: int, table: Indices,
    x: Matrix, check_finite: bool, y: Annotated[Any, Kind(OWN, 2, "x.0 outputs", True)],
) -> int:  # fmt: skip
    """y (N, K) = the network's outputs for x (N, D); returns DONE or the reason why not.

    most: 0, or the most rows of arrays at which the gate has not looked. REFUSED: x is to be finite and is not, or the
    gate should look. MANY: more rows than that. NEEDS_UNIT: see jobs.NEEDS_UNIT.
    """
    job = jobs.job_at(table, x.dtype.type(0.0))
    if most != 0 and not _is_plain(job, x, y):
        return jobs.REFUSED
    if most != 0 and x.shape[0] > most:
        return jobs.MANY
    # Rows of an own result are checked as they are taken; else all are before anything is written.
    is_large = launcher != 0 and x.size >= FEW_ELEMENTS and not jobs.has_index(job)
    in_stages = get(job, jobs.PREDICT_STAGE) != 0 and not jobs.has_index(job)
    at_once = is_large and get(job, jobs.IS_FRESH) != 0 and not in_stages
    if check_finite and not is_large and not all_finite(elements(x)):
        return jobs.REFUSED
    operations = jobs.operations_of(job)
    sparse = is_sparse(job, operations, x, x.shape[0])
    if lacks_sparse(job, operations, sparse):
        return jobs.NEEDS_UNIT
    jobs.set_array(job, jobs.AT_X, x)
    jobs.set_array(job, jobs.AT_Y, y)
    put(job, jobs.SAMPLES, x.shape[0])
    put(job, jobs.SKIPS_ZEROS, 1 if skips_zeros(job, operations, sparse) else 0)
    put(job, jobs.FINE, 1)
    put(job, jobs.CHECKS, ONLY_CHECK)
    if check_finite and is_large and not at_once:
        run_parts(launcher, get(job, jobs.PREDICT_PART), job, n_threads)
        if get(job, jobs.FINE) == 0:
            return jobs.REFUSED
    put(job, jobs.CHECKS, CHECK if check_finite and at_once else NO_CHECK)
    if in_stages:
        _predict_in_stages(job, operations, launcher, n_threads)
    else:
        run_parts(launcher, get(job, jobs.PREDICT_PART), job, n_threads)
    return jobs.DONE if get(job, jobs.FINE) != 0 else jobs.REFUSED
