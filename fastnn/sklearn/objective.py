"""Objectives: the loss of an estimator, the targets that it takes, and the meaning of the network's outputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score, r2_score

from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.losses import (
    AbsoluteError,
    Hinge,
    Huber,
    Loss,
    MeanSquaredError,
    Poisson,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
)
from fastnn.operations.losses.base import SIGNS

# The kinds of targets, and how they are encoded: (N, K) floats; (N, 1) bools; (N,) numbers of classes; (N, K) bools.
VALUES, BINARY, MULTICLASS, MULTILABEL = "values", "binary", "multiclass", "multilabel"
OF_VALUES: dict[str, type[Loss]] = {
    "squared_error": MeanSquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "poisson": Poisson,
}
OF_CLASSES = ("log_loss", "hinge")
ACTIVATIONS = {"softmax": "softmax", "sigmoid": "logistic"}  # by the one that a loss applies


@dataclass(frozen=True)
class Objective:
    """A loss for targets of one kind.

    Parameters
    ----------
    kind : str
        VALUES, BINARY, MULTICLASS or MULTILABEL.
    loss : Loss
        The loss of the network's outputs, which are logits where it applies an activation itself.
    columns : int
        Columns of encoded targets: K, 1 for BINARY.
    """

    kind: str
    loss: Loss
    columns: int

    @property
    def outputs(self) -> int:
        """The network's outputs: two for two classes, if the loss compares classes."""
        return 2 if self.kind == BINARY and self.loss.compares_classes else self.columns

    @property
    def out_activation(self) -> str:
        """The activation behind the network's outputs, in scikit-learn's words."""
        return "exp" if self.loss.predicts_logarithms else ACTIVATIONS.get(self.loss.applies, "identity")

    @property
    def reported_share(self) -> float:
        """The factor of the loss in `loss_`: of squares, the mean over the outputs, while the sum is minimized."""
        return 1.0 / self.columns if isinstance(self.loss, MeanSquaredError) else 1.0

    @property
    def has_probabilities(self) -> bool:
        """Whether the loss is a likelihood of these classes."""
        link = "softmax" if self.kind == MULTICLASS else "sigmoid"
        return self.kind != VALUES and (self.loss.applies == link or self.outputs > self.columns)

    def targets(self, encoded: Array) -> Array:
        """Encoded targets as the loss takes them."""
        if self.kind == VALUES:
            return encoded
        if self.outputs > self.columns:
            encoded = encoded[:, 0].astype(np.intp)
        if encoded.ndim == 1:
            if self.loss.takes_classes:
                return encoded
            encoded = encoded[:, np.newaxis] == np.arange(self.outputs)
        values: Array = encoded.astype(np.float32)
        return 2.0 * values - 1.0 if self.loss.accepts == SIGNS else values

    def scores(self, y: Array) -> Array:
        """Outputs as one number for each column of the targets, above 0 where a class is more likely than not."""
        return y[:, 1:] - y[:, :1] if self.outputs > self.columns else y

    def values(self, y: Array) -> Array:
        """Outputs as predictions of values."""
        return np.exp(y) if self.out_activation == "exp" else y

    def probabilities(self, y: Array) -> Array:
        """Outputs as a probability for each class, in each row."""
        scores = self.scores(y)
        if self.kind == MULTICLASS:
            return np.asarray(softmax(scores, axis=1))
        shares: Array = expit(scores)
        return shares if self.kind == MULTILABEL else np.hstack([1.0 - shares, shares])

    def score(self, y: Array, encoded: Array, weights: Array | None) -> float:
        """R^2 of values, the accuracy of classes; NaN for outputs that are not finite."""
        if not np.isfinite(y).all():
            return float("nan")
        if self.kind == VALUES:
            return float(r2_score(encoded, self.values(y), sample_weight=weights))
        scores = self.scores(y)
        found = scores.argmax(axis=1) if self.kind == MULTICLASS else scores > 0.0
        return float(accuracy_score(encoded, found, sample_weight=weights))


def of_values(loss: Any, columns: int) -> Objective:
    """The objective of a regression."""
    found = loss if isinstance(loss, Loss) else OF_VALUES[arrays.choice("loss", loss, OF_VALUES)]()
    if found.takes_classes or found.accepts != MeanSquaredError.accepts or found.follows:
        came = f"{found}; pass one of {', '.join(map(repr, OF_VALUES))} or a loss of values"
        raise ValueError(f"loss: expected one of values, got {came}")
    return Objective(VALUES, found, columns)


def of_classes(loss: Any, kind: str, columns: int) -> Objective:
    """The objective of a classification."""
    if isinstance(loss, Loss):
        found: Loss = loss
    elif arrays.choice("loss", loss, OF_CLASSES) == "hinge":
        found = Hinge()
    else:
        found = SoftmaxCrossEntropy() if kind == MULTICLASS else SigmoidCrossEntropy()
    if found.follows or (found.compares_classes and kind == MULTILABEL):
        what = "single outputs, as a sample may have several labels" if not found.follows else "logits"
        remedy = "pass 'log_loss', or fastnn.losses.SigmoidCrossEntropy()"
        raise ValueError(f"loss: expected one of {what}, got {checks.shown(loss)}; {remedy}")
    return Objective(kind, found, columns)
