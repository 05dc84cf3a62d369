"""A network's gradient from difference quotients of each operation by itself, and what its dtype's rounding does to it.

It is the evidence of check.py where quotients of the whole loss show
nothing: in a deep network a change of a first weight is lost in the rounding of what follows, or crosses kinks.

The network is taken forward, each activation's slope is measured by a quotient at the very element, on its own side of
a kink, and the chain rule multiplies slopes and weights backward, all in NumPy in float64. Only the gradient by the
outputs is the loss's own kernel's. Other kernels of a backward pass say at most how slopes are rounded.

How far rounding may carry it is measured alike. Some *runs* go beside the exact one, each rounded at random after every
operation as the dtype of the network would (after Vignes, Mathematics and Computers in Simulation 35, 1993). What they
differ by is the noise of a tensor; a parameter's is what the noises of the factors of its gradient add up to.

Shape letters: R runs, N batch, D inputs and H outputs of an operation.
"""

from typing import Any, NamedTuple

import numpy as np

from fastnn import layers
from fastnn.engine.interpreters import job, on_arrays
from fastnn.engine.perturbation import DOUBLE, METHODS, NO_HITS, Perturbation, quotient
from fastnn.gate.arrays import Array
from fastnn.kernels.frames import EACH_PLACE, MOST_PARAMETERS, PLACE

# The runs: one exact, the noisy ones, and three exact ones that say what part of the slope above a kink counts, beside
# that below, where an element stands on it.
NOISY = slice(1, 9)
SHARES = np.array([0.0] * 9 + [0.0, 0.5, 1.0])
RUNS = len(SHARES)
KEPT = (0, 9, 10, 11)
ROUNDINGS = 2.0  # the standard deviation of each rounding, in halves of a unit in the last place
SURE = 4.0  # standard deviations that a noise stands for
STEP = 0.02  # of the quotients of activations, where they are at most 1
BESIDE = 1e-12  # how near to a kink its slopes are measured
MOST_ELEMENTS = 1 << 22  # of all tensors; more samples are taken in turn
EPS = float(np.finfo(np.float64).eps)
LINEAR = (layers.Identity, layers.Step, layers.Relu, layers.LeakyRelu)  # whose slopes are numbers
SUMS = (layers.Gelu, layers.Silu)  # whose slopes are sums, of terms up to 1
SATURATING = (layers.Sigmoid, layers.Elu)  # whose kernels give limits that are not 0 exactly; that of tanh does not


class Evidence(NamedTuple):
    """What the chained quotients say; vectors like the parameters.

    Attributes
    ----------
    values, noise : array (P,)
        The gradient, and how far it and one computed in the network's dtype may be apart.
    choices : array (3, P)
        The gradients that count, at kinks that the network stands on, the slope below, the mean of both, or that above.
    terms : array (P,)
        The sums of the magnitudes that are added over the batch.
    rounding : array (P,)
        What rounding in float64 may change a difference of two losses by, where that parameter moves.
    peak : float
        The largest number on the way.
    """

    values: Array
    noise: Array
    choices: Array
    terms: Array
    rounding: Array
    peak: float


class _Taken(NamedTuple):
    """What the way back needs of an operation: its inputs and outputs, and their slopes where it takes elements."""

    x: Array  # (R, N, D)
    y: Array  # (R, N, H)
    slopes: Array


