"""What the workers of a cluster compute: loading a piece of the data, their shards of a batch, and its update."""

import asyncio
import contextlib
import copy
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MethodType
from typing import Any, NamedTuple

import numpy as np

from fastnn.distributed import sums
from fastnn.distributed.sums import Node
from fastnn.engine.workspace import NO_ORDER
from fastnn.gate import checks, sparse
from fastnn.gate.arrays import CHECK_FINITE, Array
from fastnn.network.network import Network
from fastnn.network.sources import Data

Piece = tuple[Array, Array, Array]  # x, labels, dense, as kernels take them
MESSAGE = "fastnn_nodes"  # the operation of workers that adds up shards
MOST_UNUSED = 4  # vectors whose memory a worker keeps


class Rows(NamedTuple):
    """Rows of a piece: [first, last) of the order that an epoch takes them in.

    key: the seed, the epoch and the piece's number, which make the generator of the order; empty for the order that
    they have.
    """

    key: tuple[int, ...]
    first: int
    last: int


class Wanted(NamedTuple):
    """How a piece has to be.

    name: of its file or chunk, for errors.
    has_labels: whether its targets are labels, as those of the first piece; None for the first one.
    """

    name: str = ""
    rows: int | None = None
    has_labels: bool | None = None


ANY = Wanted()


class Share(NamedTuple):
    """A worker's part in some steps.

    member: the key of its `Member`.
    batches: of each step, the shards by their numbers: the keys of pieces, and which of their rows.
    """

    address: str
    member: str
    batches: list[dict[int, list[tuple[str, Rows]]]]


class Taken(NamedTuple):
    """Steps that were taken: the figures of each, and the network after them as `Engine.snapshot` gives it.

    has_diverged: whether the loss or a parameter was not finite after the step that follows them.
    """

    losses: list[float]
    hits: int
    snapshot: Any
    has_diverged: bool


class LostError(ConnectionError):
    """A worker does not have what it should hold, as another one held it and was lost, or it was moved."""


def owned(piece: Piece) -> Piece:
    """A piece that came from elsewhere, in memory that may be written, as kernels want it."""
    x, labels, dense = (np.require(part, None, ["A", "W"]) for part in piece)
    return x, labels, dense


def prepared(network: Network, x: Any, t: Any, wanted: Wanted = ANY) -> Piece:
    """A piece of arrays, checked; float64 and float32 are converted to the network's dtype."""
    try:
        if sparse.is_sparse(x):
            checks.refuse_foreign("x", x, "x: expected arrays on a cluster")
        prepared_x, labels, dense = network.engine.prepare(x, t, check_finite=True)
        piece: Piece = prepared_x[:], labels, dense
    except (TypeError, ValueError) as error:
        sentence = str(error).replace(f", or pass {CHECK_FINITE}=False", "")  # which `fit` does not take
        sentence = f"{wanted.name}: {sentence}" if wanted.name else sentence
        raise (TypeError if isinstance(error, TypeError) else ValueError)(sentence) from None
    if wanted.rows not in (None, len(piece[0])):
        came = f"{len(piece[0])}; data must not change during the training"
        raise ValueError(f"{wanted.name}: expected {wanted.rows} rows, as before, got {came}")
    if wanted.has_labels not in (None, has_labels(piece)):
        kinds = "values", "labels"
        expected = f"{wanted.name}: expected {kinds[bool(wanted.has_labels)]} as targets, as the first piece has"
        raise ValueError(f"{expected}, got {kinds[has_labels(piece)]}; write all targets in the same way")
    return piece


def piece_of_file(network: Network, wanted: Wanted, path: str) -> Piece:
    """The piece of an .npz file with the arrays x and t."""
    x, t = _read(path, "x", "t")
    return prepared(network, x, t, wanted)


def rows_of_file(path: str) -> int:
    """The number of samples in an .npz file with the arrays x and t."""
    (t,) = _read(path, "t")
    if t.ndim == 0:
        raise ValueError(f"data: expected an array t of a row for each sample, got a single number in {path}")
    return len(t)


