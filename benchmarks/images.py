"""Networks of images: their layers, data, costs, and the results that every implementation must reproduce.

LeNet-5 (LeCun et al., Proceedings of the IEEE 86, 1998) as it is built today, with ReLU, the largest elements of
windows, and convolutions of all channels; and SimpleConvNet of the book "Deep Learning from Scratch".
"""

import math
from typing import Any

import numpy as np

from benchmarks.data import Data, normal
from benchmarks.expected import COMPARED_STEPS, LEARNING_RATE, as_double, network_layers, reference

Layers = list[tuple[Any, ...]]

# Channels, filters, rows and columns of a filter, and padding; then the widths of the affine layers. Each convolution
# is followed by ReLU and by the largest elements of windows of 2 x 2.
NETWORKS: dict[str, tuple[list[tuple[int, int, int, int]], tuple[int, ...]]] = {
    "LeNet-5": ([(1, 6, 5, 2), (6, 16, 5, 0)], (120, 84, 10)),
    "SimpleConvNet": ([(1, 30, 5, 0)], (100, 10)),
}
WINDOW = 2


def layers_of(name: str, side: int) -> Layers:
    """The layers for images of side x side pixels, as network_layers names them."""
    convolutions, widths = NETWORKS[name]
    layers: Layers = []
    for channels, filters, size, padding in convolutions:
        layers += [("conv2d", channels, filters, size, padding), ("relu",), ("max_pool2d", WINDOW)]
        side = (side + 2 * padding - size + 1) // WINDOW
    return [*layers, ("flatten",), *network_layers((convolutions[-1][1] * side**2, *widths))]


def case_layers(case: Any) -> Layers:
    """The layers of a case, whose sizes are N and the side of an image."""
    return layers_of(case.variant, case.sizes[1])


def batch(rng: np.random.Generator, case: Any) -> Data:
    """Images (N, 1, side, side), labels, and weights for ReLU (He et al., 2015) with biases of 0."""
    N, side = case.sizes
    x, t = rng.random((N, 1, side, side), np.float32), rng.integers(0, NETWORKS[case.variant][1][-1], N)
    params: dict[str, Any] = {}
    for kind, *sizes in case_layers(case):
        if kind in {"conv2d", "affine"}:
            inputs, outputs = sizes[:2]
            window = sizes[2:3] * 2
            shape = (outputs, inputs, *window) if window else (inputs, outputs)
            number, seen = len(params) // 2 + 1, inputs * math.prod(window)
            params[f"W{number}"] = normal(rng, *shape) * np.float32(math.sqrt(2.0 / seen))
            params[f"b{number}"] = np.zeros(outputs, np.float32)
    return {"x": x, "t": t, "params": params}


def _layer_flop(case: Any) -> list[float]:
    """FLOP of the products of each layer that has weights, forward."""
    N, side = case.sizes
    found = []
    for kind, *sizes in case_layers(case):
        if kind == "conv2d":
            channels, filters, size, padding = sizes
            side += 2 * padding - size + 1
            found.append(2.0 * N * side**2 * filters * channels * size**2)
        elif kind == "max_pool2d":
            side //= WINDOW
        elif kind == "affine":
            found.append(2.0 * N * sizes[0] * sizes[1])
    return found


def flop(case: Any) -> float:
    """FLOP of a prediction, or of a step: also the gradients by the weights, and by the inputs but the images."""
    layers = _layer_flop(case)
    return sum(layers) if case.kind == "image_predict" else 3.0 * sum(layers) - layers[0]


# --- results -------------------------------------------------------------------------------------------


def own_parameters(layers: Layers, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    """W and b of each layer; nothing for layers without."""
    values = iter(params.values())
    return [(next(values), next(values)) if layer[0] in {"conv2d", "affine"} else () for layer in layers]


def _forward(layer: tuple[Any, ...], own: tuple[Any, ...], x: Any) -> Any:
    name, *sizes = layer
    if name == "conv2d":
        return reference.conv2d_forward(x, *own, padding=sizes[-1])
    if name == "affine":
        return reference.affine_forward(x, *own)
    if name == "max_pool2d":
        return reference.max_pool2d_forward(x, *sizes)
    return x.reshape(len(x), -1) if name == "flatten" else reference.activation_forward(name, x)


def _backward(layer: tuple[Any, ...], own: tuple[Any, ...], dy: Any, x: Any, y: Any) -> tuple[Any, ...]:
    """dx, and dW and db where there are weights."""
    name, *sizes = layer
    if name == "conv2d":
        return tuple(reference.conv2d_backward(dy, x, own[0], padding=sizes[-1]))
    if name == "affine":
        return tuple(reference.affine_backward(dy, x, own[0]))
    if name == "max_pool2d":
        return tuple(reference.max_pool2d_backward(dy, x, *sizes))
    return (dy.reshape(x.shape) if name == "flatten" else reference.activation_backward(name, dy, x, y),)


def _values(layers: Layers, params: dict[str, Any], x: Any) -> list[Any]:
    """The images, and the outputs of all layers."""
    values = [x]
    for layer, own in zip(layers, own_parameters(layers, params), strict=True):
        values.append(_forward(layer, own, values[-1]))
    return values


def _step(layers: Layers, params: dict[str, Any], x: Any, t: Any) -> float:
    values, owned = _values(layers, params, x), own_parameters(layers, params)
    loss, dy = reference.softmax_cross_entropy(values[-1], t)
    for i in reversed(range(len(layers))):
        dy, *gradients = _backward(layers[i], owned[i], dy, values[i], values[i + 1])
        for parameter, gradient in zip(owned[i], gradients, strict=True):
            parameter -= LEARNING_RATE * gradient
    return float(loss)


def predict(case: Any, data: Data) -> list[Any]:
    wide = as_double(data)
    return [_values(case_layers(case), wide["params"], wide["x"])[-1]]


def steps(case: Any, data: Data) -> list[Any]:
    """The losses of a few steps, each before its update, and the parameters after the last."""
    layers, wide = case_layers(case), as_double(data)
    losses = [_step(layers, wide["params"], wide["x"], wide["t"]) for _ in range(COMPARED_STEPS)]
    return [np.array(losses), *wide["params"].values()]
