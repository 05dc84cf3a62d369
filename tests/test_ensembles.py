"""Bagging against a loop by hand; restarts and annealing: their results and records, and XOR."""

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Bagging, Momentum, Network, Sigmoid, Tanh, datasets, reference
from fastnn.kernels.compile import JIT_DISABLED
from tests import shapes
from tests.tolerances import assert_close

N = 24
X = shapes.numbers(1, N, 4, dtype=np.float32)
T = shapes.targets("labels", N, 3, np.float32)
OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 5, "optimizer": Momentum(0.1)}
XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR_T = np.array([[0], [1], [1], [0]], np.float32)


def make(rng: np.random.Generator) -> Network:
    return Network([Affine(4, 5), Sigmoid(), Affine(5, 3)], rng=rng)


def make_for_values(rng: np.random.Generator) -> Network:
    return Network([Affine(4, 2)], "mean_squared_error", rng=rng, dtype="float64")


def parameter_bits(net: Network) -> list[bytes]:
    return shapes.bits(tuple(net.params.values()))


# --- bagging -----------------------------------------------------------------------------------------


def by_hand(factory: Any, t: shapes.Array, n: int, seed: int) -> tuple[list[Network], list[set[int]]]:
    """The members, and the samples that each has seen."""
    generator, members, seen = np.random.default_rng(seed), [], []
    for _ in range(n):
        child = generator.spawn(1)[0]
        rows = child.integers(0, N, N)
        net = factory(child)
        net.fit(X[rows], t[rows], rng=child, progress=False, **OPTIONS)
        members.append(net)
        seen.append(set(rows.tolist()))
    return members, seen


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("vote", ["average", "majority"])
def test_classifiers_are_the_plain_loop(vote: str, n: int) -> None:
    members, seen = by_hand(make, T, n, 3)
    bagging = Bagging(make, n, vote=vote, rng=3).fit(X, T, **OPTIONS)
    assert [parameter_bits(net) for net in bagging.members] == [parameter_bits(net) for net in members]
    outputs = [net.predict(X).astype(np.float64) for net in members]
    votes = [reference.softmax(y) if vote == "average" else np.eye(3)[y.argmax(axis=1)] for y in outputs]
    assert_close(bagging.predict(X), np.mean(votes, axis=0), np.float32)
    assert bagging.accuracy(X, T) == np.mean(np.mean(votes, axis=0).argmax(axis=1) == T)
    assert bagging.accuracy(X, np.eye(3)[T]) == bagging.accuracy(X, T)
    hits, losses = [], []
    for i in range(N):
        some = [y[i] for y, rows in zip(votes, seen, strict=True) if i not in rows]
        if some:
            hits.append(float(np.mean(some, axis=0).argmax() == T[i]))
            losses.append(-np.log(np.mean(some, axis=0)[T[i]] + 1e-300))
    assert 0 < len(hits) < N  # some are seen by all
    assert_close(bagging.out_of_bag_accuracy, np.mean(hits))
    assert_close(bagging.out_of_bag_loss, np.mean(losses) if vote == "average" else np.float64(np.nan))


@pytest.mark.parametrize("columns", [1, 2])
def test_values_are_averaged(columns: int) -> None:
    t = X[:, :columns].astype(np.float64)

    def factory(rng: np.random.Generator) -> Network:
        return Network([Affine(4, columns)], "mean_squared_error", rng=rng, dtype="float64")

    members, seen = by_hand(factory, t, 5, 0)
    bagging = Bagging(factory, 5, rng=0).fit(X, t, **OPTIONS)
    outputs = np.array([net.predict(X) for net in members])
    assert_close(bagging.predict(X), outputs.mean(axis=0), np.float64)
    unseen = np.array([[i not in rows for i in range(N)] for rows in seen])
    tested = unseen.any(axis=0)
    votes = (outputs * unseen[:, :, None]).sum(axis=0)[tested] / unseen.sum(axis=0)[tested, None]
    assert_close(bagging.out_of_bag_loss, 0.5 * ((votes - t[tested]) ** 2).sum(axis=1).mean())
    assert math.isnan(bagging.out_of_bag_accuracy)
    with pytest.raises(ValueError, match=r"^accuracy: expected a network of at least 2 outputs|^t: expected"):
        bagging.accuracy(X, t)


