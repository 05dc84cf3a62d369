"""The network that a command's options ask for, and targets as its loss takes them."""

import argparse
from typing import TYPE_CHECKING, Any

from fastnn.command import specs

if TYPE_CHECKING:
    import numpy as np

    from fastnn.losses import Loss
    from fastnn.network.network import Network

IMAGES = ("digits", "mnist")
CLASSES = 10  # of the digits, of MNIST and of files in its format
HIDDEN, ACTIVATION = [50], "relu"  # where nothing is said


def loss_of(text: str) -> "Loss":
    """The loss that an option names."""
    from fastnn.operations import LOSSES

    made: Loss = specs.made("--loss", LOSSES, text)
    return made


def network_of(
    shape: tuple[int, ...], outputs: int, options: argparse.Namespace, generator: "np.random.Generator", loss: "Loss"
) -> "Network":
    """The network that --hidden, --activation or --layers, and --dtype ask for, with the last layer for the loss.

    shape: that of a sample, (inputs,) or (channels, height, width).
    """
    from fastnn import operations
    from fastnn.engine.regularization import Regularization
    from fastnn.layers import Affine, Flatten, Layer
    from fastnn.network.network import Network

    layers: list[Layer] = []
    text = getattr(options, "layers", None)
    if text is not None:
        layers = specs.layers("--layers", text, shape)
    else:
        for width in HIDDEN if options.hidden is None else options.hidden:
            layers += [Affine(_shape_after(layers, shape)[0], width), *_after(options)]
    if len(_shape_after(layers, shape)) > 1:
        layers.append(Flatten())
    layers.append(Affine(_shape_after(layers, shape)[0], outputs))
    layers += [operations.ACTIVATIONS[name]() for name in loss.follows[:1]]
    penalty = Regularization(getattr(options, "l1", 0.0), getattr(options, "l2", 0.0))
    arguments: dict[str, Any] = {"rng": generator, "dtype": options.dtype, "regularization": penalty}
    return Network(layers, loss, input_shape=shape, **arguments)


def _shape_after(layers: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the last layer's outputs for one sample."""
    for layer in layers:
        shape = layer.shape_of_output(shape)
    return shape


def _after(options: argparse.Namespace) -> list[Any]:
    """The layers after a hidden Affine."""
    from fastnn import operations
    from fastnn.layers import BatchNorm, Dropout

    normalized = [BatchNorm()] if getattr(options, "batch_norm", False) else []
    dropped = [] if getattr(options, "dropout", None) is None else [Dropout(options.dropout)]
    return [*normalized, operations.ACTIVATIONS[options.activation or ACTIVATION](), *dropped]


def targets_for(loss: "Loss", labels: Any, classes: int, dtype: str) -> Any:
    """Labels as a loss takes classes: as they are, or as rows of 0 and 1, or of -1 and 1."""
    from fastnn.datasets import one_hot

    return labels if loss.takes_classes else flags_for(loss, one_hot(labels, classes, dtype=dtype))


def flags_for(loss: "Loss", flags: Any) -> Any:
    """Rows of 0 and 1 as a loss takes them."""
    from fastnn.operations.losses.base import SIGNS

    return 2 * flags - 1 if loss.accepts == SIGNS else flags
