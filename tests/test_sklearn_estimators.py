"""The estimators at work: what scikit-learn's have not, sparse data, and the meta-estimators of scikit-learn."""

import pickle
import re
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.sparse import csc_array, csr_array
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS, LABELS = (part[:300] for part in load_digits(return_X_y=True))
DIGITS = DIGITS / 16.0
NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[LABELS]
VALUES = DIGITS @ np.linspace(-1.0, 1.0, 64)
SHORT: dict[str, Any] = {"hidden_layer_sizes": 12, "max_iter": 4, "random_state": 0}


def bits_of(estimator: Any) -> bytes:
    return bytes(estimator.network_.engine.values.tobytes())


# --- what scikit-learn's have not ----------------------------------------------------------------------


def test_each_layer_has_its_own_activation_and_dropout() -> None:
    found = MLPClassifier((9, 8, 7), ["tanh", fastnn.LeakyRelu(0.2), "gelu"], dropout=[0.0, 0.5, 0.1], max_iter=2)
    layers = found.fit(DIGITS, LABELS).network_.layers
    assert [type(layer).__name__ for layer in layers] == [
        *("Affine", "Tanh", "Affine", "LeakyRelu", "Dropout", "Affine", "Gelu", "Dropout", "Affine")
    ]
    assert (layers[3].slope, layers[4].rate, layers[7].rate) == (0.2, 0.5, 0.1)


def test_dropout_is_drawn_by_random_state() -> None:
    made = [MLPClassifier(**SHORT | {"random_state": seed}, dropout=0.5).fit(DIGITS, LABELS) for seed in (0, 0, 1)]
    assert bits_of(made[0]) == bits_of(made[1]) != bits_of(made[2])
    assert bits_of(made[0]) != bits_of(MLPClassifier(**SHORT).fit(DIGITS, LABELS))


def test_batch_norm_leaves_a_last_row_alone_out() -> None:
    found = MLPRegressor(**SHORT, batch_norm=True, batch_size=299, shuffle=False).fit(DIGITS, VALUES)
    assert set(found.network_.statistics) == {"mean1", "variance1"}
    first = MLPRegressor(**SHORT, batch_norm=True, shuffle=False).fit(DIGITS[:299], VALUES[:299])
    assert first.batch_size == "auto" and first.loss_ != found.loss_
    whole = MLPRegressor(**SHORT, batch_norm=True, batch_size=299, shuffle=False).fit(DIGITS[:299], VALUES[:299])
    assert bits_of(whole) == bits_of(found) and whole.loss_curve_ == found.loss_curve_


@pytest.mark.parametrize("weights", ["balanced", {0: 5.0}])
def test_class_weights_are_sample_weights(weights: Any) -> None:
    counts = np.bincount(LABELS)
    factors = len(LABELS) / (10 * counts[LABELS]) if weights == "balanced" else np.where(LABELS == 0, 5.0, 1.0)
    one = MLPClassifier(**SHORT, class_weight=weights).fit(DIGITS, LABELS, sample_weight=np.arange(300.0))
    other = MLPClassifier(**SHORT).fit(DIGITS, LABELS, sample_weight=factors * np.arange(300.0))
    np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], rtol=1e-9, atol=1e-12)


def test_samples_of_weight_0_count_for_nothing() -> None:
    """Even in a batch of them alone, from which there is nothing to learn."""
    weights = np.r_[np.ones(100), np.zeros(200)]
    options: Any = {**SHORT, "shuffle": False, "batch_size": 100}
    one = MLPClassifier(**options).fit(DIGITS, LABELS, sample_weight=weights)
    other = MLPClassifier(**options).fit(DIGITS[:100], LABELS[:100])
    assert bits_of(one) == bits_of(other)


def test_validation_data_of_ones_own() -> None:
    data, held_out = (DIGITS[:200], NAMES[:200]), (DIGITS[200:], NAMES[200:])
    plain = MLPClassifier(**SHORT).fit(*data, validation_data=held_out)
    assert plain.validation_scores_ is not None and len(plain.validation_scores_) == 4
    assert plain.validation_scores_[-1] == plain.score(*held_out)
    stopped = MLPClassifier(**SHORT | {"max_iter": 200}, early_stopping=True, n_iter_no_change=2, tol=0.01)
    stopped.fit(*data, validation_data=held_out)
    assert stopped.n_iter_ < 200 and stopped.best_validation_score_ == stopped.score(*held_out)
    weighted = MLPClassifier(**SHORT).fit(*data, validation_data=(*held_out, np.arange(100.0)))
    assert weighted.validation_scores_ != plain.validation_scores_


