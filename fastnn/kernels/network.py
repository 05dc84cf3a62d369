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
from fastnn.kernels.losses import loss_rows
from fastnn.kernels.matmul import ROW_BLOCK, multiply, multiply_transposed_left, multiply_transposed_right, share
from fastnn.kernels.operations import bias_gradient, sum_in_order
from fastnn.kernels.simd import matrix
from fastnn.kernels.updates import NO_UPDATE, update_range

# Columns of a plan's row. SOURCE and TARGET are plan columns of tensors, SOURCE is INPUT for the network's input.
KIND, SOURCE, TARGET, INPUTS, OUTPUTS, WEIGHT, BIAS, ACTIVATION = range(8)
INPUT = -1
AFFINE, ACTIVATE = range(2)  # kinds of operations

# Rows taken through all layers together: what one layer writes is in the cache when the next one reads it, and a
# copied panel of weights serves many tiles (of 64, 128 and 256 rows, 128 did best or as well at all sizes tried).
BLOCK_ROWS = 128
SUMS = 64  # columns of a bias gradient summed at once


class Plan(NamedTuple):
    """A network as tables: integers, the activations' parameters (float64), the number of its loss."""

    operations: Any  # (operations, 8) intp
    numbers: Any  # (operations,) float64
    loss: Any


class Vectors(NamedTuple):
    """The flat vectors: parameters (P,), gradients (P,), optimiser state (vectors, P)."""

    values: Any
    gradients: Any
    state: Any


class Workspace(NamedTuple):
    """Scratch of a plan: `capacity` rows for each tensor, one row for each part in the last three."""

    inputs: Any  # (capacity, D), the gathered rows of a mini-batch; no rows where nothing is shuffled
    tensors: Any  # (capacity * plan columns,)
    gradients: Any  # the same
    losses: Any  # (capacity,) float64
    hits: Any  # (capacity,) intp
    scratch: Any  # (parts, the largest scratch_size of the matrix products)
    sums: Any  # (parts, SUMS) float64, of bias gradients
    updates: Any  # (parts, ROW_BLOCK * widest output), gradients about to be used


class Data(NamedTuple):
    """Samples and targets of one kind, and the numbers of the rows in the order in which they are taken."""

    x: Any  # (samples, D)
    labels: Any  # (samples,) intp, or empty
    dense: Any  # (samples, K), or empty
    order: Any  # (samples,) intp
    shuffled: Any  # whether the order is another than 0, 1, 2, ...


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
    plan: Plan, values: Any, x: Any, tensors: Any, capacity: int, first: int, last: int, scratch: Any
) -> Any:
    """All operations forward for the rows [first, last) of a batch; x holds these rows alone. Returns the outputs."""
    outputs = x
    for i in range(plan.operations.shape[0]):
        operation = plan.operations[i]
        source = x
        if operation[SOURCE] != INPUT:
            source = _tensor(tensors, capacity, operation[SOURCE], operation[INPUTS], first, last)
        outputs = _tensor(tensors, capacity, operation[TARGET], operation[OUTPUTS], first, last)
        if operation[KIND] == AFFINE:
            multiply(source, _weight(values, operation), _bias(values, operation), scratch, outputs)
        else:
            activation_forward(operation[ACTIVATION], plan.numbers[i], source, outputs)
    return outputs


@kernel
def _backward_rows(plan: Plan, values: Any, x: Any, workspace: Workspace, scratch: Any, first: int, last: int) -> None:
    """Gradients of the loss by every tensor of the rows [first, last), from that of the outputs; not by the input."""
    capacity = workspace.losses.shape[0]
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
    """Rows [first, last) of the mini-batch at data.order[start], gathered where they are not side by side."""
    if not data.shuffled:
        return data.x[start + first : start + last]
    for n in range(first, last):
        row = data.order[start + n]
        for i in range(data.x.shape[1]):
            workspace.inputs[n, i] = data.x[row, i]
    return workspace.inputs[first:last]


@kernel
def _batch_part(
    plan: Plan, values: Any, data: Data, workspace: Workspace, start: int, count: int, part: int, parts: int
) -> None:
    """The first region: gather, forward, loss and backward for one part's rows of a mini-batch.

    The mini-batch is data.order[start : start + count].
    """
    capacity = workspace.losses.shape[0]
    scratch = workspace.scratch[part]
    final = plan.operations[plan.operations.shape[0] - 1]
    begin, end = share(count, part, parts), share(count, part + 1, parts)
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        x = _inputs(data, workspace, start, first, last)
        y = _forward_rows(plan, values, x, workspace.tensors, capacity, first, last, scratch)
        dy = _tensor(workspace.gradients, capacity, final[TARGET], final[OUTPUTS], first, last)
        rows, losses, hits = data.order[start + first :], workspace.losses[first:last], workspace.hits[first:last]
        loss_rows(plan.loss, y, data.labels, data.dense, rows, count, dy, losses, hits)
        _backward_rows(plan, values, x, workspace, scratch, first, last)


