"""Products of rows in an index, against the dense ones: the same bits, no element outside the arrays."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.engine import indexing, threads
from fastnn.kernels import indexed, matmul
from fastnn.kernels.compile import JIT_DISABLED, entry
from fastnn.network import sources
from tests.forked import Forks
from tests.shapes import DTYPES, Array, FloatType, bits, numbers
from tests.test_matmul import Fenced, backward, forward, in_another_process, needs_mprotect, result_of, tails
from tests.test_sparse import ROWS, every_dtype, mostly_zeros

SHAPES = [(1, 1, 1), (5, 3, 2), (24, 50, 10), (47, 100, 33), (131, 29, 50), (2, 331, 3), (9, 40, 147)]
SHAPES += [] if JIT_DISABLED else [(7, 1051, 18), (194, matmul.DEEP + 400, 5), (1009, 37, 200)]
assert matmul.ONE_CHAIN < 331 and indexed.ROW_BLOCK < 131 and matmul.ONE_CHAIN < 1009
assert indexed.BLOCK_BYTES // 4 < 784 * 50
Index = tuple[Array, Array]


# Entries, so that their compiled code is kept for other processes.
@entry
def skipping(pairs: Array, starts: Array, numbers: Array, b: Array, bias: Array, scratch: Array, c: Array) -> None:
    """c = a b + bias."""
    indexed.multiply_rows((pairs, starts, numbers), b, bias, scratch, c)


@entry
def skipping_transposed(
    depth: int, pairs: Array, starts: Array, numbers: Array, b: Array, scratch: Array, d: Array, first: int
) -> None:
    """d = the rows [first, first + rows of d) of a^T b."""
    indexed.multiply_rows_transposed((pairs, starts, numbers), depth, b, scratch, d, first)


@entry
def listed(a: Array, starts: Array, pairs: Array) -> None:
    indexed.list_rows(a, 0, a.shape[0], starts, pairs)


def dense(a: Array, b: Array, bias: Array) -> Array:
    """a b + bias without leaving out zeros."""
    return forward(a, b, bias)


def dense_transposed(a: Array, b: Array) -> Array:
    """a^T b without leaving out zeros."""
    return backward(b, a, np.zeros((a.shape[1], b.shape[1]), a.dtype))[1]


def index_of(a: Array) -> Index:
    """The index of all rows."""
    starts = np.concatenate([[0], np.cumsum((a != 0).sum(axis=1))]).astype(np.intp)
    pairs = np.full(2 * starts[-1] + 2, np.nan, a.dtype)
    listed(a, starts, pairs)
    return pairs, starts


def ways_of(a: Array) -> dict[str, tuple[Array, Array, Array]]:
    """The rows of a from an index, and from an index of other rows, too, in another order."""
    rows = len(a)
    order = np.random.default_rng(0).permutation(rows) + 2
    more = np.ones((rows + 2, a.shape[1]), a.dtype)
    more[order] = a
    return {"index": (*index_of(a), np.arange(rows)), "order": (*index_of(more), order)}


def scratch_for(rows: int, depth: int, columns: int, dtype: FloatType) -> Array:
    return np.full(indexed.indexed_scratch_size(columns, rows), np.nan, dtype)


@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_as_the_dense_product(shape: tuple[int, int, int], dtype: FloatType) -> None:
    m, k, n = shape
    a, b, bias = mostly_zeros(1, m, k, dtype=dtype), numbers(2, k, n, dtype=dtype), numbers(3, n, dtype=dtype)
    if m > 1:
        a[1] = numbers(4, k, dtype=dtype)  # and one without zeros
    wanted = bits((dense(a, b, bias),))
    for way, rows in ways_of(a).items():
        c = np.full((m, n), np.nan, dtype)
        skipping(*rows, b, bias, scratch_for(0, k, n, dtype), c)
        assert bits((c,)) == wanted, way


@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_as_the_dense_transposed_product(shape: tuple[int, int, int], dtype: FloatType) -> None:
    k, m, n = shape[1], shape[0], shape[2]  # deep, if there are many rows
    a, b = mostly_zeros(1, k, m, dtype=dtype), numbers(2, k, n, dtype=dtype)
    wanted = dense_transposed(a, b)
    for way, rows in ways_of(a).items():
        for first in (0, m // 2):
            d = np.full((m - first, n), np.nan, dtype)
            skipping_transposed(m, *rows, b, scratch_for(k, m, n, dtype), d, first)
            assert bits((d,)) == bits((wanted[first:],)), (way, first)


def test_nan_infinity_and_negative_zero_in_the_inputs() -> None:
    a = np.zeros((6, 40), np.float32)
    a[0, 3], a[1, 4], a[2, 5], a[3, 6] = np.nan, np.inf, -np.inf, -0.0
    b = numbers(2, 40, 5, dtype=np.float32)
    for rows in ways_of(a).values():
        c = np.full((6, 5), np.float32(7))
        skipping(*rows, b, np.zeros(5, np.float32), scratch_for(0, 40, 5, np.float32), c)
        assert np.isnan(c[0]).all()
        assert np.isinf(c[1:3]).all()
        assert (c[3:] == 0).all()


def products_between_fences(dtype: FloatType) -> int:
    """Like its namesake in test_matmul, for these products."""
    fences = [Fenced(2**21) for _ in range(7)]
    count = 0
    for shape in tails(dtype):
        m, k, n = shape
        a, b, bias = mostly_zeros(1, m, k, dtype=dtype), numbers(2, k, n, dtype=dtype), numbers(3, n, dtype=dtype)
        wanted = bits((dense(a, b, bias),)), bits((dense_transposed(a.T.copy(), b),))
        for of_a, of_transposed in zip(ways_of(a).values(), ways_of(a.T.copy()).values(), strict=True):
            given = [*of_a, b, bias, scratch_for(0, k, n, dtype), np.zeros((m, n), dtype)]
            others = [*of_transposed, b, scratch_for(k, m, n, dtype), np.zeros((m, n), dtype)]
            for at_end in (True, False):
                placed: list[Any] = [fence.place(one, at_end) for fence, one in zip(fences, given, strict=False)]
                skipping(*placed)
                assert bits((placed[-1],)) == wanted[0], shape
                placed = [fence.place(one, at_end) for fence, one in zip(fences, others, strict=False)]
                skipping_transposed(*[m, *placed, 0])
                assert bits((placed[-1],)) == wanted[1], shape
                count += 1
    return count


@needs_mprotect
@every_dtype
def test_nothing_outside_the_arrays_is_touched(dtype: FloatType, forks: Forks) -> None:
    call = f"__import__('tests.test_indexed').test_indexed.products_between_fences(t.np.{np.dtype(dtype).name})"
    assert result_of(in_another_process(forks, call)) == 4 * len(list(tails(dtype)))


# --- in a network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch_size", [25] if JIT_DISABLED else [1, 2, 3, 25, 700, 1200])
def test_an_index_changes_no_bit(batch_size: int, dtype: FloatType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither does the number of threads: an index is made for data that are mostly zeros, and large."""
    monkeypatch.setattr(indexing, "FEWEST_ELEMENTS", 0)
    x = mostly_zeros(5, 3 * ROWS, 60, dtype=dtype)
    t = np.random.default_rng(1).integers(0, 4, len(x))
    epochs = 1 if batch_size < 10 or JIT_DISABLED else 2

    def fitted(n_threads: int, shuffle: bool, **arguments: Any) -> tuple[Any, ...]:
        layers = [fastnn.Affine(60, 33), fastnn.Tanh(), fastnn.Affine(33, 4)]
        net = fastnn.Network(layers, rng=0, n_threads=n_threads, dtype=dtype)
        options: Any = {"rng": 0, "epochs": epochs, "batch_size": batch_size, "shuffle": shuffle}
        history = net.fit(x, t, **options, **arguments)
        return *net.params.values(), np.array(history.loss)

    some: list[dict[str, Any]] = [{"optimizer": fastnn.SGD(lr=0.1)}, {"optimizer": fastnn.Adam(clip_norm=1.0)}]
    for arguments in some[: 1 if JIT_DISABLED else 2]:
        for shuffle in (True, False):
            made = [bits(fitted(n, shuffle, **arguments)) for n in ((1,) if JIT_DISABLED else (1, 2, 3))]
            with monkeypatch.context() as patched:
                patched.setattr(sources, "index_for", lambda *_: None)
                wanted = bits(fitted(1, shuffle, **arguments))
            assert made == [wanted] * len(made), (arguments, shuffle)


