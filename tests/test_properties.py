"""Laws that the operations obey for any numbers, many of them to the last bit."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnn
from fastnn.functional import layers as functional
from fastnn.functional import updates as functional_updates
from fastnn.operations import ACTIVATIONS
from tests.crossings import crossed
from tests.shapes import DTYPES, PROBLEMS, Array, FloatType, Problem, bits, numbers
from tests.tolerances import assert_close

# Each row of the first result depends on the same row of the inputs that have rows.
ROW_BY_ROW = ["affine_forward", "affine_backward", "softmax", *(f"{name} forward" for name in ACTIVATIONS)]
ROW_BY_ROW += ["conv2d_forward", "conv2d_backward", *(f"{name} backward" for name in ACTIVATIONS)]
SHARED = ("W", "b")

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
seeds = st.integers(0, 2**32 - 1)
rows, widths = st.integers(1, 40), st.integers(1, 70)


def integers(seed: int, largest: int, *shape: int, dtype: npt.DTypeLike = np.int64) -> Array:
    return np.random.default_rng(seed).integers(-largest, largest, shape, endpoint=True).astype(dtype)


def rows_of(problem: Problem, chosen: Array) -> Array:
    """The first result of the problem for some of its rows."""
    arrays = {name: array if name in SHARED else array[chosen] for name, array in problem.arrays.items()}
    result = problem._replace(arrays=arrays).solve(fastnn)[0]
    assert isinstance(result, np.ndarray)
    return result


@crossed(2, label=ROW_BY_ROW, dtype=DTYPES)
@given(n=rows, d=st.integers(1, 20), h=widths, seed=seeds, data=st.data())
def test_rows_alone_or_in_any_order_have_the_same_bits(
    label: str, dtype: FloatType, n: int, d: int, h: int, seed: int, data: st.DataObject
) -> None:
    problem = PROBLEMS[label]((n, d, h), dtype, numbers)
    everything = np.arange(n)
    whole = rows_of(problem, everything)
    cut = data.draw(st.integers(0, n), label="cut")
    parts = [rows_of(problem, part) for part in (everything[:cut], everything[cut:]) if len(part)]
    assert bits((np.concatenate(parts),)) == bits((whole,))
    order = np.random.default_rng(seed).permutation(n)
    assert bits((rows_of(problem, order),)) == bits((whole[order],))


@every_dtype
@given(n=st.integers(1, 40), d=st.integers(1, 40), h=widths, seed=seeds)
def test_affine_of_integers_is_exact(dtype: FloatType, n: int, d: int, h: int, seed: int) -> None:
    # Sums stay below 2^24: 40 products of at most 2^10 and 2^8, or 70 of 2^8 and 2^8, and so on.
    x, W, b = integers(seed, 2**10, n, d), integers(seed + 1, 2**8, d, h), integers(seed + 2, 2**10, h)
    dy = integers(seed + 3, 2**8, n, h)
    as_floats = [array.astype(dtype) for array in (x, W, b, dy)]
    assert np.array_equal(functional.affine_forward(*as_floats[:3]), x @ W + b)
    dx, dW, db = functional.affine_backward(as_floats[3], as_floats[0], as_floats[1])
    assert dx is not None
    assert np.array_equal(dx, dy @ W.T)
    assert np.array_equal(dW, x.T @ dy)
    assert np.array_equal(db, dy.sum(axis=0))


@every_dtype
@given(n=rows, k=widths, seed=seeds)
def test_affine_is_linear(dtype: FloatType, n: int, k: int, seed: int) -> None:
    shapes = ((n, 9), (n, 9), (9, k), (k,))
    first, second, W, b = (integers(seed + i, 2**8, *shape, dtype=dtype) for i, shape in enumerate(shapes))
    at_zero = functional.affine_forward(np.zeros_like(first), W, b)
    assert np.array_equal(at_zero, np.broadcast_to(b, (n, k)))
    at_both = functional.affine_forward(2 * first + second, W, b) - at_zero
    apart = 2 * (functional.affine_forward(first, W, b) - at_zero) + functional.affine_forward(second, W, b) - at_zero
    assert np.array_equal(at_both, apart)


@every_dtype
@given(n=rows, k=widths, scale=st.sampled_from([1e-3, 1.0, 1e4, 1e30]), seed=seeds)
def test_rows_of_softmax_are_distributions(dtype: FloatType, n: int, k: int, scale: float, seed: int) -> None:
    y = functional.softmax(numbers(seed, n, k, dtype=dtype) * dtype(scale))
    assert ((y >= 0) & (y <= 1)).all()
    assert_close(y.sum(axis=1, dtype=np.float64), np.ones(n), rtol=k * float(np.finfo(dtype).eps))


@every_dtype
@given(n=rows, k=widths, shift=st.integers(-(2**20), 2**20), seed=seeds)
def test_softmax_does_not_see_a_shift(dtype: FloatType, n: int, k: int, shift: int, seed: int) -> None:
    x = integers(seed, 2**10, n, k)  # their differences are exact
    assert bits((functional.softmax((x + shift).astype(dtype)),)) == bits((functional.softmax(x.astype(dtype)),))


@every_dtype
@given(n=rows, k=widths, seed=seeds)
def test_cross_entropy_of_labels_is_that_of_one_hot_rows(dtype: FloatType, n: int, k: int, seed: int) -> None:
    x, t = 4 * numbers(seed, n, k, dtype=dtype), np.random.default_rng(seed).integers(0, k, n)
    loss, dx = fastnn.softmax_cross_entropy(x, t)
    assert bits(fastnn.softmax_cross_entropy(x, np.eye(k, dtype=dtype)[t])) == bits((loss, dx))
    assert loss >= 0
    assert_close(dx.sum(axis=1, dtype=np.float64), np.zeros(n), atol=k * float(np.finfo(dtype).eps))
    assert ((dx < 0) == (np.eye(k)[t] == 1))[dx != 0].all()


@every_dtype
@given(n=rows, k=widths, logit=st.floats(-1e4, 1e4), seed=seeds)
def test_cross_entropy_of_equal_logits(dtype: FloatType, n: int, k: int, logit: float, seed: int) -> None:
    t = np.random.default_rng(seed).integers(0, k, n)
    loss, dx = fastnn.softmax_cross_entropy(np.full((n, k), logit, dtype), t)
    assert_close(loss, math.log(k), dtype)
    assert_close(dx, (1 / k - np.eye(k)[t]) / n, dtype)


@every_dtype
@given(n=rows, k=widths, lr=st.floats(0, 1), seed=seeds)
def test_momentum_0_is_gradient_descent(dtype: FloatType, n: int, k: int, lr: float, seed: int) -> None:
    params, grads = numbers(seed, n, k, dtype=dtype), numbers(seed + 1, n, k, dtype=dtype)
    with_momentum, velocity = params.copy(), np.zeros_like(params)
    functional_updates.sgd_update(params, grads, lr)
    functional_updates.momentum_update(with_momentum, grads, velocity, lr, momentum=0.0)
    assert np.array_equal(with_momentum, params)


@every_dtype
def test_integers_take_the_dtype_of_the_floats_beside_them(dtype: FloatType) -> None:
    x, W, b = integers(1, 9, 6, 4), numbers(2, 4, 3, dtype=dtype), numbers(3, 3, dtype=dtype)
    y = functional.affine_forward(x, W, b)
    assert y.tobytes() == functional.affine_forward(x.astype(dtype), W, b).tobytes()
    for result in functional.affine_backward(integers(4, 9, 6, 3), x, W):
        assert result is not None
        assert result.dtype == dtype
    assert fastnn.mean_squared_error(x[:, :3], y)[1].dtype == dtype
    assert functional.activation_backward("tanh", y, x[:, :3], y).dtype == dtype
