"""The losses of one sample, as the notes write them, and values without gradients: both beside a batch of one row."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as package
from tests.tolerances import assert_close

fastnn: Any = package  # functions by their names
Y, P = np.array([0.5, -1.25, 2.0, 0.0]), np.array([0.1, 0.2, 0.3, 0.4])
ONE_HOT, SIGNS, SHARES = (
    np.array([0.0, 0.0, 1.0, 0.0]),
    np.array([1.0, -1.0, -1.0, 1.0]),
    np.array([0.0, 0.3, 1.0, 0.9]),
)


def logits(y: Any) -> Any:
    return y - np.log(np.exp(y).sum())


# The outputs, the targets, and the loss in plain NumPy.
CASES: dict[str, tuple[Any, Any, Callable[[Any, Any], Any]]] = {
    "mean_squared_error": (Y, SIGNS, lambda y, t: 0.5 * np.sum((y - t) ** 2)),
    "absolute_error": (Y, SIGNS, lambda y, t: np.sum(np.abs(y - t))),
    "huber": (Y, SIGNS, lambda y, t: sum(e * e / 2 if e <= 1 else e - 0.5 for e in np.abs(y - t))),
    "hinge": (Y, SIGNS, lambda y, t: np.sum(np.maximum(0, 1 - t * y))),
    "exponential": (Y, SIGNS, lambda y, t: np.sum(np.exp(-t * y))),
    "poisson": (Y, P, lambda y, t: np.sum(np.exp(y) - t * y + t * np.log(t) - t)),
    "cross_entropy": (P, ONE_HOT, lambda y, t: -np.sum(t * np.log(y))),
    "log_loss": (P, SHARES, lambda y, t: -np.sum(t * np.log(y) + (1 - t) * np.log(1 - y))),
    "softmax_cross_entropy": (Y, P, lambda y, t: -np.sum(t * logits(y))),
    "kl_divergence": (Y, P, lambda y, t: np.sum(t * (np.log(t) - logits(y)))),
    "sigmoid_cross_entropy": (
        Y,
        SHARES,
        lambda y, t: -np.sum(t * np.log(1 / (1 + np.exp(-y))) + (1 - t) * np.log(1 / (1 + np.exp(y)))),
    ),
}


def quotients(formula: Callable[[Any, Any], Any], y: Any, t: Any) -> Any:
    """The gradient by central differences."""
    h = 1e-6
    return np.array([(formula(y + h * e, t) - formula(y - h * e, t)) / (2 * h) for e in np.eye(len(y))])


def test_each_loss_is_here() -> None:
    assert set(CASES) == set(fastnn.losses.LOSSES)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_gradients(name: str, dtype: Any) -> None:
    y, t, formula = CASES[name]
    y, t, function = y.astype(dtype), t.astype(dtype), getattr(fastnn, name)
    kept = y.copy(), t.copy()
    wanted = formula(y.astype(np.float64), t.astype(np.float64))
    for _ in range(2):  # the second call goes the short way
        loss, dy = function(y, t)
        assert type(loss) is float and dy.shape == y.shape and dy.dtype == dtype
        assert_close(loss, wanted, dtype)
        of_batch, of_rows = function(y[None], t[None])
        assert loss == of_batch and np.array_equal(dy, of_rows[0])
        for some, targets in ((y, t), (y[None], t[None])):
            value = function(some, targets, gradient=False)
            assert type(value) is float and value == loss
    if dtype == np.float64:
        np.testing.assert_allclose(dy, quotients(formula, y, t), rtol=1e-6, atol=1e-8)
    out = np.full_like(y, np.nan)
    assert function(y, t, out=out)[1] is out and np.array_equal(out, dy)
    assert np.array_equal(y, kept[0]) and np.array_equal(t, kept[1])
    assert function(y, t, reduction="none")[0] == loss
    assert_close(function(y, t, reduction="element_mean")[0], wanted / 4, dtype)
    if dtype == np.float64:
        assert function(y.tolist(), t.tolist())[0] == loss


def test_the_losses_of_the_notes() -> None:
    """Note 004: the same image, recognized rightly and wrongly."""
    t = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    for y, entropy, square in (
        ([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0], 0.51082545709933802, 0.0975),
        ([0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0], 2.3025840929945458, 0.5975),
    ):
        for targets in (t, np.array(t), 2, np.array([2]), np.int64(2), np.array(2)):
            value = fastnn.cross_entropy(np.array(y), targets, offset=1e-7, gradient=False)
            assert value == pytest.approx(entropy, rel=1e-14, abs=0)
        assert fastnn.mean_squared_error(y, t, gradient=False) == pytest.approx(square, rel=1e-14, abs=0)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "kl_divergence", "cross_entropy", "hinge"])
def test_a_label(name: str) -> None:
    for y in (P, P.astype(np.float32)):
        loss, dy = getattr(fastnn, name)(y, 2)
        of_batch, of_rows = getattr(fastnn, name)(y[None], [2])
        assert loss == of_batch and np.array_equal(dy, of_rows[0])


def test_values_by_sample_without_gradients() -> None:
    y, t = np.stack([P, P[::-1]]), np.array([2, 0])
    values = fastnn.cross_entropy(y, t, reduction="none", gradient=False)
    assert_close(values, -np.log([0.3, 0.4]))


def test_zero_one_loss() -> None:
    for t, value in ((3, 0.0), (np.array([3]), 0.0), ([0, 0, 0, 1], 0.0), (2, 1.0), (ONE_HOT, 1.0)):
        assert fastnn.zero_one_loss(P, t) == fastnn.zero_one_loss(P, t, reduction="none") == value
    assert fastnn.zero_one_loss(np.array([0.1, np.nan]), 0) == 1.0


def test_nan_passes() -> None:
    y = np.array([np.nan, 1.0, 2.0])
    loss, dy = fastnn.mean_squared_error(y, np.ones(3))
    assert np.isnan(loss) and np.isnan(dy[0]) and np.array_equal(dy[1:], [0.0, 1.0])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fastnn.mean_squared_error(Y, np.ones(3)), r"t: expected a float64 array of shape \(4,\), got shape"),
        (lambda: fastnn.mean_squared_error(Y, 1), r"t: expected a float64 array of shape \(4,\), got 1;"),
        (lambda: fastnn.cross_entropy(P, 4), r"t: expected labels of shape \(1,\), integers from 0 to 3, got 4"),
        (lambda: fastnn.cross_entropy(P, 1.5), r"t: expected labels of shape \(1,\), integers from 0 to 3, got 1.5"),
        (lambda: fastnn.cross_entropy(P, "two"), "t: expected labels"),
        (lambda: fastnn.cross_entropy(P, None), "t: expected labels"),
        (lambda: fastnn.cross_entropy(Y, 1), "y: expected probabilities from 0 to 1, got -1.25"),
        (lambda: fastnn.mean_squared_error(Y, Y, out=Y), "out: "),
        (lambda: fastnn.mean_squared_error(Y, Y, out=np.empty((1, 4))), "out: "),
        (
            lambda: fastnn.mean_squared_error(Y, Y, out=np.empty(4), gradient=False),
            "out: expected None where gradient=False leaves nothing to write, got one; leave it out",
        ),
        (lambda: fastnn.mean_squared_error(Y, Y, gradient="no"), "gradient: expected True or False, got 'no'"),
        (lambda: fastnn.mean_squared_error([], []), "y: expected"),
    ],
)
def test_what_is_refused(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        call()
