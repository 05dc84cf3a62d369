"""`fastnn demo learning-rates`: the same descent on x^2 with four learning rates, side by side."""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.descent import SMALL, parabola
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

START, UPDATES, SHOWN = 1.2, 50, 12
# The behavior of each: an update multiplies x by 1 - 2 lr.
RATES = {1.0: "oscillates", 0.8: "oscillates towards 0", 0.4: "converges fast", 0.1: "converges slowly"}


def paths() -> dict[float, Array]:
    """The positions (updates + 1,) of each learning rate."""
    return {lr: fastnn.gradient_descent(parabola, [START], lr=lr, step_num=UPDATES)[1][:, 0] for lr in RATES}


def updates_needed(path: Array) -> int | None:
    """After how many updates x^2 is below SMALL for the first time; None if it never is."""
    below = np.flatnonzero(path**2 < SMALL)
    return int(below[0]) if below.size else None


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print x after each update, and the updates that each learning rate needs."""
    found = paths()
    say(f"x on J(x) = x^2 from {START}")
    rows = [[str(n), *(f"{path[n]:.5f}" for path in found.values())] for n in range(SHOWN + 1)]
    say(table(("updates", *(f"lr {lr}" for lr in found)), rows))
    say("")
    rows = []
    for lr, path in found.items():
        needed = updates_needed(path)
        rows.append([f"{lr}", RATES[lr], f"{1 - 2 * lr:.1f}", f"not in {UPDATES}" if needed is None else str(needed)])
    say(table(("lr", "what it does", "factor of x", "updates until J < 0.01"), rows, text_columns=2))
    say(
        "\nAn update multiplies x by 1 - 2 lr. Below 0 it jumps over the minimum, at -1\n"
        "back and forth forever; the nearer the factor is to 0, the faster it arrives."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """A panel for each learning rate."""
    from fastnn.plots import panels

    axes = panels.new(len(RATES), 2, (5.0, 3.75), managed=False)
    fastnn.plots.learning_rates(parabola, START, tuple(RATES), step_num=SHOWN, axes=axes)
    return {"learning-rates": axes[0]}
