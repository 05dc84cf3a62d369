"""The step with its value at 0, in every part that computes, keeps or exchanges it, against np.heaviside."""

import importlib
import pathlib
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn.command import specs
from tests.book_style import observe_always, plain_loop, reasons, ways

POINTS = [-np.inf, -2.0, -5e-324, -0.0, 0.0, 5e-324, 3.0, np.inf]


def expected(x: Any, at_zero: float) -> Any:
    return np.where(np.isnan(x), 0.0, np.heaviside(x, at_zero))


@pytest.fixture(params=[0.0, 1.0])
def at_zero(request: pytest.FixtureRequest) -> float:
    return float(request.param)


def network(at_zero: float, dtype: Any = "float64") -> fastnn.Network:
    """Inputs of integers meet the step at 0 exactly."""
    net = fastnn.Network([fastnn.Affine(2, 3), fastnn.Step(at_zero), fastnn.Affine(3, 2)], dtype=dtype, rng=0)
    net.params["W1"][...], net.params["b1"][...] = [[1, 1, -1], [1, -1, 1]], [0, 0, 1]
    return net


CORNERS = np.array([[i, j] for i in (-1.0, 0.0, 1.0) for j in (-1.0, 0.0, 1.0)])


def outputs(net: fastnn.Network, at_zero: float) -> Any:
    p = {name: array.astype(np.float64) for name, array in net.params.items()}
    return np.heaviside(CORNERS @ p["W1"] + p["b1"], at_zero) @ p["W2"] + p["b2"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(dtype: str, at_zero: float) -> None:
    x = np.tile(np.array([*POINTS, np.nan]).astype(dtype), 7)  # vectors, and what is left
    kept = expected(x, at_zero)
    found = [fastnn.step(x, at_zero=at_zero), fastnn.activation_forward("step", x, at_zero=at_zero)]
    found.append(reference.activation_forward("step", x, at_zero=at_zero))
    for y in found:
        np.testing.assert_array_equal(y, kept)
        assert y.dtype == dtype
    dx = fastnn.activation_backward("step", np.ones_like(x), x, found[0], at_zero=at_zero)
    np.testing.assert_array_equal(dx, np.zeros_like(x))
    np.testing.assert_array_equal(fastnn.step(x), expected(x, 0.0))  # as ever
    assert fastnn.Step() == fastnn.Step(0.0) != fastnn.Step(1.0)


@pytest.mark.parametrize("value", [0.5, -1.0, 2, np.nan, "1", None, True])
def test_other_values_are_refused(value: Any) -> None:
    x = np.zeros(2)
    for call in (
        lambda: fastnn.Step(value),
        lambda: fastnn.step(x, at_zero=value),
        lambda: fastnn.activation_forward("step", x, at_zero=value),
    ):
        with pytest.raises((TypeError, ValueError), match=r"^at_zero: expected "):
            call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network(dtype: str, at_zero: float) -> None:
    net = network(at_zero, dtype)
    x, t = CORNERS.astype(dtype), np.arange(9) % 2
    np.testing.assert_allclose(net.predict(x), outputs(net, at_zero), rtol=1e-6)
    assert str(net.layers[1]) == f"Step({at_zero})"
    # Each entry moved: at 0 a sum of a row jumps upward only where the step is 0 there, downward where it is 1.
    loss = "softmax_cross_entropy"
    assert net.loss_name == loss
    found = net.numerical_gradient(x, t, h=2.0**-10)

    def by_loop(name: str) -> Any:
        double = network(at_zero)
        double.params.update({key: array.astype(np.float64) for key, array in net.params.items()})
        one = double.params[name]

        def f(v: Any) -> float:
            one[...] = v
            return float(reference.softmax_cross_entropy(outputs(double, at_zero), t)[0])

        return reference.numerical_gradient(f, one.copy(), h=2.0**-10)

    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, by_loop(name), rtol=1e-4, atol=1e-6, err_msg=name)


def test_files_and_texts(tmp_path: pathlib.Path, at_zero: float) -> None:
    net = network(at_zero)
    net.save(tmp_path / "steps.npz")
    back = fastnn.load(tmp_path / "steps.npz")
    assert back.layers == net.layers
    np.testing.assert_array_equal(back.predict(CORNERS), net.predict(CORNERS))
    written = f"affine 3, step {at_zero:g}, affine 2"
    assert specs.layers("--layers", written, (2,)) == list(net.layers)
    assert specs.layers("--layers", "affine 3, step at_zero=1", (2,))[1] == fastnn.Step(1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_onnx(dtype: str, at_zero: float) -> None:
    pytest.importorskip("onnx")
    models = importlib.import_module("tests.onnx_models")
    net, x = network(at_zero, dtype), CORNERS.astype(dtype)
    model = net.to_onnx()
    for compute in (models.evaluated, models.run):
        np.testing.assert_allclose(compute(model, x), outputs(net, at_zero), rtol=1e-6)
    assert fastnn.Network.from_onnx(model).layers[1] == fastnn.Step(at_zero)


def test_torch(at_zero: float) -> None:
    torch = pytest.importorskip("torch")
    net = network(at_zero)
    module = net.to_torch()
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(CORNERS)).numpy(), outputs(net, at_zero), rtol=1e-12)
    assert fastnn.Network.from_torch(module).layers[1] == fastnn.Step(at_zero)


WRITTEN: dict[str, tuple[Any, str]] = {
    "greater": (lambda v: (v > 0).astype(float), "Step"),
    "at least": (lambda v: np.where(v >= 0, 1.0, 0.0), "Step"),
    "half": (lambda v: np.heaviside(v, 0.5), ""),  # no layer of fastnn
}


@pytest.mark.parametrize("name", WRITTEN)
def test_it_is_recognized_by_its_value_at_0(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most sums here are 0 exactly, so a step taken for another one would show."""
    observe_always(monkeypatch)
    activation, layer = WRITTEN[name]
    x, t = np.random.default_rng(0).integers(-1, 2, (20, 3)).astype(np.float64), np.arange(20) % 4
    p = {"W1": np.ones((3, 5)), "W2": np.random.default_rng(1).standard_normal((5, 4))}

    def f(_: Any) -> Any:
        scores = activation(x @ p["W1"]) @ p["W2"]
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return -np.mean(np.log(shares[np.arange(len(t)), t]))

    from fastnn.dropin import record
    from fastnn.dropin.common.gradient import numerical_gradient

    record.reset()
    found = numerical_gradient(f, p["W1"])
    np.testing.assert_allclose(found, plain_loop(f, p["W1"]), rtol=0, atol=1e-9)
    assert ways() == (["engine"] if layer else ["plain loop"])
    assert layer in reasons()
