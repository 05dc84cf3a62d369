"""The parametric rectified linear unit: a slope for each unit, which is trained."""

from dataclasses import dataclass
from typing import Any

from fastnn.gate import arrays
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import formula
from fastnn.kernels.frames import (
    BEGIN,
    CHANGES,
    COLUMN,
    OUTPUTS,
    PREPARED,
    RUN,
    SAMPLE_COUNT,
    SAMPLES,
    STEPS,
    WIDTH,
    d_source,
    d_target,
    integers_of,
    out,
    parameter,
    source,
    sums,
    target,
    vector_of,
)
from fastnn.kernels.units import unit
from fastnn.kernels.vector_math import constant
from fastnn.kernels.views import part
from fastnn.operations.base import Layer, Units, changes_of_elements, check_finite_in
from fastnn.operations.links import Elements


@formula
def prelu(x: Any, slope: Any) -> Any:
    """x where x > 0, else slope x."""
    return x if x > constant(x, 0.0) else slope * x


@unit
def prelu_forward(frame: Any) -> None:
    """y = prelu(x, slope), unit by unit."""
    slopes, xs, ys = parameter(frame, 0), source(frame), target(frame)
    for n in range(xs.shape[0]):
        x, y = xs[n], ys[n]
        for j in range(x.size):
            y[j] = prelu(x[j], slopes[j])


@unit
def prelu_backward(frame: Any) -> None:
    """dx = dy where x > 0, else slope dy."""
    slopes, xs, dys, dxs = parameter(frame, 0), source(frame), d_target(frame), d_source(frame)
    for n in range(xs.shape[0]):
        x, dy, dx = xs[n], dys[n], dxs[n]
        for j in range(x.size):
            dx[j] = dy[j] if x[j] > constant(x[j], 0.0) else slopes[j] * dy[j]


@unit
def prelu_gradient(frame: Any) -> None:
    """d_slope = the sum of dy x over the rows where x is not above 0; in float64, in the order of the rows."""
    d_slope, xs, dys, totals = out(frame), source(frame), d_target(frame), sums(frame)
    for begin in range(0, d_slope.size, totals.size):
        count, at = min(totals.size, d_slope.size - begin), get(frame, BEGIN) + begin
        totals[:count] = 0.0
        for n in range(xs.shape[0]):
            x, dy = part(xs[n], at, count), part(dys[n], at, count)
            for j in range(count):
                totals[j] += 0.0 if x[j] > constant(x[j], 0.0) else dy[j] * x[j]
        for j in range(count):
            d_slope[begin + j] = totals[j]


@unit
def prelu_prepare(frame: Any) -> None:
    """The slopes."""
    vector_of(frame, PREPARED, get(frame, OUTPUTS))[:] = parameter(frame, 0)


@unit
def prelu_move(frame: Any) -> None:
    """d y = x d_slope where x is not above 0, else 0."""
    samples, run, width = integers_of(frame, SAMPLES, get(frame, SAMPLE_COUNT)), get(frame, RUN), get(frame, WIDTH)
    steps, d, x = vector_of(frame, STEPS, run), vector_of(frame, CHANGES, samples.size * run), source(frame)
    for s in range(samples.size):
        base, some = part(x[samples[s]], get(frame, COLUMN), width), part(d, s * run, run)
        for k in range(width):
            factor = 0.0 if base[k] > 0.0 else base[k]
            for c in range(k, run, width):
                some[c] = steps[c] * factor


@formula
def _change(slope: Any, x: Any, d: Any) -> Any:
    return prelu(x + d, slope) - prelu(x, slope)


@unit
def prelu_change(frame: Any) -> None:
    """prelu(x + d) - prelu(x)."""
    changes_of_elements(_change, frame)


@dataclass(frozen=True)
class PRelu(Layer):
    """y = x where x > 0, else slope x, with a slope for each unit that is trained like a weight (He et al., 2015).

    Its parameters are `slope1` (outputs,), `slope2`, ... Regularization leaves them alone.

    Parameters
    ----------
    slope : float
        Where all slopes begin.
    """

    slope: float = 0.25

    takes_elements = True
    has_kink = True
    units = Units(
        prelu_forward,
        prelu_backward,
        prelu_gradient,
        prepare=prelu_prepare,
        move=prelu_move,
        change=prelu_change,
    )
    link = Elements(exact_slopes=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", arrays.real("slope", self.slope))

    def parameters(self, width: int) -> dict[str, tuple[int, ...]]:
        """slope (width,)."""
        return {"slope": (width,)}

    def check_in(self, name: str, dtype: Any) -> None:
        check_finite_in(name, self.slope, dtype)
