"""The data of a distributed training: pieces, and which of their rows each shard has of a batch.

Shard s of every batch takes its rows from the pieces of shard s, so which rows a batch has depends on the number of
shards alone, not on the workers.
"""

import itertools
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.distributed import on_workers
from fastnn.distributed.on_workers import Rows
from fastnn.engine.indexing import Index
from fastnn.engine.workspace import NO_ORDER, NO_WEIGHTS
from fastnn.gate import checks
from fastnn.gate.arrays import Array
from fastnn.network.network import Network
from fastnn.network.sources import Data, Part


class Recipe(NamedTuple):
    """How to make a piece.

    kind: "arrays" of a piece as kernels take it; "file", with its name; "dask", with arrays x and t.
    name: for errors.
    """

    kind: str
    given: tuple[Any, ...]
    rows: int
    name: str = ""


class Shards:
    """Where a training's batches come from, as `fastnn.network.sources.Rows` is for arrays in one process.

    Attributes
    ----------
    recipes : list of Recipe
        The pieces.
    of_shard : list of list of int
        The pieces of each shard.
    ordered : list of list of int
        The pieces of each shard in the order of the epoch.
    described : dict
        What the settings of a checkpoint say of the data.
    """

    weights, order, rows, counts_hits = NO_WEIGHTS, NO_ORDER, 0, False
    index: Index | None = None

    def __init__(self, recipes: Sequence[Recipe], batch_size: int, count: int, seed: int | None) -> None:
        numbers = np.array_split(np.arange(len(recipes)), count)
        self.recipes, self.seed = list(recipes), seed
        self.of_shard = [list(map(int, some)) for some in numbers if len(some)]
        self.data = self.sample()[:3]
        self.samples, self.batch_size = sum(one.rows for one in recipes), batch_size
        self.batches = max(1, -(-self.samples // batch_size))
        self.totals = [sum(self.recipes[piece].rows for piece in pieces) for pieces in self.of_shard]
        # A shard's rows, divided by the batches, leave a rest: the batches after those of the last shard's take it.
        before = itertools.accumulate(self.totals[:-1], initial=0)
        self.rest_from = [rows % self.batches for rows in before]
        self.begin_epoch(0)

    @property
    def described(self) -> dict[str, str]:
        """See the attributes; the checksum of all data is only computed where a checkpoint needs it."""
        return {
            "x": _text_of(self.recipes),
            "t": "beside x",
            "batch_size": f"{self.batch_size} in {len(self.of_shard)} shards",
            "rng": "none" if self.seed is None else str(self.seed),
        }

    def begin_epoch(self, epoch: int) -> None:
        """Put the pieces of each shard into the order of an epoch."""
        self.epoch, self.ordered = epoch, self.of_shard
        if self.seed is not None:
            self.ordered = [self._shuffled(shard, pieces) for shard, pieces in enumerate(self.of_shard)]

    def _shuffled(self, shard: int, pieces: list[int]) -> list[int]:
        if len(pieces) == 1:
            return pieces
        order = np.random.default_rng((self.seed, self.epoch, shard, len(pieces))).permutation(len(pieces))  # type: ignore[arg-type]
        return [pieces[i] for i in order]

    def look_again(self, by_batch: bool) -> None:
        """Nothing: the workers have their own data."""

    def draw(self, generator: np.random.Generator) -> None:
        """Draw nothing: the order is made from the seed and the epoch."""

    def parts(self, done: Callable[[], int], most: Callable[[], int]) -> Iterator[Part]:
        """The rest of an epoch of which so many batches are done, in parts of at most so many.

        A part ends before a batch that needs other pieces, so that no more have to be held at the same time.
        """
        while (first := done()) < self.batches:
            last, needed = first + 1, self.pieces_of(first)
            while last < min(self.batches, first + most()) and self.pieces_of(last) <= needed:
                last += 1
            yield Part(self.sample(), (first, last, self.batch_size), NO_WEIGHTS, last - first)

    def sample(self) -> Data:
        """No row: workers have them."""
        none = np.empty((0, 0))
        return none, none, none, NO_ORDER

    def of_batch(self, part: Part, number: int) -> Array:
        """No row: workers have them."""
        return np.empty((0, 0))

    def pieces_of(self, batch: int) -> set[int]:
        """The pieces that a batch needs."""
        return {piece for shard in range(len(self.of_shard)) for piece, _ in self.rows_of(shard, batch)}

    def samples_of(self, first: int, last: int) -> int:
        """The rows of some batches."""
        shards = range(len(self.of_shard))
        return sum(self._rows_before(shard, last) - self._rows_before(shard, first) for shard in shards)

    def _rows_before(self, shard: int, batch: int) -> int:
        """The rows of a shard in the batches before this one.

        Each batch has an equal number, and one more in as many batches as the division leaves rows. They follow, in a
        circle, the batches to which the shards before have given one: so the sizes of whole batches differ by 1 at
        most, and none is larger than batch_size.
        """
        each, rest = divmod(self.totals[shard], self.batches)
        first = self.rest_from[shard]
        return each * batch + min(max(batch - first, 0), rest) + min(max(first + rest - self.batches, 0), batch)

    def rows_of(self, shard: int, batch: int) -> list[tuple[int, Rows]]:
        """The pieces and rows of a shard's part of a batch: an equal share of its rows, in the order of its pieces."""
        begin, end = self._rows_before(shard, batch), self._rows_before(shard, batch + 1)
        found, before = [], 0
        for piece in self.ordered[shard]:
            first, last = max(begin - before, 0), min(end - before, self.recipes[piece].rows)
            if first < last:
                key = () if self.seed is None else (self.seed, self.epoch, piece)
                found.append((piece, Rows(key, first, last)))
            before += self.recipes[piece].rows
        return found


def recipes_of(
    network: Network, data: Any, count: int, rows_of_files: Callable[[list[Any]], list[int]]
) -> list[Recipe]:
    """How to make the pieces of data: arrays are cut into as many as there are shards."""
    if isinstance(data, list | tuple) and data and all(isinstance(one, str | os.PathLike) for one in data):
        names = [os.fspath(one) for one in data]
        files = zip(names, rows_of_files(names), strict=True)
        return _with_rows([Recipe("file", (name,), rows, name) for name, rows in files])
    if not (isinstance(data, list | tuple) and len(data) == 2):
        came = f"{checks.shown(data)}; pass (x, t) or a list of .npz files"
        raise TypeError(f"data: expected a pair of arrays (x, t), or names of files, got {came}")
    x, t = data
    if hasattr(x, "dask"):
        return _recipes_of_dask(x, t)
    piece = on_workers.prepared(network, x, t)
    parts = np.array_split(np.arange(len(piece[0])), min(count, len(piece[0])))
    cut = [slice(int(part[0]), int(part[-1]) + 1) for part in parts]
    # Copies: a piece that was lost is sent again, and workers may be threads of this process.
    return [
        Recipe("arrays", tuple(some[one].copy() if len(some) else some for some in piece), one.stop - one.start)
        for one in cut
    ]


def _with_rows(recipes: list[Recipe]) -> list[Recipe]:
    """The pieces that have rows."""
    found = [one for one in recipes if one.rows > 0]
    if not found:
        raise ValueError("data: expected samples, got no row in any file or chunk; pass other data")
    return found


def _recipes_of_dask(x: Any, t: Any) -> list[Recipe]:
    """A piece for each chunk of rows of a Dask array."""
    from dask import array

    kind: Any = array.Array
    if not isinstance(x, kind):
        remedy = "make one by dask.array.from_delayed, or by to_dask_array(lengths=True) of a DataFrame"
        raise TypeError(f"data: expected a NumPy or Dask array, got a {type(x).__name__}; {remedy}")
    x = x.rechunk(dict.fromkeys(range(1, x.ndim), -1))
    if any(np.isnan(x.chunks[0])):
        raise ValueError("data: expected a Dask array of known chunks, got unknown ones; call x.compute_chunk_sizes()")
    t = t.rechunk({0: x.chunks[0], **dict.fromkeys(range(1, t.ndim), -1)}) if hasattr(t, "dask") else t
    if len(t) != len(x):
        raise ValueError(f"data: expected as many targets as samples, {len(x)}, got {len(t)}")
    counts = [int(rows) for rows in x.chunks[0]]
    ends = np.cumsum(counts)
    return _with_rows(
        [
            Recipe("dask", (x[end - rows : end], t[end - rows : end]), rows, f"chunk {number} of the Dask array")
            for number, (rows, end) in enumerate(zip(counts, ends, strict=True))
        ]
    )


def _text_of(recipes: Sequence[Recipe]) -> str:
    """The data as a checkpoint names them: by a checksum of the arrays, however they are cut, or of files and rows."""
    kind, found = recipes[0].kind, 0
    if kind == "arrays":
        for parts in zip(*(one.given for one in recipes), strict=True):
            for part in parts:
                found = zlib.crc32(np.ascontiguousarray(part).data, found)
    else:  # their numbers are elsewhere
        text = "; ".join(f"{one.given[0] if kind == 'file' else ''} {one.rows}" for one in recipes)
        found = zlib.crc32(text.encode())
    named = {"arrays": "arrays", "file": f"{len(recipes)} files", "dask": f"{len(recipes)} chunks of a Dask array"}
    return f"{named[kind]} of {sum(one.rows for one in recipes)} rows with the checksum {found:08x}"
