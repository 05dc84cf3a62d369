"""A network forward: predictions, and the first half of a training step. Imports the other kernels."""

from typing import Any

from fastnn.kernels.activations import activation_forward
from fastnn.kernels.compile import entry, kernel, prange
from fastnn.kernels.dropout import OFF, drop
from fastnn.kernels.job import (
    ACTIVATION,
    AFFINE,
    AT_VALUES,
    BATCH_NORM,
    DROPOUT,
    INPUT,
    INPUTS,
    KIND,
    OUTPUTS,
    PRELU,
    SOURCE,
    TARGET,
    WEIGHT,
    Plan,
    bias_of,
    get_plan,
    get_vector,
    get_workspace,
    rows_of,
    tensor_rows,
    weight_of,
)
from fastnn.kernels.matmul import multiply, share
from fastnn.kernels.rows import all_finite
from fastnn.kernels.sparse import FEWEST_ROWS as FEWEST_SPARSE_ROWS
from fastnn.kernels.sparse import mostly_zero, sparse_multiply
from fastnn.kernels.units import unit_forward

# Rows taken through all layers together: what one layer writes is in the cache when the next one reads it, and a
# copied panel of weights serves many tiles (of 64, 128 and 256 rows, 128 did best or as well at all sizes tried).
BLOCK_ROWS = 128

# What becomes of an entry's data, in its last result.
DONE, NOT_FINITE, REFUSED = range(3)


@kernel
def skips_zeros(plan: Plan, values: Any, x: Any, rows: int) -> bool:
    """Whether the first layer leaves out zeros of its inputs, in batches of so many rows of x.

    Only beside finite weights: 0 times infinity is NaN, as in NumPy.
    """
    first = plan.operations[0]
    if first[KIND] != AFFINE or rows < FEWEST_SPARSE_ROWS or not mostly_zero(x):
        return False
    return all_finite(values[first[WEIGHT] : first[WEIGHT] + first[INPUTS] * first[OUTPUTS]])


@kernel
def forward_rows(
    plan: Plan,
    values: Any,
    statistics: Any,
    x: Any,
    tensors: Any,
    capacity: int,
    first: int,
    last: int,
    scratch: Any,
    y: Any,
    skip_zeros: bool,
    key: int,
    begin: int,
    end: int,
) -> None:
    """The operations [begin, end) forward for the rows [first, last) of a batch.

    x and y, the network's outputs, hold these rows alone. statistics: the vector that batch normalisation goes by;
    skip_zeros: see skips_zeros; key: of dropout.
    """
    count = plan.operations.shape[0]
    for i in range(begin, end):
        operation = plan.operations[i]
        source = x
        if operation[SOURCE] != INPUT:
            source = tensor_rows(tensors, capacity, operation[SOURCE], operation[INPUTS], first, last)
        outputs = y
        if i < count - 1:
            outputs = tensor_rows(tensors, capacity, operation[TARGET], operation[OUTPUTS], first, last)
        if operation[KIND] == AFFINE and skip_zeros and i == 0:
            sparse_multiply(source, weight_of(values, operation), bias_of(values, operation), scratch, outputs)
        elif operation[KIND] == AFFINE:
            multiply(source, weight_of(values, operation), bias_of(values, operation), scratch, outputs)
        elif operation[KIND] == DROPOUT and key != OFF:
            drop(source, plan.numbers[i], key, i, first, outputs)
        elif operation[KIND] == PRELU or operation[KIND] == BATCH_NORM:
            unit_forward(values, statistics, operation, plan.numbers[i], source, scratch, outputs)
        else:
            activation_forward(operation[ACTIVATION], plan.numbers[i], source, outputs)


@kernel
def _predict_part(job: Any, x: Any, y: Any, skip_zeros: bool, part: int, parts: int) -> None:
    """One part's rows of a prediction; each part has BLOCK_ROWS rows of the tensors."""
    like = x.dtype.type(0.0)
    plan, values, workspace = get_plan(job), get_vector(job, AT_VALUES, like), get_workspace(job, like)
    tensors, scratch = rows_of(workspace.tensors, workspace.parts)[part], workspace.scratch[part]
    begin, end = share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts)
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        rows, outputs = x[first:last], y[first:last]
        forward_rows(
            plan, values, values, rows, tensors, BLOCK_ROWS, 0, last - first, scratch, outputs, skip_zeros, OFF, 0,
            plan.operations.shape[0]
        )  # fmt: skip


@entry
def predict(n_threads: int, job: Any, x: Any, check_finite: bool, y: Any) -> int:
    """y (N, K) = the network's outputs for x (N, D); REFUSED where x is to be finite and is not, otherwise DONE."""
    if check_finite and not all_finite(x.reshape(x.size)):
        return REFUSED
    skip_zeros = skips_zeros(get_plan(job), get_vector(job, AT_VALUES, x.dtype.type(0.0)), x, x.shape[0])
    for part in prange(n_threads):
        _predict_part(job, x, y, skip_zeros, part, n_threads)
    return DONE
