"""Cross-validation against the plain loop, no leaks from the test part, and refusals."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import weakref
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

import fastnn
from fastnn import Affine, Momentum, Network, Sigmoid, datasets
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.validation.cross_validation import CrossValidation
from tests import shapes

X = shapes.numbers(1, 31, 4, dtype=np.float32)
T = shapes.targets("labels", 31, 3, np.float32)
OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 5, "optimizer": Momentum(0.1)}


def make(rng: np.random.Generator) -> Network:
    return Network([Affine(4, 5), Sigmoid(), Affine(5, 3)], rng=rng)


def make_for_values(rng: np.random.Generator) -> Network:
    return Network([Affine(4, 2)], "mean_squared_error", rng=rng, dtype="float64")


def bits(result: Any) -> list[bytes]:
    losses = [np.array(history.loss) for history in result.histories]
    return shapes.bits((result.loss, result.accuracy, *losses))


# --- results --------------------------------------------------------------------------------


@pytest.mark.parametrize("standardize", [False, True])
def test_it_is_the_plain_loop(standardize: bool) -> None:
    generator = np.random.default_rng(3)
    losses, accuracies, histories = [], [], []
    for (x_train, t_train), (x_test, t_test) in datasets.k_fold(X, T, 4, generator):
        child = generator.spawn(1)[0]
        net = make(child)
        if standardize:
            scale = datasets.Standardize().fit(x_train)
            x_train, x_test = scale.transform(x_train), scale.transform(x_test)
        histories.append(net.fit(x_train, t_train, rng=child, progress=False, **OPTIONS).loss)
        losses.append(net.loss(x_test, t_test))
        accuracies.append(net.accuracy(x_test, t_test))
    result = fastnn.cross_validate(make, X, T, 4, rng=3, standardize=standardize, **OPTIONS)
    assert result.loss.tolist() == losses
    assert result.accuracy.tolist() == accuracies
    assert [history.loss for history in result.histories] == histories
    np.testing.assert_allclose([result.mean_loss, result.mean_accuracy], [np.mean(losses), np.mean(accuracies)])
    spread = [np.sqrt(sum((v - np.mean(values)) ** 2 for v in values) / 3) for values in (losses, accuracies)]
    np.testing.assert_allclose([result.loss_deviation, result.accuracy_deviation], spread)


def test_folds_of_ones_own() -> None:
    given = list(datasets.k_fold(X, T, 3, rng=8))
    by_list, by_iterator = (
        fastnn.cross_validate(make, None, None, folds, rng=1, **OPTIONS) for folds in (given, iter(given))
    )
    assert bits(by_list) == bits(by_iterator)
    single = fastnn.cross_validate(make, X, T, given[:1], rng=1, **OPTIONS)
    assert single.loss[0] == by_list.loss[0]
    assert np.isnan([single.loss_deviation, single.accuracy_deviation]).all()


def test_leave_one_out() -> None:
    result = fastnn.cross_validate(make, X, T, datasets.leave_one_out(X[:9], T[:9]), rng=1, **OPTIONS)
    assert result.loss.shape == (9,)
    assert set(result.accuracy) <= {0.0, 1.0}


@pytest.mark.parametrize("targets", ["values", "one column", "one-hot"])
def test_other_targets(targets: str) -> None:
    t = {"values": X[:, :2], "one column": X[:, 0], "one-hot": np.eye(2)[T % 2]}[targets]
    columns = 1 if t.ndim == 1 else 2
    net_of = (lambda rng: Network([Affine(4, 1)], "mean_squared_error", rng=rng)) if columns == 1 else make_for_values
    result = fastnn.cross_validate(net_of, X.astype(np.float64), t, 3, rng=0, **OPTIONS)
    assert np.isfinite(result.loss).all()
    assert np.isfinite(result.accuracy).all() == (targets == "one-hot")
    assert ("accuracy" in str(result)) == (targets == "one-hot")
    plain = datasets.k_fold(X.astype(np.float64), t, 3, rng := np.random.default_rng(0), stratify=False)
    assert bits(fastnn.cross_validate(net_of, X, t, plain, rng=rng, **OPTIONS)) == bits(result)


def test_classes_are_in_equal_shares() -> None:
    """If there is nothing but the prior to learn, each fold's accuracy is the fraction of the largest class."""
    x, t = np.zeros((40, 1)), np.repeat([0, 1], [30, 10])
    options: dict[str, Any] = {"epochs": 30, "batch_size": None, "optimizer": fastnn.SGD(0.5)}
    result = fastnn.cross_validate(lambda rng: Network([Affine(1, 2)], rng=rng), x, t, 5, rng=0, **options)
    np.testing.assert_allclose(result.accuracy, 0.75)
    np.testing.assert_allclose(result.accuracy_deviation, 0.0, atol=1e-15)


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")
def test_scores_are_like_those_of_scikit_learn() -> None:
    """Logistic regression is a network of one layer, with nearly the same accuracies on the same folds."""
    (x, t), _ = datasets.load_digits(test_fraction=0.5, rng=0)
    splitter = StratifiedKFold(4, shuffle=True, random_state=0)
    folds = [((x[a], t[a]), (x[b], t[b])) for a, b in splitter.split(x, t)]
    theirs = cross_val_score(LogisticRegression(C=1.0, max_iter=2000), x, t, cv=splitter)
    options: dict[str, Any] = {"epochs": 60, "batch_size": 20, "optimizer": Momentum(0.02)}
    ours = fastnn.cross_validate(lambda rng: Network([Affine(64, 10)], rng=rng), x, t, folds, rng=0, **options)
    np.testing.assert_allclose(ours.accuracy, theirs, atol=0.025)


