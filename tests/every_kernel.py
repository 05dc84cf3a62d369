"""Runs every kernel on small data: `python -m tests.every_kernel` prints a hash of each result, and what was compiled.

The hashes are the same with and without the machine code of a wheel (FASTNN_PREBUILT=0).
"""

import hashlib
import json
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastnn
from fastnn import Affine, Network, Regularization, operations
from fastnn.dropin import windows
from fastnn.dropin.common import functions, gradient
from fastnn.engine import finite, indexing
from fastnn.engine.samples import SparseRows
from fastnn.kernels import prebuilt
from tests import shapes

N, D, H, K = 37, 23, 18, 5
DTYPES: tuple[Any, ...] = np.float32, np.float64

asked: dict[str, bool] = {}  # the kernels of this process by name, and whether they came with the wheel


def note_kernels() -> None:
    """Keep the names of the kernels that are asked for from now on."""
    original = prebuilt.address

    def address(dtype: str, function: Callable[..., Any], made_of: tuple[Any, ...] = ()) -> int:
        found = original(dtype, function, made_of)
        asked[prebuilt.name_of(dtype, function, made_of)] = found != 0
        return found

    prebuilt.address = address


def layers_for(loss: Any, *middle: Any) -> list[Any]:
    """Layers of which the last gives the outputs that a loss takes."""
    follows = operations.LOSSES[loss].follows
    return [Affine(D, H), *middle, Affine(H, K), *([operations.ACTIVATIONS[follows[0]]()] if follows else [])]


def targets_for(loss: Any, dtype: Any, rows: int = N) -> list[Any]:
    """Targets of each kind that a loss takes."""
    found = [shapes.targets_of(loss, rows, K, dtype)]
    if loss == "hinge":
        found.append(np.sign(shapes.numbers(6, rows, K)).astype(dtype))
    elif operations.LOSSES[loss]().takes_classes:
        found += [shapes.targets(kind, rows, K, dtype) for kind in ("one_hot", "probabilities")]
    return found


def results_of_operations(dtype: Any) -> Iterator[tuple[str, Any]]:
    """Operations on arrays, small ones and one that threads share."""
    for name, problem in shapes.PROBLEMS.items():
        for shape in ((N, D, H), (400, 300, 100)):
            found = problem(shape, dtype, shapes.numbers).solve(fastnn)
            yield f"{name} {shape}", [one for one in found if one is not None]


ELEMENTWISE = [kind for kind in shapes.LAYERS_OF_ROWS if kind not in (Affine, fastnn.Flatten, fastnn.Softmax)]


def results_of_losses(dtype: Any) -> Iterator[tuple[str, Any]]:
    """Training with each loss and kind of targets, each optimizer, weights and penalties; numerical gradients."""
    x = shapes.numbers(1, N, D, dtype=dtype)
    optimizers = list(operations.OPTIMIZERS.values())
    for number, loss in enumerate(operations.LOSSES):
        for t in targets_for(loss, dtype):
            middle = [kind() for kind in ELEMENTWISE]
            penalty = Regularization(l1=1e-3, l2=1e-2) if number % 2 else None
            net = Network(layers_for(loss, *middle), loss, rng=0, dtype=dtype, regularization=penalty)  # type: ignore[arg-type]
            optimizer = optimizers[number % len(optimizers)](0.01, clip_norm=1.0, clip_value=0.5)
            net.fit(x, t, epochs=2, batch_size=16, rng=0, optimizer=optimizer, progress=False)
            penalties, data = np.zeros(1), (*net.engine.prepare(x, t, True), np.empty(0, np.intp))
            net.engine.run_batches(data, optimizer, (0, 2, 16), penalties=penalties)
            yield f"{loss}: penalties", [penalties]
            yield f"{loss}: fit", [*net.params.values(), *net.statistics.values(), net.predict(x), net.loss(x, t)]
            weights = np.linspace(0.5, 2.0, N)
            net.fit(x, t, epochs=1, batch_size=16, rng=0, sample_weight=weights, progress=False)
            yield f"{loss}: weights", [*net.params.values(), *net.gradient(x, t).values()]
            small = Network(layers_for(loss, fastnn.Tanh()), loss, rng=0, dtype=dtype)  # type: ignore[arg-type]
            yield f"{loss}: numerical gradient", [*small.numerical_gradient(x[:3], t[:3]).values()]


