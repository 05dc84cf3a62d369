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


def accuracies_of(seed: int = 0) -> tuple[list[tuple[int, int, float]], tuple[int, int, float]]:
    """How many samples each fold trains and tests, with its accuracy; and the same of the hold-out split."""
    (x, t), _ = fastnn.datasets.load_digits(test_fraction=0)
    splits = [*fastnn.datasets.k_fold(x, t, FOLDS, rng=seed)]
    splits.append(fastnn.datasets.train_test_split(x, t, HELD_OUT, rng=seed))
    *folds, held_out = [(len(train[0]), len(test[0]), accuracy(train, test, seed)) for train, test in splits]
    return folds, held_out


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the accuracy of each fold, their mean and spread, and the accuracy of the hold-out split."""
    folds, held_out = accuracies_of(seed)
    total = sum(tested for _, tested, _ in folds)
    say(f"{total:,} digits, 64-{HIDDEN}-10, {EPOCHS} epochs; columns standardized on the training part")
    accuracies = [found for *_, found in folds]
    named = {**{f"fold {n}": fold for n, fold in enumerate(folds, start=1)}, "hold-out": held_out}
    *rows, last = [(name, f"{a:,}", f"{b:,}", f"{found:.4f}") for name, (a, b, found) in named.items()]
    mean, spread = np.mean(accuracies), np.std(accuracies, ddof=1)
    rows += [("mean of the folds", "", "", f"{mean:.4f}"), ("standard deviation", "", "", f"{spread:.4f}"), last]
    say(table(("part", "trained on", "tested on", "accuracy"), rows, text_columns=1))
    say(
        f"\nA fold's accuracy depends on which samples it tests: from {min(accuracies):.4f} to {max(accuracies):.4f}.\n"
        "A hold-out split is one such draw and does not say how far it may be off; the\n"
        "folds do, and each sample is tested once."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The accuracy of each fold, their mean and standard deviation, and the hold-out split."""
    from fastnn.plots import panels

    folds, held_out = accuracies_of(seed)
    accuracies = np.array([found for *_, found in folds])
    mean, spread = float(accuracies.mean()), float(accuracies.std(ddof=1))
    ax = panels.new(1, 1, (6.4, 4.8), managed=False)[0]
    ax.axhspan(mean - spread, mean + spread, color=panels.COLORS[0], alpha=0.15, label="standard deviation")
    ax.axhline(mean, color=panels.COLORS[0], linestyle="--", label=f"mean of the folds, {mean:.3f}")
    ax.plot(range(FOLDS), accuracies, "o", color=panels.COLORS[0], label="folds")
    ax.plot([FOLDS], [held_out[-1]], "s", color=panels.COLORS[1], label="hold-out split")
    ax.set_xticks(range(FOLDS + 1), [*(f"fold {n}" for n in range(1, FOLDS + 1)), "hold-out"])
    ax.grid(**panels.GRID)
    ax.set(ylabel="accuracy", title=f"Accuracy on the part left out, {FOLDS} folds")
    ax.legend()
    return {"k-fold": ax}
