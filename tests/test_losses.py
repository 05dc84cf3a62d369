"""Losses of networks: value, gradient, changes, targets; beside NumPy and PyTorch."""

import dataclasses
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Network, Regularization, Softmax, Tanh, losses, reference
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.operations import LOSSES as KERNELS
from tests import shapes
from tests.loss_cases import CASES, PROBABILITIES, D, H, K, N, X, network, targets
from tests.tolerances import assert_close


def test_every_loss_is_described_and_has_a_twin() -> None:
    assert set(losses.LOSSES) == set(KERNELS) == set(reference.LOSSES)
    for loss in losses.LOSSES.values():
        assert [field.name for field in dataclasses.fields(loss)] in ([], [loss.option], ["label_smoothing"])
        assert pickle.loads(pickle.dumps(loss())) == loss()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_are_those_of_numpy(case: str, dtype: str) -> None:
    net, x, t = network(case, dtype), X.astype(dtype), targets(case, dtype)
    params = {name: array.astype(np.float64) for name, array in net.params.items()}
    last = [(PROBABILITIES[case].activation,)] if case in PROBABILITIES else []
    layers = [("affine", D, H), ("tanh",), ("affine", H, K), *last]
    t64 = t if t.dtype.kind == "i" else t.astype(np.float64)
    value, gradient = reference.network_gradient(layers, params, x.astype(np.float64), t64, net.loss_name)
    assert_close(net.loss(x, t), value, dtype)
    for name, array in net.gradient(x, t).items():
        assert_close(array, gradient[name], dtype)
    before = net.loss(x, t)
    assert net.step(x, t, fastnn.SGD(0.1)) == before
    for name, array in net.params.items():
        assert_close(array, params[name] - 0.1 * gradient[name], dtype)


