"""Batch normalization of images, channel by channel: beside the twin and PyTorch, in checks and numerical gradients."""

import copy
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, BatchNorm, Flatten, Momentum, Network, Relu, Tanh, reference
from fastnn.kernels.compile import JIT_DISABLED
from tests import shapes
from tests.image_layers import Mix, registered
from tests.tolerances import assert_close

N, K, SHAPE = 7, 3, (3, 5, 6)
WIDTH = 90


@pytest.fixture(autouse=True)
def layers_of_tests() -> Iterator[None]:
    with registered():
        yield


def network(dtype: str = "float64", **options: Any) -> Network:
    """Images through batch normalization with learned statistics that differ from channel to channel."""
    layers = [Mix(3), BatchNorm(0.7, 0.01), Tanh(), BatchNorm(), Flatten(), Affine(WIDTH, K)]
    net = Network(layers, rng=0, dtype=dtype, input_shape=SHAPE, **options)
    for seed, array in enumerate([*net.params.values(), *net.statistics.values()]):
        array[...] = shapes.numbers(seed, *array.shape) * (0.2 if array.ndim == 2 else 1.0)
    for array in (net.statistics["variance1"], net.statistics["variance2"]):
        array[...] = np.abs(array) + 0.5
    return net


def images(dtype: Any = "float64", rows: int = N, shape: tuple[int, ...] = SHAPE) -> Any:
    return (3.0 * shapes.numbers(7, rows, *shape) + 1.0).astype(dtype)


def labels(rows: int = N) -> Any:
    return np.arange(rows) % K


def test_shapes_and_beginnings() -> None:
    net = Network([BatchNorm(), Flatten(), Affine(WIDTH, K)], input_shape=SHAPE)
    assert [net.params[name].tolist() for name in ("gamma1", "beta1")] == [[1.0] * 3, [0.0] * 3]
    assert [net.statistics[name].tolist() for name in ("mean1", "variance1")] == [[0.0] * 3, [1.0] * 3]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_and_gradients_are_those_of_numpy(dtype: str) -> None:
    """By the learned statistics."""
    net, x = network(dtype), images(dtype)
    p = {name: array.astype(np.float64) for name, array in [*net.params.items(), *net.statistics.items()]}
    mixed = np.einsum("fc,nchw->nfhw", p["mix1"], x.astype(np.float64))
    found = net.outputs_of_layers(x)
    for which, before, after, epsilon in ((1, mixed, found[1], 0.01), (2, found[2], found[3], 1e-5)):
        own = [p[f"{name}{which}"] for name in ("gamma", "beta", "mean", "variance")]
        wanted = reference.batch_norm_forward(before.astype(np.float64), own[0], own[1], epsilon, (own[2], own[3]))
        assert_close(after, wanted, dtype)
    exact, numerical = net.gradient(x, labels()), net.numerical_gradient(x, labels())
    tolerance: Any = {"rtol": 1e-3, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-6, "atol": 1e-9}
    for name, array in exact.items():
        np.testing.assert_allclose(array, numerical[name], **tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 2), (3, 5, 6), (2, 1, 17), (4, 26, 25)], ids=str)
