"""Synchronous data-parallel training on a Dask cluster, with the same bits on any number of workers."""

import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import numpy as np

from fastnn.distributed import on_workers
from fastnn.distributed.pieces import Pieces
from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays, checks
from fastnn.gate.slips import answers_slips
from fastnn.network import callbacks as calls
from fastnn.network import requests
from fastnn.network.checkpoint import Checkpoint
from fastnn.network.history import History
from fastnn.network.network import Network
from fastnn.optimizers import Optimizer, check_optimizer
from fastnn.system.progress import Progress

MOST_REPEATS = 10  # of one step, each after a worker was lost
SECONDS_FOR_A_WORKER, SECONDS_BETWEEN_LOOKS = 60.0, 5.0


# As many parameters as fit has of the same.
@answers_slips
def fit(
    network: Network,
    data: Any,
    client: Any,
    *,
    epochs: int = 10,
    batch_size: int = 1000,
    shards: int = 8,
    optimizer: Optimizer | None = None,
    schedule: Any = None,
    validation_data: tuple[Any, Any] | None = None,
    shuffle: bool = True,
    seed: int = 0,
    progress: bool = True,
    callbacks: Sequence[Any] = (),
    initial_epoch: int = 0,
) -> History:
    """Train a network on the workers of a Dask cluster, each batch in a fixed number of shards.

    In each step every shard's gradient is computed by a worker that holds its data, and sent back as one vector; the
    vectors are added in the order of the shards, and the parameters updated here. So the bits depend on the number of
    shards, but not on the number of workers, on which of them computes a shard, or on how often one of them dies: a
    step in which a worker is lost is repeated, and what it held is loaded again.

    A step costs the workers' share of the batch, and that each of them receives P parameters and each shard sends P
    numbers: it pays where a batch takes long beside that. `docs/how-to/cluster.md` has the model.

    Parameters
    ----------
    network : Network
        Without BatchNorm and Dropout.
    data : (x, t) or list of str
        Arrays, which are cut into shards and sent to the workers; Dask arrays, whose chunks stay on them; or the names
        of .npz files with the arrays x and t, which the workers can read. Chunks and files are loaded when they are
        needed, and forgotten after that if there are more of them than shards.
    client : dask.distributed.Client
    epochs : int
    batch_size : int
        The rows of a batch, over all shards.
    shards : int
        The parts of a batch; at most so many workers compute at the same time.
    optimizer, schedule, validation_data, shuffle, progress
        As for `Network.fit`.
    seed : int
        The order of the rows in an epoch is made from it and the number of the epoch: within each piece of a shard, and
        of its pieces.
    callbacks : sequence of callables
        Called as callback(network, history) after each epoch, here, with begin and end as for `Network.fit`. One that
        saves the network makes a checkpoint: `fit(fastnn.load(path), ..., initial_epoch=n)` goes on after n epochs to
        the same bits.
    initial_epoch : int
        Epochs that are counted as done.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        For bad arguments and data.
    TrainingDivergedError
        When the loss or a parameter is no longer finite. The network keeps its last finite parameters.
    RuntimeError
        When a step was repeated too often, or there is no worker for a minute.
    """
    run = _Run(network, client, epochs, batch_size, shards, optimizer, schedule, shuffle, seed, initial_epoch)
    _check_callbacks(callbacks)
    validation = requests.prepared_validation(network, validation_data, True)
    run.pieces = run.retried(lambda: Pieces(client, network, data, run.shards))
    is_classes = run.retried(run.pieces.classes)
    figures = requests.names_of_figures(is_classes, validation is not None, ())
    show = arrays.flag("progress", progress)
    calls.begin(callbacks, network, figures)
    history = network.history = History()
    try:
        for epoch in range(run.initial_epoch, run.epochs):
            start = time.perf_counter()
            row = run.epoch(epoch, history, show)
            if validation is not None:
                row["validation_loss"], row["validation_accuracy"] = network.engine.measure_on(*validation)
            row["seconds"] = time.perf_counter() - start
            for name in figures:
                getattr(history, name).append(row[name])
            if calls.after_epoch(callbacks, network, history):
                break
    finally:
        calls.end(callbacks, network, history)
    return history


def _check_callbacks(callbacks: Any) -> None:
    """Refuse checkpoints and callbacks by batch, beside what is no callback."""
    calls.check(callbacks)
    for number, one in enumerate(callbacks):
        if isinstance(one, Checkpoint) or calls.by_batch([one]):
            came = f"{type(one).__name__}; pass one that saves the network, and initial_epoch to go on"
            raise ValueError(f"callbacks[{number}]: expected a function that is called after each epoch, got {came}")


