"""One interpreter for every network: forward, loss, backward, update. Imports the other kernels.

A network is data: `Plan.operations` has one row of integers for each operation, so a new architecture compiles
nothing. A tensor of width w whose plan column is c lives, for a batch of at most `capacity` rows, at
buffer[capacity * c :], row after row; its gradient at the same place of a second buffer. Weights, biases and their
gradients are ranges of flat vectors.

All of that reaches an entry as a *job*: one table of integers with the addresses and sizes of its arrays. To unpack
twenty arrays one by one takes Numba 9 us a call, many times a step of a small network. Who makes the job keeps its
arrays alive (fastnn/workspace.py).

A step has two parallel regions. In the first each part takes some *rows of the batch* through all operations forward,
through the loss and backward; in the second each part takes some *rows of each weight matrix*, sums its gradient over
the batch and updates it. Every element is computed by one part in an order that does not depend on the parts: the
same bits on any number of threads.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels.activations import activation_backward, activation_forward
from fastnn.kernels.compile import entry, kernel, prange
from fastnn.kernels.losses import loss_rows
from fastnn.kernels.matmul import FEW_STEPS, multiply, multiply_transposed_left, multiply_transposed_right, share
from fastnn.kernels.operations import all_finite, bias_gradient, sum_in_order
from fastnn.kernels.simd import matrix, vector_at
from fastnn.kernels.updates import NO_UPDATE, update_range

# Columns of a plan's row. SOURCE and TARGET are plan columns of tensors, SOURCE is INPUT for the network's input.
KIND, SOURCE, TARGET, INPUTS, OUTPUTS, WEIGHT, BIAS, ACTIVATION = range(8)
INPUT = -1
AFFINE, ACTIVATE = range(2)  # kinds of operations
PLAN_COLUMNS = 8

# A job: numbers, then for each array its address and its size.
LOSS, UPDATE, STATE_VECTORS, CAPACITY, PARTS = range(5)
ARRAYS = (
    "operations",  # intp, those of the plan
    "numbers",  # float64, the activations' parameters
    "rates",  # float64, the update's numbers
    "values",  # (P,) parameters
    "gradients",  # (P,)
    "state",  # (state vectors, P) of the optimizer
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
(_OPERATIONS, _NUMBERS, _RATES, _VALUES, _GRADIENTS, _STATE, _INPUTS, _TENSORS, _TENSOR_GRADIENTS, _SCRATCH, _UPDATES,
 _BIAS_SUMS, _LOSSES, _LOSS_SUMS, _HITS, _NUMBERS_OF_ROWS) = PLACES.values()  # fmt: skip

# Rows taken through all layers together: what one layer writes is in the cache when the next one reads it, and a
# copied panel of weights serves many tiles (of 64, 128 and 256 rows, 128 did best or as well at all sizes tried).
BLOCK_ROWS = 128
SUMS = 64  # columns of a bias gradient summed at once
UPDATE_SIZE = 4096
FEWEST_ROWS = 192  # but for deep sums, so that copying their operands pays

# What becomes of an entry's data, in its last result.
DONE, NOT_FINITE, REFUSED = range(3)


class Plan(NamedTuple):
    """A network as tables: integers, the activations' parameters, the number of its loss."""

    operations: Any  # (operations, PLAN_COLUMNS) intp
    numbers: Any  # (operations,) float64
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


@kernel
def _vector(job: Any, place: int, like: Any) -> Any:
    """One array of a job, as a vector of the dtype of the number `like`."""
    return vector_at(job[place], job[place + 1], like)


