"""Products of rows that are mostly zeros and whose other elements were listed once, for many batches.

The rows are lists in an *index* (lists.py): pairs, the starts of all rows in them, and the numbers of the rows that are
meant; row n is the list of pairs from starts[numbers[n]] on. A product takes as many steps as there are pairs.
Otherwise it is as in matmul: the same chain of operations without the ones that add 0 times a number. So the right
operand must be finite, and only the sign of a zero may differ, where the bias is -0 or a number underflows.
"""

from typing import Any

import numpy as np

from fastnn.kernels import lists, simd
from fastnn.kernels.compile import kernel
from fastnn.kernels.matmul import DEEP, add_to, chain_of
from fastnn.kernels.processor import VECTOR_BYTES
from fastnn.kernels.views import elements, part, vector_at

ROW_BLOCK = 128  # rows that are multiplied together
SLOTS, HEIGHT = 32768, 1024  # pairs of a block of the transposed operand, and the most of its rows
DEEP_HEIGHT = 128  # rows of a block if there are more than DEEP samples
PANEL, FEWEST_VECTORS = 6144, 4  # elements of a panel of the right operand that stays in the first-level cache
_LINE = 8  # pairs in a cache line of 64 bytes, in float32


def indexed_scratch_size(columns: int, rows: int = 0) -> int:
    """Elements of scratch for a product and, if there are rows, for the transposed product of so many."""
    transposed = 4 * HEIGHT + 2 * SLOTS + (DEEP_HEIGHT * columns if rows > DEEP else 0)
    return max(6 * ROW_BLOCK, transposed if rows else 0) + VECTOR_BYTES + 32


@kernel
def _list_row(array: Any, start: int, depth: int, pairs: Any, at: int) -> Any:
    """List `depth` adjacent elements in the pairs from number `at` on; return the number of the next pair."""
    lanes, p, k = simd.lanes(array), np.uintp(at), 0
    while k + lanes <= depth:
        found = simd.nonzero_lanes(array, start + k)
        while found != np.uintp(0):
            number = k + lists.lowest_bit(found)
            lists.put_pair(pairs, np.intp(p), array[np.uintp(start + number)], number)
            p += np.uintp(1)
            found &= found - np.uintp(1)
        k += lanes
    while k < depth:
        if array[np.uintp(start + k)] != array.dtype.type(0.0):
            lists.put_pair(pairs, np.intp(p), array[np.uintp(start + k)], k)
            p += np.uintp(1)
        k += 1
    return np.intp(p)


@kernel
def list_rows(x: Any, first: int, last: int, starts: Any, pairs: Any) -> None:
    """List the rows [first, last) of x, row n in the pairs from number starts[n] on."""
    flat, depth = elements(x), x.shape[1]
    for n in range(first, last):
        _list_row(flat, n * depth, depth, pairs, starts[n])


@kernel
def count_elements(x: Any, first: int, last: int, counts: Any) -> None:
    """counts[n] = how many elements of row n of x are not 0, for the rows [first, last)."""
    flat, depth = elements(x), x.shape[1]
    for n in range(first, last):
        count, row = 0, part(flat, n * depth, depth)
        for k in range(depth):
            count += 1 if row[k] != x.dtype.type(0.0) else 0
        counts[n] = count


@kernel
def fill_row(pairs: Any, begin: int, end: int, row: Any) -> None:
    """Make the list of the pairs [begin, end) a dense row."""
    zero = row.dtype.type(0.0)
    for k in range(row.size):
        row[k] = zero
    for p in range(begin, end):
        row[np.uintp(lists.number_of(pairs, p))] = pairs[np.uintp(2 * p)]


@kernel
def _integers(scratch: Any, which: int, size: int) -> Any:
    """Array number `which` of integers at the start of scratch."""
    address = (scratch.ctypes.data + 7) // 8 * 8
    return vector_at(address + 8 * which * size, size, np.intp(0))


@kernel
def _pairs_behind(scratch: Any, integers: int) -> Any:
    """The elements of scratch behind so many integers, from a cache line's start on."""
    address = (scratch.ctypes.data + 8 * integers + 71) // 64 * 64
    return vector_at(
        address, scratch.size - (address - scratch.ctypes.data) // scratch.itemsize, scratch.dtype.type(0.0)
    )


@kernel
def _take_lists(index: Any, first: int, count: int, begins: Any, ends: Any) -> None:
    """Find the lists of `count` rows from `first` on."""
    pairs, starts, numbers = index
    for n in range(count):
        begins[n], ends[n] = starts[numbers[first + n]], starts[numbers[first + n] + 1]
        for line in range(begins[n], ends[n], _LINE):  # rows are far apart, in an order that nobody foresees
            lists.prefetch(pairs, 2 * line)


