"""The cars of the package, against UCI's figures and least squares by NumPy; names of other libraries' data."""

import hashlib
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import datasets
from fastnn.datasets import auto_mpg

COLUMNS = ["cylinders", "displacement", "horsepower", "weight", "acceleration", "model_year", "europe", "japan"]


def all_cars(dtype: Any = "float64") -> Any:
    (x, t), _ = datasets.load_auto_mpg(0, dtype=dtype)
    return x, t


def test_the_file_is_what_its_page_says() -> None:
    cars = np.loadtxt(auto_mpg.FILE, delimiter=",", skiprows=1)
    page = auto_mpg.FILE.with_name("AUTO_MPG.md").read_text(encoding="utf-8")
    assert hashlib.sha256(cars.astype("<f8").tobytes()).hexdigest() in page
    assert cars.shape == (392, 8)


def test_the_figures_are_those_of_the_source() -> None:
    """Means and deviations of the 392 complete rows, as many texts print them for UCI's file."""
    x, t = all_cars()
    means = dict(zip(COLUMNS, x.mean(axis=0), strict=True))
    expected = [5.471939, 194.411990, 104.469388, 2977.584184, 15.541327, 75.979592]
    np.testing.assert_allclose(list(means.values())[:6], expected, atol=1e-6)
    np.testing.assert_allclose([t.mean(), t.std(ddof=1)], [23.445918, 7.805007], atol=1e-6)
    assert (means["europe"] * 392, means["japan"] * 392) == (68, 79)
    assert np.bincount(x[:, 5].astype(int))[70:].tolist() == [29, 27, 28, 40, 26, 30, 34, 28, 36, 29, 27, 28, 30]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_parts(dtype: Any) -> None:
    (x, t), (x_test, t_test) = datasets.load_auto_mpg(rng=3, dtype=dtype)
    assert (x.shape, t.shape, x_test.shape, t_test.shape) == ((314, 8), (314,), (78, 8), (78,))
    assert {one.dtype for one in (x, t, x_test, t_test)} == {np.dtype(dtype)}
    whole_x, whole_t = all_cars(dtype)
    rows = np.column_stack((np.concatenate((x, x_test)), np.concatenate((t, t_test))))
    expected = np.column_stack((whole_x, whole_t))
    np.testing.assert_array_equal(np.unique(rows, axis=0), np.unique(expected, axis=0))
    assert abs(t.mean() - t_test.mean()) < 0.5  # cars of all consumptions in both
    again = datasets.load_auto_mpg(rng=3, dtype=dtype)
    np.testing.assert_array_equal(again[0][0], x)
    assert not np.array_equal(datasets.load_auto_mpg(rng=4, dtype=dtype)[0][0], x)


def test_a_line_explains_four_fifths() -> None:
    """R squared of least squares on all columns, by the normal equations."""
    x, t = all_cars()
    ones = np.column_stack((np.ones(len(x)), (x - x.mean(axis=0)) / x.std(axis=0)))
    errors = t - ones @ np.linalg.solve(ones.T @ ones, ones.T @ t)
    share = 1 - errors @ errors / ((t - t.mean()) @ (t - t.mean()))
    assert 0.82 < share < 0.83
    model = fastnn.models.LinearRegression().closed_form(ones[:, 1:], t)
    np.testing.assert_allclose(t - model.predict(ones[:, 1:]), errors, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test_fraction": 1.0}, "test_fraction: expected a finite number of at least 0 and below 1, got 1.0"),
        ({"dtype": "int32"}, "dtype: expected"),
        ({"rng": -1}, "rng: expected None, a seed of at least 0"),
        ({"seed": 1}, "load_auto_mpg: expected arguments out of test_fraction, rng, dtype, got seed; pass rng"),
    ],
)
def test_refused(arguments: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        datasets.load_auto_mpg(**arguments)


@pytest.mark.parametrize(
    ("place", "name", "sentence"),
    [
        (datasets, "load_boston", "share of Black residents, so libraries dropped it; fastnn.datasets.load_auto_mpg()"),
        (fastnn, "load_boston", "share of Black residents, so libraries dropped it; fastnn.datasets.load_auto_mpg()"),
        (datasets, "load_diabetes", "'load_diabetes'; fastnn.datasets.load_auto_mpg() has data for regression"),
        (datasets, "load_digit", "module 'fastnn.datasets' has no attribute 'load_digit'; did you mean 'load_digits'?"),
        (fastnn, "load_auto_mpg", "it is datasets.load_auto_mpg"),
        (fastnn.models, "Ridge", "'Ridge'; it is fastnn.models.LinearRegression(l2=...)"),
        (fastnn, "Ridge", "'Ridge'; it is fastnn.models.LinearRegression(l2=...)"),
        (fastnn.models, "Perceptrn", "did you mean 'Perceptron'?"),
    ],
)
def test_other_names_are_answered(place: Any, name: str, sentence: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(sentence)) as raised:
        getattr(place, name)
    assert raised.value.name == name
    assert not hasattr(place, "__wrapped__")  # what tools ask for
