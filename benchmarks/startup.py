"""Start-up in fresh processes: imports, the first step with compiled kernels on disk and without, and memory."""

import compileall
import importlib
import importlib.util
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from typing import Any

from benchmarks import peers

IMPORTED = ("numpy", "numba", "fastnn", "sklearn", "jax", "torch")
LONGEST_SECONDS = 180.0
LONGEST_BUILD = 1200.0  # of a wheel with the machine code of all kernels
FROM_WHEEL, FROM_CHECKOUT = "first step, fresh machine, from the wheel", "first step, fresh checkout"

# From nothing to the first finished training step, 784-50-10 on a batch of 100, as in a user's script.
_DATA = """
import numpy as np
rng = np.random.default_rng(0)
x, t = rng.random((100, 784), np.float32), rng.integers(0, 10, 100)
"""
FIRST_STEP = {
    "numpy": _DATA
    + """
W1, b1 = rng.standard_normal((784, 50), np.float32) * np.float32(0.05), np.zeros(50, np.float32)
W2, b2 = rng.standard_normal((50, 10), np.float32) * np.float32(0.2), np.zeros(10, np.float32)
h = np.maximum(x @ W1 + b1, 0)
dy = h @ W2 + b2
dy = np.exp(dy - dy.max(axis=1, keepdims=True))
dy /= dy.sum(axis=1, keepdims=True)
dy[np.arange(100), t] -= 1
dy /= np.float32(100)
dh = dy @ W2.T * (h > 0)
for p, g in ((W1, x.T @ dh), (b1, dh.sum(axis=0)), (W2, h.T @ dy), (b2, dy.sum(axis=0))):
    p -= np.float32(0.1) * g
""",
    "sklearn": _DATA
    + """
from sklearn.neural_network import MLPClassifier
net = MLPClassifier((50,), solver="sgd", alpha=0.0, batch_size=100, learning_rate_init=0.1, momentum=0.0)
net.partial_fit(x, t, classes=np.arange(10))
""",
    "fastnn": _DATA
    + """
import fastnn
net = fastnn.Network([fastnn.Affine(784, 50), fastnn.Relu(), fastnn.Affine(50, 10)], rng=0)
net.step(x, t, fastnn.SGD(0.1))
""",
    "torch": _DATA
    + """
import torch
net = torch.nn.Sequential(torch.nn.Linear(784, 50), torch.nn.ReLU(), torch.nn.Linear(50, 10))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
torch.nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(t)).backward()
optimizer.step()
""",
    "jax": _DATA
    + """
import jax
params = [rng.standard_normal((784, 50), np.float32), np.zeros(50, np.float32),
          rng.standard_normal((50, 10), np.float32), np.zeros(10, np.float32)]
def loss(params, x, t):
    W1, b1, W2, b2 = params
    y = jax.nn.log_softmax(jax.nn.relu(x @ W1 + b1) @ W2 + b2)
    return -jax.numpy.take_along_axis(y, t[:, None], axis=1).mean()
@jax.jit
def step(params, x, t):
    return [p - 0.1 * g for p, g in zip(params, jax.grad(loss)(params, x, t))]
jax.block_until_ready(step(params, x, t))
""",
}
_END = "import time; print(time.time())"


def measure(chosen: list[str], threads: int, repeats: int, cold: bool) -> list[dict[str, Any]]:
    """Rows of what, library, seconds (the median) and repeats; libraries that are absent have no row.

    cold: also the first step from a wheel, and from a checkout, with an empty cache of kernels. Others have none.
    """
    rows = []
    for package in (name for name in IMPORTED if name in {*chosen, "numba"}):
        rows.append(_row("import", package, [_seconds(f"import {package}", threads) for _ in range(repeats)]))
    for package in (name for name in FIRST_STEP if name in chosen):
        _seconds(FIRST_STEP[package], threads)  # fills the caches, above all the cache of fastnn's kernels
        times = [_seconds(FIRST_STEP[package], threads) for _ in range(repeats)]
        whats = ["first step", *([FROM_WHEEL, FROM_CHECKOUT] if cold and package != "fastnn" else [])]
        rows += [_row(what, package, times) for what in whats]
    if cold:
        rows.append(_row(FROM_WHEEL, "fastnn", _seconds_from_wheel(threads, repeats)))
        rows.append(_row(FROM_CHECKOUT, "fastnn", [_cold_seconds(threads)]))
    return rows


def _row(what: str, library: str, times: list[float | None]) -> dict[str, Any]:
    known = [seconds for seconds in times if seconds is not None]
    seconds = statistics.median(known) if len(known) == len(times) else None
    return {"what": what, "library": library, "seconds": seconds, "repeats": len(times)}


def _cold_seconds(threads: int, python: str = sys.executable) -> float | None:
    with tempfile.TemporaryDirectory() as folder:
        return _seconds(FIRST_STEP["fastnn"], threads, {"FASTNN_CACHE": folder}, python)


def _seconds_from_wheel(threads: int, repeats: int) -> list[float | None]:
    """The times of first steps from a wheel that is built of this checkout; None if it cannot be built."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        alone = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
        command = [sys.executable, "-m", "build", "--wheel", *alone, "--outdir", name, str(peers.ROOT)]
        try:
            subprocess.run(command, capture_output=True, timeout=LONGEST_BUILD, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return [None]
        python = installed(next(folder.glob("*.whl")), folder / "installed")
        return [_cold_seconds(threads, python) for _ in range(repeats)]


def installed(wheel: pathlib.Path, folder: pathlib.Path) -> str:
    """The Python of a new environment with this wheel, and beside it NumPy and Numba as they are installed here."""
    venv.create(folder, symlinks=sys.platform != "win32")
    site = next(folder.glob("[Ll]ib/**/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    places = {str(pathlib.Path(importlib.import_module(name).__file__ or "").parents[1]) for name in ("numpy", "numba")}
    (site / "beside.pth").write_text("\n".join(sorted(places)) + "\n", encoding="utf-8")
    compileall.compile_dir(site, quiet=1)  # as pip does
    return str(next(path for path in (folder / "bin" / "python", folder / "Scripts" / "python.exe") if path.exists()))


def _seconds(
    script: str, threads: int, variables: dict[str, str] | None = None, python: str = sys.executable
) -> float | None:
    """The time from the start of an interpreter to the end of the script, before it shuts down; None if it fails."""
    count = str(threads)
    numbers = {"OMP_NUM_THREADS": count, "NUMBA_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count}
    is_own = python == sys.executable
    environment = {
        name: value for name, value in peers.child_environment().items() if name not in peers.REMOVED_VARIABLES
    }
    if not is_own:
        del environment["PYTHONPATH"]
    environment |= {"JAX_PLATFORMS": "cpu", **numbers, **(variables or {})}
    start = time.time()
    try:
        done = subprocess.run(
            [python, "-c", f"{script}\n{_END}"],
            cwd=peers.ROOT if is_own else pathlib.Path(python).parent,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return float(done.stdout.split()[-1]) - start
