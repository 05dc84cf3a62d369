"""Layers other than affine and activations in plain NumPy: part of fastnn.reference.

x, y, dy, dx (N, D), or images (N, C, H, W); slope, gamma, beta (D,).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .activations import Array, quiet
from .images import avg_pool2d_backward, avg_pool2d_forward, max_pool2d_backward, max_pool2d_forward


def flatten_forward(x: Array) -> Array:
    """x (N, C, H, W) as rows (N, C H W); a view."""
    return x.reshape(len(x), -1)


def flatten_backward(dy: Array, x: Array) -> tuple[Array]:
    """dx, which is dy (N, C H W) in the shape of x (N, C, H, W); a view."""
    return (dy.reshape(x.shape),)


@quiet
def prelu_forward(x: Array, slope: Array) -> Array:
    """y = x where x > 0, else slope x.

    Source: He, Zhang, Ren and Sun, ICCV (2015), 1026-1034.
    """
    y: Array = np.where(x > 0, x, slope * x)
    return y


@quiet
def prelu_backward(dy: Array, x: Array, slope: Array) -> tuple[Array, Array]:
    """dx, and d_slope, which is the sum of dy x over the rows where x is not above 0."""
    return np.where(x > 0, dy, slope * dy), np.where(x > 0, 0, dy * x).sum(axis=0)


def _rows_of_units(x: Array) -> Array:
    """x (N, D) as it is; images (N, C, H, W) as rows of their channels (N H W, C)."""
    return x if x.ndim == 2 else np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def _like(rows: Array, x: Array) -> Array:
    """The inverse of _rows_of_units, for an array like x."""
    return rows if x.ndim == 2 else np.moveaxis(rows.reshape(len(x), *x.shape[2:], x.shape[1]), -1, 1)


@quiet
def batch_norm_forward(
    x: Array, gamma: Array, beta: Array, epsilon: float = 1e-5, statistics: tuple[Array, Array] | None = None
) -> Array:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta.

    statistics: (mean, variance) of each column, or of each channel of images; by default those of x, the variance
    biased. Source: Ioffe and Szegedy, ICML (2015), 448-456.
    """
    rows = _rows_of_units(x)
    mean, variance = (rows.mean(axis=0), rows.var(axis=0)) if statistics is None else statistics
    return _like(gamma * ((rows - mean) / np.sqrt(variance + epsilon)) + beta, x)


@quiet
def batch_norm_backward(dy: Array, x: Array, gamma: Array, epsilon: float = 1e-5) -> tuple[Array, Array, Array]:
    """dx, d_gamma and d_beta with the statistics of x, which move with it."""
    rows, slopes = _rows_of_units(x), _rows_of_units(dy)
    root = np.sqrt(rows.var(axis=0) + epsilon)
    normal = (rows - rows.mean(axis=0)) / root
    d_gamma, d_beta = (slopes * normal).sum(axis=0), slopes.sum(axis=0)
    dx = gamma / root * (slopes - slopes.mean(axis=0) - normal * (d_gamma / len(rows)))
    return _like(dx, x), d_gamma, d_beta


def _batch_norm_backward(dy: Array, x: Array, gamma: Array, beta: Array, **options: float) -> tuple[Array, ...]:
    """The same with all parameters, in the form that UNITS uses."""
    return batch_norm_backward(dy, x, gamma, **options)


class UnitsOperation(NamedTuple):
    """Layer with parameters (D,), or none: forward(x, *parameters), and backward(dy, x, *parameters), its gradients."""

    forward: Callable[..., Array]
    backward: Callable[..., tuple[Array, ...]]
    parameters: dict[str, float]  # with their initial values


# To add a layer, write it above and enter it here, with its parameters.
UNITS: dict[str, UnitsOperation] = {
    "flatten": UnitsOperation(flatten_forward, flatten_backward, {}),
    "max_pool2d": UnitsOperation(max_pool2d_forward, max_pool2d_backward, {}),
    "avg_pool2d": UnitsOperation(avg_pool2d_forward, avg_pool2d_backward, {}),
    "prelu": UnitsOperation(prelu_forward, prelu_backward, {"slope": 0.25}),
    "batch_norm": UnitsOperation(batch_norm_forward, _batch_norm_backward, {"gamma": 1.0, "beta": 0.0}),
}
