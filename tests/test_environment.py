"""The report on the environment, which starts nothing, and compiling ahead, which leaves everything ready."""

import json
import os
import pathlib
import platform
import re
import sys
from collections.abc import Callable
from typing import Any

import llvmlite
import numba
import numpy as np
import pytest

import fastnn
from fastnn import environment
from fastnn.engine import threads
from fastnn.kernels import processor
from fastnn.kernels.cache import kernel_cache_folder
from fastnn.kernels.compile import JIT_DISABLED
from tests.forked import Forks

PACKAGE_PARENT = str(pathlib.Path(fastnn.__file__).parents[1])
needs_compiler = pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled with NUMBA_DISABLE_JIT=1")

FIXED = {
    "versions": {"fastnn": "1.2.3", "python": "3.11.7", "numpy": "2.4.6", "numba": "0.68.1", "llvmlite": "0.50.0"},
    "platform": "Linux-6.1",
    "processor": {"name": "znver5", "vector_bytes": 64, "float32_lanes": 16, "fma": True},
    "compiled": True,
    "prebuilt": {"level": "x86-64-v4", "reason": "x86-64-v4"},
    "threads": {
        "threads": 2,
        "reason": "2: affinity 2, no cgroup quota, NUMBA_NUM_THREADS 2",
        "threading_layer": "omp",
        "waiting": "for 40000 turns of a loop, then asleep",
        "regions": "7 on threads",
    },
    "folders": {"kernels": "/home/u/.cache/fastnn/kernels/0a", "data": "/data"},
    "blas": {"name": "scipy-openblas", "version": "0.3.31", "kernels": "SkylakeX"},
    "variables": {"FASTNN_DATA": "/data"},
}


@pytest.fixture
def run_python(forks: Forks) -> Callable[[str], str]:
    """Gives the output of another process that runs the code."""
    return lambda code: forks.output(code, {**os.environ, "PYTHONPATH": PACKAGE_PARENT})


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """The output of `show_config`."""
    fastnn.show_config()
    return capsys.readouterr().out


# --- config --------------------------------------------------------------------------------------------------------


def test_config_survives_json() -> None:
    found = environment.config()
    assert json.loads(json.dumps(found)) == found


def test_config_names_versions_and_processor() -> None:
    found = environment.config()
    assert found["versions"] == {
        "fastnn": fastnn.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
    }
    said = found["processor"]
    assert said["name"] == llvmlite.binding.get_host_cpu_name()
    assert said["vector_bytes"] == processor.VECTOR_BYTES
    assert said["float32_lanes"] * np.dtype(np.float32).itemsize == processor.VECTOR_BYTES
    assert said["fma"] is processor.HAS_FMA
    assert found["compiled"] is not JIT_DISABLED


def test_config_describes_the_threads(chosen_threads: None) -> None:
    fastnn.set_num_threads(1)
    assert environment.config()["threads"] == threads.describe()
    assert environment.config()["threads"]["reason"] == "1: chosen by set_num_threads"


def test_config_names_the_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_DATA", "elsewhere")
    folder = kernel_cache_folder()
    assert environment.config()["folders"] == {"kernels": folder and str(folder), "data": "elsewhere"}


def test_config_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setattr(environment, "cache_folder", lambda name: None)
    monkeypatch.setattr(environment, "kernel_cache_folder", lambda: None)
    assert environment.config()["folders"] == {"kernels": None, "data": None}


def test_config_names_only_the_variables_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert environment.config()["variables"] == {}
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert environment.config()["variables"] == {"OPENBLAS_CORETYPE": "Haswell"}


# --- NumPy's BLAS --------------------------------------------------------------------------------------------------


def test_blas_is_what_numpy_was_built_with(monkeypatch: pytest.MonkeyPatch) -> None:
    built = {"Build Dependencies": {"blas": {"name": "mkl", "version": "2025.1", "found": True}}}
    monkeypatch.setattr(np, "show_config", lambda mode: built)
    blas = environment.config()["blas"]
    assert (blas["name"], blas["version"]) == ("mkl", "2025.1")


