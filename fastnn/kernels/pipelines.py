"""Numba's compiler without machine code that nobody calls, and with vectors as wide as the processor's.

It raises AttributeError if Numba has moved any part used here; Numba's own compiler then compiles the kernels.
"""

import contextlib
import functools
import gc
from collections.abc import Iterator
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numba
from llvmlite import ir

from fastnn.kernels.processor import VECTOR_BYTES


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Compile without the garbage collector, which would look at all that the compiler holds again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _libraries() -> tuple[Any, Any, Any]:
    """Libraries for the code of an entry, and for the code of a kernel until it is merged.

    For most Intel processors with AVX-512, LLVM makes loops of vectors half as wide, as wide ones once slowed the
    clock. On an Emerald Rapids of 2023, one thread, 512 bits take 0.73 of the time for sigmoid, 0.79 tanh, 0.83 gelu
    (300 x 1000 elements), 0.93 for the numerical gradient of 784-50-10, and the same for softmax and training steps.
    """
    library_class: Any = numba.core.codegen.JITCodeLibrary
    used = ("_optimize_final_module", "_finalize_final_module", "_finalize_dynamic_globals", "_ensure_finalized")
    for name in (
        *used,
        "_optimize_functions",
        "add_linking_library",
        "finalize",
        "get_pointer_to_function",
        "add_ir_module",
        "enable_object_caching",
    ):
        getattr(library_class, name)

    class _CodeGenerator:
        """Numba's, without a function's Python environment, which needs the address of its machine code."""

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

        def _optimize_functions(self, ll_module: Any) -> None:
            """Optimize the functions as Numba does, but pass over those that are only declared here."""
            ll_module.data_layout = self._codegen._data_layout
            for function in ll_module.functions:
                if not function.is_declaration:
                    passes, builder = self._codegen._function_pass_manager()
                    passes.run(function, builder)

        def add_linking_library(self, library: Any) -> None:
            """Link a library and the libraries of all that it calls, which no kernel is linked with by itself."""
            super().add_linking_library(library)
            if isinstance(library, _MergedLibrary):
                known = set(self._linking_libraries)
                self._linking_libraries += [one for one in library._linking_libraries if one not in known]

    class _MergedLibrary(_WideLibrary):
        """The code of one kernel, only to be linked into others."""

        def finalize(self) -> None:
            self._raise_if_finalized()
            for library in self._linking_libraries:
                self._reload_init.update(library._reload_init)
            self._finalize_final_module()

        @property
        def codegen(self) -> Any:
            return _CodeGenerator(self._codegen)

        def _finalize_final_module(self) -> None:
            self._finalize_dynamic_globals()
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            self._ensure_finalized()
            return 0

    class _ApartLibrary(_MergedLibrary):
        """The code of one kernel that is not to be merged into its callers."""

        def add_ir_module(self, ir_module: Any) -> None:
            for function in ir_module.functions:
                if not function.is_declaration:
                    function.attributes.add("noinline")
            super().add_ir_module(ir_module)

    return _WideLibrary, _MergedLibrary, _ApartLibrary


# Passes over a function that kernels have no use for: they have no closures, comprehensions, array expressions, `with`,
# None or `raise`, and call nothing that is to be inlined in Numba's own terms. As nothing is allocated, nothing need be
# told where a variable ends (IRLegalization), and rewriting does again what IRProcessing does.
_UNUSED = (
    "WithLifting", "InlineClosureLikes", "RewriteSemanticConstants", "DeadBranchPrune", "RewriteDynamicRaises",
    "MakeFunctionToJitFunction", "InlineInlinables", "FindLiterallyCalls", "LiteralUnroll",
    "LiteralPropagationSubPipelinePass", "InlineOverloads", "NopythonRewrites", "NoPythonSupportedFeatureValidation",
    "DumpParforDiagnostics", "IRLegalization", "IRProcessing",
)  # fmt: skip


def _name_constants(function: Any) -> None:
    """Turn each `module.name` of a function into the object itself, so that it costs no more than an imported name."""
    nodes: Any = numba.core.ir
    for block in function.blocks.values():
        modules: dict[str, Any] = {}
        for one in block.body:
            value = getattr(one, "value", None)
            if isinstance(value, nodes.Global) and isinstance(value.value, ModuleType):
                modules[one.target.name] = value.value
            elif isinstance(value, nodes.Expr) and value.op == "getattr" and value.value.name in modules:
                one.value = nodes.Global(value.attr, getattr(modules[value.value.name], value.attr), one.loc)
                function._definitions[one.target.name] = [one.value]
        block.body = [one for one in block.body if not (isinstance(one, nodes.Assign) and one.target.name in modules)]


def _add_c_function(context: Any, library: Any, described: Any, environment: Any, call_helper: Any) -> None:
    """Add the C function of a unit, which raises nothing: Numba's would name nine functions that write exceptions."""
    module, conventions = context.create_module("c_function"), context.call_conv
    inner = conventions.get_function_type(described.restype, described.argtypes)
    types = [context.get_value_type(one) for one in (described.restype, *described.argtypes)]
    function = ir.Function(module, ir.FunctionType(types[0], types[1:]), described.llvm_cfunc_wrapper_name)
    builder = ir.IRBuilder(function.append_basic_block())
    unit = ir.Function(module, inner, described.llvm_func_name)
    _, result = conventions.call_function(builder, unit, described.restype, described.argtypes, function.args)
    builder.ret(result)
    library.add_ir_module(module)
    library._final_module.get_function(described.llvm_func_name).linkage = "internal"  # not to be compiled twice


