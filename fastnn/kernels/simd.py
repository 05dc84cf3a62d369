"""Vectors in LLVM IR. Each operation has a scalar twin in NumPy, used with NUMBA_DISABLE_JIT=1.

A *vector* is as many elements as one register of this machine holds (`LANES`). A *row* is a tuple of adjacent vectors;
of the last one only the first `count` elements are read or written; a *tile* is a tuple of equal rows, the accumulators
of a matrix product, held in registers. Index i of an array is `array.ravel()[i]`.

Numba cannot express any of this: its vectorizer would need luck to keep 24 accumulators in registers. With one fused
multiply-add per step (`fma`) and no fastmath, each element of a product is one fixed chain of operations, the same bits
at any width, in any tile and on any thread.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.processor import HAS_FMA, HAS_MASKED_STORE, LANES, VECTOR_BYTES

_INDEX = ir.IntType(64)
_LANE = ir.IntType(32)
BYTES_AT_ONCE = 64  # that are compared with 0, as many as an integer has bits


def _lanes(dtype: types.Type) -> int:
    return VECTOR_BYTES // (dtype.bitwidth // 8)


class Vector(types.Type):
    """Numba's view of an LLVM vector of elements of `dtype`."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype, self.lanes = dtype, _lanes(dtype)
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(dmm.lookup(fe_type.dtype).get_value_type(), fe_type.lanes))


def lowered(typing: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replace a NumPy twin by its LLVM form, unless Numba is switched off."""
    return lambda twin: twin if JIT_DISABLED else intrinsic(prefer_literal=True)(typing)


def pointer_to(context: Any, builder: Any, array_type: types.Array, array: Any, index: Any) -> Any:
    """The address of an element, in LLVM."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _call(builder: Any, name: str, result: ir.Type, arguments: list[Any]) -> Any:
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), arguments)


def _suffix(vector: ir.Type) -> str:
    """LLVM's name of a type in the name of an overloaded intrinsic: f32, v16f32."""
    lanes, element = (f"v{vector.count}", vector.element) if isinstance(vector, ir.VectorType) else ("", vector)
    return lanes + ("f32" if isinstance(element, ir.FloatType) else "f64")


def multiply_add_of(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Build a * b + c, in one rounding where the processor can."""
    if HAS_FMA:
        return _call(builder, f"llvm.fma.{_suffix(a.type)}", a.type, [a, b, c])
    return builder.fadd(builder.fmul(a, b), c)


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """Build a vector with a scalar in all its lanes."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    lane = builder.insert_element(undefined, scalar, ir.Constant(_LANE, 0))
    return builder.shuffle_vector(lane, undefined, ir.Constant(ir.VectorType(_LANE, lanes), [0] * lanes))


def first_lanes(builder: Any, vector: ir.VectorType, count: Any) -> Any:
    """A mask of the first `count` lanes."""
    integer = _LANE if isinstance(vector.element, ir.FloatType) else _INDEX  # as wide as a lane
    numbers = ir.Constant(ir.VectorType(integer, vector.count), list(range(vector.count)))
    count = count if integer is _INDEX else builder.trunc(count, integer)
    return builder.icmp_signed("<", numbers, splat(builder, count, vector.count))


def load(builder: Any, pointer: Any, vector: ir.VectorType, alignment: int, mask: Any = None) -> Any:
    """Build the reading of a vector; masked out lanes are 0."""
    pointer = builder.bitcast(pointer, vector.as_pointer())
    if mask is None:
        value = builder.load(pointer)
        value.align = alignment
        return value
    name = f"llvm.masked.load.{_suffix(vector)}.p0"
    zero = ir.Constant(vector, None)
    return _call(builder, name, vector, [pointer, ir.Constant(_LANE, alignment), mask, zero])


def store(builder: Any, value: Any, pointer: Any, alignment: int) -> None:
    """Build the writing of a vector."""
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = alignment


def _store_first(builder: Any, values: list[Any], pointers: list[Any], alignment: int, count: Any) -> None:
    """Store the first `count` lanes, fewer than all, of each value.

    Without AVX-512, half a vector is stored if count has that bit, then a quarter, ...: the masked store of AVX2 is
    slow on some processors (12 cycles on Zen 3).
    """
    vector = values[0].type
    if HAS_MASKED_STORE:
        name, mask = f"llvm.masked.store.{_suffix(vector)}.p0", first_lanes(builder, vector, count)
        for value, pointer in zip(values, pointers, strict=True):
            pointer = builder.bitcast(pointer, vector.as_pointer())
            _call(builder, name, ir.VoidType(), [value, pointer, ir.Constant(_LANE, alignment), mask])
        return
    size = vector.count // 2
    while size:
        has = builder.icmp_signed("!=", builder.and_(count, ir.Constant(_INDEX, size)), ir.Constant(_INDEX, 0))
        numbers = [ir.Constant(ir.VectorType(_LANE, size), list(range(i, i + size))) for i in (0, size)]
        halves = [[builder.shuffle_vector(value, value, number) for number in numbers] for value in values]
        with builder.if_then(has):
            for (low, _), pointer in zip(halves, pointers, strict=True):
                store(builder, low, pointer, alignment)
        values = [builder.select(has, high, low) for low, high in halves]
        step = builder.select(has, ir.Constant(_INDEX, size), ir.Constant(_INDEX, 0))
        pointers = [builder.gep(pointer, [step]) for pointer in pointers]
        size //= 2


def _lower_fma(context: Any, a: types.Type, b: types.Type, c: types.Type) -> Any:
    return a(a, a, a), lambda context, builder, signature, args: multiply_add_of(builder, *args)


@lowered(_lower_fma)
def fma(a: Any, b: Any, c: Any) -> Any:
    """a * b + c in one rounding, for scalars or vectors of one dtype.

    (The twin, and processors without it, round twice.)
    """
    return a * b + c


def _lower_bits(context: Any, x: types.Float) -> Any:
    result = types.int32 if x.bitwidth == 32 else types.int64
    return result(x), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(x.bitwidth))


