"""A network as all libraries have it: a chain of layers, each with its arrays."""

import importlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fastnn.engine.parameters import by_layer
from fastnn.gate import checks
from fastnn.gate.arrays import Array
from fastnn.layers import LAYERS, Affine, BatchNorm, Conv2d, Flatten, Identity, Layer, Sigmoid, Softmax

Made = TypeVar("Made")
FLOATS = np.dtype(np.float32), np.dtype(np.float64)


class Scaling(NamedTuple):
    """What stands first for a layer where the inputs are multiplied by a number."""

    factor: float


class Part(NamedTuple):
    """A layer, and its parameters and statistics by their names without a number, such as W (inputs, outputs).

    outputs: how many its source says that there are for each sample, where it would mix the samples otherwise.
    """

    layer: Any  # a Layer, or Scaling
    arrays: dict[str, Array]
    outputs: int | None = None


def plain(layer: Layer) -> Part:
    """The part of a layer without arrays."""
    return Part(layer, {})


def scaling(factor: Any, dtype: Any) -> Part:
    """The part of a first multiplication by a number of this dtype, as the shortest decimal that rounds to it."""
    return Part(Scaling(float(str(np.dtype(dtype).type(factor)))), {})


def affine(W: Any, b: Any) -> Part:
    """The part of y = x W + b; b is None for zeros."""
    W = np.asarray(W)
    if W.ndim != 2:
        raise ValueError(f"W: expected weights of the shape (inputs, outputs), got {W.shape}; pass a matrix")
    return Part(Affine(*W.shape), {"W": W, "b": np.zeros(W.shape[1], W.dtype) if b is None else np.asarray(b)})


def conv2d(W: Any, b: Any, stride: int, padding: int) -> Part:
    """The part of a convolution by filters W (F, C, height, width); b is None for zeros."""
    W = np.asarray(W)
    layer = Conv2d(W.shape[1], W.shape[0], (W.shape[2], W.shape[3]), stride, padding)
    return Part(layer, {"W": W, "b": np.zeros(len(W), W.dtype) if b is None else np.asarray(b)})


def one_of(numbers: Any) -> Any:
    """The number that all of these are, or the number itself; None if they differ."""
    if not isinstance(numbers, list | tuple):
        return numbers
    return numbers[0] if numbers and all(one == numbers[0] for one in numbers) else None


def batch_norm(epsilon: float, momentum: float, gamma: Any, beta: Any, mean: Any, variance: Any) -> Part:
    """The part of a batch normalization; gamma is None for ones, beta for zeros."""
    mean = np.asarray(mean)
    gamma, beta = (
        np.full_like(mean, default) if one is None else np.asarray(one) for one, default in ((gamma, 1), (beta, 0))
    )
    layer = BatchNorm(momentum=momentum, epsilon=epsilon)
    return Part(layer, {"gamma": gamma, "beta": beta, "mean": mean, "variance": np.asarray(variance)})


def network_of(kind: type[Made], parts: Sequence[Part], name: str, loss: Any, input_shape: Any, **options: Any) -> Made:
    """A network of these parts. name: the object that they come from, for messages.

    loss: None stands for the usual one of such outputs. input_shape: None where the layers tell. options: others of
    the network.
    """
    given = [array for part in parts for array in part.arrays.values()]
    if not given:
        raise ValueError(f"{name}: expected at least one layer with parameters, got none")
    dtypes = sorted({str(array.dtype) for array in given})
    if len(dtypes) > 1 or given[0].dtype not in FLOATS:
        came = f"{' and '.join(dtypes)}; convert it to float32 first"
        raise TypeError(f"{name}: expected parameters of one dtype, float32 or float64, got {came}")
    if isinstance(parts[0].layer, Scaling):
        options["input_scale"], parts = parts[0].layer.factor, parts[1:]
    if any(isinstance(part.layer, Scaling) for part in parts):
        came = "one between layers; multiply the weights after it"
        raise ValueError(f"{name}: expected a multiplication by a number only of the inputs, got {came}")
    parts = parts if loss is not None else _without_last_identities(parts)
    layers = [part.layer for part in parts]
    if input_shape is None and layers[0].own_input_shape() is None:
        input_shape = _inputs_before(parts, name)
    arguments: Any = {"dtype": given[0].dtype, "rng": 0, "input_shape": input_shape, **options}
    made: Any = kind(layers, usual_loss(parts) if loss is None else loss, **arguments)  # type: ignore[call-arg]
    counts, named, shape = Counter[str](), {**made.params, **made.statistics}, made.input_shape
    for part in parts:
        shape = part.layer.shape_of_output(shape)
        if part.outputs not in (None, math.prod(shape)):
            came = f"rows of {part.outputs}, which mix them; keep the first axis"
            raise ValueError(
                f"{name}: expected flattening to rows of {math.prod(shape)}, one for each sample, got {came}"
            )
        for key, array in part.arrays.items():
            counts[key] += 1
            target = named[f"{key}{counts[key]}"]
            if key == "slope" and array.size == 1:  # one for all
                array = array.reshape(())
            elif array.shape != target.shape:
                came = f"{array.shape}; make the widths agree"
                raise ValueError(f"{name}: expected {key} of the shape {target.shape} for {part.layer}, got {came}")
            target[...] = array
    return made  # type: ignore[no-any-return]