def test_a_sample_that_all_members_see_has_no_score() -> None:
    bagging = Bagging(make, 3, rng=0).fit(X[:1], T[:1], **OPTIONS)
    assert np.isnan([bagging.out_of_bag_accuracy, bagging.out_of_bag_loss]).all()


@pytest.mark.parametrize("vote", ["average", "majority"])
def test_bits_do_not_depend_on_the_workers(vote: str) -> None:
    results = []
    for n_jobs in (1, 2, 4, None):
        bagging = Bagging(make, 4, vote=vote, rng=3, n_jobs=n_jobs).fit(X, T, **OPTIONS)
        figures = bagging.predict(X), bagging.out_of_bag_accuracy, bagging.out_of_bag_loss
        results.append((shapes.bits(figures), [parameter_bits(net) for net in bagging.members]))
    assert all(result == results[0] for result in results[1:])


def test_fit_again() -> None:
    seeded = Bagging(make, 2, rng=3)
    first = parameter_bits(seeded.fit(X, T, **OPTIONS).members[0])
    assert parameter_bits(seeded.fit(X, T, **OPTIONS).members[0]) == first
    going_on = Bagging(make, 2, rng=np.random.default_rng(3))
    assert parameter_bits(going_on.fit(X, T, **OPTIONS).members[0]) == first
    assert parameter_bits(going_on.fit(X, T, **OPTIONS).members[0]) != first
    kept = seeded.members
    with pytest.raises(ValueError, match=r"^t: expected labels"):
        seeded.fit(X, T + 1, **OPTIONS)
    assert seeded.members is kept
    assert repr(seeded) == 'Bagging(n=2, vote="average", members=2)'


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")
def test_a_bag_is_better_than_its_members_and_knows_how_good_it_is() -> None:
    (x, t), (x_test, t_test) = datasets.load_digits(test_fraction=0.5, rng=0)
    bagging = Bagging(lambda rng: Network([Affine(64, 30), Tanh(), Affine(30, 10)], rng=rng), 12, rng=0)
    bagging.fit(x, t, epochs=20, batch_size=20, optimizer=Momentum(0.05))
    accuracy = bagging.accuracy(x_test, t_test)
    assert accuracy > np.mean([net.accuracy(x_test, t_test) for net in bagging.members])
    assert abs(bagging.out_of_bag_accuracy - accuracy) < 0.03


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network_factory": 3}, "network_factory: expected a function that takes a numpy Generator"),
        ({"n": 0}, "n: expected an integer of at least 1, got 0"),
        ({"vote": "median"}, "vote: expected one of 'average', 'majority', got 'median'"),
        ({"n_jobs": -1}, "n_jobs: expected an integer of at least 1, got -1"),
        ({"rng": "a"}, "rng: expected None, a seed of at least 0"),
    ],
)
def test_bad_bags(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        Bagging(**{"network_factory": make, **arguments})


def test_bad_fits() -> None:
    with pytest.raises(RuntimeError, match=r"^Bagging: not fitted; call fit\(x, t\) first$"):
        Bagging(make).predict(X)
    with pytest.raises(TypeError, match=r"^fit: .* got 'rng', which is an argument of its own"):
        Bagging(make).fit(X, T, rng=0)
    with pytest.raises(ValueError, match=r"^t: expected a row for each of the 24 samples"):
        Bagging(make).fit(X, T[1:])
    with pytest.raises(ValueError, match=r"^x: expected at least 1 sample, got none"):
        Bagging(make).fit(X[:0], T[:0])
    with pytest.raises(ValueError, match=r'^vote: expected "average" for networks of 1 output'):
        one = Bagging(lambda rng: Network([Affine(4, 1)], "mean_squared_error", rng=rng), vote="majority")
        one.fit(X, X[:, :1])
    net = make(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"^network_factory: expected a new network at each call"):
        Bagging(lambda rng: net, rng=0).fit(X, T, **OPTIONS)


# --- random restarts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("validated", [False, True])
def test_the_best_run_is_kept(validated: bool) -> None:
    data = (X[:8], T[:8]) if validated else (X, T)
    options = OPTIONS | ({"validation_data": data} if validated else {})
    generator, losses, nets = np.random.default_rng(5), [], []
    for _ in range(4):
        child = generator.spawn(1)[0]
        nets.append(make(child))
        nets[-1].fit(X, T, rng=child, progress=False, **options)
        losses.append(nets[-1].loss(*data))
    network, record = fastnn.random_restarts(make, X, T, 4, rng=5, **options)
    assert record.tolist() == losses
    assert parameter_bits(network) == parameter_bits(nets[int(np.argmin(losses))])


def test_restarts_stop_at_the_target() -> None:
    every = fastnn.random_restarts(make, X, T, 6, rng=5, **OPTIONS)
    assert every.loss == every.losses.min() == every.network.loss(X, T)
    enough = fastnn.random_restarts(make, X, T, 6, rng=5, target_loss=every.losses[0], **OPTIONS)
    assert enough.losses.tolist() == every.losses[:1].tolist()
    never = fastnn.random_restarts(make, X, T, 6, rng=5, target_loss=0.0, **OPTIONS)
    assert never.losses.tolist() == every.losses.tolist()
    assert str(every) == f"lowest loss {every.loss:.4g} at {every.losses.argmin() + 1} of 6"


def test_a_run_that_diverges_counts_as_infinite() -> None:
    calls: list[int] = []

    def factory(rng: np.random.Generator) -> Network:
        net = make_for_values(rng)
        calls.append(0)
        if len(calls) % 2:
            net.params["W1"][...] = 1e200  # the square is beyond float64
        return net

    network, losses = fastnn.random_restarts(factory, X, X[:, :2], 4, rng=0, **OPTIONS)
    assert np.isinf(losses).tolist() == [True, False, True, False]
    assert network.loss(X, X[:, :2]) == min(losses)
    with pytest.raises(fastnn.TrainingDivergedError, match=r"^loss: expected a finite number from one of 3 runs"):
        fastnn.random_restarts(make_for_values, X, X[:, :2], 3, rng=0, epochs=50, optimizer=SGD(1e9))


@pytest.mark.parametrize("activation", [Tanh, Sigmoid])
def test_xor(activation: Any) -> None:
    """Two hidden units are enough, from some of the initial weights."""
    seeds, epochs = (2, 60) if JIT_DISABLED else (100, 4)
    copies = 10 if JIT_DISABLED else 250  # an epoch of many steps
    x, t = np.tile(XOR_X, (copies, 1)), np.tile(XOR_T, (copies, 1))
    options: dict[str, Any] = {"epochs": epochs, "batch_size": 4, "optimizer": Momentum(0.1), "shuffle": False}

    def factory(rng: np.random.Generator) -> Network:
        return Network([Affine(2, 2), activation(), Affine(2, 1)], "mean_squared_error", rng=rng)

    solved = 0
    for seed in range(seeds):
        search = fastnn.random_restarts(factory, x, t, rng=seed, target_loss=0.01, **options)
        solved += np.array_equal(search.network.predict(XOR_X) > 0.5, XOR_T == 1)
    assert solved >= 0.95 * seeds


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network_factory": lambda rng: 3}, "network_factory: expected a function that returns a network, got 3"),
        ({"n": 0}, "n: expected an integer of at least 1, got 0"),
        ({"target_loss": "low"}, "target_loss: expected a finite number, got 'low'"),
        ({"progress": True}, "random_restarts: expected options of Network.fit (epochs,"),
        ({"validation_data": 3}, "validation_data: expected a pair (x, t), got int"),
        ({"t": T + 1}, "t: expected labels of shape (24,), integers from 0 to 2, got 3"),
    ],
)
def test_bad_restarts(changed: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        fastnn.random_restarts(**{"network_factory": make, "x": X, "t": T, **changed})
    net = make(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"^network_factory: expected a new network at each call"):
        fastnn.random_restarts(lambda rng: net, X, T, 2, **OPTIONS)


# --- simulated annealing -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_annealing_is_the_plain_loop(dtype: str) -> None:
    net = Network([Affine(4, 2), Tanh(), Affine(2, 3)], rng=0, dtype=dtype)
    begin, steps = parameter_bits(net), 60
    generator, trial = np.random.default_rng(9), Network([Affine(4, 2), Tanh(), Affine(2, 3)], rng=0, dtype=dtype)
    at = {name: values.copy() for name, values in trial.params.items()}
    losses, best, kept = [trial.loss(X, T)], at, 0
    for k in range(steps):
        for name in at:
            trial.params[name] = at[name] + 0.2 * generator.standard_normal(at[name].shape)
        loss = trial.loss(X, T)
        if loss <= losses[-1] or generator.random() < math.exp((losses[-1] - loss) / (0.05 * 0.97**k)):
            at, kept = {name: values.copy() for name, values in trial.params.items()}, kept + 1
            best = at if loss < min(losses) else best
            losses.append(loss)
        else:
            losses.append(losses[-1])
    assert 5 < kept < steps
    assert any(after > before for before, after in itertools.pairwise(losses))
    network, record = fastnn.simulated_annealing(
        net, X, T, steps=steps, temperature=0.05, cooling=0.97, scale=0.2, rng=9
    )
    assert record.tolist() == losses
    for name, values in network.params.items():
        np.testing.assert_array_equal(values, best[name])
    assert parameter_bits(net) == begin
    assert network.loss(X, T) == record.min()


def test_annealing_from_a_factory() -> None:
    search = fastnn.simulated_annealing(make, X, T, steps=0, rng=1)
    assert parameter_bits(search.network) == parameter_bits(make(np.random.default_rng(1)))
    assert search.losses.tolist() == [search.network.loss(X, T)] == [search.loss]


def test_annealing_once_it_is_cold() -> None:
    """At temperature 0 it only descends."""
    losses = fastnn.simulated_annealing(make, X, T, steps=40, temperature=1e-300, cooling=1e-300, rng=1).losses
    assert (np.diff(losses) <= 0).all() and losses[-1] < losses[0]


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")
def test_annealing_solves_xor() -> None:
    def factory(rng: np.random.Generator) -> Network:
        return Network([Affine(2, 2), Tanh(), Affine(2, 1)], "mean_squared_error", rng=rng)

    search = fastnn.simulated_annealing(factory, XOR_X, XOR_T, rng=0)
    assert search.loss < 0.01
    np.testing.assert_array_equal(search.network.predict(XOR_X) > 0.5, XOR_T == 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network_factory": 3}, "network_factory: expected a function that takes a numpy Generator"),
        ({"steps": -1}, "steps: expected an integer of at least 0, got -1"),
        ({"temperature": 0.0}, "temperature: expected a finite number above 0.0, got 0.0"),
        ({"cooling": 1.5}, "cooling: expected a finite number above 0.0 and of at most 1.0, got 1.5"),
        ({"scale": -1.0}, "scale: expected a finite number above 0.0, got -1.0"),
        ({"x": X * np.float32(np.nan)}, "x: expected finite values, got nan"),
    ],
)
def test_bad_annealing(changed: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        fastnn.simulated_annealing(**{"network_factory": make, "x": X, "t": T, **changed})


def test_annealing_needs_a_loss_to_begin_with() -> None:
    net = make_for_values(np.random.default_rng(0))
    net.params["W1"][...] = 1e200
    with pytest.raises(fastnn.TrainingDivergedError, match=r"^loss: expected a finite number to begin with, got inf"):
        fastnn.simulated_annealing(net, X, X[:, :2], steps=3)


@pytest.mark.parametrize("delta", [0.01, 1.0])
def test_the_out_of_bag_loss_has_the_parameter_of_the_loss(delta: float) -> None:
    targets = X[:, :2] * 3

    def factory(rng: np.random.Generator) -> Network:
        return Network([Affine(4, 2)], fastnn.losses.Huber(delta), rng=rng)

    bag = Bagging(factory, n=3, rng=0).fit(X, targets, epochs=1)
    assert bag.out_of_bag_loss < (0.1 if delta == 0.01 else 10.0)