def test_callbacks_are_those_of_fit() -> None:
    seen = []

    def note(network: Any, history: Any) -> bool:
        seen.append(history.last())
        return bool(history.epochs == 3)

    stopping = fastnn.EarlyStopping(patience=50, monitor="validation_accuracy")
    found = MLPClassifier(**SHORT | {"max_iter": 50}, callbacks=[note, stopping])
    found.fit(DIGITS[:200], LABELS[:200], validation_data=(DIGITS[200:], LABELS[200:]))
    assert found.n_iter_ == len(seen) == 3 and stopping.best_epoch is not None
    assert set(seen[0]) == {*("loss", "accuracy", "validation_loss", "validation_accuracy", "seconds", "learning_rate")}
    assert seen[-1]["validation_accuracy"] == found.validation_scores_[-1]
    penalties = np.subtract(found.loss_curve_, found.network_.history.loss)
    assert (penalties > 0.0).all()
    with pytest.raises(ValueError, match="monitor: expected a figure that this fit measures"):
        MLPClassifier(callbacks=[fastnn.EarlyStopping()]).fit(DIGITS, LABELS)


@pytest.mark.parametrize(
    ("loss", "probable"),
    [("hinge", False), (fastnn.losses.SoftmaxCrossEntropy(label_smoothing=0.1), True), ("log_loss", True)],
)
def test_losses_of_classes(loss: Any, probable: bool) -> None:
    for labels in (NAMES, LABELS > 4):
        found = MLPClassifier(**SHORT | {"max_iter": 40}, loss=loss, learning_rate_init=0.01).fit(DIGITS, labels)
        assert found.score(DIGITS, labels) > 0.9
        assert (hasattr(found, "predict_proba"), hasattr(found, "decision_function")) == (probable, not probable)
        if probable:
            chosen = found.classes_[found.predict_proba(DIGITS).argmax(axis=1)]
        else:
            scores = found.decision_function(DIGITS)
            chosen = found.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]
        np.testing.assert_array_equal(chosen, found.predict(DIGITS))


@pytest.mark.parametrize("loss", ["absolute_error", "huber", fastnn.losses.Huber(delta=0.5)])
def test_losses_of_values(loss: Any) -> None:
    found = MLPRegressor(loss, 20, max_iter=150, learning_rate_init=0.01, random_state=0).fit(DIGITS, VALUES)
    assert found.score(DIGITS, VALUES) > 0.9


def test_values_may_be_integers() -> None:
    """Even such as float32 rounds."""
    large = 2**24 + np.arange(300)
    one = MLPRegressor(**SHORT, dtype="float32").fit(DIGITS, large)
    assert bits_of(one) == bits_of(MLPRegressor(**SHORT, dtype="float32").fit(DIGITS, large.astype(np.float64)))


def test_results_do_not_depend_on_threads() -> None:
    made = [MLPClassifier(**SHORT | {"n_threads": n}, dtype="float32").fit(DIGITS, LABELS) for n in (1, 2)]
    assert bits_of(made[0]) == bits_of(made[1])


# --- the network behind it -----------------------------------------------------------------------------


def test_parameters_are_views_and_may_be_put() -> None:
    found = MLPClassifier(**SHORT).fit(DIGITS, LABELS)
    found.coefs_[0][...] = 0.0
    assert (found.predict_proba(DIGITS) == found.predict_proba(DIGITS[:1])).all()
    other = MLPClassifier(**SHORT | {"random_state": 1}).fit(DIGITS, LABELS)
    found.coefs_, found.intercepts_[:] = list(other.coefs_), other.intercepts_
    np.testing.assert_array_equal(found.predict_proba(DIGITS), other.predict_proba(DIGITS))
    assert np.shares_memory(found.coefs_[0], found.network_.engine.values)
    found.coefs_[1] = found.coefs_[1][:, ::-1]  # another view of the same memory
    assert (found.predict_proba(DIGITS) != other.predict_proba(DIGITS)).any()
    found.coefs_[0] = np.zeros((3, 4))
    with pytest.raises(ValueError, match=re.escape("coefs_[0]: expected the shape (64, 12), got (3, 4)")):
        found.predict(DIGITS)