@kernel
def _rows_of(vector: Any, rows: int) -> Any:
    """A vector as a matrix of so many rows."""
    return matrix(vector, 0, rows, vector.size // max(rows, 1))


@kernel
def _plan(job: Any) -> Plan:
    """The plan of a job."""
    operations = _vector(job, _OPERATIONS, np.intp(0))
    numbers = _vector(job, _NUMBERS, np.float64(0.0))
    return Plan(_rows_of(operations, numbers.size), numbers, job[LOSS])


@kernel
def _vectors(job: Any, like: Any) -> Vectors:
    """The flat vectors of a job, whose dtype is that of the number `like`."""
    state = _rows_of(_vector(job, _STATE, like), job[STATE_VECTORS])
    values, gradients = _vector(job, _VALUES, like), _vector(job, _GRADIENTS, like)
    return Vectors(values, gradients, state, job[UPDATE], _vector(job, _RATES, np.float64(0.0)))


@kernel
def _workspace(job: Any, like: Any) -> Workspace:
    """The scratch of a job."""
    parts, capacity, wide, index = job[PARTS], job[CAPACITY], np.float64(0.0), np.intp(0)
    return Workspace(
        capacity,
        parts,
        _rows_of(_vector(job, _INPUTS, like), capacity),
        _vector(job, _TENSORS, like),
        _vector(job, _TENSOR_GRADIENTS, like),
        _rows_of(_vector(job, _SCRATCH, like), parts),
        _rows_of(_vector(job, _UPDATES, like), parts),
        _rows_of(_vector(job, _BIAS_SUMS, wide), parts),
        _vector(job, _LOSSES, wide),
        _vector(job, _LOSS_SUMS, wide),
        _vector(job, _HITS, index),
        _vector(job, _NUMBERS_OF_ROWS, index),
    )


@kernel
def _tensor(buffer: Any, capacity: int, column: int, width: int, first: int, last: int) -> Any:
    """Rows [first, last) of the tensor at a plan column, as a matrix."""
    return matrix(buffer, capacity * column + first * width, last - first, width)


@kernel
def _weight(vector: Any, operation: Any) -> Any:
    """The weight matrix of an affine operation, out of a flat vector."""
    return matrix(vector, operation[WEIGHT], operation[INPUTS], operation[OUTPUTS])


@kernel
def _bias(vector: Any, operation: Any) -> Any:
    """The bias of an affine operation, out of a flat vector."""
    return vector[operation[BIAS] : operation[BIAS] + operation[OUTPUTS]]


@kernel
def _forward_rows(
    plan: Plan, values: Any, x: Any, tensors: Any, capacity: int, first: int, last: int, scratch: Any, y: Any
) -> None:
    """All operations forward for the rows [first, last) of a batch; x and y, the outputs, hold these rows alone."""
    count = plan.operations.shape[0]
    for i in range(count):
        operation = plan.operations[i]
        source = x
        if operation[SOURCE] != INPUT:
            source = _tensor(tensors, capacity, operation[SOURCE], operation[INPUTS], first, last)
        outputs = y
        if i < count - 1:
            outputs = _tensor(tensors, capacity, operation[TARGET], operation[OUTPUTS], first, last)
        if operation[KIND] == AFFINE:
            multiply(source, _weight(values, operation), _bias(values, operation), scratch, outputs)
        else:
            activation_forward(operation[ACTIVATION], plan.numbers[i], source, outputs)


@kernel
def _backward_rows(plan: Plan, values: Any, x: Any, workspace: Workspace, scratch: Any, first: int, last: int) -> None:
    """Gradients of the loss by every tensor of the rows [first, last), from that of the outputs; not by the input."""
    capacity = workspace.capacity
    for i in range(plan.operations.shape[0] - 1, -1, -1):
        operation = plan.operations[i]
        if operation[SOURCE] == INPUT and operation[KIND] == AFFINE:
            continue  # nothing asks for the gradient by the data
        source, d_source = x, x
        if operation[SOURCE] != INPUT:
            source = _tensor(workspace.tensors, capacity, operation[SOURCE], operation[INPUTS], first, last)
            d_source = _tensor(workspace.gradients, capacity, operation[SOURCE], operation[INPUTS], first, last)
        target = _tensor(workspace.tensors, capacity, operation[TARGET], operation[OUTPUTS], first, last)
        d_target = _tensor(workspace.gradients, capacity, operation[TARGET], operation[OUTPUTS], first, last)
        if operation[KIND] == AFFINE:
            multiply_transposed_right(d_target, _weight(values, operation), scratch[:0], scratch, d_source)
        elif operation[SOURCE] != INPUT:
            activation_backward(operation[ACTIVATION], plan.numbers[i], d_target, source, target, d_source)


@kernel
def _inputs(data: Data, workspace: Workspace, start: int, first: int, last: int) -> Any:
    """Rows [first, last) of the mini-batch that begins at `start`, gathered where they are not side by side."""
    columns = data.x.shape[1]
    if data.order.size == 0:
        return matrix(data.x, (start + first) * columns, last - first, columns)
    for n in range(first, last):
        row = data.order[start + n]
        for i in range(columns):
            workspace.inputs[n, i] = data.x[row, i]
    return matrix(workspace.inputs, first * columns, last - first, columns)


@kernel
def _targets(data: Data, workspace: Workspace, start: int, first: int) -> Any:
    """(labels, dense, numbers of the rows) for the loss of the rows from `first` on."""
    if data.order.size > 0:
        return data.labels, data.dense, data.order[start + first :]
    return data.labels[start + first :], data.dense[start + first :], workspace.rows


@kernel
def _batch_part(
    job: Any, x: Any, labels: Any, dense: Any, order: Any, start: int, count: int, part: int, parts: int
) -> None:
    """The first region: gather, forward, loss and backward for one part's rows of a mini-batch of `count` rows."""
    like = x.dtype.type(0.0)
    plan, workspace, data = _plan(job), _workspace(job, like), Data(x, labels, dense, order)
    values, capacity = _vector(job, _VALUES, like), workspace.capacity
    scratch = workspace.scratch[part]
    final = plan.operations[plan.operations.shape[0] - 1]
    begin, end = share(count, part, parts), share(count, part + 1, parts)
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        inputs = _inputs(data, workspace, start, first, last)
        y = _tensor(workspace.tensors, capacity, final[TARGET], final[OUTPUTS], first, last)
        dy = _tensor(workspace.gradients, capacity, final[TARGET], final[OUTPUTS], first, last)
        _forward_rows(plan, values, inputs, workspace.tensors, capacity, first, last, scratch, y)
        some_labels, some_dense, rows = _targets(data, workspace, start, first)
        out = (workspace.losses[first:last], workspace.loss_sums[first:last], workspace.hits[first:last])
        loss_rows(plan.loss, y, some_labels, some_dense, rows, count, dy, out)
        _backward_rows(plan, values, inputs, workspace, scratch, first, last)


@kernel
def _update_weights(
    operation: Any, vectors: Vectors, x: Any, dy: Any, buffer: Any, scratch: Any, first: int, last: int
) -> None:
    """Rows [first, last) of one weight matrix: the gradient x^T dy, used at once for the update.

    So the gradient is read from the cache, and never written to the flat vector. x (N, D), dy (N, H).
    """
    width = operation[OUTPUTS]
    height = min(buffer.size // width, max(UPDATE_SIZE // width, FEWEST_ROWS if x.shape[0] > FEW_STEPS else 1))
    for i in range(first, last, height):
        end = min(last, i + height)
        gradient = matrix(buffer, 0, end - i, width)
        multiply_transposed_left(x, dy, scratch[:0], scratch, gradient, i)
        place = operation[WEIGHT] + i * width
        count = (end - i) * width
        values, state = vectors.values[place : place + count], vectors.state[:, place : place + count]
        update_range(vectors.update, vectors.rates, values, buffer[:count], state)


@kernel
def _parameter_part(job: Any, data: Any, gathered: bool, start: int, count: int, part: int, parts: int) -> None:
    """The second region: one part's rows of each weight matrix, and of each bias, summed over the batch and updated.

    data: the samples, of which those of the batch were gathered or begin at `start`.
    """
    like = data.dtype.type(0.0)
    plan, vectors, workspace = _plan(job), _vectors(job, like), _workspace(job, like)
    scratch = workspace.scratch[part]
    for i in range(plan.operations.shape[0]):
        operation = plan.operations[i]
        if operation[KIND] != AFFINE:
            continue
        inputs, outputs = operation[INPUTS], operation[OUTPUTS]
        if operation[SOURCE] != INPUT:
            x = _tensor(workspace.tensors, workspace.capacity, operation[SOURCE], inputs, 0, count)
        elif gathered:
            x = matrix(workspace.inputs, 0, count, inputs)
        else:
            x = matrix(data, start * inputs, count, inputs)
        dy = _tensor(workspace.gradients, workspace.capacity, operation[TARGET], outputs, 0, count)
        begin, end = share(inputs, part, parts), share(inputs, part + 1, parts)
        if vectors.update == NO_UPDATE:
            dW = matrix(vectors.gradients, operation[WEIGHT] + begin * outputs, end - begin, outputs)
            multiply_transposed_left(x, dy, scratch[:0], scratch, dW, begin)
        else:
            _update_weights(operation, vectors, x, dy, workspace.updates[part], scratch, begin, end)
        begin, end = share(outputs, part, parts), share(outputs, part + 1, parts)
        bias_gradient(dy, workspace.bias_sums[part], _bias(vectors.gradients, operation), begin, end)
        begin, end = operation[BIAS] + begin, operation[BIAS] + end
        values, state = vectors.values[begin:end], vectors.state[:, begin:end]
        update_range(vectors.update, vectors.rates, values, vectors.gradients[begin:end], state)


@kernel
def _acceptable(x: Any, labels: Any, classes: int, check_finite: bool) -> bool:
    """Whether x is finite, if that is asked, and no label is outside [0, classes)."""
    for n in range(labels.size):
        if labels[n] < 0 or labels[n] >= classes:
            return False
    return not check_finite or all_finite(x.reshape(x.size))


@entry
def train(
    n_threads: int,
    job: Any,
    x: Any,
    labels: Any,
    dense: Any,
    order: Any,
    first: int,
    last: int,
    size: int,
    losses: float,
    check: bool,
    check_finite: bool,
) -> Any:
    """Take mini-batches, each followed by an update; returns (samples, loss sum, hits, DONE or what went wrong).

    The mini-batches number first, first + 1, ..., last - 1 of `size` rows each; x and the rest are as in Data.
    losses: the sum so far, so that its bits do not depend on how an epoch is cut into calls. check: refuse bad labels
    and, if check_finite, NaN and infinity in x, before anything is changed. Stops after the first batch whose loss is
    not finite. Overwrites the workspace and, where nothing is updated, the gradients; updates values and state.
    """
    operations = _plan(job).operations
    if check and not _acceptable(x, labels, operations[operations.shape[0] - 1, OUTPUTS], check_finite):
        return 0, losses, 0, REFUSED
    losses_of_rows = _vector(job, _LOSSES, np.float64(0.0))
    hits_of_rows = _vector(job, _HITS, np.intp(0))
    samples, hits = 0, 0
    for batch in range(first, last):
        start = batch * size
        count = min(size, x.shape[0] - start)
        for part in prange(n_threads):
            _batch_part(job, x, labels, dense, order, start, count, part, n_threads)
        total = sum_in_order(losses_of_rows[:count])
        # A gradient by itself passes NaN on, as in NumPy.
        if job[UPDATE] != NO_UPDATE and not math.isfinite(total):
            return samples, losses, hits, NOT_FINITE
        samples += count
        losses += total
        for n in range(count):
            hits += hits_of_rows[n]
        for part in prange(n_threads):
            _parameter_part(job, x, order.size > 0, start, count, part, n_threads)
    return samples, losses, hits, DONE if math.isfinite(losses) else NOT_FINITE


@kernel
def _predict_part(job: Any, x: Any, y: Any, part: int, parts: int) -> None:
    """One part's rows of a prediction; each part has BLOCK_ROWS rows of the tensors."""
    like = x.dtype.type(0.0)
    plan, values, workspace = _plan(job), _vector(job, _VALUES, like), _workspace(job, like)
    tensors, scratch = _rows_of(workspace.tensors, workspace.parts)[part], workspace.scratch[part]
    begin, end = share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts)
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        _forward_rows(plan, values, x[first:last], tensors, BLOCK_ROWS, 0, last - first, scratch, y[first:last])


@entry
def predict(n_threads: int, job: Any, x: Any, check_finite: bool, y: Any) -> int:
    """y (N, K) = the network's outputs for x (N, D); REFUSED where x is to be finite and is not, otherwise DONE."""
    if check_finite and not all_finite(x.reshape(x.size)):
        return REFUSED
    for part in prange(n_threads):
        _predict_part(job, x, y, part, n_threads)
    return DONE
