"""Convolution, pooling and windows of images of the first volume, against NumPy."""

from typing import Any

import numpy as np
import pytest

from fastnn.dropin import backend
from fastnn.dropin.common import layers, util
from tests.shapes import numbers


def windows_by_hand(x: Any, h: int, w: int, stride: int, pad: int) -> Any:
    padded = np.pad(x.astype(float), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows, columns = (padded.shape[2] - h) // stride + 1, (padded.shape[3] - w) // stride + 1
    return np.array(
        [
            padded[n, :, i * stride : i * stride + h, j * stride : j * stride + w].ravel()
            for n in range(len(x))
            for i in range(rows)
            for j in range(columns)
        ]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1), (3, 2)])
def test_windows_of_images(dtype: str, stride: int, pad: int) -> None:
    x = (8 * numbers(1, 3, 2, 7, 6)).astype(dtype)
    rows = util.im2col(x, 3, 2, stride, pad)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows, windows_by_hand(x, 3, 2, stride, pad))
    weights = numbers(2, *rows.shape, dtype=np.float64)
    back = util.col2im(weights, x.shape, 3, 2, stride, pad)
    assert back.shape == x.shape
    # The transposed map: the scalar products agree.
    assert np.sum(back * x) == pytest.approx(np.sum(weights * rows), rel=1e-10)
    assert util.conv_output_size(7, 3, stride, pad) == (7 + 2 * pad - 3) / stride + 1


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (1, 1), (2, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convolution(stride: int, pad: int, dtype: str) -> None:
    x, W, b = numbers(1, 3, 2, 7, 7).astype(dtype), numbers(2, 4, 2, 3, 3, dtype=np.float64), numbers(3, 4, dtype=float)
    layer = layers.Convolution(W, b, stride, pad)
    y = layer.forward(x)
    rows = windows_by_hand(x, 3, 3, stride, pad)
    out = (7 + 2 * pad - 3) // stride + 1
    expected = (rows @ W.reshape(4, -1).T + b).reshape(3, out, out, 4).transpose(0, 3, 1, 2)
    assert y.dtype == np.float64 and not y.flags.c_contiguous
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
    dout = numbers(4, *y.shape, dtype=np.float64)
    dx = layer.backward(dout)
    assert dx.shape == x.shape and layer.dW.shape == W.shape

    def loss() -> Any:
        return np.sum(layers.Convolution(W, b, stride, pad).forward(x) * dout)

    for array, slopes in ((W, layer.dW), (b, layer.db), *([(x, dx)] if dtype == "float64" else [])):
        for place in (0, array.size // 2, array.size - 1):
            kept = array.flat[place]
            array.flat[place] = kept + 1e-4
            above = loss()
            array.flat[place] = kept - 1e-4
            assert (above - loss()) / 2e-4 == pytest.approx(slopes.flat[place], abs=1e-6)
            array.flat[place] = kept
    assert layers.Convolution(W, 0, stride, pad).forward(x).shape == y.shape


@pytest.mark.parametrize("bias", ["vector", "number"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_convolution_by_kernels(dtype: str, bias: str) -> None:
    """A batch for which kernels pay: the numbers of the products of windows, and the attributes that scripts read."""
    x, W = (9 * numbers(1, 20, 3, 14, 13)).astype(dtype), numbers(2, 30, 3, 5, 4)
    b: Any = numbers(3, 30) if bias == "vector" else 0
    layer = layers.Convolution(W, b, 1, 1)
    assert layer.col is None
    y = layer.forward(x)
    assert "col" not in layer.__dict__ and layer.x is x and layer.col_W.shape == (60, 30)
    rows = windows_by_hand(x, 5, 4, 1, 1)
    expected = (rows @ W.reshape(30, -1).T + b).reshape(20, 12, 12, 30).transpose(0, 3, 1, 2)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-11)
    dout = numbers(4, *y.shape)
    for given in (dout, np.asfortranarray(dout)):
        dx = layer.backward(given)
        slopes = dout.transpose(0, 2, 3, 1).reshape(-1, 30)
        np.testing.assert_allclose(layer.db, slopes.sum(axis=0), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(layer.dW, (rows.T @ slopes).T.reshape(W.shape), rtol=1e-10, atol=1e-9)
        back = util.col2im(slopes @ W.reshape(30, -1), x.shape, 5, 4, 1, 1)
        assert dx.shape == x.shape and dx.dtype == np.float64
        np.testing.assert_allclose(dx, back, rtol=1e-10, atol=1e-11)
    np.testing.assert_array_equal(layer.col, rows)
    assert layer.col is layer.col
    with pytest.raises(AttributeError, match="Convolution has no attribute wrong"):
        _ = layer.wrong


def test_a_network_has_the_same_numbers_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The book's SimpleConvNet: filters, pooling and affine layers, forward and backward."""
    x, t = numbers(1, 6, 1, 28, 28), np.array([3, 1, 0, 2, 2, 1])
    W = [0.1 * numbers(2, 5, 1, 5, 5), 0.1 * numbers(3, 720, 20), 0.1 * numbers(4, 20, 4)]
    b = [0.1 * numbers(5 + i, width) for i, width in enumerate((5, 20, 4))]

    def results(is_by_kernels: bool) -> list[Any]:
        chain: list[Any] = [layers.Convolution(W[0], b[0]), layers.Relu(), layers.Pooling(2, 2)]
        chain += [layers.Affine(W[1], b[1]), layers.Relu(), layers.Affine(W[2], b[2])]
        last, y = layers.SoftmaxWithLoss(), x
        for layer in chain:
            y = layer.forward(y)
        loss, dout = last.forward(y, t), last.backward()
        for layer in reversed(chain):
            dout = layer.backward(dout)
        assert ("col" in chain[0].__dict__) is not is_by_kernels
        return [loss, y, dout, *((layer.dW, layer.db) for layer in (chain[0], chain[3], chain[5]))]

    found = results(True)
    monkeypatch.setattr(backend, "_are_images", lambda *arguments: False)
    for one, other in zip(found, results(False), strict=True):
        for a, b_ in zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]:
            np.testing.assert_allclose(a, b_, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (2, 1)])
def test_pooling(size: int, stride: int) -> None:
    x = np.round(4 * numbers(1, 3, 2, 6, 6, dtype=np.float64))  # with equal ones
    layer = layers.Pooling(size, size, stride)
    y = layer.forward(x)
    rows = windows_by_hand(x.reshape(6, 1, 6, 6), size, size, stride, 0)
    out = (6 - size) // stride + 1
    np.testing.assert_array_equal(y, rows.max(axis=1).reshape(3, 2, out, out))
    places = rows.argmax(axis=1).reshape(3, 2, out, out).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(layer.arg_max, places.ravel())
    dout = numbers(2, *y.shape, dtype=np.float64)
    dx = layer.backward(dout)
    expected = np.zeros((3, 2, 6, 6))
    for n, c, i, j in np.ndindex(y.shape):
        a, b = divmod(int(places[n, i, j, c]), size)
        expected[n, c, i * stride + a, j * stride + b] += dout[n, c, i, j]
    np.testing.assert_allclose(dx, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"^pad: expected 0, as the book's pooling does not work with padding, got 1$"):
        layers.Pooling(2, 2, 2, pad=1).forward(x)
