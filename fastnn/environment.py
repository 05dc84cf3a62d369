"""What fastnn runs on, and compiling ahead of time."""

import os
import platform
import types
from collections.abc import Sequence
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding

from fastnn.engine import finite, indexing, samples, threads
from fastnn.engine.inputs import InputScale
from fastnn.engine.plan import INDEXED, PERTURBING, PERTURBING_LOSS, SPARSE, TRAINING
from fastnn.engine.workspace import SELDOM
from fastnn.functional import layers as functional
from fastnn.functional import losses as functional_losses
from fastnn.functional import updates as functional_updates
from fastnn.gate import arrays
from fastnn.gate.slips import answers_slips
from fastnn.kernels import cache, processor
from fastnn.kernels.cache import kernel_cache_folder
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.doors import make_all
from fastnn.kernels.prebuilt import prebuilt as prebuilt_code
from fastnn.kernels.units import Unit
from fastnn.layers import Affine, Sigmoid
from fastnn.network.network import Network
from fastnn.network.training import fit
from fastnn.operations import LAYERS, LOSSES, OPTIMIZERS
from fastnn.operations.losses.base import NO_LABELS
from fastnn.optimizers import SGD
from fastnn.system.folders import cache_folder
from fastnn.version import __version__

# Environment variables that change what fastnn or its competitor, NumPy's matrix product, does.
VARIABLES = (
    "FASTNN_CACHE", "FASTNN_DATA", "FASTNN_PREBUILT", "FASTNN_VECTOR_WIDTH", "GOMP_SPINCOUNT", "NUMBA_CPU_NAME",
    "NUMBA_DISABLE_JIT", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
    "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS",
)  # fmt: skip


