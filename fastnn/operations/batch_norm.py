"""Batch normalization, by the statistics of the batch in training and otherwise by learned ones.

Its parameters are gamma and beta, its statistics a mean and a variance. The vector of values holds the learned
statistics, the vector of gradients the batch's in training. Sums over the batch are float64, in the order of the rows.
A channel of images is one unit, whose statistics go over the batch and the pixels (kernels/channels.py).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.kernels import channels, frames
from fastnn.kernels.addresses import get, put
from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.frames import (
    batch_statistic,
    gradient,
    number,
    parameter,
    scratch,
    size_in,
    source,
    statistic,
    vector_of,
)
from fastnn.kernels.units import unit
from fastnn.kernels.views import part
from fastnn.operations.base import Shape, TrainedLayer, Units
from fastnn.operations.links import SURE, Back, Columns, Gradient, Operation, Taken
from fastnn.operations.moved_elements import BLOCK, changes_of_elements

GAMMA, BETA = 0, 1
MEAN, VARIANCE = 0, 1
EPSILON, MOMENTUM = 0, 1


@formula
def _deviation(variance: Any, epsilon: float) -> float:
    """The root to divide by, in float64."""
    return math.sqrt(np.float64(variance) + epsilon)


@kernel
def _units(frame: Any) -> int:
    """How many units, or channels, there are."""
    return size_in(frame, 0)


@kernel
def _pixels(frame: Any) -> int:
    """The elements of a channel; 1 for samples in one dimension."""
    return get(frame, frames.INPUTS) // size_in(frame, 0)


@kernel
def _factors(frame: Any, factors: Any) -> None:
    """The factors of x - mean: gamma / sqrt(variance + epsilon)."""
    gamma, variances, epsilon = parameter(frame, GAMMA), statistic(frame, VARIANCE), number(frame, EPSILON)
    for j in range(gamma.size):
        factors[j] = gamma[j] / _deviation(variances[j], epsilon)


@unit
def batch_norm_forward(frame: Any) -> None:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta."""
    factors = part(scratch(frame), 0, _units(frame))
    means, beta, has_pixels = statistic(frame, MEAN), parameter(frame, BETA), _pixels(frame) > 1
    _factors(frame, factors)
    xs, ys = source(frame), frames.target(frame)
    for n in range(xs.shape[0]):
        x, y = xs[n], ys[n]
        if has_pixels:
            channels.shift_and_scale(x, means, factors, beta, y)
        for j in range(0 if has_pixels else x.size):
            y[j] = (x[j] - means[j]) * factors[j] + beta[j]


@unit
def batch_norm_backward(frame: Any) -> None:
    """dx from dy; with the statistics of the batch, which move with x, by the sums of batch_norm_sums."""
    units, memory, has_pixels = _units(frame), scratch(frame), _pixels(frame) > 1
    factors, shifts, slopes = part(memory, 0, units), part(memory, units, units), part(memory, 2 * units, units)
    _factors(frame, factors)
    xs, dys, dxs, count = source(frame), frames.d_target(frame), frames.d_source(frame), frames.batch_rows(frame)
    if count == 0:
        for n in range(xs.shape[0]):
            dy, dx = dys[n], dxs[n]
            if has_pixels:
                channels.scale(dy, factors, dx)
            for j in range(0 if has_pixels else units):
                dx[j] = factors[j] * dy[j]
        return
    means, variances, epsilon = statistic(frame, MEAN), statistic(frame, VARIANCE), number(frame, EPSILON)
    d_gamma, d_beta = gradient(frame, GAMMA), gradient(frame, BETA)
    share = xs.dtype.type(1.0 / (count * _pixels(frame)))
    for j in range(units):
        shifts[j] = share * d_beta[j]
        slopes[j] = share * d_gamma[j] / _deviation(variances[j], epsilon)
    for n in range(xs.shape[0]):
        x, dy, dx = xs[n], dys[n], dxs[n]
        if has_pixels:
            channels.normalize_backward(dy, x, means, (factors, shifts, slopes), dx)
        for j in range(0 if has_pixels else units):
            dx[j] = factors[j] * (dy[j] - shifts[j] - (x[j] - means[j]) * slopes[j])


