"""The number of threads that kernels use, and the guards around a parallel launch.

The number is fastnn's own: neither the environment nor Numba's settings are changed, except Numba's mask of threads,
which is set for a launch and put back after it.
"""

import contextlib
import functools
import math
import operator
import os
import pathlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np

from fastnn.engine import contention
from fastnn.gate import checks
from fastnn.kernels import launches, openmp
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.units import compiling, launch_state, launcher

# With fewer floating-point operations, a launch costs more than a second thread gains.
SMALL_WORK = 200_000
# A launch of the workqueue layer takes 100 us, of OpenMP 1 us: 100 x 784-50-10 (23 MFLOP) took 611 us instead of 238.
SMALL_WORK_ON = {"workqueue": 100_000_000}
# From here on, two threads on processors that others keep busy are no slower than one. Products after one of NumPy's
# take, on two threads and on one, 23 and 15 ms for 800 x 800, 34 and 31 for 1000 x 1000, 118 and 183 for 1600 x 1600.
LARGE_WORK = 2_000_000_000
NO_LAYER = "none"

_launches: Any = launch_state()
_numba: Any = numba  # its types lack parts that are used here
_LIMIT: int = _numba.config.NUMBA_NUM_THREADS

_chosen: int | None = None  # by set_num_threads
_layer: str | None = None  # Numba's threading layer, once its threads are started
_starting = threading.Lock()
_workqueue_busy = threading.Lock()
_forked_from_openmp = _openmp_at_fork = False


def default_num_threads() -> int:
    """Return the number of threads used unless `set_num_threads` chooses another.

    It is the smallest of the processors that this process may run on, the processor time that its control
    groups grant (in processors, rounded up), and NUMBA_NUM_THREADS.
    """
    return _default()[0]


def get_num_threads() -> int:
    """Return the number of threads that kernels use if there is enough work.

    Examples
    --------
    >>> fastnn.get_num_threads() >= 1
    True
    >>> fastnn.set_num_threads(1)
    >>> fastnn.get_num_threads()
    1
    """
    return _default()[0] if _chosen is None else _chosen


def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels use, in the whole process. Results do not depend on it.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer from 1 to NUMBA_NUM_THREADS.

    Examples
    --------
    >>> fastnn.set_num_threads(1)  # leave the other processors to other programs
    >>> fastnn.get_num_threads()
    1
    """
    global _chosen
    is_integer = hasattr(type(n), "__index__") and not isinstance(n, bool | np.ndarray | np.timedelta64)
    number = operator.index(n) if is_integer else 0
    if not 1 <= number <= _LIMIT:
        problem = ValueError if is_integer else TypeError
        raise problem(
            f"n: expected an integer from 1 to {_LIMIT}, got {checks.shown(n)}"
            + ("; for more threads, set NUMBA_NUM_THREADS before Python starts" if number > _LIMIT else "")
        )
    _chosen = number


def at_most(n: int | None) -> int:
    """Return the number of threads for work on at most `n`; None stands for `get_num_threads`."""
    return get_num_threads() if n is None else min(n, _LIMIT)


def describe() -> dict[str, int | str]:
    """Return the number of threads and why, the threading layer, how its threads wait, and what regions ran on them."""
    layer = _layer or "not started"
    reason = _default()[1] if _chosen is None else f"{_chosen}: chosen by set_num_threads"
    return {
        "threads": get_num_threads(),
        "reason": reason,
        "threading_layer": layer,
        "waiting": openmp.waiting() if layer in ("omp", "not started") else "as this layer's do",
        "regions": launches.described(_launches),
    }


def run(entry: Callable[..., Any], work: float, *args: Any, n_threads: int | None = None) -> Any:
    """Call an entry, on several threads if that pays and is safe.

    entry: the kernel. It is called as entry(1, 0, *args) or, on n threads, as entry(n, launcher(), *args).
    work: its floating-point operations; a call with fewer than SMALL_WORK is serial. In one with more, the launcher
        runs each region on threads or, while others keep the processors busy, on this one (kernels/launches.py).
    n_threads: the number of threads for this call, already checked; None for `get_num_threads`.
    """
    if work < SMALL_WORK:
        return entry(1, 0, *args)
    n = get_num_threads() if n_threads is None else n_threads
    if n == 1 or JIT_DISABLED:
        return entry(1, 0, *args)
    # GNU OpenMP kills a child process that uses the threads of its parent.
    if _forked_from_openmp:
        return entry(1, 0, *args)
    layer = started_layer()
    if layer == NO_LAYER or work < SMALL_WORK_ON.get(layer, 0):
        return entry(1, 0, *args)
    if layer == "omp" and work < LARGE_WORK and not is_paused():
        n = contention.free_processors(n, _launch)
        if n == 1:
            return entry(1, 0, *args)
        try:
            return _launch(entry, n, args)
        finally:
            contention.note_end()
    if layer != "workqueue":
        return _launch(entry, n, args)
    # The workqueue layer ends the process when two Python threads launch at the same time.
    if not _workqueue_busy.acquire(blocking=False):
        return entry(1, 0, *args)
    try:
        return _launch(entry, n, args)
    finally:
        _workqueue_busy.release()


def free_threads() -> int:
    """How many threads a call may use that was not made by `run`; 0 if it must be."""
    n = get_num_threads()
    if n == 1:
        return 1
    if _layer != "omp" or _forked_from_openmp or not openmp.is_available():
        return 0
    return n if is_paused() else contention.free_processors(n, _launch)


def is_paused() -> bool:
    """Whether regions run on the calling thread alone at a time."""
    return _launches.item(launches.PAUSED_UNTIL) > time.monotonic()


def may_not_nest() -> bool:
    """Whether threads must not start threads: the workqueue layer would end the process."""
    return not JIT_DISABLED and started_layer() == "workqueue"


def _launch(entry: Callable[..., Any], n: int, args: tuple[Any, ...]) -> Any:
    if openmp.is_available():
        return entry(n, launcher(), *args)
    mask = numba.get_num_threads()  # of Numba's threads, which a launch uses
    if mask == n:
        return entry(n, launcher(), *args)
    numba.set_num_threads(n)
    try:
        return entry(n, launcher(), *args)
    finally:
        numba.set_num_threads(mask)


def started_layer() -> str:
    """Return the name of the threading layer, or NO_LAYER; start Numba's threads if they are to be used."""
    global _layer
    if _layer is None and openmp.is_available():
        _layer = NO_LAYER if openmp.is_parents() else "omp"
    if _layer is None:
        with _starting, warnings.catch_warnings():
            warnings.simplefilter("ignore", numba.NumbaWarning)  # such as a TBB that is too old for Numba
            try:
                numba.get_num_threads()
                _layer = str(_numba.threading_layer())
            except ValueError:  # the layer in NUMBA_THREADING_LAYER is not available
                _layer = NO_LAYER
    return _layer


