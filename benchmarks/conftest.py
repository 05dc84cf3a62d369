"""`pytest benchmarks`: the table through pytest-benchmark, with its statistics and comparisons.

Needs the extra "bench". The comparisons of libraries are those of `fastnn bench`, which gives each a process of its
own: here NumPy and fastnn share one. So fastnn comes first, before NumPy has started to use its threads, and for
figures to rely on, run one of them: `pytest benchmarks -k fastnn`.
"""

import importlib.util
from typing import Any

import pytest

from benchmarks import peers
from fastnn import environment

if importlib.util.find_spec("pytest_benchmark") is None:
    collect_ignore = ["test_benchmarks.py"]


def pytest_report_header() -> str:
    """If nothing is collected, the reason."""
    absent = importlib.util.find_spec("pytest_benchmark") is None
    return 'benchmarks: none, as pytest-benchmark is absent: pip install -e ".[bench]"' if absent else "benchmarks: all"


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Keep further conditions with the figures: threads, the kernels of the BLAS, and handicaps."""
    found = environment.config()
    machine_info["fastnn"] = {key: found[key] for key in ("versions", "processor", "threads", "blas")}
    machine_info["handicaps"] = [name for name in peers.REMOVED_VARIABLES if name in found["variables"]]
