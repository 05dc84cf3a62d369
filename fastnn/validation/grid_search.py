"""grid_search: the value of a setting, such as the weight of a penalty, chosen by cross-validation."""

import copy
import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fastnn.datasets.splits import TwoParts
from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.network.factories import Factory, check_fit_options
from fastnn.network.network import Network
from fastnn.validation.cross_validation import CrossValidation, cross_validate

MakeNetwork: TypeAlias = Callable[[Any, np.random.Generator], Network]
EXAMPLE = "pass one such as lambda width, rng: fastnn.Network([fastnn.Affine(64, width), ...], rng=rng)"


@dataclass(frozen=True, eq=False)
class GridSearch:
    """The results of `grid_search`: each value's networks on the folds' test parts.

    Attributes
    ----------
    values : tuple
        The values that were tried.
    loss : array (V, folds)
        Mean loss on each test part, without a penalty; infinite for a value whose training diverged.
    accuracy : array (V, folds)
        As `fastnn.cross_validate` gives it; NaN where the training diverged, or the targets are no classes.

    Examples
    --------
    >>> x, t = np.array([[-1.0], [0.0], [1.0], [2.0]] * 5), np.array([-1.0, 1.0, 3.0, 5.0] * 5)
    >>> def network(l2, rng):
    ...     penalty = fastnn.Regularization(l2=l2)
    ...     return fastnn.Network([fastnn.Affine(1, 1)], "mean_squared_error", regularization=penalty, rng=rng)
    >>> sgd = fastnn.SGD(lr=0.1)
    >>> search = fastnn.grid_search(network, [0.0, 10.0], x, t, rng=0, epochs=50, batch_size=None, optimizer=sgd)
    >>> search.best, search.loss.shape
    (0.0, (2, 5))
    """

    values: tuple[Any, ...]
    loss: Array
    accuracy: Array

    @property
    def mean_loss(self) -> Array:
        """The mean of the folds' losses for each value (V,), with equal weights."""
        return np.asarray(self.loss.mean(axis=1))

    @property
    def standard_error(self) -> Array:
        """The standard error of each mean loss (V,): the folds' deviation over sqrt(folds); NaN for one fold."""
        folds = self.loss.shape[1]
        if folds < 2:
            return np.full(len(self.loss), np.nan)
        deviations = [one.std(ddof=1) if np.isfinite(one).all() else np.nan for one in self.loss]
        return np.array(deviations) / math.sqrt(folds)

    @property
    def best_index(self) -> int:
        """The place of the value with the lowest mean loss; the first of several."""
        return int(np.argmin(np.where(np.isnan(self.mean_loss), np.inf, self.mean_loss)))

    @property
    def best(self) -> Any:
        """The value with the lowest mean loss."""
        return self.values[self.best_index]

    @property
    def within_one_error(self) -> tuple[Any, ...]:
        """The values whose mean loss is at most one standard error, the best one's, above the lowest, in their order.

        By the one-standard-error rule the simplest network among them is taken, such as that of the largest penalty.
        """
        margin = np.nan_to_num(self.standard_error[self.best_index])
        limit = self.mean_loss[self.best_index] + margin
        return tuple(value for value, loss in zip(self.values, self.mean_loss, strict=True) if loss <= limit)

    def plot(self, ax: Any = None) -> Any:
        """Draw the mean loss over the values, see `fastnn.plots.grid_search`; needs matplotlib.

        Examples
        --------
        >>> def network(width, rng):
        ...     return fastnn.Network([fastnn.Affine(2, width), fastnn.Tanh(), fastnn.Affine(width, 2)], rng=rng)
        >>> x, t = np.array([[-1.0, 0.0], [1.0, 0.0]] * 10), np.array([0, 1] * 10)
        >>> ax = fastnn.grid_search(network, [1, 2, 4], x, t, rng=0, epochs=5).plot()
        >>> ax.figure.savefig("widths.png")
        """
        from fastnn.plots.searches import grid_search as drawn

        return drawn(self, ax=ax)

    def __repr__(self) -> str:
        return f"<GridSearch: {len(self.values)} values, lowest loss {self.mean_loss.min():.4g} for {self.best!r}>"

    def __str__(self) -> str:
        shown = [f"{one:.6g}" if isinstance(one, float) else str(one) for one in self.values]
        width = max(map(len, ["value", *shown]))
        lines = [f"{'value':>{width}}  {'mean loss':>10}    {'error':>8}"]
        for i, (name, loss, error) in enumerate(zip(shown, self.mean_loss, self.standard_error, strict=True)):
            lines.append(f"{name:>{width}}  {loss:>10.4f} +- {error:>8.4f}{'  lowest' * (i == self.best_index)}")
        return "\n".join(lines)


