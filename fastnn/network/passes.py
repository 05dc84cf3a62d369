"""Single passes through a network: each layer's outputs, and back-propagation of a user's own gradient."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.engine import threads
from fastnn.engine.engine import Engine
from fastnn.engine.interpreters import jobs, training
from fastnn.engine.losses import learn_hits
from fastnn.engine.parameters import Parameters
from fastnn.engine.plan import NO_LOSS_NUMBERS, TRAINING_WORK, compile_plan
from fastnn.engine.regularization import set_penalties
from fastnn.engine.samples import Samples, SparseRows
from fastnn.engine.workspace import NO_ORDER, NO_WEIGHTS, Workspace
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.layers import Identity
from fastnn.operations.losses.base import PROBABILITIES
from fastnn.operations.losses.given import GIVEN
from fastnn.optimizers import NO_RULE


def outputs(network: Engine, x: Any, check_finite: bool) -> list[Array]:
    """See `Network.outputs_of_layers`."""
    return outputs_of_rows(network, network.prepare_rows("x", x, check_finite, allow_empty=True))


def outputs_of_rows(network: Engine, x: Samples) -> list[Array]:
    """As `outputs`, for prepared rows; each layer predicts by itself from the outputs of the one before it."""
    found = list[Array]()
    parameters, statistics = iter(network.params.values()), iter(network.statistics.values())
    for layer, before, after in zip(network.layers, network.shapes, network.shapes[1:], strict=False):
        if layer.is_view:
            y = x[:].copy()
        else:
            alone = Engine([layer], "mean_squared_error", network.dtype, None, before)
            alone.n_threads = network.n_threads
            for places, arrays_of in ((alone.params, parameters), (alone.statistics, statistics)):
                for array in places.values():
                    array[...] = next(arrays_of)
            y = alone.outputs_of(x)
        x = y.reshape(len(x), *after)
        found.append(x)
    return found


def backward(
    network: Engine, x: Any, dy: Any, need_dx: bool, check_finite: bool
) -> dict[str, Array] | tuple[dict[str, Array], Array]:
    """See `Network.backward`."""
    need_dx = arrays.flag("need_dx", need_dx)
    x = network.prepare_rows("x", x, check_finite, allow_empty=True)
    dy = arrays.floats("dy", dy, (len(x), *network.output_shape), **_options(network, check_finite))
    _, gradients, dx = Pass(network, need_dx).run(x, NO_ORDER, dy.reshape(len(x), network.outputs)[:])
    named = dict(Parameters(gradients, network.places))
    return named if dx is None else (named, dx.reshape(-1, *network.input_shape))


def _options(network: Engine, check_finite: bool) -> dict[str, Any]:
    finite = arrays.flag("check_finite", check_finite)
    return {"dtype": network.dtype, "rounding": True, "finite": finite, "option": arrays.CHECK_FINITE}


def accuracy(network: Engine, x: Any, t: Any, check_finite: bool, y: Array | None) -> float:
    """See `Network.accuracy`; y: the outputs, if they are known."""
    if len(network.output_shape) > 1:
        expected = "accuracy: expected a network of outputs in one dimension, one for each class"
        raise ValueError(f"{expected}, got outputs of the shape {network.output_shape}; compare the outputs")
    loss, is_single = network.loss, network.outputs == 1
    if is_single and loss.border is None:
        expected = "accuracy: expected a network of at least 2 outputs, one for each class"
        raise ValueError(f"{expected}, got 1; compare the outputs")
    if is_single:
        data = network.prepare(x, t, check_finite)
    else:
        x = network.prepare_rows("x", x, check_finite)
        try:
            data = x, *arrays.targets("t", t, len(x), network.outputs, network.dtype)
        except ValueError as error:
            if loss.takes_classes:
                raise
            came = str(error).partition("; ")[0]
            raise ValueError(f"{came}; accuracy compares classes: for targets that are numbers call loss") from None
    if network.is_own_loss or not is_single:  # whose targets kernels can check
        accepts = network.formula.accepts if is_single else PROBABILITIES
        learn_hits(network.way_of_hits, network.dtype, accepts, *network.formula.numbers()[1:], False)
    return network.evaluate(*data, y)[1]


class Pass:
    """Forward, a loss and back-propagation with the learned statistics, in memory that is kept for the next batch.

    loss, numbers: as for `compile_plan`; by default targets are the gradient by the outputs.
    is_penalized: whether the network's penalty is added.
    need_dx: a copy of x, as the outputs of a first operation, has a gradient in the workspace, too.
    """

    def __init__(
        self,
        network: Engine,
        need_dx: bool,
        loss: Any = GIVEN,
        numbers: Sequence[float] = NO_LOSS_NUMBERS,
        is_penalized: bool = False,
    ) -> None:
        self._network, self._need_dx = network, need_dx
        layers = (Identity(), *network.layers) if need_dx else network.layers
        self._compiled = compile_plan(layers, network.input_shape, loss, numbers)
        if is_penalized:
            set_penalties(self._compiled.plan, network.regularization)
        gradients, values = np.zeros_like(network.values), network.values
        self._vectors = values, gradients, np.zeros((0, gradients.size), network.dtype)
        self._workspace: Workspace | None = None

    def suits(self, network: Engine) -> bool:
        """Whether it can be used for this network, as it is now."""
        return network is self._network and network.values is self._vectors[0]

    def run(self, x: Samples, labels: Array, dense: Array) -> tuple[float, Array, Array | None]:
        """The sum of the losses, the gradients (P,) of their mean and, with need_dx, the one by x (N, D).

        x: prepared rows; their gradient is by the inputs before they are scaled. The next call overwrites the arrays.
        """
        network, compiled = self._network, self._compiled
        parts, is_sparse = threads.at_most(network.n_threads), isinstance(x, SparseRows)
        workspace = self._workspace
        if workspace is None or not workspace.suits(self._vectors, len(x), parts, is_sparse):
            description = compiled.plan, compiled.columns, compiled.trained
            workspace = Workspace(*description, self._vectors, len(x), parts, shuffled=is_sparse)
            workspace.set_update(NO_RULE, None)
            self._workspace = workspace
        workspace.set_index(x.index if isinstance(x, SparseRows) else None)
        data = (x.array if isinstance(x, SparseRows) else x[:], labels, dense)
        arguments = (0, False, workspace.job, NO_ORDER, NO_WEIGHTS, 0, 1, len(x), 0.0, False, False, False, *data)
        work = TRAINING_WORK * len(x) * compiled.plan.flop
        while (found := threads.run(training.train, work, *arguments, n_threads=parts))[3] == jobs.NEEDS_UNIT:
            workspace.compile_wanted()
        dx = None
        if self._need_dx:
            dx = network.input_scale.of(_tensor(workspace, "tensor_gradients", workspace.table[0], len(x)))
        return float(found[1]), self._vectors[1], dx


def _tensor(workspace: Workspace, name: str, row: Array, rows: int) -> Array:
    """The rows of an operation's outputs, or of the gradient by them."""
    start, width = int(row[jobs.WRITES]), int(row[jobs.WIDTH_OUT])
    return workspace.arrays[name][start : start + rows * width].reshape(rows, width)
