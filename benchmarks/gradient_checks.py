"""How often `fastnn.check_gradients` errs, on random networks whose gradients are right and on the same with an error.

    python -m benchmarks.gradient_checks [--networks 2000] [--errors 1000] [--first 0]

A network has 1 to 100 affine layers, widths and batches from 1 to 50, any layers, any loss, either dtype, inputs scaled
or not. An error of 1 % is planted in one tensor's gradient: in all of it, in one entry by 1 % of the tensor's norm, or
in one entry by 1 % of itself. It is drawn again where the dtype cannot show it: where the tensor's gradient differs
from that of the same network in float64 by more than a quarter of it, or eps of its largest entry is more than that.
Imports fastnn and numpy.
"""

import argparse
import itertools
import time
import warnings
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

import fastnn
from fastnn import losses

Array = np.ndarray[Any, Any]
ACTIVATIONS: tuple[type[fastnn.layers.Layer], ...] = (
    fastnn.Identity,
    fastnn.Step,
    fastnn.Sigmoid,
    fastnn.Tanh,
    fastnn.Relu,
    fastnn.LeakyRelu,
    fastnn.PRelu,
    fastnn.Elu,
    fastnn.Gelu,
    fastnn.Silu,
    fastnn.Softplus,
    fastnn.Softmax,
)
MOST_WORK = 1e9  # operations of all differences, about
AFTER = {"cross_entropy": fastnn.Softmax(), "log_loss": fastnn.Sigmoid()}  # whose outputs are probabilities


class Problem(NamedTuple):
    """A network, a batch, and its targets."""

    net: fastnn.Network
    x: Array
    t: Array


def _shape(generator: np.random.Generator, most_work: float) -> tuple[list[int], int]:
    """The widths of the tensors between affine layers, and the rows of a batch, such that a check takes no minutes."""
    while True:
        depth = int(generator.integers(1, 101))
        widest = int(generator.integers(1, 51))
        widths = [int(width) for width in generator.integers(1, widest + 1, depth + 1)]
        if generator.random() < 0.5:
            widths[1:-1] = [widest] * (depth - 1)
        rows = int(generator.integers(1, 51))
        one, work = 60.0, 0.0  # of a difference of a parameter of this layer, and of all
        for inputs, outputs in reversed(list(itertools.pairwise(widths))):
            work += 6.0 * rows * (inputs + 1) * outputs * one
            one += 20.0 * outputs + 2.0 * inputs * outputs
        if work <= most_work:
            return widths, rows


def _layers(generator: np.random.Generator, widths: list[int]) -> list[Any]:
    """Affine layers with activations between, of one kind or of any, and now and then with what else there is."""
    kinds = [ACTIVATIONS[int(i)] for i in generator.integers(0, len(ACTIVATIONS), len(widths))]
    if generator.random() < 0.8:
        kinds = [kinds[0]] * len(kinds)
    dropout, norm = (generator.random() if generator.random() < 0.3 else 0.0 for _ in range(2))
    layers: list[Any] = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        layers.append(fastnn.Affine(inputs, outputs))
        if i == len(widths) - 2:
            return layers
        if generator.random() < norm:
            layers.append(fastnn.BatchNorm())
        layers.append(kinds[i]())
        if generator.random() < dropout:
            layers.append(fastnn.Dropout(0.3))
    raise AssertionError


def _loss(generator: np.random.Generator, outputs: int) -> losses.Loss:
    kinds = [kind for kind in losses.LOSSES.values() if outputs > 1 or not kind.compares_classes]
    kind = kinds[int(generator.integers(len(kinds)))]
    if kind is losses.Huber:
        return losses.Huber(float(generator.uniform(0.1, 3)))
    if kind is losses.SoftmaxCrossEntropy and generator.random() < 0.3:
        return losses.SoftmaxCrossEntropy(0.1)
    if kind in (losses.CrossEntropy, losses.LogLoss):
        return kind(1e-7) if generator.random() < 0.5 else kind()
    return kind()


def _targets(generator: np.random.Generator, loss: losses.Loss, rows: int, outputs: int) -> Array:
    if loss.compares_classes or (loss.name == "hinge" and outputs > 1 and generator.random() < 0.5):
        if loss.name == "hinge" or generator.random() < 0.6:
            return generator.integers(0, outputs, rows)
        return np.asarray(generator.dirichlet(np.ones(outputs), rows))
    if loss.name in ("hinge", "exponential"):
        return generator.choice([-1.0, 1.0], (rows, outputs))
    if loss.name in ("sigmoid_cross_entropy", "log_loss"):
        return generator.integers(0, 2, (rows, outputs)).astype(float)
    return generator.normal(size=(rows, outputs))


