"""A job: how a network's arrays reach an entry. Imports compile, views.

A network is data: `Plan.operations` has one row of integers for each operation, so a new architecture compiles
nothing. A tensor of width w whose plan column is c lives, for a batch of at most `capacity` rows, at
buffer[capacity * c :], row after row; its gradient at the same place of a second buffer. Weights, biases and their
gradients are ranges of flat vectors.

All of that reaches an entry as a *job*: one table of integers with the addresses and sizes of its arrays. To unpack
twenty arrays one by one takes Numba 9 us a call, many times a step of a small network. Who makes the job keeps its
arrays alive (fastnn/workspace.py).
"""

from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels.compile import kernel
from fastnn.kernels.views import matrix, vector_at

# Columns of a plan's row. SOURCE and TARGET are plan columns of tensors, SOURCE is INPUT for the network's input.
KIND, SOURCE, TARGET, INPUTS, OUTPUTS, WEIGHT, BIAS, ACTIVATION, STATISTICS = range(9)
INPUT = -1
AFFINE, ACTIVATE, DROPOUT, PRELU, BATCH_NORM = range(5)  # kinds of operations; dropout is none but in training
PLAN_COLUMNS = 9

# What a plan's numbers hold behind two of each operation: an activation's parameter, dropout's rate or batch
# normalisation's epsilon, of all operations; then batch normalisation's momentum.
LOSS_PARAMETER, DATA_SHARE, L1, L2 = range(4)
PLAN_NUMBERS = 4

# A job: numbers, then for each array its address and its size.
LOSS, UPDATE, STATE_VECTORS, CAPACITY, TRAINED, PARTS = range(6)
ARRAYS = (
    "operations",  # intp, those of the plan
    "numbers",  # float64, those of the plan
    "rates",  # float64, the update's numbers
    "counters",  # (COUNTERS,) intp, see below
    "values",  # (V,): TRAINED parameters, then what batch normalisation learns of its inputs
    "gradients",  # (V,), see units.py for what stands behind those of the parameters
    "state",  # (state vectors, V) of the optimizer
    "inputs",  # (capacity, D), the gathered rows of a mini-batch; none where nothing is shuffled
    "tensors",  # (capacity * plan columns,)
    "tensor_gradients",  # (capacity * plan columns,)
    "scratch",  # (parts, the largest scratch_size of the matrix products)
    "updates",  # (parts, at least FEWEST_ROWS of each layer or all its rows), gradients about to be used
    "bias_sums",  # (parts, SUMS) float64
    "losses",  # (capacity,) float64
    "loss_sums",  # (capacity,) float64
    "hits",  # (capacity,) intp
    "numbers_of_rows",  # (capacity,) intp: 0, 1, 2, ...
)
PLACES = {name: PARTS + 1 + 2 * i for i, name in enumerate(ARRAYS)}
JOB_SIZE = PARTS + 1 + 2 * len(ARRAYS)
(AT_OPERATIONS, AT_NUMBERS, AT_RATES, AT_COUNTERS, AT_VALUES, AT_GRADIENTS, AT_STATE, AT_INPUTS, AT_TENSORS,
 AT_TENSOR_GRADIENTS, AT_SCRATCH, AT_UPDATES, AT_BIAS_SUMS, AT_LOSSES, AT_LOSS_SUMS, AT_HITS,
 AT_NUMBERS_OF_ROWS) = PLACES.values()  # fmt: skip

# Dropout's seed, how many masks it has made, and how many updates the optimizer's state has seen.
SEED, DRAWS, STEPS = range(3)
COUNTERS = 3


class Plan(NamedTuple):
    """A network as tables: integers, numbers, and the number of its loss."""

    operations: Any  # (operations, PLAN_COLUMNS) intp
    numbers: Any  # (2 operations + PLAN_NUMBERS,) float64, see above
    loss: Any


class Vectors(NamedTuple):
    """The flat vectors, and the update that is made: its code and its numbers."""

    values: Any
    gradients: Any
    state: Any
    update: Any
    rates: Any


class Workspace(NamedTuple):
    """Scratch for `capacity` rows and `parts` parts; see ARRAYS."""

    capacity: Any
    parts: Any
    inputs: Any
    tensors: Any
    gradients: Any
    scratch: Any
    updates: Any
    bias_sums: Any
    losses: Any
    loss_sums: Any
    hits: Any
    rows: Any


