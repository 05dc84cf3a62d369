"""The table of timed cases: sizes, FLOP, bytes, data, and the results that every implementation must reproduce."""

import itertools
import math
import pathlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks import data, expected, images
from benchmarks.data import Data

GROUPS = (
    "gradients", "small", "operations", "activations", "losses", "products", "steps", "optimizers", "layers", "models",
    "epochs", "inference", "images", "contention",
)  # fmt: skip
REDUCED_SIZE = 24
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Case:
    """One row: a kind of work and its sizes; KINDS says what the sizes of each kind mean."""

    name: str
    group: str
    kind: str
    sizes: tuple[int, ...]
    variant: str = ""  # the activation, the network of images, or who is restricted to one thread
    quick: bool = False  # part of --quick
    least_threads: int = 1

    @property
    def flop(self) -> float:
        """Floating-point operations of the matrix products; 0 if there are none."""
        if self.group == "images":
            return images.flop(self)
        return KINDS[self.kind].flop(self.sizes)

    @property
    def bytes(self) -> float:
        """Bytes that would be read and written if nothing were in a cache; 0 if FLOP are counted instead."""
        return KINDS[self.kind].bytes(self.sizes)

    @property
    def tolerance(self) -> float:
        """Largest difference from float64, relative to the norm of an array (of its change, for parameters)."""
        return KINDS[self.kind].tolerance

    @property
    def implementations(self) -> tuple[str, ...]:
        """The implementations that do this kind of work; small calls are timed neither in runs nor compiled anew."""
        found = KINDS[self.kind].implementations
        return tuple(name for name in found if name in _ARRAY_LIBRARIES) if self.group == "small" else found

    def data(self, mnist: pathlib.Path | None = None) -> Data:
        """Inputs and initial parameters in float32, always the same; `mnist` is a file for the cases that use it."""
        rng = np.random.default_rng(0)
        if self.kind in {"numerical_gradient", "deep_gradient", "dropin_gradient"}:
            return data.gradient(rng, self.sizes, "dense" in self.variant, mnist)
        if self.kind == "epoch" and mnist is not None:
            with np.load(mnist) as stored:
                samples = stored["x"][: self.sizes[0], : self.sizes[2]], stored["t"][: self.sizes[0]]
            return {"x": samples[0], "t": samples[1], "params": data.parameters(rng, self.sizes[2:])}
        if self.group == "images":
            return images.batch(rng, self)
        if self.kind == "layer_step":
            return data.batch_for_layers(rng, self.sizes, expected.reference.UNITS[self.variant].parameters)
        if self.kind == "loss":
            losses = expected.reference.losses
            targets = losses.TARGETS.get(self.variant, "values")
            return data.outputs(rng, self.sizes, targets, self.variant in losses.OF_PROBABILITIES)
        return KINDS[self.kind].data(rng, self.sizes)

    def expected(self, data: Data) -> list[Any]:
        """The results of the NumPy twin from the data in float64."""
        return KINDS[self.kind].expected(self, data)

    def reduced(self) -> "Case":
        """The same case, small enough for a test."""
        sizes = tuple(min(size, REDUCED_SIZE) for size in self.sizes)
        if self.kind == "epoch":
            sizes = (3 * sizes[1], *sizes[1:])  # several batches
        return replace(self, sizes=sizes)


@dataclass(frozen=True)
class Kind:
    """A kind of work: its implementations, and functions of the sizes."""

    implementations: tuple[str, ...]
    data: Callable[[np.random.Generator, tuple[int, ...]], Data]
    expected: Callable[[Case, Data], list[Any]]
    tolerance: float
    flop: Callable[[tuple[int, ...]], float] = lambda sizes: 0.0
    bytes: Callable[[tuple[int, ...]], float] = lambda sizes: 0.0


# --- costs ---------------------------------------------------------------------------------------------


def _product_flop(sizes: tuple[int, ...]) -> float:
    return 2.0 * math.prod(sizes)


def _predict_flop(sizes: tuple[int, ...]) -> float:
    N, *widths = sizes
    return sum(2.0 * N * inputs * outputs for inputs, outputs in itertools.pairwise(widths))


def _step_flop(sizes: tuple[int, ...]) -> float:
    """FLOP of the forward pass and of the gradients by the weights, and by the inputs of all layers but the first."""
    first_layer = _predict_flop(sizes[:3])
    return 3.0 * _predict_flop(sizes) - first_layer


def _epoch_flop(sizes: tuple[int, ...]) -> float:
    return sizes[0] / sizes[1] * _step_flop(sizes[1:])


