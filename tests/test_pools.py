"""MaxPool2d and AvgPool2d: values and gradients beside the twin and PyTorch, checks of gradients, refusals."""

import itertools
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    Affine,
    AvgPool2d,
    BatchNorm,
    Dropout2d,
    Flatten,
    MaxPool2d,
    Momentum,
    Network,
    Relu,
    Tanh,
    reference,
)
from fastnn.kernels import pooling
from fastnn.kernels.compile import JIT_DISABLED, entry
from fastnn.operations.base import Units
from tests import shapes
from tests.image_layers import Mix, Pool, registered
from tests.tolerances import assert_close

N, K = 3, 3
# The usual windows, and ones that overlap, leave gaps, reach beyond the image or are no squares.
WINDOWS = [(2, None, 0), (2, 2, 1), (3, 2, 1), (3, 1, 1), (2, 1, 0), (1, 2, 0), (4, 3, 2), ((1, 3), None, 0)]
WINDOWS += [((3, 2), 2, 1), (5, None, 0)]
# Channels, rows and columns: the smallest ones, odd ones, and rows longer than two vectors.
IMAGES = [(1, 5, 5), (2, 6, 8), (3, 7, 5), (2, 5, 71)]
KINDS: list[Any] = [MaxPool2d, AvgPool2d]


@pytest.fixture(autouse=True)
def layers_of_tests() -> Iterator[None]:
    with registered():
        yield


def network(layer: Any, shape: tuple[int, ...], dtype: str, **options: Any) -> Network:
    return Network([layer], "mean_squared_error", input_shape=shape, dtype=dtype, **options)


def twin(layer: Any) -> Any:
    name = "max_pool2d" if isinstance(layer, MaxPool2d) else "avg_pool2d"
    forward, backward, _ = reference.UNITS[name]
    own = layer.kernel_size, layer.stride, layer.padding
    return lambda x: forward(x, *own), lambda dy, x: backward(dy, x, *own)[0]


