"""The table, timed by pytest-benchmark: fastnn first, then NumPy. See conftest.py."""

import time
from typing import Any

import pytest

from benchmarks import peers, timing
from benchmarks.cases import CASES, Case
from fastnn.engine import threads
from fastnn.kernels.compile import ENTRIES, JIT_DISABLED

IMPLEMENTATIONS = ("fastnn", "fastnn_run", "numpy")  # in this order, whatever the table's order
ROWS = [
    pytest.param(name, case, id=f"{name}-{case.name}")
    for name in IMPLEMENTATIONS
    for case in CASES
    if name in case.implementations and case.group != "contention"  # it is meant for two libraries
]


def compiled_signatures() -> int:
    """How many kernels have been compiled, or loaded, in this process."""
    if JIT_DISABLED:
        return 0
    return sum(len(entry.signatures) for entry in ENTRIES)


@pytest.mark.parametrize(("name", "case"), ROWS)
def test_case(benchmark: Any, name: str, case: Case) -> None:
    data = case.data()
    target = peers.factories(name)[case.kind](case, data, threads.get_num_threads())
    first = timing.first_calls(case, data, target)
    assert first["status"] == "agrees", first["reason"]
    call = target.timed or target.call
    time.sleep(timing.SETTLING_SECONDS)
    call()  # the timed call may differ from the compared one
    compiled = compiled_signatures()
    benchmark.group = case.name if target.divisor == 1 else f"{case.name}, {target.divisor:,} of them"
    benchmark.extra_info.update(flop=case.flop, bytes=case.bytes, divisor=target.divisor, error=first["error"])
    benchmark(call)
    assert compiled_signatures() == compiled, "something was compiled while it was timed"
