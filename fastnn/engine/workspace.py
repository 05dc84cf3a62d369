"""The memory of a network's kernels, and the job by which they find it."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.engine import threads
from fastnn.engine.indexing import Index
from fastnn.engine.interpreters import batch, forward, jobs, training, updating
from fastnn.engine.parameters import LINE, zeros_on_lines
from fastnn.engine.partition import LARGE, has_cuts, taken_by_columns
from fastnn.engine.plan import INDEXED, PREDICTING, SPARSE, TRAINING, TRAINING_WORK, Plan, place_tensors
from fastnn.engine.samples import ByteRows
from fastnn.engine.short import ask
from fastnn.gate.arrays import Array
from fastnn.kernels.addresses import LATER
from fastnn.kernels.doors import made_for, make_all
from fastnn.kernels.frames import BREADTH, EACH_PLACE, HEIGHT, IS_MATRIX
from fastnn.kernels.ground import bound
from fastnn.kernels.matmul import CHAIN, DEEP, ONE_CHAIN
from fastnn.kernels.units import Unit, launcher
from fastnn.operations.losses.base import NO_LABELS
from fastnn.operations.updates.base import CLIP_NORM, CLIP_VALUE, RATE, RATES
from fastnn.optimizers import OWN, Optimizer, Rule

INDEX = np.dtype(np.intp)
NO_ORDER = np.empty(0, INDEX)  # samples as they come
NO_WEIGHTS = np.empty(0)  # each counts once
NO_COUNTERS = np.zeros(jobs.COUNTERS, INDEX)  # for predictions, which count nothing

# Units of the interpreters that few networks or calls need.
SELDOM = (
    batch.staged_part, batch.between_stages, training.statistics_part, batch.weigh, batch.hits_of_rows,
    training.check_targets, forward.predict_stage,
    updating.penalize, updating.measure_penalty, updating.clip_values, updating.clip_to_norm,
    updating.clipped_part,
)  # fmt: skip


class Workspace:
    """Scratch for batches of at most `rows` rows on at most `parts` threads.

    plan, columns, trained: results of `compile_plan` for the network's layers.
    values, gradients, state: the network's flat vectors. The job holds their addresses, so it is made anew if one of
        them is replaced.
    training: False is for predictions alone, which take forward.BLOCK_ROWS rows on each thread, whatever `rows` is.
    shuffled: whether batches are gathered.
    counters: the network's counters.
    """

    def __init__(
        self,
        plan: Plan,
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
        dtype, inputs = values.dtype, int(plan.operations[0, jobs.WIDTH_IN])
        self.plan, self.dtype, self.training = plan, dtype, training
        self.takes_labels = plan.loss_of_labels is not NO_LABELS and bool(plan.operations[-1, jobs.WIDTH_OUT] > 1)
        self.table = plan.table(dtype, TRAINING if training else PREDICTING)
        some = rows if training else 0
        if not training:
            self.rows = rows = parts * forward.BLOCK_ROWS
        self.table[:, jobs.BY_COLUMNS] = taken_by_columns(plan, rows, parts, dtype.itemsize)
        tensors = place_tensors(self.table, rows, 0 if training else parts)
        largest = largest_update(self.table) if training else 0
        self.rates = np.zeros((len(plan.factors), RATES))
        self._later: dict[int, Unit | None] = {}
        self.rule: Rule | None = None  # the update that it makes, and its optimizer
        self.optimizer: Optimizer | None = None
        self.optimizer_at_once: Optimizer | None = None  # if its update is no more than one call
        self._bound: dict[tuple[int, ...], Callable[..., Any]] = {}  # see `on`
        self.arrays: dict[str, Array] = {
            "operations": self.table,
            "numbers": plan.numbers,
            "rates": self.rates,
            "counters": counters,
            "values": values,
            "gradients": gradients,
            "state": state,
            "inputs": _gathered(some if shuffled else 0, inputs, dtype),
            "tensors": zeros_on_lines(tensors, dtype),
            "tensor_gradients": zeros_on_lines(some * columns, dtype),
            "scratch": zeros_on_lines(parts * scratch_size(plan, some), dtype),
            "updates": zeros_on_lines(parts * largest, dtype),
            "sums": np.zeros(parts * jobs.SUMS),
            "losses": np.zeros(some),
            "loss_sums": np.zeros(some),
            "hits": np.zeros(some, INDEX),
            "numbers_of_rows": np.arange(max(some, forward.BLOCK_ROWS), dtype=INDEX),
            "chain_sums": zeros_on_lines(chain_sums_size(plan, some, parts, dtype.itemsize), dtype),
            "penalties": np.zeros(2),
        }
        self._make_job(rows, trained)

    def _make_job(self, rows: int, trained: int) -> None:
        """Make the job of these arrays."""
        plan, dtype = self.plan, self.dtype
        inputs, state, parts = int(plan.operations[0, jobs.WIDTH_IN]), self.vectors[2], self.parts
        self.job = np.zeros(jobs.JOB_SIZE, INDEX)
        self.job[[jobs.OPERATION_COUNT, jobs.STATE_VECTORS]] = len(self.table), len(state)
        self.job[[jobs.CAPACITY, jobs.PARTS, jobs.TRAINED, jobs.ITEM]] = rows, parts, trained, dtype.itemsize
        self.job[[jobs.DATA_INPUTS, jobs.DATA_OUTPUTS]] = inputs, plan.operations[-1, jobs.WIDTH_OUT]
        if self.training:
            self.job[jobs.ACCEPTS] = plan.accepts
            self.job[jobs.PARAMETER_PART] = updating.parameter_part.address(dtype)
            has_stages = has_cuts(self.plan, rows, parts, dtype.itemsize)
            self.job[jobs.BATCH_PART] = (batch.staged_part if has_stages else batch.batch_part).address(dtype)
            if has_stages:
                self.job[jobs.BETWEEN_STAGES] = batch.between_stages.address(dtype)
            if plan.uses_statistics:
                self.job[jobs.STATISTICS_PART] = training.statistics_part.address(dtype)
            if plan.penalties:
                self.job[jobs.PENALIZE] = updating.penalize.address(dtype)
            self._add_later({jobs.LOSS: plan.loss.rows, jobs.LOSS_OF_LABELS: plan.loss_of_labels.rows})
            self._add_later({jobs.WEIGH: batch.weigh, jobs.COUNT_HITS: batch.hits_of_rows, jobs.UNPACK: batch.unpack})
            self._add_later(
                {jobs.CHECK_TARGETS: training.check_targets, jobs.MEASURE_PENALTY: updating.measure_penalty}
            )
        else:
            self.job[jobs.PREDICT_PART] = forward.predict_part.address(dtype)
            if self.table[:, jobs.BY_COLUMNS].any():
                self.job[jobs.PREDICT_STAGE] = forward.predict_stage.address(dtype)
        for name, array in self.arrays.items():
            self._set_array(name, array)

    def _set_array(self, name: str, array: Array) -> None:
        """Hold an array, and point the job to it."""
        self.arrays[name] = array
        place = jobs.PLACES[name]
        self.job[place : place + 2] = array.ctypes.data, array.size

    @functools.cached_property
    def door(self) -> Any:
        """The compiled function that Python calls with the job; None without the compiler."""
        return made_for(training.train if self.training else forward.predict, self.dtype)

    @functools.cached_property
    def at_once(self) -> Callable[..., Any]:
        """Train on x and t, which is given twice, if they are plain and one thread does; see training.train."""
        most = min(self.rows, int(threads.SMALL_WORK / (TRAINING_WORK * self.plan.flop)))
        if self.door is None:
            return ask
        if most <= 0:
            return lambda *_: (0, 0.0, 0, jobs.MANY)
        return bound(self.door, 1, 0, *self.first_of_batch(most), keeps=self.memory)

    def on(self, n: int, *first: int) -> Callable[..., Any]:
        """Predict on n threads by a call that keeps the interpreter's lock; first: forward.predict's before the job."""
        found = self._bound.get((n, *first))
        if found is None:
            arguments = n, launcher() if n > 1 else 0, *first, self.job
            found = self._bound[n, *first] = bound(self.door, *arguments, keeps=self.memory)
        return found

    def set_index(self, index: Index | None) -> None:
        """Let calls take their rows from an index, or from x itself for None."""
        if index is not None and not self.training and not self.arrays["inputs"].size:
            # Pages of it become memory when rows are made dense, which few networks need.
            rows = zeros_on_lines(self.parts * forward.BLOCK_ROWS * int(self.job[jobs.DATA_INPUTS]), self.dtype)
            self._set_array("inputs", rows)
        for name, array in zip(("lists", "list_starts"), (None, None) if index is None else index, strict=True):
            place = jobs.PLACES[name]
            self.job[place : place + 2] = (0, 0) if array is None else (array.ctypes.data, array.size)

    def _set_bytes(self, rows: ByteRows | None) -> None:
        """Let calls take their rows from bytes, or from x itself for None."""
        place = jobs.PLACES["bytes"]
        self.job[place : place + 2] = (0, 0) if rows is None else (rows.held.ctypes.data, rows.held.size)
        self.job[jobs.BYTE_SCALE] = np.float64(1.0 if rows is None else rows.scale.factor).view(np.int64)

    def begin(self, penalties: Array | None, index: Index | None, rows: ByteRows | None = None) -> None:
        """Let calls add penalties to a sum, (1,), and take rows from an index or bytes, if given, until `end`."""
        self.set_index(index)
        self._set_bytes(rows)
        if penalties is not None:
            self.arrays["penalties"][:1], self.job[jobs.MEASURES_PENALTY] = penalties, 1

    def end(self, penalties: Array | None) -> None:
        """Write the sum, and forget the index and the bytes."""
        self.set_index(None)
        self._set_bytes(None)
        if penalties is not None:
            penalties[:], self.job[jobs.MEASURES_PENALTY] = self.arrays["penalties"][:1], 0

    @property
    def memory(self) -> tuple[Any, ...]:
        """The arrays whose addresses the job holds."""
        return (*self.arrays.values(), *self.vectors)

    def first_of_batch(self, most: int) -> tuple[Any, ...]:
        """The arguments of training.train before one batch of at most `most` rows, at which the gate has not looked."""
        return (most, self.takes_labels, self.job, NO_ORDER, NO_WEIGHTS, 0, 1, 0, 0.0, True, True, False)

    def _add_later(self, units: dict[int, Unit | None]) -> None:
        """The units that are compiled when a call turns out to need them, by their slots of the job."""
        for slot, unit in units.items():
            self.job[slot] = 0 if unit is None else LATER
        self._later.update(units)

    def compile_wanted(self) -> None:
        """Compile the unit that a call lacked, which returned NEEDS_UNIT."""
        slot = int(self.job[jobs.WANTED])
        unit = self._later.get(slot)
        if unit is None:
            self.plan.add_sparse(self.table, INDEXED if slot == jobs.INDEXED else SPARSE, self.dtype)
        else:
            self.job[slot] = unit.address(self.dtype)

    @property
    def nbytes(self) -> int:
        """The size of the tensors and, for predictions, of rows that are made dense."""
        return self.arrays["tensors"].nbytes + (0 if self.training else self.arrays["inputs"].nbytes)

    def rule_for(self, optimizer: Optimizer) -> Rule | None:
        """The rule of this optimizer if it is the current one; None if it must be read anew."""
        kind = type(self.optimizer)
        if kind is type(optimizer) and kind in OWN and (self.optimizer is optimizer or self.optimizer == optimizer):
            return self.rule
        return None

    def set_update(self, rule: Rule, optimizer: Optimizer | None) -> None:
        """Choose the update that training makes, and note its optimizer."""
        units: list[Unit | None] = [None] * 4
        outer = None
        if rule.kind is not None:
            kind, numbers = rule.kind, rule.numbers
            by_value = updating.clip_values if numbers[CLIP_VALUE] < np.inf else None
            by_norm = (updating.clip_to_norm, updating.clipped_part) if numbers[CLIP_NORM] < np.inf else (None, None)
            units, outer = [kind.unit, by_value, *by_norm], kind.outer
        addresses = [0 if one is None else one.address(self.dtype) for one in units]
        # Compiled by now: where that was interrupted, the job and its rule are still what they were.
        self.rule = self.optimizer_at_once = None
        self.rates[:, : len(rule.numbers)] = rule.numbers
        self.rates[:, RATE] *= self.plan.factors
        self.job[[jobs.UPDATE, jobs.CLIP_VALUES, jobs.CLIP_TO_NORM, jobs.CLIPPED_PART]] = addresses
        self._add_later({jobs.OUTER: outer})
        self.rule, self.optimizer = rule, optimizer
        self.optimizer_at_once = optimizer if type(optimizer) in OWN and units[2] is None else None

    def suits(self, vectors: tuple[Any, Any, Any], rows: int, parts: int, shuffled: bool) -> bool:
        """Whether it can be used for these vectors and sizes."""
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
    pool: list[Workspace], network: tuple[Plan, int, int], vectors: tuple[Array, Array, Array], parts: int
) -> Workspace:
    """A workspace taken from the pool, so that no other Python thread uses it, or a new one.

    network: plan, columns, trained.
    """
    try:
        workspace = pool.pop()
    except IndexError:
        workspace = None
    if workspace is not None and workspace.suits(vectors, 0, parts, False):
        return workspace
    compile_for_prediction(network[0], vectors[0].dtype, parts)
    return Workspace(*network, vectors, 0, parts, training=False)


def compile_for_prediction(plan: Plan, dtype: Any, parts: int) -> None:
    """Compile all that a first prediction needs, in one go: the one who waits sees how much that is."""
    has_stages = taken_by_columns(plan, parts * forward.BLOCK_ROWS, parts, dtype.itemsize).any()
    stage = [forward.predict_stage] if has_stages else []
    make_all([*plan.units(PREDICTING), forward.predict_part, *stage, forward.predict], dtype)


def compile_for_training(plan: Plan, dtype: Any, rule: Rule, of_labels: bool, rows: int, parts: int) -> None:
    """As `compile_for_prediction`, for a first step of so many rows on so many threads."""
    units = plan.units(TRAINING)
    has_stages = has_cuts(plan, rows, parts, dtype.itemsize)
    units += [updating.parameter_part, batch.staged_part if has_stages else batch.batch_part]
    units += [(plan.loss_of_labels if of_labels else plan.loss).rows, None if rule.kind is None else rule.kind.unit]
    make_all([*units, training.train], dtype)


def _gathered(rows: int, inputs: int, dtype: Any) -> Array:
    """Memory for the rows of a batch that are gathered, or made dense."""
    try:
        return zeros_on_lines(rows * inputs, dtype)
    except (MemoryError, ValueError) as error:  # ValueError: beyond the address space
        came = f"{rows:,} rows of {inputs:,} numbers, {rows * inputs * dtype.itemsize / 2**30:,.0f} GiB"
        raise MemoryError(
            f"x: expected a batch whose rows fit into memory, got {came}; take smaller batches"
        ) from error


def largest_update(table: Array) -> int:
    """The most elements of a matrix's gradient that are computed at once."""
    sizes = [0]
    for row in table:
        for which in range(int(row[jobs.PARAMETERS])):
            place = row[jobs.PLACES_AT + EACH_PLACE * which :][:EACH_PLACE]
            if place[IS_MATRIX]:
                height, breadth = int(place[HEIGHT]), int(place[BREADTH])
                sizes.append(min(height * breadth, max(updating.INDEXED_SIZE, updating.FEWEST_ROWS * breadth)))
    return max(sizes)


def chain_sums_size(plan: Plan, rows: int, parts: int, item: int) -> int:
    """Elements of the sums with which an update goes ahead to the next batch, if they stay in the cache; else 0."""
    inputs, outputs = (int(plan.operations[0, column]) for column in (jobs.WIDTH_IN, jobs.WIDTH_OUT))
    if parts == 1 or plan.layers[0].units.indexed_forward is None or not ONE_CHAIN < inputs <= DEEP:
        return 0
    size = max(2, -(-inputs // CHAIN)) * rows * outputs  # there may be fewer chains
    return size if size * item <= LARGE // 2 else 0


def scratch_size(plan: Plan, rows: int) -> int:
    """Elements of scratch for a training batch of `rows` rows, in whole lines of the cache; for predictions if 0."""
    most = max(layer.scratch_size(rows, *shapes) for layer, shapes in zip(plan.layers, plan.shapes, strict=True))
    return -(-most // LINE) * LINE
