"""What a changed parameter changes: the loss at perturbed parameters, evaluated from the changed parts alone.

Imports the other kernels.

Moving W[i, j] by s moves column j of an affine operation's outputs by s x[n, i], and of no sample whose x[n, i] is 0.
What that changes is followed (changes.py), and the loss's changes are summed over the samples in their order. So the
result is the difference of the losses at both parameters, as exactly as float64 allows. It is never a derivative: no
kernel of a backward pass is called.

A *point* is a multiple of the step, such as 1 and -1. All is float64. Each sum is computed by one part, in one order:
the same bits on any number of threads.
"""

from typing import Any

from fastnn.kernels.activations import SOFTMAX, activation_forward
from fastnn.kernels.changes import Base, Space, follow
from fastnn.kernels.compile import entry, kernel, prange
from fastnn.kernels.dropout import OFF
from fastnn.kernels.forward import BLOCK_ROWS, forward_rows
from fastnn.kernels.job import (
    AFFINE,
    BATCH_NORM,
    BIAS,
    INPUT,
    INPUTS,
    KIND,
    OUTPUTS,
    PRELU,
    SOURCE,
    TARGET,
    WEIGHT,
    Plan,
    tensor_rows,
)
from fastnn.kernels.matmul import share
from fastnn.kernels.units import unit_coefficient, unit_factors
from fastnn.kernels.views import matrix


@kernel
def _space(memory: Any, samples: Any, widest: int, columns: int) -> Space:
    """One part's scratch, cut from one vector; see space_size."""
    block = widest * columns
    at = 2 * block
    return Space(
        columns,
        memory[:block],
        memory[block:at],
        memory[at : at + columns],
        memory[at + columns : at + 2 * columns],
        memory[at + 2 * columns : at + 3 * columns],
        memory[at + 3 * columns : at + 4 * columns],
        memory[at + 4 * columns :],
        samples,
    )


def space_size(widest: int, columns: int, products: int) -> int:
    """Elements of one part's scratch; products: of the matrix products."""
    return (2 * widest + 4) * columns + products


@kernel
def _list_samples(x: Any, i: int, samples: Any) -> int:
    """The samples that input i reaches, into `samples`; returns how many. The last input is the bias's, which is 1."""
    count = 0
    for n in range(x.shape[0]):
        samples[count] = n
        count += 1 if i == x.shape[1] or x[n, i] != 0.0 else 0
    return count


@kernel
def _move(base: Base, o: int, i: int, x: Any, samples: Any, j: int, width: int, steps: Any, d: Any) -> None:
    """d (samples * run,) = what the outputs from j on of operation o change by, where its parameters of input i do.

    x: the inputs; steps (run,): for each point, `width` parameters. The "inputs" of an operation on units are its
    vectors of parameters: gamma and beta, or the slope.
    """
    operation, run = base.plan.operations[o], steps.size
    for s in range(samples.size):
        some, row = d[s * run :][:run], x[samples[s]]
        if operation[KIND] == AFFINE:
            factor = 1.0 if i == operation[INPUTS] else row[i]
            for c in range(run):
                some[c] = steps[c] * factor
        else:
            for k in range(width):
                factor = unit_coefficient(base.values, operation, base.plan.numbers[o], i, row[j + k], j + k)
                for c in range(k, run, width):
                    some[c] = steps[c] * factor


