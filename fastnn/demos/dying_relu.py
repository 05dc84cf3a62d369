"""`fastnn demo dying-relu`: hidden units that answer 0 to every sample and learn no more, and what keeps them alive."""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array
from fastnn.layers import Layer

HIDDEN, EPOCHS, BATCH_SIZE, SAMPLES = 100, 20, 50, 1000
CASES: dict[str, tuple[Callable[[], Layer], float, float]] = {  # activation, learning rate, first thresholds
    "relu, lr 0.5": (fastnn.Relu, 0.5, 0.0),
    "relu, lr 2": (fastnn.Relu, 2.0, 0.0),
    "leaky relu, lr 2": (fastnn.LeakyRelu, 2.0, 0.0),
    "relu, b = -3, lr 0.5": (fastnn.Relu, 0.5, -3.0),
    "elu, b = -3, lr 0.5": (fastnn.Elu, 0.5, -3.0),
}


def digits() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Digits to train on, and to test; their pixels are from 0 to 1."""
    (x, t), test = fastnn.datasets.load_digits()
    return (x[:SAMPLES], t[:SAMPLES]), test


def off(network: fastnn.Network, x: Array) -> int:
    """How many hidden units have a sum of at most 0 for all samples: with ReLU they are dead, their gradient is 0."""
    return int((network.outputs_of_layers(x)[0] <= 0).all(axis=0).sum())


def train(name: str, seed: int = 0) -> tuple[list[int], list[float], int]:
    """Units that are off and test accuracy, before and after each epoch; and the units that learned anything."""
    activation, rate, bias = CASES[name]
    (x, t), test = digits()
    network = fastnn.Network([fastnn.Affine(64, HIDDEN, init="he"), activation(), fastnn.Affine(HIDDEN, 10)], rng=seed)
    network.params["b1"][...] = bias
    first = network.params["W1"].copy()
    units, accuracies = [off(network, x)], [network.accuracy(*test)]
    optimizer, rng = fastnn.SGD(lr=rate), np.random.default_rng(seed)
    for _ in range(EPOCHS):
        network.fit(x, t, epochs=1, batch_size=BATCH_SIZE, optimizer=optimizer, rng=rng, progress=False)
        units.append(off(network, x))
        accuracies.append(network.accuracy(*test))
    return units, accuracies, int((network.params["W1"] != first).any(axis=0).sum())


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the units that are off before and after training."""
    say(f"64-{HIDDEN}-10 on {SAMPLES:,} digits, {EPOCHS} epochs; b: the first hidden thresholds")
    say("off: hidden units whose sum is at most 0 for all samples; learned: that moved\n")
    rows = []
    for name in CASES:
        units, accuracies, moved = train(name, seed)
        rows.append([name, f"{units[0]}", f"{units[1]}", f"{units[-1]}", f"{moved}", f"{accuracies[-1]:.4f}"])
    say(table(("case", "off at first", "1 epoch", "at the end", "learned", "accuracy"), rows, text_columns=1))
    say(
        "\nA ReLU whose sum is below 0 answers 0 and has slope 0. If that is so for all\n"
        "samples, no gradient reaches its weights: it is dead and never comes back. Steps\n"
        "that are too large kill units on the way, thresholds far below 0 from the start.\n"
        "Leaky ReLU and ELU have a slope below 0, too: their units go on learning, and\n"
        "the network works even where many are below 0, or they come back."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The units that are off, by epoch."""
    from fastnn.plots import panels

    ax = panels.new(1, 1, (6.4, 4.8), managed=False)[0]
    for i, name in enumerate(CASES):
        ax.plot(train(name, seed)[0], marker=panels.MARKERS[i], markersize=5, color=panels.COLORS[i], label=name)
    ax.grid(**panels.GRID)
    ax.set(xlabel="epoch", ylabel=f"units of {HIDDEN}", ylim=(-3, HIDDEN + 3))
    ax.set_xticks(range(0, EPOCHS + 1, 5))
    ax.set_title("Hidden units whose sum is at most 0 for all samples")
    ax.legend(loc="upper right", bbox_to_anchor=(1.0, 0.76))  # between the curves
    return {"dying-relu": ax}