@pytest.mark.parametrize("built", [None, {}, {"Build Dependencies": {}}])
def test_blas_of_a_numpy_that_says_nothing(
    built: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(np, "show_config", lambda mode: built)
    blas = environment.config()["blas"]
    assert (blas["name"], blas["version"]) == (None, None)
    assert re.search(r"^NumPy's BLAS +unknown, ", shown(capsys), re.MULTILINE)


def test_blas_kernels_are_those_of_numpy_and_not_of_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = [
        {"user_api": "openmp", "filepath": "/site/numpy.libs/libgomp.so"},
        {"user_api": "blas", "filepath": "/site/scipy.libs/libopenblas.so", "architecture": "Haswell"},
        {"user_api": "blas", "filepath": "/site/numpy.libs/libopenblas.so", "architecture": "Zen"},
    ]
    module = type(sys)("threadpoolctl")
    vars(module)["threadpool_info"] = lambda: pools
    monkeypatch.setitem(sys.modules, "threadpoolctl", module)
    assert environment.config()["blas"]["kernels"] == "Zen"
    pools.pop()
    assert environment.config()["blas"]["kernels"] == "Haswell"
    pools.pop()
    assert environment.config()["blas"]["kernels"] is None


def test_blas_kernels_without_threadpoolctl(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert environment.config()["blas"]["kernels"] is None
    assert ", install threadpoolctl to see its kernels\n" in shown(capsys)


# --- show_config ---------------------------------------------------------------------------------------------------


def test_show_config_is_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(environment, "config", lambda: FIXED)
    assert shown(capsys) == (
        "fastnn            1.2.3\n"
        "python            3.11.7\n"
        "numpy             2.4.6\n"
        "numba             0.68.1\n"
        "llvmlite          0.50.0\n"
        "platform          Linux-6.1\n"
        "processor         znver5: vectors of 64 bytes (16 float32), fused multiply-add\n"
        "kernels           compiled\n"
        "prebuilt          x86-64-v4\n"
        "threads           2: affinity 2, no cgroup quota, NUMBA_NUM_THREADS 2\n"
        "threading layer   omp\n"
        "threads wait      for 40000 turns of a loop, then asleep\n"
        "parallel regions  7 on threads\n"
        "kernel cache      /home/u/.cache/fastnn/kernels/0a\n"
        "data folder       /data\n"
        "NumPy's BLAS      scipy-openblas 0.3.31, SkylakeX kernels\n"
        "FASTNN_DATA       /data (environment variable)\n"
    )


def test_show_config_says_what_is_absent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    generic = {"name": "generic", "vector_bytes": 16, "float32_lanes": 4, "fma": False}
    prebuilt = {"level": None, "reason": "FASTNN_PREBUILT=0"}
    absent = {"processor": generic, "compiled": False, "prebuilt": prebuilt, "folders": {"kernels": None, "data": None}}
    monkeypatch.setattr(environment, "config", lambda: {**FIXED, **absent})
    table = shown(capsys)
    assert "\nprocessor         generic: vectors of 16 bytes (4 float32), no fused multiply-add\n" in table
    assert "\nkernels           plain Python, slow: NUMBA_DISABLE_JIT is set\n" in table
    assert "\nprebuilt          none: FASTNN_PREBUILT=0\n" in table
    assert "\nkernel cache      none: kernels are compiled anew in each process\n" in table
    assert "\ndata folder       none: the user has no home folder\n" in table


# --- warmup --------------------------------------------------------------------------------------------------------

COUNT = """
import numpy as np
import fastnn
from fastnn import environment
from fastnn.engine import threads
from fastnn.kernels.compile import ENTRIES
from fastnn.kernels.units import UNITS

# They belong to numerical gradients, models, plots, penalties, arrays of images, and other threads.
OTHERS = {"prepare", "perturb", "rows", "evaluate", "perceptron_samples", "line_fit_losses", "penalty", "note_clock"}
OTHERS |= {"apply_update", "conv2d_forward", "conv2d_backward"}

def counts():
    entries = [len(e.signatures) for e in ENTRIES if e.__name__ not in OTHERS]
    return entries, [unit.dtypes for unit in UNITS if unit.name not in OTHERS]
"""

USE = """
(x, t), test = fastnn.datasets.load_digits()
targets = fastnn.datasets.one_hot(t, 10)
for loss, optimizer in (("softmax_cross_entropy", fastnn.Momentum()), ("mean_squared_error", fastnn.SGD())):
    net = fastnn.Network([fastnn.Affine(64, 5), fastnn.Tanh(), fastnn.Affine(5, 10)], loss=loss, rng=0)
    net.fit(x, targets, epochs=1, optimizer=optimizer, progress=False)
    net.step(x[:1], targets[:1], optimizer)
    net.gradient(x, targets)
net = fastnn.Network([fastnn.Affine(64, 10)], rng=0)
net.fit(x, t, epochs=1, validation_data=test, progress=False)
net.accuracy(*test), net.loss(*test), net.predict(x[:3].astype(float))
fastnn.softmax(x), fastnn.activation_forward("relu", x, out=x.copy())
fastnn.mean_squared_error(x, x), fastnn.softmax_cross_entropy(targets, targets)
W = np.ones((64, 3), np.float32)
fastnn.affine_backward(fastnn.affine_forward(x, W, W[0]), x, W)
"""


@needs_compiler
def test_config_starts_and_compiles_nothing(run_python: Callable[[str], str]) -> None:
    code = COUNT + "environment.config(); layer = threads.describe()['threading_layer']\n"
    code += "print(layer, not any(map(any, counts())))"
    assert run_python(code) == "not started True\n"


@needs_compiler
def test_warmup_leaves_nothing_to_compile(run_python: Callable[[str], str]) -> None:
    code = COUNT + "fastnn.warmup(); before = counts()\n" + USE + "print(before == counts(), sorted(set(before[0])))"
    assert run_python(code) == "True [1]\n"


@needs_compiler
def test_warmup_compiles_the_same_for_any_number_of_threads(run_python: Callable[[str], str]) -> None:
    """Only the code that starts threads differs."""
    code = COUNT + "fastnn.set_num_threads({0}); fastnn.warmup('float64')\n"
    code += "print(counts(), {s for e in ENTRIES if e.__name__ == 'predict' for s in e.signatures})"
    one, two = (run_python(code.replace("{0}", str(n))) for n in (1, min(2, threads.default_num_threads())))
    assert one == two
    assert one.endswith("{'float64'}\n")


def test_warmup_of_numerical_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training by numerical gradients then finds all their kernels compiled."""
    used: list[str] = []
    monkeypatch.setattr(environment, "_use_everything", lambda dtype, rows: None)
    monkeypatch.setattr(environment, "fit", lambda *arguments, gradient, **settings: used.append(gradient))
    fastnn.warmup()
    assert used == []
    fastnn.warmup(numerical_gradients=True)
    assert set(used) == {"numerical"}


@pytest.mark.parametrize(
    ("compiled", "n", "rows"), [(True, 2, [2, threads.SMALL_WORK]), (True, 1, [2]), (False, 2, [2])]
)
def test_warmup_works_at_both_sizes_only_where_threads_are_used(
    compiled: bool, n: int, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    monkeypatch.setattr(environment, "_use_everything", lambda dtype, rows: used.append(rows))
    monkeypatch.setattr(environment, "JIT_DISABLED", not compiled)
    monkeypatch.setattr(threads, "get_num_threads", lambda: n)
    fastnn.warmup()
    assert used == rows


def test_warmup_refuses_other_types() -> None:
    sentence = "dtype: expected 'float32' or 'float64', got 'float16'"
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        fastnn.warmup("float16")
