"""Pictures of the loss of a line over its slope and intercept."""

from typing import Any

import numpy as np

from fastnn.functional.surfaces import line_fit_losses
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.plots import contours, panels
from fastnn.plots.panels import COLORS, GRID, Axes


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
    ax = (given or panels.new(1, 1, (6.4, 4.8), projection=projection))[0]
    if kind == "3d":
        contours.draw_surface(ax, (w, b, losses))
        ax.set_zlabel("loss", labelpad=8)
    else:
        filled = ax.contourf(w, b, losses, levels=contours.levels_of(losses), **contours.color_scale(losses))
        ax.figure.colorbar(filled, ax=ax, label="loss", format="%.3g")
    if best is not None and w[0] <= best[0] <= w[-1] and b[0] <= best[1] <= b[-1]:
        place = (*best, float(line_fit_losses(x, t, [best[0]], [best[1]])[0, 0])) if kind == "3d" else best
        label = f"least squares: w = {best[0]:.3g}, b = {best[1]:.3g}"
        marked = {"color": COLORS[1], "markeredgecolor": "white", "markersize": 14, "label": label}
        ax.plot(*([value] for value in place), "*", **marked)
        ax.legend()
    ax.set(xlabel="w", ylabel="b", title=f"Mean of (w x + b - t)$^2$ / 2 over {x.size:,} points")
    return ax


@answers_slips
def line_fit_slices(x: Any, t: Any, *, at: Any = None, w: Any = None, b: Any = None, axes: Any = None) -> Array:
    """The loss of a line y = w x + b over b alone, and over w alone, by `fastnn.line_fit_losses`.

    Parameters
    ----------
    x, t : array (N,)
        The points.
    at : (w, b), optional
        The line whose w, and then whose b, is held; by default that of least squares.
    w, b : array, optional
        Slopes and intercepts, increasing; by default as for `line_fit_surface`.
    axes : sequence of two Axes, optional

    Returns
    -------
    array of Axes
        The loss over b, and over w.

    Raises
    ------
    TypeError, ValueError
        For anything but such arrays and Axes, and if at, w or b is left out where all x are the same.

    Examples
    --------
    >>> x, t = np.array([0.0, 1.0, 2.0]), np.array([3.0, 5.0, 7.0])  # of y = 2 x + 3
    >>> axes = fastnn.plots.line_fit_slices(x, t, w=np.linspace(1, 3), b=np.linspace(2, 4))
    >>> [ax.get_title() for ax in axes]
    ['w = 2', 'b = 3']
    """
    x = arrays.floats("x", x, ("N",), dtype="float64", rounding=True, finite=True)
    t = arrays.floats("t", t, x.shape, dtype="float64", rounding=True, finite=True)
    given = panels.given("axes", axes, 2)
    best, around = _least_squares(x, t)
    if best is None and (at is None or w is None or b is None):
        raise ValueError("x: expected at least two different values, got one; pass at, w and b to draw the loss there")
    held = np.array(best) if at is None else arrays.floats("at", at, (2,), dtype="float64", rounding=True, finite=True)
    w = around[0] if w is None else _increasing("w", w)
    b = around[1] if b is None else _increasing("b", b)
    over_b, over_w = line_fit_losses(x, t, held[:1], b)[0], line_fit_losses(x, t, w, held[1:])[:, 0]
    here = float(line_fit_losses(x, t, held[:1], held[1:])[0, 0])
    if not np.isfinite([*over_b, *over_w, here]).all():
        raise ValueError("t: expected losses that float64 holds, got infinity; scale the data, or w and b")
    drawn = given or panels.new(2, 2, (4.8, 3.8))
    for i, (ax, values, losses) in enumerate(zip(drawn, (b, w), (over_b, over_w), strict=True)):
        name, other = ("b", "w") if i == 0 else ("w", "b")
        ax.grid(**GRID)
        ax.plot(values, losses, color=COLORS[0], linewidth=2)
        style = {"color": COLORS[1], "markeredgecolor": "white", "markersize": 14}
        ax.plot([held[1 - i]], [here], "*", **style, label=f"{name} = {held[1 - i]:.3g}: loss {here:.3g}")
        ax.set(xlabel=name, ylabel="loss", title=f"{other} = {held[i]:.3g}")
        ax.legend(loc="upper center")
    return panels.as_array(drawn)


# --- helpers --------------------------------------------------------------------------------------------


def _increasing(name: str, value: Any) -> Array:
    found = arrays.floats(name, value, (name.upper(),), dtype="float64", rounding=True, finite=True)
    if found.size < 2 or not (np.diff(found) > 0).all():
        raise ValueError(f"{name}: expected at least two increasing numbers; pass some such as np.linspace(-1, 1, 200)")
    return found


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
