"""Conv2d: values and gradients, equal bits, files, numerical gradients, and what it refuses."""

import itertools
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Flatten, Momentum, Network, Relu, Sigmoid, reference
from fastnn.engine import plan
from fastnn.engine.interpreters import forward
from fastnn.kernels import filters
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.layers import LAYERS
from tests import shapes
from tests.tolerances import assert_close

Conv2d: Any = LAYERS["Conv2d"]  # untyped, as some arguments below are wrong
MaxPool2d: Any = LAYERS["MaxPool2d"]
# (channels, height, width), filters, kernel_size, stride, padding: below, at and above the sizes of tiles, with rests.
SIZES: list[tuple[tuple[int, int, int], int, Any, int, int]] = [
    ((1, 1, 1), 1, 1, 1, 0),
    ((1, 5, 5), 1, 5, 1, 0),
    ((2, 7, 9), 5, 3, 1, 1),
    ((1, 28, 28), 6, 5, 1, 2),
    ((3, 13, 11), 7, (3, 2), 2, 1),
    ((6, 14, 14), 16, 5, 1, 0),
    ((4, 9, 9), 3, (1, 3), 3, 0),
    ((2, 5, 5), 13, 2, 3, 2),
    ((5, 6, 6), 30, 1, 1, 0),
    ((2, 11, 12), 3, (2, 1), 5, 1),
    ((3, 9, 9), 4, 2, 4, 7),
    ((3, 8, 33), 4, (4, 7), 2, 3),
    ((40, 4, 4), 25, 3, 1, 1),
    ((17, 6, 5), 12, 5, 1, 2),
    ((3, 6, 7), 5, 3, 1, 2),
    ((2, 5, 6), 3, 3, 1, 3),
    ((2, 5, 6), 3, (5, 2), 1, 2),
    ((2, 5, 6), 3, (2, 5), 1, 3),
]
THREADED = (4,) if JIT_DISABLED else (3, 4, 5)
IDS = [f"{image}-{filters}-{size}-{stride}-{padding}" for image, filters, size, stride, padding in SIZES]


def network(case: Any, dtype: Any, **options: Any) -> Network:
    image, filters, size, stride, padding = case
    layers = [Conv2d(image[0], filters, size, stride, padding), Flatten()]
    net = Network(layers, "mean_squared_error", rng=0, dtype=dtype, input_shape=image, **options)
    net.params["b1"][...] = shapes.numbers(5, filters)
    return net


def options_of(case: Any) -> dict[str, Any]:
    return {"stride": case[3], "padding": case[4]}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", SIZES, ids=IDS)
def test_values_and_gradients(case: Any, dtype: str) -> None:
    """Several images, more than the filters' gradient takes at once, against NumPy in float64."""
    net, rows = network(case, dtype), 7
    x = shapes.numbers(1, rows, *case[0], dtype=dtype)
    W, b = (net.params[name].astype(np.float64) for name in ("W1", "b1"))
    expected = reference.conv2d_forward(x.astype(np.float64), W, b, **options_of(case))
    found: Any = net.predict(x)
    assert_close(found, expected.reshape(rows, -1), dtype)
    dy = shapes.numbers(2, *found.shape, dtype=dtype)
    slopes = dy.astype(np.float64).reshape(expected.shape)
    rights: Any = reference.conv2d_backward(slopes, x.astype(np.float64), W, **options_of(case))
    gradients, by_x = net.backward(x, dy, need_dx=True)
    for one, right in zip((by_x, gradients["W1"], gradients["b1"]), rights, strict=True):
        assert one.shape == right.shape
        scale = np.abs(right).max() + 1.0  # sums of hundreds of terms that cancel
        assert_close(one, right, dtype, atol=1e-6 * scale if dtype == "float32" else 1e-14 * scale)


def test_reference_against_torch() -> None:
    torch = pytest.importorskip("torch")
    for case in SIZES:
        image, filters, size, stride, padding = case
        x, W = shapes.numbers(1, 3, *image), shapes.numbers(2, filters, image[0], *np.broadcast_to(size, 2))
        b, made = shapes.numbers(3, filters), [torch.tensor(one, requires_grad=True) for one in (x, W)]
        y = torch.nn.functional.conv2d(*made, torch.tensor(b), stride, padding)
        assert_close(reference.conv2d_forward(x, W, b, **options_of(case)), y.detach().numpy(), "float64")
        dy = shapes.numbers(4, *y.shape)
        y.backward(torch.tensor(dy))
        found: Any = reference.conv2d_backward(dy, x, W, **options_of(case))
        for one, right in zip(found, made, strict=False):
            assert_close(one, right.grad.numpy(), "float64")
        assert_close(found[2], dy.sum(axis=(0, 2, 3)), "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", [SIZES[i] for i in THREADED], ids=[IDS[i] for i in THREADED])
