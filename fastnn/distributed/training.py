"""Synchronous data-parallel training on a Dask cluster, with the same bits on any number of workers."""

import contextlib
import os
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from fastnn.distributed.group import Group
from fastnn.distributed.shards import Shards, recipes_of
from fastnn.engine.pace import Pace
from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays, checks
from fastnn.gate.slips import answers_slips
from fastnn.network import callbacks as calls
from fastnn.network import requests
from fastnn.network.history import History
from fastnn.network.network import Network
from fastnn.network.requests import Request
from fastnn.network.run import Run
from fastnn.network.sources import Part
from fastnn.network.training import begin, find_checkpoint, savers_of
from fastnn.optimizers import Optimizer, check_optimizer
from fastnn.system.progress import Progress

# A call to the cluster moves the parameters and the optimizer's state to a worker and back.
SECONDS_PER_CALL = 1.0


# Fifteen parameters: most are those of `Network.fit`.
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
    resume: str | os.PathLike[str] | None = None,
) -> History:
    """Train a network on the workers of a Dask cluster, each batch in a fixed number of shards.

    In each step every worker computes the gradients of its shards, the workers add them up among each other, and one of
    them updates the parameters. The sum is a tree over the numbers of the shards. So the bits depend on the number of
    shards, but not on the number of workers and their threads, on which of them computes a shard, or on how often one
    of them dies: the steps in which a worker is lost are repeated, and all workers load their data again.

    A step costs the workers' share of the batch, and that P parameters go down a tree of the workers and P numbers up:
    it pays where a batch takes long beside that. `docs/how-to/cluster.md` has the model, and measurements.

    Parameters
    ----------
    network : Network
        Without BatchNorm and Dropout.
    data : (x, t) or list of str
        Arrays, which are cut into shards, copied and sent to the workers; Dask arrays, each chunk of which moves once
        to the worker that has its shard; or the names of .npz files with the arrays x and t, which the workers can
        read. Chunks and files are loaded when they are needed, and forgotten after that if there are more of them than
        shards. All targets must be of the same kind, labels or values.
    client : dask.distributed.Client
    epochs : int
    batch_size : int
        The most rows of a batch, over all shards. An epoch of N rows has B = ceil(N / batch_size) batches, each
        of N / B rows, rounded down or up.
    shards : int
        The parts of a batch; at most so many workers compute at the same time. A worker with several Dask threads
        computes by as many threads, unless `network.n_threads` is set, and takes shards in proportion to them.
    optimizer, schedule, validation_data
        As for `Network.fit`; the figures on validation data are computed in this process.
    shuffle, progress : bool
        As for `Network.fit`.
    seed : int
        The order of the rows in an epoch is made from it and the number of the epoch: within each piece of a shard, and
        of its pieces.
    callbacks : sequence of callables
        As for `Network.fit`, called here, `fastnn.Checkpoint` included. A callback that is called after each batch
        makes each step wait for this process.
    initial_epoch : int
        Epochs that are counted as done: after `fit(fastnn.load(path), ..., initial_epoch=n)` the bits are the ones of
        a training that was not interrupted.
    resume : str or os.PathLike, optional
        The file of a `fastnn.Checkpoint`, as for `Network.fit`. The number of workers may be another one. Only
        the rows of the chunks of Dask arrays are compared, and only the names and rows of files: their data are not
        here.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        For bad arguments and data, and for another argument than that of the run that `resume` names.
    TrainingDivergedError
        When the loss or a parameter is no longer finite. The network keeps its last finite parameters.
    RuntimeError
        When a step was repeated too often, or there is no worker for a minute; within a task of the cluster, without
        `distributed.worker_client()`.

    Examples
    --------
    >>> from distributed import Client
    >>> x, t = np.eye(8, dtype=np.float32), np.arange(8) % 2
    >>> nets = [fastnn.Network([fastnn.Affine(8, 2)], rng=0) for _ in range(2)]
    >>> for net, workers in zip(nets, (1, 2)):
    ...     with Client(n_workers=workers, processes=False, dashboard_address=":0") as client:
    ...         _ = fastnn.distributed.fit(net, (x, t), client, epochs=2, batch_size=4, shards=2)
    >>> np.array_equal(nets[0].params["W1"], nets[1].params["W1"])  # the same bits
    True
    """
    _check_network_and_client(network, client)
    epochs = arrays.integer("epochs", epochs, minimum=0)
    found = find_checkpoint(resume)
    known = None if found is None else found.snapshot.optimizer
    optimizer = (known or requests.last_optimizer(network)) if optimizer is None else check_optimizer(optimizer)
    batch_size = arrays.integer("batch_size", batch_size, minimum=1)
    shards = arrays.integer("shards", shards, minimum=1)
    if shards > batch_size:
        came = f"{shards}; pass fewer, or a larger batch_size"
        raise ValueError(f"shards: expected at most as many as the rows of a batch, {batch_size}, got {came}")
    seed, shuffle = arrays.integer("seed", seed, minimum=0), arrays.flag("shuffle", shuffle)
    schedule = None if schedule is None else requests.check_schedule("schedule", schedule)
    calls.check(callbacks)
    initial_epoch = requests.epochs_done(initial_epoch, epochs)
    progress = arrays.flag("progress", progress)
    validation = requests.prepared_validation(network, validation_data, True)
    with Group(client, network) as group:
        recipes = recipes_of(network, data, shards, lambda names: group.retried(lambda: group.rows_of_files(names)))
        source = group.source = Shards(recipes, batch_size, shards, seed if shuffle else None)
        source.counts_hits = group.retried(group.are_classes)
        request = Request(
            epochs=epochs,
            optimizer=optimizer,
            schedule=schedule,
            source=source,
            validation=validation,
            shuffle=shuffle,
            generator=np.random.default_rng(seed),  # from which nothing is drawn
            progress=progress,
            callbacks=callbacks,
            numerical=False,
            figures=requests.names_of_figures(source.counts_hits, validation is not None, ()),
            metrics=(),
            initial_epoch=initial_epoch,
            seed=seed,
        )
        run = _RunOnWorkers(network, request, group, source)
        begin(run, found)
        network.history = run.history
        return run.train()


