"""Functions of two variables as pictures: contours, and paths over them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.gate.arrays import Array
from fastnn.gradients import evaluation
from fastnn.plots.panels import COLORS, MARKERS, Axes

CELLS = 101  # of contours, in each direction
LEVELS = 15  # of contours
MARKED = 100  # steps at most whose points are marked
LEAST = 0.6  # the range of a variable, as a fraction of the other's: on one scale a picture is not too narrow
MARGIN = 0.15  # on each side, as a fraction of the drawing
MOST_UNEQUAL = 6.0  # the ratio of the ranges of two variables up to which both have one scale

Function = Callable[[Array], Any]
Bounds = list[tuple[float, float]]


def window(points: Array) -> Bounds:
    """Bounds around points (M, variables), with a margin; one that varies less gets LEAST of the other's."""
    lows, highs = points.min(axis=0), points.max(axis=0)
    spans = highs - lows
    widest = float(spans.max()) or max(1.0, float(np.abs(points).max()))
    room = MARGIN * spans + np.maximum(LEAST * widest - spans, 0.0) / 2
    return [(float(low), float(high)) for low, high in zip(lows - room, highs + room, strict=True)]


def values_at(f: Function, points: Array) -> Array:
    """f at points (M, variables), each a copy."""
    with np.errstate(all="ignore"):
        return np.array([evaluation.number(f(point.copy())) for point in points])


def grid_of(f: Function, within: Bounds) -> tuple[Array, Array, Array]:
    """Both variables and f (second variable, first variable)."""
    first, second = (np.linspace(low, high, CELLS) for low, high in within)
    points = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    return first, second, values_at(f, points).reshape(CELLS, CELLS)


def levels_of(values: Array) -> Array:
    """Levels spaced evenly on a parabola, all but the ends rounded; none where the values do not vary."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    levels = low + (high - low) * np.linspace(0.0, 1.0, LEVELS + 1) ** 2
    if not (np.diff(levels) > 0).all():
        return np.empty(0)
    rounded = np.array([low, *map(_rounded, levels[1:-1], np.diff(levels[1:]) / 2), high])
    return rounded if (np.diff(rounded) > 0).all() else levels


def _rounded(value: float, most: float) -> float:
    """A number rounded to the largest of 1, 2 and 5 times a power of ten that is at most another number above 0."""
    if most < np.finfo(np.float64).tiny:
        return value
    power = 10.0 ** math.floor(math.log10(most))
    unit = max(factor * power for factor in (1.0, 2.0, 5.0) if factor * power <= most * (1 + 1e-9))
    return float(f"{round(value / unit) * unit:.12g}")


def draw_contours(ax: Axes, grid: tuple[Array, Array, Array]) -> None:
    """Draw the contours of a grid, with numbers on some of them; none where the values do not vary."""
    first, second, values = grid
    levels = levels_of(values)
    if levels.size:
        style: dict[str, Any] = {"colors": "0.65", "linewidths": 0.8, "linestyles": "solid"}
        lines = ax.contour(first, second, np.ma.masked_invalid(values), levels=levels, **style)
        ax.clabel(lines, levels[3::3], fontsize=7, fmt="%.3g")


def color_scale(values: Array) -> dict[str, Any]:
    """The colors of values that are finite somewhere, more of them for low ones, as contours are nearer there."""
    from matplotlib.colors import PowerNorm

    return {"cmap": "viridis", "norm": PowerNorm(0.5, float(np.nanmin(values)), float(np.nanmax(values)))}


def draw_surface(ax: Axes, grid: tuple[Array, Array, Array]) -> None:
    """Draw the surface of a grid on 3d Axes, so that marks and paths over it are not behind its front."""
    first, second, values = grid
    height = np.where(np.isfinite(values), values, np.nan)
    if not np.isnan(height).all():
        style = {"alpha": 0.75, "rcount": 50, "ccount": 50, **color_scale(height)}
        ax.plot_surface(first[None], second[:, None], height, **style)
    ax.set_zlabel("f", labelpad=8)
    ax.computed_zorder = False


def draw_path(ax: Axes, path: Array, number: int, label: str, is_last: bool) -> None:
    """A path (M, 2), over a surface (M, 3), with its two ends; the last path names them in the legend."""
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    marker = marker if len(path) - 1 <= MARKED else ""
    ax.plot(*path.T, "-", marker=marker, markersize=3.5, linewidth=1.4, color=color, label=label)
    ends = (("o", "white", 9, "start"), ("*", color, 13, "end"))
    for place, (shape, face, size, name) in zip(path[[0, -1]], ends, strict=True):
        style = {"markerfacecolor": face, "markeredgecolor": color, "markersize": size, "zorder": 3}
        ax.plot(*place[:, None], shape, **style, label=name if is_last else None)


def set_range(ax: Axes, within: Bounds, is_flat: bool = True) -> None:
    """The range of two variables, if flat on one scale unless a picture would be too narrow: a circle is round."""
    spans = [high - low for low, high in within]
    ax.set(xlabel="$x_0$", ylabel="$x_1$", xlim=within[0], ylim=within[1])
    if is_flat and max(spans) <= MOST_UNEQUAL * min(spans):
        ax.set_aspect("equal", adjustable="box")


def free_corner(paths: list[Array], within: Bounds) -> str:
    """The corner that is farthest from all points of some paths; contours, which are everywhere, do not count."""
    lows, highs = np.array(within).T
    points = (np.concatenate(paths) - lows) / (highs - lows)
    corners = {"upper right": (1, 1), "upper left": (0, 1), "lower right": (1, 0), "lower left": (0, 0)}
    return max(corners, key=lambda name: float(np.hypot(*(points - corners[name]).T).min()))