def problem(seed: int, most_work: float = MOST_WORK) -> Problem:
    """The network of a seed, whose check takes about so many operations at most."""
    generator = np.random.default_rng([seed, 2024])
    widths, rows = _shape(generator, most_work)
    loss = _loss(generator, widths[-1])
    layers = _layers(generator, widths)
    if loss.name in AFTER:
        layers.append(AFTER[loss.name])
    penalty = None
    if generator.random() < 0.2:
        l1, l2, share = (float(generator.choice(some)) for some in ([0.0, 1e-4, 0.01], [0.0, 1e-4, 0.01], [1.0, 0.5]))
        penalty = fastnn.Regularization(l1, l2, share)
    dtype = ("float32", "float64")[int(generator.integers(2))]
    net = fastnn.Network(layers, loss, rng=generator, dtype=dtype, n_threads=1, regularization=penalty)
    if generator.random() < 0.5:
        for name, array in net.params.items():
            if name[0] in "bgs":  # biases, beta and gamma, slopes
                array += 0.1 * generator.normal(size=array.shape).astype(dtype)
    for name, array in net.statistics.items():
        drawn = generator.normal(size=array.shape)
        array[...] = drawn if name.startswith("mean") else np.exp(drawn)
    x = generator.normal(size=(rows, widths[0]))
    kind = generator.random()
    if kind < 0.3:
        x = generator.uniform(0, 255, x.shape)
    elif kind < 0.4:
        x = np.where(generator.random(x.shape) < 0.5, 0.0, x)
    elif kind < 0.5:
        x *= 10.0 ** generator.uniform(-3, 3, widths[0])
    return Problem(net, x, _targets(generator, loss, rows, widths[-1]))


def in_float64(found: Problem) -> fastnn.Network:
    """The same network in float64."""
    net = found.net
    twin = fastnn.Network(net.layers, net._loss, dtype="float64", n_threads=1, regularization=net.regularization)
    for name, array in net.params.items():
        twin.params[name] = array.astype(np.float64)
    for name, array in net.statistics.items():
        twin.statistics[name] = array.astype(np.float64)
    return twin


def plant(found: Problem, seed: int) -> tuple[dict[str, Array], str] | None:
    """The gradient with an error of 1 % and its kind; None where none is larger than four times the rounding."""
    generator = np.random.default_rng([seed, 1])
    right = found.net.gradient(found.x, found.t)
    x, t = (a if a.dtype.kind == "i" else a.astype(found.net.dtype) for a in (found.x, found.t))
    exact = right if found.net.dtype == np.float64 else in_float64(found).gradient(x, t)
    if not all(np.isfinite(array).all() for array in (*right.values(), *exact.values())):
        return None
    least = 1e3 * float(np.finfo(found.net.dtype).tiny)
    for _ in range(20):
        name = list(right)[int(generator.integers(len(right)))]
        g = right[name].astype(np.float64)
        rounding = float(np.finfo(found.net.dtype).eps) * float(np.abs(g).max())
        off = 4 * max(float(np.abs(g - exact[name]).max()), rounding) + 0.01 * least
        kind = ("tensor", "entry by the norm", "entry by itself")[int(generator.integers(3))]
        if kind == "tensor":
            wrong, real = 1.01 * g, float((0.01 * np.abs(g)).max()) > off
        else:
            index = np.unravel_index(int(generator.integers(g.size)), g.shape)
            error = 0.01 * (float(np.linalg.norm(g)) if kind.endswith("norm") else abs(float(g[index])))
            wrong, real = g.copy(), error > off
            wrong[index] += error * generator.choice([-1, 1])
        if real:
            return {**right, name: wrong}, f"{kind} {name}"
    return None


class Counts:
    """What is counted, by name, and the seeds of what should not be."""

    def __init__(self) -> None:
        self.right: Counter[str] = Counter()
        self.planted: Counter[str] = Counter()
        self.seeds: dict[str, list[Any]] = {}

    def note(self, seed: int, errors: bool, most_work: float = MOST_WORK) -> None:
        """Check the network of a seed; with an error too, if errors."""
        found = problem(seed, most_work)
        verdict = fastnn.check_gradients(*found).verdict
        finite = np.isfinite(found.net.loss(found.x, found.t))
        kind = verdict if finite else f"{verdict}, loss not finite"
        self.right[kind] += 1
        if kind != "agree":
            self.seeds.setdefault(f"right: {kind}", []).append(seed)
        if not errors:
            return
        planted = plant(found, seed) if finite else None
        if planted is None:
            self.planted["none"] += 1
            return
        verdict = fastnn.check_gradients(*found, gradient=planted[0]).verdict
        self.planted[verdict] += 1
        if verdict != "differ":
            self.seeds.setdefault(f"planted: {verdict}", []).append((seed, planted[1]))

    def __repr__(self) -> str:
        lines = [f"right gradients, {self.right.total()} networks: {dict(self.right)}"]
        tried = self.planted.total() - self.planted["none"]
        lines.append(f"planted errors of 1 %, {tried} networks: {dict(self.planted)}")
        return "\n".join([*lines, *(f"{name}: {seeds[:20]}" for name, seeds in self.seeds.items())])


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description="Count the errors of check_gradients.")
    parser.add_argument("--networks", type=int, default=2000)
    parser.add_argument("--errors", type=int, default=1000, help="in how many of them an error is planted")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    counts, start, shown = Counts(), time.perf_counter(), 0.0
    for seed in range(options.first, options.first + options.networks):
        tried = counts.planted.total() - counts.planted["none"]
        counts.note(seed, tried < options.errors)
        if time.perf_counter() - shown > 60:
            shown = time.perf_counter()
            print(f"--- {shown - start:.0f} s\n{counts}", flush=True)
    print(f"--- {time.perf_counter() - start:.0f} s\n{counts}")


if __name__ == "__main__":
    main()
