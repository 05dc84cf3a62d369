"""The short way of plain arrays gives the bits of the long way, and leaves to the gate all that is not plain."""

import copy
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.engine import contention, threads
from fastnn.engine.interpreters.on_outputs import LONGEST_LOOK
from fastnn.engine.short import ASK, LARGE, UNSEEN, Way, Ways
from fastnn.functional import layers, losses, updates
from fastnn.kernels import openmp
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.losses import SoftmaxCrossEntropy
from fastnn.operations import ACTIVATIONS

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="without the compiler there is only the long way")

N, D, H = 4, 6, 5
FLOATS = [np.float32, np.float64]
ELEMENTWISE = [name for name, kind in ACTIVATIONS.items() if kind.takes_elements]
OF_LOGITS = ("softmax_cross_entropy", "kl_divergence")


def arrays(dtype: Any) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    given: dict[str, Any] = {
        name: rng.standard_normal(shape).astype(dtype)
        for name, shape in {"x": (N, D), "W": (D, H), "b": (H,), "y": (N, H), "t": (N, H), "u": (N, H)}.items()
    }
    given["labels"], given["signs"] = rng.integers(0, H, N), np.sign(given["t"])
    given["shares"] = np.abs(given["t"]) / (1 + np.abs(given["t"]))
    given["p"], given["q"] = (fastnn.softmax(given[name]) for name in ("y", "t"))
    given["one_hot"] = np.eye(H, dtype=dtype)[given["labels"]]
    return given


def updated(update: Callable[..., None], vectors: list[Any], *rates: float) -> tuple[Any, ...]:
    update(*vectors, *rates)
    return tuple(vectors)


def on(function: Callable[..., Any], *names: str) -> Callable[[dict[str, Any]], Any]:
    """A call of a function with these arrays."""
    return lambda a: function(*(a[name] for name in names))


def outputs(a: dict[str, Any], *names: str) -> list[Any]:
    """Memory for results like these arrays."""
    return [np.empty_like(a[name]) for name in names]


# Each call takes the arrays and returns arrays or numbers.
CALLS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "affine_forward": on(fastnn.affine_forward, "x", "W", "b"),
    "affine_forward out": lambda a: fastnn.affine_forward(a["x"], a["W"], a["b"], out=outputs(a, "y")[0]),
    "affine_backward": on(fastnn.affine_backward, "y", "x", "W"),
    "affine_backward out": lambda a: fastnn.affine_backward(a["y"], a["x"], a["W"], out=(*outputs(a, "x", "W"), None)),
    "affine_backward without dx": lambda a: fastnn.affine_backward(a["y"], a["x"], a["W"], need_dx=False)[1:],
    "leaky_relu slope": lambda a: fastnn.activation_forward("leaky_relu", a["y"], slope=0.3),
    "elu backward alpha": lambda a: fastnn.activation_backward("elu", a["y"], a["t"], a["shares"], alpha=2.0),
    "softmax": lambda a: fastnn.softmax(a["y"]),
    "softmax in place": lambda a: fastnn.softmax(a["y"], out=a["y"]),
    "softmax of images": lambda a: fastnn.softmax(a["y"].reshape(2, 2, H)),
    "softmax backward": lambda a: fastnn.activation_backward("softmax", a["y"], a["t"], fastnn.softmax(a["t"])),
    "relu backward in place": lambda a: fastnn.activation_backward("relu", a["y"], a["t"], a["u"], out=a["y"]),
    **{f"{name} forward": on(partial(fastnn.activation_forward, name), "y") for name in ELEMENTWISE},
    **{f"{name} backward": on(partial(fastnn.activation_backward, name), "y", "t", "shares") for name in ELEMENTWISE},
    **{f"{loss} of {t}": on(getattr(fastnn, loss), "y", t) for loss in OF_LOGITS for t in ("labels", "one_hot", "q")},
    **{f"cross_entropy of {t}": on(fastnn.cross_entropy, "p", t) for t in ("labels", "one_hot", "q")},
    "cross_entropy offset": lambda a: fastnn.cross_entropy(a["p"], a["labels"], offset=1e-7, out=outputs(a, "y")[0]),
    "log_loss": on(fastnn.log_loss, "p", "shares"),
    "mean_squared_error": on(fastnn.mean_squared_error, "y", "t"),
    "huber": lambda a: fastnn.huber(a["y"], a["t"], delta=0.3),
    "absolute_error": lambda a: fastnn.absolute_error(a["y"], a["t"], out=outputs(a, "y")[0]),
    "hinge of labels": on(fastnn.hinge, "y", "labels"),
    "hinge of signs": on(fastnn.hinge, "y", "signs"),
    "exponential": on(fastnn.exponential, "y", "signs"),
    "sigmoid_cross_entropy": on(fastnn.sigmoid_cross_entropy, "y", "shares"),
    "zero_one_loss of labels": on(fastnn.zero_one_loss, "y", "labels"),
    "zero_one_loss of shares": on(fastnn.zero_one_loss, "y", "q"),
    "sgd": lambda a: updated(fastnn.sgd_update, [a["y"], a["t"]], 0.1),
    "momentum": lambda a: updated(fastnn.momentum_update, [a["y"], a["t"], a["u"]], 0.1),
    "nesterov": lambda a: updated(fastnn.nesterov_update, [a["y"], a["t"], a["u"]], 0.1),
    "adagrad": lambda a: updated(fastnn.adagrad_update, [a["y"], a["t"], a["shares"]], 0.1),
    "rmsprop": lambda a: updated(fastnn.rmsprop_update, [a["y"], a["t"], a["shares"]], 0.1),
    "adam": lambda a: updated(fastnn.adam_update, [a["y"], a["t"], a["u"], a["shares"]], 3, 0.1),
}


