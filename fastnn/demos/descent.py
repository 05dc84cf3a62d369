"""`fastnn demo descent`: gradient descent on three functions, beside the values in courses and textbooks."""

import math
from collections.abc import Callable
from typing import Any

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

SMALL = 0.01  # a loss below it ends the descent
# Expected values, by the number of updates.
PARABOLA = {1: "0.48", 2: "0.192", 3: "0.0768", 4: "0.03072"}
VALLEY = {1: "(2.4, 0.909070, 6.382415)", 15: "(0.105553, 0.063481, 0.015166)", 16: "(0.084442, 0.050819, 0.009711)"}
BOWL = {100: "(-6.11e-10, 8.15e-10)"}


def parabola(x: Array) -> float:
    """J(x) = x^2."""
    return float(x[0] ** 2)


def valley(v: Array) -> float:
    """J(x, y) = x^2 + sin^2 y."""
    return float(v[0] ** 2 + math.sin(v[1]) ** 2)


def bowl(x: Array) -> float:
    """f(x0, x1) = x0^2 + x1^2."""
    return float(x[0] ** 2 + x[1] ** 2)


def paths() -> tuple[Array, Array, Array]:
    """The positions of the three descents, (updates + 1, variables)."""
    _, first = fastnn.gradient_descent(parabola, [1.2], lr=0.3, step_num=4)
    _, second = fastnn.gradient_descent(valley, [3.0, 1.0], lr=0.1, stop=lambda v: valley(v) < SMALL)
    _, third = fastnn.gradient_descent(bowl, [-3.0, 4.0], lr=0.1, step_num=100)
    return first, second, third


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the three descents."""
    first, second, third = paths()
    say("J(x) = x^2 from 1.2, lr 0.3")
    rows = [[str(n), f"{x[0]:.6g}", f"{parabola(x):.6f}", PARABOLA.get(n, "")] for n, x in enumerate(first)]
    say(table(("updates", "x", "J", "expected x"), rows))
    reached = next(n for n, x in enumerate(first) if parabola(x) < SMALL)
    say(f"J < {SMALL} after {reached} updates; the published list has one more, and so has this one.")
    say("\nJ(x, y) = x^2 + sin^2 y from (3, 1), lr 0.1, until J < 0.01")
    rows = [[str(n), *(f"{value:.6f}" for value in (*v, valley(v))), VALLEY.get(n, "")] for n, v in enumerate(second)]
    say(table(("updates", "x", "y", "J", "expected (x, y, J)"), rows))
    say("\nf(x0, x1) = x0^2 + x1^2 from (-3, 4), lr 0.1, 100 updates")
    shown = (0, 1, 2, 5, 10, 20, 50, 100)
    rows = [[str(n), *(f"{value:.3g}" for value in (*third[n], bowl(third[n]))), BOWL.get(n, "")] for n in shown]
    say(table(("updates", "x0", "x1", "f", "expected (x0, x1)"), rows))
    say(
        "\nEach update goes lr times the numerical gradient downhill, so the steps become\n"
        "shorter as the slope becomes flatter: on a square by the same factor each time."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The two descents in two variables, over contours, and the first over its surface from two sides."""
    from fastnn.plots import panels

    _, second, third = paths()
    axes = panels.new(2, 2, (6.4, 4.8), managed=False)
    fastnn.plots.descent_paths(valley, second, ax=axes[0])
    axes[0].set(xlabel="x", ylabel="y", title="$x^2 + \\sin^2 y$, lr 0.1")
    fastnn.plots.descent_paths(bowl, third, ax=axes[1])
    axes[1].set_title("$x_0^2 + x_1^2$, lr 0.1")
    views = panels.new(2, 2, (4.4, 4.0), projection="3d", managed=False)
    for ax, azimuth in zip(views, (-60, -125), strict=True):
        fastnn.plots.descent_paths(valley, second, bounds=((-3.2, 3.2), (-2.0, 2.0)), kind="3d", ax=ax)
        ax.view_init(elev=35, azim=azimuth)
        ax.set(xlabel="x", ylabel="y", zlabel="J", title="$x^2 + \\sin^2 y$, lr 0.1")
    return {"descent": axes[0], "descent-3d": views[0]}