class _Run:
    """The steps of a training."""

    pieces: Pieces

    # As many parameters as fit has of the same.
    def __init__(
        self,
        network: Network,
        client: Any,
        epochs: int,
        batch_size: int,
        count: int,
        optimizer: Any,
        schedule: Any,
        shuffle: bool,
        seed: int,
        initial_epoch: int,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network: expected a fastnn.Network, got {checks.shown(network)}; pass the network")
        if not all(callable(getattr(client, name, None)) for name in ("submit", "scatter", "gather")):
            came = f"{checks.shown(client)}; pass dask.distributed.Client()"
            raise TypeError(f"client: expected a dask.distributed.Client, got {came}")
        for layer in network.engine.layers:
            if layer.outside_training:
                expected = f"network: expected no {type(layer).__name__}, whose training needs the whole batch"
                raise ValueError(f"{expected}, got {layer}; train it by Network.fit")
        self.network, self.client = network, client
        self.epochs = arrays.integer("epochs", epochs, minimum=0)
        self.batch_size = arrays.integer("batch_size", batch_size, minimum=1)
        self.shards = arrays.integer("shards", count, minimum=1)
        self.seed = arrays.integer("seed", seed, minimum=0)
        self.initial_epoch = arrays.integer("initial_epoch", initial_epoch, minimum=0)
        self.optimizer = requests.last_optimizer(network) if optimizer is None else check_optimizer(optimizer)
        self.schedule = None if schedule is None else requests.check_schedule("schedule", schedule)
        self.shuffle = arrays.flag("shuffle", shuffle)

    def epoch(self, epoch: int, history: History, show: bool) -> dict[str, float]:
        """Take all batches of an epoch; returns its figures."""
        optimizer = self.optimizer
        if self.schedule is not None:
            factor = arrays.real(f"schedule(epoch={epoch}, history)", self.schedule(epoch, history), minimum=0.0)
            optimizer = replace(optimizer, lr=optimizer.lr * factor)
        total = sum(self.pieces.rows)
        batches, losses, hits = max(1, -(-total // self.batch_size)), 0.0, 0
        orders = [self._order(epoch, shard, some) for shard, some in enumerate(self.pieces.of_shard)]
        with Progress(total, f"epoch {epoch + 1}/{self.epochs}", enabled=show) as bar:
            for batch in range(batches):
                loss, right, rows = self._step(epoch, orders, batch, batches, optimizer)
                losses, hits = losses + loss, hits + right
                bar.update(rows, loss=loss / max(rows, 1))
        return {"loss": losses / total, "accuracy": hits / total, "learning_rate": optimizer.lr}

    def _order(self, epoch: int, shard: int, pieces: list[int]) -> list[int]:
        """The order of a shard's pieces."""
        if not self.shuffle:
            return pieces
        order = np.random.default_rng((self.seed, epoch, shard, len(pieces))).permutation(len(pieces))
        return [pieces[i] for i in order]

    def _step(
        self, epoch: int, orders: list[list[int]], batch: int, batches: int, optimizer: Any
    ) -> tuple[float, int, int]:
        """One update; returns the sum of the losses, the right rows, and the rows."""
        key = (self.seed, epoch) if self.shuffle else ()
        parts = [self.pieces.batch(shard, order, key, batch, batches) for shard, order in enumerate(orders)]
        rows = sum(some.last - some.first for part in parts for _, some in part)
        if rows == 0:
            return 0.0, 0, 0
        found = self.retried(lambda: self._gradients([part for part in parts if part], rows))
        total = np.zeros(self.network.engine.values.size)
        for one in found:
            total += one.gradient
        loss, engine = float(sum(one.loss for one in found)), self.network.engine
        saved = engine.snapshot()
        if np.isfinite(loss):
            engine.update(total.astype(engine.dtype), optimizer)
        if not (np.isfinite(loss) and np.isfinite(engine.values).all()):
            engine.restore(saved)
            raise TrainingDivergedError(
                f"loss: expected finite numbers, got NaN or infinity in epoch {epoch + 1}, batch {batch + 1} of "
                f"{batches}; the network keeps its last finite parameters: lower the learning rate or scale the data"
            )
        return loss, sum(one.hits for one in found), rows

    def _gradients(self, parts: list[list[tuple[int, on_workers.Rows]]], rows: int) -> list[on_workers.Found]:
        """The gradients of all shards, in order."""
        pieces, values = self.pieces, self.network.engine.values.copy()
        there = pieces.sent(values, values.nbytes)
        pieces.release_all_but({piece for part in parts for piece, _ in part})
        futures = [
            self.client.submit(
                on_workers.gradient,
                pieces.network_there,
                there,
                [pieces.future(piece) for piece, _ in part],
                [some for _, some in part],
                rows,
                pure=False,
            )
            for part in parts
        ]
        found: list[on_workers.Found] = self._waited_for(futures)
        return found

    def _waited_for(self, futures: list[Any]) -> Any:
        """The results of futures; TimeoutError if there was no worker for a minute, for which Dask would wait on."""
        from distributed import wait

        waiting: Any = wait
        seen = time.monotonic()
        while True:
            try:
                waiting(futures, timeout=SECONDS_BETWEEN_LOOKS)
                return self.client.gather(futures)
            except TimeoutError:
                if self.client.scheduler_info()["workers"]:
                    seen = time.monotonic()
                elif time.monotonic() - seen > SECONDS_FOR_A_WORKER:
                    raise

    def retried(self, compute: Any) -> Any:
        """A result of the cluster, computed again when a worker was lost."""
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker

        lost: Any = None
        for _ in range(MOST_REPEATS):
            try:
                if lost is not None:
                    self.client.wait_for_workers(1, timeout=SECONDS_FOR_A_WORKER)
                    if hasattr(self, "pieces"):  # not while they are made
                        self.pieces.renew()
                return compute()
            except (CancelledError, KilledWorker, CommClosedError, TimeoutError, OSError) as error:
                lost = error
                if isinstance(error, TimeoutError):
                    break
        remedy = "look at the workers' logs; their memory may not suffice"
        raise RuntimeError(
            f"client: expected workers that compute a step, lost them again and again ({lost!r}); {remedy}"
        ) from lost
