"""The data of a distributed training: pieces, which workers hold as long as they are needed and load again if lost.

Shard s of every batch takes its rows from the pieces of shard s, so which rows a batch has depends on the number of
shards alone, not on the workers.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastnn.distributed import on_workers
from fastnn.distributed.on_workers import Rows
from fastnn.gate import checks
from fastnn.network.network import Network

LARGEST_ARGUMENT = 5_000_000  # bytes; Dask warns of tasks of 10 MB


class Pieces:
    """The pieces of the data on a cluster.

    Attributes
    ----------
    rows : list of int
        The samples of each piece.
    of_shard : list of list of int
        The pieces of each shard.
    """

    def __init__(self, client: Any, network: Network, data: Any, count: int) -> None:
        self.client, self.network = client, network
        self.network_there = self.sent(network, network.engine.values.nbytes)
        self.held: dict[int, Any] = {}
        self.recipes = list(self._recipes(data, count))
        self.of_shard = [
            list(map(int, some)) for some in np.array_split(np.arange(len(self.recipes)), count) if len(some)
        ]
        self.keeps_all = len(self.recipes) == len(self.of_shard)

    def sent(self, value: Any, size: int) -> Any:
        """A value on the cluster, for workers to fetch from each other.

        What is scattered is lost with its worker; a task's argument is not, but it stays in the scheduler's memory.
        """
        if size > LARGEST_ARGUMENT:
            return self.client.scatter(value, hash=False)
        return self.client.submit(on_workers.same, value, pure=False)

    def _recipes(self, data: Any, count: int) -> Iterable[tuple[Any, ...]]:
        """How to make each piece, and notes its number of samples in `rows`."""
        if isinstance(data, list | tuple) and data and all(isinstance(one, str | os.PathLike) for one in data):
            self.rows = list(self.client.gather(self.client.map(on_workers.rows_of_file, list(data), pure=False)))
            return [("file", os.fspath(one)) for one in data]
        if not (isinstance(data, list | tuple) and len(data) == 2):
            came = f"{checks.shown(data)}; pass (x, t) or a list of .npz files"
            raise TypeError(f"data: expected a pair of arrays (x, t), or names of files, got {came}")
        x, t = data
        if hasattr(x, "dask"):
            return self._recipes_of_dask(x, t)
        x, labels, dense = on_workers.prepared(self.network, x, t)
        parts = np.array_split(np.arange(len(x)), min(count, len(x)))
        self.rows = [len(part) for part in parts]
        cut = [slice(int(part[0]), int(part[-1]) + 1) for part in parts]
        return [("arrays", tuple(some[one] if len(some) else some for some in (x, labels, dense))) for one in cut]

    def _recipes_of_dask(self, x: Any, t: Any) -> Iterable[tuple[Any, ...]]:
        """A piece for each chunk of rows of a Dask array."""
        x = x.rechunk(dict.fromkeys(range(1, x.ndim), -1))
        if any(np.isnan(x.chunks[0])):
            raise ValueError(
                "data: expected a Dask array of known chunks, got unknown ones; call x.compute_chunk_sizes()"
            )
        t = t.rechunk({0: x.chunks[0], **dict.fromkeys(range(1, t.ndim), -1)}) if hasattr(t, "dask") else t
        if len(t) != len(x):
            raise ValueError(f"data: expected as many targets as samples, {len(x)}, got {len(t)}")
        self.rows = [int(rows) for rows in x.chunks[0]]
        ends = np.cumsum(self.rows)
        return [("dask", x[end - rows : end], t[end - rows : end]) for rows, end in zip(self.rows, ends, strict=True)]

    def future(self, number: int) -> Any:
        """The piece on the cluster."""
        if number not in self.held:
            kind, *given = self.recipes[number]
            if kind == "arrays":
                self.held[number] = self.client.scatter(given[0], hash=False)
            elif kind == "file":
                self.held[number] = self.client.submit(
                    on_workers.piece_of_file, self.network_there, given[0], pure=False
                )
            else:
                parts = [self.client.compute(one) if hasattr(one, "dask") else one for one in given]
                self.held[number] = self.client.submit(on_workers.prepared, self.network_there, *parts, pure=False)
        return self.held[number]

    def release_all_but(self, needed: set[int]) -> None:
        """Let workers forget other pieces, unless each shard has a single one."""
        if not self.keeps_all:
            self.held = {number: future for number, future in self.held.items() if number in needed}

    def renew(self) -> None:
        """Begin anew after a worker was lost, with all that it held."""
        self.held = {}
        self.network_there = self.sent(self.network, self.network.engine.values.nbytes)

    def classes(self) -> bool:
        """Whether the targets are classes, by the first piece."""
        return bool(self.client.submit(on_workers.counts_hits, self.network_there, self.future(0), pure=False).result())

    def batch(
        self, shard: int, order: Sequence[int], key: tuple[int, ...], number: int, batches: int
    ) -> list[tuple[int, Rows]]:
        """The pieces and rows of a shard's part of a batch: an equal share of all its rows, in the order of its pieces.

        key: the seed and the epoch; empty without a random order.
        """
        total = sum(self.rows[piece] for piece in order)
        begin, end = total * number // batches, total * (number + 1) // batches
        found, before = [], 0
        for piece in order:
            first, last = max(begin - before, 0), min(end - before, self.rows[piece])
            if first < last:
                found.append((piece, Rows((*key, piece) if key else (), first, last)))
            before += self.rows[piece]
        return found
