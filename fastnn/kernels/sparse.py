"""Products whose left operand is mostly zeros, as are the first layer's inputs often: four of five pixels of MNIST are
0.

A tile leaves out the steps in depth at which all its rows are 0. Otherwise it is as in matmul: the same chain of
operations without the ones that add 0 times a number. So the right operand must be finite, and only the sign of a zero
by underflow may differ. 100 digits of MNIST times 784 x 50 take 70 us instead of 103, the gradient of these weights 67
instead of 112, on one thread.
"""

from typing import Any

import numpy as np

from fastnn.kernels import processor, simd
from fastnn.kernels.compile import kernel
from fastnn.kernels.copies import copy_rows
from fastnn.kernels.matmul import CHAIN, DEEP, PANEL_COLUMNS, add_to, chain_of, deep_scratch_size
from fastnn.kernels.matmul import ROW_BLOCK as DEEP_ROWS
from fastnn.kernels.tiles import FEW_ROWS, MAX_VECTORS, ROWS
from fastnn.kernels.views import elements, matrix, vector_at

ROW_BLOCK = 128  # rows whose lists of steps are kept at once
LISTS = ROW_BLOCK // ROWS + ROWS // FEW_ROWS + FEW_ROWS
SAMPLES, FEW_SAMPLES = 512, 64  # elements that are looked at, and at first
GOLDEN = 0x9E3779B9  # 2^32 divided by the golden ratio
FEWEST_ROWS = 24  # and fewest steps in depth for which it may pay
_LANE_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
LANE_COUNTS = _LANE_BITS.sum(axis=1, dtype=np.uint8)
LANE_NUMBERS = np.argsort(-_LANE_BITS.astype(np.int8), axis=1, kind="stable").astype(
    np.uint16
)  # the numbers of bits that are 1 first


