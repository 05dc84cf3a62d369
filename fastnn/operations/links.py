"""Links, by which a check of gradients goes through an operation: forward with slopes, backward by the chain rule.

An operation has a link beside its units. gradients/chained_gradient.py joins the links of a network to a gradient that
owes nothing to the units of a backward pass, in NumPy in float64.

Several *runs* go beside the exact one, each rounded at random after every operation as in the network's dtype (after
Vignes, Mathematics and Computers in Simulation 35, 1993). Their spread is the noise of a tensor.

Shape letters: R runs, N batch, D inputs and H outputs of an operation, P entries of a parameter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastnn.gate.arrays import Array

# The runs: one exact, the noisy ones, and three exact ones that mix the slopes above and below a kink in these parts
# where an element stands on it.
NOISY = slice(1, 9)
SHARES = np.array([0.0] * 9 + [0.0, 0.5, 1.0])
RUNS = len(SHARES)
SURE = 4.0  # standard deviations in a noise
STEP = 0.02  # of quotients, for numbers of at most 1
SMALLEST_STEP = 0.01  # for a parameter near 0
BESIDE, BESIDE_OTHERS = 1e-12, 1e-6  # how near to a kink at 0 slopes are measured, and to others in parts of them
EPS = float(np.finfo(np.float64).eps)


class Operation(Protocol):
    """One operation of a network, as its link sees it.

    Attributes
    ----------
    layer : Layer
    shapes : pair of tuples
        The shapes of a sample's inputs and outputs.
    parameters, statistics : list of array
    unit : float
        The standard deviation of a rounding of 1.
    points : tuple of float
        The points of quotients, in steps.
    """

    layer: Any
    shapes: Any
    parameters: list[Array]
    statistics: list[Array]
    unit: float
    points: tuple[float, ...]

    def noise(self, scale: Array) -> Array:
        """Random numbers (R, *scale.shape) of this standard deviation; 0 in the exact runs, and where scale is 0."""

    def forward(self, x: Array, which: int = -1, step: Any = 0.0, dtype: Any = np.float64) -> Array:
        """The outputs for x (..., D) by the unit of the forward pass, with one parameter moved by a step."""

    def slopes(self, x: Array, y: Array) -> Array:
        """The result of the backward pass's unit for gradients of 1."""

    def backward(self, x: Array, y: Array, dy: Array, dtype: Any = np.float64) -> tuple[Array, list[Array]]:
        """The gradients by the inputs (N, D) and by each parameter, by the units of the backward pass."""

    def quotient(self, changes: Array, steps: Array) -> tuple[Array, Array]:
        """The difference quotients of changes (points, ...), and estimates of their errors."""


class Taken(NamedTuple):
    """An operation's forward results that the backward pass needs."""

    x: Array  # (R, N, D)
    y: Array  # (R, N, H)
    slopes: Any = 0.0  # of single elements (R, N, H)
    factors: tuple[Array, ...] = ()  # the slopes by each parameter of the columns (R, N, H)
    lost: Any = 0.0  # how far rounding may carry a factor (N, H)


class Gradient(NamedTuple):
    """Some samples' contribution to the gradient by a parameter: sums of terms."""

    values: Array  # (R, P)
    terms: Array  # (P,), the sums of their magnitudes
    lost: Any = 0.0  # (P,), changes by rounding that the terms do not show


class Back(NamedTuple):
    """The results of the backward pass.

    Attributes
    ----------
    dx : array (R, N, D)
    gradients : list of Gradient
        One for each parameter.
    rounded : float
        The rounding in float64 of a difference of two losses.
    """

    dx: Array
    gradients: list[Gradient]
    rounded: float = 0.0


class Link:
    """The link of an operation that does nothing, such as Dropout outside training."""

    def forward(self, at: Operation, x: Array) -> Taken:
        """The outputs for x (R, N, D), rounded in the noisy runs, and their slopes."""
        return Taken(x, x)

    def backward(self, at: Operation, taken: Taken, dy: Array, need_dx: bool) -> Back:
        """The gradients by the inputs and parameters from the gradient by the outputs dy (R, N, H)."""
        return Back(dy, [])


class Columns(Link):
    """The base of links for operations on single elements."""

    def backward(self, at: Operation, taken: Taken, dy: Array, need_dx: bool) -> Back:
        x, y, slopes, factors, lost = taken
        gradients = [
            Gradient(
                (dy * factor).sum(axis=1), np.abs(dy[0] * factor[0]).sum(axis=0), (np.abs(dy[0]) * lost).sum(axis=0)
            )
            for factor in factors
        ]
        dx = dy * slopes
        rounded = EPS * float(np.abs(dy[0] * y[0]).sum() + np.abs(dx[0] * x[0]).sum())
        return Back(dx + at.noise(at.unit * np.abs(dx[0])), gradients, rounded)


