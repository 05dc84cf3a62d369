"""The machine of the figures: processor, caches, versions, commit, and the limits that rates.py measures.

`python -m benchmarks.machine THREADS` prints the limits as JSON.
"""

import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from typing import Any

from benchmarks import peers

PROCESSOR = pathlib.Path("/sys/devices/system/cpu")
# Files that say how fast the processor may run, if the system has them.
SPEED_FILES = ("cpu0/cpufreq/scaling_governor", "cpufreq/boost", "intel_pstate/no_turbo")


def main() -> int:
    """Print the limits for the number of threads on the command line."""
    threads = int(sys.argv[1])
    peers.set_environment("fastnn", threads)
    from benchmarks import rates

    peaks = {dtype: rates.fma_peak(dtype, threads) for dtype in ("float32", "float64")}
    print(json.dumps({"threads": threads, "fma_flop_per_second": peaks, "bytes_per_second": rates.bandwidths(threads)}))
    return 0


def describe() -> dict[str, Any]:
    """The machine and the software, without folders, which may hold names."""
    from fastnn import environment

    found = environment.config()
    found.pop("folders")
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    return {
        "cpu": _cpu_model() or found["processor"]["name"],
        "caches": _caches(PROCESSOR / "cpu0" / "cache"),
        "speed": {name: text for name in SPEED_FILES if (text := _read(PROCESSOR / name)) is not None},
        "load_average": load,
        "processors": os.cpu_count(),
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d"),
        **found,
    }


def _cpu_model() -> str | None:
    """The processor's name in the system's words."""
    for line in (_read(pathlib.Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or None


def _caches(folder: pathlib.Path) -> dict[str, str]:
    """Sizes of the caches of one processor, such as {"L1 data": "48K"}."""
    found = {}
    for index in sorted(folder.glob("index*")):
        level, kind, size = (_read(index / name) for name in ("level", "type", "size"))
        if level is not None and size is not None and kind != "Instruction":
            found[f"L{level}" + (" data" if kind == "Data" else "")] = size
    return found


def _read(file: pathlib.Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _commit() -> str | None:
    """The commit of the checkout, with a + where files differ from it; None without git."""
    try:
        git = ["git", "-C", str(peers.ROOT)]
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        # The benchmark's own results do not count as a difference.
        status = [*git, "status", "--porcelain", "--", "fastnn", "benchmarks", ":!benchmarks/results"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changed.strip() else "")


if __name__ == "__main__":
    sys.exit(main())
