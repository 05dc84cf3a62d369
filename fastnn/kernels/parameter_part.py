"""One part of the parameters: gradients, summed over the batch, and the update by them. Imports the other kernels."""

from typing import Any

import numpy as np

from fastnn.kernels.compile import kernel
from fastnn.kernels.job import (
    AFFINE,
    BATCH_NORM,
    BIAS,
    INPUT,
    INPUTS,
    KIND,
    L1,
    L2,
    OUTPUTS,
    PRELU,
    SOURCE,
    TARGET,
    TRAINED,
    WEIGHT,
    Vectors,
    Workspace,
    bias_of,
    get_plan,
    get_vectors,
    get_workspace,
    plan_number,
    tensor_rows,
)
from fastnn.kernels.matmul import FEW_STEPS, multiply_transposed_left, share
from fastnn.kernels.operations import bias_gradient
from fastnn.kernels.penalty import add_penalty_gradient
from fastnn.kernels.rows import all_finite
from fastnn.kernels.sparse import sparse_multiply_transposed_left
from fastnn.kernels.units import batch_norm_gradient, prelu_gradient
from fastnn.kernels.updates import (
    CLIP_NORM,
    CLIP_VALUE,
    NO_UPDATE,
    SGD,
    sgd_update_of_one_sample,
    update_range,
)
from fastnn.kernels.views import matrix

UPDATE_SIZE = 4096
FEWEST_ROWS = 192  # but for deep sums, so that copying their operands pays


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
def _update_flat(vectors: Vectors, begin: int, end: int) -> None:
    """Update a range of the flat vectors by the gradients that stand there."""
    values, state = vectors.values[begin:end], vectors.state[:, begin:end]
    update_range(vectors.update, vectors.rates, values, vectors.gradients[begin:end], state)


@kernel
def _units(
    operation: Any,
    epsilon: float,
    vectors: Vectors,
    workspace: Workspace,
    count: int,
    fused: bool,
    part: int,
    parts: int,
) -> None:
    """One part's units of an operation with parameters for each.

    Where batch normalisation goes by the statistics of the batch, in training, its sums are there (batch_part.py).
    """
    units, sums = operation[OUTPUTS], workspace.bias_sums[part]
    x = tensor_rows(workspace.tensors, workspace.capacity, operation[SOURCE], units, 0, count)
    dy = tensor_rows(workspace.gradients, workspace.capacity, operation[TARGET], units, 0, count)
    begin, end = share(units, part, parts), share(units, part + 1, parts)
    if operation[KIND] == PRELU:
        prelu_gradient(operation, dy, x, sums, vectors.gradients, begin, end)
    elif vectors.update == NO_UPDATE:
        batch_norm_gradient(vectors.values, operation, epsilon, dy, x, sums, vectors.gradients, begin, end)
    if fused:
        _update_flat(vectors, operation[WEIGHT] + begin, operation[WEIGHT] + end)
        if operation[KIND] == BATCH_NORM:
            _update_flat(vectors, operation[BIAS] + begin, operation[BIAS] + end)


@kernel
def parameter_part(
    job: Any, data: Any, gathered: bool, start: int, count: int, skip_zeros: bool, part: int, parts: int
) -> None:
    """One part's rows of each weight matrix, and of each bias and other vector: summed over the batch, and updated.

    data: the samples, of which those of the batch were gathered or begin at `start`.
    """
    like = data.dtype.type(0.0)
    plan, vectors, workspace = get_plan(job), get_vectors(job, like), get_workspace(job, like)
    scratch = workspace.scratch[part]
    l1, l2 = plan_number(plan, L1), plan_number(plan, L2)
    fused = vectors.update != NO_UPDATE and vectors.rates[CLIP_NORM] == np.inf
    for i in range(plan.operations.shape[0]):
        operation = plan.operations[i]
        if operation[KIND] == PRELU or operation[KIND] == BATCH_NORM:
            _units(operation, plan.numbers[i], vectors, workspace, count, fused, part, parts)
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
def clipped_part(job: Any, like: Any, part: int, parts: int) -> None:
    """The update of one part of the parameters, once their gradients were clipped to a norm."""
    vectors, size = get_vectors(job, like), job[TRAINED]
    _update_flat(vectors, share(size, part, parts), share(size, part + 1, parts))
