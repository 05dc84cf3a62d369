"""Objects of Python and NumPy as compiled code reads them where they lie in memory, and calls Python's functions.

The machine code names nothing outside: the functions of Python that it calls, and the types that it compares with,
stand in a table of addresses, the *ground*, which is the memory of an array. `python_function` gives this array to a C
function as its object.
"""

import ctypes
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WORD, _HALF = ir.IntType(64), ir.IntType(32)

# Where the parts of objects lie: PyObject and PyArrayObject_fields, which NumPy keeps for extensions made for 1.x.
_TYPE, _DATA, _AXES, _SHAPE, _DTYPE, _FLAGS = 8, 16, 24, 32, 56, 64
_PLAIN, _PLAIN_MASK = 0x501, 0x80000501 - (1 << 32)  # as gate.buffers.PLAIN

# The functions that doors call, in their places of the ground, after the objects.
_FUNCTIONS = (
    "Py_IncRef",
    "PyLong_AsSsize_t",
    "PyLong_FromSsize_t",
    "PyFloat_AsDouble",
    "PyFloat_FromDouble",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
)
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
_PLACES: dict[Any, int] = {one: place for place, one in enumerate((*_OBJECTS, *_FUNCTIONS))}


OWN = "own"  # the dtype for which a door is made


FLAT, ROWS = 0, -1  # axes of arrays of any rank: all elements as a vector, and a row for each last axis


def _type_of(kind: str, own: Any) -> Any:
    """Numba's type for an argument of a kind."""
    if kind in ("int", "bool", "float"):
        return {"int": types.intp, "bool": types.boolean, "float": types.float64}[kind]
    dtype, axes = kind.split(":")
    number = {FLAT: 1, ROWS: 2}.get(int(axes), int(axes))
    return types.Array(own if dtype == OWN else numba.from_dtype(np.dtype(dtype)), number, "C")


