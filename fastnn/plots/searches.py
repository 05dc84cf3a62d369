"""The picture of a grid search."""

from typing import Any

import numpy as np

from fastnn.gate.checks import shown
from fastnn.gate.slips import answers_slips
from fastnn.plots import panels
from fastnn.plots.panels import COLORS, GRID, Axes
from fastnn.validation.grid_search import GridSearch

WIDE = 20.0  # the ratio of the largest value to the lowest from which the axis is logarithmic


@answers_slips
def grid_search(search: GridSearch, *, ax: Any = None) -> Axes:
    """The mean loss for each value of a grid search, with a bar of one standard error to either side.

    Numbers that differ 20-fold and more stand on a logarithmic axis, on which 0 has a place of its own at the left end;
    other values than numbers stand side by side. A dashed line is one standard error above the lowest loss.

    Parameters
    ----------
    search : GridSearch
        As `fastnn.grid_search` returns it.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        For anything but a search and Axes.

    Examples
    --------
    >>> def network(l2, rng):
    ...     return fastnn.Network([fastnn.Affine(2, 2)], regularization=fastnn.Regularization(l2=l2), rng=rng)
    >>> x, t = np.array([[-1.0, 0.0], [1.0, 0.0]] * 10), np.array([0, 1] * 10)
    >>> search = fastnn.grid_search(network, [0.001, 0.1, 1.0], x, t, rng=0, epochs=5)
    >>> fastnn.plots.grid_search(search).get_xscale()
    'log'
    """
    if not isinstance(search, GridSearch):
        raise TypeError(f"search: expected a GridSearch, got {shown(search)}; pass what fastnn.grid_search returns")
    ax = (panels.given("ax", ax) or panels.new(1, 1, (6.4, 4.8)))[0]
    places = _places(search.values, ax)
    known = np.isfinite(search.mean_loss)
    order = np.argsort(places)
    order = order[known[order]]
    errors = np.nan_to_num(search.standard_error)
    ax.grid(**GRID)
    ax.errorbar(
        places[order], search.mean_loss[order], errors[order], marker="o", capsize=3, color=COLORS[0], label="mean loss"
    )
    best = search.best_index
    label = f"lowest, {_text(search.best)}"
    ax.plot(places[best], search.mean_loss[best], "o", markersize=10, color=COLORS[1], label=label)
    limit = search.mean_loss[best] + errors[best]
    ax.axhline(limit, linestyle="--", color=COLORS[1], linewidth=1, label="one standard error above")
    ax.set(xlabel="value", ylabel="loss on the test parts", title="Loss by value, cross-validated")
    ax.legend()
    return ax


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _places(values: tuple[Any, ...], ax: Axes) -> Any:
    """Where values stand on the x-axis, which gets its scale and ticks."""
    is_number = [isinstance(one, int | float | np.number) and not isinstance(one, bool) for one in values]
    if not all(is_number) or not np.isfinite(np.array(values, np.float64)).all():
        ax.set_xticks(range(len(values)), [str(one) for one in values])
        return np.arange(len(values), dtype=np.float64)
    places = np.array(values, np.float64)
    above = places[places > 0.0]
    if (places < 0.0).any() or not len(above) or above.max() < WIDE * above.min():
        return places
    ax.set_xscale("log")
    if len(above) == len(places):
        return places
    zero = above.min() / 10.0  # a place of its own
    ticks = np.unique(above) if len(np.unique(above)) <= 8 else np.array([above.min(), above.max()])
    ax.set_xticks([zero, *ticks], ["0", *(f"{one:.3g}" for one in ticks)])
    ax.minorticks_off()
    return np.where(places > 0.0, places, zero)
