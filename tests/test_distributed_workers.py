"""Workers that are processes: any number of them and of their threads, that come, die and are interrupted."""

import _thread
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from tests import clusters
from tests.clusters import OPTIONS, K, T, X, cluster_of, network, parameter_bits

distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")

from fastnn.distributed import fit  # noqa: E402 - it needs Dask

pytestmark = pytest.mark.exhaustive
Expected = tuple[list[bytes], list[float]]


def in_threads() -> Any:
    """A cluster of a single worker that is a thread of this process."""
    return distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", processes=False)


@pytest.fixture(scope="module")
def expected() -> Expected:
    with in_threads() as cluster, distributed.Client(cluster) as client:
        return clusters.expected(client)


@pytest.fixture(scope="module")
def two() -> Iterator[Any]:
    """A client of two workers, for tests that kill none."""
    with cluster_of(2) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.parametrize(("workers", "threads"), [(1, 1), (2, 1), (4, 1), (1, 2), (2, 2)])
def test_the_same_bits_on_any_number_of_processes_and_threads(workers: int, threads: int, expected: Expected) -> None:
    with cluster_of(workers, threads_per_worker=threads) as cluster, distributed.Client(cluster) as client:
        assert clusters.expected(client) == expected


def test_rows_in_their_order_and_with_adam(two: Any) -> None:
    """Slices of what was sent lie in memory that must not be written; Adam keeps two vectors."""
    changes: dict[str, Any] = {"shuffle": False, "optimizer": fastnn.Adam(0.01)}
    with in_threads() as cluster, distributed.Client(cluster) as client:
        assert clusters.expected(two, **changes) == clusters.expected(client, **changes)


def test_an_operation_of_the_main_script_is_named(two: Any) -> None:
    """Workers cannot import it; Dask hands on their error as a text."""

    def half(z: Any) -> Any:
        return 0.5 * z

    half.__module__ = "__main__"
    own = fastnn.activation(half, derivative=lambda z, y: 0.5, name="half_of_cluster")
    net = fastnn.Network([fastnn.Affine(X.shape[1], 4), own(), fastnn.Affine(4, K)], rng=0)
    sentence = r"^pickle: expected your own activation 'half_of_cluster', got none; define it first, .* a main script$"
    with pytest.raises(ValueError, match=sentence):
        fit(net, (X, T), two, **OPTIONS)


def test_pieces_stay_where_they_are(two: Any) -> None:
    """Each of two workers holds half of the shards, and sends and receives no piece after the first step."""
    seen = list[Any]()

    def look(net: fastnn.Network, history: fastnn.History) -> None:
        seen.append(two.run(count_of_data))

    fit(network(), (X, T), two, **{**OPTIONS, "epochs": 5, "callbacks": [look]})
    pieces = [count for count, _ in seen[-1].values()]
    assert pieces == [2, 2]
    assert seen[0] == seen[-1]  # no transfer since the first epoch


def count_of_data(dask_worker: Any) -> tuple[int, int]:
    """How many pieces a worker holds, and how many keys it has fetched from others."""
    pieces = sum(isinstance(one, tuple) and len(one) == 3 for one in dask_worker.data.values())
    fetched = sum(len(one["keys"]) for one in dask_worker.transfer_incoming_log)
    return pieces, fetched


KILLS = 4


def train_while(client: Any, happen: Callable[[], bool], times: int, pause: float) -> tuple[fastnn.Network, int]:
    """Train while something happens so many times, at random moments, and for two epochs more; return the epochs."""
    stop, happened, since = threading.Event(), list[int](), list[int]()
    rng = np.random.default_rng(0)

    def again_and_again() -> None:
        while len(happened) < times and not stop.wait(pause * rng.random()):
            happened.extend([1] * happen())

    def end_two_epochs_after_the_last(net: fastnn.Network, history: fastnn.History) -> bool:
        since.extend([history.epochs] * (len(happened) == times))
        return len(since) > 2

    thread, trained = threading.Thread(target=again_and_again), network()
    thread.start()
    try:
        options = {**OPTIONS, "epochs": 20_000, "callbacks": [end_two_epochs_after_the_last]}
        history = fit(trained, (X, T), client, **options)
    finally:
        stop.set()
        thread.join()
    assert len(happened) == times
    return trained, history.epochs


def has_bits_of_an_undisturbed_one(trained: fastnn.Network, epochs: int) -> bool:
    with in_threads() as cluster, distributed.Client(cluster) as client:
        return parameter_bits(trained) == clusters.expected(client, epochs=epochs)[0]