def test_equal_bits_on_any_number_of_threads(case: Any, dtype: str) -> None:
    rows = 5 if JIT_DISABLED else 37
    x, found = shapes.numbers(1, rows, *case[0], dtype=dtype), []
    for n_threads in (1, 2, 3):
        net = network(case, dtype, n_threads=n_threads)
        t = shapes.numbers(3, rows, net.outputs, dtype=dtype)
        net.fit(x, t, epochs=1 if JIT_DISABLED else 2, batch_size=16, optimizer=Momentum(0.01), rng=0, progress=False)
        found.append((net.engine.values.tobytes(), net.predict(x).tobytes()))
    assert found[0] == found[1] == found[2]


def test_nan_and_infinity_reach_their_windows() -> None:
    """NaN at a pixel reaches all windows that it is in, and no others."""
    net = network(((1, 6, 6), 2, 3, 1, 0), "float64")
    x = shapes.numbers(1, 1, 1, 6, 6)
    x[0, 0, 2, 5] = np.nan
    found = np.isnan(net.predict(x, check_finite=False).reshape(2, 4, 4))
    expected = np.zeros((4, 4), bool)
    expected[0:3, 3] = True
    assert (found == expected).all()


def two_layers(dtype: str = "float64", **options: Any) -> Network:
    layers = [Conv2d(2, 3, 3, padding=1), Sigmoid(), Conv2d(3, 2, (2, 3), stride=2), Relu(), Flatten(), Affine(8, 3)]
    return Network(layers, rng=0, dtype=dtype, input_shape=(2, 4, 6), **options)


def plain_gradient(net: Network, x: Any, t: Any, h: float) -> dict[str, Any]:
    """The textbook's loop over all parameters."""
    return {name: fastnn.numerical_gradient(lambda _: net.loss(x, t), p, h=h) for name, p in net.params.items()}


def test_numerical_gradient_and_check() -> None:
    net, x, t = two_layers(), shapes.numbers(1, 4, 2, 4, 6), np.array([0, 2, 1, 1])
    numerical, analytic = net.numerical_gradient(x, t), net.gradient(x, t)
    for name, expected in plain_gradient(net, x, t, 1e-4).items():
        assert_close(numerical[name], expected, "float64", rtol=0.0, atol=1e-11)  # the loop subtracts two losses
        assert_close(analytic[name], numerical[name], "float64", rtol=0.0, atol=1e-8)  # truncation
    assert fastnn.check_gradients(net, x, t).passed
    if not JIT_DISABLED:
        assert fastnn.check_gradients(two_layers("float32"), x, t).passed


def test_training_lowers_the_loss_and_files_keep_every_bit(tmp_path: Any) -> None:
    x, t = shapes.numbers(1, 60, 2, 4, 6, dtype=np.float32), np.arange(60) % 3
    x[:, 0] += t[:, None, None]
    net = two_layers("float32")
    history = net.fit(x, t, epochs=20, batch_size=10, optimizer=SGD(0.3), rng=0, progress=False)
    assert history.loss[-1] < 0.3 * history.loss[0]
    net.save(tmp_path / "net.npz")
    loaded = fastnn.load(tmp_path / "net.npz")
    assert loaded.layers == net.layers and loaded.predict(x).tobytes() == net.predict(x).tobytes()
    assert loaded.step(x, t, SGD()) == net.step(x, t, SGD())


def test_initial_weights() -> None:
    """A unit sees the C height width elements of a window; a channel goes into F height width outputs."""
    for init, deviation in ((None, np.sqrt(2 / 150)), ("xavier", np.sqrt(2 / (150 + 400))), (0.5, 0.5)):
        net = Network(
            [Conv2d(6, 16, 5, init=init), Relu(), Flatten()], "mean_squared_error", rng=0, input_shape=(6, 9, 9)
        )
        assert not net.params["b1"].any()
        assert abs(net.params["W1"].std() / deviation - 1) < 0.05


def test_summary_and_text() -> None:
    net = Network([Conv2d(1, 6, 5, padding=2), Relu(), Conv2d(6, 16, (5, 3), stride=2), Flatten(), Affine(2496, 10)],
                  input_shape=(1, 28, 28))  # fmt: skip
    assert list(map(str, net.layers[:3:2])) == ["Conv2d(1, 6, 5, padding=2)", "Conv2d(6, 16, (5, 3), stride=2)"]
    assert net.summary().splitlines()[2].split() == [
        "Conv2d(1,",
        "6,",
        "5,",
        "padding=2)",
        "6",
        "x",
        "28",
        "x",
        "28",
        "156",
    ]
    assert list(net.params) == ["W1", "b1", "W2", "b2", "W3", "b3"]


