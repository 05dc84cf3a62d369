"""The header of a model file: a network's description as JSON, written and checked.

Format version 2 says of a network: its layers, its loss with its options, its regularization, its dtype, the names and
shapes of its parameters, the optimizer's update and how many updates its state has seen, dropout's seed and how often
it has drawn. Version 1, which stays readable, has nothing of the loss's options, regularization, updates and dropout.

Imports network, layers, losses, optimizers, plan and the gate.
"""

import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, NamedTuple

from fastnn import arrays, checks
from fastnn.arrays import DType
from fastnn.errors import ModelFileError
from fastnn.kernels import job
from fastnn.layers import LAYERS, Layer
from fastnn.losses import LOSSES, Loss
from fastnn.network import Network
from fastnn.optimizers import OPTIMIZERS
from fastnn.plan import parameter_shapes
from fastnn.regularization import Regularization
from fastnn.version import __version__

NAME = "header.json"
FORMAT, FORMAT_VERSION = "fastnn network", 2
FIELDS = ("format", "format_version", "fastnn_version", "layers", "loss", "dtype", "parameters", "optimizer")
# Of version 2, and what they are before it.
NEW_FIELDS = {"loss_options": {}, "regularization": vars(Regularization()), "steps": 0, "seed": 0, "draws": 0}
MOST_STEPS = 2**53  # what a float64 counts
LARGEST_HEADER = 2**20  # bytes, enough for some 7,000 affine layers

REMEDY = "pass a file saved by Network.save"
REPAIR = "use an intact copy, or save the network again"


def describe(network: Network, update: str | None, steps: int, draws: int) -> bytes:
    """The header of a network's file, whose optimizer's state is of an update that was made so many times."""
    for i, layer in enumerate(network.layers):
        if LAYERS.get(type(layer).__name__) is not type(layer):
            came = f"{type(layer).__name__} of the module {type(layer).__module__}"
            remedy = "a model file holds no code: use one of fastnn's layers"
            raise TypeError(f"network.layers[{i}]: expected one of {', '.join(LAYERS)}, got {came}; {remedy}")
    if LOSSES.get(network.loss_name) is not type(network._loss):
        came = f"{type(network._loss).__name__} of the module {type(network._loss).__module__}"
        raise TypeError(f"network.loss: expected one of {', '.join(LOSSES)}, got {came}; use one of fastnn's losses")
    values = (
        FORMAT,
        FORMAT_VERSION,
        __version__,
        [{"class": type(layer).__name__, **vars(layer)} for layer in network.layers],
        network.loss_name,
        network.dtype.name,
        _parameter_table(network.layers),
        update,
        network._loss.options(),
        vars(network.regularization),
        steps,
        int(network._counters[job.SEED]),
        draws,
    )
    text = json.dumps(dict(zip((*FIELDS, *NEW_FIELDS), values, strict=True)), allow_nan=False).encode()
    if len(text) > LARGEST_HEADER:
        came = f"{len(network.layers)} layers that take {len(text)}"
        raise ValueError(
            f"network: expected a description of at most {LARGEST_HEADER} bytes, got {came}; use fewer layers"
        )
    return text


def _parameter_table(layers: Iterable[Layer]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": list(shape)} for name, shape in parameter_shapes(tuple(layers)).items()]


class Description(NamedTuple):
    """What a header says, checked."""

    layers: list[Layer]
    loss: Loss
    regularization: Regularization
    dtype: DType
    update: str | None
    steps: int
    seed: int
    draws: int
    size: int  # P


def parse(text: bytes) -> Description:
    """What a header says; ModelFileError where it says something else than a network's description."""
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
    expected = [*FIELDS, *(NEW_FIELDS if version > 1 else ())]
    if header.keys() != set(expected):
        came = f"too few or too many: {checks.shown(', '.join(sorted(header.keys() ^ set(expected))))}"
        raise ModelFileError(f"{NAME}: expected the fields {', '.join(expected)}, got {came}; {REPAIR}")
    try:
        return _check_fields({**NEW_FIELDS, **header})
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{NAME}: {error}; {REPAIR}") from error
    except MemoryError as error:
        raise ModelFileError(f"{NAME}: expected layers that a memory can hold, got larger ones; {REPAIR}") from error


def _check_fields(header: dict[str, Any]) -> Description:
    """The header's fields as what they describe. Raises TypeError, ValueError or OverflowError."""
    if not isinstance(header["fastnn_version"], str):
        raise TypeError(f"fastnn_version: expected a text, got {checks.shown(header['fastnn_version'])}")
    for name in ("layers", "parameters"):
        if not isinstance(header[name], list):
            raise TypeError(f"{name}: expected a list, got {checks.shown(header[name])}")
    layers = [_layer(f"layers[{i}]", entry) for i, entry in enumerate(header["layers"])]
    table = _parameter_table(layers)
    for i, pair in enumerate(itertools.zip_longest(table, header["parameters"])):
        wanted, came = (json.dumps(entry, sort_keys=True) for entry in pair)  # texts: to Python True and 1.0 equal 1
        if wanted != came:
            raise ValueError(f"parameters[{i}]: expected {wanted}, as the layers say, got {checks.shown(came)}")
    update = header["optimizer"]
    return Description(
        layers,
        _options("loss_options", LOSSES[arrays.choice("loss", header["loss"], LOSSES)], header["loss_options"]),
        _options("regularization", Regularization, header["regularization"]),
        arrays.float_dtype("dtype", header["dtype"]),
        None if update is None else arrays.choice("optimizer", update, OPTIMIZERS),
        arrays.integer("steps", header["steps"], 0, MOST_STEPS),
        arrays.integer("seed", header["seed"], 0, 2**31 - 1),
        arrays.integer("draws", header["draws"], 0, MOST_STEPS),
        sum(math.prod(entry["shape"]) for entry in table),
    )


def _layer(name: str, entry: Any) -> Layer:
    if not isinstance(entry, dict):
        raise TypeError(f"{name}: expected an object with the field class, got {checks.shown(entry)}")
    layer = LAYERS[arrays.choice(f"{name}.class", entry.get("class"), LAYERS)]
    expected = ["class", *(field.name for field in fields(layer))]
    if sorted(entry) != sorted(expected):
        raise ValueError(f"{name}: expected the fields {', '.join(expected)}, got {checks.shown(', '.join(entry))}")
    try:
        return layer(**{field: value for field, value in entry.items() if field != "class"})
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}.{error}") from error


def _options(name: str, kind: Any, entry: Any) -> Any:
    """What the numbers of an entry describe, of a kind whose fields they are."""
    expected = [field.name for field in fields(kind)]
    if not isinstance(entry, dict) or sorted(entry) not in (sorted(expected), []):
        came = checks.shown(", ".join(entry) if isinstance(entry, dict) else entry)
        raise ValueError(f"{name}: expected the fields {', '.join(expected) or 'of an empty object'}, got {came}")
    try:
        return kind(**entry)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}.{error}") from error
