"""Rows of bytes as floats times a scale: dense, or listed for many batches as in kernels/indexed.py."""

from typing import Any

import numpy as np

from fastnn.kernels import lists, simd
from fastnn.kernels.compile import apart, kernel
from fastnn.kernels.views import part


@apart
def scale_bytes(source: Any, scale: Any, target: Any) -> None:
    """target = source times the scale, a number of target's dtype; source holds as many bytes."""
    for i in range(target.size):
        target[i] = target.dtype.type(source[i]) * scale


@kernel
def count_bytes(source: Any, depth: int, first: int, last: int, counts: Any) -> None:
    """counts[n] = how many bytes of row n are not 0, for the rows [first, last) of `depth` bytes."""
    zero = np.uint8(0)
    for n in range(first, last):
        count, row = 0, part(source, n * depth, depth)
        for k in range(depth):
            count += 1 if row[k] != zero else 0
        counts[n] = count


@kernel
def _list_row(source: Any, start: int, depth: int, scale: Any, pairs: Any, at: int) -> None:
    """List `depth` adjacent bytes in the pairs from number `at` on."""
    p, k = np.uintp(at), 0
    while k + simd.BYTES_AT_ONCE <= depth:
        found = simd.nonzero_bytes(source, start + k)
        while found != np.uintp(0):
            number = k + lists.lowest_bit(found)
            lists.put_pair(pairs, np.intp(p), pairs.dtype.type(source[np.uintp(start + number)]) * scale, number)
            p += np.uintp(1)
            found &= found - np.uintp(1)
        k += simd.BYTES_AT_ONCE
    while k < depth:
        if source[np.uintp(start + k)] != np.uint8(0):
            lists.put_pair(pairs, np.intp(p), pairs.dtype.type(source[np.uintp(start + k)]) * scale, k)
            p += np.uintp(1)
        k += 1


@kernel
def list_bytes(source: Any, depth: int, first: int, last: int, scale: Any, starts: Any, pairs: Any) -> None:
    """List the rows [first, last) of `depth` bytes times the scale, row n in the pairs from number starts[n] on."""
    for n in range(first, last):
        _list_row(source, n * depth, depth, scale, pairs, starts[n])
