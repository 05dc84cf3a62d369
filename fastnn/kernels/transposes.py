"""Square blocks transposed in registers, in LLVM IR: for copies, and for columns of a product that fill no vector."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastnn.kernels import simd
from fastnn.kernels.processor import LANES

_INDEX = ir.IntType(64)
_LANE = ir.IntType(32)


def _exchange(builder: Any, a: Any, b: Any, distance: int) -> Any:
    """Swap the blocks of `distance` lanes across the diagonal of two rows that are `distance` apart."""
    lanes = a.type.count
    first = [k if not k & distance else lanes + k - distance for k in range(lanes)]
    second = [k + distance if not k & distance else lanes + k for k in range(lanes)]
    masks = [ir.Constant(ir.VectorType(_LANE, lanes), lane_numbers) for lane_numbers in (first, second)]
    return tuple(builder.shuffle_vector(a, b, numbers) for numbers in masks)


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Build the columns of a square block from its rows."""
    rows, distance = list(rows), len(rows) // 2
    while distance:
        for r in range(len(rows)):
            if not r & distance:
                rows[r], rows[r + distance] = _exchange(builder, rows[r], rows[r + distance], distance)
        distance //= 2
    return rows


def _lower_transpose(context: Any, source: Any, start: Any, step: Any, target: Any, to: Any, to_step: Any) -> Any:
    size = source.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        read = simd.pointer_to(context, builder, source, args[0], args[1])
        write = simd.pointer_to(context, builder, target, args[3], args[4])
        vector = context.get_value_type(simd.Vector(source.dtype))
        offsets = [ir.Constant(_INDEX, r) for r in range(vector.count)]
        rows = [simd.load(builder, builder.gep(read, [builder.mul(args[2], r)]), vector, size) for r in offsets]
        for r, row in zip(offsets, _transposed(builder, rows), strict=True):
            simd.store(builder, row, builder.gep(write, [builder.mul(args[5], r)]), size)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), codegen


@simd.lowered(_lower_transpose)
def transpose(source: Any, start: int, step: int, target: Any, target_start: int, target_step: int) -> None:
    """Copy a square block of `lanes` rows and columns, transposed: target row r is the source's column r."""
    count = LANES[source.dtype]
    flat, out = source.reshape(-1), target.reshape(-1)
    for r, k in np.ndindex(count, count):
        out[target_start + r * target_step + k] = flat[start + k * step + r]


def _lower_add_columns(context: Any, left: Any, right: Any, sums: Any, columns: Any, depth: Any) -> Any:
    size = sums.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, start, left_row = cgutils.unpack_tuple(builder, args[0], 3)
        other, at, right_step, right_depth = cgutils.unpack_tuple(builder, args[1], 4)
        columns, depth = args[3:]
        vector = context.get_value_type(simd.Vector(sums.dtype))
        lanes = vector.count
        read = simd.pointer_to(context, builder, left[0], array, start)
        values = simd.pointer_to(context, builder, right[0], other, at)
        totals = simd.pointer_to(context, builder, sums, args[2], ir.Constant(_INDEX, 0))
        rows = [builder.gep(read, [builder.mul(left_row, ir.Constant(_INDEX, r))]) for r in range(lanes)]
        kept = cgutils.alloca_once(builder, vector, lanes)
        whole = builder.sdiv(depth, ir.Constant(_INDEX, lanes))
        done = builder.mul(whole, ir.Constant(_INDEX, lanes))

        def block(k: Any, mask: Any) -> list[Any]:
            """The columns from k on of the rows, each as a vector of rows."""
            return _transposed(builder, [simd.load(builder, builder.gep(r, [k]), vector, size, mask) for r in rows])

        def factor(column: Any, k: Any) -> Any:
            place = builder.add(builder.mul(column, right_step), builder.mul(k, right_depth))
            return simd.splat(builder, builder.load(builder.gep(values, [place])), lanes)

        def total_of(column: Any) -> Any:
            return builder.bitcast(
                builder.gep(totals, [builder.mul(column, ir.Constant(_INDEX, lanes))]), vector.as_pointer()
            )

        with cgutils.for_range(builder, whole) as loop:
            first = builder.mul(loop.index, ir.Constant(_INDEX, lanes))
            steps = block(first, None)
            with cgutils.for_range(builder, columns) as of_columns:
                place = total_of(of_columns.index)
                total = builder.load(place)
                total.align = size
                for k, step in enumerate(steps):
                    value = factor(of_columns.index, builder.add(first, ir.Constant(_INDEX, k)))
                    total = simd.multiply_add_of(builder, value, step, total)
                builder.store(total, place).align = size
        rest = builder.sub(depth, done)
        with builder.if_then(builder.icmp_signed(">", rest, ir.Constant(_INDEX, 0))):
            for k, step in enumerate(block(done, simd.first_lanes(builder, vector, rest))):
                builder.store(step, builder.gep(kept, [ir.Constant(_INDEX, k)]))
            with cgutils.for_range(builder, columns) as of_columns:
                place = total_of(of_columns.index)
                with cgutils.for_range(builder, rest) as loop:
                    total = builder.load(place)
                    total.align = size
                    value = factor(of_columns.index, builder.add(done, loop.index))
                    step = builder.load(builder.gep(kept, [loop.index]))
                    builder.store(simd.multiply_add_of(builder, value, step, total), place).align = size
        return context.get_dummy_value()

    return types.void(left, right, sums, types.intp, types.intp), codegen


@simd.lowered(_lower_add_columns)
def add_columns(left: Any, right: Any, sums: Any, columns: int, depth: int) -> None:
    """sums[j, r] += left[start + r row + k] right[at + j step + k depth_step], for k = 0, 1, ..., depth - 1 in turn.

    left: (vector, start, row); right: (vector, at, step, depth_step); their indices are intp. r counts the lanes of a
    vector: as many rows of the left operand. sums: `columns` vectors, in memory.
    """
    flat, start, row = left
    values, at, step, depth_step = right
    lanes = LANES[flat.dtype]
    for j in range(columns):
        total = sums[j * lanes : (j + 1) * lanes]
        for k in range(depth):
            factors = flat[start + k : start + k + (lanes - 1) * row + 1 : row]
            total[:] = factors * values[at + j * step + k * depth_step] + total