@kernel
def _update_weights(
    plan_row: Any,
    parameters: Vectors,
    update: Any,
    x: Any,
    dy: Any,
    buffer: Any,
    scratch: Any,
    first: int,
    last: int,
) -> None:
    """Rows [first, last) of one weight matrix: the gradient x^T dy, used at once for the update.

    So the gradient is read from the cache, and never written to the flat vector. x (N, D), dy (N, H).
    """
    code, numbers = update
    width = plan_row[OUTPUTS]
    for i in range(first, last, ROW_BLOCK):
        end = min(last, i + ROW_BLOCK)
        gradient = matrix(buffer, 0, end - i, width)
        multiply_transposed_left(x, dy, scratch[:0], scratch, gradient, i)
        place = plan_row[WEIGHT] + i * width
        count = (end - i) * width
        values, state = parameters.values[place : place + count], parameters.state[:, place : place + count]
        update_range(code, numbers, values, buffer[:count], state)


@kernel
def _parameter_part(
    plan: Plan, parameters: Vectors, update: Any, data: Data, workspace: Workspace, batch: Any, part: int, parts: int
) -> None:
    """The second region: one part's rows of each weight matrix, and of each bias, summed over the batch and updated."""
    start, count = batch
    capacity = workspace.losses.shape[0]
    gradients, scratch = parameters.gradients, workspace.scratch[part]
    code, numbers = update
    for i in range(plan.operations.shape[0]):
        operation = plan.operations[i]
        if operation[KIND] != AFFINE:
            continue
        x = data.x[start : start + count]
        if operation[SOURCE] != INPUT:
            x = _tensor(workspace.tensors, capacity, operation[SOURCE], operation[INPUTS], 0, count)
        elif data.shuffled:
            x = workspace.inputs[:count]
        dy = _tensor(workspace.gradients, capacity, operation[TARGET], operation[OUTPUTS], 0, count)
        begin, end = share(operation[INPUTS], part, parts), share(operation[INPUTS], part + 1, parts)
        if code == NO_UPDATE:
            dW = _weight(gradients, operation)[begin:end]
            multiply_transposed_left(x, dy, scratch[:0], scratch, dW, begin)
        else:
            _update_weights(operation, parameters, update, x, dy, workspace.updates[part], scratch, begin, end)
        begin, end = share(operation[OUTPUTS], part, parts), share(operation[OUTPUTS], part + 1, parts)
        bias_gradient(dy, workspace.sums[part], _bias(gradients, operation), begin, end)
        begin, end = operation[BIAS] + begin, operation[BIAS] + end
        values, state = parameters.values[begin:end], parameters.state[:, begin:end]
        update_range(code, numbers, values, gradients[begin:end], state)


@entry
def train(
    n_threads: int,
    plan: Plan,
    parameters: Vectors,
    update: Any,
    data: Data,
    workspace: Workspace,
    batches: Any,
    losses: float,
) -> Any:
    """Take mini-batches of `data.order`, each followed by an update; returns (samples, loss sum, hits, finite).

    batches: (first, last, rows of a batch). losses: the sum so far, so that its bits do not depend on how an epoch is
    cut into calls. update: (code, numbers) of kernels/updates.py. Stops after the first batch whose loss is not finite.
    Overwrites the workspace and, where nothing is updated, parameters.gradients; updates parameters.values and .state.
    """
    first, last, size = batches
    code = update[0]
    samples, hits = 0, 0
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
            _parameter_part(plan, parameters, update, data, workspace, (start, count), part, n_threads)
    return samples, losses, hits, math.isfinite(losses)


@entry
def predict(n_threads: int, plan: Plan, values: Any, x: Any, tensors: Any, scratch: Any, out: Any) -> None:
    """out (N, K) = the network's outputs for x (N, D).

    tensors: (parts, BLOCK_ROWS * plan columns) and scratch, as in Workspace, are overwritten.
    """
    count = x.shape[0]
    for part in prange(n_threads):
        begin, end = share(count, part, n_threads), share(count, part + 1, n_threads)
        for first in range(begin, end, BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, end)
            y = _forward_rows(plan, values, x[first:last], tensors[part], BLOCK_ROWS, 0, last - first, scratch[part])
            for n in range(first, last):
                for k in range(out.shape[1]):
                    out[n, k] = y[n - first, k]
