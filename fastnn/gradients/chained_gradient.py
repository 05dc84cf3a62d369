"""A network's gradient from difference quotients of each operation, and the effect of its dtype's rounding on it.

check.py relies on it where quotients of the whole loss show nothing: in a deep network a change of an early weight is
lost in the rounding of later layers, or crosses kinks.

The network runs forward, each activation's slope is measured by a quotient at each element, on its own side of a kink,
and the chain rule multiplies slopes and weights backward, all in NumPy in float64 (operations/links.py). Only the
gradient by the outputs comes from the loss's own kernel. Other kernels of a backward pass at most tell how slopes are
rounded. A parameter's noise is the sum of the noises of its gradient's factors.

Shape letters: R runs, N batch, D inputs and H outputs of an operation.
"""

from typing import Any, NamedTuple

import numpy as np

from fastnn.engine.interpreters import jobs, on_arrays
from fastnn.engine.losses import sum_of_losses
from fastnn.engine.perturbation import DOUBLE, METHODS, Perturbation, quotient
from fastnn.gate.arrays import Array
from fastnn.kernels import frames
from fastnn.kernels.units import Unit
from fastnn.operations.links import BESIDE, EPS, NOISY, RUNS, SHARES, SURE, Gradient, spread

KEPT = (0, 9, 10, 11)  # the exact runs
ROUNDINGS = 2.0  # the standard deviation of each rounding, in halves of a unit in the last place
MOST_ELEMENTS = 1 << 22  # of all tensors; more samples are taken in turn


class Evidence(NamedTuple):
    """The result of the chained quotients: vectors like the parameters.

    Attributes
    ----------
    values, noise : array (P,)
        The gradient, and how far it may be from one computed in the network's dtype.
    choices : array (3, P)
        The gradients that are right, too, at kinks where the network stands: the slope below, the mean of both, the
        slope above.
    terms : array (P,)
        The sums of the magnitudes that are added over the batch.
    rounding : array (P,)
        How much rounding in float64 may change the difference of two losses when that parameter moves.
    peak : float
        The largest number on the way.
    """

    values: Array
    noise: Array
    choices: Array
    terms: Array
    rounding: Array
    peak: float


