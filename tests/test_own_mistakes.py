"""What goes wrong with users' own operations: exceptions, names that are taken or defined again, and pickles."""

import copy
import functools
import math
import pathlib
import pickle
import re
from collections.abc import Callable
from math import exp
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Network, operations
from fastnn.kernels.cache import is_told_by_files
from fastnn.kernels.compile import JIT_DISABLED, own_formula
from fastnn.operations.updates import base

Make = Callable[[], Any]
X, T = np.ones((4, 2)), np.ones((4, 1))


def doubled(factor: float = 2.0, name: Any = "doubled") -> Any:
    return fastnn.activation(lambda x: factor * x, derivative=lambda x, y: factor, name=name)


def descent(factor: float, name: Any = "descent", state: int = 0) -> Any:
    return fastnn.optimizer(lambda p, g, s, rates: (p - factor * rates[0] * g, s), state=state, rates={}, name=name)


def swish(x: Any, beta: Any) -> Any:
    return x / (1.0 + math.exp(-beta * x))


def swish_slopes(x: Any, beta: Any) -> Any:
    s = 1.0 / (1.0 + math.exp(-beta * x))
    return s + beta * x * s * (1.0 - s), x * x * s * (1.0 - s)


def raising(x: Any) -> Any:
    if x > 30.0:  # beyond where it is tried
        raise ValueError("too large")
    return 2.0 * x


def only_in_float64(x: Any) -> Any:
    total = 0.0
    for one in (x, 1.0, 2.0):
        total += one
    return total


def network(dtype: str = "float64") -> Network:
    return Network([Affine(2, 1)], "mean_squared_error", rng=0, dtype=dtype)


def moved_by(net: Network, optimizer: Any) -> float:
    """How far the bias moves in a step, in gradients."""
    before, gradient = net.params["b1"].copy(), (net.predict(X) - T).mean()
    net.step(X, T, optimizer)
    return float(((before - net.params["b1"]) / gradient)[0])


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python raises where it stands")
def test_one_that_raises_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^f: expected .* got raising; it .*: return a number for every x"):
        fastnn.activation(raising, derivative=lambda x, y: 2.0, name="raising")


def of_constants(x: Any) -> Any:
    """A polynomial; no index is out of range."""
    factors, total = (0.0, 1.0, 0.5), 0.0 * x
    for k in range(3):
        total = total * x + factors[2 - k]
    return total / (1.0 + x * x) ** 2


def of_constants_slope(x: Any, y: Any) -> Any:
    return (1.0 + x) / (1.0 + x * x) ** 2 - 4.0 * x * y / (1.0 + x * x)


def test_one_that_cannot_raise_is_taken() -> None:
    kind = fastnn.activation(of_constants, derivative=of_constants_slope, name="of_constants")
    y = Network([Affine(2, 1), kind()], "mean_squared_error", rng=0).predict(X.astype(np.float32))
    assert np.isfinite(y).all()


def logistic(x: Any) -> Any:
    return 1.0 / (1.0 + exp(-x))


def log_of_square(x: Any) -> Any:
    return math.log(x * x)


