"""The gradient of a network in NumPy's long doubles, and how far rounding in the network's dtype carries it from there.

On processors where a long double is no longer than a double, nothing is known about the rounding of float64.
"""

from typing import Any

import numpy as np

import fastnn
from fastnn import operations, reference

Array = np.ndarray[Any, Any]
NEARBY = 2  # networks whose rounding is looked at besides
MOVED = 0.01  # their parameters, relatively


def exact_gradient(net: fastnn.Network, x: Array, t: Array) -> dict[str, Array]:
    """The exact value of `net.gradient(x, t)`, for the same rounded parameters and samples."""
    x, t = (a if a.dtype.kind == "i" else a.astype(net.dtype).astype(np.longdouble) for a in (x, t))
    params = {name: array.astype(np.longdouble) for name, array in net.params.items()}
    counts: dict[type, int] = {}
    taken: list[tuple[Any, int, Array, Array]] = []
    with np.errstate(all="ignore"):
        for layer in net.layers:
            number = counts[type(layer)] = counts.get(type(layer), 0) + 1
            y = _forward(net, params, layer, number, x)
            taken.append((layer, number, x, y))
            x = y
        dy = net.regularization.data * _loss_gradient(net, x, t)
        gradient: dict[str, Array] = {}
        for layer, number, x, y in reversed(taken):
            dy, found = _backward(net, params, layer, number, (x, y, dy))
            gradient.update(found)
        penalty: Any = net.regularization
        for name, W in params.items():
            if name[0] == "W":
                gradient[name] = gradient[name] + penalty.l1 * np.sign(W) + penalty.l2 * W
    return {name: gradient[name] for name in net.params}


def _forward(net: fastnn.Network, params: dict[str, Array], layer: Any, number: int, x: Array) -> Array:
    if isinstance(layer, fastnn.Affine):
        return reference.affine_forward(x, params[f"W{number}"], params[f"b{number}"])
    if isinstance(layer, fastnn.Dropout | fastnn.Dropout2d):
        return x
    if isinstance(layer, fastnn.BatchNorm):
        gamma, beta = params[f"gamma{number}"], params[f"beta{number}"]
        statistics = net.statistics[f"mean{number}"], net.statistics[f"variance{number}"].astype(np.longdouble)
        return reference.batch_norm_forward(x, gamma, beta, layer.epsilon, statistics)
    twin = reference.UNITS.get(operations.name_of(type(layer)))
    if twin is not None:
        return twin.forward(x, *(params[f"{name}{number}"] for name in twin.parameters))
    return reference.activation_forward(layer.activation, x, **_constants(layer))


def _backward(
    net: fastnn.Network, params: dict[str, Array], layer: Any, number: int, tensors: tuple[Array, Array, Array]
) -> tuple[Array, dict[str, Array]]:
    """The gradient by the layer's inputs, and by its parameters; tensors: inputs, outputs, and the gradient there."""
    x, y, dy = tensors
    if isinstance(layer, fastnn.Affine):
        dx, dW, db = reference.affine_backward(dy, x, params[f"W{number}"])
        assert dx is not None
        return dx, {f"W{number}": dW, f"b{number}": db}
    if isinstance(layer, fastnn.Dropout | fastnn.Dropout2d):
        return dy, {}
    if isinstance(layer, fastnn.BatchNorm):
        root = np.sqrt(net.statistics[f"variance{number}"].astype(np.longdouble) + layer.epsilon)
        normal = (x - net.statistics[f"mean{number}"]) / root
        found = {f"gamma{number}": (dy * normal).sum(axis=0), f"beta{number}": dy.sum(axis=0)}
        return dy * params[f"gamma{number}"] / root, found
    twin = reference.UNITS.get(operations.name_of(type(layer)))
    if twin is not None:
        keys = [f"{name}{number}" for name in twin.parameters]
        dx, *own = twin.backward(dy, x, *(params[key] for key in keys))
        return dx, dict(zip(keys, own, strict=True))
    return reference.activation_backward(layer.activation, dy, x, y, **_constants(layer)), {}


def _constants(layer: Any) -> dict[str, Any]:
    """The options of the reference's activations."""
    return {layer.option: layer.parameter} if layer.option else {}


def _loss_gradient(net: fastnn.Network, y: Array, t: Array) -> Array:
    """The gradient of the mean loss by the outputs."""
    loss: Any = net.engine.loss
    if getattr(loss, "label_smoothing", 0.0) > 0.0:
        dense = np.eye(y.shape[1], dtype=y.dtype)[t] if t.ndim == 1 else t
        t = (1.0 - loss.label_smoothing) * dense + loss.label_smoothing / y.shape[1]
    options = {name: value for name, value in loss.options().items() if name != "label_smoothing"}
    gradient: Array = getattr(reference, loss.name)(y, t, **options)[1]
    return gradient


def roundings(net: fastnn.Network, x: Array, t: Array) -> dict[str, float]:
    """How far rounding in the network's dtype may carry each tensor's gradient, relative to its largest entry.

    The largest of this network and others nearby, since a rounding may be small here by chance. It is NaN, that is,
    unknown, where a number overflows.
    """
    generator = np.random.default_rng(0)
    found = {name: float(np.finfo(net.dtype).eps) for name in net.params}
    for k in range(1 + NEARBY):
        one = net if k == 0 else _moved(net, generator)
        exact = exact_gradient(one, x, t)
        for name, array in one.gradient(x, t).items():
            largest = np.abs(exact[name]).max()
            if array.any() or largest > 0.0:
                with np.errstate(all="ignore"):
                    found[name] = float(np.maximum(found[name], np.abs(array - exact[name]).max() / largest))
    return found


def _moved(net: fastnn.Network, generator: np.random.Generator) -> fastnn.Network:
    """The network with its parameters moved a little."""
    one = fastnn.Network(net.layers, net.engine.loss, dtype=net.dtype, n_threads=1, regularization=net.regularization)
    for name, array in net.params.items():
        one.params[name] = (array * (1.0 + MOVED * generator.normal(size=array.shape))).astype(net.dtype)
    for name, array in net.statistics.items():
        one.statistics[name] = array
    return one