@lowered(_lower_bits)
def bits(x: Any) -> Any:
    """The bit pattern of a float as an integer of its size."""
    return x.view(np.int32 if x.itemsize == 4 else np.int64)


def _lower_from_bits(context: Any, pattern: types.Integer) -> Any:
    result = types.float32 if pattern.bitwidth == 32 else types.float64
    value_type = ir.FloatType() if pattern.bitwidth == 32 else ir.DoubleType()
    return result(pattern), lambda context, builder, signature, args: builder.bitcast(args[0], value_type)


@lowered(_lower_from_bits)
def from_bits(pattern: Any) -> Any:
    """The float with this bit pattern: the inverse of `bits`."""
    return pattern.view(np.float32 if pattern.itemsize == 4 else np.float64)


def _lower_lanes(context: Any, array: types.Array) -> Any:
    return types.intp(array), lambda context, builder, signature, args: ir.Constant(_INDEX, _lanes(array.dtype))


@lowered(_lower_lanes)
def lanes(array: Any) -> Any:
    """How many elements of this array's dtype one vector holds."""
    return LANES[array.dtype]


def _lower_zero_tile(context: Any, array: types.Array, rows: types.Type, vectors: types.Type) -> Any:
    shape = types.UniTuple(types.UniTuple(Vector(array.dtype), vectors.literal_value), rows.literal_value)
    zeros = lambda context, builder, signature, args: ir.Constant(context.get_value_type(shape), None)  # noqa: E731
    return shape(array, rows, vectors), zeros


@lowered(_lower_zero_tile)
def zero_tile(array: Any, rows: int, vectors: int) -> Any:
    """A tile of zeros; `rows` and `vectors` are literal integers."""
    zero = np.zeros(LANES[array.dtype], array.dtype)
    return ((zero,) * vectors,) * rows


def _lower_loading(tile: Any, array: Any, adds: bool) -> Any:
    size = array.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_to(context, builder, array, args[1], args[2])
        vector = context.get_value_type(tile.dtype.dtype)
        mask = first_lanes(builder, vector, args[4])
        result = ir.Constant(context.get_value_type(tile), ir.Undefined)
        for r in range(tile.count):
            row = builder.gep(pointer, [builder.mul(args[3], ir.Constant(_INDEX, r))])
            for v in range(tile.dtype.count):
                at, last = builder.gep(row, [ir.Constant(_INDEX, v * vector.count)]), v == tile.dtype.count - 1
                value = load(builder, at, vector, size, mask if last else None)
                value = builder.fadd(builder.extract_value(args[0], [r, v]), value) if adds else value
                result = builder.insert_value(result, value, [r, v])
        return result

    return tile(tile, array, types.intp, types.intp, types.intp), codegen


