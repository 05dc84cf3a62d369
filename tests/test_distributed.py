"""Training on a Dask cluster: the same bits on any number of workers, whatever happens to them."""

import pathlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from tests import clusters
from tests.clusters import OPTIONS, D, K, N, T, X, network, parameter_bits

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from fastnn.distributed import fit, group, on_workers  # noqa: E402 - they need Dask
from fastnn.distributed.shards import Recipe, Shards  # noqa: E402


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Workers that are threads of this process."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "processes": False}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as found:
        yield found


@pytest.fixture(scope="module")
def expected(client: Any) -> tuple[list[bytes], list[float]]:
    return clusters.expected(client)


def by_hand(rows_of_batches: list[np.ndarray[Any, Any]]) -> fastnn.Network:
    """Steps of plain gradient descent by these batches, in float64."""
    trained = network("float64")
    for rows in rows_of_batches:
        gradient = trained.gradient(X[rows].astype(np.float64), T[rows])
        for name, values in gradient.items():
            trained.params[name] -= 0.1 * values
    return trained


def test_it_is_gradient_descent_by_whole_batches(client: Any) -> None:
    trained = network("float64")
    options = {**OPTIONS, "epochs": 1, "batch_size": 50, "optimizer": fastnn.SGD(0.1), "shuffle": False}
    fit(trained, (X.astype(np.float64), T), client, **options)
    # Shard s has the rows from 50 s on, of which a batch takes 12 or 13, so that it has 50 in all.
    cuts = [[0, 13, 26, 38, 50], [0, 12, 24, 37, 50]] * 2
    batches = [np.concatenate([50 * s + np.arange(cuts[s][b], cuts[s][b + 1]) for s in range(4)]) for b in range(4)]
    for name, values in by_hand(batches).params.items():
        np.testing.assert_allclose(trained.params[name], values, rtol=1e-12, atol=1e-14)