class _Augments:
    """Turns the rows of x around, in place, after each batch or each epoch."""

    def __init__(self, x: Array) -> None:
        self.x = x

    def turn(self) -> None:
        self.x[...] = self.x[:, ::-1].copy()


class _AfterEpoch(_Augments):
    def __call__(self, network: Any, history: Any) -> None:
        self.turn()


class _AfterBatch(_Augments):
    def after_batch(self, network: Any, figures: Any) -> None:
        self.turn()


@pytest.mark.parametrize("callback", [_AfterEpoch, _AfterBatch])
def test_an_index_heeds_callbacks_that_write_into_the_data(callback: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for fewest in (0, 2**60):  # with an index, and without
        monkeypatch.setattr(indexing, "FEWEST_ELEMENTS", fewest)
        x = mostly_zeros(5, ROWS, 60, dtype=np.float32)
        net = fastnn.Network([fastnn.Affine(60, 5), fastnn.Relu(), fastnn.Affine(5, 4)], rng=0)
        net.fit(x, np.arange(ROWS) % 4, epochs=3, batch_size=25, rng=0, callbacks=[callback(x)])
        found.append(bits(tuple(net.params.values())))
    assert found[0] == found[1]


@pytest.mark.skipif(JIT_DISABLED, reason="large")
def test_an_index_where_the_first_layer_is_taken_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    x, t = mostly_zeros(5, 300, 700, dtype=np.float32), np.arange(300) % 4
    made = []
    for made_index in (indexing.index_for, lambda *_: None):
        monkeypatch.setattr(sources, "index_for", made_index)
        for n_threads in (1, 2):
            layers = [fastnn.Affine(700, 900), fastnn.Relu(), fastnn.Affine(900, 4)]
            net = fastnn.Network(layers, rng=0, n_threads=n_threads)
            net.fit(x, t, rng=0, batch_size=100, optimizer=fastnn.SGD(lr=0.01))
            made.append(bits(tuple(net.params.values())))
    assert made == [made[0]] * 4


def test_an_index_is_made_for_large_data_that_are_mostly_zeros() -> None:
    x = mostly_zeros(5, 1200, 60, dtype=np.float32)
    net = fastnn.Network([fastnn.Affine(60, 4)])
    index = indexing.index_for(net.engine.plan, x, 25, 1)
    assert index is not None
    assert index.starts[-1] == np.count_nonzero(x)
    assert index.pairs.nbytes <= 2 / 3 * x.nbytes
    assert indexing.index_for(net.engine.plan, x[:1000], 25, 1) is None  # too small
    assert indexing.index_for(net.engine.plan, x + 1, 25, 1) is None
    assert indexing.index_for(net.engine.plan, np.zeros_like(x), 25, 1) is not None
    assert indexing.index_for(net.engine.plan, x, 1, 1) is None
    other = fastnn.Network([fastnn.Tanh()], "mean_squared_error", input_shape=60)
    assert indexing.index_for(other.engine.plan, x, 25, 1) is None


def test_training_with_an_index_and_other_layers_first() -> None:
    """An index of all zeros, batch normalization, and weights that become infinite."""
    rows = 5 * ROWS
    x, t = np.zeros((rows, 60), np.float32), np.arange(rows) % 4
    assert JIT_DISABLED or indexing.index_of(x, 1) is not None
    net = fastnn.Network([fastnn.Affine(60, 5), fastnn.BatchNorm(), fastnn.Relu(), fastnn.Affine(5, 4)], rng=0)
    net.fit(x, t, batch_size=50, rng=0)
    assert all(np.isfinite(one).all() for one in net.params.values())
    x[::7, 3] = 1e30
    net = fastnn.Network([fastnn.Affine(60, 5), fastnn.Affine(5, 4)], rng=0)
    with pytest.raises(fastnn.TrainingDivergedError, match="epoch 1"):
        net.fit(x, t, batch_size=50, rng=0, optimizer=fastnn.SGD(lr=1e20))


@every_dtype
@pytest.mark.parametrize("inputs", [321, 784], ids=str)
@pytest.mark.parametrize("optimizer", [fastnn.SGD(0.1), fastnn.Adam(clip_value=0.1)], ids=lambda one: one.update)
def test_going_ahead_to_the_next_batch_changes_no_bit(
    optimizer: Any, inputs: int, dtype: FloatType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two parts multiply the next batch's rows by their shares of the weights as soon as these are updated."""
    x, t = mostly_zeros(0, 250, inputs, dtype=dtype), np.arange(250) % 3
    regularization = fastnn.Regularization(l2=0.01)

    index = indexing.listed(x, 1)
    orders = np.random.default_rng(1).permutation(250), np.empty(0, np.intp)

    def trained(parts: int, order: Array) -> tuple[list[bytes], bool]:
        monkeypatch.setattr(threads, "run", lambda entry, work, *given, n_threads: entry(parts, 0, *given))
        monkeypatch.setattr(threads, "_chosen", parts)
        layers = [fastnn.Affine(inputs, 21), fastnn.Dropout(0.2), fastnn.Relu(), fastnn.Affine(21, 3)]
        network = fastnn.Network(layers, rng=0, dtype=dtype, regularization=regularization)
        data = x, t, network.engine.no_targets, order
        losses = [network.engine.run_batches(data, optimizer, (0, 5, 60), index=index)[1] for _ in range(2)]
        assert network.engine.workspace is not None
        went_ahead = bool(network.engine.workspace.arrays["chain_sums"].any())
        return bits((*network.params.values(), np.array(losses))), went_ahead

    for order in orders:
        alone, in_parts = trained(1, order), trained(2, order)
        assert alone[0] == in_parts[0]
        assert (alone[1], in_parts[1]) == (False, True)
