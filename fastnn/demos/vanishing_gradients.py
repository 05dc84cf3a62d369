"""`fastnn demo vanishing-gradients`: how outputs and gradients change through 11 hidden layers, before training.

Sources: Glorot and Bengio (2010), He et al. (2015).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array
from fastnn.layers import Layer

DEPTH, WIDTH, DIGITS = 11, 100, 200


@dataclass(frozen=True)
class Start:
    """An activation and the initial weights before it; an `init` of a number is their standard deviation."""

    activation: Callable[[], Layer]
    init: str | float


STARTS = {
    "sigmoid, deviation 1": Start(fastnn.Sigmoid, 1.0),
    "sigmoid, xavier": Start(fastnn.Sigmoid, "xavier"),
    "tanh, xavier": Start(fastnn.Tanh, "xavier"),
    "relu, deviation 0.01": Start(fastnn.Relu, 0.01),
    "relu, he": Start(fastnn.Relu, "he"),
}


def digits() -> tuple[Array, Array]:
    """Standardized digits (N, 64) and labels (N,)."""
    (x, t), _ = fastnn.datasets.load_digits()
    return fastnn.datasets.Standardize().fit(x).transform(x)[:DIGITS], t[:DIGITS]


def new_network(start: Start, seed: int = 0) -> fastnn.Network:
    """64 inputs, DEPTH hidden layers of WIDTH, 10 outputs."""
    layers: list[Layer] = []
    for inputs in (64, *[WIDTH] * (DEPTH - 1)):
        layers += [fastnn.Affine(inputs, WIDTH, init=start.init), start.activation()]
    return fastnn.Network([*layers, fastnn.Affine(WIDTH, 10)], rng=seed)


def outputs(network: fastnn.Network, x: Array) -> list[Array]:
    """The outputs (N, WIDTH) of each hidden layer, after its activation."""
    return network.outputs_of_layers(x)[1:-1:2]


def gradient_sizes(network: fastnn.Network, x: Array, t: Array) -> Array:
    """The root mean square of the gradient by each W, first to last."""
    found = network.gradient(x, t)
    return np.array([np.sqrt(np.mean(np.square(found[f"W{n}"], dtype=np.float64))) for n in range(1, DEPTH + 2)])


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the spread of the outputs and the size of the gradient by layer."""
    x, t = digits()
    networks = {name: new_network(start, seed) for name, start in STARTS.items()}
    shown = (1, 2, 4, 6, 8, 10, DEPTH)
    say(f"64-{WIDTH} (x {DEPTH})-10, {DIGITS} digits, before training\nhe, xavier: weights for the width of a layer\n")
    say("standard deviation of the outputs of hidden layer")
    rows = [[name, *(f"{outputs(net, x)[n - 1].std():.2g}" for n in shown)] for name, net in networks.items()]
    say(table(("activation, weights", *map(str, shown)), rows, text_columns=1))
    say("\nsize of the gradient (root mean square) by W of layer")
    sizes = {name: gradient_sizes(net, x, t) for name, net in networks.items()}
    rows = [[name, *(f"{size[n - 1]:.0e}" for n in shown)] for name, size in sizes.items()]
    say(table(("activation, weights", *map(str, shown)), rows, text_columns=1))
    say("\ngradient by the first W over the one by the last")
    for name, size in sizes.items():
        say(f"  {name:<20}  {size[0] / size[-1]:.1e}")
    say(
        "\nGoing back through a layer multiplies the gradient by its weights and by the\n"
        "slope of its activation. A sigmoid's slope is at most 1/4: in eleven layers the\n"
        "gradient vanishes, and the first layers do not learn. Larger weights undo a part\n"
        "of that, but then most outputs are near 0 and 1: saturated. Tanh has slope 1 at\n"
        "0, ReLU wherever it is active; with weights for the width of a layer, outputs\n"
        "and gradients nearly keep their size, with small ones both vanish."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The outputs of the hidden layers as histograms, and the gradients by depth."""
    from fastnn.plots import panels

    x, t = digits()
    networks = {name: new_network(start, seed) for name, start in STARTS.items()}
    axes = panels.new(len(networks) * DEPTH, DEPTH, (1.15, 1.4), managed=False)
    for row, (name, network) in enumerate(networks.items()):
        for column, y in enumerate(outputs(network, x)):
            ax = axes[row * DEPTH + column]
            low, high = -1.0 if "tanh" in name else 0.0, 3.0 if "relu" in name else 1.0
            ax.hist(y.ravel(), 20, range=(low, high), weights=np.full(y.size, 100.0 / y.size), color=panels.COLORS[row])
            ax.set(ylim=(0, 100), yticks=[0, 50, 100], xticks=[low, high])
            ax.tick_params(labelsize=7, labelleft=column == 0)
            if row == 0:
                ax.set_title(f"layer {column + 1}", fontsize=8)
        axes[row * DEPTH].set_ylabel(f"{name.replace(', ', chr(10))}\n% of outputs", fontsize=8)
    axes[0].figure.suptitle("Outputs of the hidden layers before training")
    ax = panels.new(1, 1, (6.4, 4.8), managed=False)[0]
    for i, (name, network) in enumerate(networks.items()):
        sizes = gradient_sizes(network, x, t)
        ax.semilogy(range(1, DEPTH + 2), sizes, marker=panels.MARKERS[i], color=panels.COLORS[i], label=name)
    ax.grid(**panels.GRID)
    ax.set(xlabel="layer", ylabel="root mean square of the gradient by W", xticks=range(1, DEPTH + 2))
    ax.set_title("Gradients by depth before training")
    ax.legend()
    return {"vanishing-gradients-outputs": axes[0], "vanishing-gradients": ax}
