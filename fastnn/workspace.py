"""The memory that the kernels of a network work in, and the job by which they find it. Imports kernels and plan."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.arrays import Array
from fastnn.kernels import forward, job, operations, parameter_part
from fastnn.kernels.matmul import scratch_size
from fastnn.kernels.sparse import sparse_scratch_size
from fastnn.kernels.units import SCRATCH_VECTORS
from fastnn.kernels.updates import NUMBERS, UPDATES
from fastnn.layers import Affine, Layer
from fastnn.optimizers import Optimizer, numbers_in

INDEX = np.dtype(np.intp)
NO_COUNTERS = np.zeros(job.COUNTERS, INDEX)  # of predictions, which count nothing


class Workspace:
    """Scratch for batches of at most `rows` rows on at most `parts` threads.

    Parameters
    ----------
    layers, plan, columns, trained
        The network's layers, and what `compile_plan` made of them.
    values, gradients, state : arrays
        The network's flat vectors. The job names their memory, so it is made anew when one of them is another array.
    rows, parts : int
    training : bool
        False: for predictions alone, which take forward.BLOCK_ROWS rows on each thread.
    shuffled : bool
        Whether batches are gathered.
    counters : array (job.COUNTERS,)
        Of the network.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        plan: job.Plan,
        columns: int,
        trained: int,
        vectors: tuple[Array, Array, Array],
        rows: int,
        parts: int,
        training: bool = True,
        shuffled: bool = False,
        counters: Array = NO_COUNTERS,
    ) -> None:
        self.vectors, self.rows, self.parts, self.shuffled = vectors, rows, parts, shuffled
        values, gradients, state = vectors
        dtype, inputs = values.dtype, plan.operations[0, job.INPUTS]
        weights = [layer for layer in layers if isinstance(layer, Affine)]
        some = rows if training else 0
        tensors = rows * columns if training else parts * forward.BLOCK_ROWS * columns
        largest = max(min(layer.inputs * layer.outputs, _update_size(layer)) for layer in weights) if training else 0
        self.rates = np.zeros(NUMBERS)
        self.optimizer: Optimizer | None = None  # whose update it makes
        self.is_set = False
        self.arrays: dict[str, Array] = {
            "operations": plan.operations,
            "numbers": plan.numbers,
            "rates": self.rates,
            "counters": counters,
            "values": values,
            "gradients": gradients,
            "state": state,
            "inputs": np.zeros(some * inputs if shuffled else 0, dtype),
            "tensors": np.zeros(tensors, dtype),
            "tensor_gradients": np.zeros(some * columns, dtype),
            "scratch": np.zeros(parts * _scratch_size(weights, some), dtype),
            "updates": np.zeros(parts * largest, dtype),
            "bias_sums": np.zeros(parts * operations.SUMS),
            "losses": np.zeros(some),
            "loss_sums": np.zeros(some),
            "hits": np.zeros(some, INDEX),
            "numbers_of_rows": np.arange(some, dtype=INDEX),
        }
        self.job = np.zeros(job.JOB_SIZE, INDEX)
        self.job[[job.LOSS, job.STATE_VECTORS]] = plan.loss, len(state)
        self.job[[job.CAPACITY, job.PARTS, job.TRAINED]] = rows, parts, trained
        for name, place in job.PLACES.items():
            self.job[place : place + 2] = self.arrays[name].ctypes.data, self.arrays[name].size

    @property
    def nbytes(self) -> int:
        """Of the tensors."""
        return self.arrays["tensors"].nbytes

    def is_set_for(self, optimizer: Optimizer | None) -> bool:
        """Whether it makes this optimizer's update with its numbers, which a class of a user's may change."""
        if not self.is_set or (self.optimizer is not optimizer and self.optimizer != optimizer):
            return False
        return optimizer is None or type(optimizer).numbers is Optimizer.numbers

    def set_update(self, optimizer: Optimizer | None) -> None:
        """Choose the update that training makes, and its numbers; refused if their dtype cannot hold one."""
        if optimizer is not None:
            numbers = numbers_in(self.vectors[0].dtype, optimizer.numbers)
            self.rates[: len(numbers)] = numbers
        self.job[job.UPDATE] = UPDATES["none" if optimizer is None else optimizer.update].code
        self.optimizer, self.is_set = optimizer, True

    def suits(self, vectors: tuple[Any, Any, Any], rows: int, parts: int, shuffled: bool) -> bool:
        """Whether it can be used for that."""
        mine = self.vectors
        return (
            mine[0] is vectors[0]
            and mine[1] is vectors[1]
            and mine[2] is vectors[2]
            and self.rows >= rows
            and self.parts >= parts
            and self.shuffled >= shuffled
        )


def take_for_prediction(
    pool: list[Workspace],
    network: tuple[Sequence[Layer], job.Plan, int, int],
    vectors: tuple[Array, Array, Array],
    parts: int,
) -> Workspace:
    """One of the pool, so that no other Python thread uses it; a new one where none fits.

    network: layers, plan, columns, trained.
    """
    try:
        workspace = pool.pop()
    except IndexError:
        workspace = None
    if workspace is not None and workspace.suits(vectors, 0, parts, False):
        return workspace
    return Workspace(*network, vectors, 0, parts, training=False)


def _update_size(layer: Affine) -> int:
    """Gradients of a layer that are computed at once."""
    return max(parameter_part.UPDATE_SIZE, parameter_part.FEWEST_ROWS * layer.outputs)


def _scratch_size(weights: Sequence[Affine], rows: int) -> int:
    """Scratch of the matrix products for a training batch of so many rows; for predictions alone with 0."""
    sizes = [sparse_scratch_size(weights[0].inputs), sparse_scratch_size(rows)]
    sizes.append(SCRATCH_VECTORS * max(layer.outputs for layer in weights))
    for i, layer in enumerate(weights):
        sizes.append(scratch_size(layer.inputs, layer.outputs))
        sizes.append(scratch_size(rows, layer.outputs, "left"))
        sizes.append(scratch_size(layer.outputs, layer.inputs, "right") if i and rows else 0)
    return max(sizes)
