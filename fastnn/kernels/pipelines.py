"""Numba's compiler, but for machine code that nobody calls, and with vectors as wide as the processor's.

Raises AttributeError where Numba has moved what is used here; kernels are then compiled by Numba's own.
"""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import numba

from fastnn.kernels.processor import VECTOR_BYTES


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Compile without the collector of cyclic garbage, which looks at all that the compiler holds again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _libraries() -> tuple[Any, Any]:
    """What holds the code of an entry, and what holds that of a kernel until it is merged.

    For most Intel processors with AVX-512 LLVM makes loops of vectors half as wide, as wide ones once slowed the clock.
    On an Emerald Rapids of 2023, one thread, 512 bits take 0.73 of the time for sigmoid, 0.79 tanh, 0.83 gelu (300 x
    1000 elements), 0.93 for the numerical gradient of 784-50-10, and the same for softmax and training steps.
    """
    library_class: Any = numba.core.codegen.JITCodeLibrary
    used = ("_optimize_final_module", "_finalize_final_module", "_finalize_dynamic_globals", "_ensure_finalized")
    for name in (*used, "get_pointer_to_function", "add_ir_module", "enable_object_caching"):
        getattr(library_class, name)

    class _CodeGenerator:
        """Numba's, without the Python environment of a function, which needs the address of its machine code."""

        def __init__(self, codegen: Any) -> None:
            self._codegen = codegen

        def __getattr__(self, name: str) -> Any:
            return getattr(self._codegen, name)

        def set_env(self, name: str, environment: Any) -> None:
            pass

    class _WideLibrary(library_class):
        """The code of an entry, or of a kernel."""

        def add_ir_module(self, ir_module: Any) -> None:
            for function in ir_module.functions if VECTOR_BYTES == 64 else ():
                set.add(function.attributes, '"prefer-vector-width"="512"')  # past the names that llvmlite knows
            super().add_ir_module(ir_module)

    class _MergedLibrary(_WideLibrary):
        """The code of one kernel, only to be linked into others."""

        @property
        def codegen(self) -> Any:
            return _CodeGenerator(self._codegen)

        def _x_optimize_functions(self, ll_module: Any) -> None:
            ll_module.data_layout = self._codegen._data_layout

        def _optimize_final_module(self) -> None:
            pass

        def _finalize_final_module(self) -> None:
            self._finalize_dynamic_globals()
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            self._ensure_finalized()
            return 0

    return _WideLibrary, _MergedLibrary


def merging_compilers() -> tuple[Any, Any, Any]:
    """A compiler for kernels, one for entries and one for entries with threads.

    Numba optimises and translates every function by itself and once more inside each of its callers, up to nine times
    for the innermost kernels, and a parallel loop in each of three wrappers. These leave it to the entry that all is
    merged into: the first training step comes after 7 s instead of 21 (one thread), 12 instead of 31 (two), on one busy
    machine.

    What is overridden is internal to Numba; AttributeError where it has moved.
    """
    compiler_class: Any = numba.core.compiler.Compiler
    wide, merged = _libraries()

    class _KernelCompiler(compiler_class):
        def define_pipelines(self) -> Any:
            if self.state.library is None:
                codegen = self.state.targetctx.codegen()
                self.state.library = merged(codegen, self.state.func_id.func_qualname)
            return super().define_pipelines()

    class _SerialCompiler(compiler_class):
        def _compile_core(self) -> Any:
            with _without_collector():
                return super()._compile_core()

        def define_pipelines(self) -> Any:
            if self.state.library is None:
                codegen = self.state.targetctx.codegen()
                self.state.library = wide(codegen, self.state.func_id.func_qualname)
                self.state.library.enable_object_caching()
            return super().define_pipelines()

    class _PartsGenerator:
        """Numba's, but for the three functions that it wraps around the body of a parallel loop."""

        def __init__(self, codegen: Any) -> None:
            self._codegen = codegen

        def __getattr__(self, name: str) -> Any:
            return getattr(self._codegen, name)

        def create_library(self, name: str, **options: Any) -> Any:
            if "gufunc" in name.lower():
                return merged(self._codegen, name)
            return self._codegen.create_library(name, **options)

    class _ParallelCompiler(_SerialCompiler):
        def _compile_core(self) -> Any:
            context = self.state.targetctx
            codegen = context._internal_codegen
            context._internal_codegen = _PartsGenerator(codegen)
            try:
                return super()._compile_core()
            finally:
                context._internal_codegen = codegen

    for name in ("define_pipelines", "_compile_core"):
        getattr(compiler_class, name)
    return _KernelCompiler, _SerialCompiler, _ParallelCompiler
