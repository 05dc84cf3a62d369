"""Linear regression against least squares, scikit-learn, and plain loops of gradient descent."""

import re
from typing import Any

import numpy as np
import pytest
from sklearn import linear_model

import fastnn
from fastnn.models import LinearRegression
from tests.shapes import Array, numbers
from tests.tolerances import assert_close

X = numbers(1, 30, 3)
T = X @ numbers(2, 3, 2) + [1.0, -2.0] + 0.1 * numbers(3, 30, 2)


def plain_descent(
    x: Array, t: Array, lr: float, epochs: int, batch_size: int, rng: np.random.Generator | None = None
) -> tuple[Array, Array]:
    """W and b by p -= lr g on the mean over each batch, as in textbooks."""
    W, b, order = np.zeros((x.shape[1], t.shape[1])), np.zeros(t.shape[1]), np.arange(len(x))
    for _ in range(epochs):
        if rng is not None:
            order = rng.permutation(len(x))
        for first in range(0, len(x), batch_size):
            rows = order[first : first + batch_size]
            error = x[rows] @ W + b - t[rows]
            W, b = W - lr * x[rows].T @ error / len(rows), b - lr * error.mean(axis=0)
    return W, b


@pytest.mark.parametrize("batch_size", [None, 1, 8])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batch_stochastic_and_mini_batch_descent(batch_size: int | None, shuffle: bool) -> None:
    model = LinearRegression()
    history = model.fit(X, T, epochs=3, batch_size=batch_size, lr=0.05, shuffle=shuffle, rng=4)
    W, b = plain_descent(X, T, 0.05, 3, batch_size or 30, np.random.default_rng(4) if shuffle else None)
    assert_close(model.weights, W)
    assert_close(model.bias, b)
    assert isinstance(history, fastnn.History)
    assert history.epochs == 3
    assert history.loss[0] > history.loss[1] > history.loss[2] > 0


@pytest.mark.parametrize("batch_size", [None, 10])
def test_descent_goes_to_the_closed_form(batch_size: int | None) -> None:
    t = X @ numbers(2, 3, 2) + [1.0, -2.0]  # without noise each batch has the same minimum
    model = LinearRegression()
    model.fit(X, t, epochs=600, batch_size=batch_size, lr=0.5, rng=0)
    exact = LinearRegression().closed_form(X, t)
    assert_close(model.weights, exact.weights, rtol=1e-8, atol=1e-8)  # the error left after 600 epochs
    assert_close(model.bias, exact.bias, rtol=1e-8, atol=1e-8)
    assert exact.loss(X, t) <= model.loss(X, t) + 1e-15


@pytest.mark.parametrize("columns", [slice(None), 0])
def test_closed_form_is_that_of_scikit_learn(columns: Any) -> None:
    t = T[:, columns]
    model, other = LinearRegression().closed_form(X, t), linear_model.LinearRegression().fit(X, t)
    assert_close(model.weights, np.atleast_2d(other.coef_).T)
    assert_close(model.bias, np.atleast_1d(other.intercept_))
    assert_close(model.predict(X), other.predict(X))  # of the same shape, too
    error = other.predict(X) - t
    assert_close(model.loss(X, t), float((error**2).sum() / 60), np.float64)


def test_closed_form_is_least_squares_with_an_intercept_far_from_0() -> None:
    x = X + np.array([1e6, -1e6, 1e5])  # where normal equations would lose every digit
    t = x @ np.array([1.0, 2.0, -3.0]) + 5.0
    assert_close(LinearRegression().closed_form(x, t).weights, np.array([[1.0], [2.0], [-3.0]]), rtol=1e-8)


def test_closed_form_of_more_columns_than_samples() -> None:
    x, t = numbers(1, 4, 9), numbers(2, 4)
    model = LinearRegression().closed_form(x, t)
    assert_close(model.predict(x), t, atol=1e-12)
    centered = x - x.mean(axis=0)
    assert_close(model.weights[:, 0], np.linalg.pinv(centered) @ (t - t.mean()), atol=1e-12)  # the smallest norm


