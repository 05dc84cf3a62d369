"""Changes of the outputs of operations on single elements, when their inputs change. All is float64.

They stand in one of two layouts. In *columns*, d (samples, points, WIDTH) holds the changes of the elements from COLUMN
on; in a *block*, d (elements, samples * RUN) holds the changes of all elements, RUN numbers of each for one sample.
"""

from typing import Any

from fastnn.kernels import frames
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import formula
from fastnn.kernels.frames import matrix_of, samples_of, source, target, vector_of
from fastnn.kernels.small_changes import SMALL, largest_magnitude
from fastnn.kernels.views import part

COLUMNS, BLOCK = 0, 1  # values of LAYOUT


@formula
def changes_of_elements(change: Any, value: Any, frame: Any, a: Any, b: Any, c: Any) -> None:
    """d = change(value, x, d, a, b, c) for all changes d of elements; a, b and c hold a number for each column."""
    samples = samples_of(frame)
    run, size, units = get(frame, frames.RUN), samples.size * get(frame, frames.RUN), get(frame, frames.OUTPUTS)
    x = matrix_of(frame, frames.SOURCE, get(frame, frames.ROWS), get(frame, frames.INPUTS))
    if get(frame, frames.LAYOUT) == COLUMNS:
        j, width = get(frame, frames.COLUMN), get(frame, frames.WIDTH)
        some_a, some_b, some_c = part(a, j, width), part(b, j, width), part(c, j, width)
        d, points = vector_of(frame, frames.CHANGES, size), run // width
        for s in range(samples.size):
            base = part(x[samples[s]], j, width)
            for r in range(s * points, (s + 1) * points):
                row = part(d, r * width, width)
                for k in range(width):
                    row[k] = change(value, base[k], row[k], some_a[k], some_b[k], some_c[k])
        return
    d = vector_of(frame, frames.CHANGES, units * size)
    for s in range(samples.size):
        base = x[samples[s]]
        for k in range(units):
            row, at = part(d, k * size + s * run, run), base[k]
            for i in range(run):
                row[i] = change(value, at, row[i], a[k], b[k], c[k])


@formula
def _change_row(function: Any, change: Any, p: Any, x: Any, y: Any, d: Any) -> None:
    """d = function(x + d) - y for vectors x, y and d; by change(x, y, d) where d is small.

    Which of them depends on the single element, and so do the bits.
    """
    if largest_magnitude(d) <= SMALL:
        for k in range(d.size):
            d[k] = change(x[k], y[k], d[k], p)
        return
    for k in range(d.size):
        near, far = change(x[k], y[k], d[k], p), function(x[k] + d[k], p) - y[k]
        d[k] = near if abs(d[k]) <= SMALL else far


@formula
def _change_run(function: Any, change: Any, p: Any, x: Any, y: Any, d: Any) -> None:
    """As _change_row, for numbers x and y."""
    if largest_magnitude(d) <= SMALL:
        for k in range(d.size):
            d[k] = change(x, y, d[k], p)
        return
    for k in range(d.size):
        near, far = change(x, y, d[k], p), function(x + d[k], p) - y
        d[k] = near if abs(d[k]) <= SMALL else far


@formula
def changes_of_activation(function: Any, change: Any, frame: Any) -> None:
    """d = function(x + d, p) - y for all changes d of single elements; by change(x, y, d, p) for |d| <= SMALL."""
    samples, p = samples_of(frame), frames.number(frame, 0)
    run, size, units = get(frame, frames.RUN), samples.size * get(frame, frames.RUN), get(frame, frames.OUTPUTS)
    xs, ys = source(frame), target(frame)
    if get(frame, frames.LAYOUT) == COLUMNS:
        j, width = get(frame, frames.COLUMN), get(frame, frames.WIDTH)
        d = vector_of(frame, frames.CHANGES, size)
        for s in range(samples.size):
            x, y = part(xs[samples[s]], j, width), part(ys[samples[s]], j, width)
            for start in range(s * run, (s + 1) * run, width):
                _change_row(function, change, p, x, y, part(d, start, width))
        return
    d = vector_of(frame, frames.CHANGES, units * size)
    for s in range(samples.size):
        x, y = xs[samples[s]], ys[samples[s]]
        for k in range(units):
            _change_run(function, change, p, x[k], y[k], part(d, k * size + s * run, run))
