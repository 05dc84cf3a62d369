"""Products that leave out zeros, against the dense ones: the same bits, no element outside the arrays."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.kernels import matmul, sparse
from fastnn.kernels.compile import JIT_DISABLED, entry
from tests.forked import Forks
from tests.shapes import DTYPES, Array, FloatType, bits, numbers
from tests.test_matmul import Fenced, backward, forward, in_another_process, needs_mprotect, result_of, tails

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
ROWS = 100 if JIT_DISABLED else 400  # of training data
SHAPES = [(1, 1, 1), (5, 3, 2), (24, 50, 10), (47, 100, 33), (131, 29, 50), (2, 331, 3)]
SHAPES += [] if JIT_DISABLED else [(7, 1051, 18), (194, matmul.DEEP + 400, 5)]
assert matmul.ONE_CHAIN < 331 and sparse.ROW_BLOCK < 131 and matmul.ROW_BLOCK < 194


# Entries, so that their compiled code is kept for other processes.
@entry
def skipping(
    a: Array, b: Array, bias: Array, scratch: Array, c: Array, transposed: Array, d: Array, first: int
) -> None:
    """c = a b + bias, d = the columns [first, first + rows of d) of `transposed`, transposed, times b."""
    sparse.sparse_multiply(a, b, bias, scratch, c)
    sparse.sparse_multiply_transposed_left(transposed, b, bias[:0], scratch, d, first)


@entry
def looks_mostly_zero(a: Array) -> bool:
    return bool(sparse.mostly_zero(a))


def is_mostly_zero(a: Array) -> bool:
    return bool(looks_mostly_zero(a))


def dense(a: Array, b: Array, bias: Array) -> tuple[Array, Array]:
    """a b + bias, and (a^T)^T b, without leaving out zeros."""
    return forward(a, b, bias), backward(b, a.T.copy(), np.zeros((len(a), b.shape[1]), a.dtype))[1]


def mostly_zeros(seed: int, *shape: int, dtype: FloatType) -> Array:
    values = numbers(seed, *shape, dtype=dtype)
    values[np.random.default_rng(seed).random(shape) < 0.8] = 0
    values[::3] = 0  # tiles without any nonzero element
    return values


def scratch_for(shape: tuple[int, int, int], dtype: FloatType) -> Array:
    dense_size = matmul.scratch_size(shape[1], shape[2], "left")
    return np.full(max(dense_size, sparse.sparse_scratch_size(shape[1], shape[2])), np.nan, dtype)


@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_as_the_dense_product(shape: tuple[int, int, int], dtype: FloatType) -> None:
    m, k, n = shape
    a, b, bias = mostly_zeros(1, m, k, dtype=dtype), numbers(2, k, n, dtype=dtype), numbers(3, n, dtype=dtype)
    if m > 1:
        a[1] = numbers(4, k, dtype=dtype)  # and one without zeros
    c, d = np.full((2, m, n), np.nan, dtype)
    skipping(a, b, bias, scratch_for(shape, dtype), c, a.T.copy(), d, 0)
    assert bits((c, d)) == bits(dense(a, b, bias))


@every_dtype
def test_rows_of_a_transposed_operand(dtype: FloatType) -> None:
    a, b = mostly_zeros(1, 30, 41, dtype=dtype), numbers(2, 30, 9, dtype=dtype)
    whole, some = np.full((41, 9), np.nan, dtype), np.full((17, 9), np.nan, dtype)
    skipping(a.T.copy(), b, np.zeros(9, dtype), scratch_for((41, 30, 9), dtype), whole, a, some, 13)
    np.testing.assert_allclose(some, a.T[13:30] @ b, rtol=1e-5, atol=1e-6)


def test_nan_infinity_and_negative_zero_in_the_inputs() -> None:
    a = np.zeros((6, 40), np.float32)
    a[0, 3], a[1, 4], a[2, 5], a[3, 6] = np.nan, np.inf, -np.inf, -0.0
    b = numbers(2, 40, 5, dtype=np.float32)
    c, d = np.full((2, 6, 5), np.float32(7))
    skipping(a, b, np.zeros(5, np.float32), scratch_for((6, 40, 5), np.float32), c, a.T.copy(), d, 0)
    for result in (c, d):
        assert np.isnan(result[0]).all()
        assert np.isinf(result[1:3]).all()
        assert (result[3:] == 0).all()


@pytest.mark.parametrize("shape", [(40, 30), (7, 5), (1000, 784)])
def test_mostly_zero(shape: tuple[int, int]) -> None:
    """Zeros and other numbers may even alternate: the sample must not fall in step with them."""
    for period in (3, 7, 8):
        x = np.zeros(shape, np.float32)
        assert is_mostly_zero(x)
        x[:, ::period] = 1
        assert is_mostly_zero(x)
        assert not is_mostly_zero(1 - x)


def products_between_fences(dtype: FloatType) -> int:
    """Like its namesake in test_matmul, for these products."""
    fences = [Fenced(2**21) for _ in range(7)]
    count = 0
    for shape in tails(dtype):
        m, k, n = shape
        a, b, bias = mostly_zeros(1, m, k, dtype=dtype), numbers(2, k, n, dtype=dtype), numbers(3, n, dtype=dtype)
        wanted = bits(dense(a, b, bias))
        scratch = np.full(sparse.sparse_scratch_size(k, n), np.nan, dtype)
        for at_end in (True, False):
            arrays = (a, b, bias, scratch, np.zeros((m, n), dtype), a.T.copy(), np.zeros((m, n), dtype))
            placed: list[Any] = [fence.place(array, at_end) for fence, array in zip(fences, arrays, strict=True)]
            skipping(*[*placed, 0])
            assert bits((placed[4], placed[6])) == wanted, shape
            count += 1
    return count


@needs_mprotect
@every_dtype
def test_nothing_outside_the_arrays_is_touched(dtype: FloatType, forks: Forks) -> None:
    call = f"__import__('tests.test_sparse').test_sparse.products_between_fences(t.np.{np.dtype(dtype).name})"
    assert result_of(in_another_process(forks, call)) == 2 * len(list(tails(dtype)))


# --- in a network -----------------------------------------------------------------------------------------------------


def trained(x: Array, n_threads: int, **arguments: Any) -> tuple[Any, ...]:
    net = fastnn.Network([fastnn.Affine(60, 33), fastnn.Tanh(), fastnn.Affine(33, 4)], rng=0, n_threads=n_threads)
    t = np.random.default_rng(1).integers(0, 4, len(x))
    net.fit(x, t, rng=0, progress=False, epochs=2, **arguments)
    gradient = net.gradient(x, t)
    return (*net.params.values(), *gradient.values(), net.predict(x))


@pytest.mark.parametrize("batch_size", [25, ROWS])
def test_training_on_zeros(batch_size: int) -> None:
    """It gives the same bits on any number of threads, and the same numbers as dense training."""
    x = mostly_zeros(5, ROWS, 60, dtype=np.float32)
    assert is_mostly_zero(x)
    results = [bits(trained(x, n, batch_size=batch_size)) for n in (1, 2)]
    assert results[0] == results[1]
    dense_x = np.where(x == 0, np.float32(1e-45), x)
    assert not is_mostly_zero(dense_x)
    for sparse_result, dense_result in zip(
        trained(x, 1, batch_size=batch_size), trained(dense_x, 1, batch_size=batch_size), strict=True
    ):
        np.testing.assert_allclose(sparse_result, dense_result, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("given", [False, True])
def test_nan_is_refused_before_anything_is_written(given: bool) -> None:
    """Also by the call that compiles the units that skip zeros, of rows that several threads look through."""
    generator = np.random.default_rng(0)
    x = (generator.normal(size=(300, 784)) * (generator.random((300, 784)) < 0.1)).astype(np.float32)
    x[150, 5] = np.nan
    net = fastnn.Network([fastnn.Affine(784, 19), fastnn.Tanh(), fastnn.Affine(19, 9)], rng=0, n_threads=2)
    out = np.full((300, 9), 7, np.float32)
    for _ in range(3):
        with pytest.raises(ValueError, match=r"got nan at x\[150, 5\]"):
            net.predict(x, out=out if given else None)
    assert (out == 7).all()
    x[150, 5] = 0.0
    assert np.isfinite(net.predict(x, out=out)).all()
    assert not (out == 7).any()


def test_a_zero_times_an_infinite_weight_is_nan() -> None:
    net = fastnn.Network([fastnn.Affine(60, 3)], rng=0)
    x = mostly_zeros(5, 40, 60, dtype=np.float32)
    x[:, 7] = 0
    net.params["W1"][7, 1] = np.inf
    assert np.isnan(net.predict(x)[:, 1]).all()
    assert np.isfinite(net.predict(x)[:, [0, 2]]).all()


def test_a_zero_times_an_infinite_gradient_is_nan() -> None:
    """The loss is summed in float64 and finite, while the hidden gradient overflows float32."""
    net = fastnn.Network([fastnn.Affine(40, 8), fastnn.Sigmoid(), fastnn.Affine(8, 4)], "mean_squared_error", rng=0)
    net.params["W2"] = np.full((8, 4), 1e30)
    x, t = mostly_zeros(5, ROWS, 40, dtype=np.float32), np.zeros((ROWS, 4), np.float32)
    x[:, 7] = 0
    assert is_mostly_zero(x)
    assert np.isfinite(net.loss(x, t))
    assert np.isnan(net.gradient(x, t)["W1"][7]).all()