def grid_search(
    make_network: MakeNetwork,
    values: Iterable[Any],
    x: Any,
    t: Any,
    folds: int | Iterable[TwoParts] = 5,
    *,
    rng: int | np.random.Generator | None = None,
    standardize: bool = False,
    n_jobs: int | None = None,
    parallel: Any = None,
    **fit_options: Any,
) -> GridSearch:
    """Cross-validate networks for each value of a setting, such as the weight of a penalty, and compare the losses.

    All values meet the same folds, initial weights and orders of the samples, so that nothing but the value differs.
    The lowest loss of a search is a little lower than that of new data: keep a test part out of x and t to tell it.
    Sources: Stone, Journal of the Royal Statistical Society B 36 (1974), 111-147; Hastie, Tibshirani and Friedman, The
    Elements of Statistical Learning, 2nd ed. (2009), section 7.10.

    Parameters
    ----------
    make_network : function
        Takes a value and a numpy Generator and returns a new, untrained network, such as `lambda l2, rng:
        fastnn.Network([...], regularization=fastnn.Regularization(l2=l2), rng=rng)`.
    values : sequence
        The values to try, of any kind: weights of a penalty, often one factor apart as `np.logspace(-4, 1, 6)`, or
        widths, rates of dropout, whole architectures.
    x : array (N, D)
    t : array (N,) or (N, K)
    folds, rng, standardize, n_jobs, parallel, **fit_options
        As for `fastnn.cross_validate`, once for each value.

    Returns
    -------
    GridSearch
        `best` has the lowest mean loss on the test parts, measured without the penalty. A value whose training
        diverges has an infinite loss.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, and as `fastnn.cross_validate` for the networks.
    TrainingDivergedError
        When the training diverges for every value.

    Examples
    --------
    >>> (x, t), test = fastnn.datasets.load_auto_mpg()
    >>> def network(l2, rng):
    ...     penalty = fastnn.Regularization(l2=l2)
    ...     return fastnn.Network([fastnn.Affine(8, 1)], "mean_squared_error", regularization=penalty, rng=rng)
    >>> sgd = fastnn.SGD(lr=0.1)
    >>> search = fastnn.grid_search(network, [0.01, 1.0], x, t, standardize=True, rng=0, epochs=50, optimizer=sgd)
    >>> search.best, search.mean_loss.shape
    (0.01, (2,))
    """
    check_fit_options(grid_search, fit_options, "validation_data")
    tried = _values(values)
    if not checks.can_be_called(make_network, 2):
        expected = "make_network: expected a function that takes a value and a numpy Generator and returns a network"
        raise TypeError(f"{expected}, got {checks.headed(make_network)}; {EXAMPLE}")
    generator = arrays.generator("rng", rng)
    if isinstance(folds, Iterable) and not isinstance(folds, str | np.ndarray):
        folds = list(folds)  # for every value the same
    options: Any = {"standardize": standardize, "n_jobs": n_jobs, "parallel": parallel, **fit_options}
    found: list[CrossValidation | None] = []
    last: TrainingDivergedError | None = None
    for value in tried:
        try:
            same = copy.deepcopy(generator)
            factory = Factory(functools.partial(make_network, value), standardize, "make_network", EXAMPLE)
            found.append(cross_validate(factory, x, t, folds, rng=same, **options))
        except TrainingDivergedError as error:
            found.append(None)
            last = error
    known = [one for one in found if one is not None]
    if not known:
        expected = f"loss: expected a finite number for one of {len(tried)} values, got none"
        raise TrainingDivergedError(f"{expected}: lower the learning rate or scale the data") from last
    count = len(known[0].loss)
    loss = np.array([np.full(count, np.inf) if one is None else one.loss for one in found])
    accuracy = np.array([np.full(count, np.nan) if one is None else one.accuracy for one in found])
    return GridSearch(tried, loss, accuracy)


def _values(values: Any) -> tuple[Any, ...]:
    """The values to try; numbers of an array as Python's."""
    if isinstance(values, np.ndarray):
        values = arrays.anything("values", values).tolist()
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | dict):
        remedy = "pass one such as [0.0, 0.01, 0.1]"
        raise TypeError(f"values: expected a list of values to try, got {checks.shown(values)}; {remedy}")
    tried = tuple(values)
    for i, one in enumerate(tried):
        if isinstance(one, np.ndarray):  # a setting of several numbers, such as weights of the classes
            arrays.anything(f"values[{i}]", one)
    if not tried:
        raise ValueError("values: expected at least one value to try, got none; pass a list such as [0.0, 0.01, 0.1]")
    return tried