def test_pickles_and_copies_go_on_alike() -> None:
    options: Any = {"hidden_layer_sizes": 12, "random_state": 0, "batch_norm": True, "dropout": 0.2}
    found = MLPClassifier(**options)
    found.partial_fit(DIGITS, LABELS, classes=range(10))
    data = pickle.dumps(found)
    assert len(data) < 4.6 * found.network_.engine.values.nbytes  # its two state vectors, and no weight twice
    other = pickle.loads(data)
    np.testing.assert_array_equal(other.predict_proba(DIGITS), found.predict_proba(DIGITS))
    for each in (found, other):
        each.partial_fit(DIGITS, LABELS)
    assert bits_of(found) == bits_of(other)
    assert not hasattr(clone(found), "network_")


def test_its_network_works_by_itself() -> None:
    found = MLPClassifier(**SHORT, alpha=0.1).fit(DIGITS, LABELS)
    np.testing.assert_allclose(fastnn.softmax(found.network_.predict(DIGITS)), found.predict_proba(DIGITS), rtol=1e-12)
    penalty = 0.05 / 200 * sum((weights**2).sum() for weights in found.coefs_)
    logarithms = -np.log(found.predict_proba(DIGITS)[np.arange(300), LABELS]).mean()
    assert found.network_.loss(DIGITS, LABELS) == pytest.approx(logarithms + penalty, rel=1e-9)


def test_from_sklearn_copies_the_network() -> None:
    found = MLPClassifier(**SHORT, batch_norm=True, activation=["gelu"]).fit(DIGITS, LABELS)
    network = fastnn.Network.from_sklearn(found)
    np.testing.assert_array_equal(network.predict(DIGITS), found.network_.predict(DIGITS))
    network.params["W1"][...] = 0.0
    assert found.coefs_[0].all()


def test_warm_start_takes_new_layers_of_the_same_shape() -> None:
    found = MLPClassifier(**SHORT, warm_start=True).fit(DIGITS, LABELS)
    before = found.coefs_[0].copy()
    found.set_params(activation="tanh", dropout=0.1, learning_rate_init=1e-12).fit(DIGITS, LABELS)
    np.testing.assert_allclose(found.coefs_[0], before, atol=1e-9)
    assert "Tanh" in repr(found.network_)
    with pytest.raises(ValueError, match=re.escape("coefs_[0]: expected the shape (64, 5), got (64, 12)")):
        found.set_params(hidden_layer_sizes=5).fit(DIGITS, LABELS)


def test_a_training_that_diverges_keeps_finite_parameters() -> None:
    found = MLPRegressor(solver="sgd", learning_rate_init=1e6, activation="identity", random_state=0)
    with pytest.raises(fastnn.TrainingDivergedError, match="Solver produced non-finite parameter weights"):
        found.fit(DIGITS, VALUES)
    assert all(np.isfinite(weights).all() for weights in found.coefs_)
    with pytest.warns(ConvergenceWarning, match="The best parameters so far were put back"):
        found.set_params(early_stopping=True).fit(DIGITS, VALUES)


def test_ctrl_c_keeps_what_was_learned() -> None:
    def interrupt(network: Any, history: Any) -> None:
        if history.epochs == 2:
            raise KeyboardInterrupt

    found = MLPClassifier(**SHORT, callbacks=[interrupt])
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        found.fit(DIGITS, LABELS)
    assert found.n_iter_ == len(found.loss_curve_) == 2