@pytest.mark.parametrize(
    ("f", "slope", "values"),
    [
        (logistic, lambda x, y: y * (1.0 - y), [0.0, 0.5, 1.0]),
        (log_of_square, lambda x, y: 2.0 / x, [2.0 * math.log(1000.0), -math.inf, 2.0 * math.log(1000.0)]),
    ],
)
def test_infinity_is_no_error(f: Any, slope: Any, values: list[float]) -> None:
    """As in compiled code; Python's math.exp(1000.0) and math.log(0.0) raise errors."""
    kind = fastnn.activation(f, derivative=slope, name="own_function")
    net = Network([Affine(1, 1), kind()], "mean_squared_error", rng=0, dtype="float64")
    net.params["W1"][...] = 1.0
    np.testing.assert_allclose(net.predict([[-1000.0], [0.0], [1000.0]])[:, 0], values, rtol=1e-12)


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python raises where it stands")
def test_what_it_calls_is_looked_at() -> None:
    helper = own_formula(raising)
    with pytest.raises(TypeError, match="return a number for every x"):
        fastnn.activation(lambda x: helper(x), derivative=lambda x, y: 2.0, name="raising")


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python takes any type")
def test_both_dtypes_are_compiled() -> None:
    with pytest.raises(
        TypeError, match=r"^f: expected a function of x that Numba compiles for float32 .*; Numba says: "
    ):
        fastnn.activation(only_in_float64, derivative=lambda x, y: 1.0, name="only_in_float64")


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python runs it")
def test_an_update_is_compiled_when_it_is_made() -> None:
    def update(p: Any, g: Any, s: Any, rates: Any) -> Any:
        return globals()["math"].fabs(p) * 0.0 + p - rates[0] * g, s

    with pytest.raises(
        TypeError, match=r"^update: expected a function of p, g, s, rates that Numba compiles for float32"
    ):
        fastnn.optimizer(update, state=1, rates={"beta": 0.5}, name="uncompiled")


def test_a_default_may_hold_a_number() -> None:
    def tripled(x: Any, k: float = 3.0) -> Any:
        return k * x

    fastnn.activation(tripled, derivative=lambda x, y: 3.0, name="tripled")


def likelihood(y: Any, t: Any) -> Any:
    return -t * math.log(y) - (1.0 - t) * math.log(1.0 - y)


def likelihood_slope(y: Any, t: Any) -> Any:
    return (y - t) / (y * (1.0 - y))


def test_a_loss_of_probabilities() -> None:
    with pytest.raises(ValueError, match=r"^value: expected a finite number at y = -20, t = 0, got .*; .* pass at="):
        fastnn.loss(likelihood, derivative=likelihood_slope, name="likelihood")
    points: Any = ((0.1, 0.5, 0.9), ((0.1, 0.3), (0.8, 1.0)))
    for at in points:
        fastnn.loss(likelihood, derivative=likelihood_slope, name="likelihood", at=at)
    net = Network([Affine(2, 1), fastnn.Sigmoid()], "likelihood", rng=0, dtype="float64")  # type: ignore[arg-type]
    y = net.predict(X)
    np.testing.assert_allclose(net.loss(X, T), -np.log(y).mean(), rtol=1e-12)
    with pytest.raises(ValueError, match=r"^derivative: expected the derivative, .* at y = 0\.1, t = 0 by"):
        fastnn.loss(likelihood, derivative=lambda y, t: y, name="likelihood", at=[0.1])
    for at in ((), "0.1", (math.nan,), ((0.1, 0.2), 0.3), 0.5):
        with pytest.raises((TypeError, ValueError), match=r"^at(\[\d\])?: expected "):
            fastnn.loss(likelihood, derivative=likelihood_slope, name="likelihood", at=at)  # type: ignore[arg-type]


def test_a_loss_is_evaluated_in_float64() -> None:
    def softplus(y: Any, t: Any) -> Any:
        return math.log1p(math.exp(y))

    Softplus = fastnn.loss(softplus, derivative=lambda y, t: 1.0 / (1.0 + math.exp(-y)), name="own_softplus")
    net = Network([Affine(1, 1)], Softplus(), rng=0, dtype="float32")
    net.params["W1"][...], net.params["b1"][...] = 1.0, 0.0
    np.testing.assert_allclose(net.loss([[100.0]], [[1.0]]), 100.0, rtol=1e-6)


def test_an_optimizer_defined_again_is_used() -> None:
    net = network()
    for factor in (1.0, 3.0):
        np.testing.assert_allclose(moved_by(net, descent(factor)(lr=0.1)), 0.1 * factor, rtol=1e-6)


def test_an_optimizer_called_none_updates() -> None:
    net = network()
    np.testing.assert_allclose(moved_by(net, descent(1.0, "none")(lr=0.1)), 0.1, rtol=1e-6)


