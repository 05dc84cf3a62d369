"""What a changed parameter changes: the loss at perturbed parameters, evaluated from the changed parts alone.

Imports the other kernels.

Moving W[i, j] by s moves column j of an affine operation's outputs by s x[n, i], and of no sample whose x[n, i] is 0.
From there on only changes are followed. Up to the next affine operation one element of each sample changes; that
operation makes of it a multiple of row j of its weights; what comes after is computed for the changes of many
perturbations at once, as the columns of one matrix. The loss's change is summed over the samples in their order. So the
result is the difference of the losses at both parameters, as exactly as float64 allows. It is never a derivative: no
kernel of a backward pass is called.

A *point* is a multiple of the step, such as 1 and -1. A *block* is the changes of some samples, points and columns j: a
matrix with a row for each element of a tensor and a column for each sample, point and j, in this order.
All is float64. Each sum is computed by one part, in one order: the same bits on any number of threads.
"""

from typing import Any, NamedTuple

from fastnn.kernels.activations import SOFTMAX, activation_forward
from fastnn.kernels.compile import entry, kernel, prange
from fastnn.kernels.job import (
    ACTIVATION,
    AFFINE,
    BIAS,
    INPUT,
    INPUTS,
    KIND,
    OUTPUTS,
    SOURCE,
    TARGET,
    WEIGHT,
    Plan,
    tensor_rows,
    weight_of,
)
from fastnn.kernels.losses import loss_change, loss_change_of_one
from fastnn.kernels.matmul import multiply_transposed_left, share
from fastnn.kernels.network import BLOCK_ROWS, forward_rows
from fastnn.kernels.views import matrix


class Base(NamedTuple):
    """The network as it is, all in float64."""

    plan: Plan
    values: Any  # (P,)
    transposed: Any  # (P,), each weight matrix (inputs, outputs) as (outputs, inputs) at the same place
    x: Any  # (N, D)
    tensors: Any  # (N * plan columns,), what every operation gives
    softmax: Any  # (N, K), of the outputs
    targets: Any  # (N, K)


class Space(NamedTuple):
    """Scratch of one part, for blocks of `columns` columns."""

    columns: Any
    one: Any  # (largest width * columns,), a block
    other: Any  # likewise
    work: Any  # (2 * columns,)
    changes: Any  # (columns,)
    losses: Any  # (columns,)
    steps: Any  # (columns,)
    scratch: Any  # of the matrix products
    samples: Any  # (N,) intp


@kernel
def _space(memory: Any, samples: Any, widest: int, columns: int) -> Space:
    """One part's scratch, cut from one vector; see space_size."""
    block = widest * columns
    at = 2 * block
    return Space(
        columns,
        memory[:block],
        memory[block:at],
        memory[at : at + 2 * columns],
        memory[at + 2 * columns : at + 3 * columns],
        memory[at + 3 * columns : at + 4 * columns],
        memory[at + 4 * columns : at + 5 * columns],
        memory[at + 5 * columns :],
        samples,
    )


def space_size(widest: int, columns: int, products: int) -> int:
    """Elements of one part's scratch; products: of the matrix products."""
    return (2 * widest + 5) * columns + products


@kernel
def _row(base: Base, column: int, width: int, n: int) -> Any:
    """The tensor at a plan column, of one sample."""
    start = base.x.shape[0] * column + n * width
    return base.tensors[start : start + width]


@kernel
def _change_columns(base: Base, i: int, samples: Any, run: int, j: int, width: int, d: Any, other: Any) -> None:
    """d = f(x + d) - f(x) for an activation f of single elements, where element j of each sample changes.

    d (samples * run,): for each sample, for each point, `width` columns from j on; other: scratch of its size.
    """
    operation = base.plan.operations[i]
    size, points = operation[OUTPUTS], run // width
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
    """d (width, samples * run) = f(x + d) - f(x) for any activation f; softmax, which mixes rows, row by row."""
    operation = base.plan.operations[i]
    rows, columns = d.shape
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
            row = base.transposed[operation[WEIGHT] + k * operation[INPUTS] + j :][:width]
            for r in range(count):
                source, target = changes[r], out[r]
                for c in range(width):
                    target[c] = row[c] * source[c]


@kernel
def _is_single(operation: Any) -> bool:
    """Whether an operation takes each element by itself."""
    return operation[KIND] != AFFINE and operation[ACTIVATION] != SOFTMAX


@kernel
def _losses_of_single(base: Base, samples: Any, run: int, j: int, width: int, d: Any, losses: Any) -> bool:
    """The changes of the loss where element j of each sample's outputs changes by d; False where d is too large."""
    final = base.plan.operations[base.plan.operations.shape[0] - 1]
    for s in range(samples.size):
        n = samples[s]
        y = _row(base, final[TARGET], final[OUTPUTS], n)
        mass = 0.0
        for k in range(final[OUTPUTS]):
            mass += base.targets[n, k]
        for start in range(s * run, (s + 1) * run, width):
            some, out = d[start : start + width], losses[start : start + width]
            p, t = base.softmax[n, j : j + width], base.targets[n, j : j + width]
            if not loss_change_of_one(base.plan.loss, some, y[j : j + width], p, t, mass, out):
                return False
    return True