# --- sparse data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [csr_array, csc_array])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sparse_data_gives_the_same_bits(container: Any, dtype: str) -> None:
    x = np.where(DIGITS > 0.8, DIGITS, 0.0).astype(dtype)
    weights = np.linspace(0.0, 2.0, 300)
    for options in ({}, {"early_stopping": True}, {"solver": "lbfgs"}, {"batch_norm": True, "batch_size": 43}):
        options = {**SHORT, **options}
        dense, sparse = (MLPClassifier(**options).fit(data, LABELS, weights) for data in (x, container(x)))
        assert bits_of(dense) == bits_of(sparse)
        np.testing.assert_array_equal(dense.predict_proba(x), sparse.predict_proba(container(x)))


def test_no_dense_copy_of_sparse_data() -> None:
    """Which would take 400 MB."""
    rows, columns = 2000, 50_000
    places = np.random.default_rng(0).integers(0, columns, rows)
    x = csr_array((np.ones(rows, np.float32), places, np.arange(rows + 1)), shape=(rows, columns))
    found = MLPClassifier(2, max_iter=1, batch_size=20, random_state=0)
    tracemalloc.start()
    assert found.fit(x, places % 2).predict(x).shape == (rows,)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 80e6


# --- meta-estimators -----------------------------------------------------------------------------------


def test_in_a_pipeline_with_cross_validation() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), MLPClassifier(20, max_iter=40, learning_rate_init=0.01, random_state=0))
    assert cross_val_score(model, x, y, cv=3).min() > 0.93


def test_names_of_columns() -> None:
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame(DIGITS[:, :3], columns=["a", "b", "c"])
    found = MLPClassifier(**SHORT, early_stopping=True).fit(x, LABELS, validation_data=(x, LABELS))
    assert list(found.feature_names_in_) == ["a", "b", "c"]
    found.predict(x)
    with pytest.raises(ValueError, match="feature names"):
        found.predict(x.rename(columns={"c": "d"}))


def test_grid_search_calibration_and_importance() -> None:
    grid = {"hidden_layer_sizes": [(5,), (20,)], "alpha": np.array([1e-4, 1.0]), "dropout": [0.0, 0.1]}
    search = GridSearchCV(MLPClassifier(max_iter=15, random_state=0, learning_rate_init=0.02), grid, cv=2)
    search.fit(DIGITS, NAMES)
    assert search.best_params_["hidden_layer_sizes"] == (20,) and search.best_score_ > 0.8
    for loss in ("log_loss", "hinge"):
        model = MLPClassifier(20, loss=loss, max_iter=30, learning_rate_init=0.01, random_state=0)
        shares = CalibratedClassifierCV(model, cv=2).fit(DIGITS, NAMES).predict_proba(DIGITS)
        np.testing.assert_allclose(shares.sum(axis=1), 1.0)
        assert (shares.argmax(axis=1) == np.unique(NAMES, return_inverse=True)[1]).mean() > 0.9
    x, y = load_diabetes(return_X_y=True, scaled=True)
    model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", random_state=0).fit(25.0 * x, y)
    found = permutation_importance(model, 25.0 * x, y, n_repeats=2, random_state=0)
    assert {2, 8} <= set(found.importances_mean.argsort()[-4:])  # body mass, and a serum, as linear models find


# --- errors --------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"solver": "newton"}, "solver: expected one of 'lbfgs', 'sgd', 'adam', got 'newton'"),
    ({"alpha": -1.0}, "alpha: expected a finite number of at least 0, got -1.0"),
    ({"hidden_layer_sizes": (10, -1)}, "hidden_layer_sizes must be > 0, got [10, -1]."),
    ({"hidden_layer_sizes": (10.5,)}, "hidden_layer_sizes: expected an integer of at least 1, got 10.5"),
    ({"activation": "rleu"}, "did you mean 'relu'?"),
    ({"activation": ["relu", "tanh"]}, "activation: expected 1, one for each hidden layer, got 2 of them"),
    ({"activation": fastnn.Dropout(0.5)}, "activation: expected one of"),
    ({"dropout": 1.0}, "dropout: expected a finite number"),
    ({"momentum": 1.0}, "momentum: expected a finite number"),
    ({"batch_size": 0}, "batch_size: expected an integer of at least 1, got 0"),
    ({"solver": "lbfgs", "dropout": 0.5}, "solver: expected 'sgd' or 'adam' with dropout"),
    ({"solver": "lbfgs", "callbacks": [print]}, "callbacks: expected none, got"),
    ({"callbacks": print}, "callbacks: expected a list of functions"),
    ({"dtype": "float16"}, "dtype: expected"),
    ({"n_threads": 0}, "n_threads: expected an integer of at least 1, got 0"),
    ({"loss": "mse"}, "loss: expected one of 'log_loss', 'hinge', got 'mse'"),
    ({"loss": fastnn.losses.CrossEntropy()}, "loss: expected one of logits"),
    ({"class_weight": 3.0}, "class_weight: expected a dict, 'balanced' or None, got 3.0"),
    ({"batch_norm": True, "batch_size": 1}, "batch_size: expected at least 2 rows"),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_parameters_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(sentence)):
        MLPClassifier(**options).fit(DIGITS, LABELS)


