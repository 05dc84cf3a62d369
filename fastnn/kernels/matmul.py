"""Matrix products: a b (+ bias), a^T b and a b^T over C-contiguous matrices.

The output is computed tile by tile: a few rows by a few vectors of columns, kept in registers while one loop runs
over the depth (the summed dimension) and adds, per step, a column of the left operand times a row of the right one.
A panel is as many columns as a tile has, a block as many steps in depth as keep a panel in the cache. Operands are
copied only if their rows lie far apart and the copy serves many tiles.

The depth is cut into chains of equal length. A chain is fma(..., fma(left[1], right[1], fma(left[0], right[0], start)))
in order of depth, where the first chain starts with the bias and the others with 0; the chains are added in order, in a
deep sum first within each DEEP steps and then these sums. In one chain over all samples the rounding of float32 would
grow with their number: to 1e-5 of a weight gradient at 60,000 samples, and to percents at 10 million.

The cuts depend on the depth alone. So each element has the same bits whatever tile, panel, block or thread computes
it, and rows and columns may be split in any way.

Every dimension is at least 1.

Reference: F. Van Zee, R. van de Geijn, BLIS: A Framework for Rapidly Instantiating BLAS Functionality, ACM TOMS
41(3), 2015.
"""

from typing import Any

import numpy as np

from fastnn.kernels import simd
from fastnn.kernels.caches import DEPTH, HELD, LEFT_BLOCK, LEFT_SPAN, SPAN, TABLE, TALL, WAY, fitted
from fastnn.kernels.compile import apart, kernel
from fastnn.kernels.copies import AS_IT_IS, TRANSPOSED, copy_apart, copy_panels, rest_of
from fastnn.kernels.processor import VECTOR_BYTES
from fastnn.kernels.tiles import FEW_ROWS, MAX_VECTORS, ROW_VECTORS, panel
from fastnn.kernels.transposes import add_columns, transpose
from fastnn.kernels.views import elements, part

PANEL_COLUMNS = MAX_VECTORS * VECTOR_BYTES // 4  # of the widest tile, in float32
# Steps of the longest chain, and of the longest sum in one chain. OpenBLAS cuts at 320 steps, and the rest in halves.
# The error of a sum of positive numbers grows with the root of both, and should stay below twice NumPy's.
CHAIN, ONE_CHAIN = 400, 320
# Panels copied at once where rows lie a multiple of a WAY apart: at 31 GB/s, and at 19 in pieces of one panel.
PANELS = 2
DEEP = 40 * CHAIN  # longer sums are nested: the error grows with the root of the number of summands
ROW_BLOCK = 192  # rows of the left operand, transposed, that are copied at once
FEW_STEPS = 2  # in depth, too few for a tile to pay
# A panel of a wider matrix is copied if it lies in a SPAN of memory that the second-level cache does not hold: for so
# many rows, if the last-level cache does not hold it either, and else if rows times bytes are COPYING times what it
# holds. On Zen 5 a copy takes, for 32, 64, 128, 256 and 400 rows on one thread, of the time without one
#     784 x 512   1.16 1.11 1.06 0.93 1.02        1500 x 1500   1.27 1.10 0.93 0.92 0.83
#     1000 x 1000 1.23 1.11 1.05 1.01 1.00        1200 x 4000   0.67 0.72 0.81 0.70 0.78
PACK_ROWS, COPYING = 24, 64
# A transposed left operand is copied for so many columns, if it lies in a LEFT_SPAN: the gradient of 784 x 64 by 1000
# rows takes 1.21 ms with a copy and 0.92 without, of 4096 x 512 by 1000 rows 44 and 57.
LEFT_COLUMNS = 256
# The times to transpose rows of the left operand, for a step of all lanes, and to store a row of the result, in
# multiply-adds of vectors. The other way is taken if it needs less than a WORTH of the time of the plain one.
TRANSPOSING, STORING, WORTH = 64.0, 20.0, 0.93
# Rows that are multiples of a WAY of the first-level cache apart share its sets, so that it holds only 8 of the 12 rows
# of a tile: 128 x 1024 x 1024 took 1.5 times as long as 128 x 1008 x 1024. Such rows are copied if there are so many
# columns, and rows of a transposed left operand from LEFT_COLUMNS on: a step of 256, 1024-1024-1024-10 takes 0.97 of
# the time.
ALIASED_COLUMNS = 128
# Copied panels are used for TALL rows before the next ones take their place: 512 x 2048 x 2048 takes 48 ms with 192 and
# 42 with 768. Panels that are not copied are used for a LEFT_BLOCK of rows, for a chain, one after the other: the
# second-level cache keeps them. So 1000 x 784 x 256 takes 0.88 of the time, 500 x 784 x 256 0.93, and, as a panel of a
# chain is almost as small as the first-level cache, 128 x 784 x 256 0.97 (Granite Rapids, caches of 48 KB and 2 MB).


