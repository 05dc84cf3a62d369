"""The meaning of a network's outputs, as values, classes and their probabilities, and how good they are."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.gate.arrays import Array

if TYPE_CHECKING:
    from fastnn.losses import Loss
    from fastnn.network.network import Network
    from fastnn.tables.encoding import Encoding

USUAL_LOSSES = {
    "regression": "mean_squared_error",
    "classification": "softmax_cross_entropy",
    "multilabel": "sigmoid_cross_entropy",
}
FIGURES = ("r2_score", "root_mean_squared_error", "mean_absolute_error")


def scales_targets(loss: Any) -> bool:
    """Whether a loss of values may have them standardized."""
    from fastnn.operations.losses.base import VALUES

    return bool(loss.accepts == VALUES) and not loss.predicts_logarithms


def activated(loss: "Loss", y: Array) -> Array:
    """The outputs after the activation that the loss applies itself."""
    from fastnn.functional.layers import activation_forward

    if loss.predicts_logarithms:
        found: Array = np.exp(y)
        return found
    return activation_forward(loss.applies, y) if loss.applies else y


def has_probabilities(network: "Network") -> bool:
    """Whether the outputs are, or become, probabilities."""
    loss = network.engine.formula
    return bool(loss.applies or loss.follows)


def probabilities_of(network: "Network", y: Array) -> Array:
    """The outputs as probabilities; refused where they are none."""
    loss = network.engine.formula
    if not has_probabilities(network):
        raise ValueError(
            f"--probabilities: expected a network of classes, got one with the loss {loss.name}; leave it out"
        )
    return activated(loss, y)


def values_of(loss: "Loss", encoding: "Encoding", y: Array) -> Array:
    """The values (N, K) that outputs predict, in the units of the file."""
    from fastnn.tables import targets

    return targets.decode(activated(loss, y), encoding.targets)


def metric_of(name: str, loss: "Loss", encoding: "Encoding") -> Any:
    """A metric of a network's targets and outputs; for numbers, of their values in the units of the file."""
    from fastnn.network import metrics
    from fastnn.tables import targets

    if encoding.task != "regression" or name not in FIGURES:
        return name

    def measure(t: Array, y: Array) -> float:
        return metrics.METRICS[name](targets.decode(t, encoding.targets), values_of(loss, encoding, y))

    measure.__name__ = name
    return measure


def flags_of(loss: "Loss", y: Array) -> Any:
    """The labels (N, K) of 0 and 1 that outputs of several labels predict."""
    is_set = activated(loss, y) > 0.5 if loss.border is None else y > loss.border
    return is_set.astype(np.intp)


def scores(network: "Network", encoding: "Encoding", y: Array, t: Any) -> dict[str, Any]:
    """Figures of outputs and encoded targets: by class, by label, or by target in the units of the file."""
    from fastnn.network import metrics
    from fastnn.tables import targets
    from fastnn.validation.metrics import classification_scores, confusion_matrix

    loss = network.engine.formula
    if encoding.task == "regression":
        found, wanted = values_of(loss, encoding, y), targets.decode(t, encoding.targets)
        figures: dict[str, Any] = {name: metrics.METRICS[name](wanted, found) for name in FIGURES}
        if len(encoding.targets) > 1:
            figures["targets"] = {
                one.name: {name: metrics.METRICS[name](wanted[:, k], found[:, k]) for name in FIGURES}
                for k, one in enumerate(encoding.targets)
            }
        return figures
    if encoding.task == "multilabel":
        right = flags_of(loss, y) == t
        by_label = {one.name: float(right[:, k].mean()) for k, one in enumerate(encoding.targets)}
        return {"accuracy": float(right.mean()), "all_labels": float(right.all(axis=1).mean()), "labels": by_label}
    classes = encoding.targets[0].classes
    made, predicted = classification_scores(t, y, len(classes)), y.argmax(axis=1)
    rows = zip(made.precision, made.recall, made.f1, made.support, strict=True)
    table = [
        {"class": name, "precision": _or_none(p), "recall": _or_none(r), "f1": _or_none(f), "rows": int(n)}
        for name, (p, r, f, n) in zip(classes, rows, strict=True)
    ]
    matrix = confusion_matrix(t, predicted, len(classes))
    return {"accuracy": float((predicted == t).mean()), "classes": table, "confusion": matrix.tolist()}


def _or_none(value: float) -> float | None:
    """A figure as JSON has it."""
    return None if np.isnan(value) else float(value)
