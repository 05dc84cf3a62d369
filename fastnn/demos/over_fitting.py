"""`fastnn demo over-fitting`: a network that learns few samples by heart, their errors included, and cures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import LabelArray
from fastnn.layers import Layer

SAMPLES, MISLABELLED, VALIDATION = 200, 40, 200
EPOCHS, RATE, PATIENCE = 300, 0.05, 10
L1, L2, DROPPED = 0.006, 0.015, 0.8
HIDDEN = (fastnn.Affine(64, 100), fastnn.Relu())
LAYERS = (*HIDDEN, fastnn.Affine(100, 10))

Part = tuple[Any, Any]


# The rows of the table, with the arguments of `train` that each adds.
CURES: dict[str, dict[str, Any]] = {
    "none": {},
    "early stopping": {"callbacks": [fastnn.EarlyStopping(patience=PATIENCE)]},
    f"L1, {L1}": {"regularization": fastnn.Regularization(l1=L1)},
    f"L2, {L2}": {"regularization": fastnn.Regularization(l2=L2)},
    f"dropout, {DROPPED}": {"layers": (*HIDDEN, fastnn.Dropout(DROPPED), LAYERS[-1])},
}


@dataclass(frozen=True)
class Outcome:
    """The result of a training; `wrong_learned` counts the wrong labels that the network predicts."""

    history: fastnn.History
    training_accuracy: float
    test_accuracy: float
    test_loss: float
    wrong_learned: int

    @property
    def gap(self) -> float:
        """How much better the network is on its training samples."""
        return self.training_accuracy - self.test_accuracy


def mislabeled(t: LabelArray, count: int, seed: int = 0) -> LabelArray:
    """A copy of the labels, the first `count` of them replaced by others at random."""
    labels = t.copy()
    labels[:count] = (labels[:count] + np.random.default_rng(seed).integers(1, 10, count)) % 10
    return labels


def parts(seed: int = 0) -> tuple[Part, Part, Part]:
    """Few digits to train on, some with a wrong label, others to validate, and others to test."""
    (x, t), test = fastnn.datasets.load_digits()
    labels = mislabeled(t[:SAMPLES], MISLABELLED, seed)
    end = SAMPLES + VALIDATION
    return (x[:SAMPLES], labels), (x[SAMPLES:end], t[SAMPLES:end]), test


def train(
    layers: Sequence[Layer] = LAYERS, regularization: fastnn.Regularization | None = None, seed: int = 0, **options: Any
) -> Outcome:
    """Train and measure a network of these layers; the options for `fit` override the usual ones."""
    (x, t), validation, test = parts(seed)
    usual = {"epochs": EPOCHS, "batch_size": 10, "optimizer": fastnn.SGD(lr=RATE), "validation_data": validation}
    network = fastnn.Network(layers, rng=seed, regularization=regularization)
    history = network.fit(x, t, rng=seed, progress=False, **{**usual, **options})
    test_loss, _ = fastnn.softmax_cross_entropy(network.predict(test[0]), test[1])  # without the penalty
    wrong = round(MISLABELLED * network.accuracy(x[:MISLABELLED], t[:MISLABELLED]))
    return Outcome(history, network.accuracy(x, t), network.accuracy(*test), float(test_loss), wrong)


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the effect of each cure on the accuracies and the gap between them."""
    say(f"64-100-10 on {SAMPLES} digits, {MISLABELLED} of them with a wrong label; {VALIDATION} others to validate")
    say("gap: between the accuracies; wrong learned: wrong labels that it answers with\n")
    rows = []
    for name, options in CURES.items():
        found = train(**options, seed=seed)
        accuracies = (f"{found.training_accuracy:.4f}", f"{found.test_accuracy:.4f}", f"{found.gap:.4f}")
        figures = (*accuracies, f"{found.test_loss:.4f}", f"{found.wrong_learned}")
        rows.append((name, f"{found.history.epochs}", *figures))
    head = ("cure", "epochs", "training", "test", "gap", "test loss", "wrong learned")
    say(table(head, rows, text_columns=1))
    say(
        "\nWithout a cure the network learns every sample by heart, the wrong labels, too,\n"
        "and gets worse on others. Early stopping ends once the validation loss has not\n"
        f"fallen for {PATIENCE} epochs, and goes back to the epoch where it was least, before all\n"
        "of the wrong labels are learned. L1 and L2 keep the weights small, dropout lets\n"
        "no neuron rely on others: all leave less room for single samples. How strong\n"
        "each has to be was found by trial on these very figures, which flatters them a\n"
        "little: with less, more wrong labels are learned, with more, fewer right ones."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The losses and accuracies by epoch, without a cure and with one."""
    from fastnn.plots import panels

    drawn = {}
    l2 = f"L2, {L2}"
    for name, cure, title in (("none", "none", "No cure"), ("L2", l2, l2)):
        ax = panels.new(1, 1, (6.4, 4.8), managed=False)[0]
        drawn[f"over-fitting-{name}"] = fastnn.plots.history(train(**CURES[cure], seed=seed).history, ax=ax)
        ax.set_title(title)
    return drawn