def test_the_table() -> None:
    result = CrossValidation(np.array([0.5, 1.5]), np.array([0.75, 0.25]), ())
    assert str(result) == (
        "2 folds           mean          +-      lowest     highest\n"
        "loss            1.0000 +-   0.7071      0.5000      1.5000\n"
        "accuracy        0.5000 +-   0.3536      0.2500      0.7500"
    )


# --- nothing leaks -----------------------------------------------------------------------------------


def test_standardize_learns_from_the_training_part_alone() -> None:
    """A test part that is 1000 times as large changes nothing that the network sees in training."""
    (train, test), far = next(datasets.k_fold(X, T, 4, rng=0)), 1000.0
    ordinary, changed = (
        fastnn.cross_validate(make, X, T, [(train, (test[0] * by, test[1]))], rng=1, standardize=True, **OPTIONS)
        for by in (1.0, far)
    )
    assert ordinary.histories[0].loss == changed.histories[0].loss
    assert ordinary.loss[0] != changed.loss[0]


def test_the_training_part_does_not_hold_the_test_part() -> None:
    """Labels are random: the training part helps nothing on the test part, though it can be learned by heart."""
    generator = np.random.default_rng(0)
    rows = 60 if JIT_DISABLED else 200
    x, t = generator.standard_normal((rows, rows)), generator.integers(0, 2, rows)
    options: dict[str, Any] = {"epochs": 20, "batch_size": 10, "optimizer": fastnn.SGD(0.1)}
    result = fastnn.cross_validate(lambda rng: Network([Affine(rows, 2)], rng=rng), x, t, 5, rng=0, **options)
    assert min(history.accuracy[-1] for history in result.histories) > 0.9
    assert 0.3 < result.mean_accuracy < 0.7


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("which", ["the same one again", "one that was trained before"])
def test_a_network_that_may_know_the_test_part(n_jobs: int, which: str) -> None:
    net = make(np.random.default_rng(0))
    if which == "one that was trained before":
        net.fit(X, T, progress=False, **OPTIONS)
    calls: list[int] = []

    def factory(rng: np.random.Generator) -> Network:
        """The second call gives the same as the first, though others may come between."""
        calls.append(0)
        return make(rng) if len(calls) == 2 else net

    with pytest.raises(ValueError, match=f"^network_factory: expected a new network at each call, got {which}"):
        fastnn.cross_validate(factory, X, T, rng=0, n_jobs=n_jobs, **OPTIONS)