@lowered(lambda context, tile, array, start, step, count: _lower_loading(tile, array, adds=False))
def load_tile(tile: Any, array: Any, start: int, step: int, count: int) -> Any:
    """A tile of this shape from array[start + r * step :] for its rows r; `count` elements of each last vector."""
    flat, vectors, width = array.reshape(-1), len(tile[0]), LANES[array.dtype]
    rows = []
    for r in range(len(tile)):
        row, size = np.zeros(vectors * width, array.dtype), (vectors - 1) * width + count
        row[:size] = flat[start + r * step : start + r * step + size]
        rows.append(tuple(row.reshape(vectors, width)))
    return tuple(rows)


@lowered(lambda context, tile, array, start, step, count: _lower_loading(tile, array, adds=True))
def add_tile(tile: Any, array: Any, start: int, step: int, count: int) -> Any:
    """The tile plus what load_tile loads."""
    rows = zip(tile, load_tile(tile, array, start, step, count), strict=True)
    return tuple(tuple(a + b for a, b in zip(*row, strict=True)) for row in rows)


def _lower_fill_tile(context: Any, tile: types.UniTuple, row: types.UniTuple) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        result = ir.Constant(context.get_value_type(tile), ir.Undefined)
        for r in range(tile.count):
            result = builder.insert_value(result, builder.extract_value(args[1], 0), r)
        return result

    return tile(tile, row), codegen


@lowered(_lower_fill_tile)
def fill_tile(tile: Any, row: Any) -> Any:
    """A tile of this shape whose rows all equal `row`, a tile of one row."""
    return row * len(tile)


