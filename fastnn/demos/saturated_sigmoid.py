"""`fastnn demo saturated-sigmoid`: why a sigmoid output learns by cross-entropy, on a single neuron.

Source: Nielsen, Neural Networks and Deep Learning (2015), chapter 3.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

X, T = np.array([[1.0]]), np.array([[0.0]])
START, RATE, EPOCHS, SHOWN = 2.0, 0.15, 300, 50
LEARNED = 0.2


def trained(network: fastnn.Network) -> Array:
    """The network's output before and after each epoch, (epochs + 1,)."""
    network.params["W1"][...] = network.params["b1"][...] = START
    outputs = [network.predict(X).item()]
    for _ in range(EPOCHS):
        network.step(X, T, fastnn.SGD(lr=RATE))
        outputs.append(network.predict(X).item())
    return np.array(outputs)


def by_squared_error() -> Array:
    """The output before and after each epoch; its gradient by the logit is (y - t) y (1 - y)."""
    layers = [fastnn.Affine(1, 1), fastnn.Sigmoid()]
    return trained(fastnn.Network(layers, loss="mean_squared_error", dtype="float64", rng=0))


def by_cross_entropy() -> Array:
    """The same with -t log y - (1 - t) log(1 - y), whose gradient by the logit is y - t.

    The sigmoid is part of the loss, and the network computes logits.
    """
    logits = trained(fastnn.Network([fastnn.Affine(1, 1)], loss="sigmoid_cross_entropy", dtype="float64", rng=0))
    return fastnn.activation_forward("sigmoid", logits[:, None])[:, 0]


def epochs_needed(outputs: Array) -> str:
    """After how many epochs the output is below LEARNED for the first time."""
    below = np.flatnonzero(outputs < LEARNED)
    return str(below[0]) if below.size else f"more than {EPOCHS}"


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the outputs of both, and how fast each learns."""
    squared, entropy = by_squared_error(), by_cross_entropy()
    say(f"One sigmoid neuron, input 1, target 0, from w = b = {START:g}; lr {RATE}")
    rows = [[str(n), f"{squared[n]:.4f}", f"{entropy[n]:.4f}"] for n in range(0, EPOCHS + 1, SHOWN)]
    say(table(("epochs", "squared error", "cross-entropy"), rows))
    say(f"\nepochs until the output is below {LEARNED}")
    say(f"  squared error  {epochs_needed(squared)}")
    say(f"  cross-entropy  {epochs_needed(entropy)}")
    first = squared[0]
    say(
        f"\nAt the start the output is {first:.2f}, wrong and saturated: the gradient of the\n"
        f"squared error has the factor y (1 - y) = {first * (1 - first):.3f} and hardly learns; that of the\n"
        f"cross-entropy is y - t = {first:.2f}, the larger the more wrong the output is."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The outputs by epoch with each loss."""
    from fastnn.plots import panels

    ax = panels.new(1, 1, (6.4, 4.8), managed=False)[0]
    for i, (name, outputs) in enumerate(
        {"squared error": by_squared_error(), "cross-entropy": by_cross_entropy()}.items()
    ):
        ax.plot(outputs, color=panels.COLORS[i], linewidth=2, label=name)
    ax.grid(**panels.GRID)
    ax.set(xlabel="epoch", ylabel="output, target 0", ylim=(0, 1.05), title="One saturated sigmoid, two losses")
    ax.legend()
    return {"saturated-sigmoid": ax}