def chained_gradient(perturbation: Perturbation, dtype: Any) -> Evidence:
    """The gradient of the mean loss, penalty included; dtype: that of the computation to compare with."""
    chain = _Chain(perturbation, dtype)
    rows = max(1, MOST_ELEMENTS // (RUNS * perturbation.plan_columns))
    with np.errstate(all="ignore"):
        for first in range(0, len(perturbation.x), rows):
            chain.add(slice(first, first + rows))
        chain.add_penalty()
    values = chain.values[0]
    return Evidence(values, chain.noise, chain.values[1:], chain.terms, chain.rounding, chain.peak)


def smallest(dtype: Any) -> float:
    """The smallest number above 0 of a dtype, which is its rounding where numbers underflow gradually.

    It is the smallest normal number if a library has made the processor flush smaller ones to 0.
    """
    limits = np.finfo(dtype)
    return float(limits.smallest_subnormal if limits.tiny * limits.dtype.type(0.5) > 0.0 else limits.tiny)


class _Rounding:
    """The rounding of a dtype, drawn at random."""

    def __init__(self, dtype: Any) -> None:
        self.unit = ROUNDINGS * float(np.finfo(dtype).eps) / 2
        self.least = ROUNDINGS * smallest(dtype)
        self.generator = np.random.default_rng(0)

    def noise(self, scale: Array) -> Array:
        """Random numbers (R, *scale.shape) of this standard deviation, at least the size of an underflow; 0 in the
        exact runs and where scale is 0.

        """
        scale = np.where(scale > 0.0, scale + self.least, scale)
        noise = np.zeros((RUNS, *scale.shape))
        noise[NOISY] = (self.generator.random(noise[NOISY].shape, np.float32) - 0.5) * np.sqrt(12.0) * scale
        return noise


class _Operation:
    """See operations.links.Operation."""

    points = METHODS["richardson"].points

    def __init__(self, model: Perturbation, i: int, rounding: _Rounding) -> None:
        self.layer, self.row, self.values = model.plan.layers[i], model.plan.operations[i], model.values
        self.shapes, self.outputs = model.plan.shapes[i], int(self.row[jobs.WIDTH_OUT])
        self.numbers = model.plan.numbers[jobs.NUMBERS_EACH * i :]
        self.unit, self.noise = rounding.unit, rounding.noise
        self.places = self._places(0, jobs.PARAMETERS)
        self.parameters = self._arrays(self.places)
        self.statistics = self._arrays(self._places(frames.MOST_PARAMETERS, jobs.STATISTICS))

    def _places(self, first: int, count: int) -> list[Array]:
        table = self.row[jobs.PLACES_AT : jobs.SHAPES_AT].reshape(-1, frames.EACH_PLACE)
        return list(table[first : first + self.row[count]])

    def _arrays(self, places: list[Array]) -> list[Array]:
        found = []
        for place, height, breadth, is_matrix, _ in places:
            array = self.values[place : place + height * breadth]
            found.append(array.reshape(height, breadth) if is_matrix else array)
        return found

    def forward(self, x: Array, which: int = -1, step: Any = 0.0, dtype: Any = DOUBLE) -> Array:
        rows, values = self._rows(x, dtype), self.values
        if which >= 0:
            values, place = values.copy(), self.places[which]
            values[place[frames.PLACE] : place[frames.PLACE] + place[frames.HEIGHT] * place[frames.BREADTH]] += (
                np.ravel(step)
            )
        y = np.empty((len(rows), self.outputs), dtype)
        self._run(self.layer.units.forward, frames.FORWARD, rows, y, values, {})
        return y.astype(np.float64, copy=False).reshape(*x.shape[:-1], self.outputs)

    def slopes(self, x: Array, y: Array) -> Array:
        rows = self._rows(x)
        slopes = np.ones_like(rows)
        both = dict.fromkeys((frames.D_TARGET, frames.D_SOURCE), slopes.ctypes.data)
        self._run(self.layer.units.backward, frames.BACKWARD, rows, self._rows(y), self.values, both)
        return slopes.reshape(x.shape)

    def backward(self, x: Array, y: Array, dy: Array, dtype: Any = DOUBLE) -> tuple[Array, list[Array]]:
        rows, outputs, slopes = (self._rows(one, dtype) for one in (x, y, dy))
        dx, gradients = np.empty_like(rows), []
        units: Any = self.layer.units
        slots = {frames.D_TARGET: slopes.ctypes.data, frames.D_SOURCE: dx.ctypes.data}
        self._run(units.backward, frames.BACKWARD, rows, outputs, self.values, slots)
        for which, place in enumerate(self.places):
            gradients.append(np.empty(place[frames.HEIGHT] * place[frames.BREADTH], dtype))
            own = {frames.PARAMETER: which, frames.END: place[frames.HEIGHT], frames.OUT: gradients[-1].ctypes.data}
            self._run(units.gradient, frames.GRADIENT, rows, outputs, self.values, slots | own)
        return dx.astype(np.float64, copy=False), [one.astype(np.float64, copy=False) for one in gradients]

    def _rows(self, x: Array, dtype: Any = DOUBLE) -> Array:
        return np.ascontiguousarray(x, dtype).reshape(-1, x.shape[-1])

    def _run(self, unit: Unit, role: int, x: Array, y: Array, values: Array, slots: dict[int, int]) -> None:
        """Call a unit for rows x and y, in their dtype; slots: further entries of its frame."""
        scratch, values = np.empty(self.layer.scratch_size(len(x), *self.shapes), x.dtype), values.astype(x.dtype)
        request, sums = np.zeros(frames.SLOTS, np.intp), np.empty(jobs.SUMS)
        slots = slots | {
            on_arrays.UNIT: unit.address(x.dtype),
            frames.ROLE: role,
            frames.ROWS: len(x),
            frames.INPUTS: x.shape[1],
            frames.OUTPUTS: y.shape[1],
            frames.SOURCE: x.ctypes.data,
            frames.TARGET: y.ctypes.data,
            frames.VALUES: values.ctypes.data,
            frames.STATISTICS: values.ctypes.data,
            frames.PLACES: self.row[jobs.PLACES_AT :].ctypes.data,
            frames.NUMBERS: self.numbers.ctypes.data,
            frames.SCRATCH: scratch.ctypes.data,
            frames.SCRATCH_SIZE: scratch.size,
            frames.SUMS: sums.ctypes.data,
            frames.SUMS_SIZE: sums.size,
            frames.ITEM: x.itemsize,
            frames.KEY: frames.OFF,
        }
        request[list(slots)] = list(slots.values())
        on_arrays.rows(1, 0, on_arrays.rows_part.address(x.dtype), request, np.empty(0, x.dtype))

    def quotient(self, changes: Array, steps: Array) -> tuple[Array, Array]:
        ratio, estimate = quotient("richardson", changes, steps)
        assert estimate is not None
        return ratio, estimate


class _Chain:
    """The sums over the samples; arguments as for chained_gradient."""

    def __init__(self, perturbation: Perturbation, dtype: Any) -> None:
        self.model, self.plan, self.parameters = perturbation, perturbation.plan, perturbation.values
        self.dtype, self.rounds = np.dtype(dtype), _Rounding(dtype)
        self.unit, size = self.rounds.unit, self.parameters.size
        self.operations = [_Operation(perturbation, i, self.rounds) for i in range(len(self.plan.layers))]
        self.values, (self.noise, self.terms, self.rounding) = np.zeros((len(KEPT), size)), np.zeros((3, size))
        self.peak = 0.0

    def add(self, some: slice) -> None:
        """Add the contribution of some samples."""
        x: Array = np.asarray(self.model.x[some], np.float64)
        x = np.broadcast_to(x, (RUNS, *x.shape))
        taken = []
        for one in self.operations:
            taken.append(one.layer.link.forward(one, x))
            x = taken[-1].y
            self._see(x)
        dy = self._loss_slopes(x, some)
        rounded = 4 * EPS * float(np.abs(dy[0] * x[0]).sum())  # of the later layers, in a difference of losses
        for i in range(len(taken) - 1, -1, -1):
            self._see(dy)
            one = self.operations[i]
            back = one.layer.link.backward(one, taken[i], dy, i > 0)
            for place, gradient in zip(one.places, back.gradients, strict=True):
                self._take(
                    slice(place[frames.PLACE], place[frames.PLACE] + place[frames.HEIGHT] * place[frames.BREADTH]),
                    gradient,
                    rounded,
                )
            dy = back.dx
            rounded += back.rounded

    def _take(self, place: slice, gradient: Gradient, rounded: float) -> None:
        """Add some samples' gradient by a parameter."""
        self.values[:, place] += gradient.values[list(KEPT)]
        self.noise[place] += spread(gradient.values) + SURE * (self.unit * gradient.terms + self.rounds.least)
        self.noise[place] += gradient.lost
        self.terms[place] += gradient.terms
        self.rounding[place] += rounded

    def _see(self, tensor: Array) -> None:
        self.peak = max(self.peak, float(np.abs(tensor[0]).max())) if np.isfinite(tensor[0]).all() else np.inf

    def add_penalty(self) -> None:
        """Add the gradient of the penalty; that of |w| at 0 is a matter of choice, too."""
        for some, l1, l2 in self.plan.penalties:
            w = self.parameters[some]
            signs = np.stack([np.sign(w)] * len(KEPT))
            signs[1:, w == 0.0] = 2 * SHARES[list(KEPT[1:]), None] - 1
            self.values[:, some] += l1 * signs + l2 * w
            self.terms[some] += l1 + l2 * np.abs(w)
            self.noise[some] += SURE * self.unit * (l1 + l2 * np.abs(w))
        self.noise += SURE * self.unit * np.abs(self.values[0])

    # --- the loss -----------------------------------------------------------------------------------------------------

    def _loss_slopes(self, y: Array, some: slice) -> Array:
        """The gradient of the mean loss by the outputs y (R, N, K), by the loss's own kernel.

        Its rounding is the difference to the kernel's result in the network's dtype.
        """
        dy = self._loss_kernel(y, some, np.float64)
        beside = BESIDE * np.maximum(1.0, np.abs(y[0]))
        below, above = self._loss_kernel(np.stack([y[0] - beside, y[0] + beside]), some, np.float64)
        jumps = np.abs(above - below) > 1e-6 * (np.abs(above) + np.abs(below))
        for run in KEPT[1:]:
            dy[run] = np.where(jumps, below + SHARES[run] * (above - below), dy[0])
        lost = self.unit * np.abs(dy[0])
        if self.dtype != np.float64:
            rounded = y[:1].astype(self.dtype)
            exact = self._loss_kernel(rounded.astype(np.float64), some, np.float64)
            lost = lost + np.abs(self._loss_kernel(rounded, some, self.dtype) - exact)[0]
        return dy + self.rounds.noise(lost)

    def _loss_kernel(self, y: Array, some: slice, dtype: Any) -> Array:
        """The loss's gradient by y (..., N, K), computed in a dtype."""
        outputs = np.ascontiguousarray(y, dtype).reshape(-1, y.shape[-1])
        dy = np.empty_like(outputs)
        labels, dense = self.model.labels[some], np.ascontiguousarray(self.model.dense[some], dtype)
        rows = np.tile(np.arange(y.shape[-2]), len(outputs) // y.shape[-2])
        numbers = self.plan.numbers[-jobs.PLAN_NUMBERS :]
        divisor = len(self.model.x) / numbers[jobs.DATA_SHARE]
        sum_of_losses(self.model.loss.rows, numbers, outputs, labels, dense, dy, rows=rows, divisor=divisor)
        return dy.astype(np.float64).reshape(y.shape)