@kernel
def multiply_rows(index: Any, b: Any, bias: Any, scratch: Any, c: Any) -> None:
    """c = x b + bias for the rows x of the index; bias and c as in matmul.product. scratch: indexed_scratch_size(N)."""
    (rows, columns), depth, pairs = c.shape, b.shape[0], index[0]
    width, zero = lists.MOST_VECTORS * simd.lanes(b), np.intp(0)
    begins, ends = _integers(scratch, 0, ROW_BLOCK), _integers(scratch, 1, ROW_BLOCK)
    cursors = _integers(scratch, 2, ROW_BLOCK)
    for i in range(0, rows, ROW_BLOCK):
        count = min(ROW_BLOCK, rows - i)
        _take_lists(index, i, count, begins, ends)
        for j in range(0, columns, width):
            for n in range(count):
                cursors[n] = begins[n]
            for first in range(0, depth, DEEP):
                limit = min(depth, first + DEEP)
                lists.multiply_lists(
                    min(width, columns - j),
                    (pairs, cursors, ends, count),
                    (first, limit, chain_of(limit - first)),
                    (elements(b), np.intp(j), columns),
                    (bias, np.intp(j), first == zero and bias.size > 0),
                    (elements(c), i * columns + j, columns, first > 0),
                )


@kernel
def _place_from(pairs: Any, begin: int, end: int, number: int, depth: int) -> int:
    """The place of the first pair with a number of at least `number`, searched from where it is in evenly spread ones.

    Halving would wait for the memory at each step.
    """
    p = min(end, begin + (end - begin) * number // depth)
    while p > begin and lists.number_of(pairs, p - 1) >= number:
        p -= 1
    while p < end and lists.number_of(pairs, p) < number:
        p += 1
    return p


@kernel
def _transpose_lists(index: Any, first: int, count: int, columns: Any, ends: Any, slots: Any) -> None:
    """Append the pairs of `count` rows from `first` on to lists of their columns, which end at `ends`.

    columns: (the first, the last one's successor, how many there are in all).
    """
    pairs, starts, numbers = index
    begin, limit, depth = columns
    for n in range(count):
        number = numbers[first + n]
        end = starts[number + 1]
        p = _place_from(pairs, starts[number], end, begin, depth)
        while p < end:
            k = lists.number_of(pairs, p)
            if k >= limit:
                break
            at = ends[np.uintp(k - begin)]
            lists.put_pair(slots, at, pairs[np.uintp(2 * p)], n)
            ends[np.uintp(k - begin)] = at + 1
            p += 1


@kernel
def _sum_chain(index: Any, first: int, count: int, columns: Any, dy: Any, scratch: Any, out: Any) -> None:
    """One chain of x^T dy, over `count` rows from `first` on, for some columns of x.

    out: (vector, start, whether to add to it).
    """
    begin, limit, _ = columns
    size, zero, lanes = limit - begin, np.intp(0), simd.lanes(dy)
    width = max(FEWEST_VECTORS, min(lists.MOST_VECTORS, PANEL // (count * lanes))) * lanes
    begins, ends = _integers(scratch, 0, HEIGHT), _integers(scratch, 1, HEIGHT)
    slots = _pairs_behind(scratch, 2 * HEIGHT)
    for k in range(size):
        ends[k] = k * count
    _transpose_lists(index, first, count, columns, ends, slots)
    array, start, adds = out
    for j in range(0, dy.shape[1], width):
        for k in range(size):
            begins[k] = k * count
        lists.multiply_lists(
            min(width, dy.shape[1] - j),
            (slots, begins, ends, size),
            (zero, count, count),
            (elements(dy), first * dy.shape[1] + j, dy.shape[1]),
            (slots, zero, size < 0),
            (array, start + j, dy.shape[1], adds),
        )


@kernel
def multiply_rows_transposed(index: Any, depth: int, dy: Any, scratch: Any, dW: Any, first: int) -> None:
    """dW = (x^T dy)[first :] for the rows x (N, depth) of the index. scratch: indexed_scratch_size(K, N); dy (N, K)."""
    rows, columns = dy.shape
    flat = elements(dW)
    height = max(1, min(DEEP_HEIGHT if rows > DEEP else HEIGHT, SLOTS // chain_of(min(rows, DEEP))))
    kept = DEEP_HEIGHT * columns if rows > DEEP else 0
    sums, rest = part(scratch, 0, kept), part(scratch, kept, scratch.size - kept)
    for k in range(0, dW.shape[0], height):
        size = min(height, dW.shape[0] - k)
        some = (first + k, first + k + size, depth)
        for n in range(0, rows, DEEP):
            end = min(rows, n + DEEP)
            chain = chain_of(end - n)
            for begin in range(n, end, chain):
                out = (flat, k * columns, begin > n)
                if n > 0:
                    out = (sums, np.intp(0), begin > n)
                _sum_chain(index, begin, min(chain, end - begin), some, dy, rest, out)
            if n > 0:
                add_to(part(sums, 0, size * columns), part(flat, k * columns, size * columns))
