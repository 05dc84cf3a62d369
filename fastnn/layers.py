"""Layers: small frozen descriptions of what a network is made of. They hold no arrays and compute nothing.

Each is written, with its formulas and kernels, in a file of its own in fastnn/operations.
"""

from dataclasses import fields
from typing import Any

from fastnn.gate import arrays
from fastnn.gate.slips import answers_slips
from fastnn.operations import ACTIVATIONS, LAYERS
from fastnn.operations.activations.elu import Elu
from fastnn.operations.activations.gelu import Gelu
from fastnn.operations.activations.identity import Identity
from fastnn.operations.activations.leaky_relu import LeakyRelu
from fastnn.operations.activations.relu import Relu
from fastnn.operations.activations.sigmoid import Sigmoid
from fastnn.operations.activations.silu import Silu
from fastnn.operations.activations.softmax import Softmax
from fastnn.operations.activations.softplus import Softplus
from fastnn.operations.activations.step import Step
from fastnn.operations.activations.tanh import Tanh
from fastnn.operations.affine import WIDEST, Affine
from fastnn.operations.base import Activation, Layer
from fastnn.operations.batch_norm import BatchNorm
from fastnn.operations.dropout import Dropout
from fastnn.operations.prelu import PRelu

__all__ = [
    "ACTIVATION_LAYERS",
    "LAYERS",
    "WIDEST",
    "Activation",
    "Affine",
    "BatchNorm",
    "Dropout",
    "Elu",
    "Gelu",
    "Identity",
    "Layer",
    "LeakyRelu",
    "PRelu",
    "Relu",
    "Sigmoid",
    "Silu",
    "Softmax",
    "Softplus",
    "Step",
    "Tanh",
    "own_layer",
]

ACTIVATION_LAYERS = ACTIVATIONS
for _class in LAYERS.values():
    answers_slips(_class)


def own_layer(layer: Layer) -> Layer:
    """A layer as fastnn's own class describes it, checked anew: what a user's class makes of it reaches no kernel."""
    if isinstance(layer, Activation):
        kind: type[Layer] = ACTIVATION_LAYERS[arrays.choice("layer.activation", layer.activation, ACTIVATION_LAYERS)]
    else:
        kind = next(own for own in LAYERS.values() if isinstance(layer, own))
    values: dict[str, Any] = {one.name: getattr(layer, one.name, one.default) for one in fields(kind)}
    return kind(**values)
