"""Layers on single elements, made of formulas, with one to three parameters for each column."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.kernels import frames
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.frames import d_source, d_target, integers_of, out, parameter, source, sums, target, vector_of
from fastnn.kernels.units import Unit
from fastnn.kernels.views import part
from fastnn.operations.base import Shape, TrainedLayer, Units, check_finite_in, one_dimension
from fastnn.operations.links import Elements
from fastnn.operations.moved_elements import changes_of_elements

MOST = 3  # parameters of a column


@dataclass(frozen=True)
class ColumnLayer(TrainedLayer):
    """The base of layers whose fields name their parameters, a number for each column, and give the initial values."""

    takes_elements = True
    link = Elements(sums=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self._names():
            object.__setattr__(self, name, arrays.real(name, getattr(self, name)))

    def _names(self) -> list[str]:
        """The names of the parameters."""
        return [one.name for one in fields(self) if not one.kw_only]

    def shape_of_output(self, shape: Shape) -> Shape:
        return one_dimension(self, shape)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return dict.fromkeys(self._names(), shape)

    def beginnings(self, follows: str, generator: np.random.Generator) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names()}

    def check_in(self, name: str, dtype: Any) -> None:
        super().check_in(name, dtype)
        for one in self._names():
            check_finite_in(name, getattr(self, one), dtype)


@kernel
def _column_parameter(frame: Any, which: int) -> Any:
    """A parameter of all columns; the first one if there are fewer."""
    places = integers_of(frame, frames.PLACES, frames.PLACES_SIZE)
    return parameter(frame, which if places[frames.EACH_PLACE * which + frames.HEIGHT] > 0 else 0)


@formula
def _row(value: Any, x: Any, a: Any, b: Any, c: Any, y: Any) -> None:
    """y = value(x), column by column."""
    for j in range(x.size):
        y[j] = value(x[j], a[j], b[j], c[j])


@formula
def _row_backward(slopes: Any, dy: Any, x: Any, a: Any, b: Any, c: Any, dx: Any) -> None:
    """dx = dy times the slope by x, column by column."""
    for j in range(x.size):
        dx[j] = dy[j] * slopes(x[j], a[j], b[j], c[j])[0]


@formula
def _add_row(slopes: Any, which: int, dy: Any, x: Any, a: Any, b: Any, c: Any, totals: Any) -> None:
    """totals += dy times the slope by a parameter, column by column."""
    for j in range(totals.size):
        _, by_a, by_b, by_c = slopes(x[j], a[j], b[j], c[j])
        totals[j] += dy[j] * (by_a if which == 0 else by_b if which == 1 else by_c)


@formula
def difference_by_parameter(value: Any, which: int, step: Any, x: Any, a: Any, b: Any, c: Any) -> Any:
    """The change of value(x) when a parameter changes by a step."""
    moved_a, moved_b = a + step if which == 0 else a, b + step if which == 1 else b
    return value(x, moved_a, moved_b, c + step if which == 2 else c) - value(x, a, b, c)


@formula
def _difference(value: Any, x: Any, d: Any, a: Any, b: Any, c: Any) -> Any:
    return value(x + d, a, b, c) - value(x, a, b, c)


@formula
def _move_row(move: Any, value: Any, which: int, steps: Any, x: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """d (points, width) = the change of each column when a parameter changes by `steps` (points, width)."""
    for k in range(x.size):
        for i in range(k, d.size, x.size):
            d[i] = move(value, which, steps[i], x[k], a[k], b[k], c[k])


def units_of_columns(
    value: Callable[..., Any], slopes: Callable[..., Any], move: Callable[..., Any] = difference_by_parameter
) -> Units:
    """The units of y = value(x, a, b, c), column by column, with the column's parameters a, b and c.

    slopes(x, a, b, c): the derivatives by x, a, b and c. move(value, which, step, x, a, b, c): the change of y when
    parameter number `which` changes by `step`, in float64; pass it if there is a formula without a difference. A layer
    of fewer parameters ignores b and c, and their slopes are 0. All are formulas, compiled into these loops.
    """

    def forward(frame: Any) -> None:
        a, b, c = _column_parameter(frame, 0), _column_parameter(frame, 1), _column_parameter(frame, 2)
        xs, ys = source(frame), target(frame)
        for n in range(xs.shape[0]):
            _row(value, xs[n], a, b, c, ys[n])

    def backward(frame: Any) -> None:
        a, b, c = _column_parameter(frame, 0), _column_parameter(frame, 1), _column_parameter(frame, 2)
        xs, dys, dxs = source(frame), d_target(frame), d_source(frame)
        for n in range(xs.shape[0]):
            _row_backward(slopes, dys[n], xs[n], a, b, c, dxs[n])

    def gradient(frame: Any) -> None:
        a, b, c = _column_parameter(frame, 0), _column_parameter(frame, 1), _column_parameter(frame, 2)
        result, xs, dys, memory = out(frame), source(frame), d_target(frame), sums(frame)
        for begin in range(0, result.size, memory.size):  # in float64, in the order of the rows
            count, at = min(memory.size, result.size - begin), get(frame, frames.BEGIN) + begin
            totals, some_a = part(memory, 0, count), part(a, at, count)
            some_b, some_c = part(b, at, count), part(c, at, count)
            totals[:] = 0.0
            for n in range(xs.shape[0]):
                x, dy = part(xs[n], at, count), part(dys[n], at, count)
                _add_row(slopes, get(frame, frames.PARAMETER), dy, x, some_a, some_b, some_c, totals)
            for j in range(count):
                result[begin + j] = totals[j]

    def moves(frame: Any) -> None:
        samples, run, width = frames.samples_of(frame), get(frame, frames.RUN), get(frame, frames.WIDTH)
        steps = vector_of(frame, frames.STEPS, run)
        d, x = vector_of(frame, frames.CHANGES, samples.size * run), source(frame)
        j, which = get(frame, frames.COLUMN), get(frame, frames.PARAMETER)
        a, b, c = _column_parameter(frame, 0), _column_parameter(frame, 1), _column_parameter(frame, 2)
        some_a, some_b, some_c = part(a, j, width), part(b, j, width), part(c, j, width)
        for s in range(samples.size):
            base = part(x[samples[s]], j, width)
            _move_row(move, value, which, steps, base, some_a, some_b, some_c, part(d, s * run, run))

    def change(frame: Any) -> None:
        a, b, c = _column_parameter(frame, 0), _column_parameter(frame, 1), _column_parameter(frame, 2)
        changes_of_elements(_difference, value, frame, a, b, c)

    return Units(
        Unit(forward, made_of=(value,)),
        Unit(backward, made_of=(slopes,)),
        Unit(gradient, made_of=(slopes,)),
        move=Unit(moves, made_of=(move, value)),
        change=Unit(change, made_of=(value,)),
    )
