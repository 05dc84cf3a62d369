"""Copies of parts of a product's operands, in the order in which tiles read them."""

from typing import Any

import numpy as np

from fastnn.kernels import simd
from fastnn.kernels.compile import apart, kernel
from fastnn.kernels.tiles import MAX_VECTORS
from fastnn.kernels.transposes import transpose
from fastnn.kernels.views import part, vector_at

# The layout of an operand. Numbers, because True and False in a tuple are two types: all would be compiled three times.
AS_IT_IS, TRANSPOSED = np.intp(0), np.intp(1)


@kernel
def rest_of(vector: Any, start: int) -> Any:
    """The elements of a vector from `start` on."""
    return part(vector, start, vector.size - start)


@kernel
def fill(vector: Any, value: Any) -> None:
    """Set all elements to a value."""
    for i in range(vector.size):
        vector[i] = value


@apart
def copy_rows(source: Any, target: Any, stride: int, width: int, depth: int) -> None:
    """Copy the first `width` elements of `depth` rows into rows of `stride`.

    source: (vector, start, step between its rows). Whole vectors are read within the array, and the first ones of the
    rows are written whole: the part that reaches into the next row is overwritten with it, and target has room for the
    part behind the last one.
    """
    array, start, step = source
    lanes = simd.lanes(array)
    one, four = simd.zero_tile(array, 1, 1), simd.zero_tile(array, 4, 1)
    for j in range(0, width, lanes):
        begin, written = start + j, lanes if j == 0 else min(lanes, stride - j)
        whole = max(0, min(depth, (array.size - begin - lanes + step) // step)) // 4 * 4
        for k in range(0, whole, 4):
            rows = simd.load_tile(four, array, begin + k * step, step, lanes)
            simd.store_tile(rows, target, k * stride + j, stride, written)
        for k in range(whole, depth):
            row = simd.load_tile(one, array, begin + k * step, 0, min(lanes, width - j))
            simd.store_tile(row, target, k * stride + j, 0, written)


@apart
def copy_transposed(source: Any, target: Any, stride: int, width: int, depth: int) -> None:
    """Copy the first `depth` elements of `width` rows as columns into rows of `stride`, and 0 behind them.

    source: (vector, start, step between its rows).
    """
    array, start, step = source
    lanes = simd.lanes(array)
    whole_width, whole_depth = width // lanes * lanes, depth // lanes * lanes
    if whole_width < width:
        # Tiles multiply whole vectors. Behind the last column scratch could hold subnormal numbers, for which some
        # processors take a hundred cycles: affine_backward of 4 x 8 x 8 took 2.3 us instead of 1.0.
        none = simd.zero_tile(array, 1, 1)
        for k in range(depth):
            simd.store_tile(none, target, k * stride + whole_width, 0, lanes)
    for i in range(0, whole_width, lanes):
        for k in range(0, whole_depth, lanes):
            transpose(array, start + i * step + k, step, target, k * stride + i, stride)
    for i in range(width):
        for k in range(whole_depth if i < whole_width else 0, depth):
            target[k * stride + i] = array[start + i * step + k]


@kernel
def copy_apart(array: Any, start: int, step: int, target: Any, rows: int, depth: int) -> None:
    """Copy the first `depth` elements of rows that are `step` apart, row after row."""
    for i in range(rows):
        source, copy = part(array, start + i * step, depth), part(target, i * depth, depth)
        for k in range(depth):
            copy[k] = source[k]


@apart
def copy_panels(source: Any, layout: int, target: Any, width: int, columns: int, depth: int) -> None:
    """Copy `columns` columns of the right operand into panels of `width`, one behind the other.

    source: (vector, start, step between the rows of the matrix in memory).
    """
    array, start, step = source
    lanes, whole = simd.lanes(array), columns // width if layout == AS_IT_IS else 0
    row = simd.zero_tile(array, 1, MAX_VECTORS)
    for k in range(depth if whole > 0 else 0):
        for p in range(whole):
            values = simd.load_tile(row, array, start + k * step + p * width, 0, lanes)
            simd.store_tile(values, target, (p * depth + k) * width, 0, lanes)
    for j in range(whole * width, columns, width):
        copy, size = rest_of(target, j * depth), min(width, columns - j)
        if layout == TRANSPOSED:
            copy_transposed((array, start + j * step, step), copy, width, size, depth)
        else:
            copy_rows((array, start + j, step), copy, width, size, depth)


@kernel
def integers_in(scratch: Any, start: int, count: int) -> Any:
    """A vector of integers in scratch, which takes two elements of float32 for each."""
    return vector_at(scratch.ctypes.data + start * scratch.itemsize, count, np.intp(0))
