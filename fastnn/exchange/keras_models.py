"""A network from a model of Keras, read by the configurations and weights of its layers; Keras is not imported."""

from typing import Any

import numpy as np

from fastnn.exchange.parts import Part, affine, batch_norm, plain, refuse
from fastnn.layers import (
    Dropout,
    Elu,
    Flatten,
    Gelu,
    Identity,
    LeakyRelu,
    PRelu,
    Relu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)

# Activations by name, as Dense(activation=...) takes them; leaky_relu has Keras' slope.
ACTIVATIONS = {
    "elu": Elu(), "gelu": Gelu(), "leaky_relu": LeakyRelu(0.2), "linear": Identity(), "relu": Relu(),
    "sigmoid": Sigmoid(), "silu": Silu(), "softmax": Softmax(), "softplus": Softplus(), "swish": Silu(),
    "tanh": Tanh(),
}  # fmt: skip


def keras_parts(model: Any) -> list[Part]:
    """The parts of a model; see Network.from_keras."""
    layers = getattr(model, "layers", None)
    if not layers or not hasattr(model, "input_shape"):
        raise refuse("model", model, "a built Keras model", "call model.build((None, inputs)) first")
    parts, before = list[Part](), None
    for layer in layers:
        if before is not None and layer.input is not before:
            raise refuse("model", f"{layer.name}, which does not follow the layer before it", "Keras")
        before = layer.output
        parts += _parts(layer)
    return parts


def _parts(layer: Any) -> list[Part]:
    """The parts of one layer: none for an input, two for a Dense layer with an activation."""
    name, options = type(layer).__name__, layer.get_config()
    weights = [np.asarray(one) for one in layer.get_weights()]
    if name == "InputLayer":
        return []
    if name == "Dense":
        return [affine(weights[0], weights[1] if options["use_bias"] else None), *_by_name(options["activation"])]
    if name == "Activation":
        return _by_name(options["activation"]) or [plain(Identity())]
    if name == "BatchNormalization":
        return [_batch_norm(layer, options, weights)]
    if name == "PReLU":
        return [Part(PRelu(), {"slope": weights[0]})]
    made = _without_weights(name, options)
    if made is None:
        raise refuse("model", f"{name} {options}", "Keras")
    return [plain(made)]


def _by_name(activation: Any) -> list[Part]:
    """The part of an activation's name; none for a linear one."""
    if activation in (None, "linear"):
        return []
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise refuse("model", f"the activation {activation}", "Keras")
    return [plain(ACTIVATIONS[activation])]


def _without_weights(name: str, options: Any) -> Any:
    """The layer of an activation, of dropout or of flattening; None for one that fastnn does not have."""
    if name == "ReLU" and options["max_value"] is None and not options["threshold"]:
        slope = float(options["negative_slope"])
        return LeakyRelu(slope) if slope else Relu()
    if name == "Softmax" and options["axis"] in (-1, 1):
        return Softmax()
    made: dict[str, Any] = {
        "Dropout": lambda: Dropout(options["rate"]),
        "ELU": lambda: Elu(options["alpha"]),
        "Flatten": Flatten,
        "LeakyReLU": lambda: LeakyRelu(options["negative_slope"]),
    }
    return made[name]() if name in made else None


def _batch_norm(layer: Any, options: Any, weights: list[Any]) -> Part:
    axis = options["axis"] if isinstance(options["axis"], int) else options["axis"][0]
    if len(layer.input.shape) != 2 or axis not in (-1, 1):
        raise refuse("model", f"BatchNormalization of inputs {layer.input.shape}", "Keras", "flatten them first")
    gamma = weights.pop(0) if options["scale"] else None
    beta = weights.pop(0) if options["center"] else None
    return batch_norm(options["epsilon"], options["momentum"], gamma, beta, *weights)
