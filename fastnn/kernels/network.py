"""One interpreter for every network: forward, loss, backward, update. Imports the other kernels.

A step has two parallel regions. In the first each part takes some *rows of the batch* through all operations forward,
through the loss and backward; in the second each part takes some *rows of each weight matrix*, sums its gradient over
the batch and updates it. Every element is computed by one part in an order that does not depend on the parts: the
same bits on any number of threads.
"""

import math
from typing import Any

import numpy as np

from fastnn.kernels.activations import activation_backward
from fastnn.kernels.compile import entry, kernel, prange
from fastnn.kernels.dropout import OFF, drop, key_of
from fastnn.kernels.forward import BLOCK_ROWS, DONE, NOT_FINITE, REFUSED, forward_rows, skips_zeros
from fastnn.kernels.job import (
    ACTIVATION,
    AFFINE,
    AT_COUNTERS,
    AT_HITS,
    AT_LOSSES,
    AT_VALUES,
    BIAS,
    DATA_SHARE,
    DRAWS,
    DROPOUT,
    INPUT,
    INPUTS,
    KIND,
    L1,
    L2,
    LOSS_PARAMETER,
    OUTPUTS,
    SEED,
    SOURCE,
    STEPS,
    TARGET,
    UPDATE,
    WEIGHT,
    Data,
    Plan,
    Vectors,
    Workspace,
    bias_of,
    get_plan,
    get_vector,
    get_vectors,
    get_workspace,
    plan_number,
    tensor_rows,
    weight_of,
)
from fastnn.kernels.losses import loss_rows
from fastnn.kernels.matmul import FEW_STEPS, multiply_transposed_left, multiply_transposed_right, share
from fastnn.kernels.operations import all_finite, bias_gradient, sum_in_order
from fastnn.kernels.penalty import add_penalty_gradient, penalty_of
from fastnn.kernels.sparse import sparse_multiply_transposed_left
from fastnn.kernels.updates import (
    CLIP_NORM,
    CLIP_VALUE,
    NO_UPDATE,
    SGD,
    STEP,
    clip_to_norm,
    sgd_update_of_one_sample,
    update_range,
)
from fastnn.kernels.views import matrix

SUMS = 64  # columns of a bias gradient summed at once
UPDATE_SIZE = 4096
FEWEST_ROWS = 192  # but for deep sums, so that copying their operands pays


@kernel
def _backward_rows(
    plan: Plan, values: Any, x: Any, workspace: Workspace, scratch: Any, first: int, last: int, key: int
) -> None:
    """Gradients of the loss by every tensor of the rows [first, last), from that of the outputs; not by the input."""
    capacity = workspace.capacity
    for i in range(plan.operations.shape[0] - 1, -1, -1):
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
    job: Any,
    x: Any,
    labels: Any,
    dense: Any,
    order: Any,
    start: int,
    count: int,
    skip_zeros: bool,
    part: int,
    parts: int,
) -> None:
    """The first region: gather, forward, loss and backward for one part's rows of a mini-batch of `count` rows."""
    like = x.dtype.type(0.0)
    plan, workspace, data = get_plan(job), get_workspace(job, like), Data(x, labels, dense, order)
    values, capacity = get_vector(job, AT_VALUES, like), workspace.capacity
    scratch, parameter = workspace.scratch[part], plan_number(plan, LOSS_PARAMETER)
    final = plan.operations[plan.operations.shape[0] - 1]
    counters = get_vector(job, AT_COUNTERS, np.intp(0))
    key = OFF if job[UPDATE] == NO_UPDATE else key_of(counters[SEED], counters[DRAWS])  # a gradient drops nothing
    begin, end = share(count, part, parts), share(count, part + 1, parts)
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        inputs = _inputs(data, workspace, start, first, last)
        y = tensor_rows(workspace.tensors, capacity, final[TARGET], final[OUTPUTS], first, last)
        dy = tensor_rows(workspace.gradients, capacity, final[TARGET], final[OUTPUTS], first, last)
        forward_rows(plan, values, inputs, workspace.tensors, capacity, first, last, scratch, y, skip_zeros, key)
        some_labels, some_dense, rows = _targets(data, workspace, start, first)
        out = (workspace.losses[first:last], workspace.loss_sums[first:last], workspace.hits[first:last])
        divisor = count / plan_number(plan, DATA_SHARE)
        loss_rows(plan.loss, parameter, y, some_labels, some_dense, rows, divisor, dy, out)
        _backward_rows(plan, values, inputs, workspace, scratch, first, last, key)


