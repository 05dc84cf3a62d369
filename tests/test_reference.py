"""The NumPy reference against oracles that share nothing with it: explicit loops, fractions, scipy, known numbers."""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.tolerances import TOLERANCE, assert_close

from fastnn import reference

Array = npt.NDArray[Any]
Call = tuple[Callable[..., Any], tuple[Array, ...]]

DTYPES = [np.float32, np.float64]
SIZES = [(1, 1, 1), (1, 5, 3), (2, 7, 4), (5, 3, 2), (7, 17, 5)]
CENTRAL = {"rtol": 1e-6, "atol": 0.0}  # central differences with h = 1e-4 are in error by about h^2

# name: (f(x), f'(x)), one number at a time, with the default slope and alpha
FORMULAS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "identity": (lambda x: x, lambda x: 1.0),
    "step": (lambda x: 1.0 if x > 0 else 0.0, lambda x: 0.0),
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2),
    "tanh": (math.tanh, lambda x: 1 / math.cosh(x) ** 2),
    "relu": (lambda x: x if x > 0 else 0.0, lambda x: 1.0 if x > 0 else 0.0),
    "leaky_relu": (lambda x: x if x > 0 else 0.01 * x, lambda x: 1.0 if x > 0 else 0.01),
    "elu": (lambda x: x if x > 0 else math.expm1(x), lambda x: 1.0 if x > 0 else math.exp(x)),
}
OPTIONS = {"leaky_relu": {"slope": 2.5}, "elu": {"alpha": 0.7}}
TARGETS = ["labels", "one_hot", "probabilities"]


