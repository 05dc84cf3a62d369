"""The network of an estimator: its layers, scikit-learn's initial weights, and the lists `coefs_` and `intercepts_`."""

from typing import Any

import numpy as np

from fastnn.gate.arrays import Array
from fastnn.layers import Affine, BatchNorm, Dropout, Layer
from fastnn.network import Network
from fastnn.sklearn.objective import Objective
from fastnn.sklearn.settings import Settings

SEEDS = 2**31 - 1


def make_network(settings: Settings, inputs: int, objective: Objective, dtype: Any, random_state: Any) -> Network:
    """A network with initial weights; random_state: numpy's RandomState, which draws as in scikit-learn."""
    layers = layers_of(settings, inputs, objective.outputs)
    seed = random_state.randint(SEEDS) if any(settings.rates) else 0  # of dropout
    network = Network(layers, objective.loss, rng=seed, dtype=dtype)
    _draw(network, settings, random_state)
    return network


def layers_of(settings: Settings, inputs: int, outputs: int) -> list[Layer]:
    """The layers of these widths."""
    layers: list[Layer] = []
    for width, activation, rate in zip(settings.widths, settings.activations, settings.rates, strict=True):
        layers += [Affine(inputs, width), *([BatchNorm()] if settings.batch_norm else []), activation]
        layers += [Dropout(rate)] if rate else []
        inputs = width
    return [*layers, Affine(inputs, outputs)]


def _draw(network: Network, settings: Settings, random_state: Any) -> None:
    """Draw weights and biases uniformly (Glorot and Bengio, 2010), with scikit-learn's bounds and in its order."""
    names = [getattr(activation, "activation", "") for activation in settings.activations]
    names = [*names, *names[-1:]] or [""]  # the last activation's decides for the outputs, too
    for weights, biases, name in zip(*parameters(network), names, strict=True):
        factor = 2.0 if name == "sigmoid" else 6.0
        bound = np.sqrt(factor / sum(weights.shape))
        weights[...] = random_state.uniform(-bound, bound, weights.shape)
        biases[...] = random_state.uniform(-bound, bound, biases.shape)


def parameters(network: Network) -> tuple[list[Array], list[Array]]:
    """The weights and biases of the affine layers: views, first layer first."""
    count = sum(isinstance(layer, Affine) for layer in network.layers)
    numbers = range(1, count + 1)
    return [network.params[f"W{i}"] for i in numbers], [network.params[f"b{i}"] for i in numbers]


def adopt(network: Network, coefs: list[Any], intercepts: list[Any]) -> None:
    """Take weights and biases that a user has put into the lists; arrays that are views already stay.

    Raises
    ------
    ValueError
        If their shapes are not the network's.
    """
    for given, views, letter in zip((coefs, intercepts), parameters(network), "Wb", strict=True):
        name = "coefs_" if letter == "W" else "intercepts_"
        if len(given) != len(views):
            came = f"{len(given)}; put one array for each layer"
            raise ValueError(f"{name}: expected {len(views)} arrays, got {came}")
        for i, view in enumerate(views):
            if not _is_same(given[i], view):
                if np.shape(given[i]) != view.shape:
                    came = f"{np.shape(given[i])}; put an array of this shape, or fit with warm_start=False"
                    raise ValueError(f"{name}[{i}]: expected the shape {view.shape}, got {came}")
                network.params[f"{letter}{i + 1}"] = np.asarray(given[i])
                given[i] = view


def keep_others(network: Network, before: Network | None) -> None:
    """Take what is no weight or bias, such as the statistics of BatchNorm, from the network before, if it fits."""
    if before is None or before is network:
        return
    for ours, theirs in ((network.params, before.params), (network.statistics, before.statistics)):
        for name in ours:
            if name[0] not in "Wb" and name in theirs and theirs[name].shape == ours[name].shape:
                ours[name][...] = theirs[name]


def _is_same(given: Any, view: Array) -> bool:
    """Whether an array is this view of the parameters, or another one just like it."""
    if not isinstance(given, np.ndarray) or given.dtype != view.dtype:
        return False
    return given.ctypes.data == view.ctypes.data and (given.shape, given.strides) == (view.shape, view.strides)


def is_like(network: Network, layers: list[Layer], objective: Objective) -> bool:
    """Whether a network has these layers and this loss."""
    return list(network.layers) == layers and network.engine.loss == objective.loss