@pytest.mark.parametrize("l2", [1e-6, 0.1, 10.0])
@pytest.mark.parametrize("columns", [slice(None), 0])
def test_ridge_regression(l2: float, columns: Any) -> None:
    """The normal equations of centered data, scikit-learn's Ridge, and the penalty in the loss; the bias has none."""
    x, t = X + np.array([5.0, -3.0, 0.5]), T[:, columns]
    model, other = LinearRegression(l2=l2).closed_form(x, t), linear_model.Ridge(alpha=30 * l2, tol=1e-12).fit(x, t)
    centered, targets = x - x.mean(axis=0), np.reshape(t - t.mean(axis=0), (30, -1))
    W = np.linalg.solve(centered.T @ centered + 30 * l2 * np.eye(3), centered.T @ targets)
    b = np.reshape(t, (30, -1)).mean(axis=0) - x.mean(axis=0) @ W
    assert_close(model.weights, W, atol=1e-12)
    assert_close(model.bias, b, atol=1e-12)
    assert_close(model.weights, np.atleast_2d(other.coef_).T, atol=1e-12)
    assert_close(model.predict(x), other.predict(x), atol=1e-11)
    error = np.reshape(x @ W + b - np.reshape(t, (30, -1)), -1)
    assert_close(model.loss(x, t), float(error @ error / 60 + l2 / 2 * (W**2).sum()), np.float64)


def test_ridge_regression_by_descent() -> None:
    """The rule W -= lr (gradient + l2 W) step by step, and its end, the closed form."""
    model, W, b = LinearRegression(l2=0.3), np.zeros((3, 2)), np.zeros(2)
    model.fit(X, T, epochs=7, lr=0.2)
    for _ in range(7):
        error = X @ W + b - T
        W, b = W - 0.2 * (X.T @ error / 30 + 0.3 * W), b - 0.2 * error.mean(axis=0)
    assert_close(model.weights, W)
    assert_close(model.bias, b)
    model.fit(X, T, epochs=600, lr=0.5)
    exact = LinearRegression(l2=0.3).closed_form(X, T)
    assert_close(model.weights, exact.weights, rtol=1e-8, atol=1e-8)  # the error left after 600 epochs
    assert_close(model.bias, exact.bias, rtol=1e-8, atol=1e-8)


def test_ridge_regression_of_more_columns_than_samples() -> None:
    x, t = numbers(1, 4, 9), numbers(2, 4)
    model, centered = LinearRegression(l2=0.5).closed_form(x, t), x - x.mean(axis=0)
    dual = centered.T @ np.linalg.solve(centered @ centered.T + 2.0 * np.eye(4), t - t.mean())
    assert_close(model.weights[:, 0], dual, atol=1e-12)


def test_the_penalty_is_checked() -> None:
    assert repr(LinearRegression(l2=0.5)) == "LinearRegression(l2=0.5)"
    for l2 in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^l2: expected a finite number"):
            LinearRegression(l2=l2)
    with pytest.raises(
        TypeError, match=r"^LinearRegression: expected arguments out of l2, got alpha; pass l2; the alpha of"
    ):
        LinearRegression(alpha=1.0)  # type: ignore[call-arg]


def test_callbacks_see_the_path() -> None:
    path: list[Array] = []

    def note(network: fastnn.Network, history: fastnn.History) -> bool:
        path.append(network.params["W1"].copy())
        return len(path) == 3

    model = LinearRegression()
    history = model.fit(X, T, epochs=10, lr=0.1, shuffle=False, callbacks=[note])
    assert history.epochs == 3
    for epochs, W in enumerate(path, start=1):
        assert_close(W, plain_descent(X, T, 0.1, epochs, 30)[0])


@pytest.mark.parametrize("kind", [np.float32, np.float64, list])
def test_one_target_of_each_sample(kind: Any) -> None:
    x, t = X.astype(np.float32), T[:, 0].astype(np.float32)
    given = t.tolist() if kind is list else t.astype(kind)
    for model in (LinearRegression(), LinearRegression().closed_form(x, given)):
        if model.network is None:
            model.fit(x, given, epochs=5)
        assert (model.weights.shape, model.bias.shape) == ((3, 1), (1,))
        assert_close(model.predict(x), x.astype(float) @ model.weights[:, 0] + model.bias[0], np.float64)


