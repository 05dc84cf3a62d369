"""`fastnn demo stationary-points`: where a descent stops without being at the least: saddle, plateau, local minimum."""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

UPDATES, NOISE, TRIALS = 200, 0.05, 20
SHOWN = 3.2  # how far the pictures reach
Function = Callable[[Array], float]


def saddle(v: Array) -> float:
    """x^2 - y^2 + y^4 / 4: minima at y = -1.41 and 1.41, a saddle between them."""
    return float(v[0] ** 2 - v[1] ** 2 + v[1] ** 4 / 4)


def plateau(v: Array) -> float:
    """1 - exp(-(x^2 + y^2) / 2): nearly flat far from its minimum at 0."""
    return float(1.0 - np.exp(-(v[0] ** 2 + v[1] ** 2) / 2))


def two_valleys(v: Array) -> float:
    """x^4 / 4 - x^2 + 0.3 x + y^2: a local minimum at x = 1.33, the global at -1.48."""
    return float(v[0] ** 4 / 4 - v[0] ** 2 + 0.3 * v[0] + v[1] ** 2)


# name: (function, start, learning rate, its least value)
POINTS: dict[str, tuple[Function, tuple[float, float], float, float]] = {
    "saddle": (saddle, (1.2, 0.0), 0.1, -1.0),
    "plateau": (plateau, (-2.7, 2.7), 0.1, 0.0),
    "local minimum": (two_valleys, (2.0, 1.0), 0.1, -1.4350),
}


def descend(name: str, noise: float = 0.0, momentum: float = 0.0, seed: int = 0) -> Array:
    """The path (updates + 1, 2); the noise is added to each gradient, as by the draw of a mini-batch."""
    f, start, rate, _ = POINTS[name]
    rng, x, speed = np.random.default_rng(seed), np.array(start), np.zeros(2)
    path = [x]
    for _ in range(UPDATES):
        gradient = fastnn.numerical_gradient(f, x) + noise * rng.standard_normal(2)
        speed = momentum * speed - rate * gradient
        x = x + speed
        path.append(x)
    return np.array(path)


def restarted(name: str, seed: int = 0) -> Array:
    """The path of the best descent from several random starts."""
    f, *_, rate, _ = POINTS[name]
    starts = np.random.default_rng(seed).uniform(-2.5, 2.5, (TRIALS, 2))
    paths = [fastnn.gradient_descent(f, start, lr=rate, step_num=UPDATES)[1] for start in starts]
    return min(paths, key=lambda path: f(path[-1]))


def descents(name: str, seed: int = 0) -> dict[str, Array]:
    """The paths of a plain descent and of the ways out."""
    return {
        "plain": descend(name),
        "noisy gradient": descend(name, noise=NOISE, seed=seed),
        "momentum 0.9": descend(name, momentum=0.9),
        "random restarts": restarted(name, seed),
    }


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print where each descent ends."""
    say(f"{UPDATES} updates; noise of deviation {NOISE} in each gradient; the best of {TRIALS} starts\n")
    for name, (f, start, rate, least) in POINTS.items():
        assert f.__doc__ is not None
        say(f"{name}, from {start}, lr {rate}\n{f.__doc__}")
        rows = []
        for way, path in descents(name, seed).items():
            size = float(np.linalg.norm(fastnn.numerical_gradient(f, path[-1])))
            rows.append([way, f"({path[-1][0]:.3f}, {path[-1][1]:.3f})", f"{f(path[-1]):.4f}", f"{size:.1e}"])
        rows.append(["least", "", f"{least:.4f}", ""])
        say(table(("descent", "ends at", "f", "size of gradient"), rows, text_columns=1))
        say("")
    say(
        "A plain descent stops where the gradient is 0. On the ridge of the saddle that\n"
        "is the saddle itself; any noise, as mini-batches have, pushes it off. On the\n"
        "plateau the gradient is so small that it hardly moves; momentum adds up many\n"
        "small steps. Out of a deep local minimum no small noise leads, and momentum\n"
        "only by luck: there other starts help."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The paths over the contours, a panel for each function."""
    from fastnn.plots import panels

    axes = panels.new(len(POINTS), len(POINTS), (4.2, 4.6), managed=False)
    for ax, (name, (f, *_)) in zip(axes, POINTS.items(), strict=True):
        found = descents(name, seed)
        paths = {way: found[way] for way in ("momentum 0.9", "noisy gradient", "plain")}  # the shortest above
        bounds = ((-SHOWN, SHOWN), (-SHOWN, SHOWN))
        fastnn.plots.descent_paths(f, list(paths.values()), bounds=bounds, labels=list(paths), ax=ax)
        ax.set_title(name)
        ax.set(xlabel="x", ylabel="y")
        if name != "plateau":  # whose corner is empty
            ax.get_legend().remove()
    return {"stationary-points": axes[0]}
