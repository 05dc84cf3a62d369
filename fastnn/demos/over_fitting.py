"""`fastnn demo over-fitting`: a network that learns few samples by heart, their errors included, and cures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.layers import Layer

SAMPLES, MISLABELLED, VALIDATION = 200, 40, 200
EPOCHS, PATIENCE = 300, 10
LAYERS = (fastnn.Affine(64, 100), fastnn.Relu(), fastnn.Affine(100, 10))

Part = tuple[Any, Any]


# A row of the table: what it adds to the plain training, as arguments of `train`.
CURES: dict[str, dict[str, Any]] = {
    "none": {},
    "early stopping": {"callbacks": [fastnn.EarlyStopping(patience=PATIENCE)]},
}


@dataclass(frozen=True)
class Outcome:
    """What a training led to; `wrong_learned` counts the wrong labels that the network gives as its answer."""

    history: fastnn.History
    training_accuracy: float
    test_accuracy: float
    test_loss: float
    wrong_learned: int

    @property
    def gap(self) -> float:
        """How much better it is on the samples that it was trained on."""
        return self.training_accuracy - self.test_accuracy


def parts() -> tuple[Part, Part, Part]:
    """Few digits to train on, some of them with a wrong label, others to validate, and those to test."""
    (x, t), test = fastnn.datasets.load_digits()
    rng = np.random.default_rng(0)
    labels = t[:SAMPLES].copy()
    labels[:MISLABELLED] = (labels[:MISLABELLED] + rng.integers(1, 10, MISLABELLED)) % 10
    end = SAMPLES + VALIDATION
    return (x[:SAMPLES], labels), (x[SAMPLES:end], t[SAMPLES:end]), test


def train(layers: Sequence[Layer] = LAYERS, **options: Any) -> Outcome:
    """Train and measure a network of these layers; the options go to `fit`, over the usual ones."""
    (x, t), validation, test = parts()
    usual = {"epochs": EPOCHS, "batch_size": 10, "optimizer": fastnn.SGD(lr=0.1), "validation_data": validation}
    network = fastnn.Network(layers, rng=0)
    history = network.fit(x, t, rng=0, progress=False, **{**usual, **options})
    wrong = round(MISLABELLED * network.accuracy(x[:MISLABELLED], t[:MISLABELLED]))
    return Outcome(history, network.accuracy(x, t), network.accuracy(*test), network.loss(*test), wrong)


def run(say: Callable[[str], None]) -> None:
    """Print what each cure does to the accuracies and the gap between them."""
    say(f"64-100-10 on {SAMPLES} digits, {MISLABELLED} of them with a wrong label; {VALIDATION} others to validate")
    say("gap: between the accuracies; wrong learned: wrong labels that it answers with\n")
    rows = []
    for name, options in CURES.items():
        found = train(**options)
        accuracies = (f"{found.training_accuracy:.4f}", f"{found.test_accuracy:.4f}", f"{found.gap:.4f}")
        figures = (*accuracies, f"{found.test_loss:.4f}", f"{found.wrong_learned}")
        rows.append((name, f"{found.history.epochs}", *figures))
    head = ("cure", "epochs", "training", "test", "gap", "test loss", "wrong learned")
    say(table(head, rows, text_columns=1))
    say(
        "\nWithout a cure the network learns every sample by heart, the wrong labels, too,\n"
        "and gets worse on others. Early stopping ends once the validation loss has not\n"
        f"fallen for {PATIENCE} epochs, and goes back to the epoch where it was least, before all\n"
        "of the wrong labels are learned."
    )
