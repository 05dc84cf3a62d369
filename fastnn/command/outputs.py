"""The meaning of a network's outputs, as values, classes and their probabilities, and how good they are."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.gate.arrays import Array

if TYPE_CHECKING:
    from fastnn.network.network import Network
    from fastnn.tables.encoding import Encoding

USUAL_LOSSES = {
    "regression": "mean_squared_error",
    "classification": "softmax_cross_entropy",
    "multilabel": "sigmoid_cross_entropy",
}
LOGARITHMIC = ("poisson",)  # losses of the logarithm of what the target is


def scales_targets(loss: Any) -> bool:
    """Whether a loss of values may have them standardized."""
    from fastnn.operations.losses.base import VALUES

    return bool(loss.accepts == VALUES) and loss.name not in LOGARITHMIC


def activated(network: "Network", y: Array) -> Array:
    """The outputs after the activation that the loss applies itself."""
    from fastnn.functional.layers import activation_forward

    loss = network.engine.formula
    if loss.name in LOGARITHMIC:
        found: Array = np.exp(y)
        return found
    return activation_forward(loss.applies, y) if loss.applies else y


def has_probabilities(network: "Network") -> bool:
    """Whether the outputs are, or become, probabilities."""
    loss = network.engine.formula
    return bool(loss.applies or loss.follows)


def values_of(network: "Network", encoding: "Encoding", y: Array) -> Array:
    """The values (N, K) that outputs predict, in the units of the file."""
    from fastnn.tables import targets

    return targets.decode(activated(network, y), encoding.targets)


def flags_of(network: "Network", y: Array) -> Any:
    """The labels (N, K) of 0 and 1 that outputs of several labels predict."""
    border = network.engine.formula.border
    return (y > (0.5 if border is None else border)).astype(np.intp)


def scores(network: "Network", encoding: "Encoding", y: Array, t: Any) -> dict[str, Any]:
    """Figures of outputs and encoded targets: by class, by label, or by target in the units of the file."""
    from fastnn.network import metrics
    from fastnn.tables import targets
    from fastnn.validation.metrics import classification_scores, confusion_matrix

    if encoding.task == "regression":
        found, wanted = values_of(network, encoding, y), targets.decode(t, encoding.targets)
        figures: dict[str, Any] = {}
        for name in ("r2_score", "root_mean_squared_error", "mean_absolute_error"):
            figures[name] = metrics.METRICS[name](wanted, found)
        if len(encoding.targets) > 1:
            figures["targets"] = {
                one.name: {
                    name: metrics.METRICS[name](wanted[:, k], found[:, k])
                    for name in ("r2_score", "root_mean_squared_error", "mean_absolute_error")
                }
                for k, one in enumerate(encoding.targets)
            }
        return figures
    if encoding.task == "multilabel":
        right = flags_of(network, y) == t
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
