"""Pictures of functions: activations, and the cross-entropy of one probability."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.functional.layers import activation_backward, activation_forward
from fastnn.functional.losses import log_loss as log_loss_of
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.checks import shown
from fastnn.gate.slips import answers_slips
from fastnn.operations import ACTIVATIONS
from fastnn.plots import panels
from fastnn.plots.panels import COLORS, GRID, Axes

OF_ONE_NUMBER = [name for name, kind in ACTIVATIONS.items() if kind.takes_elements]
POINTS = 401  # of a curve


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
def log_loss(outputs: Any = None, *, ax: Any = None) -> Axes:
    """The cross-entropy of one probability a by `fastnn.log_loss`: -ln a for target 1, and -ln(1 - a) for target 0.

    Parameters
    ----------
    outputs : sequence of float, optional
        Probabilities above 0, at most 1, to mark with their loss for target 1.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        For anything but such probabilities and Axes.

    Examples
    --------
    >>> ax = fastnn.plots.log_loss([0.6, 0.7])
    >>> [text.get_text() for text in ax.texts]
    ['0.51', '0.36']
    """
    marked = np.empty(0)
    if outputs is not None:
        marked = arrays.floats("outputs", outputs, ("M",), dtype="float64", rounding=True, finite=True)
    wrong = marked[(marked <= 0.0) | (marked > 1.0)]
    if wrong.size:
        raise ValueError(f"outputs: expected probabilities above 0 and at most 1, got {wrong[0]:g}; leave it out")
    given = panels.given("ax", ax)
    ax = (given or panels.new(1, 1, (6.4, 4.8)))[0]
    a = np.linspace(0.0, 1.0, POINTS + 2)[1:-1]
    ax.grid(**GRID)
    ax.plot(a, _log_losses(a, 1.0), color=COLORS[0], linewidth=2, label="target 1: -ln a")
    ax.plot(a, _log_losses(a, 0.0), "--", color=COLORS[1], linewidth=2, label="target 0: -ln(1 - a)")
    ax.plot(marked, _log_losses(marked, 1.0), "o", color=COLORS[0])
    for place, loss in zip(marked, _log_losses(marked, 1.0), strict=True):
        ax.annotate(f"{loss:.2f}", (place, loss), xytext=(4, 4), textcoords="offset points")
    ax.set(xlabel="probability a", ylabel="loss", xlim=(0, 1), ylim=(0, max([5.0, *_log_losses(marked, 1.0) + 0.5])))
    ax.set_title("Cross-entropy of one probability")
    ax.legend(loc="upper center")
    return ax


def _log_losses(a: Array, target: float) -> Array:
    """The loss of each probability (M,)."""
    if not a.size:
        return a
    losses: Array = log_loss_of(a[:, None], np.full((a.size, 1), target), reduction="none", gradient=False)
    return losses
