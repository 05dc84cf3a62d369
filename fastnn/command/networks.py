"""The network that a command's options ask for."""

import argparse
from typing import TYPE_CHECKING

from fastnn.command.options import CROSS_ENTROPY
from fastnn.gate.names import LossName

if TYPE_CHECKING:
    import numpy as np

    from fastnn.network.network import Network

CLASSES = 10  # of the digits, of MNIST and of files in its format


def network_of(
    inputs: int, options: argparse.Namespace, generator: "np.random.Generator", loss: LossName = CROSS_ENTROPY
) -> "Network":
    """The network that --hidden, --activation, --loss and --dtype ask for."""
    from fastnn import operations
    from fastnn.layers import Affine, Layer
    from fastnn.network.network import Network

    layers: list[Layer] = []
    for width in options.hidden:
        layers += [Affine(inputs, width), operations.ACTIVATIONS[options.activation]()]
        inputs = width
    layers.append(Affine(inputs, CLASSES))
    layers += [operations.ACTIVATIONS[name]() for name in operations.LOSSES[loss].follows[:1]]
    return Network(layers, loss, rng=generator, dtype=options.dtype)
