"""The NumPy reference against oracles that share nothing with it: loops, fractions, scipy, known numbers."""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from math import inf, nan
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastnn import reference
from fastnn.reference.activations import OPTIONS
from tests import shapes
from tests.formulas import FORMULAS, VALUES
from tests.tolerances import TOLERANCE, assert_close

Array = npt.NDArray[Any]

TARGETS = ["labels", "one_hot", "probabilities"]
CENTRAL: dict[str, Any] = {"rtol": 1e-6, "atol": 0.0}  # central differences are in error by about h^2 = 1e-8
NETWORKS: list[tuple[str, list[tuple[Any, ...]]]] = [
    ("softmax_cross_entropy", [("affine", 3, 4), ("sigmoid",), ("affine", 4, 3)]),
    ("softmax_cross_entropy", [("tanh",), ("affine", 3, 4), ("relu",), ("elu", {"alpha": 0.7}), ("affine", 4, 3)]),
    ("mean_squared_error", [("affine", 3, 4), ("leaky_relu", {"slope": 0.1}), ("affine", 4, 3), ("tanh",)]),
    ("mean_squared_error", [("affine", 3, 2), ("affine", 2, 4), ("identity",), ("affine", 4, 3), ("softmax",)]),
]
ONE = np.ones((1, 2))
UNKNOWN = f"name: expected one of {', '.join(reference.ACTIVATIONS)}, got 'Relu'; pass a name from that list"
UNKNOWN_LOSS = f"loss: expected one of {', '.join(reference.LOSSES)}, got 'mse'; pass a name from that list"
DIFFERENT = "1 of 1 entries differ; worst at (): expected 1.0, got nan, off by nan, allowed 1.1e-12"
SENTENCES = [
    (reference.activation_forward, ["Relu", ONE], UNKNOWN),
    (reference.network_gradient, [[], {}, ONE, ONE, "mse"], UNKNOWN_LOSS),
    (assert_close, [ONE[0], ONE], "expected shape (1, 2), got (2,)"),
    (assert_close, [ONE, ONE, np.float32], "expected dtype float32, got float64"),
    (assert_close, [nan, 1.0], DIFFERENT),
]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def numbers(seed: int, *shape: int, dtype: npt.DTypeLike = np.float64) -> Array:
    """Standard normal numbers that float32 holds exactly, so that both dtypes see the same."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32).astype(dtype)


def targets(kind: str, n: int, k: int) -> Array:
    labels = np.random.default_rng(9).integers(0, k, n)
    probabilities = np.random.default_rng(8).dirichlet(np.ones(k), n)
    return {"labels": labels, "one_hot": np.eye(k)[labels], "probabilities": probabilities}[kind]


def parameters(layers: list[tuple[Any, ...]], dtype: npt.DTypeLike = np.float64) -> dict[str, Array]:
    shapes = [layer[1:] for layer in layers if layer[0] == "affine"]
    pairs = [(f"{kind}{i}", s["Wb".index(kind) :]) for i, s in enumerate(shapes, start=1) for kind in "Wb"]
    return {key: numbers(30 + i, *shape, dtype=dtype) for i, (key, shape) in enumerate(pairs)}


def loop_product(a: Array, b: Array) -> Array:
    columns = b.T.tolist()
    return np.array([[math.fsum(map(float.__mul__, row, column)) for column in columns] for row in a.tolist()])


def loop_softmax(rows: Array) -> Array:
    powers = [[math.exp(value - max(row)) for value in row] for row in rows.tolist()]
    return np.array([[power / math.fsum(row) for power in row] for row in powers])


@pytest.mark.parametrize(("n", "d", "h"), [(1, 1, 1), (1, 5, 3), (2, 7, 4), (5, 3, 2), (7, 17, 5)])
def test_affine_against_loops(n: int, d: int, h: int, dtype: Any) -> None:
    x, W, b, dy = (numbers(i, *s, dtype=dtype) for i, s in enumerate([(n, d), (d, h), (h,), (n, h)]))
    assert_close(reference.affine_forward(x, W, b), loop_product(x, W) + b.astype(np.float64), dtype)
    for need_dx in (True, False):
        dx, dW, db = reference.affine_backward(dy, x, W, need_dx=need_dx)
        assert (dx is not None) == need_dx
        if dx is not None:
            assert_close(dx, loop_product(dy, W.T), dtype)
        assert_close(dW, loop_product(x.T, dy), dtype)
        assert_close(db, [math.fsum(column) for column in dy.T.tolist()], dtype)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in FORMULAS for value in (None, *VALUES.get(name, ()))]
)
def test_activation_against_formula(name: str, value: float | None, dtype: Any) -> None:
    formula, derivative = FORMULAS[name]
    options: dict[str, Any] = {} if value is None else {OPTIONS[name][0]: value}
    p = value if value is not None else {"leaky_relu": 0.01, "step": 0.0}.get(name, 1.0)  # the defaults
    x = np.append(numbers(1, 20), [0.0, -0.0, 30.0, -30.0]).astype(dtype)  # at 0 the negative side's derivative
    dy = numbers(2, 24, dtype=dtype)
    y = reference.activation_forward(name, x, **options)
    assert_close(y, [formula(v, p) for v in x.tolist()], dtype)
    dx = reference.activation_backward(name, dy, x, y, **options)
    assert_close(dx, [g * derivative(v, p) for g, v in zip(dy.tolist(), x.tolist(), strict=True)], dtype)


@pytest.mark.parametrize("shape", [(1,), (6,), (4, 1), (3, 10), (2, 3, 4)])
def test_softmax_against_loops(shape: tuple[int, ...], dtype: Any) -> None:
    x = numbers(3, *shape, dtype=dtype)
    y = reference.softmax(x)
    assert_close(y, loop_softmax(x.reshape(-1, shape[-1])).reshape(shape), dtype)
    assert np.array_equal(y, reference.activation_forward("softmax", x))


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 3), (7, 17)])
def test_cross_entropy_against_loops(size: tuple[int, int], kind: str, dtype: Any) -> None:
    (n, k), x, t = size, numbers(5, *size, dtype=dtype), targets(kind, *size)
    p, q = loop_softmax(x), np.eye(k)[t] if kind == "labels" else t
    loss, dx = reference.softmax_cross_entropy(x, t)
    assert_close(loss, -math.fsum(b * math.log(a) for a, b in zip(p.flat, q.flat, strict=True)) / n, dtype)
    assert_close(dx, (p - q) / n, dtype)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (4,), (2, 3, 4)])
def test_squared_error_against_loops(shape: tuple[int, ...], dtype: Any) -> None:
    y, t = numbers(6, *shape, dtype=dtype), numbers(7, *shape, dtype=dtype)
    differences = [float(a) - float(b) for a, b in zip(y.flat, t.flat, strict=True)]
    loss, dy = reference.mean_squared_error(y, t)
    assert_close(loss, math.fsum(d * d for d in differences) / (2 * shape[0]), dtype)
    assert_close(dy, np.reshape(differences, shape) / shape[0], dtype)


def test_softmax_against_scipy() -> None:
    special = pytest.importorskip("scipy.special", reason="scipy is not installed")
    x, t = numbers(10, 6, 9) * 50, targets("labels", 6, 9)
    assert_close(reference.softmax(x), special.softmax(x, axis=1))
    assert_close(reference.softmax_cross_entropy(x, t)[0], -special.log_softmax(x, axis=1)[range(6), t].mean())


@pytest.mark.parametrize("pack", [lambda a: a[0], tuple, lambda a: dict(zip("Wb", a, strict=True))])
def test_updates_against_loops(pack: Callable[[list[Array]], Any], dtype: Any) -> None:
    shapes = [(2, 3), (3,)]
    p, q, g, v = ([numbers(i, *s, dtype=dtype) for s in shapes] for i in (1, 1, 2, 3))
    before = [[array.astype(np.float64) for array in arrays] for arrays in (p, g, v)]
    reference.sgd_update(pack(q), pack(g), np.float64(0.25))  # a NumPy scalar must not change the dtype
    reference.momentum_update(pack(p), pack(g), pack(v), np.float64(0.25))
    for i in range(1 if isinstance(pack(p), np.ndarray) else 2):
        p_before, g_before, v_before = (arrays[i] for arrays in before)
        assert_close(q[i], p_before - 0.25 * g_before, dtype)
        assert_close(v[i], 0.9 * v_before - 0.25 * g_before, dtype)
        assert_close(p[i], p_before + 0.9 * v_before - 0.25 * g_before, dtype)
        assert np.array_equal(g[i], g_before)


def calls(dtype: npt.DTypeLike) -> dict[str, tuple[Callable[..., Any], list[Array]]]:
    """Every operation that returns arrays, with its inputs."""
    x, W, b, dy = (numbers(i, *s, dtype=dtype) for i, s in enumerate([(4, 3), (3, 3), (3,), (4, 3)]))
    table: dict[str, tuple[Callable[..., Any], list[Array]]] = {
        "affine_forward": (reference.affine_forward, [x, W, b]),
        "affine_backward": (reference.affine_backward, [dy, x, W]),
        "softmax": (reference.softmax, [x]),
        "mean_squared_error": (reference.mean_squared_error, [x, dy.astype(np.float64)]),
    }
    for kind in TARGETS:
        table[f"cross_entropy {kind}"] = (reference.softmax_cross_entropy, [x, targets(kind, 4, 3)])
    for name in reference.ACTIVATIONS:
        y = reference.activation_forward(name, x)
        table[f"forward {name}"] = (partial(reference.activation_forward, name), [x])
        table[f"backward {name}"] = (partial(reference.activation_backward, name), [dy, x, y])
    return table


def arrays_of(result: Any) -> list[Array]:
    return [a for a in (result if isinstance(result, tuple) else (result,)) if isinstance(a, np.ndarray)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("case", calls(np.float64))
def test_dtype_inputs_and_out_which_may_be_an_input(case: str, dtype: npt.DTypeLike) -> None:
    function, inputs = calls(dtype)[case]
    before = [array.copy() for array in inputs]
    expected = arrays_of(function(*inputs))
    buffers = [np.full_like(array, np.nan) for array in expected]
    written = arrays_of(function(*inputs, out=tuple(buffers) if len(buffers) > 1 else buffers[0]))
    for array, buffer, result in zip(expected, buffers, written, strict=True):
        assert array.dtype == dtype
        assert result is buffer
        assert np.array_equal(array, buffer)
    assert all(np.array_equal(array, copy) for array, copy in zip(inputs, before, strict=True))
    for position in range(0 if "affine" in case else len(inputs) if "backward" in case else 1):
        copies = [array.copy() for array in inputs]
        assert np.array_equal(arrays_of(function(*copies, out=copies[position]))[0], expected[0])


def test_nan_and_infinity_in_activations(dtype: Any) -> None:
    big = float(np.finfo(dtype).max)
    x = np.array([nan, inf, -inf, big, -big], dtype)
    table: dict[str, tuple[list[float], list[float]]] = {
        "identity": ([nan, inf, -inf, big, -big], [1, 1, 1, 1, 1]),
        "step": ([0, 1, 0, 1, 0], [0, 0, 0, 0, 0]),
        "sigmoid": ([nan, 1, 0, 1, 0], [nan, 0, 0, 0, 0]),
        "tanh": ([nan, 1, -1, 1, -1], [nan, 0, 0, 0, 0]),
        "relu": ([nan, inf, 0, big, 0], [0, 1, 0, 1, 0]),
        "leaky_relu": ([nan, inf, -inf, big, -0.01 * big], [0.01, 1, 0.01, 1, 0.01]),
        "elu": ([nan, inf, -1, big, -1], [nan, 1, 0, 1, 0]),
        **dict.fromkeys(("gelu", "silu", "softplus"), ([nan, inf, 0, big, 0], [nan, 1, 0, 1, 0])),
    }
    for name, (values, derivatives) in table.items():
        with np.errstate(all="raise"):
            y = reference.activation_forward(name, x)
            dx = reference.activation_backward(name, np.ones_like(x), x, y)
        assert_close(y, values, dtype)
        assert_close(dx, derivatives, dtype)
    dy, negative = np.array([nan, inf, 2.0], dtype), -np.ones(3, dtype)
    for name in ("step", "relu"):  # 0 * NaN and 0 * inf are NaN
        assert_close(reference.activation_backward(name, dy, negative, negative), [nan, nan, 0.0], dtype)


def test_nan_and_infinity_in_softmax(dtype: Any) -> None:
    x = np.array([[-inf, 0, 0], [inf, 0, 0], [-inf] * 3, [nan, 0, 0], [3e38, -3e38, 3e38]], dtype)
    rows = np.array([[0, 0.5, 0.5], [nan] * 3, [nan] * 3, [nan] * 3, [0.5, 0, 0.5]])
    with np.errstate(all="raise"):
        assert_close(reference.softmax(x), rows, dtype)
        for i, expected in enumerate(rows):
            for t in (np.array([2]), np.array([[0, 0, 1]])):
                loss, dx = reference.softmax_cross_entropy(x[[i]], t)
                assert_close(loss, nan if np.isnan(expected[2]) else math.log(2), dtype)
                assert_close(dx, expected[None] - [[0, 0, 1]], dtype)
        assert reference.softmax_cross_entropy(x[:1], np.array([0]))[0] == inf


def test_no_warning_leaves_an_overflow_or_an_empty_batch() -> None:
    big, params = (np.full((2, 2), 3e38, np.float32) for _ in range(2))
    with np.errstate(all="raise"):
        assert np.isinf(reference.affine_forward(big, big, big[0])).all()
        assert np.isinf(reference.affine_backward(big, big, big)[1]).all()
        assert reference.mean_squared_error(big, -big)[0] == inf
        assert_close(reference.mean_squared_error(big[:0], big[:0])[0], nan)
        assert_close(reference.softmax_cross_entropy(big[:0], np.arange(0))[0], nan)
        assert_close(reference.accuracy(big[:0], np.arange(0)), nan)
        reference.sgd_update(params, big, -1e3)
        reference.momentum_update(params, big, -params, 1e3)
    assert np.isnan(params).all()


def test_known_losses_and_accuracies() -> None:
    t = np.eye(10)[[2]]
    for likely, entropy, error in ((2, 0.51082545709933802, 0.0975), (7, 2.3025840929945458, 0.5975)):
        y = np.array([[0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0]])
        y[0, likely] = 0.6
        # -log(y[2] + 1e-7) is our loss from the logits log(y + 1e-7), but for the normalization: softmax divides
        # by sum(y + 1e-7), which is 1 + 1e-6 and not 1, and so adds the logarithm of that sum to the loss.
        loss, _ = reference.softmax_cross_entropy(np.log(y + 1e-7), t)
        assert_close(loss - math.log(math.fsum(y[0] + 1e-7)), entropy)
        assert_close(loss - math.log1p(1e-6), entropy)
        assert_close(reference.mean_squared_error(y, t)[0], error)

    def rounded(probabilities: list[float], *t: Any) -> float:
        return round(reference.softmax_cross_entropy(np.log([probabilities]), np.array(t))[0], 2)

    p = [0.7, 0.2, 0.1]
    assert [rounded(p, k) for k in range(3)] == [0.36, 1.61, 2.30]
    assert rounded(p, p) == 0.80
    assert [rounded([1 - a, a], 1) for a in (0.6, 0.7)] == [0.51, 0.36]
    assert [rounded(q, 2) for q in ([0.2, 0.5, 0.3], [0.2, 0.2, 0.6])] == [1.20, 0.51]
    y, t = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 3.0]]), np.ones((2, 3))
    assert [2 * reference.mean_squared_error(row[None], t[:1])[0] for row in y] == [5, 8]
    assert reference.mean_squared_error(y, t)[0] == (5 + 8) / 4
    y, labels = y[[0, 1, 1]], np.array([2, 1, 2])  # the first of the equal 3 and 3 counts
    assert reference.accuracy(y, labels) == reference.accuracy(y, np.eye(3)[labels]) == 2 / 3


def test_numerical_gradient() -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    before = x.copy()
    cubic = reference.numerical_gradient(lambda _: float((x**3).sum()), x, h=0.5)
    assert_close(cubic, 3 * before**2 + 0.5**2)  # the central difference of x^3 is 3 x^2 + h^2
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        reference.numerical_gradient(lambda v: 1 / 0, x)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activation_gradient(name: str) -> None:
    x, dy = numbers(20, 3, 4), numbers(21, 3, 4)
    x += 0.1 * np.sign(x)  # away from the kink
    options: dict[str, Any] = {OPTIONS[name][0]: 0.7} if name in OPTIONS else {}

    def f(x: Any) -> Any:
        return reference.activation_forward(name, x, **options)

    dx = reference.activation_backward(name, dy, x, f(x), **options)
    assert_close(dx, reference.numerical_gradient(lambda v: float((dy * f(v)).sum()), x), **CENTRAL)


@pytest.mark.parametrize("kind", [*TARGETS, *reference.LOSSES])
def test_loss_gradient(kind: str) -> None:
    loss = reference.LOSSES["softmax_cross_entropy" if kind in TARGETS else kind]
    x, t = numbers(22, 4, 3), targets(kind, 4, 3) if kind in TARGETS else shapes.targets_of(kind, 4, 3, np.float64)
    x = x if kind in TARGETS else shapes.outputs_of(kind, 4, 3, np.float64)[1]
    assert_close(loss(x, t)[1], reference.numerical_gradient(lambda v: loss(v, t)[0], x), **CENTRAL)


@pytest.mark.parametrize(("loss", "layers"), NETWORKS)
def test_network_gradient_and_step(loss: Any, layers: list[tuple[Any, ...]], dtype: Any) -> None:
    params, x, t = parameters(layers), numbers(40, 5, 3), targets("probabilities", 5, 3)
    gradient_of = partial(reference.network_gradient, layers, params, loss=loss)
    value, grads = gradient_of(x, t)
    assert_close(value, reference.LOSSES[loss](reference.network_forward(layers, params, x), t)[0])
    assert type(value) is float
    assert list(grads) == list(params)
    stepped, batch = parameters(layers, dtype), x.astype(dtype)
    assert_close(reference.network_step(layers, stepped, batch, t, np.float64(0.1), loss), value, dtype)
    assert np.array_equal(batch, x)
    for key, gradient in grads.items():
        assert_close(gradient, reference.numerical_gradient(lambda _: gradient_of(x, t)[0], params[key]), **CENTRAL)
        assert_close(stepped[key], params[key] - 0.1 * gradient, dtype)


@pytest.mark.parametrize("offset", [1e4, -1e4, 1e6, -1e6])
def test_softmax_does_not_see_a_common_offset(offset: float, dtype: Any) -> None:
    x = np.round(numbers(50, 5, 7, dtype=dtype) * 16) / 16  # in sixteenths even float32 adds 1e6 without rounding
    assert np.array_equal(reference.softmax(x + dtype(offset)), reference.softmax(x))
    loss_of = partial(reference.softmax_cross_entropy, t=np.arange(5))
    (loss, dx), (shifted_loss, shifted_dx) = loss_of(x), loss_of(x + dtype(offset))
    assert loss == shifted_loss
    assert np.array_equal(dx, shifted_dx)


@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_equal_logits_give_log_n(n: int, dtype: Any) -> None:
    loss, _ = reference.softmax_cross_entropy(np.full((3, n), -1e4, dtype), np.zeros(3, np.int64))
    assert_close(loss, math.log(n), dtype)


@pytest.mark.parametrize(("loss", "layers"), NETWORKS)
def test_rows_may_be_permuted_and_batches_split(loss: Any, layers: list[tuple[Any, ...]]) -> None:
    params, x, t = parameters(layers), numbers(52, 7, 3), targets("probabilities", 7, 3)
    order = np.array([3, 0, 5, 1, 6, 4, 2])
    assert_close(reference.LOSSES[loss](x[order], t[order])[1], reference.LOSSES[loss](x, t)[1][order])
    whole, grads = reference.network_gradient(layers, params, x, t, loss)
    head, head_grads = reference.network_gradient(layers, params, x[order[:3]], t[order[:3]], loss)
    tail, tail_grads = reference.network_gradient(layers, params, x[order[3:]], t[order[3:]], loss)
    assert_close((3 * head + 4 * tail) / 7, whole)
    for key, gradient in grads.items():
        assert_close((3 * head_grads[key] + 4 * tail_grads[key]) / 7, gradient)


def test_one_step_worked_by_hand(dtype: Any) -> None:
    # x = [1 2; -2 0]   z = x W1 + b1 = [2 -2; -2 3]   h = [2 -1; -1 3], half of z where z < 0
    # y = h W2 + b2 = [0 -4; 5 11]   y - t = [1 -2; 2 4]   loss = (1 + 4 + 4 + 16) / (2 * 2) = 6.25
    # dy = (y - t) / 2 = [0.5 -1; 1 2]   dW2 = h^T dy = [0 -4; 2.5 7]   db2 = [1.5 1]   lr = 0.5
    # dh = dy W2^T = [1.5 -2; -1 8]   dz = [1.5 -1; -0.5 8]   dW1 = x^T dz = [2.5 -17; 3 -2]   db1 = [1 7]
    start: list[Any] = [[[1, -1], [0.5, -1]], [0, 1], [[1, -1], [2, 3]], [0, 1]]
    by_hand: list[Any] = [[[-0.25, 7.5], [-1, 0]], [-0.5, -2.5], [[1, 1], [0.75, -0.5]], [-0.75, 0.5]]
    batch: list[Any] = [[[1, 2], [-2, 0]], [[-1, -2], [3, 7]]]
    W1, b1, W2, b2, x, t = (np.vectorize(Fraction, otypes=[object])(a) for a in (*start, *batch))
    z = x @ W1 + b1
    h = np.where(z > 0, z, z / 2)
    dy = (h @ W2 + b2 - t) / 2
    dz = np.where(z > 0, dy @ W2.T, dy @ W2.T / 2)
    for p, g, expected in zip((W1, b1, W2, b2), (x.T @ dz, sum(dz), h.T @ dy, sum(dy)), by_hand, strict=True):
        assert np.array_equal(p - g / 2, np.array(expected))
    assert (dy**2).sum() == 6.25  # for a batch of 2, (y - t)^2 / (2 N) is dy^2
    layers = [("affine", 2, 2), ("leaky_relu", {"slope": 0.5}), ("affine", 2, 2)]
    params = {key: np.array(a, dtype) for key, a in zip(("W1", "b1", "W2", "b2"), start, strict=True)}
    x, t = (np.array(a, dtype) for a in batch)
    assert reference.network_step(layers, params, x, t, 0.5, "mean_squared_error") == 6.25
    for p, expected in zip(params.values(), by_hand, strict=True):
        assert np.array_equal(p, np.array(expected))  # small binary fractions: nothing is rounded


def test_an_activation_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def backward(*_: Any) -> None:
        pytest.fail("nothing before the first affine layer needs a gradient")

    square = (lambda x, y, *_: np.square(x, out=y), backward)
    monkeypatch.setitem(reference.ACTIVATIONS, "square", square)
    layers: list[tuple[Any, ...]] = [("affine", 3, 2)]
    params, x, t = parameters(layers), numbers(60, 4, 3), targets("labels", 4, 2)
    _, grads = reference.network_gradient([("square",), *layers], params, x, t)
    _, expected = reference.network_gradient(layers, params, x**2, t)
    assert_close(grads["W1"], expected["W1"])


@pytest.mark.parametrize(("function", "arguments", "sentence"), SENTENCES)
def test_messages(function: Callable[..., Any], arguments: list[Any], sentence: str) -> None:
    with pytest.raises((ValueError, AssertionError), match=f"^{re.escape(sentence)}$"):
        function(*arguments)


def test_the_comparison_fails_where_it_must(dtype: Any) -> None:
    rtol, atol = TOLERANCE[dtype]
    good = np.array([1.0, nan, inf, -inf, 0.0], dtype)
    assert_close(good, good.astype(np.float64), dtype)
    assert_close(good + dtype(atol / 2), good, dtype)
    assert_close(good[:0], good[:0])
    for index, value in [(0, nan), (0, inf), (0, 1 + 3 * rtol), (1, 1), (2, -inf), (2, 1), (3, nan), (4, 3 * atol)]:
        bad = np.where(np.arange(5) == index, dtype(value), good)
        with pytest.raises(AssertionError, match=rf"^1 of 5 entries differ; worst at \({index},\): expected "):
            assert_close(bad, good, dtype)
