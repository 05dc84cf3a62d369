"""Flatten: an image as a row of numbers. Nothing is computed and nothing copied."""

import math
from dataclasses import dataclass

from fastnn.operations.base import NO_UNITS, Layer, Shape


@dataclass(frozen=True)
class Flatten(Layer):
    """(C, H, W) as (C H W,), channel after channel and row after row, as an Affine layer takes it.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Flatten(), fastnn.Affine(28 * 28, 10)], input_shape=(1, 28, 28), rng=0)
    >>> net.predict(np.zeros((5, 1, 28, 28))).shape
    (5, 10)
    """

    is_view = True
    init_before = ""
    units = NO_UNITS

    def shape_of_output(self, shape: Shape) -> Shape:
        return (math.prod(shape),)
