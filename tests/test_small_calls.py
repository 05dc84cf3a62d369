"""The short way of plain arrays gives the bits of the long way, and leaves to the gate all that is not plain."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Adam, Affine, Momentum, Network, Regularization, Relu, Sigmoid
from fastnn.engine import at_once, threads
from fastnn.engine.short import Ways, ask
from fastnn.functional import layers, losses, updates
from fastnn.kernels.compile import JIT_DISABLED

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="without the compiler there is only the long way")

N, D, H = 4, 6, 5
FLOATS = [np.float32, np.float64]


def arrays(dtype: Any) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    given: dict[str, Any] = {
        name: rng.standard_normal(shape).astype(dtype)
        for name, shape in {"x": (N, D), "W": (D, H), "b": (H,), "y": (N, H), "t": (N, H), "u": (N, H)}.items()
    }
    given["labels"], given["signs"] = rng.integers(0, H, N), np.sign(given["t"])
    given["shares"] = np.abs(given["t"]) / (1 + np.abs(given["t"]))
    return given


def updated(update: Callable[..., None], vectors: list[Any], *rates: float) -> tuple[Any, ...]:
    update(*vectors, *rates)
    return tuple(vectors)


# Each call takes the arrays and returns arrays or numbers.
CALLS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "affine_forward": lambda a: fastnn.affine_forward(a["x"], a["W"], a["b"]),
    "affine_backward": lambda a: fastnn.affine_backward(a["y"], a["x"], a["W"]),
    "softmax": lambda a: fastnn.softmax(a["y"]),
    "softmax of images": lambda a: fastnn.softmax(a["y"].reshape(2, 2, H)),
    **{f"{name} forward": lambda a, name=name: fastnn.activation_forward(name, a["y"]) for name in ("relu", "tanh")},  # type: ignore[misc]
    "sigmoid backward": lambda a: fastnn.activation_backward("sigmoid", a["y"], a["t"], a["shares"]),
    "softmax backward": lambda a: fastnn.activation_backward("softmax", a["y"], a["t"], fastnn.softmax(a["t"])),
    "softmax_cross_entropy": lambda a: fastnn.softmax_cross_entropy(a["y"], a["labels"]),
    "kl_divergence": lambda a: fastnn.kl_divergence(a["y"], a["labels"]),
    "mean_squared_error": lambda a: fastnn.mean_squared_error(a["y"], a["t"]),
    "huber": lambda a: fastnn.huber(a["y"], a["t"], delta=0.3),
    "absolute_error": lambda a: fastnn.absolute_error(a["y"], a["t"]),
    "hinge of labels": lambda a: fastnn.hinge(a["y"], a["labels"]),
    "exponential": lambda a: fastnn.exponential(a["y"], a["signs"]),
    "sigmoid_cross_entropy": lambda a: fastnn.sigmoid_cross_entropy(a["y"], a["shares"]),
    "sgd": lambda a: updated(fastnn.sgd_update, [a["y"], a["t"]], 0.1),
    "momentum": lambda a: updated(fastnn.momentum_update, [a["y"], a["t"], a["u"]], 0.1),
    "adam": lambda a: updated(fastnn.adam_update, [a["y"], a["t"], a["u"], a["shares"]], 3, 0.1),
}
WAYS = (layers._forward_ways, layers._backward_ways, layers._activation_ways, layers._derivative_ways)


def content(result: Any) -> list[bytes]:
    parts = result if isinstance(result, tuple) else (result,)
    return [np.asarray(part).tobytes() for part in parts if part is not None]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The long way's calls of kernels."""
    made: list[Any] = []
    original = threads.run

    def run(*arguments: Any, **options: Any) -> Any:
        made.append(arguments[0])
        return original(*arguments, **options)

    monkeypatch.setattr(threads, "run", run)
    for ways in WAYS:
        ways.clear()
    losses._way.cache_clear()
    updates._way.cache_clear()
    return made


