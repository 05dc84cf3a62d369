"""All that decides a function's value at one moment, as plain records that keep nothing of the user's alive.

Only kinds of objects whose whole state is known are followed. Whatever else a function reaches or names refuses it: a
refusal costs time, a state that was overlooked would give a wrong gradient.
"""

import builtins
import collections
import dis
import math
import types
import weakref
from typing import Any

import numpy as np

from fastnn.observing.reach import is_library
from fastnn.observing.tape import NotUnderstoodError

MOST_BYTES = 1 << 26  # of all arrays that a function reaches, which are copied
MOST_OBJECTS = 5_000
OWN = "fastnn.dropin.common.functions"  # its functions are followed like the user's
_LAYERS = ("fastnn.dropin.common.layers", "fastnn.dropin.base")  # may be held, but not used: they keep arrays
_MISSING = object()
_NUMBERS = (int, bool, str, bytes, type(None), type(Ellipsis), type(NotImplemented))
_CONTAINERS = (list, tuple, dict, set, frozenset, collections.deque, collections.OrderedDict)
_METHODS = (types.FunctionType, staticmethod, classmethod, property)
_MAKING = ("__init__", "__new__")  # called only where the class itself is reached, or by their names
# Parts of a class that the interpreter makes, and that only a name with underscores reads.
_MADE = ("__dict__", "__weakref__", "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__")
# fmt: off
_BUILTINS = frozenset([
    "abs", "all", "any", "bool", "complex", "dict", "divmod", "enumerate", "filter", "float", "frozenset",
    "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max", "min", "next", "object", "pow",
    "property", "range", "reversed", "round", "set", "slice", "sorted", "staticmethod", "str", "sum", "super",
    "tuple", "zip", "ArithmeticError", "AssertionError", "Exception", "FloatingPointError", "IndexError",
    "KeyError", "NotImplementedError", "OverflowError", "RuntimeError", "TypeError", "ValueError",
    "ZeroDivisionError",
])
# Names that read what is not followed, whatever they belong to.
_REFUSED = frozenset([
    "globals", "vars", "locals", "getattr", "setattr", "delattr", "hasattr", "eval", "exec", "compile", "dir",
    "type", "id", "open", "input", "print", "repr", "environ", "getenv", "modules", "import_module", "load",
    "loads", "loadtxt", "genfromtxt", "fromfile", "fromregex", "memmap", "time", "perf_counter", "now",
    "today", "DataSource", "random", "default_rng", "shuffle", "permutation", "seed", "format", "format_map",
    "base", "ctypes", "data", "flags", "geterr", "geterrcall", "getbufsize", "get_printoptions", "array_repr",
    "array_str", "array2string", "empty", "empty_like", "gi_frame", "cr_frame", "ag_frame", "tb_frame",
    "gi_code", "f_globals", "f_locals", "f_back", "f_builtins", "cell_contents", "mro",
])
# fmt: on
_ALLOWED = ("__init__", "__call__", "__len__", "__getitem__")
_REFUSED_OPERATIONS = ("IMPORT_", "MATCH_CLASS", "LOAD_BUILD_CLASS", "LOAD_LOCALS", "DELETE_GLOBAL")
_MODULES = (np, np.linalg, math)  # libraries whose functions have no state, but for the names above
_BACKEND = "fastnn.dropin.backend"  # the module whose functions are taken as they are


def _functions_of_libraries() -> dict[int, Any]:
    found = {id(value): value for name, value in vars(builtins).items() if name in _BUILTINS}
    kinds = (type, np.ufunc, types.FunctionType, types.BuiltinFunctionType, type(np.dot))
    for module in _MODULES:
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) or module.__name__
            if isinstance(value, kinds) and name not in _REFUSED and str(own).split(".")[0] in ("numpy", "math"):
                found[id(value)] = value
    return found


_TRUSTED = _functions_of_libraries()
_names_of_codes: weakref.WeakKeyDictionary[types.CodeType, tuple[str, ...]] = weakref.WeakKeyDictionary()


class State:
    """All that a function's value depends on at one moment.

    Attributes
    ----------
    records : list
        One for each object in the order in which it was met, with the number of its parts; an object that was met
        before is a number. So equal lists mean the same objects but for their identities.
    arrays : list of weak references
        All arrays, which must be the very same.

    Raises NotUnderstoodError if the function reaches or names anything whose state is not fully known.
    """

    def __init__(self, f: Any) -> None:
        walk = _Walk(f)
        self.records, self.arrays = walk.records, [weakref.ref(array) for array in walk.arrays]

    def has(self, array: Any) -> bool:
        """Whether an array is one of them."""
        return any(one() is array for one in self.arrays)

    def equals(self, other: "State") -> bool:
        """Whether nothing has changed."""
        pairs = list(zip(self.arrays, other.arrays, strict=False))
        same = len(self.arrays) == len(other.arrays) and all(a() is not None and a() is b() for a, b in pairs)
        return same and self.records == other.records


