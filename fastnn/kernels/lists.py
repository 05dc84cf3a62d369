"""Lists of the elements of a row that are not 0, and the product of such rows and a matrix, in LLVM IR.

A list holds *pairs* of a value and its number in the row, in order of the numbers. Pair p of a vector of pairs is its
elements 2 p, the value, and 2 p + 1, whose bits are the number: a product needs both at once, and reads one stream.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastnn.kernels import simd
from fastnn.kernels.processor import LANES, VECTOR_BYTES

MOST_VECTORS = 8  # of one row of results, in registers
AT_ONCE_BYTES = 64  # of the vectors that put_lanes takes, AVX-512's
_INDEX = ir.IntType(64)
_BOOL = ir.IntType(1)


def _lower_lowest_bit(context: Any, bits: types.Integer) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(_BOOL, 1))

    return types.intp(types.uintp), codegen


@simd.lowered(_lower_lowest_bit)
def lowest_bit(bits: Any) -> int:
    """The place of the lowest bit that is 1; there must be one."""
    return (int(bits) & -int(bits)).bit_length() - 1


def _lower_prefetch(context: Any, array: types.Array, start: types.Integer) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.bitcast(simd.pointer_to(context, builder, array, args[0], args[1]), ir.IntType(8).as_pointer())
        read, keep, data = (
            ir.Constant(ir.IntType(32), 0),
            ir.Constant(ir.IntType(32), 3),
            ir.Constant(ir.IntType(32), 1),
        )
        kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in (place, read, keep, data)])
        builder.call(
            cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0"), [place, read, keep, data]
        )
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@simd.lowered(_lower_prefetch)
def prefetch(array: Any, start: int) -> None:
    """Have the processor fetch element `start` of an array into its cache; the element need not exist."""


def _lower_put_pair(context: Any, pairs: Any, p: Any, value: Any, number: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = simd.pointer_to(context, builder, pairs, args[0], builder.mul(args[1], ir.Constant(_INDEX, 2)))
        size = pairs.dtype.bitwidth
        if size == 32:  # in one store
            value = builder.zext(builder.bitcast(args[2], ir.IntType(32)), _INDEX)
            both = builder.or_(value, builder.shl(args[3], ir.Constant(_INDEX, 32)))
            builder.store(both, builder.bitcast(place, _INDEX.as_pointer())).align = 4
        else:
            builder.store(args[2], place)
            builder.store(args[3], builder.bitcast(builder.gep(place, [ir.Constant(_INDEX, 1)]), _INDEX.as_pointer()))
        return context.get_dummy_value()

    return types.void(pairs, types.intp, pairs.dtype, types.intp), codegen


@simd.lowered(_lower_put_pair)
def put_pair(pairs: Any, p: int, value: Any, number: int) -> None:
    """Write pair p: a value, and its number."""
    pairs[2 * p] = value
    _numbers(pairs)[2 * p + 1] = number


def _lower_put_lanes(context: Any, array: Any, start: Any, number: Any, pairs: Any, p: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if VECTOR_BYTES != AT_ONCE_BYTES:
            return args[4]  # compiled, but never called
        vector, size = context.get_value_type(simd.Vector(array.dtype)), array.dtype.bitwidth // 8
        value = simd.load(builder, simd.pointer_to(context, builder, array, args[0], args[1]), vector, size)
        found, lanes = builder.fcmp_unordered("!=", value, ir.Constant(vector, None)), vector.count
        wide = ir.VectorType(_INDEX, lanes)
        numbers = ir.Constant(wide, list(range(lanes)))
        numbers = builder.add(numbers, simd.splat(builder, args[2], lanes))
        words = builder.bitcast(value, ir.VectorType(ir.IntType(8 * size), lanes))
        if size == 4:  # a pair is one word of 64 bits
            shift = ir.Constant(wide, [32] * lanes)
            words = builder.or_(builder.zext(words, wide), builder.shl(numbers, shift))
            masks = found
        else:
            both = [i // 2 + lanes * (i % 2) for i in range(2 * lanes)]
            words = builder.shuffle_vector(words, numbers, ir.Constant(ir.VectorType(ir.IntType(32), 16), both))
            twice = ir.Constant(ir.VectorType(ir.IntType(32), 16), [i // 2 for i in range(2 * lanes)])
            masks = builder.shuffle_vector(found, found, twice)
        at = builder.bitcast(
            simd.pointer_to(context, builder, pairs, args[3], builder.mul(args[4], ir.Constant(_INDEX, 2))),
            _INDEX.as_pointer(),
        )
        eight = ir.VectorType(_INDEX, 8)
        for half in range(2):
            some = ir.Constant(ir.VectorType(ir.IntType(32), 8), list(range(8 * half, 8 * half + 8)))
            word, mask = (builder.shuffle_vector(one, one, some) for one in (words, masks))
            kind = ir.FunctionType(eight, [eight, eight, mask.type])
            compress = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.compress.v8i64")
            simd.store(builder, builder.call(compress, [word, ir.Constant(eight, None), mask]), at, size)
            count = builder.ctpop(builder.bitcast(mask, ir.IntType(8)))
            at = builder.gep(at, [builder.zext(count, _INDEX)])
        found = builder.ctpop(builder.bitcast(found, ir.IntType(lanes)))
        return builder.add(args[4], builder.zext(found, _INDEX))

    return types.intp(array, types.intp, types.intp, pairs, types.intp), codegen


@simd.lowered(_lower_put_lanes)
def put_lanes(array: Any, start: int, number: int, pairs: Any, p: int) -> int:
    """Write the pairs of one vector from `start` on, whose first number is this, as pair p and the next ones.

    Returns the number of the pair after them. It needs AVX-512, and overwrites as many pairs as a vector has lanes.
    """
    for k, value in enumerate(array[start : start + LANES[array.dtype]]):
        if value != 0:
            put_pair(pairs, p, value, number + k)
            p += 1
    return p


def number_at(builder: Any, pairs: Any, p: Any) -> Any:
    """Build the reading of the number of pair p; pairs is a pointer to the first one."""
    integer = _INDEX if isinstance(pairs.type.pointee, ir.DoubleType) else ir.IntType(32)
    place = builder.gep(pairs, [builder.add(builder.mul(p, ir.Constant(_INDEX, 2)), ir.Constant(_INDEX, 1))])
    number = builder.load(builder.bitcast(place, integer.as_pointer()))
    return number if integer is _INDEX else builder.zext(number, _INDEX)


def _lower_number_of(context: Any, pairs: Any, p: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return number_at(builder, context.make_array(pairs)(context, builder, args[0]).data, args[1])

    return types.intp(pairs, types.intp), codegen


@simd.lowered(_lower_number_of)
def number_of(pairs: Any, p: int) -> int:
    """The number of pair p."""
    return int(_numbers(pairs)[2 * p + 1])


def _numbers(pairs: Any) -> Any:
    return pairs.view(np.int32 if pairs.itemsize == 4 else np.int64)


class _Making:
    """A function in the making, which takes rows of so many vectors, or of a part of a single one for 0."""

    def __init__(self, function: Any, vector: Any, vectors: int) -> None:
        (self.pairs, self.cursors, self.ends, self.rows, self.limit, self.last, self.right, self.right_step,
         self.initial, self.initial_step, self.starts, self.out, self.out_step, self.adds,
         ) = function.args  # fmt: skip
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.vector, self.vectors = vector, max(1, vectors)
        self.size = 4 if isinstance(vector.element, ir.FloatType) else 8
        self.zero = ir.Constant(vector, None)
        self.mask = None if vectors else simd.first_lanes(self.builder, vector, self.last)
        self.sums = [self.variable(self.zero) for _ in range(self.vectors)]

    def variable(self, value: Any) -> Any:
        return cgutils.alloca_once_value(self.builder, value)

    def places(self, pointer: Any) -> list[Any]:
        """The addresses of a row's vectors; the last one begins at `last`, and may overlap with the one before it."""
        count = self.vector.count
        places = [self.builder.gep(pointer, [ir.Constant(_INDEX, v * count)]) for v in range(self.vectors - 1)]
        return [*places, pointer if self.mask is not None else self.builder.gep(pointer, [self.last])]

    def read(self, pointer: Any) -> list[Any]:
        return [simd.load(self.builder, at, self.vector, self.size, self.mask) for at in self.places(pointer)]

    def write(self, values: list[Any], pointer: Any) -> None:
        if self.mask is not None:
            simd.store_rows(self.builder, [values], [pointer], self.size, self.last)
            return
        for value, place in zip(values, self.places(pointer), strict=True):
            simd.store(self.builder, value, place, self.size)

    def set_each(self, variables: list[Any], values: list[Any]) -> None:
        for variable, value in zip(variables, values, strict=True):
            self.builder.store(value, variable)

    def add_each(self, variables: list[Any], values: list[Any]) -> None:
        for variable, value in zip(variables, values, strict=True):
            self.builder.store(self.builder.fadd(self.builder.load(variable), value), variable)

    def loop(self, condition: Callable[[], Any], body: Callable[[], None]) -> None:
        """Build a loop that ends where the condition is false."""
        builder = self.builder
        head, inside, end = (builder.append_basic_block(name) for name in ("head", "body", "end"))
        builder.branch(head)
        builder.position_at_end(head)
        builder.cbranch(condition(), inside, end)
        builder.position_at_end(inside)
        body()
        builder.branch(head)
        builder.position_at_end(end)

    def below(self, a: Any, b: Any) -> Any:
        return self.builder.icmp_signed("<", a, b)

    def has_pair(self, p: Any, end: Any) -> Any:
        """Build the test whether pair p is before the end of its list, and its number below the limit."""
        builder, found = self.builder, self.variable(ir.Constant(_BOOL, 0))
        builder.store(ir.Constant(_BOOL, 0), found)
        with builder.if_then(self.below(builder.load(p), builder.load(end))):
            builder.store(self.below(number_at(builder, self.pairs, builder.load(p)), self.limit), found)
        return builder.load(found)

    def pair(self, p: Any) -> tuple[Any, Any]:
        """Build the reading of pair p, as a vector of its value and its number, and go on to the next."""
        builder, at = self.builder, self.builder.load(p)
        value = builder.load(builder.gep(self.pairs, [builder.mul(at, ir.Constant(_INDEX, 2))]))
        builder.store(builder.add(at, ir.Constant(_INDEX, 1)), p)
        return simd.splat(builder, value, self.vector.count), number_at(builder, self.pairs, at)

    def build(self) -> None:
        """Build the loop over rows; one without a pair stays as it is where its results are what it begins with."""
        builder, n = self.builder, self.variable(ir.Constant(_INDEX, 0))
        p, end = (self.variable(ir.Constant(_INDEX, 0)) for _ in range(2))
        is_other = builder.icmp_unsigned("!=", self.initial, self.out)

        def one() -> None:
            number = builder.load(n)
            cursor = builder.gep(self.cursors, [number])
            builder.store(builder.load(cursor), p)
            builder.store(builder.load(builder.gep(self.ends, [number])), end)
            with builder.if_then(builder.or_(is_other, self.has_pair(p, end))):
                self.product(number, p, end)
                builder.store(builder.load(p), cursor)
            builder.store(builder.add(number, ir.Constant(_INDEX, 1)), n)

        self.loop(lambda: self.below(builder.load(n), self.rows), one)
        builder.ret_void()

    def product(self, n: Any, p: Any, end: Any) -> None:
        """Build a row of the product."""
        builder = self.builder

        def multiply_add() -> None:
            factor, number = self.pair(p)
            row = self.read(builder.gep(self.right, [builder.mul(number, self.right_step)]))
            for total, one in zip(self.sums, row, strict=True):
                builder.store(simd.multiply_add_of(builder, factor, one, builder.load(total)), total)

        self.set_each(self.sums, [self.zero] * self.vectors)
        with builder.if_then(self.starts):
            self.set_each(self.sums, self.read(builder.gep(self.initial, [builder.mul(n, self.initial_step)])))
        self.loop(lambda: self.has_pair(p, end), multiply_add)
        out = builder.gep(self.out, [builder.mul(n, self.out_step)])
        with builder.if_then(self.adds):
            self.add_each(self.sums, self.read(out))
        self.write([builder.load(one) for one in self.sums], out)


