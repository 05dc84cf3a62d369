"""A network forward: predictions, and the first half of a training step."""

from typing import Annotated, Any

from fastnn.engine.interpreters import jobs
from fastnn.kernels import frames
from fastnn.kernels.addresses import LATER, get, new_frame, put, zero_of
from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Indices, Matrix, door
from fastnn.kernels.frames import BREADTH, FORWARD, HEIGHT, INDEXED_FORWARD, OFF, PLACE, SLOTS, SPARSE_FORWARD
from fastnn.kernels.ground import OWN, Kind
from fastnn.kernels.indexed import fill_row
from fastnn.kernels.matmul import share
from fastnn.kernels.rows import all_finite, are_apart
from fastnn.kernels.sparse import FEWEST_ROWS, mostly_zero
from fastnn.kernels.units import part_unit, run_parts
from fastnn.kernels.views import elements, vector_at
from fastnn.kernels.views import part as part_of

# Rows taken through all layers together: a layer's outputs are in the cache when the next one reads them, and a copied
# panel of weights serves many tiles (of 64, 128 and 256 rows, 128 did best or as well at all sizes tried).
BLOCK_ROWS = 128


def parts_of(rows: int, most: int) -> int:
    """How many parts of a prediction have rows, at most `most`; see matmul.share."""
    return max(1, min(most, (rows + 3) // 4))


@kernel
def is_sparse(job: Any, operations: Any, x: Any, rows: int) -> bool:
    """Tell whether the first operation has units that skip zeros, and they pay for batches of `rows` rows of x."""
    if jobs.has_index(job):
        return jobs.has_unit(operations, 0, INDEXED_FORWARD)
    return jobs.has_unit(operations, 0, SPARSE_FORWARD) and rows >= FEWEST_ROWS and mostly_zero(x)


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
def forward_rows(
    job: Any, operations: Any, frame: Any, begin: int, end: int, first: int, last: int, skip: bool
) -> None:
    """Take the rows [first, last) of a batch forward through the operations [begin, end)."""
    skipping = INDEXED_FORWARD if jobs.has_index(job) else SPARSE_FORWARD
    for i in range(begin, end):
        jobs.choose_operation(job, operations, i, frame)
        jobs.choose_rows(operations, i, first, last, frame)
        jobs.call_unit(operations, i, skipping if skip and i == 0 else FORWARD, frame)


@part_unit
def predict_part(job: Any, part: int, parts: int) -> None:
    """Predict one part's rows; each part has BLOCK_ROWS rows of the tensors."""
    operations, frame = jobs.operations_of(job), new_frame(SLOTS, zero_of(job))
    item, samples = get(job, jobs.ITEM), get(job, jobs.SAMPLES)
    jobs.begin_frame(job, part, OFF, 0, frame)
    put(frame, frames.TENSORS, jobs.row_of_part(job, jobs.AT_TENSORS, part, item))
    put(frame, frames.CAPACITY, BLOCK_ROWS)
    begin, end = share(samples, part, parts), share(samples, part + 1, parts)
    skip = get(job, jobs.SKIPS_ZEROS) != 0
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        put(frame, frames.X, get(job, jobs.AT_X) + item * first * get(job, jobs.DATA_INPUTS))
        if jobs.has_index(job):
            put(frame, frames.X, jobs.row_of_part(job, jobs.AT_INPUTS, part, item))
            jobs.choose_lists(job, first, frame)
            if not skip:
                fill_rows(job, first, last, get(frame, frames.X))
        put(frame, frames.Y, get(job, jobs.AT_Y) + item * first * get(job, jobs.DATA_OUTPUTS))
        forward_rows(job, operations, frame, 0, operations.shape[0], 0, last - first, skip)


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
    if check_finite and not all_finite(elements(x)):
        return jobs.REFUSED
    operations = jobs.operations_of(job)
    sparse = is_sparse(job, operations, x, x.shape[0])
    if lacks_sparse(job, operations, sparse):
        return jobs.NEEDS_UNIT
    jobs.set_array(job, jobs.AT_X, x)
    jobs.set_array(job, jobs.AT_Y, y)
    put(job, jobs.SAMPLES, x.shape[0])
    put(job, jobs.SKIPS_ZEROS, 1 if skips_zeros(job, operations, sparse) else 0)
    run_parts(launcher, get(job, jobs.PREDICT_PART), job, n_threads)
    return jobs.DONE
