"""numerical_gradient, back-propagation against it and against the plain NumPy network, and steps worked by hand."""

import copy
import itertools
import json
import math
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import operations, reference
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.layers import LAYERS, Activation, Layer
from fastnn.optimizers import Optimizer
from tests import shapes
from tests.crossings import crossed
from tests.tolerances import assert_close

# Every activation layer with its defaults, and again with another value of its parameter.
ACTIVATION_LAYERS: list[Activation] = []
for layer_class in LAYERS.values():
    if issubclass(layer_class, Activation):
        ACTIVATION_LAYERS.append(layer_class())
        if parameter := layer_class.option:
            ACTIVATION_LAYERS.append(layer_class(**{parameter: shapes.OTHER_OPTIONS[parameter]}))

TARGETS = ("labels", "one_hot", "probabilities", "values")
DEEP = (4, 3, 2, 3) if JIT_DISABLED else (4, 17, 6, 3)
LARGE = (7, 5, 6, 4) if JIT_DISABLED else (20, 33, 17, 5)


def stack(widths: Sequence[int], activation: Layer, ends_with_activation: bool) -> list[Layer]:
    """Affine layers of these widths with the activation between them, and after the last one if asked for."""
    layers: list[Layer] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [fastnn.Affine(inputs, outputs), activation]
    return layers if ends_with_activation else layers[:-1]


def described(layers: Sequence[Layer]) -> list[tuple[Any, ...]]:
    """The layers in the words of fastnn.reference."""
    rows: list[tuple[Any, ...]] = []
    for layer in layers:
        if isinstance(layer, fastnn.Affine):
            rows.append(("affine", layer.inputs, layer.outputs))
        elif isinstance(layer, Activation):
            keyword = layer.option
            rows.append((layer.activation, {keyword: layer.parameter}) if keyword else (layer.activation,))
        else:
            rows.append((operations.name_of(type(layer)),))
    return rows


def batch_targets(kind: str, rows: int, columns: int, dtype: str) -> Any:
    """labels, one_hot, probabilities, or values."""
    kept = np.dtype(dtype).type
    return (
        shapes.numbers(6, rows, columns, dtype=kept) if kind == "values" else shapes.targets(kind, rows, columns, kept)
    )


def distance_from_kinks(net: fastnn.Network, x: Any) -> float:
    """The smallest size of a number that enters an activation: several have a kink or a jump at 0."""
    layers, params = described(net.layers), {name: p.astype(np.float64) for name, p in net.params.items()}
    places = [i for i, layer in enumerate(layers) if layer[0] != "affine"]
    entering = [reference.network_forward(layers[:i], params, x.astype(np.float64)) for i in places]
    return min((float(np.abs(a).min()) for a in entering), default=np.inf)


def smooth_case(
    widths: Sequence[int], activation: Layer, kind: str, rows: int, dtype: str = "float64"
) -> tuple[fastnn.Network, Any, Any]:
    """A network with random parameters, and data for which nothing that enters an activation is close to 0."""
    loss = "mean_squared_error" if kind == "values" else "softmax_cross_entropy"
    net = fastnn.Network(stack(widths, activation, kind == "values"), loss, rng=0, dtype=dtype)  # type: ignore[arg-type]
    for seed in range(100):
        rng = np.random.default_rng(seed)
        for name, p in net.params.items():
            net.params[name] = rng.standard_normal(p.shape) / np.sqrt(p.shape[0])
        x = rng.standard_normal((rows, widths[0])).astype(dtype)
        if distance_from_kinks(net, x) > 1e-4:
            return net, x, batch_targets(kind, rows, widths[-1], dtype)
    raise AssertionError("no data found that keeps away from the kinks")


# --- the difference quotient -------------------------------------------------------------------------


@pytest.mark.parametrize(("point", "gradient"), [((3, 4), (6, 8)), ((0, 2), (0, 4)), ((3, 0), (6, 0))])
def test_worked_numbers(point: tuple[float, float], gradient: tuple[float, float]) -> None:
    """x0^2 + x1^2: the central difference of a parabola is exact but for rounding, 1e-16 * 25 / 1e-4."""
    x = np.array(point, dtype=np.float64)
    assert_close(fastnn.numerical_gradient(lambda v: (v * v).sum(), x), np.array(gradient, np.float64), atol=1e-10)