def numbers(seed: int, *shape: int, dtype: npt.DTypeLike = np.float64) -> Array:
    """Standard normal numbers that float32 holds exactly, so that both dtypes see the same."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32).astype(dtype)


def targets(kind: str, n: int, k: int) -> Array:
    labels = np.random.default_rng(9).integers(0, k, n)
    if kind == "labels":
        return labels
    return np.eye(k)[labels] if kind == "one_hot" else reference.softmax(numbers(8, n, k))


def as_rows(t: Array, k: int) -> list[list[float]]:
    rows = np.eye(k)[t] if t.ndim == 1 else t
    return [[float(value) for value in row] for row in rows]


def loop_product(a: Array, b: Array) -> Array:
    columns = b.T.tolist()
    return np.array(
        [[math.fsum(p * q for p, q in zip(row, c, strict=True)) for c in columns] for row in a.tolist()]
    )


def loop_softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / math.fsum(powers) for power in powers]


# --- against loops and scipy ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n, d, h", SIZES)
def test_affine_against_loops(n: int, d: int, h: int, dtype: npt.DTypeLike) -> None:
    x, W, b, dy = (numbers(i, *s, dtype=dtype) for i, s in enumerate([(n, d), (d, h), (h,), (n, h)]))
    assert_close(reference.affine_forward(x, W, b), loop_product(x, W) + b.astype(np.float64), dtype)
    dx, dW, db = reference.affine_backward(dy, x, W)
    assert dx is not None
    assert_close(dx, loop_product(dy, W.T), dtype)
    assert_close(dW, loop_product(x.T, dy), dtype)
    assert_close(db, [math.fsum(column) for column in dy.T.tolist()], dtype)
    without, dW_again, db_again = reference.affine_backward(dy, x, W, need_dx=False)
    assert without is None
    assert np.array_equal(dW, dW_again) and np.array_equal(db, db_again)


def test_the_formulas_cover_every_activation() -> None:
    assert [*FORMULAS, "softmax"] == list(reference.ACTIVATIONS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_activation_against_formula(name: str, dtype: npt.DTypeLike) -> None:
    formula, derivative = FORMULAS[name]
    # 0 is in: the derivative there is that of the negative side
    x = np.concatenate([numbers(1, 20), [0.0, -0.0, 30.0, -30.0]]).astype(dtype)
    dy = numbers(2, 24, dtype=dtype)
    y = reference.activation_forward(name, x)
    dx = reference.activation_backward(name, dy, x, y)
    assert_close(y, [formula(value) for value in x.tolist()], dtype)
    assert_close(dx, [g * derivative(value) for g, value in zip(dy.tolist(), x.tolist(), strict=True)], dtype)


def test_slope_and_alpha() -> None:
    x, dy = np.array([-2.0, 0.0, 3.0]), np.array([1.0, 2.0, 3.0])
    for slope in (-0.5, 0.0, 2.5):
        y = reference.activation_forward("leaky_relu", x, slope=slope)
        assert_close(y, [-2 * slope, 0.0, 3.0])
        assert_close(
            reference.activation_backward("leaky_relu", dy, x, y, slope=slope), [slope, 2 * slope, 3.0]
        )
    for alpha in (-0.5, 0.0, 2.5):
        y = reference.activation_forward("elu", x, alpha=alpha)
        assert_close(y, [alpha * math.expm1(-2), 0.0, 3.0])
        assert_close(
            reference.activation_backward("elu", dy, x, y, alpha=alpha),
            [alpha * math.exp(-2), 2 * alpha, 3.0],
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (6,), (4, 1), (3, 10), (2, 3, 4)])
def test_softmax_against_loops(shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    x = numbers(3, *shape, dtype=dtype)
    dy = numbers(4, *shape, dtype=dtype)
    y = reference.softmax(x)
    rows = [loop_softmax(row) for row in x.reshape(-1, shape[-1]).tolist()]
    assert_close(y, np.reshape(rows, shape), dtype)
    assert np.array_equal(y, reference.activation_forward("softmax", x))
    jacobians = [
        [[p * (i == j) - p * q for j, q in enumerate(row)] for i, p in enumerate(row)] for row in rows
    ]
    dx = [
        loop_product(g[None], np.array(J))[0]
        for g, J in zip(dy.reshape(-1, shape[-1]), jacobians, strict=True)
    ]
    assert_close(reference.activation_backward("softmax", dy, x, y), np.reshape(dx, shape), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("n, k", [(1, 1), (1, 4), (5, 3), (7, 17)])
def test_cross_entropy_against_loops(n: int, k: int, kind: str, dtype: npt.DTypeLike) -> None:
    x, t = numbers(5, n, k, dtype=dtype), targets(kind, n, k)
    probabilities, rows = [loop_softmax(row) for row in x.tolist()], as_rows(t, k)
    terms = [
        q * math.log(p)
        for ps, qs in zip(probabilities, rows, strict=True)
        for p, q in zip(ps, qs, strict=True)
    ]
    loss, dx = reference.softmax_cross_entropy(x, t)
    assert type(loss) is float
    assert_close(loss, -math.fsum(terms) / n, dtype)
    assert_close(dx, (np.array(probabilities) - np.array(rows)) / n, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (4,), (2, 3, 4)])
def test_squared_error_against_loops(shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    y, t = numbers(6, *shape, dtype=dtype), numbers(7, *shape, dtype=dtype)
    differences = [a - b for a, b in zip(y.ravel().tolist(), t.ravel().tolist(), strict=True)]
    loss, dy = reference.mean_squared_error(y, t)
    assert type(loss) is float
    assert_close(loss, math.fsum(d * d for d in differences) / (2 * shape[0]), dtype)
    assert_close(dy, np.reshape(differences, shape) / shape[0], dtype)


def test_softmax_against_scipy() -> None:
    special = pytest.importorskip("scipy.special", reason="scipy is not installed")
    x = numbers(10, 6, 9) * 50
    assert_close(reference.softmax(x), special.softmax(x, axis=1))
    labels = targets("labels", 6, 9)
    assert_close(
        reference.softmax_cross_entropy(x, labels)[0],
        -special.log_softmax(x, axis=1)[range(6), labels].mean(),
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("container", ["array", "mapping", "sequence"])
def test_updates_against_loops(container: str, dtype: npt.DTypeLike) -> None:
    shapes = [(2, 3), (3,)]
    p, g, v = ([numbers(10 * i + j, *s, dtype=dtype) for j, s in enumerate(shapes)] for i in range(3))
    rate = np.float64(0.25)  # a NumPy scalar must not change the dtype
    sgd, momentum, velocity = [], [], []
    for ps, gs, vs in zip(p, g, v, strict=True):
        triples = list(zip(ps.ravel().tolist(), gs.ravel().tolist(), vs.ravel().tolist(), strict=True))
        sgd.append(np.reshape([a - 0.25 * b for a, b, _ in triples], ps.shape))
        velocity.append(np.reshape([0.9 * c - 0.25 * b for _, b, c in triples], ps.shape))
        momentum.append(ps + velocity[-1])

    def packed(arrays: list[Array]) -> Any:
        if container == "mapping":
            return {"W1": arrays[0], "b1": arrays[1]}
        return arrays[0] if container == "array" else tuple(arrays)

    changed = 1 if container == "array" else 2
    q, g_before = [a.copy() for a in p], [a.copy() for a in g]
    reference.sgd_update(packed(q), packed(g), rate)
    reference.momentum_update(packed(p), packed(g), packed(v), rate)
    for i in range(changed):
        assert_close(q[i], sgd[i], dtype)
        assert_close(v[i], velocity[i], dtype)
        assert_close(p[i], momentum[i], dtype)
        assert np.array_equal(g[i], g_before[i])


# --- out=, dtypes, special values -------------------------------------------------------------------------


def calls(dtype: npt.DTypeLike) -> dict[str, Call]:
    """Every operation that returns arrays, with inputs."""
    x, W, b, dy = (numbers(i, *s, dtype=dtype) for i, s in enumerate([(4, 3), (3, 3), (3,), (4, 3)]))
    table: dict[str, Call] = {
        "affine_forward": (reference.affine_forward, (x, W, b)),
        "affine_backward": (reference.affine_backward, (dy, x, W)),
        "softmax": (reference.softmax, (x,)),
        "mean_squared_error": (reference.mean_squared_error, (x, dy.astype(np.float64))),
    }
    for kind in TARGETS:
        table[f"cross_entropy {kind}"] = (reference.softmax_cross_entropy, (x, targets(kind, 4, 3)))
    for name in reference.ACTIVATIONS:
        y = reference.activation_forward(name, x)
        table[f"{name} forward"] = (activation(reference.activation_forward, name), (x,))
        table[f"{name} backward"] = (activation(reference.activation_backward, name), (dy, x, y))
    return table


def activation(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    return lambda *inputs, **keywords: function(name, *inputs, **keywords)


def arrays_of(result: Any) -> list[Array]:
    return [a for a in (result if isinstance(result, tuple) else (result,)) if isinstance(a, np.ndarray)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("case", calls(np.float64))
def test_out_dtype_and_inputs(case: str, dtype: npt.DTypeLike) -> None:
    function, inputs = calls(dtype)[case]
    before = [array.copy() for array in inputs]
    expected = arrays_of(function(*inputs))
    buffers = [np.full_like(array, np.nan) for array in expected]
    written = arrays_of(function(*inputs, out=tuple(buffers) if len(buffers) > 1 else buffers[0]))
    for array, buffer, result in zip(expected, buffers, written, strict=True):
        assert array.dtype == dtype
        assert result is buffer
        assert np.array_equal(array, buffer)
    for array, copy in zip(inputs, before, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize("case", [case for case in calls(np.float64) if not case.startswith("affine")])
def test_out_may_be_an_input(case: str) -> None:
    function, inputs = calls(np.float64)[case]
    (expected,) = arrays_of(function(*inputs))
    for position in range(len(inputs) if case.split()[0] in reference.ACTIVATIONS else 1):
        copies = [array.copy() for array in inputs]
        assert np.array_equal(arrays_of(function(*copies, out=copies[position]))[0], expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_in_activations(dtype: npt.DTypeLike) -> None:
    inf, nan, big = np.inf, np.nan, float(np.finfo(dtype).max)
    x = np.array([nan, inf, -inf, big, -big], dtype)
    expected = {
        "identity": [nan, inf, -inf, big, -big],
        "step": [0, 1, 0, 1, 0],
        "sigmoid": [nan, 1, 0, 1, 0],
        "tanh": [nan, 1, -1, 1, -1],
        "relu": [nan, inf, 0, big, 0],
        "leaky_relu": [nan, inf, -inf, big, -0.01 * big],
        "elu": [nan, inf, -1, big, -1],
    }
    gradient = {
        "step": [0] * 5,
        "relu": [0, 1, 0, 1, 0],
        "leaky_relu": [0.01, 1, 0.01, 1, 0.01],
        "identity": [1] * 5,
    }
    for name, values in expected.items():
        with np.errstate(all="raise"):
            y = reference.activation_forward(name, x)
            dx = reference.activation_backward(name, np.ones_like(x), x, y)
        assert_close(y, np.array(values, np.float64), dtype)
        smooth = [nan, 0, 0, 0, 0] if name != "elu" else [nan, 1, 0, 1, 0]
        assert_close(dx, np.array(gradient.get(name, smooth), np.float64), dtype)


def test_a_gradient_is_multiplied_in_also_where_the_derivative_is_zero() -> None:
    dy, x = np.array([np.nan, np.inf, 2.0]), np.array([-1.0, -1.0, -1.0])
    for name in ("step", "relu"):
        assert_close(reference.activation_backward(name, dy, x, np.zeros(3)), [np.nan, np.nan, 0.0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_in_softmax(dtype: npt.DTypeLike) -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[-inf, 0, 0], [inf, 0, 0], [-inf, -inf, -inf], [nan, 0, 0], [3e38, -3e38, 3e38]], dtype)
    rows = [[0, 0.5, 0.5], [nan] * 3, [nan] * 3, [nan] * 3, [0.5, 0, 0.5]]
    with np.errstate(all="raise"):
        assert_close(reference.softmax(x), np.array(rows), dtype)
        for row, expected in zip(x, rows, strict=True):
            for t in (np.array([2]), np.array([[0, 0, 1]])):
                loss, dx = reference.softmax_cross_entropy(row[None], t)
                assert_close(loss, math.log(2) if expected[2] == 0.5 else nan, dtype)
                assert_close(dx, np.array([expected]) - [[0, 0, 1]], dtype)
        assert reference.softmax_cross_entropy(x[:1], np.array([0]))[0] == inf


def test_no_warning_leaves_overflow_or_empty_batches() -> None:
    big = np.full((2, 2), 3e38, np.float32)
    with np.errstate(all="raise"):
        assert np.isinf(reference.affine_forward(big, big, big[0])).all()
        assert np.isinf(reference.affine_backward(big, big, big)[1]).all()
        assert reference.mean_squared_error(big, -big)[0] == math.inf
        assert math.isnan(reference.mean_squared_error(big[:0], big[:0])[0])
        assert math.isnan(reference.softmax_cross_entropy(big[:0], np.arange(0))[0])
        assert math.isnan(reference.accuracy(big[:0], np.arange(0)))
        params = big.copy()
        reference.sgd_update(params, big, -1e3)
        reference.momentum_update(params, big, -params, 1e3)
    assert np.isnan(params).all()


# --- known numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y, expected_entropy, expected_error",
    [
        ([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0], 0.51082545709933802, 0.0975),
        ([0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0], 2.3025840929945458, 0.5975),
    ],
)
def test_known_losses_of_ten_classes(y: list[float], expected_entropy: float, expected_error: float) -> None:
    # -log(y_2 + 1e-7) of probabilities is our loss of the logits log(y + 1e-7), but for the normalisation: softmax
    # divides by sum(y + 1e-7), which is 1 + 1e-6 and not 1, and adds its logarithm to the loss.
    t = np.eye(10)[[2]]
    loss, _ = reference.softmax_cross_entropy(np.log(np.array([y]) + 1e-7), t)
    assert_close(loss - math.log(math.fsum(p + 1e-7 for p in y)), expected_entropy)
    assert_close(loss - expected_entropy, math.log1p(1e-6))
    assert_close(reference.mean_squared_error(np.array([y]), t)[0], expected_error)


def test_known_numbers_of_few_classes() -> None:
    def entropy(probabilities: list[float], t: Array) -> float:
        return reference.softmax_cross_entropy(np.log([probabilities]), t)[0]

    p = [0.7, 0.2, 0.1]
    assert [round(entropy(p, np.array([k])), 2) for k in range(3)] == [0.36, 1.61, 2.30]
    assert round(entropy(p, np.array([p])), 2) == 0.80
    assert [round(entropy([a, 1 - a], np.array([0])), 2) for a in (0.6, 0.7)] == [0.51, 0.36]
    assert [round(entropy(q, np.array([2])), 2) for q in ([0.2, 0.5, 0.3], [0.2, 0.2, 0.6])] == [1.20, 0.51]
    y, t = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 3.0]]), np.ones((2, 3))
    assert [2 * reference.mean_squared_error(row[None], t[:1])[0] for row in y] == [5, 8]
    assert reference.mean_squared_error(y, t)[0] == (5 + 8) / 4


def test_accuracy() -> None:
    y = np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5], [np.nan, 1.0]])
    for t in (np.array([1, 1, 0, 0]), np.eye(2)[[1, 1, 0, 0]]):
        assert reference.accuracy(y, t) == 0.75


# --- central differences ----------------------------------------------------------------------------------


def test_numerical_gradient() -> None:
    for x, expected in (([3.0, 4.0], [6.0, 8.0]), ([0.0, 2.0], [0.0, 4.0]), ([3.0, 0.0], [6.0, 0.0])):
        assert_close(
            reference.numerical_gradient(lambda v: v @ v, np.array(x)), expected, atol=1e-10
        )  # rounding / h
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    before = x.copy()
    # of x^3 the central difference is 3 x^2 + h^2
    assert_close(reference.numerical_gradient(lambda _: float((x**3).sum()), x, h=0.5), 3 * before**2 + 0.25)
    assert np.array_equal(x, before)

    def fails(v: Array) -> float:
        raise RuntimeError("no value here")

    with pytest.raises(RuntimeError, match="no value here"):
        reference.numerical_gradient(fails, x)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activation_gradient(name: str) -> None:
    x, dy, options = numbers(20, 3, 4), numbers(21, 3, 4), OPTIONS.get(name, {})
    x += 0.1 * np.sign(x)  # away from the kink
    y = reference.activation_forward(name, x, **options)
    expected = reference.numerical_gradient(
        lambda v: float((dy * reference.activation_forward(name, v, **options)).sum()), x
    )
    assert_close(reference.activation_backward(name, dy, x, y, **options), expected, **CENTRAL)


@pytest.mark.parametrize("kind", [*TARGETS, "mean_squared_error"])
def test_loss_gradient(kind: str) -> None:
    loss = reference.LOSSES["softmax_cross_entropy" if kind in TARGETS else kind]
    x, t = numbers(22, 4, 3), targets(kind, 4, 3) if kind in TARGETS else numbers(23, 4, 3)
    expected = reference.numerical_gradient(lambda v: loss(v, t)[0], x)
    assert_close(loss(x, t)[1], expected, **CENTRAL)


NETWORKS: list[tuple[str, list[tuple[Any, ...]]]] = [
    ("softmax_cross_entropy", [("affine", 3, 4), ("sigmoid",), ("affine", 4, 3)]),
    (
        "softmax_cross_entropy",
        [("tanh",), ("affine", 3, 4), ("relu",), ("elu", {"alpha": 0.7}), ("affine", 4, 3)],
    ),
    ("mean_squared_error", [("affine", 3, 4), ("leaky_relu", {"slope": 0.1}), ("affine", 4, 3), ("tanh",)]),
    (
        "mean_squared_error",
        [("affine", 3, 2), ("affine", 2, 4), ("identity",), ("affine", 4, 3), ("softmax",)],
    ),
]


def parameters(layers: list[tuple[Any, ...]], dtype: npt.DTypeLike = np.float64) -> dict[str, Array]:
    shapes = [layer[1:] for layer in layers if layer[0] == "affine"]
    pairs = [
        (f"{kind}{i}", s if kind == "W" else s[1:]) for i, s in enumerate(shapes, start=1) for kind in "Wb"
    ]
    return {key: numbers(30 + i, *shape, dtype=dtype) for i, (key, shape) in enumerate(pairs)}


@pytest.mark.parametrize("loss, layers", NETWORKS)
def test_network_gradient(loss: str, layers: list[tuple[Any, ...]]) -> None:
    params, x, t = parameters(layers), numbers(40, 5, 3), targets("probabilities", 5, 3)
    value, grads = reference.network_gradient(layers, params, x, t, loss=loss)
    assert_close(value, reference.LOSSES[loss](reference.network_forward(layers, params, x), t)[0])
    assert list(grads) == list(params)

    def network_loss(_: Array) -> float:
        return reference.LOSSES[loss](reference.network_forward(layers, params, x), t)[0]

    for key, gradient in grads.items():
        assert_close(gradient, reference.numerical_gradient(network_loss, params[key]), **CENTRAL)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss, layers", NETWORKS)
def test_network_step(loss: str, layers: list[tuple[Any, ...]], dtype: npt.DTypeLike) -> None:
    params, x, t = parameters(layers, dtype), numbers(40, 5, 3, dtype=dtype), targets("probabilities", 5, 3)
    x_before, value_before = x.copy(), {key: p.copy() for key, p in params.items()}
    value, grads = reference.network_gradient(layers, params, x, t, loss)
    assert reference.network_step(layers, params, x, t, np.float64(0.1), loss=loss) == value
    reference.sgd_update(value_before, grads, 0.1)
    for key, p in params.items():
        assert_close(p, value_before[key], dtype)
    assert np.array_equal(x, x_before)


# --- relations that hold whatever the numbers -------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [1e4, -1e4, 1e6, -1e6])
def test_softmax_does_not_see_a_common_offset(offset: float, dtype: npt.DTypeLike) -> None:
    x = (
        np.round(numbers(50, 5, 7) * 16).astype(dtype) / 16
    )  # in sixteenths even float32 adds 1e6 without rounding
    t = targets("labels", 5, 7)
    shifted = x + np.asarray(offset, dtype)
    assert np.array_equal(reference.softmax(shifted), reference.softmax(x))
    loss, dx = reference.softmax_cross_entropy(x, t)
    shifted_loss, shifted_dx = reference.softmax_cross_entropy(shifted, t)
    assert loss == shifted_loss
    assert np.array_equal(dx, shifted_dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_equal_logits_give_log_n(n: int, dtype: npt.DTypeLike) -> None:
    for logit in (0.0, -1e4, 1e6):
        loss, _ = reference.softmax_cross_entropy(np.full((3, n), logit, dtype), np.zeros(3, np.int64))
        assert_close(loss, math.log(n), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_permutation(dtype: npt.DTypeLike) -> None:
    x, t, order = numbers(51, 6, 4, dtype=dtype), targets("labels", 6, 4), np.array([3, 0, 5, 1, 4, 2])
    loss, dx = reference.softmax_cross_entropy(x, t)
    permuted_loss, permuted_dx = reference.softmax_cross_entropy(x[order], t[order])
    assert_close(permuted_loss, loss, dtype)
    assert_close(permuted_dx, dx[order])
    assert_close(reference.softmax(x[order]), reference.softmax(x)[order])


@pytest.mark.parametrize("loss, layers", NETWORKS)
def test_batch_splitting(loss: str, layers: list[tuple[Any, ...]]) -> None:
    params, x, t = parameters(layers), numbers(52, 7, 3), targets("probabilities", 7, 3)
    whole, grads = reference.network_gradient(layers, params, x, t, loss)
    parts = [
        (n, reference.network_gradient(layers, params, x[s], t[s], loss))
        for n, s in ((3, slice(3)), (4, slice(3, 7)))
    ]
    assert_close(sum(n * part for n, (part, _) in parts) / 7, whole)
    for key, gradient in grads.items():
        assert_close(sum(n * part[key] for n, (_, part) in parts) / 7, gradient)


# --- a step by hand ---------------------------------------------------------------------------------------


def step_in_fractions(
    W1: Any, b1: Any, W2: Any, b2: Any, x: Any, t: Any, lr: Fraction
) -> tuple[Fraction, list[Any]]:
    """One step of affine, relu, affine, squared error, in exact fractions; lists in, lists out."""
    n, units = len(x), range(2)
    z = [[sum(row[i] * W1[i][j] for i in units) + b1[j] for j in units] for row in x]
    h = [[max(value, Fraction(0)) for value in row] for row in z]
    y = [[sum(row[i] * W2[i][j] for i in units) + b2[j] for j in units] for row in h]
    dy = [[(a - b) / n for a, b in zip(ys, ts, strict=True)] for ys, ts in zip(y, t, strict=True)]
    loss = sum((d * n) ** 2 for row in dy for d in row) / (2 * n)
    dz = [
        [sum(g[j] * W2[i][j] for j in units) * (row[i] > 0) for i in units]
        for g, row in zip(dy, z, strict=True)
    ]

    def stepped(W: Any, inputs: Any, g: Any) -> Any:
        return [[W[i][j] - lr * sum(inputs[s][i] * g[s][j] for s in range(n)) for j in units] for i in units]

    def stepped_bias(b: Any, g: Any) -> Any:
        return [b[j] - lr * sum(row[j] for row in g) for j in units]

    return Fraction(loss), [
        stepped(W1, x, dz),
        stepped_bias(b1, dz),
        stepped(W2, h, dy),
        stepped_bias(b2, dy),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_step_worked_by_hand(dtype: npt.DTypeLike) -> None:
    # x = [1 2; -2 0]   z = x W1 + b1 = [2 -2; -2 3]   h = relu(z) = [2 0; 0 3]   y = h W2 + b2 = [2 -1; 6 10]
    # y - t = [1 -2; 2 4]   loss = (1 + 4 + 4 + 16) / (2 * 2) = 6.25   dy = (y - t) / 2 = [0.5 -1; 1 2]
    # dW2 = h^T dy = [1 -2; 3 6]   db2 = [1.5 1]   dh = dy W2^T = [1.5 -2; -1 8]   dz = [1.5 0; 0 8] where z > 0
    # dW1 = x^T dz = [1.5 -16; 3 0]   db1 = [1.5 8]   and with lr = 0.5 half of each is taken away.
    W1, b1, W2, b2 = [[1, -1], [Fraction(1, 2), -1]], [0, 1], [[1, -1], [2, 3]], [0, 1]
    x, t = [[1, 2], [-2, 0]], [[1, 1], [4, 6]]
    loss, stepped = step_in_fractions(
        W1, b1, W2, b2, *([[Fraction(v) for v in row] for row in m] for m in (x, t)), Fraction(1, 2)
    )
    by_hand = [[[0.25, 7], [-1, -1]], [-0.75, -3], [[0.5, 0], [0.5, 0]], [-0.75, 0.5]]
    assert loss == 6.25
    assert stepped == by_hand

    layers = [("affine", 2, 2), ("relu",), ("affine", 2, 2)]
    params = {key: np.array(value, dtype) for key, value in {"W1": W1, "b1": b1, "W2": W2, "b2": b2}.items()}
    assert (
        reference.network_step(
            layers, params, np.array(x, dtype), np.array(t, dtype), 0.5, "mean_squared_error"
        )
        == 6.25
    )
    for p, expected in zip(params.values(), by_hand, strict=True):
        assert p.dtype == dtype
        assert np.array_equal(p, np.array(expected))  # every number is a small binary fraction: no rounding


# --- the tables, the messages, the comparison -------------------------------------------------------------


def test_an_activation_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(x: Array, y: Array, slope: float, alpha: float) -> None:
        np.multiply(x, x, out=y)

    def backward(dy: Array, x: Array, y: Array, dx: Array, slope: float, alpha: float) -> None:
        raise AssertionError("nothing before the first affine layer needs a gradient")

    monkeypatch.setitem(reference.ACTIVATIONS, "square", (forward, backward))
    assert_close(reference.activation_forward("square", np.array([-3.0])), [9.0])
    layers, x, t = [("affine", 3, 2)], numbers(60, 4, 3), targets("labels", 4, 2)
    params = parameters(layers)
    loss, grads = reference.network_gradient([("square",), *layers], params, x, t)
    expected_loss, expected = reference.network_gradient(layers, params, x * x, t)
    assert loss == expected_loss
    assert all(np.array_equal(grads[key], expected[key]) for key in params)


def test_unknown_names() -> None:
    x = np.ones((1, 2))
    names = "identity, step, sigmoid, tanh, relu, leaky_relu, elu, softmax"
    message = f"name: expected one of {names}, got 'Relu'; pass a name from that list"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        reference.activation_forward("Relu", x)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        reference.activation_backward("Relu", x, x, x)
    message = "loss: expected one of softmax_cross_entropy, mean_squared_error, got 'mse'; pass a name from that list"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        reference.network_gradient([], {}, x, x, loss="mse")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_comparison_fails_where_it_must(dtype: Any) -> None:
    rtol, atol = TOLERANCE[dtype]
    good = np.array([1.0, np.nan, np.inf, -np.inf, 0.0], dtype)
    assert_close(good, good.astype(np.float64), dtype)
    assert_close(good + dtype(atol / 2), good, dtype)
    for index, value in (
        (0, np.nan),
        (0, np.inf),
        (1, 1.0),
        (2, -np.inf),
        (2, 1.0),
        (3, np.nan),
        (0, 1 + 3 * rtol),
    ):
        bad = good.copy()
        bad[index] = value
        with pytest.raises(
            AssertionError, match=rf"^1 of 5 entries differ; worst at \({index},\): expected "
        ):
            assert_close(bad, good, dtype)
    with pytest.raises(AssertionError, match=r"^expected shape \(1, 5\), got \(5,\)"):
        assert_close(good, good[None], dtype)
    with pytest.raises(AssertionError, match="^expected dtype float16, got float"):
        assert_close(good, good.astype(np.float16))
    with pytest.raises(AssertionError, match="^1 of 1 entries differ"):
        assert_close(math.nan, 1.0, dtype)
    assert_close(good[:0], good[:0], dtype)
