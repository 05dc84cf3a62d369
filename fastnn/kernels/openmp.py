"""Threads of GNU OpenMP, started by compiled code without Numba's help.

libgomp's `GOMP_parallel` is what GCC calls for `#pragma omp parallel`; its form has not changed since GCC 4.9. It runs
a function on a team of threads, which wait in between. Numba's own way to it compiles three functions and checks a mask
at each launch: 2 s, and 2 us.
"""

import ctypes
import functools
import sys
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastnn.kernels.simd import lowered

_WORD, _HALF = ir.IntType(64), ir.IntType(32)
_FUNCTIONS = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
_PREFIX = "fastnn_"  # LLVM's names are the whole process's
# Values of NUMBA_THREADING_LAYER that OpenMP satisfies: it may be used from several Python threads at once.
_LAYERS = {"default", "omp", "threadsafe"}


@functools.cache
def is_available() -> bool:
    """Whether compiled code can use it: there is the library, and NUMBA_THREADING_LAYER asks for no other layer."""
    config: Any = numba.config
    before = list(config.THREADING_LAYER_PRIORITY)
    before = before[: before.index("omp")] if "omp" in before else ["workqueue"]
    is_later = config.THREADING_LAYER == "default" and "workqueue" in before  # which there always is
    if not sys.platform.startswith("linux") or config.THREADING_LAYER not in _LAYERS or is_later:
        return False
    try:
        library = ctypes.CDLL("libgomp.so.1")
        addresses = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in _FUNCTIONS]
    except (OSError, AttributeError):
        return False
    for name, address in zip(_FUNCTIONS, addresses, strict=True):
        llvmlite.binding.add_symbol(_PREFIX + name, address)
    return True


def _lower_open_region(context: Any, unit: Any, job: Any, parts: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        module, pointer = builder.module, ir.IntType(8).as_pointer()
        table = cgutils.alloca_once(builder, ir.ArrayType(_WORD, 3))
        words = builder.bitcast(table, _WORD.as_pointer())
        for i, value in enumerate(args):
            builder.store(value, builder.gep(words, [ir.Constant(_WORD, i)]))
        body = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), "openmp_region")
        body.linkage = "internal"
        start = ir.FunctionType(ir.VoidType(), [body.type, pointer, _HALF, _HALF])
        begin = cgutils.get_or_insert_function(module, start, _PREFIX + _FUNCTIONS[0])
        builder.call(
            begin, [body, builder.bitcast(table, pointer), builder.trunc(args[2], _HALF), ir.Constant(_HALF, 0)]
        )
        _build_region(body, module)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


def _build_region(body: Any, module: Any) -> None:
    """What each thread of the team does: every part whose number is its own, modulo the number of threads."""
    builder = ir.IRBuilder(body.append_basic_block())
    words = builder.bitcast(body.args[0], _WORD.as_pointer())
    address, job, parts = (builder.load(builder.gep(words, [ir.Constant(_WORD, i)])) for i in range(3))
    asking = ir.FunctionType(_HALF, [])
    mine, team = (
        builder.zext(builder.call(cgutils.get_or_insert_function(module, asking, _PREFIX + name), []), _WORD)
        for name in _FUNCTIONS[1:]
    )
    unit = builder.inttoptr(address, ir.FunctionType(ir.VoidType(), [_WORD] * 3).as_pointer())
    with cgutils.for_range_slice(builder, mine, parts, team) as (part, _):
        builder.call(unit, [job, part, parts])
    builder.ret_void()


@lowered(_lower_open_region)
def open_region(unit: int, job: int, parts: int) -> None:
    """Call a unit (job, part, parts) for each part, on as many threads."""
    raise AssertionError("nothing is launched without the compiler")
