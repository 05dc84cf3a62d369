"""Times numerical gradients of networks in the style of the book, chapter by chapter, plainly and with the drop-in.

    python -m benchmarks.dropin [--write]

Plainly: layers in NumPy alone and the textbook's loop, timed on SAMPLE entries of each array and extrapolated. With the
drop-in: the same classes on fastnn.dropin. --write puts the table into fastnn/dropin/DROPIN.md.
"""

import argparse
import pathlib
import time
from typing import Any

import numpy as np

from benchmarks import pages
from fastnn import datasets
from fastnn.dropin import record
from fastnn.dropin.common import functions, layers
from fastnn.dropin.common.gradient import numerical_gradient

SAMPLE = 40
PAGE = pathlib.Path(__file__).parents[1] / "fastnn" / "dropin" / "DROPIN.md"


class Plain:
    """The functions and layers in NumPy alone, as far as the networks here need them."""

    @staticmethod
    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    @staticmethod
    def softmax(x: Any) -> Any:
        shares = np.exp(x - x.max(axis=-1, keepdims=True))
        return shares / shares.sum(axis=-1, keepdims=True)

    @staticmethod
    def cross_entropy_error(y: Any, t: Any) -> Any:
        labels = t.argmax(axis=1) if t.size == y.size else t
        return -np.sum(np.log(y[np.arange(len(y)), labels] + 1e-7)) / len(y)

    class Affine:
        """x W + b."""

        def __init__(self, W: Any, b: Any) -> None:
            self.W, self.b = W, b

        def forward(self, x: Any) -> Any:
            return np.dot(x.reshape(len(x), -1), self.W) + self.b

    class Relu:
        """max(0, x)."""

        def forward(self, x: Any) -> Any:
            return x * (x > 0)

    class SoftmaxWithLoss:
        """The cross entropy of the softmax."""

        def forward(self, x: Any, t: Any) -> Any:
            return Plain.cross_entropy_error(Plain.softmax(x), t)

    class BatchNormalization:
        """Normalized over the batch, with running values."""

        def __init__(self, gamma: Any, beta: Any) -> None:
            self.gamma, self.beta = gamma, beta
            self.mean, self.variance = np.zeros_like(gamma), np.zeros_like(gamma)

        def forward(self, x: Any) -> Any:
            mean = x.mean(axis=0)
            xc = x - mean
            variance = np.mean(xc**2, axis=0)
            self.mean = 0.9 * self.mean + 0.1 * mean
            self.variance = 0.9 * self.variance + 0.1 * variance
            return self.gamma * (xc / np.sqrt(variance + 1e-6)) + self.beta

    class Convolution:
        """Filters over images, without padding."""

        def __init__(self, W: Any, b: Any) -> None:
            self.W, self.b = W, b

        def forward(self, x: Any) -> Any:
            windows = np.lib.stride_tricks.sliding_window_view(x, self.W.shape[2:], axis=(2, 3))
            rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, self.W[0].size)
            out = np.dot(rows, self.W.reshape(len(self.W), -1).T) + self.b
            return out.reshape(len(x), *windows.shape[2:4], -1).transpose(0, 3, 1, 2)

    class Pooling:
        """The largest of each window of two by two."""

        def __init__(self, pool_h: int, pool_w: int, stride: int = 2) -> None:
            self.size = pool_h, pool_w

        def forward(self, x: Any) -> Any:
            N, C, H, W = x.shape
            return x.reshape(N, C, H // 2, 2, W // 2, 2).max(axis=(3, 5))


class Dropin:
    """The same names from the drop-in."""

    sigmoid, softmax = staticmethod(functions.sigmoid), staticmethod(functions.softmax)
    cross_entropy_error = staticmethod(functions.cross_entropy_error)
    Affine, Relu, SoftmaxWithLoss = layers.Affine, layers.Relu, layers.SoftmaxWithLoss
    BatchNormalization, Convolution, Pooling = layers.BatchNormalization, layers.Convolution, layers.Pooling


class Network:
    """Layers in a list, and the parameters by name."""

    decay = 0.0

    def __init__(self, book: Any) -> None:
        self.book, self.params, self.layers = book, {}, []  # type: ignore[var-annotated]
        self.last = book.SoftmaxWithLoss()

    def add(self, kind: str, W: Any, b: Any) -> None:
        """A layer with weights and a bias."""
        number = sum(name[0] == "W" for name in self.params) + 1
        self.params[f"W{number}"], self.params[f"b{number}"] = W, b
        self.layers.append(getattr(self.book, kind)(W, b))

    def loss(self, x: Any, t: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        weights = [array for name, array in self.params.items() if name[0] == "W"] if self.decay else []
        return self.last.forward(x, t) + sum(0.5 * self.decay * np.sum(W**2) for W in weights)


class TwoLayers(Network):
    """A dictionary of parameters and functions, as in chapter 4."""

    def loss(self, x: Any, t: Any) -> Any:
        p, book = self.params, self.book
        hidden = book.sigmoid(np.dot(x, p["W1"]) + p["b1"])
        return book.cross_entropy_error(book.softmax(np.dot(hidden, p["W2"]) + p["b2"]), t)


def perceptron(kind: type[Network], book: Any, widths: tuple[int, ...], normalized: bool = False) -> Network:
    """Affine layers with activations between."""
    net, generator = kind(book), np.random.default_rng(0)
    for inputs, outputs in zip(widths, widths[1:], strict=False):  # noqa: RUF007
        net.add("Affine", generator.normal(size=(inputs, outputs)) / np.sqrt(inputs), np.zeros(outputs))
        if outputs != widths[-1]:
            if normalized:
                net.layers.append(book.BatchNormalization(np.ones(outputs), np.zeros(outputs)))
            net.layers.append(book.Relu())
    return net


def convolutional(book: Any) -> Network:
    """Ten filters of 3 x 3, pooling, two affine layers, on images of 10 x 10."""
    net, generator = Network(book), np.random.default_rng(0)
    net.add("Convolution", 0.1 * generator.normal(size=(10, 1, 3, 3)), np.zeros(10))
    net.layers += [book.Relu(), book.Pooling(2, 2, stride=2)]
    net.add("Affine", 0.1 * generator.normal(size=(160, 10)), np.zeros(10))
    net.layers.append(book.Relu())
    net.add("Affine", 0.1 * generator.normal(size=(10, 10)), np.zeros(10))
    return net


def cases() -> list[tuple[str, Any, Any, Any]]:
    """The chapter and a description, the network made of a book, samples and targets."""
    (x, t), _ = datasets.load_mnist()
    one_hot = np.eye(10)[t[:100]]

    def decaying(book: Any) -> Network:
        net = perceptron(Network, book, (784, 100, 100, 100, 10))
        net.decay = 0.1
        return net

    def made(kind: type[Network], widths: tuple[int, ...], normalized: bool = False) -> Any:
        return lambda book: perceptron(kind, book, widths, normalized)

    small = np.random.default_rng(1).random((1, 1, 10, 10))
    return [
        ("4: 784-50-10, functions, 100 images", made(TwoLayers, (784, 50, 10)), x[:100], one_hot),
        ("5: 784-50-10, layers, 3 images", made(Network, (784, 50, 10)), x[:3], one_hot[:3]),
        ("5: 784-50-10, layers, 100 images", made(Network, (784, 50, 10)), x[:100], one_hot),
        ("6: 784-100-100-100-10, weight decay, 100 images", decaying, x[:100], one_hot),
        ("6: 784-100-10, batch normalization, 1 image", made(Network, (784, 100, 10), True), x[:1], one_hot[:1]),
        ("7: convolution, pooling, two affine layers, 1 image", convolutional, small, np.array([1])),
    ]


def plainly(f: Any, x: Any, place: Any) -> float:
    """The textbook's quotient at one entry."""
    kept = x[place]
    x[place] = kept + 1e-4
    above = f(x)
    x[place] = kept - 1e-4
    below = f(x)
    x[place] = kept
    return float((above - below) / 2e-4)


def measure(make: Any, x: Any, t: Any) -> tuple[float, float, float, str]:
    """Seconds of the whole gradient plainly and with the drop-in, the largest difference, and how it was evaluated."""
    plain, fast = make(Plain), make(Dropin)
    generator = np.random.default_rng(0)
    for _ in range(2):  # the first compiles
        record.reset()
        start = time.perf_counter()
        found = {name: numerical_gradient(lambda _: fast.loss(x, t), array) for name, array in fast.params.items()}
        fast_seconds = time.perf_counter() - start
    seconds, worst = 0.0, 0.0
    for name, array in plain.params.items():
        places = [np.unravel_index(i, array.shape) for i in generator.integers(0, array.size, SAMPLE)]
        start = time.perf_counter()
        values = [plainly(lambda _: plain.loss(x, t), array, place) for place in places]
        seconds += (time.perf_counter() - start) * array.size / SAMPLE
        differences = [abs(found[name][place] - v) for place, v in zip(places, values, strict=True)]
        worst = max(worst, *differences)
    return seconds, fast_seconds, worst, " and ".join(sorted({entry.way for entry in record.entries()}))


def shown(seconds: float) -> str:
    """A time in its unit."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def main() -> None:
    """Measure all cases, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into DROPIN.md")
    options = parser.parse_args()
    lines = [
        "| chapter | plainly | drop-in | ratio | largest difference | by |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, make, x, t in cases():
        plain, fast, worst, way = measure(make, x, t)
        lines.append(f"| {name} | {shown(plain)} | {shown(fast)} | {plain / fast:.3g} | {worst:.1e} | {way} |")
        print(lines[-1], flush=True)
    if options.write:
        pages.write(PAGE, "chapters", "\n".join(lines))


if __name__ == "__main__":
    main()
