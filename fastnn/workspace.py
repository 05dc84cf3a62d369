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
from fastnn.optimizers import OWN, Optimizer, Rule

INDEX = np.dtype(np.intp)
NO_COUNTERS = np.zeros(job.COUNTERS, INDEX)  # of predictions, which count nothing


class Workspace:
    """Scratch for batches of at most `rows` rows on at most `parts` threads.

    Parameters
    ----------
    plan, columns, trained
        What `compile_plan` made of the network's layers.
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
        dtype, inputs = values.dtype, int(plan.operations[0, job.INPUTS])
        table = plan.operations
        weights = [(int(row[job.INPUTS]), int(row[job.OUTPUTS])) for row in table if row[job.KIND] == job.AFFINE]
        some = rows if training else 0
        tensors = rows * columns if training else parts * forward.BLOCK_ROWS * columns
        largest = max(min(d * h, _update_size(h)) for d, h in weights) if training else 0
        self.rates = np.zeros(NUMBERS)
        self.rule: Rule | None = None  # the update that it makes, and whose
        self.optimizer: Optimizer | None = None
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

    def rule_for(self, optimizer: Optimizer) -> Rule | None:
        """The rule of this optimizer, if that is the one it makes; None where it must be read anew."""
        kind = type(self.optimizer)
        if kind is type(optimizer) and kind in OWN and (self.optimizer is optimizer or self.optimizer == optimizer):
            return self.rule
        return None

    def set_update(self, rule: Rule, optimizer: Optimizer | None) -> None:
        """Choose the update that training makes, and whose it is."""
        self.rates[: len(rule.numbers)] = rule.numbers
        self.job[job.UPDATE] = UPDATES[rule.update].code
        self.rule, self.optimizer = rule, optimizer

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
    network: tuple[job.Plan, int, int],
    vectors: tuple[Array, Array, Array],
    parts: int,
) -> Workspace:
    """One of the pool, so that no other Python thread uses it; a new one where none fits.

    network: plan, columns, trained.
    """
    try:
        workspace = pool.pop()
    except IndexError:
        workspace = None
    if workspace is not None and workspace.suits(vectors, 0, parts, False):
        return workspace
    return Workspace(*network, vectors, 0, parts, training=False)


def _update_size(outputs: int) -> int:
    """Gradients of a layer of so many outputs that are computed at once."""
    return max(parameter_part.UPDATE_SIZE, parameter_part.FEWEST_ROWS * outputs)


def _scratch_size(weights: Sequence[tuple[int, int]], rows: int) -> int:
    """Scratch of the matrix products for a training batch of so many rows; for predictions alone with 0.

    weights: (inputs, outputs) of each affine operation.
    """
    inputs, outputs = weights[0]
    sizes = [sparse_scratch_size(inputs, outputs), sparse_scratch_size(rows, outputs)]
    sizes.append(SCRATCH_VECTORS * max(outputs for _, outputs in weights))
    for i, (inputs, outputs) in enumerate(weights):
        sizes.append(scratch_size(inputs, outputs))
        sizes.append(scratch_size(rows, outputs, "left"))
        sizes.append(scratch_size(outputs, inputs, "right") if i and rows else 0)
    return max(sizes)
