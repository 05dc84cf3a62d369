"""How kernels are compiled: the only module that names `numba.njit`.

`kernel` compiles a function that other kernels call, `entry` one that Python calls, and `by_dtype` chooses
between two functions by the type of their argument. Nothing here compiles or touches the disk when fastnn is
imported.
"""

import contextlib
import math
import re
import types
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from fastnn.kernels.cache import JIT_DISABLED, KernelCache, is_told_by_files
from fastnn.kernels.pipelines import merging_compilers
from fastnn.system.interruption import held_back
from fastnn.system.waiting import WAITING

__all__ = ["ENTRIES", "FASTMATH", "JIT_DISABLED", "apart", "by_dtype", "entry", "formula", "kernel"]

Function = TypeVar("Function", bound=Callable[..., Any])

# The LLVM fastmath flags of every kernel. None: kernels ask for a fused multiply-add where they want one and
# are strict IEEE otherwise, so that every element of a result is one fixed sequence of operations, whatever
# the vectorizer or the number of threads does: the same bits. Whatever is added here, "nnan" and "ninf" must
# not be: with them the compiler may assume that there is no NaN and no infinity, and checks for them vanish.
FASTMATH: frozenset[str] = frozenset()

# What Numba does not document, all of it used below; untyped.
_internals: Any = numba.core


# Options of functions that are merged into others: no entry points for Python or C, no machine code of their own.
_MERGED: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_APART, _OF_USERS = dict(_MERGED), dict(_MERGED)
_ENTRY: dict[str, Any] = {}
_CALLS_USERS: dict[str, Any] = {}
with contextlib.suppress(AttributeError):
    _kinds = (_MERGED, _APART, _OF_USERS, _ENTRY, _CALLS_USERS)
    for _options, _compiler in zip(_kinds, merging_compilers(), strict=True):
        _options["pipeline_class"] = _compiler

_NOTES_EXCEPTION = re.compile(r"store [^\n]*%excinfo")  # in LLVM's terms, where a function raises
MAY_RAISE = (
    "it may raise an exception, as raise, an index out of range, x ** -1 of an x of 0 (write 1 / x) and a new array "
    "do: return a number for every x"
)
TAKES_ARRAYS = (
    "it takes an array, whose bounds compiled code does not check: write a formula, or take numbers of a tuple"
)


def kernel(function: Function) -> Function:
    """Compile a module-level function that only kernels and entries call."""
    return _compiled(function, **_MERGED)


def formula(function: Function) -> Function:
    """Compile a scalar function into its callers: a loop around a call does not vectorize.

    (LLVM by itself left calls of `exp` in some loops: 3.9 ns an element instead of 0.4.)
    """
    return _compiled(function, forceinline=True, **_MERGED)


def apart(function: Function, calls_users: bool = False) -> Function:
    """Compile as `kernel`, but for one that stays a function of its own: large, and called from several places.

    One that calls users' functions does not always stay one.
    """
    return _compiled(function, **(_OF_USERS if calls_users else _APART))


def own_formula(function: Callable[..., Any]) -> Any:
    """As `formula`, for a user's function, which Numba may have compiled already."""
    function = getattr(function, "py_func", function)
    return _as_if_compiled(function) if JIT_DISABLED else _compiled(function, forceinline=True, **_OF_USERS)


class _QuietMath:
    """`math`, but its functions give infinity or NaN where Python raises an error, as they do in compiled code."""

    def __getattr__(self, name: str) -> Any:
        return _quiet(getattr(math, name))


def _quiet(value: Any) -> Any:
    """A function of `math` that gives infinity or NaN instead of an error; anything else as it is."""
    if value is math:
        return _QuietMath()
    name = getattr(value, "__name__", "") if getattr(value, "__module__", "") == "math" else ""
    instead = getattr(np, {"pow": "power"}.get(name, name), None)
    if not isinstance(instead, np.ufunc):
        return value

    def quiet(*numbers: Any) -> Any:
        try:
            return value(*numbers)
        except (OverflowError, ValueError):
            return instead(*numbers)

    return quiet


def _as_if_compiled(function: Any) -> Any:
    """A user's function as plain Python, with another `math`."""
    names = {key: _quiet(value) for key, value in function.__globals__.items()}
    made = (function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    return types.FunctionType(*made)


def what_prevents_compiling(function: Callable[..., Any], *like: Any) -> str:
    """Why a user's function cannot be used for arguments such as these, in one line; empty where it can.

    like: numbers of a dtype and tuples of them. An exception would be lost, and with it the rest of the rows, as a unit
    raises nothing; so a function that may raise is refused, be it in what it calls, and so is one with an array, as
    compiled code reads beyond it.
    """
    if JIT_DISABLED:
        return ""
    made = _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_CALLS_USERS)
    try:
        made.get_call_template(tuple(map(numba.typeof, like)), {})  # which fills in defaults
    except Exception as error:  # also others than Numba's own
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return "Numba says: " + next((line for line in lines if not line.startswith("Failed in nopython")), "no")
    if _takes_arrays(made, set()):
        return TAKES_ARRAYS
    # LLVM has removed what cannot happen, such as an index out of range in a loop over all.
    with _internals.compiler_lock.global_compiler_lock:  # a fork waits for it, not for LLVM's own
        raises = any(_NOTES_EXCEPTION.search(code) for code in made.inspect_llvm().values())
    return MAY_RAISE if raises else ""


