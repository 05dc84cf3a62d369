"""One interpreter for every network: forward, loss, backward, update. Imports the other kernels.

A network is data: `Plan.operations` has one row of integers for each operation, so a new architecture compiles
nothing. A tensor of width w whose plan column is c lives, for a batch of at most `capacity` rows, at
buffer[capacity * c :], row after row; its gradient at the same place of a second buffer. Weights, biases and their
gradients are ranges of flat vectors.

A step has two parallel regions. In the first each part takes some *rows of the batch* through all operations forward,
through the loss and backward; in the second each part takes some *rows of each weight matrix*, sums its gradient over
the batch and updates it. Every element is computed by one part in an order that does not depend on the parts: the
same bits on any number of threads.
"""

import math
from typing import Any, NamedTuple

from fastnn.kernels.activations import activation_backward, activation_forward
from fastnn.kernels.compile import entry, kernel, prange
from fastnn.kernels.losses import hit_rows, loss_rows
from fastnn.kernels.matmul import multiply, multiply_transposed_left, multiply_transposed_right, share
from fastnn.kernels.operations import bias_gradient, sum_in_order
from fastnn.kernels.updates import NO_UPDATE, update_range

# Columns of a plan's row. SOURCE and TARGET are plan columns of tensors, SOURCE is INPUT for the network's input.
KIND, SOURCE, TARGET, INPUTS, OUTPUTS, WEIGHT, BIAS, ACTIVATION = range(8)
INPUT = -1
AFFINE, ACTIVATE = range(2)  # kinds of operations

# Rows taken through all layers together: what one layer writes is in the cache when the next one reads it.
BLOCK_ROWS = 64


class Plan(NamedTuple):
    """A network as tables: integers, the activations' parameters (float64), the number of its loss."""

    operations: Any  # (operations, 8) intp
    numbers: Any  # (operations,) float64
    loss: Any


class Parameters(NamedTuple):
    """The flat vectors: parameters (P,), gradients (P,), optimiser state (vectors, P)."""

    values: Any
    gradients: Any
    state: Any


class Workspace(NamedTuple):
    """Scratch of a plan, `capacity` rows for each tensor; `panel` has one row for each part."""

    inputs: Any  # (capacity, D), the gathered rows of a mini-batch
    tensors: Any  # (capacity * plan columns,)
    gradients: Any  # the same
    panel: Any  # (parts, largest depth * PANEL_COLUMNS)
    losses: Any  # (capacity,) float64
    hits: Any  # (capacity,) intp


class Data(NamedTuple):
    """Samples and targets of one kind; `order` holds the row numbers in the order in which they are taken."""

    x: Any  # (samples, D)
    labels: Any  # (samples,) intp, or empty
    dense: Any  # (samples, K), or empty
    order: Any  # (samples,) intp


@kernel
def _tensor(buffer: Any, capacity: int, column: int, width: int, first: int, last: int) -> Any:
    """Rows [first, last) of the tensor at a plan column, as a matrix."""
    start = capacity * column + first * width
    return buffer[start : start + (last - first) * width].reshape((last - first, width))


@kernel
def _weight(vector: Any, operation: Any) -> Any:
    """The weight matrix of an affine operation, out of a flat vector."""
    size = operation[INPUTS] * operation[OUTPUTS]
    return vector[operation[WEIGHT] : operation[WEIGHT] + size].reshape((operation[INPUTS], operation[OUTPUTS]))


@kernel
def _bias(vector: Any, operation: Any) -> Any:
    """The bias of an affine operation, out of a flat vector."""
    return vector[operation[BIAS] : operation[BIAS] + operation[OUTPUTS]]


@kernel
def _forward_rows(plan: Plan, values: Any, x: Any, tensors: Any, capacity: int, first: int, last: int) -> Any:
    """All operations forward for the rows [first, last) of a batch; x holds these rows alone. Returns the outputs."""
    outputs = x
    for i in range(plan.operations.shape[0]):
        operation = plan.operations[i]
        source = x
        if operation[SOURCE] != INPUT:
            source = _tensor(tensors, capacity, operation[SOURCE], operation[INPUTS], first, last)
        outputs = _tensor(tensors, capacity, operation[TARGET], operation[OUTPUTS], first, last)
        if operation[KIND] == AFFINE:
            multiply(source, _weight(values, operation), _bias(values, operation), outputs)
        else:
            activation_forward(operation[ACTIVATION], plan.numbers[i], source, outputs)
    return outputs


@kernel
def _backward_rows(plan: Plan, values: Any, x: Any, workspace: Workspace, panel: Any, first: int, last: int) -> None:
    """Gradients of the loss by every tensor of the rows [first, last), from that of the outputs; not by the input."""
    capacity = workspace.inputs.shape[0]
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
            multiply_transposed_right(d_target, _weight(values, operation), panel, panel[:0], d_source)
        elif operation[SOURCE] != INPUT:
            activation_backward(operation[ACTIVATION], plan.numbers[i], d_target, source, target, d_source)


