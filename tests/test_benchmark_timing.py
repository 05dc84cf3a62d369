"""How a case of the benchmarks is compared and timed: wrong results are not timed, and every call is counted."""

import argparse
import json
import time
from typing import Any

import numpy as np
import pytest

from benchmarks import peers, timing, worker
from benchmarks.cases import BY_NAME, Case

PRODUCT = BY_NAME["product 32x32x32"]
SHORT = timing.Limits(seconds=0.02, least_samples=3)


def test_largest_error() -> None:
    two = np.array([3.0, 4.0])
    assert timing.largest_error([two], [two]) == 0
    assert timing.largest_error([two, two + np.array([0, 0.5])], [two, two]) == pytest.approx(0.1)
    assert timing.largest_error([np.zeros(2)], [np.zeros(2)]) == 0
    for wrong in ([], [two, two], [two[:1]], [two * np.nan], [two * np.inf]):
        assert timing.largest_error(wrong, [two]) == np.inf


@pytest.mark.parametrize("factor", [1.001, np.nan])
def test_a_case_that_differs_is_not_timed(factor: float) -> None:
    def wrong(case: Case, data: Any, threads: int) -> peers.Target:
        return peers.Target(lambda: factor * (data["x"] @ data["W"]), lambda results: results, timed=fail)

    def fail() -> None:
        raise AssertionError("timed")

    options = argparse.Namespace(mnist=None, threads=1, mode="time", seconds=0.01, samples=3)
    row = worker._row(PRODUCT, {"product": wrong}, options)
    assert row["status"] == "differs" and "seconds" not in row
    assert row["reason"] == ("error 1.0e-03, allowed 1e-05" if factor > 1 else "error inf, allowed 1e-05")
    json.loads(json.dumps(row, allow_nan=False))


def test_a_step_that_updates_nothing_differs() -> None:
    case = BY_NAME["step 32, 64-32-10"]
    data = case.data()
    losses, *_ = case.expected(data)
    target = peers.Target(lambda: None, lambda results: [losses, *data["params"].values()])
    assert timing.first_calls(case, data, target)["error"] == 1


def test_a_case_that_raises_leaves_the_others() -> None:
    def broken(case: Case, data: Any, threads: int) -> peers.Target:
        raise RuntimeError("no\nsuch thing")

    row = worker._row(PRODUCT, {"product": broken}, argparse.Namespace(mnist=None, threads=1, mode="time"))
    assert row == {"status": "failed", "reason": "RuntimeError: no such thing"}


def test_timing_counts_calls() -> None:
    calls: list[None] = []

    def timed() -> None:
        calls.append(None)
        time.sleep(0.002)

    target = peers.Target(lambda: time.sleep(0.001), lambda results: [], timed=timed, divisor=4)
    found = timing.time_target(target, SHORT)
    assert found["samples"] >= SHORT.least_samples
    assert found["calls"] == 4 * found["samples"] == 4 * (len(calls) - 1)  # one call was the warm-up
    assert 0.0005 <= found["seconds"] <= found["first_quartile"] <= found["median"] <= found["third_quartile"]


def test_short_calls_are_timed_several_at_a_time() -> None:
    found = timing.time_target(peers.Target(lambda: None, lambda results: []), SHORT)
    assert found["calls"] > 10 * found["samples"]
    assert found["seconds"] < 1e-6


def test_statistics() -> None:
    found = timing.statistics(np.arange(101.0))
    assert found == {"seconds": 10, "first_quartile": 25, "median": 50, "third_quartile": 75, "samples": 101}