@unit
def batch_norm_statistics(frame: Any) -> None:
    """The mean and the biased variance over the batch of the units [BEGIN, LAST).

    The variance is the mean square of x less its unrounded mean, so that a large mean costs no digits.
    """
    means, variances = batch_statistic(frame, MEAN), batch_statistic(frame, VARIANCE)
    xs, memory, pixels = source(frame), frames.sums(frame), _pixels(frame)
    if pixels > 1:
        for c in range(get(frame, frames.BEGIN), get(frame, frames.END)):
            mean = channels.sum_of_channel(xs, c, pixels) / (xs.shape[0] * pixels)
            means[c] = mean
            variances[c] = channels.squares_of_channel(xs, c, pixels, mean, memory) / (xs.shape[0] * pixels)
        return
    half = memory.size // 2
    exact, squares = part(memory, 0, half), part(memory, half, half)
    for begin in range(get(frame, frames.BEGIN), get(frame, frames.END), half):
        count = min(half, get(frame, frames.END) - begin)
        memory[:] = 0.0
        for n in range(xs.shape[0]):
            x = part(xs[n], begin, count)
            for j in range(count):
                exact[j] += x[j]
        for j in range(count):
            exact[j] /= xs.shape[0]
        for n in range(xs.shape[0]):
            x = part(xs[n], begin, count)
            for j in range(count):
                rest = x[j] - exact[j]
                squares[j] += rest * rest
        for j in range(count):
            means[begin + j], variances[begin + j] = exact[j], squares[j] / xs.shape[0]


@kernel
def _sums_of_units(frame: Any) -> None:
    """d_gamma and d_beta: the sums over the batch of dy (x - mean) / sqrt(variance + epsilon) and of dy."""
    first, last = get(frame, frames.BEGIN), get(frame, frames.END)
    d_gamma, d_beta = gradient(frame, GAMMA), gradient(frame, BETA)
    means, variances, memory = statistic(frame, MEAN), statistic(frame, VARIANCE), frames.sums(frame)
    xs, dys, epsilon, pixels = source(frame), frames.d_target(frame), number(frame, EPSILON), _pixels(frame)
    if pixels > 1:
        for c in range(first, last):
            product = channels.product_of_channels(xs, dys, c, pixels, means[c], memory)
            d_gamma[c] = product / _deviation(variances[c], epsilon)
            d_beta[c] = channels.sum_of_channel(dys, c, pixels)
        return
    half = memory.size // 2
    products, plain = part(memory, 0, half), part(memory, half, half)
    for begin in range(first, last, half):
        count = min(half, last - begin)
        some_means = part(means, begin, count)
        memory[:] = 0.0
        for n in range(xs.shape[0]):
            x, dy = part(xs[n], begin, count), part(dys[n], begin, count)
            for j in range(count):
                products[j] += dy[j] * (x[j] - some_means[j])
                plain[j] += dy[j]
        for j in range(count):
            d_gamma[begin + j] = products[j] / _deviation(variances[begin + j], epsilon)
            d_beta[begin + j] = plain[j]


@unit
def batch_norm_sums(frame: Any) -> None:
    """d_gamma and d_beta of the units [BEGIN, LAST), which the backward pass needs, too."""
    _sums_of_units(frame)


@unit
def batch_norm_gradient(frame: Any) -> None:
    """d_gamma = the sum of dy (x - mean) / sqrt(variance + epsilon), d_beta = the sum of dy; both at once, for gamma.

    In training batch_norm_sums has already written them.
    """
    if frames.batch_rows(frame) == 0 and get(frame, frames.PARAMETER) == GAMMA:
        _sums_of_units(frame)


@unit
def batch_norm_check(frame: Any) -> None:
    """True if the statistics of the batch are finite, even as learned ones, where an infinity would stay forever."""
    means, variances = batch_statistic(frame, MEAN), batch_statistic(frame, VARIANCE)
    finite = True
    for j in range(means.size):
        finite = finite and abs(means[j]) < math.inf and variances[j] + variances[j] < math.inf
    put(frame, frames.RESULT, 1 if finite else 0)


