"""Sparse matrices of SciPy's as data: the same bits as with the array of the same numbers, and what is refused."""

import pathlib
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix

import fastnn
from fastnn import Affine, BatchNorm, Dropout, Momentum, Network, Relu
from fastnn.engine.samples import SparseRows
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.matmul import FEW_STEPS
from tests.crossings import crossed
from tests.shapes import DTYPES, Array, bits

ROWS, D = (40, 25) if JIT_DISABLED else (300, 250)  # an index of so many elements is made of an array, too
NETWORKS: dict[str, list[Any]] = {
    "by lists": [Affine(D, 17), Relu(), Affine(17, 4)],
    "no lists": [Relu(), Affine(D, 4)],
    "statistics": [BatchNorm(), Affine(D, 4)],
    "random": [Affine(D, 8), Dropout(0.3), BatchNorm(), Affine(8, 4)],
}
SIZES: list[int | None] = [1, FEW_STEPS, FEW_STEPS + 1, 7, None]  # of batches


def mostly_zeros(dtype: Any, rows: int = ROWS, density: float = 0.1) -> Array:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, D)) * (generator.random((rows, D)) < density)
    x[:3] = 0.0
    return (x + 0.0).astype(dtype)  # a matrix keeps no -0.0


def labels(rows: int = ROWS) -> Array:
    return np.random.default_rng(1).integers(0, 4, rows)


def results(net: Network, x: Any, t: Array, size: int | None) -> list[Any]:
    """All that a network computes of samples."""
    options: Any = {"epochs": 2, "batch_size": size, "rng": 0, "optimizer": Momentum(0.002), "progress": False}
    weights = np.linspace(0.0, 2.0, len(t))
    history = net.fit(x, t, validation_data=(x, t), sample_weight=weights, class_weight=[1, 2, 1, 1], **options)
    net.fit(x, t, shuffle=False, metrics=["balanced_accuracy"], **options)
    y = net.predict(x)
    back, dx = net.backward(x, y, need_dx=True)
    figures = [history.loss, history.validation_loss, net.loss(x, t), net.accuracy(x, t), net.step(x, t, Momentum(0.1))]
    few = net.numerical_gradient(x[:2], t[:2])
    made = [net.gradient(x, t), back, net.backward(x, y), few, net.params, net.statistics]
    vectors = [y, dx, *net.outputs_of_layers(x), *(array for arrays in made for array in arrays.values())]
    return [*figures, *bits(tuple(vectors))]


@crossed(4, name=NETWORKS, size=SIZES, dtype=DTYPES, n_threads=(1, 2))
def test_same_bits_as_with_an_array(name: str, size: int | None, dtype: Any, n_threads: int) -> None:
    if size == 1 and name in ("statistics", "random"):
        size = 2
    t = labels()
    for x in (mostly_zeros(dtype), mostly_zeros(dtype, density=0.9)):
        dense, sparse = (
            Network(NETWORKS[name], rng=0, dtype=dtype, input_shape=D, n_threads=n) for n in (1, n_threads)
        )
        assert results(sparse, csr_array(x), t, size) == results(dense, x, t, size)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_weights_and_gradients_that_are_not_finite(value: float) -> None:
    """Zeros are not skipped then: 0 times NaN is NaN."""
    x, t = mostly_zeros(np.float32), np.full((ROWS, 4), 1e38 if value == 1e38 else 1.0, np.float32)
    found = []
    for some in (x, csr_array(x)):
        net = Network(NETWORKS["by lists"], loss="mean_squared_error", rng=0)
        net.params["W1"][D - 1, 2] = value
        net.params["W2"][:] *= 1e3
        with np.errstate(all="ignore"):
            found.append(bits((net.predict(some), *net.gradient(some, t).values())))
    assert found[0] == found[1]