REFUSED: list[Any] = [
    (lambda: Conv2d(0, 3, 3), ValueError, "in_channels"),
    (lambda: Conv2d(1, 3, 0), ValueError, "kernel_size"),
    (lambda: Conv2d(1, 3, (3, 3, 3)), ValueError, "kernel_size: expected a number, or a height and a width"),
    (lambda: Conv2d(1, 3, 3, stride=0), ValueError, "stride"),
    (lambda: Conv2d(1, 3, 3, padding=-1), ValueError, "padding"),
    (lambda: Conv2d(1, 3, 2.5), TypeError, "kernel_size"),
    (lambda: Conv2d(1, 6, 5, padding="same"), TypeError, "got 'same'; pass padding=2, which keeps an image's size at"),
    (lambda: Conv2d(1, 6, 5, padding="VALID"), TypeError, "got 'VALID'; pass padding=0"),
    (lambda: Conv2d(1, 6, 4, padding="same"), TypeError, "got 'same'; an odd kernel_size, as high as wide, keeps"),
    (lambda: Conv2d(1, 6, (3, 5), padding="same"), TypeError, "an odd kernel_size, as high as wide"),
    (lambda: Conv2d(1, 6, 5, "same"), TypeError, "1, got 'same'; it is a padding: pass padding=2, which"),
    (lambda: Conv2d(1, 6, 5, "valid"), TypeError, "it is a padding: pass padding=0"),
    (lambda: Conv2d(1, 6, 5, stride=(1, 2)), TypeError, "got (1, 2); one stride serves both axes: pass a single"),
    (lambda: Conv2d(1, 6, 5, stride=(2, 2)), TypeError, "got (2, 2); one stride serves both axes: pass stride=2"),
    (lambda: Conv2d(1, 6, 5, padding=[1, 1]), TypeError, "one padding serves both axes: pass padding=1"),
    (lambda: Conv2d(1, 6, 5, padding=(1, np.ones(3))), TypeError, "one padding serves both axes: pass a single"),
    (lambda: MaxPool2d(3, padding="same"), TypeError, "pass padding=1"),
    (lambda: MaxPool2d(2, stride=(2, 2)), TypeError, "pass stride=2"),
    (lambda: Conv2d(1, 6, 5, stride="1"), TypeError, "stride: expected an integer of at least 1 and of at most"),
    (lambda: Network([Conv2d(1, 3, 3)]), ValueError, "input_shape"),
    (lambda: Network([Conv2d(1, 3, 3)], input_shape=784), ValueError, "expected images (channels, height, width)"),
    (lambda: Network([Conv2d(3, 3, 3)], input_shape=(1, 8, 8)), ValueError, "take Conv2d(1, 3, 3)"),
    (lambda: Network([Conv2d(1, 3, 9)], input_shape=(1, 8, 8)), ValueError, "at least 9 x 9 pixels"),
    (lambda: Network([Conv2d(3, 3, 3)], input_shape=(32, 32, 3)), ValueError, "channels come first: pass (3, 32, 32)"),
    (lambda: Network([Relu(), Conv2d(1, 3, 5)], input_shape=(28, 28, 1)), ValueError, "pass (1, 28, 28), and such"),
    (
        lambda: Network([Conv2d(1, 5, 3), Conv2d(6, 3, 3)], input_shape=(1, 8, 8)),  # outputs (5, 6, 6)
        ValueError,
        "layers[1]: expected images of 6 channels for Conv2d(6, 3, 3), got the shape (5, 6, 6); take Conv2d(5, 3, 3)",
    ),
    (lambda: Network([Conv2d(1, 3, 3), Affine(108, 10)], input_shape=(1, 8, 8)), ValueError, "add Flatten()"),
]


@pytest.mark.parametrize(("make", "error", "said"), REFUSED)
def test_refuses(make: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        make()
    assert said in str(raised.value)


def test_wrong_images_are_refused() -> None:
    net = two_layers()
    for shape in ((4, 48), (4, 2, 6, 4), (2, 4, 6)):
        with pytest.raises(ValueError, match="x: expected"):
            net.predict(np.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((5, 4, 6), "pass x[:, None]"),
        ((1, 4, 6), "for a single image pass x[None]"),
        ((4, 6), "for a single image pass x[None, None]"),
        ((24,), "for a single image pass x.reshape(1, 1, 4, 6)"),
        ((5, 24), "pass x.reshape(-1, 1, 4, 6)"),
        ((5, 4, 6, 1), "channels come first: pass x.transpose(0, 3, 1, 2)"),
        ((4, 6, 1), "channels come first: for a single image pass x.transpose(2, 0, 1)[None]"),
        ((5, 3, 4, 6), ""),
    ],
)
def test_images_of_another_form(shape: tuple[int, ...], remedy: str) -> None:
    """The message says how to write them, and what it says is right."""
    net = Network([Conv2d(1, 2, 3), Flatten(), Affine(16, 3)], input_shape=(1, 4, 6), rng=0)
    x = np.zeros(shape, np.float32)
    end = f"; {remedy}" if remedy else ""
    calls = (
        lambda: net.predict(x),
        lambda: net.fit(x, [0], epochs=1, progress=False),
        lambda: net.step(x, [0], SGD(0.1)),
    )
    for call in calls:
        with pytest.raises(ValueError, match=rf"^x: expected .* got shape {re.escape(f'{shape}{end}')}$"):
            call()
    if remedy:
        mended = eval(remedy.rpartition("pass ")[2], {"x": x})
        assert len(net.predict(mended)) == x.size // 24