def test_partial_derivatives_of_a_polynomial() -> None:
    """f = x^2 + 3xy + y^2 + z^3 has the partials 2x + 3y, 3x + 2y and 3z^2; the quotient of z^3 is off by h^2."""
    x, y, z = 1.5, -0.5, 2.0
    found = fastnn.numerical_gradient(
        lambda v: v[0] ** 2 + 3 * v[0] * v[1] + v[1] ** 2 + v[2] ** 3, np.array([x, y, z])
    )
    assert_close(found, np.array([2 * x + 3 * y, 3 * x + 2 * y, 3 * z**2 + 1e-8]), atol=1e-10)


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 1, 3), (1,)])
def test_same_as_the_plain_loop(shape: tuple[int, ...]) -> None:
    weights = np.random.default_rng(0).standard_normal(shape)
    x = np.random.default_rng(1).standard_normal(shape)
    before = x.tobytes()

    def f(v: Any) -> float:
        return float(np.sin(v * weights).sum())

    found = fastnn.numerical_gradient(f, x, h=1e-3)
    # Equal but for the divisor, the step really taken, which is a rounding of x away from 2 h.
    assert_close(found, reference.numerical_gradient(f, x, h=1e-3), rtol=1e-12)
    assert found.shape == shape
    assert x.tobytes() == before


def test_f_is_called_twice_for_each_entry_with_x_itself() -> None:
    x = np.array([1.0, 2.0])
    seen: list[tuple[bool, list[float]]] = []

    def f(v: Any) -> float:
        seen.append((v is x, v.tolist()))
        return 0.0

    fastnn.numerical_gradient(f, x, h=0.5)
    assert seen == [(True, [1.5, 2.0]), (True, [0.5, 2.0]), (True, [1.0, 2.5]), (True, [1.0, 1.5])]


def test_float32_keeps_its_dtype() -> None:
    x = np.array([1.0, -2.0], np.float32)
    # With h = 2^-7 everything here is exact in float32.
    assert_close(fastnn.numerical_gradient(lambda v: (v * v).sum(), x, h=2.0**-7), np.array([2, -4], np.float32))


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_x_is_put_back_when_f_raises(call: int) -> None:
    x = np.array([0.1, 0.2])
    before = x.tobytes()
    calls: list[None] = []

    def f(v: Any) -> float:
        calls.append(None)
        if len(calls) == call:
            raise ZeroDivisionError
        return 0.0

    with pytest.raises(ZeroDivisionError):
        fastnn.numerical_gradient(f, x)
    assert x.tobytes() == before