def _lower_multiply_add(context: Any, tile: Any, row: Any, array: Any, start: Any, step: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, row_value, data, begin, stride = args
        pointer = pointer_to(context, builder, array, data, begin)
        vectors = [builder.extract_value(row_value, [0, v]) for v in range(tile.dtype.count)]
        for r in range(tile.count):
            scalar = splat(builder, builder.load(pointer), tile.dtype.dtype.lanes)
            pointer = builder.gep(pointer, [stride])
            for v, vector in enumerate(vectors):
                total = multiply_add_of(builder, scalar, vector, builder.extract_value(sums, [r, v]))
                sums = builder.insert_value(sums, total, [r, v])
        return sums

    return tile(tile, row, array, types.intp, types.intp), codegen


@lowered(_lower_multiply_add)
def multiply_add(tile: Any, row: Any, array: Any, start: int, step: int) -> Any:
    """tile[r] + array[start + r * step] * row for every row r: one step of a product. `row` is a tile of one row."""
    flat = array.reshape(-1)
    return tuple(
        tuple(flat[start + r * step] * vector + total for vector, total in zip(row[0], sums, strict=True))
        for r, sums in enumerate(tile)
    )


def store_rows(builder: Any, rows: list[Any], pointers: list[Any], alignment: int, count: Any) -> None:
    """Store rows of adjacent vectors; of each last one the first `count` lanes."""
    vector = rows[0][0].type
    for row, pointer in zip(rows, pointers, strict=True):
        for v, value in enumerate(row[:-1]):
            store(builder, value, builder.gep(pointer, [ir.Constant(_INDEX, v * vector.count)]), alignment)
    before = ir.Constant(_INDEX, (len(rows[0]) - 1) * vector.count)
    values, places = [row[-1] for row in rows], [builder.gep(pointer, [before]) for pointer in pointers]
    whole = builder.icmp_signed("==", count, ir.Constant(_INDEX, vector.count))
    with builder.if_else(whole, likely=True) as (all_lanes, some_lanes):
        with all_lanes:
            for value, place in zip(values, places, strict=True):
                store(builder, value, place, alignment)
        with some_lanes:
            _store_first(builder, values, places, alignment, count)


def _lower_store_tile(context: Any, tile: Any, array: Any, start: Any, step: Any, count: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_to(context, builder, array, args[1], args[2])
        pointers = [builder.gep(pointer, [builder.mul(args[3], ir.Constant(_INDEX, r))]) for r in range(tile.count)]
        rows = [[builder.extract_value(args[0], [r, v]) for v in range(tile.dtype.count)] for r in range(tile.count)]
        store_rows(builder, rows, pointers, array.dtype.bitwidth // 8, args[4])
        return context.get_dummy_value()

    return types.void(tile, array, types.intp, types.intp, types.intp), codegen


@lowered(_lower_store_tile)
def store_tile(tile: Any, array: Any, start: int, step: int, count: int) -> None:
    """array[start + r * step :] = tile[r] for every row r; `count` elements of each last vector."""
    flat = array.reshape(-1)
    for r, row in enumerate(tile):
        values = np.concatenate(row)
        size = values.size - len(row[-1]) + count
        flat[start + r * step : start + r * step + size] = values[:size]


def _lower_nonzero_lanes(context: Any, array: types.Array, start: types.Integer) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(Vector(array.dtype))
        value = load(builder, pointer_to(context, builder, array, args[0], args[1]), vector, array.dtype.bitwidth // 8)
        found = builder.fcmp_unordered("!=", value, ir.Constant(vector, None))
        return builder.zext(builder.bitcast(found, ir.IntType(vector.count)), _INDEX)

    return types.uintp(array, types.intp), codegen


@lowered(_lower_nonzero_lanes)
def nonzero_lanes(array: Any, start: int) -> Any:
    """Bit l of the result says whether element start + l of the array is not 0, for all lanes l of one vector."""
    return np.uintp(sum(1 << lane for lane in np.flatnonzero(array.reshape(-1)[start : start + LANES[array.dtype]])))


def _lower_nonzero_bytes(context: Any, array: types.Array, start: types.Integer) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), BYTES_AT_ONCE)
        value = load(builder, pointer_to(context, builder, array, args[0], args[1]), vector, 1)
        found = builder.icmp_unsigned("!=", value, ir.Constant(vector, None))
        return builder.bitcast(found, ir.IntType(BYTES_AT_ONCE))

    return types.uintp(array, types.intp), codegen


@lowered(_lower_nonzero_bytes)
def nonzero_bytes(array: Any, start: int) -> Any:
    """Bit i of the result says whether byte start + i of the array is not 0, for BYTES_AT_ONCE bytes."""
    some = array.reshape(-1)[start : start + BYTES_AT_ONCE]
    return np.uintp(sum(1 << int(place) for place in np.flatnonzero(some)))


def _lower_sum_of_eighths(*given: Any) -> Any:
    vectors, dtype = given[:-1], given[0].dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        eight, wide = (ir.VectorType(context.get_value_type(t), 8) for t in (dtype, types.float64))
        totals = [cgutils.alloca_once_value(builder, ir.Constant(wide, None)) for _ in range(2)]
        one, two = (ir.Constant(_INDEX, number) for number in (1, 2))

        def add(number: Any, total: Any) -> None:
            start = builder.mul(number, ir.Constant(_INDEX, 8))
            pointers = [pointer_to(context, builder, *one, start) for one in zip(vectors, args, strict=False)]
            value = functools.reduce(builder.fmul, [load(builder, one, eight, dtype.bitwidth // 8) for one in pointers])
            value = value if eight == wide else builder.fpext(value, wide)
            builder.store(builder.fadd(builder.load(total), value), total)

        eights = builder.sdiv(args[-1], ir.Constant(_INDEX, 8))
        even = builder.mul(builder.sdiv(eights, two), two)
        with cgutils.for_range_slice(builder, ir.Constant(_INDEX, 0), even, two) as (number, _):
            add(number, totals[0])
            add(builder.add(number, one), totals[1])
        with builder.if_then(builder.icmp_signed("<", even, eights)):
            add(even, totals[0])
        sums = builder.fadd(*(builder.load(total) for total in totals))
        while sums.type.count > 1:
            lanes = range(0, sums.type.count, 2)
            some = [ir.Constant(ir.VectorType(_LANE, len(lanes)), [lane + i for lane in lanes]) for i in (0, 1)]
            sums = builder.fadd(*(builder.shuffle_vector(sums, sums, numbers) for numbers in some))
        return builder.extract_element(sums, ir.Constant(_LANE, 0))

    return types.float64(*given), codegen


@lowered(lambda context, values, count: _lower_sum_of_eighths(values, count))
def sum_of_eighths(values: Any, count: int) -> Any:
    """The float64 sum of the first `count` of a vector, a multiple of 8: sums of every eighth, then of pairs.

    Each is the sum of two, of even and of odd eights, as an addition waits for the one before it.
    """
    eights = values[:count].reshape(-1, 8).astype(np.float64)
    sums = eights[::2].sum(axis=0) + eights[1::2].sum(axis=0)  # row after row
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))


@lowered(lambda context, a, b, count: _lower_sum_of_eighths(a, b, count))
def product_of_eighths(a: Any, b: Any, count: int) -> Any:
    """As sum_of_eighths, of the products of two vectors of one dtype, each rounded to it."""
    return sum_of_eighths(a[:count] * b[:count], count)