@unit
def batch_norm_learn(frame: Any) -> None:
    """learned = momentum learned + (1 - momentum) batch's, for means and variances.

    The batch's variance is multiplied by n / (n - 1), which makes it unbiased, for n numbers of each unit; there are at
    least 2 (plan.needs_rows).
    """
    momentum, count = number(frame, MOMENTUM), get(frame, frames.ROWS) * _pixels(frame)
    means, of_batch = frames.learned_statistic(frame, MEAN), batch_statistic(frame, MEAN)
    keep, add = means.dtype.type(momentum), means.dtype.type(1.0 - momentum)
    for j in range(means.size):
        means[j] = keep * means[j] + add * of_batch[j]
    variances, some = frames.learned_statistic(frame, VARIANCE), batch_statistic(frame, VARIANCE)
    unbiased = means.dtype.type(count / (count - 1.0))
    for j in range(variances.size):
        variances[j] = keep * variances[j] + add * (unbiased * some[j])


@unit
def batch_norm_prepare(frame: Any) -> None:
    """gamma / sqrt(variance + epsilon), by the learned statistics."""
    _factors(frame, vector_of(frame, frames.PREPARED, _units(frame)))


@unit
def batch_norm_move(frame: Any) -> None:
    """d y = (x - mean) / sqrt(variance + epsilon) d_gamma, or d_beta, by the learned statistics.

    For samples in one dimension: a parameter of images moves many outputs, see Plan.unit.
    """
    samples, run, width = frames.samples_of(frame), get(frame, frames.RUN), get(frame, frames.WIDTH)
    steps = vector_of(frame, frames.STEPS, run)
    d, x = vector_of(frame, frames.CHANGES, samples.size * run), source(frame)
    j, epsilon = get(frame, frames.COLUMN), number(frame, EPSILON)
    means, variances = statistic(frame, MEAN), statistic(frame, VARIANCE)
    for s in range(samples.size):
        base, some = x[samples[s]], part(d, s * run, run)
        for k in range(width):
            factor = 1.0
            if get(frame, frames.PARAMETER) == GAMMA:
                factor = (base[j + k] - means[j + k]) / _deviation(variances[j + k], epsilon)
            for c in range(k, run, width):
                some[c] = steps[c] * factor


@formula
def _change(value: Any, x: Any, d: Any, factor: Any, _b: Any, _c: Any) -> Any:
    return factor * d


@unit
def batch_norm_change(frame: Any) -> None:
    """factor d, as it is linear with the learned statistics."""
    units, pixels = _units(frame), _pixels(frame)
    factors = vector_of(frame, frames.PREPARED, units)
    if pixels > 1:
        of_elements = part(scratch(frame), 0, units * pixels)
        is_block = get(frame, frames.LAYOUT) == BLOCK
        first = 0 if is_block else get(frame, frames.COLUMN)
        some = of_elements if is_block else part(of_elements, first, get(frame, frames.WIDTH))
        channels.repeat(factors, pixels, first, some)
        factors = of_elements
    changes_of_elements(_change, 0, frame, factors, factors, factors)


class _Normalized(Columns):
    """A linear operation, with the learned statistics."""

    def forward(self, at: Operation, x: Any) -> Taken:
        pixels = x.shape[-1] // len(at.parameters[0])
        gamma, beta, mean, variance = (np.repeat(one, pixels) for one in [*at.parameters, *at.statistics])
        deviation = np.sqrt(variance + at.layer.epsilon)
        factor, size = gamma / deviation, np.abs(x[0]) + np.abs(mean)
        y = (x - mean) * factor + beta
        y = y + at.noise(at.unit * (size * np.abs(factor) + np.abs(beta)))
        slopes = factor + at.noise(2 * at.unit * np.abs(np.broadcast_to(factor, x[0].shape)))
        return Taken(x, y, slopes, ((x - mean) / deviation, np.ones_like(x)), SURE * at.unit * size / deviation)

    def backward(self, at: Operation, taken: Taken, dy: Any, need_dx: bool) -> Back:
        """The gradients of a channel are the sums of its pixels'."""
        back, units = super().backward(at, taken, dy, need_dx), len(at.parameters[0])
        summed = [
            Gradient(*(np.reshape(one, (*np.shape(one)[:-1], units, -1)).sum(axis=-1) for one in gradient))
            for gradient in back.gradients
        ]
        return back._replace(gradients=summed)


