"""The update of a matrix by the outer product of one sample's x and dy, and the next sample's product with the result.

The matrix is taken in panels of a few vectors of columns, row after row. The last vector of a panel ends with it and
overlaps the one before it: all are read before the first is stored, so both compute the same. A masked store in its
place would hold up the next row's loads, as the processor takes it for a store of the whole vector: 784 x 50 took 8 us,
and takes 3.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastnn.kernels import simd
from fastnn.kernels.compile import kernel
from fastnn.kernels.matmul import DEEP, chain_of
from fastnn.kernels.processor import VECTOR_BYTES
from fastnn.kernels.views import elements, part

VECTORS = 4  # of a panel
ROW_BLOCK = 64  # rows of a wide matrix that are taken through all panels at once, as they lie in the cache
MOST_PANELS = 4  # of a matrix that is multiplied by the next sample, which takes all rows of a panel at once
_INDEX = ir.IntType(64)


class _Panel:
    """The code of one panel in the making."""

    def __init__(self, context: Any, builder: Any, kinds: Any, args: Any) -> None:
        self.builder, self.dtype, self.zero = builder, kinds[0].dtype, ir.Constant(_INDEX, 0)
        self.vector = context.get_value_type(simd.Vector(self.dtype))
        self.params, self.x, self.dy, self.ahead, self.bias, self.y = (
            simd.pointer_to(context, builder, kinds[i], args[i], self.zero) for i in (0, 1, 2, 6, 7, 8)
        )
        self.rows, self.stride, following = (
            context.make_array(kinds[i])(context, builder, args[i]).nitems for i in (1, 2, 6)
        )
        self.goes_ahead = builder.icmp_signed("!=", following, self.zero)
        self.rate, (begin, size), self.chain = simd.splat(builder, args[3], self.vector.count), args[4:6], args[9]
        last, self.columns = builder.sub(size, ir.Constant(_INDEX, self.vector.count)), []
        for number in range(VECTORS):
            column = self.least(ir.Constant(_INDEX, number * self.vector.count), last)
            self.columns.append(builder.add(begin, column))
        self.slopes = self.row_at(self.dy)
        none = [ir.Constant(self.vector, None)] * VECTORS
        self.values, self.sums = ([cgutils.alloca_once_value(builder, one) for one in none] for _ in range(2))

    def least(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def row_at(self, pointer: Any) -> list[Any]:
        places = [self.builder.gep(pointer, [column]) for column in self.columns]
        return [simd.load(self.builder, place, self.vector, self.dtype.bitwidth // 8) for place in places]

    def store(self, values: list[Any], pointer: Any) -> None:
        for value, column in zip(values, self.columns, strict=True):
            place = self.builder.bitcast(self.builder.gep(pointer, [column]), self.vector.as_pointer())
            self.builder.store(value, place).align = self.dtype.bitwidth // 8

    def keep(self, values: list[Any], variables: list[Any]) -> None:
        for value, variable in zip(values, variables, strict=True):
            self.builder.store(value, variable)

    def kept(self, variables: list[Any]) -> list[Any]:
        return [self.builder.load(variable) for variable in variables]

    def build_row(self, i: Any) -> None:
        """Build the update of row i and, going ahead, the addition of its products."""
        builder = self.builder
        row, factor = builder.gep(self.params, [builder.mul(i, self.stride)]), builder.load(builder.gep(self.x, [i]))
        before = self.row_at(row)
        self.keep(before, self.values)
        with builder.if_then(builder.fcmp_unordered("!=", factor, ir.Constant(factor.type, 0.0))):
            factors = simd.splat(builder, factor, self.vector.count)
            gradients = [builder.fmul(factors, slope) for slope in self.slopes]
            after = [builder.fsub(a, builder.fmul(self.rate, b)) for a, b in zip(before, gradients, strict=True)]
            self.store(after, row)
            self.keep(after, self.values)
        with builder.if_then(self.goes_ahead):
            factors = simd.splat(builder, builder.load(builder.gep(self.ahead, [i])), self.vector.count)
            pairs = zip(self.kept(self.values), self.kept(self.sums), strict=True)
            self.keep([simd.multiply_add_of(builder, factors, *pair) for pair in pairs], self.sums)

    def build(self) -> None:
        """Build the loop over the chains of the product and over the rows of each."""
        builder = self.builder
        with builder.if_then(self.goes_ahead):
            self.keep(self.row_at(self.bias), self.sums)
        with cgutils.for_range_slice(builder, self.zero, self.rows, self.chain) as (start, _):
            end = self.least(builder.add(start, self.chain), self.rows)
            with cgutils.for_range_slice(builder, start, end, ir.Constant(_INDEX, 1)) as (i, _):
                self.build_row(i)
            with builder.if_then(self.goes_ahead):
                with builder.if_then(builder.icmp_signed("!=", start, self.zero)):
                    pairs = zip(self.kept(self.sums), self.row_at(self.y), strict=True)
                    self.keep([builder.fadd(*pair) for pair in pairs], self.sums)
                self.store(self.kept(self.sums), self.y)
                self.keep([ir.Constant(self.vector, None)] * VECTORS, self.sums)


# Eleven parameters, like `_panel`: an intrinsic takes what it needs one by one.
def _lower_panel(
    context: Any, params: Any, x: Any, dy: Any, rate: Any, begin: Any, size: Any, ahead: Any, bias: Any, y: Any,
    chain: Any,
) -> Any:  # fmt: skip
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _Panel(context, builder, signature.args, args).build()
        return context.get_dummy_value()

    numbers = types.intp, types.intp
    return types.void(params, x, dy, rate, *numbers, ahead, bias, y, types.intp), codegen


@simd.lowered(_lower_panel)
def _panel(
    params: Any, x: Any, dy: Any, rate: Any, begin: int, size: int, ahead: Any, bias: Any, y: Any, chain: int
) -> None:
    """Take columns [begin, begin + size), at least a vector and at most VECTORS of them; see `descend_by_one_sample`.

    params: the elements of whole rows. chain: steps in depth of a chain of the product.
    """
    matrix, columns = params.reshape(x.size, dy.size), slice(begin, begin + size)
    for n in np.flatnonzero(x):
        matrix[n, columns] -= rate * (x[n] * dy[columns])
    for start in range(0, ahead.size, chain):
        total = bias[columns].copy() if start == 0 else np.zeros_like(bias[columns])
        for i in range(start, min(ahead.size, start + chain)):
            total = simd.fma(ahead[i], matrix[i, columns], total)
        y[columns] = total if start == 0 else total + y[columns]


@kernel
def takes_ahead(rows: int, columns: int, item: int) -> bool:
    """Whether `descend_by_one_sample` can multiply a matrix of so many columns; item: the bytes of an element."""
    return rows <= DEEP and VECTOR_BYTES <= columns * item <= MOST_PANELS * VECTORS * VECTOR_BYTES


@kernel
def descend_by_one_sample(params: Any, x: Any, dy: Any, rate: Any, ahead: Any, bias: Any, y: Any) -> None:
    """params -= rate * (x^T dy), rounded as in the product and `descend`. params (rows, H), x (rows,), dy (H,).

    A row whose x is 0 keeps its values, so dy must be finite. Then y (H,) = ahead params + bias, as matmul.multiply
    computes it: in a run of steps, the next sample's product reads the same rows. ahead (rows,), or empty to leave that
    out; it needs `takes_ahead`. y may be x's outputs; the rest is distinct.
    """
    rows, columns = params.shape
    width = VECTORS * simd.lanes(params)
    if columns < simd.lanes(params):
        for i in range(rows):
            if x[i] != x.dtype.type(0.0):
                for j in range(columns):
                    params[i, j] -= rate * (x[i] * dy[j])
        return
    flat, panels = elements(params), (columns + width - 1) // width
    height = max(1, rows if ahead.size > 0 or panels == 1 else ROW_BLOCK)
    for i in range(0, rows, height):
        count = min(height, rows - i)
        some, factors = part(flat, i * columns, count * columns), part(x, i, count)
        for number in range(panels):
            begin, end = columns * number // panels, columns * (number + 1) // panels
            _panel(some, factors, dy, rate, begin, end - begin, ahead, bias, y, chain_of(count))