@kernel
def _weight_gradient(x: Any, dy: Any, scratch: Any, gradient: Any, first: int, skip_zeros: bool) -> None:
    """gradient = (x^T dy)[first :]; see multiply_transposed_left."""
    if skip_zeros:
        sparse_multiply_transposed_left(x, dy, scratch[:0], scratch, gradient, first)
    else:
        multiply_transposed_left(x, dy, scratch[:0], scratch, gradient, first)


@kernel
def _update_weights(
    operation: Any,
    vectors: Vectors,
    x: Any,
    dy: Any,
    buffer: Any,
    scratch: Any,
    first: int,
    last: int,
    skip: bool,
    l1: float,
    l2: float,
) -> None:
    """Rows [first, last) of one weight matrix: the gradient x^T dy, used at once for the update.

    So the gradient is read from the cache, and never written to the flat vector. x (N, D), dy (N, H). skip: zeros of x.
    """
    width = operation[OUTPUTS]
    plain = vectors.update == SGD and l1 == 0.0 and l2 == 0.0 and vectors.rates[CLIP_VALUE] == np.inf
    if x.shape[0] == 1 and plain and all_finite(dy[0]):  # it leaves out zeros of x
        rows = matrix(vectors.values, operation[WEIGHT] + first * width, last - first, width)
        sgd_update_of_one_sample(rows, x[0, first:last], dy[0], x.dtype.type(vectors.rates[0]))
        return
    height = min(buffer.size // width, max(UPDATE_SIZE // width, FEWEST_ROWS if x.shape[0] > FEW_STEPS else 1))
    for i in range(first, last, height):
        end = min(last, i + height)
        gradient = matrix(buffer, 0, end - i, width)
        _weight_gradient(x, dy, scratch, gradient, i, skip)
        place = operation[WEIGHT] + i * width
        count = (end - i) * width
        values, state = vectors.values[place : place + count], vectors.state[:, place : place + count]
        if l1 != 0.0 or l2 != 0.0:
            add_penalty_gradient(values, l1, l2, buffer[:count])
        update_range(vectors.update, vectors.rates, values, buffer[:count], state)


@kernel
def _parameter_part(
    job: Any, data: Any, gathered: bool, start: int, count: int, skip_zeros: bool, part: int, parts: int
) -> None:
    """The second region: one part's rows of each weight matrix, and of each bias, summed over the batch and updated.

    data: the samples, of which those of the batch were gathered or begin at `start`.
    """
    like = data.dtype.type(0.0)
    plan, vectors, workspace = get_plan(job), get_vectors(job, like), get_workspace(job, like)
    scratch = workspace.scratch[part]
    l1, l2 = plan_number(plan, L1), plan_number(plan, L2)
    fused = vectors.update != NO_UPDATE and vectors.rates[CLIP_NORM] == np.inf
    for i in range(plan.operations.shape[0]):
        operation = plan.operations[i]
        if operation[KIND] != AFFINE:
            continue
        inputs, outputs = operation[INPUTS], operation[OUTPUTS]
        if operation[SOURCE] != INPUT:
            x = tensor_rows(workspace.tensors, workspace.capacity, operation[SOURCE], inputs, 0, count)
        elif gathered:
            x = matrix(workspace.inputs, 0, count, inputs)
        else:
            x = matrix(data, start * inputs, count, inputs)
        dy = tensor_rows(workspace.gradients, workspace.capacity, operation[TARGET], outputs, 0, count)
        begin, end = share(inputs, part, parts), share(inputs, part + 1, parts)
        if fused:
            buffer = workspace.updates[part]
            _update_weights(operation, vectors, x, dy, buffer, scratch, begin, end, skip_zeros and i == 0, l1, l2)
        else:
            place, size = operation[WEIGHT] + begin * outputs, (end - begin) * outputs
            dW = vectors.gradients[place : place + size]
            _weight_gradient(x, dy, scratch, matrix(dW, 0, end - begin, outputs), begin, skip_zeros and i == 0)
            if l1 != 0.0 or l2 != 0.0:
                add_penalty_gradient(vectors.values[place : place + size], l1, l2, dW)
        begin, end = share(outputs, part, parts), share(outputs, part + 1, parts)
        bias_gradient(dy, workspace.bias_sums[part], bias_of(vectors.gradients, operation), begin, end)
        if fused:
            _update_flat(vectors, operation[BIAS] + begin, operation[BIAS] + end)


@kernel
def _update_flat(vectors: Vectors, begin: int, end: int) -> None:
    """Update a range of the flat vectors by the gradients that stand there."""
    values, state = vectors.values[begin:end], vectors.state[:, begin:end]
    update_range(vectors.update, vectors.rates, values, vectors.gradients[begin:end], state)


@kernel
def _clipped_part(job: Any, like: Any, part: int, parts: int) -> None:
    """The third region, where the gradients were clipped to a norm: the update of one part of the parameters."""
    vectors = get_vectors(job, like)
    size = vectors.values.size
    _update_flat(vectors, share(size, part, parts), share(size, part + 1, parts))


@kernel
def _penalty(plan: Plan, values: Any) -> float:
    """The penalty on all weights, for one sample of the mean loss."""
    l1, l2, total = plan_number(plan, L1), plan_number(plan, L2), 0.0
    if l1 != 0.0 or l2 != 0.0:
        for i in range(plan.operations.shape[0]):
            operation = plan.operations[i]
            if operation[KIND] == AFFINE:
                place = operation[WEIGHT]
                total += penalty_of(values[place : place + operation[INPUTS] * operation[OUTPUTS]], l1, l2)
    return total


@kernel
def _count(job: Any, vectors: Vectors) -> None:
    """Count an update that is about to be made, and the masks of its batch."""
    counters = get_vector(job, AT_COUNTERS, np.intp(0))
    counters[DRAWS] += 1
    counters[STEPS] += 1
    vectors.rates[STEP] = counters[STEPS]


@kernel
def _acceptable(x: Any, labels: Any, classes: int, check_finite: bool) -> bool:
    """Whether x is finite, if that is asked, and no label is outside [0, classes)."""
    for n in range(labels.size):
        if labels[n] < 0 or labels[n] >= classes:
            return False
    return not check_finite or all_finite(x.reshape(x.size))


@kernel
def _first_gradient(job: Any, x: Any, count: int) -> Any:
    """The gradient by the outputs of the first operation, of the rows of a batch, as a vector."""
    workspace, operation = get_workspace(job, x.dtype.type(0.0)), get_plan(job).operations[0]
    dy = tensor_rows(workspace.gradients, workspace.capacity, operation[TARGET], operation[OUTPUTS], 0, count)
    return dy.reshape(dy.size)


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
    plan = get_plan(job)
    operations = plan.operations
    if check and not _acceptable(x, labels, operations[operations.shape[0] - 1, OUTPUTS], check_finite):
        return 0, losses, 0, REFUSED
    losses_of_rows = get_vector(job, AT_LOSSES, np.float64(0.0))
    hits_of_rows = get_vector(job, AT_HITS, np.intp(0))
    skip_zeros = skips_zeros(plan, get_vector(job, AT_VALUES, x.dtype.type(0.0)), x, size)
    vectors = get_vectors(job, x.dtype.type(0.0))
    by_norm = vectors.update != NO_UPDATE and vectors.rates[CLIP_NORM] < np.inf
    regions = 3 if by_norm else 2
    samples, hits, skip = 0, 0, skip_zeros
    for region in range(regions * first, regions * last):
        start = region // regions * size
        count = min(size, x.shape[0] - start)
        # One parallel loop for all regions: Numba compiles each loop by itself, with all that it calls.
        for part in prange(n_threads):
            if region % regions == 0:
                _batch_part(job, x, labels, dense, order, start, count, skip, part, n_threads)
            elif region % regions == 1:
                _parameter_part(job, x, order.size > 0, start, count, skip, part, n_threads)
            else:
                _clipped_part(job, x.dtype.type(0.0), part, n_threads)
        if region % regions > 0:
            skip = skip_zeros
            if by_norm and region % regions == 1 and not clip_to_norm(vectors.gradients, vectors.rates[CLIP_NORM]):
                return samples - count, losses, hits, NOT_FINITE
            continue
        penalty = _penalty(plan, vectors.values)
        total = plan_number(plan, DATA_SHARE) * sum_in_order(losses_of_rows[:count]) + count * penalty
        # A gradient by itself passes NaN on, as in NumPy.
        if job[UPDATE] != NO_UPDATE and not math.isfinite(total):
            return samples, losses, hits, NOT_FINITE
        if job[UPDATE] != NO_UPDATE:
            _count(job, vectors)
        samples += count
        losses += total
        for n in range(count):
            hits += hits_of_rows[n]
        skip = skip_zeros and all_finite(_first_gradient(job, x, count))  # 0 times NaN is NaN
    return samples, losses, hits, DONE if math.isfinite(losses) else NOT_FINITE


@entry
def update(n_threads: int, job: Any, values: Any) -> None:
    """Update the parameters `values` of a job by its gradients. Serial."""
    vectors = get_vectors(job, values.dtype.type(0.0))
    _count(job, vectors)
    if vectors.rates[CLIP_NORM] < np.inf:
        clip_to_norm(vectors.gradients, vectors.rates[CLIP_NORM])
    update_range(vectors.update, vectors.rates, values, vectors.gradients, vectors.state)
