"""Products of rows that are mostly zeros and whose other elements were listed once, for many batches.

The rows are lists in an *index* (lists.py): pairs, the starts of all rows in them, and the numbers of the rows that are
meant; row n is the list of pairs from starts[numbers[n]] on. A product takes as many steps as there are pairs.
Otherwise it is as in matmul: the same chain of operations without the ones that add 0 times a number. So the right
operand must be finite, and only the sign of a zero may differ, where the bias is -0 or a number underflows.

Both products take the matrix that the numbers of pairs choose rows of, W or dW, in blocks of rows that stay in the
first-level cache, through all lists: 100 rows of MNIST times 784 x 256 take 125 us, and 211 row by row. A block of dW
is added up where the pairs say, in memory. Sorting the pairs by columns, so as to add up in registers, took 250 us
instead of 130 for 784 x 256, and 47 instead of 35 for 784 x 50.
"""

from typing import Any

import numpy as np

from fastnn.kernels import additions, lists, simd
from fastnn.kernels.compile import kernel
from fastnn.kernels.matmul import CHAIN, DEEP, add_to, chain_of
from fastnn.kernels.processor import VECTOR_BYTES
from fastnn.kernels.rows import all_finite
from fastnn.kernels.views import elements, part, vector_at

ROW_BLOCK = 128  # rows that are multiplied together
BLOCK_BYTES = 24576  # of rows that are added up, or multiplied, while they stay in the first-level cache
CHAIN_ROWS = CHAIN + 16  # the most of a chain
DEEP_HEIGHT = 128  # rows of a block if there are more than DEEP samples
_LINE = 8  # pairs in a cache line of 64 bytes, in float32


def indexed_scratch_size(columns: int, rows: int = 0) -> int:
    """Elements of scratch for a product and, if there are rows, for the transposed product of so many."""
    vector, panel = VECTOR_BYTES // 4, min(columns + VECTOR_BYTES // 4, lists.MOST_VECTORS * VECTOR_BYTES // 4)
    product = 6 * ROW_BLOCK + 2 * ROW_BLOCK * panel
    block = BLOCK_BYTES // 4 + lists.MOST_VECTORS * vector
    transposed = 6 * CHAIN_ROWS + block + (DEEP_HEIGHT * columns if rows > DEEP else 0)
    return max(product, transposed if rows else 0) + VECTOR_BYTES + 32


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
def _list_row_at_once(array: Any, start: int, depth: int, pairs: Any, at: int) -> None:
    """As _list_row, overwriting some pairs behind the row's."""
    lanes, p, k = simd.lanes(array), np.intp(at), np.intp(0)
    while k + lanes <= depth:
        p = lists.put_lanes(array, start + k, k, pairs, p)
        k += lanes
    while k < depth:
        if array[np.uintp(start + k)] != array.dtype.type(0.0):
            lists.put_pair(pairs, p, array[np.uintp(start + k)], k)
            p += 1
        k += 1


@kernel
def list_rows(x: Any, first: int, last: int, starts: Any, pairs: Any) -> None:
    """List the rows [first, last) of x, row n in the pairs from number starts[n] on.

    The fast way overwrites pairs behind a row, so it is not for the last rows, behind which another thread's are.
    """
    flat, depth = elements(x), x.shape[1]
    for n in range(first, last):
        if VECTOR_BYTES == lists.AT_ONCE_BYTES and starts[n + 1] + simd.lanes(x) <= starts[last]:
            _list_row_at_once(flat, n * depth, depth, pairs, starts[n])
        else:
            _list_row(flat, n * depth, depth, pairs, starts[n])


@kernel
def count_elements(x: Any, first: int, last: int, counts: Any) -> None:
    """counts[n] = how many elements of row n of x are not 0, or ~ that number if they are not all finite.

    For the rows [first, last).
    """
    flat, depth = elements(x), x.shape[1]
    for n in range(first, last):
        count, row = 0, part(flat, n * depth, depth)
        for k in range(depth):
            count += 1 if row[k] != x.dtype.type(0.0) else 0
        counts[n] = count if all_finite(row) else ~count


@kernel
def fill_row(pairs: Any, begin: int, end: int, row: Any) -> None:
    """Make the list of the pairs [begin, end) a dense row."""
    fill_zeros(row)
    for p in range(begin, end):
        row[np.uintp(lists.number_of(pairs, p))] = pairs[np.uintp(2 * p)]


@kernel
def fill_zeros(values: Any) -> None:
    """values = 0."""
    for i in range(values.size):
        values[i] = values.dtype.type(0.0)


