"""Cross-validation of a way to build and train a network."""

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.datasets.folds import k_fold
from fastnn.datasets.splits import TwoParts
from fastnn.datasets.standardize import Standardize
from fastnn.gate import arrays, checks, sparse
from fastnn.gate.arrays import Array
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
from fastnn.system import html

MANY = 2**31  # taken for the number of folds where an iterator does not tell


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The results of `cross_validate`: each fold's network on its test part.

    Attributes
    ----------
    loss : array (folds,)
        Mean loss on each test part.
    accuracy : array (folds,)
        Fraction of each test part whose largest output is the target's; NaN where the targets are no classes.
    histories : tuple of History
        The history of the training on each fold.

    Examples
    --------
    >>> def network(rng):
    ...     return fastnn.Network([fastnn.Affine(2, 2)], rng=rng)
    >>> x, t = np.array([[-1.0, 0.0], [1.0, 0.0]] * 10), np.array([0, 1] * 10)
    >>> result = fastnn.cross_validate(network, x, t, folds=4, rng=0, epochs=3)
    >>> result.loss.shape, len(result.histories), result.histories[0].epochs
    ((4,), 4, 3)
    >>> bool(np.isclose(result.mean_loss, result.loss.mean()))
    True
    """

    loss: Array
    accuracy: Array
    histories: tuple[History, ...]

    @property
    def mean_loss(self) -> float:
        """The mean of the folds' losses, with equal weights."""
        return float(self.loss.mean())

    @property
    def mean_accuracy(self) -> float:
        """The mean of the folds' accuracies, with equal weights."""
        return float(self.accuracy.mean())

    @property
    def loss_deviation(self) -> float:
        """The standard deviation of the folds' losses, with F - 1 of F folds as divisor; NaN for one fold."""
        return _deviation(self.loss)

    @property
    def accuracy_deviation(self) -> float:
        """The standard deviation of the folds' accuracies, with F - 1 of F folds as divisor; NaN for one fold."""
        return _deviation(self.accuracy)

    def _repr_html_(self) -> str:
        """A table of the folds for notebooks."""
        rows = [[str(i + 1), f"{self.loss[i]:.4f}", f"{self.accuracy[i]:.4f}"] for i in range(len(self.loss))]
        means = f"{self.mean_loss:.4f} +- {self.loss_deviation:.4f}"
        rows.append(["mean", means, f"{self.mean_accuracy:.4f} +- {self.accuracy_deviation:.4f}"])
        return html.table(["fold", "loss", "accuracy"], rows)

    def __str__(self) -> str:
        folds = f"{len(self.loss)} fold{'s' * (len(self.loss) > 1)}"
        lines = [f"{folds:<12}{'mean':>10}    {'+-':>8}{'lowest':>12}{'highest':>12}"]
        for name, values in (("loss", self.loss), ("accuracy", self.accuracy)):
            if not np.isnan(values).all():
                figures = f"{values.mean():>10.4f} +- {_deviation(values):>8.4f}"
                lines.append(f"{name:<12}{figures}{values.min():>12.4f}{values.max():>12.4f}")
        return "\n".join(lines)


