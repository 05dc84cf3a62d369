"""The epochs of the solvers "sgd" and "adam": scikit-learn's objective, batch by batch.

The loss of a batch is the mean of its samples' losses, weighted where they have weights, plus alpha / (2 s) sum w^2,
where s is the number of its samples or the sum of their weights. So each batch has a penalty of its own.
"""

import time
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastnn.engine.engine import lone_row
from fastnn.engine.interpreters.jobs import DONE
from fastnn.engine.pace import Pace
from fastnn.engine.workspace import NO_ORDER, NO_WEIGHTS
from fastnn.errors import TrainingDivergedError
from fastnn.gate.arrays import Array
from fastnn.network import Network, callbacks
from fastnn.network.history import History
from fastnn.sklearn.batches import Samples
from fastnn.sklearn.objective import MULTICLASS, Objective
from fastnn.sklearn.rates import STOPPING, LearningRate, optimizer_of
from fastnn.sklearn.record import Record
from fastnn.sklearn.settings import Settings

MOST_ROWS = 200  # of a batch of size "auto"
DIVERGED = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


class Examples(NamedTuple):
    """Samples, dense or sparse, their encoded targets, and their weights, if they have any."""

    x: Any
    encoded: Array
    weights: Array | None = None


class Training:
    """The epochs of one call of `fit` or `partial_fit`.

    Parameters
    ----------
    network, objective, settings
        What is trained, and how.
    progress : (Record, LearningRate)
        They change, as the network does.
    data, validation : Examples
        The latter may be None.
    random_state : numpy.random.RandomState
        For the order of the samples.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        settings: Settings,
        progress: tuple[Record, LearningRate],
        data: Examples,
        validation: Examples | None,
        random_state: Any,
    ) -> None:
        self.network, self.engine = network, network.engine
        self.objective, self.settings, self.random_state = objective, settings, random_state
        self.record, self.rate = progress
        self.samples, self.weights = Samples(self.engine, data.x, objective.targets(data.encoded)), data.weights
        self.validation, self.held_out = validation, None
        if validation is not None:
            self.held_out = Samples(self.engine, validation.x, objective.targets(validation.encoded))
        self.size = _batch_size(settings, self.samples.rows)
        self.counts_hits = bool(settings.callbacks) and objective.kind == MULTICLASS
        self.order, self.pace = np.arange(self.samples.rows), Pace()
        self.optimizer = optimizer_of(settings, self.rate.learning_rate)
        self.taken = _rows_of_epoch(settings, self.samples.rows, self.size)
        self.counts = np.diff(np.arange(0, self.taken, self.size), append=self.taken)  # of each batch
        self.alike = _alike(self.counts)  # unless samples have weights

    def run(self, epochs: int, warns: bool) -> None:
        """Train for at most so many epochs; warn if the last one came before the solver converged."""
        history = self.network.history = History()
        callbacks.begin(self.settings.callbacks, self.network, self._figures())
        best = self.engine.values.copy() if self.settings.early_stopping else None
        try:
            for _ in range(epochs):
                if self._epoch(history) and best is not None:
                    best[:] = self.engine.values
                if self._ends(history):
                    break
                if warns and self.record.n_iter == epochs:
                    reached = f"Stochastic Optimizer: Maximum iterations ({epochs}) reached"
                    warnings.warn(f"{reached} and the optimization hasn't converged yet.", ConvergenceWarning, 2)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        except TrainingDivergedError as error:
            if best is None:
                raise
            self.record.add(np.nan, self.samples.rows, np.nan, self.settings)
            warnings.warn(f"{error} The best parameters so far were put back.", ConvergenceWarning, 2)
        finally:
            self.engine.penalize(self.settings.alpha / self.size)  # that of a whole batch
            if best is not None:
                self.engine.values[:] = best
            callbacks.end(self.settings.callbacks, self.network, history)

    def _epoch(self, history: History) -> bool:
        """One pass over the samples; return whether the score on validation data is the best so far."""
        start, rows = time.perf_counter(), self.samples.rows
        loss, plain, hits = self._pass()
        figures = {"loss": plain, "accuracy": hits, "learning_rate": self.rate.learning_rate}
        score = None
        if self.validation is not None and self.held_out is not None:
            y = self.engine.outputs_of(self.held_out.x)
            score = self.objective.score(y, self.validation.encoded, self.validation.weights)
            measured = self.engine.measure(y, self.held_out.labels, self.held_out.dense)
            figures["validation_loss"], figures["validation_accuracy"] = measured
        is_best = self.record.add(loss, rows, score, self.settings)
        self._say(f"Iteration {self.record.n_iter}, loss = {loss:.8f}")
        if score is not None:
            self._say(f"Validation score: {score:f}")
        figures["seconds"] = time.perf_counter() - start
        for name in self._figures():
            getattr(history, name).append(figures[name])
        self.rate.epoch_ends(self.settings, self.record.t)
        return is_best

    def _pass(self) -> tuple[float, float, float]:
        """The mean loss, also without the penalty, and the share of hits, each batch before its update."""
        if self.settings.shuffle:  # the draws of sklearn.utils.shuffle
            self.order = self.order[self.random_state.permutation(self.samples.rows)]
        order = self.order if self.settings.shuffle else NO_ORDER
        runs, weights = self._weighted()
        if self.optimizer.lr != self.rate.learning_rate:
            self.optimizer = optimizer_of(self.settings, self.rate.learning_rate)
        kept, penalties, plain, hits = self.engine.values.copy(), np.zeros(1), 0.0, 0
        options: Any = {"counts_hits": self.counts_hits, "penalties": penalties}
        for first, last, mass in runs:
            if mass == 0.0:  # nothing to learn from
                continue
            self.engine.penalize(self.settings.alpha / mass)
            while first < last:
                batches, start = (first, min(last, first + self.pace.batches)), time.perf_counter()
                found = self.samples.run((*batches, self.size), self.optimizer, order, weights, losses=plain, **options)
                if found[3] != DONE:
                    self._diverge(kept)
                self.pace.took(batches[1] - first, time.perf_counter() - start)
                first, plain, hits = batches[1], found[1], hits + found[2]
        if not np.isfinite(self.engine.values).all():
            self._diverge(kept)
        total = self.objective.reported_share * plain + penalties[0]
        return total / self.taken, plain / self.taken, hits / self.taken

    def _weighted(self) -> tuple[list[tuple[int, int, float]], Array]:
        """The runs of batches with the same sum of weights, and each sample's weight over the mean of its batch."""
        if self.weights is None:
            return self.alike, NO_WEIGHTS
        rows = self.order[: self.taken]
        masses = np.add.reduceat(self.weights[rows], np.arange(0, self.taken, self.size))
        factors = np.divide(self.counts, masses, out=np.zeros(len(masses)), where=masses > 0.0)
        shares = np.zeros(self.samples.rows)
        shares[rows] = self.weights[rows] * np.repeat(factors, self.counts)
        return _alike(masses), shares

    def _diverge(self, kept: Array) -> None:
        """Put the parameters from before the epoch back, and raise the error."""
        self.engine.values[:] = kept
        epoch = self.record.n_iter + 1
        raise TrainingDivergedError(f"{DIVERGED} (Epoch {epoch}: scale X, or lower learning_rate_init.)")

    def _ends(self, history: History) -> bool:
        """Whether there was no improvement for too long, or a callback ends the training."""
        wish = callbacks.after_epoch(self.settings.callbacks, self.network, history)
        if self.record.no_improvement_count > self.settings.n_iter_no_change:
            follows = self.rate.ends(self.settings)
            self._say(f"{self.record.sentence(self.settings)} {follows}")
            if follows.endswith(STOPPING):
                return True
            self.record.no_improvement_count = 0
        return wish

    def _figures(self) -> tuple[str, ...]:
        """The names of the figures that the history holds."""
        kinds = ("loss", "accuracy") if self.counts_hits else ("loss",)
        held_out = [f"validation_{kind}" for kind in kinds if self.validation is not None]
        return (*kinds, *held_out, "seconds", "learning_rate")

    def _say(self, line: str) -> None:
        if self.settings.verbose:
            print(line)


def _alike(masses: Array) -> list[tuple[int, int, float]]:
    """The runs [first, last) of batches that have the same mass, and so the same penalty, and this mass."""
    ends = [*(np.flatnonzero(np.diff(masses)) + 1).tolist(), len(masses)]
    return [(first, last, float(masses[first])) for first, last in zip([0, *ends[:-1]], ends, strict=True)]


def _rows_of_epoch(settings: Settings, rows: int, size: int) -> int:
    """The rows that an epoch takes: before batch normalization a last row alone is left out."""
    if settings.batch_norm and rows == 1:
        raise ValueError("X: expected at least 2 samples, as BatchNorm goes by their mean, got 1 sample; pass more")
    if settings.batch_norm and size == 1:
        raise lone_row("batch_size", "pass a larger one")
    return rows - 1 if settings.batch_norm and rows % size == 1 else rows


def _batch_size(settings: Settings, rows: int) -> int:
    """The rows of a whole batch."""
    if settings.batch_size is None:
        return min(MOST_ROWS, rows)
    if settings.batch_size > rows:
        clipped = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
        warnings.warn(clipped, stacklevel=2)
    return min(settings.batch_size, rows)