@kernel
def _integers(scratch: Any, which: int, size: int) -> Any:
    """Array number `which` of integers at the start of scratch."""
    address = (scratch.ctypes.data + 7) // 8 * 8
    return vector_at(address + 8 * which * size, size, np.intp(0))


@kernel
def _lines_behind(scratch: Any, integers: int) -> Any:
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
def _store_block(block: Any, step: int, rows: int, width: int, out: Any) -> None:
    """Store `width` columns of so many rows, `step` apart. out: (vector, start, step, whether to add to it)."""
    array, start, out_step, adds = out
    one, lanes = simd.zero_tile(array, 1, 1), simd.lanes(array)
    for r in range(rows):
        for j in range(0, width, lanes):
            at, count = start + r * out_step + j, min(lanes, width - j)
            some = simd.load_tile(one, block, r * step + j, 0, lanes)
            if adds:
                some = simd.add_tile(some, array, at, 0, count)
            simd.store_tile(some, array, at, 0, count)


@kernel
def _width_of(columns: int, like: Any) -> int:
    """How many columns a panel takes: whole vectors, about as many in each panel."""
    lanes = simd.lanes(like)
    vectors = (columns + lanes - 1) // lanes
    panels = (vectors + lists.MOST_VECTORS - 1) // lists.MOST_VECTORS
    return (vectors + panels - 1) // panels * lanes


