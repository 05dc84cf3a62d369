"""Jobs, by which a network's arrays reach an interpreter.

A network is data: a *plan* has one row of integers for each operation, with the addresses of its units, so a new
architecture compiles nothing but the units that no network used before. A tensor lives in a buffer, row after row, and
its gradient at the same place of a second one; plan.place_tensors says where. The *width* of a tensor is the number of
elements of one sample, whatever its shape. Parameters, what operations learn of their inputs, and gradients are ranges
of flat vectors.

All of that reaches an interpreter as a *job*: one table of integers with the addresses and sizes of its arrays. The
maker of a job keeps its arrays alive (fastnn/engine/workspace.py).
"""

from typing import Any

import numpy as np

from fastnn.kernels import frames
from fastnn.kernels.addresses import LATER, call, frame_at, get, put, zero_of
from fastnn.kernels.compile import kernel
from fastnn.kernels.frames import BATCH_STATISTICS, EACH_PLACE, FROZEN, MOST_PARAMETERS, PLACES_SIZE, RULE, SHAPES_SIZE
from fastnn.kernels.matmul import FEW_STEPS
from fastnn.kernels.simd import from_bits
from fastnn.kernels.views import matrix, vector_at

# Columns of a plan's row: where the tensors begin that it reads and writes (INPUT: the network's input), their widths,
# whether it takes single elements, the numbers of its parameters and statistics, whether a batch is taken through it by
# columns (see engine/partition.py), its place in "along" (see along.py), how many rows it takes at once, or 0 (see
# forward.end_of_run), and of how many rows each part has memory for the tensors that it reads and writes, 0 for all of
# the batch (see plan.place_tensors); then the addresses of its units by their roles (see frames.FORWARD), 0 for none;
# then frames.PLACES_SIZE and frames.SHAPES_SIZE integers.
(READS, WRITES, WIDTH_IN, WIDTH_OUT, TAKES_ELEMENTS, PARAMETERS, STATISTICS, BY_COLUMNS, ALONG, AT_ONCE, FEW_IN,
 FEW_OUT) = range(12)  # fmt: skip
INPUT = -1
UNITS_AT = 12
PLACES_AT = UNITS_AT + 19
SHAPES_AT = PLACES_AT + PLACES_SIZE
PLAN_COLUMNS = SHAPES_AT + SHAPES_SIZE

# A plan's numbers: NUMBERS_EACH for each operation, then the loss's. An operation's are OWN_NUMBERS for its units, then
# the penalty's l1 and l2 for each of its parameters.
OWN_NUMBERS, L1, L2, EACH_PENALTY = 4, 0, 1, 2
NUMBERS_EACH = OWN_NUMBERS + EACH_PENALTY * MOST_PARAMETERS
LOSS_PARAMETER, BORDER, TARGET_BORDER, DATA_SHARE = range(4)
PLAN_NUMBERS = 4

