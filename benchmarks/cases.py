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

Data = dict[str, Any]

GROUPS = ("operations", "products", "steps", "epochs", "inference", "contention")
LEARNING_RATE, MOMENTUM = 0.01, 0.9
COMPARED_STEPS = 3
ORDER_SEED = 1  # of the random order of an epoch, which is part of what is timed
ZEROS = 0.81  # the share of MNIST's pixels that are 0
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
        if self.kind == "epoch" and mnist is not None:
            with np.load(mnist) as stored:
                samples = stored["x"][: self.sizes[0], : self.sizes[2]], stored["t"][: self.sizes[0]]
            return {"x": samples[0], "t": samples[1], "params": _parameters(rng, self.sizes[2:])}
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


# --- data --------------------------------------------------------------------------------------------


def _normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape, dtype=np.float32)


def _affine(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    N, D, H = sizes
    return {"x": _normal(rng, N, D), "W": _normal(rng, D, H), "b": _normal(rng, H), "dy": _normal(rng, N, H)}


def _product(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {**_affine(rng, sizes), "b": np.zeros(sizes[2], np.float32)}


def _elements(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {"x": 3.0 * _normal(rng, *sizes)}


def _logits(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {"x": 3.0 * _normal(rng, *sizes), "t": rng.integers(0, sizes[1], sizes[0])}


def _update(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {"p": _normal(rng, *sizes), "g": _normal(rng, *sizes), "v": _normal(rng, *sizes)}


def _parameters(rng: np.random.Generator, widths: tuple[int, ...]) -> dict[str, Any]:
    """Weights for ReLU (He et al., 2015) and zero biases: W1, b1, W2, ..."""
    params: dict[str, Any] = {}
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
        params[f"W{number}"] = _normal(rng, inputs, outputs) * np.float32(math.sqrt(2.0 / inputs))
        params[f"b{number}"] = np.zeros(outputs, np.float32)
    return params


def _batch(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    N, *widths = sizes
    x, t = rng.random((N, widths[0]), np.float32), rng.integers(0, widths[-1], N)
    return {"x": x, "t": t, "params": _parameters(rng, tuple(widths))}


def _samples(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    """Samples with as many zeros as MNIST, labelled by a random linear map; made in blocks to keep the memory low."""
    count, _, *widths = sizes
    x = np.empty((count, widths[0]), np.float32)
    t = np.empty(count, np.int64)
    teacher = _normal(rng, widths[0], widths[-1])
    for block in np.array_split(np.arange(count), max(1, count // 1000)):
        pixels = rng.random((len(block), widths[0]), np.float32)
        x[block] = np.where(pixels < ZEROS, 0, (pixels - ZEROS) / (1 - ZEROS))
        t[block] = np.argmax(x[block] @ teacher, axis=1)
    return {"x": x, "t": t, "params": _parameters(rng, tuple(widths))}


def _contention(rng: np.random.Generator, sizes: tuple[int, ...]) -> Data:
    return {"a": _normal(rng, sizes[0], sizes[0]), **_batch(rng, sizes[1:])}


# --- what must come out --------------------------------------------------------------------------------


def network_layers(widths: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Affine layers of these widths with ReLU between them, as fastnn.reference takes them."""
    return [layer for pair in itertools.pairwise(widths) for layer in (("affine", *pair), ("relu",))][:-1]


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
    # N, D, H
    "affine_forward": Kind(_ARRAY_LIBRARIES, _affine, _expected_affine_forward, 1e-5, flop=_product_flop),
    "affine_backward": Kind(
        _ARRAY_LIBRARIES, _affine, _expected_affine_backward, 1e-5, flop=lambda s: 2 * _product_flop(s)
    ),
    "product": Kind(_ARRAY_LIBRARIES, _product, _expected_affine_forward, 1e-5, flop=_product_flop),
    # elements
    "activation": Kind(_ARRAY_LIBRARIES, _elements, _expected_activation, 1e-6, bytes=_arrays(2)),
    # N, K
    "softmax_cross_entropy": Kind(_ARRAY_LIBRARIES, _logits, _expected_loss, 1e-5, bytes=_arrays(2)),
    # P
    "sgd_update": Kind(_ARRAY_LIBRARIES, _update, _expected_sgd, 1e-6, bytes=_arrays(3)),
    "momentum_update": Kind(_ARRAY_LIBRARIES, _update, _expected_momentum, 1e-6, bytes=_arrays(5)),
    # N, widths
    "step": Kind(_STEP_IMPLEMENTATIONS, _batch, _expected_steps, 1e-3, flop=_step_flop),
    # samples, N, widths
    "epoch": Kind(_NETWORK_LIBRARIES, _samples, _expected_epoch, 1e-3, flop=_epoch_flop),
    # N, widths
    "predict": Kind(_NETWORK_LIBRARIES[:-1], _batch, _expected_predict, 1e-5, flop=_predict_flop),
    # M of a square product, then N and widths of a step
    "contention": Kind(("numpy", "fastnn", "both"), _contention, _expected_contention, 1e-3),
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
_IN_TURN = ("", "fastnn on one thread", "NumPy on one thread")

CASES: tuple[Case, ...] = (
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
