"""Pictures of what happens through the layers of a network: their outputs, and the gradients by depth."""

from typing import Any

import numpy as np

from fastnn.engine import observation
from fastnn.gate.arrays import Array
from fastnn.gate.checks import shown
from fastnn.gate.slips import answers_slips
from fastnn.operations.base import Activation
from fastnn.operations.prelu import PRelu
from fastnn.plots import panels
from fastnn.plots.panels import COLORS, GRID, Axes

BINS = 30


@answers_slips
def layer_outputs(net: Any, x: Any, *, axes: Any = None) -> Array:
    """Histograms of the outputs of each hidden activation, first to last, of all samples and units.

    Outputs that gather at the ends of a sigmoid or tanh are saturated; if all gather at one value, units do not differ.

    Parameters
    ----------
    net : Network
        With at least one activation; a last one counts, too.
    x : array (N, inputs)
        Samples.
    axes : sequence of Axes, optional
        One for each activation.

    Returns
    -------
    array of Axes

    Raises
    ------
    TypeError, ValueError
        For anything but such a network, samples and Axes.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(4, 9), fastnn.Tanh(), fastnn.Affine(9, 9), fastnn.Tanh()], rng=0)
    >>> axes = fastnn.plots.layer_outputs(net, np.random.default_rng(0).standard_normal((50, 4)))
    >>> [ax.get_title().splitlines()[0] for ax in axes]
    ['layer 2: Tanh', 'layer 4: Tanh']
    """
    _require_network(net)
    places = [i for i, layer in enumerate(net.engine.given_layers) if isinstance(layer, Activation | PRelu)]
    if not places:
        came = ", ".join(map(str, net.engine.given_layers))
        raise ValueError(f"net: expected a network with activations, got {came}; add one such as Relu()")
    given = panels.given("axes", axes, len(places))
    found = net.outputs_of_layers(x)
    if not len(found[0]):
        raise ValueError("x: expected at least one sample, got none; pass some")
    drawn = given or panels.new(len(places), 6, (2.3, 2.2))
    for ax, place in zip(drawn, places, strict=True):
        y = np.asarray(found[place], np.float64).ravel()
        ax.hist(y, BINS, weights=np.full(y.size, 100.0 / y.size), color=COLORS[0])
        name = type(net.engine.given_layers[place]).__name__
        ax.set_title(f"layer {place + 1}: {name}\nmean {y.mean():.2g}, deviation {y.std():.2g}", fontsize="small")
        ax.set(xlabel="output", ylabel="% of outputs")
        ax.tick_params(labelsize="small")
    return panels.as_array(drawn)


@answers_slips
def gradient_sizes(net: Any, x: Any, t: Any, *, ax: Any = None) -> Axes:
    """The root mean square of the gradient by each weight matrix, first to last, on a logarithmic scale.

    Where it falls steeply towards the first layers, they hardly learn: the gradient vanishes.

    Parameters
    ----------
    net : Network
    x, t : array
        Samples and their targets, as for `Network.gradient`.
    ax : Axes, optional

    Returns
    -------
    Axes
        A gradient of 0 is left out, and named in the title.

    Raises
    ------
    TypeError, ValueError
        For anything but a network with such weights, data for it, and Axes.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(4, 9), fastnn.Sigmoid(), fastnn.Affine(9, 2)], rng=0)
    >>> ax = fastnn.plots.gradient_sizes(net, np.eye(4), [0, 1, 0, 1])
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['W1', 'W2']
    """
    _require_network(net)
    given = panels.given("ax", ax)
    sizes = {name: _root_mean_square(g) for name, g in net.gradient(x, t).items() if np.ndim(g) >= 2}
    if not sizes:
        came = ", ".join(map(str, net.engine.given_layers))
        raise ValueError(f"net: expected a layer with weights, got {came}; add one such as Affine(4, 3)")
    ax = (given or panels.new(1, 1, (6.4, 4.8)))[0]
    values = np.array(list(sizes.values()))
    ax.grid(**GRID)
    ax.plot(np.arange(len(sizes)), np.where(values > 0.0, values, np.nan), "o-", color=COLORS[0])
    ax.set_yscale("log")
    ax.set_xticks(np.arange(len(sizes)), list(sizes))
    ax.set(xlabel="weights", ylabel="root mean square of the gradient")
    zero = ", ".join(name for name, size in sizes.items() if size == 0.0)
    ax.set_title("Size of the gradient by depth" + (f"\n0: {zero}" if zero else ""))
    return ax


# --- helpers --------------------------------------------------------------------------------------------


def _require_network(net: Any) -> None:
    if not observation.is_network(net):
        raise TypeError(f"net: expected a fastnn.Network, got {shown(net)}; pass one")


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
