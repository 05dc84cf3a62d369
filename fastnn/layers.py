"""Layers: small frozen descriptions of a network's parts. They hold no arrays and compute nothing.

Each is written, with its formulas and kernels, in a file of its own in fastnn/operations.
"""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fastnn.gate import arrays, attributes, checks, foreign_names
from fastnn.gate.slips import answers_slips
from fastnn.operations import ACTIVATIONS as ACTIVATION_LAYERS
from fastnn.operations import LAYERS as LAYERS
from fastnn.operations.affine import WIDEST as WIDEST
from fastnn.operations.base import Activation as Activation
from fastnn.operations.base import Layer as Layer
from fastnn.operations.base import TrainedLayer as TrainedLayer

# isort: split
# <generated: python -m docs.generate>
from fastnn.operations.activations.elu import Elu as Elu
from fastnn.operations.activations.gelu import Gelu as Gelu
from fastnn.operations.activations.identity import Identity as Identity
from fastnn.operations.activations.leaky_relu import LeakyRelu as LeakyRelu
from fastnn.operations.activations.relu import Relu as Relu
from fastnn.operations.activations.sigmoid import Sigmoid as Sigmoid
from fastnn.operations.activations.silu import Silu as Silu
from fastnn.operations.activations.softmax import Softmax as Softmax
from fastnn.operations.activations.softplus import Softplus as Softplus
from fastnn.operations.activations.step import Step as Step
from fastnn.operations.activations.tanh import Tanh as Tanh
from fastnn.operations.affine import Affine as Affine
from fastnn.operations.avg_pool2d import AvgPool2d as AvgPool2d
from fastnn.operations.batch_norm import BatchNorm as BatchNorm
from fastnn.operations.conv2d import Conv2d as Conv2d
from fastnn.operations.dropout import Dropout as Dropout
from fastnn.operations.dropout2d import Dropout2d as Dropout2d
from fastnn.operations.flatten import Flatten as Flatten
from fastnn.operations.max_pool2d import MaxPool2d as MaxPool2d
from fastnn.operations.prelu import PRelu as PRelu

# </generated>

for _class in LAYERS.values():
    answers_slips(_class)


def own_layer(layer: Layer) -> Layer:
    """A layer as fastnn's own class describes it, checked anew: what a user's class makes of it reaches no kernel."""
    if isinstance(layer, Activation):
        kind: type[Layer] = ACTIVATION_LAYERS[arrays.choice("layer.activation", layer.activation, ACTIVATION_LAYERS)]
    else:
        kind = next(own for own in LAYERS.values() if isinstance(layer, own))
    checks.refuse_own_code("layers", layer, kind, "make it by fastnn.activation or fastnn.layer")
    values: dict[str, Any] = {one.name: getattr(layer, one.name, one.default) for one in fields(kind)}
    return kind(**values)


if not TYPE_CHECKING:  # to type checkers it would make every name one of this module

    def __getattr__(name: str) -> Any:
        names = [kind.__name__ for kind in LAYERS.values()]
        raise attributes.of_module(__name__, name, names, foreign_names.OF_PACKAGE)