def content(result: Any) -> list[bytes]:
    parts = result if isinstance(result, tuple) else (result,)
    return [np.asarray(part).tobytes() for part in parts if part is not None]


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all ways be learned anew."""
    for module in (layers, losses, updates):
        for name, value in list(vars(module).items()):
            if isinstance(value, Way | Ways):
                monkeypatch.setattr(module, name, type(value)())


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The long way's calls of kernels."""
    made: list[Any] = []
    original = threads.run

    def run(*arguments: Any, **options: Any) -> Any:
        made.append(arguments[0])
        return original(*arguments, **options)

    monkeypatch.setattr(threads, "run", run)
    forget(monkeypatch)
    return made


def close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the long way only."""
    forget(monkeypatch)
    monkeypatch.setattr(Way, "learn", lambda *_, **__: None)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CALLS)
def test_both_ways_give_the_same_bits(name: str, dtype: Any, runs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS[name](arrays(dtype))  # functions of layers learn their way from the long one
    runs.clear()
    short = content(CALLS[name](arrays(dtype)))
    assert not runs
    close(monkeypatch)
    assert content(CALLS[name](arrays(dtype))) == short
    assert runs or "zero_one" in name  # which is computed by NumPy


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_more_work_takes_the_short_way_too(
    n: int, dtype: Any, runs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where memory begins and parts meet within a line of the cache, and a part has a rest."""
    if n > 1 and not openmp.is_available():
        pytest.skip("needs OpenMP")
    monkeypatch.setattr(contention, "free_processors", lambda n, launch: n)
    memory = np.linspace(-3, 3, 40_301, dtype=dtype)
    x = memory[1:].reshape(403, 100)

    def results() -> tuple[Any, ...]:
        p, (loss, dx) = x.copy(), fastnn.mean_squared_error(x, -x)
        fastnn.momentum_update(p, x, np.zeros_like(x), 0.1)
        dy = fastnn.activation_backward("elu", x, x, x, alpha=0.5)
        y, out = memory[:-1].reshape(403, 100).copy(), memory.copy()[1:].reshape(403, 100)
        fastnn.activation_forward("relu", y, out=y)
        W, b = memory[:7000].reshape(100, 70), memory[:70]
        z = fastnn.affine_forward(x, W, b)
        products = z, *fastnn.affine_backward(z, x, W), *fastnn.affine_backward(z, x, W, need_dx=False)[1:]
        return loss, dx, p, dy, y, fastnn.softmax(x), fastnn.activation_forward("tanh", x, out=out), *products

    monkeypatch.setattr(threads, "_chosen", 2)
    fastnn.softmax_cross_entropy(np.ones((9000, 30), dtype), np.zeros(9000, np.intp))  # starts threads
    first = results()  # by which they learn
    runs.clear()
    monkeypatch.setattr(threads, "_chosen", n)
    assert content(results()) == content(first)
    assert not runs


