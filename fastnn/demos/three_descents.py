"""`fastnn demo three-descents`: batch, stochastic and mini-batch descent on the same line fit."""

from collections.abc import Callable
from dataclasses import dataclass

import fastnn
from fastnn.demos import line_fit
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

EPOCHS, RATE = 20, 0.1
BATCH_SIZES = {"batch": None, "stochastic": 1, "mini-batch": 20}


@dataclass(frozen=True)
class Descent:
    """The end of one of the three: the line, its loss on all points, and its cost."""

    samples_per_update: int
    updates: int
    w: float
    b: float
    loss: float
    seconds: float


def descend(x: Array, t: Array, batch_size: int | None, seed: int = 0) -> Descent:
    """Train a network of one neuron without an activation, y = w x + b, from w = b = 0."""
    network = fastnn.Network([fastnn.Affine(1, 1, init="zeros")], loss="mean_squared_error", dtype="float64")
    optimizer = fastnn.SGD(lr=RATE)
    history = network.fit(x, t, epochs=EPOCHS, batch_size=batch_size, optimizer=optimizer, rng=seed, progress=False)
    size = len(x) if batch_size is None else batch_size
    w, b = network.params["W1"].item(), network.params["b1"].item()
    return Descent(size, EPOCHS * -(-len(x) // size), w, b, network.loss(x, t), sum(history.seconds))


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the cost and the end of each."""
    x, t = line_fit.points(seed)
    say(f"{line_fit.POINTS}\n{EPOCHS} epochs, lr {RATE}, from w = b = 0\n")
    rows = []
    for name, batch_size in BATCH_SIZES.items():
        found = descend(x, t, batch_size, seed)
        figures = (f"{found.w:.4f}", f"{found.b:.4f}", f"{found.loss:.5f}", f"{1e3 * found.seconds:.2f} ms")
        rows.append([name, f"{found.samples_per_update}", f"{found.updates:,}", *figures])
    w, b = line_fit.closed_form(x, t)
    rows.append(["least squares", "", "", f"{w:.4f}", f"{b:.4f}", f"{line_fit.loss(x, t, w, b):.5f}", ""])
    say(table(("descent", "samples an update", "updates", "w", "b", "loss", "time"), rows, text_columns=1))
    say(
        "\nAll three see each point equally often. The whole batch makes one update an\n"
        "epoch and has not arrived yet; with one point at a time, the noise of the last\n"
        "points moves the line about; mini-batches come nearest to least squares."
    )
