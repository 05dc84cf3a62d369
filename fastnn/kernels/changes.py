"""How a change of outputs of a layer goes through the rest of a network, up to the loss. Imports the other kernels.

Only changes are followed. Up to the next affine operation one element of each sample changes; that operation makes of
it a multiple of a row of its weights; what comes after is computed for the changes of many perturbations at once, as
the columns of one matrix, a *block*: a row for each element of a tensor, and a column for each sample, point and output
j, in this order (see perturbation.py). All is float64.
"""

from typing import Any, NamedTuple

from fastnn.kernels.activations import SOFTMAX, activation_forward
from fastnn.kernels.compile import kernel
from fastnn.kernels.job import (
    ACTIVATION,
    AFFINE,
    BATCH_NORM,
    INPUTS,
    KIND,
    LOSS_PARAMETER,
    OUTPUTS,
    PRELU,
    SOURCE,
    TARGET,
    WEIGHT,
    Plan,
    plan_number,
    weight_of,
)
from fastnn.kernels.loss_changes import loss_change, loss_change_of_one
from fastnn.kernels.matmul import multiply_transposed_left
from fastnn.kernels.units import unit_change
from fastnn.kernels.views import matrix


class Base(NamedTuple):
    """The network as it is, all in float64."""

    plan: Plan
    values: Any  # (P,)
    # (V,): at its place each weight matrix (inputs, outputs) as (outputs, inputs), and the unit_factors of others.
    prepared: Any
    x: Any  # (N, D)
    tensors: Any  # (N * plan columns,), what every operation gives
    softmax: Any  # (N, K), of the outputs
    targets: Any  # (N, K)


class Space(NamedTuple):
    """Scratch of one part, for blocks of `columns` columns."""

    columns: Any
    one: Any  # (largest width * columns,), a block
    other: Any  # likewise
    work: Any  # (columns,)
    changes: Any  # (columns,)
    losses: Any  # (columns,)
    steps: Any  # (columns,)
    scratch: Any  # of the matrix products
    samples: Any  # (N,) intp


@kernel
def _row(base: Base, column: int, width: int, n: int) -> Any:
    """The tensor at a plan column, of one sample."""
    start = base.x.shape[0] * column + n * width
    return base.tensors[start : start + width]


@kernel
def _change_columns(base: Base, i: int, samples: Any, run: int, j: int, width: int, d: Any, other: Any) -> None:
    """d = f(x + d) - f(x) for an operation f on single elements, where element j of each sample changes.

    d (samples * run,): for each sample, for each point, `width` columns from j on; other: scratch of its size.
    """
    operation = base.plan.operations[i]
    size, points = operation[OUTPUTS], run // width
    if operation[KIND] == PRELU or operation[KIND] == BATCH_NORM:
        factors = base.prepared[operation[WEIGHT] + j :][:width]
        for s in range(samples.size):
            x = _row(base, operation[SOURCE], size, samples[s])[j : j + width]
            for r in range(s * points, (s + 1) * points):
                row = matrix(d, r * width, 1, width)[0]
                for k in range(width):
                    row[k] = unit_change(operation[KIND], factors[k], x[k], row[k])
        return
    # Views, as indices from 0 on are not negative, which Numba else asks, and LLVM then does not vectorise; nor does it
    # an activation from one array into the same.
    moved, rows = matrix(other, 0, samples.size * points, width), matrix(d, 0, samples.size * points, width)
    for s in range(samples.size):
        x = _row(base, operation[SOURCE], size, samples[s])[j : j + width]
        for r in range(s * points, (s + 1) * points):
            row, out = rows[r], moved[r]
            for k in range(width):
                out[k] = x[k] + row[k]
    activation_forward(operation[ACTIVATION], base.plan.numbers[i], moved, rows)
    for s in range(samples.size):
        y = _row(base, operation[TARGET], size, samples[s])[j : j + width]
        for r in range(s * points, (s + 1) * points):
            row = rows[r]
            for k in range(width):
                row[k] -= y[k]


