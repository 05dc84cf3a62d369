"""Metrics: as scikit-learn computes them, in `fit`, for early stopping, and what is refused."""

import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

import fastnn
from fastnn import Affine, Checkpoint, EarlyStopping, Network, Sigmoid
from tests.checkpoints import killed_after

RNG = np.random.default_rng(4)
X = RNG.standard_normal((60, 5)).astype(np.float32)
VALUES = RNG.standard_normal((60, 2))
PREDICTED = VALUES + RNG.standard_normal((60, 2))
LABELS, OUTPUTS = RNG.integers(0, 4, 60), RNG.standard_normal((60, 4)).round(1)  # rounded: some are equal
BINARY, SCORES = RNG.integers(0, 2, 60), RNG.standard_normal(60).round(1)
OPTIONS: dict[str, Any] = {"epochs": 4, "batch_size": 16, "rng": 2, "progress": False}


# --- by themselves


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fastnn.r2_score, sklearn_metrics.r2_score),
        (fastnn.mean_absolute_error, sklearn_metrics.mean_absolute_error),
        (fastnn.root_mean_squared_error, sklearn_metrics.root_mean_squared_error),
    ],
)
@pytest.mark.parametrize("columns", [slice(0, 2), slice(0, 1), 0])
def test_of_values(ours: Callable[..., float], theirs: Callable[..., float], columns: Any) -> None:
    t, y = VALUES[:, columns], PREDICTED[:, columns]
    assert ours(t, y) == pytest.approx(theirs(t, y), rel=1e-12)
    assert ours(t.astype(np.float32), y.astype(np.float32)) == pytest.approx(theirs(t, y), rel=1e-5)
    assert ours(t, t) == theirs(t, t)


def test_r2_of_targets_that_are_all_the_same() -> None:
    for t, y in (([2.0, 2.0], [2.0, 2.0]), ([2.0, 2.0], [2.0, 3.0])):
        assert fastnn.r2_score(t, y) == sklearn_metrics.r2_score(t, y)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
def test_top_k(k: int) -> None:
    """The first of equal outputs counts as the larger, as for argmax; scikit-learn's order is another one."""
    order = np.argsort(-OUTPUTS, axis=1, kind="stable")[:, :k]
    expected = np.mean([label in row for label, row in zip(LABELS, order, strict=True)])
    for t in (LABELS, np.eye(4)[LABELS]):
        assert fastnn.top_k_accuracy(t, OUTPUTS, k) == expected
    assert k > 1 or expected == np.mean(OUTPUTS.argmax(axis=1) == LABELS)


def test_balanced_accuracy() -> None:
    for t in (LABELS, np.eye(4)[LABELS]):
        expected = sklearn_metrics.balanced_accuracy_score(LABELS, OUTPUTS.argmax(axis=1))
        assert fastnn.balanced_accuracy(t, OUTPUTS) == pytest.approx(expected, rel=1e-12)
    rare = np.where(LABELS == 2, 0, LABELS)  # a class that does not occur
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = sklearn_metrics.balanced_accuracy_score(rare, OUTPUTS.argmax(axis=1))
    assert fastnn.balanced_accuracy(rare, OUTPUTS) == pytest.approx(expected, rel=1e-12)
    for border in (0.0, 0.5):
        expected = sklearn_metrics.balanced_accuracy_score(BINARY, border < SCORES)
        for t in (BINARY, BINARY[:, None], 2 * BINARY - 1):
            assert fastnn.balanced_accuracy(t, SCORES, border) == pytest.approx(expected, rel=1e-12)


