"""Pictures of functions: activations, descents, the loss of a line."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.errors import TrainingDivergedError
from fastnn.functional.layers import activation_backward, activation_forward
from fastnn.functional.surfaces import line_fit_losses
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.checks import shown
from fastnn.gate.slips import answers_slips
from fastnn.gradients import descent
from fastnn.operations import ACTIVATIONS
from fastnn.plots import contours, panels
from fastnn.plots.contours import Bounds, Function
from fastnn.plots.panels import COLORS, GRID, Axes

OF_ONE_NUMBER = [name for name, kind in ACTIVATIONS.items() if kind.takes_elements]
POINTS = 401  # of a curve
FAR = 1e6  # times its start: a descent that reaches it has diverged


@answers_slips
def activations(names: Sequence[str] | None = None, *, axes: Any = None) -> Array:
    """Activations with their derivatives from -5 to 5, a panel each.

    Parameters
    ----------
    names : sequence of str, optional
        The ones to draw; by default all but softmax, which is not a function of one number. Slope and alpha are the
        defaults of `fastnn.activation_forward`.
    axes : sequence of Axes, optional
        One for each name.

    Returns
    -------
    array of Axes

    Raises
    ------
    TypeError, ValueError
        For an unknown name, and for anything but one Axes for each name.

    Examples
    --------
    >>> axes = fastnn.plots.activations(["relu", "tanh", "gelu"])
    >>> [ax.get_title() for ax in axes]
    ['relu', 'tanh', 'gelu']
    >>> axes[0].figure.savefig("activations.png")
    """
    if not isinstance(names, str | Sequence | None):
        raise TypeError(f"names: expected names of activations, got {shown(names)}; pass a list such as ['relu']")
    names = [names] if isinstance(names, str) else OF_ONE_NUMBER if names is None else list(names)
    names = [arrays.choice(f"names[{i}]", name, OF_ONE_NUMBER) for i, name in enumerate(names)]
    if not names:
        raise ValueError("names: expected at least one activation, got none; leave it out for all of them")
    given = panels.given("axes", axes, len(names))
    x = np.linspace(-5.0, 5.0, POINTS)
    drawn = given or panels.new(len(names), 5, (2.5, 2.3))
    for i, (ax, name) in enumerate(zip(drawn, names, strict=True)):
        y = activation_forward(name, x)
        ax.grid(**GRID)
        ax.plot(x, y, color=COLORS[0], linewidth=2, label="y = f(x)")
        ax.plot(x, activation_backward(name, np.ones_like(x), x, y), "--", color=COLORS[1], label="dy/dx")
        row = ACTIVATIONS[name]
        ax.set_title(f"{name} ({row.option} {getattr(row, row.option):g})" if row.option else name)
        ax.set(xlabel="x", ylabel="y, dy/dx")
        if i == 0:
            ax.legend()
    return panels.as_array(drawn)


@answers_slips
def descent_paths(
    f: Function, paths: Any, *, bounds: Any = None, ax: Any = None, labels: Sequence[str] | None = None
) -> Axes:
    """Contours of a function of two variables, with the paths of descents over them.

    Parameters
    ----------
    f : callable
        Takes x (2,) and returns a number, as for `fastnn.gradient_descent`; called for 101 x 101 points. There are no
        contours where it is not finite.
    paths : array (steps + 1, 2), or list of such arrays
        The second result of `fastnn.gradient_descent`.
    bounds : ((low, high), (low, high)), optional
        The range of both variables; by default that of the paths and a margin.
    ax : Axes, optional
    labels : sequence of str, optional
        One for each path; by default "path 1", ... if there are several.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        For anything but such a function, paths, bounds, labels and Axes.

    Examples
    --------
    >>> def bowl(x):
    ...     return x[0] ** 2 / 20 + x[1] ** 2
    >>> paths = [fastnn.gradient_descent(bowl, [-7.0, 2.0], lr=lr, step_num=20)[1] for lr in (0.1, 0.9)]
    >>> ax = fastnn.plots.descent_paths(bowl, paths, labels=["lr 0.1", "lr 0.9"])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['lr 0.1', 'lr 0.9', 'start', 'end']
    """
    f, given = arrays.function("f", f), panels.given("ax", ax)
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
    ax = (given or panels.new(1, 1, (6.4, 4.8)))[0]
    contours.draw_contours(ax, grid)
    for i, path in enumerate(checked):
        contours.draw_path(ax, path, i, labels[i] if labels else "descent", i == len(checked) - 1)
    contours.set_range(ax, within)
    ax.legend(loc=contours.free_corner(checked, within))
    ax.set_title("Descent over the contours of f")
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


@answers_slips
def line_fit_surface(x: Any, t: Any, *, w: Any = None, b: Any = None, kind: str = "contour", ax: Any = None) -> Axes:
    """The loss of a line y = w x + b over slopes and intercepts, by `fastnn.line_fit_losses`.

    Parameters
    ----------
    x, t : array (N,)
        The points.
    w, b : array, optional
        Slopes and intercepts, increasing. By default 200 around the least squares solution, a fifth farther than the
        contour through w = b = 0.
    kind : "contour" or "3d"
    ax : Axes, optional
        For "3d" one made with projection="3d".

    Returns
    -------
    Axes
        Its axes are w and b, so that a path can be drawn over it.

    Raises
    ------
    TypeError, ValueError
        For anything but such arrays and Axes, and if w or b is left out where all x are the same.

    Examples
    --------
    >>> x, t = np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0])
    >>> ax = fastnn.plots.line_fit_surface(x, t)
    >>> lines = ax.plot([0.0, 1.0, 2.0], [0.0, 0.5, 1.0])  # a path of (w, b) over it
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('w', 'b')
    """
    x = arrays.floats("x", x, ("N",), dtype="float64", rounding=True, finite=True)
    t = arrays.floats("t", t, x.shape, dtype="float64", rounding=True, finite=True)
    kind = arrays.choice("kind", kind, ("contour", "3d"))
    projection = "3d" if kind == "3d" else None
    given = panels.given("ax", ax, 1, projection or "rectilinear")
    best, around = _least_squares(x, t)
    if best is None and (w is None or b is None):
        raise ValueError("x: expected at least two different values, got one; pass w and b to draw the loss there")
    w = around[0] if w is None else _increasing("w", w)
    b = around[1] if b is None else _increasing("b", b)
    losses = line_fit_losses(x, t, w, b).T
    if not np.isfinite(losses).all():
        raise ValueError("t: expected losses that float64 holds, got infinity; scale the data, or w and b")
    from matplotlib.colors import PowerNorm

    ax = (given or panels.new(1, 1, (6.4, 4.8), projection=projection))[0]
    levels = contours.levels_of(losses)
    colors: dict[str, Any] = {"cmap": "viridis", "norm": PowerNorm(0.5, *levels[[0, -1]])}
    if kind == "3d":
        ax.plot_surface(w[None], b[:, None], losses, alpha=0.75, rcount=50, ccount=50, **colors)
        ax.set_zlabel("loss", labelpad=8)
        ax.computed_zorder = False  # marks and paths over the surface, not behind its front
    else:
        filled = ax.contourf(w, b, losses, levels=levels, **colors)
        ax.figure.colorbar(filled, ax=ax, label="loss", format="%.3g")
    if best is not None and w[0] <= best[0] <= w[-1] and b[0] <= best[1] <= b[-1]:
        place = (*best, float(line_fit_losses(x, t, [best[0]], [best[1]])[0, 0])) if kind == "3d" else best
        label = f"least squares: w = {best[0]:.3g}, b = {best[1]:.3g}"
        marked = {"color": COLORS[1], "markeredgecolor": "white", "markersize": 14, "label": label}
        ax.plot(*([value] for value in place), "*", **marked)
        ax.legend()
    ax.set(xlabel="w", ylabel="b", title=f"Mean of (w x + b - t)$^2$ / 2 over {x.size:,} points")
    return ax


# --- helpers --------------------------------------------------------------------------------------------


def _path(name: str, value: Any) -> Array:
    return arrays.floats(name, value, ("steps + 1", 2), dtype="float64", rounding=True, finite=True)


def _bounds(value: Any) -> Bounds:
    found = arrays.floats("bounds", value, (2, 2), dtype="float64", rounding=True, finite=True)
    if not (found[:, 0] < found[:, 1]).all():
        raise ValueError(f"bounds: expected ((low, high), (low, high)), got {found.tolist()}; low must be below high")
    return [(float(low), float(high)) for low, high in found]


def _increasing(name: str, value: Any) -> Array:
    found = arrays.floats(name, value, (name.upper(),), dtype="float64", rounding=True, finite=True)
    if found.size < 2 or not (np.diff(found) > 0).all():
        raise ValueError(f"{name}: expected at least two increasing numbers; pass some such as np.linspace(-1, 1, 200)")
    return found


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


def _least_squares(x: Array, t: Array) -> tuple[tuple[float, float] | None, tuple[Array, Array]]:
    """(w, b) of the least loss, None where all x are the same, and 200 values of each around them.

    With H = ((mean x^2, mean x), (mean x, 1)) the loss is the least loss plus d H d^T / 2 at the distance d: the
    contour through w = b = 0 reaches sqrt(2 (loss there - least) H^-1[i, i]) to both sides.
    """
    if x.min() == x.max():
        return None, (np.empty(0), np.empty(0))
    with np.errstate(all="ignore"):  # an overflow shows in the losses
        variance = float(x.var())
        slope = float(((x - x.mean()) * (t - t.mean())).mean()) / variance
        intercept = float(t.mean() - slope * x.mean())
        excess = float(((slope * x + intercept) ** 2).mean()) or 1.0
        reach = 1.2 * np.sqrt(excess * np.array([1.0, np.mean(x**2)]) / variance)
        w, b = (np.linspace(m - r, m + r, 200) for m, r in zip((slope, intercept), reach, strict=True))
    return (slope, intercept), (w, b)