def _arrays(count: int) -> Callable[[tuple[int, ...]], float]:
    return lambda sizes: float(count * FLOAT * math.prod(sizes))


# --- the table -----------------------------------------------------------------------------------------

_ARRAY_LIBRARIES = ("numpy", "fastnn", "torch", "jax")
_NETWORK_LIBRARIES = ("numpy", "fastnn", "torch", "torch_compiled", "jax", "sklearn")
_RUNTIMES = ("onnxruntime", "openvino")
_STEP_IMPLEMENTATIONS = ("numpy", "fastnn", "fastnn_run", "torch", "torch_compiled", "jax", "jax_run", "sklearn")

# The sizes: D inputs, H outputs, K classes, N samples, P parameters, M rows; widths are D, H, ..., K.
KINDS = {
    # N, widths
    "numerical_gradient": Kind(("numpy", "numpy_loop", "fastnn"), data.batch, expected.gradient, 1e-2),
    # N, widths; without the structured version in NumPy, of which one call takes minutes
    "deep_gradient": Kind(("numpy_loop", "fastnn"), data.batch, expected.gradient, 1e-2),
    # N, widths of the book's network of two layers
    "dropin_gradient": Kind(("numpy_loop", "fastnn"), data.batch, expected.gradient, 1e-2),
    # variables
    "function_gradient": Kind(("numpy", "fastnn", "scipy", "numdifftools"), data.point, expected.function, 1e-4),
    # N, D, H
    "affine_forward": Kind(_ARRAY_LIBRARIES, data.affine, expected.affine_forward, 1e-5, flop=_product_flop),
    "affine_backward": Kind(
        _ARRAY_LIBRARIES, data.affine, expected.affine_backward, 1e-5, flop=lambda s: 2 * _product_flop(s)
    ),
    "product": Kind(_ARRAY_LIBRARIES, data.product, expected.affine_forward, 1e-5, flop=_product_flop),
    # elements
    "activation": Kind(_ARRAY_LIBRARIES, data.elements, expected.activation, 1e-6, bytes=_arrays(2)),
    # N, K
    "activation_backward": Kind(
        _ARRAY_LIBRARIES[:2], data.slopes, expected.activation_backward, 1e-6, bytes=_arrays(4)
    ),
    # N, K
    "softmax_of_rows": Kind(_ARRAY_LIBRARIES, data.elements, expected.activation, 1e-6, bytes=_arrays(2)),
    "loss": Kind(_ARRAY_LIBRARIES[:3], data.logits, expected.loss, 1e-5, bytes=_arrays(3)),
    "softmax_cross_entropy": Kind(_ARRAY_LIBRARIES, data.logits, expected.loss, 1e-5, bytes=_arrays(2)),
    # P
    "sgd_update": Kind(_ARRAY_LIBRARIES, data.update, expected.sgd, 1e-6, bytes=_arrays(3)),
    "momentum_update": Kind(_ARRAY_LIBRARIES, data.update, expected.momentum, 1e-6, bytes=_arrays(5)),
    # N, widths
    "step": Kind(_STEP_IMPLEMENTATIONS, data.batch, expected.steps, 1e-3, flop=_step_flop),
    # N, widths; all but Nesterov divide a small gradient's rounding by the gradient
    "optimizer_step": Kind(("numpy", "fastnn", "torch"), data.batch, expected.optimizer_steps, 2e-2, flop=_step_flop),
    # N, widths
    "layer_step": Kind(("numpy", "fastnn", "torch"), data.batch, expected.steps, 1e-3, flop=_step_flop),
    # N, D; each epoch also counts the samples that it leaves wrong
    "perceptron": Kind(
        ("numpy", "fastnn"),
        data.classes,
        expected.perceptron,
        1e-9,
        flop=lambda s: 4.0 * expected.PERCEPTRON_EPOCHS * math.prod(s),
    ),
    # slopes, intercepts, N; an error is w x + b - t, and its square is added
    "line_fit_losses": Kind(
        ("numpy", "fastnn"), data.lines, expected.line_fit_losses, 1e-9, flop=lambda s: 5.0 * math.prod(s)
    ),
    # samples, N, widths
    "epoch": Kind(_NETWORK_LIBRARIES, data.samples, expected.epoch, 1e-3, flop=_epoch_flop),
    # N, widths
    "predict": Kind((*_NETWORK_LIBRARIES[:-1], *_RUNTIMES), data.batch, expected.predict, 1e-5, flop=_predict_flop),
    # N, the side of an image; the variant says which network. One of 30,000 inputs of ReLU that rounds to the other
    # side of 0 changes the gradient of a unit's weights by 1e-2.
    "image_step": Kind(_NETWORK_LIBRARIES[:-1], data.batch, images.steps, 2e-2),
    "image_predict": Kind((*_NETWORK_LIBRARIES[:-1], *_RUNTIMES), data.batch, images.predict, 1e-5),
    # M of a square product, then N and widths of a step
    "contention": Kind(("numpy", "fastnn", "both"), data.contention, expected.contention, 1e-3),
}


