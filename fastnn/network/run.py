"""A training run: epochs over one network, cut into compiled calls, and what it would take to go on later."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastnn.engine.engine import Batches, Snapshot
from fastnn.engine.interpreters.jobs import DONE, NOT_FINITE
from fastnn.engine.workspace import NO_ORDER
from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.returned import pinned
from fastnn.network import callbacks
from fastnn.network.history import History
from fastnn.network.requests import Request
from fastnn.optimizers import Optimizer
from fastnn.system.progress import Progress

if TYPE_CHECKING:
    from fastnn.network.network import Network
    from fastnn.network.saving import Saver

# A compiled call cannot be interrupted, so a run is cut into calls of about this length: Ctrl-C is answered
# within 0.1 s.
SECONDS_PER_CALL = 0.05

Data: TypeAlias = tuple[Array, Array, Array, Array]  # x, labels, dense, order; see engine/interpreters/jobs.py


@dataclass
class Position:
    """Where a run stands: after whole epochs, and after batches of the next one.

    Attributes
    ----------
    epochs : int
        Completed epochs.
    batches : int
        Batches of the epoch that has begun.
    samples, hits : int
    losses : float
        Their samples, the ones that were right, and the sum of their losses.
    seconds : float
        How long the epoch that has begun has taken.
    learning_rate : float or None
        Its learning rate; None between two epochs.
    has_ended : bool
        Whether a callback has ended the training.
    """

    epochs: int = 0
    batches: int = 0
    samples: int = 0
    hits: int = 0
    losses: float = 0.0
    seconds: float = 0.0
    learning_rate: float | None = None
    has_ended: bool = False


class Run:
    """Trains a network as a request says; keeps the last finite parameters, to go back to.

    Attributes
    ----------
    before_order : dict or None
        The state of the generator before it drew the order of the epoch that has begun; None without an order.
    """

    def __init__(self, network: "Network", request: Request, savers: Sequence["Saver"] = ()) -> None:
        self.network, self.request, self.savers = network, request, savers
        self.history, self.position = History(), Position(request.initial_epoch)
        self.before_order: Mapping[str, Any] | None = None
        x, labels, dense = request.data
        order = np.arange(len(x), dtype=np.intp) if request.shuffle else NO_ORDER
        self.data: Data = (x, labels, dense, order)
        # Batch normalization would turn a single last row into 0.
        alone = len(x) % request.batch_size == 1 and request.batch_size > 1 and bool(network.statistics)
        self.samples = len(x) - alone  # of an epoch
        self.batches = -(-self.samples // request.batch_size)
        self._pins = pinned(*request.data, *(request.validation or ()))  # callbacks can reach the arrays behind them
        counts_hits = "accuracy" in request.figures
        analytic = partial(network.engine.run_batches, weights=request.weights, counts_hits=counts_hits)
        self._run_batches: Any = self._run_numerical if request.numerical else analytic
        self._batches_per_call = 1
        self._saved = network.engine.snapshot()

    def train(self) -> History:
        """Train to the last epoch, or until a callback ends it."""
        request = self.request
        try:
            self._compile()
            while not self.is_complete:
                self._epoch()
        finally:
            callbacks.end(request.callbacks, self.network, self.history)
        return self.history

    @property
    def batches_done(self) -> int:
        """The batches of all epochs of this run."""
        return self.history.epochs * self.batches + self.position.batches

    @property
    def is_complete(self) -> bool:
        """Whether no further epoch will begin."""
        return self.position.has_ended or self.position.epochs >= self.request.epochs

    def go_on_at(self, position: Mapping[str, Any], snapshot: Snapshot) -> None:
        """Put the network into the state of a snapshot, and go on at this position."""
        self.position = Position(**position)
        if snapshot.optimizer is None and snapshot.update == self.request.optimizer.update:  # of a user's class
            snapshot = snapshot._replace(optimizer=self.request.optimizer)
        self.network.engine.restore(snapshot)
        self._saved = self.network.engine.snapshot()

    def draw_order(self) -> None:
        """Draw the order of an epoch."""
        self.data[3][:] = checks.permutation("rng", self.request.generator, len(self.data[0]))

    def _epoch(self) -> None:
        """One pass over the data, or the rest of one that has begun; then the callbacks."""
        request, position = self.request, self.position
        started = time.perf_counter() - position.seconds
        optimizer = self._optimizer()
        if position.learning_rate is None and request.shuffle:  # drawn anew, so that two fits give the epochs of one
            self.before_order = request.generator.bit_generator.state
            self.draw_order()
        position.learning_rate = optimizer.lr
        label = f"epoch {position.epochs + 1}/{request.epochs}"
        with Progress(self.samples, label, enabled=request.progress) as bar:
            if position.samples:
                bar.update(position.samples)
            while position.batches < self.batches:
                self._call(optimizer, bar)
                position.seconds = time.perf_counter() - started
                if position.batches < self.batches:
                    for saver in self.savers:
                        saver.after_batches(self)
        row = {"loss": position.losses / position.samples, "accuracy": position.hits / position.samples}
        row["learning_rate"] = optimizer.lr
        if request.validation is not None:
            measured = self.network.engine.measure_on(*request.validation)
            row["validation_loss"], row["validation_accuracy"] = measured
        row["seconds"] = time.perf_counter() - started
        for name in request.figures:  # once all are known: Ctrl-C must not leave half a row
            getattr(self.history, name).append(row[name])
        self.position, self.before_order = Position(position.epochs + 1), None
        self.position.has_ended = callbacks.after_epoch(request.callbacks, self.network, self.history)
        for saver in self.savers:
            saver.after_epoch(self)

    def _optimizer(self) -> Optimizer:
        """The optimizer of the epoch that begins, or has begun."""
        given, schedule, epoch = self.request.optimizer, self.request.schedule, self.position.epochs
        if self.position.learning_rate is not None:
            return given if schedule is None else replace(given, lr=self.position.learning_rate)
        if schedule is None:
            return given
        name = f"schedule(epoch={epoch}, history)"
        factor = arrays.real(name, schedule(epoch, self.history), minimum=0.0)
        return replace(given, lr=given.lr * factor)

    def _call(self, optimizer: Optimizer, bar: Progress) -> None:
        """Train on the next batches of the epoch, as many as one call takes, or as there are until a file is due."""
        position, engine = self.position, self.network.engine
        first = position.batches
        last = min(self.batches, first + self._batches_per_call)
        for saver in self.savers:
            last = min(last, first + (saver.batches_left(self.batches_done) or last))
        with engine.lock:  # another thread saves finite parameters only
            start = time.perf_counter()
            result = self._run_batches(self.data, optimizer, (first, last, self.request.batch_size), position.losses)
            self._pace(last - first, time.perf_counter() - start)
            if not (result[3] == DONE and np.isfinite(engine.values).all()):
                engine.restore(self._saved)
                self._refuse_divergence(first, last)
            engine.optimizer = self.request.optimizer
            self._saved = engine.snapshot(self._saved)
        position.batches, position.samples = last, position.samples + result[0]
        position.losses, position.hits = result[1], position.hits + result[2]
        bar.update(result[0], loss=position.losses / position.samples)

    def _refuse_divergence(self, first: int, last: int) -> None:
        """Say where the training diverged."""
        x, labels = self.data[:2]
        if labels.size:  # a callback may have changed the labels
            arrays.labels("t", labels, len(x), self.network.outputs)
        raise TrainingDivergedError(
            f"loss: expected finite numbers, got NaN or infinity in epoch {self.position.epochs + 1}, "
            f"batches {first + 1} to {last} of {self.batches}; the network keeps its last finite parameters: "
            "lower the learning rate or scale the data"
        )

    def _compile(self) -> None:
        """Load or compile the kernels by training on no batch, so that the first epoch's seconds are its own."""
        size, optimizer, engine = self.request.batch_size, self.request.optimizer, self.network.engine
        self._run_batches(self.data, optimizer, (0, 0, size))
        if self.request.numerical:
            x, labels, dense = (part[:size] for part in self.data[:3])
            gradients = engine.perturbation((x, labels, dense)).gradient()[0]
            engine.measure_on(x, labels, dense)
            vector = np.concatenate([part.ravel() for part in gradients.values()])
            engine.update(0.0 * vector, optimizer)
            engine.restore(self._saved)

    def _run_numerical(
        self, data: Data, optimizer: Optimizer, batches: tuple[int, int, int], losses: float = 0.0
    ) -> Batches:
        """As `Engine.run_batches`, by numerical gradients."""
        engine, samples, hits, size = self.network.engine, 0, 0, batches[2]
        for start in range(batches[0] * size, batches[1] * size, size):
            some: Any = slice(start, min(start + size, len(data[0])))
            some = data[3][some] if data[3].size else some
            x, labels, dense = (part[some] if len(part) else part for part in data[:3])
            loss, accuracy = engine.measure_on(x, labels, dense)
            if not np.isfinite(loss):
                return samples, losses, hits, NOT_FINITE
            gradients, _ = engine.perturbation((x, labels, dense)).gradient()
            engine.update(np.concatenate([part.ravel() for part in gradients.values()]), optimizer)
            samples, losses, hits = samples + len(x), losses + loss * len(x), hits + round(accuracy * len(x))
        return samples, losses, hits, DONE

    def _pace(self, batches: int, seconds: float) -> None:
        """Choose the next call's batches."""
        wanted = int(SECONDS_PER_CALL * batches / max(seconds, 1e-9))
        self._batches_per_call = max(1, min(wanted, 8 * self._batches_per_call))