READ_ONLY = np.zeros(2)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("x", "h", "error", "sentence"),
    [
        (
            [1.0, 2.0],
            1e-4,
            TypeError,
            "x: expected an array of floats, writable and not empty, got an object of type list; f reads "
            "x while its entries are moved, so pass np.array(x, dtype=float)",
        ),
        (
            np.arange(3),
            1e-4,
            TypeError,
            "x: expected an array of floats, writable and not empty, got dtype int64; pass np.array(x, dtype=float)",
        ),
        (
            READ_ONLY,
            1e-4,
            ValueError,
            "x: expected an array of floats, writable and not empty, got a read-only array; pass a copy",
        ),
        (
            np.zeros((0, 4)),
            1e-4,
            ValueError,
            "x: expected an array of floats, writable and not empty, got shape (0, 4)",
        ),
        (np.zeros(2), 0.0, ValueError, "h: expected a finite number above 0.0, got 0.0"),
        (np.zeros(2), np.nan, ValueError, "h: expected a finite number above 0.0, got nan"),
        (np.zeros(2), "1", ValueError, "h: expected a number above 0 or \"auto\", got '1'"),
    ],
)
def test_refusals(x: Any, h: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        fastnn.numerical_gradient(lambda v: 0.0, x, h)


# --- back-propagation --------------------------------------------------------------------------------


@crossed(4, activation=ACTIVATION_LAYERS, widths=[(3, 4), (1, 1, 2), (5, 1, 3), DEEP], kind=TARGETS)
def test_gradient_agrees_with_central_differences(activation: Layer, widths: tuple[int, ...], kind: str) -> None:
    net, x, t = smooth_case(widths, activation, kind, rows=3)
    gradient = net.gradient(x, t)
    for name, p in net.params.items():
        numerical = fastnn.numerical_gradient(lambda _: net.loss(x, t), p, h=1e-5)
        # The quotient's own error: h^2 of the third derivative, and a rounding of the loss divided by h.
        assert_close(gradient[name], numerical, rtol=1e-6, atol=1e-9)


@crossed(2, activation=ACTIVATION_LAYERS, kind=TARGETS, dtype=["float32", "float64"])
def test_gradient_and_step_agree_with_the_reference(activation: Layer, kind: str, dtype: str) -> None:
    net, x, t = smooth_case(LARGE, activation, kind, rows=33, dtype=dtype)
    layers, params = described(net.layers), {name: p.astype(np.float64) for name, p in net.params.items()}
    exact_x, exact_t = x.astype(np.float64), t if kind == "labels" else t.astype(np.float64)
    loss, expected = reference.network_gradient(layers, params, exact_x, exact_t, net.loss_name)
    gradient = net.gradient(x, t)
    assert list(gradient) == list(expected)
    for name in expected:
        assert_close(gradient[name], expected[name], dtype)
    assert_close(net.loss(x, t), loss, dtype)

    assert_close(net.step(x, t, fastnn.SGD(lr=0.1)), loss, dtype)
    reference.network_step(layers, params, exact_x, exact_t, 0.1, net.loss_name)
    for name in params:
        assert_close(net.params[name], params[name], dtype)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("activation", ACTIVATION_LAYERS, ids=str)
def test_gradient_at_the_kinks(activation: Layer, kind: str) -> None:
    """With x = 0 and no bias exactly 0 enters the first activation: the derivative is that of the negative side."""
    loss = "mean_squared_error" if kind == "values" else "softmax_cross_entropy"
    net = fastnn.Network(stack((2, 3, 2), activation, False), loss, rng=1, dtype="float64")  # type: ignore[arg-type]
    x = np.zeros((4, 2))
    t = batch_targets(kind, 4, 2, "float64")
    _, expected = reference.network_gradient(described(net.layers), net.params, x, t, loss)
    gradient = net.gradient(x, t)
    for name in expected:
        assert_close(gradient[name], expected[name])


def test_momentum_steps_agree_with_the_reference() -> None:
    net, x, t = smooth_case((6, 5, 4), fastnn.Tanh(), "labels", rows=9)
    layers, params = described(net.layers), {name: p.copy() for name, p in net.params.items()}
    velocity = {name: np.zeros_like(p) for name, p in params.items()}
    for _ in range(5):
        loss, gradient = reference.network_gradient(layers, params, x, t)
        assert_close(net.step(x, t, fastnn.Momentum(lr=0.2, momentum=0.8)), loss)
        reference.momentum_update(params, gradient, velocity, 0.2, 0.8)
    for name in params:
        assert_close(net.params[name], params[name])


# --- steps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squared_error_step_by_hand(dtype: str) -> None:
    """y = x W + b = (1/2 - 1/2 + 1/8, 3/2 + 1/4 + 1/8) = (1/8, 15/8), and y - t = (1/8, 7/8).

    loss = (1/64 + 49/64) / (2 * 2) = 25/128, dy = (1/16, 7/16), db = 1/2,
    dW = (1/16 + 21/16, 2/16 - 7/16) = (11/8, -5/16). Every number is a multiple of 1/128: both dtypes are exact.
    """
    net = fastnn.Network([fastnn.Affine(2, 1)], "mean_squared_error", dtype=dtype)
    net.params["W1"], net.params["b1"] = [[1 / 2], [-1 / 4]], [1 / 8]
    x, t = np.array([[1, 2], [3, -1]]), np.array([0, 1])
    assert {name: g.tolist() for name, g in net.gradient(x, t).items()} == {"W1": [[11 / 8], [-5 / 16]], "b1": [1 / 2]}
    assert net.step(x, t, fastnn.SGD(lr=1 / 2)) == 25 / 128
    assert net.params["W1"].tolist() == [[1 / 2 - 11 / 16], [-1 / 4 + 5 / 32]]
    assert net.params["b1"].tolist() == [1 / 8 - 1 / 4]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_step_by_hand(dtype: str) -> None:
    """x W1 = (1 + 1, -1 + 2) = (2, 1), which ReLU keeps; y = (2 - 1, 1) = (1, 1), so softmax is (1/2, 1/2).

    With label 0 the loss is ln 2 and dy = (-1/2, 1/2) = db2; dW2 = ((-1, 1), (-1/2, 1/2)); through W2 comes
    dh = (-1/2, 1/2 + 1/2) = (-1/2, 1) = db1; dW1 = ((-1/2, 1), (-1, 2)). The rate is 1/2.
    """
    net = fastnn.Network([fastnn.Affine(2, 2), fastnn.Relu(), fastnn.Affine(2, 2)], dtype=dtype)
    net.params["W1"], net.params["W2"] = [[1, -1], [1 / 2, 1]], [[1, 0], [-1, 1]]
    assert_close(net.step([[1, 2]], [0], fastnn.SGD(lr=1 / 2)), math.log(2), dtype)
    assert net.params["W1"].tolist() == [[1 + 1 / 4, -1 - 1 / 2], [1 / 2 + 1 / 2, 1 - 1]]
    assert net.params["b1"].tolist() == [1 / 4, -1 / 2]
    assert net.params["W2"].tolist() == [[1 + 1 / 2, 0 - 1 / 2], [-1 + 1 / 4, 1 - 1 / 4]]
    assert net.params["b2"].tolist() == [1 / 4, -1 / 4]


def test_golden_trajectory() -> None:
    """Ten steps on the digits; golden.json was written by fastnn.reference.network_step from the same start."""
    golden = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())
    (x, t), _ = fastnn.datasets.load_digits(dtype="float64", rng=0)
    net = fastnn.Network([fastnn.Affine(64, 32), fastnn.Relu(), fastnn.Affine(32, 10)], rng=0, dtype="float64")
    losses = [net.step(x[i : i + 32], t[i : i + 32], fastnn.SGD(lr=0.5)) for i in range(0, 320, 32)]
    assert_close(np.array(losses), np.array(golden["loss"]), rtol=1e-12, atol=0)


