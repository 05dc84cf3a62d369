"""`fastnn demo k-fold`: cross-validation of a network on the digits, beside a single hold-out split."""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table

FOLDS, HELD_OUT = 5, 0.2
HIDDEN, EPOCHS, BATCH_SIZE, RATE = 30, 20, 32, 0.1

Part = tuple[Any, Any]


def accuracy(train: Part, test: Part, seed: int = 0) -> float:
    """Train a network on one part, and measure it on the other; both are scaled by the training part's statistics."""
    scale = fastnn.datasets.Standardize().fit(train[0])
    network = fastnn.Network([fastnn.Affine(64, HIDDEN), fastnn.Relu(), fastnn.Affine(HIDDEN, 10)], rng=seed)
    x, optimizer = scale.transform(train[0]), fastnn.SGD(lr=RATE)
    network.fit(x, train[1], epochs=EPOCHS, batch_size=BATCH_SIZE, optimizer=optimizer, rng=seed, progress=False)
    return network.accuracy(scale.transform(test[0]), test[1])


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the accuracy of each fold, their mean and spread, and the accuracy of the hold-out split."""
    (x, t), _ = fastnn.datasets.load_digits(test_fraction=0)
    say(f"{len(x):,} digits, 64-{HIDDEN}-10, {EPOCHS} epochs; columns standardized on the training part")
    rows, accuracies = [], []
    for fold, (train, test) in enumerate(fastnn.datasets.k_fold(x, t, FOLDS, rng=seed), start=1):
        accuracies.append(accuracy(train, test, seed))
        rows.append((f"fold {fold}", f"{len(train[0]):,}", f"{len(test[0]):,}", f"{accuracies[-1]:.4f}"))
    train, test = fastnn.datasets.train_test_split(x, t, HELD_OUT, rng=seed)
    held_out = ("hold-out", f"{len(train[0]):,}", f"{len(test[0]):,}", f"{accuracy(train, test, seed):.4f}")
    mean, spread = np.mean(accuracies), np.std(accuracies, ddof=1)
    rows += [("mean of the folds", "", "", f"{mean:.4f}"), ("standard deviation", "", "", f"{spread:.4f}"), held_out]
    say(table(("part", "trained on", "tested on", "accuracy"), rows, text_columns=1))
    say(
        f"\nA fold's accuracy depends on which samples it tests: from {min(accuracies):.4f} to {max(accuracies):.4f}.\n"
        "A hold-out split is one such draw and does not say how far it may be off; the\n"
        "folds do, and each sample is tested once."
    )
