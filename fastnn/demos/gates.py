"""`fastnn demo gates`: logic gates of threshold neurons, learned by the perceptron, and XOR, which needs two layers.

Sources: McCulloch and Pitts (1943), Rosenblatt (1958), Minsky and Papert, Perceptrons (1969).
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import fastnn
from fastnn import models
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array
from fastnn.models.searches import Search

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
GATES = {"AND": models.AND, "OR": models.OR, "NAND": models.NAND}
EPOCHS, STARTS, RATE, ENOUGH = 1000, 10, 0.5, 0.01


def truth_table() -> str:
    """The outputs of the neurons and of XOR, by two layers, for all inputs."""
    x1 = X[:, :1]
    outputs = [gate.predict(X) for gate in GATES.values()]
    columns = np.column_stack((X.astype(int), models.NOT.predict(x1), *outputs, models.xor(X)))
    return table(("x1", "x2", "NOT x1", *GATES, "XOR"), [[str(value) for value in row] for row in columns])


def learned(t: Array, shuffle: bool = False, seed: int = 0) -> tuple[models.Perceptron, models.PerceptronHistory]:
    """A perceptron trained on the four inputs, in their order or in a new one in each epoch."""
    perceptron = models.Perceptron(lr=1.0)
    return perceptron, perceptron.fit(X, t, shuffle=shuffle, rng=seed)


def new_network(rng: np.random.Generator) -> fastnn.Network:
    """2-2-1: a hidden layer of two neurons; the output is a logit."""
    layers = [fastnn.Affine(2, 2), fastnn.Tanh(), fastnn.Affine(2, 1)]
    return fastnn.Network(layers, loss="sigmoid_cross_entropy", dtype="float64", rng=rng)


def search(seed: int = 0) -> Search:
    """Networks from several initial weights on XOR, until one has a small loss."""
    optimizer, t = fastnn.SGD(lr=RATE), models.xor(X)[:, None]
    options = {"epochs": EPOCHS, "batch_size": None, "optimizer": optimizer}
    return fastnn.random_restarts(new_network, X, t, STARTS, rng=seed, target_loss=ENOUGH, **options)


def numbers(values: Iterable[float]) -> str:
    """Whole numbers, separated by spaces."""
    return " ".join(f"{value:g}" for value in values)


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the truth tables, the gates that the perceptron learns, and the network that learns XOR."""
    say("Threshold neurons; XOR is AND of the outputs of OR and NAND\n")
    say(truth_table())
    say("\nThe perceptron from weights 0, lr 1\n")
    rows = []
    for name, gate in GATES.items():
        perceptron, history = learned(gate.predict(X))
        figures = (numbers(history.mistakes), numbers(perceptron.weights), f"{perceptron.bias:g}")
        rows.append((name, f"{history.epochs}", *figures))
    say(table(("gate", "epochs", "mistakes by epoch", "w", "b"), rows, text_columns=1))
    say(f"\nXOR, the inputs in order, and shuffled\n  {learned(models.xor(X))[1]}")
    say(f"  {learned(models.xor(X), shuffle=True, seed=seed)[1]}")
    found = search(seed)
    say(f"\n2-2-1, tanh, sigmoid_cross_entropy on XOR: {EPOCHS:,} epochs, lr {RATE},\nfrom up to {STARTS} starts\n")
    say(table(("start", "loss"), [[f"{n}", f"{loss:.4f}"] for n, loss in enumerate(found.losses, start=1)]))
    logits = found.network.predict(X)
    outputs = fastnn.activation_forward("sigmoid", logits)
    hidden = np.tanh(X @ found.network.params["W1"] + found.network.params["b1"])
    values = zip(X, hidden, logits, outputs, strict=True)
    cells = [[f"{x1:g}", f"{x2:g}", *(f"{v:.3f}" for v in (*h, *logit, *y))] for (x1, x2), h, logit, y in values]
    say("")
    say(table(("x1", "x2", "hidden 1", "hidden 2", "logit", "sigmoid"), cells))
    say(
        "\nNo straight line separates the inputs where XOR is 1 from the others, so one\n"
        "neuron cannot compute it, and the perceptron never comes to rest. The hidden\n"
        "layer moves the four inputs to where a line does. Gradient descent finds\n"
        "such a layer from some starts and gets stuck from others, at ln 2 / 2 = 0.35:\n"
        "two inputs right and two at 1/2."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The regions of the gates that the perceptron learns, and of the network that learns XOR."""
    from fastnn.plots import panels

    axes = panels.new(len(GATES) + 1, len(GATES) + 1, (3.4, 3.4), managed=False)
    for ax, (name, gate) in zip(axes, GATES.items(), strict=False):
        t = gate.predict(X)
        fastnn.plots.decision_regions(learned(t)[0].predict, X, t, ax=ax)
        ax.set_title(f"{name}, perceptron")
    fastnn.plots.decision_regions(search(seed).network, X, models.xor(X), ax=axes[-1])
    axes[-1].set_title("XOR, 2-2-1")
    for ax in axes:
        ax.set(xlabel="$x_1$", ylabel="$x_2$", xticks=(0, 1), yticks=(0, 1))
        ax.get_legend().remove()
    axes[0].legend(loc="center")
    return {"gates": axes[0]}