# A job: numbers, addresses of units, entries for one call, then the address and size of each array.
# NEXT: the row of x that is the next batch, if that is known and one part may go ahead to it, else -1. AHEAD: how many
# operations the last update has already taken forward for this batch, 0 or 1. IS_FRESH: whether nobody else has y yet.
# CHECKS: whether the parts of a prediction look whether x is finite; FINE then tells. FOLLOWING: how many rows of the
# batch after this one the update multiplies by the weights as it leaves them, see updating.multiply_following.
# BYTE_SCALE: the bits of a float64.
NUMBERS = (
    "operation count", "state vectors", "capacity", "trained", "parts", "item size", "accepts",
    "loss", "loss of labels", "update", "outer",
    "batch part", "between stages", "parameter part", "clipped part", "predict part",
    "start", "count", "stage", "skips zeros", "counts hits", "gathered", "samples", "inputs", "outputs",
    "perturb part", "prepare part", "prepare outputs", "change", "change of one",
    "operation", "parameter", "first", "last", "begin", "end", "columns", "widest", "own",
    "weigh", "count hits", "penalize", "clip values", "clip norm", "check targets", "statistics", "fine", "wanted",
    "measure penalty", "measures penalty", "prepare along", "change along", "next", "ahead",
    "numbers along", "predict stage", "is fresh", "checks", "following", "byte scale", "unpack",
)  # fmt: skip
(OPERATION_COUNT, STATE_VECTORS, CAPACITY, TRAINED, PARTS, ITEM, ACCEPTS,
 LOSS, LOSS_OF_LABELS, UPDATE, OUTER, BATCH_PART, BETWEEN_STAGES, PARAMETER_PART, CLIPPED_PART, PREDICT_PART,
 START, COUNT, STAGE, SKIPS_ZEROS, COUNTS_HITS, GATHERED, SAMPLES, DATA_INPUTS, DATA_OUTPUTS,
 PERTURB_PART, PREPARE_PART, LOSS_PREPARE, LOSS_CHANGE, LOSS_CHANGE_OF_ONE,
 OPERATION, PARAMETER, FIRST, LAST, BEGIN, END, COLUMNS, WIDEST, OWN,
 WEIGH, COUNT_HITS, PENALIZE, CLIP_VALUES, CLIP_TO_NORM, CHECK_TARGETS, STATISTICS_PART, FINE, WANTED,
 MEASURE_PENALTY, MEASURES_PENALTY, LOSS_PREPARE_ALONG, LOSS_CHANGE_ALONG, NEXT, AHEAD,
 NUMBERS_ALONG, PREDICT_STAGE, IS_FRESH, CHECKS, FOLLOWING, BYTE_SCALE, UNPACK,
 ) = range(61)  # fmt: skip
ARRAYS = (
    "operations",  # intp, the plan's
    "numbers",  # float64, the plan's
    "rates",  # float64, the update's numbers; a row for each factor of the learning rate, see frames.RULE
    "counters",  # (COUNTERS,) intp, see below
    "values",  # (V,): TRAINED parameters, then the learned statistics
    "gradients",  # (V,): the parameters', then the statistics of a batch
    "state",  # (state vectors, V), the optimizer's
    "inputs",  # (capacity, D), the gathered rows of a mini-batch; empty without shuffling
    "tensors",  # (capacity * plan columns,)
    "tensor_gradients",  # (capacity * plan columns,)
    "scratch",  # (parts, as many as the operations need)
    "updates",  # (parts, ...), gradients about to be used, see updating.py
    "sums",  # (parts, SUMS) float64
    "losses",  # (capacity,) float64
    "loss_sums",  # (capacity,) float64
    "hits",  # (capacity,) intp
    "numbers_of_rows",  # (capacity,) intp: 0, 1, 2, ...
    "chain_sums",  # (chains, capacity, outputs of operation 0), see updating.multiply_following; or empty
    "penalties",  # (2,) float64: the sum over the rows so far, and one batch's
    # For one call, set by the interpreter:
    "x",  # (samples, D)
    "labels",  # (samples,) intp, or empty
    "dense",  # (samples, K), or empty
    "order",  # (samples,) intp, or empty for 0, 1, 2, ...
    "weights",  # (samples,) float64, the factors of their losses; empty for 1
    "y",  # (samples, K), of predictions
    # An index of x, or bytes, set for one call by Engine; empty without:
    "lists",  # pairs of the elements that are not 0, see kernels/indexed.py
    "list_starts",  # (samples + 1,) intp, where each row begins
    "bytes",  # (samples, D) uint8 instead of x, to be multiplied by BYTE_SCALE
    # For numerical gradients, all float64; see perturbing.py:
    "prepared",  # (V,), prepared from the parameters
    "prepared_outputs",  # (samples, K), prepared from the outputs
    "along",  # (samples, numbers along, inputs) for each operation that has a place in it, see along.py
    "slopes",  # (parts, 2, outputs + along.MORE_ROWS, most inputs of such an operation)
    "points",  # the multiples of the step
    "step",  # (2,), see perturbing.step_taken
    "changes",  # (points, V), of the loss
    "memory",  # (parts, perturbing.space_size)
    "samples",  # (parts, samples) intp
)
PLACES = {name: len(NUMBERS) + 2 * i for i, name in enumerate(ARRAYS)}
JOB_SIZE = len(NUMBERS) + 2 * len(ARRAYS)
(AT_OPERATIONS, AT_NUMBERS, AT_RATES, AT_COUNTERS, AT_VALUES, AT_GRADIENTS, AT_STATE, AT_INPUTS, AT_TENSORS,
 AT_TENSOR_GRADIENTS, AT_SCRATCH, AT_UPDATES, AT_SUMS, AT_LOSSES, AT_LOSS_SUMS, AT_HITS, AT_NUMBERS_OF_ROWS,
 AT_CHAIN_SUMS, AT_PENALTIES, AT_X, AT_LABELS, AT_DENSE, AT_ORDER, AT_WEIGHTS, AT_Y, AT_LISTS, AT_LIST_STARTS,
 AT_BYTES, AT_PREPARED, AT_PREPARED_OUTPUTS, AT_ALONG, AT_SLOPES, AT_POINTS, AT_STEP, AT_CHANGES, AT_MEMORY,
 AT_SAMPLES) = PLACES.values()  # fmt: skip