def _read(path: str, *names: str) -> list[Array]:
    """Some arrays of an .npz file that has to hold x and t."""
    try:
        with open(path, "rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if isinstance(file, np.ndarray):
                came = f"a single array in {path}"
            elif {"x", "t"} <= set(file.files):
                return [file[name] for name in names]
            else:
                came = f"{', '.join(file.files) or 'nothing'} in {path}"
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        came = f"{path}, which is damaged, or no .npz file, or holds Python objects"
    raise ValueError(f"data: expected files with the arrays x and t, got {came}; write it by np.savez(path, x=x, t=t)")


def has_labels(piece: Piece) -> bool:
    """Whether kernels take the targets as labels."""
    return piece[1].size > 0


def kinds_of(network: Network, piece: Piece) -> tuple[bool, bool]:
    """Whether a piece's targets are classes, and whether they are labels."""
    return network.engine.counts_hits(*piece[1:]), has_labels(piece)


def check_shapes(data: Data, count: int) -> None:
    """Refuse data for so many rows if compiled code would read past an end."""
    x, labels, dense, order = data
    targets = {len(labels), len(dense)}
    if (len(order) or len(x)) != count or not {len(x)} <= targets <= {0, len(x)}:
        shapes = ", ".join(str(part.shape) for part in data)
        raise ValueError(f"data: expected {count} samples and their targets, got arrays of the shapes {shapes}")


class Member:
    """A worker's own copy of the network, and memory for gradients.

    Dask sets MALLOC_TRIM_THRESHOLD_ for its workers, so that each new vector would be given pages by the system again.
    """

    def __init__(self, network: Network, n_threads: int | None = None) -> None:
        self.network = copy.deepcopy(network)
        self.network.engine.n_threads = network.engine.n_threads or n_threads
        self._unused: list[Array] = []
        self._saved: Any = None  # memory for a snapshot
        self._orders: dict[tuple[int, ...], Array] = {}  # of one epoch

    def nodes(self, values: Array, shards: Mapping[int, Sequence[tuple[Piece, Rows]]], batch: int) -> list[Node]:
        """The sums over some shards, given in order; `batch`: the rows of the whole batch."""
        engine = self.network.engine
        with engine.lock:  # a step that was given up may still be running
            if values is not engine.values:
                engine.values[:] = values
            return self.added(self._leaf(number, some, batch) for number, some in shards.items())

    def added(self, nodes: Iterable[Node]) -> list[Node]:
        """The fewest nodes that tell as much as these."""
        return sums.added(nodes, self._keep)

    def _leaf(self, number: int, some: Sequence[tuple[Piece, Rows]], batch: int) -> Node:
        """The gradient of a shard, over the rows of the whole batch."""
        if not some:
            return Node(0, number, None, 0.0, 0)
        engine, data = self.network.engine, self._data(some)
        count = sum(rows.last - rows.first for _, rows in some)
        check_shapes(data, count)
        dense = data[2][data[3]] if data[2].size and data[3].size else data[2]
        is_classes = engine.counts_hits(data[1], dense)
        _, loss, hits, _ = engine.run_batches(data, None, (0, 1, count), counts_hits=is_classes)
        memory = self._unused.pop() if self._unused else np.empty_like(engine.gradients)
        scaled = np.multiply(engine.gradients, engine.dtype.type(count / batch), out=memory)
        return Node(0, number, scaled, loss, hits)

    def update(self, nodes: Sequence[Node], optimizer: Any) -> Node | None:
        """Update the parameters by the sum of all shards; None, and no update, if something is not finite then."""
        engine, node = self.network.engine, sums.total(nodes, self._keep)
        if not np.isfinite(node.loss) or node.gradient is None:
            return None
        self._saved = engine.snapshot(self._saved)
        engine.update(node.gradient, optimizer)
        self._keep(node.gradient)
        if np.isfinite(engine.values).all():
            return node
        engine.restore(self._saved)
        return None

    def _data(self, some: Sequence[tuple[Piece, Rows]]) -> Data:
        """Rows of pieces, as kernels take them: read where they are, if they are of one piece."""
        orders = [self._order(rows, len(piece[0])) for piece, rows in some]
        if len(some) == 1 and orders[0].size and all(part.flags.behaved for part in some[0][0]):
            return *some[0][0], orders[0]
        chosen = []
        for (piece, rows), order in zip(some, orders, strict=True):  # kernels refuse memory that must not be written
            taken: Any = order if order.size else slice(rows.first, rows.last)
            chosen.append([np.require(part[taken] if len(part) else part, None, ["A", "W"]) for part in piece])
        x, labels, dense = (np.concatenate(one) if len(one) > 1 else one[0] for one in zip(*chosen, strict=True))
        return x, labels, dense, NO_ORDER

    def _order(self, rows: Rows, count: int) -> Array:
        """The places of some rows in a piece of so many; empty for the order that they have."""
        if not rows.key:
            return NO_ORDER
        if rows.key not in self._orders:
            self._orders = {key: order for key, order in self._orders.items() if key[:2] == rows.key[:2]}
            self._orders[rows.key] = np.random.default_rng(rows.key).permutation(count)
        return self._orders[rows.key][rows.first : rows.last]

    def _keep(self, memory: Array) -> None:
        """Keep a vector that is no longer needed."""
        if memory.flags.writeable and len(self._unused) < MOST_UNUSED:
            self._unused.append(memory)


# --- on the workers of a cluster, which send each other parameters and sums ---


def join(network: Network) -> Member:
    """A task: make a Member of its worker, and let the worker answer messages to it."""
    from distributed import get_worker

    found: Any = get_worker
    worker = found()
    worker.handlers.setdefault(MESSAGE, MethodType(_answer, worker))
    return Member(network, worker.state.nthreads)


async def take_steps(shares: list[Share], snapshot: Any, optimizer: Any, dask_worker: Any) -> Taken | LostError:
    """Take steps on the worker of the first share, with the help of the others; LostError if one of them is lost."""
    try:
        return await _steps(dask_worker, shares, snapshot, optimizer)
    except OSError as error:  # raised, Dask would log it with all arguments
        return LostError(repr(error))


async def _steps(worker: Any, shares: list[Share], snapshot: Any, optimizer: Any) -> Taken:
    """See take_steps."""
    member = _held(worker, shares[0].member)
    engine, losses, hits = member.network.engine, list[float](), 0
    await asyncio.to_thread(engine.restore, snapshot)
    for number in range(len(shares[0].batches)):
        parts = [Share(one.address, one.member, [one.batches[number]]) for one in shares]
        batch = sum(rows.last - rows.first for one in parts for some in one.batches[0].values() for _, rows in some)
        nodes = await _nodes(worker, parts, engine.values, batch)
        node = await asyncio.to_thread(member.update, nodes, optimizer)
        if node is None:
            return Taken(losses, hits, engine.snapshot(), True)
        losses.append(node.loss)
        hits += node.hits
    return Taken(losses, hits, await asyncio.to_thread(engine.snapshot), False)


async def _answer(worker: Any, shares: Any, values: Array, batch: int) -> dict[str, Any]:
    """Answer another worker: the nodes of these shares, of which this worker has the first."""
    from distributed.protocol.serialize import Serialize

    frames: Any = Serialize
    try:
        return {"nodes": frames(await _nodes(worker, shares, values, batch))}
    except OSError as error:
        return {"lost": repr(error)}


async def _nodes(worker: Any, shares: Sequence[Share], values: Array, batch: int) -> list[Node]:
    """The nodes of these shares: of the first, computed here, and of the others, whose workers are asked."""
    member = _held(worker, shares[0].member)
    shards = {
        number: [(_held(worker, key), rows) for key, rows in some] for number, some in shares[0].batches[0].items()
    }
    own = asyncio.ensure_future(asyncio.to_thread(member.nodes, values, shards, batch))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.wait, [own])
        asked = []
        for some in _halves(shares):  # the largest first, which takes longest
            asked.append(await stack.enter_async_context(_Question(worker, some, values, batch)))
        found: list[Node] = await own
        for question in reversed(asked):
            found = await asyncio.to_thread(member.added, [*found, *await question.answer()])
    return found