def sparse_scratch_size(depth: int, columns: int) -> int:
    """Elements of scratch for a product of this depth: a panel, lists of two-byte numbers, and deep sums."""
    lists = (min(depth, CHAIN) + 9) * (PANEL_COLUMNS + LISTS // 2 + 1) + processor.VECTOR_BYTES // 4
    return lists + deep_scratch_size(depth, columns)


@kernel
def mostly_zero(a: Any) -> bool:
    """Whether at least half of an array's elements are 0, by a sample spread evenly by the golden ratio.

    A few of them show that an array is dense: the whole sample took a sixth of a step of 32, 64-32-10.
    """
    flat = elements(a)
    seen, zeros = min(flat.size, SAMPLES), 0
    for i in range(seen):
        at = i if flat.size <= SAMPLES else ((i * GOLDEN & 0xFFFFFFFF) >> 8) * flat.size >> 24
        zeros += 1 if flat[at] == a.dtype.type(0.0) else 0
        if i == FEW_SAMPLES and flat.size > SAMPLES and 4 * zeros < FEW_SAMPLES:
            return False
    return 2 * zeros >= seen


@kernel
def _list_steps_of_rows(array: Any, start: int, row: int, height: int, depth: int, steps: Any) -> None:
    """steps[1:] = the numbers of the steps in depth at which not all of a tile's rows are 0; steps[0] = their end.

    The tile has `height` rows of `depth` adjacent elements, `row` apart. Up to eight steps are looked at and written at
    once, without branches, which would often be mispredicted: 100 digits take 2 us instead of 32.
    """
    lanes = simd.lanes(array)
    chunk = min(lanes, 8)
    count, k = np.uintp(1), 0
    while k + lanes <= depth:
        found = simd.nonzero_lanes(array, start + k)
        for r in range(1, height):
            found |= simd.nonzero_lanes(array, start + r * row + k)
        for first in range(k, k + lanes, chunk):
            lane_numbers = LANE_NUMBERS[found & np.uintp(255)]
            for lane in range(8):
                steps[count + np.uintp(lane)] = lane_numbers[lane] + first
            count += np.uintp(LANE_COUNTS[found & np.uintp(255)])
            found >>= np.uintp(8)
        k += lanes
    while k < depth:
        for r in range(height):
            if array[start + r * row + k] != array.dtype.type(0.0):
                steps[count] = k
                count += np.uintp(1)
                break
        k += 1
    steps[0] = count


@kernel
def _list_steps_of_columns(array: Any, start: int, step: int, height: int, depth: int, steps: Any) -> None:
    """As _list_steps_of_rows for `height` columns: adjacent elements, `step` further on at each step in depth."""
    lanes = simd.lanes(array)
    mask = (np.uintp(1) << np.uintp(height)) - np.uintp(1)
    whole = max(0, min(depth, (array.size - start - max(lanes, height) + step) // step))
    count = np.uintp(1)
    for k in range(whole):
        found = simd.nonzero_lanes(array, start + k * step) & mask
        for first in range(lanes, height, lanes):  # the last vector ends with the tile
            found |= simd.nonzero_lanes(array, start + k * step + min(first, height - lanes))
        steps[count] = k
        count += np.uintp(1) if found else np.uintp(0)
    for k in range(whole, depth):
        for r in range(height):
            if array[start + k * step + r] != array.dtype.type(0.0):
                steps[count] = k
                count += np.uintp(1)
                break
    steps[0] = count


@kernel
def _list_tiles(left: Any, rows: int, depth: int, lists: Any) -> None:
    """Make the lists of all tiles of some rows; left is (vector, start, step between rows, step in depth)."""
    array, start, row, step = left
    number, done = 0, 0
    while done < rows:
        height = _height(rows - done)
        if step == 1:
            _list_steps_of_rows(array, start + done * row, row, height, depth, lists[number])
        else:
            _list_steps_of_columns(array, start + done, step, height, depth, lists[number])
        number, done = number + 1, done + height


@kernel
def _height(rows: int) -> int:
    """The height of the next tile when `rows` are left."""
    return ROWS if rows >= ROWS else FEW_ROWS if rows >= FEW_ROWS else 1


@kernel
def _tile(tile: Any, single: Any, left: Any, panel: Any, initial: Any, out: Any, steps: Any) -> None:
    """One tile: the sum over the listed steps. `single` is a tile of one row.

    left is (array, start, step between rows, step in depth); panel holds rows of MAX_VECTORS whole vectors; out is
    (array, start, step between rows, elements of the last vector, whether to add to its content); initial is a row of
    vectors.
    """
    left_array, start, left_row, left_depth = left
    out_array, out_start, out_row, count, resume = out
    lanes = simd.lanes(panel)
    width = MAX_VECTORS * lanes
    total = simd.fill_tile(tile, initial)
    # Unsigned, because Numba would test a signed index; by a step that LLVM does not know, because it would unroll the
    # loop and take longer to compile.
    s, end, unit = np.uintp(1), np.uintp(steps[0]), np.uintp(out_row // out_row)
    while s < end:
        k = np.intp(steps[s])
        row = simd.load_tile(single, panel, k * width, 0, lanes)
        total = simd.multiply_add(total, row, left_array, start + k * left_depth, left_row)
        s += unit
    if resume:
        total = simd.add_tile(total, out_array, out_start, out_row, count)
    simd.store_tile(total, out_array, out_start, out_row, count)


@kernel
def _tiles(tall: Any, low: Any, single: Any, left: Any, panel: Any, bias: Any, out: Any, rows: int, lists: Any) -> None:
    """All rows of one panel, in tiles of three heights; bias as in matmul."""
    array, start, row, step = left
    out_array, out_start, out_row, count, resume = out
    bias_array, bias_start, has_bias = bias
    initial = single
    if has_bias:
        initial = simd.load_tile(single, bias_array, bias_start, 0, count)
    number, done = 0, 0
    while done < rows:
        height = _height(rows - done)
        operand = (array, start + done * row, row, step)
        target = (out_array, out_start + done * out_row, out_row, count, resume)
        if height == ROWS:
            _tile(tall, single, operand, panel, initial, target, lists[number])
        elif height == FEW_ROWS:
            _tile(low, single, operand, panel, initial, target, lists[number])
        else:
            _tile(single, single, operand, panel, initial, target, lists[number])
        number, done = number + 1, done + height


@kernel
def _product(left: Any, b: Any, bias: Any, scratch: Any, c: Any) -> None:
    """c = left b + bias for at most DEEP steps; left is (vector, start, step between rows, step in depth).

    A block in depth is one chain of matmul.
    """
    rows, columns = c.shape
    array, start, left_row, left_step = left
    lanes, depth = simd.lanes(c), b.shape[0]
    width, most = MAX_VECTORS * lanes, chain_of(depth)
    panel, behind = scratch, scratch.ctypes.data + (most * width + lanes) * scratch.itemsize
    size = LISTS * (most + 9)  # with room for the end and eight more numbers
    lists = matrix(vector_at(behind, size, np.uint16(0)), 0, LISTS, most + 9)
    flat, flat_b = elements(c), elements(b)
    one, two = simd.zero_tile(c, 1, 1), simd.zero_tile(c, 1, 2)
    for k in range(0, depth, most):
        steps = min(most, depth - k)
        has_bias = k == 0 and bias.size > 0
        for i in range(0, rows, ROW_BLOCK):
            count = min(ROW_BLOCK, rows - i)
            operand = (array, start + i * left_row + k * left_step, left_row, left_step)
            _list_tiles(operand, count, steps, lists)
            for j in range(0, columns, width):
                size = min(width, columns - j)
                copy_rows((flat_b, k * columns + j, columns), panel, width, size, steps)
                out = (flat, i * columns + j, columns, size - lanes if size > lanes else size, k > 0)
                rest = (operand, panel, (bias, j, has_bias), out, count, lists)
                if size > lanes:
                    _tiles(simd.zero_tile(c, ROWS, 2), simd.zero_tile(c, FEW_ROWS, 2), two, *rest)
                else:
                    _tiles(simd.zero_tile(c, ROWS, 1), simd.zero_tile(c, FEW_ROWS, 1), one, *rest)


@kernel
def _deep_product(left: Any, b: Any, bias: Any, scratch: Any, c: Any) -> None:
    """As _product for any depth: the sum of products of DEEP steps, added in order."""
    depth, (rows, columns) = b.shape[0], c.shape
    array, start, left_row, left_step = left
    flat = elements(c)
    for i in range(0, rows, DEEP_ROWS):
        count = min(DEEP_ROWS, rows - i)
        target, sums = flat[i * columns : (i + count) * columns], scratch[: count * columns]
        for k in range(0, depth, DEEP):
            operand = (array, start + i * left_row + k * left_step, left_row, left_step)
            out = matrix(target if k == 0 else sums, 0, count, columns)
            some_bias, rest = bias if k == 0 else bias[:0], scratch[DEEP_ROWS * columns :]
            _product(operand, b[k : min(depth, k + DEEP)], some_bias, rest, out)
            if k > 0:
                add_to(sums, target)


@kernel
def _product_of_any_depth(left: Any, b: Any, bias: Any, scratch: Any, c: Any) -> None:
    """As _product, without its bound."""
    if b.shape[0] > DEEP:
        _deep_product(left, b, bias, scratch, c)
    else:
        _product(left, b, bias, scratch, c)


@kernel
def sparse_multiply(a: Any, b: Any, bias: Any, scratch: Any, c: Any) -> None:
    """As matmul.multiply; scratch: sparse_scratch_size(K, N)."""
    _product_of_any_depth((elements(a), np.intp(0), a.shape[1], np.intp(1)), b, bias, scratch, c)


@kernel
def sparse_multiply_transposed_left(a: Any, b: Any, none: Any, scratch: Any, c: Any, first: int) -> None:
    """Compute matmul.product with the left operand TRANSPOSED; scratch: sparse_scratch_size(K, N)."""
    _product_of_any_depth((elements(a), np.intp(first), np.intp(1), a.shape[1]), b, none, scratch, c)
