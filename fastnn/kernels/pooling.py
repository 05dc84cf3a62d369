"""The largest element, or the mean, of each window of images (C, H, W), one sample after the other.

Windows of 2 x 2 that meet without a gap, the usual ones, are taken a vector at once (neighbors.py). For others a row of
outputs is built up from one place of all its windows after the other.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels import simd
from fastnn.kernels.compile import apart, kernel
from fastnn.kernels.copies import fill, integers_in
from fastnn.kernels.frames import number, size_in, size_out
from fastnn.kernels.neighbors import added, claimed, larger, load_neighbors, scaled, store_neighbors
from fastnn.kernels.views import part


class Pooling(NamedTuple):
    """The sizes of images, windows and outputs."""

    channels: Any
    height: Any
    width: Any
    rows: Any  # of an output
    columns: Any
    tall: Any  # rows and columns of a window
    wide: Any
    down: Any  # the steps from one window to the next
    right: Any
    padding: Any


@kernel
def pooling_of(frame: Any) -> Pooling:
    """The sizes in a frame, whose numbers are the windows' height, width, step (0: their size) and padding."""
    tall, wide, step = np.intp(number(frame, 0)), np.intp(number(frame, 1)), np.intp(number(frame, 2))
    down, right = (tall, wide) if step == 0 else (step, step)
    image = size_in(frame, 0), size_in(frame, 1), size_in(frame, 2)
    return Pooling(*image, size_out(frame, 1), size_out(frame, 2), tall, wide, down, right, np.intp(number(frame, 3)))


@kernel
def are_squares(p: Pooling) -> bool:
    """Whether the windows are 2 x 2, meet without a gap and do not reach beyond the image."""
    return p.tall == 2 and p.wide == 2 and p.down == 2 and p.right == 2 and p.padding == 0


# --- the squares ------------------------------------------------------------------------------------------------------


