"""Reductions, weights and conventions of the losses of arrays; beside scikit-learn, PyTorch and plain sums."""

import math
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn.engine import threads
from fastnn.functional import layers as functional
from tests import shapes
from tests.shapes import DTYPES, PROBLEMS, FloatType, numbers
from tests.test_functional import check_solution
from tests.tolerances import assert_close

every_dtype = pytest.mark.parametrize("dtype", DTYPES)

N, K = 11, 4
LABELS = shapes.targets("labels", N, K, np.float64)
WEIGHTS = np.abs(shapes.numbers(9, N)) * (np.arange(N) != 3)


def problem(name: str) -> tuple[Any, Any]:
    y = shapes.numbers(1, N, K)
    if name in ("cross_entropy", "log_loss"):
        y = reference.softmax(y)
    return y, shapes.targets_of(name, N, K, np.float64)


def one_by_one(name: str, y: Any, t: Any) -> tuple[Any, Any]:
    """The losses (N,) of single samples, and their gradients."""
    parts = [getattr(reference, name)(y[n : n + 1], t[n : n + 1]) for n in range(N)]
    return np.array([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weights"])
@pytest.mark.parametrize("name", reference.LOSSES)
def test_reductions_and_weights(name: str, weights: Any) -> None:
    y, t = problem(name)
    losses, gradients = one_by_one(name, y, t)
    w = np.ones(N) if weights is None else weights
    scales = {"mean": w / w.sum(), "element_mean": w / w.sum() / K, "sum": w, "none": w}
    for reduction, scale in scales.items():
        loss, dy = getattr(fastnn, name)(y, t, reduction=reduction, sample_weight=weights)
        expected = losses * scale if reduction == "none" else (losses * scale).sum()
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
        np.testing.assert_allclose(dy, gradients * scale[:, None], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "cross_entropy", "kl_divergence", "hinge"])
def test_weights_of_classes(name: str) -> None:
    weights = np.array([1.0, 0.0, 2.5, 0.5])
    y, _ = problem(name)
    by_class = getattr(fastnn, name)(y, LABELS, class_weight=weights)
    by_sample = getattr(fastnn, name)(y, LABELS, sample_weight=weights[LABELS])
    assert by_class[0] == by_sample[0]
    np.testing.assert_array_equal(by_class[1], by_sample[1])
    if name == "softmax_cross_entropy":
        torch = pytest.importorskip("torch")
        expected = torch.nn.functional.cross_entropy(
            torch.tensor(y), torch.tensor(LABELS), weight=torch.tensor(weights)
        )
        assert by_class[0] == pytest.approx(expected.item(), rel=1e-12)


def test_scikit_learn_agrees() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    shares = reference.softmax(shapes.numbers(1, N, K))
    expected = metrics.log_loss(LABELS, shares, labels=range(K), sample_weight=WEIGHTS)
    assert fastnn.cross_entropy(shares, LABELS, sample_weight=WEIGHTS)[0] == pytest.approx(expected, rel=1e-12)
    two = shares[:, :1]
    t = (LABELS % 2).astype(np.float64).reshape(-1, 1)
    expected = metrics.log_loss(t[:, 0], two[:, 0], labels=[0, 1])
    assert fastnn.log_loss(two, t)[0] == pytest.approx(expected, rel=1e-12)
    margins = shapes.numbers(4, N, 1)
    expected = metrics.hinge_loss(2 * t[:, 0] - 1, margins[:, 0])
    assert fastnn.hinge(margins, 2 * t - 1)[0] == pytest.approx(expected, rel=1e-12)
    expected = metrics.zero_one_loss(LABELS, shares.argmax(axis=1), sample_weight=WEIGHTS)
    assert fastnn.zero_one_loss(shares, LABELS, sample_weight=WEIGHTS) == pytest.approx(expected, rel=1e-12)
    count = metrics.zero_one_loss(LABELS, shares.argmax(axis=1), normalize=False)
    one_hot = fastnn.datasets.one_hot(LABELS, K)
    assert fastnn.zero_one_loss(shares, one_hot, reduction="sum") == count
    assert fastnn.zero_one_loss(shares, LABELS, reduction="none").sum() == count


def test_conventions_of_the_squared_error() -> None:
    y, t = np.array([[1.0, 2, 3], [1, 3, 3]]), np.ones((2, 3))
    assert fastnn.mean_squared_error(y, t, half=False, reduction="none")[0].tolist() == [5, 8]
    assert fastnn.mean_squared_error(y, t, half=False, reduction="element_mean")[0] == pytest.approx(13 / 6)
    assert fastnn.mean_squared_error(y, t, reduction="sum")[0] == 6.5
    assert fastnn.absolute_error(y, t, reduction="none")[0].tolist() == [3, 4]
    np.testing.assert_array_equal(fastnn.mean_squared_error(y, t, half=False, reduction="sum")[1], 2 * (y - t))


def test_the_logarithm_of_probabilities() -> None:
    sure = np.array([[1.0, 0.0]])
    loss, dy = fastnn.cross_entropy(sure, [1])
    assert loss == np.inf and dy[0, 1] == -np.inf and dy[0, 0] == 0
    assert fastnn.cross_entropy(sure, [1], offset=1e-7)[0] == pytest.approx(-np.log(1e-7))
    assert fastnn.cross_entropy(sure, [0])[0] == 0
    assert fastnn.log_loss(sure, [[1.0, 0.0]])[0] == 0


def test_out_receives_the_gradient() -> None:
    y, t = problem("huber")
    out = np.full_like(y, np.nan)
    _, dy = fastnn.huber(y, t, delta=0.5, reduction="sum", sample_weight=WEIGHTS, out=out)
    assert dy is out
    np.testing.assert_allclose(out, WEIGHTS[:, None] * np.clip(y - t, -0.5, 0.5), rtol=1e-12, atol=1e-15)


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"reduction": "average"}, ValueError, "reduction: expected one of 'mean', 'element_mean', 'sum', 'none', got"),
    ({"sample_weight": np.ones(3)}, ValueError, "sample_weight: expected"),
    ({"sample_weight": -np.ones(N)}, ValueError, "sample_weight: expected numbers of at least 0, got -1; pass weights"),
    (
        {"sample_weight": np.zeros(N)},
        ValueError,
        "sample_weight: expected weights whose sum is above 0 and finite, got 0",
    ),
    ({"sample_weight": np.full(N, np.nan)}, ValueError, "sample_weight: expected finite"),
    ({"class_weight": np.ones(K + 1)}, ValueError, "class_weight: expected"),
    ({"label_smoothing": -0.1}, ValueError, "label_smoothing: expected"),
]


