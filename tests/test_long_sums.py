"""Sums over many samples and many inputs in float32: never twice as far from the truth as NumPy's, however long."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn.kernels import matmul
from fastnn.kernels.compile import JIT_DISABLED
from tests import compiled
from tests.shapes import Array, FloatType, bits
from tests.test_sparse import is_mostly_zero

Layers: TypeAlias = list[tuple[object, ...]]

LENGTHS = [1, 7, 100, matmul.ONE_CHAIN, 2 * matmul.CHAIN, 1000]
LENGTHS += [] if JIT_DISABLED else [5000, 9999, 10_000, matmul.DEEP + 1, 60_000, 1_000_000]
SAMPLES = 1000 if JIT_DISABLED else 60_000
FEW_ROUNDINGS = 4 * 2.0**-24  # error allowed to any sum: below it one result is as good as another
LOSS = "mean_squared_error"
FLOATS: tuple[FloatType, ...] = (np.float32, np.float64)


def positive(seed: int, *shape: int) -> Array:
    """Positive numbers, the bad case: partial sums grow, and each number added to them loses digits."""
    return np.random.default_rng(seed).random(shape, np.float32)


def error(found: Array, exact: Array) -> float:
    """The root mean square of the errors relative to the root mean square of the values."""
    return float(np.linalg.norm(found.astype(np.float64) - exact) / np.linalg.norm(exact))


def exact_product(a: Array, b: Array) -> Array:
    """a b in float64, part of the depth at a time."""
    total = np.zeros((len(a), b.shape[1]))
    for k in range(0, len(b), 100_000):
        total += a[:, k : k + 100_000].astype(np.float64) @ b[k : k + 100_000].astype(np.float64)
    return total


def assert_no_worse(found: Array, by_numpy: Array, exact: Array) -> None:
    """Assert that the error is at most twice NumPy's."""
    assert found.dtype == by_numpy.dtype == np.float32
    assert error(found, exact) <= max(2 * error(by_numpy, exact), FEW_ROUNDINGS)


def width_for(length: int) -> int:
    """The other dimensions: enough for a fair mean, and few enough that the longest sums fit in a test."""
    return 12 if JIT_DISABLED else 40 if length <= 60_000 else 8


# --- products ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
def test_products(length: int) -> None:
    width = width_for(length)
    a, b = positive(1, width, length), positive(2, length, width)
    exact, by_numpy = exact_product(a, b), a @ b
    zeros = np.zeros((width, width), np.float32)
    assert_no_worse(fastnn.affine_forward(a, b, zeros[0]), by_numpy, exact)
    assert_no_worse(fastnn.affine_backward(b, a.T, zeros, need_dx=False)[1], by_numpy, exact)
    dx, _, _ = fastnn.affine_backward(a, zeros, b.T)
    assert dx is not None
    assert_no_worse(dx, by_numpy, exact)


@pytest.mark.parametrize("length", LENGTHS)
def test_sums_of_biases(length: int) -> None:
    dy, nothing = positive(1, length, 7), np.zeros((length, 1), np.float32)
    _, _, db = fastnn.affine_backward(dy, nothing, np.zeros((1, 7), np.float32), need_dx=False)
    assert_no_worse(db, dy.sum(axis=0), dy.sum(axis=0, dtype=np.float64))


@pytest.mark.skipif(JIT_DISABLED, reason="ten million steps of plain Python")
def test_ten_million_samples() -> None:
    x, dy = positive(1, 10_000_000, 2), positive(2, 10_000_000, 3)
    _, dW, db = fastnn.affine_backward(dy, x, np.zeros((2, 3), np.float32), need_dx=False)
    assert_no_worse(dW, x.T @ dy, exact_product(x.T, dy))
    assert_no_worse(db, dy.sum(axis=0), dy.sum(axis=0, dtype=np.float64))


@pytest.mark.parametrize("length", [100, 1000] if JIT_DISABLED else [100, 1000, 100_000])
def test_one_column(length: int) -> None:
    """NumPy takes other ways there, with more than one chain even for short sums, so that the bound is absolute."""
    x, dy = positive(1, length, 64), positive(2, length, 1)
    _, dW, _ = fastnn.affine_backward(dy, x, np.zeros((64, 1), np.float32), need_dx=False)
    assert error(dW, exact_product(x.T, dy)) < 3e-7


# --- order ------------------------------------------------------------------------------------------------------------


def test_chains_depend_on_the_depth_alone() -> None:
    chain_of = getattr(matmul.chain_of, "py_func", matmul.chain_of)
    for depth in [*range(1, 3000), 9999, matmul.DEEP]:
        chain = chain_of(depth)
        if depth <= matmul.ONE_CHAIN:
            assert chain == depth
        else:
            assert chain < depth and chain % 16 == 0 and matmul.ONE_CHAIN // 2 < chain <= matmul.CHAIN


