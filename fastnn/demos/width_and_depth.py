"""`fastnn demo width-and-depth`: hidden width and depth: what a network can follow, and how much it takes.

Sources: Cybenko (1989) and Hornik et al. (1989) on universal approximation.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array
from fastnn.layers import Layer

SAMPLES, EPOCHS, BATCH_SIZE, RATE = 256, 400, 32, 0.01
STEEP = 5.0  # the deviation of the first weights
SHAPES: dict[str, tuple[int, ...]] = {
    "1 x 2": (2,),
    "1 x 5": (5,),
    "1 x 20": (20,),
    "1 x 100": (100,),
    "2 x 9": (9, 9),
    "3 x 6": (6, 6, 6),
    "3 x 20": (20, 20, 20),
}


def points() -> tuple[Array, Array]:
    """x (N, 1) from -1 to 1, and a curve of several waves, t (N, 1)."""
    x = np.linspace(-1.0, 1.0, SAMPLES)[:, None]
    return x, np.sin(2 * np.pi * x) + 0.5 * np.sin(5 * np.pi * x)


def new_network(widths: tuple[int, ...], seed: int = 0) -> fastnn.Network:
    """Hidden layers with tanh of these widths between one input and one output.

    The thresholds of the first layer are drawn, too: otherwise all its units would bend at x = 0.
    """
    layers: list[Layer] = []
    for inputs, outputs in zip((1, *widths), widths, strict=False):
        layers += [fastnn.Affine(inputs, outputs, init=STEEP if inputs == 1 else None), fastnn.Tanh()]
    network = fastnn.Network([*layers, fastnn.Affine(widths[-1], 1)], loss="mean_squared_error", rng=seed)
    network.params["b1"][...] = np.random.default_rng(seed).uniform(-STEEP, STEEP, widths[0])
    return network


def train(widths: tuple[int, ...], seed: int = 0) -> fastnn.Network:
    """A trained network."""
    network, (x, t) = new_network(widths, seed), points()
    optimizer = fastnn.Adam(lr=RATE)
    network.fit(x, t, epochs=EPOCHS, batch_size=BATCH_SIZE, optimizer=optimizer, rng=seed, progress=False)
    return network


def error(network: fastnn.Network) -> float:
    """The root of the mean squared distance from the curve."""
    x, t = points()
    return fastnn.root_mean_squared_error(network.predict(x), t)


def parameters(network: fastnn.Network) -> int:
    """How many the network has."""
    return sum(array.size for array in network.params.values())


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the parameters and errors of each shape."""
    say(f"{SAMPLES} points of sin(2 pi x) + sin(5 pi x) / 2; tanh, Adam with lr {RATE}, {EPOCHS} epochs")
    say("hidden: layers x units; error: root mean square, from three initial weights\n")
    rows = []
    for name, widths in SHAPES.items():
        networks = [train(widths, seed + n) for n in range(3)]
        errors = sorted(error(network) for network in networks)
        rows.append([name, f"{parameters(networks[0])}", *(f"{e:.4f}" for e in errors)])
    say(table(("hidden", "parameters", "least error", "middle", "largest"), rows, text_columns=1))
    say(
        "\nOne hidden layer can come as near to any curve as one likes, if it has enough\n"
        "units: each adds a step, and two units cannot make as many waves. Deeper\n"
        "networks bend what the layers before have bent, and need fewer parameters for\n"
        "the same error, if training finds them."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The curve and the networks, a panel each."""
    from fastnn.plots import panels

    x, t = points()
    axes = panels.new(len(SHAPES), 4, (3.0, 2.8), managed=False)
    for ax, (name, widths) in zip(axes, SHAPES.items(), strict=True):
        network = train(widths, seed)
        ax.grid(**panels.GRID)
        ax.plot(x, t, "--", color="0.4", label="curve")
        ax.plot(x, network.predict(x), color=panels.COLORS[1], label="network")
        ax.set(xlabel="x", ylabel="y", ylim=(-1.9, 1.9))
        ax.set_title(f"{name}: {parameters(network)} parameters\nerror {error(network):.3f}", fontsize="medium")
    axes[0].legend(loc="upper left", fontsize="small")
    return {"width-and-depth": axes[0]}
