"""One panel of a matrix product, tile by tile, in LLVM IR.

Numba's own compilation of these loops, once for each shape of tile, took a tenth of the time to a first training step.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastnn.kernels import processor, simd
from fastnn.kernels.loops import INDEX, Builder, internal_function

# Tiles are two vectors wide and have as many rows as the registers hold: rows x vectors accumulators, the vectors of
# the right operand, and one for the left element. Wider tiles of fewer rows read the right operand from the
# second-level cache faster than it delivers. The remaining rows are taken by lower tiles. One or two rows, with fewer
# chains than an FMA takes cycles, take more vectors if no panel is copied.
MAX_VECTORS = 2
ROWS = 12 if processor.REGISTERS == 32 else 6
FEW_ROWS = 4
ROW_VECTORS = 4  # of tiles of one or two rows
# The heights of the tiles of each width in vectors, in the order in which they take the rows.
_HEIGHTS = {1: (ROWS, FEW_ROWS, 1), 2: (ROWS, *((8,) if ROWS > 8 else ()), FEW_ROWS, 2, 1), ROW_VECTORS: (2, 1)}
# Filters of an image are few: 6 of them, or what is left of 30 by 12, would be two tiles.
_HEIGHTS_BY_TABLE = {
    width: (*heights[:2], 6, *heights[2:]) if ROWS > 8 and width == 2 else heights
    for width, heights in _HEIGHTS.items()
}
_BOOL = ir.IntType(1)


class _Tile(Builder):
    """A function in the making, which computes the rows of a panel in tiles of one height."""

    def __init__(self, function: Any, height: int, vector: Any, vectors: int) -> None:
        (self.left, self.left_row, self.left_step, self.right, self.right_step, self.chain, self.depth,
         self.initial, self.initial_row, self.has_initial, self.out, self.out_row, self.count, self.resume, self.tiles,
         *table) = function.args  # fmt: skip
        super().__init__(function, vector)
        self.height, self.vectors = height, vectors
        self.table = table[0] if table else None  # of the places of both operands for each step in depth
        self.mask = simd.first_lanes(self.builder, vector, self.count)
        self.zero = ir.Constant(vector, None)
        self.sums = [[self.variable(self.zero) for _ in range(vectors)] for _ in range(height)]

    def row(self, pointer: Any) -> list[Any]:
        """Read adjacent vectors; only the first `count` elements of the last one."""
        masks = [None] * (self.vectors - 1) + [self.mask]
        places = [self.builder.gep(pointer, [self.number(v * self.vector.count)]) for v in range(self.vectors)]
        return [
            simd.load(self.builder, place, self.vector, self.size, mask)
            for place, mask in zip(places, masks, strict=True)
        ]

    def multiply_add(self, at_left: Any, at_right: Any) -> None:
        """Build one step in depth: sums[r] = fma(left[r], right, sums[r])."""
        builder = self.builder
        place, left = builder.load(at_right), builder.load(at_left)
        if self.table is not None:
            entry = builder.gep(self.table, [builder.mul(place, self.number(2))])
            left = builder.add(left, builder.load(entry))
            place = builder.load(builder.gep(entry, [self.number(1)]))
        values = self.row(builder.gep(self.right, [place]))
        pointer = builder.gep(self.left, [left])
        for r, sums in enumerate(self.sums):
            pointer = builder.gep(pointer, [self.left_row]) if r else pointer
            factor = simd.splat(builder, builder.load(pointer), self.vector.count)
            for value, total in zip(values, sums, strict=True):
                builder.store(simd.multiply_add_of(builder, factor, value, builder.load(total)), total)
        self.add_to(at_left, self.left_step)
        self.add_to(at_right, self.right_step)

    def begin(self, pointer: Any) -> None:
        """Build: begin the sums with what they are to begin with, or with 0."""
        builder = self.builder
        for sums in self.sums:
            for total in sums:
                builder.store(self.zero, total)
        with builder.if_then(self.has_initial):
            for sums in self.sums:
                for value, total in zip(self.row(pointer), sums, strict=True):
                    builder.store(value, total)
                pointer = builder.gep(pointer, [self.initial_row])

    def store(self, pointer: Any, adds: Any) -> None:
        """Build: add to the sums the elements at a place, if a flag says so, then store the sums there."""
        builder = self.builder
        rows = [builder.gep(pointer, [builder.mul(self.out_row, self.number(r))]) for r in range(self.height)]
        with builder.if_then(adds):
            for place, sums in zip(rows, self.sums, strict=True):
                for value, total in zip(self.row(place), sums, strict=True):
                    builder.store(builder.fadd(builder.load(total), value), total)
        values = [[builder.load(total) for total in sums] for sums in self.sums]
        simd.store_rows(builder, values, rows, self.size, self.count)

    def build(self) -> None:
        """Build the loop over tiles, one below the other, and over the chains of each."""
        builder = self.builder
        end, length = (builder.mul(steps, self.right_step) for steps in (self.depth, self.chain))
        at_tile, at_left, at_right, at_initial, at_out, done = (self.variable(self.number(0)) for _ in range(6))
        adds = self.variable(self.resume)
        with self.while_below(self.tiles, done):
            self.begin(builder.gep(self.initial, [builder.load(at_initial)]))
            builder.store(builder.load(at_tile), at_left)
            builder.store(self.number(0), at_right)
            builder.store(self.resume, adds)
            with self.while_below(end, at_right):
                chain_end = self.least(end, builder.add(builder.load(at_right), length))
                with self.while_below(chain_end, at_right):
                    self.multiply_add(at_left, at_right)
                self.store(builder.gep(self.out, [builder.load(at_out)]), builder.load(adds))
                for sums in self.sums:
                    for total in sums:
                        builder.store(self.zero, total)
                builder.store(ir.Constant(_BOOL, 1), adds)
            for place, row in ((at_out, self.out_row), (at_tile, self.left_row), (at_initial, self.initial_row)):
                self.add_to(place, builder.mul(row, self.number(self.height)))
            self.add_to(done, self.number(1))
        builder.ret_void()


def _tile_function(module: Any, vector: Any, height: int, vectors: int, by_table: bool) -> Any:
    """The function of a module that computes rows of a panel in tiles of this shape."""
    name = f"fastnn.tile.{vector.element}.{height}.{vectors}{'.table' if by_table else ''}"
    if name in module.globals:
        return module.globals[name]
    pointer = vector.element.as_pointer()
    arguments = [pointer, *[INDEX] * 2, pointer, *[INDEX] * 3, pointer, INDEX, _BOOL, pointer, *[INDEX] * 2]
    arguments += [_BOOL, INDEX, *[INDEX.as_pointer()] * by_table]
    function = internal_function(module, name, arguments)
    _Tile(function, height, vector, vectors).build()
    return function


def _lowered(heights_of: Any, *kinds: Any) -> Any:
    """The typing of a panel; kinds: of its arguments, the eighth of which, if any, is a table."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        operands = [cgutils.unpack_tuple(builder, args[i], len(signature.args[i])) for i in range(2, 6)]
        arrays = [
            simd.pointer_to(context, builder, kind[0], values[0], values[1])
            for kind, values in zip(signature.args[2:6], operands, strict=True)
        ]
        _, _, left_row, left_step = operands[0]
        _, _, right_step, chain = operands[1]
        _, _, initial_row, has_initial = operands[2]
        _, _, out_row, count, resume = operands[3]
        vector = context.get_value_type(simd.Vector(signature.args[2][0].dtype))
        zero = ir.Constant(INDEX, 0)
        table = [simd.pointer_to(context, builder, kind, args[7], zero) for kind in signature.args[7:]]

        def tiles(height: int, width: int, done: Any, number: Any) -> None:
            """Call the function for `number` tiles below the rows that are done."""
            at_left, at_initial, at_out = (
                builder.gep(pointer, [builder.mul(step, done)])
                for pointer, step in ((arrays[0], left_row), (arrays[2], initial_row), (arrays[3], out_row))
            )
            of_right = [arrays[1], right_step, chain, args[1], at_initial, initial_row, has_initial]
            of_out = [at_out, out_row, count, resume]
            function = _tile_function(builder.module, vector, height, width, bool(table))
            builder.call(function, [at_left, left_row, left_step, *of_right, *of_out, number, *table])

        for width, heights in heights_of.items():
            with builder.if_then(builder.icmp_signed("==", args[0], ir.Constant(INDEX, width))):
                done: Any = ir.Constant(INDEX, 0)
                for height in heights:
                    step = ir.Constant(INDEX, height)
                    number = builder.sdiv(builder.sub(args[6], done), step)
                    with builder.if_then(builder.icmp_signed(">", number, ir.Constant(INDEX, 0))):
                        tiles(height, width, done, number)
                    done = builder.add(done, builder.mul(number, step))
        return context.get_dummy_value()

    return types.void(*kinds), codegen