def _function(module: Any, vector: Any, vectors: int) -> Any:
    """The function of a module that takes rows of so many vectors, or of a part of one for 0."""
    name = f"fastnn.lists.{vector.element}.{vectors}"
    if name in module.globals:
        return module.globals[name]
    pointer, integers = vector.element.as_pointer(), _INDEX.as_pointer()
    of_lists, matrix = [pointer, integers, integers, *[_INDEX] * 3], [pointer, _INDEX]
    arguments = [*of_lists, *matrix, *matrix, _BOOL, *matrix, _BOOL]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("nounwind")
    _Making(function, vector, vectors).build()
    return function


def _lower_multiply_lists(context: Any, width: Any, lists: Any, limit: Any, right: Any, initial: Any, out: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        operands = [cgutils.unpack_tuple(builder, args[i], len(signature.args[i])) for i in (1, 3, 4, 5)]
        vectors_of = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(lists.types[:3], operands[0][:3], strict=True)
        ]
        vector = context.get_value_type(simd.Vector(lists[0].dtype))
        lanes = ir.Constant(_INDEX, vector.count)
        vectors = builder.sdiv(builder.add(args[0], ir.Constant(_INDEX, vector.count - 1)), lanes)
        is_part = builder.icmp_signed("<", args[0], lanes)
        last = builder.select(is_part, args[0], builder.sub(args[0], lanes))
        vectors = builder.select(is_part, ir.Constant(_INDEX, 0), vectors)
        given = [*vectors_of, operands[0][3], args[2], last]
        for kind, values in zip(signature.args[3:], operands[1:], strict=True):
            given += [simd.pointer_to(context, builder, kind[0], values[0], values[1]), *values[2:]]
        for count in range(MOST_VECTORS + 1):
            with builder.if_then(builder.icmp_signed("==", vectors, ir.Constant(_INDEX, count))):
                builder.call(_function(builder.module, vector, count), given)
        return context.get_dummy_value()

    return types.void(width, lists, limit, right, initial, out), codegen


@simd.lowered(_lower_multiply_lists)
def multiply_lists(width: int, lists: Any, limit: int, right: Any, initial: Any, out: Any) -> None:
    """Compute `width` columns, at most MOST_VECTORS vectors, of the product of lists, one a row, and a matrix.

    lists: (pairs, cursors, ends, how many), of whose pairs the ones from the cursors on with numbers below the limit
    are taken, in one chain; the cursors go on behind them. right: (vector, start, step between its rows); initial, with
    which the rows begin: (vector, start, step between them, whether there are any); out: as right, and whether to add
    to it.
    """
    pairs, cursors, ends, rows = lists
    columns, flat = np.arange(width), right[0].reshape(-1)
    for n in range(rows):
        sums, p = np.zeros(width, pairs.dtype), cursors[n]
        if initial[3]:
            sums = initial[0][initial[1] + n * initial[2] + columns]
        while p < ends[n] and number_of(pairs, p) < limit:
            sums = pairs[2 * p] * flat[right[1] + number_of(pairs, p) * right[2] + columns] + sums
            p += 1
        cursors[n], places = p, out[1] + n * out[2] + columns
        out[0][places] = sums + out[0][places] if out[3] else sums
