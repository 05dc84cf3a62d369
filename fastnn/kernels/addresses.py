"""Frames in memory and calls by address, for units.py and frames.py.

With NUMBA_DISABLE_JIT=1 an address is a place in a table of the Python functions, and a frame a `Frame`.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types

from fastnn.kernels.simd import lowered
from fastnn.kernels.views import vector_at

_WORD = ir.IntType(64)
LATER = 1  # in place of the address of a unit that is compiled only if needed
FUNCTIONS: list[Any] = [None, None]  # without the compiler, the functions by their addresses; 0 and LATER are none


class Frame:
    """A frame or a job without the compiler: its integers, and a zero of its dtype."""

    __slots__ = ("table", "zero")

    def __init__(self, table: Any, zero: Any) -> None:
        self.table, self.zero = table, zero


def _is_frame(value: Any) -> bool:
    return isinstance(value, types.CPointer)


def _place(builder: Any, frame: Any, slot: Any) -> Any:
    return builder.gep(builder.bitcast(frame, _WORD.as_pointer()), [slot])


def _lower_new_frame(context: Any, size: Any, like: Any) -> Any:
    frame = types.CPointer(like)
    count = size.literal_value

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        table = numba.core.cgutils.alloca_once(builder, ir.ArrayType(_WORD, count))
        return builder.bitcast(table, context.get_value_type(frame))

    return frame(size, like), codegen


@lowered(_lower_new_frame)
def new_frame(size: int, like: Any) -> Any:
    """A frame of `size` integers, a constant, for the dtype of the number `like`; on the stack and not cleared."""
    return Frame(np.zeros(size, np.int64), like)


def _lower_frame_at(context: Any, address: Any, size: Any, like: Any) -> Any:
    frame = types.CPointer(like)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(frame))

    return frame(types.intp, size, like), codegen


@lowered(_lower_frame_at)
def frame_at(address: int, size: int, like: Any) -> Any:
    """The frame or job of `size` integers that lies at an address."""
    return Frame(vector_at(address, size, np.int64(0)), like)


def _lower_address_of(context: Any, frame: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], _WORD)

    return (types.intp(frame), codegen) if _is_frame(frame) else None


@lowered(_lower_address_of)
def address_of(frame: Any) -> int:
    """The address of a frame."""
    return int(frame.table.ctypes.data)


def _lower_get(context: Any, frame: Any, slot: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(builder, args[0], args[1]))

    return (types.intp(frame, types.intp), codegen) if _is_frame(frame) else None


@lowered(_lower_get)
def get(frame: Any, slot: int) -> int:
    """One integer of a frame."""
    return int(frame.table[slot])


def _lower_put(context: Any, frame: Any, slot: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _place(builder, args[0], args[1]))
        return context.get_dummy_value()

    return (types.void(frame, types.intp, types.intp), codegen) if _is_frame(frame) else None


@lowered(_lower_put)
def put(frame: Any, slot: int, value: int) -> None:
    """Set one integer of a frame."""
    frame.table[slot] = value


def _lower_zero_of(context: Any, frame: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(frame.dtype, 0.0)

    return (frame.dtype(frame), codegen) if _is_frame(frame) else None


@lowered(_lower_zero_of)
def zero_of(frame: Any) -> Any:
    """A zero of the dtype of a frame's numbers."""
    return frame.zero


def _call(builder: Any, address: Any, arguments: list[Any]) -> None:
    function = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments]).as_pointer()
    builder.call(builder.inttoptr(address, function), arguments)


def _lower_call(context: Any, unit: Any, frame: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _call(builder, args[0], [args[1]])
        return context.get_dummy_value()

    return (types.void(types.intp, frame), codegen) if _is_frame(frame) else None


@lowered(_lower_call)
def call(unit: int, frame: Any) -> None:
    """Call the unit at an address; 8 ns."""
    FUNCTIONS[unit](frame)


def _lower_call_part(context: Any, unit: Any, job: Any, part: Any, parts: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _call(builder, args[0], list(args[1:]))
        return context.get_dummy_value()

    signature = types.void(types.intp, job, types.intp, types.intp)
    return (signature, codegen) if _is_frame(job) or isinstance(job, types.Integer) else None


@lowered(_lower_call_part)
def call_part(unit: int, job: Any, part: int, parts: int) -> None:
    """Call a unit for one of several parts of its work."""
    FUNCTIONS[unit](job, part, parts)


def _call_launcher(builder: Any, launcher: Any, *arguments: Any) -> None:
    """Call the function whose address is the first integer of a launcher's table."""
    code = builder.load(builder.inttoptr(launcher, _WORD.as_pointer()))
    _call(builder, code, [launcher, *arguments])


def _lower_launch(context: Any, launcher: Any, function: Any, arguments: Any, parts: Any) -> Any:
    made = function.get_call_type(context, (types.intp, types.intp, *arguments.types), {})
    compiled = function.dispatcher.overloads[made.args]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        context.add_linking_libs([compiled.library])
        table = numba.core.cgutils.alloca_once_value(builder, args[2])
        unit = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [_WORD] * 3), f"part.{compiled.fndesc.uid}")
        unit.linkage = "internal"
        inside = ir.IRBuilder(unit.append_basic_block())
        job, part, parts = unit.args
        given = numba.core.cgutils.unpack_tuple(inside, inside.load(inside.inttoptr(job, table.type)))
        context.call_internal_no_propagate(inside, compiled.fndesc, made, [part, parts, *given])
        inside.ret_void()
        _call_launcher(builder, args[0], builder.ptrtoint(unit, _WORD), builder.ptrtoint(table, _WORD), args[3])
        return context.get_dummy_value()

    return types.void(types.intp, function, arguments, types.intp), codegen


@lowered(_lower_launch)
def launch(launcher: int, function: Any, arguments: Any, parts: int) -> None:
    """Call function(part, parts, *arguments) for each part, on threads; an exception ends its part and is lost."""
    raise AssertionError("nothing is launched without the compiler")


def _lower_call_launcher(context: Any, launcher: Any, unit: Any, job: Any, parts: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _call_launcher(builder, args[0], args[1], builder.ptrtoint(args[2], _WORD), args[3])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, job, types.intp), codegen


@lowered(_lower_call_launcher)
def call_launcher(launcher: int, unit: int, job: Any, parts: int) -> None:
    """Call a unit for each of its parts, on threads."""
    raise AssertionError("nothing is launched without the compiler")