def _by_shape(group: str, kind: str, shapes: list[Any], quick: list[Any]) -> list[Case]:
    return [Case(f"{kind} {'x'.join(map(str, sizes))}", group, kind, sizes, quick=sizes in quick) for sizes in shapes]


def _by_count(kind: str, counts: list[int], variant: str = "", quick: int = 0) -> list[Case]:
    name = variant or kind
    return [Case(f"{name} {count:,}", "operations", kind, (count,), variant, count == quick) for count in counts]


def _of_elements(kind: str, name: str) -> Case:
    title = f"{name} backward" if kind == "activation_backward" else name
    return Case(f"{title} 1,000,000", "activations", kind, (1_000_000,), name)


def _network(
    group: str, kind: str, quick: bool, leading: list[int], widths: tuple[int, ...], variant: str = ""
) -> Case:
    text = ", batch ".join(f"{size:,}" for size in leading)
    title = f"{variant} step" if variant else kind
    name = f"{title} {text}, {'-'.join(map(str, widths))}"
    return Case(name, group, kind, (*leading, *widths), variant, quick)


_AFFINE = [(1, 784, 50), (100, 50, 10), (100, 784, 50), (128, 784, 256), (512, 512, 512)]
_SQUARE = [(n, n, n) for n in (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)]
_SKINNY = [(1, 784, 50), (100, 50, 10), (100, 784, 10), (1000, 784, 10), (10, 1000, 1000), (1000, 1000, 10)]
_BOOK = [(100, 784, 50), (784, 100, 50), (128, 784, 256)]

# Batch and widths; True for the ones in --quick.
_STEPS: list[tuple[bool, int, tuple[int, ...]]] = [
    (True, 1, (784, 50, 10)),
    (False, 7, (19, 23, 3)),
    (False, 10, (20, 16, 4)),
    (True, 32, (64, 32, 10)),
    (False, 50, (300, 70, 12)),
    (False, 64, (256, 128, 64, 10)),
    (True, 100, (784, 50, 10)),
    (False, 100, (784, 100, 100, 10)),
    (False, 1000, (784, 50, 10)),
    (True, 128, (784, 256, 10)),
    (False, 128, (784, 512, 512, 10)),
    (False, 1024, (784, 256, 10)),
    (False, 256, (1024, 1024, 1024, 10)),
    (False, 512, (2048, 2048, 2048, 100)),
]
_ADAM_STEPS = [(100, (784, 50, 10)), (128, (784, 256, 10)), (128, (784, 512, 512, 10))]
# Those that no other group has.
_UPDATES = [name.removesuffix("_update") for name in vars(expected.reference) if name.endswith("_update")]
_OTHER_OPTIMIZERS = (*(name for name in _UPDATES if name not in ("sgd", "momentum", "adam")), "adamw")
_IN_OPERATIONS = ("sigmoid", "tanh", "relu", "elu")
_ACTIVATIONS = [name for name in expected.reference.ACTIVATIONS if name not in (*_IN_OPERATIONS, "softmax")]
_LOSSES = [name for name in expected.reference.LOSSES if name != "softmax_cross_entropy"]
_IN_TURN = ("", "fastnn on one thread", "NumPy on one thread")


def _small(n: int) -> list[Case]:
    """Every operation on n rows and columns; losses and networks of at least 3 classes."""
    k = max(n, 3)
    named = [
        *((kind, kind, (n, n, n), "") for kind in ("affine_forward", "affine_backward")),
        *((name, "activation", (n * n,), name) for name in ("relu", "sigmoid")),
        ("softmax", "softmax_of_rows", (n, k), "softmax"),
        ("softmax_cross_entropy", "softmax_cross_entropy", (n, k), ""),
        ("mean_squared_error", "loss", (n, k), "mean_squared_error"),
        *((kind, kind, (n * n,), "") for kind in ("sgd_update", "momentum_update")),
    ]
    of_networks = [_network("small", kind, n == 4, [n], (n, n, k)) for kind in ("predict", "step")]
    return [
        *(
            Case(
                f"{title} of {'x'.join(map(str, sizes if len(sizes) > 1 else (n, n)))}",
                "small",
                kind,
                sizes,
                variant,
                n == 4,
            )
            for title, kind, sizes, variant in named
        ),
        *of_networks,
    ]