def close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the long way only."""
    for ways in WAYS:
        ways.clear()
    monkeypatch.setattr(Ways, "learn", lambda *_: None)
    monkeypatch.setattr(losses, "_way", lambda *_: (None, ask))
    monkeypatch.setattr(updates, "_way", lambda *_: ask)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CALLS)
def test_both_ways_give_the_same_bits(name: str, dtype: Any, runs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS[name](arrays(dtype))  # functions of layers learn their way from the long one
    runs.clear()
    short = content(CALLS[name](arrays(dtype)))
    assert not runs
    close(monkeypatch)
    assert content(CALLS[name](arrays(dtype))) == short
    assert runs


@pytest.mark.parametrize("dtype", FLOATS)
def test_larger_calls_take_the_long_way(dtype: Any, runs: list[Any]) -> None:
    x, W, b = np.ones((100, 64), dtype), np.ones((64, 64), dtype), np.ones(64, dtype)
    y, t = np.ones((300, 10), dtype), np.zeros(300, np.intp)
    for _ in range(2):
        fastnn.affine_forward(x, W, b)
        fastnn.affine_backward(x, x, W)
        fastnn.activation_forward("tanh", np.ones(20_000, dtype))
        fastnn.softmax_cross_entropy(y, t)
        fastnn.sgd_update(np.ones(200_000, dtype), np.ones(200_000, dtype), 0.1)
    assert len(runs) == 10


def broken(a: dict[str, Any]) -> list[dict[str, Any]]:
    """The same arrays, each time with one that the gate must convert or refuse."""
    wrong = []
    for name in ("x", "W", "b", "y", "t", "u", "labels", "signs", "shares"):
        given = a[name]
        forms = [
            given.astype(np.float16),
            given[:-1],
            given[..., ::-1],
            given.tolist(),
            None,
            np.ma.array(given),
            given[:0],
        ]
        forms += [given.astype(given.dtype.newbyteorder()), given.astype("f4" if given.dtype == "f8" else "f8")]
        if name == "labels":
            forms += [given - 1 - given.max(), given + H, given.astype(np.int32), given.astype(float)]
        if name in ("signs", "shares"):
            forms += [given + 3, np.full_like(given, np.nan)]
        for form in forms:
            wrong.append({**copy.deepcopy(a), name: form})
    return wrong


def outcome(call: Callable[[dict[str, Any]], Any], given: dict[str, Any]) -> Any:
    try:
        return content(call(given))
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [name for name in CALLS if "images" not in name])
def test_what_is_not_plain_is_converted_or_refused_as_before(
    name: str, dtype: Any, runs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    CALLS[name](arrays(dtype))
    given = broken(arrays(dtype))
    with np.errstate(all="ignore"):
        short = [outcome(CALLS[name], copy.deepcopy(one)) for one in given]
        close(monkeypatch)
        long = [outcome(CALLS[name], copy.deepcopy(one)) for one in given]
    assert short == long
    assert any(isinstance(one, str) for one in short)


def test_outputs_that_overlap_are_refused() -> None:
    a = arrays(np.float32)
    for _ in range(2):
        with pytest.raises(ValueError, match="out: expected memory that no input uses"):
            fastnn.affine_forward(a["x"], a["W"], a["b"], out=a["W"].reshape(-1)[: N * H].reshape(N, H))
        with pytest.raises(ValueError, match="velocity: expected memory of its own"):
            fastnn.momentum_update(a["y"], a["t"], a["t"], 0.1)
        with pytest.raises(ValueError, match="grads: expected memory of its own"):
            fastnn.sgd_update(a["y"], a["y"], 0.1)
        memory = np.zeros(N * H + 8, np.float32)
        with pytest.raises(ValueError, match="out"):
            fastnn.activation_forward("relu", memory[8:].reshape(N, H), out=memory[: N * H].reshape(N, H))
        fastnn.affine_forward(a["x"], a["W"], a["b"])
        fastnn.momentum_update(a["y"], a["t"], a["u"], 0.1)
        fastnn.sgd_update(a["y"], a["t"], 0.1)
        fastnn.activation_forward("relu", a["y"])


def test_rates_of_another_type_are_refused_though_they_are_equal() -> None:
    p, g = np.ones(3), np.ones(3)
    fastnn.sgd_update(p, g, 1.0)
    with pytest.raises(TypeError, match="lr"):
        fastnn.sgd_update(p, g, True)
    assert (p == 0).all()


# --- networks -------------------------------------------------------------------------------------------------------


def network(dtype: str = "float32", **options: Any) -> Network:
    return Network([Affine(D, H), Sigmoid(), Affine(H, 3)], rng=0, dtype=dtype, **options)


def batch(dtype: str = "float32", rows: int = N) -> tuple[Any, Any]:
    rng = np.random.default_rng(rows)
    return rng.standard_normal((rows, D)).astype(dtype), rng.integers(0, 3, rows)


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def close() -> None:
        for name in ("predict", "step", "loss"):
            monkeypatch.setattr(at_once, name, lambda *_: None)

    return close


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("rows", [1, N, 3000])
@pytest.mark.parametrize("optimizer", [SGD(0.1), Momentum(0.1), Adam(0.01), Momentum(0.1, clip_norm=0.5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks_take_both_ways_to_the_same_bits(
    dtype: str, optimizer: Any, rows: int, n_threads: int, long_way: Callable[[], None]
) -> None:
    def run() -> tuple[list[Any], bytes]:
        net, (x, t), found = network(dtype, n_threads=n_threads), batch(dtype, rows), []
        for _ in range(4):
            found += [net.step(x, t, optimizer), net.loss(x, t), net.predict(x).tobytes(), net.accuracy(x, t)]
        return found, b"".join(value.tobytes() for value in net.params.values())

    short = run()
    long_way()
    assert run() == short


def test_the_short_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (x, t), optimizer = network(), batch(), SGD(0.1)
    net.step(x, t, optimizer), net.loss(x, t)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the long way")

    monkeypatch.setattr(net.engine, "prepare", never)
    monkeypatch.setattr(net.engine, "predict", never)
    monkeypatch.setattr(net.engine, "run_batches", never)
    net.step(x, t, optimizer), net.loss(x, t), net.predict(x), net.predict(x, out=np.empty((N, 3), np.float32))


def test_what_changes_between_steps_is_noticed(long_way: Callable[[], None]) -> None:
    def run() -> list[bytes]:
        net, (x, t), (sgd, momentum) = network(), batch(), (SGD(0.1), Momentum(0.1))
        found = []
        for optimizer in (sgd, sgd, momentum, momentum, sgd, Momentum(0.1), momentum):
            net.step(x, t, optimizer)
            found.append(net.params["W1"].tobytes())
        snapshot = net.engine.snapshot()
        net.step(x, t, momentum)
        net.engine.restore(snapshot)
        net.step(x, t, momentum)
        net.initialize(0)
        net.step(x, t, momentum)
        net = pickle.loads(pickle.dumps(net))
        net.step(x, t, momentum)
        net.step(*batch(rows=9), momentum)
        net = copy.deepcopy(net)
        net.step(x, t, momentum)
        net.params["W1"][:] = 0.5
        net.step(x, t, momentum)
        return [*found, net.params["W1"].tobytes(), net.params["W2"].tobytes(), net.predict(x).tobytes()]

    short = run()
    long_way()
    assert run() == short


@pytest.mark.parametrize(
    "change",
    [
        lambda x, t: (x.T, t), lambda x, t: (x[:, :-1], t), lambda x, t: (x.astype(float), t), lambda x, t: (x, t[:-1]),
        lambda x, t: (x, t + 3), lambda x, t: (x, t - 3), lambda x, t: (np.where(x > 0, np.nan, x), t),
        lambda x, t: (x.tolist(), t), lambda x, t: (x, t.tolist()), lambda x, t: (x[:0], t[:0]), lambda x, t: (None, t),
        lambda x, t: (x, None), lambda x, t: (x, np.eye(3)[t]), lambda x, t: (x, np.eye(3, dtype=np.float32)[t]),
        lambda x, t: (x, np.ones((N, 3), np.float32)), lambda x, t: (x, t.astype(np.int32)),
        lambda x, t: (x[::2], t[::2]),
    ],
)  # fmt: skip
def test_networks_refuse_or_convert_as_before(change: Any, long_way: Callable[[], None]) -> None:
    def run() -> list[Any]:
        net, (x, t), optimizer = network(), batch(), SGD(0.1)
        net.step(x, t, optimizer), net.loss(x, t)
        x, t = change(x, t)
        calls = (lambda: net.step(x, t, optimizer), lambda: net.loss(x, t), lambda: net.predict(x).tobytes())
        found: list[Any] = []
        for call in calls:
            try:
                found.append(call())
            except (TypeError, ValueError) as error:
                found.append(f"{type(error).__name__}: {error}")
        return [*found, net.params["W1"].tobytes()]

    short = run()
    long_way()
    assert run() == short


def test_data_that_are_parameters_take_the_long_way(long_way: Callable[[], None]) -> None:
    def run() -> bytes:
        net, optimizer = Network([Affine(4, 4), Relu(), Affine(4, 4)], "mean_squared_error", rng=0), SGD(0.1)
        x = np.ones((4, 4), np.float32)
        net.step(x, x, optimizer)
        net.step(net.params["W1"], net.params["W2"], optimizer)
        net.predict(net.params["W1"])
        with pytest.raises(ValueError, match="out: expected memory"):
            net.predict(x, out=net.params["W2"])
        with pytest.raises(ValueError, match="out: expected memory"):
            net.predict(x, out=x)
        return b"".join(value.tobytes() for value in net.params.values())

    short = run()
    long_way()
    assert run() == short


def test_large_networks_are_checked_too() -> None:
    """The most rows of a call that needs no threads are none here."""
    net, optimizer = Network([Affine(600, 400), Relu(), Affine(400, 3)], rng=0), SGD(0.1)
    x, t = np.ones((3, 600), np.float32), np.zeros(3, np.intp)
    net.step(x, t, optimizer), net.loss(x, t)
    for wrong in (x[:, :-1].copy(), np.full_like(x, np.nan)):
        with pytest.raises(ValueError, match="x: expected"):
            net.step(wrong, t, optimizer)
        with pytest.raises(ValueError, match="x: expected"):
            net.predict(wrong)
    with pytest.raises(ValueError, match="t: expected"):
        net.step(x, t + 3, optimizer)


def test_a_penalty_takes_the_long_way(long_way: Callable[[], None]) -> None:
    def run() -> tuple[float, float]:
        net, (x, t), optimizer = network(regularization=Regularization(l2=0.1)), batch(), SGD(0.1)
        net.step(x, t, optimizer)
        return net.step(x, t, optimizer), net.loss(x, t)

    short = run()
    long_way()
    assert run() == short
