"""Folds, standardized columns, and the figures for a classifier, against scikit-learn's and by their definitions."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn import datasets


@given(st.lists(st.integers(1, 20), min_size=2, max_size=6), st.integers(2, 12), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_every_sample_is_tested_once(counts: list[int], folds: int, stratify: bool, seed: int) -> None:
    t = np.repeat(np.arange(len(counts)), counts)
    rows = len(t)
    if folds > rows:
        return
    parts = list(datasets.k_fold(np.arange(rows), t, folds, seed, stratify))
    assert len(parts) == folds
    tested = np.concatenate([x_test for _, (x_test, _) in parts])
    assert sorted(tested) == list(range(rows))
    for (x_train, t_train), (x_test, t_test) in parts:
        assert sorted([*x_train, *x_test]) == list(range(rows))
        np.testing.assert_array_equal(t_train, t[x_train])
        np.testing.assert_array_equal(t_test, t[x_test])
        assert len(x_test) in (rows // folds, -(-rows // folds))
        if stratify:
            assert (np.abs(np.bincount(t_test, minlength=len(counts)) - np.array(counts) / folds) < 1).all()


def test_folds_follow_the_generator() -> None:
    x, t = np.arange(40), np.tile([0, 1], 20)
    first, again, other = ([part[1][0].tolist() for part in datasets.k_fold(x, t, rng=seed)] for seed in (3, 3, 4))
    assert first == again != other
    assert any((np.diff(part) < 0).any() for part in first)  # shuffled


def test_folds_of_targets_of_any_shape() -> None:
    x, t = np.arange(6), np.arange(12.0).reshape(6, 2)
    for (_, t_train), (x_test, t_test) in datasets.k_fold(x, t, 3, rng=0, stratify=False):
        assert t_train.shape == (4, 2)
        np.testing.assert_array_equal(t_test, t[x_test])


def test_leave_one_out() -> None:
    x, t = np.array([[1.0], [2.0], [3.0]]), np.array([4, 5, 6])
    parts = list(datasets.leave_one_out(x, t))
    assert [part[1][0].tolist() for part in parts] == [[[1.0]], [[2.0]], [[3.0]]]
    assert [part[0][1].tolist() for part in parts] == [[5, 6], [4, 6], [4, 5]]
    assert [part[1][1].tolist() for part in parts] == [[4], [5], [6]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3,), (3,), 4), "folds: expected at most one for each of the 3 samples, got 4; pass fewer"),
        (((3,), (3,), 1), "folds: expected an integer of at least 2, got 1"),
        (((3,), (4,), 2), "t: expected a row for each of the 3 samples of x, got shape (4,)"),
        (((3,), (3, 2), 2), "t: expected labels of shape (3,) to stratify by, got shape (3, 2)"),
    ],
)
def test_bad_folds(arguments: tuple[tuple[int, ...], tuple[int, ...], int], message: str) -> None:
    x, t, folds = np.zeros(arguments[0]), np.zeros(arguments[1]), arguments[2]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        datasets.k_fold(x, t, folds)  # at the call, not when the first fold is asked for


def test_one_sample_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match=r"^x: expected at least 2 samples, .* got 1$"):
        datasets.leave_one_out([[1.0]], [0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_standardize_is_learned_on_one_part(dtype: str) -> None:
    generator = np.random.default_rng(0)
    train, test = (generator.normal(5.0, 3.0, (rows, 4)).astype(dtype) for rows in (50, 7))
    step, scaler = datasets.Standardize().fit(train), StandardScaler().fit(train.astype(np.float64))
    kept = test.copy()
    for part in (train, test):
        result = step.transform(part)
        assert result.dtype == dtype
        np.testing.assert_allclose(result, scaler.transform(part.astype(np.float64)), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(test, kept)
    np.testing.assert_allclose(step.mean, train.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(step.deviation, train.astype(np.float64).std(axis=0), rtol=1e-12)


def test_standardize_columns_that_do_not_vary_and_large_ones() -> None:
    x = np.array([[0.1, 0.0, 1e300], [0.1, 0.0, -1e300], [0.1, 0.0, 1e300]])
    step = datasets.Standardize().fit(x)
    np.testing.assert_array_equal(step.deviation[:2], [1.0, 1.0])
    z = step.transform(x)
    np.testing.assert_allclose(z[:, :2], 0.0, atol=1e-15)
    np.testing.assert_allclose([z[:, 2].mean(), z[:, 2].std()], [0.0, 1.0], atol=1e-12)
    assert step.transform(np.zeros((0, 3))).shape == (0, 3)


def test_standardize_refuses() -> None:
    step = datasets.Standardize()
    with pytest.raises(RuntimeError, match=r"call fit\(x_train\) first"):
        step.transform(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"^x: .*NaN|nan"):
        step.fit(np.array([[np.nan]]))
    with pytest.raises(ValueError, match=r"^x: expected .*3"):
        step.fit(np.ones((2, 3))).transform(np.ones((2, 4)))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_figures_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    t, predicted = np.array(pairs).T
    matrix = fastnn.confusion_matrix(t, predicted, 5)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(t, predicted, labels=range(5)))
    np.testing.assert_array_equal(fastnn.confusion_matrix(t, np.eye(5)[predicted]), matrix)
    scores = fastnn.classification_scores(t, predicted, 5)
    expected = metrics.precision_recall_fscore_support(t, predicted, labels=range(5), zero_division=np.nan)
    for name, came, wanted in zip(
        ("precision", "recall", "f1", "support"), vars(scores).values(), expected, strict=True
    ):
        np.testing.assert_allclose(came, wanted, rtol=1e-14, err_msg=name)


def test_scores_as_a_table() -> None:
    scores = fastnn.classification_scores([0, 0, 1, 2], [0, 1, 1, 1])
    assert str(scores) == (
        "class  precision  recall      f1  samples\n"
        "    0     1.0000  0.5000  0.6667        2\n"
        "    1     0.3333  1.0000  0.5000        1\n"
        "    2        nan  0.0000  0.0000        1"
    )


@pytest.mark.parametrize(
    ("t", "predicted", "message"),
    [
        ([0, 1], [0], r"^t: expected as many labels as predictions, got 2 labels for 1 predictions"),
        ([], [], r"^predicted: expected at least one sample, got none"),
        ([0, 5], [[1.0, 0.0], [0.0, 1.0]], r"^t: expected labels .* integers from 0 to 1, got 5 at t\[1\]"),
        ([0], [[np.nan, 0.0]], r"^predicted: .*nan"),
        ([0], [-1], r"^predicted: expected labels .*got -1"),
        ([0], 3, r"^predicted: expected"),
    ],
)
def test_bad_predictions(t: list[int], predicted: object, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fastnn.confusion_matrix(t, predicted)
