"""Pictures of descents: their paths over contours or a surface, and the same descent at several learning rates."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.checks import shown
from fastnn.gate.slips import answers_slips
from fastnn.gradients import descent
from fastnn.plots import contours, panels
from fastnn.plots.contours import Bounds, Function
from fastnn.plots.panels import GRID, Axes

POINTS = 401  # of a curve
FAR = 1e6  # times its start: a descent that reaches it has diverged


@answers_slips
def descent_paths(
    f: Function,
    paths: Any,
    *,
    bounds: Any = None,
    ax: Any = None,
    labels: Sequence[str] | None = None,
    kind: str = "contour",
) -> Axes:
    """Contours of a function of two variables, or its surface, with the paths of descents over them.

    Parameters
    ----------
    f : callable
        Takes x (2,) and returns a number, as for `fastnn.gradient_descent`; called for 101 x 101 points. There is
        nothing drawn where it is not finite.
    paths : array (steps + 1, 2), or list of such arrays
        The second result of `fastnn.gradient_descent`.
    bounds : ((low, high), (low, high)), optional
        The range of both variables; by default that of the paths and a margin.
    ax : Axes, optional
        For "3d" one made with projection="3d".
    labels : sequence of str, optional
        One for each path; by default "path 1", ... if there are several.
    kind : "contour" or "3d"
        `ax.view_init(elev, azim)` turns a surface.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        For anything but such a function, paths, bounds, labels, kind and Axes.

    Examples
    --------
    >>> def bowl(x):
    ...     return x[0] ** 2 / 20 + x[1] ** 2
    >>> paths = [fastnn.gradient_descent(bowl, [-7.0, 2.0], lr=lr, step_num=20)[1] for lr in (0.1, 0.9)]
    >>> ax = fastnn.plots.descent_paths(bowl, paths, labels=["lr 0.1", "lr 0.9"])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['lr 0.1', 'lr 0.9', 'start', 'end']
    """
    f, kind = arrays.function("f", f), arrays.choice("kind", kind, ("contour", "3d"))
    projection = "3d" if kind == "3d" else None
    given = panels.given("ax", ax, 1, projection or "rectilinear")
    is_list = isinstance(paths, list | tuple)
    # A list of points is a path, like an array of them.
    single = np.ndim(paths[0]) == 1 if is_list and len(paths) else np.ndim(paths) == 2 and not is_list
    expected = "paths: expected an array (steps + 1, 2) or a list of such arrays"
    if is_list and len(paths) and np.ndim(paths[0]) == 0:
        raise TypeError(f"{expected}, got one point or less; pass the second of what gradient_descent returns")
    if not single and not (isinstance(paths, list | tuple | np.ndarray) and len(paths)):
        raise TypeError(f"{expected}; pass [path, ...]")
    checked = [_path("paths" if single else f"paths[{i}]", path) for i, path in enumerate([paths] if single else paths)]
    if labels is None:
        labels = [] if len(checked) == 1 else [f"path {i}" for i in range(1, len(checked) + 1)]
    elif not isinstance(labels, list | tuple) or len(labels) != len(checked):
        came = str(len(labels)) if isinstance(labels, list | tuple) else shown(labels)
        raise ValueError(f"labels: expected one for each of the {len(checked)} paths, got {came}; pass a list")
    within = contours.window(np.concatenate(checked)) if bounds is None else _bounds(bounds)
    grid = contours.grid_of(f, within)
    ax = (given or panels.new(1, 1, (6.4, 4.8), projection=projection))[0]
    drawn = checked
    if kind == "3d":
        contours.draw_surface(ax, grid)
        drawn = [np.column_stack([path, contours.values_at(f, path)]) for path in checked]
    else:
        contours.draw_contours(ax, grid)
    for i, path in enumerate(drawn):
        contours.draw_path(ax, path, i, labels[i] if labels else "descent", i == len(drawn) - 1)
    contours.set_range(ax, within, is_flat=kind == "contour")
    ax.legend(loc=contours.free_corner(checked, within) if kind == "contour" else "upper left")
    ax.set_title(f"Descent over the {'surface' if kind == '3d' else 'contours'} of f")
    return ax


@answers_slips
def learning_rates(
    f: Function, init_x: Any, rates: Sequence[float] = (1.0, 0.8, 0.4, 0.1), *, step_num: int = 20, axes: Any = None
) -> Array:
    """The same descent at several learning rates, a panel each, by `fastnn.gradient_descent`.

    All panels show the same part of f, up to as far above the start as the descents get below it. A descent that
    diverges leaves the picture, and its title says so.

    Parameters
    ----------
    f : callable
        As for `fastnn.gradient_descent`, of one variable (called with an array of 1) or two.
    init_x : float, or array (1,) or (2,)
        Where to start.
    rates : sequence of float
        Learning rates, above 0.
    step_num : int
        Steps of each descent.
    axes : sequence of Axes, optional
        One for each rate.

    Returns
    -------
    array of Axes

    Raises
    ------
    TypeError, ValueError
        For anything but such a function, start, rates and Axes.

    Examples
    --------
    >>> axes = fastnn.plots.learning_rates(lambda x: x[0] ** 2, 1.0, (1.1, 0.1))
    >>> [ax.get_title().splitlines()[0] for ax in axes]
    ['learning rate 1.1', 'learning rate 0.1']
    """
    f, given_rates = arrays.function("f", f), arrays.floats("rates", rates, ("R",), dtype="float64", rounding=True)
    steps = [arrays.real(f"rates[{i}]", float(rate), above=0.0) for i, rate in enumerate(given_rates)]
    given = panels.given("axes", axes, len(steps))
    step_num = arrays.integer("step_num", step_num, minimum=1)
    start = init_x if isinstance(init_x, list | tuple | np.ndarray) else [init_x]
    start = arrays.floats("init_x", start, ("variables",), dtype="float64", rounding=True, finite=True)
    if start.size > 2:
        raise ValueError(f"init_x: expected one or two variables, got {start.size}; only these can be drawn")
    if not np.isfinite(contours.values_at(f, start[None])).all():
        raise ValueError(f"init_x: expected a start where f is finite, got {start.tolist()}; start elsewhere")
    paths = [_descend(f, start, rate, step_num) for rate in steps]
    heights = [contours.values_at(f, path) for path in paths]
    visible = _near_start(heights)
    within = contours.window(np.concatenate([path[near] for path, near in zip(paths, visible, strict=True)]))
    if start.size == 2:
        grid = contours.grid_of(f, within)
    else:
        line = np.linspace(*within[0], POINTS)
        curve = contours.values_at(f, line[:, None])
        reached = [height[near] for height, near in zip(heights, visible, strict=True)]
        limits = contours.window(np.array([np.nanmin(curve), *map(np.min, reached), *map(np.max, reached)])[:, None])[0]
    drawn = given or panels.new(len(steps), 4, (3.2, 3.2))
    for ax, rate, path, height in zip(drawn, steps, paths, heights, strict=True):
        if start.size == 2:
            contours.draw_contours(ax, grid)
            contours.draw_path(ax, path, 0, "descent", True)
            contours.set_range(ax, within)
        else:
            ax.grid(**GRID)
            ax.plot(line, curve, color="0.4", label="f")
            contours.draw_path(ax, np.column_stack([path, height]), 0, "descent", True)
            ax.set(xlabel="x", ylabel="f(x)", xlim=within[0], ylim=limits)
        ax.set_title(f"learning rate {rate:g}\n{_outcome(height, step_num)}", fontsize="medium")
    drawn[-1].legend(fontsize="small", loc=contours.free_corner(paths[-1:], within) if start.size == 2 else "best")
    return panels.as_array(drawn)


# --- helpers --------------------------------------------------------------------------------------------


def _path(name: str, value: Any) -> Array:
    return arrays.floats(name, value, ("steps + 1", 2), dtype="float64", rounding=True, finite=True)


def _bounds(value: Any) -> Bounds:
    found = arrays.floats("bounds", value, (2, 2), dtype="float64", rounding=True, finite=True)
    if not (found[:, 0] < found[:, 1]).all():
        raise ValueError(f"bounds: expected ((low, high), (low, high)), got {found.tolist()}; low must be below high")
    return [(float(low), float(high)) for low, high in found]


def _descend(f: Function, start: Array, rate: float, step_num: int) -> Array:
    """The path of a descent (steps + 1, variables), up to where it leaves for infinity."""
    path = [start]
    limit = FAR * max(1.0, float(np.abs(start).max()))
    with np.errstate(all="ignore"):
        while len(path) <= step_num and np.abs(path[-1]).max() <= limit:
            try:
                path.append(descent.gradient_descent(f, path[-1], rate, 1)[0])
            except TrainingDivergedError:
                break
    return np.array(path)


def _near_start(heights: list[Array]) -> list[Array]:
    """Which positions to show: the ones at most as far above the start as the descents get below it.

    If all leave at once, their first step is shown.
    """
    start = float(heights[0][0])
    limit = start + (start - min(float(np.nanmin(height)) for height in heights)) + _slack(start)
    near = [height <= limit for height in heights]
    if sum(int(one.sum()) for one in near) == len(near):
        return [np.arange(height.size) < 2 for height in heights]
    return near


def _outcome(height: Array, step_num: int) -> str:
    """The outcome of a descent, in a few words."""
    steps = height.size - 1
    after = f"f = {height[-1]:.3g} after {steps} step{'s' * (steps != 1)}"
    return after if steps == step_num and height[-1] <= height[0] + _slack(height[0]) else f"diverges: {after}"


def _slack(height: float) -> float:
    """How much higher still counts as equal: the gradient is numerical."""
    return 1e-6 * max(1.0, abs(float(height)))