@pytest.mark.parametrize(("options", "error", "sentence"), REFUSED, ids=[row[2] for row in REFUSED])
def test_refused_options(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    y, _ = problem("softmax_cross_entropy")
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        fastnn.softmax_cross_entropy(y, LABELS, **options)


LARGE = {np.float32: (1e4, 1e30, 1e38), np.float64: (1e4, 1e30, 1e307)}


@every_dtype
@pytest.mark.parametrize("kind", ["labels", "one_hot", "probabilities"])
def test_cross_entropy_of_large_logits(kind: str, dtype: FloatType) -> None:
    problem = PROBLEMS[f"cross entropy of {kind}"]((8, 1, 5), dtype, numbers)
    for size in LARGE[dtype]:
        x = np.sign(problem.arrays["x"]) * dtype(size) / dtype(2)
        x[::2, 1:3] = dtype(size)  # equal logits, and the others far below
        large = problem._replace(arrays=problem.arrays | {"x": x})
        loss, dx = large.solve(fastnn)
        assert 0 < loss < math.inf
        check_solution((loss, dx), large.in_float64().solve(reference), dtype)
        assert_close(functional.softmax(x), reference.softmax(x.astype(np.float64)), dtype)


@every_dtype
def test_cross_entropy_of_infinite_logits(dtype: FloatType) -> None:
    x = np.array([[-np.inf, 1.0, 2.0]], dtype)
    likely = math.log1p(math.exp(-1.0))
    for t in (np.array([2]), np.array([[0.0, 0.0, 1.0]], dtype)):
        loss, dx = fastnn.softmax_cross_entropy(x, t)  # a class with t = 0 adds nothing, whatever its logit
        assert_close(loss, likely, dtype)
        assert_close(dx, [[0.0, 1 / (1 + math.e), -1 / (1 + math.e)]], dtype)
    for t in (np.array([0]), np.array([[1.0, 0.0, 0.0]], dtype)):
        assert fastnn.softmax_cross_entropy(x, t)[0] == math.inf
    for row in ([np.inf, 1.0, 2.0], [-np.inf] * 3, [1.0, np.nan, 2.0]):
        x = np.array([row], dtype)
        assert np.isnan(functional.softmax(x)).all()
        loss, dx = fastnn.softmax_cross_entropy(x, np.array([1]))
        assert math.isnan(loss)
        assert np.isnan(dx).all()


def test_another_thread_may_choose_more_threads_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scratch has room for as many parts as the call then has; otherwise they would write behind it."""
    chosen, found = iter((1, 2, 2, 2)), []

    def run(entry: Any, work: float, *args: Any, n_threads: int | None = None) -> Any:
        found.append((len(args[-6]), threads.get_num_threads() if n_threads is None else n_threads))
        return entry(1, 0, *args)

    monkeypatch.setattr(threads, "get_num_threads", lambda: next(chosen))
    monkeypatch.setattr(threads, "run", run)
    fastnn.kl_divergence(*problem("kl_divergence"), reduction="sum")
    assert found == [(1, 1)]
