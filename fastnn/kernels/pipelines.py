"""Numba's compiler, but for machine code that nobody calls. Imports numba, and what it does not document.

Raises AttributeError where Numba has moved what is used here; kernels are then compiled by Numba's own.
"""

from typing import Any

import numba


def merging_compilers() -> Any:
    """A compiler for kernels and one for entries with threads.

    Numba optimises and translates every function by itself and once more inside each of its callers, up to nine times
    for the innermost kernels, and a parallel loop in each of three wrappers. These leave it to the entry that all is
    merged into: the first training step comes after 7 s instead of 21 (one thread), 12 instead of 31 (two), on one busy
    machine. What is overridden is internal to Numba: where it has moved, Numba's own compiler does.
    """
    library_class: Any = numba.core.codegen.JITCodeLibrary
    compiler_class: Any = numba.core.compiler.Compiler

    class _CodeGenerator:
        """Numba's, without the Python environment of a function, which needs the address of its machine code."""

        def __init__(self, codegen: Any) -> None:
            self._codegen = codegen

        def __getattr__(self, name: str) -> Any:
            return getattr(self._codegen, name)

        def set_env(self, name: str, environment: Any) -> None:
            pass

    class _MergedLibrary(library_class):
        """The code of one kernel, only to be linked into others."""

        @property
        def codegen(self) -> Any:
            return _CodeGenerator(self._codegen)

        def _optimize_final_module(self) -> None:
            pass

        def _finalize_final_module(self) -> None:
            self._finalize_dynamic_globals()
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            self._ensure_finalized()
            return 0

    class _KernelCompiler(compiler_class):
        def define_pipelines(self) -> Any:
            if self.state.library is None:
                codegen = self.state.targetctx.codegen()
                self.state.library = _MergedLibrary(codegen, self.state.func_id.func_qualname)
            return super().define_pipelines()

    class _PartsGenerator:
        """Numba's, but for the three functions that it wraps around the body of a parallel loop."""

        def __init__(self, codegen: Any) -> None:
            self._codegen = codegen

        def __getattr__(self, name: str) -> Any:
            return getattr(self._codegen, name)

        def create_library(self, name: str, **options: Any) -> Any:
            if "gufunc" in name.lower():
                return _MergedLibrary(self._codegen, name)
            return self._codegen.create_library(name, **options)

    class _ParallelCompiler(compiler_class):
        def _compile_core(self) -> Any:
            context = self.state.targetctx
            codegen = context._internal_codegen
            context._internal_codegen = _PartsGenerator(codegen)
            try:
                return super()._compile_core()
            finally:
                context._internal_codegen = codegen

    used = ("_optimize_final_module", "_finalize_final_module", "_finalize_dynamic_globals", "_ensure_finalized")
    here = all(hasattr(library_class, name) for name in (*used, "get_pointer_to_function"))
    here = here and hasattr(compiler_class, "define_pipelines") and hasattr(compiler_class, "_compile_core")
    return (_KernelCompiler, _ParallelCompiler) if here else (compiler_class, compiler_class)
