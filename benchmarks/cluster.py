"""The cost of a step on a Dask cluster: constants measured on this machine, and a simulation of more workers.

`python -m benchmarks.cluster` prints both, and how far the model is from what was measured. A step takes

    step + update * bytes + 2 ceil(log2(workers)) * (message + bytes / bandwidth) + the shards of one worker

seconds: the calls within a worker; the update of the parameters, their bytes on the way down a tree of the workers, and
the gradients' on the way up; and the gradients of ceil(shards / workers) shards. The simulation sends each message when
its sender, its receiver and its contents are ready, and draws the time of each worker's shards from measured ones.
"""

import itertools
import math
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import fastnn
from fastnn.distributed import fit, on_workers
from fastnn.distributed.sums import ranges

SMALL, SMALL_ROWS = (20, 16, 4), 64
LARGE, LARGE_ROWS = (1024, 1024, 1024, 10), 64
SHARDS = 4  # of the small and the large one
MEASURED: tuple[tuple[tuple[int, ...], int, int], ...] = (
    ((64, 50, 10), 1000, 8),
    ((784, 256, 10), 4096, 4),
    ((784, 1024, 10), 8192, 4),
    ((1024, 1024, 1024, 10), 4096, 4),
)
EXAMPLE, EXAMPLE_ROWS, EXAMPLE_SHARDS = (784, 2048, 2048, 10), 262_144, 1024
WORKERS = (1, 2, 4, 8, 16, 64, 256, 1000)
SECONDS, FEWEST = 1.0, 4  # for each measurement: seconds, and epochs
BYTES = 150_000_000  # the most of the data of an epoch


class Constants(NamedTuple):
    """Seconds, seconds a byte, and bytes a second."""

    step: float
    update: float
    message: float
    bandwidth: float


def network_of(widths: Sequence[int]) -> fastnn.Network:
    """A network of these widths."""
    layers: list[Any] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [fastnn.Affine(inputs, outputs), fastnn.Relu()]
    return fastnn.Network(layers[:-1], rng=0)


def size_of(widths: Sequence[int]) -> int:
    """The bytes of a network's parameters."""
    return sum(values.nbytes for values in network_of(widths).params.values())


def data_of(widths: Sequence[int], rows: int) -> tuple[Any, Any]:
    """Rows of random numbers and labels."""
    rng = np.random.default_rng(0)
    return rng.random((rows, widths[0]), np.float32), rng.integers(0, widths[-1], rows)


def times_of_shards(widths: Sequence[int], rows: int, shards: int) -> list[float]:
    """The times of so many shards, of so many rows each, in this process on one thread."""
    network = network_of(widths)
    network.n_threads = 1
    piece = on_workers.prepared(network, *data_of(widths, rows))
    member, found, end = on_workers.Member(network), list[float](), time.perf_counter() + SECONDS
    work = {number: [(piece, on_workers.Rows((0, number), 0, rows))] for number in range(shards)}
    while len(found) <= FEWEST or time.perf_counter() < end:
        start = time.perf_counter()
        nodes = member.nodes(network.engine.values, work, rows * shards)
        found.append(time.perf_counter() - start)
        member.added(nodes)
    return found[1:]


def seconds_of_a_step(where: Any, widths: Sequence[int], rows: int, shards: int) -> float:
    """The median time of a step on a cluster, or in this process on so many threads; a step takes all rows."""
    network, (x, t) = network_of(widths), data_of(widths, rows)
    options: Any = {"batch_size": rows, "optimizer": fastnn.SGD(1e-6), "progress": False}
    steps, end, found = 2, time.perf_counter() + SECONDS, list[float]()
    while True:  # an epoch begins with calls of Dask, so it has many steps
        data = np.tile(x, (steps, 1)), np.tile(t, steps)
        if isinstance(where, int):
            network.n_threads = where
            seconds = network.fit(*data, epochs=3, rng=0, **options).seconds[1:]
        else:
            seconds = fit(network, data, where, epochs=3, shards=shards, **options).seconds[1:]
        if sum(seconds) < SECONDS and 4 * steps * x.nbytes < BYTES:
            steps *= 4
            continue
        found += seconds
        if len(found) >= FEWEST and time.perf_counter() > end:
            return float(np.median(found)) / steps