@kernel
def _multiply_chain(some: Any, depths: Any, right: Any, bias: Any, sums: Any, out: Any, width: int) -> None:
    """One chain of the product for `width` columns, block by block in depth.

    some: lists as in multiply_lists; depths: (the first number, the limit); right: (vector, start, step); bias:
    (vector, start, whether the chain begins with it); sums: scratch; out: (vector, start, step, whether to add to it).
    """
    first, limit = depths
    array, start, step, adds = out
    height, zero = max(1, BLOCK_BYTES // (width * array.itemsize)), np.intp(0)
    kept, kept_at, kept_step = (sums, zero, width) if adds else (array, start, step)
    for k in range(first, limit, height):
        end = min(limit, k + height)
        is_last = end == limit
        initial = (kept, kept_at, kept_step, True)
        if k == first:
            initial = (bias[0], bias[1], zero, bias[2])
        target = (array, start, step, adds)
        if not is_last:
            target = (kept, kept_at, kept_step, False)
        lists.multiply_lists(width, some, end, right, initial, target)


@kernel
def multiply_rows(index: Any, b: Any, bias: Any, scratch: Any, c: Any) -> None:
    """c = x b + bias for the rows x of the index; bias and c as in matmul.product. scratch: indexed_scratch_size(N)."""
    (rows, columns), depth, pairs = c.shape, b.shape[0], index[0]
    width, zero = _width_of(columns, b), np.intp(0)
    begins, ends = _integers(scratch, 0, ROW_BLOCK), _integers(scratch, 1, ROW_BLOCK)
    cursors = _integers(scratch, 2, ROW_BLOCK)
    sums = _lines_behind(scratch, 3 * ROW_BLOCK)
    totals = part(sums, ROW_BLOCK * width, ROW_BLOCK * width if depth > DEEP else 0)
    for i in range(0, rows, ROW_BLOCK):
        count = min(ROW_BLOCK, rows - i)
        _take_lists(index, i, count, begins, ends)
        for j in range(0, columns, width):
            size = min(width, columns - j)
            for n in range(count):
                cursors[n] = begins[n]
            for first in range(0, depth, DEEP):
                limit = min(depth, first + DEEP)
                chain = chain_of(limit - first)
                for k in range(first, limit, chain):
                    out = (elements(c), i * columns + j, columns, k > 0)
                    if first > 0:
                        out = (totals, zero, width, k > first)
                    _multiply_chain(
                        (pairs, cursors, ends, count),
                        (k, min(limit, k + chain)),
                        (elements(b), np.intp(j), columns),
                        (bias, np.intp(j), k == 0 and bias.size > 0),
                        sums,
                        out,
                        size,
                    )
                if first > 0:
                    _store_block(totals, width, count, size, (elements(c), i * columns + j, columns, True))


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
def chains_of(depth: int) -> int:
    """How many chains a product of at most DEEP steps has."""
    return (depth + chain_of(depth) - 1) // chain_of(depth)


@kernel
def first_of_share(depth: int, part: int, parts: int) -> int:
    """The first chain of part number `part` when each of `parts` takes a share of the chains."""
    return chains_of(depth) * part // parts


@kernel
def multiply_chains(index: Any, b: Any, bias: Any, scratch: Any, sums: Any, some: Any) -> None:
    """Some chains of x b + bias, each by itself, for all rows x of the index.

    some: (the first chain, the last one's successor, rows of sums for each); sums: (chains, rows, columns of b). The
    depth is at most DEEP. scratch: indexed_scratch_size(K).
    """
    pairs, starts, numbers = index
    (depth, columns), (first, last, capacity) = b.shape, some
    width, zero, chain, rows = _width_of(columns, b), np.intp(0), chain_of(depth), numbers.size
    begins, ends = _integers(scratch, 0, ROW_BLOCK), _integers(scratch, 1, ROW_BLOCK)
    cursors = _integers(scratch, 2, ROW_BLOCK)
    begin, limit = first * chain, min(depth, last * chain)
    for i in range(0, rows, ROW_BLOCK):
        count = min(ROW_BLOCK, rows - i)
        for n in range(count):
            start, ends[n] = starts[numbers[i + n]], starts[numbers[i + n] + 1]
            size = ends[n] - start
            for line in range(start + size * begin // depth, start + size * limit // depth, _LINE):
                lists.prefetch(pairs, 2 * line)
        for n in range(count):
            begins[n] = _place_from(pairs, starts[numbers[i + n]], ends[n], begin, depth)
        for j in range(0, columns, width):
            for n in range(count):
                cursors[n] = begins[n]
            for number in range(first, last):
                k = number * chain
                _multiply_chain(
                    (pairs, cursors, ends, count),
                    (k, min(limit, k + chain)),
                    (elements(b), np.intp(j), columns),
                    (bias, np.intp(j), k == 0 and bias.size > 0),
                    scratch,
                    (sums, (number * capacity + i) * columns + j, columns, depth < zero),
                    min(width, columns - j),
                )


@kernel
def add_chains(sums: Any, capacity: int, first: int, c: Any) -> None:
    """c = the sums of the chains that multiply_chains has computed, for the rows from `first` on."""
    flat, size, step = elements(c), c.size, capacity * c.shape[1]
    for i in range(size):
        flat[i] = sums[first * c.shape[1] + i]
    for start in range(step + first * c.shape[1], sums.size, step):
        add_to(part(sums, start, size), flat)


@kernel
def _sum_chain(index: Any, first: int, count: int, columns: Any, dy: Any, scratch: Any, out: Any) -> None:
    """One chain of x^T dy, over `count` rows from `first` on, for some columns of x.

    columns: (the first, the last one's successor, how many there are in all); out: (vector, start, whether to add).
    """
    pairs, starts, numbers = index
    begin, limit, depth = columns
    lanes, (array, start, adds) = simd.lanes(dy), out
    begins, ends, cursors = (
        _integers(scratch, 0, CHAIN_ROWS),
        _integers(scratch, 1, CHAIN_ROWS),
        _integers(scratch, 2, CHAIN_ROWS),
    )
    block = _lines_behind(scratch, 3 * CHAIN_ROWS)
    for n in range(count):
        number = numbers[first + n]
        ends[n] = starts[number + 1]
        begins[n] = _place_from(pairs, starts[number], ends[n], begin, depth)
    width = _width_of(dy.shape[1], dy)
    height = max(1, BLOCK_BYTES // (width * dy.itemsize))
    for j in range(0, dy.shape[1], width):
        size = min(width, dy.shape[1] - j)
        step = (size + lanes - 1) // lanes * lanes
        for n in range(count):
            cursors[n] = begins[n]
        for k in range(begin, limit, height):
            rows = min(height, limit - k)
            fill_zeros(part(block, 0, rows * step))
            additions.add_lists(
                size,
                (pairs, cursors, ends, count),
                k + rows,
                (elements(dy), first * dy.shape[1] + j, dy.shape[1]),
                (block, -k * step, step),
            )
            target = (array, start + (k - begin) * dy.shape[1] + j, dy.shape[1], adds)
            _store_block(block, step, rows, size, target)


@kernel
def multiply_rows_transposed(index: Any, depth: int, dy: Any, scratch: Any, dW: Any, first: int) -> None:
    """dW = (x^T dy)[first :] for the rows x (N, depth) of the index. scratch: indexed_scratch_size(K, N); dy (N, K)."""
    rows, columns = dy.shape
    flat = elements(dW)
    height = DEEP_HEIGHT if rows > DEEP else dW.shape[0]
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
