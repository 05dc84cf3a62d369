"""The short way of plain arrays gives the bits of the long way, and leaves to the gate all that is not plain."""

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.engine import threads
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


def test_an_activation_that_is_defined_again_is_another_one() -> None:
    x = np.array([1.0, 2.0, 3.0])
    for factor in (2.0, 5.0):
        times: Any = {2.0: lambda x: 2.0 * x, 5.0: lambda x: 5.0 * x}[factor]
        slope: Any = {2.0: lambda x, y: 2.0, 5.0: lambda x, y: 5.0}[factor]
        fastnn.activation(times, derivative=slope, name="small_calls_times")
        for _ in range(2):
            np.testing.assert_array_equal(fastnn.activation_forward("small_calls_times", x), factor * x)


def test_labels_of_one_output_go_to_the_gate() -> None:
    y, t = np.ones((2, 1), np.float32), np.zeros(2, np.intp)
    for _ in range(2):
        with pytest.raises(ValueError, match="t: expected"):
            fastnn.hinge(y, t)
        fastnn.hinge(np.ones((2, 3), np.float32), t)


def test_a_small_stack_suffices() -> None:
    found: list[Any] = []
    before = threading.stack_size(64 * 1024)
    try:
        for name in CALLS:
            thread = threading.Thread(target=lambda name=name: found.append(CALLS[name](arrays(np.float64))))
            thread.start()
            thread.join()
    finally:
        threading.stack_size(before)
    assert len(found) == len(CALLS)
