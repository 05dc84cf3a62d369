"""Engine: a plan with its flat vectors, the scratch that kernels need, and the compiled calls on them."""

import copy
import math
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from fastnn.engine import finite, observation, predictions, threads
from fastnn.engine.finite import Look
from fastnn.engine.indexing import Index
from fastnn.engine.inputs import InputScale
from fastnn.engine.interpreters import forward, jobs, training
from fastnn.engine.losses import learn_loss, sum_of_losses
from fastnn.engine.parameters import Parameters, Views, vector
from fastnn.engine.parameters import Snapshot as Snapshot
from fastnn.engine.partition import shares_columns
from fastnn.engine.perturbation import Model, Perturbation
from fastnn.engine.plan import TRAINING_WORK, Compiled, check_layers, compile_plan
from fastnn.engine.predictions import LARGEST_KEPT
from fastnn.engine.regularization import (
    Regularization,
    check_names,
    check_regularization,
    penalty_on,
    set_penalties,
    with_l2,
)
from fastnn.engine.samples import ByteRows, Prepared, RowsOnDemand, Samples, SparseRows, byte_rows, sparse_rows
from fastnn.engine.shapes import flat_targets
from fastnn.engine.short import Way
from fastnn.engine.workspace import INDEX, NO_ORDER, NO_WEIGHTS, Workspace, compile_for_training
from fastnn.gate import arrays, sparse
from fastnn.gate.arrays import Array
from fastnn.gate.returned import pinned, targets
from fastnn.layers import Layer
from fastnn.losses import Loss, check_loss, own_loss
from fastnn.optimizers import NO_RULE, Optimizer, Rule, rule_of, that_can_be_pickled

# A compiled call cannot be interrupted, so predictions are cut into calls of at most this: 0.1 s at 20 GFLOP/s.
FLOP_PER_CALL = 2e9


Batches: TypeAlias = tuple[int, float, int, int]  # samples, the sum of their losses, hits, the outcome


def lone_row(name: str, remedy: str) -> ValueError:
    """The error for a batch of one row, which batch normalization would turn into 0."""
    expected = f"{name}: expected at least 2 rows, as BatchNorm goes by their mean and variance"
    return ValueError(f"{expected}, got 1; {remedy}")