def measured(one: Any, two: Any) -> Constants:
    """The constants of clusters of one and two workers: by shards of almost no work, and by many parameters."""
    size = size_of(LARGE)
    small, large = (
        float(np.median(times_of_shards(widths, rows // SHARDS, SHARDS)))
        for widths, rows in ((SMALL, SMALL_ROWS), (LARGE, LARGE_ROWS))
    )
    small_one, small_two = (seconds_of_a_step(client, SMALL, SMALL_ROWS, SHARDS) for client in (one, two))
    large_one, large_two = (seconds_of_a_step(client, LARGE, LARGE_ROWS, SHARDS) for client in (one, two))
    step = max(small_one - small, 1e-6)
    message = max(small_two - step - small / 2, 1e-6) / 2
    update = max(large_one - step - large, 1e-6) / size
    sent = max(large_two - step - update * size - 2 * message - large / 2, 1e-6)
    return Constants(step, update, message, 2 * size / sent)


def predicted(known: Constants, workers: int, shards: int, size: int, times: Sequence[float]) -> float:
    """The formula."""
    levels = math.ceil(math.log2(min(workers, shards)))
    moved = 2 * levels * (known.message + size / known.bandwidth)
    return known.step + known.update * size + moved + -(-shards // workers) * float(np.median(times))


def simulated(known: Constants, workers: int, shards: int, size: int, times: Sequence[float]) -> float:
    """The median time of steps in which each worker sends, receives and computes one thing at a time."""
    rng, transfer = np.random.default_rng(0), known.message + size / known.bandwidth
    counts = [len(part) for part in ranges(shards, [1] * workers) if part]

    def sums_of(first: int, last: int, begin: float) -> float:
        """When the first of these workers has the sum of all, if it has the parameters at `begin`."""
        sent, others = begin, []
        own = begin + float(rng.choice(times, counts[first]).sum())
        while last - first > 1:  # as `on_workers._halves`
            middle = (first + last + 1) // 2
            sent += transfer
            others.append((middle, last, sent))
            last = middle
        received = begin
        for other in reversed(others):
            received = max(received, sums_of(*other)) + transfer
        return max(own, received)

    steps = [sums_of(0, len(counts), 0.0) for _ in range(20)]
    return known.step + known.update * size + float(np.median(steps))


def print_measured(known: Constants, clients: Sequence[Any]) -> None:
    """The table of real steps, beside one process."""
    print("\n| network, rows, shards | 1 thread | 2 threads | 1 worker | model | 2 workers | model | simulation |")
    print("| --- |" + " ---: |" * 7)
    for widths, rows, shards in MEASURED:
        size, times = size_of(widths), [one / shards for one in times_of_shards(widths, rows // shards, shards)]
        found = [seconds_of_a_step(threads, widths, rows, shards) for threads in (1, 2)]
        for number, client in enumerate(clients, 1):
            found += [seconds_of_a_step(client, widths, rows, shards), predicted(known, number, shards, size, times)]
        found.append(simulated(known, 2, shards, size, times))
        figures = " | ".join(f"{1e3 * seconds:.3g} ms" for seconds in found)
        print(f"| {'-'.join(map(str, widths))}, {rows:,}, {shards} | {figures} |", flush=True)


def main() -> int:
    """Print the constants, the model beside what was measured, and the table of more workers."""
    import distributed

    make: Any = distributed.LocalCluster
    connect: Any = distributed.Client
    options = {"threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        make(n_workers=1, **options) as alone,
        make(n_workers=2, **options) as pair,
        connect(alone) as one,
        connect(pair) as two,
    ):
        known = measured(one, two)
        step, update, message, bandwidth = known
        print(f"a step {1e3 * step:.2f} ms, an update {1e9 * update:.2f} ns/byte, a message {1e3 * message:.2f} ms")
        print(f"between workers {bandwidth / 1e6:,.0f} MB/s")
        print_measured(known, (one, two))
    size, rows = size_of(EXAMPLE), EXAMPLE_ROWS // EXAMPLE_SHARDS
    times = times_of_shards(EXAMPLE, rows, 1)
    print(f"\n{'-'.join(map(str, EXAMPLE))}, {size / 1e6:.0f} MB of parameters, a batch of {EXAMPLE_ROWS:,} rows in")
    print(f"{EXAMPLE_SHARDS:,} shards, one thread for each worker, a shard in {1e3 * np.median(times):.1f} ms:\n")
    print("| workers | model | simulation | times one worker |\n| ---: | ---: | ---: | ---: |")
    base = simulated(known, 1, EXAMPLE_SHARDS, size, times)
    for workers in WORKERS:
        model, simulation = (f(known, workers, EXAMPLE_SHARDS, size, times) for f in (predicted, simulated))
        print(f"| {workers:,} | {model:.2f} s | {simulation:.2f} s | {base / simulation:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
