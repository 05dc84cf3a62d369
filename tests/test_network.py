"""Network: parameters, copies, prediction, equal bits on any number of threads, no compilation, and refusals."""

import copy
import itertools
import math
import pickle
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, LeakyRelu, Momentum, Network, Relu, Sigmoid, reference
from fastnn.engine import threads
from fastnn.engine.interpreters import training as kernels
from fastnn.kernels.cache import is_told_by_files
from fastnn.kernels.compile import ENTRIES, JIT_DISABLED
from fastnn.kernels.doors import Door
from fastnn.kernels.units import UNITS
from fastnn.layers import Layer
from tests import shapes
from tests.crossings import crossed
from tests.tolerances import assert_close

needs_compiler = pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled with NUMBA_DISABLE_JIT=1")
needs_two_threads = pytest.mark.skipif(
    JIT_DISABLED or numba.config.NUMBA_NUM_THREADS < 2, reason="needs compiled kernels and two threads"
)


def small_network(dtype: str = "float32", rng: int = 0) -> Network:
    return Network([Affine(4, 3), Relu(), Affine(3, 2)], rng=rng, dtype=dtype)


X = shapes.numbers(1, 5, 4, dtype=np.float32)
T = np.array([0, 1, 1, 0, 1])


def parameter_bits(net: Network) -> bytes:
    return b"".join(p.tobytes() for p in net.params.values())


# --- parameters --------------------------------------------------------------------------------------


def test_parameters_are_views_into_one_vector() -> None:
    net = small_network()
    assert {name: p.shape for name, p in net.params.items()} == {"W1": (4, 3), "b1": (3,), "W2": (3, 2), "b2": (2,)}
    assert len(net.params) == 4
    assert repr(net.params) == "<23 float32 numbers: W1 (4, 3), b1 (3,), W2 (3, 2), b2 (2,)>"
    assert repr(net.statistics) == "<0 float32 numbers>"
    memory = {id(p.base) for p in net.params.values()}
    assert len(memory) == 1
    before = net.predict(X)
    net.params["b2"][1] += 3
    assert_close(net.predict(X), before + np.array([0, 3], np.float32))


def test_assigning_a_parameter_copies() -> None:
    net = small_network()
    view, weights = net.params["W1"], np.ones((4, 3))
    net.params["W1"] = weights
    weights[:] = 5
    assert np.shares_memory(view, net.params["W1"])
    assert (view == 1).all()
    net.params["W1"] *= 2
    net.params["b1"] = [1, 2, 3]
    assert (view == 2).all()
    assert net.params["b1"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "value", "error", "sentence"),
    [
        ("W9", 1, KeyError, "params: expected one of W1, b1, W2, b2, got 'W9'; pass one of these names"),
        (
            "W1",
            np.zeros((3, 4)),
            ValueError,
            "params['W1']: expected a float32 array of shape (4, 3), got shape (3, 4); pass params['W1'].T",
        ),
        (
            "b1",
            0.0,
            TypeError,
            "params['b1']: expected a float32 array of shape (3,), got 0.0; pass an array of that shape",
        ),
    ],
)
def test_refused_parameters(name: str, value: Any, error: type[Exception], sentence: str) -> None:
    net = small_network()
    before = parameter_bits(net)
    with pytest.raises(error) as caught:
        net.params[name] = value
    assert caught.value.args == (sentence,)
    assert parameter_bits(net) == before


def test_gradients_are_new_arrays() -> None:
    net = small_network()
    first = net.gradient(X, T)
    kept = {name: g.copy() for name, g in first.items()}
    second = net.gradient(X + 1, T)
    net.step(X, T, SGD())
    assert list(first) == list(net.params)
    for name, g in first.items():
        assert g.tobytes() == kept[name].tobytes()
        assert g.tobytes() != second[name].tobytes()
        assert not np.shares_memory(g, net.params[name])


# --- copies ------------------------------------------------------------------------------------------


