"""The sum of shards: the same tree however the shards are divided, and the bits of one process on any threads."""

import itertools
from typing import Any

import numpy as np
import pytest

from benchmarks import cluster
from fastnn.distributed import on_workers, sums
from fastnn.distributed.sums import Node
from tests import shapes
from tests.clusters import D, K, network


def leaf(number: int, value: Any) -> Node:
    return Node(0, number, None if value is None else np.array([value], np.float32), float(number), 1)


def tree(values: list[Any]) -> Any:
    """The sum by a recursive rule of its own: the left part has the largest power of two below their number."""
    if len(values) == 1:
        return values[0]
    left = 1 << (len(values) - 1).bit_length() - 1
    some = [one for one in (tree(values[:left]), tree(values[left:])) if one is not None]
    return None if not some else some[0] if len(some) == 1 else np.float32(some[0] + some[1])


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 5, 7, 8, 12, 13])
def test_any_division_gives_the_bits_of_the_tree(shards: int) -> None:
    rng = np.random.default_rng(shards)
    values: list[Any] = list((rng.standard_normal(shards) * 10.0 ** rng.integers(-3, 4, shards)).astype(np.float32))
    if shards > 3:
        values[2] = None  # a shard without rows in this batch
    wanted, seen = tree(values), set[bytes]()
    for cuts in itertools.chain.from_iterable(
        itertools.combinations(range(1, shards), n) for n in range(min(shards, 4))
    ):
        bounds = itertools.pairwise([0, *cuts, shards])
        parts = [sums.added([leaf(i, values[i]) for i in range(*bound)], list[Any]().append) for bound in bounds]
        while len(parts) > 1:  # neighbors, in a random order
            i = int(rng.integers(len(parts) - 1))
            parts[i : i + 2] = [sums.added([*parts[i], *parts[i + 1]], list[Any]().append)]
        node = sums.total(parts[0], list[Any]().append)
        assert node.gradient is not None and (node.loss, node.hits) == (sum(range(shards)), shards)
        seen.add(node.gradient.tobytes())
    assert seen == {np.float32(wanted).tobytes()}


def test_what_came_and_must_not_be_written_is_copied() -> None:
    one, two = leaf(0, 1.0), leaf(1, 2.0)
    assert one.gradient is not None
    one.gradient.flags.writeable = False
    unused = list[Any]()
    (node,) = sums.added([one, two], unused.append)
    assert node.gradient is not None and (node.gradient[0], one.gradient[0]) == (3.0, 1.0)
    assert len(unused) == 1 and unused[0] is two.gradient


@pytest.mark.parametrize("shards", [1, 2, 8, 100, 1024])
@pytest.mark.parametrize("strengths", [[1], [1, 1], [2, 1], [1, 1, 1], [4, 1, 3, 1, 1], [1] * 64, [1] * 1000])
def test_ranges_are_all_shards_in_order(shards: int, strengths: list[int]) -> None:
    found = sums.ranges(shards, strengths)
    assert [shard for part in found for shard in part] == list(range(shards)) and len(found) <= len(strengths)
    fair = [shards * one / sum(strengths) for one in strengths]
    assert all(len(part) <= 1.5 * share + 1.5 for part, share in zip(found, fair, strict=False))
    if shards >= len(strengths):
        assert all(len(sums.added([leaf(i, 0.0) for i in part], list[Any]().append)) <= 6 for part in found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_process_has_the_same_bits_on_any_number_of_threads(dtype: Any) -> None:
    """Steps by hand, without Dask, against each other and against the gradient of the whole batch."""
    rows, shards = 4096, 4
    x, t = shapes.numbers(1, rows, D, dtype=dtype), shapes.targets("labels", rows, K, dtype)
    results = []
    for threads in (1, 2, 3):
        made = network(dtype)
        made.n_threads = threads
        member = on_workers.Member(made, 7)
        assert member.network.n_threads == threads  # as the user chose
        piece = on_workers.prepared(made, x, t)
        cut = [(i, rows * i // shards, rows * (i + 1) // shards) for i in range(shards)]
        work = {i: [(piece, on_workers.Rows((), first, last))] for i, first, last in cut}
        parts = [member.nodes(made.engine.values, {i: work[i] for i in some}, rows) for some in ([0], [1, 2], [3])]
        (node,) = member.added([one for part in parts for one in part])
        assert node.gradient is not None
        wanted = np.concatenate([one.ravel() for one in made.gradient(x, t).values()])
        np.testing.assert_allclose(node.gradient, wanted, rtol=1e-4 if dtype == np.float32 else 1e-11, atol=1e-6)
        assert node.loss / rows == pytest.approx(made.engine.measure_on(*piece)[0], rel=1e-5)
        results.append(node.gradient.tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("workers", [1, 2, 4, 16, 64, 256])
def test_the_simulation_of_equal_workers_is_the_formula(workers: int) -> None:
    known, size = cluster.Constants(step=1e-3, update=1e-9, message=1e-3, bandwidth=1e9), 24_000_000
    levels, shards = workers.bit_length() - 1, 256
    by_hand = 1e-3 + 0.024 + 2 * levels * (1e-3 + 0.024) + shards // workers * 0.05
    assert cluster.predicted(known, workers, shards, size, [0.05]) == pytest.approx(by_hand, rel=1e-12)
    assert cluster.simulated(known, workers, shards, size, [0.05]) == pytest.approx(by_hand, rel=1e-12)


def test_the_simulation_waits_for_the_slowest_worker() -> None:
    known = cluster.Constants(step=0.0, update=0.0, message=0.0, bandwidth=1e300)
    assert cluster.simulated(known, 64, 64, 1, [0.01, 0.05]) == pytest.approx(0.05)
    assert cluster.predicted(known, 64, 64, 1, [0.01, 0.05]) == pytest.approx(0.03)  # the median
