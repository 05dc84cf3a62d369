"""Sizes, inputs, guarded buffers, and one table of problems for all operations, for the tests of several files.

A *problem* is a call of a public operation: its name, its arrays by the names of their parameters, its other arguments.
The same problem is put to `fastnn` and to `fastnn.reference`.
"""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fastnn import reference
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.operations import ACTIVATIONS, LAYERS, LOSSES, UPDATES
from fastnn.operations.losses.base import SHARES, SIGNS

Array: TypeAlias = npt.NDArray[Any]
FloatType: TypeAlias = type[np.float32] | type[np.float64]
Shape: TypeAlias = tuple[int, int, int]

DTYPES: tuple[FloatType, ...] = (np.float32, np.float64)

# Below, at and above what a vector, a tile and a panel hold, in both dtypes and at each width of vectors.
SIZES = (1, 2, 7, 15, 16, 17, 33, 50, 65, 100)

# (N, D, H) with every size once in each place, and one of several panels that are not filled.
_EVERY_SIZE = [(SIZES[i], SIZES[(3 * i + 1) % 10], SIZES[(7 * i + 2) % 10]) for i in range(10)]
_LARGEST = 20_000 if JIT_DISABLED else 200_000  # N D H; without the compiler an element takes microseconds
SHAPES: list[Shape] = [shape for shape in [*_EVERY_SIZE, (3, 5, 129)] if math.prod(shape) <= _LARGEST]
SMALL_SHAPE: Shape = (7, 5, 3)
# Every operation takes more than threads.SMALL_WORK there, the cheapest of them D H multiplications and subtractions.
THREADED_SHAPE: Shape = (33, 17, 15) if JIT_DISABLED else (211, 331, 320)

SUBNORMAL = {np.float32: 1e-40, np.float64: 1e-310}


def numbers(seed: int, *shape: int, dtype: npt.DTypeLike = np.float64) -> Array:
    """Standard normal numbers that float32 holds exactly, so that both dtypes see the same."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32).astype(dtype)


def special_numbers(seed: int, *shape: int, dtype: FloatType = np.float64) -> Array:
    """Standard normal numbers and every special value among them, each in a row of its own if there are enough rows."""
    array = numbers(seed, *shape, dtype=dtype)
    tiny = SUBNORMAL[dtype]
    specials = [np.nan, np.inf, -np.inf, -0.0, 0.0, tiny, -tiny]
    rows = array.reshape(shape[0], -1)
    for i, value in enumerate(specials[: shape[0]]):
        rows[i, (seed + i) % rows.shape[1]] = value
    return array


LAYERS_OF_ROWS = [kind for kind in LAYERS.values() if not kind.takes_images]

Numbers: TypeAlias = Callable[..., Array]


# Operations that return dx, dW and db.
OF_THREE = ("affine_backward", "conv2d_backward")


class Problem(NamedTuple):
    """A call of a public operation."""

    operation: str
    arrays: dict[str, Array]
    options: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it
    results: tuple[tuple[int, ...], ...] = ()  # shapes of the results that `out` receives
    in_place: str = ""  # the array that `out` may be
    updated: tuple[str, ...] = ()  # arrays that are overwritten; the others are inputs

    def with_arrays(self, change: Callable[[Array], Array]) -> "Problem":
        """The problem with other arrays."""
        return self._replace(arrays={name: change(array) for name, array in self.arrays.items()})

    def copy(self) -> "Problem":
        """The problem with arrays of its own."""
        return self.with_arrays(lambda array: array.copy())

    def in_float64(self) -> "Problem":
        """The problem as the oracle gets it."""
        return self.with_arrays(lambda array: array.astype(np.float64) if array.dtype.kind == "f" else array)

    def inputs(self) -> dict[str, Array]:
        """The arrays that the operation only reads."""
        return {name: array for name, array in self.arrays.items() if name not in self.updated}

    def solve(self, module: ModuleType, out: Any = None) -> tuple[Any, ...]:
        """Arrays and floats that the operation of this module returns, or the arrays that it updates."""
        given = {} if out is None else {"out": out}
        solution = getattr(module, self.operation)(**self.arrays, **self.options, **given)
        if self.updated:
            assert solution is None
            return tuple(self.arrays[name] for name in self.updated)
        return solution if isinstance(solution, tuple) else (solution,)

    def as_out(self, arrays: list[Array]) -> Any:
        """Arrays of the shapes in `results` as the argument `out`."""
        return (None,) * (3 - len(arrays)) + tuple(arrays) if self.operation in OF_THREE else arrays[0]

    def outputs(self, solution: tuple[Any, ...]) -> tuple[Array, ...]:
        """The arrays of a solution that `out` receives: neither a loss nor a dx that was not asked for."""
        return tuple(part for part in solution if isinstance(part, np.ndarray))


def _affine_forward(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
    n, d, h = shape
    x, W, b = make(1, n, d, dtype=dtype), make(2, d, h, dtype=dtype), numbers(3, h, dtype=dtype)
    W /= dtype(2 ** round(math.log2(d) / 2))  # sums of order 1, and every number still one of float32
    return Problem("affine_forward", {"x": x, "W": W, "b": b}, results=((n, h),))


def _affine_backward(shape: Shape, dtype: FloatType, make: Numbers, need_dx: bool = True) -> Problem:
    n, d, h = shape
    dy, x, W = make(1, n, h, dtype=dtype), make(2, n, d, dtype=dtype), make(3, d, h, dtype=dtype)
    dy /= dtype(2 ** round(math.log2(n) / 2))
    W /= dtype(2 ** round(math.log2(h) / 2))
    results = ((n, d), (d, h), (h,)) if need_dx else ((d, h), (h,))
    return Problem("affine_backward", {"dy": dy, "x": x, "W": W}, {"need_dx": need_dx}, results)


def _affine_backward_without_dx(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
    return _affine_backward(shape, dtype, make, need_dx=False)


def _images(shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Sizes of images (N, C, H, W), filters, and options that follow from N, D and H, with every rest of a tile."""
    n, d, h = shape
    size = (min(n, 70), 1 + d % 5, 3 + h % 11, 3 + d % 13)
    return size, (1 + h % 31, size[1], 2 + n % 2, 3), {"stride": 1 + d % 2, "padding": h % 3}


