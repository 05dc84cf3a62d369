"""Samples that are images (C, H, W): Flatten, and layers of the tests' own that map images to images."""

import itertools
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Dropout, Flatten, Momentum, Network, PRelu, Relu, Sigmoid, Softmax, Tanh, reference
from fastnn.engine import threads
from fastnn.kernels.compile import JIT_DISABLED
from tests import shapes
from tests.image_layers import Mix, Pool, Scale, WrongPool, registered
from tests.tolerances import assert_close

N, K, SHAPE = 9, 3, (2, 5, 6)
FLAT = (Affine(60, 8), Sigmoid(), Affine(8, K))


@pytest.fixture(autouse=True)
def layers_of_tests() -> Iterator[None]:
    with registered():
        yield


def network(dtype: str = "float64", **options: Any) -> Network:
    """Images through three layers with parameters, then a row of numbers."""
    layers = [Mix(3), Tanh(), Scale(), Pool(), Dropout(0.0), Scale(), Flatten(), Affine(18, K)]
    net = Network(layers, rng=0, dtype=dtype, input_shape=SHAPE, **options)
    for seed, name in enumerate(("mix1", "scale1", "scale2")):
        net.params[name][...] = shapes.numbers(seed, *net.params[name].shape)
    return net


def images(dtype: Any = np.float64, rows: int = N) -> Any:
    return shapes.numbers(7, rows, *SHAPE, dtype=np.dtype(dtype).type)


def labels(rows: int = N) -> Any:
    return np.arange(rows) % K


def outputs(params: Any, x: Any) -> list[Any]:
    """The outputs of the layers of `network`, in plain NumPy in float64."""
    p = {name: np.asarray(array, np.float64) for name, array in params.items()}
    x = np.einsum("fc,nchw->nfhw", p["mix1"], x.astype(np.float64))
    found = [x, np.tanh(x), np.tanh(x) * p["scale1"][:, None, None]]
    squares = found[-1][:, :, :4, :].reshape(len(x), 3, 2, 2, 3, 2)
    found.append(squares.mean(axis=(3, 5)))
    found += [found[-1], found[-1] * p["scale2"][:, None, None]]
    found.append(found[-1].reshape(len(x), -1))
    return [*found, found[-1] @ p["W1"] + p["b1"]]


def loss(params: Any, x: Any, t: Any) -> float:
    return float(reference.softmax_cross_entropy(outputs(params, x)[-1], t)[0])


def gradient(params: Any, x: Any, t: Any) -> dict[str, Any]:
    """Numerical gradients of the loss in NumPy."""
    p = {name: np.array(array, np.float64) for name, array in params.items()}
    return {name: reference.numerical_gradient(lambda _: loss(p, x, t), array, 1e-5) for name, array in p.items()}


# --- Flatten ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_flatten_computes_nothing(dtype: str) -> None:
    """It gives the same bits as flat samples, everywhere."""
    x, t = images(dtype), labels()
    rows = reference.flatten_forward(x)
    net = Network([Flatten(), *FLAT], rng=0, dtype=dtype, input_shape=SHAPE)
    flat = Network(FLAT, rng=0, dtype=dtype)
    assert net.predict(x).tobytes() == flat.predict(rows).tobytes()
    assert net.loss(x, t) == flat.loss(rows, t) and net.accuracy(x, t) == flat.accuracy(rows, t)
    pairs = [(net.gradient(x, t), flat.gradient(rows, t))]
    pairs.append((net.numerical_gradient(x, t), flat.numerical_gradient(rows, t)))
    dy = shapes.numbers(3, N, K, dtype=np.dtype(dtype).type)
    (grads, dx), (flat_grads, flat_dx) = (one.backward(s, dy, need_dx=True) for one, s in ((net, x), (flat, rows)))
    assert dx.tobytes() == flat_dx.tobytes() and dx.shape == x.shape
    assert reference.flatten_backward(flat_dx, x)[0].tobytes() == dx.tobytes()
    for found, expected in [*pairs, (grads, flat_grads)]:
        assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)
    assert net.step(x, t, SGD(0.1)) == flat.step(rows, t, SGD(0.1))
    options: Any = {"epochs": 2, "batch_size": 4, "rng": 1, "progress": False}
    both = [one.fit(s, t, validation_data=(s, t), **options) for one, s in ((net, x), (flat, rows))]
    assert both[0].loss == both[1].loss and both[0].validation_loss == both[1].validation_loss
    assert net.engine.values.tobytes() == flat.engine.values.tobytes()


