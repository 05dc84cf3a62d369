"""How many processors the other threads of this process leave free.

A library's idle threads may be busy: OpenBLAS's wait in a loop for the next product, for 20 ms after each. A parallel
region that starts meanwhile waits until the system takes a processor from them: softmax of 50 x 418 between two
products took 8.5 ms on two threads, 0.04 on one. Each thread has a clock of its running time, which shows in a
microsecond whether it is busy. OpenMP's own threads, which also wait in a loop, are not counted.

Linux only; elsewhere all processors count as free.
"""

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.kernels.clocks import can_tell_clocks, note_clocks

SECONDS_LISTED = 0.2  # a list of threads takes 10 us, a look at one of their clocks 0.5 to 1
# Launches in a row look only once in so many seconds: the pauses are too short for a product on several threads.
SECONDS_UNREAD = 1e-3
SECONDS_OF_PAUSE = 20e-6
# Only this many of the others, the oldest, are looked at unless one is busy: a library's threads wait together, and
# there are 63 of them on 64 processors.
LOOKED_AT = 8
# Read before OpenMP starts: with OMP_PROC_BIND it binds this thread to one processor.
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_TASKS = "/proc/self/task"


class _Watch(threading.local):
    """The other threads as one Python thread sees them; each Python thread starts its own OpenMP threads."""

    def __init__(self) -> None:
        self.team = 0  # threads of its last launch
        self.free = 0  # the last result
        self.left = -1.0  # when the last launch ended
        self.own: frozenset[int] = frozenset()  # their clocks
        self.read: dict[int, int] = {}  # the other threads' clocks when last read
        self.listed_at = self.read_at = -1.0


_watch = _Watch()


@functools.cache
def is_supported() -> bool:
    """Whether threads can be told apart here."""
    return sys.platform == "linux" and os.path.isdir(_TASKS) and can_tell_clocks()


def free_processors(n: int, launch: Callable[..., Any]) -> int:
    """How many of `n` threads find a processor that no other thread keeps busy; at least 1, n if all are idle.

    `launch(entry, n, arguments)` runs an entry on n threads, by which the threads of a team of a new size tell their
    clocks.
    """
    if not is_supported():
        return n
    now, watch = time.monotonic(), _watch
    if watch.free == n and now - watch.left < SECONDS_OF_PAUSE and now - watch.read_at < SECONDS_UNREAD:
        return n
    if now - watch.listed_at > SECONDS_LISTED:
        _list(watch)
        watch.listed_at, watch.team = now, 0
    busy = _busy(watch, now)
    watch.free = free = max(1, min(n, PROCESSORS - busy)) if busy else n
    if free > 1 and free != watch.team:
        clocks = np.zeros(free, np.int64)
        launch(note_clocks, free, (clocks,))
        if clocks.all():  # all threads ran: no other Python thread's regions have just begun a pause
            watch.own = frozenset(clocks.view(np.int32)[::2].tolist())  # the first half of each
            watch.team, watch.read = free, {clock: ran for clock, ran in watch.read.items() if clock not in watch.own}
    return free


def note_end() -> None:
    """Note that a launch has ended now."""
    _watch.left = time.monotonic()


def _busy(watch: _Watch, now: float) -> int:
    """How many of the other threads keep a processor busy."""
    busy = 0
    for i, (clock, before) in enumerate(watch.read.items()):
        if i == LOOKED_AT and not busy:
            break
        try:
            ran = watch.read[clock] = time.clock_gettime_ns(clock)
            busy += ran != before and (time.clock_gettime_ns(clock) != ran or _waits_for_a_processor(clock))
        except OSError:  # the thread has ended
            watch.listed_at = -1.0
    watch.read_at = now
    return busy


def _waits_for_a_processor(clock: int) -> bool:
    """Whether a thread that does not run waits for a processor. This takes 15 us, but is rarely needed."""
    with open(f"{_TASKS}/{~(clock >> 3)}/stat", "rb") as file:
        return file.read().rpartition(b") ")[2][:1] == b"R"


def _list(watch: _Watch) -> None:
    """List the other threads. Linux numbers the clock of thread i as ~i * 8 + 6, which POSIX leaves open."""
    clocks = {~int(task) << 3 | 6 for task in os.listdir(_TASKS)}
    others = clocks - watch.own - {time.pthread_getcpuclockid(threading.get_ident())}
    for clock in others - watch.read.keys():
        with contextlib.suppress(OSError):  # it has ended
            watch.read[clock] = time.clock_gettime_ns(clock)
    # A younger thread's clock has a lower number.
    watch.read = {clock: watch.read[clock] for clock in sorted(others & watch.read.keys(), reverse=True)}
