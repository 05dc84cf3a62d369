"""The perceptron against a plain loop of Rosenblatt's rule, the bound on its mistakes, and scikit-learn."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import linear_model

import fastnn
from fastnn import models
from fastnn.engine.interpreters import rules
from fastnn.kernels.matmul import scratch_size
from fastnn.models import Perceptron, PerceptronHistory, perceptron
from tests.shapes import Array, numbers
from tests.tolerances import assert_close

PAIRS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
XOR = np.array([0, 1, 1, 0])
GATES = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "NAND": [1, 1, 1, 0]}
MARGIN = 0.2


def plain_epoch(x: Array, t: Array, order: Array, lr: float, w: Array, b: float) -> tuple[Array, float, int]:
    """One epoch of w += lr (t - y) x and b += lr (t - y), as in textbooks."""
    mistakes = 0
    for n in order:
        y = 1 if x[n] @ w + b > 0 else 0
        w, b, mistakes = w + lr * (t[n] - y) * x[n], b + lr * (t[n] - y), mistakes + (y != t[n])
    return w, b, mistakes


def plain_fit(
    x: Array, t: Array, lr: float, epochs: int, rng: np.random.Generator | None = None
) -> tuple[Array, float, list[int], int]:
    """Weights, bias, the mistakes of each epoch, and how many samples the weights get wrong."""

    def wrong(w: Array, b: float) -> int:
        return int(((x @ w + b > 0) != t).sum())

    w, b, order, mistakes = np.zeros(x.shape[1]), 0.0, np.arange(len(x)), list[int]()
    best = (w, b, wrong(w, b))
    for _ in range(epochs):
        if rng is not None:
            rng.shuffle(order)
        w, b, made = plain_epoch(x, t, order, lr, w, b)
        mistakes.append(made)
        if wrong(w, b) < best[2]:
            best = (w, b, wrong(w, b))
        if made == 0:
            break
    return best[0], best[1], mistakes, best[2]


def parted(seed: int, rows: int, columns: int) -> tuple[Array, Array, Array]:
    """Samples with a margin around a plane through 0, their labels, and its normal of length 1."""
    normal = numbers(seed, columns)
    normal /= np.linalg.norm(normal)
    x = numbers(seed + 1, 4 * rows, columns)
    x = x[np.abs(x @ normal) > MARGIN][:rows]
    return x, (x @ normal > 0).astype(np.intp), normal


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("lr", [1.0, 0.1])
def test_learns_the_gates(gate: str, lr: float) -> None:
    model = Perceptron(lr)
    history = model.fit(PAIRS, GATES[gate])
    assert history.converged
    assert history.best_mistakes == 0
    assert model.predict(PAIRS).tolist() == GATES[gate] == getattr(models, gate).predict(PAIRS).tolist()
    assert model.accuracy(PAIRS, GATES[gate]) == 1.0
    assert history.mistakes[-1] == 0 < min(history.mistakes[:-1])  # it stops at the first


def test_and_by_hand() -> None:
    """w1, w2, b after each epoch: (1, 1, 1), (2, 1, 0), (2, 1, -1), (2, 2, -1), (2, 1, -2), and so they stay."""
    model = Perceptron()
    history = model.fit(PAIRS, GATES["AND"])
    assert (model.weights.tolist(), model.bias) == ([2.0, 1.0], -2.0)
    assert history.mistakes == [1, 3, 3, 2, 1, 0]
    assert str(history) == "6 epochs: converged, 4 of 4 samples right"


def test_xor_does_not_converge_and_keeps_the_best_weights() -> None:
    found = []
    for seed in range(10):
        model = Perceptron()
        history = model.fit(PAIRS, XOR, shuffle=True, rng=seed)
        assert not history.converged
        assert history.epochs == 100
        assert min(history.mistakes) > 0
        assert history.best_mistakes == np.count_nonzero(model.predict(PAIRS) != XOR)
        assert model.accuracy(PAIRS, XOR) == 1 - history.best_mistakes / 4
        found.append(history.best_mistakes)
        if history.best_mistakes == 1:
            text = "100 epochs: not converged, 3 of 4 samples right with the best weights"
            assert str(history) == text
    assert set(found) <= {1, 2}
    assert 1 in found  # 3 of 4, the most that a plane can get right


def test_xor_in_a_fixed_order_goes_round_in_a_circle() -> None:
    history = Perceptron().fit(PAIRS, XOR)
    assert (history.converged, history.best_mistakes, set(history.mistakes[2:])) == (False, 2, {4})


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("rows", "columns", "lr"), [(1, 1, 1.0), (30, 3, 0.3), (40, 17, 1.0), (25, 33, 0.01)])
def test_equals_a_plain_loop(rows: int, columns: int, lr: float, shuffle: bool) -> None:
    """They are equal even where the classes are mixed, and after any number of epochs."""
    x, t = numbers(3, rows, columns), np.random.default_rng(4).integers(0, 2, rows)
    for epochs in (0, 1, 2, 3, 7):
        model = Perceptron(lr)
        history = model.fit(x, t, epochs=epochs, shuffle=shuffle, rng=5)
        w, b, mistakes, wrong = plain_fit(x, t, lr, epochs, np.random.default_rng(5) if shuffle else None)
        assert (history.mistakes, history.best_mistakes) == (mistakes, wrong)
        assert_close(model.weights, w, rtol=1e-15, atol=1e-15)
        assert_close(model.bias, b, np.float64, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("columns", [1, 2, 16, 33])
def test_kernel_equals_a_plain_loop_after_each_epoch(columns: int) -> None:
    """The last weights, which `fit` may not keep, are compared, too."""
    x, t = numbers(1, 20, columns), np.random.default_rng(2).integers(0, 2, 20)
    W, b, y = np.zeros((columns, 1)), np.zeros(1), np.full((1, 1), np.nan)
    scratch, order = np.full(scratch_size(columns, 1), np.nan), np.random.default_rng(3).permutation(20)
    kept = x.copy()
    w_plain, b_plain = np.zeros(columns), 0.0
    for _ in range(5):
        made = 0
        for first, last in ((0, 7), (7, 20)):
            arguments = (x, t.astype(np.float64), order, first, last, 0.5, scratch, y, W, b)
            made += rules.perceptron_samples(*arguments)
        w_plain, b_plain, mistakes = plain_epoch(x, t, order, 0.5, w_plain, b_plain)
        assert made == mistakes
        assert_close(W[:, 0], w_plain, rtol=1e-15, atol=1e-15)
        assert_close(b, np.array([b_plain]), rtol=1e-15, atol=1e-15)
    assert x.tobytes() == kept.tobytes()


def test_calls_cut_short_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, t = numbers(3, 23, 5), np.random.default_rng(4).integers(0, 2, 23)
    whole, cut = Perceptron(), Perceptron()
    expected = whole.fit(x, t, epochs=5)
    monkeypatch.setattr(perceptron, "INPUTS_PER_CALL", 3 * (5 + perceptron.INPUTS_PER_SAMPLE))
    assert cut.fit(x, t, epochs=5) == expected
    assert cut.weights.tobytes() == whole.weights.tobytes()


@given(seed=st.integers(0, 2**32 - 3), columns=st.integers(1, 6), lr=st.sampled_from([1.0, 0.1]))
def test_mistakes_are_bounded_where_a_plane_parts_the_classes(seed: int, columns: int, lr: float) -> None:
    """Novikoff (1962): at most (R / margin)^2, R the length of the longest sample with an input 1 for the bias."""
    x, t, _ = parted(seed, 20, columns)
    if len(x) == 0:
        return
    longest = float((x**2).sum(axis=1).max() + 1)
    bound = longest / MARGIN**2
    model = Perceptron(lr)
    history = model.fit(x, t, epochs=int(bound) + 2, shuffle=True, rng=seed)
    assert history.converged
    assert sum(history.mistakes) <= bound
    assert model.accuracy(x, t) == 1.0


@given(data=st.data(), lr=st.sampled_from([1.0, 0.1, 0.7, 1e-3]))
def test_what_was_learned_is_what_is_predicted(data: st.DataObject, lr: float) -> None:
    """The samples lie on grids, where many sums are on the boundary but for rounding."""
    cells = st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(0, 1))
    points = np.array(data.draw(st.lists(cells, min_size=1, max_size=8)))
    x, t = points[:, :2] / 10, points[:, 2]
    model = Perceptron(lr)
    history = model.fit(x, t, epochs=20)
    assert history.best_mistakes == np.count_nonzero(model.predict(x) != t)
    assert not history.converged or history.best_mistakes == 0


@pytest.mark.parametrize("lr", [1.0, 0.25])
def test_weights_are_those_of_scikit_learn(lr: float) -> None:
    x, t, _ = parted(7, 60, 4)
    first = int(t.argmax())  # at weights 0, scikit-learn learns from either class, this rule from class 1 alone
    x, t = np.roll(x, -first, axis=0), np.roll(t, -first)
    other = linear_model.Perceptron(eta0=lr, shuffle=False, tol=None, max_iter=300).fit(x, t)
    model = Perceptron(lr)
    assert model.fit(x, t, epochs=300).converged
    assert_close(model.weights, other.coef_[0], rtol=1e-12)
    assert_close(model.bias, float(other.intercept_[0]), np.float64, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(x), other.predict(x))


def test_fit_begins_anew_and_follows_the_generator() -> None:
    x, t = numbers(1, 30, 3), np.random.default_rng(2).integers(0, 2, 30)
    once, twice = Perceptron(), Perceptron()
    expected = once.fit(x, t, epochs=4, shuffle=True, rng=9)
    twice.fit(-x, t, epochs=3)
    assert twice.fit(x, t, epochs=4, shuffle=True, rng=np.random.default_rng(9)) == expected
    assert twice.weights.tobytes() == once.weights.tobytes()
    assert Perceptron().fit(x, t, epochs=4, shuffle=True, rng=10).mistakes != expected.mistakes


def test_data_of_other_types() -> None:
    expected = Perceptron()
    expected.fit(PAIRS, GATES["OR"])
    for x in (PAIRS.astype(np.float32), PAIRS.astype(bool), np.asfortranarray(PAIRS.astype(float)), PAIRS.tolist()):
        for t in (np.array(GATES["OR"], bool), np.array(GATES["OR"], np.float32)):
            model = Perceptron()
            model.fit(x, t)
            np.testing.assert_array_equal(model.weights, expected.weights)


@pytest.mark.parametrize("init", [0.0, 0.5])
def test_signs_from_a_random_start(init: float) -> None:
    """Note 001: y = sign(x w + b), and w += lr t x, b += lr t where y is wrong; the same mistakes as of 0 and 1."""
    x, t = numbers(3, 40, 3), np.where(np.random.default_rng(4).random(40) < 0.5, -1, 1)
    drawn = np.random.default_rng(7).normal(0.0, init, 4) if init else np.zeros(4)
    w, b, wrong = drawn[:3].copy(), float(drawn[3]), list[int]()
    for _ in range(5):
        wrong.append(0)
        for row, sign in zip(x, t, strict=True):
            if (1 if row @ w + b > 0 else -1) != sign:
                w, b, wrong[-1] = w + 0.1 * sign * row, b + 0.1 * sign, wrong[-1] + 1
    model, other = Perceptron(0.1, signs=True, init=init), Perceptron(0.1, init=init)
    history = model.fit(x, t, epochs=5, rng=7)
    assert history.mistakes == wrong and history == other.fit(x, (t + 1) // 2, epochs=5, rng=7)
    assert model.weights.tobytes() == other.weights.tobytes() and model.bias == other.bias
    predicted = np.where(x @ model.weights + model.bias > 0, 1, -1)
    np.testing.assert_array_equal(model.predict(x), predicted)
    np.testing.assert_array_equal(2 * other.predict(x) - 1, predicted)
    assert model.accuracy(x, t) == other.accuracy(x, (t + 1) // 2) == np.mean(predicted == t)
    assert model.accuracy(x, t) == 1 - history.best_mistakes / 40
    # Whatever is kept: the weights at the beginning, too.
    assert Perceptron(signs=True, init=init).fit(x, t, epochs=0, rng=7).best_mistakes == np.count_nonzero(
        np.where(x @ drawn[:3] + drawn[3] > 0, 1, -1) != t
    )


def test_a_random_start_is_drawn_anew() -> None:
    model = Perceptron(init=2.0)
    starts = []
    for seed in (1, 1, 2):
        model.fit(PAIRS, XOR, epochs=0, rng=seed)
        starts.append([*model.weights, model.bias])
    assert starts[0] == starts[1] != starts[2] and np.count_nonzero(starts) == 9
    assert repr(model) == "Perceptron(lr=1.0, init=2.0)" and repr(Perceptron()) == "Perceptron(lr=1.0)"
    assert repr(Perceptron(signs=True)) == "Perceptron(lr=1.0, signs=True)"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Perceptron(signs=True).fit(PAIRS, XOR), "t: expected -1 or 1, got 0 at t[0, 0]; from classes 0 and 1"),
        (lambda: Perceptron(signs=True).fit(PAIRS, [1, -1, 1]), "t: expected a float64 array of shape (4, 1)"),
        (lambda: Perceptron(init=-1.0), "init: expected a finite number of at least 0.0, got -1.0"),
        (lambda: Perceptron(init=np.nan), "init: expected a finite number"),
        (lambda: Perceptron(signs="yes"), "signs: expected True or False, got 'yes'"),  # type: ignore[arg-type]
    ],
)
def test_options_that_are_refused(call: Any, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(sentence)}"):
        call()


def test_a_single_class_is_learned_at_once() -> None:
    history = Perceptron().fit(PAIRS, np.zeros(4, int))
    assert history == PerceptronHistory([0], 0, 4)
    assert str(history) == "1 epoch: converged, 4 of 4 samples right"


def test_no_epoch() -> None:
    model = Perceptron()
    history = model.fit(PAIRS, GATES["OR"], epochs=0)
    assert (history.epochs, history.converged, history.best_mistakes) == (0, False, 3)
    assert str(history) == "0 epochs: not converged, 1 of 4 samples right with the best weights"
    assert not model.weights.any()


def test_overflow_keeps_the_best_weights() -> None:
    model = Perceptron(1e10)
    with pytest.raises(fastnn.TrainingDivergedError, match=r"^weights: expected finite numbers, .* scale the data$"):
        model.fit([[1e300], [-1.0]], [1, 0])
    assert (model.weights.tolist(), model.bias) == ([0.0], 0.0)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: Perceptron(0.0), ValueError, "lr: expected a finite number above 0.0, got 0.0"),
        (lambda: Perceptron(None), TypeError, "lr: expected a finite number above 0.0, got None"),  # type: ignore[arg-type]
        (
            lambda: Perceptron().fit(PAIRS, [-1, 1, 1, -1]),
            ValueError,
            "t: expected labels of shape (4,), integers from 0 to 1, got -1 at t[0]",
        ),
        (lambda: Perceptron().fit(PAIRS, [0, 1]), ValueError, "t: expected labels of shape (4,)"),
        (lambda: Perceptron().fit([[np.inf]], [0]), ValueError, "x: expected finite values, got inf at x[0, 0]"),
        (lambda: Perceptron().fit(np.zeros((0, 2)), []), ValueError, "x: expected a float64 array of shape (N, D)"),
        (lambda: Perceptron().fit(PAIRS, XOR, epochs=-1), ValueError, "epochs: expected an integer of at least 0"),
        (lambda: Perceptron().fit(PAIRS, XOR, shuffle=1), TypeError, "shuffle: expected True or False, got 1"),  # type: ignore[arg-type]
        (lambda: Perceptron().fit(PAIRS, XOR, rng="x"), TypeError, "rng: expected None, a seed of at least 0"),  # type: ignore[arg-type]
        (lambda: Perceptron().predict(PAIRS), RuntimeError, "Perceptron: not fitted; call fit(x, t) first"),
        (lambda: Perceptron().weights, RuntimeError, "Perceptron: not fitted; call fit(x, t) first"),
        (lambda: Perceptron().bias, RuntimeError, "Perceptron: not fitted; call fit(x, t) first"),
    ],
)
def test_refusals(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        call()


def test_refusals_after_fit_leave_the_weights() -> None:
    model = Perceptron()
    model.fit(PAIRS, GATES["AND"])
    kept = model.weights.copy()
    with pytest.raises(ValueError, match=r"^x: expected a float64 array of shape \(N, 2\), got shape \(1, 3\)"):
        model.predict([[1, 2, 3]])
    with pytest.raises(ValueError, match=r"^t: expected labels of shape \(4,\)"):
        model.accuracy(PAIRS, [0, 1])
    with pytest.raises(ValueError, match=r"^epochs: "):
        model.fit(PAIRS, XOR, epochs=-3)
    np.testing.assert_array_equal(model.weights, kept)
    assert repr(model) == "Perceptron(lr=1.0)"