# Widths and the activation; True for the ones in --quick.
_GRADIENTS: list[tuple[bool, tuple[int, ...], str]] = [
    (True, (784, 50, 10), "sigmoid"),
    (False, (784, 50, 10), "sigmoid, dense inputs"),
    (False, (784, 61, 37, 10), "tanh"),
    (False, (784, 100, 100, 10), "relu"),
]

CASES: tuple[Case, ...] = (
    *(
        Case(
            f"numerical gradient 100, {'-'.join(map(str, widths))}, {variant}",
            "gradients",
            "numerical_gradient" if len(widths) == 3 else "deep_gradient",
            (100, *widths),
            variant,
            quick,
        )
        for quick, widths, variant in _GRADIENTS
    ),
    Case(
        "numerical gradient of the drop-in 100, 784-50-10, sigmoid",
        "gradients",
        "dropin_gradient",
        (100, 784, 50, 10),
        "sigmoid",
    ),
    *(
        Case(f"gradient of a {variant} f of {n:,}", "gradients", "function_gradient", (n,), variant, quick=n == 1000)
        for variant in ("compiled", "plain")
        for n in (10, 100, 1000, 10_000)
        if variant == "compiled" or n <= 1000
    ),
    *(case for n in (1, 4, 16, 64) for case in _small(n)),
    *_by_shape("operations", "affine_forward", _AFFINE, [(100, 784, 50)]),
    *_by_shape("operations", "affine_backward", _AFFINE, [(100, 784, 50)]),
    *_by_count("activation", [10_000, 1_000_000], "sigmoid", quick=10_000),
    *_by_count("activation", [10_000, 1_000_000], "tanh"),
    *_by_count("activation", [10_000, 1_000_000], "relu"),
    *_by_count("activation", [10_000, 1_000_000], "elu"),
    *_by_shape("operations", "softmax_cross_entropy", [(100, 10), (1000, 10), (1000, 1000)], [(100, 10)]),
    *_by_count("sgd_update", [40_000, 4_000_000], quick=40_000),
    *_by_count("momentum_update", [40_000, 4_000_000]),
    *(_of_elements("activation", name) for name in _ACTIVATIONS),
    Case("softmax 1000x1000", "activations", "softmax_of_rows", (1000, 1000), "softmax"),
    *(_of_elements("activation_backward", name) for name in (*_IN_OPERATIONS, *_ACTIVATIONS)),
    *(Case(f"{name} 1000x100", "losses", "loss", (1000, 100), name) for name in _LOSSES),
    *_by_shape("products", "product", [*_SQUARE, *_SKINNY, *_BOOK], [(128, 128, 128), (512, 512, 512)]),
    *(_network("steps", "step", quick, [batch], widths) for quick, batch, widths in _STEPS),
    *(_network("optimizers", "optimizer_step", n == 100, [n], widths, "adam") for n, widths in _ADAM_STEPS),
    *(_network("optimizers", "optimizer_step", False, [100], (784, 50, 10), name) for name in _OTHER_OPTIMIZERS),
    *(
        _network("layers", "layer_step", False, [n], (784, n, 10), name)
        for name, operation in expected.reference.UNITS.items()
        if operation.parameters
        for n in (100, 256)
    ),
    *_by_shape("models", "perceptron", [(1000, 20), (1000, 784)], []),
    *_by_shape("models", "line_fit_losses", [(200, 200, 1000)], []),
    *(_network("epochs", "epoch", h == 50, [60_000, 100], (784, h, 10)) for h in (50, 256)),
    *(
        _network("inference", "predict", n != 32 and widths == (784, 50, 10), [n], widths)
        for n in (1, 32, 1000)
        for widths in ((784, 50, 10), (784, 256, 10), (784, 512, 512, 10))
    ),
    *(
        Case(f"{name} {work} {N}", "images", f"image_{work}", (N, 28), name, quick=name == "LeNet-5" and N == 32)
        for work in ("step", "predict")
        for name in images.NETWORKS
        for N in (1, 32, 100)
    ),
    *(
        Case(
            ", ".join(filter(None, ["product 512x512x512 and step 100, 784-50-10", variant])),
            "contention",
            "contention",
            (512, 100, 784, 50, 10),
            variant,
            least_threads=2 if variant else 1,
        )
        for variant in _IN_TURN
    ),
)
BY_NAME = {case.name: case for case in CASES}