def test_workers_that_die_change_nothing() -> None:
    with cluster_of(2) as cluster, distributed.Client(cluster) as client:
        killed = list[int]()

        def kill() -> bool:
            nannies = list(cluster.workers.values())
            pid = nannies[len(killed) % len(nannies)].pid
            if pid and pid not in killed:  # it takes seconds until there is another one
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return True
            return False

        trained, epochs = train_while(client, kill, KILLS, 4.0)
    assert has_bits_of_an_undisturbed_one(trained, epochs)


def test_workers_that_are_restarted_by_their_nannies_change_nothing() -> None:
    with cluster_of(2) as cluster, distributed.Client(cluster) as client, distributed.Client(cluster) as other:

        def restart() -> bool:
            other.restart_workers(list(other.nthreads())[:1], timeout=60)
            return True

        trained, epochs = train_while(client, restart, 2, 2.0)
    assert has_bits_of_an_undisturbed_one(trained, epochs)


def test_a_worker_that_joins_takes_a_share() -> None:
    seen = list[Any]()
    with cluster_of(1) as cluster, distributed.Client(cluster) as client, distributed.Client(cluster) as other:

        def join() -> bool:
            cluster.scale(2)
            other.wait_for_workers(2, timeout=60)
            return True

        trained, epochs = train_while(client, join, 1, 1.0)
        trained_again = network()
        fit(trained_again, (X, T), client, **OPTIONS, callbacks=[lambda *_: seen.append(client.run(count_of_data))])
    assert [count for count, _ in seen[-1].values()] == [2, 2]
    assert has_bits_of_an_undisturbed_one(trained, epochs)


@pytest.mark.parametrize("kind", ["dask", "files"])
def test_data_larger_than_the_memory_of_a_worker(two: Any, tmp_path: pathlib.Path, kind: str) -> None:
    """240 MB in chunks of 20 MB, for workers that may take 160 MB beside what they need themselves."""
    rows, width, chunks = 2500, 2000, 12
    clusters.expected(two)
    limit = max(two.run(memory_used).values()) + 160_000_000

    def made(number: int) -> tuple[Any, Any]:
        rng = np.random.default_rng(number)
        return rng.random((rows, width), np.float32), rng.integers(0, K, rows)

    files = [str(tmp_path / f"{number}.npz") for number in range(chunks)]
    for number, name in enumerate(files):
        x, t = made(number)
        np.savez(name, x=x, t=t)
    data: Any = files
    if kind == "dask":
        x = da.concatenate([da.from_delayed(read(name, "x"), (rows, width), np.float32) for name in files])
        t = da.concatenate([da.from_delayed(read(name, "t"), (rows,), np.int64) for name in files])
        data = (x, t)
    trained = fastnn.Network([fastnn.Affine(width, K)], rng=0)
    options = {**OPTIONS, "epochs": 1, "batch_size": 1000, "shards": 2}
    with cluster_of(2, memory_limit=limit) as cluster, distributed.Client(cluster) as client:
        pids = {nanny.pid for nanny in cluster.workers.values()}
        fit(trained, data, client, **options)
        assert pids == {nanny.pid for nanny in cluster.workers.values()}, "a worker was killed"
    alone = fastnn.Network([fastnn.Affine(width, K)], rng=0)
    with in_threads() as cluster, distributed.Client(cluster) as client:
        fit(alone, files, client, **options)
    assert parameter_bits(trained) == parameter_bits(alone)


def memory_used(dask_worker: Any) -> int:
    used: int = dask_worker.monitor.get_process_memory()
    return used


def read(name: str, array: str) -> Any:
    """A Dask value: an array of a file."""
    delayed: Any = pytest.importorskip("dask.delayed")
    return delayed.delayed(part_of_file)(name, array)


def part_of_file(name: str, array: str) -> Any:
    with np.load(name) as file:
        return file[array]


def test_interruption_leaves_a_usable_network_and_no_tasks(two: Any, expected: Expected) -> None:
    trained, begun = network(), threading.Event()

    def interrupt() -> None:
        begun.wait()
        time.sleep(1.5)
        _thread.interrupt_main()

    def note(net: fastnn.Network, history: fastnn.History) -> None:
        begun.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        fit(trained, (X, T), two, **{**OPTIONS, "epochs": 100_000, "callbacks": [note]})
    thread.join()
    assert trained.history is not None and 0 < trained.history.epochs < 100_000
    assert np.isfinite(trained.loss(X, T))
    end = time.monotonic() + 30.0
    while (left := two.run_on_scheduler(tasks_left)) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == 0
    assert clusters.expected(two) == expected  # the cluster is usable, too


def tasks_left(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)
