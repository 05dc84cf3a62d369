"""The header of a model file: a network's description as JSON, written and checked.

It holds a network's layers, the shape of one sample, the scale of the inputs, its loss with its options, its
regularization, its dtype, the names and shapes of its parameters, the optimizer's update, its class with its numbers,
the number of updates, and dropout's seed and number of draws. Earlier format versions stay readable: 6 lacks frozen
layers, factors of the learning rate and penalties by name, 5 and 4 also the scale of the inputs, 3 also the shape of a
sample, 2 also the optimizer's class and numbers, 1 also the loss's options, regularization, updates
and dropout.
"""

import itertools
import json
import math
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn.engine.engine import Snapshot
from fastnn.engine.inputs import check_scale
from fastnn.engine.plan import parameter_shapes
from fastnn.engine.regularization import Regularization, check_names
from fastnn.errors import ModelFileError
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import DType
from fastnn.layers import LAYERS, Layer
from fastnn.losses import LOSSES, Loss
from fastnn.operations import refuse_replaced
from fastnn.operations.base import Shape
from fastnn.optimizers import OPTIMIZER_CLASSES, OPTIMIZERS, Optimizer, numbers_in
from fastnn.version import __version__

if TYPE_CHECKING:
    from fastnn.network.network import Network

NAME = "header.json"
FORMAT, FORMAT_VERSION = "fastnn network", 7
FIELDS = ("format", "format_version", "fastnn_version", "layers", "loss", "dtype", "parameters", "optimizer")
# By the version that introduced them, with their values before it.
NEW_FIELDS: dict[int, dict[str, Any]] = {
    2: {"loss_options": {}, "regularization": vars(Regularization()), "steps": 0, "seed": 0, "draws": 0},
    3: {"optimizer_options": None},
    4: {"input_shape": None},
    6: {"input_scale": 1.0},
}
# Fields of layers, optimizers and penalties that came later than their class, with their values before.
NEW_OPTIONS = {
    "at_zero": 0.0,
    "biases": False,
    "epsilon_uncorrected": False,
    "learning_rate_factor": 1.0,
    "trainable": True,
}
MOST_STEPS = 2**53  # a float64 counts up to it
MOST_SEED = 2**31 - 1
LARGEST_HEADER = 2**20  # bytes, enough for some 7,000 affine layers

OWN = "if it is your own, make it first, by fastnn.activation, layer, loss or optimizer"
REMEDY = "pass a file saved by Network.save"
REPAIR = "use an intact copy, or save the network again"


def describe(network: "Network", snapshot: Snapshot) -> bytes:
    """The header of the file of a network as it was in a snapshot."""
    for i, layer in enumerate(network.layers):
        refuse_replaced(f"network.layers[{i}]", layer)
        if LAYERS.get(type(layer).__name__) is not type(layer):
            came = f"{type(layer).__name__} of the module {type(layer).__module__}"
            remedy = "a model file holds no code: use one of fastnn's layers"
            raise TypeError(f"network.layers[{i}]: expected one of {', '.join(LAYERS)}, got {came}; {remedy}")
    refuse_replaced("network.loss", network.engine.loss)
    if LOSSES.get(network.loss_name) is not type(network.engine.loss):
        came = f"{type(network.engine.loss).__name__} of the module {type(network.engine.loss).__module__}"
        raise TypeError(f"network.loss: expected one of {', '.join(LOSSES)}, got {came}; use one of fastnn's losses")
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "fastnn_version": __version__,
        "layers": [_entry(layer) for layer in network.engine.layers],
        "loss": network.loss_name,
        "dtype": network.dtype.name,
        "parameters": _parameter_table(shapes_in(network)),
        "optimizer": snapshot.update,
        "loss_options": network.engine.formula.options(),
        "regularization": vars(network.regularization),
        "steps": snapshot.steps,
        "seed": snapshot.seed,
        "draws": snapshot.draws,
        "optimizer_options": optimizer_entry(snapshot.optimizer),
        "input_shape": list(network.input_shape),
        "input_scale": network.input_scale,
    }
    text = json.dumps(header, allow_nan=False).encode()
    if len(text) > LARGEST_HEADER:
        came = f"{len(network.layers)} layers that take {len(text)}"
        raise ValueError(
            f"network: expected a description of at most {LARGEST_HEADER} bytes, got {came}; use fewer layers"
        )
    return text


