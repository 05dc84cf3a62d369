"""Units of losses that are sums over the outputs, made of formulas of one output and its target."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels import frames
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import by_dtype, formula, kernel
from fastnn.kernels.frames import d_target, get_real, number, sums, target, vector_of
from fastnn.kernels.rows import sum_of
from fastnn.kernels.units import Unit
from fastnn.kernels.vector_math import constant
from fastnn.kernels.views import elements, part
from fastnn.operations.losses.base import LossUnits, changes_of, dense_of, losses_of, row_numbers_of

LARGEST_32 = 3.4028234663852886e38


class InFloat32(NamedTuple):
    """How most elements of a float32 loss are computed in float32, each within a few units of the last place.

    of
        (l, l') as of(y, t, p), all float32.
    suits
        Whether this holds for such an element, as suits(y, t, p); otherwise it is computed in float64.
    """

    of: Any
    suits: Any


@formula
def in_own_dtype(x: Any) -> Any:
    """x as it is."""
    return x


@formula
def in_float64(x: Any) -> Any:
    """x in float64, for losses that overflow in float32."""
    return np.float64(x)


@formula
def _slope(y: Any, slope: Any) -> Any:
    """A slope in the dtype of y. One that is infinite only in float32 stays finite: times 0 it must not become NaN."""
    rounded, largest = constant(y, slope), constant(y, LARGEST_32)
    bound = largest if slope > constant(slope, 0.0) else -largest
    return bound if abs(rounded) == np.inf and abs(slope) < np.inf else rounded


@formula
def _block(
    value: Any, derivative: Any, widened: Any, p: Any, share: Any, outputs: Any, slopes: Any, values: Any
) -> Any:
    """values = value(y, t, p), slopes = share derivative(y, t, p, value), of outputs y and their targets in slopes."""
    wide_p, wide_share = constant(widened(outputs[0]), p), constant(widened(outputs[0]), share)
    for i in range(outputs.size):
        values[i] = value(widened(outputs[i]), widened(slopes[i]), wide_p)
    for i in range(outputs.size):
        slope = derivative(widened(outputs[i]), widened(slopes[i]), wide_p, values[i]) * wide_share
        slopes[i] = _slope(outputs[i], slope)


@formula
def _block_in_float32(of: Any, p: Any, share: Any, outputs: Any, slopes: Any, values: Any) -> None:
    """As _block, if all elements suit."""
    for i in range(outputs.size):
        values[i], slope = of(outputs[i], slopes[i], p)
        slopes[i] = slope * share


@formula
def _mixed_block(
    value: Any, derivative: Any, widened: Any, of: Any, suits: Any, p: Any, share: Any, outputs: Any, slopes: Any,
    values: Any,
) -> None:  # fmt: skip
    """As _block, each element in its own way, so that its bits do not depend on its neighbours."""
    p32, share32 = np.float32(p), np.float32(share)
    wide_p, wide_share = constant(widened(p32), p), constant(widened(p32), share)
    for i in range(outputs.size):
        y, t = outputs[i], slopes[i]
        if share <= 1.0 and suits(y, t, p32):
            values[i], slope = of(y, t, p32)
            slopes[i] = slope * share32
        else:
            values[i] = value(widened(y), widened(t), wide_p)
            slopes[i] = _slope(y, derivative(widened(y), widened(t), wide_p, values[i]) * wide_share)


@formula
def _all_suit(suits: Any, p: Any, outputs: Any, targets: Any) -> Any:
    """Whether all elements may be computed in float32."""
    wrong = False
    for i in range(outputs.size):
        wrong |= not suits(outputs[i], targets[i], p)
    return not wrong


@formula
def _block_of_any(
    zero: Any, value: Any, derivative: Any, widened: Any, of: Any, suits: Any, p: Any, share: Any, arrays: Any
) -> Any:
    """Fill slopes and values, float64, or `own`, in the same place and of the outputs' dtype; whether it was `own`.

    arrays: outputs, slopes, values, own.
    """
    outputs, slopes, values, _ = arrays
    _block(value, derivative, widened, p, share, outputs, slopes, values)
    return False


@formula
def _block_of_float32(
    zero: Any, value: Any, derivative: Any, widened: Any, of: Any, suits: Any, p: Any, share: Any, arrays: Any
) -> Any:
    """As _block_of_any."""
    outputs, slopes, values, own = arrays
    if share <= 1.0 and _all_suit(suits, np.float32(p), outputs, slopes):
        _block_in_float32(of, np.float32(p), np.float32(share), outputs, slopes, own)
        return True
    _mixed_block(value, derivative, widened, of, suits, p, share, outputs, slopes, values)
    return False


_block_by_dtype = by_dtype(_block_of_float32, _block_of_any)


@formula
def _copy(source: Any, copy: Any) -> None:
    for i in range(copy.size):
        copy[i] = source[i]


@kernel
def _start(frame: Any, first: int, last: int) -> None:
    """Set the losses of rows [first, last) to 0 and their gradient to the targets.

    Targets that follow each other are copied at once; those that stand in the gradient's place are there.
    """
    count, dy, flat_t = last - first, d_target(frame), dense_of(frame)
    rows, losses = part(row_numbers_of(frame), first, count), part(losses_of(frame), first, count)
    width, follow = dy.shape[1], True
    slopes = part(elements(dy), first * width, count * width)
    for n in range(count):
        losses[n] = 0.0
        follow &= rows[n] - rows[0] == n
    if follow:
        if get(frame, frames.DENSE) != get(frame, frames.D_TARGET) or rows[0] != first:
            _copy(part(flat_t, rows[0] * width, count * width), slopes)
    else:
        for n in range(count):
            _copy(part(flat_t, rows[n] * width, width), part(slopes, n * width, width))


@kernel
def _add(values: Any, losses: Any, width: int) -> None:
    """Add the values of several rows, or of a piece of a single one, to their losses."""
    if losses.size == 1:
        losses[0] += sum_of(values, values.size)
    else:
        for n in range(losses.size):
            losses[n] = sum_of(part(values, n * width, width), width)


@formula
def _rows(block: Any, value: Any, derivative: Any, widened: Any, of: Any, suits: Any, frame: Any) -> None:
    """The losses and slopes of all rows, by a block of elements at a time; see units_of.

    Several narrow rows are taken at once, as ten outputs would hardly fill a register, and wide ones in pieces.
    """
    flat_y, flat_dy, losses, scratch = elements(target(frame)), elements(d_target(frame)), losses_of(frame), sums(frame)
    width, share, p = target(frame).shape[1], 1.0 / get_real(frame, frames.DIVISOR), number(frame, 0)
    several, zero = max(1, scratch.size // width), target(frame).dtype.type(0.0)
    for first in range(0, losses.size, several):
        last = min(first + several, losses.size)
        _start(frame, first, last)
        for begin in range(first * width, last * width, scratch.size):
            count = min(scratch.size, last * width - begin)
            outputs, slopes = part(flat_y, begin, count), part(flat_dy, begin, count)
            values, own = part(scratch, 0, count), vector_of(frame, frames.SUMS, count)
            if block(zero, value, derivative, widened, of, suits, p, share, (outputs, slopes, values, own)):
                _add(own, part(losses, first, last - first), width)
            else:
                _add(values, part(losses, first, last - first), width)


@formula
def _change(change: Any, frame: Any) -> None:
    """The sum of change(d, y, t, p) over the outputs, for each column."""
    outputs, p = get(frame, frames.OUTPUTS), number(frame, 0)
    samples, run, ys, ts, d, result = changes_of(frame, outputs)
    for s in range(samples.size):
        y, t, some = ys[samples[s]], ts[samples[s]], part(result, s * run, run)
        some[:] = 0.0
        for k in range(outputs):
            row = part(d[k], s * run, run)
            for c in range(run):
                some[c] += change(row[c], y[k], t[k], p)


@formula
def _change_of_one(change: Any, frame: Any) -> None:
    """change(d, y, t, p) for the output that changes."""
    j, width, p = get(frame, frames.COLUMN), get(frame, frames.WIDTH), number(frame, 0)
    samples, run, ys, ts, d, result = changes_of(frame, 1)
    for s in range(samples.size):
        y, t = part(ys[samples[s]], j, width), part(ts[samples[s]], j, width)
        for start in range(s * run, (s + 1) * run, width):
            some, out = part(d[0], start, width), part(result, start, width)
            for c in range(width):
                out[c] = change(some[c], y[c], t[c], p)


def units_of(
    value: Callable[..., Any],
    derivative: Callable[..., Any],
    change: Callable[..., Any],
    widened: Any = in_own_dtype,
    in_float32: InFloat32 | None = None,
) -> LossUnits:
    """The units of a loss that is a sum over the outputs.

    Parameters
    ----------
    value, derivative, change : formulas
        l(y, t, p), l'(y, t, p, l), and l(y + d, t, p) - l(y, t, p) as change(d, y, t, p), without the difference if
        that would cancel. p is the loss's one parameter.
    widened : formula
        `in_float64` if float32 would overflow.
    in_float32 : InFloat32, optional
        How float32 elements are computed faster. Each value and slope is rounded in float32; the sum of the values is
        float64, so its relative error is no larger than that of the worst of values of one sign.
    """
    of, suits = in_float32 or (value, in_own_dtype)
    block = _block_of_any if in_float32 is None else _block_by_dtype
    made_of = (block, value, derivative, widened, of, suits)  # all that `rows` holds, or its code is not kept on disk

    def rows(frame: Any) -> None:
        _rows(block, value, derivative, widened, of, suits, frame)

    def changes(frame: Any) -> None:
        _change(change, frame)

    def changes_of_one(frame: Any) -> None:
        _change_of_one(change, frame)

    return LossUnits(
        Unit(rows, made_of=made_of), Unit(changes, made_of=(change,)), Unit(changes_of_one, made_of=(change,))
    )
