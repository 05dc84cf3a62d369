"""What the workers of a cluster compute: loading a piece of the data, and the gradient of a shard of a batch."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.gate.arrays import Array
from fastnn.network.network import Network

Piece = tuple[Array, Array, Array]  # x, labels, dense, as kernels take them


class Rows(NamedTuple):
    """Rows of a piece: [first, last) of the order that an epoch takes them in.

    key: the seed, the epoch and the piece's number, which make the generator of the order; empty for the order that
    they have.
    """

    key: tuple[int, ...]
    first: int
    last: int


class Found(NamedTuple):
    """The gradient of a shard, over the rows of the whole batch, and its figures."""

    gradient: Array  # (P,)
    loss: float  # the sum over the rows
    hits: int


def same(value: Any) -> Any:
    """The value itself, which a task takes to a worker."""
    return value


def prepared(network: Network, x: Any, t: Any) -> Piece:
    """A piece of arrays, checked; float64 and float32 are converted to the network's dtype."""
    return network.engine.prepare(x, t, check_finite=True)


def piece_of_file(network: Network, path: str | os.PathLike[str]) -> Piece:
    """The piece of an .npz file with the arrays x and t."""
    with np.load(path, allow_pickle=False) as file:
        return prepared(network, file["x"], file["t"])


def rows_of_file(path: str | os.PathLike[str]) -> int:
    """The number of samples in an .npz file with the arrays x and t."""
    with np.load(path, allow_pickle=False) as file:
        missing = {"x", "t"} - set(file.files)
        if missing:
            came = f"{', '.join(file.files)} in {os.fspath(path)}; write it by np.savez(path, x=x, t=t)"
            raise ValueError(f"data: expected files with the arrays x and t, got {came}")
        return len(file["t"])


def counts_hits(network: Network, piece: Piece) -> bool:
    """Whether a piece's targets are classes."""
    return network.engine.counts_hits(*piece[1:])


def gradient(network: Network, values: Array, pieces: Sequence[Piece], rows: Sequence[Rows], batch: int) -> Found:
    """The gradient of a shard: of these rows of these pieces, over the rows of the whole batch.

    network: this worker's; its parameters are overwritten with `values`.
    """
    chosen = [_chosen(piece, some) for piece, some in zip(pieces, rows, strict=True)]
    x, labels, dense = (np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*chosen, strict=True))
    engine, count = network.engine, len(x)
    with engine.lock:  # a worker may compute several shards at a time
        engine.values[:] = values
        data = (x, labels, dense, np.empty(0, np.intp))
        _, loss, hits, _ = engine.run_batches(
            data, None, (0, 1, count), counts_hits=counts_hits(network, (x, labels, dense))
        )
        made = engine.gradients.copy()
    made *= made.dtype.type(count / batch)
    return Found(made, loss, hits)


def _chosen(piece: Piece, rows: Rows) -> Piece:
    """Some rows of a piece."""
    if not rows.key:
        return tuple(part[rows.first : rows.last] if len(part) else part for part in piece)  # type: ignore[return-value]
    order = np.random.default_rng(rows.key).permutation(len(piece[0]))[rows.first : rows.last]
    return tuple(part[order] if len(part) else part for part in piece)  # type: ignore[return-value]
