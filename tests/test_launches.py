"""Parallel regions on a machine with other work: how threads wait, and that results stay the same."""

import contextlib
import ctypes
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.engine import contention, threads
from fastnn.kernels import launches, openmp, units
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.launches import PAUSED_UNTIL, PAUSES

PACKAGE_PARENT = str(pathlib.Path(fastnn.__file__).parents[1])
needs_threads = pytest.mark.skipif(
    JIT_DISABLED or not openmp.is_available() or threads._LIMIT < 2, reason="needs OpenMP, and more than one thread"
)


# --- the launcher -----------------------------------------------------------------------------------------------------


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The launcher's state, cleared, with two threads wherever this runs."""
    monkeypatch.setattr(threads, "_chosen", 2)
    monkeypatch.setattr(contention, "PROCESSORS", 2)
    monkeypatch.setattr(contention, "_busy", lambda watch, now: 0)
    found = units.launch_state()
    kept = found.copy()
    found[:] = 0.0
    yield found
    found[:] = kept


def trained() -> bytes:
    """The parameters of a network after one call of many steps, single ones and a prediction."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(330, 200)).astype(np.float32), rng.integers(0, 10, 330)
    layers = [fastnn.Affine(200, 50), fastnn.BatchNorm(), fastnn.Relu(), fastnn.Affine(50, 10)]
    network, optimizer = fastnn.Network(layers, rng=0), fastnn.Adam()
    network.fit(x, t, epochs=2, batch_size=100, optimizer=optimizer, rng=0, progress=False)
    loss = sum(network.step(x, t, optimizer) for _ in range(3))
    y = network.predict(x)
    return b"".join(np.asarray(one).tobytes() for one in (*network.params.values(), loss, y))


@needs_threads
def test_results_have_the_same_bits_during_a_pause_and_after_it(state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    on_threads = trained()
    assert state[launches.ON_THREADS] > 0
    state[:] = 0.0
    state[PAUSED_UNTIL] = time.monotonic() + 1e6
    in_a_pause = trained()
    assert state[launches.ON_THREADS] == 0
    assert state[launches.PAUSED] > 0
    state[:] = 0.0
    state[PAUSED_UNTIL] = time.monotonic() + 1e-3  # ends somewhere within
    in_both = trained()
    monkeypatch.setattr(threads, "_chosen", 1)
    assert on_threads == in_a_pause == in_both == trained()


@needs_threads
def test_numerical_gradients_have_the_same_bits_during_a_pause(state: Any) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(50, 30)), rng.integers(0, 5, 50)
    network = fastnn.Network([fastnn.Affine(30, 20), fastnn.Tanh(), fastnn.Affine(20, 5)], rng=0, dtype="float64")
    on_threads = network.numerical_gradient(x, t)
    state[PAUSED_UNTIL] = time.monotonic() + 1e6
    in_a_pause = network.numerical_gradient(x, t)
    assert state[launches.PAUSED] > 0
    assert all(on_threads[name].tobytes() == in_a_pause[name].tobytes() for name in on_threads)


@needs_threads
def test_nobody_looks_for_busy_threads_during_a_pause(state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def free_processors(n: int, launch: Any) -> int:
        looked.append(n)
        return n

    monkeypatch.setattr(contention, "free_processors", free_processors)
    x = np.ones((1000, 1000), np.float32)
    fastnn.softmax(x)
    assert set(looked) == {2}
    looked.clear()
    state[PAUSED_UNTIL] = time.monotonic() + 1e6
    fastnn.softmax(x)
    assert not looked


# --- how threads wait -------------------------------------------------------------------------------------------------

ENVIRONMENT = """
import ctypes, os
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
before, seen = dict(os.environ), []
from fastnn.engine import threads
from fastnn.kernels import openmp
make = ctypes.CDLL

def load(name, *arguments, **options):
    if name == "libgomp.so.1" and not options:
        seen.append(libc.getenv(b"GOMP_SPINCOUNT"))
    return make(name, *arguments, **options)

