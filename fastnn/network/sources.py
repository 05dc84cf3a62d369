"""Where a training takes its batches from: arrays in memory, arrays in a file, or an iterable of batches."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from fastnn.engine import threads
from fastnn.engine.engine import lone_row
from fastnn.engine.indexing import FirstLook, Index, index_for
from fastnn.engine.samples import ByteRows, Prepared, Samples, SparseRows, parts_of
from fastnn.engine.workspace import NO_ORDER, NO_WEIGHTS
from fastnn.gate import checks
from fastnn.gate.arrays import Array
from fastnn.gate.returned import pinned

if TYPE_CHECKING:
    from fastnn.network.network import Network

Data: TypeAlias = tuple[Samples, Array, Array, Array]  # prepared, and the order of their rows
NUMBERS_AT_ONCE = 1 << 20  # of an array in a file that are in memory, if a batch is not larger
BATCHES = "a list of pairs (x, t), a DataLoader, a generator, or a function that returns one of them"


class Part(NamedTuple):
    """Batches for one call."""

    data: Data
    batches: tuple[int, int, int]  # first, last, rows of one: within the data
    weights: Array
    taken: int
    lists: Index | None = None  # of the data


class Rows:
    """Batches of arrays, in the order of their rows or in another one.

    Attributes
    ----------
    rows, samples, batches : int
        The rows; the samples of an epoch and its batches.
    """

    # Six parameters: a fit knows the last one from its check of the data.
    def __init__(
        self,
        network: "Network",
        data: Prepared,
        weights: Array,
        batch_size: int,
        shuffled: bool,
        look: FirstLook | None = None,
    ) -> None:
        self.network, self.data, self.weights, self.batch_size = network, data, weights, batch_size
        self.rows = len(data[0])
        self.order = np.arange(self.rows, dtype=np.intp) if shuffled else NO_ORDER
        # Batch normalization would turn a single last row into 0.
        alone = self.rows % batch_size == 1 and batch_size > 1 and network.engine.plan.needs_rows
        self.samples = self.rows - alone
        self.batches = -(-self.samples // batch_size)
        self.counts_hits = network.engine.counts_hits(*data[1:])
        self.most = self.batches  # of a call
        self.described: dict[str, str] = {}
        self.pins = pinned(*parts_of(data[0]), *data[1:])  # callbacks can reach the arrays behind these views
        is_made = look is not None and look.serves(batch_size)
        self.index: Index | None = look.index if look is not None and is_made else self._made_index()
        self._is_new = True  # nobody can have written into the data since

    def look_again(self, by_batch: bool) -> None:
        """Heed that callbacks may have written into the data, and may do so after each batch."""
        self.index = None if by_batch else self.index if self._is_new else self._made_index()
        self._is_new = False

    def draw(self, generator: np.random.Generator) -> None:
        """Draw the order of an epoch."""
        self.order[:] = checks.permutation("rng", generator, self.rows)

    def sample(self) -> Data:
        """Some rows, on which nothing is trained."""
        return *self.data, self.order

    def parts(self, done: Callable[[], int], most: Callable[[], int]) -> Iterator[Part]:
        """The rest of an epoch of which so many batches are done, in parts of at most so many."""
        while (first := done()) < self.batches:
            last = min(self.batches, first + min(most(), self.most))
            yield self.part(first, last)

    def part(self, first: int, last: int) -> Part:
        """These batches."""
        return Part((*self.data, self.order), (first, last, self.batch_size), self.weights, last - first, self.index)

    def _made_index(self) -> Index | None:
        """The index of an array, or of bytes, if they are mostly zeros."""
        engine, x = self.network.engine, self.data[0]
        if isinstance(x, SparseRows):
            return None
        x, parts = x.held if isinstance(x, ByteRows) else x, threads.at_most(engine.n_threads)
        return index_for(engine.plan, x, self.batch_size, parts, engine.input_scale.rounded)

    def of_batch(self, part: Part, number: int) -> Array:
        """The inputs of one batch of a part, the number counted from 0."""
        first = (part.batches[0] + number) * self.batch_size
        rows = slice(first, first + self.batch_size)
        x, order = part.data[0], part.data[3]
        return x[order[rows]] if order.size else x[rows]


class RowsOfFile(Rows):
    """As `Rows`, for an array in a file that is not as kernels take it: the rows of a part are read and converted."""

    def __init__(self, network: "Network", data: Prepared, weights: Array, batch_size: int, shuffled: bool) -> None:
        super().__init__(network, data, weights, batch_size, shuffled)
        self.most = max(1, NUMBERS_AT_ONCE // (network.inputs * batch_size))

    def _made_index(self) -> Index | None:
        return None

    def sample(self) -> Data:
        return self.part(0, 1).data

    def part(self, first: int, last: int) -> Part:
        size = self.batch_size
        rows: Any = slice(first * size, min(last * size, self.samples))
        some = self.order[rows] if self.order.size else rows
        x, labels, dense = self.data
        data = (
            self.network.engine.prepare_rows("x", np.asarray(x[some]), False),
            labels[some] if len(labels) else labels,
        )
        weights = self.weights[some] if len(self.weights) else self.weights
        all_dense = np.ascontiguousarray(dense[some]) if len(dense) else dense
        return Part((*data, all_dense, NO_ORDER), (0, last - first, size), weights, last - first)


class Batches:
    """Batches that an iterable gives, anew for each epoch."""

    order, weights, samples, rows = NO_ORDER, NO_WEIGHTS, 0, 0
    batches: int | None = None
    index: Index | None = None

    def __init__(self, network: "Network", given: Any, check_finite: bool) -> None:
        self.network, self.given, self.check_finite = network, given, check_finite
        self.described: dict[str, str] = {}
        iterator, read = self._iterator(), list[Any]()
        for batch in iterator:
            read.append(batch)
            self.data = self._prepared(batch)
            if not self._is_alone(self.data[0]):
                break
        else:
            if read:
                raise lone_row("x", "pass larger batches")
            raise ValueError(f"x: expected batches (x, t), got none; pass {BATCHES}")
        self.batch_size = len(self.data[0])
        self.counts_hits = network.engine.counts_hits(*self.data[1:])
        # So that a generator loses no batch, and a DataLoader draws one order for the first epoch.
        self._begun: Iterator[Any] | None = itertools.chain(read, iterator)

    def look_again(self, by_batch: bool) -> None:
        """Nothing: each batch is looked at when it comes."""

    def draw(self, generator: np.random.Generator) -> None:
        """Draw nothing: the iterable has its own order."""

    def sample(self) -> Data:
        """The first batch."""
        return *self.data, NO_ORDER

    def parts(self, done: Callable[[], int], most: Callable[[], int]) -> Iterator[Part]:
        """The rest of an epoch of which so many batches are done: the iterable gives them again."""
        iterator, self._begun = self._begun or self._iterator(), None
        start, count = done(), 0
        for batch in iterator:
            x, labels, dense = self._prepared(batch)
            if self._is_alone(x):
                continue
            count += 1
            if count > start:
                yield Part((x, labels, dense, NO_ORDER), (0, 1, len(x)), NO_WEIGHTS, 1)
        if count == 0:
            came = "none, as an iterator gives its batches once"
            raise ValueError(f"x: expected batches for each epoch, got {came}; pass a list, a DataLoader or a function")

    def of_batch(self, part: Part, number: int) -> Array:
        """The inputs of the batch."""
        return part.data[0][:]

    def _is_alone(self, x: Samples) -> bool:
        """Whether batch normalization would turn this single row into 0."""
        return len(x) == 1 and self.network.engine.plan.needs_rows

    def _iterator(self) -> Iterator[Any]:
        """An iterator over the batches of an epoch."""
        given = self.given() if callable(self.given) and not isinstance(self.given, Iterable) else self.given
        if not isinstance(given, Iterable):
            raise TypeError(f"x: expected batches, as t is None, got {checks.shown(given)}; pass {BATCHES}")
        return iter(given)

    def _prepared(self, batch: Any) -> Prepared:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            came = f"{len(batch)} parts" if isinstance(batch, tuple | list) else checks.shown(batch)
            raise TypeError(f"x: expected batches that are pairs (x, t), as t is None, got {came}; pass {BATCHES}")
        return self.network.engine.prepare(batch[0], batch[1], self.check_finite)


class Source(Protocol):
    """Where a run takes its batches from.

    Attributes
    ----------
    rows : int
        The rows in memory, whose checksum is in a checkpoint; 0 where they are elsewhere.
    samples : int
        The samples of an epoch; 0 if unknown.
    described : dict
        What the settings in a checkpoint say of the data beside, or instead of, their checksum.
    """

    data: Prepared
    weights: Array
    order: Array
    rows: int
    samples: int
    batch_size: int
    counts_hits: bool
    index: Index | None

    @property
    def described(self) -> dict[str, str]:
        """See the attributes."""

    @property
    def batches(self) -> int | None:
        """The batches of an epoch."""

    def look_again(self, by_batch: bool) -> None:
        """Heed that callbacks may have written into the data, and may do so after each batch."""

    def draw(self, generator: np.random.Generator) -> None:
        """Draw the order of an epoch."""

    def sample(self) -> Data:
        """Some rows, on which nothing is trained."""

    def parts(self, done: Callable[[], int], most: Callable[[], int]) -> Iterator[Part]:
        """The rest of an epoch of which so many batches are done, in parts of at most so many."""

    def of_batch(self, part: Part, number: int) -> Array:
        """The inputs of one batch of a part, the number counted from 0."""


def is_in_file(network: "Network", x: Any) -> bool:
    """Whether x is an array in a file that would be copied as a whole to become one that kernels take."""
    if not isinstance(x, np.memmap):
        return False
    is_plain = x.dtype == network.dtype and x.flags.c_contiguous and x.flags.aligned
    return not (is_plain and network.engine.input_scale.is_one)


def rows_in_file(network: "Network", x: Any, t: Any, check_finite: bool) -> Prepared:
    """x itself, checked piece by piece, and the prepared targets."""
    rows = max(1, NUMBERS_AT_ONCE // network.inputs)
    for first in range(0, max(1, len(x)), rows):
        name = "x" if len(x) <= rows else f"x[{first}:{first + rows}]"
        network.engine.prepare_rows(name, np.asarray(x[first : first + rows]), check_finite)
    return x, *network.engine.prepare_targets("t", t, len(x), check_finite)