SUMS = 512  # each part's float64 scratch: columns or losses that are taken at once

# The seed of random numbers, the number of batches that drew some, and the number of updates of the optimizer's state.
SEED, DRAWS, STEPS = range(3)
COUNTERS = 3
INTEGER = np.dtype(np.intp).itemsize
REAL = np.dtype(np.float64).itemsize

# The outcome of a call, in its last result.
# NEEDS_UNIT: compile a unit that few calls need, and make the call again: the unit of the slot WANTED or, if that is
# SPARSE or INDEXED, the units for inputs that are mostly zeros, without an index or with one. MANY: plain arrays, but
# more rows than a short call takes.
DONE, NOT_FINITE, REFUSED, NEEDS_UNIT, MANY = range(5)
SPARSE, INDEXED = -1, -2


@kernel
def job_at(job: Any, like: Any) -> Any:
    """A job's table for interpreters."""
    return frame_at(job.ctypes.data, JOB_SIZE, like)


@kernel
def lacks(job: Any, slot: int, needed: bool) -> bool:
    """Tell whether a call needs the unit of a slot that is not compiled yet; if so, WANTED becomes the slot."""
    if not needed or get(job, slot) != LATER:
        return False
    put(job, WANTED, slot)
    return True


@kernel
def set_array(job: Any, place: int, array: Any) -> None:
    """Put an array's address and size into their place."""
    put(job, place, array.ctypes.data)
    put(job, place + 1, array.size)


@kernel
def integers(job: Any, place: int) -> Any:
    """An array of integers."""
    return vector_at(get(job, place), get(job, place + 1), np.intp(0))


@kernel
def reals(job: Any, place: int) -> Any:
    """An array of float64."""
    return vector_at(get(job, place), get(job, place + 1), np.float64(0.0))


@kernel
def numbers(job: Any, place: int) -> Any:
    """An array of the job's dtype."""
    return vector_at(get(job, place), get(job, place + 1), zero_of(job))


@kernel
def operations_of(job: Any) -> Any:
    """The plan's table."""
    return matrix(integers(job, AT_OPERATIONS), 0, get(job, OPERATION_COUNT), PLAN_COLUMNS)


@kernel
def plan_number(job: Any, which: int) -> float:
    """One of a plan's own numbers, such as LOSS_PARAMETER."""
    return reals(job, AT_NUMBERS)[NUMBERS_EACH * get(job, OPERATION_COUNT) + which]


def place_of_penalty(i: int, which: int) -> int:
    """The place of l1, which l2 follows, of parameter number `which` of operation i among a plan's numbers."""
    return NUMBERS_EACH * i + OWN_NUMBERS + EACH_PENALTY * which


penalty_at = kernel(place_of_penalty)


