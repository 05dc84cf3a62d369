"""Whether large arrays hold NaN or infinity."""

import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.engine import finite, indexing
from fastnn.engine.samples import SparseRows
from tests.shapes import FloatType


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_one_value_anywhere_is_found(
    value: float, dtype: FloatType, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finite, "FEWEST_ELEMENTS", 100)
    x = np.full((13, 101), np.finfo(dtype).max, dtype)
    assert finite.all_finite(x, n_threads)
    assert finite.all_finite(-x, n_threads)
    for place in (0, 1, x.size // 2 - 1, x.size // 2, x.size // 2 + 1, x.size - 1):
        kept, x.flat[place] = x.flat[place], value
        assert not finite.all_finite(x, n_threads)
        x.flat[place] = kept
    assert finite.all_finite(x, n_threads)


def test_calls_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "MOST_ELEMENTS", 100)
    x = np.zeros(1001, np.float32)
    assert finite.looked_through(x, 2)
    for place in (0, 99, 100, 1000):
        x[place] = np.nan
        assert not finite.looked_through(x, 2)
        x[place] = 0.0


@pytest.mark.parametrize("n_threads", [1, 2])
def test_large_data_are_refused_with_the_place(n_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "FEWEST_ELEMENTS", 30_000)
    net = fastnn.Network([fastnn.Affine(100, 2)], rng=0, n_threads=n_threads)
    x, t = np.zeros((300, 100), np.float32), np.zeros(300, np.intp)
    x[299, 98] = np.nan
    before = {name: value.copy() for name, value in net.params.items()}
    with pytest.raises(
        ValueError, match=r"x: expected finite values, got nan at x\[299, 98\]; correct the data, or pass"
    ):
        net.fit(x, t, epochs=1, progress=False)
    assert all((net.params[name] == before[name]).all() for name in before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 21 * 3000 + 7, 22 * 3000 - 1])
def test_large_sparse_data_are_refused_and_nothing_is_changed(value: float, place: int) -> None:
    net, x, t = sparse_case()
    x.flat[place] = value
    before = {name: parameter.copy() for name, parameter in net.params.items()}
    where = f"{value} at x[{place // 3000}, {place % 3000}]"
    with pytest.raises(ValueError, match=re.escape(f"x: expected finite values, got {where}; correct the data")):
        net.fit(x, t, epochs=1, batch_size=5, progress=False)
    assert all((net.params[name] == before[name]).all() for name in before)


@pytest.mark.parametrize("batch_size", [1, 5, None])
def test_a_look_at_sparse_data_leaves_training_as_it_is(batch_size: int | None) -> None:
    results = []
    for check_finite in (True, False):
        net, x, t = sparse_case()
        options: dict[str, Any] = {"batch_size": batch_size, "check_finite": check_finite, "progress": False}
        net.fit(x, t, epochs=2, rng=0, optimizer=fastnn.SGD(0.1), **options)
        results.append(net.params["W1"].tobytes())
    assert results[0] == results[1]


def test_an_index_of_what_is_not_finite_holds_it() -> None:
    _, x, _ = sparse_case()
    x[1, 5], x[2, 2999], x[4] = np.nan, -np.inf, 0.0
    index = indexing.listed(x, 2)
    assert index is not None
    assert (np.diff(index.starts) == np.count_nonzero(x, axis=1)).all()
    np.testing.assert_array_equal(SparseRows(index, 3000)[:], x)


def sparse_case() -> tuple[fastnn.Network, Any, Any]:
    """A network, and data that are large enough for an index."""
    rng = np.random.default_rng(0)
    x = np.where(rng.random((22, 3000)) < 0.1, rng.random((22, 3000)), 0.0).astype(np.float32)
    return fastnn.Network([fastnn.Affine(3000, 3)], rng=0), x, rng.integers(0, 3, 22)