# --- threads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("standardize", [False, True])
def test_bits_do_not_depend_on_the_workers(standardize: bool) -> None:
    results = [
        fastnn.cross_validate(make, X, T, rng=3, standardize=standardize, n_jobs=n_jobs, **OPTIONS)
        for n_jobs in (1, 2, 5, None)
    ]
    assert all(bits(result) == bits(results[0]) for result in results[1:])


def test_each_network_uses_its_share_of_the_threads(chosen_threads: None) -> None:
    seen: list[int | None] = []
    made: list[Network] = []

    def factory(rng: np.random.Generator) -> Network:
        made.append(make(rng))
        made[-1].n_threads = 1 if len(made) == 1 else None
        return made[-1]

    def note(network: Network, history: object) -> None:
        seen.append(network.n_threads)

    options = {**OPTIONS, "epochs": 1, "callbacks": [note]}
    most = fastnn.engine.threads._LIMIT
    fastnn.set_num_threads(most)
    for n_jobs in (1, 2):
        seen.clear()
        made.clear()
        fastnn.cross_validate(factory, X, T, 3, rng=0, n_jobs=n_jobs, **options)
        share = max(1, most // n_jobs)
        assert sorted(seen, key=str) == sorted([1, share, share], key=str)
        assert [net.n_threads for net in made] == [1, None, None]


def test_networks_are_made_when_their_turn_comes() -> None:
    alive: weakref.WeakSet[Network] = weakref.WeakSet()
    counts: list[int] = []

    def factory(rng: np.random.Generator) -> Network:
        counts.append(len(alive))
        alive.add(net := make(rng))
        return net

    fastnn.cross_validate(factory, X, T, 6, rng=0, n_jobs=1, **OPTIONS)
    assert counts == [0] * 6


def test_what_a_fold_raises_ends_the_others() -> None:
    seen: list[Network] = []

    def fail(network: Network, history: fastnn.History) -> None:
        time.sleep(0.005)
        seen.append(network)
        if network is not seen[0] and history.epochs == 2:
            raise RuntimeError("in a callback")

    options = {**OPTIONS, "epochs": 10_000, "callbacks": [fail]}
    with pytest.raises(RuntimeError, match="in a callback"):
        fastnn.cross_validate(make, X, T, rng=0, n_jobs=2, **options)
    time.sleep(0.5)
    epochs = len(seen)
    time.sleep(0.5)
    assert len(seen) == epochs


def test_a_fold_that_diverges() -> None:
    with pytest.raises(fastnn.TrainingDivergedError):
        fastnn.cross_validate(make_for_values, X, X[:, :2], rng=0, n_jobs=2, epochs=50, optimizer=fastnn.SGD(1e9))


INTERRUPTED = """
import numpy as np, fastnn
x, t = np.zeros((50, 4)), np.zeros(50, int)
def note(network, history):
    if history.epochs == 5:
        print("training", flush=True)
make = lambda rng: fastnn.Network([fastnn.Affine(4, 2)], rng=rng)
try:
    fastnn.cross_validate(make, x, t, n_jobs=N_JOBS, epochs=10**9, callbacks=[note])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to one process")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c(n_jobs: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(fastnn.__file__).parents[1])}
    command = [sys.executable, "-X", "faulthandler", "-c", INTERRUPTED.replace("N_JOBS", str(n_jobs))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        try:
            assert run.stdout is not None
            assert run.stdout.readline().startswith("training")  # two threads may print at once
            # Python drops an exception that comes within a weak reference's callback, such as Numba's when it has
            # compiled: then a user presses again.
            for _ in range(3):
                run.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    printed, said = run.communicate(timeout=10)  # the threads end, too
                    break
            else:
                run.send_signal(signal.SIGABRT)
                pytest.fail("it goes on:\n" + run.communicate()[1])  # where its threads are
        finally:
            run.kill()
    assert "interrupted" in printed, said
    assert run.returncode == 0


# --- refusals ---------------------------------------------------------------------------------

FACTORY = "network_factory: expected a function that"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network_factory": make(np.random.default_rng(0))}, f"{FACTORY} takes a numpy Generator and returns a new"),
        ({"network_factory": lambda rng: None}, f"{FACTORY} returns a network, got None; pass one such as lambda rng"),
        ({"folds": 1}, "folds: expected an integer of at least 2, got 1"),
        ({"folds": 32}, "folds: expected at most one for each of the 31 samples, got 32"),
        ({"folds": 2.0}, "folds: expected an integer of at least 2, got 2.0"),
        ({"folds": []}, "folds: expected at least one, got none"),
        ({"folds": [(X, T)]}, "folds: expected a number or pairs ((x_train, t_train), (x_test, t_test)), got an obj"),
        ({"folds": "5"}, "folds: expected a number or pairs ((x_train, t_train), (x_test, t_test)), got '5'"),
        ({"n_jobs": 0}, "n_jobs: expected an integer of at least 1, got 0"),
        ({"standardize": 1}, "standardize: expected True or False, got 1"),
        ({"rng": -1}, "rng: expected None, a seed of at least 0"),
        ({"t": T[1:]}, "t: expected a row for each of the 31 samples of x, got shape (30,)"),
        ({"epoch": 3}, "cross_validate: expected options of Network.fit (epochs, batch_size,"),
        ({"progress": False}, "cross_validate: expected options of Network.fit (epochs, batch_size,"),
        ({"validation_data": (X, T)}, "cross_validate: expected options of Network.fit (epochs, batch_size,"),
        ({"callbacks": 3}, "callbacks: expected a list of functions of (network, history), got 3"),
        ({"epochs": -1}, "epochs: expected an integer of at least 0, got -1"),
    ],
)
def test_bad_arguments(changed: dict[str, Any], message: str) -> None:
    arguments = {"network_factory": make, "x": X, "t": T, "rng": 0, **changed}
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        fastnn.cross_validate(**arguments)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_standardized_columns_are_not_scaled_again(n_jobs: int) -> None:
    trained: list[Any] = []

    def scaling(rng: np.random.Generator) -> Network:
        return Network([Affine(4, 3)], rng=rng, input_scale=0.5)

    def told(network: Network, history: Any) -> None:
        trained.append(network)

    options: Any = {"rng": 0, "n_jobs": n_jobs, "callbacks": [told], "epochs": 1}
    message = (
        "network_factory: expected networks with the input_scale 1.0, got 0.5, which would scale standardized columns "
        "again; leave out either standardize or input_scale"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fastnn.cross_validate(scaling, X, T, 2, standardize=True, **options)
    assert not trained
    fastnn.cross_validate(scaling, X, T, 2, **options)
    assert len(trained) == 2


def test_networks_that_differ() -> None:
    hidden = iter([3, 5, 7])
    result = fastnn.cross_validate(
        lambda rng: Network([Affine(4, h := next(hidden)), Sigmoid(), Affine(h, 3)], rng=rng), X, T, 3, **OPTIONS
    )
    assert len(result.loss) == 3
    outputs = iter([3, 4])
    message = (
        "expected networks of the same inputs, outputs, loss, regularization, dtype and input_scale, "
        "(4, 3, 'SoftmaxCrossEntropy("
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        fastnn.cross_validate(lambda rng: Network([Affine(4, next(outputs))], rng=rng), X, T, 2, **OPTIONS)


def test_a_network_from_a_file_may_be_trained_on(tmp_path: pathlib.Path) -> None:
    make(np.random.default_rng(0)).save(tmp_path / "model.npz")
    result = fastnn.cross_validate(lambda rng: fastnn.load(tmp_path / "model.npz"), X, T, 3, rng=0, **OPTIONS)
    assert np.isfinite(result.loss).all()


@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, scipy.sparse.csr_array])
def test_nan_is_placed_in_the_users_data(kind: Any) -> None:
    """Not within the fold that is trained first."""
    x, t = X.copy(), T.astype(float)
    x[5, 3] = np.nan
    message = "x: expected finite values, got nan at x[5, 3]; correct the data, or pass check_finite=False"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fastnn.cross_validate(make, kind(x), T, 5, rng=0)
    t[7] = np.inf
    with pytest.raises(ValueError, match=r"^t: expected finite values, got inf at t\[7\]; correct"):
        fastnn.cross_validate(make, X, t, 5, rng=0)