def through_read_only_memory(net: Network) -> Any:
    """A copy whose arrays lie in read-only memory, as joblib and others hand it to another process."""
    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps(net, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(stream, buffers=[bytes(buffer) for buffer in buffers])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "duplicate",
    [lambda net: pickle.loads(pickle.dumps(net)), through_read_only_memory, copy.deepcopy],
    ids=["pickle", "read-only", "deepcopy"],
)
def test_copies_are_independent_and_alive(duplicate: Callable[[Network], Network], dtype: str) -> None:
    net, optimizer = small_network(dtype), Momentum(lr=0.1)
    net.step(X, T, optimizer)
    twin = duplicate(net)
    assert twin.dtype is net.dtype  # the gate's quick way looks for this
    assert parameter_bits(twin) == parameter_bits(net)
    before = parameter_bits(net)
    twin.step(X, T, optimizer)
    assert parameter_bits(net) == before
    net.step(X, T, optimizer)
    assert parameter_bits(twin) == parameter_bits(net), "the optimizer's state did not come along"
    output = twin.predict(X)
    twin.params["b2"][:] += 1
    assert_close(twin.predict(X), output + 1)
    assert_close(net.predict(X), output)


# --- prediction --------------------------------------------------------------------------------------


def test_predict_with_out() -> None:
    net = small_network()
    guarded = shapes.Guarded((5, 2), np.float32)
    assert net.predict(X, out=guarded.array) is guarded.array
    guarded.check()
    assert guarded.array.tobytes() == net.predict(X).tobytes()


def test_predict_of_no_samples() -> None:
    found = small_network().predict(np.empty((0, 4), np.float32))
    assert found.shape == (0, 2)
    assert found.dtype == np.float32


def test_predict_takes_what_can_be_converted() -> None:
    net, whole = small_network(), np.round(4 * X)
    expected = net.predict(whole).tobytes()
    read_only = whole.copy()
    read_only.flags.writeable = False
    wide = np.repeat(whole, 2, axis=1)
    for x in (
        read_only,
        np.asfortranarray(whole),
        wide[:, ::2],
        whole.tolist(),
        whole.astype(int),
        whole.astype(float),
    ):
        assert net.predict(x).tobytes() == expected


def test_loss_and_accuracy_agree_with_the_reference() -> None:
    net = small_network("float64")
    y, probabilities = net.predict(X), shapes.targets("probabilities", 5, 2, np.float64)
    for t in (T, np.eye(2)[T], probabilities):
        assert_close(net.loss(X, t), reference.softmax_cross_entropy(y, t)[0])
        assert net.accuracy(X, t) == reference.accuracy(y, t)
    regression = Network([Affine(4, 2)], "mean_squared_error", rng=0, dtype="float64")
    assert_close(regression.loss(X, y), reference.mean_squared_error(regression.predict(X), y)[0])


def test_concurrent_predictions() -> None:
    """Eight Python threads at once, below and above the size from which kernels start threads of their own."""
    networks = [small_network(), Network([Affine(64, 50), Sigmoid(), Affine(50, 10)], rng=0)]
    rows = 20 if JIT_DISABLED else 300
    data = [shapes.numbers(seed, rows, net.inputs, dtype=np.float32) for seed in range(8) for net in networks]
    expected = [networks[i % 2].predict(x).tobytes() for i, x in enumerate(data)]
    barrier = threading.Barrier(8)

    def work(number: int) -> list[bytes]:
        barrier.wait(timeout=60)
        repeats = 1 if JIT_DISABLED else 20
        return [
            networks[i % 2].predict(data[i]).tobytes() for _ in range(repeats) for i in (2 * number, 2 * number + 1)
        ]

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(work, range(8))):
            assert set(found[::2]) == {expected[2 * number]}
            assert set(found[1::2]) == {expected[2 * number + 1]}


# --- threads and compiled code -----------------------------------------------------------------------

# Widths whose steps are serial by threads.SMALL_WORK, parallel for some numbers of rows, and for most.
THREADED_WIDTHS = [(5, 7, 3), (64, 50, 10), (784, 50, 10), (33, 130, 65, 7)]


