"""Networks trained by joblib, in other processes and on a cluster: the same bits as on threads of this process."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from tests import shapes

joblib = pytest.importorskip("joblib")

N = 24
X = shapes.numbers(1, N, 4, dtype=np.float32)
T = shapes.targets("labels", N, 3, np.float32)
OPTIONS: dict[str, Any] = {"epochs": 2, "batch_size": 5}


def factory() -> Callable[[np.random.Generator], fastnn.Network]:
    """A function that processes get by value, as one of a notebook."""
    return lambda rng: fastnn.Network([fastnn.Affine(4, 5), fastnn.Sigmoid(), fastnn.Affine(5, 3)], rng=rng)


def results(parallel: Any) -> list[bytes]:
    """The bits of all that runs in parallel."""
    validation = fastnn.cross_validate(factory(), X, T, 3, rng=0, parallel=parallel, **OPTIONS)
    bagging = fastnn.Bagging(factory(), 3, rng=0, parallel=parallel).fit(X, T, **OPTIONS)
    search = fastnn.random_restarts(factory(), X, T, 4, rng=0, target_loss=1.1, parallel=parallel, **OPTIONS)
    members = [array for network in bagging.members for array in network.params.values()]
    losses = [np.array(history.loss) for history in validation.histories]
    found = [*search.network.params.values(), search.losses]
    return shapes.bits((validation.loss, validation.accuracy, *losses, *members, bagging.predict(X), *found))


@pytest.fixture(scope="module")
def expected() -> list[bytes]:
    return results(None)


@pytest.mark.parametrize("backend", ["loky", "threading", "sequential"])
def test_the_same_bits(backend: str, expected: list[bytes]) -> None:
    assert results(joblib.Parallel(n_jobs=2, backend=backend)) == expected


def test_results_that_come_out_of_order(expected: list[bytes]) -> None:
    def backwards(tasks: Any) -> Any:
        return [function(*arguments) for function, arguments, _ in reversed(list(tasks))]

    backwards.n_jobs = 1  # type: ignore[attr-defined]
    assert results(backwards) == expected
    unordered = joblib.Parallel(n_jobs=2, backend="threading", return_as="generator_unordered")
    assert results(unordered) == expected


def test_a_bag_with_one_can_be_copied() -> None:
    bag = fastnn.Bagging(factory(), 2, rng=0, parallel=joblib.Parallel(n_jobs=1)).fit(X, T, **OPTIONS)
    copied = copy.deepcopy(bag)
    assert copied.predict(X).tobytes() == bag.predict(X).tobytes()


def test_on_a_cluster(expected: list[bytes]) -> None:
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(processes=False, **options) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        assert results(joblib.Parallel()) == expected


def test_what_a_fold_raises_comes_back() -> None:
    options: dict[str, Any] = {**OPTIONS, "optimizer": fastnn.SGD(1e30)}
    with pytest.raises(fastnn.TrainingDivergedError, match="lower the learning rate"):
        fastnn.cross_validate(factory(), 1e3 * X, T, 3, rng=0, parallel=joblib.Parallel(n_jobs=2), **options)


def test_refused() -> None:
    for wrong in (4, "loky", joblib.Parallel, [joblib.Parallel(2)]):
        with pytest.raises(
            TypeError, match=r"^parallel: expected a joblib.Parallel, got .*pass joblib.Parallel\(n_jobs=4\)$"
        ):
            fastnn.cross_validate(factory(), X, T, parallel=wrong, **OPTIONS)
        with pytest.raises(TypeError, match=r"^parallel: expected"):
            fastnn.random_restarts(factory(), X, T, parallel=wrong, **OPTIONS)
    with pytest.raises(
        ValueError, match=r"^n_jobs: expected None beside parallel, got 3; pass joblib.Parallel\(n_jobs=3\)$"
    ):
        fastnn.Bagging(factory(), n_jobs=3, parallel=joblib.Parallel(n_jobs=2))
