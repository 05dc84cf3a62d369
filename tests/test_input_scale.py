"""Networks that multiply their inputs: the same bits as by data that were multiplied before."""

import copy
import pathlib
import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import fastnn
from fastnn.engine import indexing
from fastnn.kernels.compile import JIT_DISABLED
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
    net, _ = pair_of(np.float32, 1e37)
    for bytes_, text in ((255, "got inf"), (3, "")):
        x = np.full((3, 20), bytes_, np.uint8)
        if text:
            for call in calls:
                with pytest.raises(ValueError, match=r"x [*] input_scale: expected finite values, got inf"):
                    call()
        else:
            same(net.predict(x), net.predict(x.astype(np.float32)))


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
    y = model(x.astype(np.float32))
    theirs = np.asarray(y.detach() if hasattr(y, "detach") else y)  # whatever backend an earlier test chose
    np.testing.assert_allclose(net.predict(x), theirs, rtol=1e-5, atol=1e-6)
    layers[1] = keras.layers.Rescaling(1 / 255, offset=-1)
    with pytest.raises(ValueError, match="Rescaling"):
        fastnn.Network.from_keras(keras.Sequential(layers))


def digits(rows: int, zeros: float) -> tuple[Array, Array]:
    """Images of bytes, and labels."""
    generator = np.random.default_rng(2)
    x = generator.integers(0, 256, (rows, 100)).astype(np.uint8)
    x[generator.random(x.shape) < zeros] = 0
    return x, generator.integers(0, 4, rows)


def trained(x: Array, t: Any, scale: float, dtype: Any, fit: dict[str, Any], *more: Any, **network: Any) -> Any:
    """The parameters and the history after three epochs."""
    layers = [fastnn.Affine(100, 18), *more, fastnn.Tanh(), fastnn.Affine(18, 4)]
    net = fastnn.Network(layers, rng=0, dtype=dtype, input_scale=scale, **network)
    history = net.fit(x, t, **{"epochs": 3, "batch_size": 32, "rng": 0, "progress": False, **fit})
    return net.engine.values, history.loss, history.validation_loss if "validation_data" in fit else []


def both(x: Array, t: Any, fit: dict[str, Any], *more: Any, scale: float = SCALE, dtype: Any = np.float32) -> None:
    """Assert that bytes train as the multiplied data do, whatever the number of threads."""
    multiplied = x.astype(dtype) * dtype(scale)
    for_floats = fit | ({"validation_data": (multiplied[:50], t[:50])} if "validation_data" in fit else {})
    expected = trained(multiplied, t, 1.0, dtype, for_floats, *more, n_threads=1)
    for parts in (1, 2):
        same(trained(x, t, scale, dtype, fit, *more, n_threads=parts), expected)


ROWS = 90 if JIT_DISABLED else 700


@every_dtype
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("zeros", [0.85, 0.0])
def test_fit(zeros: float, shuffle: bool, dtype: FloatType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "FEWEST_ELEMENTS", 0)  # the mostly zero ones are indexed
    x, t = digits(ROWS, zeros)
    assert (indexing.index_of(x, 2, dtype(SCALE)) is None) == (zeros == 0.0)
    both(x, t, {"shuffle": shuffle, "validation_data": (x[:50], t[:50])}, dtype=dtype)