def shards_of(rows: list[int], batch_size: int, count: int, seed: int | None) -> Shards:
    """The shards of files with so many rows."""
    return Shards([Recipe("file", (f"{i}.npz",), n) for i, n in enumerate(rows)], batch_size, count, seed)


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize(
    ("pieces", "batch_size", "count"),
    [([N // 4] * 4, 30, 4), ([1, 17, 5, 40, 3, 33], 10, 3), ([33], 8, 8), ([5, 4, 4, 4, 4, 4, 4, 4], 8, 8)],
)
def test_every_row_is_taken_once_an_epoch(seed: int | None, pieces: list[int], batch_size: int, count: int) -> None:
    source, member = shards_of(pieces, batch_size, count, seed), on_workers.Member(network())
    for epoch in range(2):
        source.begin_epoch(epoch)
        taken: list[list[int]] = [[] for _ in pieces]
        for batch in range(source.batches):
            for shard in range(len(source.of_shard)):
                for piece, rows in source.rows_of(shard, batch):
                    order = member._order(rows, pieces[piece])
                    taken[piece] += list(order) if seed is not None else list(range(rows.first, rows.last))
        assert [sorted(rows) for rows in taken] == [list(range(rows)) for rows in pieces]


@pytest.mark.parametrize(
    ("pieces", "batch_size"),
    [([25] * 4, 50), ([5, 4, 4, 4, 4, 4, 4, 4], 8), ([50] * 4, 48), ([1, 90, 3], 7), ([2] * 60 + [1], 61)],
)
def test_batches_are_equal_and_no_larger_than_asked(pieces: list[int], batch_size: int) -> None:
    source = shards_of(pieces, batch_size, len(pieces), 0)
    assert source.batches == -(-sum(pieces) // batch_size)
    found = []
    for batch in range(source.batches):
        some = [rows for shard in range(len(pieces)) for _, rows in source.rows_of(shard, batch)]
        found.append(sum(rows.last - rows.first for rows in some))
        assert source.samples_of(batch, batch + 1) == found[-1]
    assert sum(found) == sum(pieces) and max(found) <= batch_size and max(found) - min(found) <= 1


def chosen(rows: on_workers.Rows) -> np.ndarray[Any, Any]:
    """The inputs of these rows."""
    member = on_workers.Member(network())
    found = [X[member._order(rows, N)] for _ in range(2)]
    np.testing.assert_array_equal(found[0], found[1])  # the second one by the order that is kept
    return found[0]


def test_each_epoch_has_another_order() -> None:
    orders = [[chosen(on_workers.Rows((seed, epoch, 0), 0, N)).tobytes() for epoch in range(3)] for seed in range(2)]
    assert len({order for some in orders for order in some}) == 6
    rows = chosen(on_workers.Rows((0, 0, 0), 0, N))
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(X, axis=0))


def test_dask_arrays_and_files(client: Any, tmp_path: pathlib.Path) -> None:
    results = []
    chunks = ((40, 70, 50, 40), (D,))
    for name in ("arrays", "files"):
        if name == "arrays":
            data: Any = (da.from_array(X, chunks=chunks), da.from_array(T, chunks=chunks[:1]))
        else:
            ends = np.cumsum(chunks[0])
            data = [str(tmp_path / f"{i}.npz") for i in range(4)]
            for file, begin, end in zip(data, ends - chunks[0], ends, strict=True):
                np.savez(file, x=X[begin:end], t=T[begin:end])
        for shards in (4, 2):  # as many pieces as shards, and twice as many, which are forgotten in between
            trained = network()
            fit(trained, data, client, **{**OPTIONS, "shards": shards})
            results.append(parameter_bits(trained))
    assert results[0] == results[2] and results[1] == results[3] and results[0] != results[1]


def test_it_goes_on_after_a_file_to_the_same_bits(client: Any, tmp_path: pathlib.Path, expected: Any) -> None:
    first = network()
    saved = tmp_path / "network.npz"
    fit(first, (X, T), client, **{**OPTIONS, "epochs": 2}, callbacks=[lambda net, history: net.save(saved)])
    trained = fastnn.load(saved)
    history = fit(trained, (X, T), client, **OPTIONS, initial_epoch=2)
    assert parameter_bits(trained) == expected[0]
    assert history.loss == expected[1][2:]


class StoppedError(Exception):
    """Ends a training as a kill would."""


@pytest.mark.parametrize("batches", [2, 5, 8])
def test_a_checkpoint_goes_on_to_the_same_bits(
    client: Any, tmp_path: pathlib.Path, expected: Any, batches: int
) -> None:
    path, done = tmp_path / "run.npz", list[int]()

    class Stop:
        def after_batch(self, net: fastnn.Network, figures: Any) -> None:
            done.append(figures.samples)
            if len(done) > batches:
                raise StoppedError

    options: dict[str, Any] = {**OPTIONS, "resume": path}
    checkpoint = fastnn.Checkpoint(path, every_batches=2)
    with pytest.raises(StoppedError):
        fit(network(), (X, T), client, **options, callbacks=[Stop(), checkpoint])
    trained = network()
    history = fit(trained, (X, T), client, **options, callbacks=[checkpoint])
    assert (parameter_bits(trained), history.loss) == expected
    assert sum(done[:5]) == N or batches < 5
    for change, name in (({"shards": 2}, "batch_size: expected 48 in 4 shards"), ({"seed": 1}, "rng: expected 0")):
        with pytest.raises(ValueError, match=rf"^{name}, as in the run of .*run\.npz, got"):
            fit(network(), (X, T), client, **{**options, **change}, callbacks=[checkpoint])
    with pytest.raises(ValueError, match=r"^x: expected arrays of 200 rows with the checksum .* got arrays of 199"):
        fit(network(), (X[1:], T[1:]), client, **options, callbacks=[checkpoint])
    with pytest.raises(ValueError, match=r"^x: expected arrays of 200 rows with the checksum .* got an array"):
        network().fit(X, T, epochs=3, batch_size=48, rng=0, progress=False, resume=path)


def test_history_schedule_callbacks_and_validation(client: Any) -> None:
    trained, called = network(), list[int]()

    def end_after_two(net: fastnn.Network, history: fastnn.History) -> bool:
        called.append(history.epochs)
        return history.epochs == 2

    schedule = fastnn.schedules.StepDecay(every=1, factor=0.5)
    history = fit(
        trained, (X, T), client, **OPTIONS, schedule=schedule, validation_data=(X, T), callbacks=[end_after_two]
    )
    assert called == [1, 2] and history.epochs == 2 and history is trained.history
    assert history.learning_rate == [0.1, 0.05]
    assert history.validation_loss[-1] == pytest.approx(trained.loss(X, T) - penalty(trained))
    assert history.validation_accuracy[-1] == trained.accuracy(X, T)
    assert 0.0 < history.accuracy[-1] <= 1.0 and min(history.seconds) > 0.0


def penalty(trained: fastnn.Network) -> float:
    return sum(0.005 * float((trained.params[name].astype(np.float64) ** 2).sum()) for name in ("W1", "W2"))


def test_a_training_that_diverges_keeps_finite_parameters(client: Any) -> None:
    trained = network()
    with pytest.raises(fastnn.TrainingDivergedError, match=r"in epoch 1, batch .*lower the learning rate"):
        fit(trained, (X * 1e3, T), client, **{**OPTIONS, "optimizer": fastnn.SGD(1e30)})
    assert all(np.isfinite(values).all() for values in trained.params.values())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"network": 3}, "^network: expected a fastnn.Network, got 3"),
        ({"client": None}, r"^client: expected a dask.distributed.Client, got None; pass dask.distributed.Client\(\)"),
        ({"network": fastnn.Network([fastnn.Affine(D, K), fastnn.BatchNorm()])}, "^network: expected no BatchNorm"),
        ({"network": fastnn.Network([fastnn.Affine(D, K), fastnn.Dropout()])}, "^network: expected no Dropout"),
        ({"data": X}, r"^data: expected a pair of arrays \(x, t\), or names of files"),
        ({"data": (X, T[:-1])}, "^t: expected labels of shape"),
        ({"data": (da.from_array(X), T[:-1])}, "^data: expected as many targets as samples, 200, got 199"),
        ({"data": (dask.delayed(X), dask.delayed(T))}, "^data: expected a NumPy or Dask array, got a Delayed"),
        ({"shards": 0}, "^shards: expected an integer of at least 1"),
        ({"batch_size": 0}, "^batch_size: expected"),
        ({"learning_rate": 0.1}, "^fit: expected arguments out of .*got learning_rate; pass optimizer"),
        ({"schedule": 3}, "^schedule: expected a function"),
        ({"callbacks": [3]}, "^callbacks: expected"),
        ({"batch_size": 3}, "^shards: expected at most as many as the rows of a batch, 3, got 4; pass fewer"),
        ({"resume": 3}, "^path: expected a string or an os.PathLike, got 3"),
    ],
)
def test_refused(client: Any, change: dict[str, Any], sentence: str) -> None:
    given = {"network": network(), "data": (X, T), "client": client, **OPTIONS, **change}
    with pytest.raises((TypeError, ValueError), match=sentence):
        fit(given.pop("network"), given.pop("data"), given.pop("client"), **given)