def test_a_step_is_that_of_numpy(shape: tuple[int, ...], dtype: str) -> None:
    """The gradient goes through the statistics of the batch; the running ones are made unbiased by N H W numbers."""
    x, t = images(dtype, shape=shape), shapes.numbers(3, N, *shape).astype(dtype)
    net = Network([BatchNorm(0.75, 0.01), BatchNorm()], "mean_squared_error", input_shape=shape, dtype=dtype)
    net.params["gamma1"][...], net.params["beta1"][...] = shapes.numbers(1, shape[0]), shapes.numbers(2, shape[0])
    p = {name: array.astype(np.float64) for name, array in net.params.items()}
    wide = x.astype(np.float64)
    middle = reference.batch_norm_forward(wide, p["gamma1"], p["beta1"], 0.01)
    outputs = reference.batch_norm_forward(middle, p["gamma2"], p["beta2"])
    loss, dy = reference.mean_squared_error(outputs.reshape(N, -1), t.reshape(N, -1).astype(np.float64))
    back, *second = reference.batch_norm_backward(dy.reshape(outputs.shape), middle, p["gamma2"])
    _, *first = reference.batch_norm_backward(back, wide, p["gamma1"], 0.01)
    wanted = dict(zip(p, [*first, *second], strict=True))
    tolerance: Any = {"rtol": 2e-3, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(net.step(x, t, SGD(0.5)), loss, **tolerance)
    for name, array in net.params.items():
        np.testing.assert_allclose(array, p[name] - 0.5 * wanted[name], **tolerance, err_msg=name)
    for values, number in ((wide, 1), (middle, 2)):
        keep, rows = (0.75, 0.9)[number - 1], np.moveaxis(values, 1, -1).reshape(-1, shape[0])
        np.testing.assert_allclose(net.statistics[f"mean{number}"], (1 - keep) * rows.mean(axis=0), **tolerance)
        variance = keep + (1 - keep) * rows.var(axis=0, ddof=1)
        np.testing.assert_allclose(net.statistics[f"variance{number}"], variance, **tolerance)


@pytest.mark.parametrize("rows", [1, 2, N])
def test_steps_are_those_of_pytorch(rows: int) -> None:
    torch = pytest.importorskip("torch")
    options: Any = {"dtype": torch.float64}
    model = torch.nn.Sequential(
        torch.nn.BatchNorm2d(3, 0.01, 0.3, **options), torch.nn.Tanh(), torch.nn.Flatten(),
        torch.nn.Linear(WIDTH, K, **options),
    )  # fmt: skip
    layers = [BatchNorm(0.7, 0.01), Tanh(), Flatten(), Affine(WIDTH, K)]
    net, x, t = Network(layers, input_shape=SHAPE, dtype="float64", rng=0), images()[:rows], labels()[:rows]
    with torch.no_grad():
        for parameter, name in zip(model.parameters(), net.params, strict=True):
            parameter.copy_(torch.tensor(net.params[name].T))
    optimizer = torch.optim.SGD(model.parameters(), 0.3)
    for _ in range(5):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(t))
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(net.step(x, t, SGD(0.3)), loss.item(), rtol=1e-9)
    model.eval()
    np.testing.assert_allclose(net.predict(x), model(torch.tensor(x)).detach().numpy(), rtol=1e-8, atol=1e-10)
    for name, array in (("mean1", model[0].running_mean), ("variance1", model[0].running_var)):
        np.testing.assert_allclose(net.statistics[name], array.numpy(), rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_check_of_gradients(dtype: str) -> None:
    net, x, t = network(dtype), images(dtype), labels()
    report = fastnn.check_gradients(net, x, t)
    assert report.verdict == "agree", str(report)
    for name in ("gamma1", "beta2"):
        wrong = net.gradient(x, t)
        wrong[name][-1] *= 1.02
        verdicts = {key: one.verdict for key, one in fastnn.check_gradients(net, x, t, gradient=wrong).tensors.items()}
        assert verdicts == {key: "differ" if key == name else "agree" for key in wrong}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_on_any_number_of_threads(dtype: str) -> None:
    found, rows = set(), 15 if JIT_DISABLED else 150
    for parts in (1, 2, 3):
        net, x, t = network(dtype, n_threads=parts), images(dtype, rows), labels(rows)
        net.fit(x, t, epochs=2, batch_size=rows - rows // 15, optimizer=Momentum(0.1), rng=0, progress=False)
        gradients = [*net.gradient(x, t).values(), *net.numerical_gradient(x[:4], t[:4]).values()]
        found.add((net.engine.values.tobytes(), net.predict(x).tobytes(), *(array.tobytes() for array in gradients)))
    assert len(found) == 1


def test_a_pixel_is_a_row() -> None:
    """Images of one pixel give the bits of samples in one dimension."""
    x, t = images("float32", shape=(5, 1, 1)), labels()
    image = Network([BatchNorm(), Relu(), Flatten(), Affine(5, K)], input_shape=(5, 1, 1), rng=0)
    flat = Network([BatchNorm(), Relu(), Affine(5, K)], input_shape=5, rng=0)
    for _ in range(2):
        assert image.step(x, t, SGD(0.1)) == flat.step(x.reshape(N, 5), t, SGD(0.1))
    assert image.engine.values.tobytes() == flat.engine.values.tobytes()


def test_a_large_mean_costs_no_digits() -> None:
    x = images("float32") * np.float32(1e-3) + np.float32(1000.0)
    net = Network([BatchNorm(0.0)], "mean_squared_error", input_shape=SHAPE)
    net.step(x, x * 0, SGD(0.0))
    variance = np.moveaxis(x.astype(np.float64), 1, -1).reshape(-1, 3).var(axis=0, ddof=1)
    np.testing.assert_allclose(net.statistics["variance1"], variance, rtol=1e-5)


def test_saved_and_loaded(path: pathlib.Path) -> None:
    net, x, t = network(), images(), labels()
    net.step(x, t, SGD(0.1))
    net.save(path)
    again = fastnn.load(path)
    assert again.predict(x).tobytes() == net.predict(x).tobytes()
    assert again.statistics["mean1"].tobytes() == net.statistics["mean1"].tobytes()


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected inputs in one dimension, or images .*, got the shape \(4, 3\)"):
        Network([Relu(), BatchNorm()], input_shape=(4, 3))


def test_one_image_is_a_batch() -> None:
    """But not if its channels have one pixel each, or if the rows behind the images are normalized, too."""
    net, x, t = network("float64"), images(), labels()
    again = copy.deepcopy(net)
    net.fit(x[:3], t[:3], epochs=1, batch_size=2, shuffle=False, optimizer=SGD(0.1), progress=False)
    for rows in (slice(0, 2), slice(2, 3)):
        again.step(x[rows], t[rows], SGD(0.1))
    assert net.engine.values.tobytes() == again.engine.values.tobytes()
    lone = r"batch: expected at least 2 rows, as BatchNorm goes by their mean and variance, got 1"
    pixel = Network([BatchNorm(), Flatten(), Affine(3, K)], input_shape=(3, 1, 1), rng=0)
    behind = Network([BatchNorm(), Flatten(), BatchNorm(), Affine(WIDTH, K)], input_shape=SHAPE, rng=0)
    for refusing, one in ((pixel, x[:1, :, :1, :1]), (behind, x[:1])):
        with pytest.raises(ValueError, match=lone):
            refusing.step(one, t[:1], SGD(0.1))
