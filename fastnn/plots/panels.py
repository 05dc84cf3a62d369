"""Shared by all pictures: matplotlib itself, panels to draw on, colors and markers."""

import importlib
import math
from typing import Any

import numpy as np

from fastnn.gate.arrays import Array
from fastnn.gate.checks import shown

# For people who cannot tell red from green (Wong, Nature Methods 8, 441, 2011); without black and yellow.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "os^DvP*X<>"
GRID = {"color": "0.9", "linewidth": 0.8}

Axes = Any  # matplotlib's, which need not be installed


def require_matplotlib() -> None:
    """Import matplotlib.

    Raises ImportError if it is not installed; the message says how to install it.
    """
    try:
        importlib.import_module("matplotlib")
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":  # it is installed, but lacks something itself
            raise
        remedy = 'run pip install "fastnn-kernels[plot]", or pip install "matplotlib>=3.9"'
        raise ImportError(f"matplotlib: expected it for pictures, got none; {remedy}") from error


def given(name: str, value: Any, count: int | None = 1, projection: str | None = None) -> list[Axes]:
    """The Axes that the user passed, or an empty list for None; requires matplotlib in any case.

    count: the number required; any if None.
    projection: the kind required.
    Raises ImportError without matplotlib; TypeError, ValueError for anything but so many Axes of this kind.
    """
    require_matplotlib()
    from matplotlib.axes import Axes as MatplotlibAxes

    if value is None:
        return []
    wanted = "Axes" if count == 1 else f"a sequence of {'' if count is None else f'{count} '}Axes"
    remedy = "pass what pyplot.subplots or Figure.subplots returns"
    is_sequence = isinstance(value, list | tuple | np.ndarray)
    found = list(np.ravel(np.array(value, dtype=object))) if is_sequence else [value]
    for one in found:
        if not isinstance(one, MatplotlibAxes):
            raise TypeError(f"{name}: expected {wanted} of matplotlib, got {shown(one)}; {remedy}")
        if projection is not None and one.name != projection:
            came = f"{one.name} ones; make them by add_subplot(projection={projection!r})"
            raise ValueError(f"{name}: expected {projection} Axes, got {came}")
    if not found or (count is not None and len(found) != count):
        raise ValueError(f"{name}: expected {wanted}, got {len(found)}; {remedy}")
    return found


def new(
    count: int, columns: int, size: tuple[float, float], *, projection: str | None = None, managed: bool = True
) -> list[Axes]:
    """`count` panels, row by row, in a new figure.

    columns: panels in a row.
    size: width and height of a panel, in inches.
    managed: whether the figure is pyplot's.
    """
    require_matplotlib()
    rows = -(-count // columns)
    options: Any = {"figsize": (size[0] * min(columns, count), size[1] * rows), "layout": "constrained"}
    figure: Any
    if managed:
        from matplotlib import pyplot

        figure = pyplot.figure(**options)
    else:
        from matplotlib.figure import Figure

        figure = Figure(**options)
    places = range(1, count + 1)
    return [figure.add_subplot(rows, min(columns, count), place, projection=projection) for place in places]


def of_weights(pictures: Array, given: list[Axes], kind: str, name: str, title: str) -> Array:
    """Weights (count, rows, columns) of the parameter `name` as pictures that share one color scale, white at 0.

    NaN is left blank. kind: what each picture shows, in its title; title: that of a new figure.
    """
    count, rows, columns = pictures.shape
    in_a_row = min(count, max(4, math.ceil(math.sqrt(1.6 * count))))
    width = max(1.15, 4.0 / in_a_row)
    drawn = given or new(count, in_a_row, (width, max(1.2, width * rows / columns) + 0.2))
    largest = float(np.nanmax(np.abs(pictures))) or 1.0
    for number, (picture, ax) in enumerate(zip(pictures, drawn, strict=False)):
        image = ax.imshow(picture, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
        ax.set_title(f"{kind} {number}", fontsize=8)
        ax.set_xticks([])
        ax.set_yticks([])
    if not given:
        drawn[0].figure.suptitle(title)
    drawn[0].figure.colorbar(image, ax=drawn, label=f"weight in {name}")
    return as_array(drawn)


def as_array(axes: list[Axes]) -> Array:
    """Axes as an array of objects, as matplotlib itself returns several."""
    found: Array = np.array(axes, dtype=object)
    return found
