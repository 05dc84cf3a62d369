"""conv2d_forward and conv2d_backward: the layer's bits, special values, and what they refuse."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import reference
from tests.shapes import numbers
from tests.test_conv2d import IDS, SIZES, network, options_of


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", SIZES, ids=IDS)
def test_the_bits_of_the_layer(case: Any, dtype: Any, chosen_threads: None) -> None:
    """In both passes, with and without dx, on one and two threads."""
    net, x, options = network(case, dtype), numbers(1, 7, *case[0], dtype=dtype), options_of(case)
    W, b, y = net.params["W1"], net.params["b1"], net.predict(x)
    dy = numbers(2, *y.shape, dtype=dtype)
    gradients, dx = net.backward(x, dy, need_dx=True)
    for n_threads in (1, 2):
        fastnn.set_num_threads(n_threads)
        found = fastnn.conv2d_forward(x, W, b, **options)
        assert found.tobytes() == y.tobytes()
        for need_dx in (True, False):
            result = fastnn.conv2d_backward(dy.reshape(found.shape), x, W, need_dx=need_dx, **options)
            assert (result[0] is None) is not need_dx
            assert result[0] is None or result[0].tobytes() == dx.tobytes()
            assert result[1].tobytes() == gradients["W1"].tobytes() and result[2].tobytes() == gradients["b1"].tobytes()


def test_special_values_of_inputs() -> None:
    """NaN in x or W reaches all gradients that it reaches in NumPy, and no other channel's; infinity none unnoticed."""
    for value in (np.nan, np.inf):
        x, W, dy = numbers(1, 3, 2, 6, 7), numbers(2, 4, 2, 3, 2), numbers(3, 3, 4, 4, 6)
        x[1, 1, 0, 6], W[2, 0, 1, 1] = value, value
        with np.errstate(all="ignore"):
            expected: Any = reference.conv2d_backward(dy, x, W)
        dx, dW, db = fastnn.conv2d_backward(dy, x, W)
        assert dx is not None
        for found, right in ((dx, expected[0]), (dW, expected[1])):
            assert not np.isfinite(found[~np.isfinite(right)]).any()
        assert np.allclose(dx[:, 1], expected[0][:, 1], rtol=1e-12, atol=1e-12)
        assert np.allclose(dW[:, 0], expected[1][:, 0], rtol=1e-12, atol=1e-12)
        assert np.allclose(db, expected[2], rtol=1e-12, atol=1e-12)


X, W, B = np.ones((2, 3, 5, 6), np.float32), np.ones((4, 3, 3, 2), np.float32), np.ones(4, np.float32)
DY = np.ones((2, 4, 3, 5), np.float32)
REFUSED: list[Any] = [
    (lambda: fastnn.conv2d_forward(X[0], W, B), ValueError, "x: expected a float32 array of shape (N, C, H, W)"),
    (lambda: fastnn.conv2d_forward(X[0], W, B), ValueError, "for a single image pass x[None], for images of one"),
    (lambda: fastnn.conv2d_forward(X[0], W, B), ValueError, "for images of one channel pass x[:, None]"),
    (lambda: fastnn.conv2d_forward(X[0, 0], W, B), ValueError, "for a single image pass x[None, None]"),
    (lambda: fastnn.conv2d_forward(X[:, :1], W[:, 0], B), ValueError, "pass W[:, None]"),
    (lambda: fastnn.conv2d_forward(X[:, :1], W[0, 0], B), ValueError, "for a single filter pass W[None, None]"),
    (lambda: fastnn.conv2d_forward(X, W[0], B), ValueError, "for a single filter pass W[None]"),
    (
        lambda: fastnn.conv2d_forward(X, np.ones((4, 5, 2, 3), np.float32), B),
        ValueError,
        "pass W.transpose(0, 3, 1, 2)",
    ),
    (lambda: fastnn.conv2d_forward(X, W[:, :, 0, 0], B), ValueError, "(4, 3); pass W.reshape(-1, 3, height, width) wi"),
    (lambda: fastnn.conv2d_backward(DY, X, W[:, :, 0, 0]), ValueError, "(4, 3); pass W.reshape(-1, 3, height, width)"),
    (lambda: fastnn.conv2d_forward(X, W[0, 0], B), ValueError, "W: expected a float32 array of shape (F, 3, height"),
    (lambda: fastnn.conv2d_forward(X, W[0, 0, 0], B), ValueError, "W: expected a float32 array of shape (F, 3, height"),
    (lambda: fastnn.conv2d_forward(X[0, 0, 0], W, B), ValueError, "x: expected a float32 array of shape (N, C, H, W)"),
    (lambda: fastnn.conv2d_forward(X[None], W, B), ValueError, "x: expected a float32 array of shape (N, C, H, W)"),
    (lambda: fastnn.conv2d_forward(X, W[:, :2], B), ValueError, "W: expected a float32 array of shape (F, 3, height"),
    (lambda: fastnn.conv2d_forward(X.transpose(0, 2, 3, 1), W, B), ValueError, "pass x.transpose(0, 3, 1, 2)"),
    (lambda: fastnn.conv2d_forward(X, W, B[:3]), ValueError, "b: expected a float32 array of shape (4,)"),
    (lambda: fastnn.conv2d_forward(X, W.astype(complex), B), TypeError, "W: expected"),
    (lambda: fastnn.conv2d_forward(X, W, B, stride=0), ValueError, "stride: expected an integer of at least 1"),
    (lambda: fastnn.conv2d_forward(X, W, B, stride=1.0), TypeError, "stride: expected an integer"),  # type: ignore[arg-type]
    (lambda: fastnn.conv2d_forward(X, W, B, padding=-1), ValueError, "padding: expected an integer of at least 0"),
    (lambda: fastnn.conv2d_forward(X, W, B, padding="same"), TypeError, "pass padding=(height - 1) // 2 for filters"),  # type: ignore[arg-type]
    (lambda: fastnn.conv2d_forward(X, W, B, stride=(2, 2)), TypeError, "pass stride=2"),  # type: ignore[arg-type]
    (lambda: fastnn.conv2d_forward(X[:, :, :2], W, B), ValueError, "x: expected images of at least 3 x 2 pixels"),
    (lambda: fastnn.conv2d_forward(X, W, B, out=np.empty((2, 4, 3, 4), np.float32)), ValueError, "out: expected"),
    (lambda: fastnn.conv2d_backward(DY[:, :, :2], X, W), ValueError, "dy: expected a float32 array of shape (2, 4, 3"),
    (lambda: fastnn.conv2d_backward(DY, X, W, padding=1), ValueError, "dy: expected a float32 array of shape (2, 4, 5"),
]


@pytest.mark.parametrize(("call", "error", "said"), REFUSED)
def test_refuses(call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        call()
    assert said in str(raised.value)


def test_padding_makes_small_images_large_enough() -> None:
    small = numbers(1, 1, 1, 1, 1)
    assert fastnn.conv2d_forward(small, np.ones((1, 1, 3, 3)), np.zeros(1), padding=1).item() == small.item()
