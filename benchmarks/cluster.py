"""The cost of a step on a Dask cluster: constants measured on this machine, and a simulation of more workers.

`python -m benchmarks.cluster` prints both, and how far the model is from what was measured. A step takes

    step + shards * task + bytes / bandwidth + ceil(shards / workers) * shard

seconds: Dask's work for a step and for each task, P parameters to each worker and P numbers back from each shard
through one connection, and the computation of a shard. The simulation lets the client send one task after the other and
each worker compute one at a time, so that sending, computing and receiving overlap.
"""

import heapq
import itertools
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import fastnn
from fastnn.distributed import fit

SMALL, LARGE = (20, 16, 4), (1024, 1024, 1024, 10)
EXAMPLE, EXAMPLE_ROWS = (784, 2048, 2048, 10), 65_536
WORKERS = (1, 2, 4, 8, 16, 64, 256, 1000)
STEPS = 30


class Constants(NamedTuple):
    """Seconds, and bytes a second."""

    step: float
    task: float
    bandwidth: float


def network_of(widths: Sequence[int]) -> fastnn.Network:
    """A network of these widths."""
    layers: list[Any] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [fastnn.Affine(inputs, outputs), fastnn.Relu()]
    return fastnn.Network(layers[:-1], rng=0)


def size_of(network: fastnn.Network) -> int:
    """The bytes of its parameters."""
    return sum(values.nbytes for values in network.params.values())


def seconds_of_a_shard(widths: Sequence[int], rows: int) -> float:
    """The time of a gradient by so many rows, in this process on one thread."""
    network, rng = network_of(widths), np.random.default_rng(0)
    network.n_threads = 1
    x, t = rng.random((rows, widths[0]), np.float32), rng.integers(0, widths[-1], rows)
    network.gradient(x, t)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        network.gradient(x, t)
        times.append(time.perf_counter() - start)
    return min(times)


def seconds_of_a_step(client: Any, widths: Sequence[int], rows: int, shards: int) -> float:
    """The time of a step on the cluster, the median of many."""
    network, rng = network_of(widths), np.random.default_rng(0)
    x, t = rng.random((rows, widths[0]), np.float32), rng.integers(0, widths[-1], rows)
    options: Any = {"batch_size": rows, "shards": shards, "optimizer": fastnn.SGD(1e-6), "progress": False}
    history = fit(network, (x, t), client, epochs=STEPS, **options)
    return float(np.median(history.seconds[3:]))


def measured(client: Any) -> Constants:
    """The constants of a cluster: by shards of almost no work, and by many parameters."""
    few, many = (seconds_of_a_step(client, SMALL, 64, shards) for shards in (2, 16))
    task = max((many - few) / 14, 1e-6)
    size = size_of(network_of(LARGE))
    large = seconds_of_a_step(client, LARGE, 64, 4)
    rest = large - few - 2 * task - 2 * seconds_of_a_shard(LARGE, 16)
    return Constants(max(few - 2 * task, 0.0), task, (2 + 4) * size / max(rest, 1e-6))


def predicted(known: Constants, workers: int, shards: int, size: int, shard: float) -> float:
    """The model: nothing overlaps."""
    moved = (min(workers, shards) + shards) * size / known.bandwidth
    return known.step + shards * known.task + moved + -(-shards // workers) * shard


def simulated(known: Constants, workers: int, shards: int, size: int, shard: float) -> float:
    """The time of a step where the client's connection and each worker do one thing at a time."""
    link, free, ends = known.step, [0.0] * min(workers, shards), []
    sending = size / known.bandwidth
    for number in range(shards):
        link += known.task + (sending if number < len(free) else 0.0)
        begin = max(link, heapq.heappop(free))
        heapq.heappush(free, begin + shard)
        ends.append(begin + shard)
    for end in sorted(ends):
        link = max(link, end) + sending
    return link


def main() -> int:
    """Print the constants, the model beside what was measured, and the table of more workers."""
    import distributed

    make: Any = distributed.LocalCluster
    connect: Any = distributed.Client
    with make(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, connect(cluster) as client:
        known = measured(client)
        print(f"a step {1e3 * known.step:.1f} ms, a task {1e3 * known.task:.2f} ms, {known.bandwidth / 1e6:.0f} MB/s")
        print("\n| network, rows, shards on 2 workers | measured | model | simulation | one process |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for widths, rows, shards in (((784, 256, 10), 4096, 4), ((784, 1024, 10), 8192, 8), (LARGE, 4096, 4)):
            size, shard = size_of(network_of(widths)), seconds_of_a_shard(widths, rows // shards)
            alone, found = shards * shard, seconds_of_a_step(client, widths, rows, shards)
            model, simulation = (f(known, 2, shards, size, shard) for f in (predicted, simulated))
            times = " | ".join(f"{1e3 * seconds:.1f} ms" for seconds in (found, model, simulation, alone))
            print(f"| {'-'.join(map(str, widths))}, {rows:,}, {shards} | {times} |", flush=True)
    size, rows = size_of(network_of(EXAMPLE)), EXAMPLE_ROWS
    shard = seconds_of_a_shard(EXAMPLE, 256)
    print(f"\n{'-'.join(map(str, EXAMPLE))}, a batch of {rows:,} rows in 256 shards, one thread each:\n")
    print("| workers | model | simulation | times one worker |\n| ---: | ---: | ---: | ---: |")
    one = simulated(known, 1, 256, size, shard)
    for workers in WORKERS:
        model, simulation = (f(known, workers, 256, size, shard) for f in (predicted, simulated))
        print(f"| {workers:,} | {model:.2f} s | {simulation:.2f} s | {one / simulation:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