def test_single_steps_of_one_image_and_of_many() -> None:
    """The same as NumPy's own step, for batches that take each path of the update."""
    for rows, dtype in itertools.product((1, 2, 5, 130), ("float32", "float64")):
        net, case = network(SIZES[2], dtype), SIZES[2]
        x, t = shapes.numbers(1, rows, *case[0], dtype=dtype), shapes.numbers(2, rows, net.outputs, dtype=dtype)
        W, b = (net.params[name].astype(np.float64) for name in ("W1", "b1"))
        y = reference.conv2d_forward(x.astype(np.float64), W, b, **options_of(case))
        _, dy = reference.mean_squared_error(y.reshape(rows, -1), t.astype(np.float64))
        _, dW, db = reference.conv2d_backward(dy.reshape(y.shape), x.astype(np.float64), W, **options_of(case))
        net.step(x, t, SGD(0.1))
        assert_close(net.params["W1"], W - 0.1 * dW, dtype)
        assert_close(net.params["b1"], b - 0.1 * db, dtype)


def test_few_images_at_once_give_the_bits_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many images are taken through the layers together, which depends on the machine's cache."""
    x, t, found = shapes.numbers(1, 23, 2, 4, 6, dtype=np.float32), np.arange(23) % 3, []
    for share in (1, 500, 2000, 10**9):
        monkeypatch.setattr("fastnn.engine.plan.SHARE_OF_IMAGES", share)
        net = two_layers("float32")
        assert (
            plan.images_at_once(net.engine.plan.shapes)[4] == 0 < min(plan.images_at_once(net.engine.plan.shapes)[:4])
        )
        net.fit(x, t, epochs=2, batch_size=9, rng=0, progress=False)
        found.append((net.engine.values.tobytes(), net.predict(x).tobytes(), net.loss(x, t)))
    assert all(one == found[0] for one in found)


def test_predictions_keep_no_images_that_only_the_next_layer_reads() -> None:
    """The memory of 128 rows of all layers' outputs was given back after each call, and came page by page again."""
    layers = [
        Conv2d(3, 32, 3, padding=1),
        Relu(),
        Conv2d(32, 32, 3, padding=1),
        MaxPool2d(2),
        Flatten(),
        Affine(8192, 4),
    ]
    net = Network(layers, input_shape=(3, 32, 32), rng=0)
    x, parts = shapes.numbers(1, 3, 3, 32, 32, dtype=np.float32), min(2, fastnn.get_num_threads())
    net.n_threads = parts
    y = net.predict(x)
    (workspace,) = net.engine.prediction_workspaces
    few, rows = plan.images_at_once(net.engine.plan.shapes)[0], forward.BLOCK_ROWS
    assert workspace.nbytes == 4 * parts * (few * 3 * 32 * 32 * 32 + rows * (8192 + 4))
    for n_threads in range(1, min(3, fastnn.get_num_threads()) + 1):
        net.n_threads = n_threads
        assert (
            net.predict(x).tobytes()
            == y.tobytes()
            == np.concatenate([net.predict(x[n : n + 1]) for n in range(3)]).tobytes()
        )


@pytest.mark.parametrize(("size", "padding", "places"), [(3, 1, 6 * 8 + 7), (5, 2, 6 * 9 + 7), (2, 1, 7 * 8 + 8)])
def test_rows_share_their_border(size: int, padding: int, places: int) -> None:
    assert filters.sizes_of((1, 7, 7), 1, (size, size), 1, padding).places == places


def test_a_long_stride_needs_no_memory_between_windows() -> None:
    net = Network([Conv2d(1, 2, 3, stride=100_000), Flatten()], "mean_squared_error", input_shape=(1, 30, 30), rng=0)
    x = shapes.numbers(1, 4, 1, 30, 30, dtype=np.float32)
    expected = reference.conv2d_forward(
        x[:, :, :3, :3].astype(np.float64), net.params["W1"].astype(np.float64), 0 * net.params["b1"]
    )
    assert_close(net.predict(x), expected.reshape(4, 2), "float32")
    assert np.isfinite(net.step(x, np.zeros((4, 2)), SGD(0.1)))