@kernel
def _change_block(base: Base, i: int, samples: Any, run: int, d: Any, other: Any) -> None:
    """d (width, samples * run) = f(x + d) - f(x) for any operation f but affine.

    Softmax, which mixes rows, row by row.
    """
    operation = base.plan.operations[i]
    rows, columns = d.shape
    if operation[KIND] == PRELU or operation[KIND] == BATCH_NORM:
        for s in range(samples.size):
            x = _row(base, operation[SOURCE], rows, samples[s])
            for k in range(rows):
                row = matrix(d.reshape(d.size), k * columns + s * run, 1, run)[0]
                factor = base.prepared[operation[WEIGHT] + k]
                for c in range(run):
                    row[c] = unit_change(operation[KIND], factor, x[k], row[c])
        return
    mixes = operation[ACTIVATION] == SOFTMAX
    for s in range(samples.size):
        x = _row(base, operation[SOURCE], rows, samples[s])
        for k in range(rows):
            value, row = x[k], matrix(d.reshape(d.size), k * columns + s * run, 1, run)[0]
            if mixes:
                for c in range(run):
                    row[c] += value
            else:
                out = matrix(other, k * columns + s * run, 1, run)[0]
                for c in range(run):
                    out[c] = row[c] + value
    if mixes:
        across = matrix(other, 0, columns, rows)
        for c in range(columns):
            for k in range(rows):
                across[c, k] = d[k, c]
        activation_forward(SOFTMAX, 0.0, across, across)
        for c in range(columns):
            for k in range(rows):
                d[k, c] = across[c, k]
    else:
        activation_forward(operation[ACTIVATION], base.plan.numbers[i], matrix(other, 0, rows, columns), d)
    for s in range(samples.size):
        y = _row(base, operation[TARGET], rows, samples[s])
        for k in range(rows):
            value, row = y[k], matrix(d.reshape(d.size), k * columns + s * run, 1, run)[0]
            for c in range(run):
                row[c] -= value


@kernel
def _spread(base: Base, i: int, j: int, width: int, d: Any, block: Any) -> None:
    """What a change d of single elements becomes: after the affine operation i, or, where i is none, as it stands."""
    count = block.shape[1] // width
    changes = matrix(d, 0, count, width)
    for k in range(block.shape[0]):
        out = matrix(block.reshape(block.size), k * block.shape[1], count, width)
        if i < 0:
            for r in range(count):
                for c in range(width):
                    out[r, c] = changes[r, c] if k == j + c else 0.0
        else:
            operation = base.plan.operations[i]
            row = base.prepared[operation[WEIGHT] + k * operation[INPUTS] + j :][:width]
            for r in range(count):
                source, target = changes[r], out[r]
                for c in range(width):
                    target[c] = row[c] * source[c]


@kernel
def _is_single(operation: Any) -> bool:
    """Whether an operation takes each element by itself."""
    return operation[KIND] != AFFINE and operation[ACTIVATION] != SOFTMAX


@kernel
def _losses_of_single(base: Base, samples: Any, run: int, j: int, width: int, d: Any, losses: Any) -> None:
    """The changes of the loss where element j of each sample's outputs changes by d."""
    final = base.plan.operations[base.plan.operations.shape[0] - 1]
    parameter = plan_number(base.plan, LOSS_PARAMETER)
    for s in range(samples.size):
        n = samples[s]
        y = _row(base, final[TARGET], final[OUTPUTS], n)
        mass = 0.0
        for k in range(final[OUTPUTS]):
            mass += base.targets[n, k]
        for start in range(s * run, (s + 1) * run, width):
            some, out = d[start : start + width], losses[start : start + width]
            loss_change_of_one(base.plan.loss, parameter, some, j, y, base.softmax[n], base.targets[n], mass, out)


@kernel
def follow(base: Base, first: int, samples: Any, run: int, j: int, width: int, d: Any, space: Space) -> None:
    """space.losses = the changes of each sample's loss where the outputs of operation `first` change by d.

    d and run as in _change_columns; d is overwritten.
    """
    operations, columns = base.plan.operations, d.size
    count = operations.shape[0]
    losses, i = space.losses[:columns], first + 1
    while i < count and _is_single(operations[i]):
        _change_columns(base, i, samples, run, j, width, d, space.other)
        i += 1
    if i == count:
        _losses_of_single(base, samples, run, j, width, d, losses)
        return
    mixes = operations[i, KIND] == AFFINE
    rows = operations[i if mixes else i - 1, OUTPUTS]
    one, other = space.one, space.other
    block = matrix(one, 0, rows, columns)
    _spread(base, i if mixes else -1, j, width, d, block)
    for later in range(i + 1 if mixes else i, count):
        operation = operations[later]
        if operation[KIND] == AFFINE:
            after = matrix(other, 0, operation[OUTPUTS], columns)
            weights = weight_of(base.values, operation)
            multiply_transposed_left(weights, block, space.scratch[:0], space.scratch, after, 0)
            block, one, other = after, other, one
        else:
            _change_block(base, later, samples, run, block, other)
    final, parameter = operations[count - 1], plan_number(base.plan, LOSS_PARAMETER)
    for s in range(samples.size):
        n = samples[s]
        y = _row(base, final[TARGET], final[OUTPUTS], n)
        out = losses[s * run : (s + 1) * run]
        loss_change(
            base.plan.loss, parameter, block, s * run, y, base.softmax[n], base.targets[n], space.work[:run], out
        )
