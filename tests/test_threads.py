"""The number of threads, and launches from Python threads, forked children and on each threading layer."""

import math
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.engine import threads
from fastnn.gate import checks
from tests.forked import Forks

PACKAGE_PARENT = str(pathlib.Path(fastnn.__file__).parents[1])
LARGE = max(threads.SMALL_WORK, *threads.SMALL_WORK_ON.values())  # on any layer

KERNELS = """
from fastnn.kernels.units import entry_of_parts, launcher

@entry_of_parts
def square(part, parts, x, out):
    for i in range(part, x.size, parts):
        out[i] = x[i] * x[i]
"""

HEADER = f"""
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork of a process with threads
import numba
import numpy as np
from fastnn.engine import threads
from fastnn.gate import checks
from squaring import launcher, square
LARGE = {LARGE}
x = np.arange(1000.0)

def squared(run):
    out = np.full_like(x, np.nan)
    run(out)
    return out.tobytes() == (x * x).tobytes()
"""


def fake(n_threads: int, launcher: int | str, *args: Any) -> tuple[Any, ...]:
    """Reports how it was called, and with what."""
    return (n_threads, launcher, *args)


@pytest.fixture
def four_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as on a machine with four processors and NUMBA_NUM_THREADS=4, with four threads asked for."""
    monkeypatch.setattr(threads, "_LIMIT", 4)
    monkeypatch.setattr(threads, "_chosen", 4)


@pytest.fixture
def fake_launch(four_allowed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let launches happen without Numba's threads."""
    monkeypatch.setattr(threads, "JIT_DISABLED", False)
    monkeypatch.setattr(threads, "_layer", "workqueue")

    def launch(entry: Any, n: int, args: tuple[Any, ...]) -> Any:
        return entry(n, "launcher", *args) if entry is fake else None

    monkeypatch.setattr(threads, "_launch", launch)


# --- the number of threads ----------------------------------------------------------------------------


def cgroup(root: pathlib.Path, line: str, files: dict[str, str]) -> pathlib.Path:
    """Fake /proc/self/cgroup and files below /sys/fs/cgroup."""
    for name, content in {"proc/self/cgroup": line, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n")
    return root


@pytest.mark.parametrize(
    ("line", "files", "quota"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", {"cpu.max": "max 100000"}, math.inf),
        ("0::/a/b", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "200000 100000"}, 0.5),
        ("0::/path/of/the/host", {"cpu.max": "300000 100000"}, 3.0),
        ("4:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}, 1.5),
        ("4:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "20000"}, 2.5),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ("4:memory:/", {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ("0::/", {"cpu.max": "nonsense"}, math.inf),
        ("0::/", {}, math.inf),
    ],
)
def test_cgroup_quota(tmp_path: pathlib.Path, line: str, files: dict[str, str], quota: float) -> None:
    assert threads._cgroup_quota(cgroup(tmp_path, line, files)) == quota


def test_no_cgroups(tmp_path: pathlib.Path) -> None:
    assert threads._cgroup_quota(tmp_path) == math.inf


@pytest.mark.parametrize(
    ("processors", "quota", "limit", "number", "reason"),
    [
        (8, 1.5, 16, 2, "2: affinity 8, cgroup quota 1.5, NUMBA_NUM_THREADS 16"),
        (8, 0.2, 16, 1, "1: affinity 8, cgroup quota 0.2, NUMBA_NUM_THREADS 16"),
        (8, math.inf, 16, 8, "8: affinity 8, no cgroup quota, NUMBA_NUM_THREADS 16"),
        (8, 64.0, 4, 4, "4: affinity 8, cgroup quota 64, NUMBA_NUM_THREADS 4"),
    ],
)
def test_default_is_the_smallest_of_three(
    processors: int, quota: float, limit: int, number: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(processors), raising=False)
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: quota)
    monkeypatch.setattr(threads, "_LIMIT", limit)
    assert threads._default.__wrapped__() == (number, reason)


def test_default_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: math.inf)
    monkeypatch.setattr(threads, "_LIMIT", 4)
    assert threads._default.__wrapped__() == (3, "3: processors 3, no cgroup quota, NUMBA_NUM_THREADS 4")


