"""`fastnn demo multi-task`: few labels, and what a second task on the same hidden layer adds to them."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

HIDDEN, PER_DIGIT, SEEDS, RATE = 100, 5, 10, 0.01
LABELED = 10 * PER_DIGIT
STEPS, EPOCHS, BATCH_SIZE = 300, 30, 100
SHARE = 0.1  # the weight of the reconstructed pixels
# The rows of the table: the second head, and whether all digits have its target or the labeled ones alone.
TASKS: dict[str, tuple[str | None, bool]] = {
    "none": (None, False),
    "odd or even, of the same 50": ("odd", False),
    "odd or even, of all": ("odd", True),
    "the pixels, of all": ("pixels", True),
}


def labeled(t: Array, seed: int) -> Array:
    """True for five digits of each class, chosen at random; all others have no label."""
    order = np.random.default_rng(seed).permutation(len(t))
    known = np.zeros(len(t), bool)
    for digit in range(10):
        known[order[t[order] == digit][:PER_DIGIT]] = True
    return known


def new_model(second: str | None, seed: int = 0) -> fastnn.models.MultiTask:
    """A hidden layer, a head that names the digit, and perhaps a second head."""
    rng = np.random.default_rng(seed)
    trunk = fastnn.Network([fastnn.Affine(64, HIDDEN), fastnn.Relu()], rng=rng)
    heads = {"digit": fastnn.Network([fastnn.Affine(HIDDEN, 10)], rng=rng)}
    if second == "odd":
        heads["odd"] = fastnn.Network([fastnn.Affine(HIDDEN, 2)], rng=rng)
    if second == "pixels":
        heads["pixels"] = fastnn.Network([fastnn.Affine(HIDDEN, 64)], loss="mean_squared_error", rng=rng)
    return fastnn.models.MultiTask(trunk, heads, weights={"pixels": SHARE} if second == "pixels" else None)


def train(name: str, seed: int = 0) -> tuple[fastnn.models.MultiTask, fastnn.History]:
    """A trained model and its history."""
    second, of_all = TASKS[name]
    (x, t), _ = fastnn.datasets.load_digits()
    known, model = labeled(t, seed), new_model(second, seed)
    targets = {"digit": t, "odd": t % 2, "pixels": x}
    some = slice(None) if of_all else known  # others have no target at all
    history = model.fit(
        x[some],
        {head: targets[head][some] for head in model.heads},
        epochs=EPOCHS if of_all else STEPS,
        batch_size=BATCH_SIZE,
        optimizer=fastnn.Adam(lr=RATE),
        mask={"digit": known} if of_all else None,
        rng=seed,
        progress=False,
    )
    return model, history


@functools.lru_cache(maxsize=1)
def accuracies(seed: int = 0) -> dict[str, Array]:
    """The accuracy on the test digits for each row and seed."""
    _, (x, t) = fastnn.datasets.load_digits()
    return {
        name: np.array([train(name, seed + n)[0].accuracy(x, {"digit": t})["digit"] for n in range(SEEDS)])
        for name in TASKS
    }


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the accuracy with each second task, and what it gains."""
    (x, _), (x_test, _) = fastnn.datasets.load_digits()
    say(f"64-{HIDDEN}-10, {LABELED} labels for {len(x):,} digits; a second head shares the hidden layer")
    say(f"accuracy on {len(x_test)} other digits, mean of {SEEDS} seeds, which choose labels and weights")
    say("gain: over no second task, seed by seed; error: the standard error of its mean\n")
    found, rows = accuracies(seed), []
    for name, values in found.items():
        gains = values - found["none"]
        error = gains.std(ddof=1) / np.sqrt(SEEDS)
        rows.append([name, f"{values.mean():.4f}", f"{gains.mean():+.4f}", f"{error:.4f}"])
    say(table(("second task", "accuracy", "gain", "error"), rows, text_columns=1))
    say(
        "\nA second task helps by what it knows beyond the first. Whether a digit is odd\n"
        "follows from its label: for the same 50 samples it says nothing new, and the\n"
        "gain is hardly larger than its error. Known for all samples, it shapes the\n"
        "hidden layer by the other digits, too. To bring back the pixels takes no labels\n"
        "at all, but most of what it asks for tells no digits apart: it is of little use\n"
        "here, or does harm."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The gains of each seed, and the losses of two heads by epoch."""
    from fastnn.plots import panels

    first, second = panels.new(2, 2, (5.2, 4.2), managed=False)
    found = accuracies(seed)
    names = [name for name in TASKS if name != "none"]
    for place, name in enumerate(names):
        gains = found[name] - found["none"]
        style = {"color": panels.COLORS[place], "marker": panels.MARKERS[place]}
        first.scatter(np.linspace(place - 0.15, place + 0.15, SEEDS), gains, alpha=0.6, **style)
        error = gains.std(ddof=1) / np.sqrt(SEEDS)
        first.errorbar(place + 0.3, gains.mean(), error, capsize=5, markeredgecolor="black", **style)
    first.grid(**panels.GRID)
    first.set_axisbelow(True)
    first.axhline(0.0, color="0.4", linewidth=1)
    first.set_xticks(range(len(names)), [name.replace(", ", "\n") for name in names])
    first.set(xlim=(-0.4, len(names) - 0.4), ylabel="gain in accuracy")
    first.set_title(f"{SEEDS} seeds, their mean and its standard error", fontsize="medium")
    history = train("odd or even, of all", seed)[1]
    epochs = range(1, EPOCHS + 1)
    for place, (name, label) in enumerate((("digit", f"digit, {LABELED} labels"), ("odd", "odd, all samples"))):
        second.plot(epochs, getattr(history, f"{name}_loss"), color=panels.COLORS[place], label=label)
    second.grid(**panels.GRID)
    second.set(xlabel="epoch", ylabel="loss", ylim=(0.0, None))
    second.set_title("The losses of both heads", fontsize="medium")
    second.legend()
    return {"multi-task": first}