@pytest.mark.parametrize("dtype", FLOATS)
def test_larger_calls_take_the_long_way(dtype: Any, runs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_chosen", 2)
    x, W, b = np.ones((4500, 64), dtype), np.ones((64, 64), dtype), np.ones(64, dtype)
    y, t = np.ones((5000, 10), dtype), np.zeros(5000, np.intp)
    for _ in range(2):
        fastnn.affine_forward(x, W, b)
        fastnn.affine_backward(x, x, W)
        fastnn.activation_forward("tanh", np.ones(700_000, dtype))
        fastnn.softmax_cross_entropy(y, t)
        fastnn.sgd_update(np.ones(3_300_000, dtype), np.ones(3_300_000, dtype), 0.1)
    assert len(runs) == 10


@pytest.mark.parametrize("dtype", FLOATS)
def test_arrays_whose_results_no_memory_could_hold_are_refused_for_their_shapes(dtype: Any) -> None:
    a, many = arrays(dtype), 1 << 20
    fastnn.affine_forward(a["x"], a["W"], a["b"])
    x, W, b = np.zeros((many, 1), dtype), np.zeros((2, many), dtype), np.zeros(many, dtype)
    with pytest.raises(ValueError, match=r"^W: expected a \w+ array of shape \(1, H\), got shape \(2, 1048576\)$"):
        fastnn.affine_forward(x, W, b)


@pytest.mark.parametrize("dtype", FLOATS)
def test_other_threads_do_not_wait_for_a_look_at_many_outputs(dtype: Any) -> None:
    y, t = np.zeros((4, 10), dtype), np.zeros(4, np.intp)
    fastnn.softmax_cross_entropy(y, t), fastnn.zero_one_loss(y, t)
    ways: Any = losses._ways[SoftmaxCrossEntropy]
    numbers, rows = losses._numbers(SoftmaxCrossEntropy, 0.0), LONGEST_LOOK // 10
    for count, expected in ((rows, LARGE), (rows + 1, ASK)):
        y, t = np.zeros((count, 10), dtype), np.zeros(count, np.intp)
        assert ways.call(numbers, y, t, t, None) == (UNSEEN if expected == LARGE else ASK)
        assert ways.on(1)(numbers, y, t, t, None) == expected
        t[-1] = 10  # it is seen where it was looked at
        assert ways.on(1)(numbers, y, t, t, None) == ASK
        assert losses._right.call(y, t, t)[0] == LARGE


def broken(a: dict[str, Any]) -> list[dict[str, Any]]:
    """The same arrays, each time with one that the gate must convert or refuse."""
    wrong = []
    for name in a:
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
        if name in ("signs", "shares", "p", "q", "one_hot"):
            forms += [given + 3, -given, given * given.dtype.type(1.0003), given * given.dtype.type(1.003)]
            forms += [np.full_like(given, np.nan), np.ones_like(given)]
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


def test_options_are_told_apart() -> None:
    x = -np.ones(3)
    for _ in range(2):
        assert [fastnn.activation_forward("leaky_relu", x, slope=slope)[0] for slope in (0.1, 0.2, 1.0)] == [
            -0.1,
            -0.2,
            -1.0,
        ]
        with pytest.raises(TypeError, match="slope"):
            fastnn.activation_forward("leaky_relu", x, slope=True)
        with pytest.raises(TypeError, match="slope"):
            fastnn.activation_forward("relu", x, slope=0.1)
        with pytest.raises(TypeError, match="expected arguments out of"):
            fastnn.activation_forward("leaky_relu", x, slop=0.1)


def test_rates_and_options_that_change_take_the_short_way(runs: list[Any]) -> None:
    a = arrays(np.float32)
    runs.clear()
    for number in range(1, 6):
        fastnn.sgd_update(a["y"], a["t"], 0.1 * number)
        fastnn.adam_update(a["y"], a["t"], a["u"], a["shares"], number, 0.01 * number)
        fastnn.activation_forward("leaky_relu", a["y"], slope=0.1 * number)
        fastnn.activation_backward("elu", a["y"], a["t"], a["shares"], alpha=0.1 * number)
        fastnn.huber(a["y"], a["t"], delta=0.1 * number)
    assert len(runs) == 5  # the first of each


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
