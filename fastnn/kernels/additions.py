"""Rows of a matrix added up where lists say, in LLVM IR: the transposed product of rows that are lists (lists.py)."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastnn.kernels import lists, simd

_INDEX = ir.IntType(64)


def _build(function: Any, vector: Any, vectors: int) -> None:
    """Build the loop over the lists, and over the pairs of each, for rows of so many vectors."""
    pairs, cursors, ends, rows, limit, last, right, right_step, out, out_step = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    size, zero, one = 4 if isinstance(vector.element, ir.FloatType) else 8, *(ir.Constant(_INDEX, i) for i in (0, 1))
    offsets = [ir.Constant(_INDEX, v * vector.count) for v in range(vectors)]
    mask, p = simd.first_lanes(builder, vector, last), cgutils.alloca_once(builder, _INDEX)

    def is_taken(at: Any, end: Any) -> Any:
        """Whether there is a pair at a place of the list, and its number is below the limit."""
        found = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(1), 0))
        builder.store(ir.Constant(ir.IntType(1), 0), found)
        with builder.if_then(builder.icmp_signed("<", at, end)):
            builder.store(builder.icmp_signed("<", lists.number_at(builder, pairs, at), limit), found)
        return builder.load(found)

    with cgutils.for_range_slice(builder, zero, rows, one) as (n, _):
        cursor, end = builder.gep(cursors, [n]), builder.load(builder.gep(ends, [n]))
        builder.store(builder.load(cursor), p)
        with builder.if_then(is_taken(builder.load(p), end)):
            row = builder.gep(right, [builder.mul(n, right_step)])
            masks = [None] * (vectors - 1) + [mask]
            values = [
                simd.load(builder, builder.gep(row, [offset]), vector, size, some)
                for offset, some in zip(offsets, masks, strict=True)
            ]
            inside, behind = (builder.append_basic_block(name) for name in ("pair", "behind"))
            builder.branch(inside)
            builder.position_at_end(inside)
            at = builder.load(p)
            factor = builder.load(builder.gep(pairs, [builder.mul(at, ir.Constant(_INDEX, 2))]))
            factor = simd.splat(builder, factor, vector.count)
            target = builder.gep(out, [builder.mul(lists.number_at(builder, pairs, at), out_step)])
            for value, offset in zip(values, offsets, strict=True):
                place = builder.gep(target, [offset])
                total = simd.load(builder, place, vector, size)
                simd.store(builder, simd.multiply_add_of(builder, factor, value, total), place, size)
            following = builder.add(at, one)
            builder.store(following, p)
            builder.cbranch(is_taken(following, end), inside, behind)
            builder.position_at_end(behind)
            builder.store(builder.load(p), cursor)
    builder.ret_void()


def _function(module: Any, vector: Any, vectors: int) -> Any:
    """The function of a module that takes rows of so many vectors."""
    name = f"fastnn.additions.{vector.element}.{vectors}"
    if name in module.globals:
        return module.globals[name]
    pointer, integers = vector.element.as_pointer(), _INDEX.as_pointer()
    arguments = [pointer, integers, integers, *[_INDEX] * 3, pointer, _INDEX, pointer, _INDEX]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("nounwind")
    _build(function, vector, vectors)
    return function


def _lower_add_lists(context: Any, width: Any, lists_of: Any, limit: Any, right: Any, out: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        some, of_right, of_out = (cgutils.unpack_tuple(builder, args[i], len(signature.args[i])) for i in (1, 3, 4))
        given = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(lists_of.types[:3], some[:3], strict=True)
        ]
        vector = context.get_value_type(simd.Vector(lists_of[0].dtype))
        lanes = ir.Constant(_INDEX, vector.count)
        vectors = builder.sdiv(builder.add(args[0], ir.Constant(_INDEX, vector.count - 1)), lanes)
        last = builder.sub(args[0], builder.mul(builder.sub(vectors, ir.Constant(_INDEX, 1)), lanes))
        given += [some[3], args[2], last]
        for kind, values in ((right[0], of_right), (out[0], of_out)):
            given += [simd.pointer_to(context, builder, kind, values[0], values[1]), values[2]]
        for count in range(1, lists.MOST_VECTORS + 1):
            with builder.if_then(builder.icmp_signed("==", vectors, ir.Constant(_INDEX, count))):
                builder.call(_function(builder.module, vector, count), given)
        return context.get_dummy_value()

    return types.void(width, lists_of, limit, right, out), codegen


@simd.lowered(_lower_add_lists)
def add_lists(width: int, lists_of: Any, limit: int, right: Any, out: Any) -> None:
    """out[k] += value * right[n] for each pair (value, k) of list n, list after list.

    width: columns of right, at most lists.MOST_VECTORS vectors; rows of out have whole vectors, of which lanes beyond
    the width may become anything. lists_of: (pairs, cursors, ends, how many), of whose pairs the ones from the cursors
    on with numbers below the limit are taken; the cursors go on behind them. right, out: (vector, start, step between
    rows).
    """
    pairs, cursors, ends, rows = lists_of
    columns, flat = np.arange(width), right[0].reshape(-1)
    for n in range(rows):
        p = cursors[n]
        while p < ends[n] and lists.number_of(pairs, p) < limit:
            places = out[1] + lists.number_of(pairs, p) * out[2] + columns
            out[0][places] = pairs[2 * p] * flat[right[1] + n * right[2] + columns] + out[0][places]
            p += 1
        cursors[n] = p