@needs_two_threads
@crossed(2, widths=THREADED_WIDTHS, rows=[1, 3, 64, 65, 100])
def test_same_bits_on_one_and_two_threads(widths: tuple[int, ...], rows: int, chosen_threads: None) -> None:
    inner = [layer for h, k in itertools.pairwise(widths[1:]) for layer in (Relu(), Affine(h, k))]
    dtype = ("float32", "float64")[rows % 2]
    x = shapes.numbers(1, rows, widths[0], dtype=dtype)
    found = []
    for own, chosen in ((1, 2), (2, 1), (None, 1), (None, 2)):
        threads.set_num_threads(chosen)
        net = Network([Affine(widths[0], widths[1]), *inner], rng=0, dtype=dtype, n_threads=own)
        t = shapes.targets("labels", rows, widths[-1], np.float32)
        losses = [net.step(x, t, Momentum(0.05)) for _ in range(20)]
        found.append((losses, parameter_bits(net), net.predict(x).tobytes(), net.loss(x, t)))
    assert found[1:] == found[:1] * 3


@needs_two_threads
@pytest.mark.parametrize(
    ("widths", "rows", "launches"), [((64, 50, 10), 1, False), ((64, 50, 10), 100, True), ((784, 50, 10), 10, True)]
)
def test_small_steps_are_serial(
    widths: tuple[int, ...], rows: int, launches: bool, chosen_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test before relies on it: with two threads its large steps are really shared."""
    threads.set_num_threads(2)
    net = Network([Affine(*widths[:2]), Relu(), Affine(*widths[1:])], rng=0)
    called, original = [], kernels.train

    def train(n_threads: int, launcher: int, *args: Any) -> Any:
        called.append((n_threads, launcher != 0))
        return original(n_threads, launcher, *args)

    x, t = shapes.numbers(1, rows, widths[0], dtype=np.float32), np.zeros(rows, int)
    net.step(x, t, SGD())  # asks for the units that it needs
    monkeypatch.setattr(kernels, "train", train)
    net.step(x, t, SGD())
    assert called == [(2 if launches else 1, launches)]


def signatures() -> int:
    """How many signatures of all entries are compiled in this process."""
    return sum(len(entry.signatures) for entry in ENTRIES)


def use(net: Network, rows: int) -> None:
    """Do everything that a network can do, in every kind of target that its loss takes."""
    x = shapes.numbers(1, rows, net.inputs, dtype=net.dtype)
    kinds = ["values"] if net.loss_name == "mean_squared_error" else ["labels", "one_hot", "probabilities"]
    for kind in kinds:
        t = (
            shapes.numbers(2, rows, net.outputs)
            if kind == "values"
            else shapes.targets(kind, rows, net.outputs, np.float64)
        )
        for optimizer in (SGD(), Momentum()):
            net.step(x, t, optimizer)
            net.fit(x, t, epochs=1, batch_size=rows, validation_data=(x, t), optimizer=optimizer)
        net.gradient(np.asfortranarray(x), t)
        net.loss(x[::-1], t[::-1])
        net.predict(x.tolist())
        if kind != "values":
            net.accuracy(x, t)


@needs_compiler
@crossed(
    4,
    layer=[cls() for cls in shapes.LAYERS_OF_ROWS if cls is not Affine],
    dtype=["float32", "float64"],
    loss=["softmax_cross_entropy", "mean_squared_error"],
    size=[(5, 3), (700, 64)],  # widths and rows of serial and of parallel steps
)
def test_another_architecture_compiles_nothing(layer: Layer, dtype: str, loss: Any, size: tuple[int, int]) -> None:
    width, rows = size
    use(Network([Affine(width, 10)], rng=0, dtype=dtype), rows)
    before = signatures()
    net = Network([Affine(width, 6), layer, Affine(6, 9), LeakyRelu(0.3), Affine(9, 7)], loss, rng=0, dtype=dtype)
    use(net, rows)
    use(through_read_only_memory(net), rows + 1)
    assert signatures() == before


@needs_compiler
def test_what_is_compiled_can_be_kept_on_disk() -> None:
    """Code that holds addresses of this process is never kept: every process would compile it again."""
    use(Network([Affine(700, 10), Relu(), Affine(10, 3)], rng=0), 64)
    fastnn.line_fit_losses(np.arange(3.0), np.arange(3.0), np.arange(2.0), np.arange(2.0))  # made of parts
    ours = [entry for entry in ENTRIES if entry.py_func.__module__.startswith("fastnn.")]  # not those of other tests
    doors = [entry for entry in ours if isinstance(entry, Door)]
    found = {one.__name__ for one in doors for library in one.libraries.values() if library.has_dynamic_globals}
    units = [unit for unit in UNITS if unit.function.__module__.startswith("fastnn.")]
    units = [unit for unit in units if all(map(is_told_by_files, unit.made_of))]
    found |= {unit.name for unit in units for library in unit.libraries.values() if library.has_dynamic_globals}
    assert any(one.libraries for one in doors)
    assert not found


# --- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda net: net.step(X, T, 0.1),
            TypeError,
            "optimizer: expected an optimizer such as fastnn.SGD(lr=0.1), got 0.1; create one",
        ),
        (
            lambda net: net.step(X, T, "Adam"),
            TypeError,
            "optimizer: expected an optimizer such as fastnn.SGD(lr=0.1), got 'Adam'; create one, Adam()",
        ),
        (
            lambda net: net.step(X, T, SGD),
            TypeError,
            "optimizer: expected an optimizer such as fastnn.SGD(lr=0.1), got "
            "<class 'fastnn.operations.updates.sgd.SGD'>; create one, SGD()",
        ),
        (
            lambda net: net.step(np.full_like(X, np.nan), T, SGD(), check_finite=False),
            fastnn.TrainingDivergedError,
            "loss: expected a finite number, got NaN or infinity on a batch of 5; the parameters were left as they "
            "were: lower the learning rate, scale the data, or initialize() again",
        ),
        (
            lambda net: net.predict(X, out=np.zeros((5, 2))),
            TypeError,
            "out: expected a float32 array of shape (5, 2), got dtype float64; "
            "pass np.empty((5, 2), dtype=np.float32) or out=None",
        ),
        (
            lambda net: Network([Affine(4, 4)], rng=0).predict(X, out=X),
            ValueError,
            "out: expected memory that no input uses, got an array that overlaps x; pass another array or out=None",
        ),
        (
            lambda net: Network([Affine(4, 1)], "mean_squared_error").accuracy(X, T),
            ValueError,
            "accuracy: expected a network of at least 2 outputs, one for each class, got 1; compare the outputs",
        ),
    ],
)
def test_refusals(call: Callable[[Network], Any], error: type[Exception], sentence: str) -> None:
    net = small_network()
    before = parameter_bits(net)
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call(net)
    assert parameter_bits(net) == before


METHODS: list[Callable[..., Any]] = [Network.predict, Network.loss, Network.accuracy, Network.gradient, Network.step]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_data_must_be_finite(method: Callable[..., Any], value: float) -> None:
    net, x = small_network(), X.copy()
    x[3, 2] = value
    others = {"predict": (), "step": (T, SGD())}.get(method.__name__, (T,))
    sentence = f"x: expected finite values, got {value} at x[3, 2]; correct the data, or pass check_finite=False"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        method(net, x, *others)


def test_unchecked_nan_passes_through() -> None:
    """As in NumPy, a sample with a NaN has NaN outputs, and the loss and its gradient are NaN."""
    net, x = small_network(), X.copy()
    clean = net.predict(X)
    net.gradient(X, T)
    x[3] = np.nan
    outputs = net.predict(x, check_finite=False)
    assert np.isnan(outputs[3]).all()
    assert np.delete(outputs, 3, axis=0).tobytes() == np.delete(clean, 3, axis=0).tobytes()
    assert math.isnan(net.loss(x, T, check_finite=False))
    for name, g in net.gradient(x, T, check_finite=False).items():
        assert np.isnan(g).any(), name