@pytest.mark.parametrize(
    "fit",
    [
        {"batch_size": 1, "shuffle": False, "epochs": 1},
        {"batch_size": 1, "epochs": 1},
        {"batch_size": None},
        {"sample_weight": np.arange(ROWS) + 1.0},
        {"optimizer": fastnn.Adam(), "metrics": ["top_2_accuracy"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("zeros", [0.85, 0.0])
def test_fit_in_other_ways(fit: dict[str, Any], zeros: float) -> None:
    x, t = digits(ROWS, zeros)
    both(x, t, fit)
    both(x, t, fit, scale=1.0)
    both(x, t, fit, fastnn.Dropout(0.25), *([] if fit.get("batch_size") == 1 else [fastnn.BatchNorm()]))


def test_a_sparse_matrix_of_bytes() -> None:
    x, t = digits(90, 0.85)
    expected = trained(x, t, SCALE, np.float32, {})
    same(trained(scipy.sparse.csr_array(x), t, SCALE, np.float32, {}), expected)
    net = fastnn.Network([fastnn.Affine(100, 4)], rng=0, input_scale=SCALE)
    same(net.predict(scipy.sparse.csr_array(x)), net.predict(x))


def test_fit_on_batches_and_numerical_gradients() -> None:
    x, t = digits(40, 0.5)
    scaled = x.astype(np.float32) * np.float32(SCALE)
    given: dict[str, Any] = {"epochs": 2, "progress": False}
    net, other = (fastnn.Network([fastnn.Affine(100, 4)], rng=0, input_scale=one) for one in (SCALE, 1.0))
    net.fit([(x[:30], t[:30]), (x[30:], t[30:])], **given)
    other.fit([(scaled[:30], t[:30]), (scaled[30:], t[30:])], **given)
    same(net.engine.values, other.engine.values)
    net.fit(x, t, gradient="numerical", rng=0, **given)
    other.fit(scaled, t, gradient="numerical", rng=0, **given)
    same(net.engine.values, other.engine.values)


@pytest.mark.parametrize("by_batch", [False, True])
def test_callbacks_that_write_into_bytes(by_batch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "FEWEST_ELEMENTS", 0)

    class Writing:
        def __init__(self, x: Array, value: Any) -> None:
            self.x, self.value = x, value

        def __call__(self, network: fastnn.Network, history: fastnn.History) -> None:
            self.x[: 10 * history.epochs, :5] = self.value

    class WritingEachBatch(Writing):
        def after_batch(self, network: fastnn.Network, figures: Any) -> None:
            self.x[figures.batch] = self.value

    kind = WritingEachBatch if by_batch else Writing
    (x, t), dtype = digits(ROWS, 0.85), np.float32
    multiplied = x.astype(dtype) * dtype(SCALE)
    before = trained(x.copy(), t, SCALE, dtype, {})
    ours = trained(x, t, SCALE, dtype, {"callbacks": [kind(x, 200)]})
    same(ours, trained(multiplied, t, 1.0, dtype, {"callbacks": [kind(multiplied, dtype(200) * dtype(SCALE))]}))
    assert ours[0].tobytes() != before[0].tobytes()


@pytest.mark.parametrize("zeros", [0.85, 0.0])
def test_fit_on_files_views_and_images(zeros: float, tmp_path: pathlib.Path) -> None:
    x, t = digits(ROWS, zeros)
    expected = trained(x, t, SCALE, np.float32, {})
    np.save(tmp_path / "x.npy", x)
    for mode in ("r", "r+"):
        file: Any = np.load(tmp_path / "x.npy", mmap_mode=mode)
        same(trained(file, t, SCALE, np.float32, {}), expected)
        same(
            trained(file, t, SCALE, np.float32, {"shuffle": False}),
            trained(x, t, SCALE, np.float32, {"shuffle": False}),
        )
    wide = np.zeros((ROWS, 200), np.uint8)
    wide[:, ::2] = x
    same(trained(wide[:, ::2], t, SCALE, np.float32, {}), expected)
    x.flags.writeable = False
    same(trained(x, t, SCALE, np.float32, {}), expected)
    nets = [
        fastnn.Network([fastnn.Flatten(), fastnn.Affine(100, 4)], rng=0, input_shape=(1, 10, 10), input_scale=SCALE)
    ]
    nets += [fastnn.Network([fastnn.Affine(100, 4)], rng=0, input_scale=SCALE)]
    for net, data in zip(nets, (x.reshape(-1, 1, 10, 10), x), strict=True):
        net.fit(data, t, epochs=1, rng=0, progress=False)
    same(nets[0].engine.values, nets[1].engine.values)
    same(nets[0].predict(x.reshape(-1, 1, 10, 10)), nets[1].predict(x))


@pytest.mark.skipif(JIT_DISABLED, reason="kernels' own memory is Python's without the compiler")
def test_bytes_are_not_copied_to_floats() -> None:
    x, t = np.random.default_rng(0).integers(0, 256, (20000, 400)).astype(np.uint8), np.arange(20000) % 4
    net = fastnn.Network([fastnn.Affine(400, 4)], rng=0, input_scale=SCALE)
    calls: list[Any] = [
        lambda: net.fit(x, t, epochs=1, progress=False, validation_data=(x, t)),
        lambda: net.predict(x),
        lambda: net.loss(x, t),
        lambda: net.accuracy(x, t),
    ]
    for call in calls:
        call()
        tracemalloc.start()
        call()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < x.nbytes  # a copy in float32 would take four times as much


def test_a_checkpoint_goes_on_whatever_holds_the_data(tmp_path: pathlib.Path) -> None:
    x, t = digits(90, 0.5)
    scaled, path = x.astype(np.float32) * np.float32(SCALE), tmp_path / "run.npz"
    fit: dict[str, Any] = {"epochs": 1, "callbacks": [fastnn.Checkpoint(path)]}
    trained(x, t, SCALE, np.float32, fit)
    ours = trained(x, t, SCALE, np.float32, {"epochs": 3, "resume": path})
    same(ours[0], trained(scaled, t, 1.0, np.float32, {})[0])
    with pytest.raises(ValueError, match=r"input_scale: expected 0[.]0039.*, as in the run of .*, got 0[.]5"):
        trained(x, t, 0.5, np.float32, {"resume": path})


def test_training_on_bytes_that_diverges() -> None:
    x, t = digits(90, 0.0)
    with pytest.raises(fastnn.TrainingDivergedError, match="or scale x, which has numbers up to 255"):
        trained(x, t, 1.0, np.float32, {"optimizer": fastnn.SGD(lr=1e38)})


@pytest.mark.skipif(JIT_DISABLED, reason="large")
def test_a_large_batch_of_bytes_is_given_back() -> None:
    """Its rows became 94 MB of floats for one call."""
    x, t = np.ones((30_000, 784), np.uint8), np.zeros(30_000, np.intp)
    net = fastnn.Network([fastnn.Affine(784, 2)], rng=0, input_scale=1 / 255)
    net.fit(x, t, epochs=1, batch_size=None, progress=False)
    assert net.engine.workspace is None
    net.fit(x, t, epochs=1, batch_size=100, progress=False)
    assert net.engine.workspace is not None
