"""scikit-learn's own tests of its MLP, with fastnn's estimators in place of its own."""

import importlib.util
import pathlib
from typing import Any

import pytest

pytest.importorskip("sklearn")

# Why a test does not hold here; one that holds after all fails.
DEVIATIONS = {
    "test_gradient": "it calls the private method _loss_grad_lbfgs; tests/test_sklearn_objective.py compares gradients"
}
# Those that take longest, up to a second; the others look at most of what they look at.
SLOW = (
    "test_gradient", "test_lbfgs_classification", "test_lbfgs_regression", "test_mlp_vs_poisson_glm_equivalent",
    "test_multilabel_classification", "test_multioutput_regression", "test_n_iter_no_change",
    "test_n_iter_no_change_inf", "test_partial_fit_classification", "test_partial_fit_regression",
    "test_predict_proba_multilabel", "test_warm_start",
)  # fmt: skip
IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
# Some of them train without an end, and let the warning about it pass.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
assert _spec is not None and _spec.origin is not None
_source = pathlib.Path(_spec.origin).read_text(encoding="utf-8")
assert _source.count(IMPORT) == 1
exec(compile(_source.replace(IMPORT, IMPORT.replace("sklearn.neural_network", "fastnn.sklearn")), _spec.origin, "exec"))

for _name, _reason in DEVIATIONS.items():
    globals()[_name] = pytest.mark.xfail(reason=_reason, strict=True)(globals()[_name])
for _name in SLOW:
    if _name in globals():  # older versions lack some
        globals()[_name] = pytest.mark.exhaustive(globals()[_name])


@pytest.fixture
def global_random_seed() -> int:
    """The fixture of scikit-learn's own configuration."""
    return 42


def test_they_are_all_there() -> None:
    """And they take fastnn's estimators."""
    names: dict[str, Any] = globals()
    assert sum(name.startswith("test_") for name in names) >= 35
    assert names["MLPClassifier"].__module__ == "fastnn.sklearn.classifier"
    assert set(DEVIATIONS) <= set(names)