@kernel
def _follow(base: Base, first: int, samples: Any, run: int, j: int, width: int, d: Any, space: Space) -> None:
    """space.losses = the changes of each sample's loss where the outputs of operation `first` change by d.

    d and run as in _change_columns; d is overwritten.
    """
    operations, columns = base.plan.operations, d.size
    count = operations.shape[0]
    losses, i = space.losses[:columns], first + 1
    while i < count and _is_single(operations[i]):
        _change_columns(base, i, samples, run, j, width, d, space.other)
        i += 1
    if i == count and _losses_of_single(base, samples, run, j, width, d, losses):
        return
    mixes = i < count and operations[i, KIND] == AFFINE
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
    final = operations[count - 1]
    for s in range(samples.size):
        n = samples[s]
        y = _row(base, final[TARGET], final[OUTPUTS], n)
        work, out = matrix(space.work, 0, 2, run), losses[s * run : (s + 1) * run]
        loss_change(base.plan.loss, block, s * run, y, base.softmax[n], base.targets[n], work, out)


@kernel
def _list_samples(x: Any, i: int, samples: Any) -> int:
    """The samples that input i reaches, into `samples`; returns how many. The last input is the bias's, which is 1."""
    count = 0
    for n in range(x.shape[0]):
        samples[count] = n
        count += 1 if i == x.shape[1] or x[n, i] != 0.0 else 0
    return count


@kernel
def _perturb_input(base: Base, o: int, i: int, points: Any, step: Any, space: Space, changes: Any) -> None:
    """changes[p, ...] += the sums over the samples, for all parameters of input i of operation o."""
    operation = base.plan.operations[o]
    inputs, outputs = operation[INPUTS], operation[OUTPUTS]
    x = base.x
    if operation[SOURCE] != INPUT:
        x = matrix(base.tensors, base.x.shape[0] * operation[SOURCE], base.x.shape[0], inputs)
    reached = _list_samples(x, i, space.samples)
    most = min(outputs, max(1, space.columns // points.size))
    place = operation[BIAS] if i == inputs else operation[WEIGHT] + i * outputs
    for j in range(0, outputs, most):
        width = min(most, outputs - j)
        run = points.size * width
        for p in range(points.size):
            for k in range(width):
                value = base.values[place + j + k]
                space.steps[p * width + k] = step_taken(value, points[p], step)
        size = max(1, space.columns // run)
        for begin in range(0, reached, size):
            samples = space.samples[begin : min(begin + size, reached)]
            d = space.changes[: samples.size * run]
            for s in range(samples.size):
                factor = 1.0 if i == inputs else x[samples[s], i]
                some = d[s * run :][:run]
                for c in range(run):
                    some[c] = space.steps[c] * factor
            _follow(base, o, samples, run, j, width, d, space)
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
        forward_rows(plan, values, x[first:last], tensors, capacity, first, last, scratch, y, False)
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
) -> None:
    """Everything that the unperturbed network gives for x (N, D): tensors, and the softmax of its outputs.

    scratch: one row for each part.
    """
    for part in prange(n_threads):
        _prepare_part(operations, numbers, loss, values, x, scratch[part], tensors, softmax, part, n_threads)


@kernel
def _perturb_part(
    operations: Any,
    numbers: Any,
    loss: int,
    values: Any,
    transposed: Any,
    x: Any,
    tensors: Any,
    softmax: Any,
    targets: Any,
    points: Any,
    step: Any,
    o: int,
    first: int,
    last: int,
    columns: int,
    memory: Any,
    samples: Any,
    changes: Any,
    stride: int,
) -> None:
    """Inputs first, first + stride, ... of operation o."""
    widest = 0
    for i in range(operations.shape[0]):
        widest = max(widest, operations[i, OUTPUTS])
    base = Base(Plan(operations, numbers, loss), values, transposed, x, tensors, softmax, targets)
    space = _space(memory, samples, widest, columns)
    for i in range(first, last, stride):
        _perturb_input(base, o, i, points, step, space, changes)


@entry
def perturb(
    n_threads: int,
    operations: Any,
    numbers: Any,
    loss: int,
    values: Any,
    transposed: Any,
    x: Any,
    tensors: Any,
    softmax: Any,
    targets: Any,
    points: Any,
    step: Any,
    o: int,
    first: int,
    last: int,
    columns: int,
    memory: Any,
    samples: Any,
    changes: Any,
) -> None:
    """Add to changes (points, P) those of the sum of the losses by the inputs [first, last) of operation o.

    Input D is the bias. memory, samples: a row for each part, see _space; step: see step_taken.
    """
    for part in prange(n_threads):
        some, numbers_of_samples = memory[part], samples[part]
        _perturb_part(
            operations, numbers, loss, values, transposed, x, tensors, softmax, targets, points, step, o, first + part,
            last, columns, some, numbers_of_samples, changes, n_threads
        )  # fmt: skip
