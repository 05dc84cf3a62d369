"""The data of the cases, always the same: inputs and initial parameters in float32 or, for gradients, float64."""

import itertools
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

Data = dict[str, Any]

ZEROS = 0.81  # the fraction of MNIST's pixels that are 0
LOOP_ENTRIES = 20  # entries that the plain loop is timed on; its time for all is calculated from theirs


def normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape, dtype=np.float32)


def affine(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    N, D, H = sizes
    return {"x": normal(rng, N, D), "W": normal(rng, D, H), "b": normal(rng, H), "dy": normal(rng, N, H)}


def product(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {**affine(rng, sizes), "b": np.zeros(sizes[2], np.float32)}


def elements(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {"x": 3.0 * normal(rng, *sizes)}


def logits(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {"x": 3.0 * normal(rng, *sizes), "t": rng.integers(0, sizes[1], sizes[0])}


def slopes(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {**elements(rng, sizes), "dy": normal(rng, *sizes)}


def outputs(rng: np.random.Generator, sizes: tuple[int, ...], targets: str, of_probabilities: bool) -> Data:
    """Outputs (N, K) or probabilities, and targets: signs, probabilities, or others from 0 to 1."""
    x, share = 3.0 * normal(rng, *sizes), rng.random(sizes, np.float32)
    if of_probabilities:
        x = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    if targets == "signs":
        return {"x": x, "t": np.where(share < 0.5, -1, 1).astype(np.float32)}
    if targets == "probabilities":
        share /= share.sum(axis=1, keepdims=True)
    return {"x": x, "t": share}


def update(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {"p": normal(rng, *sizes), "g": normal(rng, *sizes), "v": normal(rng, *sizes)}


def parameters(rng: np.random.Generator, widths: tuple[int, ...]) -> dict[str, Any]:
    """Weights for ReLU (He et al., 2015) and zero biases: W1, b1, W2, ..."""
    params: dict[str, Any] = {}
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
        params[f"W{number}"] = normal(rng, inputs, outputs) * np.float32(math.sqrt(2.0 / inputs))
        params[f"b{number}"] = np.zeros(outputs, np.float32)
    return params


def batch(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    N, *widths = sizes
    x, t = rng.random((N, widths[0]), np.float32), rng.integers(0, widths[-1], N)
    return {"x": x, "t": t, "params": parameters(rng, tuple(widths))}


def batch_for_layers(rng: np.random.Generator, sizes: tuple[int, ...], starts: Mapping[str, float]) -> Data:
    """Like batch, with the parameters of a layer on units after each affine one but the last, in a network's order."""
    made = batch(rng, sizes)
    params: dict[str, Any] = {}
    for number, width in enumerate(sizes[2:], start=1):
        params |= {name: made["params"][name] for name in (f"W{number}", f"b{number}")}
        if number < len(sizes) - 2:
            params |= {f"{name}{number}": np.full(width, start, np.float32) for name, start in starts.items()}
    return {**made, "params": params}


def samples(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    """Samples with as many zeros as MNIST, labeled by a random linear map; made in blocks to keep the memory low."""
    count, _, *widths = sizes
    x = np.empty((count, widths[0]), np.float32)
    t = np.empty(count, np.int64)
    teacher = normal(rng, widths[0], widths[-1])
    for block in np.array_split(np.arange(count), max(1, count // 1000)):
        pixels = rng.random((len(block), widths[0]), np.float32)
        x[block] = np.where(pixels < ZEROS, 0, (pixels - ZEROS) / (1 - ZEROS))
        t[block] = np.argmax(x[block] @ teacher, axis=1)
    return {"x": x, "t": t, "params": parameters(rng, tuple(widths))}


def gradient(rng: np.random.Generator, sizes: tuple[int, ...], dense: bool, mnist: pathlib.Path | None) -> Data:
    """A batch in float64, mostly zeros or dense, and parameters; not called params, as nothing changes them."""
    N, *widths = sizes
    made = samples(rng, (N, N, *widths))
    if dense:
        made["x"] = rng.random((N, widths[0]))
    elif mnist is not None:
        with np.load(mnist) as stored:
            made["x"], made["t"] = stored["x"][:N, : widths[0]], stored["t"][:N]
    weights = {name: value.astype(np.float64) for name, value in made["params"].items()}
    return {"x": made["x"].astype(np.float64), "t": made["t"], "weights": weights}


def classes(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    """Samples in float64 and labels 0 and 1 that no plane parts."""
    x = rng.standard_normal(sizes)
    return {"x": x, "t": ((x[:, 0] > 0) != (rng.random(sizes[0]) < 0.1)).astype(np.intp)}


def lines(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    """Points in float64, slopes and intercepts."""
    slopes, intercepts, N = sizes
    x = rng.uniform(-1.0, 1.0, N)
    t = 2.0 * x + 3.0 + 0.1 * rng.standard_normal(N)
    return {"x": x, "t": t, "w": np.linspace(-1.0, 5.0, slopes), "b": np.linspace(0.0, 6.0, intercepts)}


def point(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {"x": rng.random(sizes)}


def contention(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {"a": normal(rng, sizes[0], sizes[0]), **batch(rng, sizes[1:])}


def some_entries(count: int) -> Any:
    """The entries that the plain loop evaluates."""
    return np.random.default_rng(2).choice(count, min(count, LOOP_ENTRIES), replace=False)


def rosenbrock(x: Any) -> Any:
    """100 (x[1] - x[0]^2)^2 + (1 - x[0])^2 + ...: a function of any number of variables."""
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def rosenbrock_loop(x: Any) -> Any:
    """The same function with a loop, to be compiled."""
    total = 0.0
    for i in range(x.size - 1):
        total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total
