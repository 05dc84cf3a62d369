"""The estimators against scikit-learn's own, in float64: the same weights, losses and predictions to rounding."""

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

sklearn_networks = pytest.importorskip("sklearn.neural_network")

from sklearn.exceptions import ConvergenceWarning  # noqa: E402

from fastnn.sklearn import MLPClassifier, MLPRegressor  # noqa: E402
from fastnn.sklearn.lbfgs import FullObjective  # noqa: E402
from fastnn.sklearn.training import Examples  # noqa: E402
from tests import shapes  # noqa: E402
from tests.crossings import crossed  # noqa: E402

N, D = 70, 6
X = shapes.numbers(1, N, D)
SUMS = X[:, :3] + 0.5 * shapes.numbers(2, N, 3)
KINDS = {
    "classes": SUMS.argmax(axis=1),
    "two classes": np.where(SUMS[:, 0] > 0.0, "yes", "no"),
    "labels": (SUMS > 0.0).astype(int),
    "values": SUMS[:, 0],
    "columns": SUMS,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "deep": {"hidden_layer_sizes": (7, 5), "activation": "tanh", "alpha": 0.5},
    "logistic": {"activation": "logistic", "shuffle": False, "alpha": 0.0},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate": "invscaling", "power_t": 0.3},
    "adaptive": {"solver": "sgd", "momentum": 0.0, "learning_rate": "adaptive", "tol": 0.01, "n_iter_no_change": 1},
    "held out": {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 2, "learning_rate_init": 0.02},
}
TAKES_WEIGHTS = "sample_weight" in inspect.signature(sklearn_networks.MLPClassifier.fit).parameters  # since 1.7
WEIGHTS = [None, *([np.linspace(0.0, 3.0, N)] if TAKES_WEIGHTS else [])]


def pair(kind: str, **settings: Any) -> tuple[Any, Any]:
    """scikit-learn's estimator and ours, with equal parameters."""
    name = "MLPRegressor" if kind in ("values", "columns") else "MLPClassifier"
    settings = {"hidden_layer_sizes": 8, "max_iter": 6, "batch_size": 32, "random_state": 3, **settings}
    ours = MLPRegressor if name == "MLPRegressor" else MLPClassifier
    return getattr(sklearn_networks, name)(**settings), ours(**settings)


def fitted(kind: str, weights: int, **settings: Any) -> tuple[Any, Any]:
    both = pair(kind, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older versions of scikit-learn pass SciPy what is no longer wanted
        for each in both:
            each.fit(X, KINDS[kind], **({} if WEIGHTS[weights] is None else {"sample_weight": WEIGHTS[weights]}))
    return both


def assert_same_training(theirs: Any, ours: Any, kind: str) -> None:
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    for name in ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "t_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("loss_curve_", "validation_scores_", "best_validation_score_", "best_loss_"):
        if getattr(theirs, name, None) is None:
            assert getattr(ours, name, None) is None, name
        else:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9)
    one, other = ours.predict(X), theirs.predict(X)
    assert one.shape == other.shape and one.dtype.kind == other.dtype.kind
    if kind in ("values", "columns"):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    else:
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-9, atol=1e-12)


@crossed(5, settings=SETTINGS, kind=KINDS, weights=range(len(WEIGHTS)))
def test_training_is_that_of_scikit_learn(settings: str, kind: str, weights: int) -> None:
    assert_same_training(*fitted(kind, weights, **SETTINGS[settings]), kind)


@pytest.mark.parametrize("weights", range(len(WEIGHTS)))
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "columns"])
def test_lbfgs_is_that_of_scikit_learn(kind: str, weights: int) -> None:
    """But for several columns of values: its loss is then their mean, and its gradient that of their sum."""
    assert_same_training(*fitted(kind, weights, solver="lbfgs", alpha=0.1), kind)


@pytest.mark.parametrize("kind", ["classes", "values"])
def test_going_on_is_that_of_scikit_learn(kind: str) -> None:
    """Several calls of partial_fit, and a second fit with warm_start."""
    for settings in ({"solver": "sgd"}, {"warm_start": True}):
        both = pair(kind, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for each in both:
                for _ in range(3):
                    classes = {"classes": [0, 1, 2]} if kind == "classes" else {}
                    if "warm_start" in settings:
                        each.fit(X, KINDS[kind])
                    else:
                        each.partial_fit(X, KINDS[kind], **classes)
        assert_same_training(*both, kind)


@pytest.mark.skipif(not TAKES_WEIGHTS, reason="scikit-learn before 1.7 has no loss 'poisson'")
def test_poisson_is_that_of_scikit_learn() -> None:
    y = np.random.RandomState(0).poisson(np.exp(SUMS[:, 0]))
    both = pair("values", loss="poisson", learning_rate_init=0.01)
    for each in both:
        with pytest.warns(ConvergenceWarning):
            each.fit(X, y)
    assert_same_training(*both, "values")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_of_all_samples_is_numerical(kind: str, weighted: bool) -> None:
    """Also where they are taken in parts; the penalty's strength and the weights are part of it."""
    _, ours = pair(kind, solver="lbfgs", max_iter=1, activation="tanh", alpha=0.3)
    with pytest.warns(ConvergenceWarning):
        ours.fit(X, KINDS[kind])
    data = Examples(X, ours._encode(KINDS[kind], renews=False), np.linspace(0.5, 2.0, N) if weighted else None)
    full = FullObjective(ours.network_, ours._objective, 0.3, data)
    point = ours.network_.engine.values.copy()
    loss, gradient = full(point)
    found = np.array([_central(full, point, i) for i in range(point.size)])
    np.testing.assert_allclose(gradient, found, rtol=1e-6, atol=1e-9)
    full.size = 32
    in_parts = full(point)
    np.testing.assert_allclose(in_parts[0], loss, rtol=1e-12)
    np.testing.assert_allclose(in_parts[1], gradient, rtol=1e-9, atol=1e-14)


def _central(full: FullObjective, point: Any, i: int, h: float = 1e-5) -> float:
    up, down = point.copy(), point.copy()
    up[i] += h
    down[i] -= h
    return (full(up)[0] - full(down)[0]) / (2 * h)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float32_is_as_good(dtype: str) -> None:
    """With the same numbers but for their rounding."""
    theirs, ours = pair("classes", max_iter=80, learning_rate_init=0.01, tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, KINDS["classes"])
        ours.set_params(dtype=dtype).fit(X, KINDS["classes"])
    assert ours.coefs_[0].dtype == ours.predict_proba(X).dtype == dtype
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-2 if dtype == "float32" else 1e-9)
    assert ours.score(X, KINDS["classes"]) == pytest.approx(theirs.score(X, KINDS["classes"]), abs=0.03)