def test_every_form_is_the_same_matrix() -> None:
    """Other formats, integers, elements out of order, more than once, and zeros that are stored; it stays as it is."""
    x = np.zeros((5, D))
    x[0, 3], x[0, 1], x[2, D - 1], x[4, 0] = 3.0, -2.0, 7.0, 1.0
    net = Network([Affine(D, 4)], rng=0)
    wanted = bits((net.predict(x),))
    for form in (csr_matrix, csr_array, csc_array, coo_array):
        assert bits((net.predict(form(x)),)) == wanted
    for kind in (np.int8, np.int16, np.float32, np.int64):
        assert bits((net.predict(csr_array(x.astype(kind))),)) == bits((net.predict(x.astype(kind).astype(float)),))
    values = np.array([3.0, -2.5, 0.5, 0.0, 7.0, 1.0])
    parts = values, np.array([3, 1, 1, 9, D - 1, 0], np.int64), np.array([0, 4, 4, 5, 5, 6], np.int64)
    for part in parts:
        part.flags.writeable = False
    untidy = csr_array(parts, shape=(5, D))
    assert bits((net.predict(untidy),)) == wanted
    assert untidy.indices.tolist() == [3, 1, 1, 9, D - 1, 0]
    assert net.predict(csr_array((0, D))).shape == (0, 4)


def test_bytes_times_an_input_scale() -> None:
    generator, t = np.random.default_rng(0), labels()
    x = (generator.integers(0, 256, (ROWS, D)) * (generator.random((ROWS, D)) < 0.1)).astype(np.uint8)
    dense, sparse = (Network(NETWORKS["by lists"], rng=0, input_scale=1 / 255) for _ in range(2))
    assert results(sparse, csr_array(x), t, 7) == results(dense, x, t, 7)
    large = Network([Affine(D, 4)], input_scale=1e30)
    with pytest.raises(ValueError, match=r"x\.data \* input_scale: expected finite values"):
        large.predict(csr_array(np.full((1, D), 1e30, np.float32)))