def _before_fork() -> None:
    """Take the locks of compilation, in the order in which a unit takes them; look whether there are OpenMP threads."""
    global _openmp_at_fork
    for lock in _locks:
        lock.acquire()
    _openmp_at_fork = openmp.may_have_threads()
    with contextlib.suppress(ValueError):  # Numba has started no threads
        _openmp_at_fork = _openmp_at_fork or _numba.threading_layer() == "omp"


def _note_fork() -> None:
    """Note in a forked child whether the parent may have had OpenMP threads, which do not exist in the child."""
    global _forked_from_openmp, _starting, _workqueue_busy
    _starting, _workqueue_busy = threading.Lock(), threading.Lock()  # another thread may have held them
    _forked_from_openmp = _openmp_at_fork


def _let_compile() -> None:
    for lock in reversed(_locks):
        with contextlib.suppress(RuntimeError):  # Ctrl-C came while it was waited for
            lock.release()


# A fork waits for the end of a compilation in another thread: its locks, and LLVM's, would never be free in the child.
# As `logging` does with its own.
_locks: tuple[Any, ...] = (compiling, _numba.core.compiler_lock.global_compiler_lock)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
    os.register_at_fork(before=_before_fork, after_in_parent=_let_compile, after_in_child=_let_compile)


@functools.cache
def _default() -> tuple[int, str]:
    """Return the default number of threads and the sentence that explains it."""
    has_affinity = hasattr(os, "sched_getaffinity")
    processors = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = _cgroup_quota()
    n = max(1, min(processors, math.ceil(min(quota, _LIMIT))))
    affinity = f"affinity {processors}" if has_affinity else f"processors {processors}"
    granted = "no cgroup quota" if math.isinf(quota) else f"cgroup quota {quota:g}"
    return n, f"{n}: {affinity}, {granted}, NUMBA_NUM_THREADS {_LIMIT}"


def _cgroup_quota(root: pathlib.Path = pathlib.Path("/")) -> float:
    """Return the number of processors whose time this process may use: the least that its control groups grant."""
    return min((_quota(folder) for folder in _cgroup_folders(root)), default=math.inf)


def _cgroup_folders(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the folders of this process's control groups, from the outermost inwards.

    A line of /proc/self/cgroup is number:controllers:path, in version 2 with the number 0 and no controllers.
    In a container the path may be the host's and lead nowhere; the outermost folder is the container's.
    """
    mounted = root / "sys" / "fs" / "cgroup"
    with contextlib.suppress(OSError):
        for line in (root / "proc" / "self" / "cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0" or "cpu" in controllers.split(","):
                folder = mounted if number == "0" else mounted / "cpu"
                yield folder
                for name in path.strip("/").split("/"):
                    folder = folder / name
                    yield folder


def _quota(folder: pathlib.Path) -> float:
    """Return the quota of one control group, in version 2 or 1 of the files; infinity without one."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if int(quota) > 0:  # -1: none
                return int(quota) / int(period)
    return math.inf