@kernel
def _upper(p: Pooling, row: int) -> int:
    """The start of the upper row of pixels of a row of squares, counted through all channels."""
    return (row // p.rows * p.height + row % p.rows * 2) * p.width


@kernel
def _squares(x: Any, start: int, width: int, count: int) -> Any:
    """The four elements of `count` squares, row after row."""
    left, right = load_neighbors(x, start, count)
    lower_left, lower_right = load_neighbors(x, start + width, count)
    return left, right, lower_left, lower_right


@apart
def largest_of_squares(x: Any, p: Pooling, y: Any) -> None:
    """y = the largest of each square."""
    lanes = simd.lanes(x)
    for row in range(p.channels * p.rows):
        start = _upper(p, row)
        for j in range(0, p.columns, lanes):
            count = min(lanes, p.columns - j)
            a, b, c, d = _squares(x, start + 2 * j, p.width, count)
            simd.store_tile(((larger(larger(a, b), larger(c, d)),),), y, row * p.columns + j, 0, count)


@apart
def mean_of_squares(x: Any, p: Pooling, y: Any) -> None:
    """y = the mean of each square."""
    lanes, share = simd.lanes(x), x.dtype.type(0.25)
    for row in range(p.channels * p.rows):
        start = _upper(p, row)
        for j in range(0, p.columns, lanes):
            count = min(lanes, p.columns - j)
            a, b, c, d = _squares(x, start + 2 * j, p.width, count)
            total = added(added(a, b), added(c, d))
            simd.store_tile(((scaled(total, share),),), y, row * p.columns + j, 0, count)


@kernel
def _clear_rest(p: Pooling, dx: Any) -> None:
    """dx = 0 in a last row or column that is in no square."""
    zero, whole = dx.dtype.type(0.0), 2 * p.rows * p.width
    for c in range(p.channels):
        image = part(dx, c * p.height * p.width, p.height * p.width)
        for k in range(whole, image.size):
            image[k] = zero
        if p.width % 2 == 1:
            for i in range(2 * p.rows):
                image[i * p.width + p.width - 1] = zero


@apart
def largest_of_squares_backward(dy: Any, x: Any, y: Any, p: Pooling, dx: Any) -> None:
    """dx = dy at the first of the largest elements of each square, else 0."""
    lanes, one = simd.lanes(x), simd.zero_tile(x, 1, 1)
    for row in range(p.channels * p.rows):
        start = _upper(p, row)
        for j in range(0, p.columns, lanes):
            count, at = min(lanes, p.columns - j), row * p.columns + j
            a, b, c, d = _squares(x, start + 2 * j, p.width, count)
            best, rest = simd.load_tile(one, y, at, 0, count)[0][0], simd.load_tile(one, dy, at, 0, count)[0][0]
            da, rest = claimed(a, best, rest)
            db, rest = claimed(b, best, rest)
            dc, rest = claimed(c, best, rest)
            dd, rest = claimed(d, best, rest)
            store_neighbors((da, db), dx, start + 2 * j, count)
            store_neighbors((dc, dd), dx, start + p.width + 2 * j, count)
    _clear_rest(p, dx)


@apart
def mean_of_squares_backward(dy: Any, p: Pooling, dx: Any) -> None:
    """dx = a quarter of dy in each square."""
    lanes, one, share = simd.lanes(dx), simd.zero_tile(dx, 1, 1), dx.dtype.type(0.25)
    for row in range(p.channels * p.rows):
        start = _upper(p, row)
        for j in range(0, p.columns, lanes):
            count = min(lanes, p.columns - j)
            each = scaled(simd.load_tile(one, dy, row * p.columns + j, 0, count)[0][0], share)
            store_neighbors((each, each), dx, start + 2 * j, count)
            store_neighbors((each, each), dx, start + p.width + 2 * j, count)
    _clear_rest(p, dx)


# --- any windows ------------------------------------------------------------------------------------------------------


class _Run(NamedTuple):
    """One place of the windows of a row of outputs: the outputs `first` to `end`, and the first one's element."""

    first: Any
    count: Any
    start: Any
    step: Any


@kernel
def _run(p: Pooling, channel: int, i: int, a: int, b: int) -> _Run:
    """Row a and column b of the windows of row i of the outputs, where they are inside the image."""
    row = i * p.down + a - p.padding
    first = max(0, (p.padding - b + p.right - 1) // p.right)
    end = min(p.columns, (p.width - 1 + p.padding - b) // p.right + 1)
    count = end - first if 0 <= row < p.height else 0
    return _Run(first, count, (channel * p.height + row) * p.width + first * p.right + b - p.padding, p.right)


@kernel
def _span(x: Any, run: _Run) -> Any:
    """The elements of a run, and the ones between them."""
    return part(x, run.start, max(0, (run.count - 1) * run.step + 1))


@kernel
def _raise_to(x: Any, step: int, y: Any) -> None:
    """y = the larger of y and of every step-th x; NaN is the largest."""
    if step == 1:
        for j in range(y.size):
            y[j] = x[j] if x[j] > y[j] or x[j] != x[j] else y[j]
    elif step == 2:
        for j in range(y.size):
            y[j] = x[2 * j] if x[2 * j] > y[j] or x[2 * j] != x[2 * j] else y[j]
    else:
        for j in range(y.size):
            value = x[j * step]
            y[j] = value if value > y[j] or value != value else y[j]


@apart
def largest_of_windows(x: Any, p: Pooling, y: Any) -> None:
    """y = the largest element of each window."""
    lowest = y.dtype.type(-math.inf)
    for row in range(p.channels * p.rows):
        channel, i = row // p.rows, row % p.rows
        fill(part(y, row * p.columns, p.columns), lowest)
        for place in range(p.tall * p.wide):
            run = _run(p, channel, i, place // p.wide, place % p.wide)
            if run.count > 0:
                _raise_to(_span(x, run), run.step, part(y, row * p.columns + run.first, run.count))


@kernel
def _note(x: Any, step: int, y: Any, place: Any, places: Any) -> None:
    """places = place for the outputs y that are an x, or NaN with it, and have no place yet, which is below 0."""
    zero = y.dtype.type(0.0)
    if step == 1:
        for j in range(y.size):
            places[j] = place if (x[j] == y[j] or x[j] != x[j]) and places[j] < zero else places[j]
    elif step == 2:
        for j in range(y.size):
            value = x[2 * j]
            places[j] = place if (value == y[j] or value != value) and places[j] < zero else places[j]
    else:
        for j in range(y.size):
            value = x[j * step]
            places[j] = place if (value == y[j] or value != value) and places[j] < zero else places[j]


def scratch_of_windows(places: int, columns: int) -> int:
    """Elements of scratch, of either dtype, that the gradient by the largest elements takes."""
    return 2 * places + columns


@apart
def largest_of_windows_backward(dy: Any, x: Any, y: Any, p: Pooling, memory: Any, dx: Any) -> None:
    """dx = the sums of dy over the windows in which an element is the first of the largest.

    memory: see scratch_of_windows. Each row of outputs first finds the places of all, a vector at once, and then adds
    its gradients there one by one.
    """
    count, none = p.tall * p.wide, y.dtype.type(-1.0)
    distances, places = integers_in(memory, 0, count), part(memory, 2 * count, p.columns)
    for place in range(count):
        distances[place] = place // p.wide * p.width + place % p.wide
    fill(dx, dx.dtype.type(0.0))
    for row in range(p.channels * p.rows):
        channel, i = row // p.rows, row % p.rows
        best, gradients = part(y, row * p.columns, p.columns), part(dy, row * p.columns, p.columns)
        fill(places, none)
        for place in range(count):
            run = _run(p, channel, i, place // p.wide, place % p.wide)
            if run.count > 0:
                some = part(best, run.first, run.count), y.dtype.type(place), part(places, run.first, run.count)
                _note(_span(x, run), run.step, some[0], some[1], some[2])
        start = (channel * p.height + i * p.down - p.padding) * p.width - p.padding
        for j in range(p.columns):
            if places[j] >= 0.0:  # or another Python thread has changed x since y was computed
                dx[start + j * p.right + distances[np.intp(places[j])]] += gradients[j]


@kernel
def _add_to(x: Any, step: int, y: Any) -> None:
    """y += every step-th x."""
    if step == 1:
        for j in range(y.size):
            y[j] += x[j]
    elif step == 2:
        for j in range(y.size):
            y[j] += x[2 * j]
    else:
        for j in range(y.size):
            y[j] += x[j * step]


@apart
def mean_of_windows(x: Any, p: Pooling, y: Any) -> None:
    """y = the mean of each window, in which there are zeros beyond the image."""
    share, zero = y.dtype.type(1.0 / (p.tall * p.wide)), y.dtype.type(0.0)
    for row in range(p.channels * p.rows):
        channel, i = row // p.rows, row % p.rows
        means = part(y, row * p.columns, p.columns)
        fill(means, zero)
        for place in range(p.tall * p.wide):
            run = _run(p, channel, i, place // p.wide, place % p.wide)
            if run.count > 0:
                _add_to(_span(x, run), run.step, part(means, run.first, run.count))
        for j in range(means.size):
            means[j] *= share


@kernel
def _spread(dy: Any, share: Any, step: int, dx: Any) -> None:
    """Add share dy to every step-th dx."""
    if step == 1:
        for j in range(dy.size):
            dx[j] += share * dy[j]
    else:
        for j in range(dy.size):
            dx[j * step] += share * dy[j]


@apart
def mean_of_windows_backward(dy: Any, p: Pooling, dx: Any) -> None:
    """dx = the sums of dy over the windows of an element, divided by their sizes."""
    share = dx.dtype.type(1.0 / (p.tall * p.wide))
    fill(dx, dx.dtype.type(0.0))
    for row in range(p.channels * p.rows):
        channel, i = row // p.rows, row % p.rows
        for place in range(p.tall * p.wide):
            run = _run(p, channel, i, place // p.wide, place % p.wide)
            if run.count > 0:
                some = part(dy, row * p.columns + run.first, run.count)
                _spread(some, share, run.step, _span(dx, run))
