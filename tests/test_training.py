"""fit: learning, its record and callbacks, how it stops, Ctrl-C, and its small memory."""

import contextlib
import copy
import os
import pathlib
import re
import signal
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, History, Momentum, Network, Relu, Sigmoid
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.optimizers import Optimizer
from tests import shapes
from tests.tolerances import assert_close

PACKAGE_PARENT = pathlib.Path(fastnn.__file__).parents[1]

N = 70  # samples of most tests
X = shapes.numbers(1, N, 5, dtype=np.float32)
T = shapes.targets("labels", N, 3, np.float32)


def small_network(dtype: str = "float32") -> Network:
    return Network([Affine(5, 6), Sigmoid(), Affine(6, 3)], rng=0, dtype=dtype)


def parameter_bits(net: Network) -> bytes:
    return b"".join(p.tobytes() for p in net.params.values())


# --- learning ----------------------------------------------------------------------------------------


def test_learns_the_digits() -> None:
    (x, t), test = fastnn.datasets.load_digits()
    hidden, epochs = (12, 5) if JIT_DISABLED else (50, 20)
    net = Network([Affine(64, hidden), Relu(), Affine(hidden, 10)], rng=0)
    history = net.fit(x, t, epochs=epochs, batch_size=32, optimizer=Momentum(0.1), validation_data=test, rng=0)
    assert history.validation_accuracy[-1] >= (0.9 if JIT_DISABLED else 0.95)
    assert history.loss[-1] < history.loss[0] / 5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [SGD(0.5), Momentum(0.1)], ids=str)
@pytest.mark.parametrize("batch_size", [1, 7, 64, N, 1000, None])
@pytest.mark.parametrize("shuffle", [True, False])
def test_same_bits_as_a_loop_of_steps(shuffle: bool, batch_size: int | None, optimizer: Optimizer, dtype: str) -> None:
    """The last batch is short for 64; 1000 and None take all samples at once."""
    epochs = 2 if JIT_DISABLED else 3
    fitted, net = small_network(dtype), small_network(dtype)
    history = fitted.fit(X, T, epochs=epochs, batch_size=batch_size, optimizer=optimizer, shuffle=shuffle, rng=5)

    rng, losses = np.random.default_rng(5), []
    size = min(N, batch_size or N)
    for _ in range(epochs):
        order = rng.permutation(N) if shuffle else np.arange(N)
        batches = [order[first : first + size] for first in range(0, N, size)]
        losses.append(sum(net.step(X[batch], T[batch], optimizer) * len(batch) for batch in batches) / N)
    assert parameter_bits(fitted) == parameter_bits(net)
    assert_close(np.array(history.loss), np.array(losses), rtol=1e-6)  # with JIT off the sums are of float32
    assert fitted.history is history


def test_same_seed_same_bits() -> None:
    nets = [small_network(), small_network(), small_network()]
    for net, rng in zip(nets, list[Any]([3, np.random.default_rng(3), 4]), strict=True):
        net.fit(X, T, epochs=2, batch_size=16, rng=rng)
    assert parameter_bits(nets[0]) == parameter_bits(nets[1])
    assert parameter_bits(nets[0]) != parameter_bits(nets[2])


def test_default_optimizer_and_no_epochs() -> None:
    net, other = small_network(), small_network()
    before = parameter_bits(net)
    assert net.fit(X, T, epochs=0).epochs == 0
    assert parameter_bits(net) == before
    net.fit(X, T, epochs=1, rng=0)
    other.fit(X, T, epochs=1, rng=0, batch_size=100, optimizer=SGD(lr=0.1))
    assert parameter_bits(net) == parameter_bits(other)


# --- the record --------------------------------------------------------------------------------------


def test_history() -> None:
    net, t = small_network(), np.eye(3)[T]
    seen: list[tuple[float, float]] = []

    def measure(net: Network, history: History) -> None:
        seen.append((net.loss(X[:20], t[:20]), net.accuracy(X[:20], t[:20])))

    history = net.fit(X, t, epochs=3, batch_size=16, validation_data=(X[:20], t[:20]), callbacks=[measure])
    assert list(zip(history.validation_loss, history.validation_accuracy, strict=True)) == seen
    assert [len(row) for row in vars(history).values()] == [3] * 6
    assert history.epochs == 3
    assert history.learning_rate == [0.1] * 3
    assert all(seconds > 0 for seconds in history.seconds)
    assert history.last() == {name: row[-1] for name, row in vars(history).items()}
    assert all(type(value) is float for row in vars(history).values() for value in row)


