"""Launches where other threads of the process keep processors busy, such as those of NumPy's products."""

import contextlib
import hashlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.engine import contention, threads
from fastnn.kernels.compile import JIT_DISABLED

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="NUMBA_DISABLE_JIT=1 starts no threads")


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as on a machine with two processors, whatever this one has."""
    if threads.started_layer() != "omp" or not contention.is_supported():
        pytest.skip("OpenMP and the clocks of Linux")
    monkeypatch.setattr(contention, "PROCESSORS", 2)
    monkeypatch.setattr(contention, "_watch", contention._Watch())


@contextlib.contextmanager
def busy_thread() -> Iterator[None]:
    """Have a thread that computes without Python's lock."""
    ended = threading.Event()

    def compute() -> None:
        while not ended.is_set():
            hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 10_000)

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def free() -> int:
    return contention.free_processors(2, threads._launch)


def most(values: list[int]) -> int:
    """The result of most looks: on a busy machine another program may run at the moment of one."""
    return statistics.mode(values)


def looks(number: int = 15) -> list[int]:
    time.sleep(contention.SECONDS_LISTED)  # threads that have come or gone since are seen
    found = []
    for _ in range(number):
        time.sleep(0.002)
        found.append(free())
    return found


def test_a_busy_thread_takes_its_processor_until_it_ends() -> None:
    free()  # loads the kernel
    with busy_thread():
        assert most(looks()) == 1
    assert most(looks()) == 2


def test_a_thread_that_waits_takes_none() -> None:
    waiting = threading.Event()
    idle = threading.Thread(target=waiting.wait)
    idle.start()
    assert most(looks()) == 2
    waiting.set()
    idle.join()


def test_the_threads_of_a_launch_do_not_count() -> None:
    """They wait for the next in a loop, and each Python thread has its own."""
    x = np.ones((1000, 100), np.float32)

    def launches(found: list[int]) -> None:
        for i in range(20):
            fastnn.softmax(x)
            if i % 2:
                time.sleep(0.001)  # no longer the pause in which nobody looks
            found.append(free())

    here: list[int] = []
    there: list[int] = []
    launches(here)
    other = threading.Thread(target=launches, args=(there,))
    time.sleep(0.05)  # until the threads of the first are asleep
    other.start()
    other.join()
    assert most(here) == most(there) == 2


def test_launches_in_a_row_look_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[float] = []

    def look(watch: Any, now: float) -> int:
        looked.append(now)
        watch.read_at = now
        return 0

    monkeypatch.setattr(contention, "_busy", look)
    for _ in range(100):
        free()
        contention.note_end()
    assert 1 <= len(looked) < 50


def test_of_many_threads_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of many threads are looked at unless one of them is busy."""
    ran = dict.fromkeys(range(60), 0)
    watch = contention._Watch()
    looked: list[int] = []

    def clock(number: int) -> int:
        looked.append(number)
        return ran[number]

    monkeypatch.setattr(time, "clock_gettime_ns", clock)
    watch.read = dict(ran)
    assert contention._busy(watch, 0.0) == 0
    assert looked == list(range(contention.LOOKED_AT))
    monkeypatch.setattr(contention, "_waits_for_a_processor", lambda clock: True)
    ran[3] = ran[50] = 1
    assert contention._busy(watch, 0.0) == 2


def test_elsewhere_all_processors_count_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contention, "is_supported", lambda: False)
    assert contention.free_processors(16, threads._launch) == 16


def test_large_work_is_launched_whoever_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(n_threads: int, launcher: int) -> int:
        return n_threads

    monkeypatch.setattr(contention, "_busy", lambda watch, now: 1)
    monkeypatch.setattr(threads, "_chosen", min(2, threads._LIMIT))
    assert threads.run(entry, threads.LARGE_WORK - 1) == 1
    assert threads.run(entry, threads.LARGE_WORK) == threads._chosen


def least_seconds(f: Callable[[], Any], repetitions: int = 60) -> float:
    taken = []
    for _ in range(repetitions):
        start = time.perf_counter()
        f()
        taken.append(time.perf_counter() - start)
    return min(taken)


def test_products_of_numpy_and_ours_by_turns() -> None:
    """OpenBLAS's threads wait in a loop for 20 ms after a product; each turn of ours once took as long."""
    x, W = np.ones((50, 100)), np.ones((100, 418))

    def by_turns() -> Any:
        return fastnn.softmax(x @ W)

    kept = threads._chosen
    try:
        fastnn.set_num_threads(1)
        by_turns()
        alone = least_seconds(by_turns)
        fastnn.set_num_threads(min(2, threads._LIMIT))
        by_turns()
        both = least_seconds(by_turns)
    finally:
        threads._chosen = kept
    assert both < 4.0 * alone