class _Builder:
    """What is built of a door in LLVM: reading objects, and calling Python's functions."""

    def __init__(self, builder: Any, me: Any) -> None:
        self.builder = builder
        self.ground = self.read(builder.ptrtoint(me, _WORD), _DATA)

    def read(self, address: Any, offset: int, size: Any = _WORD) -> Any:
        """The integer at an address and an offset."""
        place = self.builder.add(address, ir.Constant(_WORD, offset))
        return self.builder.load(self.builder.inttoptr(place, size.as_pointer()))

    def known(self, what: Any) -> Any:
        """The address of an object or a function of the ground."""
        return self.read(self.ground, 8 * _PLACES[what])

    def call(self, name: str, *arguments: Any, result: Any = _WORD) -> Any:
        """Call a function of Python's."""
        function = ir.FunctionType(result, [argument.type for argument in arguments]).as_pointer()
        return self.builder.call(self.builder.inttoptr(self.known(name), function), arguments)

    def reference(self, what: Any) -> Any:
        """A new reference to an object of the ground."""
        found = self.known(what)
        self.call("Py_IncRef", found, result=ir.VoidType())
        return found

    def equal(self, a: Any, b: Any) -> Any:
        return self.builder.icmp_unsigned("==", a, b)

    def conditions(self, argument: Any, kind: str, own: Any) -> Iterator[Any]:
        """What must be true of an argument; each is built where those before it are true."""
        given = self.read(argument, _TYPE)
        if kind == "float":
            yield self.equal(given, self.known(float))
        elif kind in ("int", "bool"):
            yield self.builder.or_(self.equal(given, self.known(int)), self.equal(given, self.known(bool)))
        else:
            array = _type_of(kind, own)
            yield self.equal(given, self.known(np.ndarray))
            yield self.equal(self.read(argument, _DTYPE), self.known(np.dtype(str(array.dtype))))
            wanted = int(kind.rpartition(":")[2])
            comparison, axes = (">=", 1) if wanted in (FLAT, ROWS) else ("==", wanted)
            yield self.builder.icmp_signed(comparison, self.read(argument, _AXES, _HALF), ir.Constant(_HALF, axes))
            flags = self.builder.and_(self.read(argument, _FLAGS, _HALF), ir.Constant(_HALF, _PLAIN_MASK))
            yield self.equal(flags, ir.Constant(_HALF, _PLAIN))

    def value(self, context: Any, argument: Any, kind: str, own: Any) -> Any:
        """An argument as compiled code takes it."""
        if kind == "float":
            return self.call("PyFloat_AsDouble", argument, result=ir.DoubleType())
        if kind == "int":
            return self.call("PyLong_AsSsize_t", argument)
        if kind == "bool":
            return self.builder.icmp_signed("!=", self.call("PyLong_AsSsize_t", argument), ir.Constant(_WORD, 0))
        array = _type_of(kind, own)
        shape = self.shape(argument, int(kind.rpartition(":")[2]))
        item = ir.Constant(_WORD, array.dtype.bitwidth // 8)
        strides = [item]
        for length in shape[:0:-1]:
            strides.insert(0, self.builder.mul(strides[0], length))
        data = self.builder.inttoptr(self.read(argument, _DATA), context.get_data_type(array.dtype).as_pointer())
        made = context.make_array(array)(context, self.builder)
        context.populate_array(made, data=data, shape=shape, strides=strides, itemsize=item, meminfo=None)
        return made._getvalue()

    def shape(self, argument: Any, axes: int) -> list[Any]:
        """The lengths of an array's axes, as the kind takes them."""
        lengths = self.read(argument, _SHAPE)
        if axes not in (FLAT, ROWS):
            return [self.read(lengths, 8 * axis) for axis in range(axes)]
        builder = self.builder
        last = builder.sub(builder.sext(self.read(argument, _AXES, _HALF), _WORD), ir.Constant(_WORD, 1))
        size = cgutils.alloca_once_value(builder, ir.Constant(_WORD, 1))
        with cgutils.for_range(builder, last) as loop:
            place = builder.gep(builder.inttoptr(lengths, _WORD.as_pointer()), [loop.index])
            builder.store(builder.mul(builder.load(size), builder.load(place)), size)
        rows = builder.load(size)
        width = builder.load(builder.gep(builder.inttoptr(lengths, _WORD.as_pointer()), [last]))
        return [rows, width] if axes == ROWS else [builder.mul(rows, width)]

    def object(self, value: Any, kind: Any) -> Any:
        """A result as an object of Python's."""
        if isinstance(kind, types.NoneType):
            return self.reference(None)
        if isinstance(kind, types.Float):
            return self.call("PyFloat_FromDouble", value)
        if isinstance(kind, types.Boolean):
            return self.call("PyLong_FromSsize_t", self.builder.zext(value, _WORD))
        if isinstance(kind, types.Integer):
            return self.call("PyLong_FromSsize_t", value)
        made = self.call("PyTuple_New", ir.Constant(_WORD, len(kind)))
        for i, one in enumerate(kind):
            item = self.object(self.builder.extract_value(value, i), one)
            self.call("PyTuple_SetItem", made, ir.Constant(_WORD, i), item)
        return made


def _lower_suits(context: Any, me: Any, arguments: Any, count: Any, kinds: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        build, wanted = _Builder(builder, args[0]), kinds.literal_value.split()
        end, answers = builder.append_basic_block("end"), []

        def need(condition: Any) -> None:
            """Go to the end unless the condition is true."""
            answers.append(builder.block)
            following = builder.append_basic_block("following")
            builder.cbranch(condition, following, end)
            builder.position_at_end(following)

        need(build.equal(args[2], ir.Constant(_WORD, len(wanted))))
        for i, kind in enumerate(wanted):
            for condition in build.conditions(build.read(args[1], 8 * i), kind, me.dtype):
                need(condition)
        last = builder.block
        builder.branch(end)
        builder.position_at_end(end)
        result = builder.phi(ir.IntType(1))
        for block in answers:
            result.add_incoming(ir.Constant(ir.IntType(1), 0), block)
        result.add_incoming(ir.Constant(ir.IntType(1), 1), last)
        return result

    return types.boolean(me, types.intp, types.intp, kinds), codegen


def _lower_take(context: Any, me: Any, arguments: Any, kinds: Any) -> Any:
    wanted = kinds.literal_value.split()
    result = types.Tuple([_type_of(kind, me.dtype) for kind in wanted])

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        build = _Builder(builder, args[0])
        values = [build.value(context, build.read(args[1], 8 * i), kind, me.dtype) for i, kind in enumerate(wanted)]
        return context.make_tuple(builder, result, values)

    return result(me, types.intp, kinds), codegen


def _lower_give(context: Any, me: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _Builder(builder, args[0]).object(args[1], value)

    return types.intp(me, value), codegen


def _lower_refuse(context: Any, me: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _Builder(builder, args[0]).reference(NotImplemented)

    return types.intp(me), codegen


def _lower_pause(context: Any, me: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _Builder(builder, args[0]).call("PyEval_SaveThread")

    return types.intp(me), codegen


def _lower_resume(context: Any, me: Any, state: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _Builder(builder, args[0]).call("PyEval_RestoreThread", args[1], result=ir.VoidType())
        return context.get_dummy_value()

    return types.void(me, state), codegen


suits, take, give = (intrinsic(prefer_literal=True)(one) for one in (_lower_suits, _lower_take, _lower_give))
refuse, pause, resume = (intrinsic(one) for one in (_lower_refuse, _lower_pause, _lower_resume))


@functools.cache
def layout_is_known() -> bool:
    """Whether objects lie in memory as doors expect; not in PyPy, or in a Python without the interpreter's lock."""
    sample = np.zeros((2, 3), np.float32)

    def word(address: int, offset: int, kind: Any = ctypes.c_ssize_t) -> int:
        return int(kind.from_address(address + offset).value)

    places = {_TYPE: id(np.ndarray), _DATA: sample.ctypes.data, _DTYPE: id(sample.dtype)}
    return (
        sys.implementation.name == "cpython"
        and not numba.config.BOUNDSCHECK  # it raises exceptions, which a door cannot
        and all(word(id(sample), offset) == value for offset, value in places.items())
        and word(id(sample), _AXES, ctypes.c_int32) == 2
        and word(id(sample), _FLAGS, ctypes.c_int32) == _PLAIN | 0x4  # the array owns its memory
        and [word(word(id(sample), _SHAPE), 8 * axis) for axis in range(2)] == [2, 3]
    )


class _Definition(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_METH_FASTCALL = 0x80
_definitions: list[_Definition] = []  # Python keeps their addresses


@functools.cache
def _ground() -> Any:
    """The memory that doors read: addresses of objects, which are never freed, and of functions."""
    functions = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in _FUNCTIONS]
    made = np.array([*map(id, _OBJECTS), *functions], np.intp)
    made.flags.writeable = False
    return made


def python_function(name: str, address: int) -> Callable[..., Any]:
    """A function of Python's from the address of a C function of the METH_FASTCALL protocol."""
    definition = _Definition(name.encode(), address, _METH_FASTCALL, None)
    _definitions.append(definition)
    protocol = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(_Definition), ctypes.py_object, ctypes.c_void_p)
    make = protocol(("PyCFunction_NewEx", ctypes.pythonapi))
    made: Callable[..., Any] = make(ctypes.byref(definition), _ground(), None)
    return made
