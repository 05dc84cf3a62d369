"""Matrix products: a b (+ bias), a^T b and a b^T over C-contiguous matrices. Imports compile and simd.

The output is computed tile by tile: a few rows by a few vectors of columns, kept in registers while one loop runs
over the depth (the summed dimension) and adds, per step, a column of the left operand times a row of the right one.
Nothing is packed, except that a b^T copies each panel of b transposed into `panel`, so that its rows lie side by
side.

Each element of an output is the chain fma(..., fma(left[1], right[1], fma(left[0], right[0], start))) in order of
depth, whatever tile, panel or thread computes it. Rows and columns may therefore be split in any way without changing
a bit.

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


@kernel
def share(count: int, part: int, parts: int) -> int:
    """Where part number `part` begins when `count` rows are shared among `parts`, in multiples of 4.

    So at most one part has rows that fill no tile.
    """
    return min(count, (count * part // parts + 3) // 4 * 4)


@kernel
def _tile_rows(tile: Any, depth: int, left: Any, right: Any, initial: Any, out: Any, first: int, last: int) -> int:
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
        at_left, at_right = left_start + first * left_row, right_start
        for _ in range(depth):
            row = simd.load_row(tile, right_array, at_right, mask)
            total = simd.multiply_add(total, row, left_array, at_left, left_row)
            at_left += left_depth
            at_right += right_depth
        simd.store_tile(total, out_array, out_start + first * out_row, out_row, mask)
        first += height
    return first


@kernel
def _panel(tall: Any, low: Any, single: Any, depth: int, left: Any, right: Any, bias: Any, out: Any, rows: Any) -> None:
    """All rows (first, last) of one panel, in tiles of three heights.

    bias is (array, start), without effect when empty.
    """
    bias_array, bias_start = bias
    initial = tall[0]
    if bias_array.size > 0:
        initial = simd.load_row(tall, bias_array, bias_start, right[3])
    first, last = rows
    first = _tile_rows(tall, depth, left, right, initial, out, first, last)
    first = _tile_rows(low, depth, left, right, initial, out, first, last)
    _tile_rows(single, depth, left, right, initial, out, first, last)


@kernel
def _columns(width: int, depth: int, left: Any, right: Any, bias: Any, out: Any, rows: Any) -> None:
    """One panel of `width` columns; right and out are (array, start, step), as in _tile_rows without the mask."""
    array, start, step = right
    lanes = simd.lanes(array)
    vectors = (width + lanes - 1) // lanes
    masked = (array, start, step, simd.mask(array, width - (vectors - 1) * lanes))
    if vectors == 1:
        tall, low = simd.zero_tile(array, ROWS_1, 1), simd.zero_tile(array, FEW_ROWS, 1)
        _panel(tall, low, simd.zero_tile(array, 1, 1), depth, left, masked, bias, out, rows)
    elif vectors == 2:
        tall, low = simd.zero_tile(array, ROWS_2, 2), simd.zero_tile(array, FEW_ROWS, 2)
        _panel(tall, low, simd.zero_tile(array, 1, 2), depth, left, masked, bias, out, rows)
    elif MAX_VECTORS == 4 and vectors == 3:
        tall, low = simd.zero_tile(array, ROWS_3, 3), simd.zero_tile(array, FEW_ROWS, 3)
        _panel(tall, low, simd.zero_tile(array, 1, 3), depth, left, masked, bias, out, rows)
    elif MAX_VECTORS == 4:
        tall, low = simd.zero_tile(array, ROWS_4, 4), simd.zero_tile(array, FEW_ROWS, 4)
        _panel(tall, low, simd.zero_tile(array, 1, 4), depth, left, masked, bias, out, rows)


@kernel
def _product(depth: int, left: Any, right: Any, bias: Any, c: Any, first: int, last: int) -> None:
    """Rows [first, last) of c (M, N), panel by panel. left: (vector, step between rows, step in depth)."""
    columns = c.shape[1]
    array, row, step = left
    zero = np.intp(0)  # a literal 0 in a tuple would be a type of its own, and everything above compiled once more
    width = MAX_VECTORS * simd.lanes(c)
    flat = c.reshape(c.size)
    for j in range(0, columns, width):
        right_, out = (right, j, columns), (flat, j, columns)
        _columns(min(width, columns - j), depth, (array, zero, row, step), right_, (bias, j), out, (first, last))


@kernel
def multiply(a: Any, b: Any, bias: Any, c: Any) -> None:
    """c = a b + bias.

    a (M, K), b (K, N), bias (N,) or empty for none, c (M, N) overwritten, distinct from the others.
    """
    rows, depth = a.shape
    left = (a.reshape(a.size), depth, np.intp(1))
    _product(depth, left, b.reshape(b.size), bias, c, 0, rows)


@kernel
def multiply_transposed_left(a: Any, b: Any, none: Any, c: Any, first: int, last: int) -> None:
    """Rows [first, last) of c = a^T b. a (K, M), b (K, N), c (M, N), distinct; none: an empty vector of their dtype."""
    depth, rows = a.shape
    left = (a.reshape(a.size), np.intp(1), rows)
    _product(depth, left, b.reshape(b.size), none, c, first, last)


@kernel
def multiply_transposed_right(a: Any, b: Any, panel: Any, none: Any, c: Any) -> None:
    """c = a b^T.

    a (M, K), b (N, K), c (M, N), distinct; panel: scratch of at least K * PANEL_COLUMNS; none: an empty vector.
    """
    rows, depth = a.shape
    columns = b.shape[0]
    zero = np.intp(0)
    left = (a.reshape(a.size), zero, depth, np.intp(1))
    flat = c.reshape(c.size)
    step = MAX_VECTORS * simd.lanes(b)
    for j in range(0, columns if rows > 0 else 0, step):
        width = min(step, columns - j)
        for i in range(width):
            for k in range(depth):
                panel[k * width + i] = b[j + i, k]
        _columns(width, depth, left, (panel, zero, width), (none, zero), (flat, j, columns), (zero, rows))