def _entry(described: Any) -> dict[str, Any]:
    """The class of a layer or an optimizer, and its fields."""
    return {"class": type(described).__name__, **vars(described)}


def optimizer_entry(optimizer: Optimizer | None) -> dict[str, Any] | None:
    """An optimizer as a file describes it; None for one of a user's class, whose numbers are in code."""
    return _entry(optimizer) if OPTIMIZER_CLASSES.get(type(optimizer).__name__) is type(optimizer) else None


def shapes_in(network: "Network") -> dict[str, Shape]:
    """The shapes of a network's parameters and statistics by name, in the order of the flat vector."""
    places = network.engine.places | network.engine.statistics_places
    return {name: shape for name, (_, shape) in places.items()}


def _parameter_table(shapes: Mapping[str, Shape]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": list(shape)} for name, shape in shapes.items()]


class Description(NamedTuple):
    """The checked content of a header."""

    version: int
    layers: list[Layer]
    input_shape: Any  # a list of int; None before version 4: the first layer has it
    input_scale: float
    loss: Loss
    regularization: Regularization
    dtype: DType
    update: str | None
    steps: int
    seed: int
    draws: int
    optimizer: Optimizer | None
    shapes: dict[str, Shape]  # of the parameters and statistics, by name

    @property
    def size(self) -> int:
        """The number P of parameters and statistics."""
        return sum(map(math.prod, self.shapes.values()))


def parse(text: bytes) -> Description:
    """The content of a header; ModelFileError if it does not describe a network."""
    try:
        header = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{NAME}: expected JSON, got text that is not ({error}); {REPAIR}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        came = checks.shown(header.get("format") if isinstance(header, dict) else header)
        raise ModelFileError(f"{NAME}: expected the format {FORMAT!r}, got {came}; {REMEDY}")
    version = header.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        came = f"{checks.shown(version)}, written by fastnn {checks.shown(header.get('fastnn_version'))}"
        remedy = f"update fastnn, which is {__version__} here"
        raise ModelFileError(f"{NAME}: expected the format version 1 to {FORMAT_VERSION}, got {came}; {remedy}")
    expected = [*FIELDS, *(name for first, new in NEW_FIELDS.items() if version >= first for name in new)]
    if header.keys() != set(expected):
        came = f"too few or too many: {checks.shown(', '.join(sorted(header.keys() ^ set(expected))))}"
        raise ModelFileError(f"{NAME}: expected the fields {', '.join(expected)}, got {came}; {REPAIR}")
    try:
        return _check_fields(dict(ChainMap(header, *NEW_FIELDS.values())))
    except (TypeError, ValueError) as error:
        problem = str(error).partition("; pass ")[0]  # there is nobody who passes anything
        raise ModelFileError(f"{NAME}: {problem}; {REPAIR}") from error
    except MemoryError as error:
        raise ModelFileError(f"{NAME}: expected layers that a memory can hold, got larger ones; {REPAIR}") from error


def _check_fields(header: dict[str, Any]) -> Description:
    """The header's fields as what they describe. Raises TypeError, ValueError or OverflowError."""
    if not isinstance(header["fastnn_version"], str):
        raise TypeError(f"fastnn_version: expected a text, got {checks.shown(header['fastnn_version'])}")
    for name in ("layers", "parameters"):
        if not isinstance(header[name], list):
            raise TypeError(f"{name}: expected a list, got {checks.shown(header[name])}")
    layers = [_made(f"layers[{i}]", LAYERS, entry) for i, entry in enumerate(header["layers"])]
    if header["input_shape"] is not None and not isinstance(header["input_shape"], list):
        raise TypeError(f"input_shape: expected a list, got {checks.shown(header['input_shape'])}")
    shape: Any = header["input_shape"]
    shapes = parameter_shapes(layers, shape)
    table = _parameter_table(shapes)
    for i, pair in enumerate(itertools.zip_longest(table, header["parameters"])):
        wanted, came = (json.dumps(entry, sort_keys=True) for entry in pair)  # as text: to Python True and 1.0 equal 1
        if wanted != came:
            raise ValueError(f"parameters[{i}]: expected {wanted}, as the layers say, got {checks.shown(came)}")
    dtype = arrays.float_dtype("dtype", header["dtype"])
    update = None if header["optimizer"] is None else arrays.choice("optimizer", header["optimizer"], OPTIMIZERS)
    return Description(
        header["format_version"],
        layers,
        shape,
        check_scale(header["input_scale"], dtype),
        _options("loss_options", LOSSES[_choice("loss", header["loss"], LOSSES)], header["loss_options"]),
        _regularization(header["regularization"], list(shapes)),
        dtype,
        update,
        arrays.integer("steps", header["steps"], 0, MOST_STEPS),
        arrays.integer("seed", header["seed"], 0, MOST_SEED),
        arrays.integer("draws", header["draws"], 0, MOST_STEPS),
        optimizer_of("optimizer_options", header["optimizer_options"], update, dtype),
        shapes,
    )


def _choice(name: str, value: Any, options: Mapping[str, Any]) -> str:
    """One of the options; an unknown identifier may be a user's own operation."""
    try:
        return arrays.choice(name, value, options)
    except ValueError as error:
        if not value.isidentifier():
            raise
        raise ValueError(f"{error}; {OWN}") from error


def _made(name: str, classes: Mapping[str, Any], entry: Any) -> Any:
    """The layer or optimizer, of one of these classes, that an entry describes."""
    if not isinstance(entry, dict):
        raise TypeError(f"{name}: expected an object with the field class, got {checks.shown(entry)}")
    kind = classes[_choice(f"{name}.class", entry.get("class"), classes)]
    expected = ["class", *(field.name for field in fields(kind))]
    entry = {key: value for key, value in NEW_OPTIONS.items() if key in expected} | entry
    if sorted(entry) != sorted(expected):
        raise ValueError(f"{name}: expected the fields {', '.join(expected)}, got {checks.shown(', '.join(entry))}")
    try:
        return kind(**{field: value for field, value in entry.items() if field != "class"})
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}.{error}") from error


