"""Steps and epochs in scikit-learn: MLPClassifier by partial_fit, plain gradient descent without a penalty.

Its predictions are classes or probabilities, which take more work than logits.
"""

import importlib
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data
from benchmarks.expected import COMPARED_STEPS, LEARNING_RATE, ORDER_SEED, epoch_order
from benchmarks.peers import Target


def _classifier(widths: tuple[int, ...], batch_size: int, data: Data) -> Any:
    """A classifier that has the table's initial parameters, and has not trained."""
    model = importlib.import_module("sklearn.neural_network").MLPClassifier(
        hidden_layer_sizes=widths[1:-1],
        activation="relu",
        solver="sgd",
        alpha=0.0,
        batch_size=batch_size,
        learning_rate_init=LEARNING_RATE,
        momentum=0.0,
        nesterovs_momentum=False,
        random_state=0,
        shuffle=False,
    )
    x = np.zeros((batch_size, widths[0]), np.float32)
    model.partial_fit(x, np.zeros(batch_size, np.int64), classes=np.arange(widths[-1]))  # allocates the parameters
    for weights, bias, number in zip(model.coefs_, model.intercepts_, range(1, len(widths)), strict=True):
        weights[...], bias[...] = data["params"][f"W{number}"], data["params"][f"b{number}"]
    return model


def _params(model: Any) -> list[Any]:
    return [param for pair in zip(model.coefs_, model.intercepts_, strict=True) for param in pair]


def step(case: Case, data: Data, threads: int) -> Target:
    model, x, t = _classifier(case.sizes[1:], case.sizes[0], data), data["x"], data["t"]
    return Target(
        lambda: model.partial_fit(x, t).loss_,
        lambda losses: [np.array(losses), *_params(model)],
        compared=COMPARED_STEPS,
    )


def epoch(case: Case, data: Data, threads: int) -> Target:
    """It is compared on samples already in the table's order, and timed with scikit-learn's own shuffling."""
    model, x, t = _classifier(case.sizes[2:], case.sizes[1], data), data["x"], data["t"]

    def compared() -> Any:
        order = epoch_order(np.random.default_rng(ORDER_SEED), len(x))
        loss = model.partial_fit(x[order], t[order]).loss_
        model.shuffle = True
        return loss

    return Target(compared, lambda losses: [losses[0], *_params(model)], timed=lambda: model.partial_fit(x, t))


FACTORIES = {"sklearn": {"step": step, "epoch": epoch}}
