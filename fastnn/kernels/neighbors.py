"""Vectors of neighbors in LLVM IR: of every two adjacent elements one vector has the left ones, one the right ones."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from fastnn.kernels import simd
from fastnn.kernels.processor import LANES

_INDEX, _LANE = ir.IntType(64), ir.IntType(32)


def _shuffled(builder: Any, pair: list[Any], numbers: list[int]) -> Any:
    a, b = pair
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_LANE, len(numbers)), numbers))


def _lower_load(context: Any, array: types.Array, start: Any, count: Any) -> Any:
    vectors = types.UniTuple(simd.Vector(array.dtype), 2)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, size = context.get_value_type(vectors.dtype), array.dtype.bitwidth // 8
        pointer, lanes = simd.pointer_to(context, builder, array, args[0], args[1]), vector.count
        elements, read = builder.mul(args[2], ir.Constant(_INDEX, 2)), []
        for first in (0, lanes):
            mask = simd.first_lanes(builder, vector, builder.sub(elements, ir.Constant(_INDEX, first)))
            read.append(simd.load(builder, builder.gep(pointer, [ir.Constant(_INDEX, first)]), vector, size, mask))
        sides = [_shuffled(builder, read, list(range(side, 2 * lanes, 2))) for side in (0, 1)]
        return context.make_tuple(builder, vectors, sides)

    return vectors(array, types.intp, types.intp), codegen


@simd.lowered(_lower_load)
def load_neighbors(array: Any, start: int, count: int) -> Any:
    """The left and the right ones of `count` pairs of neighbors from `start` on, at most a vector of each; 0 behind."""
    found = np.zeros((2, LANES[array.dtype]), array.dtype)
    found[:, :count] = array.reshape(-1)[start : start + 2 * count].reshape(count, 2).T
    return found[0], found[1]


def _lower_store(context: Any, vectors: types.UniTuple, array: types.Array, start: Any, count: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sides = [builder.extract_value(args[0], side) for side in (0, 1)]
        lanes, size = sides[0].type.count, array.dtype.bitwidth // 8
        numbers = [number for lane in range(lanes) for number in (lane, lane + lanes)]
        low, high = (_shuffled(builder, sides, numbers[first : first + lanes]) for first in (0, lanes))
        pointer, all_lanes = simd.pointer_to(context, builder, array, args[1], args[2]), ir.Constant(_INDEX, lanes)
        elements = builder.mul(args[3], ir.Constant(_INDEX, 2))
        with builder.if_else(builder.icmp_signed(">", elements, all_lanes)) as (both, one):
            with both:
                simd.store_rows(builder, [[low, high]], [pointer], size, builder.sub(elements, all_lanes))
            with one:
                simd.store_rows(builder, [[low]], [pointer], size, elements)
        return context.get_dummy_value()

    return types.void(vectors, array, types.intp, types.intp), codegen


@simd.lowered(_lower_store)
def store_neighbors(vectors: Any, array: Any, start: int, count: int) -> None:
    """Write what `load_neighbors` reads."""
    array.reshape(-1)[start : start + 2 * count] = np.stack([side[:count] for side in vectors], axis=1).ravel()


def _lower_larger(context: Any, a: simd.Vector, b: simd.Vector) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        is_larger = builder.fcmp_ordered(">", args[1], args[0])
        is_nan = builder.fcmp_unordered("uno", args[1], args[1])
        return builder.select(builder.or_(is_larger, is_nan), args[1], args[0])

    return a(a, b), codegen


@simd.lowered(_lower_larger)
def larger(a: Any, b: Any) -> Any:
    """The larger elements of two vectors, the first of equals; NaN is the largest."""
    return np.where((b > a) | (b != b), b, a)


def _lower_claimed(context: Any, x: simd.Vector, y: simd.Vector, dy: simd.Vector) -> Any:
    result = types.UniTuple(x, 2)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        is_equal = builder.fcmp_ordered("==", args[0], args[1])
        is_it = builder.or_(is_equal, builder.fcmp_unordered("uno", args[0], args[0]))
        zero = ir.Constant(args[2].type, None)
        found = builder.select(is_it, args[2], zero), builder.select(is_it, zero, args[2])
        return context.make_tuple(builder, result, found)

    return result(x, y, dy), codegen


@simd.lowered(_lower_claimed)
def claimed(x: Any, y: Any, dy: Any) -> Any:
    """The gradients dy of the outputs y that are x or NaN with it, and the gradients that are left; 0 elsewhere."""
    is_it = (x == y) | (x != x)
    return np.where(is_it, dy, 0).astype(dy.dtype), np.where(is_it, 0, dy).astype(dy.dtype)


def _lower_added(context: Any, a: simd.Vector, b: simd.Vector) -> Any:
    return a(a, b), lambda context, builder, signature, args: builder.fadd(*args)


@simd.lowered(_lower_added)
def added(a: Any, b: Any) -> Any:
    """a + b for two vectors."""
    return a + b


def _lower_scaled(context: Any, a: simd.Vector, factor: types.Float) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(args[0], simd.splat(builder, args[1], a.lanes))

    return a(a, factor), codegen


@simd.lowered(_lower_scaled)
def scaled(a: Any, factor: Any) -> Any:
    """A vector times a number of its dtype."""
    return a * factor
