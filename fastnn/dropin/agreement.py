"""Whether a script's own function or class does the same as ours: the same arguments, public names and results.

Results are compared on small examples. Random states are put back, and nothing is printed.
"""

import contextlib
import inspect
import io
import random
import types
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.dropin import examples

RELATIVE, ABSOLUTE = 1e-9, 1e-11
SEED = 2016
OTHER_ARGUMENTS, OTHER_RESULTS, MORE = "other arguments", "other results", "more in it"


def unlike(own: types.ModuleType, ours: types.ModuleType) -> dict[str, str]:
    """For each name that stays the script's own although ours has it, the reason.

    Names that `own` only imports, and ours without an example, are ignored. The others are replaced in `own`.
    """
    table = examples.SECOND_VOLUME if ".volume2." in ours.__name__ else examples.EXAMPLES
    reasons, bases = {}, _bases(own)
    with _undisturbed():
        for name in getattr(ours, "__all__", ()):
            theirs, mine = vars(own).get(name), getattr(ours, name)
            if name not in table or getattr(theirs, "__module__", None) != own.__name__:
                continue
            reason = bases.get(id(theirs), "")
            if not reason and isinstance(mine, type) and hasattr(mine, "numerical_gradient"):
                reason = _other_parts(own, ours)
            reason = reason or _unlike(name, theirs, mine, table[name])
            if reason:
                reasons[name] = reason
            else:
                setattr(own, name, mine)
    return reasons


def _bases(own: types.ModuleType) -> dict[int, str]:
    """The module's classes, by identity, from which others derive; the derived ones stay, and so must their bases."""
    kinds = [kind for kind in vars(own).values() if isinstance(kind, type) and kind.__module__ == own.__name__]
    return {id(base): f"base of {kind.__name__}" for kind in reversed(kinds) for base in kind.__mro__[1:]}


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A context that hides whatever is printed, warned of or drawn from the global generators."""
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the generator the books seed
    quiet = io.StringIO()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def _other_parts(own: types.ModuleType, ours: types.ModuleType) -> str:
    """A reason unless all the parts of a network are ours; only then it is replaced."""
    modules = {name: str(getattr(getattr(ours, name), "__module__", "")) for name in ours.__all__}
    others = [name for name, module in modules.items() if module.startswith("fastnn.") and module != ours.__name__]
    return "" if all(vars(own).get(name) is getattr(ours, name) for name in others) else "made of other parts"


def _unlike(name: str, own: Any, ours: Any, example: examples.Example) -> str:
    """Why ours cannot replace `own`; "" if it can."""
    if isinstance(ours, type) != isinstance(own, type) or not isinstance(own, type | types.FunctionType):
        return "another kind of object"
    if _arguments(own) != _arguments(ours):
        return OTHER_ARGUMENTS
    if isinstance(own, type):
        if len(own.__mro__) > 2:
            return "another base class"
        methods = {method: value for method, value in vars(own).items() if not method.startswith("_")}
        if not methods.keys() <= set(dir(ours)):
            return MORE
        if any(_arguments(value) != _arguments(getattr(ours, method)) for method, value in methods.items()):
            return OTHER_ARGUMENTS
    expected = examples.EXPECTED[name]() if name in examples.EXPECTED else _result(example, ours)
    try:
        return "" if same(_result(example, own), expected) else OTHER_RESULTS
    except (Exception, SystemExit) as error:
        if str(error).startswith("module 'numpy' has no attribute"):  # such as np.int in old editions
            return ""
        return f"raises {type(error).__name__}"


def _result(example: examples.Example, thing: Any) -> Any:
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002
    return example(thing)


def _arguments(function: Any) -> Any:
    """The arguments by name, kind and default; the value itself if it is not a Python function."""
    if isinstance(function, type):
        function = function.__init__  # type: ignore[misc]
        if function is object.__init__:
            function = _takes_nothing
    if not isinstance(function, types.FunctionType):
        return function
    function = inspect.unwrap(function)
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    starred = code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    kinds = code.co_posonlyargcount, code.co_argcount, starred
    return code.co_varnames[:count], kinds, repr(function.__defaults__), repr(function.__kwdefaults__)


def _takes_nothing(self: Any) -> None:
    """Stand in for the missing __init__ of a class."""


def same(own: Any, ours: Any) -> bool:
    """Whether two results agree, up to rounding; a dictionary of `own` may lack entries, but not have others."""
    if isinstance(own, dict) and isinstance(ours, dict):
        return own.keys() <= ours.keys() and all(same(value, ours[name]) for name, value in own.items())
    if isinstance(own, list | tuple) and isinstance(ours, list | tuple):
        return len(own) == len(ours) and all(same(a, b) for a, b in zip(own, ours, strict=True))
    numbers = (np.ndarray, np.generic, int, float)
    if not (isinstance(own, numbers) and isinstance(ours, numbers)):
        return type(own).__name__ == type(ours).__name__ and (not isinstance(own, str) or own == ours)
    a, b = np.asarray(own), np.asarray(ours)
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind or (a.dtype.kind == "f" and a.dtype != b.dtype):
        return False
    with np.errstate(all="ignore"):
        close = abs(a - b) <= ABSOLUTE + RELATIVE * abs(b) if a.dtype.kind in "fc" else a == b
        return bool(np.all(close | (a == b) | ((a != a) & (b != b))))