def test_roc_auc() -> None:
    expected = sklearn_metrics.roc_auc_score(BINARY, SCORES)
    pairs = np.column_stack([np.zeros(60), SCORES])
    for t in (BINARY, BINARY[:, None], 2 * BINARY - 1, np.eye(2)[BINARY]):
        for y in (SCORES, SCORES[:, None], pairs):
            assert fastnn.roc_auc(t, y) == pytest.approx(expected, rel=1e-12)
    assert fastnn.roc_auc([0, 1], [0.5, 0.5]) == 0.5 and fastnn.roc_auc([0, 0, 1], [0.1, 0.2, 0.3]) == 1.0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fastnn.r2_score(VALUES, PREDICTED[:9]), "y: expected predictions of the targets' shape (60, 2), "),
        (lambda: fastnn.roc_auc([1, 1], [0.5, 0.25]), "t: expected targets of two classes, got 1 different ones; "),
        (lambda: fastnn.roc_auc(LABELS, SCORES), "t: expected targets of two classes, got 4 different ones; "),
        (lambda: fastnn.roc_auc(LABELS, OUTPUTS), "y: expected outputs (N,), (N, 1) or (N, 2) of two classes, got"),
        (lambda: fastnn.roc_auc(BINARY[:9], SCORES), "t: expected one target for each of 60 outputs, got shape (9,)"),
        (lambda: fastnn.top_k_accuracy(LABELS, OUTPUTS, 0), "k: expected an integer of at least 1, got 0"),
        (lambda: fastnn.top_k_accuracy(LABELS + 1, OUTPUTS), "t: expected labels of shape (60,), integers from 0"),
    ],
)  # fmt: skip
def test_wrong_arguments(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        call()


# --- in fit


def classifier() -> Network:
    return Network([Affine(5, 4)], rng=1)


def far(t: Any, y: Any) -> float:
    """A user's metric."""
    return float(np.abs(y).max())


def test_metrics_are_measured_after_each_epoch() -> None:
    seen: list[list[float]] = []

    def look(net: Network, history: Any) -> None:
        y = net.predict(X)
        t = np.eye(4)[LABELS]
        seen.append([fastnn.balanced_accuracy(LABELS, y), fastnn.top_k_accuracy(t, y, 2), far(t, y)])

    wanted: list[Any] = ["balanced_accuracy", "top_2_accuracy", far]
    cases: list[tuple[dict[str, Any], str]] = [({"validation_data": (X, LABELS)}, "validation_"), ({}, "")]
    for options, prefix in cases:
        seen.clear()
        plain = classifier()
        plain.fit(X, LABELS, **OPTIONS, **options)
        net = classifier()
        history = net.fit(X, LABELS, metrics=wanted, callbacks=[look], **OPTIONS, **options)
        names = [prefix + name for name in ("balanced_accuracy", "top_2_accuracy", "far")]
        assert list(zip(*(getattr(history, name) for name in names), strict=True)) == [tuple(row) for row in seen]
        assert net.params["W1"].tobytes() == plain.params["W1"].tobytes()
        assert set(names) <= set(history.to_dict()) and set(names) <= set(history.last())


def test_metrics_of_values() -> None:
    net = Network([Affine(5, 2)], "mean_squared_error", rng=1)
    names = ["r2_score", "mean_absolute_error", "root_mean_squared_error"]
    history = net.fit(X, VALUES, metrics=names, **OPTIONS)
    expected = [getattr(fastnn, name)(VALUES.astype(np.float32), net.predict(X)) for name in names]
    assert [getattr(history, name)[-1] for name in names] == expected


@pytest.mark.parametrize(("loss", "layers"), [("sigmoid_cross_entropy", []), ("log_loss", [Sigmoid()])])
def test_two_classes_with_one_output(loss: Any, layers: list[Any]) -> None:
    """The border between the classes is the loss's: accuracy and balanced accuracy look at the same side."""
    net = Network([Affine(5, 1), *layers], loss, rng=1)
    t = np.repeat([[0.0], [1.0]], 30, axis=0)
    history = net.fit(X, t, metrics=["balanced_accuracy", "roc_auc"], **OPTIONS)
    assert history.balanced_accuracy[-1] == pytest.approx(net.accuracy(X, t))  # as both classes have 30 samples
    assert history.roc_auc[-1] == pytest.approx(sklearn_metrics.roc_auc_score(t, net.predict(X)))


def test_early_stopping_and_the_best_file_by_a_metric(tmp_path: pathlib.Path) -> None:
    callbacks: list[Any] = [
        EarlyStopping(patience=3, monitor="validation_balanced_accuracy"),
        Checkpoint(tmp_path / "run.npz", best=tmp_path / "best.npz", monitor="validation_balanced_accuracy"),
    ]
    net, options = classifier(), {**OPTIONS, "epochs": 40}
    history = net.fit(
        X, LABELS, metrics=["balanced_accuracy"], validation_data=(X, LABELS), callbacks=callbacks, **options
    )
    best = max(history.validation_balanced_accuracy)
    assert history.validation_balanced_accuracy.index(best) == callbacks[0].best_epoch
    for found in (net, fastnn.load(tmp_path / "best.npz")):
        assert fastnn.balanced_accuracy(LABELS, found.predict(X)) == best


def test_metrics_go_on_from_a_checkpoint(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = fastnn.schedules.Warmup(1, fastnn.schedules.ReduceOnPlateau(0.5, 1))
    options: dict[str, Any] = {**OPTIONS, "metrics": ["balanced_accuracy", far], "schedule": schedule}
    expected = classifier().fit(X, LABELS, **options).to_dict()
    with killed_after(2, monkeypatch):
        classifier().fit(X, LABELS, callbacks=[Checkpoint(path)], **options)
    found = classifier().fit(X, LABELS, resume=path, **options).to_dict()
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    with pytest.raises(ValueError, match=r"^metrics: expected balanced_accuracy, far, as in the run of .*, got none; "):
        classifier().fit(X, LABELS, resume=path, **{**options, "metrics": []})


@pytest.mark.parametrize(
    ("given", "options", "error", "sentence"),
    [
        ("r2", {}, TypeError, "metrics: expected a list, got 'r2'; pass metrics=['r2_score']"),
        (["auc"], {}, ValueError, "metrics[0]: expected one of 'r2_score', .*; did you mean 'roc_auc'?"),
        ([3], {}, TypeError, "metrics[0]: expected a function of (targets, outputs), got 3; pass one such as lambda"),
        ([far, far], {}, ValueError, "metrics: expected names of their own, got 'far' twice; rename the function"),
        ([lambda t, y: "x"], {}, TypeError, "metrics: expected a number from metric, got 'x'; return a float"),
        (["roc_auc"], {}, ValueError, "y: expected outputs (N,), (N, 1) or (N, 2) of two classes, got shape (60, 4)"),
    ],
)
def test_refusals_change_nothing(given: Any, options: Any, error: type[Exception], sentence: str) -> None:
    net = classifier()
    before = net.params["W1"].tobytes()
    with pytest.raises(error, match="^" + re.escape(sentence).replace(r"\.\*", ".*")):
        net.fit(X, LABELS, metrics=given, **OPTIONS, **options)
    assert net.params["W1"].tobytes() == before


def test_batches_need_validation_data() -> None:
    with pytest.raises(ValueError, match=r"^metrics: expected validation data on which to measure, got none"):
        classifier().fit([(X, LABELS)], metrics=[far], **OPTIONS)
    history = classifier().fit([(X, LABELS)], metrics=[far], validation_data=(X, LABELS), **OPTIONS)
    assert len(history.validation_far) == 4
    with pytest.raises(AttributeError, match=r"^History: expected a figure that was measured \(loss, .*\), got 'far'$"):
        history.far  # noqa: B018
