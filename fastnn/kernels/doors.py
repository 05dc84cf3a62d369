"""Doors: compiled functions that Python calls with arrays, as quick as a function of Python's own.

A door is a C function of Python's METH_FASTCALL protocol: its arguments are an object, the address of the arguments'
addresses, and how many there are. It reads NumPy's arrays where they lie (objects.py), computes without the
interpreter's lock, and answers `NotImplemented` where an argument is not just what its function declares.

Where objects do not lie in memory as they do for CPython and NumPy, Numba's own wrappers take their place.
"""

import functools
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeAlias, TypeVar

import numba
import numpy as np
from numba import types

from fastnn.kernels import ground, objects, prebuilt
from fastnn.kernels.addresses import launch
from fastnn.kernels.compile import ENTRIES, JIT_DISABLED, apart, compile_unit, entry, kernel
from fastnn.kernels.ground import OWN, Kind
from fastnn.kernels.units import Unit, compiling, entry_of_parts
from fastnn.system.waiting import WAITING

Function = TypeVar("Function", bound=Callable[..., Any])
_DTYPES = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.intp)


Flat: TypeAlias = Annotated[Any, Kind(OWN, ground.FLAT)]
Rows: TypeAlias = Annotated[Any, Kind(OWN, ground.ROWS)]
Vector: TypeAlias = Annotated[Any, Kind(OWN, 1)]
Matrix: TypeAlias = Annotated[Any, Kind(OWN, 2)]
Reals: TypeAlias = Annotated[Any, Kind("float64", 1)]
RealMatrix: TypeAlias = Annotated[Any, Kind("float64", 2)]
RealImages: TypeAlias = Annotated[Any, Kind("float64", 4)]
Images: TypeAlias = Annotated[Any, Kind(OWN, 4)]
Windows: TypeAlias = Annotated[Any, Kind(OWN, 6)]
RealWindows: TypeAlias = Annotated[Any, Kind("float64", 6)]
Indices: TypeAlias = Annotated[Any, Kind("int64", 1)]
Labels: TypeAlias = Annotated[Any, Kind("int64", 1, is_optional=True)]
Dense: TypeAlias = Annotated[Any, Kind(OWN, 2, is_optional=True)]
IndexImages: TypeAlias = Annotated[Any, Kind("int64", 4)]


def kinds_of(function: Callable[..., Any]) -> str:
    """What a function declares for its arguments, in one text that Numba takes for a constant."""
    hints = typing.get_type_hints(function, include_extras=True)
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return ground.text_of(_kind_of(hints[name], names, hints) for name in names)


def _kind_of(hint: Any, names: tuple[str, ...], hints: dict[str, Any]) -> Kind:
    """The kind of a hint, with the places of arguments for their names."""
    if hint in (int, bool, float):
        return Kind(hint.__name__)
    kind: Kind = hint.__metadata__[0]
    if not kind.shape:
        return kind
    if kind.shape in names and hints[str(kind.shape)] is not int:
        return kind._replace(shape=names.index(kind.shape))
    axes = [one.partition(".") for one in str(kind.shape).split()]
    return kind._replace(shape=tuple((names.index(name), int(axis) if axis else -1) for name, _, axis in axes))


def _door_of(function: Any, kinds: str) -> Any:
    def door(me: Any, arguments: int, count: int) -> Any:
        row = objects.row(me, arguments, count, kinds)
        if row == 0:
            return objects.refuse(me, arguments, count)
        values = objects.take(me, row, kinds)
        state = objects.pause(me)
        result = function(*values)
        objects.resume(me, state)
        return objects.give(me, row, result, kinds)

    return door


# As _door_of; a function around this one's parts would be a closure, which is kept in no file.
def _door_of_parts(function: Any, kinds: str) -> Any:
    def door(me: Any, arguments: int, count: int) -> Any:
        row = objects.row(me, arguments, count, kinds)
        if row == 0:
            return objects.refuse(me, arguments, count)
        values = objects.take(me, row, kinds)
        state = objects.pause(me)
        if values[1] != 0:  # as call_in_parts, to which the function's address in this process would have to be passed
            launch(values[1], function, values[2:], values[0])
        else:
            for part in range(values[0]):
                function(part, values[0], *values[2:])
        objects.resume(me, state)
        return objects.give(me, row, None, kinds)

    return door


def _as_declared(value: Any, kind: Kind) -> Any:
    """An argument in the form that doors know: a number as Python's, a dtype as NumPy's own, without metadata."""
    if isinstance(value, np.ndarray):
        return next((value.view(dtype) for dtype in _DTYPES if value.dtype == dtype), value)
    if kind.dtype in ("int", "bool") and isinstance(value, int | np.integer | np.bool_):
        return int(value)
    is_real = isinstance(value, int | float | np.integer | np.floating)
    return float(value) if kind.dtype == "float" and is_real else value