@kernel
def row_of_part(job: Any, place: int, part: int, item: int) -> int:
    """The start of one part's row in an array with a row for each part."""
    return get(job, place) + item * part * (get(job, place + 1) // get(job, PARTS))


@kernel
def begin_frame(job: Any, part: int, key: int, batch_rows: int, frame: Any) -> None:
    """Set the entries of a frame that are the same for all operations in one part of a call.

    key: that of random numbers, or OFF. batch_rows: the batch's rows if its own statistics count, else 0.
    """
    item, parts = get(job, ITEM), get(job, PARTS)
    statistics = AT_VALUES if batch_rows == 0 else AT_GRADIENTS
    put(frame, frames.ITEM, item)
    put(frame, frames.CAPACITY, get(job, CAPACITY))
    put(frame, frames.PART, part)
    put(frame, frames.TENSORS, get(job, AT_TENSORS))
    put(frame, frames.TENSOR_GRADIENTS, get(job, AT_TENSOR_GRADIENTS))
    put(frame, frames.VALUES, get(job, AT_VALUES))
    put(frame, frames.GRADIENTS, get(job, AT_GRADIENTS))
    put(frame, frames.STATISTICS, get(job, statistics))
    put(frame, frames.BATCH_ROWS, batch_rows)
    put(frame, frames.KEY, key)
    put(frame, frames.SCRATCH, row_of_part(job, AT_SCRATCH, part, item))
    put(frame, frames.SCRATCH_SIZE, get(job, AT_SCRATCH + 1) // parts)
    put(frame, frames.SUMS, row_of_part(job, AT_SUMS, part, REAL))
    put(frame, frames.SUMS_SIZE, get(job, AT_SUMS + 1) // parts)
    put(frame, frames.LISTS_SIZE, 0)
    put(frame, frames.CHAIN_SUMS, 0)
    put(frame, frames.X, 0)
    put(frame, frames.Y, 0)


@kernel
def choose_operation(job: Any, operations: Any, i: int, frame: Any) -> None:
    """Set the entries of a frame for operation i, except its rows."""
    row = get(job, AT_OPERATIONS) + INTEGER * i * PLAN_COLUMNS
    put(frame, frames.NUMBER, i)
    put(frame, frames.INPUTS, operations[i, WIDTH_IN])
    put(frame, frames.OUTPUTS, operations[i, WIDTH_OUT])
    put(frame, frames.PLACES, row + INTEGER * PLACES_AT)
    put(frame, frames.NUMBERS, get(job, AT_NUMBERS) + REAL * NUMBERS_EACH * i)


@kernel
def choose_rows(operations: Any, i: int, first: int, last: int, frame: Any) -> None:
    """Set a frame to the rows [first, last) of a batch; X and Y, if set, are the addresses of these very rows."""
    item, part, reads = get(frame, frames.ITEM), get(frame, frames.PART), operations[i, READS]
    row_in = part * operations[i, FEW_IN] if operations[i, FEW_IN] > 0 else first
    row_out = part * operations[i, FEW_OUT] if operations[i, FEW_OUT] > 0 else first
    begin = item * (reads + row_in * operations[i, WIDTH_IN])
    end = item * (operations[i, WRITES] + row_out * operations[i, WIDTH_OUT])
    is_first, is_last = reads == INPUT, i == operations.shape[0] - 1 and get(frame, frames.Y) != 0
    put(frame, frames.SOURCE, get(frame, frames.X) if is_first else get(frame, frames.TENSORS) + begin)
    put(frame, frames.D_SOURCE, 0 if is_first else get(frame, frames.TENSOR_GRADIENTS) + begin)
    put(frame, frames.TARGET, get(frame, frames.Y) if is_last else get(frame, frames.TENSORS) + end)
    put(frame, frames.D_TARGET, get(frame, frames.TENSOR_GRADIENTS) + end)
    put(frame, frames.FIRST_ROW, first)
    put(frame, frames.ROWS, last - first)


@kernel
def has_index(job: Any) -> bool:
    """Whether there is an index of x, which then need not be there itself."""
    return get(job, AT_LISTS + 1) > 0


@kernel
def has_bytes(job: Any) -> bool:
    """Whether there are bytes instead of x."""
    return get(job, AT_BYTES + 1) > 0


@kernel
def are_packed(job: Any) -> bool:
    """Whether there is an index or bytes, of which a mini-batch's rows are made."""
    return has_index(job) or has_bytes(job)


@kernel
def bytes_of(job: Any) -> Any:
    """All bytes, row after row."""
    return vector_at(get(job, AT_BYTES), get(job, AT_BYTES + 1), np.uint8(0))


@kernel
def byte_scale(job: Any) -> float:
    """The factor of bytes."""
    return from_bits(np.int64(get(job, BYTE_SCALE)))


@kernel
def are_filled(job: Any) -> bool:
    """Whether the batch's rows, which the index holds, are made dense for the gradient, as they are few."""
    return get(job, COUNT) <= FEW_STEPS


@kernel
def choose_lists(job: Any, first: int, frame: Any) -> None:
    """Point a frame to the lists of the rows from `first` on of the mini-batch, if there is an index."""
    place, is_ordered = get(job, START) + first, get(job, AT_ORDER + 1) > 0
    skipped = 0 if is_ordered else place
    put(frame, frames.LISTS, get(job, AT_LISTS))
    put(frame, frames.LISTS_SIZE, get(job, AT_LISTS + 1))
    put(frame, frames.LIST_STARTS, get(job, AT_LIST_STARTS) + INTEGER * skipped)
    put(frame, frames.LIST_STARTS_SIZE, max(0, get(job, AT_LIST_STARTS + 1) - skipped))
    in_order = get(job, AT_ORDER) + INTEGER * place
    put(frame, frames.ROW_NUMBERS, in_order if is_ordered else get(job, AT_NUMBERS_OF_ROWS))


@kernel
def place_of(operations: Any, i: int, which: int, column: int) -> int:
    """A plan's entry for parameter number `which` of operation i: frames.PLACE, HEIGHT, ...."""
    return operations[i, PLACES_AT + EACH_PLACE * which + column]


@kernel
def has_unit(operations: Any, i: int, role: int) -> bool:
    """Whether operation i has a unit for a role."""
    return operations[i, UNITS_AT + role] != 0


@kernel
def call_unit(operations: Any, i: int, role: int, frame: Any) -> None:
    """Call the unit of operation i for a role."""
    put(frame, frames.ROLE, role)
    call(operations[i, UNITS_AT + role], frame)


@kernel
def normalizers(job: Any, operations: Any) -> int:
    """How many operations use statistics of the batch; 0 outside training."""
    count = 0
    if get(job, UPDATE) != 0:
        for i in range(operations.shape[0]):
            count += 1 if has_unit(operations, i, BATCH_STATISTICS) else 0
    return count


@kernel
def lowest_trained(job: Any, operations: Any) -> int:
    """The first operation that an update moves; no gradient by its inputs or below is needed. 0 without an update."""
    if get(job, UPDATE) == 0:
        return 0
    for i in range(operations.shape[0]):
        for p in range(operations[i, PARAMETERS]):
            if place_of(operations, i, p, RULE) != FROZEN:
                return i
    return operations.shape[0]


@kernel
def cut_at(job: Any, operations: Any, which: int) -> int:
    """The place of cut number `which`, an operation that the rows of a batch do not go through one by one.

    It uses statistics of the batch, or is taken by columns. The number of operations if there are fewer cuts.
    """
    count, updates = 0, get(job, UPDATE) != 0
    for i in range(operations.shape[0]):
        if operations[i, BY_COLUMNS] != 0 or (updates and has_unit(operations, i, BATCH_STATISTICS)):
            if count == which:
                return i
            count += 1
    return operations.shape[0]


@kernel
def cuts(job: Any, operations: Any) -> int:
    """How many cuts there are."""
    count = 0
    while cut_at(job, operations, count) < operations.shape[0]:
        count += 1
    return count
