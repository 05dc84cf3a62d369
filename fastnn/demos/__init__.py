"""Worked examples, `fastnn demo NAME`: each a module whose function run(say, seed) prints a table and explains it.

They use fastnn's public names, as a user would. To add one, write a module and a line here; modules are imported when
they are run. A function pictures(seed) draws them.
"""

import functools
import importlib
import pathlib

# Printed by `fastnn demo --list`. The module has the example's name, with _ for -.
DEMOS = {
    "guess-number": "a number guessed from its loss: training in small",
    "descent": "gradient descent in one and two variables, update by update",
    "learning-rates": "four learning rates on x^2: oscillating, fast, slow",
    "three-descents": "batch, stochastic and mini-batch descent on one line fit",
    "line-fit": "a line fitted to points: the loss over w and b, the path",
    "stationary-points": "saddle, plateau and local minimum, and ways out",
    "gates": "logic gates: threshold neurons, the perceptron, XOR",
    "saturated-sigmoid": "squared error and cross-entropy on a saturated sigmoid",
    "vanishing-gradients": "outputs and gradients of 11 hidden layers, by depth",
    "dying-relu": "units that answer 0 to all samples and learn no more",
    "gradients": "the numerical gradient beside back-propagation",
    "k-fold": "5-fold cross-validation on the digits and a hold-out split",
    "width-and-depth": "hidden width and depth: what a network can follow",
    "polynomials": "under-fitting and over-fitting by degree, and a penalty",
    "over-fitting": "a network that learns its few samples by heart, and cures",
    "multi-task": "few labels, and a second task that shares the hidden layer",
    "sparse": "autoencoders whose hidden units are seldom on, and why",
    "bagging": "networks that vote beside a single one, on noisy labels",
}


def listed() -> str:
    """The names, each with its subject."""
    return "\n".join(f"{name:<19}  {what}" for name, what in DEMOS.items())


def run(name: str, folder: pathlib.Path | None = None, seed: int = 0) -> None:
    """Run the example of that name, one of DEMOS, and print it; with a folder, save its pictures there."""
    module = importlib.import_module(f"fastnn.demos.{name.replace('-', '_')}")
    say = functools.partial(print, flush=True)
    say(f"{name}: {DEMOS[name]}\n")
    module.run(say, seed)
    if folder is not None:
        say("")
        for picture, ax in module.pictures(seed).items():
            file = folder / f"{picture}.png"
            ax.figure.savefig(file)
            say(f"drawn in {file}")
