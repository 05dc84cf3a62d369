"""Hebb's rule and the delta rule against NumPy, the network's gradient, and least squares."""

import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.models import delta_update, hebbian_update
from tests.shapes import Array, FloatType, numbers
from tests.tolerances import assert_close

SHAPES = [(1, 1, 1), (1, 4, 3), (7, 3, 2), (17, 33, 5)]  # N, D, H
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_shape = pytest.mark.parametrize(("rows", "columns", "outputs"), SHAPES)


def problem(dtype: FloatType, rows: int, columns: int, outputs: int) -> tuple[Array, Array, Array, Array]:
    """W (D, H), b (H,), x (N, D) and t (N, H)."""
    shapes = ((columns, outputs), (outputs,), (rows, columns), (rows, outputs))
    W, b, x, t = (numbers(seed, *shape, dtype=dtype) for seed, shape in enumerate(shapes, start=1))
    return W, b, x, t


@every_dtype
@every_shape
def test_hebb_is_the_sum_of_outer_products(dtype: FloatType, rows: int, columns: int, outputs: int) -> None:
    W, _, x, y = problem(dtype, rows, columns, outputs)
    kept = x.copy(), y.copy()
    expected = W + 0.3 * sum(np.outer(x[n].astype(float), y[n].astype(float)) for n in range(rows))
    hebbian_update(W, x, y, 0.3)
    assert_close(W, expected, dtype)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(y, kept[1])


def test_hebb_by_hand() -> None:
    """Both active: the weight grows. One silent: it stays. Opposite signs: it shrinks."""
    W = np.zeros((3, 2))
    hebbian_update(W, [[1, 0, -1]], [[1, 2]], 0.5)
    np.testing.assert_array_equal(W, [[0.5, 1.0], [0.0, 0.0], [-0.5, -1.0]])


def test_hebb_recalls_what_was_stored() -> None:
    """A linear associator gives back the outputs that were shown with orthonormal inputs (Kohonen, 1972)."""
    x, y = np.linalg.qr(numbers(1, 6, 6))[0][:4], numbers(2, 4, 3)
    W = np.zeros((6, 3))
    hebbian_update(W, x, y, 1.0)
    assert_close(x @ W, y, atol=1e-12)


def test_delta_rule_of_one_sample() -> None:
    """w[i, j] grows by lr (t[j] - y[j]) x[i]: with 1 + 1 = 2 given and 3 wanted, up, not down."""
    W, b = np.array([[1.0], [0.0]]), np.array([1.0])
    assert delta_update(W, b, [[1.0, 2.0]], [[3.0]], 0.1) == 0.5
    assert_close(W, np.array([[1.1], [0.2]]))
    assert_close(b, np.array([1.1]))


@every_dtype
@every_shape
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_delta_rule_equals_numpy(dtype: FloatType, rows: int, columns: int, outputs: int, reduction: str) -> None:
    W, b, x, t = problem(dtype, rows, columns, outputs)
    exact = [array.astype(float) for array in (W, b, x, t)]
    error = exact[3] - (exact[2] @ exact[0] + exact[1])
    scale = 0.05 / (rows if reduction == "mean" else 1)
    loss = delta_update(W, b, x, t, 0.05, reduction=reduction)
    assert_close(loss, float((error**2).sum() / (2 * rows)), dtype)
    assert_close(W, exact[0] + scale * exact[2].T @ error, dtype)
    assert_close(b, exact[1] + scale * error.sum(axis=0), dtype)


def test_delta_rule_is_a_step_down_the_gradient_of_a_network() -> None:
    W, b, x, t = problem(np.float64, 9, 4, 3)
    net = fastnn.Network([fastnn.Affine(4, 3)], loss="mean_squared_error", rng=0, dtype="float64")
    net.params["W1"][...], net.params["b1"][...] = W, b
    gradient, loss = net.gradient(x, t), net.loss(x, t)
    expected = W - 0.2 * gradient["W1"], b - 0.2 * gradient["b1"]
    assert_close(delta_update(W, b, x, t, 0.2), loss, np.float64)
    assert_close(W, expected[0])
    assert_close(b, expected[1])


def test_delta_rule_goes_to_the_least_squares() -> None:
    _, _, x, t = problem(np.float64, 40, 3, 2)
    W, b = np.zeros((3, 2)), np.zeros(2)
    columns = np.column_stack((x, np.ones(40)))
    steepest = np.linalg.eigvalsh(columns.T @ columns / 40)[-1]
    losses = [delta_update(W, b, x, t, 1 / steepest) for _ in range(400)]
    solution = np.linalg.lstsq(columns, t, rcond=None)[0]
    assert_close(np.vstack((W, b)), solution, rtol=1e-9, atol=1e-9)  # the error left after 400 steps
    assert (np.diff(losses) <= 1e-15).all()


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda W, b, x, t: hebbian_update(W.tolist(), x, t, 0.1), TypeError, "W: expected a float32 or float64 array"),
        (
            lambda W, b, x, t: hebbian_update(W, x[:, :1], t, 0.1),
            ValueError,
            "x: expected a float64 array of shape (N, 2), got shape (3, 1)",
        ),
        (
            lambda W, b, x, t: hebbian_update(W, x, t[:2], 0.1),
            ValueError,
            "y: expected a float64 array of shape (3, 1), got shape (2, 1)",
        ),
        (
            lambda W, b, x, t: hebbian_update(W, x.astype(np.float32), t, 0.1),
            TypeError,
            "x: expected a float64 array of shape (N, 2), got float32; pass x.astype(np.float64)",
        ),
        (lambda W, b, x, t: hebbian_update(W, x, t, -1.0), ValueError, "lr: expected a finite number of at least 0.0"),
        (lambda W, b, x, t: delta_update(W.T, b, x, t, 0.1), ValueError, "b: expected a float64 array of shape (2,)"),
        (lambda W, b, x, t: delta_update(W, [0.0], x, t, 0.1), TypeError, "b: expected a float64 array of shape (1,)"),
        (
            lambda W, b, x, t: delta_update(W, b, x, t[:, 0], 0.1),
            ValueError,
            "t: expected a float64 array of shape (3, 1), got shape (3,); pass t[:, None]",
        ),
        (lambda W, b, x, t: delta_update(W, b, x, t, np.nan), ValueError, "lr: expected a finite number"),
        (
            lambda W, b, x, t: delta_update(W, b, x, t, 0.1, reduction="max"),
            ValueError,
            "reduction: expected one of 'mean', 'sum', got 'max'",
        ),
    ],
)
def test_refusals_change_nothing(call: Any, error: type[Exception], sentence: str) -> None:
    W, b, x, t = np.ones((2, 1)), np.ones(1), np.ones((3, 2)), np.ones((3, 1))
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        call(W, b, x, t)
    assert (W == 1).all() and (b == 1).all()