def results_of_layers(dtype: Any) -> Iterator[tuple[str, Any]]:
    """Layers one by one, in numerical gradients as well; inputs that are mostly zeros; many rows."""
    x, t = shapes.numbers(1, N, D, dtype=dtype), shapes.targets("labels", N, K, dtype)
    for kind in [*ELEMENTWISE, fastnn.Softmax]:
        net = Network([Affine(D, H), kind(), Affine(H, 4), kind(), Affine(4, K)], rng=0, dtype=dtype)
        yield f"{kind.__name__}: step", [net.step(x, t, fastnn.Adam(0.01)), *net.params.values()]
        if kind is not fastnn.Dropout:
            yield f"{kind.__name__}: numerical gradient", [*net.numerical_gradient(x[:3], t[:3]).values()]
    x, t = shapes.numbers(1, 500, 784, dtype=dtype), shapes.targets("labels", 500, K, dtype)
    for inputs in (x, np.where(x < 1.0, 0, x).astype(dtype)):
        net = Network([Affine(784, 50), fastnn.Relu(), fastnn.BatchNorm(), Affine(50, K)], rng=0, dtype=dtype)
        net.fit(inputs, t, epochs=2, rng=0, validation_data=(inputs, t), progress=False)
        yield "many rows", [*net.params.values(), net.predict(inputs), net.loss(inputs, t), net.accuracy(inputs, t)]
    net = Network([Affine(784, 50), fastnn.Relu(), Affine(50, K)], rng=0, dtype=dtype, input_scale=1 / 255)
    for pixels in (np.arange(500 * 784, dtype=np.uint8).reshape(500, 784), np.where(x < 1.0, 0, 9).astype(np.uint8)):
        net.fit(pixels, t, epochs=2, batch_size=100, rng=0, progress=False)
        yield "floats with a scale", [net.predict(x[:rows]) for rows in (1, 1, 50)]
        yield "bytes", [*net.params.values(), net.predict(pixels), net.loss(pixels, t)]
    dense = np.where(x < 1.0, 0, x).astype(dtype)
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(dense, axis=1))]).astype(np.int32)
    numbers = np.nonzero(dense)[1].astype(np.int32)
    # As a matrix of SciPy's, which is not installed everywhere.
    matrix = types.SimpleNamespace(
        format="csr", ndim=2, shape=dense.shape, data=dense[dense != 0], indices=numbers, indptr=starts
    )
    index = indexing.index_of_matrix(matrix, 784, np.dtype(dtype), 1.0, True)
    assert index is not None
    yield "a compressed matrix", [SparseRows(index, 784)[3:9]]
    index = indexing.listed(dense, 2)
    assert index is not None
    yield "rows of an index", [SparseRows(index, 784)[3:9]]
    assert finite.looked_through(x, 2)
    net = Network([Affine(784, 800), fastnn.Relu(), Affine(800, K)], rng=0, dtype=dtype)
    yield "a layer by columns", [net.predict(x[:9]), net.step(x, t, fastnn.SGD(0.1)), *net.params.values()]


