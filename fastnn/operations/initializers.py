"""Initialization of an affine layer's weights. Biases begin at 0."""

import math
from typing import Any

import numpy as np

from fastnn.gate import arrays

# The standard deviation of weights (D, H) by name, from D inputs and H outputs.
SCALES = {
    # He, Zhang, Ren and Sun, ICCV 2015, equation 10: keeps the variance through ReLU.
    "he": lambda inputs, outputs: math.sqrt(2.0 / inputs),
    # Glorot and Bengio, AISTATS 2010, equation 12: keeps it, forward and backward, where the activation is near linear.
    "xavier": lambda inputs, outputs: math.sqrt(2.0 / (inputs + outputs)),
    "zeros": lambda inputs, outputs: 0.0,
}


def check(name: str, value: Any) -> str | float:
    """An initializer: one of the names in SCALES, or a standard deviation (0.01 in many courses)."""
    if isinstance(value, str):
        return arrays.choice(name, value, SCALES)
    return arrays.real(name, value, minimum=0.0)


def weights(
    initializer: str | float, inputs: int, outputs: int, rng: np.random.Generator, shape: tuple[int, ...] | None = None
) -> arrays.Array:
    """Normally distributed weights in float64: the same draws for either dtype of the network.

    inputs, outputs: how many numbers meet at a unit, forward and backward; also the shape, unless it is given.
    """
    scale = SCALES[initializer](inputs, outputs) if isinstance(initializer, str) else initializer
    shape = (inputs, outputs) if shape is None else shape
    drawn = arrays.floats(f"rng.standard_normal({shape})", rng.standard_normal(shape), shape, dtype="float64")
    return scale * drawn
