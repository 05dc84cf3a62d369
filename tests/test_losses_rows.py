"""The ways that kernels take: wide and narrow rows, hits or none, targets past the gate."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Network, Tanh, losses, reference
from fastnn.engine.losses import sum_of_losses
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.operations.losses.base import SIGNS
from tests.loss_cases import CASES, PROBABILITIES, D, K, N, X, targets


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("outputs", [1, K])
@pytest.mark.parametrize("case", [case for case in CASES if case.split()[0] not in PROBABILITIES])
def test_targets_take_the_shortest_way_or_the_gate(case: str, outputs: int, dtype: Any) -> None:
    """Both ways give the same bits, even for a batch whose targets only the gate can judge."""
    if outputs == 1 and losses.LOSSES[case.split()[0]].compares_classes:
        return
    dense = np.asarray(targets(case)).astype(dtype)
    if dense.ndim == 1:
        dense = np.eye(K, dtype=dtype)[np.asarray(targets(case))]
        dense = 2 * dense - 1 if case.startswith("hinge") else dense
    dense = np.ascontiguousarray(dense[:, :outputs])
    x, found = X.astype(dtype), []
    for t in (dense, dense.tolist(), np.asfortranarray(dense), *([dense[:, 0], dense[:, 0].tolist()] * (outputs == 1))):
        net = Network([Affine(D, outputs)], case.split()[0], rng=0, dtype=dtype)  # type: ignore[arg-type]
        found.append((net.step(x, t, fastnn.SGD(0.1)), net.params["W1"].tobytes()))
    assert found[1:] == found[:1] * (len(found) - 1)
    bad = dense.copy()
    bad[-1, -1] = np.nan
    with pytest.raises(ValueError, match=r"^t: expected"):
        net.step(x, bad, fastnn.SGD(0.1))
    assert net.params["W1"].tobytes() == found[-1][1]


@pytest.mark.parametrize("name", ["absolute_error", "huber", "mean_squared_error"])
def test_a_difference_that_float32_cannot_hold_is_not_infinite(name: Any) -> None:
    y, t = np.array([[3e38, 1.0]], np.float32), np.array([[-3e38, 1.0]], np.float32)
    net = Network([Affine(1, 2)], name, rng=0)
    net.params["W1"][...], net.params["b1"][...] = 0.0, y[0]
    x = np.ones((1, 1), np.float32)
    exact = reference.losses.LOSSES[name](y.astype(np.float64), t.astype(np.float64))[0]
    assert net.loss(x, t) == pytest.approx(exact, rel=1e-6) and np.isfinite(exact)
    assert getattr(fastnn, name)(y, t, reduction="sum")[0] > 0.9 * exact
    gradients = net.gradient(x, t).values()
    assert all(np.isfinite(array).all() for array in gradients) == (name != "mean_squared_error")  # y - t


# Outputs and targets of which float32 cannot hold the value, the slope or a step between.
EXTREMES: dict[str, list[tuple[float, float]]] = {
    "cross_entropy": [(1e-40, 1.0), (1e-35, 0.5), (0.0, 0.0), (1e-12, 1.0), (1.0, 1.0)],
    "exponential": [(-100.0, 1.0), (100.0, 1.0), (600.0, -1.0), (85.0, -1.0), (-0.0, 1.0)],
    "poisson": [(100.0, 1.0), (-100.0, 1.0), (39.0, 1e-30), (60.0, 1e25), (-60.0, 0.0), (2.0, -1.0), (3.0, 0.0)],
}


@pytest.mark.parametrize("width", [1, 3, 40, 600])
@pytest.mark.parametrize("name", EXTREMES)
def test_what_float32_cannot_hold_changes_no_bit_beside_it(name: Any, width: int) -> None:
    """Few elements are computed in float64: to the same bits as alone, near the exact values."""

    def function(y: Any, t: Any, divisor: float = 1.0) -> Any:
        dy, loss = np.empty_like(y), losses.LOSSES[name]()
        arguments = loss.units.rows, loss.numbers(), y, np.empty(0, np.intp), t, dy
        return sum_of_losses(*arguments, divisor=divisor, parts=1)[1], dy

    rng = np.random.default_rng(0)
    y = rng.random((8, width)).astype(np.float32)
    t = np.where(rng.random(y.shape) < 0.5, -1, 1) if name == "exponential" else rng.random(y.shape)
    t = t.astype(np.float32)
    plain = function(y, t)
    for some, wanted in EXTREMES[name]:
        one, of_one = np.array([[some]], np.float32), np.array([[wanted]], np.float32)
        exact, slope = reference.losses.LOSSES[name](one.astype(np.float64), of_one.astype(np.float64))
        value, dy = function(one, of_one)
        assert value[0] == pytest.approx(exact, rel=2e-6, abs=1e-30)
        limit = np.finfo(np.float32).max
        assert dy[0, 0] == pytest.approx(np.clip(slope[0, 0], -limit, limit), rel=1e-6, abs=1e-44)
        y2, t2 = y.copy(), t.copy()
        y2[3, width // 2], t2[3, width // 2] = some, wanted
        found, slopes = function(y2, t2)
        others = np.arange(8) != 3
        assert found[others].tobytes() == plain[0][others].tobytes()
        assert slopes[others].tobytes() == plain[1][others].tobytes()
        beside = np.arange(width) != width // 2
        assert slopes[3, beside].tobytes() == plain[1][3, beside].tobytes()
        assert slopes[3, width // 2] == dy[0, 0]
        many = function(y2, t2, 1e-3)[1]
        np.testing.assert_allclose(many[others], 1e3 * plain[1][others], rtol=1e-6)


def test_parameters_may_be_their_own_targets() -> None:
    """They move while they are read, so the gate copies them."""
    found = []
    for copied in (False, True):
        net = Network([Affine(D, 2), Tanh(), Affine(2, D)], "mean_squared_error", rng=0)
        t = net.params["W2"]
        net.step(X[:2].astype(np.float32), t.copy() if copied else t, fastnn.SGD(0.5))
        found.append(net.params["W2"].tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 2, 31, 32, 33, 65, 200])
def test_hits_are_where_numpy_finds_the_largest(width: int, dtype: Any) -> None:
    """The first of equals counts, and NaN is the largest."""
    rng = np.random.default_rng(width)
    special = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, -1e-45, 3e38], dtype)
    finite = special[np.isfinite(special)]
    y = np.concatenate(
        [rng.choice(some, (10 if JIT_DISABLED else 100, width)) for some in (special, finite, finite[:2])]
    ).astype(dtype)
    best = y.argmax(axis=1)
    for offset in (0, 1):
        labels = (best + offset) % width
        hits, loss = np.empty(len(y), np.intp), losses.SoftmaxCrossEntropy()
        arguments = loss.numbers(), y, labels, np.empty((0, width), dtype), np.empty_like(y)
        sum_of_losses((loss.labels_units or loss.units).rows, *arguments, divisor=1.0, hits=hits)
        np.testing.assert_array_equal(hits, labels == best)


@pytest.mark.parametrize("width", [2, 31, 32, 100])
@pytest.mark.parametrize("name", reference.LOSSES)
def test_hits_change_no_bit_of_a_loss(name: Any, width: int) -> None:
    """They do not change its gradient, either; a step does not ask for them, fit does."""
    net = Network([Affine(D, width), *([PROBABILITIES[name]()] if name in PROBABILITIES else [])], name, rng=0)
    t = targets(name) if width == K else np.eye(width)[np.arange(N) % width]
    t = 2 * t - 1 if name in ("hinge", "exponential") else t
    x, labels, dense = net.engine.prepare(X, t, True)
    none = np.empty(0, np.intp)
    found = []
    for hits in (np.full(N, 7, np.intp), none):
        dy = np.empty((N, width), np.float32)
        unit = (net.engine.plan.loss_of_labels if labels.size else net.engine.plan.loss).rows
        total, some = sum_of_losses(unit, net.engine.formula.numbers(), net.predict(x), labels, dense, dy, hits=hits)
        found.append((total, some.tobytes(), dy.tobytes()))
        assert np.isin(hits, (0, 1)).all()
    assert found[0] == found[1]


@pytest.mark.parametrize("width", [31, 64, 65, 130, 300, 700])
@pytest.mark.parametrize("name", reference.LOSSES)
def test_wide_rows(name: Any, width: int) -> None:
    rng = np.random.default_rng(width)
    y, t = rng.normal(size=(7, width)), rng.random((7, width))
    if losses.LOSSES[name].compares_classes:
        t[rng.random(t.shape) < 0.3] = 0.0
        t /= t.sum(axis=1, keepdims=True)
    if losses.LOSSES[name].follows:
        y = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    targets: list[Any] = [np.where(t < 0.5, -1.0, 1.0)] if losses.LOSSES[name].accepts == SIGNS else [t]
    if name in ("softmax_cross_entropy", "hinge"):
        targets.append(rng.integers(width, size=7))
    for target in targets:
        value, gradient = getattr(fastnn, name)(y, target)
        expected, expected_gradient = reference.losses.LOSSES[name](y, target)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-10, atol=1e-14)