def test_training_figures_of_one_batch() -> None:
    """A batch that holds all samples is measured before its update."""
    net = small_network()
    loss, accuracy = net.loss(X, T), net.accuracy(X, T)
    history = net.fit(X, T, epochs=1, batch_size=None, shuffle=False)
    assert history.loss == [loss]
    assert history.accuracy == [accuracy]


@pytest.mark.parametrize("kind", ["probabilities", "values"])
def test_no_accuracy_without_classes(kind: str) -> None:
    if kind == "values":
        net, t = Network([Affine(5, 3)], "mean_squared_error", rng=0), shapes.numbers(2, N, 3)
    else:
        net, t = small_network(), shapes.targets(kind, N, 3, np.float64)
    history = net.fit(X, t, epochs=2, validation_data=(X, t))
    assert (history.accuracy, history.validation_accuracy) == ([], [])
    assert len(history.loss) == len(history.validation_loss) == len(history.seconds) == 2


def test_text_of_a_history() -> None:
    assert str(History()) == "no completed epoch"
    assert str(History(loss=[0.5], seconds=[0.25])) == "1 epoch in 0.25 s: loss 0.5000"
    history = History([1, 0.5], [0.1, 0.75], [2, 1.5], [0.2, 0.625], [1, 0.1])
    assert str(history) == (
        "2 epochs in 1.1 s: loss 0.5000, accuracy 0.7500, validation loss 1.5000, validation accuracy 0.6250"
    )
    history = History(loss=[0.5], learning_rate=[1.23456e-7])
    assert str(history) == "1 epoch: loss 0.5000, learning rate 1.235e-07"


# --- callbacks and interruptions ---------------------------------------------------------------------


def test_callbacks() -> None:
    """Each is called after every epoch with the history so far, even if another one stops the training."""
    net, calls = small_network(), []

    def stop_after_two(given: Network, history: History) -> bool:
        calls.append(("first", given is net, history is net.history, history.epochs, len(history.seconds)))
        return history.epochs == 2

    def count(given: Network, history: History) -> None:
        calls.append(("second", given is net, history is net.history, history.epochs, len(history.seconds)))

    history = net.fit(X, T, epochs=10, callbacks=[stop_after_two, count])
    assert history.epochs == 2
    assert calls == [(name, True, True, epoch, epoch) for epoch in (1, 2) for name in ("first", "second")]


def check_usable(net: Network, epochs: int) -> None:
    """Assert that a network is usable after an interrupted or failed fit."""
    assert net.history is not None
    assert net.history.epochs == epochs
    assert {len(row) for row in vars(net.history).values() if row} <= {epochs}
    assert all(np.isfinite(p).all() for p in net.params.values())
    assert np.isfinite(net.predict(X)).all()


def test_interrupted_by_a_callback() -> None:
    net = small_network()

    def interrupt(net: Network, history: History) -> None:
        if history.epochs == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.fit(X, T, epochs=5, callbacks=[interrupt])
    check_usable(net, 2)
    assert net.fit(X, T, epochs=1).epochs == 1