def _conv2d_forward(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
    size, filters, options = _images(shape)
    x, W, b = make(1, *size, dtype=dtype), make(2, *filters, dtype=dtype), numbers(3, filters[0], dtype=dtype)
    W /= dtype(2 ** round(math.log2(math.prod(filters[1:])) / 2))
    y = reference.conv2d_forward(x, W, b, **options)
    return Problem("conv2d_forward", {"x": x, "W": W, "b": b}, options, (y.shape,))


def _conv2d_backward(shape: Shape, dtype: FloatType, make: Numbers, need_dx: bool = True) -> Problem:
    size, filters, options = _images(shape)
    x, W = (
        numbers(1, *size, dtype=dtype),
        numbers(2, *filters, dtype=dtype),
    )  # for NaN there see test_functional_images.py
    dy = make(3, *reference.conv2d_forward(x, W, W[:, 0, 0, 0], **options).shape, dtype=dtype)
    dy /= dtype(2 ** round(math.log2(dy.size / dy.shape[1]) / 2))
    W /= dtype(2 ** round(math.log2(W.size / W.shape[1]) / 2))
    results = (x.shape, W.shape, (filters[0],))[not need_dx :]
    return Problem("conv2d_backward", {"dy": dy, "x": x, "W": W}, options | {"need_dx": need_dx}, results)


def _conv2d_backward_without_dx(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
    return _conv2d_backward(shape, dtype, make, need_dx=False)


OTHER_OPTIONS = {"alpha": 0.75, "at_zero": 1.0, "slope": 0.25}  # of activations, not their defaults


def _activation_options(name: str) -> dict[str, Any]:
    option = ACTIVATIONS[name].option
    return {"name": name} | ({option: OTHER_OPTIONS[option]} if option else {})


def _activation_forward(name: str) -> Callable[[Shape, FloatType, Numbers], Problem]:
    def problem(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
        x = 4 * make(1, shape[0], shape[2], dtype=dtype)
        return Problem("activation_forward", {"x": x}, _activation_options(name), (x.shape,), in_place="x")

    return problem


def _activation_backward(name: str) -> Callable[[Shape, FloatType, Numbers], Problem]:
    def problem(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
        options = _activation_options(name)
        dy, x = numbers(1, shape[0], shape[2], dtype=dtype), make(2, shape[0], shape[2], dtype=dtype)
        y = reference.activation_forward(x=x.astype(np.float64), **options).astype(dtype)
        return Problem("activation_backward", {"dy": dy, "x": x, "y": y}, options, (x.shape,), in_place="dy")

    return problem


def _softmax(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
    n, d, h = shape
    x = 4 * make(1, n, min(d, 3), h, dtype=dtype)
    return Problem("softmax", {"x": x}, results=(x.shape,), in_place="x")


def targets(kind: str, n: int, k: int, dtype: FloatType) -> Array:
    """labels, one_hot rows or probabilities, the first of which are 0 and 1."""
    labels = np.random.default_rng(4).integers(0, k, n)
    if kind == "labels":
        return labels
    if kind == "one_hot":
        return np.eye(k, dtype=dtype)[labels]
    return reference.softmax(3 * numbers(5, n, k)).astype(dtype)


def targets_of(loss: Any, n: int, k: int, dtype: FloatType) -> Array:
    """Targets that a network's loss takes, of k outputs."""
    kind = LOSSES[loss]
    if kind.accepts == SHARES or loss == "kl_divergence":
        return targets("probabilities", n, k, dtype)
    if kind().takes_classes and (k > 1 or kind.compares_classes):
        return targets("labels", n, k, dtype)
    values = numbers(6, n, k, dtype=dtype)
    return np.sign(values) if kind.accepts == SIGNS else values


def outputs_of(loss: Any, n: int, k: int, dtype: FloatType, make: Numbers = numbers) -> tuple[str, Array]:
    """How a loss of arrays calls its outputs, and outputs that it takes."""
    kind, y = LOSSES[loss], make(1, n, k, dtype=dtype)
    if kind.follows:
        with np.errstate(all="ignore"):
            y = reference.activation_forward(kind.follows[0], y)
    return "x" if kind.applies else "y", y


def _softmax_cross_entropy(kind: str) -> Callable[[Shape, FloatType, Numbers], Problem]:
    def problem(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
        n, _, k = shape
        x = 4 * make(1, n, k, dtype=dtype)
        return Problem("softmax_cross_entropy", {"x": x, "t": targets(kind, n, k, dtype)}, results=((n, k),))

    return problem


def _mean_squared_error(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
    n, _, k = shape
    y, t = make(1, n, k, dtype=dtype), make(2, n, k, dtype=dtype)
    return Problem("mean_squared_error", {"y": y, "t": t}, results=((n, k),))


def _loss(name: str) -> Callable[[Shape, FloatType, Numbers], Problem]:
    def problem(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
        n, _, k = shape
        first, y = outputs_of(name, n, k, dtype, make)
        return Problem(name, {first: y, "t": targets_of(name, n, k, dtype)}, results=((n, k),))

    return problem


OTHER_LOSSES = [name for name in LOSSES if name not in ("softmax_cross_entropy", "mean_squared_error")]


# Options of an update other than the usual ones.
OPTIONS: dict[str, dict[str, Any]] = {
    "momentum": {"momentum": 0.75},
    "nesterov": {"momentum": 0.75},
    "adagrad": {"epsilon": 0.25},
    "rmsprop": {"epsilon": 0.25, "epsilon_inside": True},
    "adam": {"epsilon": 0.25, "weight_decay": 0.5},
}


def _update(name: str) -> Callable[[Shape, FloatType, Numbers], Problem]:
    kind, state = UPDATES[name], UPDATES[name].keeps
    options = {"lr": 0.125, **({"step": 3} if kind.counts else {}), **OPTIONS.get(name, {})}

    def problem(shape: Shape, dtype: FloatType, make: Numbers) -> Problem:
        names = ("params", "grads", *state)
        arrays = {key: make(seed, *shape[1:], dtype=dtype) for seed, key in enumerate(names)}
        if "squares" in arrays:
            arrays["squares"] = np.abs(arrays["squares"])
        return Problem(f"{name}_update", arrays, options, updated=("params", *state))

    return problem


# Every public operation, with each activation, each kind of targets and each choice of another way through the code.
PROBLEMS: dict[str, Callable[[Shape, FloatType, Numbers], Problem]] = {
    "affine_forward": _affine_forward,
    "affine_backward": _affine_backward,
    "affine_backward, need_dx=False": _affine_backward_without_dx,
    "conv2d_forward": _conv2d_forward,
    "conv2d_backward": _conv2d_backward,
    "conv2d_backward, need_dx=False": _conv2d_backward_without_dx,
    **{f"{name} forward": _activation_forward(name) for name in ACTIVATIONS},
    **{f"{name} backward": _activation_backward(name) for name in ACTIVATIONS},
    "softmax": _softmax,
    **{f"cross entropy of {kind}": _softmax_cross_entropy(kind) for kind in ("labels", "one_hot", "probabilities")},
    "mean_squared_error": _mean_squared_error,
    **{name: _loss(name) for name in OTHER_LOSSES},
    **{f"{name}_update": _update(name) for name in UPDATES},
}


class Guarded:
    """An array of NaN inside a larger buffer, which starts and ends in the middle of a vector."""

    MARGIN = 67

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._buffer = np.arange(math.prod(shape) + 2 * self.MARGIN).astype(dtype)
        self._before = self._surroundings()
        self.array = self._buffer[self.MARGIN : -self.MARGIN].reshape(shape)
        self.array.fill(np.nan)

    def _surroundings(self) -> bytes:
        return self._buffer[: self.MARGIN].tobytes() + self._buffer[-self.MARGIN :].tobytes()

    def check(self) -> None:
        """Fail if memory around the array was written to."""
        assert self._surroundings() == self._before, "the memory around the array was written"


def bits(solution: tuple[Any, ...]) -> list[bytes]:
    """The bits of arrays and floats, which tell a NaN from another and -0.0 from 0.0."""
    return [np.asarray(part).tobytes() for part in solution]