def test_what_is_refused() -> None:
    net, t = Network([Affine(D, 4)], rng=0), np.zeros(2, np.intp)
    x = csr_array(np.eye(2, D))
    x.data[1] = np.nan
    place = "{}, {}".format(*np.argwhere(np.isnan(x.toarray()))[0])
    for call in (net.predict, lambda one: net.loss(one, t), lambda one: net.fit(one, t, progress=False)):
        for wrong, words in (
            (x, f"x: expected finite values, got nan at x[{place}]; correct the data, or pass check_finite=False"),
            (x.tocsc(), f"got nan at x[{place}]"),
            (csr_array(np.eye(2, D + 1)), f"x: expected a float32 array of shape (N, {D}), got shape (2, {D + 1})"),
            (csr_array((2, D), dtype=complex), "x.data: expected a float32 array of shape (N,), got dtype complex128"),
            (csr_array(np.full((2, D), 1e300)), "got 1e+300 at x.data[0], which overflows"),
            (coo_array(np.ones(D)), f"got shape ({D},); for a single sample"),
            (coo_array(np.ones((2, 2, D))), f"got shape (2, 2, {D})"),
        ):
            with pytest.raises((TypeError, ValueError), match=re.escape(words)):
                call(wrong)
    assert np.isnan(net.predict(x, check_finite=False)).any()
    with pytest.raises(ValueError, match="x: expected a float32 array of shape"):
        net.loss(csr_array((0, D)), [])
    images = Network([fastnn.Flatten(), Affine(D, 4)], input_shape=(5, D // 5))
    with pytest.raises(TypeError, match="got a sparse matrix"):
        images.predict(csr_array(np.eye(2, D)))


@pytest.mark.parametrize(
    ("part", "place", "value"), [("indices", 1, D), ("indices", 0, -1), ("indptr", 1, 9), ("indptr", 0, 1)]
)
def test_a_damaged_matrix_is_refused(part: str, place: int, value: int) -> None:
    """Kernels would read beside their arrays."""
    x = csr_array(np.eye(2, D))
    getattr(x, part)[place] = value
    with pytest.raises(ValueError, match="indices are not of its shape"):
        Network([Affine(D, 4)], rng=0).predict(x)


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo"])
@pytest.mark.parametrize("value", [10**6, -1])
def test_a_damaged_matrix_of_any_format_is_refused(kind: str, value: int) -> None:
    """SciPy itself would read or write beside its arrays when it converts one, or takes its rows."""
    x = coo_array(np.eye(4, D)).asformat(kind)
    (x.col if kind == "coo" else x.indices)[2] = value
    calls: list[Any] = [
        Network([Affine(D, 4)], rng=0).predict,
        lambda x: fastnn.datasets.train_test_split(x, np.arange(4)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"got a sparse one whose indices are not of its shape; x\.check_format"):
            call(x)


def test_the_index_of_nothing_holds_no_chance() -> None:
    """Checkpoints sum up its bytes, and recognized losses compare them."""
    x = csr_array((300, D), dtype=np.float32)
    engine = Network([Affine(D, 4)], rng=0).engine
    rows = engine.prepare_rows("x", x, True)
    assert isinstance(rows, SparseRows)
    assert rows.index.pairs.tobytes() == np.zeros(2, np.float32).tobytes()


@pytest.mark.skipif(JIT_DISABLED, reason="takes long with NUMBA_DISABLE_JIT=1")
def test_a_batch_that_is_too_large_to_be_dense() -> None:
    rows, columns = 4_000_000, 10_000_000
    x = csr_array((np.ones(2, np.float32), np.arange(2), np.r_[0, 1, np.full(rows - 1, 2)]), shape=(rows, columns))
    net = Network([Affine(columns, 2)], rng=0)
    with pytest.raises(MemoryError, match="4,000,000 rows of 10,000,000 numbers, 149,012 GiB; take smaller batches"):
        net.gradient(x, np.zeros(rows, np.intp))


def test_training_goes_on_from_a_checkpoint(tmp_path: pathlib.Path) -> None:
    x, t, path = mostly_zeros(np.float32), labels(), str(tmp_path / "run.npz")
    options: Any = {"batch_size": 20, "rng": 0, "progress": False}
    whole, net, later = (Network(NETWORKS["by lists"], rng=0) for _ in range(3))
    whole.fit(x, t, epochs=3, **options)
    net.fit(csr_array(x), t, epochs=1, callbacks=[fastnn.Checkpoint(path)], **options)
    other = csr_array(2 * x)
    with pytest.raises(ValueError, match=rf"x: expected a sparse matrix \({ROWS}, {D}\) with the checksum"):
        later.fit(other, t, epochs=3, resume=path, **options)
    later.fit(csr_array(x), t, epochs=3, resume=path, **options)
    assert bits(tuple(later.params.values())) == bits(tuple(whole.params.values()))


def test_a_loss_of_a_sparse_matrix_is_recognized() -> None:
    x, t = csr_array(mostly_zeros(np.float64)), labels()
    net = Network(NETWORKS["by lists"], rng=0, dtype="float64")
    found = fastnn.numerical_gradient(lambda W: net.loss(x, t), net.params["b2"])
    assert np.array_equal(found, net.numerical_gradient(x, t)["b2"])
    assert fastnn.check_gradients(net, x[:9], t[:9]).verdict == "agree"


def test_parts_of_a_sparse_matrix() -> None:
    x, t = mostly_zeros(np.float32), labels()

    def make(rng: Any) -> Network:
        return Network(NETWORKS["by lists"], rng=rng)

    options: Any = {"epochs": 1, "batch_size": 10, "rng": 0}
    dense, sparse = (fastnn.cross_validate(make, some, t, folds=3, **options) for some in (x, csc_array(x)))
    assert dense.loss.tolist() == sparse.loss.tolist()
    votes = [fastnn.Bagging(make, n=2, rng=0).fit(some, t, epochs=1).predict(some) for some in (x, csr_array(x))]
    assert np.array_equal(votes[0], votes[1])
    found: Any = fastnn.datasets.train_test_split(csr_matrix(x), t, rng=0)
    (train, _), (test, _) = found
    (wanted, _), (rest, _) = fastnn.datasets.train_test_split(x, t, rng=0)
    assert np.array_equal(train.toarray(), wanted)
    assert np.array_equal(test.toarray(), rest)
    with pytest.raises(ValueError, match=f"t: expected a row for each of the {ROWS} samples of x"):
        fastnn.datasets.k_fold(csr_array(x), t[1:])


@pytest.mark.skipif(JIT_DISABLED, reason="too many rows")
def test_no_array_of_all_rows_is_made() -> None:
    """It would take 16 GB."""
    rows, columns = 200_000, 20_000
    numbers = np.random.default_rng(0).integers(0, columns, (rows, 5)).astype(np.int32)
    x = csr_array(
        (np.ones(5 * rows, np.float32), numbers.ravel(), np.arange(0, 5 * rows + 1, 5)), shape=(rows, columns)
    )
    t = np.arange(rows) % 4
    net = Network([Affine(columns, 4)], rng=0)
    tracemalloc.start()
    try:
        net.fit(x, t, epochs=1, batch_size=1000, optimizer=fastnn.SGD(0.1), progress=False)
        net.loss(x, t)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 * 2**20  # with rows of one batch
