"""One part's rows of a batch: forward, loss and backward. Imports the other kernels.

Batch normalisation goes by statistics of all rows, forward, and by sums over all rows, backward. So a batch is taken in
*stages*, between which all parts wait for each other (network.py); without batch normalisation there is one.
"""

from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels.activations import activation_backward
from fastnn.kernels.compile import kernel
from fastnn.kernels.dropout import OFF, drop, key_of
from fastnn.kernels.forward import BLOCK_ROWS, forward_rows
from fastnn.kernels.job import (
    ACTIVATION,
    AFFINE,
    AT_COUNTERS,
    BATCH_NORM,
    DATA_SHARE,
    DRAWS,
    DROPOUT,
    INPUT,
    INPUTS,
    KIND,
    LOSS_PARAMETER,
    OUTPUTS,
    PRELU,
    SEED,
    SOURCE,
    TARGET,
    UPDATE,
    Data,
    Plan,
    Vectors,
    Workspace,
    batch_norm_at,
    batch_norms,
    get_plan,
    get_vector,
    get_vectors,
    get_workspace,
    plan_number,
    tensor_rows,
    weight_of,
)
from fastnn.kernels.losses import loss_rows
from fastnn.kernels.matmul import multiply_transposed_right, share
from fastnn.kernels.rows import all_finite
from fastnn.kernels.units import batch_norm_gradient, batch_statistics, unit_backward
from fastnn.kernels.updates import NO_UPDATE
from fastnn.kernels.views import matrix


class Stage(NamedTuple):
    """The operations that one stage takes: forward [forward_from, forward_to), backward [back_from, back_to)."""

    forward_from: Any
    forward_to: Any
    takes_loss: Any
    back_from: Any
    back_to: Any


@kernel
def _stage(plan: Plan, norms: int, number: int) -> Stage:
    """What stage `number` of 2 norms + 1 takes, for so many operations that are batch normalisation.

    Forward each stage ends before one of them, where its statistics are to be known; backward each ends behind one.
    """
    operations = plan.operations.shape[0]
    if norms == 0:
        return Stage(0, operations, True, 0, operations)
    ahead = batch_norm_at(plan, number)
    start = batch_norm_at(plan, number - 1) if 0 < number <= norms else 0
    if number < norms:
        return Stage(start, ahead, False, 0, 0)
    left = 2 * norms - number
    back_from = batch_norm_at(plan, left - 1) + 1 if left > 0 else 0
    back_to = batch_norm_at(plan, left) + (1 if left < norms else 0)
    return Stage(start, ahead if number == norms else 0, number == norms, back_from, back_to)


@kernel
def _inputs(data: Data, workspace: Workspace, start: int, first: int, last: int, gather: bool) -> Any:
    """Rows [first, last) of the mini-batch that begins at `start`, gathered where they are not side by side.

    gather: whether that is still to be done.
    """
    columns = data.x.shape[1]
    if data.order.size == 0:
        return matrix(data.x, (start + first) * columns, last - first, columns)
    for n in range(first, last if gather else first):
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
def _backward_rows(
    plan: Plan,
    vectors: Vectors,
    x: Any,
    workspace: Workspace,
    scratch: Any,
    first: int,
    last: int,
    key: int,
    count: int,
    begin: int,
    end: int,
) -> None:
    """Gradients of the loss by the tensors before the operations [begin, end), of the rows [first, last) of a batch.

    Not by the network's input. count: the rows of the batch where batch normalisation goes by its statistics, else 0.
    """
    capacity, values = workspace.capacity, vectors.values
    for i in range(end - 1, begin - 1, -1):
        operation = plan.operations[i]
        if operation[SOURCE] == INPUT and operation[KIND] == AFFINE:
            continue  # nothing asks for the gradient by the data
        source, d_source = x, x
        if operation[SOURCE] != INPUT:
            source = tensor_rows(workspace.tensors, capacity, operation[SOURCE], operation[INPUTS], first, last)
            d_source = tensor_rows(workspace.gradients, capacity, operation[SOURCE], operation[INPUTS], first, last)
        target = tensor_rows(workspace.tensors, capacity, operation[TARGET], operation[OUTPUTS], first, last)
        d_target = tensor_rows(workspace.gradients, capacity, operation[TARGET], operation[OUTPUTS], first, last)
        if operation[KIND] == AFFINE:
            multiply_transposed_right(d_target, weight_of(values, operation), scratch[:0], scratch, d_source)
        elif operation[KIND] == DROPOUT and key != OFF:
            drop(d_target, plan.numbers[i], key, i, first, d_source)
        elif operation[KIND] == PRELU or operation[KIND] == BATCH_NORM:
            epsilon = plan.numbers[i]
            unit_backward(values, vectors.gradients, count, operation, epsilon, d_target, source, scratch, d_source)
        else:
            activation_backward(operation[ACTIVATION], plan.numbers[i], d_target, source, target, d_source)