@dataclass(frozen=True)
class Elements(Columns):
    """Any operation on single elements: slopes are quotients at each element, on its own side of a kink.

    Attributes
    ----------
    exact_slopes : bool
        Whether slopes are numbers that no unit rounds, such as 0 and 1.
    sums : bool
        Whether the unit of the backward pass adds terms up to 1, or up to the outputs, which may cancel.
    saturates : bool
        Whether outputs reach limits other than 0 exactly: there only the distance is lost.
    most : float
        The largest output in spite of rounding, as its logarithm may be taken.
    distance : function of a layer, x and moved x, optional
        The distances to the limit of the outputs, before and after, and where to use them. The rounding of the limit
        would hide their changes.
    """

    exact_slopes: bool = False
    sums: bool = False
    saturates: bool = False
    most: float = np.inf
    distance: Callable[[Any, Array, Array], tuple[Array, Array, Any]] | None = None

    def forward(self, at: Operation, x: Array) -> Taken:
        """As Link.forward. An element that rounding may carry across a kink is on the other side in one noisy run."""
        if not at.layer.kinks:
            slopes, error = self.quotients(at, x, np.inf)
        else:
            kinks, noise, x = np.array(at.layer.kinks), spread(x), np.array(x)
            kink = kinks[np.abs(x[0][..., None] - kinks).argmin(axis=-1)]  # the nearest
            beside = np.where(kink == 0.0, BESIDE, BESIDE_OTHERS * np.abs(kink))
            off = x[0] - kink
            doubtful = (np.abs(off) <= noise) & (noise > 0.0)
            x[NOISY.start] = np.where(doubtful, kink + np.where(off == 0.0, beside, -off), x[NOISY.start])
            stands = (x == kink) & ~doubtful
            slopes, error = self.quotients(at, np.where(x == kink, kink - beside, x), 0.25, kink)
            above = self.quotients(at, (kink + beside)[None], 0.25, kink)[0]
            slopes = slopes + np.where(stands, SHARES[:, None, None] * (above - slopes), 0.0)
        exact = at.forward(x)
        lost = at.unit * np.abs(exact[0])
        if self.saturates:
            at_limit = np.abs(slopes[0]) < 0.1 * lost
            lost = np.where(at_limit, np.abs(slopes[0]), lost)
            error = error + np.where(at_limit, lost, EPS * np.abs(exact[0]))  # the rounding of the exact run's y
        y = np.minimum(exact + at.noise(lost), self.most)
        if not self.exact_slopes:
            slopes = slopes + (at.slopes(x, y) - at.slopes(x, exact))  # rounded along with the outputs
            error = error + at.unit * np.abs(slopes[0])
            if self.sums:
                error = error + at.unit * np.minimum(np.abs(exact[0]), 1.0)
        return Taken(x, y, slopes + at.noise(error), *self._factors(at, x, exact))

    def quotients(self, at: Operation, x: Array, nearest: float, kink: Any = 0.0) -> tuple[Array, Array]:
        """The slopes at x (R, ..., D), and the error of the exact run's; steps of at most `nearest` |x - kink|."""
        y = at.forward(x)
        size = STEP * np.maximum(1.0, np.sqrt(np.abs(y)))
        size = np.minimum(size, nearest * np.abs(x - kink)) if nearest < np.inf else size
        moved = x + np.array(at.points).reshape(-1, *[1] * x.ndim) * size
        changes, subtracted = at.forward(moved) - y, np.abs(y)
        if self.distance is not None:
            before, after, is_near = self.distance(at.layer, x, moved)
            changes = np.where(is_near, after - before, changes)
            subtracted = np.where(is_near, np.abs(before), subtracted)
        slopes, estimate = at.quotient(changes, moved - x)
        is_flat = (changes[:, 0] == 0.0).all(axis=0) & (nearest < np.inf)
        return slopes, np.where(is_flat, 0.0, 4 * estimate[0] + 8 * EPS * subtracted[0] / size[0])

    def _factors(self, at: Operation, x: Array, y: Array) -> tuple[tuple[Array, ...], Any]:
        """The slopes by each parameter, by quotients, and their error by rounding."""
        factors, lost = [], at.unit * np.abs(x[0])
        for which, parameter in enumerate(at.parameters):
            size = STEP * np.clip(np.abs(parameter), SMALLEST_STEP, 1.0)
            steps = np.array(at.points)[:, None] * size
            changes = np.stack([at.forward(x, which, step) - y for step in steps])
            factor, estimate = at.quotient(changes, steps[:, None, None])
            factors.append(factor)
            error = (4 * estimate[0] + 8 * EPS * np.abs(y[0]) / size) / SURE
            lost = np.maximum(lost, np.maximum(at.unit * np.abs(factor[0]), error))
        return tuple(factors), SURE * lost