def test_what_was_made_before_is_refused(path: pathlib.Path) -> None:
    old, old_optimizer = doubled()(), descent(1.0)(lr=0.1)
    net = Network([Affine(2, 1), old], "mean_squared_error", rng=0)
    doubled(3.0)
    Loss = fastnn.loss(lambda y, t: (y - t) ** 2, derivative=lambda y, t: 2.0 * (y - t), name="own_squares")
    old_loss = Loss()
    fastnn.loss(lambda y, t: 3.0 * (y - t) ** 2, derivative=lambda y, t: 6.0 * (y - t), name="own_squares")
    descent(3.0)
    makers: list[tuple[Make, str]] = [
        (lambda: Network([Affine(2, 1), old], "mean_squared_error"), "layers[1]: "),
        (lambda: Network([Affine(2, 1)], old_loss), "loss: "),
        (lambda: network().step(X, T, old_optimizer), "optimizer: "),
        (lambda: net.save(path), "network.layers[1]: "),
    ]
    for make, name in makers:
        with pytest.raises(
            ValueError, match=f"^{re.escape(name)}.*, made before .* was defined again; create it anew$"
        ):
            make()
    assert copy.deepcopy(net).predict(X).tobytes() == net.predict(X).tobytes()
    with pytest.raises(pickle.PicklingError, match=r"^expected the activation doubled as it is defined now"):
        pickle.dumps(old)


@pytest.mark.parametrize("role", ["activation", "layer", "loss", "optimizer"])
def test_pickles_name_them(role: str) -> None:
    made: dict[str, Make] = {
        "activation": lambda: doubled()(),
        "layer": lambda: fastnn.layer(swish, derivative=swish_slopes, parameters={"beta": 1.0}, name="own_swish")(0.5),
        "loss": lambda: fastnn.loss(lambda y, t: y * t, derivative=lambda y, t: t, name="own_product")(),
        "optimizer": lambda: descent(1.0)(lr=0.5, clip_norm=2.0),
    }
    one = made[role]()
    data = pickle.dumps(one)
    assert pickle.loads(data) == one == copy.deepcopy(one)
    _, table, key = operations.MADE[type(one)]
    del table[key]
    with pytest.raises(
        ValueError, match=rf"^pickle: expected your own {role} '{key}', got none; .* by fastnn\.{role}; other processes"
    ):
        pickle.loads(data)


def test_a_pickled_network_keeps_its_optimizer() -> None:
    net = network()
    net.step(X, T, descent(1.0)(lr=0.1))
    assert pickle.loads(pickle.dumps(net)).optimizer == net.optimizer != None  # noqa: E711


class Slower(fastnn.SGD):
    pass


