"""Logistic regression, against scikit-learn with the same penalty, Newton's method in NumPy, and its formulas."""

import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.models import LogisticRegression
from tests.shapes import numbers

named: Any = LogisticRegression  # arguments of other libraries


def data(classes: int, n: int = 150, d: int = 4) -> tuple[Any, Any]:
    """Classes that overlap, columns of mean 0 and deviation 1."""
    x = numbers(1, n, d)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    scores = x @ (2.0 * numbers(2, d, classes)) + np.random.default_rng(3).gumbel(size=(n, classes))
    return x, scores.argmax(axis=1)


def fitted(x: Any, t: Any, l2: float) -> LogisticRegression:
    model = LogisticRegression(l2=l2)
    model.fit(x, t, epochs=4000 if l2 else 20_000, lr=1.0)
    return model


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")
@pytest.mark.parametrize("l2", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_weights_are_scikit_learns(classes: int, l2: float) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, t = data(classes)
    model = fitted(x, t, l2)
    theirs = linear_model.LogisticRegression(C=1 / (len(x) * l2), tol=1e-10, max_iter=10_000).fit(x, t)
    np.testing.assert_allclose(model.weights, theirs.coef_.T, rtol=0, atol=1e-4)
    np.testing.assert_allclose(model.bias, theirs.intercept_, rtol=0, atol=1e-4)
    np.testing.assert_allclose(model.predict_proba(x), theirs.predict_proba(x), rtol=0, atol=1e-4)
    assert np.array_equal(model.predict(x), theirs.predict(x))
    assert model.accuracy(x, t) == theirs.score(x, t)
    assert model.weights.shape == ((4, 1) if classes == 2 else (4, classes))


def newton(x: Any, t: Any, l2: float) -> Any:
    """W and b of two classes by Newton's method."""
    ones, penalty = np.column_stack((x, np.ones(len(x)))), l2 * np.diag([1.0] * x.shape[1] + [0.0])
    w = np.zeros(ones.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-ones @ w))
        hessian = (ones * (p * (1 - p))[:, None]).T @ ones / len(x) + penalty
        w -= np.linalg.solve(hessian, ones.T @ (p - t) / len(x) + penalty @ w)
    return w


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")
@pytest.mark.parametrize("l2", [0.0, 0.05])
def test_the_weights_are_newtons(l2: float) -> None:
    x, t = data(2)
    model, w = fitted(x, t, l2), newton(x, t, l2)
    np.testing.assert_allclose(np.append(model.weights, model.bias), w, rtol=0, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_and_loss_are_the_formulas(classes: int) -> None:
    x, t = data(classes)
    model = LogisticRegression(l2=0.3)
    model.fit(x, t, epochs=10)
    z = x @ model.weights + model.bias
    scores = np.column_stack((np.zeros(len(z)), z)) if classes == 2 else z
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(x), p, rtol=1e-12)
    loss = -np.log(p[np.arange(len(t)), t]).mean() + 0.15 * (model.weights**2).sum()
    assert model.loss(x, t) == pytest.approx(loss, rel=1e-12)
    assert np.array_equal(model.predict(x), p.argmax(axis=1))
    assert model.accuracy(x, t) == (p.argmax(axis=1) == t).mean()


def test_probabilities_far_away_keep_their_digits() -> None:
    model = LogisticRegression()
    model.fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1], epochs=1)
    model.weights[...], model.bias[...] = 1.0, 0.0
    p = model.predict_proba([[-700.0], [700.0]])
    np.testing.assert_allclose([p[0, 1], p[1, 0]], np.exp(-700.0), rtol=1e-10)


def test_stochastic_descent_and_history() -> None:
    x, t = data(3)
    model = LogisticRegression(l2=0.01)
    history = model.fit(x, t, epochs=30, batch_size=10, lr=0.1, rng=0)
    assert history.epochs == 30 and history.loss[-1] < history.loss[0]
    assert model.accuracy(x, t) > 0.7
    again = LogisticRegression(l2=0.01)
    again.fit(x, t, epochs=30, batch_size=10, lr=0.1, rng=0)
    assert np.array_equal(again.weights, model.weights)
    assert (repr(model), repr(LogisticRegression())) == ("LogisticRegression(l2=0.01)", "LogisticRegression()")


@pytest.mark.parametrize("kind", [bool, np.int8, np.float32, list])
def test_labels_of_any_kind(kind: Any) -> None:
    x, t = data(2)
    model, same = LogisticRegression(), LogisticRegression()
    model.fit(x, t, epochs=5, rng=0)
    same.fit(x.tolist(), t.tolist() if kind is list else t.astype(kind), epochs=5, rng=0)
    assert np.array_equal(model.weights, same.weights)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LogisticRegression(l2=-1.0), "l2: expected a finite number of at least 0"),
        (lambda: named(C=1.0), "LogisticRegression: expected arguments out of l2, got C; pass l2"),
        (lambda: named(alpha=1.0), "LogisticRegression: expected arguments out of l2, got alpha; pass l2"),
        (lambda: LogisticRegression().fit([[0.0]], [-1]), "t: expected labels of shape (1,), integers from 0 to"),
        (lambda: LogisticRegression().fit([[0.0]], [0.5]), "t: expected labels of shape (1,), integers from 0 to"),
        (lambda: LogisticRegression().fit([[0.0]], [[1, 0]]), "t: expected labels of shape (1,), integers from 0 to"),
        (lambda: LogisticRegression().fit([[np.nan]], [1]), "x: expected finite values, got nan at x[0, 0]"),
        (lambda: LogisticRegression().fit([0.0], [1]), "x: expected a float64 array of shape (N, D)"),
        (lambda: LogisticRegression().predict([[1.0]]), "LogisticRegression: not fitted; call fit(x, t) first"),
        (lambda: LogisticRegression().weights, "LogisticRegression: not fitted; call fit(x, t) first"),
        (lambda: of_two().predict_proba([[1.0, 2.0]]), "x: expected"),
        (lambda: of_two().loss([[1.0], [2.0]], [0]), "t: expected labels of shape (2,), integers from 0 to 1"),
        (lambda: of_two().accuracy([[1.0]], [2]), "t: expected labels of shape (1,), integers from 0 to 1, got 2"),
    ],
)
def test_refused(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError), match=f"^{re.escape(message)}"):
        call()


def of_two() -> LogisticRegression:
    model = LogisticRegression()
    model.fit([[0.0], [1.0]], [0, 1], epochs=1)
    return model


def test_its_name_is_found() -> None:
    with pytest.raises(AttributeError, match=r"it is models\.LogisticRegression$"):
        fastnn.LogisticRegression  # type: ignore[attr-defined] # noqa: B018
