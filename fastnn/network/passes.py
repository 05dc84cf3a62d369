"""Single passes through a network: each layer's outputs, and back-propagation of a user's own gradient."""

from typing import Any

import numpy as np

from fastnn.engine import threads
from fastnn.engine.engine import NO_ORDER, NO_WEIGHTS, Engine
from fastnn.engine.interpreters import job, training
from fastnn.engine.parameters import Parameters
from fastnn.engine.plan import NO_LOSS_NUMBERS
from fastnn.engine.workspace import INDEX, Workspace
from fastnn.functional.layers import affine_backward
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.operations.losses.given import GIVEN
from fastnn.optimizers import NO_RULE


def outputs(network: Engine, x: Any, check_finite: bool) -> list[Array]:
    """See `Network.outputs`."""
    x = _samples(network, x, check_finite)
    workspace, _ = _run(network, x, np.zeros((len(x), network.outputs), network.dtype))
    return [_tensor(workspace, "tensors", row, len(x)).copy() for row in workspace.table]


def backward(
    network: Engine, x: Any, dy: Any, need_dx: bool, check_finite: bool
) -> dict[str, Array] | tuple[dict[str, Array], Array]:
    """See `Network.backward`."""
    need_dx = arrays.flag("need_dx", need_dx)
    x = _samples(network, x, check_finite)
    shape = (len(x), network.outputs)
    dy = arrays.floats("dy", dy, shape, dtype=network.dtype, rounding=True)
    workspace, gradients = _run(network, x, dy)
    named = dict(Parameters(gradients, network.places))
    if not need_dx:
        return named
    first = _tensor(workspace, "tensor_gradients", workspace.table[0], len(x))
    dx = affine_backward(first.copy(), x, np.ascontiguousarray(network.params["W1"]))[0]
    assert dx is not None
    return named, dx


def _samples(network: Engine, x: Any, check_finite: bool) -> Array:
    finite = arrays.flag("check_finite", check_finite)
    options: Any = {"dtype": network.dtype, "rounding": True, "finite": finite, "option": arrays.CHECK_FINITE}
    return arrays.floats("x", x, ("N", network.inputs), **options)


def _run(network: Engine, x: Array, dy: Array) -> tuple[Workspace, Array]:
    """Run forward and backward from dy with the learned statistics; return the workspace and the gradients (P,)."""
    plan, parts = network.plan, threads.at_most(network.n_threads)
    numbers = plan.numbers.copy()
    numbers[-job.PLAN_NUMBERS :] = NO_LOSS_NUMBERS
    own = plan._replace(numbers=numbers, loss=GIVEN, loss_of_labels=GIVEN, tables={})
    gradients = np.zeros_like(network.values)
    vectors = (network.values, gradients, np.zeros((0, gradients.size), network.dtype))
    workspace = Workspace(own, network.columns, network.trained, vectors, len(x), parts)
    workspace.set_update(NO_RULE, None)
    data = (x[:], np.empty(0, INDEX), dy[:], NO_ORDER, NO_WEIGHTS)
    arguments = (workspace.job, *data, 0, 1, len(x), 0.0, False, False, False)
    work = 0.6 * len(x) * gradients.size
    if threads.run(training.train, work, *arguments, n_threads=parts)[3] == job.NEEDS_SPARSE:
        workspace.add_sparse()
        threads.run(training.train, work, *arguments, n_threads=parts)
    return workspace, gradients


def _tensor(workspace: Workspace, name: str, row: Array, rows: int) -> Array:
    """The rows of an operation's outputs, or of the gradient by them."""
    start, width = rows * int(row[job.WRITES]), int(row[job.WIDTH_OUT])
    return workspace.arrays[name][start : start + rows * width].reshape(rows, width)
