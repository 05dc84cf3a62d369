"""Threads of GNU OpenMP, started by compiled code without Numba's help.

libgomp's `GOMP_parallel` is what GCC calls for `#pragma omp parallel`; its form has not changed since GCC 4.9. It runs
a function on a team of threads, which wait in between. Numba's own way to it compiles three functions and checks a mask
at each launch: 2 s, and 2 us.
"""

import ctypes
import functools
import sys
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastnn.kernels.simd import lowered

_WORD, _HALF = ir.IntType(64), ir.IntType(32)
_FUNCTIONS = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
# Values of NUMBA_THREADING_LAYER that OpenMP satisfies: it may be used from several Python threads at once.
_LAYERS = {"default", "omp", "threadsafe"}


@functools.cache
def functions() -> tuple[int, ...]:
    """The addresses of the library's functions; none if it is not there or NUMBA_THREADING_LAYER asks for another."""
    config: Any = numba.config
    before = list(config.THREADING_LAYER_PRIORITY)
    before = before[: before.index("omp")] if "omp" in before else ["workqueue"]
    is_later = config.THREADING_LAYER == "default" and "workqueue" in before  # which there always is
    if not sys.platform.startswith("linux") or config.THREADING_LAYER not in _LAYERS or is_later:
        return ()
    try:
        library = ctypes.CDLL("libgomp.so.1")
        return tuple(ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in _FUNCTIONS)
    except (OSError, AttributeError):
        return ()


def is_available() -> bool:
    """Whether compiled code can use it."""
    return bool(functions())


def _words(builder: Any, pointer: Any, count: int) -> list[Any]:
    """The first integers at an address."""
    words = builder.bitcast(pointer, _WORD.as_pointer())
    return [builder.load(builder.gep(words, [ir.Constant(_WORD, i)])) for i in range(count)]


def _function(builder: Any, address: Any, result: Any, *arguments: Any) -> Any:
    return builder.inttoptr(address, ir.FunctionType(result, arguments).as_pointer())


def _lower_open_region(context: Any, table: Any, unit: Any, job: Any, parts: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, void = ir.IntType(8).as_pointer(), ir.VoidType()
        region = cgutils.alloca_once(builder, ir.ArrayType(_WORD, len(args)))
        words = builder.bitcast(region, _WORD.as_pointer())
        for i, value in enumerate(args):
            builder.store(value, builder.gep(words, [ir.Constant(_WORD, i)]))
        body = ir.Function(builder.module, ir.FunctionType(void, [pointer]), "openmp_region")
        body.linkage = "internal"
        begin = _words(builder, builder.inttoptr(args[0], pointer), 2)[1]
        threads = builder.trunc(args[3], _HALF)
        begin = _function(builder, begin, void, body.type, pointer, _HALF, _HALF)
        builder.call(begin, [body, builder.bitcast(region, pointer), threads, ir.Constant(_HALF, 0)])
        _build_region(body)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), codegen


def _build_region(body: Any) -> None:
    """What each thread of the team does: every part whose number is its own, modulo the number of threads."""
    builder = ir.IRBuilder(body.append_basic_block())
    table, address, job, parts = _words(builder, body.args[0], 4)
    asked = _words(builder, builder.inttoptr(table, body.args[0].type), 4)[2:]
    mine, team = (builder.zext(builder.call(_function(builder, one, _HALF), []), _WORD) for one in asked)
    unit = _function(builder, address, ir.VoidType(), _WORD, _WORD, _WORD)
    with cgutils.for_range_slice(builder, mine, parts, team) as (part, _):
        builder.call(unit, [job, part, parts])
    builder.ret_void()


@lowered(_lower_open_region)
def open_region(table: int, unit: int, job: int, parts: int) -> None:
    """Call a unit (job, part, parts) for each part, on as many threads.

    table: the address of a launcher (units.py), after whose first integer `functions` stand.
    """
    raise AssertionError("nothing is launched without the compiler")