def test_set_num_threads(four_allowed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_chosen", None)
    assert threads.get_num_threads() == threads.default_num_threads() >= 1
    assert threads.describe()["reason"] == threads._default()[1]
    threads.set_num_threads(np.int64(3))  # type: ignore[arg-type]
    assert threads.get_num_threads() == 3
    assert threads.describe()["threads"] == 3
    assert threads.describe()["reason"] == "3: chosen by set_num_threads"


@pytest.mark.parametrize(
    ("n", "error"),
    [
        *((n, ValueError) for n in (0, 5, -1, np.int64(5))),
        *((n, TypeError) for n in (2.0, True, None, "2", np.array([1, 2]), np.array(2), np.array([]), [2])),
    ],
    ids=repr,
)
def test_number_of_threads_is_checked(four_allowed: None, n: Any, error: type[Exception]) -> None:
    sentence = f"n: expected an integer from 1 to 4, got {checks.shown(n)}"
    if str(n) == "5":
        sentence += "; for more threads, set NUMBA_NUM_THREADS before Python starts"
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        threads.set_num_threads(n)
    assert threads.get_num_threads() == 4


# --- serial or parallel -------------------------------------------------------------------------------


def test_large_work_is_parallel(fake_launch: None) -> None:
    assert threads.run(fake, LARGE, "x", "out") == (4, "launcher", "x", "out")
    assert threads.run(fake, LARGE, "x", n_threads=3) == (3, "launcher", "x")
    assert not threads._workqueue_busy.locked()


def test_small_work_and_one_thread_are_serial(fake_launch: None) -> None:
    assert threads.run(fake, threads.SMALL_WORK - 1, "x", "out") == (1, 0, "x", "out")
    assert threads.run(fake, LARGE, "x", n_threads=1) == (1, 0, "x")
    threads.set_num_threads(1)
    assert threads.run(fake, LARGE, "x") == (1, 0, "x")


@pytest.mark.parametrize("name", ["JIT_DISABLED", "_forked_from_openmp"])
def test_serial_where_launches_cannot_be(fake_launch: None, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, name, True)
    assert threads.run(fake, LARGE, "x") == (1, 0, "x")


def test_serial_while_the_workqueue_is_busy(fake_launch: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with threads._workqueue_busy:
        assert threads.run(fake, LARGE, "x") == (1, 0, "x")
        monkeypatch.setattr(threads, "_layer", "omp")
        assert threads.run(fake, LARGE, "x") == (4, "launcher", "x")


# --- launches, in processes of their own --------------------------------------------------------------


@pytest.fixture
def run_script(folder: pathlib.Path, forks: Forks) -> Callable[..., str]:
    """Returns what a script prints, run with four threads of a layer; skips where there is no such layer."""
    (folder / "squaring.py").write_text(KERNELS)

    # In a fork Numba has as many threads as processors, whatever NUMBA_NUM_THREADS says.
    def run(script: str, layer: str, fork: bool = True, **environment: str) -> str:
        settings = {
            "FASTNN_CACHE": str(folder / "cache"),
            "NUMBA_DISABLE_JIT": "0",
            "NUMBA_NUM_THREADS": "4",
            "NUMBA_THREADING_LAYER": layer,
            "PYTHONPATH": os.pathsep.join([PACKAGE_PARENT, str(folder)]),
            **environment,
        }
        script = HEADER + script
        if fork:
            done = forks.run(script, os.environ | settings)
        else:
            command = [sys.executable, "-c", script]
            done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=120)
        if "No threading layer could be loaded" in done.stderr:
            pytest.skip(f"no {layer} threading layer on this machine")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("threads")


layers = pytest.mark.parametrize("layer", ["omp", "workqueue"])


@layers
def test_many_python_threads_launch_at_once(run_script: Callable[..., str], layer: str) -> None:
    script = """
start = threading.Barrier(8)
results = []

def work():
    start.wait()
    results.extend(squared(lambda out: threads.run(square, LARGE, x, out, n_threads=2)) for _ in range(200))

workers = [threading.Thread(target=work) for _ in range(8)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(len(results), all(results), threads.describe()["threading_layer"], len(square.signatures))
"""
    assert run_script(script, layer, fork=False, FASTNN_CACHE="0") == f"1600 True {layer} 1\n"


@layers
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_child_computes(run_script: Callable[..., str], layer: str) -> None:
    script = """
def child_computes():
    child = os.fork()
    if child == 0:
        os._exit(0 if squared(lambda out: threads.run(square, LARGE, x, out, n_threads=2)) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def parent_computes():
    return squared(lambda out: threads.run(square, LARGE, x, out, n_threads=2))

print(child_computes())  # before there are threads
print(squared(lambda out: square(2, launcher(), x, out)), child_computes())  # threads started by others
print(parent_computes(), child_computes(), parent_computes())
"""
    assert run_script(script, layer, fork=False) == "0\nTrue 0\nTrue 0 True\n"


@layers
def test_masks_and_environment_are_left_alone(run_script: Callable[..., str], layer: str) -> None:
    script = """
def failing(n, launcher, seen):
    seen.append((n, numba.get_num_threads()))
    raise KeyboardInterrupt

environment = dict(os.environ)
print(threads.describe()["threading_layer"])
seen = []
for mask in (4, 3):
    numba.set_num_threads(mask)
    for n in (2, 3):
        assert squared(lambda out: threads.run(square, LARGE, x, out, n_threads=n))
        assert numba.get_num_threads() == mask
        try:
            threads.run(failing, LARGE, seen, n_threads=n)
        except KeyboardInterrupt:
            assert numba.get_num_threads() == mask
print(seen, threads._workqueue_busy.locked(), dict(os.environ) == environment)
"""
    masks = (4, 4, 3, 3) if layer == "omp" else (2, 3, 2, 3)  # OpenMP takes the number itself
    seen = list(zip((2, 3, 2, 3), masks, strict=True))
    # Numba, already loaded, knows another number of threads.
    assert run_script(script, layer, fork=False) == f"not started\n{seen} False True\n"


def test_serial_work_starts_no_threads(run_script: Callable[..., str]) -> None:
    script = """
assert squared(lambda out: threads.run(square, 0, x, out))
assert squared(lambda out: threads.run(square, LARGE, x, out, n_threads=1))
print(threads.describe()["threading_layer"], threading.active_count(), len(square.signatures))
"""
    assert run_script(script, "workqueue") == "not started 1 1\n"
