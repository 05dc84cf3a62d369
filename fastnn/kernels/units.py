"""Operations that hold parameters of their own for each unit: PReLU and batch normalisation.

Imports compile, job and vector_math.

y is linear in each of these parameters. A PReLU has one for each unit, its slope; batch normalisation has gamma, then
beta, and in its plan column STATISTICS a mean, then a variance: in the values those learned, in the gradients those of
the batch in training.

Matrices (rows, units), C-contiguous; vectors (units,). Sums over the batch are float64, in the order of the rows.
"""

import math
from typing import Any

import numpy as np

from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.job import BIAS, KIND, OUTPUTS, PRELU, STATISTICS, WEIGHT
from fastnn.kernels.vector_math import constant

# Vectors of scratch, each of an operation's units.
SCRATCH_VECTORS = 3


@kernel
def _of_units(vector: Any, operation: Any, column: int) -> Any:
    """The numbers of an operation's units that begin where a column of its plan's row says."""
    return vector[operation[column] : operation[column] + operation[OUTPUTS]]


@kernel
def _variances(vector: Any, operation: Any) -> Any:
    """The variances of batch normalisation's units, which follow the means."""
    start = operation[STATISTICS] + operation[OUTPUTS]
    return vector[start : start + operation[OUTPUTS]]


@formula
def _deviation(variance: Any, epsilon: float) -> float:
    """The root by which batch normalisation divides, in float64."""
    return math.sqrt(np.float64(variance) + epsilon)


@formula
def prelu(x: Any, slope: Any) -> Any:
    """x where x > 0, else slope x (He et al., 2015)."""
    return x if x > constant(x, 0.0) else slope * x


@kernel
def unit_factors(values: Any, statistics: Any, operation: Any, epsilon: float, factors: Any) -> None:
    """What x is multiplied by, for each unit: gamma / sqrt(variance + epsilon), and of a PReLU the slope.

    statistics: the vector that holds means and variances, the values or the gradients.
    """
    first = _of_units(values, operation, WEIGHT)
    if operation[KIND] == PRELU:
        for j in range(first.size):
            factors[j] = first[j]
        return
    variances = _variances(statistics, operation)
    for j in range(first.size):
        factors[j] = first[j] / _deviation(variances[j], epsilon)


