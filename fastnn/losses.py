"""Losses of a network: small frozen descriptions, each with the targets that it takes.

Each is written, with its formulas and kernels, in a file of its own in fastnn/operations/losses.

Examples
--------
>>> layers = [fastnn.Affine(4, 3), fastnn.Tanh(), fastnn.Affine(3, 1)]
>>> net = fastnn.Network(layers, loss="huber")  # the loss with its default options
>>> net = fastnn.Network(layers, loss=fastnn.losses.Huber(delta=0.5))
>>> net.loss_name
'huber'
"""

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.gate import arrays, attributes, checks, foreign_names
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.operations import LOSSES as LOSSES
from fastnn.operations import refuse_replaced
from fastnn.operations.losses.base import Loss as Loss
from fastnn.operations.losses.base import Targets as Targets

# isort: split
# <generated: python -m docs.generate>
from fastnn.operations.losses.absolute_error import AbsoluteError as AbsoluteError
from fastnn.operations.losses.cross_entropy import CrossEntropy as CrossEntropy
from fastnn.operations.losses.exponential import Exponential as Exponential
from fastnn.operations.losses.hinge import Hinge as Hinge
from fastnn.operations.losses.huber import Huber as Huber
from fastnn.operations.losses.kl_divergence import KLDivergence as KLDivergence
from fastnn.operations.losses.log_loss import LogLoss as LogLoss
from fastnn.operations.losses.mean_squared_error import MeanSquaredError as MeanSquaredError
from fastnn.operations.losses.poisson import Poisson as Poisson
from fastnn.operations.losses.sigmoid_cross_entropy import SigmoidCrossEntropy as SigmoidCrossEntropy
from fastnn.operations.losses.softmax_cross_entropy import SoftmaxCrossEntropy as SoftmaxCrossEntropy

# </generated>

for _class in LOSSES.values():
    answers_slips(_class)
WITHOUT_GRADIENT = {"zero_one_loss": "0-1 loss", "zero_one": "0-1 loss", "accuracy": "accuracy"}


def own_loss(loss: Loss) -> Loss:
    """A loss as fastnn's own class describes it, checked anew: what a user's class makes of it reaches no kernel."""
    kind = LOSSES[arrays.choice("loss.name", loss.name, LOSSES)]
    remedy = "make it by fastnn.loss, or pass its gradient to Network.backward"
    checks.refuse_own_code("loss", loss, kind, remedy)
    return kind(**{one.name: getattr(loss, one.name, one.default) for one in fields(kind)})


def check_loss(loss: Any) -> Loss:
    """A loss, given by its name or itself; anything else is refused."""
    if isinstance(loss, Loss) and type(loss) is not Loss:
        refuse_replaced("loss", loss)
        return loss
    if isinstance(loss, str) and loss in WITHOUT_GRADIENT:
        came = f"the {WITHOUT_GRADIENT[loss]}, whose gradient is 0 wherever there is one"
        names = ", ".join(LOSSES)
        raise ValueError(f"loss: expected one to descend on, got {came}; train on one of {names} and measure the other")
    if isinstance(loss, type) and issubclass(loss, Loss):
        raise TypeError(
            f"loss: expected a loss or its name, got the class {loss.__name__}; create one: {loss.__name__}()"
        )
    kind = getattr(loss, "__name__", loss)
    remedy = f"; pass it as dtype={kind!r}" if isinstance(kind, str) and kind in ("float32", "float64") else ""
    return LOSSES[arrays.choice("loss", loss, LOSSES, remedy)]()


def check_outputs(loss: Loss, last: Any, shape: tuple[int, ...]) -> None:
    """Refuse a last layer whose outputs, with this shape for one sample, the loss does not take."""
    activation, outputs = getattr(last, "activation", ""), math.prod(shape)
    if loss.compares_classes and len(shape) > 1:
        expected = f"layers: expected outputs in one dimension, one for each class, for the loss {loss.name}"
        raise ValueError(f"{expected}, got the shape {shape}; add Flatten(), and an Affine layer after it")
    if loss.applies and activation == loss.applies:
        raise ValueError(
            f"layers: expected logits from the last layer, got {last}, which the loss {loss.name} applies itself; "
            f"leave the {type(last).__name__} layer out"
        )
    if loss.follows and activation not in loss.follows:
        layers = " or ".join(f"{name.capitalize()}()" for name in loss.follows)
        remedy = "add one, or take the loss of logits, softmax_cross_entropy or sigmoid_cross_entropy"
        if activation == "sigmoid":
            remedy = "take log_loss, which also sees the outputs that should be 0"
        raise ValueError(
            f"layers: expected probabilities from the last layer, {layers}, for the loss {loss.name}, got {last}; "
            f"{remedy}"
        )
    if activation == "softmax" and outputs == 1:
        raise ValueError(
            "layers: expected at least 2 outputs for Softmax(), got 1, which would always be 1; take Sigmoid()"
        )
    if loss.compares_classes and outputs == 1:
        raise ValueError(
            f"layers: expected at least 2 outputs, one for each class, for the loss {loss.name}, got 1; for two "
            "classes 0 and 1 by one output take sigmoid_cross_entropy, for a number mean_squared_error"
        )


def weights_of(
    sample_weight: Any, class_weight: Any, labels: Array, dense: Array, shape: tuple[int, ...]
) -> Array | None:
    """The weight of each sample (N,) in float64; None if all are 1. shape: that of the outputs (N, K).

    One output stands for two classes, the second where the target is 1.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(shape[0])
    if sample_weight is not None:
        weights = weights * _checked("sample_weight", sample_weight, shape[0])
    if class_weight is not None:
        if isinstance(class_weight, dict | str):
            count = max(2, shape[1])
            example = ", ".join(["1.0"] * (count - 1) + ["2.5"]) if count < 4 else "1.0, ..., 2.5"
            came = f"a {type(class_weight).__name__}; pass them in order of the labels, such as [{example}]"
            if class_weight == "balanced":
                came = f"'balanced'; for labels t pass len(t) / ({count} * np.bincount(t, minlength={count}))"
            raise TypeError(f"class_weight: expected {count} numbers, one for each class, got {came}")
        classes = labels if labels.size else dense.argmax(axis=1)
        if dense.shape[1] == 1 and not labels.size:
            classes = (dense[:, 0] > 0.5).astype(np.intp)
        weights = weights * _checked("class_weight", class_weight, max(2, shape[1]))[classes]
    total = float(np.sum(weights)) if np.isfinite(weights).all() else np.inf
    if not 0.0 < total < np.inf:
        name = "class_weight" if sample_weight is None else "sample_weight"
        raise ValueError(f"{name}: expected weights whose sum is above 0 and finite, got {total:g}; pass others")
    return weights


def _checked(name: str, value: Any, count: int) -> Array:
    weights = arrays.floats(name, value, (count,), dtype="float64", rounding=True, finite=True)
    if (weights < 0.0).any():
        raise ValueError(f"{name}: expected numbers of at least 0, got {weights.min():g}; pass weights")
    return weights


if not TYPE_CHECKING:  # to type checkers it would make every name one of this module

    def __getattr__(name: str) -> Any:
        names = [kind.__name__ for kind in LOSSES.values()]
        raise attributes.of_module(__name__, name, names, foreign_names.OF_PACKAGE)
