"""Networks' short way on plain arrays gives the bits of the long way, and leaves to the gate all that is not plain."""

import copy
import gc
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn import SGD, Adam, Affine, BatchNorm, Momentum, Network, Regularization, Relu, Sigmoid, Softmax
from fastnn.engine import at_once
from fastnn.engine.short import Way
from fastnn.kernels.compile import JIT_DISABLED
from tests import shapes

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="without the compiler there is only the long way")

N, D, H = 4, 6, 5


def network(dtype: str = "float32", **options: Any) -> Network:
    return Network([Affine(D, H), Sigmoid(), Affine(H, 3)], rng=0, dtype=dtype, **options)


def batch(dtype: str = "float32", rows: int = N) -> tuple[Any, Any]:
    rng = np.random.default_rng(rows)
    return rng.standard_normal((rows, D)).astype(dtype), rng.integers(0, 3, rows)


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def close() -> None:
        for name in ("step", "loss", "accuracy", "gradient"):
            monkeypatch.setattr(at_once, name, lambda *_: None)
        monkeypatch.setattr(Way, "learn", lambda *_, **__: None)  # of networks made from here on

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
            found += [value.tobytes() for _ in range(2) for value in net.gradient(x, t).values()]
        return found, b"".join(value.tobytes() for value in net.params.values())

    short = run()
    long_way()
    assert run() == short