def test_momentum_goes_on_and_starts_anew() -> None:
    """The velocity survives another learning rate, but neither another kind of optimizer nor initialize."""
    net = fastnn.Network([fastnn.Affine(1, 1, "zeros")], "mean_squared_error", dtype="float64")

    def moved_by(optimizer: Optimizer) -> float:
        """The step of the bias, whose gradient is -1 while the target is one above the output."""
        before = float(net.params["b1"][0])
        net.step([[0.0]], net.predict([[0.0]]) + 1, optimizer)
        return float(net.params["b1"][0]) - before

    assert moved_by(fastnn.Momentum(0.5, 0.5)) == 0.5
    assert moved_by(fastnn.Momentum(0.25, 0.5)) == 0.5  # 0.25 of the velocity before, 0.25 of the gradient
    assert moved_by(fastnn.SGD(0.5)) == 0.5
    assert moved_by(fastnn.Momentum(0.5, 0.5)) == 0.5
    net.initialize()
    assert moved_by(fastnn.Momentum(0.5, 0.5)) == 0.5


@pytest.mark.parametrize("sizes", [(3, 40, 2, 40, 7), (40, 1, 65)], ids=str)
def test_batches_larger_and_smaller_than_before(sizes: tuple[int, ...]) -> None:
    """The scratch memory grows and is kept: what an earlier batch left there changes nothing."""
    net, x = fastnn.Network(stack((4, 3, 2), fastnn.Relu(), False), rng=0), shapes.numbers(2, 100, 4, dtype=np.float32)
    t = shapes.targets("labels", 100, 2, np.float32)
    for size in sizes:
        fresh = copy.deepcopy(net)
        assert net.step(x[:size], t[:size], fastnn.SGD(0.1)) == fresh.step(x[:size], t[:size], fastnn.SGD(0.1))
        assert all(p.tobytes() == fresh.params[name].tobytes() for name, p in net.params.items())


def test_a_small_gradient_takes_few_calls() -> None:
    x, calls = np.array([3.0, 4.0]), []
    fastnn.numerical_gradient(lambda v: v[0] * v[1], x)
    before = sys.getprofile()
    sys.setprofile(lambda _, event, __: calls.append(event) if event == "call" else None)
    try:
        fastnn.numerical_gradient(lambda v: v[0] * v[1], x)
    finally:
        sys.setprofile(before)
    assert len(calls) < 75
