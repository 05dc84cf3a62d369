"""Start-up in fresh processes: imports, the first step with compiled kernels on disk and without, and memory."""

import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks import peers

IMPORTED = ("numpy", "numba", "fastnn", "sklearn", "jax", "torch")
LONGEST_SECONDS = 180.0

# From nothing to the first finished training step, 784-50-10 on a batch of 100, as in a user's script.
_DATA = """
import numpy as np
rng = np.random.default_rng(0)
x, t = rng.random((100, 784), np.float32), rng.integers(0, 10, 100)
"""
FIRST_STEP = {
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
    """Rows of what, library, seconds (the median) and repeats; libraries that are absent have no row."""
    rows = []
    for package in (name for name in IMPORTED if name in {*chosen, "numba"}):
        rows.append(_row("import", package, [_seconds(f"import {package}", threads) for _ in range(repeats)]))
    for package in (name for name in FIRST_STEP if name in chosen):
        _seconds(FIRST_STEP[package], threads)  # fills the caches, above all the cache of fastnn's kernels
        times = [_seconds(FIRST_STEP[package], threads) for _ in range(repeats)]
        rows.append(_row("first step", package, times))
    if cold:
        rows.append(_row("first step, kernels compiled", "fastnn", [_cold_seconds(threads)]))
    return rows


def _row(what: str, library: str, times: list[float | None]) -> dict[str, Any]:
    known = [seconds for seconds in times if seconds is not None]
    seconds = statistics.median(known) if len(known) == len(times) else None
    return {"what": what, "library": library, "seconds": seconds, "repeats": len(times)}


def _cold_seconds(threads: int) -> float | None:
    with tempfile.TemporaryDirectory() as folder:
        return _seconds(FIRST_STEP["fastnn"], threads, {"FASTNN_CACHE": folder})


def _seconds(script: str, threads: int, variables: dict[str, str] | None = None) -> float | None:
    """The time from the start of an interpreter to the end of the script, before it shuts down; None if it fails."""
    count = str(threads)
    numbers = {"OMP_NUM_THREADS": count, "NUMBA_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count}
    environment = {
        name: value for name, value in peers.child_environment().items() if name not in peers.REMOVED_VARIABLES
    }
    environment |= {"JAX_PLATFORMS": "cpu", **numbers, **(variables or {})}
    command = [sys.executable, "-c", f"{script}\n{_END}"]
    start = time.time()
    try:
        done = subprocess.run(
            command,
            cwd=peers.ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return float(done.stdout.split()[-1]) - start