def scratch_size(depth: int, columns: int, transposed: str = "") -> int:
    """Elements of scratch for a product of this depth and this many columns of c; transposed: "", "left" or "right"."""
    wide = columns > PANEL_COLUMNS // 2  # float64 has half the columns
    is_aliased = columns >= ALIASED_COLUMNS and depth % (TABLE[WAY] // 8) == 0
    panels = (PANELS if wide or transposed == "right" else 1) * PANEL_COLUMNS
    block = TABLE[TALL] if is_aliased else ROW_BLOCK if wide and transposed == "left" else 0
    copies = min(depth, TABLE[DEPTH]) * panels + min(depth, CHAIN) * block
    return copies + PANEL_COLUMNS**2 + deep_scratch_size(depth, columns)


@kernel
def most_scratch(depth: int, columns: int, item: int, left: bool, right: bool) -> int:
    """At least as many elements as `scratch_size`; item: bytes of one; left, right: the operand that is transposed."""
    width = MAX_VECTORS * VECTOR_BYTES // item
    is_aliased = columns >= ALIASED_COLUMNS and depth % (fitted(WAY) // 8) == 0
    panels = PANELS * width if columns > width or right else width
    rows = fitted(TALL) if is_aliased else ROW_BLOCK if left and columns > width else 0
    copies = min(depth, fitted(DEPTH)) * panels + min(depth, CHAIN) * rows
    return copies + width * width + (ROW_BLOCK * columns if depth > DEEP else 0)


def deep_scratch_size(depth: int, columns: int) -> int:
    """Elements of scratch for the sums of DEEP steps, if there are more."""
    return ROW_BLOCK * columns if depth > DEEP else 0


@kernel
def share(count: int, part: int, parts: int) -> int:
    """The first row of part number `part` when each of `parts` takes a share of `count` rows, in multiples of 4.

    So at most one part has rows that do not fill a tile. The first part, which is the calling thread's, has some rows
    however few there are: what a region gains is judged by it (launches.py).
    """
    return min(count, (max(count * part // parts, min(part, 1)) + 3) // 4 * 4)


@kernel
def share_of_columns(count: int, part: int, parts: int) -> int:
    """The first of `count` columns of part number `part`: in whole panels, so that only the last one has a rest."""
    panels = (count + PANEL_COLUMNS - 1) // PANEL_COLUMNS
    return min(count, panels * part // parts * PANEL_COLUMNS)


@kernel
def chain_of(depth: int) -> int:
    """The length of a chain for this many steps; a multiple of 16 for several chains, as vectors are copied."""
    if depth <= ONE_CHAIN:
        return depth
    chains = max(2, (depth + CHAIN - 1) // CHAIN)
    return ((depth + chains - 1) // chains + 15) // 16 * 16


@kernel
def _vectors(left: int, rows: int, is_copied: bool) -> int:
    """How many vectors of columns the next panel takes of the ones that are left."""
    is_wide = left >= ROW_VECTORS and rows < FEW_ROWS and not is_copied
    return ROW_VECTORS if is_wide else min(left, MAX_VECTORS)


@apart
def _panel(vectors: int, steps: int, left: Any, right: Any, initial: Any, out: Any, rows: int) -> None:
    """Compute `panel`, once for both of its callers: the calls of all its tiles are long."""
    panel(vectors, steps, left, right, initial, out, rows)


@kernel
def _direct_columns(rows: int, columns: int, depth: int, lanes: int, layout: int) -> int:
    """How many of the columns of a product to compute as they are; the others are exchanged with the rows.

    Columns that do not fill a vector cost as much as ones that do. Exchanged, they are rows of the transposed product,
    whose vectors are filled by rows; a left operand that is not TRANSPOSED is transposed for it in registers.

    The model counts, for each step in depth, the multiply-adds of whole vectors: as many as rows, against one for each
    column and vector of rows, and the time to transpose and to store in the same unit. For 100 x 784 x 50 on AVX-512
    it says 4 * 100 = 400 against 3 * 100 + 7 * (2 + 4) + 3 = 345; measured were 92 us and 76. For the gradient of
    784 x 50 by 100 rows it says 3136 and 2607, and measured were 96 and 79.
    """
    rest, vectors = columns % lanes, (rows + lanes - 1) // lanes
    if rest == 0 or (layout == AS_IT_IS and rows < lanes):
        return columns
    cost = vectors * (rest + (TRANSPOSING / lanes if layout == AS_IT_IS else 0.0)) + rows * STORING / depth
    return columns - rest if cost < rows * WORTH else columns


@kernel
def add_to(sums: Any, target: Any) -> None:
    """target += sums, vectors of one size."""
    for i in range(target.size):
        target[i] += sums[i]


@kernel
def _store_transposed(block: Any, step: int, turned: Any, out: Any, first: int, rows: int, height: int) -> None:
    """Store `height` rows of a vector each, `step` apart, as that many columns of `rows` rows; turned: scratch."""
    c, out_step = out
    one, lanes = simd.zero_tile(c, 1, 1), simd.lanes(c)
    transpose(block, 0, step, turned, 0, lanes)
    for r in range(rows):
        row = simd.load_tile(one, turned, r * lanes, 0, lanes)
        simd.store_tile(row, c, first + r * out_step, 0, height)


@apart
def _columns_by_rows(left: Any, right: Any, bias: Any, out: Any, first: int, scratch: Any) -> None:
    """Compute the columns from `first` on, fewer than a vector has, for vectors of rows; see _product."""
    c, rows, columns, out_step = out
    left_array, left_row, _, _ = left
    right_array, depth, right_step, right_layout = right
    zero, lanes, height, chain = c.dtype.type(0.0), simd.lanes(c), columns - first, chain_of(depth)
    size = lanes * lanes
    totals, sums, turned = part(scratch, 0, size), part(scratch, size, size), part(scratch, 2 * size, size)
    transposed = right_layout == TRANSPOSED
    step, depth_step = (right_step, np.intp(1)) if transposed else (np.intp(1), right_step)
    for n in range(0, rows, lanes):
        i = min(n, rows - lanes)  # some rows twice, to the same bits
        for k in range(0, depth, chain):
            chain_sums, has_bias = totals if k == 0 else sums, k == 0 and bias.size > 0
            for j in range(height):
                begin = bias[first + j] if has_bias else zero
                for r in range(lanes):
                    chain_sums[j * lanes + r] = begin
            operand = (left_array, i * left_row + k, left_row)
            source = (right_array, first * step + k * depth_step, step, depth_step)
            add_columns(operand, source, chain_sums, height, min(chain, depth - k))
            if k > 0:
                add_to(part(sums, 0, height * lanes), part(totals, 0, height * lanes))
        _store_transposed(totals, lanes, turned, (c, out_step), i * out_step + first, lanes, height)


@apart
def _columns_of_transposed(left: Any, right: Any, bias: Any, out: Any, first: int, scratch: Any) -> None:
    """As _columns_by_rows for a TRANSPOSED left operand, whose rows are the panels; without bias."""
    c, rows, columns, out_step = out
    left_array, _, left_step, _ = left
    right_array, depth, right_step, right_layout = right
    zero, lanes, height = np.intp(0), simd.lanes(c), columns - first
    width, chain = MAX_VECTORS * lanes, chain_of(depth)
    block, turned = scratch, rest_of(scratch, lanes * width)
    operand = (right_array, np.intp(first), np.intp(1), right_step)
    if right_layout == TRANSPOSED:
        operand = (right_array, first * right_step, right_step, np.intp(1))
    for i in range(0, rows, width):
        size = min(width, rows - i)
        vectors = (size + lanes - 1) // lanes
        target = (block, zero, width, size - (vectors - 1) * lanes, False)
        _panel(vectors, depth, operand, (left_array, i, left_step, chain), (bias, zero, zero, False), target, height)
        for v in range(0, size, lanes):
            at = (i + v) * out_step + first
            _store_transposed(rest_of(block, v), width, turned, (c, out_step), at, min(lanes, size - v), height)


@kernel
def _is_far(rows: int, span: int) -> bool:
    """Whether a copy pays, for products with so many rows, of panels that lie in a span of so many bytes."""
    if rows < PACK_ROWS or span < fitted(SPAN):
        return False
    return span >= fitted(HELD) or rows * span >= COPYING * fitted(HELD)


@apart
def _product(left: Any, right: Any, bias: Any, out: Any, scratch: Any) -> None:
    """c (M, N) for at most DEEP steps, block by block in rows, depth and columns; operands are copied if that pays.

    left: (vector, step between rows, step in depth, layout); right: (vector, depth, step between rows of the matrix in
    memory, layout); out: (vector, M, N, step between rows).
    """
    c, rows, columns, out_step = out
    left_array, left_row, left_step, left_layout = left
    right_array, depth, right_step, right_layout = right
    transposed = right_layout == TRANSPOSED
    zero, unit = np.intp(0), np.intp(1)  # a literal in a tuple would be another type, compiled once more
    lanes = simd.lanes(c)
    width, way = MAX_VECTORS * lanes, fitted(WAY)
    is_far = depth * left_step * c.itemsize >= fitted(LEFT_SPAN) or left_step * c.itemsize % way == 0
    is_aliased = left_row * c.itemsize % way == 0 and columns >= ALIASED_COLUMNS and rows >= PACK_ROWS
    copy_left = is_far and columns >= LEFT_COLUMNS if left_layout == TRANSPOSED else is_aliased
    copy_right = transposed or (columns > width and _is_far(rows, depth * right_step * c.itemsize))
    chain, direct = chain_of(depth), _direct_columns(rows, columns, depth, lanes, left_layout)
    at_once = depth if depth <= fitted(DEPTH) else fitted(DEPTH) // chain * chain
    if copy_left or (rows >= PACK_ROWS and not copy_right):
        at_once = chain
    copy, group = rest_of(scratch, PANELS * at_once * width if copy_right else 0), width
    if right_step * c.itemsize % way == 0:
        group *= PANELS
    height = ROW_BLOCK if copy_left and left_layout == TRANSPOSED else fitted(TALL) if copy_left or copy_right else rows
    if left_layout == AS_IT_IS and not (copy_left or copy_right):
        height = max(PACK_ROWS, fitted(LEFT_BLOCK) // (at_once * c.itemsize) // PACK_ROWS * PACK_ROWS)
    for i in range(0, rows, height):
        count, k = min(height, rows - i), zero
        while k < depth:
            steps = min(at_once, depth - k)
            start = k * left_step + i * left_row
            operand: Any = (left_array, start, left_row, left_step)
            if copy_left and left_layout == AS_IT_IS:
                copy_apart(left_array, start, left_row, copy, count, steps)
                operand = (copy, zero, steps, unit)
            elif copy_left:
                copy_apart(left_array, start, left_step, copy, steps, count)
                operand = (copy, zero, unit, count)
            j = zero
            while j < direct:
                vectors = _vectors((direct - j + lanes - 1) // lanes, count, copy_right)
                size = min(vectors * lanes, direct - j)
                target = (c, i * out_step + j, out_step, size - (vectors - 1) * lanes, k > 0)
                if copy_right and j % group == 0:
                    first = j * right_step + k if transposed else k * right_step + j
                    copied = min(group, direct - j)
                    copy_panels((right_array, first, right_step), right_layout, scratch, width, copied, steps)
                source: Any = (scratch, j % group * steps, width, chain)
                if not copy_right:
                    source = (right_array, k * right_step + j, right_step, chain)
                _panel(vectors, steps, operand, source, (bias, j, zero, k == 0 and bias.size > 0), target, count)
                j += size
            k += steps
    if direct < columns:
        if left_layout == TRANSPOSED:
            _columns_of_transposed(left, right, bias, out, direct, scratch)
        else:
            _columns_by_rows(left, right, bias, out, direct, scratch)


@kernel
def _product_of_any_depth(left: Any, right: Any, bias: Any, out: Any, scratch: Any) -> None:
    """Compute _product for any depth: beyond DEEP steps, a sum of products of DEEP steps, added in order."""
    left_array, left_row, left_step, left_layout = left
    right_array, depth, right_step, right_layout = right
    c, rows, columns, out_step = out
    if rows == 0 or columns == 0:
        return
    step: Any = np.intp(1) if right_layout == TRANSPOSED else right_step
    height, kept = (ROW_BLOCK, ROW_BLOCK * columns) if depth > DEEP else (rows, 0)
    sums = part(scratch, 0, kept)
    for i in range(0, rows, height):
        count, target = min(height, rows - i), rest_of(c, i * out_step)
        for k in range(0, depth, DEEP):
            operand = (rest_of(left_array, i * left_row + k * left_step), left_row, left_step, left_layout)
            source = (rest_of(right_array, k * step), min(DEEP, depth - k), right_step, right_layout)
            place = (target, count, columns, out_step) if k == 0 else (sums, count, columns, columns)
            _product(operand, source, part(bias, 0, bias.size if k == 0 else 0), place, rest_of(scratch, kept))
            for r in range(count if k > 0 else 0):
                add_to(part(sums, r * columns, columns), part(target, r * out_step, columns))


@kernel
def _few_steps(a: Any, b: Any, c: Any, first: int) -> None:
    """c = (a^T b)[first :] for few rows of a and b: row after row, as tiles do not pay.

    784 x 1 x 50 takes 3 us instead of 15.
    """
    rows, columns = c.shape
    zero = c.dtype.type(0.0)
    for i in range(rows):
        factor = a[0, first + i]
        for j in range(columns):
            c[i, j] = simd.fma(factor, b[0, j], zero)
        for k in range(1, a.shape[0]):
            factor = a[k, first + i]
            for j in range(columns):
                c[i, j] = simd.fma(factor, b[k, j], c[i, j])


@kernel
def product(a: Any, a_layout: Any, b: Any, b_layout: Any, bias: Any, scratch: Any, c: Any, first: int) -> None:
    """c = a b + bias, where a and b are C-contiguous matrices AS_IT_IS or TRANSPOSED.

    c (M, N) overwritten, distinct from the others; bias (N,), or empty for none; first: the row of the whole product
    at which c begins, if a is TRANSPOSED. scratch: scratch_size(K, N) or, if an operand is TRANSPOSED, scratch_size(K,
    N, "left" or "right"), overwritten.
    """
    left = (elements(a), a.shape[1], np.intp(1), a_layout)
    if a_layout == TRANSPOSED:
        if a.shape[0] <= FEW_STEPS:
            _few_steps(a, b, c, first)
            return
        left = (rest_of(elements(a), first), np.intp(1), a.shape[1], a_layout)
    depth = b.shape[1] if b_layout == TRANSPOSED else b.shape[0]
    out = (elements(c), c.shape[0], c.shape[1], c.shape[1])
    _product_of_any_depth(left, (elements(b), depth, b.shape[1], b_layout), bias, out, scratch)


@kernel
def product_of_columns(a: Any, b: Any, b_layout: Any, bias: Any, scratch: Any, c: Any, begin: int, end: int) -> None:
    """Compute the columns [begin, end) of c = a b + bias; see `product`."""
    left = (elements(a), a.shape[1], np.intp(1), AS_IT_IS)
    is_transposed, step, width = b_layout == TRANSPOSED, b.shape[1], end - begin
    right = (rest_of(elements(b), begin * step if is_transposed else begin), a.shape[1], step, b_layout)
    bias_of_columns = part(bias, begin, width) if bias.size > 0 else bias
    out = (rest_of(elements(c), begin), c.shape[0], width, c.shape[1])
    _product_of_any_depth(left, right, bias_of_columns, out, scratch)


@kernel
def multiply(a: Any, b: Any, bias: Any, scratch: Any, c: Any) -> None:
    """c = a b + bias; see `product`."""
    product(a, AS_IT_IS, b, AS_IT_IS, bias, scratch, c, 0)
