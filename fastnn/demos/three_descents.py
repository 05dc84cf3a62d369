"""`fastnn demo three-descents`: batch, stochastic and mini-batch descent on the same line fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastnn
from fastnn.demos import line_fit
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

EPOCHS, RATE = 20, 0.1
BATCH_SIZES = {"batch": None, "stochastic": 1, "mini-batch": 20}


@dataclass(frozen=True)
class Descent:
    """The way and the end of one of the three: w and b before and after each update, the loss, and the cost."""

    path: Array  # (updates + 1, 2)
    samples_per_update: int
    loss: float
    seconds: float

    @property
    def updates(self) -> int:
        """How many it made."""
        return len(self.path) - 1

    @property
    def w(self) -> float:
        """The slope at the end."""
        return float(self.path[-1, 0])

    @property
    def b(self) -> float:
        """The intercept at the end."""
        return float(self.path[-1, 1])


class Path:
    """A callback that keeps w and b after each update."""

    def __init__(self, network: fastnn.Network) -> None:
        self.points: list[tuple[float, float]] = []
        self.after_batch(network, None)

    def after_batch(self, network: fastnn.Network, _: Any) -> None:
        """Called by `fit`."""
        self.points.append((network.params["W1"].item(), network.params["b1"].item()))


def descend(x: Array, t: Array, batch_size: int | None, seed: int = 0) -> Descent:
    """Train a network of one neuron without an activation, y = w x + b, from w = b = 0."""
    network = fastnn.Network([fastnn.Affine(1, 1, init="zeros")], loss="mean_squared_error", dtype="float64")
    path, optimizer = Path(network), fastnn.SGD(lr=RATE)
    options: dict[str, Any] = {"epochs": EPOCHS, "batch_size": batch_size, "optimizer": optimizer}
    history = network.fit(x, t, rng=seed, progress=False, callbacks=[path], **options)
    size = len(x) if batch_size is None else batch_size
    return Descent(np.array(path.points), size, network.loss(x, t), sum(history.seconds))


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


def pictures(seed: int = 0) -> dict[str, Any]:
    """The three paths over the contours of the loss on all points, and their losses by epoch."""
    from fastnn.plots import panels

    x, t = line_fit.points(seed)
    found = {name: descend(x, t, size, seed) for name, size in BATCH_SIZES.items()}
    best = np.array(line_fit.closed_form(x, t))
    axes = panels.new(len(found) + 1, 2, (5.0, 4.2), managed=False)
    bounds = ((-0.3, 2.8), (-0.3, 3.7))
    for i, (ax, (name, descent)) in enumerate(zip(axes, found.items(), strict=False)):
        fastnn.plots.descent_paths(lambda p: line_fit.loss(x, t, *p), descent.path, bounds=bounds, ax=ax)
        for line in ax.lines:
            line.set(color=panels.COLORS[i], markeredgecolor=panels.COLORS[i])
        ax.lines[2].set(markerfacecolor=panels.COLORS[i], markeredgecolor="white")
        ax.plot(*best, "x", color="black", label="least squares")
        ax.set(xlabel="w", ylabel="b", title=f"{name}: {descent.updates:,} updates of {descent.samples_per_update}")
        ax.legend(loc="lower right", fontsize="small")
        by_epoch = descent.path[:: descent.updates // EPOCHS]
        losses = [line_fit.loss(x, t, *p) for p in by_epoch]
        axes[-1].semilogy(losses, marker=panels.MARKERS[i], color=panels.COLORS[i], markersize=5, label=name)
    axes[-1].axhline(line_fit.loss(x, t, *best), color="0.4", linestyle="--", label="least squares")
    axes[-1].grid(**panels.GRID)
    axes[-1].set(xlabel="epoch", ylabel="loss on all points", title="Loss by epoch")
    axes[-1].set_xticks(range(0, EPOCHS + 1, 5))
    ticks = (0.1, 0.2, 0.5, 1, 2, 5)
    axes[-1].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[-1].minorticks_off()
    axes[-1].legend()
    return {"three-descents": axes[0]}