def results_of_images(dtype: Any) -> Iterator[tuple[str, Any]]:
    """Layers of images."""
    x, t = shapes.numbers(1, 9, 3, 11, 13, dtype=dtype), np.arange(9) % K
    for size, stride, padding in ((3, 1, 0), ((3, 2), 2, 1)):
        layers = [fastnn.Conv2d(3, 7, size, stride, padding), fastnn.Relu(), fastnn.Conv2d(7, 30, 2), fastnn.Flatten()]
        width = Network(layers, "mean_squared_error", input_shape=x.shape[1:]).outputs
        net = Network([*layers, Affine(width, K)], rng=0, dtype=dtype, input_shape=x.shape[1:])
        net.fit(x, t, epochs=2, batch_size=4, rng=0, progress=False)
        yield f"Conv2d {size}", [*net.params.values(), net.predict(x), *net.numerical_gradient(x[:2], t[:2]).values()]
    for pool in (fastnn.MaxPool2d(2), fastnn.MaxPool2d(3, 2, 1), fastnn.AvgPool2d(2), fastnn.AvgPool2d(3, 2, 1)):
        images = [fastnn.Conv2d(3, 4, 2), fastnn.BatchNorm(), fastnn.Dropout2d(0.2), pool, fastnn.Flatten()]
        width = Network(images, "mean_squared_error", input_shape=x.shape[1:]).outputs
        net = Network([*images, Affine(width, K)], rng=0, dtype=dtype, input_shape=x.shape[1:])
        net.fit(x, t, epochs=2, batch_size=4, rng=0, progress=False)
        numerical = net.numerical_gradient(x[:2], t[:2])
        yield str(pool), [*net.params.values(), *net.statistics.values(), net.predict(x), *numerical.values()]


def results_of_others(dtype: Any) -> Iterator[tuple[str, Any]]:
    """What few programs ask for."""
    x, t = shapes.numbers(1, N, D, dtype=dtype), shapes.targets("labels", N, K, dtype)
    yield "line fit", [fastnn.line_fit_losses(x[:, 0], x[:, 1], x[0], x[1])]
    perceptron = fastnn.models.Perceptron()
    perceptron.fit(x, x[:, 0] > 0.0, epochs=5)
    yield "perceptron", [perceptron.weights, perceptron.bias]
    net = Network([Affine(D, K)], rng=0, dtype=dtype)
    yield "given gradient", [*net.backward(x, shapes.numbers(2, N, K, dtype=dtype)).values()]
    net.fit(x, t, epochs=1, batch_size=8, rng=0, gradient="numerical", progress=False)
    net.fit(x, t, epochs=1, batch_size=1, rng=0, optimizer=fastnn.SGD(0.1), progress=False)
    yield "online and by numerical gradients", [*net.params.values()]
    images = shapes.numbers(3, 2, 3, 19, 17, dtype=dtype)
    columns = windows.windows(images, 5, 4, 2, 1)
    pooled, places = windows.max_pool(images, 2, 2, 2)
    sums = windows.add_windows(columns.astype(dtype), images.shape, 5, 4, 2, 1)
    spread = windows.max_pool_backward(pooled.astype(dtype), places, images.shape, 2, 2, 2)
    yield "windows of images", [columns, sums, pooled, places, spread]
    yield "offset", [numerical_gradient_of_offset(x, t)]


def numerical_gradient_of_offset(x: Any, t: Any) -> Any:
    """The gradient of the book's cross-entropy, with 1e-7 inside the logarithm, by the weights of a layer before it."""
    W, b = shapes.numbers(4, D, K), shapes.numbers(5, K)

    def loss(_: Any) -> Any:
        return functions.cross_entropy_error(functions.softmax(np.dot(x, W) + b), t)

    return gradient.numerical_gradient(loss, W)


def main() -> None:
    """Print the hashes and the kernels as JSON."""
    note_kernels()
    hashes = {}
    for dtype in DTYPES:
        for results in (
            results_of_operations,
            results_of_losses,
            results_of_layers,
            results_of_images,
            results_of_others,
        ):
            for number, (name, arrays) in enumerate(results(dtype)):
                data = b"".join(shapes.bits(tuple(arrays)))
                hashes[f"{np.dtype(dtype)} {number} {name}"] = hashlib.sha256(data).hexdigest()[:16]
    print(json.dumps({"hashes": hashes, "asked": asked}))


if __name__ == "__main__":
    main()
