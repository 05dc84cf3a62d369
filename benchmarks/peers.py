"""The implementations, why one is absent, and the environment that each needs."""

import importlib
import importlib.util
import os
import pathlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


class MissingError(Exception):
    """A library does not have what a case asks for."""


ROOT = pathlib.Path(__file__).parents[1]
# Variables set on some machines, which keep NumPy from choosing its best kernels.
REMOVED_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@dataclass(frozen=True)
class Implementation:
    """A column of the tables. `peer` is its name for --peers; `blas` whether it uses NumPy's BLAS; `needs` more."""

    label: str
    package: str
    module: str
    peer: str
    blas: bool = False
    needs: tuple[str, ...] = ()  # packages beside its own


IMPLEMENTATIONS = {
    "numpy": Implementation("NumPy", "numpy", "with_numpy", "numpy", blas=True),
    "numpy_loop": Implementation("NumPy, plain loop", "numpy", "with_numpy", "numpy", blas=True),
    "fastnn": Implementation("fastnn", "fastnn", "with_fastnn", "fastnn"),
    "fastnn_run": Implementation("fastnn, in a run", "fastnn", "with_fastnn", "fastnn"),
    "both": Implementation("in turn", "fastnn", "with_both", "fastnn", blas=True),
    "torch": Implementation("PyTorch", "torch", "with_torch", "torch"),
    "jax": Implementation("JAX", "jax", "with_jax", "jax"),
    "jax_run": Implementation("JAX, in a run", "jax", "with_jax", "jax"),
    "sklearn": Implementation("scikit-learn", "sklearn", "with_sklearn", "sklearn", blas=True),
    "scipy": Implementation("SciPy", "scipy", "with_scipy", "scipy"),
    "numdifftools": Implementation("numdifftools", "numdifftools", "with_scipy", "numdifftools"),
    "torch_compiled": Implementation("PyTorch, compiled", "torch", "with_torch", "torch_compiled"),
    "onnxruntime": Implementation("ONNX Runtime", "onnxruntime", "with_runtimes", "onnxruntime", needs=("onnx",)),
    "openvino": Implementation("OpenVINO", "openvino", "with_runtimes", "openvino", needs=("onnx",)),
}
ALWAYS = ("fastnn", "numpy")  # of --peers
PEERS = tuple(dict.fromkeys(implementation.peer for implementation in IMPLEMENTATIONS.values()))


@dataclass(frozen=True)
class Target:
    """One case as one implementation runs it.

    Parameters
    ----------
    call
        The work; it is finished when the call returns. Its results are compared, so that a call with a state starts
        afresh.
    outputs
        From the results of the first `compared` calls, the arrays that must agree with those of the table.
    compared
        How many calls are compared.
    timed
        The call that is timed if it is not `call`: more steps than are compared, for instance.
    divisor
        How many times the case is contained in one timed call; below 1 where only part of it is timed.
    part
        Where the arrays that `outputs` has begin and end among those of the table, where it does only part of the work.
    """

    call: Callable[[], Any]
    outputs: Callable[[list[Any]], Sequence[Any]]
    compared: int = 1
    timed: Callable[[], Any] | None = None
    divisor: float = 1
    part: tuple[int, int | None] = (0, None)


def why_absent(name: str) -> str | None:
    """Why an implementation cannot run here; None if it can."""
    for package in (IMPLEMENTATIONS[name].package, *IMPLEMENTATIONS[name].needs):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
    if name == "torch_compiled" and not any(map(shutil.which, _compilers())):
        return "torch.compile needs a C++ compiler, and there is none"
    return None


def _compilers() -> list[str]:
    return list(filter(None, [os.environ.get("CXX"), "g++", "clang++", "cl"]))


def child_environment() -> dict[str, str]:
    """The environment of a new process that finds this checkout first on the path."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def set_environment(name: str, threads: int) -> None:
    """Give this process the environment of one implementation: its threads, and no handicap for NumPy.

    If NumPy's BLAS only computes the expected results, it gets one thread: after a product on several, its threads
    would spin beside the timed call.
    """
    for variable in REMOVED_VARIABLES:
        os.environ.pop(variable, None)
    count = str(threads)
    os.environ["OPENBLAS_NUM_THREADS"] = count if IMPLEMENTATIONS[name].blas else "1"
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ[variable] = count
    if IMPLEMENTATIONS[name].package == "jax":
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["NPROC"] = count  # the size of XLA's pool of threads
        os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"


def factories(name: str) -> dict[str, Callable[..., Target]]:
    """An implementation's functions (case, data, threads) -> Target by kind of case; loads its library."""
    module = importlib.import_module(f"benchmarks.{IMPLEMENTATIONS[name].module}")
    found: dict[str, Callable[..., Target]] = module.FACTORIES[name]
    return found


def describe(name: str) -> dict[str, Any]:
    """The version of a loaded library, and the threading libraries in this process."""
    version = str(importlib.import_module(IMPLEMENTATIONS[name].package).__version__)
    if importlib.util.find_spec("threadpoolctl") is None:
        return {"version": version, "pools": None}
    pools = importlib.import_module("threadpoolctl").threadpool_info()
    kept = ("user_api", "internal_api", "version", "architecture", "num_threads")
    return {"version": version, "pools": [{key: pool.get(key) for key in kept} for pool in pools]}
