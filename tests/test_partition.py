"""Layers that a training batch is taken through by columns: the same bits as by rows, and when they are."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Adam, Affine, BatchNorm, Dropout, Network, Relu
from fastnn.engine import partition
from fastnn.engine.interpreters import jobs
from fastnn.kernels import caches
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.matmul import PANEL_COLUMNS, share_of_columns
from tests.shapes import DTYPES, bits

NETWORKS: dict[str, tuple[list[Any], int, dict[str, Any]]] = {
    "plain": ([Affine(40, 70), Relu(), Affine(70, 33), Relu(), Affine(33, 5)], 50, {}),
    "cut otherwise, too": (
        [Affine(40, 70), BatchNorm(), Relu(), Affine(70, 65), Dropout(0.3), BatchNorm(), Affine(65, 5)],
        50,
        {"batch_size": 20},
    ),
    "clipped": ([Affine(40, 70), Relu(), Affine(70, 5)], 50, {"optimizer": Adam(lr=0.01, clip_norm=1.0)}),
    "of zeros": ([Affine(200, 70), Relu(), Affine(70, 5)], 130, {"batch_size": 64, "shuffle": False}),
}
# Rows that share a cache's sets, in both dtypes, and panels that are copied.
WIDE = ([Affine(1024, 130), Relu(), Affine(130, 512), Affine(512, 300)], 60, {"batch_size": 60})
NETWORKS |= {} if JIT_DISABLED else {"wide": WIDE}


def trained(name: str, dtype: Any, n_threads: int) -> list[bytes]:
    layers, rows, options = NETWORKS[name]
    generator = np.random.default_rng(3)
    x = generator.standard_normal((rows, layers[0].inputs)).astype(dtype)
    if name == "of zeros":
        x[generator.random(x.shape) < 0.95] = 0
    t = generator.integers(0, layers[-1].outputs, rows)
    net = Network(layers, rng=1, dtype=dtype, n_threads=n_threads)
    net.fit(x, t, epochs=2, rng=5, progress=False, **{"batch_size": rows, **options})
    gradient = net.gradient(x, t)
    assert all(np.isfinite(values).all() for values in gradient.values())
    return bits((*net.params.values(), *gradient.values()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_by_columns_and_by_rows_are_the_same_bits(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "LARGE", 1 << 60)
    by_rows = trained(name, dtype, 1)
    monkeypatch.setattr(partition, "LARGE", 0)
    for n_threads in range(1, min(3, fastnn.get_num_threads()) + 1):
        assert trained(name, dtype, n_threads) == by_rows


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_by_columns_and_by_rows_are_the_same_bits(
    name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastnn.engine.threads.SMALL_WORK", 0)
    layers, generator, most = NETWORKS[name][0], np.random.default_rng(4), 9 if JIT_DISABLED else 300
    x = generator.standard_normal((most, layers[0].inputs)).astype(dtype)
    if name == "of zeros":
        x[generator.random(x.shape) < 0.95] = 0

    def predicted(large: int, n_threads: int) -> list[bytes]:
        monkeypatch.setattr(partition, "LARGE", large)
        net = Network(layers, rng=1, dtype=dtype, n_threads=n_threads)
        assert net._engine.shares_columns == (large == 0)
        out = np.empty((most, layers[-1].outputs), dtype)
        found = [net.predict(x[:rows]) for rows in (1, 4, 5, 33, 128, 257, 300) if rows <= most for _ in range(2)]
        assert all(np.isfinite(y).all() for y in found)
        return bits((*found, net.predict(x, out=out), net.predict(x, check_finite=False)))

    by_rows = predicted(1 << 60, 1)
    for n_threads in range(1, min(3, fastnn.get_num_threads()) + 1):
        assert predicted(0, n_threads) == predicted(1 << 60, n_threads) == by_rows


@pytest.mark.skipif(JIT_DISABLED, reason="needs threads")
@pytest.mark.parametrize("large", [0, 1 << 60])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_threads_refuse_what_is_not_finite_and_write_nothing(
    large: int, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "LARGE", large)
    x, out = np.ones((700, 50), np.float32), np.full((700, 3), 7, np.float32)
    net = Network([Affine(50, 40), Relu(), Affine(40, 3)], rng=0)
    for _ in range(2):  # the long way, and the short one
        expected = net.predict(x)
        for row, column in ((0, 0), (699, 49), (349, 7)):
            x[row, column] = value
            for given in (None, out):
                with pytest.raises(ValueError, match=rf"expected finite values, got .* at x\[{row}, {column}\]"):
                    net.predict(x, out=given)
            assert (out == 7).all()
            assert net.predict(x, check_finite=False).shape == (700, 3)
            x[row, column] = 1.0
        assert net.predict(x).tobytes() == expected.tobytes()


def test_each_column_is_one_parts() -> None:
    share = getattr(share_of_columns, "py_func", share_of_columns)
    for count in (1, PANEL_COLUMNS, 5 * PANEL_COLUMNS + 3):
        for parts in (1, 2, 3, 7):
            ends = [share(count, part, parts) for part in range(parts + 1)]
            assert ends[0] == 0 and ends[-1] == count and ends == sorted(ends)
            assert all(end % PANEL_COLUMNS == 0 for end in ends[:-1] if end < count)


def choice(layers: list[Any], rows: int, parts: int = 2) -> list[bool]:
    net = Network(layers, rng=0)
    found = partition.taken_by_columns(net._engine.plan, rows, parts, 4).tolist()
    assert partition.has_cuts(net._engine.plan, rows, parts, 4) == any(found)
    return [bool(one) for one in found]


def test_large_weights_are_taken_by_columns_unless_the_batch_leaves_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "CACHES", caches.Caches(last=32 << 20))
    layers = [Affine(784, 512), Relu(), Affine(512, 511), Relu(), Affine(511, 10)]
    assert choice(layers, 128) == [True, False, False, False, False]
    assert choice(layers, 1) == [True, False, False, False, False]
    assert choice(layers, 100_000) == [False] * 5
    assert choice(layers, 128, parts=1) == [False] * 5
    assert choice(layers, 129, parts=1) == [True, False, False, False, False]
    assert choice([Affine(784, 256), Affine(256, 10)], 1024) == [False, False]


def test_a_workspace_marks_the_layers() -> None:
    net = Network([Affine(600, 500), Relu(), Affine(500, 3)], rng=0)
    net.step(np.ones((129, 600), np.float32), [0, 1, 2] * 43, SGD())
    assert net._engine.workspace is not None
    assert net._engine.workspace.table[:, jobs.BY_COLUMNS].tolist() == [1, 0, 0]


@pytest.mark.parametrize("shuffle", [False, True])
def test_statistics_of_the_samples_themselves(shuffle: bool) -> None:
    """A first layer that cuts the batch reads the samples, which are no tensor."""
    x, t = np.random.default_rng(0).normal(3.0, 2.0, (60, 5)), np.arange(60) % 3
    net = Network([BatchNorm(momentum=0.0), Affine(5, 3)], rng=0, dtype="float64", input_shape=5)
    net.fit(x, t, epochs=1, batch_size=60, shuffle=shuffle, rng=0, progress=False)
    assert np.allclose(net.statistics["mean1"], x.mean(axis=0), rtol=1e-12)
    assert np.allclose(net.statistics["variance1"], x.var(axis=0, ddof=1), rtol=1e-12)