class Engine:
    """A network's layers and loss as compiled code runs them; arguments as for `Network`, which has one."""

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: str | Loss,
        dtype: Any,
        regularization: Regularization | None,
        input_shape: Any = None,
        input_scale: Any = 1.0,
    ) -> None:
        self.layers, self.input_shape = check_layers(layers, input_shape)
        self.given_layers = tuple(layers)  # as the user gave them, for display
        self.loss = check_loss(loss)
        self.formula = own_loss(self.loss)  # only this one reaches a kernel
        self.is_own_loss = type(self.loss) is type(self.formula)
        dtype = arrays.float_dtype("dtype", dtype)
        self.input_scale = InputScale(input_scale, dtype)
        self.regularization = check_regularization(regularization, dtype)
        self.is_penalized = not self.regularization.is_none
        for i, layer in enumerate(self.layers):
            layer.check_in(f"layers[{i}]", dtype)
        self.n_threads: int | None = None  # None for `fastnn.get_num_threads`
        compiled = self.compiled()
        self.plan, self.places, self.statistics_places, self.shapes, self.columns, self.trained, size = compiled
        self.output_shape = self.shapes[-1]
        self.inputs, self.outputs = math.prod(self.input_shape), math.prod(self.output_shape)
        self.takes_rows = len(self.input_shape) == len(self.output_shape) == 1  # and gives rows, as kernels do
        # Which kernels can check, and take as they are.
        self.has_plain_targets = self.is_own_loss and len(self.output_shape) == 1 and not self.loss.smooths_labels
        # Whether one call checks a batch and trains by it (at_once.py), and the most rows of a prediction's call.
        self.takes_plain_rows = self.takes_rows and self.input_scale.is_one
        self.trains_at_once = self.has_plain_targets and self.takes_plain_rows and not self.statistics_places
        self.rows_of_call = max(forward.BLOCK_ROWS, int(FLOP_PER_CALL / self.plan.flop))
        self.takes_images = bool(self.plan.operations[0, jobs.AT_ONCE])
        self.shares_columns = shares_columns(self.plan, dtype.itemsize)
        self.way_of_loss, self.way_of_hits = Way(), Way()  # of outputs
        self.by_name = Views(self.places)
        self.gradients = vector(size, dtype)
        self._hold(vector(size, dtype))
        self.no_targets = np.empty((0, self.outputs), dtype)
        self.state = np.zeros((0, size), dtype)
        self.state_owner: str | None = None
        self.optimizer: Optimizer | None = None  # the state's; also None if a file does not tell
        self.counters = np.zeros(jobs.COUNTERS, INDEX)  # kernels count in it
        self.workspace: Workspace | None = None
        self.prediction_workspaces: list[Workspace] = []  # the ones not in use
        self.lock = threading.RLock()
        observation.register(self)

    def compiled(self) -> Compiled:
        """The plan of the layers, the loss and the regularization."""
        numbers = (*self.formula.numbers(), self.regularization.data)
        compiled = compile_plan(self.layers, self.input_shape, self.formula, numbers)
        check_names(self.regularization, list(compiled.places))
        set_penalties(compiled.plan, self.regularization)
        return compiled

    def _hold(self, memory: Array) -> None:
        """Take this vector for the parameters and statistics.

        Users' views have the vector itself as their base, so kernels use another view, of memory that stays in place.
        """
        self.memory, self.values, self._pins = memory, memory[:], pinned(memory)
        self.penalized = [(self.values[some], l1, l2) for some, l1, l2 in self.plan.penalties]
        self.prediction, self.prediction_of_scaled = Way(), Way()
        self.scaling: Way | None = None  # of plain rows before a prediction of scaled ones
        self.workspace_at_once: Workspace | None = None  # of its own, as such calls overlap with no others

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64: the dtype of the parameters, gradients and outputs."""
        dtype: np.dtype[Any] = self.values.dtype
        return dtype

    @property
    def params(self) -> Parameters:
        """The parameters by name, as writable views."""
        return Parameters(self.values, self.places)

    @property
    def statistics(self) -> Parameters:
        """The statistics that BatchNorm has learned by name, as writable views."""
        return Parameters(self.values, self.statistics_places, "statistics")

    def predict(self, x: Any, out: Any = None, check_finite: bool = True) -> Array:
        """See `Network.predict`."""
        if check_finite is not True:
            check_finite = arrays.flag("check_finite", check_finite)
        return predictions.predict(self, x, out, check_finite)

    def outputs_of(self, x: Samples) -> Array:
        """The outputs (N, *output_shape) for prepared rows."""
        y = np.empty((len(x), *self.output_shape), self.dtype)
        predictions.predict_rows(self, x, y.reshape(len(x), self.outputs), False)
        return y

    def prepare(
        self, x: Any, t: Any, check_finite: bool, names: tuple[str, str] = ("x", "t"), look: Look = finite.check_finite
    ) -> Prepared:
        """Data and targets as kernels take them: x (N, D), labels (N,) or empty, dense (N, K) or empty."""
        x = self.prepare_rows(names[0], x, check_finite, look=look)
        if not isinstance(x, RowsOnDemand):
            # Data that are parameters would change while they are read.
            x = x.copy() if np.may_share_memory(x, self.values) else x[:]
        return x, *self.prepare_targets(names[1], t, len(x), check_finite)

    def prepare_rows(
        self, name: str, x: Any, check_finite: bool, allow_empty: bool = False, look: Look = finite.check_finite
    ) -> Samples:
        """Data as kernels take them: (N, D), times the input scale; bytes stay bytes, which kernels scale."""
        options = self._options(check_finite)
        if sparse.is_sparse(x):
            return sparse_rows(name, x, self.input_shape, self.input_scale, allow_empty=allow_empty, **options)
        found = byte_rows(x, self.input_shape, self.input_scale)
        if found is not None and not np.may_share_memory(found.held, self.values):
            return found
        is_finite = options.pop("finite")
        x = arrays.floats(name, x, ("N", *self.input_shape), **options, allow_empty=allow_empty)
        if is_finite:
            look(name, x, self.n_threads)
            self.input_scale.check_finite(name, x)
        return self.input_scale.of(x).reshape(len(x), self.inputs)

    def prepare_targets(self, name: str, t: Any, rows: int, check_finite: bool) -> tuple[Array, Array]:
        """Targets as kernels take them: labels (N,) or empty, dense (N, K) or empty."""
        options = self._options(check_finite)
        t = t if self.takes_rows else flat_targets(name, t, rows, self.output_shape, options)
        found = self.loss.targets(name, t, rows, self.outputs, self.dtype, options["finite"])
        if not self.is_own_loss:
            found = targets(name, found, rows, self.outputs, self.dtype, self.formula.takes_labels)
        labels, dense = found[0][:], found[1][:]  # views, as they may be the user's arrays
        return labels, dense.copy() if np.may_share_memory(dense, self.values) else dense

    def _options(self, check_finite: bool) -> dict[str, Any]:
        wanted = arrays.flag("check_finite", check_finite)
        return {"dtype": self.dtype, "rounding": True, "finite": wanted, "option": arrays.CHECK_FINITE}

    def counts_hits(self, labels: Array, dense: Array) -> bool:
        """Whether prepared targets are classes, so that an accuracy makes sense."""
        if len(self.output_shape) > 1:
            return False
        if labels.size or self.loss.smooths_labels:
            return True
        if dense.shape[1] == 1:
            return self.loss.border is not None
        return bool(((dense == 0) | (dense == 1)).all() and (dense.sum(axis=1) == 1).all())

    def evaluate(self, x: Samples, labels: Array, dense: Array, y: Any = None) -> tuple[float, float]:
        """Mean loss, penalty included, and accuracy on prepared data; y: the outputs, if they are known."""
        if self.has_plain_targets and self.takes_rows:
            learn_loss(self.way_of_loss, self.formula, self.dtype, labels.size > 0, True)
        loss, accuracy = self.measure_on(x, labels, dense) if y is None else self.measure(y, labels, dense)
        return self.with_penalty(loss), accuracy

    def with_penalty(self, loss: float) -> float:
        """A mean loss of data and the penalty."""
        return self.regularization.data * loss + self.penalty() if self.is_penalized else loss

    def measure_on(self, x: Samples, labels: Array, dense: Array) -> tuple[float, float]:
        """Mean loss of the data alone, and accuracy."""
        return self.measure(self.outputs_of(x).reshape(len(x), self.outputs), labels, dense)

    def measure(self, y: Array, labels: Array, dense: Array) -> tuple[float, float]:
        """Mean loss and accuracy of outputs (N, K), float32 or float64, for prepared targets."""
        hits, parts = np.empty(len(y), INDEX), threads.at_most(self.n_threads)
        unit = (self.plan.loss_of_labels if labels.size else self.plan.loss).rows
        arguments = unit, self.formula.numbers(), y, labels, dense, np.empty_like(y)
        return sum_of_losses(*arguments, hits=hits, parts=parts)[0] / len(y), float(hits.mean())

    def penalty(self) -> float:
        """The penalty that regularization adds to the loss."""
        return penalty_on(self.penalized)

    def penalize(self, l2: float) -> None:
        """Let the penalty be l2 / 2 sum w^2 from the next batch on."""
        if l2 != self.regularization.l2:
            self.workspace = self.workspace if l2 != 0.0 != self.regularization.l2 else None  # with its unit or without
            self.regularization = with_l2(self.regularization, l2)
            self.is_penalized = not self.regularization.is_none
            set_penalties(self.plan, self.regularization)  # where kernels read it
            self.penalized = [(self.values[some], l1, l2) for some, l1, l2 in self.plan.penalties]

    def perturbation(self, data: Prepared) -> Perturbation:
        """The network on prepared data, for numerical gradients."""
        return Perturbation(Model(self.plan, self.places, self.columns, self.values), data, self.n_threads)

    def snapshot(self, into: Snapshot | None = None) -> Snapshot:
        """A copy of the parameters and the optimizer's state, in the arrays of `into` if they fit."""
        with self.lock:  # between two updates of another thread
            if into is None or into.state.shape != self.state.shape:
                parameters, state = self.values.copy(), self.state.copy()
            else:
                parameters, state = into.parameters, into.state
                parameters[:], state[:] = self.values, self.state
            steps, draws, seed = (int(self.counters[place]) for place in (jobs.STEPS, jobs.DRAWS, jobs.SEED))
            return Snapshot(parameters, state, self.state_owner, steps, draws, seed, self.optimizer)

    def restore(self, saved: Snapshot) -> None:
        """Go back to a snapshot."""
        with self.lock:
            self.values[:], self.state = saved.parameters, saved.state.copy()
            self.state_owner, self.optimizer = saved.update, saved.optimizer
            self.counters[[jobs.STEPS, jobs.DRAWS, jobs.SEED]] = saved.steps, saved.draws, saved.seed

    def update(self, gradients: Array, optimizer: Optimizer) -> None:
        """Update the parameters once by these gradients (P,)."""
        rule = self.rule(optimizer)
        with self.lock:
            self.state, self.state_owner, workspace = self._ready_for(rule, optimizer, 1, 1, False)
            self.optimizer = optimizer
            self.gradients[: gradients.size] = gradients
            training.apply_update(1, 0, workspace.job, self.values)

    def gradient_of(self, data: Prepared) -> dict[str, Array]:
        """The gradient of the mean loss on prepared data; new arrays."""
        with self.lock:
            self.run_batches((*data, NO_ORDER), None, (0, 1, len(data[0])))
            return self.by_name(self.gradients.copy())

    def is_finite(self) -> bool:
        """Whether all parameters and statistics are finite."""
        return finite.all_finite(self.values, self.n_threads)

    # Eleven parameters: one call is all that a batch costs in Python.
    def run_batches(
        self,
        data: tuple[Samples, Array, Array, Array],
        optimizer: Optimizer | None,
        batches: tuple[int, int, int],
        losses: float = 0.0,
        check: tuple[bool, bool] = (False, False),
        weights: Array = NO_WEIGHTS,
        counts_hits: bool = False,
        rule: Rule | None = None,
        penalties: Array | None = None,
        index: Index | None = None,
    ) -> Batches:
        """Train on mini-batches, (first, last, rows of one), of (x, labels, dense, order); see engine.training.train.

        The sum of losses goes on from `losses`. check: (labels, finite inputs); weights: of the samples' losses.
        rule: the optimizer's, if it was read already. penalties: (1,), a sum to which each batch adds its number of
        rows times the penalty on the parameters before its update. index: that of x, from which rows are then taken, as
        they are if x has nothing else.
        """
        x, labels, dense, order = data
        is_on_demand = isinstance(x, RowsOnDemand)  # so that rows may become floats in memory of the workspace's
        index, held = x.index if isinstance(x, SparseRows) else index, x if isinstance(x, ByteRows) else None
        x = x.array if isinstance(x, RowsOnDemand) else x
        parts, rows = threads.at_most(self.n_threads), batches[2]
        if rows == 1 and optimizer is not None and self.plan.needs_rows:
            raise lone_row("batch", "train on larger batches")
        work = TRAINING_WORK * rows * self.plan.flop
        rule = self.rule(optimizer) if rule is None else rule
        with self.lock:  # one batch at a time goes through the workspace
            steps = self.counters[jobs.STEPS]
            if self.workspace is None:
                compile_for_training(self.plan, self.dtype, rule, labels.size > 0, rows, parts)
            gathers = order.size > 0 or index is not None or held is not None
            state, owner, workspace = self._ready_for(rule, optimizer, rows, parts, gathers)
            first = 0, True, workspace.job, order, weights, *batches, losses, *check, counts_hits
            arguments = *first, x, labels, dense
            workspace.begin(penalties, index, held)
            try:
                samples, total, hits, outcome = threads.run(training.train, work, *arguments, n_threads=parts)
                while outcome == jobs.NEEDS_UNIT:
                    workspace.compile_wanted()
                    samples, total, hits, outcome = threads.run(training.train, work, *arguments, n_threads=parts)
            finally:
                workspace.end(penalties)
            if samples or optimizer is None:
                self.state, self.state_owner = state, owner
                self.optimizer = self.optimizer if optimizer is None else optimizer
            else:  # nothing was updated, so the state and its count stay
                self.counters[jobs.STEPS] = steps
            if workspace.nbytes + is_on_demand * workspace.arrays["inputs"].nbytes > LARGEST_KEPT:
                self.workspace = None
        return int(samples), float(total), int(hits), int(outcome)  # NumPy scalars without the compiler

    def rule(self, optimizer: Optimizer | None) -> Rule:
        """The optimizer's rule, read before the lock is taken: a user's class may itself train networks."""
        workspace = self.workspace
        if optimizer is None:
            return NO_RULE
        if workspace is None:
            return rule_of(optimizer, self.dtype)
        known = workspace.rule_for(optimizer)
        return rule_of(optimizer, self.dtype, workspace.rule) if known is None else known

    def _ready_for(
        self, rule: Rule, optimizer: Optimizer | None, rows: int, parts: int, shuffled: bool
    ) -> tuple[Array, str | None, Workspace]:
        """The optimizer's state, its update's name, and a workspace that makes this update."""
        vectors_of_state = 0 if rule.kind is None else len(rule.kind.keeps)
        state, owner, workspace = self.state, self.state_owner, self.workspace
        if rule.kind is not None and (owner != rule.kind.update or len(state) != vectors_of_state):
            # Another kind of optimizer starts afresh; the same kind goes on, with any learning rate.
            shape = (vectors_of_state, self.values.size)
            unused = None if workspace is None or workspace.vectors[2] is state else workspace.vectors[2]
            if unused is None or unused.shape != shape:
                unused = np.zeros(shape, self.dtype)
            unused[...], state, owner = 0.0, unused, rule.kind.update
            self.counters[jobs.STEPS] = 0
        vectors = (self.values, self.gradients, state)
        if workspace is None or not workspace.suits(vectors, rows, parts, shuffled):
            description = (self.plan, self.columns, self.trained)
            workspace = Workspace(*description, vectors, rows, parts, True, shuffled, self.counters)
            self.workspace = workspace
        if workspace.rule is not rule:
            workspace.set_update(rule, optimizer)
        return state, owner, workspace

    def __getstate__(self) -> dict[str, Any]:
        kept = self._kept()
        return {**kept, "optimizer": that_can_be_pickled(kept["optimizer"])}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Engine":
        made = memo[id(self)] = type(self).__new__(type(self))
        made.__setstate__(copy.deepcopy(self._kept(), memo))
        return made

    def _kept(self) -> dict[str, Any]:
        """The attributes of a copy."""
        views = "memory _pins prediction prediction_of_scaled scaling penalized workspace_at_once"
        dropped: dict[str, Any] = dict.fromkeys(["workspace", "lock", "plan", *views.split()])
        with self.lock:  # between two updates of another thread
            changed = {name: getattr(self, name).copy() for name in ("values", "state", "counters")}
            empty: dict[str, Any] = {"prediction_workspaces": [], "way_of_loss": Way(), "way_of_hits": Way()}
            return {**vars(self), **changed, **dropped, **empty}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Arrays may arrive in read-only memory, such as joblib's, but kernels write to them.
        vars(self).update(state)
        dtype = arrays.float_dtype("dtype", self.values.dtype)  # NumPy's own object, for which the gate tests
        self.plan = self.compiled().plan
        self.counters = np.array(self.counters, INDEX)
        values, self.state = self.values, np.array(self.state, dtype)
        self._hold(vector(values.size, dtype))
        self.values[:] = values
        self.gradients = vector(values.size, dtype)
        self.no_targets = np.empty((0, self.outputs), dtype)
        self.lock = threading.RLock()
        observation.register(self)
