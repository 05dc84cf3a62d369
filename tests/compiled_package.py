"""A tiny package with kernels of its own for the tests of compiling, and how to run it in fresh processes."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

from fastnn.kernels import compile as compiling
from tests.forked import Forks

CALLEE = """
import numpy as np
from fastnn.kernels.compile import by_dtype, formula, kernel

@kernel
def increased32(x):
    return x + np.float32(1)

@kernel
def increased64(x):
    return x + 2.0

@formula
def scaled32(x, factor):
    return factor * x

@formula
def scaled64(x, factor):
    return 10.0 * factor * x

increased = by_dtype(increased32, increased64)
scaled = by_dtype(scaled32, scaled64)
"""

CALLER = """
from fastnn.kernels.callee import increased, scaled
from fastnn.kernels.compile import entry

@entry
def increase(x, out):
    out[:] = 0
    for i in range(x.size):
        out[i] += scaled(increased(x[i]), x[i] * 0 + 3)

@entry
def total(x):
    result = 0.0
    for i in range(x.size):
        result += x[i]
    return result
"""

# Prints what the entries return, and how many signatures were found in the cache or compiled.
MAIN = """
import json
import numpy as np
from fastnn.kernels import compile as compiling
from fastnn.kernels.caller import increase, total

results = []
for dtype in (np.float32, np.float64):
    x = np.arange(3, dtype=dtype)
    out = np.full_like(x, np.nan)
    increase(x, out)
    results.append([*out.tolist(), float(total(np.ones_like(x)))])
report = {"results": results}
if not compiling.JIT_DISABLED:
    stats = [entry.stats for entry in compiling.ENTRIES]
    report["hits"] = sum(one.cache_hits.total() for one in stats)
    report["misses"] = sum(one.cache_misses.total() for one in stats)
print(json.dumps(report))
"""

# increased32 adds 1, increased64 adds 2, and scaled64 multiplies by 10; the last column is a sum of three ones.
RESULTS = [[3.0, 6.0, 9.0, 3.0], [60.0, 90.0, 120.0, 3.0]]
SIGNATURES = 4

IN_MEMORY = "fastnn: compiling kernels for their first use (for this process only: {})\n"


class Package:
    """A copy of the compiling modules with the tiny kernels above, and the folder where it keeps them."""

    def __init__(self, root: pathlib.Path, forks: Forks | None = None) -> None:
        self.root, self.cache, self.forks = root, root / "cache", forks
        self.kernels = root / "package" / "fastnn" / "kernels"
        self.kernels.mkdir(parents=True)
        shutil.copytree(pathlib.Path(compiling.__file__).parents[1] / "system", self.kernels.with_name("system"))
        shutil.copy(compiling.__file__, self.kernels)
        for name in ("cache.py", "pipelines.py", "processor.py"):
            shutil.copy(pathlib.Path(compiling.__file__).with_name(name), self.kernels)
        for file in (self.kernels.parent / "__init__.py", self.kernels / "__init__.py"):
            file.touch()
        (self.kernels / "callee.py").write_text(CALLEE)
        (self.kernels / "caller.py").write_text(CALLER)

    def start(self, script: str = MAIN, **environment: str | None) -> "subprocess.Popen[str]":
        """Start a fresh process in which every warning is an error; a variable of None is removed."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script],
            env=self._environment(environment),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str = MAIN, **environment: str | None) -> tuple[Any, str]:
        """Return the report and the standard error of a process, which must succeed; a fork where there are forks."""
        if self.forks is None or any(name.startswith("NUMBA_") for name in environment):
            return finished(self.start(script, **environment))
        done = self.forks.run(script, self._environment(environment))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    def _environment(self, environment: dict[str, str | None]) -> dict[str, str]:
        changed: dict[str, str | None] = {
            "FASTNN_CACHE": str(self.cache),
            "FASTNN_VECTOR_WIDTH": None,
            "NUMBA_DISABLE_JIT": "0",
            "PYTHONPATH": str(self.root / "package"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        }
        merged = {**os.environ, **changed}
        return {name: value for name, value in merged.items() if value is not None}

    def files(self) -> list[pathlib.Path]:
        """Return the kept files in order."""
        return sorted(path for path in self.cache.rglob("*") if path.is_file())

    def first_message(self) -> str:
        """Return the line that announces compilation into this cache."""
        (folder,) = self.cache.iterdir()
        return f"fastnn: compiling kernels for their first use (kept in {folder})\n"


def finished(process: "subprocess.Popen[str]") -> tuple[Any, str]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return json.loads(output), errors
