"""scikit-learn's checks of estimators: all of them."""

from typing import Any

import pytest

checks = pytest.importorskip("sklearn.utils.estimator_checks")

from fastnn.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [MLPClassifier(max_iter=60), MLPRegressor(max_iter=60)]
OTHERS = [
    MLPClassifier(solver="lbfgs", max_iter=60),
    MLPClassifier((20, 10), ["gelu", "tanh"], dropout=[0.1, 0.0], learning_rate_init=0.01, max_iter=60),
    MLPClassifier(solver="sgd", learning_rate_init=0.1, batch_norm=True, max_iter=60),
    MLPClassifier(loss="hinge", max_iter=60),
    MLPRegressor("huber", (20, 10), "silu", max_iter=60),
]
WEIGHTS = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")


def expected_failures(estimator: Any) -> dict[str, str]:
    """The checks that do not hold, with the reason; one that holds after all fails."""
    if estimator.batch_norm:
        return dict.fromkeys(WEIGHTS, "the mean and variance of a batch are those of its rows, whatever they weigh")
    if estimator.dropout != 0.0:
        return dict.fromkeys(WEIGHTS, "dropout draws for each row, so a row that comes twice has two masks")
    return {}


def cases(estimators: list[Any]) -> list[Any]:
    """Each estimator with each of its checks."""
    found = []
    for number, estimator in enumerate(estimators):
        failures = expected_failures(estimator)
        for made, check in checks.estimator_checks_generator(estimator):
            name = check.func.__name__
            marks = pytest.mark.xfail(reason=failures[name], strict=True) if name in failures else ()
            options = "-".join(f"{option}={value}" for option, value in check.keywords.items())
            label = f"{type(estimator).__name__}{number}-{name}{options and '-'}{options}"
            found.append(pytest.param(made, check, id=label, marks=marks))
    return found


@pytest.mark.parametrize(("estimator", "check"), cases(ESTIMATORS))
def test_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("estimator", "check"), cases(OTHERS))
def test_checks_of_other_parameters(estimator: Any, check: Any) -> None:
    check(estimator)
