"""The shapes of a network's tensors for one sample, before the first layer and after each."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.gate import arrays, checks
from fastnn.kernels.frames import MOST_DIMENSIONS
from fastnn.operations.base import Layer, Shape

MOST_ELEMENTS = 2**31 - 1  # of one sample, so that offsets are an int64


def check_input_shape(layers: Sequence[Layer], given: Any) -> Shape:
    """The checked shape of one sample's inputs: the first layer's own, or the given one.

    given: an integer, a sequence of one to three of them, or None.
    """
    own = layers[0].own_input_shape()
    if given is None:
        if own is None:
            reason = "it says how many inputs there are; pass input_shape=(784,), or (1, 28, 28) for images"
            raise ValueError(f"layers: expected an Affine layer first, got {layers[0]}; {reason}")
        return own
    sizes = (given,) if isinstance(given, int | np.integer) else given
    if not isinstance(sizes, tuple | list) or not 1 <= len(sizes) <= MOST_DIMENSIONS:
        expected = f"input_shape: expected the shape of one sample, a tuple of 1 to {MOST_DIMENSIONS} integers"
        came = f"{len(sizes)} of them" if isinstance(sizes, tuple | list) else checks.shown(given)
        kind = ValueError if isinstance(sizes, tuple | list) else TypeError
        raise kind(f"{expected}, got {came}; pass one such as (1, 28, 28)")
    shape = tuple(arrays.integer(f"input_shape[{i}]", size, 1, MOST_ELEMENTS) for i, size in enumerate(sizes))
    if own is not None and len(shape) == 1 and shape != own:
        raise ValueError(f"input_shape: expected {own}, as {layers[0]} says, got {shape}; leave it out")
    return shape


def shapes_of(layers: Sequence[Layer], input_shape: Shape) -> list[Shape]:
    """The shapes of one sample before the first layer and after each; refuses layers that do not fit together."""
    shapes = [input_shape]
    for i, layer in enumerate(layers):
        try:
            shapes.append(layer.shape_of_output(shapes[-1]))
        except ValueError as error:
            _refuse_channels_last(layer, input_shape, shapes[-1])
            raise ValueError(f"layers[{i}]: {error}") from None
    for shape in shapes:
        if math.prod(shape) > MOST_ELEMENTS:
            raise MemoryError(f"layers: expected tensors that fit into memory, got samples of the shape {shape}")
    return shapes


def _refuse_channels_last(layer: Layer, given: Shape, shape: Shape) -> None:
    """Refuse a network's input shape (height, width, channels), which has reached a convolution as it is."""
    channels = getattr(layer, "in_channels", 0)
    if shape == given and len(given) == 3 and given[2] == channels != given[0]:
        expected = f"input_shape: expected (channels, height, width) for {layer}, got {given}"
        raise ValueError(f"{expected}; channels come first: pass {(channels, *given[:2])}, and such images") from None


def sizes_of(before: Shape, after: Shape) -> list[int]:
    """The part of a plan's row about both shapes: see kernels/frames.py."""
    return [*before, *[1] * (MOST_DIMENSIONS - len(before)), *after, *[1] * (MOST_DIMENSIONS - len(after))]


def flat_targets(name: str, t: Any, rows: int, shape: Shape, options: Any) -> Any:
    """Targets as rows if the outputs of a sample are an image of that shape; others as they are.

    options: of `arrays.floats`.
    """
    if len(shape) == 1:
        return t
    return arrays.floats(name, t, (rows, *shape), **options).reshape(rows, math.prod(shape))