def optimizer_of(name: str, entry: Any, update: str | None, dtype: DType) -> Optimizer | None:
    """The optimizer whose state the file holds; None if the file names only its update."""
    if entry is None:
        return None
    made: Optimizer = _made(name, OPTIMIZER_CLASSES, entry)
    if made.update != update:
        raise ValueError(f"{name}: expected what makes the update of optimizer, {update}, got {made}")
    numbers_in(dtype, made.numbers)
    return made


def _regularization(entry: Any, names: list[str]) -> Regularization:
    """The penalty that an entry describes, on parameters of these names."""
    found: Regularization = _options("regularization", Regularization, entry)
    check_names(found, names)
    return found


def _options(name: str, kind: Any, entry: Any) -> Any:
    """An object of this kind with the fields of an entry."""
    expected = [field.name for field in fields(kind)]
    if isinstance(entry, dict) and entry:
        entry = {key: value for key, value in NEW_OPTIONS.items() if key in expected} | entry
    if not isinstance(entry, dict) or sorted(entry) not in (sorted(expected), []):
        came = checks.shown(", ".join(entry) if isinstance(entry, dict) else entry)
        raise ValueError(f"{name}: expected the fields {', '.join(expected) or 'of an empty object'}, got {came}")
    try:
        return kind(**entry)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}.{error}") from error
