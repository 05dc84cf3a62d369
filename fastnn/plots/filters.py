"""Pictures of a convolution's filters."""

from typing import Any

import numpy as np

from fastnn.engine import observation
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.checks import shown
from fastnn.gate.slips import answers_slips
from fastnn.plots import panels

MOST_PICTURES = 64


@answers_slips
def filters(net: Any, layer: int | None = None, *, count: int | None = None, axes: Any = None) -> Array:
    """The filters of a Conv2d as pictures, one for each output channel.

    All share one color scale, white at 0. The channels of a filter stand side by side.

    Parameters
    ----------
    net : Network
    layer : int, optional
        The layer's place in `net.layers`; by default the first Conv2d.
    count : int, optional
        How many, from the first filter on; by default one for each of axes, or at most 64.
    axes : sequence of Axes, optional

    Returns
    -------
    array of Axes

    Raises
    ------
    TypeError, ValueError
        For anything but a network with a Conv2d there, and Axes.

    Examples
    --------
    >>> layers = [fastnn.Conv2d(1, 6, 5), fastnn.Relu(), fastnn.Flatten(), fastnn.Affine(96, 10)]
    >>> axes = fastnn.plots.filters(fastnn.Network(layers, input_shape=(1, 8, 8), rng=0))
    >>> axes.shape, axes.flat[0].get_images()[0].get_array().shape
    ((6,), (5, 5))
    """
    if not observation.is_network(net):
        raise TypeError(f"net: expected a fastnn.Network, got {shown(net)}; pass one")
    name = _name_of_filters(net, layer)
    W = np.array(net.params[name])
    if count is not None:
        count = arrays.integer("count", count, minimum=1, maximum=len(W))
    given = panels.given("axes", axes, count)
    if len(given) > len(W):
        raise ValueError(f"axes: expected at most one for each of the {len(W)} filters, got {len(given)}; pass fewer")
    count = count or len(given) or min(len(W), MOST_PICTURES)
    _, channels, rows, columns = W.shape
    pictures = np.full((count, rows, channels * (columns + 1) - 1), np.nan)
    for c in range(channels):
        pictures[:, :, c * (columns + 1) : c * (columns + 1) + columns] = W[:count, c]
    size = f"{rows} x {columns}" if channels == 1 else f"{channels} channels of {rows} x {columns}"
    return panels.of_weights(pictures, given, "filter", name, f"The filters in {name}, {size}")


def _name_of_filters(net: Any, layer: int | None) -> str:
    """The name of the weights of the Conv2d at this place."""
    layers, shapes = net.layers, net.engine.shapes
    weights = [one.parameters(shape).get("W", ()) for one, shape in zip(layers, shapes, strict=False)]
    places = [i for i, shape in enumerate(weights) if len(shape) == 4]
    if not places:
        raise ValueError(f"net: expected a network with a Conv2d, got {', '.join(map(str, layers))}; add one")
    if layer is None:
        layer = places[0]
    layer = arrays.integer("layer", layer, 0, len(layers) - 1)
    if layer not in places:
        remedy = f"pass one of {', '.join(map(str, places))}"
        raise ValueError(f"layer: expected the place of a Conv2d, got {layer}, which is {layers[layer]}; {remedy}")
    return f"W{sum(shape != () for shape in weights[:layer]) + 1}"