class Door:
    """A compiled function for Python to call, made for float32 or float64 when arrays of that dtype first come.

    Parameters
    ----------
    function : function
        It declares all its arguments: int, bool, float, or one of this module's kinds of arrays, which are C-contiguous
        and writable. It returns None, a number, or a tuple of numbers.
    in_parts : bool
        Its first arguments are not `n_threads` and `launcher`, but `part` and `parts`; it is called for each part.
    """

    def __init__(self, function: Callable[..., Any], in_parts: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.__name__: str = function.__name__
        self.compiled = apart(function) if in_parts else kernel(function)
        self.around = _door_of_parts if in_parts else _door_of
        self.made_of = (self.compiled,)
        self._doors: dict[Any, Callable[..., Any]] = {}
        self._in_turn: tuple[Callable[..., Any], ...] = ()
        self.libraries: dict[str, Any] = {}  # by dtype; they hold the code
        self.py_func = function
        ENTRIES.append(self)

    @functools.cached_property
    def _kinds(self) -> str:
        """What the function declares; read when the first door is made, as it takes 0.6 ms."""
        return kinds_of(self.py_func)

    def __call__(self, *arguments: Any) -> Any:
        """Call the door that suits the arguments."""
        for door in self._in_turn:
            result = door(*arguments)
            if result is not NotImplemented:
                return result
        return self._slow_call(arguments)

    @property
    def signatures(self) -> list[str]:
        """The dtypes for which it is compiled or loaded in this process."""
        return list(map(str, self._doors))

    def made_for(self, dtype: Any) -> Callable[..., Any]:
        """The door for this dtype alone, which answers NotImplemented where arguments do not suit."""
        found = self._doors.get(dtype)
        if found is None:
            with compiling:
                found = self._doors.get(dtype) or self._make(np.dtype(dtype))
                self._doors[dtype] = found
                self._in_turn = tuple(self._doors.values())
        return found

    def must_be_compiled(self, dtype: Any) -> bool:
        """Whether `made_for` will compile it or load it from the disk."""
        return dtype not in self._doors and prebuilt.address(str(np.dtype(dtype)), self.around, self.made_of) == 0

    def _slow_call(self, arguments: tuple[Any, ...]) -> Any:
        """The result of the first call for a dtype, or of one with arguments in another form."""
        kinds = ground.kinds_in(self._kinds)
        if len(arguments) != len(kinds):
            raise TypeError(f"{self.__name__}: expected {len(kinds)} arguments, got {len(arguments)}")
        given = [_as_declared(one, kind) for one, kind in zip(arguments, kinds, strict=True)]
        owns = [getattr(one, "dtype", None) for one, kind in zip(given, kinds, strict=True) if kind.dtype == OWN]
        own = owns[0] if owns else _DTYPES[1]
        result = self.made_for(own)(*given) if own in _DTYPES[:2] else NotImplemented
        if result is NotImplemented:
            came = " ".join(f"{one.dtype}:{one.ndim}" if hasattr(one, "ndim") else type(one).__name__ for one in given)
            raise TypeError(f"{self.__name__}: expected {' '.join(map(str, kinds))}, got {came}")
        return result

    def _make(self, dtype: Any) -> Callable[..., Any]:
        address = prebuilt.address(str(dtype), self.around, self.made_of)
        if not address:
            arguments = types.CPointer(numba.from_dtype(dtype)), types.intp, types.intp
            function = self.around(self.compiled, self._kinds)
            address, self.libraries[str(dtype)] = compile_unit(function, arguments, self.made_of, types.intp)
        return ground.python_function(self.__name__, address)


def make_all(wanted: Iterable[Any], dtype: Any) -> None:
    """Compile units and doors that are needed at once, and count them for the one who waits; pass over others."""
    with compiling:
        mine = (one for one in dict.fromkeys(wanted) if isinstance(one, Unit | Door))
        missing = [one for one in mine if one.must_be_compiled(dtype)]
        with WAITING.group(len(missing)):
            for one in missing:
                if isinstance(one, Unit):
                    one.address(dtype)
                else:
                    one.made_for(dtype)


def door(function: Function) -> Function:
    """Compile a module-level function for Python to call; see Door. `fastnn.engine.threads.run` calls it.

    One that it calls on threads has the first parameters `n_threads` and `launcher` (see units.run_parts).
    """
    made: Any = entry(function) if JIT_DISABLED or not ground.layout_is_known() else Door(function)
    return made


def made_for(entry: Any, dtype: Any) -> Callable[..., Any] | None:
    """The door of an entry for this dtype; None without the compiler, or without doors."""
    return entry.made_for(dtype) if isinstance(entry, Door) else None


def door_of_parts(function: Callable[..., None]) -> Any:
    """As `door`, for a function of (part, parts, *arguments), which is called for each part."""
    return entry_of_parts(function) if JIT_DISABLED or not ground.layout_is_known() else Door(function, in_parts=True)
