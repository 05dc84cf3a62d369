"""Threads of GNU OpenMP, started by compiled code without Numba's help.

libgomp's `GOMP_parallel` is what GCC calls for `#pragma omp parallel`; its form has not changed since GCC 4.9. It runs
a function on a team of threads, which wait in between. Numba's own way to it compiles three functions and checks a mask
at each launch: 2 s, and 2 us.
"""

import ctypes
import functools
import os
import sys
import threading
import time
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastnn.kernels.simd import lowered

_WORD, _HALF, _REAL = ir.IntType(64), ir.IntType(32), ir.DoubleType()
_NAME = "libgomp.so.1"
_FUNCTIONS = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads", "omp_get_wtime", "sched_getcpu")
_CLOCK, _PROCESSOR = 4, 5  # the places of omp_get_wtime and sched_getcpu, which is libc's, in a launcher's table
AFTER_FUNCTIONS = 1 + len(_FUNCTIONS)  # the first integer of a launcher's table that is none of their addresses
# Values of NUMBA_THREADING_LAYER that OpenMP satisfies: it may be used from several Python threads at once.
_LAYERS = {"default", "omp", "threadsafe"}
# The turns of a loop that a waiting thread takes before it sleeps, about 1 ms, instead of 300,000, as the one that it
# waits for may lack a processor. Between two steps Python takes 0.01 to 1 ms: with 1000 turns, steps of
# 100 x 784-50-10 that were 0.1 ms apart took 170 to 220 us, with 20,000 or more 140, as on threads that never sleep.
SPINS = 40_000
CHOICES = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"  # of users, in the environment
_FORKED_WITHOUT_EXEC = 0x40  # Linux's PF_FORKNOEXEC
_found: bool | None = None  # whether another library had loaded it before; None until it is needed
_waiting = "not started"
_addresses: tuple[int, ...] | None = None  # None until they are needed
_loading = threading.Lock()


def _renew_lock() -> None:
    """Renew the lock in a forked child, as another thread of the parent may have held it."""
    global _loading
    _loading = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@functools.cache
def is_wanted() -> bool:
    """Whether it is to be used: on Linux, unless NUMBA_THREADING_LAYER or its priorities ask for another layer."""
    config: Any = numba.config
    before = list(config.THREADING_LAYER_PRIORITY)
    before = before[: before.index("omp")] if "omp" in before else ["workqueue"]
    is_later = config.THREADING_LAYER == "default" and "workqueue" in before  # which there always is
    return sys.platform.startswith("linux") and config.THREADING_LAYER in _LAYERS and not is_later


def functions() -> tuple[int, ...]:
    """The addresses of the library's functions; none if it is not there, or not wanted."""
    global _addresses
    if _addresses is None:
        with _loading:  # a second thread would take the library of the first one for somebody else's
            _addresses = _find() if _addresses is None else _addresses
    return _addresses


def _find() -> tuple[int, ...]:
    if not is_wanted():
        return ()
    try:
        library = _load()
        return tuple(ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in _FUNCTIONS)
    except (OSError, AttributeError):
        return ()


def is_available() -> bool:
    """Whether compiled code can use it."""
    return bool(functions())


def _load() -> ctypes.CDLL:
    """The library. It reads how long its threads spin from the environment when a process loads it, and never again."""
    global _found, _waiting
    chosen = " and ".join(f"{name}={os.environ[name]}" for name in CHOICES if name in os.environ)
    _found = _is_loaded()
    if _found or chosen:
        _waiting = "as libgomp was told when another library loaded it" if _found else f"as {chosen} says"
        return ctypes.CDLL(_NAME)
    _waiting = f"for {SPINS} turns of a loop, then asleep"
    os.putenv(CHOICES[0], str(SPINS))  # os.environ stays as it is
    try:
        return ctypes.CDLL(_NAME)
    finally:
        os.unsetenv(CHOICES[0])