@pytest.mark.parametrize("method", ["run_batches", "measure"])
def test_interrupted_within_an_epoch(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupt comes in the second epoch, in training or validation; the first is recorded completely."""
    net = small_network()
    original, calls = getattr(net.engine, method), []

    def interrupted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == {"run_batches": 3, "measure": 2}[method]:  # the first batches do not count: they compile
            raise KeyboardInterrupt
        return original(*args, **options)

    monkeypatch.setattr(net.engine, method, interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, T, epochs=5, batch_size=None, validation_data=(X, T))
    check_usable(net, 1)


LONG_FIT = """
import signal, sys, time
import numpy as np
import fastnn
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where a shell has started us in the background
net = fastnn.Network([fastnn.Affine(64, 100), fastnn.Relu(), fastnn.Affine(100, 10)], rng=0)
x, t = np.random.default_rng(0).standard_normal((20_000, 64)), np.arange(20_000) % 10
try:
    net.fit(x, t, epochs=1_000_000, callbacks=[lambda net, history: print("epoch", flush=True)])
except KeyboardInterrupt:
    print("stopped")
assert all(np.isfinite(p).all() for p in net.params.values())
assert {len(row) for row in vars(net.history).values() if row} == {net.history.epochs}
print("finished")
"""


def start(script: str, **options: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE_PARENT)}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, text=True, **options)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to one process")
@pytest.mark.skipif(JIT_DISABLED, reason="an epoch takes minutes with NUMBA_DISABLE_JIT=1")
def test_answers_ctrl_c() -> None:
    with start(LONG_FIT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == "epoch\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output.splitlines()[-2:] == ["stopped", "finished"]


@pytest.mark.parametrize("batch_seconds", [0.0001, 0.001, 0.04, 1.0])
def test_compiled_calls_last_a_tenth_of_a_second_at_most(batch_seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of one batch may last longer. The clock is simulated, as a busy machine would disturb a real one."""
    clock, calls = [0.0], []

    def batches(
        data: Any, optimizer: Any, some: tuple[int, int, int], *_: Any, **__: Any
    ) -> tuple[int, float, int, int]:
        calls.append(some[1] - some[0])
        clock[0] += batch_seconds * calls[-1]
        return some[2] * calls[-1], 1.0, 0, 0

    net = small_network()
    monkeypatch.setattr(net.engine, "run_batches", batches)
    monkeypatch.setattr("fastnn.network.run.time", types.SimpleNamespace(perf_counter=lambda: clock[0]))
    x = np.zeros((4_000, 5), np.float32)
    net.fit(x, np.zeros(len(x), np.intp), epochs=3, batch_size=1, shuffle=False, progress=False)
    assert sum(calls) == 3 * len(x)
    assert max(calls) * batch_seconds <= max(0.1, batch_seconds)
    assert max(calls) * batch_seconds >= min(0.04, 1000 * batch_seconds)  # and long enough to be worth a call


# --- failures ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::RuntimeWarning" if JIT_DISABLED else "error")  # of the kernels' scalar twins
@pytest.mark.parametrize("optimizer", [SGD(1e38), Momentum(1e38)], ids=str)
@pytest.mark.parametrize("first", [None, SGD(0.1), Momentum(0.1)], ids=str)
def test_divergence_keeps_the_last_finite_parameters(first: Optimizer | None, optimizer: Optimizer) -> None:
    """They are the last epoch's, as an epoch is one batch here, whatever optimizer was used before."""
    net = Network([Affine(5, 6), Relu(), Affine(6, 3)], rng=0)
    if first is not None:
        net.step(X, T, first)
    last_good = [parameter_bits(net)]

    def remember(net: Network, history: History) -> None:
        last_good.append(parameter_bits(net))

    sentence = (
        r"loss: expected finite numbers, got NaN or infinity in epoch (\d+), batch 1 of 1, first in .*; the network "
        r"keeps its last finite parameters: lower the learning rate, now 1e\+38, clip gradients by the optimizer's "
        "clip_norm=1.0, or begin at other weights"
    )
    with pytest.raises(fastnn.TrainingDivergedError, match=f"^{sentence}$") as caught:
        net.fit(X, T, epochs=1000, batch_size=None, optimizer=optimizer, callbacks=[remember])
    failed = re.search(r"epoch (\d+)", str(caught.value))
    assert failed is not None
    assert int(failed[1]) == len(last_good)
    assert parameter_bits(net) == last_good[-1]
    assert all(np.isfinite(p).all() for p in net.params.values())
    assert net.history is not None
    assert net.history.epochs == len(last_good) - 1


@pytest.mark.parametrize("optimizer", [SGD(1e38), Momentum(1e38)], ids=str)
@pytest.mark.parametrize("first", [None, SGD(0.1), Momentum(0.1)], ids=str)
def test_divergence_is_undone(first: Optimizer | None, optimizer: Optimizer) -> None:
    """The loss is still finite, but the parameters are not: they go back, and so does the state of `first`."""
    net, x, t = Network([Affine(1, 1, "zeros")], "mean_squared_error"), [[1.0]], [10.0]
    if first is not None:
        net.step(x, t, first)
    twin = copy.deepcopy(net)
    with pytest.raises(fastnn.TrainingDivergedError, match=r"^loss: expected finite numbers, got NaN or infinity in"):
        net.fit(x, t, optimizer=optimizer)
    for _ in range(2):
        assert parameter_bits(net) == parameter_bits(twin)
        assert net.step(x, t, Momentum(0.1)) == twin.step(x, t, Momentum(0.1))


@pytest.mark.filterwarnings("ignore::RuntimeWarning" if JIT_DISABLED else "error")  # of the kernels' scalar twins
def test_divergence_within_an_epoch() -> None:
    """An unchecked sample is infinite: its batch changes nothing, and the batches before it count."""
    net, other, x = small_network(), small_network(), X.copy()
    x[50] = np.inf
    with pytest.raises(
        fastnn.TrainingDivergedError, match=r"^loss: .* in epoch 1, batch 6 of 7, first in x; .*: correct the data$"
    ):
        net.fit(x, T, epochs=3, batch_size=10, optimizer=SGD(0.1), shuffle=False, check_finite=False)
    kept = {parameter_bits(other)}
    for first in range(0, 50, 10):
        other.step(X[first : first + 10], T[first : first + 10], SGD(0.1))
        kept.add(parameter_bits(other))
    assert parameter_bits(net) in kept
    check_usable(net, 0)


SPOILT = X.copy()
SPOILT[7, 3] = np.nan
CALLBACKS = "callbacks: expected a list of functions of (network, history)"
REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"x": SPOILT},
        ValueError,
        "x: expected finite values, got nan at x[7, 3]; correct the data, or pass check_finite=False",
    ),
    ({"epochs": -1}, ValueError, "epochs: expected an integer of at least 0, got -1"),
    ({"batch_size": 0}, ValueError, "batch_size: expected an integer of at least 1, got 0"),
    (
        {"validation_data": X},
        TypeError,
        "validation_data: expected a pair (x, t), got ndarray; pass validation_data=(x, t)",
    ),
    (
        {"validation_data": (X, np.full(N, 3))},
        ValueError,
        "validation_data[1]: expected labels of shape (70,), integers from 0 to 2, got 3 at validation_data[1][0]; "
        "labels start at 0, so pass validation_data[1] - 1",
    ),
    ({"callbacks": [3]}, TypeError, f"{CALLBACKS}, got [3]; pass callbacks=[function]"),
    ({"callbacks": [abs]}, TypeError, f"{CALLBACKS}, got [<built-in function abs>]; pass callbacks=[function]"),
    (
        {"callbacks": [fastnn.EarlyStopping]},
        TypeError,
        f"{CALLBACKS}, got [<class 'fastnn.network.early_stopping.EarlyStopping'>]; create one, EarlyStopping()",
    ),
]


