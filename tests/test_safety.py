"""No crash, no hang and no wrong numbers, whatever threads, processes and callbacks do."""

import concurrent.futures
import contextlib
import dataclasses
import importlib
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Momentum, Network, Relu, Sigmoid
from fastnn.engine import at_once, threads
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.layers import Activation
from tests.forked import Forks
from tests.shapes import numbers, targets

TOO_LARGE = "optimizer: expected a finite number of at most 3.4028234663852886e+38, got 1e+39"
REPEATS = 20 if JIT_DISABLED else 400
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_compiler = pytest.mark.skipif(JIT_DISABLED, reason="about compiled code")


def network(**settings: Any) -> Network:
    return Network([Affine(20, 16), Sigmoid(), Affine(16, 5)], rng=0, **settings)


def labels(rows: int, classes: int = 5) -> Any:
    return targets("labels", rows, classes, np.float32)


def run(code: str, **environment: str) -> Any:
    """The JSON that a separate Python process prints."""
    settings = {**os.environ, "NUMBA_DISABLE_JIT": "0", **environment}
    command = [sys.executable, "-W", "error", "-c", code]
    process = subprocess.run(command, env=settings, capture_output=True, text=True, check=False, timeout=300)
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout)


@pytest.mark.parametrize("bad", [5, -1, 2**40, -(2**40)])
def test_labels_changed_after_their_check(bad: int) -> None:
    net, x, t = network(), numbers(1, 50, 20), labels(50)

    def change(*_: Any) -> None:
        t[:] = bad

    with pytest.raises(ValueError, match=rf"^t: expected labels .*, got {bad} at t\[0\]"):
        net.fit(x, t, epochs=2, callbacks=[change])
    assert all(np.isfinite(value).all() for value in net.params.values())


def test_concurrent_gradients_are_those_of_their_data() -> None:
    net = network()
    data = [(numbers(seed, 30, 20), labels(30)) for seed in range(4)]
    expected = [net.gradient(x, t)["W1"].tobytes() for x, t in data]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda i: net.gradient(*data[i % 4])["W1"].tobytes(), range(REPEATS)))
    assert all(result == expected[i % 4] for i, result in enumerate(results))


