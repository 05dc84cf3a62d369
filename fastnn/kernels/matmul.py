"""Matrix products: a b (+ bias), a^T b and a b^T over C-contiguous matrices. Imports compile and simd.

The output is computed tile by tile: a few rows by a few vectors of columns, kept in registers while one loop runs
over the depth (the summed dimension) and adds, per step, a column of the left operand times a row of the right one.
Around it: a panel is as many columns as the widest tile, a block as many steps in depth as keep a panel in the cache.
Operands are copied only where their rows lie far apart and the copy serves many tiles.

Each element of an output is the chain fma(..., fma(left[1], right[1], fma(left[0], right[0], start))) in order of
depth, whatever tile, panel, block or thread computes it. Rows and columns may therefore be split in any way without
changing a bit.

Reference: F. Van Zee, R. van de Geijn, BLIS: A Framework for Rapidly Instantiating BLAS Functionality, ACM TOMS
41(3), 2015.
"""

from typing import Any

import numpy as np

from fastnn.kernels import simd
from fastnn.kernels.compile import kernel

# Tiles as wide as the columns need, then as many rows as the registers hold: rows x vectors accumulators, one vector
# for each of the right operand's, one for the left element. The widest reached 175 of 180 GFLOP/s in float32
# (AVX-512, one core).
MAX_VECTORS = 4 if simd.REGISTERS == 32 else 2
ROWS_1, ROWS_2, ROWS_3, ROWS_4 = (16, 12, 8, 6) if simd.REGISTERS == 32 else (8, 6, 4, 3)
FEW_ROWS = 4  # for what remains of the rows, before single ones
PANEL_COLUMNS = MAX_VECTORS * simd.VECTOR_BYTES // 4  # of the widest tile, in float32
DEPTH_BLOCK = 1024  # steps in depth taken at once, so that a panel of the right operand stays in the second-level cache
PACK_ROWS = 24  # rows for which copying a panel of a wider matrix pays
ROW_BLOCK = 4 * PANEL_COLUMNS  # rows whose left operand, transposed, is copied at once


def scratch_size(depth: int, columns: int, transposed: str = "") -> int:
    """Elements of scratch for a product of this depth and so many columns of c; transposed: "", "left" or "right"."""
    wide = columns > PANEL_COLUMNS // 2  # float64 has half the columns
    panel = PANEL_COLUMNS if wide or transposed == "right" else 0
    block = ROW_BLOCK if wide and transposed == "left" else 0
    return min(depth, DEPTH_BLOCK) * (panel + block)


