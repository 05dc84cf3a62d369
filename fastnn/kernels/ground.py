"""The ground of doors: a table of the addresses that their machine code calls and compares with.

It is the memory of an array, which is the object of a C function of Python's. So the code itself names nothing outside.
"""

import ast
import ctypes
import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numpy._core.multiarray import _ARRAY_API

# Where the parts of objects lie: PyObject and PyArrayObject_fields, which NumPy keeps for extensions made for 1.x.
TYPE, DATA, AXES, SHAPE, DTYPE, FLAGS = 8, 16, 24, 32, 56, 64
PLAIN, PLAIN_MASK = 0x501, 0x80000501 - (1 << 32)  # as gate.buffers.PLAIN

# The functions that doors call, in their places of the ground, after the objects.
_FUNCTIONS = (
    "Py_IncRef",
    "Py_DecRef",
    "PyErr_Occurred",
    "PyErr_Clear",
    "PyLong_AsSsize_t",
    "PyLong_FromSsize_t",
    "PyFloat_AsDouble",
    "PyFloat_FromDouble",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
)
NEW_ARRAY, _PLACE_IN_NUMPY = "PyArray_New", 93  # in NumPy's table of functions for extensions
NUMBERS_OF_TYPES = {"float32": 11, "float64": 12}  # NPY_FLOAT, NPY_DOUBLE
_OBJECTS = (
    np.ndarray,
    np.dtype(np.float32),
    np.dtype(np.float64),
    np.dtype(np.intp),
    int,
    bool,
    float,
    None,
    NotImplemented,
)
PLACES: dict[Any, int] = {one: place for place, one in enumerate((*_OBJECTS, *_FUNCTIONS, NEW_ARRAY))}
# Behind them: the C function to ask where this one refuses, and its ground; the number of bound arguments, and these.
# Only bound functions have any. Such a call is short: it keeps the interpreter's lock.
NEXT, BOUND = len(PLACES), len(PLACES) + 2

OWN = "own"  # the dtype for which a door is made
FLAT, ROWS = 0, -1  # axes of arrays of any rank: all elements as a vector, and a row for each last axis
DONE = 0  # what a function with results returns, or returns first, when they are right


class Kind(NamedTuple):
    """What a door takes for an argument: "int", "bool", "float", or the dtype of an array and its axes.

    shape: nothing, or what its shape is to be. Functions declare it by names: "x" for that of x, or "x.0 W.1 n" for the
    lengths of these axes and the integer n. In compiled code the places of arguments stand for names, and -1 for the
    axis of an integer. is_result: the door makes it where None is given. is_optional: to a bound function anything else
    stands for an empty array.
    """

    dtype: str
    axes: int = 0
    shape: str | int | tuple[tuple[int, int], ...] | None = None
    is_result: bool = False
    is_optional: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it is no array."""
        return self.dtype in ("int", "bool", "float")

    def type(self, own: Any) -> Any:
        """Numba's type for it."""
        if self.is_number:
            return {"int": types.intp, "bool": types.boolean, "float": types.float64}[self.dtype]
        axes = {FLAT: 1, ROWS: 2}.get(self.axes, self.axes)
        return types.Array(own if self.dtype == OWN else numba.from_dtype(np.dtype(self.dtype)), axes, "C")

    def __str__(self) -> str:
        return self.dtype if self.is_number else f"{self.dtype}:{self.axes}"


def text_of(kinds: Iterable[Kind]) -> str:
    """Kinds as a text, which Numba takes for a constant."""
    return repr([tuple(kind) for kind in kinds])


def kinds_in(text: str) -> list[Kind]:
    """The kinds of a text."""
    return [Kind(*row) for row in ast.literal_eval(text)]


@functools.cache
def layout_is_known() -> bool:
    """Whether objects lie in memory as doors expect; not in PyPy, or in a Python without the interpreter's lock."""
    sample = np.zeros((2, 3), np.float32)

    def word(address: int, offset: int, kind: Any = ctypes.c_ssize_t) -> int:
        return int(kind.from_address(address + offset).value)

    places = {TYPE: id(np.ndarray), DATA: sample.ctypes.data, DTYPE: id(sample.dtype)}
    return (
        sys.implementation.name == "cpython"
        and not numba.config.BOUNDSCHECK  # it raises exceptions, which a door cannot
        and all(word(id(sample), offset) == value for offset, value in places.items())
        and word(id(sample), AXES, ctypes.c_int32) == 2
        and word(id(sample), FLAGS, ctypes.c_int32) == PLAIN | 0x4  # the array owns its memory
        and [word(word(id(sample), SHAPE), 8 * axis) for axis in range(2)] == [2, 3]
    )


class _Definition(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Ground(np.ndarray[Any, Any]):
    """The ground of a bound function, and what it needs to stay where it is."""

    kept: Any


_METH_FASTCALL = 0x80
_definitions: dict[int, _Definition] = {}


def _new_array() -> Any:
    """NumPy's function that makes an array."""
    read = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    table = read(("PyCapsule_GetPointer", ctypes.pythonapi))(_ARRAY_API, None)
    return ctypes.c_void_p.from_address(table + 8 * _PLACE_IN_NUMPY).value


@functools.cache
def _ground() -> Any:
    """The memory that doors read: addresses of objects, which are never freed, and of functions."""
    functions = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in _FUNCTIONS]
    made = np.array([*map(id, _OBJECTS), *functions, _new_array(), 0, 0, 0], np.intp)
    made.flags.writeable = False
    return made


def python_function(name: str, address: int, ground: Any = None) -> Callable[..., Any]:
    """A function of Python's from the address of a C function of the METH_FASTCALL protocol."""
    if address not in _definitions:
        made_of = _Definition(name.encode(), address, _METH_FASTCALL, None)
        # It is never freed: a function reads it when it is deallocated itself, at the end of Python after this module.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(made_of))
        _definitions[address] = made_of
    definition = _definitions[address]
    protocol = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(_Definition), ctypes.py_object, ctypes.c_void_p)
    make = protocol(("PyCFunction_NewEx", ctypes.pythonapi))
    made: Callable[..., Any] = make(ctypes.byref(definition), _ground() if ground is None else ground, None)
    return made


def bound(function: Any, *first: Any, following: Any = None, keeps: Any = None) -> Callable[..., Any]:
    """A door with its first arguments, to be called with the others. It keeps the interpreter's lock.

    Where a function has results (see Kind), it returns them, alone or in a tuple after the further values that it
    returns; only its outcome if that is not DONE. following: another bound door, to ask where this one refuses.
    keeps: objects that live as long as it does, such as the memory whose addresses its first arguments hold.
    """
    made = np.array([*_ground()[:NEXT], *_call_of(following), len(first), *map(id, first)], np.intp).view(_Ground)
    made.kept = first, following, keeps
    return python_function(function.__name__, _call_of(function)[0], made)


def _call_of(function: Any) -> tuple[int, int]:
    """The addresses of a door's C function and of its ground; 0 for None."""
    if function is None:
        return 0, 0
    read = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(("PyCFunction_GetFunction", ctypes.pythonapi))
    return int(read(function)), id(function.__self__)