class Data(NamedTuple):
    """Samples and targets of one kind, and the numbers of the rows in the order in which they are taken."""

    x: Any  # (samples, D)
    labels: Any  # (samples,) intp, or empty
    dense: Any  # (samples, K), or empty
    order: Any  # (samples,) intp, or empty for 0, 1, 2, ...
    weights: Any  # (samples,) float64, what their losses are multiplied by; empty for 1


@kernel
def get_vector(job: Any, place: int, like: Any) -> Any:
    """One array of a job, as a vector of the dtype of the number `like`."""
    return vector_at(job[place], job[place + 1], like)


@kernel
def rows_of(vector: Any, rows: int) -> Any:
    """A vector as a matrix of so many rows."""
    return matrix(vector, 0, rows, vector.size // max(rows, 1))


@kernel
def get_plan(job: Any) -> Plan:
    """The plan of a job."""
    operations = get_vector(job, AT_OPERATIONS, np.intp(0))
    numbers = get_vector(job, AT_NUMBERS, np.float64(0.0))
    return Plan(rows_of(operations, (numbers.size - PLAN_NUMBERS) // 2), numbers, job[LOSS])


@kernel
def plan_number(plan: Plan, which: int) -> float:
    """One of a plan's own numbers, such as LOSS_PARAMETER."""
    return plan.numbers[2 * plan.operations.shape[0] + which]


@kernel
def momentum_of(plan: Plan, i: int) -> float:
    """The momentum of batch normalisation, which is operation i."""
    return plan.numbers[plan.operations.shape[0] + i]


@kernel
def batch_norms(plan: Plan) -> int:
    """How many operations are batch normalisation."""
    count = 0
    for i in range(plan.operations.shape[0]):
        count += 1 if plan.operations[i, KIND] == BATCH_NORM else 0
    return count


@kernel
def batch_norm_at(plan: Plan, which: int) -> int:
    """Where batch normalisation number `which` stands; the number of operations where there are not so many."""
    count = 0
    for i in range(plan.operations.shape[0]):
        if plan.operations[i, KIND] == BATCH_NORM:
            if count == which:
                return i
            count += 1
    return plan.operations.shape[0]


@kernel
def get_vectors(job: Any, like: Any) -> Vectors:
    """The flat vectors of a job, whose dtype is that of the number `like`."""
    state = rows_of(get_vector(job, AT_STATE, like), job[STATE_VECTORS])
    values, gradients = get_vector(job, AT_VALUES, like), get_vector(job, AT_GRADIENTS, like)
    return Vectors(values, gradients, state, job[UPDATE], get_vector(job, AT_RATES, np.float64(0.0)))


@kernel
def get_workspace(job: Any, like: Any) -> Workspace:
    """The scratch of a job."""
    parts, capacity, wide, index = job[PARTS], job[CAPACITY], np.float64(0.0), np.intp(0)
    return Workspace(
        capacity,
        parts,
        rows_of(get_vector(job, AT_INPUTS, like), capacity),
        get_vector(job, AT_TENSORS, like),
        get_vector(job, AT_TENSOR_GRADIENTS, like),
        rows_of(get_vector(job, AT_SCRATCH, like), parts),
        rows_of(get_vector(job, AT_UPDATES, like), parts),
        rows_of(get_vector(job, AT_BIAS_SUMS, wide), parts),
        get_vector(job, AT_LOSSES, wide),
        get_vector(job, AT_LOSS_SUMS, wide),
        get_vector(job, AT_HITS, index),
        get_vector(job, AT_NUMBERS_OF_ROWS, index),
    )


@kernel
def tensor_rows(buffer: Any, capacity: int, column: int, width: int, first: int, last: int) -> Any:
    """Rows [first, last) of the tensor at a plan column, as a matrix."""
    return matrix(buffer, capacity * column + first * width, last - first, width)


@kernel
def weight_of(vector: Any, operation: Any) -> Any:
    """The weight matrix of an affine operation, out of a flat vector."""
    return matrix(vector, operation[WEIGHT], operation[INPUTS], operation[OUTPUTS])


@kernel
def bias_of(vector: Any, operation: Any) -> Any:
    """The bias of an affine operation, out of a flat vector."""
    return vector[operation[BIAS] : operation[BIAS] + operation[OUTPUTS]]