def test_concurrent_steps_of_different_optimizers() -> None:
    net, x, t = network(), numbers(1, 30, 20), labels(30)
    optimizers = [SGD(lr=0.01), Momentum(lr=0.01)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        losses = list(pool.map(lambda i: net.step(x, t, optimizers[i % 2]), range(REPEATS)))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


class Meeting:
    """A replacement of `threads.run` in which two Python threads wait for one another; `found` are the jobs that met.

    Each waits only for a moment, so that threads that are kept apart go on.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.original, self.barrier, self.found = threads.run, threading.Barrier(2, timeout=2.0), list[Any]()
        self.lock = threading.Lock()
        monkeypatch.setattr("fastnn.engine.engine.threads.run", self)

    def __call__(self, entry: Any, work: float, *args: Any, **options: Any) -> Any:
        job = next(one for one in args if isinstance(one, np.ndarray) and one.dtype == np.intp)
        with contextlib.suppress(threading.BrokenBarrierError):
            self.barrier.wait()
            with self.lock:
                self.found.append(job)
            self.barrier.wait()
        return self.original(entry, work, *args, **options)

    def of_two(self, function: Any) -> list[Any]:
        """The jobs of two calls of a function that were under way at the same time."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(function) for _ in range(2)]:
                future.result()
        self.barrier.abort()  # a call alone waits for nobody
        return self.found


@pytest.fixture
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all calls of compiled code go through `threads.run`."""
    monkeypatch.setattr(threads, "SMALL_WORK", 1)
    monkeypatch.setattr(at_once, "LONGER", 0.0)


@pytest.mark.usefixtures("nothing_is_small")
def test_predictions_side_by_side_work_in_memory_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = network(), numbers(1, 30, 20, dtype=np.float32)
    expected = net.predict(x).tobytes()  # from here on there is a workspace to share
    jobs = Meeting(monkeypatch).of_two(lambda: net.predict(x))
    assert len(jobs) == 2
    assert not np.shares_memory(*jobs)
    assert net.predict(x).tobytes() == expected


@pytest.mark.usefixtures("nothing_is_small")
@pytest.mark.parametrize("method", ["run_batches", "step"])
def test_batches_are_trained_one_after_another(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the workspace, the gradients and the parameters."""
    net, x, t = network(), numbers(1, 30, 20, dtype=np.float32), labels(30)
    optimizer, empty = Momentum(0.1), np.empty((0, 5), np.float32)
    data = (x, t, empty, np.empty(0, np.intp))
    train: Any = {
        "step": lambda: net.step(x, t, optimizer),
        "run_batches": lambda: net.engine.run_batches(data, optimizer, (0, 3, 10)),  # as `fit` calls it
    }[method]
    train()
    meeting = Meeting(monkeypatch)
    meeting.barrier = threading.Barrier(2, timeout=0.5)
    assert meeting.of_two(train) == []


def test_a_learning_rate_that_the_dtype_cannot_hold() -> None:
    net, x, t = network(), numbers(1, 30, 20), labels(30)
    before = net.params["W1"].copy()
    with pytest.raises(ValueError, match=f"^{re.escape(TOO_LARGE)}$"):
        net.step(x, t, SGD(lr=1e39))
    assert net.params["W1"].tobytes() == before.tobytes()


def test_a_parameter_as_output() -> None:
    net = Network([Affine(4, 4), Relu(), Affine(4, 4)], rng=0)
    with pytest.raises(ValueError, match="out: expected memory that no input uses, got an array that overlaps"):
        net.predict(numbers(1, 4, 4, dtype="float32"), out=net.params["W1"])


@needs_compiler
def test_the_workspace_of_a_huge_batch_is_given_back() -> None:
    net = Network([Affine(2, 400), Relu(), Affine(400, 3)], rng=0)
    net.gradient(numbers(1, 50_000, 2), labels(50_000, 3))
    assert net.engine.workspace is None


@needs_compiler
def test_without_the_asked_threading_layer_work_is_serial() -> None:
    code = (
        "import fastnn, json, numpy as np\n"
        "x = np.ones((600, 64), np.float32)\n"
        "y = fastnn.affine_forward(x, np.ones((64, 50), np.float32), np.zeros(50, np.float32))\n"
        "print(json.dumps(float(y.sum())))"
    )
    with contextlib.suppress(ImportError):
        importlib.import_module("numba.np.ufunc.tbbpool")
        pytest.skip("TBB is installed here")
    assert run(code, NUMBA_THREADING_LAYER="tbb") == 600 * 50 * 64


@needs_compiler
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_work_too_small_for_the_layer_is_serial(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "started_layer", lambda: layer)
    monkeypatch.setattr(threads, "_launch", lambda *_: "parallel")

    def entry(*_: Any) -> str:
        return "serial"

    assert threads.run(entry, 23e6, n_threads=1) == "serial"
    if threads._LIMIT > 1:
        assert threads.run(entry, 23e6, n_threads=2) == ("parallel" if layer == "omp" else "serial")


@needs_compiler
def test_features_are_those_that_numba_compiles_for() -> None:
    code = "import json\nfrom fastnn.kernels.processor import *\nprint(json.dumps([VECTOR_BYTES, HAS_FMA]))"
    assert run(code, NUMBA_ENABLE_AVX="0")[0] == 16
    assert run(code, NUMBA_CPU_NAME="generic") in ([16, False], [16, True])  # ARM has it always


@pytest.mark.exhaustive  # compiles a product and an activation for it
@needs_compiler
def test_a_processor_without_fused_multiply_add() -> None:
    code = (
        "import fastnn, json, numpy as np\n"
        "x = np.arange(21, dtype=np.float32).reshape(3, 7) / 8\n"
        "y = fastnn.affine_forward(x, x.T.copy(), np.zeros(3, np.float32))\n"
        "print(json.dumps([float(y.sum()), float(fastnn.activation_forward('sigmoid', x).sum())]))"
    )
    assert run(code, NUMBA_CPU_NAME="generic") == pytest.approx(run(code), rel=1e-6)


@needs_fork
def test_locks_that_another_thread_holds_are_free_after_a_fork() -> None:
    with threads._starting, threads._workqueue_busy:
        child = os.fork()
        if child == 0:
            free = threads._starting.acquire(blocking=False) and threads._workqueue_busy.acquire(blocking=False)
            os._exit(0 if free else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert threading.active_count() >= 1


def in_a_fork(forks: Forks, code: str, **environment: str) -> Any:
    """The output of a process whose child, forked while a thread runs `busy`, runs `use` within a minute."""
    forked = """
import json, os, signal, threading, time
import numpy as np
import fastnn
from fastnn.kernels.compile import entry
fastnn.get_num_threads()  # loads what guards a fork
{code}
thread = threading.Thread(target=busy, daemon=True)
thread.start()
time.sleep(0.2)
child = os.fork()
if child == 0:
    signal.alarm(60)
    use()
    os._exit(0)
print(json.dumps(os.waitpid(child, 0)[1]), flush=True)
os._exit(0)
"""
    # Python warns that a fork beside a thread may end in a deadlock; the test is about fastnn's own.
    script = "import warnings\nwarnings.simplefilter('ignore')" + forked.replace("{code}", code)
    settings = {**os.environ, "NUMBA_DISABLE_JIT": "0", "PYTHONPATH": os.path.dirname(fastnn.__path__[0])}
    return json.loads(forks.output(script, {**settings, **environment}))


@needs_compiler
@needs_fork
def test_a_child_forked_while_a_thread_trains_can_use_the_network(forks: Forks) -> None:
    code = """
net = fastnn.Network([fastnn.Affine(300, 300), fastnn.Sigmoid(), fastnn.Affine(300, 10)], rng=0)
x, t = np.ones((3000, 300), np.float32), np.zeros(3000, np.intp)
net.step(x[:10], t[:10], fastnn.SGD(0.1))
def busy():
    net.fit(x, t, epochs=10**6, batch_size=None, progress=False)
def use():
    net.step(x[:10], t[:10], fastnn.SGD(0.1))
    net.gradient(x[:10], t[:10])
"""
    assert in_a_fork(forks, code, NUMBA_NUM_THREADS="1") == 0


@needs_compiler
@needs_fork
def test_a_child_forked_while_a_thread_compiles_can_compile(forks: Forks) -> None:
    code = """
import numba
def function(x):
    for i in range(4):
        x = np.sort(x) + np.linalg.norm(x)
    return x
def busy():
    for k in range(1000):
        numba.njit(lambda x: function(x) + k if k < 0 else np.sort(x) + np.median(x))(np.ones(3))
def use():
    assert numba.njit(lambda x: x + 1)(1) == 2
    fastnn.softmax(np.ones((2, 2)))
"""
    assert in_a_fork(forks, code) == 0


@needs_compiler
@needs_fork
def test_a_child_forked_while_a_unit_is_compiled_can_compile_another(forks: Forks) -> None:
    code = """
def use(layer=fastnn.Tanh):
    fastnn.Network([fastnn.Affine(2, 3), layer()], "mean_squared_error", rng=0).predict([[1.0, 2.0]])
def busy():
    for name in "abcdefghijklmnopqrstuvwxyz":
        use(fastnn.activation(lambda x: 2.0 * x, derivative=lambda x, y: 2.0, name="twice_" + name))
use(fastnn.Relu)  # the modules are loaded, as Python's own locks of them do not survive a fork
"""
    assert in_a_fork(forks, code) == 0


def test_training_from_parameters_that_are_not_finite() -> None:
    net = network()
    net.params["W1"][...] = np.nan
    sentence = "params: expected finite parameters, got NaN or infinity; call network.initialize() first"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        net.fit(numbers(1, 30, 20), labels(30), epochs=1)


@pytest.mark.parametrize("name", ["dtype", "params"])
def test_what_a_network_is_made_of_cannot_be_replaced(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(network(), name, "float64")


def test_the_base_of_activations_is_no_layer() -> None:
    sentence = "layer: expected one such as Relu(), got Activation(); use a subclass"
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        Activation()


def test_data_that_are_the_parameters_are_copied() -> None:
    """Otherwise they would move while they are read."""
    net, other = (Network([Affine(20, 20), Sigmoid(), Affine(20, 5)], rng=0) for _ in range(2))
    x, t = net.params["W1"], labels(20)
    losses = net.fit(x, t, epochs=3, batch_size=4, rng=0, progress=False).loss
    assert losses == other.fit(other.params["W1"].copy(), t, epochs=3, batch_size=4, rng=0, progress=False).loss
    values = Network([Affine(20, 20)], "mean_squared_error", rng=0)
    expected = Network([Affine(20, 20)], "mean_squared_error", rng=0)
    values.step(values.params["W1"], values.params["W1"], SGD(0.1))
    expected.step(expected.params["W1"].copy(), expected.params["W1"].copy(), SGD(0.1))
    assert np.array_equal(values.params["W1"], expected.params["W1"])


@pytest.mark.parametrize("name", ["shuffle", "progress"])
def test_a_flag_that_is_none(name: str) -> None:
    settings: Any = {name: "no"}
    with pytest.raises(TypeError, match=f"^{name}: expected True or False, got 'no'$"):
        network().fit(numbers(1, 30, 20), labels(30), epochs=1, **settings)


def test_networks_beyond_all_memory() -> None:
    sentence = "inputs: expected an integer of at least 1 and of at most 2147483647, got " + "1" + 30 * "0"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Affine(10**30, 2)
    sentence = "layers: expected parameters that fit into memory, got 1,000,000,001,000,000,000 of them, "
    with pytest.raises(MemoryError, match=f"^{re.escape(sentence)}3,725,290,302 GiB; use narrower layers$"):
        Network([Affine(10**9, 10**9)])
    with pytest.raises(MemoryError, match=r"of them; use narrower layers$"):
        Network([Affine(2**31 - 1, 2**31 - 1)] * 3)


def test_parameters_cannot_be_removed() -> None:
    with pytest.raises(TypeError, match=r"^params: expected all of them to stay, got del params\['W1'\]; assign to"):
        del network().params["W1"]
    with pytest.raises(KeyError, match="expected one of W1, b1, W2, b2, got 'W9'"):
        del network().params["W9"]


# --- refused calls change nothing ------------------------------------------------------------


def test_a_refused_step_leaves_the_state_of_the_optimizer() -> None:
    """It does so even if the step asked for another optimizer."""
    trained, disturbed = network(), network()
    x, labels = numbers(1, 12, 20, dtype=np.float32), np.arange(12) % 5
    bad_x, bad_labels = x.copy(), labels.copy()
    bad_x[3, 4], bad_labels[5] = np.nan, 9
    for _ in range(3):
        for net in (trained, disturbed):
            net.step(x, labels, Momentum(0.1))
        for refused in ((x, bad_labels, SGD(0.1)), (bad_x, labels, SGD(0.1)), (x, labels, SGD(1e300))):
            with pytest.raises(ValueError, match="expected"):
                disturbed.step(*refused)
    for name, value in trained.params.items():
        assert value.tobytes() == disturbed.params[name].tobytes()


def test_a_refused_prediction_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastnn.engine.engine.FLOP_PER_CALL", 1.0)  # several calls
    x, out = numbers(1, 300, 20, dtype=np.float32), np.full((300, 5), 7, np.float32)
    x[299, 0] = np.inf
    with pytest.raises(ValueError, match="expected finite values, got inf at x\\[299, 0\\]"):
        network().predict(x, out=out)
    assert (out == 7).all()


def test_an_optimizer_may_change_its_numbers_and_be_local() -> None:
    @dataclasses.dataclass(frozen=True)
    class Halving(SGD):
        rates: tuple[float, ...] = (0.5, 0.0)

        @property
        def numbers(self) -> tuple[float, ...]:
            return (self.rates[len(seen)],)

    seen: list[float] = []
    net = network()
    x, labels = numbers(1, 12, 20, dtype=np.float32), np.arange(12) % 5
    optimizer = Halving()
    seen.append(net.step(x, labels, optimizer))
    before = net.params["W1"].copy()
    net.step(x, labels, optimizer)
    assert np.array_equal(net.params["W1"], before)
    assert np.array_equal(pickle.loads(pickle.dumps(net)).predict(x), net.predict(x))
