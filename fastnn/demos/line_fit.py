"""`fastnn demo line-fit`: a line fitted to noisy points by gradient descent, and its path over the loss surface."""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

SLOPE, INTERCEPT, NOISE, SAMPLES = 2.0, 3.0, 0.5, 200  # of the points: t = 2 x + 3 and normally distributed noise
POINTS = f"{SAMPLES} points of t = {SLOPE:g} x + {INTERCEPT:g} with noise of deviation {NOISE:g}"
START, RATE, UPDATES = (-1.0, 0.0), 0.2, 100
SLOPES, INTERCEPTS = np.arange(-1.0, 4.5, 1.0), np.arange(0.0, 4.5, 0.5)  # of the loss surface


def points(seed: int = 0) -> tuple[Array, Array]:
    """x (N, 1) between -1 and 1, and t (N, 1)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.0, 1.0, (SAMPLES, 1))
    return x, SLOPE * x + INTERCEPT + NOISE * rng.standard_normal(x.shape)


def closed_form(x: Array, t: Array) -> tuple[float, float]:
    """The w and b of least squares."""
    (w, b), *_ = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), t[:, 0], rcond=None)
    return float(w), float(b)


def loss(x: Array, t: Array, w: float, b: float) -> float:
    """Half the mean squared distance of w x + b from t."""
    return float(fastnn.mean_squared_error(w * x + b, t)[0])


def descend(x: Array, t: Array) -> Array:
    """The path (updates + 1, 2) of w and b."""

    def gradient(p: Array) -> Array:
        dy = fastnn.mean_squared_error(p[0] * x + p[1], t)[1]
        return np.array([np.sum(dy * x), np.sum(dy)])

    return fastnn.gradient_descent(lambda p: loss(x, t, *p), START, lr=RATE, step_num=UPDATES, gradient=gradient)[1]


def surface(x: Array, t: Array, path: Array) -> str:
    """The loss over w (rows) and b (columns); an asterisk marks the entries nearest to the path."""
    visited = {(int(np.abs(SLOPES - w).argmin()), int(np.abs(INTERCEPTS - b).argmin())) for w, b in path}
    rows = [
        [f"{w:.1f}", *(f"{loss(x, t, w, b):.2f}{'*' if (i, j) in visited else ' '}" for j, b in enumerate(INTERCEPTS))]
        for i, w in enumerate(SLOPES)
    ]
    return table(("w \\ b", *(f"{b:.1f} " for b in INTERCEPTS)), rows)


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the path, the least squares beside it, and the loss surface."""
    x, t = points(seed)
    path = descend(x, t)
    say(f"{POINTS}\nlr {RATE}, all points in each update\n")
    rows = [[str(n), f"{w:.4f}", f"{b:.4f}", f"{loss(x, t, w, b):.4f}"] for n, (w, b) in enumerate(path)]
    w, b = closed_form(x, t)
    rows = [rows[n] for n in (0, 1, 2, 5, 10, 20, 50, 100)]
    rows.append(["least squares", f"{w:.4f}", f"{b:.4f}", f"{loss(x, t, w, b):.4f}"])
    say(table(("updates", "w", "b", "loss"), rows, text_columns=1))
    say("\nloss over w and b; * marks the way of the descent")
    say(surface(x, t, path))
    say(
        "\nThe surface is a bowl whose minimum is the line of least squares. It is steeper\n"
        "in b than in w: the descent first finds the height of the line, then its slope."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The loss over w and b with the path, as contours and as a surface, and over each alone."""
    from fastnn.plots import panels

    x, t = points(seed)
    path = descend(x, t)
    heights = [loss(x, t, *p) for p in path]
    w, b = np.linspace(-1.5, 5.0, 100), np.linspace(-0.5, 6.0, 100)
    drawn = {}
    for kind, projection, path_columns in (("contour", None, path.T), ("3d", "3d", (*path.T, heights))):
        ax = panels.new(1, 1, (6.4, 4.8), projection=projection, managed=False)[0]
        fastnn.plots.line_fit_surface(x[:, 0], t[:, 0], w=w, b=b, kind=kind, ax=ax)
        ax.plot(*path_columns, "o-", color=panels.COLORS[4], markersize=3, zorder=1.5, label="descent")
        ax.legend()
        drawn[f"line-fit-{kind}"] = ax
    axes = panels.new(2, 2, (4.8, 3.8), managed=False)
    ranges = {"w": np.linspace(1.0, 3.0), "b": np.linspace(2.0, 4.0)}
    fastnn.plots.line_fit_slices(x[:, 0], t[:, 0], at=(SLOPE, INTERCEPT), **ranges, axes=axes)
    return {**drawn, "line-fit-slices": axes[0]}
