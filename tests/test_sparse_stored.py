"""Matrices that one compiled pass checks and lists: the same index as the gate's, which gets all that is not plain."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import fastnn
from fastnn.engine.indexing import index_of_matrix, index_of_stored
from fastnn.gate import sparse
from tests.shapes import DTYPES, bits

D = 40


def matrix(dtype: Any, rows: int = 50, width: Any = np.int32) -> Any:
    rng = np.random.default_rng(rows)
    x = csr_array((rng.normal(size=(rows, D)) * (rng.random((rows, D)) < 0.2)).astype(dtype))
    x.indptr, x.indices = x.indptr.astype(width), x.indices.astype(width)
    return x


@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 50, 3000])
def test_the_index_is_the_gates(rows: int, dtype: Any, width: Any) -> None:
    x = matrix(dtype, rows, width)
    expected = sparse.compressed("x", x, D, dtype=dtype, finite=True)
    ours = index_of_matrix(x, D, dtype=np.dtype(dtype), scale=0.3, finite=True)
    assert ours is not None
    theirs = index_of_stored(expected.values * dtype(0.3), expected.columns, expected.starts)
    assert ours.starts.dtype == np.intp and bits(tuple(ours)) == bits(tuple(theirs))
    net = fastnn.Network([fastnn.Affine(D, 4)], rng=0, dtype=dtype)
    assert bits((net.predict(x),)) == bits((net.predict(x.toarray()),))


@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize(
    ("part", "place", "value"),
    [
        ("indices", 1, D), ("indices", 0, -1), ("indices", 0, 2**31 - 1), ("indptr", 1, 10**6), ("indptr", 2, -1),
        ("indptr", 0, 1), ("indptr", 2, 0), ("indptr", -1, 10**6), ("indptr", -1, -1),
    ],
)  # fmt: skip
def test_damage_is_refused(part: str, place: int, value: int, width: Any) -> None:
    """Kernels would read beside their arrays."""
    x = matrix(np.float32, width=width)
    getattr(x, part)[place] = value
    with pytest.raises(ValueError, match="indices are not of its shape"):
        fastnn.Network([fastnn.Affine(D, 4)], rng=0).predict(x)


def test_what_the_gate_looks_at() -> None:
    net = fastnn.Network([fastnn.Affine(D, 4)], rng=0)
    x = matrix(np.float32)
    for wrong in (np.nan, -np.inf):
        damaged = x.copy()
        damaged.data[7] = wrong
        row = np.searchsorted(x.indptr, 7, side="right") - 1
        with pytest.raises(ValueError, match=rf"x: expected finite values, got {wrong} at x\[{row}, {x.indices[7]}\]"):
            net.predict(damaged)
        dense = net.predict(damaged.toarray(), check_finite=False)
        np.testing.assert_array_equal(net.predict(damaged, check_finite=False), dense)
    scaled = fastnn.Network([fastnn.Affine(D, 4)], rng=0, input_scale=1e38)
    with pytest.raises(ValueError, match=r"x.data \* input_scale: expected finite values, got -?inf"):
        scaled.predict(x * np.float32(100))
    assert index_of_matrix(x.astype(np.float64), D, np.dtype(np.float32), 1.0, True) is None
    data, columns = np.arange(1, 5, dtype=np.float32), np.array([3, 1, 1, 2], np.int32)
    unsorted = csr_array((data, columns, np.array([0, 2, 4], np.int32)), shape=(2, D))
    twice = csr_array((data, np.array([1, 1, 0, 2], np.int32), np.array([0, 2, 4], np.int32)), shape=(2, D))
    for one in (unsorted, twice, csr_array((3, D), dtype=np.float32)):
        assert index_of_matrix(one, D, np.dtype(np.float32), 1.0, True) is None
        assert bits((net.predict(one),)) == bits((net.predict(one.toarray()),))
    assert unsorted.indices.tolist() == [3, 1, 1, 2]