openmp.ctypes.CDLL = load
{}
print(threads.describe()["waiting"])
threads.started_layer()
print(seen, libc.getenv(b"GOMP_SPINCOUNT"), dict(os.environ) == before)
print(threads.describe()["waiting"])
"""


def run_python(code: str, **environment: str) -> str:
    """The output of a new process, where nobody has chosen how OpenMP waits unless `environment` does."""
    variables = {name: value for name, value in os.environ.items() if name not in openmp.CHOICES}
    variables |= {"PYTHONPATH": PACKAGE_PARENT, **environment}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_threads
def test_the_environment_is_set_for_the_load_alone() -> None:
    said = f"for {openmp.SPINS} turns of a loop, then asleep"
    assert run_python(ENVIRONMENT.format("")) == f"not started\n[b'{openmp.SPINS}'] None True\n{said}\n"


@needs_threads
@pytest.mark.parametrize(("name", "value"), [("GOMP_SPINCOUNT", "77"), ("OMP_WAIT_POLICY", "active")])
def test_a_users_choice_stands(name: str, value: str) -> None:
    found = run_python(ENVIRONMENT.format(""), **{name: value})
    spins = "b'77'" if name == "GOMP_SPINCOUNT" else "None"
    assert found == f"not started\n[{spins}] {spins} True\nas {name}={value} says\n"


@needs_threads
def test_a_library_that_is_loaded_already_is_left_as_it_is() -> None:
    found = run_python(ENVIRONMENT.format("make('libgomp.so.1')"))
    assert found == "not started\n[None] None True\nas libgomp was told when another library loaded it\n"


def test_a_failing_load_puts_the_environment_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def fail(name: str, **options: Any) -> Any:
        seen.append(libc.getenv(b"GOMP_SPINCOUNT"))
        raise OSError

    libc: Any = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    for name in openmp.CHOICES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(openmp, "_found", None)
    monkeypatch.setattr(openmp, "_waiting", "")
    monkeypatch.setattr(ctypes, "CDLL", fail)
    with pytest.raises(OSError, match=r"^$"):
        openmp._load()
    assert seen == [None, str(openmp.SPINS).encode()]  # whether it is there, and then the load
    assert libc.getenv(b"GOMP_SPINCOUNT") is None


TOGETHER = """
import os, sys, threading
from fastnn.kernels import openmp
sys.setswitchinterval(1e-6)
barrier, seen = threading.Barrier(4), []
def first():
    barrier.wait()
    seen.append(openmp.functions())
for _ in range(8):
    if os.fork():  # each child loads the library anew
        os.wait()
        continue
    threads = [threading.Thread(target=first) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(openmp._found, len(set(seen)), "turns" in openmp.waiting(), flush=True)
    os._exit(0)
"""


@needs_threads
def test_threads_that_load_the_library_at_once() -> None:
    """None of them takes it for another library's, which would leave a forked child on one thread."""
    assert run_python(TOGETHER) == 8 * "False 1 True\n"


# --- forks, and other programs ----------------------------------------------------------------------------------------


USE_OPENMP = """
import ctypes
gomp, team = ctypes.CDLL("libgomp.so.1"), []
region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda data: team.append(gomp.omp_get_thread_num()))
gomp.GOMP_parallel(region, None, 2, 0)
assert sorted(team) == [0, 1]
"""
LOAD = "import fastnn; fastnn.get_num_threads()\n"
FORK = """
import os, signal
import numpy as np
import fastnn
if os.fork() == 0:
    signal.alarm(30)
    fastnn.set_num_threads(2)
    y = fastnn.softmax(np.ones((1000, 1000), np.float32))
    os._exit(0 if (abs(y - 0.001) < 1e-6).all() else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@needs_threads
@pytest.mark.parametrize("before", [USE_OPENMP, USE_OPENMP + LOAD, LOAD + USE_OPENMP], ids=["alone", "first", "later"])
def test_a_child_forked_after_another_library_used_the_same_openmp_computes(before: str) -> None:
    """The threads of the parent do not exist in the child, which would wait for them forever."""
    assert run_python(before + FORK, NUMBA_NUM_THREADS="2") == "0\n"


@contextlib.contextmanager
def endless_loops(number: int) -> Iterator[None]:
    """Have so many other processes compute on the processors of this one."""
    loops = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@needs_threads
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen here")
def test_beside_endless_loops_two_threads_keep_up_with_one(state: Any) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(100, 784)).astype(np.float32), rng.integers(0, 10, 100)
    network = fastnn.Network([fastnn.Affine(784, 50), fastnn.Sigmoid(), fastnn.Affine(50, 10)], rng=0)
    optimizer = fastnn.SGD(lr=1e-3)
    network.step(x, t, optimizer)

    def seconds_a_step(n: int) -> float:
        """The mean of a quarter of a second."""
        fastnn.set_num_threads(n)
        start, steps = time.perf_counter(), 0
        while time.perf_counter() < start + 0.25:
            network.step(x, t, optimizer)
            steps += 1
        return (time.perf_counter() - start) / steps

    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("needs two processors")
    os.sched_setaffinity(0, sorted(allowed)[:2])  # the loops inherit it
    try:
        with endless_loops(2):
            ratios = []
            for _ in range(5):
                turns = [[seconds_a_step(n) for n in (1, 2)] for _ in range(3)]
                ratios.append(sum(two for _, two in turns) / sum(one for one, _ in turns))
                if ratios[-1] < 1.5:
                    break
    finally:
        os.sched_setaffinity(0, allowed)
    assert min(ratios) < 1.5, ratios
    assert state[PAUSES] > 0