def _check_network_and_client(network: Any, client: Any) -> None:
    """Refuse what is no network or client, and layers that have to see the whole batch."""
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a fastnn.Network, got {checks.shown(network)}; pass the network")
    if not all(callable(getattr(client, name, None)) for name in ("submit", "scatter", "gather")):
        came = f"{checks.shown(client)}; pass dask.distributed.Client()"
        raise TypeError(f"client: expected a dask.distributed.Client, got {came}")
    _check_is_usable(client)
    for layer in network.engine.layers:
        if layer.differs_in_training:
            expected = f"network: expected no {type(layer).__name__}, whose training needs the whole batch"
            raise ValueError(f"{expected}, got {layer}; train it by Network.fit")
    if not np.isfinite(network.engine.values).all():
        raise ValueError("params: expected finite parameters, got NaN or infinity; call network.initialize() first")


def _check_is_usable(client: Any) -> None:
    """Refuse a client for which `fit` would wait forever, or whose cluster is gone."""
    from distributed import get_worker
    from distributed.threadpoolexecutor import thread_state

    if getattr(client, "status", "") == "closed":
        raise ValueError("client: expected an open client, got a closed one; call fit before it is closed")
    if getattr(client, "asynchronous", False):
        raise ValueError("client: expected a client that waits, got an asynchronous one; pass Client() in a thread")
    if not getattr(thread_state, "proceed", False):  # of no worker, or it has given its thread back to the worker
        return
    found: Any = get_worker
    with contextlib.suppress(ValueError):  # no task
        if found().scheduler.address == client.scheduler.address:
            came = "one within a task, which takes the thread of a worker"
            raise RuntimeError(f"client: expected a client of distributed.worker_client(), got {came}")


class _RunOnWorkers(Run):
    """A run whose batches are taken by the workers of a cluster."""

    def __init__(self, network: Network, request: Request, group: Group, source: Shards) -> None:
        super().__init__(network, request, savers_of(request.callbacks))
        self._group, self._shards, self._pace = group, source, Pace(SECONDS_PER_CALL)

    def _compile(self) -> None:
        """Nothing: workers compile."""

    def _epoch(self, bar: Progress) -> None:
        self._shards.begin_epoch(self.position.epochs)
        super()._epoch(bar)

    def _take(self, part: Part, optimizer: Optimizer) -> tuple[int, float, int]:
        engine, (first, last, _) = self.network.engine, part.batches
        start = time.perf_counter()
        snapshot = engine.snapshot()
        taken = self._group.retried(lambda: self._group.steps(first, last, snapshot, optimizer))
        if np.isfinite(taken.snapshot.parameters).all():  # else a callback had changed them before
            self._saved = taken.snapshot
        engine.restore(self._saved)
        engine.optimizer = self.request.optimizer
        if taken.has_diverged:
            self._refuse_divergence(part, optimizer, len(taken.losses))
        self._pace.took(part.taken, time.perf_counter() - start)
        losses = self.position.losses
        for loss in taken.losses:
            losses += loss
        return self._shards.samples_of(first, last), losses, taken.hits

    def _refuse_divergence(self, part: Part, optimizer: Optimizer, taken: int = 0) -> NoReturn:
        """Say where the training diverged."""
        batch = f"epoch {self.position.epochs + 1}, batch {part.batches[0] + taken + 1} of {self.source.batches}"
        raise TrainingDivergedError(
            f"loss: expected finite numbers, got NaN or infinity in {batch}; the network keeps its last finite "
            "parameters: lower the learning rate or scale the data"
        )
