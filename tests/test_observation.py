"""A network's loss is recognized in a function of one of its parameters, and nothing else is taken for it."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn.engine import observation
from tests.shapes import Array


def problem(dtype: str = "float64") -> tuple[fastnn.Network, Array, Array]:
    net = fastnn.Network([fastnn.Affine(4, 5), fastnn.Tanh(), fastnn.Affine(5, 3)], rng=0, dtype=dtype)
    x = np.random.default_rng(1).standard_normal((6, 4)).astype(dtype)
    return net, x, np.arange(6) % 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_networks_loss_is_recognized(dtype: str) -> None:
    net, x, t = problem(dtype)
    engine = net.numerical_gradient(x, t)
    before = net.engine.values.tobytes()
    for name, parameter in net.params.items():
        calls: list[None] = []

        def loss(_: Array, calls: list[None] = calls) -> float:
            calls.append(None)
            return net.loss(x, t)

        found = fastnn.numerical_gradient(loss, parameter)
        assert len(calls) == observation.EXTRA_CALLS
        assert found.dtype == np.dtype(dtype)
        assert found.tobytes() == engine[name].astype(dtype).tobytes()
    assert net.engine.values.tobytes() == before


def test_what_is_no_networks_loss_is_evaluated() -> None:
    net, x, t = problem()
    W, b = net.params["W1"], net.params["b1"]
    other = fastnn.Network([fastnn.Affine(4, 3)], rng=1, dtype="float64")
    expected = net.numerical_gradient(x, t)["W1"]
    functions = {
        "twice the loss": (lambda _: 2 * net.loss(x, t), 2 * expected),
        "two losses": (lambda _: net.loss(x, t) + net.loss(x[:3], t[:3]) * 0, expected),
        "with a penalty": (lambda W: net.loss(x, t) + 0.5 * float((W * W).sum()), expected + W),
        "another network's loss": (lambda _: other.loss(x, t), np.zeros_like(W)),
        "a constant": (lambda _: 1.0, np.zeros_like(W)),
    }
    for name, (f, wanted) in functions.items():
        np.testing.assert_allclose(fastnn.numerical_gradient(f, W), wanted, rtol=1e-6, atol=1e-8, err_msg=name)
    # A part of a parameter, and a copy.
    np.testing.assert_allclose(
        fastnn.numerical_gradient(lambda _: net.loss(x, t), W[:, 1:2]), expected[:, 1:2], atol=1e-9
    )
    assert (fastnn.numerical_gradient(lambda _: net.loss(x, t), W.copy()) == 0).all()
    assert b.shape == (5,)


def test_a_loss_only_where_the_parameter_stands_is_evaluated() -> None:
    """Such as with a penalty outside of a box, which the second look finds."""
    net, x, t = problem()
    b = net.params["b2"]
    b[:] = -0.2, 0.1, 0.3

    def loss(_: Array) -> float:
        return net.loss(x, t) if np.abs(b).max() <= 0.3 else net.loss(x, t) + 1.0

    before = net.engine.values.tobytes()
    expected = reference.numerical_gradient(loss, b)
    assert abs(expected[2]) > 1000.0
    np.testing.assert_allclose(fastnn.numerical_gradient(loss, b), expected, rtol=1e-9, atol=1e-9)
    assert net.engine.values.tobytes() == before


def test_an_error_while_watching_is_the_users() -> None:
    net, x, t = problem()

    def fails(_: Array) -> float:
        net.loss(x, t)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fastnn.numerical_gradient(fails, net.params["W1"])
    assert observation._watch.calls is None


def plain(f: Any, x: Array) -> Array:
    """The central difference, by f plus 0, which nothing recognizes."""
    return np.asarray(fastnn.numerical_gradient(lambda v: f(v) + 0.0, x))


def test_a_network_that_moves_with_its_argument_is_evaluated() -> None:
    """Other parameters, or the data, depend on the one that is moved: not the network's loss alone."""
    net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Tanh(), fastnn.Affine(3, 4)], "mean_squared_error", rng=0)
    net = fastnn.Network(net.layers, "mean_squared_error", rng=0, dtype="float64")
    x = np.random.default_rng(1).normal(size=(6, 4))

    def tied(W: Array) -> float:
        net.params["W2"][...] = W.T
        return net.loss(x, x)

    W, b = net.params["W1"], net.params["b1"]
    np.testing.assert_allclose(fastnn.numerical_gradient(tied, W), plain(tied, W), atol=1e-9)
    f = lambda v: net.loss(x * v.sum() + x, x)  # noqa: E731
    np.testing.assert_allclose(fastnn.numerical_gradient(f, b), plain(f, b), atol=1e-9)
    found = fastnn.numerical_gradient(f, b, full_output=True)
    assert found.evaluations == 2 * b.size + observation.EXTRA_CALLS


def test_a_gradient_within_a_gradient() -> None:
    net, x, t = problem()

    def penalty(_: Array) -> float:
        slopes = fastnn.numerical_gradient(lambda _: net.loss(x, t), net.params["b1"])
        return net.loss(x, t) + float(np.sum(slopes**2))

    W = net.params["W1"]
    found = fastnn.numerical_gradient(penalty, W, subset=[3])
    np.testing.assert_allclose(found.ravel()[3], plain(penalty, W).ravel()[3], rtol=1e-6)
    assert observation._watch.calls is None


def test_the_best_step_of_a_network_is_float64s() -> None:
    net, x, t = problem("float32")
    found = fastnn.numerical_gradient(lambda _: net.loss(x, t), net.params["W1"], h="auto")
    assert np.array_equal(found, net.numerical_gradient(x, t, h="auto")["W1"].astype(np.float32))