class _Walk:
    """The objects that a function reaches, each met once, until no name leads to a new one."""

    def __init__(self, f: Any) -> None:
        self.records: list[Any] = []
        self.arrays: list[Any] = []
        self.bytes = 0
        self.seen: dict[int, tuple[int, Any]] = {}
        self.names: dict[str, None] = {}  # that the functions' codes mention, in their order
        self.holders: list[tuple[Any, set[str]]] = []  # modules and classes, and the names that were looked up
        self.layers: list[type] = []
        self.kinds: list[type] = []  # the classes of objects
        self.made: set[int] = set()  # the identities of classes that the code may call
        self.pending = collections.deque([f])
        while self.pending:
            while self.pending:
                self.meet(self.pending.popleft())
            for holder, done in self.holders:
                self.look_up(holder, done)
        used = [kind.__name__ for kind in self.layers if any(name in self.names for name in _without_making(kind))]
        if used:
            raise NotUnderstoodError(f"it may use {used[0]}, which keeps arrays of its last call")

    def note(self, *record: Any, parts: Any = ()) -> None:
        """Note an object, and meet its parts later."""
        parts = list(parts)
        self.records.append((*record, len(parts)))
        self.pending.extend(parts)

    def meet(self, thing: Any) -> None:
        kind = type(thing)
        if thing is _MISSING or kind in _NUMBERS:
            self.note("missing" if thing is _MISSING else kind, None if thing is _MISSING else thing)
        elif kind is float or kind is complex:  # -0.0 is another number than 0.0
            self.note(kind, *(part.hex() for part in (thing.real, thing.imag)))
        elif isinstance(thing, np.generic) and kind.__module__ == "numpy" and kind not in (np.void, np.object_):
            self.note(kind, str(thing.dtype), thing.tobytes())
        elif kind is range:
            self.note(kind, thing.start, thing.stop, thing.step)
        elif id(thing) in _TRUSTED:
            self.note("library", id(thing))
        elif id(thing) in self.seen:
            self.note("again", self.seen[id(thing)][0])
            if isinstance(thing, type):
                self.made.update(map(id, thing.__mro__))
        else:
            self.seen[id(thing)] = len(self.seen), thing
            if len(self.seen) > MOST_OBJECTS:
                raise NotUnderstoodError("too much to see whether it changes")
            self.meet_first(thing, kind)

    def meet_first(self, thing: Any, kind: Any) -> None:
        """Note an object that has parts."""
        if kind is np.ndarray and not thing.dtype.hasobject:
            self.bytes += thing.nbytes
            if self.bytes > MOST_BYTES:
                raise NotUnderstoodError("too much to see whether it changes")
            self.arrays.append(thing)
            place = thing.__array_interface__["data"][0]
            self.note("array", str(thing.dtype.descr), thing.shape, thing.strides, place, thing.tobytes())
        elif kind in _CONTAINERS:
            items = [one for pair in thing.items() for one in pair] if isinstance(thing, dict) else thing
            attributes = [vars(thing)] if kind is collections.OrderedDict else []
            most = thing.maxlen if kind is collections.deque else None
            self.note(kind, most, parts=[*items, *attributes])
        elif kind is types.CellType:
            self.note("cell", parts=[_contents(thing)])
        elif kind is types.FunctionType:
            self.meet_function(thing)
        elif kind is types.MethodType:
            self.note("method", parts=[thing.__self__, thing.__func__])
        elif kind is property:
            self.note("property", parts=[thing.fget, thing.fset, thing.fdel])
        elif kind is staticmethod or kind is classmethod:
            self.note(kind, parts=[thing.__func__])
        elif kind is types.ModuleType:
            self.meet_module(thing)
        elif kind is type:
            self.made.update(map(id, thing.__mro__))
            self.meet_class(thing)
        else:
            self.meet_object(thing, kind)

    def meet_object(self, thing: Any, kind: Any) -> None:
        """Note an object of a class of the user's: it has nothing but its class and its attributes."""
        attributes = getattr(thing, "__dict__", None)
        if type(kind) is not type or type(attributes) is not dict:
            raise NotUnderstoodError(f"it reaches a {kind.__name__}, whose state is unknown")
        if kind is types.SimpleNamespace:
            self.note(kind, parts=[attributes])
            return
        self.note("object", self.class_number(kind), parts=[attributes])
        if kind not in self.kinds:
            self.kinds.append(kind)

    def class_number(self, kind: type) -> int:
        """The number of a class that is met as an object's or as a base, so that the code need not make objects."""
        if id(kind) not in self.seen:
            self.seen[id(kind)] = len(self.seen), kind
            self.meet_class(kind)
        return self.seen[id(kind)][0]

    def meet_class(self, kind: type) -> None:
        if kind.__module__ in _LAYERS:
            self.layers.append(kind)
            self.note("layer", weakref.ref(kind), [self.class_number(base) for base in kind.__mro__[1:-1]])
            return
        bases = [base for base in kind.__mro__[1:] if base is not object]
        if any(type(base) is not type or _is_hidden(base) for base in (kind, *bases)):
            raise NotUnderstoodError(f"it reaches a {kind.__name__}, whose state is unknown")
        held = [(name, value) for name, value in vars(kind).items() if name not in _MADE]
        methods = {name for name, value in held if type(value) in _METHODS and not _is_protocol(name)}
        self.holders.append((kind, set()))
        parts = [value for name, value in held if name not in methods]
        names = [name for name, _ in held if name not in methods]
        self.note("class", weakref.ref(kind), names, [self.class_number(base) for base in bases], parts=parts)

    def meet_module(self, module: types.ModuleType) -> None:
        is_known = module in _MODULES or module.__name__ == _BACKEND
        if not is_known and ("__getattr__" in vars(module) or _is_closed(module.__name__)):
            raise NotUnderstoodError(f"it reaches the module {module.__name__}")
        self.holders.append((module, set()))
        self.note("module", weakref.ref(module))

    def meet_function(self, function: types.FunctionType) -> None:
        own = function.__module__ or ""
        if own == _BACKEND:
            self.note("function", weakref.ref(function), weakref.ref(function.__code__))
            return
        if _is_closed(own):
            raise NotUnderstoodError(f"it reaches {own}.{function.__name__}, whose state is unknown")
        if type(function.__globals__) is not dict:
            raise NotUnderstoodError(f"the globals of {function.__name__} are no plain dictionary")
        names = _names_of(function.__code__)
        self.names.update(dict.fromkeys(names))
        known, parts = function.__globals__, []
        builtins: Any = getattr(function, "__builtins__", {})  # which only newer type checkers know
        for name in names:
            value = known.get(name, _MISSING)
            if value is _MISSING:
                value = builtins.get(name, _MISSING)
            parts.append(value)
        parts += [function.__defaults__, function.__kwdefaults__, function.__dict__, *(function.__closure__ or ())]
        self.note("function", weakref.ref(function.__code__), parts=parts)

    def look_up(self, holder: Any, done: set[str]) -> None:
        """Meet what the names lead to in a module, and the methods of a class that they may call."""
        for name in [*self.names, *(_MAKING if id(holder) in self.made else ())]:
            if name in done or not self.may_find(holder, name):
                continue
            done.add(name)
            value = vars(holder).get(name, _MISSING)
            if holder.__name__ == _BACKEND and type(value) is not types.FunctionType:
                continue
            if isinstance(holder, types.ModuleType) or type(value) in _METHODS or value is _MISSING:
                self.note("name", self.seen[id(holder)][0], name, parts=[value])

    def may_find(self, holder: Any, name: str) -> bool:
        """Whether a name may lead into a module or a class; not where the classes of all objects override it."""
        if isinstance(holder, types.ModuleType) or id(holder) in self.made or "super" in self.names:
            return True
        mros = [kind.__mro__ for kind in self.kinds if holder in kind.__mro__]
        return any(next((one for one in mro if name in vars(one)), holder) is holder for mro in mros)