@pytest.mark.parametrize("regularization", [None, Regularization(l1=0.02, l2=0.3), Regularization.blend(0.6)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_gradients_agree_with_difference_quotients(case: str, regularization: Regularization | None) -> None:
    net, t = network(case, regularization=regularization), targets(case)
    report = fastnn.check_gradients(net, X, t)
    assert report.passed, str(report)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_numerical_gradients_are_the_plain_quotients(case: str, scale: float) -> None:
    """They are equal even where the network is sure of its outputs, right or wrong."""
    last = [PROBABILITIES[case]()] if case in PROBABILITIES else []
    net, t = Network([Affine(D, K), *last], case.split()[0], rng=0, dtype="float64"), targets(case)  # type: ignore[arg-type]
    net.params["W1"][...] *= scale if case not in PROBABILITIES else min(scale, 5.0)
    if case == "exponential" and scale > 1:
        net.params["W1"][...] /= 5.0
    found = net.numerical_gradient(X, t)["W1"]
    plain = reference.numerical_gradient(lambda _: net.loss(X, t), net.params["W1"])
    rounding = 1e-6 if case == "log_loss" and scale > 1 else 1e-9  # in the plain loop 1 - y has few digits left
    np.testing.assert_allclose(found, plain, rtol=1e-6, atol=rounding * max(1.0, net.loss(X, t)))


def test_a_sigmoid_that_is_sure_loses_no_digits() -> None:
    """The plain loop in long double, by log(1 + exp(z)), is as near as 1e-13; in float64 it is off by 6e-7."""
    net, t = Network([Affine(D, K), fastnn.Sigmoid()], "log_loss", rng=0, dtype="float64"), targets("log_loss")
    net.params["W1"][...] *= 5.0

    def loss(W: Any) -> Any:
        z, zero = X.astype(np.longdouble) @ W + net.params["b1"], np.longdouble(0.0)
        return (t * np.logaddexp(zero, -z) + (1 - t) * np.logaddexp(zero, z)).sum() / len(X)

    W, h = net.params["W1"].astype(np.longdouble), np.longdouble(1e-4)
    expected = np.empty(W.shape)
    for place in np.ndindex(W.shape):
        step = np.zeros_like(W)
        step[place] = h
        expected[place] = (loss(W + step) - loss(W - step)) / (2 * h)
    np.testing.assert_allclose(net.numerical_gradient(X, t)["W1"], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_the_last_operation_may_be_an_activation(case: str) -> None:
    last = PROBABILITIES.get(case, lambda: fastnn.LeakyRelu(0.5))()
    net = Network([Affine(D, H), Tanh(), Affine(H, K), last], case.split()[0], rng=0, dtype="float64")  # type: ignore[arg-type]
    assert fastnn.check_gradients(net, X, targets(case)).passed


def in_torch(case: str, y: Any, t: Any) -> Any:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    formulas: dict[str, Callable[[], Any]] = {
        "softmax_cross_entropy": lambda: functional.cross_entropy(y, t),
        "sigmoid_cross_entropy": lambda: functional.binary_cross_entropy_with_logits(y, t, reduction="sum") / N,
        "mean_squared_error": lambda: functional.mse_loss(y, t, reduction="sum") / (2 * N),
        "absolute_error": lambda: functional.l1_loss(y, t, reduction="sum") / N,
        "huber": lambda: functional.huber_loss(y, t, reduction="sum") / N,
        "hinge": lambda: functional.multi_margin_loss(y, t) * K,
        "kl_divergence": lambda: functional.kl_div(functional.log_softmax(y, 1), t, reduction="batchmean"),
        "hinge of signs": lambda: torch.clamp(1 - t * y, min=0).sum() / N,
        "exponential": lambda: torch.exp(-t * y).sum() / N,
        "cross_entropy": lambda: functional.nll_loss(torch.log(torch.softmax(y, 1)), t),
        "log_loss": lambda: functional.binary_cross_entropy(torch.sigmoid(y), t, reduction="sum") / N,
        "poisson": lambda: (
            (
                functional.poisson_nll_loss(y, t, reduction="sum")
                + (torch.special.xlogy(t.clamp(min=0), t.clamp(min=0)) - t.clamp(min=0)).sum()
            )
            / N
        ),
    }
    return formulas[case]() if case in formulas else pytest.skip(f"{case} has no formula in PyTorch here")


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_are_those_of_torch(case: str) -> None:
    torch = pytest.importorskip("torch")
    net, t = network(case), targets(case)
    params = {name: torch.tensor(array, requires_grad=True) for name, array in net.params.items()}
    hidden = torch.tanh(torch.tensor(X) @ params["W1"] + params["b1"])
    value = in_torch(case, hidden @ params["W2"] + params["b2"], torch.tensor(t))
    value.backward()
    np.testing.assert_allclose(net.loss(X, t), value.item(), rtol=1e-12)
    for name, array in net.gradient(X, t).items():
        np.testing.assert_allclose(array, params[name].grad.numpy(), rtol=1e-9, atol=1e-14)


def test_label_smoothing() -> None:
    torch = pytest.importorskip("torch")
    loss, labels = losses.SoftmaxCrossEntropy(label_smoothing=0.2), targets("softmax_cross_entropy")
    net = Network([Affine(D, K)], loss, rng=0, dtype="float64")
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(net.predict(X)), torch.tensor(labels), label_smoothing=0.2
    )
    np.testing.assert_allclose(net.loss(X, labels), expected.item(), rtol=1e-12)
    one_hot = fastnn.datasets.one_hot(labels, K, dtype="float64")
    assert net.loss(X, one_hot) == net.loss(X, labels) == net.step(X, labels, fastnn.SGD(0.0))
    assert fastnn.check_gradients(net, X, labels).passed
    assert net.accuracy(X, labels) == Network([Affine(D, K)], rng=0, dtype="float64").accuracy(X, labels)


@pytest.mark.parametrize("delta", [0.1, 2.0])
def test_delta_of_huber(delta: float) -> None:
    net, t = Network([Affine(D, K)], losses.Huber(delta), rng=0, dtype="float64"), targets("huber")
    np.testing.assert_allclose(net.loss(X, t), reference.huber(net.predict(X), t, delta=delta)[0], rtol=1e-13)
    assert fastnn.check_gradients(net, X, t).passed


@pytest.mark.parametrize("name", ["sigmoid_cross_entropy", "hinge", "exponential"])
def test_two_classes_by_one_output(name: Any) -> None:
    x = np.concatenate([shapes.numbers(1, 30, 2) - 3, shapes.numbers(2, 30, 2) + 3])
    t = np.repeat([0.0, 1.0] if name == "sigmoid_cross_entropy" else [-1.0, 1.0], 30)
    net = Network([Affine(2, 1)], name, rng=0, dtype="float64")
    history = net.fit(x, t, epochs=3 if JIT_DISABLED else 40, optimizer=fastnn.SGD(0.1), rng=0, progress=False)
    assert net.accuracy(x, t) == history.accuracy[-1] == 1.0
    assert net.accuracy(x, -t if name != "sigmoid_cross_entropy" else 1 - t) == 0.0


REFUSED: list[tuple[str, Any, str]] = [
    ("sigmoid_cross_entropy", np.full((N, K), 1.5), "t: expected shares from 0 to 1, got 1.5 at t[0, 0]; scale them"),
    ("hinge", np.full((N, K), 0.0), "t: expected -1 or 1, got 0 at t[0, 0]; from classes 0 and 1 pass 2 * t - 1"),
    ("exponential", np.full((N, K), 2.0), "t: expected -1 or 1, got 2 at t[0, 0]"),
    ("hinge", np.full(N, K), f"t: expected labels of shape ({N},), integers from 0 to 2, got 3 at t[0]"),
    ("kl_divergence", np.full((N, K), 0.5), "t: "),
    ("huber", np.arange(N) % K, "t: expected"),
]


@pytest.mark.parametrize(("name", "t", "sentence"), REFUSED, ids=[f"{row[0]} {i}" for i, row in enumerate(REFUSED)])
def test_refused_targets(name: Any, t: Any, sentence: str) -> None:
    net = network(name)
    before = net.predict(X)
    for call in (net.loss, net.gradient, lambda x, t: net.step(x, t, fastnn.SGD())):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
            call(X, t)
    np.testing.assert_array_equal(net.predict(X), before)


def test_refused_losses() -> None:
    with pytest.raises(ValueError, match=r"^loss: expected one to descend on, got the 0-1 loss, whose gradient is 0"):
        Network([Affine(2, 2)], "zero_one_loss")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^loss: expected one of .*, got 'MSE'; did you mean 'mean_squared_error'\?$"):
        Network([Affine(2, 2)], "MSE")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^layers: expected logits from the last layer, got Softmax\(\)"):
        Network([Affine(2, 2), Softmax()], "kl_divergence")
    with pytest.raises(ValueError, match=r"^layers: expected logits from the last layer, got Sigmoid\(\)"):
        Network([Affine(2, 2), fastnn.Sigmoid()], "sigmoid_cross_entropy")
    with pytest.raises(ValueError, match=r"^layers: expected probabilities from .*, Softmax\(\), .* take log_loss"):
        Network([Affine(2, 2), fastnn.Sigmoid()], "cross_entropy")
    for name in ("softmax_cross_entropy", "kl_divergence"):  # its gradient by one output is 0
        with pytest.raises(ValueError, match=rf"^layers: expected at least 2 outputs, .* for the loss {name}, got 1"):
            Network([Affine(2, 1)], name)
    for name in ("cross_entropy", "log_loss", "mean_squared_error"):
        with pytest.raises(
            ValueError, match=r"^layers: expected at least 2 outputs for Softmax\(\), got 1, .* Sigmoid"
        ):
            Network([Affine(2, 1), Softmax()], name)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^delta: expected a finite number above 0"):
        losses.Huber(0)
    with pytest.raises(ValueError, match=r"^label_smoothing: expected a finite number of at least 0.0 and below 1.0"):
        losses.SoftmaxCrossEntropy(1.0)
    with pytest.raises(TypeError, match=r"^loss: expected one such as losses.Huber\(\), got Loss"):
        losses.Loss()
    with pytest.raises(TypeError, match=r"^regularization: expected a fastnn.Regularization or None, got 0.1"):
        Network([Affine(2, 2)], regularization=0.1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^share: expected a finite number above 0"):
        Regularization.blend(0)


@pytest.mark.parametrize("case", CASES)
def test_nan_is_passed_on(case: str) -> None:
    net, t = network(case), targets(case)
    x = X.copy()
    x[2, 1] = np.nan
    assert np.isnan(net.loss(x, t, check_finite=False))
    with pytest.raises(fastnn.TrainingDivergedError):
        net.step(x, t, fastnn.SGD(), check_finite=False)


def test_a_slope_that_float32_cannot_hold_is_not_infinite() -> None:
    """The probability is a subnormal number; its logarithm is -90."""
    net = Network([Affine(1, 1), fastnn.Sigmoid()], "log_loss", rng=0)
    net.params["W1"][...], net.params["b1"][...] = 0.0, -90.0
    x, t = np.ones((1, 1), np.float32), [1.0]
    assert net.loss(x, t) == pytest.approx(90.0, rel=1e-3)
    assert all(np.isfinite(array).all() for array in net.gradient(x, t).values())
    net.step(x, t, fastnn.SGD(0.1, clip_norm=1.0))
    assert all(np.isfinite(array).all() for array in net.params.values())


def test_losses_of_probabilities_need_some() -> None:
    for name, layers in {"cross_entropy": "Softmax()", "log_loss": "Sigmoid() or Softmax()"}.items():
        expected = f"layers: expected probabilities from the last layer, {layers}, for the loss {name}, got Softplus()"
        with pytest.raises(ValueError, match=f"^{re.escape(expected)}"):
            Network([Affine(2, 2), fastnn.Softplus()], name)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^y: expected probabilities from 0 to 1, got 2; pass probabilities, or take"):
        fastnn.cross_entropy(np.array([[2.0, 3.0]]), [1])
    with pytest.raises(ValueError, match=r"^y: expected probabilities from 0 to 1, got -0.2"):
        fastnn.log_loss(np.array([[-0.2]]), [1.0])


def test_text_of_a_network_says_its_loss_and_penalty() -> None:
    net = Network([Affine(2, 1)], losses.Huber(0.1), regularization=Regularization(l2=0.5))
    expected = 'Network([Affine(2, 1)], loss=Huber(delta=0.1), dtype="float32", regularization=Regularization(l1=0.0, '
    assert repr(net) == expected + "l2=0.5, data=1.0))"
    with pytest.raises(TypeError, match=r"^loss: expected a loss or its name, got the class Huber; create one"):
        Network([Affine(2, 1)], losses.Huber)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^regularization.l2: expected"):
        Network([Affine(2, 1)], regularization=Regularization(l2=1e39))