@simd.lowered(
    lambda context, vectors, depth, left, right, initial, out, rows: _lowered(
        _HEIGHTS, vectors, depth, left, right, initial, out, rows
    )
)
def panel(vectors: int, depth: int, left: Any, right: Any, initial: Any, out: Any, rows: int) -> None:
    """Compute all rows of one panel of 1, 2 or 4 vectors, the last of which is for fewer than FEW_ROWS rows.

    left is (array, start, step between rows, step in depth); right is (array, start, step in depth, steps of a chain);
    initial is (array, start, step between rows, whether there is any: the numbers that the first chains begin with);
    out is (array, start, step between rows, elements of the last vector, whether to add to what is there). The indices
    are intp.
    """
    left_array, start, row, step = left
    right_array, right_start, right_step, chain = right
    initial_array, initial_start, initial_row, has_initial = initial
    out_array, out_start, out_row, count, adds = out
    i = np.arange(rows)
    columns = np.arange((vectors - 1) * simd.lanes(right_array) + count)
    factors, values, result = left_array.reshape(-1), right_array.reshape(-1), out_array.reshape(-1)
    places = out_start + i[:, None] * out_row + columns
    total = np.zeros(places.shape, out_array.dtype)
    if has_initial:
        total += initial_array.reshape(-1)[initial_start + i[:, None] * initial_row + columns]
    for begin in range(0, depth, chain):
        for k in range(begin, min(depth, begin + chain)):
            total = (
                factors[start + i * row + k * step][:, None] * values[right_start + k * right_step + columns] + total
            )
        result[places] = result[places] + total if adds else total
        total, adds = np.zeros_like(total), True


@simd.lowered(
    lambda context, vectors, depth, left, right, initial, out, rows, table: _lowered(
        _HEIGHTS_BY_TABLE, vectors, depth, left, right, initial, out, rows, table
    )
)
def panel_by_table(
    vectors: int, depth: int, left: Any, right: Any, initial: Any, out: Any, rows: int, table: Any
) -> None:
    """As `panel`, but step k in depth reads the operands from table[2 k] and table[2 k + 1] on, of integers.

    The left operand's own step is 0, the right one's 1.
    """
    (left_array, left_start, row, _), (right_array, right_start, _, chain) = left, right
    columns = np.arange((vectors - 1) * simd.lanes(right_array) + out[3])
    factors = left_array.reshape(-1)[left_start + np.arange(rows)[:, None] * row + table[: 2 * depth : 2]]
    copied = right_array.reshape(-1)[right_start + table[1 : 2 * depth : 2, None] + columns]
    operands = (factors.reshape(-1), 0, depth, 1), (copied.reshape(-1), 0, columns.size, chain)
    panel(vectors, depth, *operands, initial, out, rows)
