"""Networks that multiply their inputs: the same bits as by data that were multiplied before."""

import copy
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from tests.shapes import DTYPES, Array, FloatType

SCALE = 1 / 255
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_source = pytest.mark.parametrize("source", ["uint8", "float32", "float64"])


def pair_of(dtype: Any, scale: float = SCALE, **options: Any) -> tuple[fastnn.Network, fastnn.Network]:
    """A network with an input scale, and the same one without."""
    layers = [fastnn.Affine(20, 18), fastnn.Tanh(), fastnn.Affine(18, 4)]
    kept = {"rng": 0, "dtype": dtype, "n_threads": 2, **options}
    return fastnn.Network(layers, input_scale=scale, **kept), fastnn.Network(layers, **kept)


def data_of(source: str, dtype: Any, rows: int = 60, columns: int = 20, scale: float = SCALE) -> tuple[Any, Any, Array]:
    """x, the same data multiplied, and labels."""
    generator = np.random.default_rng(1)
    x = generator.integers(0, 256, (rows, columns)).astype(source)
    return x, x.astype(dtype) * dtype(scale), generator.integers(0, 4, rows)


def same(ours: Any, theirs: Any) -> None:
    """Assert equal bits."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        ours, theirs = list(ours.values()), list(theirs.values())
    if not isinstance(ours, list | tuple):
        ours, theirs = [ours], [theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert np.asarray(one).dtype == np.asarray(other).dtype
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


@every_source
@every_dtype
def test_passes_have_the_bits_of_data_that_were_multiplied(dtype: FloatType, source: str) -> None:
    net, other = pair_of(dtype)
    x, scaled, t = data_of(source, dtype)
    for _ in range(2):  # the second time all is known
        same(net.predict(x), other.predict(scaled))
        same(net.predict(x[:1]), other.predict(scaled[:1]))
        same(net.loss(x, t), other.loss(scaled, t))
        same(net.accuracy(x, t), other.accuracy(scaled, t))
        same(net.gradient(x, t), other.gradient(scaled, t))
        same(net.numerical_gradient(x[:3], t[:3]), other.numerical_gradient(scaled[:3], t[:3]))
        same(net.outputs_of_layers(x), other.outputs_of_layers(scaled))
    out = np.empty((60, 4), dtype)
    assert net.predict(x, out=out) is out
    same(out, other.predict(scaled))
    mine, its = fastnn.check_gradients(net, x[:5], t[:5]), fastnn.check_gradients(other, scaled[:5], t[:5])
    assert str(mine) == str(its) and mine.verdict == "agree"


@every_dtype
def test_a_loss_that_is_recognized_and_a_gradient_by_the_inputs(dtype: FloatType) -> None:
    net, other = pair_of(dtype)
    x, scaled, t = data_of("uint8", dtype, 8)
    same(
        fastnn.numerical_gradient(lambda _: net.loss(x, t), net.params["W1"]),
        fastnn.numerical_gradient(lambda _: other.loss(scaled, t), other.params["W1"]),
    )
    dy = np.random.default_rng(0).normal(size=(8, 4)).astype(dtype)
    gradients, dx = net.backward(x, dy, need_dx=True)
    expected, scaled_dx = other.backward(scaled, dy, need_dx=True)
    same(gradients, expected)
    same(dx, scaled_dx * dtype(SCALE))
    same(net.backward(x, dy), expected)


@every_source
@pytest.mark.parametrize("batch", [1, 7, 60])
def test_steps(source: str, batch: int) -> None:
    net, other = pair_of(np.float32)
    x, scaled, t = data_of(source, np.float32)
    optimizer = fastnn.Momentum(lr=0.1)
    for first in range(0, 60, batch):
        some = slice(first, first + batch)
        assert net.step(x[some], t[some], optimizer) == other.step(scaled[some], t[some], optimizer)
    same(dict(net.params), dict(other.params))


def test_copies_files_and_texts(tmp_path: pathlib.Path) -> None:
    net, _ = pair_of(np.float32)
    x, _, t = data_of("uint8", np.float32)
    net.save(tmp_path / "net.npz")
    for one in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net)), fastnn.load(tmp_path / "net.npz")):
        assert one.input_scale == SCALE
        same(one.predict(x), net.predict(x))
        same(one.step(x, t, fastnn.SGD()), copy.copy(net).step(x, t, fastnn.SGD()))
    assert repr(net).endswith(f', dtype="float32", input_scale={SCALE})')
    assert "float32, input_scale 0.00392157" in net.summary()
    assert "input_scale" not in repr(pair_of(np.float32)[1]) + pair_of(np.float32)[1].summary()


@pytest.mark.parametrize(
    ("scale", "came"),
    [
        (0.0, "got 0.0"),
        (-1.0, "got -1.0"),
        (np.nan, "got nan"),
        (np.inf, "got inf"),
        (1e-60, "got 1e-60; scale the data, or use float64"),
        (1e60, "got 1e[+]60; scale the data, or use float64"),
    ],
)
def test_a_scale_that_is_none(scale: float, came: str) -> None:
    with pytest.raises(ValueError, match=f"input_scale: expected a .*{came}"):
        pair_of(np.float32, scale)
    with pytest.raises(TypeError, match=r"input_scale: expected a finite number above 0[.]0, got"):
        pair_of(np.float32, "1/255")  # type: ignore[arg-type]


def test_data_that_overflow_when_they_are_multiplied() -> None:
    net, _ = pair_of(np.float32, 1e30)
    x, t = np.full((3, 20), 1e10, np.float32), np.zeros(3, int)
    calls: list[Any] = [lambda: net.predict(x), lambda: net.loss(x, t), lambda: net.step(x, t, fastnn.SGD())]
    for call in calls:
        with pytest.raises(ValueError, match=r"x [*] input_scale: expected finite values, got inf"):
            call()
    x[1, 2] = np.nan
    with pytest.raises(ValueError, match="x: expected finite values, got nan"):
        net.predict(x)
    assert np.isnan(net.predict(x, check_finite=False)[1]).all()


def test_factories_of_networks_with_different_scales() -> None:
    x, _, t = data_of("uint8", np.float32)
    scales = iter((1.0, 0.5))
    with pytest.raises(ValueError, match="the same inputs, outputs, loss, regularization, dtype and input_scale"):
        fastnn.cross_validate(lambda rng: pair_of(np.float32, next(scales))[0], x, t, folds=2, epochs=1)
    result = fastnn.cross_validate(lambda rng: pair_of(np.float32)[0], x, t, folds=2, epochs=1, rng=0)
    scaled = fastnn.cross_validate(
        lambda rng: pair_of(np.float32)[1], data_of("uint8", np.float32)[1], t, folds=2, epochs=1, rng=0
    )
    same(result.loss, scaled.loss)


@every_dtype
def test_other_libraries(dtype: FloatType, tmp_path: pathlib.Path) -> None:
    net, _ = pair_of(dtype)
    x = data_of("uint8", dtype)[0]
    torch = pytest.importorskip("torch")
    module = net.to_torch()
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), net.predict(x), rtol=1e-5, atol=1e-6)
    back = fastnn.Network.from_torch(module)
    same(back.predict(x), net.predict(x))
    with pytest.raises(ValueError, match="only of the inputs, got one between layers"):
        fastnn.Network.from_torch(torch.nn.Sequential(torch.nn.Linear(20, 20, dtype=module[1].weight.dtype), module))


@every_dtype
def test_onnx(dtype: FloatType) -> None:
    pytest.importorskip("onnx")
    net, _ = pair_of(dtype)
    x = data_of("uint8", dtype)[0]
    model = net.to_onnx()
    assert [node.op_type for node in model.graph.node] == ["Mul", "Gemm", "Tanh", "Gemm"]
    back = fastnn.Network.from_onnx(model)
    assert dtype(back.input_scale) == dtype(SCALE)
    same(back.predict(x), net.predict(x))
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator(model)
    (y,) = evaluator.run(None, {"x": x.astype(dtype)})
    np.testing.assert_allclose(y, net.predict(x), rtol=1e-5, atol=1e-6)


def test_keras() -> None:
    keras = pytest.importorskip("keras")
    layers = [keras.layers.Input((20,)), keras.layers.Rescaling(1 / 255), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    net, x = fastnn.Network.from_keras(model), data_of("uint8", np.float32)[0]
    assert np.float32(net.input_scale) == np.float32(1 / 255)
    np.testing.assert_allclose(net.predict(x), np.asarray(model(x.astype(np.float32)).detach()), rtol=1e-5, atol=1e-6)
    layers[1] = keras.layers.Rescaling(1 / 255, offset=-1)
    with pytest.raises(ValueError, match="Rescaling"):
        fastnn.Network.from_keras(keras.Sequential(layers))


def rewriting(x: Array, value: Any) -> Any:
    """A callback that writes into the data after the first epoch."""

    def write(network: fastnn.Network, history: fastnn.History) -> None:
        if history.epochs == 1:
            x[:10, :5] = value

    return write