@pytest.mark.parametrize("is_dense", [False, True])
def test_the_short_way_is_taken(is_dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    net, (x, t), optimizer = network(), batch(), SGD(0.1)
    t = np.eye(3, dtype=np.float32)[t] if is_dense else t
    net.step(x, t, optimizer), net.loss(x, t), net.accuracy(x, t)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the long way")

    with monkeypatch.context() as patch:
        for name in ("prepare", "predict", "run_batches"):
            patch.setattr(net.engine, name, never)
        net.step(x, t, optimizer), net.loss(x, t), net.predict(x), net.predict(x, out=np.empty((N, 3), np.float32))
        net.accuracy(x, t)
    net.gradient(x, t)
    monkeypatch.setattr(net.engine, "run_batches", never)
    net.gradient(x, t)


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


def test_a_penalty_is_the_same_both_ways(long_way: Callable[[], None]) -> None:
    def run() -> tuple[float, float]:
        net, (x, t), optimizer = network(regularization=Regularization(l2=0.1)), batch(), SGD(0.1)
        net.step(x, t, optimizer)
        return net.step(x, t, optimizer), net.loss(x, t)

    short = run()
    long_way()
    assert run() == short


def test_what_another_thread_does_while_a_step_waits_is_noticed() -> None:
    net, (x, t), optimizer = network(), batch(), SGD(0.1)
    for meanwhile in (
        lambda: net.gradient(x, t),
        lambda: net.step(x, t, SGD(0.0)),
        lambda: net.step(x, t, Momentum(0.0)),
    ):
        net.step(x, t, optimizer)
        with net.engine.lock:
            thread = threading.Thread(target=lambda: net.step(x, t, optimizer))
            thread.start()
            thread.join(0.2)  # it waits for the lock
            before = net.params["W1"].copy()
            meanwhile()
        thread.join()
        assert np.abs(net.params["W1"] - before).max() > 1e-4


def test_an_update_that_was_interrupted_is_not_taken_for_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (x, t), (first, second) = network(), batch(), (SGD(0.1), SGD(1e4))
    net.step(x, t, first)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(net.engine.workspace, "_add_later", interrupt)
        net.step(x, t, second)
    before = net.params["W1"].copy()
    net.step(x, t, first)
    assert 0 < np.abs(net.params["W1"] - before).max() < 1


def test_outputs_are_not_computed_twice_for_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (x, t) = network(), batch()
    many, labels = batch(rows=1000)
    net.loss(x, t), net.accuracy(x, t)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("predicted again")

    monkeypatch.setattr(net.engine, "predict", never)
    for targets in (t, t.tolist(), np.eye(3)[t], np.eye(3, dtype=np.float32)[t]):
        net.loss(x, targets), net.accuracy(x, targets)
    net.loss(many, labels), net.accuracy(many, labels)


KINDS: dict[str, tuple[str, list[Any], str]] = {
    "logits, one-hot": ("softmax_cross_entropy", [Affine(H, 3)], "one_hot"),
    "logits, labels": ("kl_divergence", [Affine(H, 3)], "labels"),
    "probabilities, one-hot": ("cross_entropy", [Affine(H, 3), Softmax()], "one_hot"),
    "probabilities, labels": ("cross_entropy", [Affine(H, 3), Softmax()], "labels"),
    "margins, labels": ("hinge", [Affine(H, 3)], "labels"),
    "one logit": ("sigmoid_cross_entropy", [Affine(H, 1)], "bits"),
    "one margin": ("hinge", [Affine(H, 1)], "signs"),
    "shares": ("sigmoid_cross_entropy", [Affine(H, 3)], "one_hot"),
    "statistics": ("softmax_cross_entropy", [BatchNorm(), Affine(H, 3)], "labels"),
}


@pytest.mark.parametrize("regularization", [None, Regularization(l1=0.01, l2=0.1, data=0.7)])
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_targets_take_both_ways_to_the_same_bits(
    kind: str, regularization: Any, long_way: Callable[[], None]
) -> None:
    (loss, last, wanted), (x, labels), optimizer = KINDS[kind], batch(), Momentum(0.1)
    bits = (labels > 0).astype(np.float32)[:, None]
    targets = {"labels": labels, "one_hot": np.eye(3, dtype=np.float32)[labels], "bits": bits, "signs": 2 * bits - 1}

    def run() -> list[Any]:
        net, t = Network([Affine(D, H), Relu(), *last], loss, rng=0, regularization=regularization), targets[wanted]  # type: ignore[arg-type]
        found: list[Any] = []
        for _ in range(3):
            found += [net.step(x, t, optimizer), net.step(x, t, optimizer), net.loss(x, t), net.accuracy(x, t)]
            found += [value.tobytes() for _ in range(2) for value in net.gradient(x, t).values()]
        return [*found, net.predict(x).tobytes()]

    short = run()
    long_way()
    assert run() == short


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is bound without the compiler")
def test_the_first_predictions_of_several_threads() -> None:
    """Each binds a way to memory of its own; all but the last are dropped, but not the memory that is used."""
    x, networks = shapes.numbers(1, 2, 40, dtype=np.float32), 400
    expected = Network([Affine(40, 30), Relu(), Affine(30, 3)], rng=0).predict(x)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(networks):
            net, barrier = Network([Affine(40, 30), Relu(), Affine(30, 3)], rng=0), threading.Barrier(3)

            def first(net: Network = net, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                net.predict(x)

            threads = [threading.Thread(target=first) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            others = [np.full(size, 1 << 40) for size in range(8, 2000, 8)]  # in the place of what is free
            assert np.array_equal(net.predict(x), expected)
            del others
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is bound without the compiler")
def test_a_bound_call_keeps_its_memory() -> None:
    x = shapes.numbers(1, 2, 40, dtype=np.float32)
    net = Network([Affine(40, 30), Relu(), Affine(30, 3)], rng=0)
    expected, call = net.predict(x), net.engine.prediction.call
    del net
    gc.collect()
    others = [np.full(size, 1 << 40) for size in range(8, 2000, 8)]
    assert np.array_equal(call(x, True, None), expected)
    del others


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_pickles_a_network_that_was_used(protocol: int) -> None:
    x = shapes.numbers(1, 2, 40, dtype=np.float32)
    net = Network([Affine(40, 3)], rng=0)
    expected = net.predict(x)
    net.step(x, np.array([0, 1]), SGD(0.0))
    net.loss(x, np.array([0, 1]))
    again = pickle.loads(pickle.dumps(net, protocol))
    assert np.array_equal(again.predict(x), expected)
