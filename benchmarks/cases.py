"""THE table of what is timed: sizes, FLOP, bytes, data, and the results that every implementation must reproduce.

Imports numpy and, straight from its file, fastnn.reference: nothing that a peer would not have in its process.
"""

import importlib.util
import itertools
import math
import pathlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.data import Data, some_entries

GROUPS = ("gradients", "operations", "products", "steps", "adam", "epochs", "inference", "contention")
LEARNING_RATE, MOMENTUM = 0.01, 0.9
COMPARED_STEPS = 3
ADAM_RATE = 1e-3
STEP = 1e-4  # of difference quotients
ORDER_SEED = 1  # of the random order of an epoch, which is part of what is timed
REDUCED_SIZE = 24
FLOAT = 4  # bytes


def _load_reference() -> Any:
    file = pathlib.Path(__file__).parents[1] / "fastnn" / "reference.py"
    spec = importlib.util.spec_from_file_location("fastnn_reference", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load_reference()


@dataclass(frozen=True)
class Case:
    """One row: what is done, on which sizes. `kind` says what the sizes mean, see KINDS."""

    name: str
    group: str
    kind: str
    sizes: tuple[int, ...]
    variant: str = ""  # the activation, or who is restricted to one thread
    quick: bool = False  # part of --quick
    least_threads: int = 1

    @property
    def flop(self) -> float:
        """Floating-point operations of the matrix products; 0 where there are none."""
        return KINDS[self.kind].flop(self.sizes)

    @property
    def bytes(self) -> float:
        """Bytes that must be read and written if nothing were in a cache; 0 where FLOP are what counts."""
        return KINDS[self.kind].bytes(self.sizes)

    @property
    def tolerance(self) -> float:
        """Largest difference from float64, relative to the norm of an array (of its change, for parameters)."""
        return KINDS[self.kind].tolerance

    @property
    def implementations(self) -> tuple[str, ...]:
        """Those that do this kind of work."""
        return KINDS[self.kind].implementations

    def data(self, mnist: pathlib.Path | None = None) -> Data:
        """Inputs and initial parameters in float32, always the same; `mnist` is a file for the cases that use it."""
        rng = np.random.default_rng(0)
        if self.kind in {"numerical_gradient", "deep_gradient"}:
            return data.gradient(rng, self.sizes, "dense" in self.variant, mnist)
        if self.kind == "epoch" and mnist is not None:
            with np.load(mnist) as stored:
                samples = stored["x"][: self.sizes[0], : self.sizes[2]], stored["t"][: self.sizes[0]]
            return {"x": samples[0], "t": samples[1], "params": data.parameters(rng, self.sizes[2:])}
        return KINDS[self.kind].data(rng, self.sizes)

    def expected(self, data: Data) -> list[Any]:
        """What the NumPy twin computes from the data in float64."""
        return KINDS[self.kind].expected(self, data)

    def reduced(self) -> "Case":
        """The same case, small enough for a test."""
        sizes = tuple(min(size, REDUCED_SIZE) for size in self.sizes)
        if self.kind == "epoch":
            sizes = (3 * sizes[1], *sizes[1:])  # several batches
        return replace(self, sizes=sizes)


@dataclass(frozen=True)
class Kind:
    """A kind of work: who does it, and functions of the sizes."""

    implementations: tuple[str, ...]
    data: Callable[[np.random.Generator, tuple[int, ...]], Data]
    expected: Callable[[Case, Data], list[Any]]
    tolerance: float
    flop: Callable[[tuple[int, ...]], float] = lambda sizes: 0.0
    bytes: Callable[[tuple[int, ...]], float] = lambda sizes: 0.0


# --- what must come out --------------------------------------------------------------------------------


def network_layers(widths: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Affine layers of these widths with ReLU between them, as fastnn.reference takes them."""
    return [layer for pair in itertools.pairwise(widths) for layer in (("affine", *pair), ("relu",))][:-1]


def gradient_layers(case: Case) -> list[tuple[Any, ...]]:
    """As network_layers, with the case's activation."""
    activation = (case.variant.split(",")[0],)
    return [activation if layer == ("relu",) else layer for layer in network_layers(case.sizes[1:])]


def _expected_gradient(case: Case, data: Data) -> list[Any]:
    """By back-propagation, from which the quotient differs by its truncation and at kinks: some entries, then all."""
    _, found = reference.network_gradient(gradient_layers(case), data["weights"], data["x"], data["t"])
    gradient = np.concatenate([value.ravel() for value in found.values()])
    return [gradient[some_entries(gradient.size)], gradient]


def _expected_function(case: Case, data: Data) -> list[Any]:
    x = data["x"]
    inner = 200.0 * (x[1:] - x[:-1] ** 2)
    gradient = np.zeros_like(x)
    gradient[1:] += inner
    gradient[:-1] -= 2.0 * x[:-1] * inner + 2.0 * (1.0 - x[:-1])
    return [gradient[some_entries(x.size)], gradient]


def _double(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _double(part) for key, part in value.items()}
    return value.astype(np.float64) if value.dtype.kind == "f" else value.copy()


def _expected_affine_forward(case: Case, data: Data) -> list[Any]:
    wide = _double(data)
    return [reference.affine_forward(wide["x"], wide["W"], wide["b"])]


def _expected_affine_backward(case: Case, data: Data) -> list[Any]:
    wide = _double(data)
    return list(reference.affine_backward(wide["dy"], wide["x"], wide["W"]))


def _expected_activation(case: Case, data: Data) -> list[Any]:
    return [reference.activation_forward(case.variant, _double(data["x"]))]


def _expected_loss(case: Case, data: Data) -> list[Any]:
    loss, dx = reference.softmax_cross_entropy(_double(data["x"]), data["t"])
    return [np.array(loss), dx]


def _expected_sgd(case: Case, data: Data) -> list[Any]:
    wide = _double(data)
    reference.sgd_update(wide["p"], wide["g"], LEARNING_RATE)
    return [wide["p"]]


def _expected_momentum(case: Case, data: Data) -> list[Any]:
    wide = _double(data)
    reference.momentum_update(wide["p"], wide["g"], wide["v"], LEARNING_RATE, MOMENTUM)
    return [wide["p"], wide["v"]]


def _expected_steps(case: Case, data: Data) -> list[Any]:
    """The losses of some steps, each before its update, and the parameters after them."""
    layers, wide = network_layers(case.sizes[1:]), _double(data)
    step = (layers, wide["params"], wide["x"], wide["t"], LEARNING_RATE)
    losses = [reference.network_step(*step) for _ in range(COMPARED_STEPS)]
    return [np.array(losses), *wide["params"].values()]


class AdamInNumpy:
    """A network in plain NumPy, trained by Adam."""

    def __init__(self, layers: list[tuple[Any, ...]], params: Data) -> None:
        self.layers, self.params, self.count = layers, params, 0
        self.means, self.squares = ({key: np.zeros_like(p) for key, p in params.items()} for _ in range(2))

    def step(self, x: Any, t: Any) -> float:
        """One step; the loss before it."""
        self.count += 1
        loss, gradient = reference.network_gradient(self.layers, self.params, x, t)
        reference.adam_update(self.params, gradient, self.means, self.squares, self.count, ADAM_RATE)
        return float(loss)


def _expected_adam_steps(case: Case, data: Data) -> list[Any]:
    wide = _double(data)
    network = AdamInNumpy(network_layers(case.sizes[1:]), wide["params"])
    losses = [network.step(wide["x"], wide["t"]) for _ in range(COMPARED_STEPS)]
    return [np.array(losses), *wide["params"].values()]


def epoch_order(rng: np.random.Generator, count: int) -> Any:
    """A random order of the samples, as Network.fit draws it."""
    order = np.arange(count)
    rng.shuffle(order)
    return order


def _expected_epoch(case: Case, data: Data) -> list[Any]:
    """The mean loss of an epoch and the parameters after it."""
    count, batch, *widths = case.sizes
    layers, params = network_layers(tuple(widths)), _double(data["params"])
    order = epoch_order(np.random.default_rng(ORDER_SEED), count)
    losses = []
    for rows in order.reshape(-1, batch):
        x, t = _double(data["x"][rows]), data["t"][rows]
        losses.append(reference.network_step(layers, params, x, t, LEARNING_RATE))
    return [np.mean(losses), *params.values()]


def _expected_predict(case: Case, data: Data) -> list[Any]:
    wide = _double(data)
    return [reference.network_forward(network_layers(case.sizes[1:]), wide["params"], wide["x"])]


def _expected_contention(case: Case, data: Data) -> list[Any]:
    """The product, as `a` times itself; then what the steps leave."""
    wide = _double(data["a"])
    return [wide @ wide, *_expected_steps(replace(case, sizes=case.sizes[1:]), data)]


# --- costs ---------------------------------------------------------------------------------------------


def _product_flop(sizes: tuple[int, ...]) -> float:
    return 2.0 * math.prod(sizes)


def _predict_flop(sizes: tuple[int, ...]) -> float:
    N, *widths = sizes
    return sum(2.0 * N * inputs * outputs for inputs, outputs in itertools.pairwise(widths))


def _step_flop(sizes: tuple[int, ...]) -> float:
    """Forward, the gradient by the weights, and by the inputs of all layers but the first."""
    first_layer = _predict_flop(sizes[:3])
    return 3.0 * _predict_flop(sizes) - first_layer


def _epoch_flop(sizes: tuple[int, ...]) -> float:
    return sizes[0] / sizes[1] * _step_flop(sizes[1:])


def _arrays(count: int) -> Callable[[tuple[int, ...]], float]:
    return lambda sizes: float(count * FLOAT * math.prod(sizes))


# --- the table -----------------------------------------------------------------------------------------

_ARRAY_LIBRARIES = ("numpy", "fastnn", "torch", "jax")
_NETWORK_LIBRARIES = ("numpy", "fastnn", "torch", "torch_compiled", "jax", "sklearn")
_STEP_IMPLEMENTATIONS = ("numpy", "fastnn", "fastnn_run", "torch", "torch_compiled", "jax", "jax_run", "sklearn")

# The sizes: D inputs, H outputs, K classes, N samples, P parameters, M rows; widths are D, H, ..., K.
KINDS = {
    # N, widths
    "numerical_gradient": Kind(("numpy", "numpy_loop", "fastnn"), data.batch, _expected_gradient, 1e-2),
    # N, widths; without the structured version in NumPy, of which one call takes minutes
    "deep_gradient": Kind(("numpy_loop", "fastnn"), data.batch, _expected_gradient, 1e-2),
    # variables
    "function_gradient": Kind(("numpy", "fastnn", "scipy", "numdifftools"), data.point, _expected_function, 1e-4),
    # N, D, H
    "affine_forward": Kind(_ARRAY_LIBRARIES, data.affine, _expected_affine_forward, 1e-5, flop=_product_flop),
    "affine_backward": Kind(
        _ARRAY_LIBRARIES, data.affine, _expected_affine_backward, 1e-5, flop=lambda s: 2 * _product_flop(s)
    ),
    "product": Kind(_ARRAY_LIBRARIES, data.product, _expected_affine_forward, 1e-5, flop=_product_flop),
    # elements
    "activation": Kind(_ARRAY_LIBRARIES, data.elements, _expected_activation, 1e-6, bytes=_arrays(2)),
    # N, K
    "softmax_cross_entropy": Kind(_ARRAY_LIBRARIES, data.logits, _expected_loss, 1e-5, bytes=_arrays(2)),
    # P
    "sgd_update": Kind(_ARRAY_LIBRARIES, data.update, _expected_sgd, 1e-6, bytes=_arrays(3)),
    "momentum_update": Kind(_ARRAY_LIBRARIES, data.update, _expected_momentum, 1e-6, bytes=_arrays(5)),
    # N, widths
    "step": Kind(_STEP_IMPLEMENTATIONS, data.batch, _expected_steps, 1e-3, flop=_step_flop),
    # N, widths; where a gradient is small, Adam divides its rounding by itself
    "adam_step": Kind(("numpy", "fastnn", "torch"), data.batch, _expected_adam_steps, 2e-2, flop=_step_flop),
    # samples, N, widths
    "epoch": Kind(_NETWORK_LIBRARIES, data.samples, _expected_epoch, 1e-3, flop=_epoch_flop),
    # N, widths
    "predict": Kind(_NETWORK_LIBRARIES[:-1], data.batch, _expected_predict, 1e-5, flop=_predict_flop),
    # M of a square product, then N and widths of a step
    "contention": Kind(("numpy", "fastnn", "both"), data.contention, _expected_contention, 1e-3),
}


def _by_shape(group: str, kind: str, shapes: list[Any], quick: list[Any]) -> list[Case]:
    return [Case(f"{kind} {'x'.join(map(str, sizes))}", group, kind, sizes, quick=sizes in quick) for sizes in shapes]


def _by_count(kind: str, counts: list[int], variant: str = "", quick: int = 0) -> list[Case]:
    name = variant or kind
    return [Case(f"{name} {count:,}", "operations", kind, (count,), variant, count == quick) for count in counts]


def _network(group: str, kind: str, quick: bool, leading: list[int], widths: tuple[int, ...]) -> Case:
    text = ", batch ".join(f"{size:,}" for size in leading)
    name = f"{kind} {text}, {'-'.join(map(str, widths))}"
    return Case(name, group, kind, (*leading, *widths), quick=quick)


_AFFINE = [(1, 784, 50), (100, 50, 10), (100, 784, 50), (128, 784, 256), (512, 512, 512)]
_SQUARE = [(n, n, n) for n in (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)]
_SKINNY = [(1, 784, 50), (100, 50, 10), (100, 784, 10), (1000, 784, 10), (10, 1000, 1000), (1000, 1000, 10)]
_BOOK = [(100, 784, 50), (784, 100, 50), (128, 784, 256)]

# Batch and widths; True for those that --quick takes.
_STEPS: list[tuple[bool, int, tuple[int, ...]]] = [
    (True, 1, (784, 50, 10)),
    (False, 10, (20, 16, 4)),
    (True, 32, (64, 32, 10)),
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
_IN_TURN = ("", "fastnn on one thread", "NumPy on one thread")

# Widths and the activation; True for those that --quick takes.
_GRADIENTS: list[tuple[bool, tuple[int, ...], str]] = [
    (True, (784, 50, 10), "sigmoid"),
    (False, (784, 50, 10), "sigmoid, dense inputs"),
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
    *(
        Case(f"gradient of a {variant} f of {n:,}", "gradients", "function_gradient", (n,), variant, quick=n == 1000)
        for variant in ("compiled", "plain")
        for n in (10, 100, 1000, 10_000)
        if variant == "compiled" or n <= 1000
    ),
    *_by_shape("operations", "affine_forward", _AFFINE, [(100, 784, 50)]),
    *_by_shape("operations", "affine_backward", _AFFINE, [(100, 784, 50)]),
    *_by_count("activation", [10_000, 1_000_000], "sigmoid", quick=10_000),
    *_by_count("activation", [10_000, 1_000_000], "tanh"),
    *_by_count("activation", [10_000, 1_000_000], "relu"),
    *_by_count("activation", [10_000, 1_000_000], "elu"),
    *_by_shape("operations", "softmax_cross_entropy", [(100, 10), (1000, 10), (1000, 1000)], [(100, 10)]),
    *_by_count("sgd_update", [40_000, 4_000_000], quick=40_000),
    *_by_count("momentum_update", [40_000, 4_000_000]),
    *_by_shape("products", "product", [*_SQUARE, *_SKINNY, *_BOOK], [(128, 128, 128), (512, 512, 512)]),
    *(_network("steps", "step", quick, [batch], widths) for quick, batch, widths in _STEPS),
    *(_network("adam", "adam_step", n == 100, [n], widths) for n, widths in _ADAM_STEPS),
    *(_network("epochs", "epoch", h == 50, [60_000, 100], (784, h, 10)) for h in (50, 256)),
    *(_network("inference", "predict", h == 50, [n], (784, h, 10)) for n in (1, 1000) for h in (50, 256)),
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