def _is_protocol(name: str) -> bool:
    """Whether the interpreter may call a method without its name in the code."""
    return name.startswith("__") and name.endswith("__") and name not in _MAKING


def _without_making(kind: type) -> list[str]:
    return [name for name in vars(kind) if not (name.startswith("__") and name.endswith("__"))]


def _is_hidden(kind: type) -> bool:
    return kind.__module__ not in _LAYERS and _is_closed(str(kind.__module__))


def _is_closed(module: str) -> bool:
    """Whether a module belongs to Python or to a library, so that its state is not followed."""
    return module != OWN and is_library(module)


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _names_of(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals and attributes in a code and in the codes inside it; refused where one may hide a state."""
    found = _names_of_codes.get(code)
    if found is None:
        names: dict[str, None] = {}
        codes = [code]
        for one in codes:
            codes += [constant for constant in one.co_consts if isinstance(constant, types.CodeType)]
            names.update(dict.fromkeys(one.co_names))
            for instruction in dis.get_instructions(one):
                if instruction.opname.startswith(_REFUSED_OPERATIONS):
                    raise NotUnderstoodError(f"{code.co_name} imports, or finds names in another way")
        for name in names:
            hidden = name.startswith("__") and name.endswith("__") and name not in _ALLOWED
            if hidden or name in _REFUSED:
                raise NotUnderstoodError(f"{code.co_name} names {name}, which may hide a state")
        found = _names_of_codes[code] = tuple(names)
    return found