class Passes(Link):
    """Any operation, of any shapes, by its own units.

    The result of its backward pass is confirmed by quotients of the forward pass in a random direction: by the sum of
    the gradient times the direction, which cannot agree by chance. If it does not, it is replaced by quotients of
    single elements. What rounding costs is measured in float32.
    """

    def forward(self, at: Operation, x: Array) -> Taken:
        y = at.forward(x)
        terms = _terms(y[0], at.forward(x[0], dtype=np.float32))
        return Taken(x, y + at.noise(at.unit * terms), lost=terms)

    def backward(self, at: Operation, taken: Taken, dy: Array, need_dx: bool) -> Back:
        x, y = taken.x, taken.y
        found = [at.backward(*run) for run in zip(x, y, dy, strict=True)]
        single = at.backward(x[0], y[0], dy[0], np.float32)
        quotients = _Quotients(at, x[0], dy[0], taken.lost)
        gradients = []
        for which, parameter in enumerate(at.parameters):
            values = np.stack([run[1][which] for run in found])
            size = STEP * np.clip(np.abs(parameter.ravel()), SMALLEST_STEP, 1.0)
            exact, error = quotients.confirmed(values[0], size, partial(at.forward, x[0], which))
            samples = [at.backward(*(one[0][n : n + 1] for one in (x, y, dy)))[1][which] for n in range(x.shape[1])]
            lost = SURE * at.unit * _terms(values[0], single[1][which])
            gradients.append(Gradient(values + (exact - values[0]), np.abs(samples).sum(axis=0), lost + error))
        dx = np.stack([run[0] for run in found])
        rounded = EPS * float(np.abs(dy[0] * y[0]).sum() + np.abs(dx[0] * x[0]).sum())
        if not need_dx:
            return Back(dx, gradients, rounded)
        size = STEP * np.maximum(1.0, np.abs(x[0]))
        exact, error = quotients.confirmed(dx[0], size, lambda step: at.forward(x[0] + step))
        return Back(dx + (exact - dx[0]) + at.noise(at.unit * _terms(dx[0], single[0]) + error), gradients, rounded)


def _terms(exact: Array, single: Array) -> Array:
    """The magnitude of the terms that were added up to an array, from their rounding in float32."""
    off = np.sqrt(np.mean(np.square(single - exact), axis=-1, keepdims=True))
    return np.abs(exact) + off / float(np.finfo(np.float32).eps)


class _Quotients:
    """Gradients of sum(dy f) from quotients of the forward pass f. x, dy, terms: the exact run's (N, ...)."""

    def __init__(self, at: Operation, x: Array, dy: Array, terms: Array) -> None:
        self.at, self.dy, self.y, self.terms = at, dy, at.forward(x), terms

    def along(self, steps: Array, forward: Callable[[Array], Array]) -> tuple[float, float]:
        """The slope of sum(dy f) along steps, and its error."""
        changes = np.stack([forward(point * steps) - self.y for point in self.at.points])
        slopes, estimate = self.at.quotient(changes, np.array(self.at.points)[:, None, None])
        error = np.abs(self.dy) * (4 * estimate + 8 * EPS * self.terms)
        return float((self.dy * slopes).sum()), float(error.sum())

    def confirmed(self, gradient: Array, size: Array, forward: Callable[[Array], Array]) -> tuple[Array, Any]:
        """The gradient if quotients confirm it, else the quotients' own, and its error."""
        steps = size * np.random.default_rng(0).uniform(0.5, 1.0, size.shape)
        slope, error = self.along(steps, forward)
        if abs(slope - (gradient * steps).sum()) <= error + 8 * EPS * np.abs(gradient * steps).sum():
            return gradient, 0.0
        found, errors = np.empty((2, *gradient.shape))
        for index in np.ndindex(gradient.shape):
            steps = np.zeros_like(size)
            steps[index] = size[index]
            slope, error = self.along(steps, forward)
            found[index], errors[index] = slope / size[index], error / size[index]
        return found, errors


def spread(tensor: Array) -> Array:
    """SURE standard deviations (N, ...) of the noisy runs of a tensor (R, N, ...) from its exact run."""
    off = np.abs(tensor[NOISY] - tensor[0])
    largest = off.max(axis=0)  # so that no square overflows or underflows
    found: Array = SURE * largest * np.sqrt(np.mean(np.square(off / np.where(largest > 0.0, largest, 1.0)), axis=0))
    return found


def logistic_distance(size: float) -> Callable[[Any, Array, Array], tuple[Array, Array, Any]]:
    """The distances of sigmoid, of size 1, and of tanh, of size 2, to their limits."""

    def distance(layer: Any, x: Array, moved: Array) -> tuple[Array, Array, Any]:
        side = np.where(x > 0.0, -size, size)
        return side / (1.0 + np.exp(-side * x)), side / (1.0 + np.exp(-side * moved)), True

    return distance