def _is_loaded() -> bool:
    """Whether the process has loaded the library. Copies under other names, such as PyTorch's, are libraries of their
    own.
    """
    try:
        ctypes.CDLL(_NAME, mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True


def waiting() -> str:
    """How threads wait for each other and for the next region, and who has chosen that."""
    return _waiting


def may_have_threads() -> bool:
    """Whether anybody in this process may have started the library's threads."""
    return is_wanted() and _is_loaded()


def is_parents() -> bool:
    """Whether this process is a forked child that found the library loaded: its threads may be those of the parent."""
    if not functions() or not _found:
        return False
    try:
        with open("/proc/self/stat", "rb") as file:
            flags = int(file.read().rpartition(b") ")[2].split()[6])
    except (OSError, ValueError, IndexError):
        return False
    return flags & _FORKED_WITHOUT_EXEC != 0


def _words(builder: Any, pointer: Any, count: int) -> list[Any]:
    """The first integers at an address."""
    words = builder.bitcast(pointer, _WORD.as_pointer())
    return [builder.load(builder.gep(words, [ir.Constant(_WORD, i)])) for i in range(count)]


def _function(builder: Any, address: Any, result: Any, *arguments: Any) -> Any:
    return builder.inttoptr(address, ir.FunctionType(result, arguments).as_pointer())


def _call_word(builder: Any, table: Any, place: int, result: Any, *arguments: Any) -> Any:
    """Build the call of the function whose address is the integer `place` of a table."""
    function = _function(
        builder, builder.load(_word(builder, table, place)), result, *(argument.type for argument in arguments)
    )
    return builder.call(function, arguments)


def _lower_clock(context: Any, table: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call_word(builder, builder.inttoptr(args[0], _WORD.as_pointer()), _CLOCK, _REAL)

    return types.float64(types.intp), codegen


@lowered(_lower_clock)
def clock(table: int) -> float:
    """The time in seconds, as `time.monotonic`. table: as of `open_region`."""
    return time.monotonic()


def _lower_open_region(context: Any, table: Any, unit: Any, job: Any, parts: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, void = ir.IntType(8).as_pointer(), ir.VoidType()
        region = cgutils.alloca_once(builder, ir.ArrayType(_WORD, _REGION))
        table = builder.inttoptr(args[0], pointer)
        processor = builder.zext(_call_word(builder, table, _PROCESSOR, _HALF), _WORD)
        for i, value in enumerate((*args, processor, ir.Constant(_WORD, 0))):
            builder.store(value, _word(builder, region, i))
        body = ir.Function(builder.module, ir.FunctionType(void, [pointer]), "openmp_region")
        body.linkage = "internal"
        threads = builder.trunc(args[3], _HALF)
        begin = _function(builder, _words(builder, table, 2)[1], void, body.type, pointer, _HALF, _HALF)
        builder.call(begin, [body, builder.bitcast(region, pointer), threads, ir.Constant(_HALF, 0)])
        _build_region(body)
        ended = builder.bitcast(builder.load(_word(builder, region, _OWN_ENDED)), _REAL)
        is_shared = builder.icmp_unsigned("!=", builder.load(_word(builder, region, _SHARED)), ir.Constant(_WORD, 0))
        return builder.select(is_shared, ir.Constant(_REAL, -1.0), ended)

    return types.float64(types.intp, types.intp, types.intp, types.intp), codegen


# A region's table has, behind the arguments of `open_region`, the processor that opened it, whether another of its
# threads ran there, and when the thread that opened it had done its own parts: not in the cache line of the others.
_SHARED, _OWN_ENDED = 5, 15
_REGION = 16


def _word(builder: Any, pointer: Any, place: int) -> Any:
    """The place of one integer of a table."""
    return builder.gep(builder.bitcast(pointer, _WORD.as_pointer()), [ir.Constant(_WORD, place)])


def _build_region(body: Any) -> None:
    """What each thread of the team does: every part whose number is its own, modulo the number of threads."""
    builder = ir.IRBuilder(body.append_basic_block())
    region = body.args[0]
    table, address, job, parts, opened_on = _words(builder, region, 5)
    table = builder.inttoptr(table, region.type)
    mine = builder.zext(_call_word(builder, table, 2, _HALF), _WORD)
    team = builder.zext(_call_word(builder, table, 3, _HALF), _WORD)
    unit = _function(builder, address, ir.VoidType(), _WORD, _WORD, _WORD)
    with cgutils.for_range_slice(builder, mine, parts, team) as (part, _):
        builder.call(unit, [job, part, parts])
    with builder.if_else(builder.icmp_unsigned("==", mine, ir.Constant(_WORD, 0))) as (opened, joined):
        with opened:
            now = builder.bitcast(_call_word(builder, table, _CLOCK, _REAL), _WORD)
            builder.store(now, _word(builder, region, _OWN_ENDED))
        with joined:
            here = builder.zext(_call_word(builder, table, _PROCESSOR, _HALF), _WORD)
            with builder.if_then(builder.icmp_unsigned("==", here, opened_on)):
                builder.store(ir.Constant(_WORD, 1), _word(builder, region, _SHARED))
    builder.ret_void()


@lowered(_lower_open_region)
def open_region(table: int, unit: int, job: int, parts: int) -> float:
    """Call a unit (job, part, parts) for each part, on as many threads.

    Returns the time when the calling thread had done its own parts, or -1 if another thread ran on its processor.
    table: the address of a launcher (units.py), after whose first integer `functions` stand.
    """
    raise AssertionError("nothing is launched without the compiler")