def test_flatten_has_no_memory_and_no_units() -> None:
    net = Network([Flatten(), Affine(60, 8), Flatten(), Sigmoid(), Affine(8, K), Flatten()], input_shape=SHAPE, rng=0)
    plain = Network(FLAT, rng=0)
    assert net.engine.plan.layers == plain.engine.plan.layers and net.engine.columns == plain.engine.columns
    assert net.engine.plan.operations[:, :7].tolist() == plain.engine.plan.operations[:, :7].tolist()
    assert [array.shape for array in net.outputs_of_layers(images("float32"))] == [(N, s) for s in (60, 8, 8, 8, K, K)]
    words = [("flatten",), ("affine", 60, 8), ("sigmoid",), ("affine", 8, K)]
    params = {name: array.astype(np.float64) for name, array in net.params.items()}
    assert_close(net.predict(images("float32")), reference.network_forward(words, params, images()), "float32")
    found, expected = (
        net.gradient(images("float32"), labels()),
        reference.network_gradient(words, params, images(), labels())[1],
    )
    for name in expected:
        assert_close(found[name], expected[name], "float32")


# --- images to images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_layers_give(dtype: str) -> None:
    net, x = network(dtype), images(dtype)
    expected = outputs(net.params, x)
    for found, wanted in zip(net.outputs_of_layers(x), expected, strict=True):
        assert found.shape == wanted.shape
        assert_close(found, wanted, dtype)
    out = np.full((N, K), np.nan, dtype)
    assert net.predict(x, out=out) is out and out.tobytes() == net.outputs_of_layers(x)[-1].tobytes()
    assert net.predict(x[:0]).shape == (0, K)
    assert (net.inputs, net.outputs, net.input_shape, net.output_shape) == (60, K, SHAPE, (K,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients(dtype: str) -> None:
    net, x, t = network(dtype), images(dtype), labels()
    expected = gradient(net.params, x, t)
    tolerance: Any = {"rtol": 1e-4, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-6, "atol": 1e-9}
    for found in (net.gradient(x, t), net.numerical_gradient(x, t)):
        assert list(found) == list(expected) == ["mix1", "scale1", "scale2", "W1", "b1"]
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, **tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_check_of_gradients(dtype: str) -> None:
    net, x, t = network(dtype), images(dtype), labels()
    report = fastnn.check_gradients(net, x, t)
    assert report.verdict == "agree", str(report)
    assert list(report.tensors) == ["mix1", "scale1", "scale2", "W1", "b1"]
    for name in ("mix1", "scale1"):
        wrong = net.gradient(x, t)
        wrong[name][-1] *= 1.02
        verdicts = {
            key: tensor.verdict for key, tensor in fastnn.check_gradients(net, x, t, gradient=wrong).tensors.items()
        }
        assert verdicts == {key: "differ" if key == name else "agree" for key in wrong}


def test_a_check_of_gradients_finds_a_wrong_backward_pass() -> None:
    """The layer's gradient is wrong for one row of pixels; the layers after it are right."""
    layers = [Mix(2), WrongPool(), Flatten(), Affine(12, K)]
    net, x, t = Network(layers, rng=0, dtype="float64", input_shape=SHAPE), images(), labels()
    net.params["mix1"][...] = shapes.numbers(1, 2, 2)
    report = fastnn.check_gradients(net, x, t)
    assert [tensor.verdict for tensor in report.tensors.values()] == ["differ", "agree", "agree"], str(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_is_that_of_numpy(dtype: str) -> None:
    net, x, t = network(dtype), images(dtype), labels()
    params = {name: array.astype(np.float64) for name, array in net.params.items()}
    tolerance: Any = {"rtol": 1e-3, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-6, "atol": 1e-8}
    for _ in range(3):
        assert_close(net.step(x, t, SGD(0.5)), loss(params, x, t), rtol=tolerance["rtol"])
        params = {name: params[name] - 0.5 * slope for name, slope in gradient(params, x, t).items()}
    for name, array in net.params.items():
        np.testing.assert_allclose(array, params[name], **tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_on_any_number_of_threads(dtype: str) -> None:
    found, rows = set(), 15 if JIT_DISABLED else 150
    for parts in (1, 2, 3):
        net, x, t = network(dtype, n_threads=parts), images(dtype, rows), labels(rows)
        net.fit(x, t, epochs=2, batch_size=rows - rows // 15, optimizer=Momentum(0.1), rng=0, progress=False)
        gradients = [*net.gradient(x, t).values(), *net.numerical_gradient(x[:4], t[:4]).values()]
        found.add((net.engine.values.tobytes(), net.predict(x).tobytes(), *(array.tobytes() for array in gradients)))
    assert len(found) == 1


def test_saved_and_loaded(path: pathlib.Path) -> None:
    net, x, t = network(), images(), labels()
    net.step(x, t, Momentum(0.1))
    net.save(path)
    again = fastnn.load(path)
    assert again.input_shape == SHAPE and again.layers == net.layers and repr(again) == repr(net)
    assert again.predict(x).tobytes() == net.predict(x).tobytes()
    assert again.step(x, t, Momentum(0.1)) == net.step(x, t, Momentum(0.1))
    assert again.engine.values.tobytes() == net.engine.values.tobytes()


def test_a_summary_shows_shapes() -> None:
    rows = [" ".join(line.split()) for line in network().summary().splitlines()[2:10]]
    assert rows == [
        "Mix(3) 3 x 5 x 6 6",
        "Tanh() 3 x 5 x 6 -",
        "Scale() 3 x 5 x 6 3",
        "Pool() 3 x 2 x 3 -",
        "Dropout(0.0) 3 x 2 x 3 -",
        "Scale() 3 x 2 x 3 3",
        "Flatten() 18 -",
        "Affine(18, 3) 3 57",
    ]
    assert repr(network()).endswith('loss="softmax_cross_entropy", dtype="float64", input_shape=(2, 5, 6))')


# --- outputs that are images ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_as_outputs(dtype: str) -> None:
    """Targets and gradients have the shape of the outputs; the mean squared error equals the flat outputs'."""
    x, t = images(dtype), shapes.numbers(5, N, 3, 2, 3, dtype=np.dtype(dtype).type)
    net, flat = (
        Network([Mix(3), Pool(), Tanh(), *rest], "mean_squared_error", input_shape=SHAPE, dtype=dtype, rng=0)
        for rest in ((), (Flatten(),))
    )
    for one in (net, flat):
        one.params["mix1"][...] = shapes.numbers(1, 3, 2)
    rows = t.reshape(N, -1)
    assert net.predict(x).shape == t.shape and net.predict(x).tobytes() == flat.predict(x).tobytes()
    assert net.loss(x, t) == flat.loss(x, rows)
    assert net.gradient(x, t)["mix1"].tobytes() == flat.gradient(x, rows)["mix1"].tobytes()
    assert net.numerical_gradient(x, t)["mix1"].tobytes() == flat.numerical_gradient(x, rows)["mix1"].tobytes()
    (grads, dx), (_, flat_dx) = (one.backward(x, dy, need_dx=True) for one, dy in ((net, t), (flat, rows)))
    assert dx.shape == x.shape and dx.tobytes() == flat_dx.tobytes() and np.isfinite(grads["mix1"]).all()
    assert net.step(x, t, SGD(0.1)) == flat.step(x, rows, SGD(0.1))
    history = net.fit(x, t, epochs=2, batch_size=4, validation_data=(x, t), progress=False, rng=0)
    assert history.last().keys() == {"loss", "validation_loss", "seconds", "learning_rate"}
    for call in (net.loss, net.gradient, lambda x, t: net.fit(x, t, epochs=1)):
        with pytest.raises(ValueError, match=rf"^t: expected a {dtype} array of shape \({N}, 3, 2, 3\), got shape"):
            call(x, rows)
    with pytest.raises(ValueError, match=r"^accuracy: expected a network of outputs in one dimension"):
        net.accuracy(x, labels())


def test_predictions_in_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = network(), images(rows=300)
    whole = net.predict(x)
    monkeypatch.setattr("fastnn.engine.engine.FLOP_PER_CALL", 1.0)
    assert net.predict(x).tobytes() == whole.tobytes()


def test_the_gradient_by_the_data() -> None:
    net, x, dy = network(), images(), shapes.numbers(2, N, K)
    dx = net.backward(x, dy, need_dx=True)[1]
    assert dx.shape == x.shape
    for index in ((0, 0, 0, 0), (3, 1, 2, 4), (N - 1, 1, 4, 5)):
        moved = np.stack([x, x])
        moved[0][index] += 1e-5
        moved[1][index] -= 1e-5
        above, below = (float((net.predict(one) * dy).sum()) for one in moved)
        assert_close(dx[index], (above - below) / 2e-5, rtol=1e-6, atol=1e-9)


# --- refusals ---------------------------------------------------------------------------------------------------------

ROW, AGAIN = "expected inputs in one dimension for", "got the shape (2, 5, 6); add Flatten() before it"
SIZES = "expected the shape of one sample, a tuple of 1 to 3 integers"
SIZE = "expected an integer of at least 1 and of at most 2147483647"
CLASSES = "expected outputs in one dimension, one for each class, for the loss softmax_cross_entropy"


@pytest.mark.parametrize(
    ("layers", "shape", "sentence"),
    [
        (
            [Affine(60, 3)],
            SHAPE,
            "layers[0]: expected inputs of the shape (60,) for Affine(60, 3), got (2, 5, 6); add Flatten() before it",
        ),
        (
            [Relu(), Affine(9, 3)],
            SHAPE,
            "layers[1]: expected inputs of the shape (9,) for Affine(9, 3), got (2, 5, 6); add Flatten() before it, "
            "and take Affine(60, 3)",
        ),
        (
            [PRelu()],
            SHAPE,
            f"layers[0]: {ROW} PRelu(0.25), got the shape (2, 5, 6); take LeakyRelu() for images, or add "
            "Flatten() before it",
        ),
        ([Softmax()], SHAPE, f"layers[0]: {ROW} Softmax(), {AGAIN}"),
        (
            [Pool(), Pool(), Pool()],
            SHAPE,
            "layers[2]: expected images of at least 2 x 2 pixels for Pool(), got the shape (2, 1, 1); pad them",
        ),
        ([Flatten()], SHAPE, "layers: expected one that computes, such as Affine(4, 3), got Flatten() alone; add one"),
        ([Relu()], SHAPE, f"layers: {CLASSES}, got the shape (2, 5, 6); add Flatten(), and an Affine layer after it"),
        ([Affine(4, 3)], (5,), "input_shape: expected (4,), as Affine(4, 3) says, got (5,); leave it out"),
        ([Relu()], (2, 0, 3), f"input_shape[1]: {SIZE}, got 0"),
        ([Relu()], (2, 2.5), f"input_shape[1]: {SIZE}, got 2.5; pass 2 or 3"),
        ([Relu()], (1, 2, 3, 4), f"input_shape: {SIZES}, got 4 of them; pass one such as (1, 28, 28)"),
        ([Relu()], "28", f"input_shape: {SIZES}, got '28'; pass one such as (1, 28, 28)"),
        (
            [Relu()],
            (2000, 2000, 2000),
            "layers: expected tensors that fit into memory, got samples of the shape (2000, 2000, 2000)",
        ),
    ],
)
def test_refused_shapes(layers: Any, shape: Any, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError, MemoryError), match=f"^{re.escape(sentence)}$"):
        Network(layers, input_shape=shape)


def test_samples_of_other_shapes() -> None:
    net, t = network(), labels()
    calls: list[Callable[[Any], Any]] = [
        net.predict, net.outputs_of_layers, lambda x: net.loss(x, t), lambda x: net.accuracy(x, t),
        lambda x: net.gradient(x, t), lambda x: net.step(x, t, SGD(0.1)), lambda x: net.fit(x, t, epochs=1),
        lambda x: net.numerical_gradient(x, t), lambda x: net.backward(x, np.zeros((N, K))),
    ]  # fmt: skip
    expected = "x: expected a float64 array of shape (N, 2, 5, 6), got shape"
    wrong = (
        (images().reshape(N, 60), "(9, 60); pass x.reshape(-1, 2, 5, 6)"),
        (images()[0], "(2, 5, 6); for a single image pass x[None]"),
        (images()[:, :1], "(9, 1, 5, 6)"),
    )
    for call, (x, came) in itertools.product(calls, wrong):
        with pytest.raises(ValueError, match=f"^{re.escape(f'{expected} {came}')}$"):
            call(x)
    with pytest.raises(ValueError, match=r"^x: expected finite values, got nan at x\[1, 0, 0, 2\]"):
        net.predict(np.where(np.arange(N * 60).reshape(N, *SHAPE) == 62, np.nan, 0.0))
    assert net.predict(np.asfortranarray(images())).tobytes() == net.predict(images()).tobytes()


def test_an_integer_is_a_row() -> None:
    assert Network([Relu(), Affine(4, 3)], input_shape=4).input_shape == (4,)
    assert Network([Affine(4, 3)], input_shape=[4]).input_shape == (4,)


def test_a_network_without_parameters() -> None:
    net, x = Network([Tanh()], "mean_squared_error", input_shape=SHAPE), images("float32")
    assert_close(net.predict(x), np.tanh(x.astype(np.float64)), "float32")
    assert net.gradient(x, x) == net.numerical_gradient(x, x) == {}
    assert net.step(x, x, SGD(0.1)) == net.loss(x, x)


@pytest.mark.parametrize(
    ("layers", "shape", "multiplications"),
    [([Mix(3)], SHAPE, 6 * 30), ([Affine(30, 8), Tanh(), Affine(8, 3)], (30,), 31 * 8 + 9 * 3)],
    ids=["image", "row"],
)
def test_threads_are_chosen_by_the_work(
    layers: list[Any], shape: tuple[int, ...], multiplications: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six parameters that meet 30 pixels each do the work of 180."""
    found: list[float] = []
    run = threads.run

    def noted(entry: Any, work: float, *arguments: Any, **options: Any) -> Any:
        found.append(work)
        return run(entry, work, *arguments, **options)

    monkeypatch.setattr(threads, "run", noted)
    net = Network(layers, "mean_squared_error", rng=0, dtype="float64", input_shape=shape)
    x, t = shapes.numbers(7, N, *shape), np.zeros((N, *net.output_shape))
    for method, arguments, share in (
        (net.predict, (x,), 1.0),
        (net.gradient, (x, t), 0.3),
        (net.backward, (x, t), 0.3),
        (net.numerical_gradient, (x, t), 1.0),
    ):
        found.clear()
        method(*arguments)
        np.testing.assert_allclose(found[0], share * 2.0 * multiplications * N, rtol=0.05, err_msg=str(method))
