"""A network from a model of Keras, read by the attributes of its layers; Keras is not imported."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.exchange.parts import Part, affine, batch_norm, plain, refuse, scaling
from fastnn.gate.arrays import Array
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

# Keras' functions by name, as Dense(activation=...) takes them; leaky_relu has its default slope.
ACTIVATIONS = {
    "elu": Elu(), "gelu": Gelu(), "leaky_relu": LeakyRelu(0.2), "linear": Identity(), "relu": Relu(),
    "sigmoid": Sigmoid(), "silu": Silu(), "softmax": Softmax(), "softplus": Softplus(), "swish": Silu(),
    "tanh": Tanh(),
}  # fmt: skip
OF_IMAGES = "Conv2D", "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D"
CHANNELS_LAST = (
    "make the Network yourself and copy the weights: Keras' images are (rows, columns, channels), fastnn's (channels, "
    "rows, columns); W is kernel.transpose(3, 2, 0, 1), and the rows of the Affine behind Flatten come in another order"
)
DTYPES = "float32", "float64"  # of computations; in others the numbers are rounded on their way


def keras_parts(model: Any) -> list[Part]:
    """The parts of a model; see Network.from_keras."""
    layers, ends = getattr(model, "layers", None), getattr(model, "outputs", None)
    if not layers or not ends:
        raise refuse("model", model, "a built Keras model", "call model.build((None, inputs)) first")
    for name in ("call", "__call__"):
        if not _is_own(next(one for one in type(model).__mro__ if name in vars(one))):
            raise refuse("model", f"{type(model).__name__} with a {name} of its own", "Keras", "pass a Sequential")
    if len(model.inputs) != 1 or len(ends) != 1:
        came = f"{len(model.inputs)} inputs and {len(ends)} outputs"
        raise refuse("model", came, "Keras", "pass a model of one input and one output")
    parts, before = list[Part](), None
    for layer in layers:
        if before is not None and layer.input is not before:
            raise _refuse_branch(f"{layer.name}, which does not follow the layer before it")
        before = layer.output
        parts += _parts(layer)
    if before is not ends[0]:
        raise _refuse_branch(f"{layers[-1].name} as the last layer, whose output is not the model's")
    return parts


def keras_outputs(model: Any) -> Callable[[Array], Any]:
    """A model as a function of an array, as model.predict computes it; its input and output may have names."""
    given = getattr(model, "input", None)  # which a Sequential may lack

    def outputs(x: Array) -> Any:
        named = dict.fromkeys(given, x) if isinstance(given, dict) else [x] if isinstance(given, list) else x
        y = model(named, training=False)
        y = [*y.values()] if isinstance(y, dict) else y
        return _array(y[0] if isinstance(y, list | tuple) else y)

    return outputs


def input_shape_of(model: Any) -> tuple[int, ...]:
    """The shape of one sample."""
    shape = tuple(model.inputs[0].shape[1:])
    if None in shape:
        raise refuse("model", f"inputs of the shape {shape}", "Keras", "make it with sizes instead of None")
    return shape


def _refuse_branch(came: str) -> ValueError:
    return refuse("model", came, "Keras", "make one layer for each place, activations and functions included")


def _is_own(described: Any) -> bool:
    """Whether a class or a function is Keras' own."""
    return str(getattr(described, "__module__", "")).partition(".")[0] == "keras"


def _array(value: Any) -> Array:
    """A variable or tensor of any backend as an array."""
    value = getattr(value, "value", value)  # of a variable the tensor
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _parts(layer: Any) -> list[Part]:
    """The parts of one layer: none for an input, two for a Dense layer with an activation."""
    name, options = type(layer).__name__, layer.get_config()
    if not _is_own(type(layer)):
        raise refuse("model", f"{name}, a class of the module {type(layer).__module__}", "Keras")
    if name == "InputLayer":
        return []
    if layer.compute_dtype not in DTYPES or getattr(layer, "quantization_mode", None):
        came = f"{name} that computes in {getattr(layer, 'quantization_mode', None) or layer.compute_dtype}"
        raise refuse("model", came, "Keras", "make the model with dtype='float32' and copy the weights")
    if name == "Dense":
        bias = _array(layer.bias) if options["use_bias"] else None
        return [affine(_array(layer.kernel), bias), *_activation(layer.activation)]
    if name == "Activation":
        return _activation(layer.activation) or [plain(Identity())]
    if name == "BatchNormalization":
        return [_batch_norm(layer, options)]
    if name == "PReLU":
        return [Part(PRelu(), {"slope": _array(layer.alpha)})]
    if name == "Rescaling" and isinstance(options["scale"], int | float) and options["offset"] == 0:
        return [scaling(options["scale"], layer.compute_dtype)]
    made = _without_weights(name, options, len(layer.input.shape))
    if made is None:
        remedy = CHANNELS_LAST if name in OF_IMAGES else ""
        raise refuse("model", f"{name} {_told(options)}", "Keras", remedy)
    return [plain(made)]


def _told(options: Any) -> str:
    """The options of a layer that tell it from others of its class, in a few words."""
    text = str({key: one for key, one in options.items() if key not in ("name", "trainable", "dtype")})
    return text if len(text) <= 100 else text[:97] + "..."


def _activation(activation: Any) -> list[Part]:
    """The part of an activation, a function or a layer; none for a linear one."""
    name = getattr(activation, "__name__", type(activation).__name__)
    if activation is None or (_is_own(activation) and name == "linear"):
        return []
    if _is_own(activation) and name in ACTIVATIONS:
        return [plain(ACTIVATIONS[name])]
    made = _without_weights(name, activation.get_config(), 2) if _is_own(type(activation)) else None
    if made is None:
        raise refuse("model", f"the activation {name}" + ("" if _is_own(activation) else " of your own"), "Keras")
    return [plain(made)]


def _without_weights(name: str, options: Any, axes: int) -> Any:
    """The layer of an activation, of dropout or of flattening; None for one that fastnn does not have.

    axes: the number of axes of its input.
    """
    if name == "ReLU" and options["max_value"] is None and not options["threshold"]:
        slope = float(options["negative_slope"])
        return LeakyRelu(slope) if slope else Relu()
    if name == "Softmax" and options["axis"] in (-1, 1):
        return Softmax()
    if name == "Flatten" and (axes < 3 or options["data_format"] != "channels_first"):  # which it transposes
        return Flatten()
    if name == "Dropout" and options["noise_shape"] is None:
        return Dropout(options["rate"])
    if name == "ELU":
        return Elu(options["alpha"])
    return LeakyRelu(options["negative_slope"]) if name == "LeakyReLU" else None


def _batch_norm(layer: Any, options: Any) -> Part:
    axis = options["axis"] if isinstance(options["axis"], int) else options["axis"][0]
    if len(layer.input.shape) != 2 or axis not in (-1, 1):
        raise refuse("model", f"BatchNormalization of inputs {layer.input.shape}", "Keras", "flatten them first")
    gamma = _array(layer.gamma) if options["scale"] else None
    beta = _array(layer.beta) if options["center"] else None
    statistics = _array(layer.moving_mean), _array(layer.moving_variance)
    return batch_norm(options["epsilon"], options["momentum"], gamma, beta, *statistics)