def _halves(shares: Sequence[Share]) -> Iterator[Sequence[Share]]:
    """The second half of the shares, the second half of the others, and so on until the first alone remains."""
    while len(shares) > 1:
        middle = (len(shares) + 1) // 2
        yield shares[middle:]
        shares = shares[:middle]


class _Question:
    """A message to the worker of the first share; the parameters have left when the block is entered."""

    def __init__(self, worker: Any, shares: Sequence[Share], values: Array, batch: int) -> None:
        self.pool, self.address = worker.rpc, shares[0].address
        self.shares, self.values, self.batch = list(shares), values, batch

    async def __aenter__(self) -> "_Question":
        from distributed.protocol.serialize import Serialize

        frames: Any = Serialize
        self.comm = await self.pool.connect(self.address)
        self.is_open = True
        message = {"op": MESSAGE, "reply": True, "batch": self.batch}
        try:
            await self.comm.write({**message, "shares": frames(self.shares), "values": frames(self.values)})
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def answer(self) -> list[Node]:
        """The nodes of these shares."""
        from distributed.core import clean_exception

        answer = await self.comm.read()
        self.is_open = False
        if "lost" in answer:
            raise LostError(answer["lost"])
        if "nodes" not in answer:
            error: Any = clean_exception(**answer)[1]
            raise error
        nodes: list[Node] = answer["nodes"]
        return nodes

    async def __aexit__(self, *error: Any) -> None:
        if self.is_open:
            self.comm.abort()
        self.pool.reuse(self.address, self.comm)


def _held(worker: Any, key: str) -> Any:
    """What a worker holds under this key."""
    try:
        return worker.data[key]
    except KeyError as error:
        raise LostError(f"worker {worker.address}: expected {key} in its memory, found none") from error
