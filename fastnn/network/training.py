"""The fit loop: it hands mini-batches to kernels and keeps the record, and does no arithmetic itself."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import numpy as np

from fastnn.engine.engine import lone_row
from fastnn.engine.interpreters.jobs import DONE, NOT_FINITE
from fastnn.engine.workspace import NO_ORDER, NO_WEIGHTS
from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.names import GradientKind
from fastnn.gate.returned import pinned
from fastnn.losses import weights_of
from fastnn.network.history import History
from fastnn.optimizers import OPTIMIZERS, SGD, Optimizer, check_optimizer
from fastnn.system.progress import Progress

if TYPE_CHECKING:
    from fastnn.network.network import Network

# A compiled call cannot be interrupted, so a run is cut into calls of about this length: Ctrl-C is answered within 0.1
# s.
SECONDS_PER_CALL = 0.05
GRADIENTS = get_args(GradientKind)


Callback: TypeAlias = "Callable[[Network, History], object]"
Schedule = Callable[[int, History], float]
Data: TypeAlias = tuple[Array, Array, Array, Array]  # x, labels, dense, order; see engine/interpreters/jobs.py


# Sixteen parameters: all but the data are options with defaults.
def fit(
    self: "Network",
    x: Any,
    t: Any,
    *,
    epochs: int = 10,
    batch_size: int | None = 100,
    optimizer: Optimizer | None = None,
    schedule: Schedule | None = None,
    validation_data: tuple[Any, Any] | None = None,
    shuffle: bool = True,
    rng: int | np.random.Generator | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    check_finite: bool = True,
    gradient: GradientKind = "analytic",
    sample_weight: Any = None,
    class_weight: Any = None,
) -> History:
    """Train on mini-batches.

    Parameters
    ----------
    x : array (N, D)
    t : array (N,) or (N, K)
        Targets as the network's loss takes them.
    epochs : int
        Passes over the data.
    batch_size : int or None
        Samples for one update; None for all of them. The last batch of an epoch may be smaller; with BatchNorm, a last
        batch of a single row is left out, and out of the figures, too.
    optimizer : Optimizer, optional
        By default training goes on with the optimizer of the network's last update and its state, also after
        `fastnn.load`; a network that was never trained takes SGD(lr=0.1). A given optimizer of the same kind goes on
        with the state, another kind begins anew.
    schedule : callable, optional
        One of `fastnn.schedules`, or a function. Called as schedule(epoch, history) before each epoch, counted from 0;
        the epoch's learning rate is the result, at least 0, times the optimizer's. The next fit without a schedule has
        the optimizer's own rate again.
    validation_data : (x, t), optional
        Data on which loss and accuracy are measured after each epoch.
    shuffle : bool
        Take the samples in a new random order in each epoch.
    rng : int or numpy Generator, optional
        For the order, which each epoch draws anew: `rng.permutation(N)`. With the same number, the same network and
        the same data, training gives the same bits. With one Generator, two fits of 3 epochs give the same bits as one
        of 6.
    progress : bool
        Show a progress bar while standard output is a terminal.
    callbacks : sequence of callables
        Each is called as callback(network, history) after every epoch, and returns True to end the training, else
        False or None. It may have two further methods. begin(network, figures) is called before anything is changed,
        with the names of the figures that the history will hold, and refuses by raising an error. end(network, history)
        is called when the training has ended, even by an error or Ctrl-C, or when a later callback has refused.
        `fastnn.EarlyStopping` is such a callback.
    check_finite : bool
        Refuse NaN and infinity in the data.
    gradient : str
        "analytic" is back-propagation; "numerical" takes central differences with h = 1e-4, see
        `Network.numerical_gradient`.
    sample_weight : array (N,), optional
        The factors of the samples' losses, divided by their mean; at least 0. A sample of weight 0 counts for nothing,
        whatever its loss, except in the statistics of BatchNorm.
    class_weight : array (K,), optional
        Each sample's weight is multiplied by its class's; K = 2 if one output stands for two classes, the second for
        targets of 1. The accuracy and the figures on validation data are not weighted.

    Returns
    -------
    History
        It is also kept as `network.history`, up to the last completed epoch if fit was interrupted or failed.

    Raises
    ------
    TrainingDivergedError
        When the loss or a parameter is no longer finite. The network keeps its last finite parameters.
    """
    epochs = arrays.integer("epochs", epochs, minimum=0)
    optimizer = _last_optimizer(self) if optimizer is None else check_optimizer(optimizer)
    schedule = None if schedule is None else check_schedule("schedule", schedule)
    generator = arrays.generator("rng", rng)
    x, labels, dense = self.engine.prepare(x, t, check_finite)
    size = _batch_size(self, len(x), batch_size)
    validation = _validation(self, validation_data, check_finite)
    _check_callbacks(callbacks)
    if not np.isfinite(self.engine.values).all():
        raise ValueError("params: expected finite parameters, got NaN or infinity; call network.initialize() first")
    weights = _weights(self, (x, labels, dense), sample_weight, class_weight)
    numerical = _is_numerical(gradient, self, weights)
    shuffle, progress = arrays.flag("shuffle", shuffle), arrays.flag("progress", progress)
    figures = _figures(self.engine.counts_hits(labels, dense), validation is not None)
    _begin(callbacks, self, figures)
    history = self.history = History()
    run_batches = partial(self.engine.run_batches, weights=weights, counts_hits="accuracy" in figures)
    run = _Run(self, optimizer, size, None if numerical else run_batches, (x, labels, dense, *(validation or ())))
    order = np.arange(len(x), dtype=np.intp)
    data = (x, labels, dense, order if shuffle else NO_ORDER)
    try:
        run.compile(data)
        for epoch in range(1, epochs + 1):
            start = time.perf_counter()
            run.optimizer, rate = _scheduled(optimizer, schedule, epoch - 1, history)
            if shuffle:
                # Drawn anew, so that two fits give the epochs of one.
                order[:] = checks.permutation("rng", generator, len(order))
            with Progress(run.samples(len(x)), f"epoch {epoch}/{epochs}", enabled=progress) as bar:
                loss, accuracy = run.epoch(data, epoch, bar)
            row = {"loss": loss, "accuracy": accuracy, "learning_rate": rate}
            if validation is not None:
                row["validation_loss"], row["validation_accuracy"] = self.engine.measure_on(*validation)
            row["seconds"] = time.perf_counter() - start
            for name in figures:  # once all are known: Ctrl-C must not leave half a row
                getattr(history, name).append(row[name])
            ends = [_ends(i, callback(self, history)) for i, callback in enumerate(callbacks)]  # all are called
            if any(ends):
                break
    finally:
        _end(callbacks, self, history)
    return history


class _Run:
    """Epochs over one network, cut into compiled calls; keeps the last finite parameters, to go back to."""

    def __init__(
        self, network: "Network", optimizer: Optimizer, batch_size: int, run_batches: Any, data: Sequence[Array]
    ) -> None:
        self.network, self.given, self.optimizer, self.batch_size = network, optimizer, optimizer, batch_size
        self.run_batches: Any = self._run_numerical if run_batches is None else run_batches
        self.batches_per_call = 1
        self.saved = network.engine.snapshot()
        self.pins = pinned(*data)  # callbacks can reach the arrays behind these views

    def compile(self, data: Data) -> None:
        """Load or compile the kernels by training on no batch, so that the first epoch's seconds are its own."""
        self.run_batches(data, self.optimizer, (0, 0, self.batch_size))
        if self.run_batches == self._run_numerical:
            x, labels, dense = (part[: self.batch_size] for part in data[:3])
            gradients = self.network.engine.perturbation((x, labels, dense)).gradient()[0]
            self.network.engine.measure_on(x, labels, dense)
            vector = np.concatenate([part.ravel() for part in gradients.values()])
            self.network.engine.update(0.0 * vector, self.optimizer)
            self.network.engine.restore(self.saved)

    def samples(self, rows: int) -> int:
        """The number of rows that are taken: batch normalization would turn a single last row into 0."""
        alone = rows % self.batch_size == 1 and self.batch_size > 1 and bool(self.network.statistics)
        return rows - alone

    def epoch(self, data: Data, epoch: int, bar: Progress) -> tuple[float, float]:
        """One pass over data.order: (mean loss, accuracy)."""
        batches = -(-self.samples(len(data[0])) // self.batch_size)
        first, samples, losses, hits = 0, 0, 0.0, 0
        while first < batches:
            last = min(batches, first + self.batches_per_call)
            with self.network.engine.lock:  # another thread saves finite parameters only
                start = time.perf_counter()
                result = self.run_batches(data, self.optimizer, (first, last, self.batch_size), losses)
                self._pace(last - first, time.perf_counter() - start)
                if not (result[3] == DONE and np.isfinite(self.network.engine.values).all()):
                    self.network.engine.restore(self.saved)
                    if data[1].size:  # a callback may have changed the labels
                        arrays.labels("t", data[1], len(data[0]), self.network.outputs)
                    raise TrainingDivergedError(
                        f"loss: expected finite numbers, got NaN or infinity in epoch {epoch}, batches {first + 1} to "
                        f"{last} of {batches}; the network keeps its last finite parameters: lower the learning rate "
                        "or scale the data"
                    )
                self.network.engine.optimizer = self.given
                self.saved = self.network.engine.snapshot(self.saved)
            samples, losses, hits, first = samples + result[0], result[1], hits + result[2], last
            bar.update(result[0], loss=losses / samples)
        return losses / samples, hits / samples

    def _run_numerical(
        self, data: Data, optimizer: Optimizer, batches: tuple[int, int, int], losses: float = 0.0
    ) -> tuple[int, float, int, int]:
        """As `Engine.run_batches`, by numerical gradients."""
        network, samples, hits, size = self.network, 0, 0, batches[2]
        for start in range(batches[0] * size, batches[1] * size, size):
            some: Any = slice(start, min(start + size, len(data[0])))
            some = data[3][some] if data[3].size else some
            x, labels, dense = (part[some] if len(part) else part for part in data[:3])
            loss, accuracy = network.engine.measure_on(x, labels, dense)
            if not np.isfinite(loss):
                return samples, losses, hits, NOT_FINITE
            gradients, _ = network.engine.perturbation((x, labels, dense)).gradient()
            network.engine.update(np.concatenate([part.ravel() for part in gradients.values()]), optimizer)
            samples, losses, hits = samples + len(x), losses + loss * len(x), hits + round(accuracy * len(x))
        return samples, losses, hits, DONE

    def _pace(self, batches: int, seconds: float) -> None:
        """Choose the next call's batches."""
        wanted = int(SECONDS_PER_CALL * batches / max(seconds, 1e-9))
        self.batches_per_call = max(1, min(wanted, 8 * self.batches_per_call))


def _last_optimizer(network: "Network") -> Optimizer:
    """The optimizer with which training goes on."""
    if network.optimizer is None and network.engine.state_owner is not None:
        came = f"None, for a network whose file or pickle names {network.engine.state_owner} without its numbers"
        remedy = f"pass it, such as optimizer=fastnn.{OPTIMIZERS[network.engine.state_owner].__name__}(lr=0.1)"
        raise ValueError(f"optimizer: expected the one to go on with, got {came}; {remedy}")
    return SGD(lr=0.1) if network.optimizer is None else network.optimizer


def check_schedule(name: str, schedule: Any) -> Schedule:
    """`schedule` itself, if it can be called with an epoch and a history."""
    if isinstance(schedule, type) or not checks.can_be_called(schedule, 2):
        came = f"the class {schedule.__name__}" if isinstance(schedule, type) else checks.headed(schedule)
        remedy = "pass one such as fastnn.schedules.Cosine(epochs=10)"
        raise TypeError(f"{name}: expected a function of (epoch, history), got {came}; {remedy}")
    made: Schedule = schedule
    return made


def _batch_size(network: "Network", rows: int, batch_size: int | None) -> int:
    """The rows of a whole batch; refused if it is a single one and there is batch normalization."""
    size = rows if batch_size is None else min(rows, arrays.integer("batch_size", batch_size, minimum=1))
    if size == 1 and network.statistics:
        raise lone_row("x", "pass more samples") if rows == 1 else lone_row("batch_size", "pass a larger one")
    return size


def _scheduled(optimizer: Any, schedule: Schedule | None, epoch: int, history: History) -> tuple[Optimizer, float]:
    """The optimizer of this epoch, and its learning rate."""
    if schedule is not None:
        factor = arrays.real(f"schedule(epoch={epoch}, history)", schedule(epoch, history), minimum=0.0)
        optimizer = replace(optimizer, lr=optimizer.lr * factor)
    return optimizer, optimizer.lr


def _weights(network: "Network", data: tuple[Array, Array, Array], sample_weight: Any, class_weight: Any) -> Array:
    """The samples' weights over their mean; empty if all are 1."""
    x, labels, dense = data
    if class_weight is not None and not network.engine.counts_hits(labels, dense):
        came = "values or probabilities; pass sample_weight"
        raise ValueError(f"class_weight: expected targets that are classes, got {came}")
    weights = weights_of(sample_weight, class_weight, labels, dense, (len(x), network.outputs))
    if weights is None:
        return NO_WEIGHTS
    weights = weights / weights.max()  # so that their mean does not underflow
    shares: Array = weights / weights.mean()
    return shares


def _is_numerical(gradient: str, network: "Network", weights: Array) -> bool:
    """Whether the gradient is numerical; if so, refuse weights, and layers that behave differently in training."""
    if arrays.choice("gradient", gradient, GRADIENTS) != "numerical":
        return False
    if weights.size:
        raise ValueError("gradient: expected 'analytic' with sample weights, got 'numerical', which takes none")
    for layer in network.engine.layers:
        if layer.outside_training:
            expected = f"gradient: expected 'analytic' for a network with {type(layer).__name__}"
            raise ValueError(f"{expected}, got 'numerical', which {layer.outside_training}")
    return True


def _check_callbacks(callbacks: Any) -> None:
    functions = isinstance(callbacks, list | tuple) and all(checks.can_be_called(some, 2) for some in callbacks)
    if not functions or any(isinstance(callback, type) for callback in callbacks):
        remedy = "pass callbacks=[function]"
        if callable(getattr(callbacks, "begin", None)):
            remedy = "pass it in a list"
        for callback in callbacks if isinstance(callbacks, list | tuple) else ():
            if isinstance(callback, type):
                remedy = f"create one, {callback.__name__}()"
        expected = "callbacks: expected a list of functions of (network, history)"
        is_list = isinstance(callbacks, list | tuple)
        came = f"[{', '.join(checks.headed(one, repr) for one in callbacks)}]" if is_list else repr(callbacks)
        raise TypeError(f"{expected}, got {came}; {remedy}")


def _ends(i: int, result: object) -> bool:
    """Whether a callback's result ends the training."""
    if result is not None and not isinstance(result, bool | np.bool_):
        expected = f"callbacks[{i}]: expected True, to end the training, or False or None, to go on"
        raise TypeError(f"{expected}, got {checks.shown(result)}; return one of them")
    return bool(result)


def _begin(callbacks: Sequence[Callback], network: "Network", figures: Sequence[str]) -> None:
    """Call begin of all callbacks; on an error, call end of the ones that have begun."""
    for number, callback in enumerate(callbacks):
        try:
            if callable(getattr(callback, "begin", None)):
                callback.begin(network, figures)  # type: ignore[attr-defined]
        except BaseException:
            _end(callbacks[:number], network, History())
            raise


def _end(callbacks: Sequence[Callback], network: "Network", history: History) -> None:
    """Call end of all callbacks, then raise the first error."""
    errors = []
    for callback in callbacks:
        if callable(getattr(callback, "end", None)):
            try:
                callback.end(network, history)  # type: ignore[attr-defined]
            except Exception as error:
                errors.append(error)
    if errors:
        raise errors[0]


def _figures(classes: bool, validated: bool) -> tuple[str, ...]:
    """The names of the figures that the history will hold."""
    kinds = ("loss", "accuracy") if classes else ("loss",)
    return (*kinds, *(f"validation_{kind}" for kind in kinds if validated), "seconds", "learning_rate")


def _validation(network: "Network", data: Any, check_finite: bool) -> tuple[Array, Array, Array] | None:
    if data is None:
        return None
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(
            f"validation_data: expected a pair (x, t), got {type(data).__name__}; pass validation_data=(x, t)"
        )
    return network.engine.prepare(data[0], data[1], check_finite, names=("validation_data[0]", "validation_data[1]"))