@kernel
def unit_forward(values: Any, statistics: Any, operation: Any, epsilon: float, x: Any, scratch: Any, y: Any) -> None:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta (Ioffe and Szegedy, 2015), or PReLU of x.

    statistics: as for unit_factors; scratch: of SCRATCH_VECTORS; y: overwritten, distinct from x.
    """
    factors = scratch[: operation[OUTPUTS]]
    unit_factors(values, statistics, operation, epsilon, factors)
    if operation[KIND] == PRELU:
        for n in range(x.shape[0]):
            source, target = x[n], y[n]
            for j in range(source.size):
                target[j] = prelu(source[j], factors[j])
        return
    means, beta = _of_units(statistics, operation, STATISTICS), _of_units(values, operation, BIAS)
    for n in range(x.shape[0]):
        source, target = x[n], y[n]
        for j in range(source.size):
            target[j] = (source[j] - means[j]) * factors[j] + beta[j]


@kernel
def unit_backward(
    values: Any, gradients: Any, count: int, operation: Any, epsilon: float, dy: Any, x: Any, scratch: Any, dx: Any
) -> None:
    """dx of unit_forward, from dy.

    count: of batch normalisation by the statistics of a batch, which move with x, its number of rows; 0 by those
    learned. Where it is not 0, `gradients` hold those statistics and the sums of batch_norm_gradient. scratch: of
    SCRATCH_VECTORS; dx: overwritten, distinct from x.
    """
    units = operation[OUTPUTS]
    factors, shifts, slopes = scratch[:units], scratch[units : 2 * units], scratch[2 * units : 3 * units]
    statistics = gradients if count > 0 else values
    unit_factors(values, statistics, operation, epsilon, factors)
    if operation[KIND] == PRELU:
        for n in range(x.shape[0]):
            source, behind, ahead = x[n], dy[n], dx[n]
            for j in range(units):
                ahead[j] = behind[j] if source[j] > constant(source[j], 0.0) else factors[j] * behind[j]
    elif count == 0:
        for n in range(x.shape[0]):
            behind, ahead = dy[n], dx[n]
            for j in range(units):
                ahead[j] = factors[j] * behind[j]
    else:
        means, variances = _of_units(statistics, operation, STATISTICS), _variances(statistics, operation)
        d_gamma, d_beta = _of_units(gradients, operation, WEIGHT), _of_units(gradients, operation, BIAS)
        share = values.dtype.type(1.0 / count)
        for j in range(units):
            shifts[j] = share * d_beta[j]
            slopes[j] = share * d_gamma[j] / _deviation(variances[j], epsilon)
        for n in range(x.shape[0]):
            source, behind, ahead = x[n], dy[n], dx[n]
            for j in range(units):
                ahead[j] = factors[j] * (behind[j] - shifts[j] - (source[j] - means[j]) * slopes[j])


@kernel
def batch_statistics(x: Any, sums: Any, operation: Any, gradients: Any, first: int, last: int) -> None:
    """The mean and the biased variance over the batch x of the units [first, last), to their place in `gradients`.

    sums: any number of float64, scratch. The variance is the mean square of what is left of x without its mean, which
    is not rounded before, so that a large mean costs no digits.
    """
    means, variances = _of_units(gradients, operation, STATISTICS), _variances(gradients, operation)
    half = sums.size // 2
    exact, squares = sums[:half], sums[half : 2 * half]
    for begin in range(first, last, half):
        count = min(half, last - begin)
        sums[:] = 0.0
        for n in range(x.shape[0]):
            row = x[n, begin : begin + count]
            for j in range(count):
                exact[j] += row[j]
        for j in range(count):
            exact[j] /= x.shape[0]
        for n in range(x.shape[0]):
            row = x[n, begin : begin + count]
            for j in range(count):
                rest = row[j] - exact[j]
                squares[j] += rest * rest
        for j in range(count):
            means[begin + j], variances[begin + j] = exact[j], squares[j] / x.shape[0]


@kernel
def batch_norm_gradient(
    statistics: Any, operation: Any, epsilon: float, dy: Any, x: Any, sums: Any, gradients: Any, first: int, last: int
) -> None:
    """d_gamma = the sum of dy (x - mean) / sqrt(variance + epsilon), d_beta = that of dy; of the units [first, last).

    dy and x: the whole batch; sums: any number of float64, scratch.
    """
    means, variances = _of_units(statistics, operation, STATISTICS), _variances(statistics, operation)
    d_gamma, d_beta = _of_units(gradients, operation, WEIGHT), _of_units(gradients, operation, BIAS)
    half = sums.size // 2
    products, plain = sums[:half], sums[half : 2 * half]
    for begin in range(first, last, half):
        count = min(half, last - begin)
        some_means = means[begin : begin + count]
        sums[:] = 0.0
        for n in range(x.shape[0]):
            row, behind = x[n, begin : begin + count], dy[n, begin : begin + count]
            for j in range(count):
                products[j] += behind[j] * (row[j] - some_means[j])
                plain[j] += behind[j]
        for j in range(count):
            d_gamma[begin + j] = products[j] / _deviation(variances[begin + j], epsilon)
            d_beta[begin + j] = plain[j]


@kernel
def prelu_gradient(operation: Any, dy: Any, x: Any, sums: Any, gradients: Any, first: int, last: int) -> None:
    """d_slope = the sum of dy x over the rows where x is not above 0, of the units [first, last).

    dy and x: the whole batch; sums: any number of float64, scratch.
    """
    d_slope = _of_units(gradients, operation, WEIGHT)
    for begin in range(first, last, sums.size):
        count = min(sums.size, last - begin)
        sums[:count] = 0.0
        for n in range(x.shape[0]):
            row, behind = x[n, begin : begin + count], dy[n, begin : begin + count]
            for j in range(count):
                sums[j] += 0.0 if row[j] > constant(row[j], 0.0) else behind[j] * row[j]
        for j in range(count):
            d_slope[begin + j] = sums[j]


@kernel
def statistics_are_finite(operation: Any, gradients: Any) -> bool:
    """Whether those of a batch are, and would be when learned: an infinite variance would stay for ever."""
    means, variances = _of_units(gradients, operation, STATISTICS), _variances(gradients, operation)
    finite = True
    for j in range(means.size):
        finite = finite and abs(means[j]) < math.inf and variances[j] + variances[j] < math.inf
    return finite


@kernel
def learn_statistics(operation: Any, momentum: float, rows: int, values: Any, gradients: Any) -> None:
    """learned = momentum learned + (1 - momentum) that of the batch, of batch normalisation's means and variances.

    The batch's variance counts as rows / (rows - 1) of itself, which makes it unbiased; there are at least 2 rows.
    """
    dtype = values.dtype.type
    keep, add = dtype(momentum), dtype(1.0 - momentum)
    means, of_batch = _of_units(values, operation, STATISTICS), _of_units(gradients, operation, STATISTICS)
    for j in range(means.size):
        means[j] = keep * means[j] + add * of_batch[j]
    variances, some = _variances(values, operation), _variances(gradients, operation)
    unbiased = dtype(rows / (rows - 1.0))
    for j in range(variances.size):
        variances[j] = keep * variances[j] + add * (unbiased * some[j])


@kernel
def unit_change(kind: int, factor: float, x: float, d: float) -> float:
    """f(x + d) - f(x), of batch normalisation by the statistics learned; factor: of the unit, see unit_factors."""
    return prelu(x + d, factor) - prelu(x, factor) if kind == PRELU else factor * d


@kernel
def unit_coefficient(values: Any, operation: Any, epsilon: float, which: int, x: float, j: int) -> float:
    """What parameter number `which` of unit j is multiplied by in y, at x; by the statistics learned."""
    if operation[KIND] == PRELU:
        return 0.0 if x > 0.0 else x
    if which == 1:
        return 1.0
    return (x - values[operation[STATISTICS] + j]) / _deviation(_variances(values, operation)[j], epsilon)