def images(shape: tuple[int, ...], dtype: str, ties: bool = True) -> Any:
    """Images; with ties, of few values, so that windows have several largest elements."""
    x = shapes.numbers(1, N, *shape)
    return (np.round(x) if ties else x).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_numpy(kind: Any, window: Any, dtype: str) -> None:
    layer = kind(*window)
    forward, backward = twin(layer)
    for shape, ties in itertools.product(IMAGES, (False, True)):
        net, x = network(layer, shape, dtype), images(shape, dtype, ties)
        expected = forward(x.astype(np.float64))
        y = np.full(expected.shape, np.nan, dtype)
        assert net.predict(x, out=y) is y
        assert_close(y, expected, dtype)
        dy = shapes.numbers(2, *y.shape, dtype=np.dtype(dtype).type)
        assert_close(net.backward(x, dy, need_dx=True)[1], backward(dy.astype(np.float64), x.astype(np.float64)), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("window", [window for window in WINDOWS if window[0] != 1], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_pytorch(kind: Any, window: Any, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    size, stride, padding = window
    theirs = getattr(torch.nn, kind.__name__)(size, stride, padding)
    for shape, ties in itertools.product(IMAGES, (False, True)):
        net, x = network(kind(*window), shape, dtype), images(shape, dtype, ties)
        given = torch.tensor(x, requires_grad=True)
        expected = theirs(given)
        assert_close(net.predict(x), expected.detach().numpy(), dtype)
        dy = shapes.numbers(2, *expected.shape, dtype=np.dtype(dtype).type)
        expected.backward(torch.tensor(dy))
        assert_close(net.backward(x, dy, need_dx=True)[1], given.grad.numpy(), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("window", [(2, None, 0), (3, 2, 1)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_nan_and_infinity(kind: Any, window: Any, dtype: str) -> None:
    """They come out as in NumPy; the gradient goes to the first of the largest, be it NaN or minus infinity."""
    layer, shape = kind(*window), (2, 6, 38)
    forward, backward = twin(layer)
    net, x = network(layer, shape, dtype), images(shape, dtype)
    x[:, :, 1::3, ::5], x[0, 0, :, 4:9], x[1, :, ::2, 11::4], x[1, 1, :4, :] = np.nan, np.inf, -np.inf, -np.inf
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        expected = forward(wide)
    assert np.isnan(expected).any() and np.isposinf(expected).any() and np.isneginf(expected).any()
    assert_close(net.predict(x, check_finite=False), expected, dtype)
    dy = shapes.numbers(2, *expected.shape, dtype=np.dtype(dtype).type)
    dy[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    found = net.backward(x, dy, need_dx=True, check_finite=False)[1]
    assert_close(found, backward(dy.astype(np.float64), wide), dtype)


def test_of_equal_elements_the_first_gets_the_gradient() -> None:
    net, x = network(MaxPool2d(2), (1, 2, 6), "float64"), np.array([[1.0, 1, 0, 2, -0.0, 0], [1, 1, 2, 2, 0, 0]])
    dx = net.backward(x.reshape(1, 1, 2, 6), np.array([[[[1.0, 2.0, 3.0]]]]), need_dx=True)[1]
    assert dx.reshape(2, 6).tolist() == [[1, 0, 0, 2, 3, 0], [0] * 6]


def test_the_window_of_the_book() -> None:
    """The example of Deep Learning from Scratch, figure 7-14: 2 x 2 windows, two pixels apart."""
    x = np.array([[[[1.0, 2, 1, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 4, 0, 1]]]])
    assert network(MaxPool2d(2), (1, 4, 4), "float64").predict(x).tolist() == [[[[2, 3], [4, 2]]]]
    assert network(AvgPool2d(2), (1, 4, 4), "float64").predict(x).tolist() == [[[[1, 1.5], [2.25, 1]]]]


# --- in networks ------------------------------------------------------------------------------------------------------


def small_network(layer: Any, dtype: str, **options: Any) -> Network:
    """Images (2, 5, 6) through a layer with parameters and a pool."""
    layers = [Mix(3), Tanh(), layer, Flatten()]
    width = Network(layers, "mean_squared_error", input_shape=(2, 5, 6)).outputs
    net = Network([*layers, Affine(width, K)], input_shape=(2, 5, 6), dtype=dtype, rng=0, **options)
    net.params["mix1"][...] = shapes.numbers(0, 3, 2)
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [MaxPool2d(2), MaxPool2d(3, 2, 1), AvgPool2d(2), AvgPool2d((2, 3), 1)], ids=str)
def test_checks_of_gradients(layer: Any, dtype: str) -> None:
    net, x, t = small_network(layer, dtype), images((2, 5, 6), dtype, ties=False), np.arange(N)
    report = fastnn.check_gradients(net, x, t)
    assert report.verdict == "agree", str(report)
    exact, numerical = net.gradient(x, t), net.numerical_gradient(x, t)
    for name, array in exact.items():
        np.testing.assert_allclose(array, numerical[name], rtol=1e-3, atol=1e-5, err_msg=name)
    wrong = net.gradient(x, t)
    wrong["mix1"][-1] *= 1.02
    verdicts = {key: one.verdict for key, one in fastnn.check_gradients(net, x, t, gradient=wrong).tensors.items()}
    assert verdicts == {key: "differ" if key == "mix1" else "agree" for key in wrong}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_check_where_largest_elements_are_equal(dtype: str) -> None:
    """Black borders give windows of equal elements, also behind ReLU; pixels of few values other ones."""
    x, t = np.round(2 * images((2, 5, 6), dtype, ties=False)) / 2, np.arange(N)
    x[:, :, :2] = 0.0
    for layers in ([Mix(3), Relu(), MaxPool2d(2)], [MaxPool2d(2), Mix(3)], [Mix(2), MaxPool2d(3, 1, 1), Mix(2)]):
        made = [*layers, Flatten()]
        width = Network(made, "mean_squared_error", input_shape=(2, 5, 6)).outputs
        net = Network([*made, Affine(width, K)], input_shape=(2, 5, 6), dtype=dtype, rng=0)
        report = fastnn.check_gradients(net, x, t)
        assert report.verdict == "agree", str(report)


class WrongMaxPool2d(MaxPool2d):
    """The backward pass of means for largest elements."""

    units = Units(MaxPool2d.units.forward, AvgPool2d.units.backward)


def test_a_check_finds_a_wrong_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MaxPool2d, "units", WrongMaxPool2d.units)
    net, x = small_network(MaxPool2d(2), "float64"), images((2, 5, 6), "float64", ties=False)
    verdicts = {key: one.verdict for key, one in fastnn.check_gradients(net, x, np.arange(N)).tensors.items()}
    assert verdicts == {"mix1": "differ", "W1": "agree", "b1": "agree"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [MaxPool2d(2), MaxPool2d(3, 2, 1), AvgPool2d(2), AvgPool2d(3, 2, 1)], ids=str)
def test_the_same_bits_on_any_number_of_threads(layer: Any, dtype: str) -> None:
    found, rows = set(), 15 if JIT_DISABLED else 150
    x, t = shapes.numbers(7, rows, 2, 5, 6, dtype=np.dtype(dtype).type), np.arange(rows) % K
    for parts in (1, 2, 3):
        net = small_network(layer, dtype, n_threads=parts)
        net.fit(x, t, epochs=2, batch_size=rows - rows // 15, optimizer=Momentum(0.1), rng=0, progress=False)
        gradients = [*net.gradient(x, t).values(), *net.numerical_gradient(x[:4], t[:4]).values()]
        found.add((net.engine.values.tobytes(), net.predict(x).tobytes(), *(array.tobytes() for array in gradients)))
    assert len(found) == 1


def test_saved_and_loaded(path: pathlib.Path) -> None:
    for layer in (MaxPool2d(2), AvgPool2d((2, 3), 1, 1)):
        net, x = small_network(layer, "float32"), images((2, 5, 6), "float32")
        net.step(x, np.arange(N), SGD(0.1))
        net.save(path)
        again = fastnn.load(path)
        assert again.layers == net.layers and again.predict(x).tobytes() == net.predict(x).tobytes()


def test_a_mean_is_that_of_the_layer_for_tests() -> None:
    x = images((2, 6, 9), "float32", ties=False)
    nets = [network(layer, (2, 6, 9), "float32") for layer in (AvgPool2d(2), Pool())]
    assert_close(nets[0].predict(x), nets[1].predict(x), "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_to_pytorch_and_back(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    layers = [
        BatchNorm(),
        MaxPool2d(2, padding=1),
        Dropout2d(),
        AvgPool2d((2, 3), 1),
        Flatten(),
        Affine(8, K),
        BatchNorm(),
    ]
    net, x = Network(layers, input_shape=(2, 5, 6), dtype=dtype, rng=0), images((2, 5, 6), dtype, ties=False)
    net.step(x, np.arange(N), SGD(0.1))
    module = net.to_torch()
    assert_close(module(torch.tensor(x)).detach().numpy(), net.predict(x), dtype)
    again = Network.from_torch(module, input_shape=(2, 5, 6))
    assert again.layers[2] == Dropout2d() and again.predict(x).tobytes() == net.predict(x).tobytes()


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_forms_of_the_same_windows() -> None:
    assert MaxPool2d(2) == MaxPool2d(2, 2) == MaxPool2d((2, 2)) == KINDS[0](np.int64(2), stride=2)
    assert (
        str(MaxPool2d(2)) == "MaxPool2d(2)" and str(AvgPool2d((2, 3), 1, 1)) == "AvgPool2d((2, 3), stride=1, padding=1)"
    )
    assert network(MaxPool2d((2, 3)), (1, 4, 9), "float32").output_shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: MaxPool2d(0), "kernel_size: expected an integer of at least 1 and of at most 1048576, got 0"),
        (lambda: MaxPool2d(2, 0), "stride: expected an integer of at least 1 and of at most 1048576, got 0"),
        (
            lambda: MaxPool2d(3, 2, 2),
            "padding: expected at most half of kernel_size 3, which is 1, got 2; pass a smaller padding, or a larger "
            "kernel_size",
        ),
        (
            lambda: KINDS[1]((1, 2, 3)),
            "kernel_size: expected a number, or a height and a width, got 3 numbers; pass 3 or (3, 3)",
        ),
        (
            lambda: KINDS[0]((2,)),
            "kernel_size: expected a number, or a height and a width, got 1 number; pass 3 or (3, 3)",
        ),
        (
            lambda: network(MaxPool2d(3), (1, 5, 2), "float32"),
            "layers[0]: expected images of at least 3 x 3 pixels for MaxPool2d(3), got the shape (1, 5, 2); take a "
            "smaller kernel_size, or more padding",
        ),
        (
            lambda: Network([Affine(4, 3), MaxPool2d(2)]),
            "layers[1]: expected images (channels, height, width) for MaxPool2d(2), got the shape (3,); give the "
            "network input_shape=(channels, height, width), and Flatten() after the layers of images",
        ),
    ],
)
def test_refusals(made: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        made()


@entry
def _backward(dy: Any, x: Any, y: Any, sizes: Any, memory: Any, dx: Any) -> None:
    pooling.largest_of_windows_backward(dy, x, y, pooling.Pooling(*sizes), memory, dx)


def test_outputs_of_other_images_move_nothing() -> None:
    """Such as of an x that another thread changes between the passes: no place is found, and none is written to."""
    dy, x, y = np.ones(4, np.float32), np.zeros(25, np.float32), np.full(4, 9.0, np.float32)
    memory, dx = np.full(pooling.scratch_of_windows(9, 2), -1.0, np.float32), np.full(25, 5.0, np.float32)
    _backward(dy, x, y, (1, 5, 5, 2, 2, 3, 3, 2, 2, 0), memory, dx)
    assert not dx.any()