def test_fit_begins_anew() -> None:
    once, twice = LinearRegression(), LinearRegression()
    once.fit(X, T, epochs=3, batch_size=4, rng=1)
    twice.fit(X[:, :2], T[:, 0])
    twice.fit(X, T, epochs=3, batch_size=4, rng=1)
    assert twice.weights.tobytes() == once.weights.tobytes()
    assert twice.predict(X).shape == (30, 2)


def test_a_learning_rate_too_large_is_reported() -> None:
    model = LinearRegression()
    with pytest.raises(
        fastnn.TrainingDivergedError, match=r"in epoch \d+; the model keeps .*: lower lr, now 1e\+03, or standardize x$"
    ):
        model.fit(X, T, epochs=5000, lr=1e3)
    assert np.isfinite(model.weights).all()


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda m: m.fit(X, T[:5]), ValueError, "t: expected a float64 array of shape (30, 2), got shape (5, 2)"),
        (lambda m: m.fit(X, T[:5, 0]), ValueError, "t: expected a float64 array of shape (30, 1), got shape (5,)"),
        (lambda m: m.fit(X[0], T), ValueError, "x: expected a float64 array of shape (N, D), got shape (3,)"),
        (lambda m: m.fit(X, T[None]), ValueError, "t: expected a float64 array of shape (30, 1), got shape (1, 30, 2)"),
        (lambda m: m.fit(X, ["a"] * 30), TypeError, "t: expected a float64 array"),
        (lambda m: m.fit(X, T, lr=-0.1), ValueError, "lr: expected a finite number of at least 0.0, got -0.1"),
        (lambda m: m.fit(X, T, batch_size=0), ValueError, "batch_size: expected an integer of at least 1, got 0"),
        (lambda m: m.fit(X, T, epochs=1.5), TypeError, "epochs: expected an integer of at least 0, got 1.5"),
        (lambda m: m.fit(X, np.full(30, np.nan)), ValueError, "t: expected finite values, got nan at t[0]"),
        (lambda m: m.closed_form(X, np.full(30, np.inf)), ValueError, "t: expected finite values, got inf at t[0]"),
        (lambda m: m.closed_form(X * np.nan, T), ValueError, "x: expected finite values, got nan at x[0, 0]"),
        (
            lambda m: m.closed_form(np.full((30, 1), 1.7e308), T),
            ValueError,
            "x, t: expected numbers whose sums are finite, got some that overflow; scale the data",
        ),
        (
            lambda m: m.closed_form(1e-200 * X, 1e200 * T),
            ValueError,
            "x, t: expected data whose weights are finite, got infinity or NaN; scale the data",
        ),
    ],
)
def test_refusals_change_nothing(call: Any, error: type[Exception], sentence: str) -> None:
    model = LinearRegression().closed_form(X, T)
    kept = model.network
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        call(model)
    assert model.network is kept


def test_before_fit() -> None:
    model = LinearRegression()
    assert (model.network, repr(model)) == (None, "LinearRegression()")
    for use in (lambda: model.weights, lambda: model.bias, lambda: model.predict(X), lambda: model.loss(X, T)):
        with pytest.raises(RuntimeError, match=r"not fitted; call fit\(x, t\) or closed_form\(x, t\) first$"):
            use()


def test_a_loss_that_grows_without_end_is_refused() -> None:
    """It is refused long before its numbers are infinite; the parameters so far are kept."""
    model = LinearRegression()
    with pytest.raises(
        fastnn.TrainingDivergedError, match=r"^loss: expected it to fall, got \S+ after \S+ in the first"
    ):
        model.fit(np.arange(10.0)[:, None], np.arange(10.0))
    assert model.network is not None and np.isfinite(model.network.params["W1"]).all()
