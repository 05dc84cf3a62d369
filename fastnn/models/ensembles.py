"""Bagging: several networks for one task, which vote."""

import functools
import math
from typing import Any

import numpy as np

from fastnn.datasets import splits
from fastnn.functional import layers as functional
from fastnn.gate import arrays, sparse
from fastnn.gate.arrays import Array
from fastnn.gate.attributes import Answering
from fastnn.gate.slips import answers_slips
from fastnn.network.factories import (
    Factory,
    NetworkFactory,
    Task,
    check_fit_options,
    check_parallel,
    count_workers,
    train_several,
)
from fastnn.network.history import History
from fastnn.network.network import Network

VOTES = ("average", "majority")


@answers_slips
class Bagging(Answering):
    """Networks that vote, each trained on samples drawn from the data with replacement.

    Each member is trained on N draws from the N samples and never sees about 1 / e of them. Source:
    Breiman, Bagging predictors, Machine Learning 24 (1996); Out-of-bag estimation (1996).

    Parameters
    ----------
    network_factory : function
        Takes a numpy Generator and returns a new, untrained network, such as
        `lambda rng: fastnn.Network([...], rng=rng)`.
    n : int
        Number of members.
    vote : "average" or "majority"
        `predict` returns the mean of the members' outputs (with the loss softmax_cross_entropy, of their
        probabilities), or for each class the fraction of the members whose largest output it is.
    rng : int, numpy.random.Generator or None
        Each member has a generator of its own, `rng.spawn(1)[0]`, for its samples `integers(0, N, N)`, then for
        `network_factory`, then for `fit`. The same integer gives the same members at each `fit`.
    n_jobs, parallel
        As for `fastnn.cross_validate`.

    Attributes
    ----------
    members : tuple of Network
        The trained networks; empty before `fit`.
    out_of_bag_accuracy, out_of_bag_loss : float
        Accuracy and loss on the training samples when only the members vote that did not see a sample; samples that all
        have seen are left out. NaN if none remains; the accuracy also if targets are no classes, the loss also with
        "majority", as it may be infinite.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 2))
    >>> t = (x[:, 0] > 0).astype(int)
    >>> bagging = fastnn.Bagging(lambda rng: fastnn.Network([fastnn.Affine(2, 2)], rng=rng), n=5, rng=0)
    >>> _ = bagging.fit(x, t, epochs=20, batch_size=10)
    >>> len(bagging.members), bagging.out_of_bag_accuracy > 0.9
    (5, True)
    """

    def __init__(
        self,
        network_factory: NetworkFactory,
        n: int = 10,
        *,
        vote: str = "average",
        rng: int | np.random.Generator | None = None,
        n_jobs: int | None = None,
        parallel: Any = None,
    ) -> None:
        Factory(network_factory)  # refuses anything but a function
        self.network_factory = network_factory
        self.n = arrays.integer("n", n, minimum=1)
        self.vote = arrays.choice("vote", vote, VOTES)
        arrays.generator("rng", rng)
        self.rng = rng
        self.n_jobs = None if n_jobs is None else arrays.integer("n_jobs", n_jobs, minimum=1)
        self.parallel = check_parallel(parallel, n_jobs)
        self.members: tuple[Network, ...] = ()
        self.out_of_bag_accuracy = self.out_of_bag_loss = math.nan

    def fit(self, x: Any, t: Any, **fit_options: Any) -> "Bagging":
        """Train new members on x (N, D) with targets t; returns itself.

        Parameters
        ----------
        x, t : arrays
            As for `Network.fit`.
        **fit_options
            Options of `Network.fit` such as epochs, batch_size and optimizer; not rng and progress.

        Raises
        ------
        TypeError, ValueError, TrainingDivergedError
            As `fastnn.cross_validate`; the earlier members are then kept.

        Examples
        --------
        >>> bagging = fastnn.Bagging(lambda rng: fastnn.Network([fastnn.Affine(2, 2)], rng=rng), n=3, rng=0)
        >>> x, t = np.array([[-1.0, 0.0], [1.0, 0.0]] * 10), np.array([0, 1] * 10)
        >>> bagging.fit(x, t, epochs=20, batch_size=5, optimizer=fastnn.SGD(lr=0.5)).accuracy(x, t)
        1.0
        """
        options = check_fit_options(self.fit, fit_options)
        samples, targets = sparse.samples("x", x), arrays.anything("t", t)
        splits.check_rows(samples, targets, False)
        count = samples.shape[0]
        if not count:
            raise ValueError("x: expected at least 1 sample, got none; pass more")
        generator, factory = arrays.generator("rng", self.rng), Factory(self.network_factory)

        def new_network(generator: np.random.Generator) -> Network:
            network = factory(generator)
            if self.vote == "majority" and network.outputs == 1:
                raise ValueError('vote: expected "average" for networks of 1 output, got "majority"')
            return network

        def draw() -> Task:
            child = generator.spawn(1)[0]
            rows = child.integers(0, count, count)
            return Task(child, samples[rows], targets[rows], np.setdiff1d(np.arange(count), rows))

        kind = self.vote  # not `self`, which holds `parallel`, to be sent to other processes

        def vote(network: Network, history: History, task: Task) -> tuple[Network, Array, Array]:
            unseen = task.rest
            return network, unseen, _votes(kind, network, samples[unseen], options.get("check_finite", True))

        workers = count_workers(self.n_jobs, self.n)
        trained = train_several(new_network, (draw() for _ in range(self.n)), vote, options, workers, self.parallel)
        votes, voters = np.zeros((count, trained[0][0].outputs)), np.zeros(count, np.intp)
        for _, unseen, some in trained:
            votes[unseen] += some
            voters[unseen] += 1
        tested = voters > 0
        self.members = tuple(network for network, _, _ in trained)
        self.out_of_bag_accuracy = self.out_of_bag_loss = math.nan
        if tested.any():
            self._measure_out_of_bag(votes[tested] / voters[tested, None], targets[tested])
        return self

    def predict(self, x: Any) -> Array:
        """The members' vote for x (N, D): an array (N, K) in their dtype; see `vote`.

        Raises
        ------
        RuntimeError
            Before `fit`.
        TypeError, ValueError
            As `Network.predict`.

        Examples
        --------
        >>> bagging = fastnn.Bagging(lambda rng: fastnn.Network([fastnn.Affine(2, 2)], rng=rng), n=3, rng=0)
        >>> x, t = np.array([[-1.0, 0.0], [1.0, 0.0]] * 10), np.array([0, 1] * 10)
        >>> p = bagging.fit(x, t, epochs=20, batch_size=5).predict(x)  # means of probabilities
        >>> p.shape, p.argmax(axis=1)[:4], p.sum(axis=1)[:2].round(3)
        ((20, 2), array([0, 1, 0, 1]), array([1., 1.], dtype=float32))
        """
        if not self.members:
            raise RuntimeError("Bagging: not fitted; call fit(x, t) first")
        total: Array = functools.reduce(np.add, (_votes(self.vote, network, x) for network in self.members))
        mean: Array = (total / len(self.members)).astype(self.members[0].dtype)
        return mean

    def accuracy(self, x: Any, t: Any) -> float:
        """The fraction of samples whose largest vote is the target's; t: labels (N,) or one-hot rows (N, K).

        Raises
        ------
        RuntimeError
            Before `fit`.
        TypeError, ValueError
            As `Network.accuracy`.

        Examples
        --------
        >>> bagging = fastnn.Bagging(lambda rng: fastnn.Network([fastnn.Affine(2, 2)], rng=rng), n=3, rng=0)
        >>> x, t = np.array([[-1.0, 0.0], [1.0, 0.0]] * 10), np.array([0, 1] * 10)
        >>> bagging.fit(x, t, epochs=20, batch_size=5).accuracy([[-2.0, 0.0], [3.0, 0.0]], [0, 0])
        0.5
        """
        votes = self.predict(x)
        member = self.members[0]
        if not member.engine.counts_hits(
            *member.engine.loss.targets("t", t, len(votes), member.outputs, votes.dtype, False)
        ):
            raise ValueError("t: expected labels or one-hot rows, got targets that are no classes; compare predictions")
        return self._measure(votes, t)[1]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | dict.fromkeys(("parallel",))  # joblib's objects can be neither copied nor pickled

    def __repr__(self) -> str:
        return f'Bagging(n={self.n}, vote="{self.vote}", members={len(self.members)})'

    def _measure(self, votes: Array, t: Any) -> tuple[float, float]:
        """Loss and accuracy of votes (N, K) for targets t, by the first member's loss."""
        member, tiny = self.members[0], np.finfo(np.float64).tiny
        applied = member.engine.loss.applies
        # log p are logits of p; p = 0, whose logit is infinite, becomes the smallest normal float64.
        if applied == "softmax":
            votes = np.log(np.maximum(votes, tiny))
        elif applied == "sigmoid":
            votes = np.log(np.maximum(votes, tiny)) - np.log(np.maximum(1.0 - votes, tiny))
        labels, dense = member.engine.loss.targets("t", t, len(votes), member.outputs, votes.dtype, False)
        return member.engine.measure(votes, labels, dense)

    def _measure_out_of_bag(self, votes: Array, t: Any) -> None:
        """The out-of-bag figures; NaN for the accuracy where targets are no classes."""
        member = self.members[0]
        targets = member.engine.loss.targets("t", t, len(votes), member.outputs, votes.dtype, False)
        loss, accuracy = self._measure(votes, t)
        self.out_of_bag_accuracy = accuracy if member.engine.counts_hits(*targets) else float("nan")
        if self.vote == "average":
            self.out_of_bag_loss = loss


def _votes(vote: str, network: Network, x: Any, check_finite: bool = True) -> Array:
    """One member's vote, in float64 (N, K)."""
    y = network.predict(x, check_finite=check_finite).astype(np.float64)
    if vote == "majority":
        if network.outputs == 1:
            raise ValueError("vote: expected 'average' for networks of one output, got 'majority'; pass 'average'")
        return splits.one_hot(y.argmax(axis=1), y.shape[1], np.float64)
    applied = network.engine.loss.applies  # the activation that makes probabilities of logits
    return functional.activation_forward(applied, y) if applied and len(y) else y
