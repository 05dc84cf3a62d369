"""The benchmarks: every case agrees in every installed library, failures are reported, and nothing is dropped."""

import argparse
import importlib.util
import json
import pathlib
import re
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import driver, machine, peers, rates, startup, worker
from benchmarks.cases import BY_NAME, CASES, GROUPS, KINDS, Case
from fastnn.command import bench
from fastnn.datasets.mnist import CHECKSUMS
from fastnn.kernels import processor

PRODUCT = BY_NAME["product 32x32x32"]


def in_the_checkout(*arguments: str, **variables: str) -> str:
    """What a process of Python with these arguments prints."""
    environment = {**peers.child_environment(), **variables}
    done = subprocess.run([sys.executable, *arguments], cwd=peers.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the table -----------------------------------------------------------------------------------------


def test_names_and_groups() -> None:
    assert len(BY_NAME) == len(CASES)
    assert list(dict.fromkeys(case.group for case in CASES)) == list(GROUPS)
    assert {case.kind for case in CASES} == set(KINDS)
    assert {name for case in CASES for name in case.implementations} == set(peers.IMPLEMENTATIONS)
    assert all("fastnn" in case.implementations for case in CASES)
    assert all({"numpy", "numpy_loop"} & set(case.implementations) for case in CASES)


@pytest.mark.parametrize(
    ("name", "flop"),
    [
        ("affine_forward 100x784x50", 2 * 100 * 784 * 50),
        ("affine_backward 100x784x50", 4 * 100 * 784 * 50),
        ("product 10x1000x1000", 2 * 10 * 1000 * 1000),
        ("predict 1,000, 784-50-10", 2 * 1000 * (784 * 50 + 50 * 10)),
        ("step 100, 784-50-10", 2 * 100 * (2 * 784 * 50 + 3 * 50 * 10)),
        ("step 512, 2048-2048-2048-100", 2 * 512 * (2 * 2048**2 + 3 * 2048**2 + 3 * 2048 * 100)),
        ("LeNet-5 predict 1", 2 * (784 * 6 * 25 + 100 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10)),
        ("SimpleConvNet step 32", 2 * 32 * (2 * 576 * 30 * 25 + 3 * (4320 * 100 + 100 * 10))),
        ("epoch 60,000, batch 100, 784-50-10", 600 * 2 * 100 * (2 * 784 * 50 + 3 * 50 * 10)),
    ],
)
def test_flop(name: str, flop: int) -> None:
    assert BY_NAME[name].flop == flop


def test_bytes() -> None:
    assert BY_NAME["sigmoid 10,000"].bytes == 2 * 4 * 10_000
    assert BY_NAME["sgd_update 40,000"].bytes == 3 * 4 * 40_000
    assert BY_NAME["momentum_update 40,000"].bytes == 5 * 4 * 40_000
    assert all((case.flop > 0) != (case.bytes > 0) for case in CASES if case.group not in {"contention", "gradients"})


def test_synthetic_samples_are_as_empty_as_mnist() -> None:
    case = BY_NAME["epoch 60,000, batch 100, 784-50-10"]
    data = Case(case.name, case.group, case.kind, (2000, 100, 784, 50, 10)).data()
    assert abs(np.mean(data["x"] == 0) - 0.81) < 0.002
    assert data["x"].dtype == np.float32 and data["x"].min() >= 0 and data["x"].max() < 1
    assert set(data["t"]) == set(range(10))


def test_cases_take_mnist_from_a_file(tmp_path: pathlib.Path) -> None:
    case = BY_NAME["epoch 60,000, batch 100, 784-50-10"].reduced()
    x, t = np.ones((100, 784), np.float32), np.arange(100)
    np.savez(tmp_path / "mnist.npz", x=x, t=t)
    data = case.data(tmp_path / "mnist.npz")
    assert data["x"].shape == (case.sizes[0], case.sizes[2]) and (data["x"] == 1).all()
    np.testing.assert_array_equal(data["t"], t[: case.sizes[0]])


WORKER = """
import json, sys
from benchmarks import worker
worker.main(sys.argv[1:])
print(json.dumps(sorted({"fastnn", "numba"} & set(sys.modules))))
"""
WITH_NUMBA = ("fastnn", "fastnn_run", "both", "scipy", "numdifftools")  # SciPy is given a compiled function


@pytest.mark.parametrize("name", peers.IMPLEMENTATIONS)
def test_every_case_agrees(name: str) -> None:
    """Each case is small, and each library has its own process, as when timed; a peer's process never loads fastnn."""
    reason = peers.why_absent(name)
    if reason is not None:
        pytest.skip(reason)
    # Cases that are the same at the sizes of the tests run once.
    distinct = {
        replace(case.reduced(), name="", quick=False): case.name for case in CASES if name in case.implementations
    }
    cases = list(distinct.values())
    if name == "torch_compiled":  # each takes it seconds
        cases = ["step 10, 20-16-4", "predict 1, 784-50-10", "LeNet-5 predict 1"]
    lines = in_the_checkout("-c", WORKER, name, "1", "--mode", "check", "--reduced", *cases)
    library, *rows, loaded = map(json.loads, lines.splitlines())
    assert re.match(r"\d+\.\d+", library["version"])
    assert [row["case"] for row in rows] == cases
    if importlib.util.find_spec("threadpoolctl") is None:  # restricts NumPy to one thread
        rows = [row for row in rows if "NumPy on one thread" not in row["case"] or name == "fastnn"]
    ours = peers.IMPLEMENTATIONS[name].package == "fastnn"
    if not ours:  # a peer waits for no operation of fastnn's
        rows = [row for row in rows if "is not written for" not in row.get("reason", "")]
    assert [row for row in rows if row["status"] != "agrees"] == []
    assert loaded == [*(["fastnn"] if ours else []), *(["numba"] if name in WITH_NUMBA else [])]
    assert all(0 <= row["error"] <= BY_NAME[row["case"]].tolerance for row in rows)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_runtimes_are_absent_without_onnx(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None if package == "onnx" else object())
    assert peers.why_absent(name) == "onnx is not installed"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads' times are read from /proc")
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_runtimes_have_the_threads_of_the_row(name: str) -> None:
    """Products of a large batch keep as many processors busy as threads were asked for."""
    if (reason := peers.why_absent(name)) is not None:
        pytest.skip(reason)
    lines = in_the_checkout("-c", COUNT_THREADS, name)
    assert [int(line) for line in lines.split()] == [0, 1]


def test_worker_refuses_unknown_cases() -> None:
    command = [sys.executable, "-m", "benchmarks.worker", "numpy", "1", "product of nothing"]
    done = subprocess.run(command, cwd=peers.ROOT, env=peers.child_environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "cases: expected names of the table, got product of nothing\n"


# --- processes -----------------------------------------------------------------------------------------


def test_environment_of_a_worker() -> None:
    script = """
import json, os, sys
from benchmarks import peers
peers.set_environment(sys.argv[1], 3)
assert "numpy" not in sys.modules
print(json.dumps(dict(os.environ)))
"""
    handicaps = {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "1"}
    found = {name: json.loads(in_the_checkout("-c", script, name, **handicaps)) for name in ("numpy", "fastnn", "jax")}
    for variables in found.values():
        assert not set(handicaps) & set(variables)
        assert {variables[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "NUMBA")} == {"3"}
    assert found["numpy"]["OPENBLAS_NUM_THREADS"] == "3"
    assert found["fastnn"]["OPENBLAS_NUM_THREADS"] == "1"
    assert found["jax"]["NPROC"] == "3" and "XLA_FLAGS" in found["jax"]


# How many threads of the process have worked during predictions beside this one, with 1 thread and with 2.
COUNT_THREADS = """
import os, pathlib, sys
from benchmarks import peers
from benchmarks.cases import BY_NAME

def worked():
    place = pathlib.Path("/proc/self/task")
    return {task.name: int((task / "stat").read_text().rpartition(")")[2].split()[11]) for task in place.iterdir()}

case = BY_NAME["predict 1,000, 784-512-512-10"]
for threads in (1, 2):
    target = peers.factories(sys.argv[1])["predict"](case, case.data(), threads)
    before = worked()
    for _ in range(20):
        target.call()
    after = worked()
    print(sum(after[task] - before.get(task, 0) > 2 for task in after if task != str(os.getpid())))
"""


FAKE_WORKER = """
import json, sys, time
name, threads, *rest = sys.argv[1:]
cases = [argument for argument in rest if not argument.startswith("--") and not argument[0].isdigit()]
if name == "sklearn":
    sys.exit("cannot be imported")
print(json.dumps({"version": "1.0", "pools": None}), flush=True)
for case in cases:
    if case == "crash":
        sys.exit("a crash")
    if case == "block":
        time.sleep(60)
    print(json.dumps({"case": case, "status": "timed", "seconds": 1.0}), flush=True)
"""


def fake_rows(
    name: str, cases: list[str], seconds: float, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> list[Any]:
    monkeypatch.setattr(driver, "WORKER", [sys.executable, "-c", FAKE_WORKER])
    effort = driver.Effort(0.01, 3, 1, cold=False, deadline=time.monotonic() + seconds)
    found = list(driver.Worker(name, 1, effort, tmp_path, None).run(cases))
    assert [row["case"] for row in found] == cases
    assert {(row["implementation"], row["threads"]) for row in found} == {(name, 1)}
    return [(row["status"], row.get("reason")) for row in found]


def test_a_crash_loses_one_case(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    rows = fake_rows("numpy", ["a", "crash", "b"], np.inf, monkeypatch, tmp_path)
    assert rows == [("timed", None), ("failed", "the process ended: a crash"), ("timed", None)]


def test_a_case_that_blocks_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(driver, "USUAL_LONGEST_SECONDS", 1.0)
    rows = fake_rows("numpy", ["a", "block", "b"], np.inf, monkeypatch, tmp_path)
    assert rows == [("timed", None), ("failed", "no result within 1 s"), ("timed", None)]


def test_a_library_that_does_not_load_loses_all(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    rows = fake_rows("sklearn", ["a", "b"], np.inf, monkeypatch, tmp_path)
    assert rows == 2 * [("failed", "the process ended: cannot be imported")]


def test_what_quick_has_no_time_for_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    rows = fake_rows("numpy", ["a", "block", "b"], 1.5, monkeypatch, tmp_path)
    left_out = ("left out", "--quick had no time left")
    assert rows == [("timed", None), left_out, left_out]


def test_measure_has_a_row_for_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_limits", lambda counts, effort: [])
    monkeypatch.setattr(peers, "why_absent", lambda name: "it is not installed" if name == "torch" else None)
    effort = driver.Effort(0.01, 3, 1, cold=False, deadline=time.monotonic() + driver.LATE_SECONDS)
    lines: list[str] = []
    result = driver.measure([PRODUCT], {"numpy", "fastnn", "torch"}, [1], effort, lines.append)
    assert [(row["implementation"], row["status"]) for row in result["rows"]] == [
        ("numpy", "timed"),
        ("fastnn", "timed"),
        ("torch", "absent"),
    ]
    assert result["absent"] == {"torch": "it is not installed"}
    assert [(row["implementation"], row["threads"]) for row in result["libraries"]] == [("numpy", 1), ("fastnn", 1)]
    assert lines[-1] == "3/3  PyTorch (1), product 32x32x32: absent (it is not installed)"


# --- the machine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rates(dtype: str) -> None:
    assert 1e3 < rates.fma_peak(dtype, 1, repeats=10) < 1e13
    assert set(rates.bandwidths(1, array_bytes=4000)) == {"copy", "triad"}


def test_multiply_adds_are_as_many_as_counted() -> None:
    factors = np.arange(40.0)
    lanes = processor.LANES[factors.dtype]
    out = np.zeros((1, rates.CHAINS * lanes))
    rates.fma_chains(1, 0, 5, factors, out)
    added = factors[rates.CHAINS : rates.CHAINS + lanes] * factors[rates.CHAINS + lanes]
    expected = [factors[chain : chain + lanes] + 5 * added for chain in range(rates.CHAINS)]
    np.testing.assert_array_equal(out.reshape(rates.CHAINS, lanes), expected)


def test_machine() -> None:
    found = machine.describe()
    assert {"cpu", "caches", "commit", "date", "versions", "processor", "threads", "blas", "variables"} <= set(found)
    assert str(pathlib.Path.home()) not in json.dumps(found)


def test_startup_times() -> None:
    seconds = startup._seconds("pass", 1)
    assert seconds is not None and 0 < seconds < 60
    assert startup._seconds("raise SystemExit(1)", 1) is None
    rows = startup.measure(["numpy"], 1, repeats=1, cold=False)
    assert [(row["what"], row["library"], row["repeats"]) for row in rows] == [
        ("import", "numpy", 1),
        ("import", "numba", 1),
        ("first step", "numpy", 1),
    ]
    assert all(row["seconds"] is not None for row in rows)


@pytest.mark.parametrize("library", startup.FIRST_STEP)
def test_first_steps_run(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    assert startup._seconds(startup.FIRST_STEP[library], 1) is not None


def test_a_wheel_is_found_before_this_checkout(tmp_path: pathlib.Path) -> None:
    with zipfile.ZipFile(tmp_path / "fastnn_kernels-1.whl", "w") as wheel:
        wheel.writestr("fastnn/__init__.py", "import numba, numpy, pathlib\nassert 'site-packages' in __file__")
    python = startup.installed(tmp_path / "fastnn_kernels-1.whl", tmp_path / "installed")
    assert startup._seconds("import fastnn", 1, python=python) is not None
    assert startup._seconds("import fastnn; fastnn.Network", 1, python=python) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module")
def test_memory() -> None:
    assert 2**20 < worker.peak_memory() < 2**45
    row = worker._memory(peers.Target(lambda: np.ones(20_000_000), lambda results: []))
    assert row["bytes"] >= row["bytes_before"] > 2**20


# --- the command ---------------------------------------------------------------------------------------


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench.add(parser.add_subparsers())
    return parser.parse_args(["bench", *arguments])


def test_help_names_what_there_is() -> None:
    assert bench.GROUPS.split(", ") == list(GROUPS)
    assert set(bench.PEERS.split(", ")) == set(peers.PEERS) - set(peers.ALWAYS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--peers", "numpy,keras"],
            "--peers: expected names out of numpy, fastnn, torch, jax, sklearn, scipy, numdifftools, torch_compiled, "
            "onnxruntime, openvino, got keras; see --help",
        ),
        (
            ["--groups", "steps,nothing"],
            "--groups: expected names out of gradients, small, operations, activations, losses, products, steps, "
            "optimizers, layers, models, epochs, inference, images, contention, got nothing; see --help",
        ),
        (["--threads", "0"], "--threads: expected integers from 1 to "),
        (["--threads", "many"], "--threads: expected integers from 1 to "),
    ],
)
def test_errors_in_the_options(arguments: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        bench.run(options(*arguments))


def test_without_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    sentence = (
        f"bench: expected the folder benchmarks in {tmp_path}, got none; it comes with fastnn's repository and source "
        "distribution, not with the wheel: unpack one and run `pip install -e .` there"
    )
    with pytest.raises(FileNotFoundError, match=re.escape(sentence)):
        bench.run(options())


def fake_measure(status: str) -> Callable[..., dict[str, Any]]:
    row = {"case": PRODUCT.name, "implementation": "fastnn", "threads": 1, "status": status, "reason": "wrong"}
    empty: dict[str, Any] = {"absent": {}, "epoch_data": None}
    empty |= {name: [] for name in ("libraries", "limits", "startup", "memory")}

    def measure(cases: Any, chosen: set[str], counts: list[int], effort: Any, say: Any) -> dict[str, Any]:
        assert chosen == {"fastnn", "numpy", "jax"} and counts == [1] and {case.group for case in cases} == {"products"}
        return {"format": 1, "machine": machine.describe(), "threads": counts, "rows": [row], **empty}

    return measure


@pytest.mark.parametrize(("status", "code"), [("differs", 1), ("left out", 0)])
def test_files_and_exit_code(
    status: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(driver, "measure", fake_measure(status))
    chosen = ["--peers", "jax", "--groups", "products", "--threads", "1", "--quick"]
    assert bench.run(options(*chosen, "--out", str(tmp_path / "new"), "--json")) == code
    stored = json.loads((tmp_path / "new" / "quick.json").read_text())
    assert json.loads(capsys.readouterr().out) == stored
    assert stored["quick"] is True and stored["rows"][0]["status"] == status
    assert (tmp_path / "new" / "quick.md").read_text().startswith("# Results of a quick run")


def test_mnist_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    synthetic = (None, "synthetic samples, 81 % of whose inputs are 0 as in MNIST")
    assert driver.mnist_file(tmp_path) == synthetic
    for name in CHECKSUMS:
        shape = (3, 28, 28) if "images" in name else (3,)
        header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
        (tmp_path / name).write_bytes(header + bytes(int(np.prod(shape))))
    file, words = driver.mnist_file(tmp_path)
    assert file is not None and words == "MNIST"
    with np.load(file) as stored:
        assert stored["x"].shape == (3, 784) and stored["t"].tolist() == [0, 0, 0]
