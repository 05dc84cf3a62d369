"""Windows of images, pooling and convolution of the first volume, at random shapes, filters, strides and gradients.

The cases run in their own process, as a case that writes outside its memory ends the process. Each is compared with
NumPy: the same numbers where the book's code has a result, a sentence where it raises.
"""

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn.dropin import windows
from fastnn.dropin.common import layers, util
from fastnn.kernels.compile import JIT_DISABLED

ROOT = pathlib.Path(__file__).parents[1]
CASES = 40 if JIT_DISABLED else 100
REFUSED = (TypeError, ValueError)


# --- the same in NumPy; None where the book's code raises ------------------------------------------


def counts(shape: Any, height: int, width: int, stride: int, pad: int) -> tuple[int, int] | None:
    """The numbers of windows below and beside one another."""
    if stride < 1 or pad < 0 or height < 1 or width < 1:
        return None
    rows, columns = ((shape[d] + 2 * pad - size) // stride + 1 for d, size in ((2, height), (3, width)))
    return (rows, columns) if min(rows, columns) > 0 else None


def places(shape: Any, height: int, width: int, stride: int, pad: int) -> Any:
    """For each entry of each window, the place of its number in the padded images."""
    found = counts(shape, height, width, stride, pad)
    if found is None:
        return None
    N, C, H, W = shape[0], shape[1], shape[2] + 2 * pad, shape[3] + 2 * pad
    numbered = np.arange(N * C * H * W).reshape(N, C, H, W)
    windows: Any = np.lib.stride_tricks.sliding_window_view(numbered, (height, width), axis=(2, 3))
    return (
        windows[:, :, ::stride, ::stride]
        .transpose(0, 2, 3, 1, 4, 5)
        .reshape(N * found[0] * found[1], C * height * width)
    )


def im2col(images: Any, *sizes: int) -> Any:
    at = places(images.shape, *sizes) if len(images) else None
    pad = sizes[3]
    return None if at is None else np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad))).astype(float).ravel()[at]


def col2im(columns: Any, shape: Any, *sizes: int) -> Any:
    at, pad = places(shape, *sizes), sizes[3]
    if at is None or columns.size != at.size:
        return None
    sums = np.zeros((shape[0], shape[1], shape[2] + 2 * pad, shape[3] + 2 * pad))
    np.add.at(sums.reshape(-1), at.ravel(), columns.ravel())
    return sums[:, :, pad : pad + shape[2], pad : pad + shape[3]]


def pooled(images: Any, height: int, width: int, stride: int) -> Any:
    """The largest number of each window, and its place in it."""
    rows, found = im2col(images, height, width, stride, 0), counts(images.shape, height, width, stride, 0)
    if rows is None or found is None:
        return None
    rows = rows.reshape(-1, height * width)
    out = rows.max(axis=1).reshape(len(images), *found, images.shape[1]).transpose(0, 3, 1, 2)
    return out, rows.argmax(axis=1)


def pooling_gradient(dout: Any, shape: Any, largest: Any, *sizes: int) -> Any:
    """The book takes the numbers of a gradient of any four dimensions in the order (N, oh, ow, C)."""
    if dout.ndim != 4 or dout.size != largest.size:
        return None
    spread = np.zeros((dout.size, sizes[0] * sizes[1]))
    spread[np.arange(dout.size), largest] = dout.transpose(0, 2, 3, 1).ravel()
    return col2im(spread, shape, *sizes, 0)


# --- random cases ----------------------------------------------------------------------------------


def check(expected: Any, case: Any, function: Callable[..., Any], *arguments: Any) -> None:
    """Assert that a call returns NumPy's result, or raises a clear error where NumPy raises or there is no image."""
    try:
        result = function(*arguments)
    except REFUSED as error:
        assert expected is None or not np.size(expected), (case, error)
        return
    assert expected is not None, (case, np.shape(result))
    assert result.shape == expected.shape and result.dtype == expected.dtype, (case, result.shape, result.dtype)
    assert np.array_equal(np.isnan(result), np.isnan(expected)), case
    assert np.nanmax(abs(result - expected), initial=0.0) < 1e-12, case