@kernel
def share(count: int, part: int, parts: int) -> int:
    """Where part number `part` begins when `count` rows are shared among `parts`, in multiples of 4.

    So at most one part has rows that fill no tile.
    """
    return min(count, (count * part // parts + 3) // 4 * 4)


@kernel
def _tile_rows(
    tile: Any,
    single: Any,
    depth: int,
    left: Any,
    right: Any,
    initial: Any,
    out: Any,
    first: int,
    last: int,
    resume: bool,
) -> int:
    """Compute the rows of one panel from `first` on, as long as whole tiles of this height fit before `last`.

    left is (array, start, step between rows, step in depth); right is (array, start, step in depth, mask of the last
    vector); out is (array, start, step between rows); initial is a row of vectors. Returns the first row not done.
    """
    left_array, left_start, left_row, left_depth = left
    right_array, right_start, right_depth, mask = right
    out_array, out_start, out_row = out
    height = len(tile)
    while first + height <= last:
        total = simd.fill_tile(tile, initial)
        if resume:
            total = simd.load_tile(tile, out_array, out_start + first * out_row, out_row, mask)
        at_left, at_right = left_start + first * left_row, right_start
        for _ in range(depth):
            row = simd.load_tile(single, right_array, at_right, 0, mask)
            total = simd.multiply_add(total, row, left_array, at_left, left_row)
            at_left += left_depth
            at_right += right_depth
        simd.store_tile(total, out_array, out_start + first * out_row, out_row, mask)
        first += height
    return first


@kernel
def _panel(
    tall: Any, low: Any, single: Any, depth: int, left: Any, right: Any, bias: Any, out: Any, rows: Any, resume: bool
) -> None:
    """All rows (first, last) of one panel, in tiles of three heights.

    bias is (array, start), without effect when empty.
    """
    bias_array, bias_start = bias
    initial = single
    if bias_array.size > 0:
        initial = simd.load_tile(single, bias_array, bias_start, 0, right[3])
    first, last = rows
    first = _tile_rows(tall, single, depth, left, right, initial, out, first, last, resume)
    first = _tile_rows(low, single, depth, left, right, initial, out, first, last, resume)
    _tile_rows(single, single, depth, left, right, initial, out, first, last, resume)


@kernel
def _columns(width: int, depth: int, left: Any, right: Any, bias: Any, out: Any, rows: Any, resume: bool) -> None:
    """One panel of `width` columns; right and out are (array, start, step), as in _tile_rows without the mask."""
    array, start, step = right
    lanes = simd.lanes(array)
    vectors = (width + lanes - 1) // lanes
    masked = (array, start, step, simd.mask(array, width - (vectors - 1) * lanes))
    if vectors == 1:
        tall, low = simd.zero_tile(array, ROWS_1, 1), simd.zero_tile(array, FEW_ROWS, 1)
        _panel(tall, low, simd.zero_tile(array, 1, 1), depth, left, masked, bias, out, rows, resume)
    elif vectors == 2:
        tall, low = simd.zero_tile(array, ROWS_2, 2), simd.zero_tile(array, FEW_ROWS, 2)
        _panel(tall, low, simd.zero_tile(array, 1, 2), depth, left, masked, bias, out, rows, resume)
    elif MAX_VECTORS == 4 and vectors == 3:
        tall, low = simd.zero_tile(array, ROWS_3, 3), simd.zero_tile(array, FEW_ROWS, 3)
        _panel(tall, low, simd.zero_tile(array, 1, 3), depth, left, masked, bias, out, rows, resume)
    elif MAX_VECTORS == 4:
        tall, low = simd.zero_tile(array, ROWS_4, 4), simd.zero_tile(array, FEW_ROWS, 4)
        _panel(tall, low, simd.zero_tile(array, 1, 4), depth, left, masked, bias, out, rows, resume)


@kernel
def _copy(source: Any, target: Any, width: int, depth: int) -> None:
    """Copy the first `width` elements of `depth` rows into rows as long as the widest tile.

    source: (vector, start, step between its rows).
    """
    array, start, step = source
    lanes = simd.lanes(array)
    stride = MAX_VECTORS * lanes
    vectors = (width + lanes - 1) // lanes
    mask = simd.mask(array, width - (vectors - 1) * lanes)
    full = simd.mask(array, lanes)
    one = simd.zero_tile(array, 1, 1)
    for k in range(depth):
        for v in range(vectors):
            m = mask if v == vectors - 1 else full
            row = simd.load_tile(one, array, start + k * step + v * lanes, 0, m)
            simd.store_tile(row, target, k * stride + v * lanes, 0, full)


@kernel
def _copy_transposed(source: Any, target: Any, width: int, depth: int) -> None:
    """Copy the first `depth` elements of `width` rows as columns into rows as long as the widest tile.

    source: (vector, start, step between its rows).
    """
    array, start, step = source
    lanes = simd.lanes(array)
    stride = MAX_VECTORS * lanes
    whole_width, whole_depth = width // lanes * lanes, depth // lanes * lanes
    for i in range(0, whole_width, lanes):
        for k in range(0, whole_depth, lanes):
            simd.transpose(array, start + i * step + k, step, target, k * stride + i, stride)
    for i in range(width):
        for k in range(whole_depth if i < whole_width else 0, depth):
            target[k * stride + i] = array[start + i * step + k]


@kernel
def _product(left: Any, right: Any, bias: Any, c: Any, scratch: Any) -> None:
    """c (M, N), block by block in depth, rows and columns; operands are copied where that pays.

    left: (vector, step between rows, step in depth, whether transposed); right: (vector, depth, step between rows of
    the matrix as it lies in memory, whether transposed).
    """
    rows, columns = c.shape
    if rows == 0:
        return
    left_array, left_row, left_step, left_transposed = left
    right_array, depth, right_step, transposed = right
    zero, unit = np.intp(0), np.intp(1)  # a literal in a tuple would be a type of its own, compiled once more
    width = MAX_VECTORS * simd.lanes(c)
    copy_left = left_transposed and columns > width
    copy_right = transposed or (columns > width and rows >= PACK_ROWS)
    height = ROW_BLOCK if copy_left else rows
    flat, block = c.reshape(c.size), scratch[min(depth, DEPTH_BLOCK) * width if copy_right else 0 :]
    for k in range(0, depth, DEPTH_BLOCK):
        steps = min(DEPTH_BLOCK, depth - k)
        for i in range(0, rows, height):
            last = min(rows, i + height)
            if copy_left:
                for v in range(i, last, width):
                    source = (left_array, k * left_step + v, left_step)
                    _copy(source, block[(v - i) * steps :], min(width, last - v), steps)
            for j in range(0, columns, width):
                panel_width = min(width, columns - j)
                operand: Any = (right_array, k * right_step + j, right_step)
                if copy_right:
                    if transposed:
                        _copy_transposed((right_array, j * right_step + k, right_step), scratch, panel_width, steps)
                    else:
                        _copy(operand, scratch, panel_width, steps)
                    operand = (scratch, zero, width)
                for v in range(i, last, width if copy_left else height):
                    end = min(last, v + (width if copy_left else height))
                    rows_of_left: Any = (left_array, k * left_step + v * left_row, left_row, left_step)
                    if copy_left:
                        rows_of_left = (block, (v - i) * steps, unit, width)
                    out = (flat, v * columns + j, columns)
                    _columns(panel_width, steps, rows_of_left, operand, (bias, j), out, (zero, end - v), k > 0)


@kernel
def multiply(a: Any, b: Any, bias: Any, scratch: Any, c: Any) -> None:
    """c = a b + bias.

    a (M, K), b (K, N), bias (N,) or empty for none, c (M, N) overwritten, distinct from the others; scratch:
    scratch_size(K, N), overwritten.
    """
    left = (a.reshape(a.size), a.shape[1], np.intp(1), False)
    _product(left, (b.reshape(b.size), b.shape[0], b.shape[1], False), bias, c, scratch)


@kernel
def multiply_transposed_left(a: Any, b: Any, none: Any, scratch: Any, c: Any, first: int) -> None:
    """c = (a^T b)[first : first + M].

    a (K, any), b (K, N), c (M, N) overwritten, distinct from the others; none: an empty vector of their dtype; scratch:
    scratch_size(K, N, "left"), overwritten.
    """
    left = (a.reshape(a.size)[first:], np.intp(1), a.shape[1], True)
    _product(left, (b.reshape(b.size), b.shape[0], b.shape[1], False), none, c, scratch)


@kernel
def multiply_transposed_right(a: Any, b: Any, none: Any, scratch: Any, c: Any) -> None:
    """c = a b^T.

    a (M, K), b (N, K), c (M, N) overwritten, distinct from the others; none: an empty vector of their dtype; scratch:
    scratch_size(K, N, "right"), overwritten.
    """
    left = (a.reshape(a.size), a.shape[1], np.intp(1), False)
    _product(left, (b.reshape(b.size), b.shape[1], b.shape[1], True), none, c, scratch)
