"""One tile of the gradient of filters in LLVM IR: sums of products over the places of images.

Lanes are places here, while a product's tile (tiles.py) has columns of its result there: a filter has few weights, but
meets hundreds of places.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastnn.kernels import processor, simd
from fastnn.kernels.compile import kernel
from fastnn.kernels.loops import INDEX, Builder, internal_function

TAPS = 4  # weights of each filter that a tile takes at once
# Bytes of a vector of sums. On processors with narrower registers it lies in several, so that the bits are the same.
BYTES = 64
# Filters that it takes at once, in the order in which they are tried: each has TAPS sums in registers, and so many
# vectors are read beside them.
HEIGHTS = (6, 4, 2, 1) if processor.VECTOR_BYTES == BYTES else (1,)
_LANE = ir.IntType(32)


def _vector(context: Any, dtype: types.Type) -> ir.VectorType:
    """A vector of sums."""
    return ir.VectorType(context.get_value_type(dtype), 8 * BYTES // dtype.bitwidth)


@kernel
def height_of(filters: int) -> int:
    """How many of so many filters the next tile takes."""
    for height in HEIGHTS:
        if height <= filters:
            return height
    return 0


class _Correlation(Builder):
    """A function in the making, which adds up products of `height` filters' gradients and TAPS shifted images."""

    def __init__(self, function: Any, height: int, vector: Any) -> None:
        (self.dy, self.dy_row, self.dy_image, self.x, self.x_image, self.taps, self.images, self.count, self.sums,
         ) = function.args  # fmt: skip
        super().__init__(function, vector)
        self.height = height
        self.mask = simd.first_lanes(self.builder, vector, self.builder.srem(self.count, self.number(vector.count)))

    def places(self) -> list[Any]:
        """The addresses of all sums."""
        numbers = range(0, self.height * TAPS * self.vector.count, self.vector.count)
        return [self.builder.gep(self.sums, [self.number(i)]) for i in numbers]

    def read(self, pointer: Any, mask: Any) -> Any:
        return simd.load(self.builder, pointer, self.vector, self.size, mask)

    def add(self, totals: list[Any], gradients: list[Any], images: list[Any], at: Any, mask: Any) -> None:
        """Build one step: the products of a vector of places."""
        builder = self.builder
        values = [self.read(builder.gep(image, [builder.load(at)]), mask) for image in images]
        for r, gradient in enumerate(gradients):
            factor = self.read(builder.gep(gradient, [builder.load(at)]), mask)
            for total, value in zip(totals[TAPS * r : TAPS * (r + 1)], values, strict=True):
                builder.store(simd.multiply_add_of(builder, factor, value, builder.load(total)), total)

    def build(self) -> None:
        """Build the loops over images and over the places of each."""
        builder, lanes = self.builder, self.number(self.vector.count)
        totals = [self.variable(self.read(place, None)) for place in self.places()]
        offsets = [builder.load(builder.gep(self.taps, [self.number(t)])) for t in range(TAPS)]
        whole = builder.mul(builder.sdiv(self.count, lanes), lanes)
        done, at_dy, at_x, at = (self.variable(self.number(0)) for _ in range(4))
        with self.while_below(self.images, done):
            first = builder.load(at_dy)
            rows = [builder.add(first, builder.mul(self.dy_row, self.number(r))) for r in range(self.height)]
            gradients = [builder.gep(self.dy, [row]) for row in rows]
            images = [builder.gep(self.x, [builder.add(builder.load(at_x), offset)]) for offset in offsets]
            builder.store(self.number(0), at)
            with self.while_below(whole, at):
                self.add(totals, gradients, images, at, None)
                self.add_to(at, lanes)
            with builder.if_then(builder.icmp_signed("<", whole, self.count)):
                self.add(totals, gradients, images, at, self.mask)
            self.add_to(at_dy, self.dy_image)
            self.add_to(at_x, self.x_image)
            self.add_to(done, self.number(1))
        for total, place in zip(totals, self.places(), strict=True):
            simd.store(builder, builder.load(total), place, self.size)
        builder.ret_void()