@pytest.mark.skipif(JIT_DISABLED, reason="ten thousands of steps of plain Python")
@pytest.mark.parametrize("depth", [1000, 2 * matmul.DEEP + 700])
def test_same_bits_for_any_parts(depth: int) -> None:
    x, dy, W = positive(1, depth, 210), positive(2, depth, 19), np.zeros((210, 19), np.float32)
    found = []
    for parts in (1, 2, 3, 16):
        dx, dW, db = np.empty((0, 210), np.float32), np.empty_like(W), np.empty_like(W[0])
        scratch = np.full((parts, matmul.scratch_size(depth, 19, "left")), np.nan, np.float32)
        compiled.affine_backward(parts, dy, x, W, scratch, np.empty((parts, 3)), dx, dW, db)
        found.append(bits((dW, db)))
    assert all(other == found[0] for other in found)


# --- networks ---------------------------------------------------------------------------------------------------------


def gradients_by_numpy(net: fastnn.Network, layers: Layers, x: Array, t: Array) -> list[dict[str, Array]]:
    """NumPy's gradients in float32 and in float64."""
    found = []
    for dtype in FLOATS:
        params: dict[str, Array] = {name: value.astype(dtype) for name, value in net.params.items()}
        found.append(reference.network_gradient(layers, params, x.astype(dtype), t.astype(dtype), LOSS)[1])
    return found


def assert_gradients(net: fastnn.Network, layers: Layers, x: Array, t: Array) -> None:
    """Assert that the error of each gradient is at most twice NumPy's."""
    by_numpy, exact = gradients_by_numpy(net, layers, x, t)
    found = net.gradient(x, t)
    assert set(found) == set(exact)
    for name, value in found.items():
        assert_no_worse(value, by_numpy[name], exact[name])


def _dense(x: Array) -> Array:
    return x


def _mostly_zero(x: Array) -> Array:
    x[np.random.default_rng(5).random(x.shape) < 0.8] = 0
    return x


@pytest.mark.parametrize("change", [_dense, _mostly_zero])
def test_gradients_of_a_network(change: Callable[[Array], Array]) -> None:
    x, t = change(positive(1, SAMPLES, 40)), -positive(2, SAMPLES, 3)
    assert (change is _mostly_zero) == is_mostly_zero(x)
    net = fastnn.Network([fastnn.Affine(40, 6), fastnn.PRelu(), fastnn.Affine(6, 3)], LOSS, rng=0)  # type: ignore[arg-type]
    assert_gradients(net, [("affine", 40, 6), ("prelu",), ("affine", 6, 3)], x, t)


def test_the_gradient_of_a_step() -> None:
    """A step subtracts the same gradient as `gradient` returns: the fused update sums it in the same way."""
    x, t = positive(1, SAMPLES, 40), -positive(2, SAMPLES, 3)
    net = fastnn.Network([fastnn.Affine(40, 3)], LOSS, rng=0)  # type: ignore[arg-type]
    net.params["W1"][...] = 0.0
    net.params["b1"][...] = 0.0
    gradient = net.gradient(x, t)
    net.step(x, t, fastnn.SGD(lr=1.0))
    for name, value in net.params.items():
        np.testing.assert_array_equal(value, -gradient[name])


def test_sums_of_batch_normalization() -> None:
    """A step's statistics and gradients, by what it subtracts from gamma and beta."""
    x, t = positive(1, SAMPLES, 5), -positive(2, SAMPLES, 5)
    net = fastnn.Network([fastnn.Affine(5, 5), fastnn.BatchNorm()], LOSS, rng=0)  # type: ignore[arg-type]
    before = {name: value.astype(np.float64) for name, value in net.params.items()}
    by_numpy, exact = gradients_by_numpy(net, [("affine", 5, 5), ("batch_norm",)], x, t)
    net.step(x, t, fastnn.SGD(lr=1024.0))  # so that rounding the difference costs little
    for name in ("gamma1", "beta1"):
        moved = (before[name] - net.params[name]) / 1024.0
        assert error(moved, exact[name]) <= max(2 * error(by_numpy[name], exact[name]), FEW_ROUNDINGS)


def test_the_loss() -> None:
    x, t = positive(1, SAMPLES, 5), -positive(2, SAMPLES, 5)
    loss, _ = fastnn.mean_squared_error(x, t)
    exact, _ = reference.mean_squared_error(x.astype(np.float64), t.astype(np.float64))
    assert abs(loss - exact) <= FEW_ROUNDINGS * exact
