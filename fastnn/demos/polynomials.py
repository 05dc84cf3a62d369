"""`fastnn demo polynomials`: polynomials of rising degree on few points, under-fitting, over-fitting, and a penalty."""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

SAMPLES, NOISE = 10, 0.3
DEGREES = (1, 3, 9)
PENALTIES = (0.0, 1e-5, 1e-3, 1.0)  # times the sum of the squares of all coefficients but w0


def curve(x: Array) -> Array:
    """The function that the points follow."""
    return np.asarray(np.sin(np.pi * x), np.float64)


def points(seed: int = 0) -> tuple[Array, Array]:
    """x (N,) evenly spread from -1 to 1, and noisy t (N,)."""
    x = np.linspace(-1.0, 1.0, SAMPLES)
    return x, curve(x) + NOISE * np.random.default_rng(seed).standard_normal(SAMPLES)


def without_noise() -> tuple[Array, Array]:
    """The curve between the points."""
    x = np.linspace(-1.0, 1.0, 401)
    return x, curve(x)


def powers(x: Array, degree: int) -> Array:
    """x, x^2, ... (N, degree)."""
    return np.column_stack([x**n for n in range(1, degree + 1)])


def fitted(x: Array, t: Array, degree: int, penalty: float = 0.0) -> Array:
    """w0, w1, ... (degree + 1,) with the least mean of (y - t)^2 and penalty."""
    features = powers(x, degree)
    mean_x, mean_t = features.mean(axis=0), t.mean()
    centred = features - mean_x
    rows = np.vstack([centred, np.sqrt(penalty * len(x)) * np.eye(degree)])
    w = np.linalg.lstsq(rows, np.concatenate([t - mean_t, np.zeros(degree)]), rcond=None)[0]
    return np.concatenate([[mean_t - mean_x @ w], w])


def value(w: Array, x: Array) -> Array:
    """The polynomial at x."""
    return np.asarray(w[0] + powers(x, len(w) - 1) @ w[1:], np.float64)


def error(w: Array, part: tuple[Array, Array]) -> float:
    """The root of the mean squared distance."""
    return fastnn.root_mean_squared_error(value(w, part[0])[:, None], part[1][:, None])


def fits(seed: int = 0) -> dict[tuple[int, float], Array]:
    """The coefficients, by degree and penalty."""
    part = points(seed)
    cases = [(degree, 0.0) for degree in DEGREES] + [(DEGREES[-1], penalty) for penalty in PENALTIES[1:]]
    return {case: fitted(*part, *case) for case in cases}


def name_of(degree: int, penalty: float) -> str:
    """The words for a fit."""
    return f"degree {degree}" + (f", penalty {penalty:g}" if penalty else "")


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the errors and the largest coefficient of each fit."""
    train, whole = points(seed), without_noise()
    say(f"{SAMPLES} points of t = sin(pi x) with noise of deviation {NOISE}")
    say("distance: root mean square; penalty: a factor times the sum of w1^2 to w9^2\n")
    rows = []
    for case, w in fits(seed).items():
        errors = (f"{error(w, train):.3f}", f"{error(w, whole):.3f}")
        rows.append([name_of(*case), *errors, f"{np.abs(w).max():.1f}"])
    say(table(("polynomial", "from the points", "from the curve", "largest w"), rows, text_columns=1))
    say(
        "\nA line is too simple for the points: under-fitting. Degree 9 has as many\n"
        "coefficients as there are points and goes through all of them, noise included:\n"
        "over-fitting, with large coefficients of both signs. A penalty on their squares\n"
        "keeps them small, and degree 9 behaves like a lower one; with too much of it the\n"
        "curve becomes flat. Weight decay does the same in networks."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The points and the polynomials, a panel each."""
    from fastnn.plots import panels

    found = fits(seed)
    train, whole = points(seed), without_noise()
    axes = panels.new(len(found), 3, (3.6, 3.2), managed=False)
    for ax, (case, w) in zip(axes, found.items(), strict=True):
        ax.grid(**panels.GRID)
        ax.plot(*whole, "--", color="0.4", label="sin($\\pi$x)")
        ax.plot(whole[0], value(w, whole[0]), color=panels.COLORS[1], label="polynomial")
        ax.plot(*train, "o", color=panels.COLORS[0], markersize=5, label="points")
        ax.set(xlabel="x", ylabel="y", ylim=(-1.8, 1.8))
        ax.set_title(f"{name_of(*case)}\n{error(w, whole):.2f} from the curve", fontsize="medium")
    axes[0].legend(loc="upper left", fontsize="small")
    return {"polynomials": axes[0]}