def another_shape(generator: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Mostly the shape itself, sometimes its numbers in another order, sometimes another size."""
    kind = generator.integers(6)
    if kind == 0:
        return tuple(int(n) for n in generator.permutation(shape))
    if kind == 1:
        return tuple(int(n) for n in generator.integers(0, 5, generator.integers(1, 6)))
    if kind == 2:
        return (shape[0], shape[1] * shape[-2], shape[-1], 1) if len(shape) == 4 else (1, shape[0], 1, shape[1])
    return shape


def images_of(generator: Any) -> Any:
    shape = generator.integers([0, 1, 1, 1], [4, 4, 9, 9])
    dtype = generator.choice(["float32", "float64", "uint8"])
    images = np.round(8 * generator.standard_normal(shape)).astype(dtype)
    if dtype != "uint8" and images.size and not generator.integers(4):
        images.reshape(-1)[generator.integers(images.size)] = np.nan
    return images if generator.integers(3) else images.transpose(0, 1, 3, 2)


def fuzz(cases: int) -> None:
    generator = np.random.default_rng(7)
    for number in range(cases):
        images = images_of(generator)
        height, width = (int(n) for n in generator.integers(-1 if number % 8 == 0 else 1, 6, 2))
        stride, pad = int(generator.integers(-1 if number % 8 == 1 else 1, 5)), int(generator.integers(-1, 4))
        case, sizes = (number, images.shape, height, width, stride, pad), (height, width, stride, pad)
        rows = im2col(images, *sizes)
        check(rows, case, util.im2col, images, *sizes)
        shape = another_shape(generator, (12, 3) if rows is None else rows.shape)
        columns = generator.standard_normal(shape)
        arguments = (columns, images.shape, *sizes)
        check(col2im(*arguments), (case, shape), util.col2im, *arguments)
        layer, expected = layers.Pooling(height, width, stride), pooled(images, height, width, stride)
        check(None if expected is None else expected[0], case, layer.forward, images)
        if expected is None:
            continue
        kept = layer.arg_max
        assert np.array_equal(kept, expected[1]), case
        shape = another_shape(generator, expected[0].shape)
        dout = generator.standard_normal(shape).astype(generator.choice(["float32", "float64"]))
        gradient = pooling_gradient(dout, images.shape, kept, height, width, stride)
        check(gradient, (case, shape), layer.backward, dout)


@pytest.mark.parametrize("cases", [CASES, pytest.param(20 * CASES, marks=pytest.mark.exhaustive)])
def test_random_cases_write_nowhere_else(cases: int) -> None:
    code = f"from tests.test_dropin_windows import fuzz; fuzz({cases}); print('done')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_CHECK_": "3"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]


def test_few_windows_are_added_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    x, bits = np.random.default_rng(1).standard_normal((2, 2, 7, 6)), []
    for small in (0, 10**6):
        monkeypatch.setattr(windows, "SMALL", small)
        layer = layers.Pooling(3, 2, 1)
        out = layer.forward(x)
        rows = util.im2col(x, 3, 2, 1, 2)
        results = [
            rows,
            util.col2im(np.sin(rows), x.shape, 3, 2, 1, 2),
            out,
            layer.backward(np.sin(out)),
            layer.arg_max,
        ]
        bits.append([result.tobytes() for result in results])
    assert bits[0] == bits[1]


def test_a_gradient_of_another_shape_is_taken_as_the_book_takes_it() -> None:
    x, layer = np.arange(4.0 * 4 * 4 * 64).reshape(4, 4, 4, 64), layers.Pooling(2, 2, 2)
    layer.forward(x)
    dout = np.arange(1024.0).reshape(4, 4, 32, 2)
    dx = layer.backward(dout)
    assert dx.shape == x.shape and np.count_nonzero(dx) == 1023
    # The largest number of each window is its last. The numbers of dout in the order of its last axes are channels of
    # these.
    np.testing.assert_array_equal(
        dx[:, :, 1::2, 1::2], dout.transpose(0, 2, 3, 1).reshape(4, 2, 32, 4).transpose(0, 3, 1, 2)
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda x: util.im2col(x, 7, 2),
            r"^height of the window: expected at most 6, got 7 for images of height 6; take",
        ),
        (
            lambda x: util.im2col(x, 2, 8, 1, 1),
            r"^width of the window: expected at most 7, got 8 .* pad 1 on both sides; ",
        ),
        (
            lambda x: util.im2col(x, 2, 2, 0),
            r"^stride: expected an integer of at least 1 and of at most 2147483647, got 0$",
        ),
        (
            lambda x: util.im2col(x, 2, 2, 1, -1),
            r"^pad: expected an integer of at least 0 and of at most 2147483647, got -1$",
        ),
        (
            lambda x: util.im2col(x, x[0, 0, 0, 0], 2),
            r"^height of the window: expected an integer of at least 1 and of at most 2147483647, got np.float64",
        ),
        (lambda x: util.im2col(x[0], 2, 2), r"^images: expected four dimensions \(N, C, H, W\), got 3: \(2, 6, 5\); "),
        (
            lambda x: util.im2col(x[:0], 2, 2),
            r"^images: expected one or more, got \(0, 2, 6, 5\); leave an empty batch",
        ),
        (lambda x: util.im2col(x + 1j, 2, 2), r"^images: expected a float32 or float64 array, got dtype complex128"),
        (
            lambda x: util.col2im(x, x.shape, 2, 2),
            r"^col: expected 60 x 8 numbers, the windows of images \(3, 2, 6, 5\), got",
        ),
        (
            lambda x: layers.Pooling(2, 2, 2).forward(x[:0]),
            r"^x: expected one image or more, got \(0, 2, 6, 5\); leave",
        ),
        (
            lambda x: pooling_backward(x, x),
            r"^dout: expected the shape of the layer's output, \(3, 2, 3, 2\), got \(3, 2, 6",
        ),
        (
            lambda x: pooling_backward(x, x[:, :, ::2, :2], [0, 4]),
            r"^arg_max: expected 36 integers, got int64 \(2,\); call",
        ),
        (
            lambda x: pooling_backward(x, x[:, :, ::2, :2], [4] * 36),
            r"^arg_max: expected numbers from 0 to 3; leave it as",
        ),
        (
            lambda x: pooling_backward(x, x[:, :, ::2, :2], [-1] * 36),
            r"^arg_max: expected numbers from 0 to 3; leave it as",
        ),
    ],
)
def test_sentences(call: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(REFUSED, match=says):
        call(np.ones((3, 2, 6, 5)))


def pooling_backward(x: Any, dout: Any, arg_max: Any = None) -> Any:
    layer = layers.Pooling(2, 2, 2)
    layer.forward(x)
    if arg_max is not None:
        layer.arg_max = np.array(arg_max)
    return layer.backward(dout)