def test_a_file_without_targets_is_refused(client: Any, tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "bad.npz", x=X)
    with pytest.raises(ValueError, match=r"^data: expected files with the arrays x and t, got x in .*np.savez"):
        fit(network(), [tmp_path / "bad.npz"], client, **OPTIONS)


def test_bad_data_on_a_worker_come_back_as_their_error(client: Any, tmp_path: pathlib.Path) -> None:
    x = X.copy()
    x[3, 2] = np.nan
    np.savez(tmp_path / "good.npz", x=X, t=T)
    np.savez(tmp_path / "bad.npz", x=x, t=T)
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"bad\.npz: x: expected finite values, got nan at x\[3, 2\].*data$") as raised:
        fit(network(), [tmp_path / "good.npz", tmp_path / "bad.npz"], client, **OPTIONS)
    assert time.monotonic() - began < 30.0
    assert tasks_left(client) == 0, "the good pieces stay on the workers"
    assert raised.value.__traceback__ is not None  # it is kept, as a debugger or a notebook does


def tasks_left(client: Any) -> int:
    """The tasks that remain on the scheduler."""
    end = time.monotonic() + 10.0
    while (left := int(client.run_on_scheduler(count_of_tasks))) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def count_of_tasks(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)


def test_an_error_within_a_step_leaves_no_tasks(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise StoppedError

    monkeypatch.setattr(on_workers, "check_shapes", refuse)
    with pytest.raises(StoppedError) as raised:
        fit(network(), (X, T), client, **OPTIONS)
    assert tasks_left(client) == 0 and raised.value.__traceback__ is not None


def test_an_error_of_a_callback_leaves_no_tasks(client: Any) -> None:
    def stop(net: fastnn.Network, history: fastnn.History) -> bool:
        raise StoppedError

    with pytest.raises(StoppedError) as raised:
        fit(network(), (X, T), client, **OPTIONS, callbacks=[stop])
    assert tasks_left(client) == 0 and raised.value.__traceback__ is not None


def test_parameters_that_a_callback_spoils_are_put_back(client: Any) -> None:
    def spoil(net: fastnn.Network, history: fastnn.History) -> None:
        before.append(parameter_bits(net))
        net.params["W1"][0, 0] = np.nan

    trained, before = network(), list[Any]()
    with pytest.raises(fastnn.TrainingDivergedError, match="in epoch 2, batch 1 of 5"):
        fit(trained, (X, T), client, **OPTIONS, callbacks=[spoil])
    assert parameter_bits(trained) == before[0]


def test_data_that_a_callback_changes_stay_as_they_were(client: Any, expected: Any) -> None:
    x, t, trained = X.copy(), T.copy(), network()

    def change(net: fastnn.Network, history: fastnn.History) -> None:
        x[...], t[...] = 0.0, 0

    fit(trained, (x, t), client, **OPTIONS, callbacks=[change])
    assert parameter_bits(trained) == expected[0]


def test_the_same_bits_in_two_processes(expected: Any) -> None:
    with clusters.cluster_of(2) as cluster, distributed.Client(cluster) as client:
        assert clusters.expected(client) == expected


def pause(client: Any, worker: Any) -> None:
    """Pause a worker as Dask does where memory is short, and wait until the scheduler knows."""
    worker.status = distributed.Status.paused
    end = time.monotonic() + 10.0
    while worker.address in client.sync(client.scheduler.ncores_running) and time.monotonic() < end:
        time.sleep(0.05)


@pytest.fixture
def without_limits() -> Iterator[Any]:
    """Two workers that do not go on by themselves after a pause."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "processes": False}
    memory = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")}
    with dask.config.set(memory), distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as found:
        yield found, list(cluster.workers.values())


@pytest.mark.parametrize("kind", ["arrays", "files", "in between"])
def test_a_paused_worker_is_left_out(
    without_limits: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    files = [tmp_path / f"{number}.npz" for number in range(8)]
    for file, rows in zip(files, np.array_split(np.arange(N), 8), strict=True):
        np.savez(file, x=X[rows], t=T[rows])
    (client, workers), data = without_limits, (X, T) if kind == "arrays" else files
    wanted = network()
    fit(wanted, data, client, **OPTIONS)
    monkeypatch.setattr(group, "SECONDS_FOR_A_WORKER", 1.0)
    monkeypatch.setattr(group, "SECONDS_BETWEEN_LOOKS", 0.2)

    def pause_one(*_: Any) -> None:
        pause(client, workers[0])

    if kind != "in between":
        pause_one()
    trained = network()
    fit(trained, data, client, **OPTIONS, callbacks=[pause_one] if kind == "in between" else [])
    assert parameter_bits(trained) == parameter_bits(wanted)


@pytest.mark.parametrize("kind", ["arrays", "files"])
def test_paused_workers_alone_are_an_error_that_names_them(
    without_limits: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(group, "SECONDS_FOR_A_WORKER", 1.0)
    monkeypatch.setattr(group, "SECONDS_BETWEEN_LOOKS", 0.2)
    np.savez(tmp_path / "all.npz", x=X, t=T)
    client, workers = without_limits
    for worker in workers:
        pause(client, worker)
    with pytest.raises(RuntimeError, match=rf"expected workers.*{workers[0].address} is paused"):
        fit(network(), (X, T) if kind == "arrays" else [tmp_path / "all.npz"], client, **OPTIONS)


def test_clients_for_which_it_would_wait_forever_are_refused(client: Any) -> None:
    def within_a_task() -> Any:
        return parameter_bits_of_a_training(distributed.get_client())

    with pytest.raises(RuntimeError, match=r"^client: expected a client of distributed.worker_client\(\), got one"):
        client.submit(within_a_task, pure=False).result(timeout=60)

    def with_a_client_of_its_own() -> Any:
        with distributed.worker_client() as own:
            return parameter_bits_of_a_training(own)

    assert client.submit(with_a_client_of_its_own, pure=False).result(timeout=60) == clusters.expected(client)[0]
    closed = distributed.Client(client.scheduler.address)
    closed.close()
    with pytest.raises(ValueError, match=r"^client: expected an open client, got a closed one"):
        fit(network(), (X, T), closed, **OPTIONS)


def parameter_bits_of_a_training(client: Any) -> list[bytes]:
    return clusters.expected(client)[0]


def test_the_checksum_of_the_data_is_computed_for_checkpoints_alone(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastnn.distributed.shards._text_of", None)
    fit(network(), (X, T), client, **OPTIONS)