@kernel
def _weigh(data: Data, start: int, first: int, losses: Any, dy: Any) -> None:
    """Multiply the losses of the rows from `first` on of the mini-batch, and their gradients, by their weights.

    A row of weight 0 counts for nothing, also where its loss is infinite.
    """
    if data.weights.size == 0:
        return
    for n in range(losses.size):
        row = start + first + n
        weight = data.weights[data.order[row] if data.order.size > 0 else row]
        losses[n] = 0.0 if weight == 0.0 else losses[n] * weight
        slopes, zero, factor = dy[n], dy.dtype.type(0.0), dy.dtype.type(weight)
        for k in range(slopes.size):
            slopes[k] = zero if weight == 0.0 else slopes[k] * factor


@kernel
def norms_in_training(plan: Plan, update: int) -> int:
    """How many operations normalise by the statistics of the batch; a gradient by itself goes by those learned."""
    return 0 if update == NO_UPDATE else batch_norms(plan)


@kernel
def batch_part(
    job: Any,
    x: Any,
    labels: Any,
    dense: Any,
    order: Any,
    weights: Any,
    start: int,
    count: int,
    skip_zeros: bool,
    counts_hits: bool,
    number: int,
    part: int,
    parts: int,
) -> None:
    """Stage `number` of one part's rows of a mini-batch of `count` rows; they are gathered in the first."""
    like = x.dtype.type(0.0)
    plan, workspace, data = get_plan(job), get_workspace(job, like), Data(x, labels, dense, order, weights)
    vectors, capacity = get_vectors(job, like), workspace.capacity
    scratch, parameter = workspace.scratch[part], plan_number(plan, LOSS_PARAMETER)
    final = plan.operations[plan.operations.shape[0] - 1]
    counters = get_vector(job, AT_COUNTERS, np.intp(0))
    key = OFF if job[UPDATE] == NO_UPDATE else key_of(counters[SEED], counters[DRAWS])  # a gradient drops nothing
    norms = norms_in_training(plan, job[UPDATE])
    statistics, normalized = (vectors.gradients, count) if norms > 0 else (vectors.values, 0)
    stage = _stage(plan, norms, number)
    begin, end = share(count, part, parts), share(count, part + 1, parts)
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        inputs = _inputs(data, workspace, start, first, last, number == 0)
        y = tensor_rows(workspace.tensors, capacity, final[TARGET], final[OUTPUTS], first, last)
        dy = tensor_rows(workspace.gradients, capacity, final[TARGET], final[OUTPUTS], first, last)
        forward_rows(
            plan, vectors.values, statistics, inputs, workspace.tensors, capacity, first, last, scratch, y, skip_zeros,
            key, stage.forward_from, stage.forward_to
        )  # fmt: skip
        if stage.takes_loss:
            some_labels, some_dense, rows = _targets(data, workspace, start, first)
            losses, sums, hits = workspace.losses, workspace.loss_sums, workspace.hits
            some_hits = hits[first : last if counts_hits else first]
            out = (losses[first:last], sums[first:last], some_hits, workspace.bias_sums[part])
            divisor = count / plan_number(plan, DATA_SHARE)
            loss_rows(plan.loss, parameter, y, some_labels, some_dense, rows, divisor, dy, out)
            _weigh(data, start, first, losses[first:last], dy)
        _backward_rows(
            plan, vectors, inputs, workspace, scratch, first, last, key, normalized, stage.back_from, stage.back_to
        )


@kernel
def between_stages(job: Any, like: Any, count: int, number: int, part: int, parts: int) -> None:
    """One part's units of the batch normalisation behind stage `number`: statistics or, on the way back, sums."""
    plan, vectors, workspace = get_plan(job), get_vectors(job, like), get_workspace(job, like)
    norms = norms_in_training(plan, job[UPDATE])
    i = batch_norm_at(plan, number if number < norms else 2 * norms - number - 1)
    operation, capacity = plan.operations[i], workspace.capacity
    units, sums = operation[OUTPUTS], workspace.bias_sums[part]
    x = tensor_rows(workspace.tensors, capacity, operation[SOURCE], units, 0, count)
    begin, end = share(units, part, parts), share(units, part + 1, parts)
    if number < norms:
        batch_statistics(x, sums, operation, vectors.gradients, begin, end)
    else:
        dy = tensor_rows(workspace.gradients, capacity, operation[TARGET], units, 0, count)
        gradients = vectors.gradients
        batch_norm_gradient(gradients, operation, plan.numbers[i], dy, x, sums, gradients, begin, end)


@kernel
def first_gradient_is_finite(job: Any, x: Any, count: int) -> bool:
    """Whether the gradient by the outputs of the first operation is, for the rows of a batch."""
    workspace, operation = get_workspace(job, x.dtype.type(0.0)), get_plan(job).operations[0]
    dy = tensor_rows(workspace.gradients, workspace.capacity, operation[TARGET], operation[OUTPUTS], 0, count)
    return all_finite(dy.reshape(dy.size))