@kernel
def _perturb_input(
    base: Base, o: int, i: int, outputs: Any, points: Any, step: Any, space: Space, changes: Any
) -> None:
    """changes[p, ...] += the sums over the samples, for the parameters of input i and some outputs of operation o.

    outputs: (first, last).
    """
    operation = base.plan.operations[o]
    first, last = outputs
    x = base.x
    if operation[SOURCE] != INPUT:
        x = matrix(base.tensors, base.x.shape[0] * operation[SOURCE], base.x.shape[0], operation[INPUTS])
    reached = _list_samples(x, i if operation[KIND] == AFFINE else x.shape[1], space.samples)
    most = max(1, space.columns // points.size)
    is_bias = operation[KIND] == AFFINE and i == operation[INPUTS]
    place = operation[BIAS] if is_bias else operation[WEIGHT] + i * operation[OUTPUTS]
    for j in range(first, last, most):
        width = min(most, last - j)
        run = points.size * width
        for p in range(points.size):
            for k in range(width):
                value = base.values[place + j + k]
                space.steps[p * width + k] = step_taken(value, points[p], step)
        size = max(1, space.columns // run)
        for begin in range(0, reached, size):
            samples = space.samples[begin : min(begin + size, reached)]
            d = space.changes[: samples.size * run]
            _move(base, o, i, x, samples, j, width, space.steps[:run], d)
            follow(base, o, samples, run, j, width, d, space)
            for s in range(samples.size):
                for p in range(points.size):
                    total = changes[p, place + j :][:width]
                    some = space.losses[s * run + p * width :][:width]
                    for k in range(width):
                        total[k] += some[k]


@kernel
def step_taken(value: float, point: float, step: Any) -> float:
    """How far a parameter really moves, (value + point h) - value; step = (h, whether relative to max(1, |value|))."""
    h = step[0] * max(1.0, abs(value)) if step[1] != 0.0 else step[0]
    return (value + point * h) - value


@kernel
def _prepare_part(
    operations: Any,
    numbers: Any,
    loss: int,
    values: Any,
    x: Any,
    scratch: Any,
    tensors: Any,
    softmax: Any,
    part: int,
    parts: int,
) -> None:
    """One part's rows of x, through all operations."""
    plan, capacity = Plan(operations, numbers, loss), x.shape[0]
    final = operations[operations.shape[0] - 1]
    begin, end = share(capacity, part, parts), share(capacity, part + 1, parts)
    for first in range(begin, end, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, end)
        y = tensor_rows(tensors, capacity, final[TARGET], final[OUTPUTS], first, last)
        forward_rows(
            plan, values, values, x[first:last], tensors, capacity, first, last, scratch, y, False, OFF, 0,
            operations.shape[0]
        )  # fmt: skip
        activation_forward(SOFTMAX, 0.0, y, softmax[first:last])


@entry
def prepare(
    n_threads: int,
    operations: Any,
    numbers: Any,
    loss: int,
    values: Any,
    x: Any,
    scratch: Any,
    tensors: Any,
    softmax: Any,
    prepared: Any,
) -> None:
    """Everything that the unperturbed network gives for x (N, D): tensors, and the softmax of its outputs.

    scratch: one row for each part. prepared: receives unit_factors.
    """
    for i in range(operations.shape[0]):
        operation = operations[i]
        if operation[KIND] == PRELU or operation[KIND] == BATCH_NORM:
            factors = prepared[operation[WEIGHT] : operation[WEIGHT] + operation[OUTPUTS]]
            unit_factors(values, values, operation, numbers[i], factors)
    for part in prange(n_threads):
        _prepare_part(operations, numbers, loss, values, x, scratch[part], tensors, softmax, part, n_threads)


@kernel
def _perturb_part(
    operations: Any,
    numbers: Any,
    loss: int,
    values: Any,
    prepared: Any,
    x: Any,
    tensors: Any,
    softmax: Any,
    targets: Any,
    points: Any,
    step: Any,
    o: int,
    first: int,
    last: int,
    begin: int,
    end: int,
    columns: int,
    memory: Any,
    samples: Any,
    changes: Any,
    stride: int,
) -> None:
    """Inputs first, first + stride, ... of operation o, outputs [begin, end)."""
    widest = 0
    for i in range(operations.shape[0]):
        widest = max(widest, operations[i, OUTPUTS])
    base = Base(Plan(operations, numbers, loss), values, prepared, x, tensors, softmax, targets)
    space = _space(memory, samples, widest, columns)
    for i in range(first, last, stride):
        _perturb_input(base, o, i, (begin, end), points, step, space, changes)


@entry
def perturb(
    n_threads: int,
    operations: Any,
    numbers: Any,
    loss: int,
    values: Any,
    prepared: Any,
    x: Any,
    tensors: Any,
    softmax: Any,
    targets: Any,
    points: Any,
    step: Any,
    o: int,
    first: int,
    last: int,
    begin: int,
    end: int,
    columns: int,
    memory: Any,
    samples: Any,
    changes: Any,
) -> None:
    """Add to changes (points, P) those of the sum of the losses by the inputs [first, last) and outputs [begin, end) of
    operation o.

    Input D is the bias. memory, samples: a row for each part, see _space; step: see step_taken.
    """
    for part in prange(n_threads):
        some, numbers_of_samples = memory[part], samples[part]
        _perturb_part(
            operations, numbers, loss, values, prepared, x, tensors, softmax, targets, points, step, o, first + part,
            last, begin, end, columns, some, numbers_of_samples, changes, n_threads
        )  # fmt: skip
