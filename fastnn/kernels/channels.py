"""Sums and linear functions of the channels of images (N, C, H, W), which are matrices (N, C H W) here.

A channel has `pixels` elements of a row, one behind the other. Sums are float64, in steps that do not depend on the
number of threads.
"""

from typing import Any

import numpy as np

from fastnn.kernels.compile import kernel
from fastnn.kernels.simd import sum_of_eighths
from fastnn.kernels.views import part


@kernel
def _sum(values: Any) -> float:
    """The float64 sum of a vector."""
    eights = values.size // 8 * 8
    total = sum_of_eighths(values, eights)
    for k in range(eights, values.size):
        total += values[k]
    return total


@kernel
def sum_of_channel(xs: Any, c: int, pixels: int) -> float:
    """The sum of channel c over the batch and the pixels."""
    total = 0.0
    for n in range(xs.shape[0]):
        total += _sum(part(xs[n], c * pixels, pixels))
    return total


@kernel
def squares_of_channel(xs: Any, c: int, pixels: int, mean: float, memory: Any) -> float:
    """The sum of the squares of x - mean; mean: in float64."""
    total = 0.0
    for n in range(xs.shape[0]):
        for begin in range(0, pixels, memory.size):
            count = min(memory.size, pixels - begin)
            x, squares = part(xs[n], c * pixels + begin, count), part(memory, 0, count)
            for k in range(count):
                rest = x[k] - mean
                squares[k] = rest * rest
            total += _sum(squares)
    return total


@kernel
def product_of_channels(xs: Any, dys: Any, c: int, pixels: int, mean: Any, memory: Any) -> float:
    """The sum of dy (x - mean), each product in the dtype of x."""
    total = 0.0
    for n in range(xs.shape[0]):
        for begin in range(0, pixels, memory.size):
            count, at = min(memory.size, pixels - begin), c * pixels + begin
            x, dy, products = part(xs[n], at, count), part(dys[n], at, count), part(memory, 0, count)
            for k in range(count):
                products[k] = np.float64(dy[k] * (x[k] - mean))
            total += _sum(products)
    return total


@kernel
def shift_and_scale(x: Any, means: Any, factors: Any, beta: Any, y: Any) -> None:
    """y = (x - mean) factor + beta, channel by channel of one image."""
    pixels = x.size // means.size
    for c in range(means.size):
        mean, factor, add = means[c], factors[c], beta[c]
        some, result = part(x, c * pixels, pixels), part(y, c * pixels, pixels)
        for k in range(pixels):
            result[k] = (some[k] - mean) * factor + add


@kernel
def scale(x: Any, factors: Any, y: Any) -> None:
    """y = factor x, channel by channel of one image."""
    pixels = x.size // factors.size
    for c in range(factors.size):
        factor, some, result = factors[c], part(x, c * pixels, pixels), part(y, c * pixels, pixels)
        for k in range(pixels):
            result[k] = factor * some[k]


@kernel
def normalize_backward(dy: Any, x: Any, means: Any, coefficients: Any, dx: Any) -> None:
    """dx = factor (dy - shift - (x - mean) slope), channel by channel of one image.

    coefficients: (factors, shifts, slopes).
    """
    factors, shifts, slopes = coefficients
    pixels = x.size // means.size
    for c in range(means.size):
        mean, factor, shift, slope = means[c], factors[c], shifts[c], slopes[c]
        slope_of_x, some = part(dx, c * pixels, pixels), part(x, c * pixels, pixels)
        given = part(dy, c * pixels, pixels)
        for k in range(pixels):
            slope_of_x[k] = factor * (given[k] - shift - (some[k] - mean) * slope)


@kernel
def repeat(values: Any, pixels: int, first: int, out: Any) -> None:
    """out[k] = the value of the channel of element first + k."""
    for k in range(out.size):
        out[k] = values[(first + k) // pixels]