@dataclass(frozen=True)
class BatchNorm(TrainedLayer):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, unit by unit (Ioffe and Szegedy, 2015).

    In training, that is in `Network.step` and `fit`, mean and biased variance are the batch's, and running values are
    kept: running = momentum running + (1 - momentum) batch's, whose variance is made unbiased by N / (N - 1). A last
    batch of one row is left out, unless it is an image of several pixels. For images (C, H, W) a unit is a channel,
    whose statistics go over the batch and the pixels, N H W numbers (section 3.2 of the source). `predict`, `loss`,
    `gradient` and gradient checks use the running values.

    Its parameters are `gamma1` and `beta1` (outputs,), for images (C,), which begin at 1 and 0; the running values are
    `network.statistics["mean1"]` and `["variance1"]`, which begin at 0 and 1. Regularization leaves them alone. The
    bias of an Affine layer before it has no effect.

    Parameters
    ----------
    momentum : float
        In [0, 1). PyTorch's `momentum` is 1 minus this.
    epsilon : float
        Above 0.
    trainable : bool
        False: training leaves gamma, beta and the running values as they are, and uses the running values.
    learning_rate_factor : float
        As for `Affine`.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.BatchNorm(), fastnn.Relu(), fastnn.Affine(3, 2)], rng=0)
    >>> list(net.params), list(net.statistics)
    (['W1', 'b1', 'gamma1', 'beta1', 'W2', 'b2'], ['mean1', 'variance1'])
    >>> x, t = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 2
    >>> _ = net.step(x, t, fastnn.SGD())
    >>> np.allclose(net.statistics["variance1"], 1.0)  # training has moved it
    False
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    takes_elements = True
    init_before = ""
    outside_training = "takes no statistics of batches"
    units = Units(
        batch_norm_forward,
        batch_norm_backward,
        batch_norm_gradient,
        batch_norm_statistics,
        batch_norm_sums,
        batch_norm_check,
        batch_norm_learn,
        prepare=batch_norm_prepare,
        move=batch_norm_move,
        change=batch_norm_change,
    )
    link = _Normalized()

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.momentum, int) and self.momentum > 1:
            expected = "momentum: expected a finite number of at least 0.0 and below 1.0"
            raise ValueError(f"{expected}, got {self.momentum}; BatchNorm finds its width itself")
        object.__setattr__(self, "momentum", arrays.real("momentum", self.momentum, minimum=0.0, below=1.0))
        object.__setattr__(self, "epsilon", arrays.real("epsilon", self.epsilon, above=0.0))

    def shape_of_output(self, shape: Shape) -> Shape:
        if len(shape) == 2:
            expected = f"expected inputs in one dimension, or images (channels, height, width), for {self}"
            raise ValueError(f"{expected}, got the shape {shape}; add Flatten() before it")
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        """gamma and beta (inputs,), for images (channels,)."""
        return {"gamma": shape[:1], "beta": shape[:1]}

    def statistics(self, shape: Shape) -> dict[str, Shape]:
        """mean and variance (inputs,), for images (channels,)."""
        return {"mean": shape[:1], "variance": shape[:1]}

    def beginnings(self, follows: str, generator: np.random.Generator) -> dict[str, Any]:
        return {"gamma": 1.0, "beta": 0.0, "mean": 0.0, "variance": 1.0}

    def numbers(self) -> tuple[float, ...]:
        return (self.epsilon, self.momentum)

    def scratch_size(self, rows: int, inputs: Shape, outputs: Shape) -> int:
        return max(3 * outputs[0], math.prod(outputs) if len(outputs) > 1 else 0)

    def check_in(self, name: str, dtype: Any) -> None:
        super().check_in(name, dtype)
        arrays.survives(name, "an epsilon above 0", self.epsilon, 0.0, dtype, "pass a larger one")
        arrays.survives(name, "a momentum below 1", self.momentum, 1.0, dtype, "pass a smaller one")