def chained_gradient(perturbation: Perturbation, dtype: Any) -> Evidence:
    """The gradient of the mean loss, penalty included; dtype: in which the gradient to compare was computed."""
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

    A library that was compiled to flush them to 0 may have told the processor so: then the smallest normal number.
    """
    limits = np.finfo(dtype)
    return float(limits.smallest_subnormal if limits.tiny * limits.dtype.type(0.5) > 0.0 else limits.tiny)


class _Chain:
    """The sums over the samples, and what they are made of; arguments as for chained_gradient."""

    def __init__(self, perturbation: Perturbation, dtype: Any) -> None:
        self.model, self.plan, self.parameters = perturbation, perturbation.plan, perturbation.values
        self.dtype = np.dtype(dtype)
        self.unit = ROUNDINGS * float(np.finfo(dtype).eps) / 2
        self.least = ROUNDINGS * smallest(dtype)
        size = self.parameters.size
        self.values, (self.noise, self.terms, self.rounding) = np.zeros((len(KEPT), size)), np.zeros((3, size))
        self.peak = 0.0
        self.generator = np.random.default_rng(0)

    def add(self, some: slice) -> None:
        """Take samples forward and back."""
        x: Array = np.asarray(self.model.x[some], np.float64)
        x = np.broadcast_to(x, (RUNS, *x.shape))
        taken = []
        for i in range(len(self.plan.operations)):
            taken.append(self._forward(i, x))
            x = taken[-1].y
            self._see(x)
        dy = self._loss_slopes(x, some)
        rounded = 4 * EPS * float(np.abs(dy[0] * x[0]).sum())  # of what follows, in a difference of losses
        for i in range(len(taken) - 1, -1, -1):
            self._see(dy)
            dy, added = self._backward(i, taken[i], dy, rounded)
            rounded += added

    def add_penalty(self) -> None:
        """Add the gradient of the penalty on weights; at 0 that of |w| is a matter of choice, too."""
        l1, l2 = (float(self.plan.numbers[-job.PLAN_NUMBERS + which]) for which in (job.L1, job.L2))
        for name, array in self.model.by_name(self.parameters).items():
            if name[0] != "W" or l1 == l2 == 0.0:
                continue
            signs = np.stack([np.sign(array)] * len(KEPT))
            signs[1:, array == 0.0] = 2 * SHARES[list(KEPT[1:]), None] - 1
            for run, sign in zip(self.values, signs, strict=True):
                self.model.by_name(run)[name][...] += l1 * sign + l2 * array
            self.model.by_name(self.terms)[name][...] += l1 + l2 * np.abs(array)
            self.model.by_name(self.noise)[name][...] += SURE * self.unit * (l1 + l2 * np.abs(array))
        self.noise += SURE * self.unit * np.abs(self.values[0])

    # --- rounding -----------------------------------------------------------------------------------------------------

    def _see(self, tensor: Array) -> None:
        self.peak = max(self.peak, float(np.abs(tensor[0]).max())) if np.isfinite(tensor[0]).all() else np.inf

    def _noise(self, scale: Array) -> Array:
        """Random numbers (R, *scale.shape) of that standard deviation; 0 in the exact runs, and where nothing is lost.

        Else at least of the size of what underflows.
        """
        scale = np.where(scale > 0.0, scale + self.least, scale)
        noise = np.zeros((RUNS, *scale.shape))
        noise[NOISY] = (self.generator.random(noise[NOISY].shape, np.float32) - 0.5) * np.sqrt(12.0) * scale
        return noise

    # --- forward ------------------------------------------------------------------------------------------------------

    def _forward(self, i: int, x: Array) -> _Taken:
        """Operation i."""
        layer = self.plan.layers[i]
        if isinstance(layer, layers.Affine):
            W, b = self._affine(i)
            y = np.matmul(x, W) + b
            return _Taken(x, y + self._noise(self.unit * (np.abs(x[0]) @ np.abs(W) + np.abs(b))), x[:0])
        if isinstance(layer, layers.Dropout):
            return _Taken(x, x, x[:0])
        if isinstance(layer, layers.BatchNorm):
            gamma, beta, mean, deviation = self._norm(i)
            factor = gamma / deviation
            y = (x - mean) * factor + beta
            y = y + self._noise(self.unit * ((np.abs(x[0]) + np.abs(mean)) * np.abs(factor) + np.abs(beta)))
            return _Taken(x, y, factor + self._noise(2 * self.unit * np.abs(np.broadcast_to(factor, x[0].shape))))
        if isinstance(layer, layers.Softmax):
            y = self._activate(i, x)
            lost = np.abs(y[0]) * (2 + np.abs(x[0] - x[0].max(axis=1, keepdims=True)))
            return _Taken(x, np.minimum(y + self._noise(self.unit * lost), 1.0), x[:0])
        return self._activation(i, x)

    def _activation(self, i: int, x: Array) -> _Taken:
        """An activation of single elements, and its slopes.

        An element that rounding may carry across a kink is taken to the other side in one noisy run.
        """
        layer = self.plan.layers[i]
        slope = self.parameters[self._place(i, 0)] if isinstance(layer, layers.PRelu) else None
        if not layer.has_kink:
            slopes, error = self._quotients(i, x, np.inf)
        else:
            spread = _spread(x)
            doubtful = (np.abs(x[0]) <= spread) & (spread > 0.0)
            x = np.array(x)
            x[NOISY.start] = np.where(doubtful, np.where(x[0] == 0.0, BESIDE, -x[0]), x[NOISY.start])
            stands = (x == 0.0) & ~doubtful
            at = np.where(x == 0.0, -BESIDE, x)
            if slope is None:
                slopes, error = self._quotients(i, at, 0.25)
                above = self._quotients(i, np.full((1, 1), BESIDE), 0.25)[0]
            else:
                slopes, error, above = np.where(at > 0.0, 1.0, slope), np.zeros_like(x[0]), np.ones(1)
            slopes = slopes + np.where(stands, SHARES[:, None, None] * (above - slopes), 0.0)
        exact = np.where(x > 0.0, x, slope * x) if slope is not None else self._activate(i, x)
        lost = self.unit * np.abs(exact[0])
        if isinstance(layer, SATURATING):  # at the limit itself nothing is lost but the distance
            at_limit = np.abs(slopes[0]) < 0.1 * lost
            lost = np.where(at_limit, np.abs(slopes[0]), lost)
            error = error + np.where(at_limit, lost, EPS * np.abs(exact[0]))  # what the exact run's y is rounded by
        y = exact + self._noise(lost)
        if isinstance(layer, layers.Sigmoid):  # which rounding does not carry above 1, whose logarithm may be asked for
            y = np.minimum(y, 1.0)
        if slope is None and not isinstance(layer, LINEAR):
            slopes = slopes + (self._slopes_by_kernel(i, x, y) - self._slopes_by_kernel(i, x, exact))
            error = error + self.unit * np.abs(slopes[0])
            if isinstance(layer, SUMS):
                error = error + self.unit * np.minimum(np.abs(exact[0]), 1.0)
        return _Taken(x, y, slopes + self._noise(error))

    def _slopes_by_kernel(self, i: int, x: Array, y: Array) -> Any:
        """What the kernel of the backward pass makes of rounded outputs; its rounding goes with that of the outputs."""
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        slopes, layer = np.ones_like(rows), self.plan.layers[i]
        units = on_arrays.rows_part.address(DOUBLE), layer.units.backward.address(DOUBLE)
        numbers = np.array(layer.numbers())
        on_arrays.activation_backward.serial(1, 0, *units, numbers, slopes, rows, y.reshape(rows.shape), slopes)
        return slopes.reshape(x.shape)

    def _activate(self, i: int, x: Array) -> Array:
        """Activation i of (..., D), by the kernel of the forward pass."""
        rows = np.ascontiguousarray(x, np.float64).reshape(-1, x.shape[-1])
        layer, y = self.plan.layers[i], np.empty_like(rows)
        units = on_arrays.rows_part.address(DOUBLE), layer.units.forward.address(DOUBLE)
        on_arrays.activation_forward.serial(1, 0, *units, np.array(layer.numbers()), rows, y)
        return y.reshape(x.shape)

    def _quotients(self, i: int, x: Array, nearest: float) -> tuple[Array, Array]:
        """The slopes at x (R, ..., D), and how wrong those of the exact run are; steps of at most `nearest` |x|."""
        y = self._activate(i, x)
        size = STEP * np.maximum(1.0, np.sqrt(np.abs(y)))
        size = np.minimum(size, nearest * np.abs(x)) if nearest < np.inf else size
        points = np.array(METHODS["richardson"].points).reshape(-1, *[1] * x.ndim)
        moved = x + points * size
        changes, subtracted = self._changes(i, x, y, moved)
        slopes, estimate = quotient("richardson", changes, moved - x)
        assert estimate is not None
        is_flat = (changes[:, 0] == 0.0).all(axis=0) & (nearest < np.inf)
        return slopes, np.where(is_flat, 0.0, 4 * estimate[0] + 8 * EPS * subtracted[0] / size[0])

    def _changes(self, i: int, x: Array, y: Array, moved: Array) -> tuple[Array, Array]:
        """What y changes by from x to moved (points, *x.shape), and the magnitude of what is subtracted.

        Where a sigmoid, tanh or ELU nears a limit, that is its distance to it: the rounding of the limit would hide
        the change.
        """
        layer = self.plan.layers[i]
        if isinstance(layer, layers.Sigmoid | layers.Tanh):
            side = np.where(x > 0.0, -1.0, 1.0) * (1.0 if isinstance(layer, layers.Sigmoid) else 2.0)
            before, after = (side / (1.0 + np.exp(-side * at)) for at in (x, moved))
            return after - before, np.abs(before)
        changes, subtracted = self._activate(i, moved) - y, np.abs(y)
        if isinstance(layer, layers.Elu):
            is_near, before = x < -1.0, layer.alpha * np.exp(x)
            changes = np.where(is_near, layer.alpha * np.exp(moved) - before, changes)
            subtracted = np.where(is_near, np.abs(before), subtracted)
        return changes, subtracted

    # --- the loss -----------------------------------------------------------------------------------------------------

    def _loss_slopes(self, y: Array, some: slice) -> Array:
        """The gradient of the mean loss by the outputs y (R, N, K), by the loss's own kernel.

        Its rounding is what the kernel gives in the network's dtype besides.
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
        return dy + self._noise(lost)

    def _loss_kernel(self, y: Array, some: slice, dtype: Any) -> Array:
        """The loss's gradient by y (..., N, K), computed in a dtype."""
        outputs = np.ascontiguousarray(y, dtype).reshape(-1, y.shape[-1])
        dy, (losses, sums) = np.empty_like(outputs), np.empty((2, len(outputs)))
        labels, dense = self.model.labels[some], np.ascontiguousarray(self.model.dense[some], dtype)
        rows = np.tile(np.arange(y.shape[-2]), len(outputs) // y.shape[-2])
        numbers = self.plan.numbers[-job.PLAN_NUMBERS :].copy()
        units = on_arrays.rows_part.address(outputs.dtype), self.model.loss.rows.address(outputs.dtype)
        divisor = len(self.model.x) / numbers[job.DATA_SHARE]
        arguments = (*units, numbers, outputs, labels, dense, rows, divisor, dy, losses, sums, NO_HITS)
        on_arrays.loss.serial(1, 0, *arguments, np.empty((1, job.SUMS)))
        return dy.astype(np.float64).reshape(y.shape)

    # --- backward -----------------------------------------------------------------------------------------------------

    def _backward(self, i: int, taken: _Taken, dy: Array, rounded: float) -> tuple[Array, float]:
        """The gradient by the inputs of operation i, and what its rounding adds to that of a difference of losses."""
        layer, (x, y, slopes) = self.plan.layers[i], taken
        if isinstance(layer, layers.Dropout):
            return dy, 0.0
        if isinstance(layer, layers.Affine):
            self._add_affine(i, x, dy, rounded)
            if i == 0:
                return dy, 0.0
            W = self._affine(i)[0]
            return np.matmul(dy, W.T) + self._noise(self.unit * (np.abs(dy[0]) @ np.abs(W.T))), 0.0
        if isinstance(layer, layers.Softmax):
            dx = self._softmax_backward(y, dy)
            return dx, EPS * float(np.abs(dy[0] * y[0]).sum())
        self._add_units(i, x, dy, rounded)
        dx = dy * slopes
        added = EPS * float(np.abs(dy[0] * y[0]).sum() + np.abs(dx[0] * x[0]).sum())
        return dx + self._noise(self.unit * np.abs(dx[0])), added

    def _softmax_backward(self, y: Array, dy: Array) -> Array:
        """dy times the Jacobian of softmax, which is symmetric: a quotient in the direction of dy."""
        if y.shape[2] == 1:  # always 1
            return np.zeros_like(dy)
        largest = np.abs(dy).max(axis=2, keepdims=True)
        points = np.array(METHODS["richardson"].points).reshape(-1, 1, 1, 1)
        changes = _softmax_changes(y, points * STEP * (dy / np.where(largest > 0.0, largest, 1.0)))
        ratio, estimate = quotient("richardson", changes, points * STEP)
        assert estimate is not None
        inner = np.abs(dy[0]) + (np.abs(dy[0]) * y[0]).sum(axis=1, keepdims=True)
        error = 4 * largest[0] * estimate[0] + (self.unit + 8 * EPS) * y[0] * inner
        dx: Array = ratio * largest + self._noise(error)
        return dx

    def _add_affine(self, i: int, x: Array, dy: Array, rounded: float) -> None:
        """Add the gradients of one affine operation."""
        weights, bias = self._place(i, 0), self._place(i, 1)
        terms = np.abs(x[0]).T @ np.abs(dy[0])
        self._take(weights, np.matmul(x.transpose(0, 2, 1), dy).reshape(RUNS, -1), terms.ravel(), rounded)
        self._take(bias, dy.sum(axis=1), np.abs(dy[0]).sum(axis=0), rounded)

    def _add_units(self, i: int, x: Array, dy: Array, rounded: float) -> None:
        """Add the gradients of an operation with parameters for each unit, if it is one."""
        layer = self.plan.layers[i]
        lost = SURE * self.unit * np.abs(x[0])
        if isinstance(layer, layers.PRelu):
            factors = [np.where(x > 0.0, 0.0, x)]
        elif isinstance(layer, layers.BatchNorm):
            _, _, mean, deviation = self._norm(i)
            factors = [(x - mean) / deviation, np.ones_like(x)]
            lost = SURE * self.unit * (np.abs(x[0]) + np.abs(mean)) / deviation
        else:
            return
        for which, factor in enumerate(factors):
            place = self._place(i, which)
            self._take(place, (dy * factor).sum(axis=1), np.abs(dy[0] * factor[0]).sum(axis=0), rounded)
            self.noise[place] += (np.abs(dy[0]) * lost).sum(axis=0)

    def _take(self, place: slice, gradients: Array, terms: Array, rounded: float) -> None:
        """Add what some samples give for some parameters (R, P): sums of terms of that magnitude."""
        self.values[:, place] += gradients[list(KEPT)]
        self.noise[place] += _spread(gradients) + SURE * (self.unit * terms + self.least)
        self.terms[place] += terms
        self.rounding[place] += rounded

    # --- parameters ---------------------------------------------------------------------------------------------------

    def _place(self, i: int, which: int) -> slice:
        """Where a parameter of operation i stands in the flat vector."""
        _, _, start, rows, columns = next(one for one in self.model.parameters if one[:2] == (i, which))
        return slice(start, start + rows * columns)

    def _affine(self, i: int) -> tuple[Array, Array]:
        """W and b."""
        inputs, outputs = self.plan.operations[i, [job.WIDTH_IN, job.WIDTH_OUT]]
        return self.parameters[self._place(i, 0)].reshape(inputs, outputs), self.parameters[self._place(i, 1)]

    def _norm(self, i: int) -> tuple[Array, Array, Array, Array]:
        """gamma, beta, the mean and the deviation of batch normalization."""
        gamma, beta = self.parameters[self._place(i, 0)], self.parameters[self._place(i, 1)]
        start = int(self.plan.operations[i, job.PLACES_AT + EACH_PLACE * MOST_PARAMETERS + PLACE])
        mean, variance = self.parameters[start:][: gamma.size], self.parameters[start + gamma.size :][: gamma.size]
        return gamma, beta, mean, np.sqrt(variance + self.plan.numbers[job.NUMBERS_EACH * i])


def _spread(tensor: Array) -> Array:
    """How far the noisy runs (N, ...) are from the exact one of a tensor (R, N, ...): SURE standard deviations."""
    off = np.abs(tensor[NOISY] - tensor[0])
    largest = off.max(axis=0)  # so that no square overflows or underflows
    spread: Array = SURE * largest * np.sqrt(np.mean(np.square(off / np.where(largest > 0.0, largest, 1.0)), axis=0))
    return spread


def _softmax_changes(y: Array, moves: Array) -> Array:
    """softmax(x + moves) - softmax(x), where y = softmax(x); relative to moves as exact as y, whatever the shares are.

    With outputs of 1e-87 and 1 a subtraction of two softmaxes would lose all of it in the rounding of 1.
    """
    rest = np.log1p((y * np.expm1(moves)).sum(axis=-1, keepdims=True))  # of the logarithms of the sums
    changes: Array = y * np.expm1(moves - rest)
    return changes
