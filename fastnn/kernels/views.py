"""Arrays over memory that somebody else keeps, unchecked and not reference-counted, for kernels only."""

import ctypes
from typing import Any

import numpy as np
from numba import types

from fastnn.kernels.simd import lowered, pointer_to


def _view(context: Any, builder: Any, view: types.Array, data: Any, shape: list[Any]) -> Any:
    """An array of this type over memory that somebody else keeps."""
    result = context.make_array(view)(context, builder)
    item = context.get_constant(types.intp, view.dtype.bitwidth // 8)
    strides = [builder.mul(shape[1], item), item] if view.ndim == 2 else [item]
    context.populate_array(result, data=data, shape=shape, strides=strides, itemsize=item, meminfo=None)
    return result._getvalue()


def _lower_matrix(context: Any, vector: Any, start: Any, rows: Any, columns: Any) -> Any:
    view = types.Array(vector.dtype, 2, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _view(context, builder, view, pointer_to(context, builder, vector, args[0], args[1]), list(args[2:]))

    return view(vector, types.intp, types.intp, types.intp), codegen


@lowered(_lower_matrix)
def matrix(vector: Any, start: int, rows: int, columns: int) -> Any:
    """vector[start : start + rows * columns] as a matrix, unchecked and not reference-counted."""
    return vector.reshape(-1)[start : start + rows * columns].reshape(rows, columns)


def _lower_elements(context: Any, array: Any) -> Any:
    view = types.Array(array.dtype, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        given = context.make_array(array)(context, builder, args[0])
        return _view(context, builder, view, given.data, [given.nitems])

    return view(array), codegen


@lowered(_lower_elements)
def elements(array: Any) -> Any:
    """All elements of a C-contiguous array as a vector: as `matrix`, and typed and compiled faster than a reshape."""
    return array.reshape(-1)


def _lower_part(context: Any, vector: Any, start: Any, size: Any) -> Any:
    view = types.Array(vector.dtype, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _view(context, builder, view, pointer_to(context, builder, vector, args[0], args[1]), [args[2]])

    return view(vector, types.intp, types.intp), codegen


@lowered(_lower_part)
def part(vector: Any, start: int, size: int) -> Any:
    """vector[start : start + size], unchecked like `matrix`; a slice would check signs and count references."""
    return vector[start : start + size]


def _lower_vector_at(context: Any, address: types.Integer, size: types.Integer, like: types.Number) -> Any:
    view = types.Array(like, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], context.get_data_type(like).as_pointer())
        return _view(context, builder, view, pointer, [args[1]])

    return view(types.intp, types.intp, like), codegen


@lowered(_lower_vector_at)
def vector_at(address: int, size: int, like: Any) -> Any:
    """The vector of `size` elements of the dtype of the number `like` at an address: unchecked, as `matrix`."""
    dtype = np.dtype(type(like))
    memory: Any = (ctypes.c_byte * int(size * dtype.itemsize)).from_address(int(address))
    return np.frombuffer(memory, dtype) if size else np.empty(0, dtype)