def _own_passes() -> Any:
    """Numba's first pass, see `_name_constants`, and the one that writes a function in LLVM's terms.

    The last one does not count references, as nothing is allocated.
    """
    passes: Any = numba.core.typed_passes
    first: Any = numba.core.untyped_passes.TranslateByteCode

    class _WithoutModules(first):
        _name = "translate_without_modules"

        def run_pass(self, state: Any) -> bool:
            done = bool(super().run_pass(state))
            _name_constants(state.func_ir)
            return done

    class _WithoutCounts(passes.NativeLowering):
        _name = "lowering_without_counts"

        def run_pass(self, state: Any) -> bool:
            context = state.targetctx.subtarget(enable_nrt=False)
            if not numba.config.BOUNDSCHECK:  # with which a unit does raise
                context.create_cfunc_wrapper = functools.partial(_add_c_function, context)
            state.targetctx = context
            return bool(super().run_pass(state))

    register = numba.core.compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
    return {first: register(_WithoutModules), passes.NativeLowering: register(_WithoutCounts)}


class _Known:
    """One of Numba's contexts, but it does not look for new functions before each kernel: a unit has done so."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def refresh(self) -> None:
        """Do nothing."""


class _Types(_Known):
    """Numba's context of types, but it remembers what a function gives for arguments of these types.

    Numba asks anew at each call, and for `if` alone, which calls `bool`, tries four functions for other types first.
    """

    _known: ClassVar[dict[Any, Any]] = {}
    _functions: ClassVar[dict[int, tuple[Any, Any]]] = {}  # by their id; the function itself, so that its id stays

    def resolve_value_type(self, value: Any) -> Any:
        """Return the type of a constant; of a function, Numba first raises two exceptions."""
        known = self._functions.get(id(value))
        if known is not None:
            return known[1]
        found = self._context.resolve_value_type(value)
        if type(found) is numba.types.Function:
            self._functions[id(value)] = value, found
        return found

    def resolve_function_type(self, function: Any, arguments: Any, named: Any) -> Any:
        """Return the signature of a call."""
        if type(function) is not numba.types.Function:
            return self._context.resolve_function_type(function, arguments, named)
        key = function, tuple(arguments), tuple(named.items())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._context.resolve_function_type(function, arguments, named)
        return found


def _shortened(pipelines: Any, state: Any, instead: dict[Any, Any]) -> Any:
    """Numba's pipelines without the passes that kernels have no use for."""
    state.typingctx = _Types(state.typingctx)
    for one in pipelines:
        one.passes = [(instead.get(kind, kind), why) for kind, why in one.passes if kind.__name__ not in _UNUSED]
    return pipelines


class Compilers(NamedTuple):
    """Numba's compilers, each for one kind of function.

    kernel, apart, of_users
        For what others call: merged into them, not merged, and merged, but written by a user, who may do whatever Numba
        takes.
    entry
        For entries and units.
    calls_users
        For entries that take a user's compiled function, and for the launcher of threads: all of Numba's passes.
    """

    kernel: Any
    apart: Any
    of_users: Any
    entry: Any
    calls_users: Any


def merging_compilers() -> Compilers:
    """The compilers.

    Numba optimizes and translates every function by itself and again inside each of its callers, up to nine times for
    the innermost kernels. These compilers do it once, in the entry that everything is merged into: the first training
    step comes after 7 s instead of 21, on one busy machine.

    They override internals of Numba; AttributeError if these have moved.
    """
    compiler_class: Any = numba.core.compiler.Compiler
    wide, merged, apart = _libraries()
    instead = _own_passes()

    class _OfUsersCompiler(compiler_class):
        library = merged

        def define_pipelines(self) -> Any:
            if self.state.library is None:
                codegen = self.state.targetctx.codegen()
                self.state.library = self.library(codegen, self.state.func_id.func_qualname)
            return super().define_pipelines()

    class _KernelCompiler(_OfUsersCompiler):
        def __init__(self, typingctx: Any, targetctx: Any, *rest: Any) -> None:
            super().__init__(_Known(typingctx), _Known(targetctx), *rest)
            self.state.typingctx = typingctx

        def define_pipelines(self) -> Any:
            return _shortened(super().define_pipelines(), self.state, instead)

    class _ApartCompiler(_KernelCompiler):
        library = apart

    class _CallsUsersCompiler(compiler_class):
        def _compile_core(self) -> Any:
            with _without_collector():
                return super()._compile_core()

        def define_pipelines(self) -> Any:
            if self.state.library is None:
                codegen = self.state.targetctx.codegen()
                self.state.library = wide(codegen, self.state.func_id.func_qualname)
                self.state.library.enable_object_caching()
            return super().define_pipelines()

    class _EntryCompiler(_CallsUsersCompiler):
        def define_pipelines(self) -> Any:
            return _shortened(super().define_pipelines(), self.state, instead)

    for name in ("define_pipelines", "_compile_core"):
        getattr(compiler_class, name)
    return Compilers(_KernelCompiler, _ApartCompiler, _OfUsersCompiler, _EntryCompiler, _CallsUsersCompiler)