def _function(module: Any, vector: Any, height: int) -> Any:
    """The function of a module that correlates so many filters."""
    name = f"fastnn.correlation.{vector.element}.{height}"
    if name in module.globals:
        return module.globals[name]
    pointer = vector.element.as_pointer()
    arguments = [pointer, INDEX, INDEX, pointer, INDEX, INDEX.as_pointer(), INDEX, INDEX, pointer]
    function = internal_function(module, name, arguments)
    _Correlation(function, height, vector).build()
    return function


def _lower_correlate(
    context: Any, height: Any, gradients: Any, images: Any, taps: Any, size: Any, sums: Any, at: Any
) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dy, dy_start, dy_row, dy_image = cgutils.unpack_tuple(builder, args[1], 4)
        x, x_start, x_image = cgutils.unpack_tuple(builder, args[2], 3)
        table, first = cgutils.unpack_tuple(builder, args[3], 2)
        number, count = cgutils.unpack_tuple(builder, args[4], 2)
        kinds = signature.args
        dy = simd.pointer_to(context, builder, kinds[1][0], dy, dy_start)
        x = simd.pointer_to(context, builder, kinds[2][0], x, x_start)
        table = simd.pointer_to(context, builder, kinds[3][0], table, first)
        result = simd.pointer_to(context, builder, kinds[5], args[5], args[6])
        vector = _vector(context, kinds[1][0].dtype)
        for one in HEIGHTS:
            with builder.if_then(builder.icmp_signed("==", args[0], ir.Constant(INDEX, one))):
                function = _function(builder.module, vector, one)
                builder.call(function, [dy, dy_row, dy_image, x, x_image, table, number, count, result])
        return context.get_dummy_value()

    return types.void(types.intp, gradients, images, taps, size, sums, types.intp), codegen


@simd.lowered(_lower_correlate)
def correlate(height: int, gradients: Any, images: Any, taps: Any, size: Any, sums: Any, at: int) -> None:
    """Add to the sums of `height` filters and TAPS weights, a vector each from sums[at] on, products over all places.

    gradients is (array, start, step between filters, step between images); images is (array, start, step between
    them); taps is (array, start): the distance of each weight's places from the image's start; size is (images, places
    of each). Element l of a vector adds up the places l, l + lanes, ... of each image. The indices are intp.
    """
    (dy, dy_start, dy_row, dy_image), (x, x_start, x_image) = gradients, images
    (table, first), (number, count) = taps, size
    lanes = BYTES // dy.itemsize
    for n in range(number):
        for r in range(height):
            for t in range(TAPS):
                start = x_start + n * x_image + table[first + t]
                begin = dy_start + n * dy_image + r * dy_row
                place = at + (r * TAPS + t) * lanes
                for p in range(0, count, lanes):
                    width = min(lanes, count - p)
                    terms = dy[begin + p : begin + p + width] * x[start + p : start + p + width]
                    sums[place : place + width] += terms


def _lower_sum_of_lanes(context: Any, array: Any, start: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _vector(context, array.dtype)
        pointer = simd.pointer_to(context, builder, array, args[0], args[1])
        sums = simd.load(builder, pointer, vector, array.dtype.bitwidth // 8)
        while sums.type.count > 1:
            lanes = range(0, sums.type.count, 2)
            halves = [ir.Constant(ir.VectorType(_LANE, len(lanes)), [lane + i for lane in lanes]) for i in (0, 1)]
            sums = builder.fadd(*(builder.shuffle_vector(sums, sums, numbers) for numbers in halves))
        return builder.extract_element(sums, ir.Constant(_LANE, 0))

    return array.dtype(array, types.intp), codegen


@simd.lowered(_lower_sum_of_lanes)
def sum_of_lanes(array: Any, start: int) -> Any:
    """The sum of a vector from array[start] on: of pairs, then of pairs of these, and so on."""
    sums = array[start : start + BYTES // array.itemsize]
    while sums.size > 1:
        sums = sums[::2] + sums[1::2]
    return sums[0]