def cross_validate(
    network_factory: NetworkFactory,
    x: Any,
    t: Any,
    folds: int | Iterable[TwoParts] = 5,
    *,
    rng: int | np.random.Generator | None = None,
    standardize: bool = False,
    n_jobs: int | None = None,
    parallel: Any = None,
    **fit_options: Any,
) -> CrossValidation:
    """Train a new network on the training part of each fold and measure it on the test part.

    The networks are not kept: it is the way to build and train one that is validated. Train the network to use on all
    samples. Source: Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2nd ed. (2009), section
    7.10.

    Parameters
    ----------
    network_factory : function
        Takes a numpy Generator and returns a new, untrained network, such as
        `lambda rng: fastnn.Network([...], rng=rng)`.
    x : array (N, D)
    t : array (N,) or (N, K)
        Targets as the networks' loss takes them.
    folds : int or iterable of ((x_train, t_train), (x_test, t_test))
        How many `datasets.k_fold` makes, with the classes in equal shares where t holds integers (N,); or the folds
        themselves, such as `datasets.leave_one_out(x, t)`; x and t are then ignored.
    rng : int, numpy.random.Generator or None
        Decides the folds, the initial weights and the order of the samples: first the folds are drawn, then each has a
        generator of its own, `rng.spawn(1)[0]`, for `network_factory` and then for `fit`.
    standardize : bool
        Whether columns are scaled by `datasets.Standardize`, fitted to each fold's training part alone. It takes no
        networks with an `input_scale`, which would scale the columns again.
    n_jobs : int, optional
        Folds trained at the same time, on Python threads that share the `get_num_threads()` threads; by default as many
        as these. The results' bits do not depend on it. Callbacks are called in these threads; Ctrl-C is answered at
        once; with more than one, the folds under way first finish their epoch.
    parallel : joblib.Parallel, optional
        Trains the folds in its processes, or on other machines, such as `joblib.Parallel(n_jobs=4)`, or one within
        `joblib.parallel_config("dask")`. The results' bits do not depend on it. Other processes get copies of the
        callbacks.
    **fit_options
        Options of `Network.fit` such as epochs, batch_size and optimizer; not validation_data, rng and progress.

    Returns
    -------
    CrossValidation

    Raises
    ------
    TypeError, ValueError
        For bad arguments, and for a factory that returns no network, the same one again, a trained one, or networks
        that differ in inputs, outputs, loss or dtype.
    TrainingDivergedError
        When a fold's training diverges.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 2))
    >>> t = (x[:, 0] > 0).astype(int)
    >>> def network(rng):
    ...     return fastnn.Network([fastnn.Affine(2, 2)], rng=rng)
    >>> result = fastnn.cross_validate(network, x, t, folds=5, rng=0, epochs=20, batch_size=10)
    >>> result.accuracy.shape, bool(result.accuracy.mean() > 0.9)
    ((5,), True)
    """
    options = check_fit_options(cross_validate, fit_options, "validation_data")
    standardize = arrays.flag("standardize", standardize)
    if standardize and sparse.is_sparse(x):
        expected = "standardize: expected False for a sparse matrix, whose zeros would not stay zeros"
        raise TypeError(f"{expected}, got True; leave it out, or pass x.toarray()")
    generator = arrays.generator("rng", rng)
    check_finite = options.get("check_finite", True)
    parts, count = _folds(x, t, folds, generator)
    if check_finite is True and not isinstance(folds, Iterable):  # a fold would tell a place within itself
        _check_finite("x", x)
        _check_finite("t", t)
    parallel, workers = check_parallel(parallel, n_jobs), count_workers(n_jobs, count)

    def measure(network: Network, history: History, task: Task) -> tuple[float, float, History]:
        x_test, t_test = task.rest
        x_test, labels, dense = network.engine.prepare(x_test, t_test, check_finite)
        loss, accuracy = network.engine.measure_on(x_test, labels, dense)
        return loss, accuracy if network.engine.counts_hits(labels, dense) else float("nan"), history

    tasks = (
        Task(generator.spawn(1)[0], *train, test)
        for train, test in (_standardized(*pair) if standardize else pair for pair in parts)
    )
    known = isinstance(network_factory, Factory)  # grid_search names its own argument in errors
    factory = network_factory if known else Factory(network_factory, standardize)
    measured = train_several(factory, tasks, measure, options, workers, parallel)
    if not measured:
        raise ValueError("folds: expected at least one, got none; note that an iterator can be used only once")
    losses, accuracies, histories = zip(*measured, strict=True)
    return CrossValidation(np.array(losses), np.array(accuracies), histories)


def _folds(x: Any, t: Any, folds: Any, generator: np.random.Generator) -> tuple[Iterator[TwoParts], int]:
    """The folds and their largest possible number."""
    if isinstance(folds, str | np.ndarray):  # iterable, but not of folds
        raise _no_folds(folds)
    if isinstance(folds, Iterable):
        return _checked(folds), operator.length_hint(folds, MANY)
    targets = arrays.anything("t", t)
    stratify = targets.ndim == 1 and targets.dtype.kind in "biu"
    return k_fold(x, targets, folds, generator, stratify), int(folds)


def _check_finite(name: str, value: Any) -> None:
    """Refuse NaN and infinity in an array of floats."""
    if sparse.is_sparse(value):
        if value.dtype.kind == "f":
            options: Any = {"rounding": True, "finite": True, "option": arrays.CHECK_FINITE}
            sparse.compressed(name, value, value.shape[1], dtype=value.dtype, **options)
        return
    values = arrays.anything(name, value)
    if values.dtype.kind == "f":
        arrays.check_finite(name, values, arrays.CHECK_FINITE)


def _checked(folds: Iterable[Any]) -> Iterator[TwoParts]:
    for fold in folds:
        if not (_is_pair(fold) and all(map(_is_pair, fold))):
            raise _no_folds(fold)
        yield fold


def _no_folds(value: Any) -> TypeError:
    expected = "folds: expected a number or pairs ((x_train, t_train), (x_test, t_test))"
    remedy = "pass datasets.k_fold(x, t) or datasets.leave_one_out(x, t)"
    return TypeError(f"{expected}, got {checks.shown(value)}; {remedy}")


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _standardized(train: tuple[Any, Any], test: tuple[Any, Any]) -> TwoParts:
    """Both parts with columns scaled by the training part's statistics."""
    scale = Standardize().fit(train[0])
    return (scale.transform(train[0]), train[1]), (scale.transform(test[0]), test[1])


def _deviation(values: Array) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