def _takes_arrays(made: Any, seen: set[Any]) -> bool:
    """Whether there is an array or the like in a compiled function or in one that it calls."""
    seen.add(made)
    called = set()
    for arguments, compiled in list(made.overloads.items()):
        typed = compiled.type_annotation
        if isinstance(typed, str):  # Numba's own cache keeps no more
            again = _compiled(made.py_func)
            again.compile(arguments)
            typed = again.overloads[arguments].type_annotation
        kinds = typed.typemap.values()
        if any(isinstance(kind, numba.types.Buffer) for kind in kinds):
            return True
        called |= {kind.dispatcher for kind in kinds if isinstance(kind, numba.types.Dispatcher)}
    return any(_takes_arrays(one, seen) for one in called - seen)


def compile_unit(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    made_of: tuple[Any, ...],
    returns: Any = numba.types.void,
    parallel: bool = False,
) -> tuple[int, Any]:
    """Compile a function of integers and pointers as a C function.

    Returns its address, and the library that holds its code. parallel: for `units.launcher` alone.
    """
    options = {"parallel": True, **_CALLS_USERS} if parallel else _ENTRY
    dispatcher = _compiled(function, no_cpython_wrapper=True, **options)
    keep = all(map(is_told_by_files, made_of))
    _cached(dispatcher, function, "unit", keep, made_of)
    with held_back(), WAITING.kernel():
        if not keep:
            WAITING.tell("your own operations: for this process only")
        dispatcher.compile(returns(*arguments))
    result = dispatcher.overloads[arguments]
    return int(result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name)), result.library


ENTRIES: list[Any] = []


def entry(function: Function) -> Function:
    """Compile a module-level function for Python to call.

    Its code is kept on disk, so an entry and all that it calls live in the folders COMPILED or in the entry's own file:
    a change elsewhere would not be noticed. One that `fastnn.engine.threads.run` calls has the first parameters
    `n_threads` and `launcher`, the address of a launcher or 0 (see units.run_parts).
    """
    return entry_around(function, function)


def entry_around(run: Any, function: Callable[..., Any], keep: bool = True) -> Any:
    """Compile `run`, which calls a module-level function, as an entry; if it is not to be kept, it may call users'."""
    if JIT_DISABLED:  # NumPy would warn of overflows that compiled code passes through
        made = np.errstate(all="ignore")(run)
    else:
        made = _cached(_compiled(run, **(_ENTRY if keep else _CALLS_USERS)), function, "entry", keep)
    made.__name__, made.__doc__ = function.__name__, function.__doc__
    ENTRIES.append(made)
    return made


def by_dtype(float32_version: Function, float64_version: Function) -> Function:
    """Return a function of scalars that calls one of two versions, by the type of its first argument.

    The choice is made when a kernel is compiled: `float32_version` for a float32, `float64_version` for anything else.
    """

    def choose(*arguments: Any) -> Any:
        version = float32_version if isinstance(arguments[0], np.float32) else float64_version
        return version(*arguments)

    if JIT_DISABLED:
        return choose  # type: ignore[return-value]

    def version_for(types: Any) -> Any:
        return float32_version if types[0] == numba.float32 else float64_version

    # Callers take the version itself: a function around it would be one more to compile, for each of its types.
    made: Any = formula(choose)
    made.get_call_template = lambda args, kws: version_for(args).get_call_template(args, kws)
    made.get_overload = lambda types: version_for(types).get_overload(types)
    return made


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    fastmath = set(FASTMATH) or False
    made = numba.njit(nogil=True, error_model="numpy", fastmath=fastmath, **options)(function)
    with contextlib.suppress(AttributeError):  # without the compiler, or if Numba has moved it
        given = made.get_call_template
        made.get_call_template = lambda args, kws: given(_without_literals(args), kws)
    return made


def _without_literals(arguments: Any) -> tuple[Any, ...]:
    """The types of arguments, with a constant's like any number's: a kernel would be compiled for every constant."""
    return tuple(numba.types.unliteral(argument) for argument in arguments)


def _cached(
    dispatcher: Any, function: Callable[..., Any], variant: str, keep: bool = True, made_of: tuple[Any, ...] = ()
) -> Any:
    """Give a dispatcher its cache; if Numba has moved the place for it, the dispatcher compiles in memory."""
    if keep and hasattr(dispatcher, "_cache"):
        dispatcher._cache = KernelCache(function, variant, made_of)
    return dispatcher
