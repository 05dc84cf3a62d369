"""How often `fastnn.check_gradients` errs, on random networks whose gradients are right and on the same with an error.

    python -m benchmarks.gradient_checks [--set random] [--networks 2000] [--errors 1000] [--first 0]

Sets: "random": 1 to 100 affine layers with any activations; "relu": 1 to 20 with ReLU, leaky ReLU, PReLU and ELU;
"sigmoid": 50 sigmoids; "deep-relu": 100 ReLUs. Widths and batches are from 1 to 50, with any loss, either dtype, inputs
scaled or not, and other layers between in some.

An error of 1 % is planted in one tensor's gradient: in all of it, in one entry by 1 % of the tensor's norm, or in one
entry by 1 % of itself. Tensor, kind and entry are drawn from those in which the dtype shows it: the error is more than
four times what rounding may do there, as exact_gradients.py measures it. Where there is none, the next network takes
it, beyond the last of the right ones if need be.
"""

import argparse
import contextlib
import functools
import itertools
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import fastnn
from benchmarks import exact_gradients
from fastnn import losses, operations
from fastnn.gradients import check as gradient_check
from fastnn.operations.losses.base import SIGNS

Array = np.ndarray[Any, Any]
Kind = Callable[[], fastnn.layers.Layer]
OTHERS = (fastnn.Affine, fastnn.BatchNorm, fastnn.Dropout)
ACTIVATIONS: tuple[Kind, ...] = tuple(
    kind for kind in operations.LAYERS.values() if kind not in OTHERS and not kind.takes_images
)
RELUS: tuple[Kind, ...] = (
    fastnn.Relu,
    fastnn.LeakyRelu,
    fastnn.PRelu,
    fastnn.Elu,
    functools.partial(fastnn.Elu, 0.5),  # which has a kink
)
MOST_WORK = 1e9  # approximate operations of all differences
KINDS_OF_ERRORS = ("tensor", "entry by the norm", "entry by itself")
# What makes the outputs probabilities.
AFTER = {name: operations.ACTIVATIONS[kind.follows[0]]() for name, kind in losses.LOSSES.items() if kind.follows}


class Set(NamedTuple):
    """Which networks are drawn, and how many by default; most_work: the approximate operations of a check."""

    affine_layers: tuple[int, int]
    activations: tuple[Kind, ...]
    networks: int
    errors: int
    most_work: float = MOST_WORK


SETS = {
    "random": Set((1, 100), ACTIVATIONS, 2000, 1000),
    "relu": Set((1, 20), RELUS, 1300, 1300),
    "sigmoid": Set((51, 51), (fastnn.Sigmoid,), 30, 30, 1e10),
    "deep-relu": Set((101, 101), (fastnn.Relu,), 10, 10, 1e10),
}


class Problem(NamedTuple):
    """A network, a batch, and its targets."""

    net: fastnn.Network
    x: Array
    t: Array


def _shape(generator: np.random.Generator, some: Set) -> tuple[list[int], int]:
    """The widths of the tensors between affine layers, and the rows of a batch, such that a check takes no minutes."""
    while True:
        depth = int(generator.integers(some.affine_layers[0], some.affine_layers[1] + 1))
        widest = int(generator.integers(1, 51))
        widths = [int(width) for width in generator.integers(1, widest + 1, depth + 1)]
        if generator.random() < 0.5:
            widths[1:-1] = [widest] * (depth - 1)
        rows = int(generator.integers(1, 51))
        one, work = 60.0, 0.0  # for a difference of a parameter of this layer, and for all
        for inputs, outputs in reversed(list(itertools.pairwise(widths))):
            work += 6.0 * rows * (inputs + 1) * outputs * one
            one += 20.0 * outputs + 2.0 * inputs * outputs
        if work <= some.most_work:
            return widths, rows


def _layers(generator: np.random.Generator, widths: list[int], activations: tuple[Kind, ...]) -> list[Any]:
    """Affine layers with activations between them, of one kind or of any, and now and then other layers."""
    kinds = [activations[int(i)] for i in generator.integers(0, len(activations), len(widths))]
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
    if loss.accepts == SIGNS:
        return generator.choice([-1.0, 1.0], (rows, outputs))
    if loss.name in ("sigmoid_cross_entropy", "log_loss"):
        return generator.integers(0, 2, (rows, outputs)).astype(float)
    return generator.normal(size=(rows, outputs))


def problem(seed: int, some: Set = SETS["random"]) -> Problem:
    """The network of a seed, one of a set."""
    generator = np.random.default_rng([seed, 2024])
    widths, rows = _shape(generator, some)
    loss = _loss(generator, widths[-1])
    layers = _layers(generator, widths, some.activations)
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


