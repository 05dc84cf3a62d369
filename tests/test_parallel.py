"""Networks trained by joblib, in other processes and on a cluster: the same bits as on threads of this process."""

import copy
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from tests import commands, shapes

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


OWN = """
import fastnn
Cube = fastnn.activation(lambda z: z * z * z, derivative=lambda z, y: 3.0 * z * z, name="cube")
"""
MAIN = """
import joblib, numpy as np, sys
import fastnn
if __name__ == "__main__":
    {definition}
    def make(rng):
        return fastnn.Network([fastnn.Affine(6, 4), Cube(), fastnn.Affine(4, 3)], rng=rng)
    rng = np.random.default_rng(0)
    x, t = rng.random((60, 6), np.float32), rng.integers(0, 3, 60)
    options = {{"rng": 0, "epochs": 1, "optimizer": fastnn.SGD(0.01)}}
    for several in (fastnn.cross_validate, fastnn.random_restarts):
        alone = several(make, x, t, 2, **options)
        found = several(make, x, t, 2, parallel=joblib.Parallel(n_jobs=2), **options)
        place = "loss" if several is fastnn.cross_validate else "losses"
        print(*(np.asarray(getattr(one, place)).tobytes() for one in (alone, found)))
"""


def run_main(folder: pathlib.Path) -> "subprocess.CompletedProcess[str]":
    environment = commands.variables()
    environment["PYTHONPATH"] += os.pathsep + str(folder)  # for the workers
    command = [sys.executable, "main.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.exhaustive
def test_an_own_operation_comes_with_its_module(tmp_path: pathlib.Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "main.py").write_text(MAIN.format(definition="from own import Cube"))
    lines = run_main(tmp_path).stdout.splitlines()
    assert len(lines) == 2 and all(len(set(line.split(" "))) == 1 for line in lines)


@pytest.mark.exhaustive
def test_an_own_operation_of_the_main_script_is_named(tmp_path: pathlib.Path) -> None:
    definition = OWN.strip().splitlines()[1]
    (tmp_path / "main.py").write_text(MAIN.format(definition=definition))
    done = run_main(tmp_path)
    expected = (
        "ValueError: pickle: expected your own activation 'cube', got none; define it first, by fastnn.activation; "
    )
    assert done.returncode == 1 and expected in done.stderr.splitlines()[-1], done.stderr


@pytest.mark.exhaustive
def test_on_ray(expected: list[bytes]) -> None:
    ray = pytest.importorskip("ray")
    joblib_of_ray = pytest.importorskip("ray.util.joblib")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        joblib_of_ray.register_ray()
        with joblib.parallel_config("ray"):
            assert results(joblib.Parallel(n_jobs=2)) == expected
    finally:
        ray.shutdown()


@pytest.mark.exhaustive
def test_an_operation_of_the_main_script_is_not_sent_to_a_cluster() -> None:
    """Its workers would try to read the task for ever."""
    distributed = pytest.importorskip("distributed")

    def half(z: Any) -> Any:
        return 0.5 * z

    half.__module__ = "__main__"
    own = fastnn.activation(half, derivative=lambda z, y: 0.5, name="half_of_main")

    def make(rng: np.random.Generator) -> fastnn.Network:
        return fastnn.Network([fastnn.Affine(X.shape[1], 4), own(), fastnn.Affine(4, 3)], rng=rng)

    options: Any = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "processes": False}
    sentence = r"^parallel: expected operations of modules.*got the activation 'half_of_main' of the main script"
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster), joblib.parallel_config("dask"):
        for several in (fastnn.cross_validate, fastnn.random_restarts):
            with pytest.raises(ValueError, match=sentence):
                several(make, X, T, 2, rng=0, parallel=joblib.Parallel(), **OPTIONS)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_grid_search_on_a_cluster() -> None:
    """The same scores as in this process, and by workers that are processes."""
    distributed = pytest.importorskip("distributed")
    model_selection = pytest.importorskip("sklearn.model_selection")
    from fastnn.sklearn import MLPClassifier

    grid = {"alpha": [1e-4, 1e-2], "hidden_layer_sizes": [(4,), (8,)]}
    scores = []
    estimator = MLPClassifier(max_iter=5, random_state=0)
    for backend in ("sequential", "dask"):
        search = model_selection.GridSearchCV(estimator, grid, cv=3)
        if backend == "sequential":
            search.fit(X, T)
        else:
            options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
            with (
                distributed.LocalCluster(**options) as cluster,
                distributed.Client(cluster),
                joblib.parallel_config("dask"),
            ):
                search.fit(X, T)
        scores.append(search.cv_results_["mean_test_score"].tobytes())
        assert search.best_estimator_.score(X, T) > 0.2
    assert scores[0] == scores[1]


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