def test_a_network_whose_optimizer_was_defined_again_is_not_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word, the optimizer would be left out."""
    made: list[tuple[Any, Make]] = [
        (descent(1.0)(lr=0.1), lambda: descent(2.0)),
        (Slower(0.1), lambda: monkeypatch.setitem(globals(), "Slower", type("Slower", (fastnn.SGD,), {}))),
    ]
    for optimizer, again in made:
        net = network()
        net.step(X, T, optimizer)
        pickle.dumps(net)
        again()
        with pytest.raises(
            pickle.PicklingError, match=r"^network.optimizer: expected .*, made before it was defined agai"
        ):
            pickle.dumps(net)
        net.initialize(0)
        pickle.dumps(net)


@pytest.mark.parametrize("name", ["_", "_mish", "mish_", "mi__sh", "Mish", "1st", "", 3])
def test_names_are_lower_case(name: Any) -> None:
    with pytest.raises(ValueError, match=r"^name: expected a lower-case identifier"):
        doubled(name=name)


@pytest.mark.parametrize("name", ["relu", "prelu", "batch_norm", "sgd", "mean_squared_error", "zero_one", "accuracy"])
def test_names_of_fastnn_are_refused(name: Any) -> None:
    with pytest.raises(ValueError, match=r"^name: expected one that fastnn does not use itself"):
        doubled(name=name)


def test_a_name_stands_for_one_operation() -> None:
    doubled()
    with pytest.raises(ValueError, match="got 'doubled', the name of your own activation Doubled; pass another"):
        fastnn.layer(swish, derivative=swish_slopes, parameters={"beta": 1.0}, name="doubled")
    with pytest.raises(ValueError, match="got 'dou_bled', the name of your own activation Doubled; pass another"):
        doubled(name="dou_bled")


TAKEN = (
    "lambda",
    "numbers",
    "update",
    "unit",
    "outer",
    "keeps",
    "lr",
    "clip_norm",
    "in_unit_interval",
    "_own",
    "__init__",
)


@pytest.mark.parametrize("name", TAKEN)
def test_names_of_rates(name: Any) -> None:
    with pytest.raises(ValueError, match=r"^rates: expected "):
        fastnn.optimizer(lambda p, g, s, rates: (p, s), state=0, rates={name: 0.5}, name="descent")


@pytest.mark.parametrize("name", ["W", "b", "mean", "variance", "lambda", "units", "link", "_a"])
def test_names_of_parameters(name: Any) -> None:
    with pytest.raises(ValueError, match=r"^parameters: expected "):
        fastnn.layer(swish, derivative=swish_slopes, parameters={name: 1.0}, name="own_swish")


class Called:
    def __call__(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize(
    "f", [math.tanh, np.tanh, functools.partial(swish, beta=1.0), Called(), 3, None, swish, lambda: 1.0]
)
def test_what_is_no_function_of_x(f: Any) -> None:
    with pytest.raises(TypeError, match=r"^f: expected a Python function of x, got .*; write one: def f\(x\): return"):
        fastnn.activation(f, derivative=lambda x, y: 1.0, name="wrong")


@pytest.mark.parametrize("found", [(None, 0.0), (1.0, None), (1.0, (0.0, 0.0)), (1.0,), "ab"])
def test_what_an_update_returns(found: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^update: expected "):
        fastnn.optimizer(lambda p, g, s, rates: found, state=1, rates={}, name="wrong")


def test_slips_are_answered() -> None:
    Swish = fastnn.layer(swish, derivative=swish_slopes, parameters={"beta": 1.0}, name="own_swish")
    with pytest.raises(TypeError, match=r"^OwnSwish: expected arguments out of beta, .*, got bet; pass beta"):
        Swish(bet=1.0)
    with pytest.raises(TypeError, match=r"^Descent: expected arguments out of .*, got learning_rate; pass lr"):
        descent(1.0)(learning_rate=0.1)


def test_no_formula_of_a_users_is_kept_on_disk() -> None:
    assert is_told_by_files(base.root)
    for function in (raising, own_formula(raising), lambda x: x, fastnn.activation):
        assert not is_told_by_files(function)


def hard_swish(x: Any) -> Any:
    return 0.0 if x <= -3.0 else x if x >= 3.0 else x * (x + 3.0) / 6.0


def hard_swish_slope(x: Any, y: Any) -> Any:
    return 0.0 if x <= -3.0 else 1.0 if x > 3.0 else (2.0 * x + 3.0) / 6.0


@pytest.mark.parametrize("kinks", [(-3.0, 3.0), ()])
def test_kinks_away_from_0(kinks: tuple[float, ...]) -> None:
    """A right derivative passes the check beside them; where they are not given, it is taken for a wrong one."""
    kind = fastnn.activation(hard_swish, derivative=hard_swish_slope, name="bent_twice", kinks=kinks)
    verdicts = []
    for seed in (40, 45):  # of 60 networks the ones with a sample within the quotient's steps of a kink
        layers = [Affine(5, 8), kind(), Affine(8, 8), kind(), Affine(8, 3)]
        x, t = 3.0 * np.random.default_rng(seed).standard_normal((30, 5)), np.arange(30) % 3
        verdicts.append(fastnn.check_gradients(Network(layers, rng=seed, dtype="float64"), x, t).verdict)
    assert ("differ" in verdicts) == (not kinks), verdicts


def test_kinks_are_numbers() -> None:
    with pytest.raises(TypeError, match=r"^kinks: expected a tuple of numbers, got 0; pass one such as "):
        fastnn.activation(hard_swish, derivative=hard_swish_slope, name="bent", kinks=0)  # type: ignore[arg-type]
