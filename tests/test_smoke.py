"""`pytest -m smoke`: every part of fastnn once, against a reference, within seconds once its kernels are compiled."""

import contextlib
import pathlib
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Adam, Affine, Network, Relu, Sigmoid, reference
from fastnn.command.cli import main
from fastnn.dropin.common.gradient import numerical_gradient as of_the_book
from fastnn.models import LinearRegression, Perceptron
from tests.shapes import numbers

pytestmark = pytest.mark.smoke
X, T = numbers(1, 12, 5, dtype=np.float32), np.arange(12) % 3


def network(dtype: str = "float32") -> Network:
    return Network([Affine(5, 7), Sigmoid(), Affine(7, 3)], rng=0, dtype=dtype)


def test_functions_on_arrays() -> None:
    W, b = numbers(2, 5, 7, dtype=np.float32), numbers(3, 7, dtype=np.float32)
    y = fastnn.affine_forward(X, W, b)
    np.testing.assert_allclose(y, X @ W + b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fastnn.activation_forward("relu", y), np.maximum(y, 0))
    np.testing.assert_allclose(fastnn.softmax(y), reference.softmax(y), rtol=1e-5)
    loss, dy = fastnn.softmax_cross_entropy(y, T)
    expected, expected_dy = reference.softmax_cross_entropy(y.astype(np.float64), T)
    assert loss == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(dy, expected_dy, rtol=1e-4, atol=1e-7)


def test_gradients_of_a_network() -> None:
    net = network("float64")
    gradients, quotients = net.gradient(X, T), net.numerical_gradient(X, T)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, quotients[name], rtol=1e-5, atol=1e-9)
    assert fastnn.check_gradients(net, X, T).passed


@pytest.mark.parametrize("optimizer", [SGD(0.5), Adam(0.05)], ids=lambda optimizer: type(optimizer).__name__)
def test_training(optimizer: Any) -> None:
    nets = [network() for _ in range(2)]
    for net, threads in zip(nets, (1, 2), strict=True):
        net.n_threads = threads
        before = net.loss(X, T)
        options: Any = {"optimizer": optimizer, "rng": 0, "validation_data": (X, T), "progress": False}
        history = net.fit(X, T, epochs=5, batch_size=4, **options)
        assert net.loss(X, T) == history.validation_loss[-1] < before
    assert all(nets[0].params[name].tobytes() == nets[1].params[name].tobytes() for name in nets[0].params)


def test_files(tmp_path: pathlib.Path) -> None:
    net = network()
    net.step(X, T, SGD(0.1))
    net.save(tmp_path / "net.npz")
    assert fastnn.load(tmp_path / "net.npz").predict(X).tobytes() == net.predict(X).tobytes()


def test_numerical_gradients_of_functions() -> None:
    x = np.array([3.0, 4.0])
    for gradient in (fastnn.numerical_gradient, of_the_book):
        np.testing.assert_allclose(gradient(lambda x: np.sum(x**2), x), [6.0, 8.0], rtol=1e-8)


def test_a_function_of_ones_own() -> None:
    cubic = fastnn.activation(lambda x: x * x * x, derivative=lambda x, y: 3.0 * x * x, name="smoke_cubic")
    y = Network([Affine(5, 3), cubic()], loss="mean_squared_error", rng=0).predict(X)
    net = Network([Affine(5, 3)], loss="mean_squared_error", rng=0)
    np.testing.assert_allclose(y, net.predict(X) ** 3, rtol=1e-5, atol=1e-6)


def test_models_and_validation() -> None:
    signs, values = (X.sum(axis=1) > 0).astype(np.intp), X @ np.arange(5.0) + 1.0
    perceptron, line = Perceptron(), LinearRegression()
    perceptron.fit(X, signs, epochs=500)
    assert perceptron.accuracy(X, signs) == 1.0
    np.testing.assert_allclose(line.closed_form(X, values).predict(X).ravel(), values, rtol=1e-4, atol=1e-4)
    scores = fastnn.cross_validate(
        lambda rng: Network([Affine(5, 4), Relu(), Affine(4, 3)], rng=rng), X, T, folds=2, rng=0, epochs=1
    )
    assert np.isfinite(scores.loss).all() and len(scores.loss) == 2
    assert fastnn.confusion_matrix(T, T).tolist() == np.diag([4, 4, 4]).tolist()


def test_data() -> None:
    (x, t), (x_test, _) = fastnn.datasets.load_digits()
    assert (len(x) + len(x_test), x.shape[1], set(np.unique(t))) == (1797, 64, set(range(10)))


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        assert main(["info"]) == 0
    assert fastnn.__version__ in capsys.readouterr().out


def test_a_table(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{i % 7},{'left' if i % 7 < 3 else 'right'}" for i in range(70)]
    (tmp_path / "data.csv").write_text("\n".join(["x,side", *rows]))
    data, net = str(tmp_path / "data.csv"), str(tmp_path / "net.npz")
    options = ["--target", "side", "--hidden", "0", "--lr", "1", "--optimizer", "sgd", "--epochs", "20", "--quiet"]
    assert main(["train", "--data", data, *options, "--save", net]) == 0
    capsys.readouterr()
    assert main(["predict", net, data, "--keep", "x"]) == 0
    assert capsys.readouterr().out.splitlines() == ["x,side", *rows]