@kernel
def _batch_part(
    plan: Plan, values: Any, data: Data, workspace: Workspace, start: int, count: int, part: int, parts: int
) -> None:
    """The first region: gather, forward, loss and backward for one part's rows of a mini-batch.

    The mini-batch is data.order[start : start + count].
    """
    capacity = workspace.inputs.shape[0]
    begin, end = share(count, part, parts), share(count, part + 1, parts)
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        for n in range(first, last):
            workspace.inputs[n] = data.x[data.order[start + n]]
        x = workspace.inputs[first:last]
        y = _forward_rows(plan, values, x, workspace.tensors, capacity, first, last)
        final = plan.operations[plan.operations.shape[0] - 1]
        dy = _tensor(workspace.gradients, capacity, final[TARGET], final[OUTPUTS], first, last)
        for n in range(first, last):
            row, at = data.order[start + n], n - first
            labels, dense = data.labels[row : row + 1], data.dense[row : row + 1]
            loss_rows(plan.loss, y[at : at + 1], labels, dense, count, dy[at : at + 1], workspace.losses[n : n + 1])
            hit_rows(y[at : at + 1], labels, dense, workspace.hits[n : n + 1])
        _backward_rows(plan, values, x, workspace, workspace.panel[part], first, last)


@kernel
def _parameter_part(
    plan: Plan, parameters: Parameters, update: Any, workspace: Workspace, count: int, part: int, parts: int
) -> None:
    """The second region: one part's rows of each weight matrix, and of each bias, summed over the batch and updated."""
    capacity = workspace.inputs.shape[0]
    gradients = parameters.gradients
    code, numbers = update
    for i in range(plan.operations.shape[0]):
        operation = plan.operations[i]
        if operation[KIND] != AFFINE:
            continue
        x = workspace.inputs[:count]
        if operation[SOURCE] != INPUT:
            x = _tensor(workspace.tensors, capacity, operation[SOURCE], operation[INPUTS], 0, count)
        dy = _tensor(workspace.gradients, capacity, operation[TARGET], operation[OUTPUTS], 0, count)
        begin, end = share(operation[INPUTS], part, parts), share(operation[INPUTS], part + 1, parts)
        multiply_transposed_left(x, dy, gradients[:0], _weight(gradients, operation), begin, end)
        first = operation[WEIGHT] + begin * operation[OUTPUTS]
        last = operation[WEIGHT] + end * operation[OUTPUTS]
        update_range(code, numbers, parameters.values, gradients, parameters.state, first, last)
        if part == parts - 1:  # a bias is H sums beside the D H of its weights: one part takes it
            bias_gradient(dy, _bias(gradients, operation))
            first, last = operation[BIAS], operation[BIAS] + operation[OUTPUTS]
            update_range(code, numbers, parameters.values, gradients, parameters.state, first, last)


@entry
def train(
    n_threads: int,
    plan: Plan,
    parameters: Parameters,
    update: Any,
    data: Data,
    workspace: Workspace,
    batches: Any,
) -> Any:
    """Take mini-batches of `data.order`, each followed by an update; returns (samples, loss sum, hits, finite).

    batches: (first, last, rows of a batch). update: (code, numbers) of kernels/updates.py. Stops after the first
    batch whose loss is not finite. Overwrites the workspace and parameters.gradients; updates parameters.values and
    .state.
    """
    first, last, size = batches
    code = update[0]
    samples, losses, hits = 0, 0.0, 0
    for batch in range(first, last):
        start = batch * size
        count = min(size, data.order.size - start)
        for part in prange(n_threads):
            _batch_part(plan, parameters.values, data, workspace, start, count, part, n_threads)
        total = sum_in_order(workspace.losses[:count])
        if code != NO_UPDATE and not math.isfinite(total):  # a gradient by itself passes NaN on, as in NumPy
            return samples, losses, hits, False
        samples += count
        losses += total
        for n in range(count):
            hits += workspace.hits[n]
        for part in prange(n_threads):
            _parameter_part(plan, parameters, update, workspace, count, part, n_threads)
    return samples, losses, hits, math.isfinite(losses)


@entry
def predict(n_threads: int, plan: Plan, values: Any, x: Any, tensors: Any, out: Any) -> None:
    """out (N, K) = the network's outputs for x (N, D). tensors: (parts, BLOCK_ROWS * plan columns), overwritten."""
    count = x.shape[0]
    for part in prange(n_threads):
        begin, end = share(count, part, n_threads), share(count, part + 1, n_threads)
        for first in range(begin, end, BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, end)
            y = _forward_rows(plan, values, x[first:last], tensors[part], BLOCK_ROWS, 0, last - first)
            out[first:last] = y