def parts_of(network: Any) -> list[Part]:
    """The parts of a network, after its Scaling if it has one; the arrays are its own memory."""
    arrays = by_layer(network.layers, network.input_shape, {**network.params, **network.statistics})
    parts = [] if network.input_scale == 1.0 else [Part(Scaling(network.input_scale), {})]
    return parts + [Part(layer, own) for layer, own in zip(network.layers, arrays, strict=True)]


def _without_last_identities(parts: Sequence[Part]) -> Sequence[Part]:
    """The parts without what only names probabilities, so that their loss finds the layer that makes them."""
    made = next((i for i in reversed(range(len(parts))) if not isinstance(parts[i].layer, Identity)), 0)
    return parts[: made + 1] if isinstance(parts[made].layer, Softmax | Sigmoid) else parts


def usual_loss(parts: Iterable[Part]) -> str:
    """The loss of a last Softmax or Sigmoid; else of logits of several classes, or of one number."""
    last = [part for part in parts if not (part.layer.is_view or part.layer.is_random)]
    if isinstance(last[-1].layer, Softmax):
        return "cross_entropy"
    if isinstance(last[-1].layer, Sigmoid):
        return "log_loss"
    outputs = [part.arrays["b"].size for part in last if isinstance(part.layer, Affine)]
    return "softmax_cross_entropy" if outputs and outputs[-1] > 1 else "mean_squared_error"


def _inputs_before(parts: Sequence[Part], name: str) -> tuple[int, ...]:
    """The number of inputs of a chain that does not begin with an Affine layer."""
    has_images = any(part.layer.takes_images for part in parts)
    for part in parts:
        if isinstance(part.layer, Flatten) or has_images:
            break
        if isinstance(part.layer, Affine):
            return (part.layer.inputs,)
        if isinstance(part.layer, BatchNorm):
            return part.arrays["mean"].shape
    came = "None; pass input_shape=(1, 28, 28), or what your images have"
    raise ValueError(f"input_shape: expected the shape of one sample, as {name} does not tell it, got {came}")


def refuse(name: str, what: Any, library: str, remedy: str = "") -> ValueError:
    """The error for a part of another library's network that fastnn does not have."""
    images = "" if library == "Keras" else "convolutions and pools of images, "
    known = f"a chain of linear layers, {images}activations, flattening, dropout and batch normalization"
    came = what if isinstance(what, str) else checks.shown(what)
    return ValueError(f"{name}: expected {known} in {library}, got {came}; {remedy or 'replace it'}")


def refuse_to_write(layer: Layer, library: str) -> ValueError:
    """The error for a layer that another library does not have."""
    own = ", ".join(one for one, kind in LAYERS.items() if kind.__module__.startswith("fastnn."))
    return ValueError(f"layers: expected layers that {library} has, got {layer}; use those of fastnn's own: {own}")


def imported(module: str, distribution: str) -> Any:
    """A library that is an extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = f"run `pip install {distribution}`"
        raise ImportError(f"{module}: expected it to be installed, got {error}; {remedy}") from error
