"""A training run: epochs over one network, cut into compiled calls, and what it would take to go on later."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from fastnn.engine.engine import Batches, Snapshot
from fastnn.engine.indexing import Index
from fastnn.engine.interpreters.jobs import DONE, NOT_FINITE
from fastnn.engine.pace import Pace
from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.returned import pinned
from fastnn.network import callbacks, divergence
from fastnn.network.history import History
from fastnn.network.requests import Request
from fastnn.network.sources import Data, Part
from fastnn.optimizers import Optimizer
from fastnn.system import interruption
from fastnn.system.progress import Progress

if TYPE_CHECKING:
    from fastnn.network.network import Network
    from fastnn.network.saving import Saver

# Parameters are saved after so many times as long as it takes; in between, the batches since then are noted.
SAVING_PAYS = 50.0


@dataclass
class Position:
    """Where a run stands: after whole epochs, and after batches of the next one.

    Attributes
    ----------
    epochs : int
        Completed epochs.
    batches_before : int
        The batches of these epochs.
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
    batches_before: int = 0
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
    settings : dict or None
        What must be the same where the run goes on; None as long as nobody has asked, see `run_state.settings_of`.
    """

    def __init__(self, network: "Network", request: Request, savers: Sequence["Saver"] = ()) -> None:
        self.network, self.request, self.savers = network, request, savers
        self.history, self.position = History(), Position(request.initial_epoch)
        self.before_order: Mapping[str, Any] | None = None
        self.settings: dict[str, str] | None = None
        for name in request.figures:
            vars(self.history).setdefault(name, [])
        self.source = request.source
        self._pins = pinned(*(request.validation or ()))  # callbacks can reach the arrays behind them
        counts_hits = "accuracy" in request.figures
        analytic = partial(network.engine.run_batches, counts_hits=counts_hits)
        self._run_batches: Any = self._run_numerical if request.numerical else analytic
        self._by_batch, self._pace = callbacks.by_batch(request.callbacks), Pace()
        self._save()

    def train(self) -> History:
        """Train to the last epoch, or until a callback ends it."""
        request = self.request
        try:
            self._compile()
            with Progress(self.source.samples, enabled=request.progress) as bar:
                while not self.is_complete:
                    self._epoch(bar)
        finally:
            callbacks.end(request.callbacks, self.network, self.history)
        return self.history

    @property
    def batches_done(self) -> int:
        """The batches of all epochs of this run."""
        return self.position.batches_before + self.position.batches

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
        self._save()

    def _epoch(self, bar: Progress) -> None:
        """One pass over the data, or the rest of one that has begun; then the callbacks."""
        request, position = self.request, self.position
        started = time.perf_counter() - position.seconds
        optimizer = self._optimizer()
        if callbacks.may_write(request.callbacks):
            self.source.look_again(bool(self._by_batch))
        if position.learning_rate is None and request.shuffle:  # drawn anew, so that two fits give the epochs of one
            self.before_order = request.generator.bit_generator.state
            self.source.draw(request.generator)
        position.learning_rate = optimizer.lr
        ends = False
        bar.begin(f"epoch {position.epochs + 1}/{request.epochs}")
        if position.samples:
            bar.update(position.samples)
        for part in self.source.parts(lambda: position.batches, self._most_batches):
            ends = self._train_on(part, optimizer, bar)
            position.seconds = time.perf_counter() - started
            if ends:
                break
            if position.batches != self.source.batches:
                for saver in self.savers:
                    saver.after_batches(self)
        bar.clear()
        row = {"loss": position.losses / position.samples, "accuracy": position.hits / position.samples}
        row["learning_rate"] = optimizer.lr
        row |= self._measure()
        row["seconds"] = time.perf_counter() - started
        for name in request.figures:  # once all are known: Ctrl-C must not leave half a row
            getattr(self.history, name).append(row[name])
        self.position, self.before_order = Position(position.epochs + 1, self.batches_done), None
        self.position.has_ended = callbacks.after_epoch(request.callbacks, self.network, self.history) or ends
        for saver in self.savers:
            saver.after_epoch(self)

    def _measure(self) -> dict[str, float]:
        """The figures on validation data, and the metrics."""
        request, engine, row = self.request, self.network.engine, dict[str, float]()
        if request.validation is None and not request.metrics:
            return row
        x, labels, dense = self.source.data if request.validation is None else request.validation
        y = engine.outputs_of(x)
        if request.validation is not None:
            measured = engine.measure(y.reshape(len(x), engine.outputs), labels, dense)
            row["validation_loss"], row["validation_accuracy"] = measured
        return row | {metric.name: metric(labels if labels.size else dense, y) for metric in request.metrics}

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

    def _most_batches(self) -> int:
        """How many batches the next call takes, or how many there are until a file is due or a callback is called."""
        if self._by_batch:
            return 1
        due = [saver.batches_left(self.batches_done) for saver in self.savers]
        return min([self._pace.batches, *(left for left in due if left is not None)])

    def _train_on(self, part: Part, optimizer: Optimizer, bar: Progress) -> bool:
        """Train on some batches; return whether a callback ends the training."""
        position = self.position
        samples, losses, hits = self._take(part, optimizer)
        before, position.losses = position.losses, losses
        position.batches, position.samples = position.batches + part.taken, position.samples + samples
        position.hits += hits
        bar.update(samples, loss=position.losses / position.samples)
        if not self._by_batch:
            return False
        number = position.epochs, position.batches - 1, self.source.batches
        figures = callbacks.BatchFigures(*number, samples, (position.losses - before) / samples, optimizer.lr)
        return callbacks.after_batch(self._by_batch, self.network, figures)

    def _save(self, into: Snapshot | None = None) -> None:
        """Save the parameters to go back to, in the memory of an earlier snapshot if it is given."""
        start = time.perf_counter()
        self._saved, self._since = self.network.engine.snapshot(into), list[tuple[Part, Optimizer]]()
        now = time.perf_counter()
        self._due = now + SAVING_PAYS * (now - start)

    def _save_if_due(self, part: Part, optimizer: Optimizer) -> None:
        """Save the parameters after a part, if it is time or the part could not be taken once more; else note it.

        Its data come in another order in the next epoch, before which callbacks, schedules and metrics may have changed
        them, and the parameters.
        """
        position = self.position
        ends, is_kept = position.batches + part.taken == self.source.batches, part.data[0] is self.source.data[0]
        if ends and position.epochs + 1 >= self.request.epochs:
            return  # nothing follows that could diverge
        self._since.append((part, optimizer))
        may_differ = position.batches == 0 or ends or not is_kept or self._by_batch
        if may_differ or time.perf_counter() >= self._due:
            self._save(self._saved)

    def _go_back(self) -> None:
        """Put the network into the state before the last part, which it has taken.

        Ctrl-C comes later: this takes no longer than the parts did, 50 times as long as saving.
        """
        engine = self.network.engine
        with interruption.held_back():
            engine.restore(self._saved)
            for part, optimizer in self._since:
                self._run_batches(part.data, optimizer, part.batches, weights=part.weights, index=part.lists)
            if not self._since:
                return
            if not engine.is_finite():  # another thread has changed data or parameters
                engine.restore(self._saved)
                return
            engine.optimizer = self.request.optimizer
            self._save(self._saved)

    def _take(self, part: Part, optimizer: Optimizer) -> tuple[int, float, int]:
        """Update the network by a range of batches; their samples, the losses of the epoch so far, and their hits."""
        engine = self.network.engine
        with engine.lock:  # another thread saves finite parameters only
            start = time.perf_counter()
            result = self._run_batches(
                part.data, optimizer, part.batches, self.position.losses, weights=part.weights, index=part.lists
            )
            self._pace.took(part.taken, time.perf_counter() - start)
            if not (result[3] == DONE and engine.is_finite()):
                self._go_back()
                self._refuse_divergence(part, optimizer)
            engine.optimizer = self.request.optimizer
            self._save_if_due(part, optimizer)
        return result[0], result[1], result[2]

    def _refuse_divergence(self, part: Part, optimizer: Optimizer) -> NoReturn:
        """Say where the training diverged: the batches are taken once more, one by one."""
        engine, labels, (first, last, size) = self.network.engine, part.data[1], part.batches
        if labels.size:  # a callback may have changed the labels
            arrays.labels("t", labels, len(part.data[0]), self.network.outputs)
        x, place, number = part.data[0][:0], divergence.AFTER_THE_OUTPUTS, 0
        for number in range(last - first):
            batch = first + number, first + number + 1, size
            outcome = self._run_batches(part.data, optimizer, batch, 0.0, weights=part.weights, index=part.lists)[3]
            if not (outcome == DONE and engine.is_finite()):
                x = self.source.of_batch(part, number)
                place = divergence.place_of(self.network, x)
                break
        engine.restore(self._saved)
        of_all = "" if self.source.batches is None else f" of {self.source.batches}"
        raise TrainingDivergedError(
            f"loss: expected finite numbers, got NaN or infinity in epoch {self.position.epochs + 1}, "
            f"batch {self.position.batches + number + 1}{of_all}, first in {place}; the network keeps its last finite "
            f"parameters: {divergence.remedy(place, x, optimizer)}"
        )

    def _compile(self) -> None:
        """Load or compile the kernels by training on no batch, so that the first epoch's seconds are its own."""
        size, optimizer, engine = self.source.batch_size, self.request.optimizer, self.network.engine
        data = self.source.sample()
        if self.request.metrics:  # what they refuse is refused before the training
            self._measure()
        weights = self.source.weights[: len(data[0])]
        self._run_batches(data, optimizer, (0, 0, size), weights=weights, index=self.source.index)
        if self.request.numerical:
            x, labels, dense = (part[:size] for part in data[:3])
            gradients = engine.perturbation((x, labels, dense)).gradient()[0]
            engine.measure_on(x, labels, dense)
            vector = np.concatenate([part.ravel() for part in gradients.values()])
            engine.update(0.0 * vector, optimizer)
            engine.restore(self._saved)

    def _run_numerical(
        self,
        data: Data,
        optimizer: Optimizer,
        batches: tuple[int, int, int],
        losses: float = 0.0,
        *,
        weights: Array,
        index: Index | None,
    ) -> Batches:
        """As `Engine.run_batches`, by numerical gradients; there are no weights, and the index is not used."""
        engine, samples, hits, size = self.network.engine, 0, 0, batches[2]
        for start in range(batches[0] * size, batches[1] * size, size):
            some: Any = slice(start, min(start + size, len(data[0])))
            some = data[3][some] if data[3].size else some
            x, (labels, dense) = data[0][some], (part[some] if len(part) else part for part in data[1:3])
            loss, accuracy = engine.measure_on(x, labels, dense)
            if not np.isfinite(loss):
                return samples, losses, hits, NOT_FINITE
            gradients, _ = engine.perturbation((x, labels, dense)).gradient()
            engine.update(np.concatenate([part.ravel() for part in gradients.values()]), optimizer)
            samples, losses, hits = samples + len(x), losses + loss * len(x), hits + round(accuracy * len(x))
        return samples, losses, hits, DONE