def config() -> dict[str, Any]:
    """What fastnn runs on, as dictionaries of strings and numbers that `json.dumps` takes.

    Nothing is compiled or started: Numba's threading layer is "not started" before the first parallel work.

    Returns
    -------
    dict
        versions, platform, processor (its name as LLVM has it, the width of its vectors, whether it multiplies and adds
        in one instruction), compiled, prebuilt (the level of processors of the wheel's machine code, None without it,
        and the reason), threads, folders (None where nothing is kept on disk), blas (NumPy's), variables (the ones in
        VARIABLES that are set).

    Examples
    --------
    >>> found = fastnn.environment.config()
    >>> found["versions"]["numpy"] == np.__version__, found["threads"]["threads"] >= 1
    (True, True)
    """
    data = os.environ.get("FASTNN_DATA") or cache_folder("mnist")
    kernels, code = kernel_cache_folder(), prebuilt_code()
    return {
        "versions": {
            "fastnn": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
            "llvmlite": llvmlite.__version__,
        },
        "platform": platform.platform(),
        "processor": {
            "name": str(binding.get_host_cpu_name()),
            "vector_bytes": processor.VECTOR_BYTES,
            "float32_lanes": processor.LANES[arrays.float_dtype("dtype", "float32")],
            "fma": processor.HAS_FMA,
        },
        "compiled": not JIT_DISABLED,
        "prebuilt": {"level": code.level or None, "reason": code.reason},
        "threads": threads.describe(),
        "folders": {"kernels": None if kernels is None else str(kernels), "data": None if data is None else str(data)},
        "blas": _blas(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def show_config() -> None:
    """Print what fastnn runs on; `fastnn.environment.config` has the same as dictionaries.

    Examples
    --------
    >>> fastnn.show_config()
    fastnn ... 0...
    python ... 3...
    numpy ... 2...
    """
    rows = _rows(config())
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def compiles_all_on_disk() -> bool:
    """Whether all kernels are still to be compiled, and kept on disk then."""
    return prebuilt_code().library is None and cache.is_empty()


@answers_slips
def warmup(dtype: Any = "float32", numerical_gradients: bool = False) -> None:
    """Compile now, or load from disk, all that networks and the functional operations need for one dtype.

    Without it each operation is compiled or loaded when a network or a call first needs it, so this takes longer than
    any one network does.

    Parameters
    ----------
    dtype : "float32" or "float64"
    numerical_gradients : bool
        Also compile what numerical gradients of networks need.

    Examples
    --------
    >>> fastnn.warmup("float32")  # no later call of float32 waits for the compiler
    """
    kind = arrays.float_dtype("dtype", dtype)
    numerical_gradients = arrays.flag("numerical_gradients", numerical_gradients)
    sizes = [2]
    if threads.get_num_threads() > 1 and not JIT_DISABLED:
        sizes.append(threads.SMALL_WORK)  # each operation does at least one FLOP a row
    _compile_units(kind, (*TRAINING, *SPARSE, *INDEXED), ("rows",))
    if numerical_gradients:
        _compile_units(arrays.float_dtype("dtype", "float64"), PERTURBING, PERTURBING_LOSS)
    for rows in sizes:
        _use_everything(kind, rows)
        if numerical_gradients:
            x, t = np.zeros((rows, 2), kind), np.zeros(rows, np.intp)
            network = Network([Affine(2, 2), Sigmoid(), Affine(2, 2)], rng=0, dtype=kind)
            fit(network, x, t, epochs=1, batch_size=None, gradient="numerical", progress=False)


def _compile_units(dtype: arrays.DType, roles: Sequence[str], loss_roles: Sequence[str]) -> None:
    """Compile the units of all layers, losses and optimizers for these roles."""
    units: list[Unit | None] = [getattr(layer.units, role) for layer in LAYERS.values() for role in roles]
    for loss in LOSSES.values():
        units += [getattr(some, role) for some in (loss.units, loss.labels_units or NO_LABELS) for role in loss_roles]
    if "rows" in loss_roles:
        units += [unit for kind in OPTIMIZERS.values() for unit in (kind.unit, kind.outer)]
        units += SELDOM
    make_all(units, dtype)


def _use_everything(dtype: arrays.DType, rows: int) -> None:
    """Call each entry once, with work in proportion to `rows`. All forms of data are of one type to the kernels."""
    x, W, b = np.zeros((rows, 2), dtype), np.zeros((2, 2), dtype), np.zeros(2, dtype)
    t = np.zeros(rows, np.intp)
    functional.affine_forward(x, W, b)
    functional.affine_backward(x, x, W)
    functional.activation_forward("relu", x)
    functional.activation_backward("relu", x, x, x)
    functional_losses.softmax_cross_entropy(x, t)
    functional_updates.sgd_update(x.copy(), x, 0.0)
    finite.looked_through(x, threads.get_num_threads())
    sparse, in_bytes = indexing.listed(x, threads.get_num_threads()), x.astype(np.uint8)
    indexing.listed(in_bytes, threads.get_num_threads(), x.dtype.type(1.0))
    if sparse is not None:
        samples.SparseRows(sparse, 2)[:rows]
    samples.ByteRows(in_bytes, InputScale(1.0, dtype)).fill(0, x, None)
    stored = {
        "data": np.ones(rows, dtype),
        "indices": np.zeros(rows, np.int32),
        "indptr": np.arange(rows + 1, dtype="i4"),
    }
    matrix = types.SimpleNamespace(format="csr", ndim=2, shape=(rows, 2), **stored)  # SciPy is no dependency
    indexing.index_of_matrix(matrix, 2, dtype, 1.0, True)
    Network([Affine(2, 2)], rng=0, dtype=dtype, input_scale=2.0).predict(x)
    network = Network([Affine(2, 2), Sigmoid()], rng=0, dtype=dtype)
    network.step(x, t, SGD(0.0))
    network.loss(x, t)
    network.accuracy(x, t)


def _blas() -> dict[str, str | None]:
    """NumPy's library for matrix products: what NumPy was built with, and the kernels that it chose here."""
    built: dict[str, Any] = {}
    found: Any = np.show_config(mode="dicts")  # typed as None
    if found is not None:
        built = found.get("Build Dependencies", {}).get("blas", {})
    return {"name": built.get("name"), "version": built.get("version"), "kernels": _blas_kernels()}


def _blas_kernels() -> str | None:
    """The processor that the kernels of NumPy's BLAS are made for; None where that cannot be known."""
    try:
        import threadpoolctl
    except ImportError:
        return None
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    # There may be several copies, as SciPy brings its own: NumPy's lies beside NumPy.
    pools.sort(key=lambda pool: "numpy" not in pool["filepath"])
    return pools[0].get("architecture") if pools else None


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The table of `show_config`: names and values."""
    processor, blas, prebuilt = found["processor"], found["blas"], found["prebuilt"]
    library = " ".join(filter(None, (blas["name"], blas["version"]))) or "unknown"
    kernels = "install threadpoolctl to see its kernels" if blas["kernels"] is None else f"{blas['kernels']} kernels"
    fma = "fused multiply-add" if processor["fma"] else "no fused multiply-add"
    vectors = f"vectors of {processor['vector_bytes']} bytes ({processor['float32_lanes']} float32), {fma}"
    return [
        *found["versions"].items(),
        ("platform", found["platform"]),
        ("processor", f"{processor['name']}: {vectors}"),
        ("kernels", "compiled" if found["compiled"] else "plain Python, slow: NUMBA_DISABLE_JIT is set"),
        ("prebuilt", prebuilt["level"] or f"none: {prebuilt['reason']}"),
        ("threads", found["threads"]["reason"]),
        ("threading layer", found["threads"]["threading_layer"]),
        ("threads wait", found["threads"]["waiting"]),
        ("parallel regions", found["threads"]["regions"]),
        ("kernel cache", found["folders"]["kernels"] or "none: kernels are compiled anew in each process"),
        ("data folder", found["folders"]["data"] or "none: the user has no home folder"),
        ("NumPy's BLAS", f"{library}, {kernels}"),
        *((name, f"{value} (environment variable)") for name, value in found["variables"].items()),
    ]