def plant(found: Problem, seed: int) -> tuple[dict[str, Array] | None, str]:
    """The gradient with an error of 1 %, and its kind; None and the reason if no error shows in the dtype."""
    generator = np.random.default_rng([seed, 1])
    right = found.net.gradient(found.x, found.t)
    rounded = exact_gradients.roundings(*found)
    numbers = [found.net.loss(found.x, found.t), *(array.sum() for array in right.values())]
    if not np.isfinite(numbers).all() or np.isnan(list(rounded.values())).any():
        return None, "loss or gradient not finite"
    choices = [(name, kind) for name, array in right.items() if array.any() for kind in KINDS_OF_ERRORS]
    for i in generator.permutation(len(choices)):
        name, kind = choices[i]
        wrong = _with_error(right[name].astype(np.float64), rounded[name], kind, generator)
        if wrong is not None:
            return {**right, name: wrong}, f"{kind} {name}"
    return None, "rounding hides it" if choices else "no gradient but 0"


def _with_error(g: Array, rounded: float, kind: str, generator: np.random.Generator) -> Array | None:
    """One tensor's gradient with an error of a kind; None if rounding by `rounding` of the largest entry hides it."""
    largest = np.abs(g).max()
    norm = largest * np.linalg.norm(g / largest)  # so that squares do not overflow
    errors = 0.01 * (np.full_like(g, norm) if kind == "entry by the norm" else np.abs(g))
    is_shown = errors > 4 * rounded * largest
    if not is_shown.any():
        return None
    if kind == "tensor":
        return 1.01 * g
    place = generator.choice(np.flatnonzero(is_shown))
    wrong = g.copy()
    wrong.flat[place] += errors.flat[place] * generator.choice([-1, 1])
    return wrong


def remembered_evidence() -> contextlib.AbstractContextManager[Any]:
    """Within it, check_gradients computes a network's evidence, which takes most of its time, only once."""
    collect, taken = gradient_check._evidence, dict[int, Any]()

    def remember(net: fastnn.Network, *rest: Any) -> Any:
        if id(net) not in taken:
            taken[id(net)] = collect(net, *rest)
        return taken[id(net)]

    return mock.patch.object(gradient_check, "_evidence", remember)


class Counts:
    """Counts by name, and the seeds of false verdicts."""

    def __init__(self, some: Set = SETS["random"]) -> None:
        self.some = some
        self.right: Counter[str] = Counter()
        self.planted: Counter[str] = Counter()
        self.without: Counter[str] = Counter()
        self.seeds: dict[str, list[Any]] = {}

    def note(self, seed: int, errors: bool) -> None:
        """Check the network of a seed, and with errors if asked. The evidence is the same and is computed once."""
        found = problem(seed, self.some)
        with remembered_evidence():
            verdict = fastnn.check_gradients(*found).verdict
            kind = verdict if np.isfinite(found.net.loss(found.x, found.t)) else f"{verdict}, loss not finite"
            self.right[kind] += 1
            if kind != "agree":
                self.seeds.setdefault(f"right: {kind}", []).append(seed)
            if not errors:
                return
            gradient, what = plant(found, seed)
            if gradient is None:
                self.without[what] += 1
                return
            verdict = fastnn.check_gradients(*found, gradient=gradient).verdict
        self.planted[verdict] += 1
        if verdict != "differ":
            self.seeds.setdefault(f"planted: {verdict}", []).append((seed, what))

    def __repr__(self) -> str:
        return "\n".join(
            [
                f"right gradients, {self.right.total()} networks: {dict(self.right)}",
                f"planted errors of 1 %, {self.planted.total()} networks: {dict(self.planted)}",
                f"nothing to plant, {self.without.total()} networks: {dict(self.without)}",
                *(f"{name}: {seeds[:20]}" for name, seeds in self.seeds.items()),
            ]
        )


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description="Count the errors of check_gradients.")
    parser.add_argument("--set", choices=SETS, default="random")
    parser.add_argument("--networks", type=int, help="how many at least, by default as the set has")
    parser.add_argument("--errors", type=int, help="how many are planted, each in a network of its own; likewise")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    some = SETS[options.set]
    networks = some.networks if options.networks is None else options.networks
    errors = some.errors if options.errors is None else options.errors
    counts, start, shown = Counts(some), time.perf_counter(), 0.0
    for seed in itertools.count(options.first):
        if counts.right.total() >= networks and counts.planted.total() >= errors:
            break
        counts.note(seed, counts.planted.total() < errors)
        if time.perf_counter() - shown > 60:
            shown = time.perf_counter()
            print(f"--- {shown - start:.0f} s\n{counts}", flush=True)
    print(f"--- {time.perf_counter() - start:.0f} s\n{counts}")


if __name__ == "__main__":
    main()