def test_wrong_data_is_refused() -> None:
    model = MLPClassifier(**SHORT)
    with pytest.raises(NotFittedError):
        model.predict(DIGITS)
    with pytest.raises(ValueError, match=re.escape("sample_weight: expected the shape (300,), got (2,)")):
        model.fit(DIGITS, LABELS, [1.0, 2.0])
    with pytest.raises(ValueError, match="sample_weight: expected weights of at least 0"):
        model.fit(DIGITS, LABELS, np.full(300, -1.0))
    with pytest.raises(ValueError, match="class_weight: expected weights of at least 0, not all of them zero"):
        MLPClassifier(class_weight=dict.fromkeys(range(10), 0.0)).fit(DIGITS, LABELS)
    with pytest.raises(TypeError, match=re.escape("validation_data: expected (X, y) or (X, y, sample_weight), got 3")):
        model.fit(DIGITS, LABELS, validation_data=3)
    with pytest.raises(ValueError, match="classes not in"):
        model.fit(DIGITS, LABELS, validation_data=(DIGITS, LABELS + 1))
    with pytest.raises(ValueError, match="which overflows; rescale X or use float64"):
        MLPClassifier(dtype="float32").fit(1e300 * DIGITS, LABELS)
    with pytest.raises(ValueError, match=r"which overflows; rescale X\.data or use float64"):
        MLPClassifier(dtype="float32").fit(csr_array(1e300 * DIGITS), LABELS)
    with pytest.raises(ValueError, match="class_weight: expected a dict or None for partial_fit, got 'balanced'"):
        MLPClassifier(class_weight="balanced").partial_fit(DIGITS, LABELS, classes=range(10))
    with pytest.raises(ValueError, match="y: expected numbers of at least 0 for the loss 'poisson', got -"):
        MLPRegressor("poisson").fit(DIGITS, VALUES)
    with pytest.raises(ValueError, match="loss: expected one of values, got"):
        MLPRegressor(fastnn.losses.Hinge()).fit(DIGITS, VALUES)
    with pytest.raises(ValueError, match="loss: expected one of single outputs"):
        MLPClassifier(loss=fastnn.losses.SoftmaxCrossEntropy()).fit(DIGITS, DIGITS[:, 10:13] > 0.5)


def test_nothing_is_lost_by_wrong_parameters() -> None:
    found = MLPClassifier(**SHORT).fit(DIGITS, LABELS)
    before = found.predict_proba(DIGITS)
    for options, _ in WRONG[:4]:
        with pytest.raises((TypeError, ValueError)):
            clone(found).set_params(**options).fit(DIGITS, LABELS)
        with warnings.catch_warnings(), pytest.raises((TypeError, ValueError)):
            found.set_params(**options).fit(DIGITS, LABELS)
        found.set_params(**MLPClassifier(**SHORT).get_params())
    np.testing.assert_array_equal(found.predict_proba(DIGITS), before)


def test_unknown_parameters_are_answered() -> None:
    with pytest.raises(TypeError, match="got hidden_layers; pass hidden_layer_sizes"):
        MLPClassifier(hidden_layers=3)  # type: ignore[call-arg]


def test_help_describes_all_parameters() -> None:
    for kind in (MLPClassifier, MLPRegressor):
        text = kind.__doc__ or ""
        described = {name for line in text.splitlines() for name in re.split(r"[ ,:]+", line) if line[:1] not in " -"}
        assert set(kind().get_params()) <= described
        assert "network_" in described