@pytest.mark.parametrize(("settings", "error", "sentence"), REFUSED, ids=[row[2] for row in REFUSED])
def test_refusals_change_nothing(settings: dict[str, Any], error: type[Exception], sentence: str) -> None:
    net = small_network()
    history = net.fit(X, T, epochs=1)
    before = parameter_bits(net)
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        net.fit(**{"x": X, "t": T, "epochs": 1, **settings})
    assert parameter_bits(net) == before
    assert net.history is history


# --- the terminal ------------------------------------------------------------------------------------

SHORT_FIT = """
import numpy as np
import fastnn
net = fastnn.Network([fastnn.Affine(4, 3)], rng=0)
net.fit(np.ones((50, 4)), np.zeros(50, int), epochs=2, batch_size=10{more})
print("done")
"""


def test_silent_where_there_is_no_terminal() -> None:
    with start(SHORT_FIT.format(more=""), stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=120)
    assert output == "done\n"


@pytest.mark.skipif(os.name == "nt", reason="needs pseudo-terminals")
@pytest.mark.parametrize(("more", "shown"), [("", True), (", progress=False", False)])
def test_progress_on_a_terminal(more: str, shown: bool) -> None:
    import pty

    master, slave = pty.openpty()
    with start(SHORT_FIT.format(more=more), stdout=slave) as process:
        os.close(slave)
        output = b""
        with contextlib.suppress(OSError):  # how Linux says that nobody has the other end open
            while chunk := os.read(master, 1000):
                output += chunk
        assert process.wait(timeout=60) == 0
    os.close(master)
    assert (
        ("epoch 1/2" in output.decode()) == ("epoch 2/2" in output.decode()) == ("loss 0." in output.decode()) == shown
    )
    assert output.decode().rsplit("\r", 2)[-2].endswith("done")
