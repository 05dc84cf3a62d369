"""The pace of an estimator's calls, which depends on the clock, changes no bit of the result."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import fastnn.sklearn.training as own
from fastnn.engine import threads
from fastnn.engine.interpreters import jobs
from fastnn.engine.workspace import NO_ORDER
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(217, 7))
Y = X[:, 0] - X[:, 1] ** 2
WEIGHTS = RNG.integers(1, 4, len(X)).astype(float)
WEIGHTS[:40] = 0.0


def bits(kind: Any, x: Any, weights: Any, options: dict[str, Any], pace: int, patch: pytest.MonkeyPatch) -> bytes:
    class Fixed:
        batches = pace

        def took(self, batches: int, seconds: float) -> None: ...

    patch.setattr(own, "Pace", Fixed)
    y = Y if kind is MLPRegressor else (Y > 0).astype(int)
    model = kind(hidden_layer_sizes=(9,), max_iter=3, random_state=0, **options).fit(x, y, sample_weight=weights)
    history = model.network_.history
    arrays = [*model.coefs_, *model.intercepts_, np.array(model.loss_curve_), np.array(history.loss)]
    return b"".join(one.tobytes() for one in arrays)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 13},
        {"batch_size": 1},
        {"alpha": 0.0, "batch_size": 20},
        {"alpha": 1.0, "batch_size": 50, "shuffle": False},
        {"solver": "sgd", "momentum": 0.9, "batch_size": 10},
        {"early_stopping": True, "batch_size": 10},
        {"dropout": 0.3, "batch_size": 10},
        {"batch_norm": True, "batch_size": 31},
    ],
)
def test_any_pace_gives_the_same_bits(
    kind: Any, weights: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {bits(kind, X, weights, options, pace, monkeypatch) for pace in (1, 2, 3, 7, 1000)}
    assert len(found) == 1


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_any_pace_gives_the_same_bits_for_sparse_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    paces = (1, 2, 3, 7, 1000)
    found = {bits(MLPRegressor, csr_matrix(X), None, {"batch_size": 13}, pace, monkeypatch) for pace in paces}
    assert len(found) == 1


@pytest.mark.filterwarnings("ignore:Training interrupted", "ignore:Stochastic Optimizer")
def test_an_interrupted_call_measures_no_penalty_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=1, random_state=0).fit(X, Y)
    run = threads.run

    def interrupted(function: Any, *arguments: Any, **options: Any) -> Any:
        run(function, *arguments, **options)
        raise KeyboardInterrupt

    workspace = model.network_.engine.workspace
    monkeypatch.setattr(threads, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data = X.astype(np.float32), np.empty(0, np.intp), Y[:, np.newaxis].astype(np.float32), NO_ORDER
        model.network_.engine.run_batches(data, model.network_.optimizer, (0, 10, 20), penalties=np.zeros(1))
    assert workspace is not None and workspace.job[jobs.MEASURES_PENALTY] == 0
    assert model.network_.engine.workspace.job[jobs.MEASURES_PENALTY] == 0
