"""Cross-validation: each sample is in the test part of exactly one fold."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn.datasets import splits
from fastnn.datasets.splits import TwoParts
from fastnn.gate import arrays, checks, sparse
from fastnn.gate.slips import answers_slips


@answers_slips
def k_fold(
    x: npt.ArrayLike,
    t: npt.ArrayLike,
    folds: int = 5,
    rng: int | np.random.Generator | None = None,
    stratify: bool = True,
) -> Iterator[TwoParts]:
    """Shuffle the samples and cut them into `folds` parts; each in turn is the test part, the others train.

    The parts' sizes differ by at most one; with `stratify`, so do their numbers of samples of each class. Source:
    Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2nd ed. (2009), section 7.10.

    Parameters
    ----------
    x : (N, ...)
        Samples of any dtype, which is kept; or a sparse matrix, whose parts are CSR matrices.
    t : (N,) or (N, ...)
        Labels, or other values that can be sorted; of any shape where `stratify` is False.
    folds : int
        From 2 to N.
    rng : int, numpy.random.Generator or None
        Decides the shuffle; the same integer gives the same folds. None gives different ones at every call.
    stratify : bool
        Whether all parts hold the classes in equal shares.

    Yields
    ------
    ((x_train, t_train), (x_test, t_test))
        Copies, made one fold at a time; the training part is in random order.

    Raises
    ------
    TypeError, ValueError
        At the call: x and t differ in rows, `stratify` is True and t is not (N,), or an argument is out of range.

    Examples
    --------
    >>> x, t = np.arange(12.0).reshape(6, 2), np.array([0, 0, 0, 1, 1, 1])
    >>> for (x_train, t_train), (x_test, t_test) in fastnn.datasets.k_fold(x, t, folds=3, rng=0):
    ...     print(x_train.shape, x_test.shape, np.sort(t_test))
    (4, 2) (2, 2) [0 1]
    (4, 2) (2, 2) [0 1]
    (4, 2) (2, 2) [0 1]
    """
    samples, targets = sparse.samples("x", x), arrays.anything("t", t)
    stratify = arrays.flag("stratify", stratify)
    splits.check_rows(samples, targets, stratify)
    rows, count = samples.shape[0], arrays.integer("folds", folds, minimum=2)
    if count > rows:
        raise ValueError(f"folds: expected at most one for each of the {rows} samples, got {count}; pass fewer")
    generator = arrays.generator("rng", rng)
    order = checks.permutation("rng", generator, rows)
    # Every count-th place of an order sorted by class: consecutive samples of a class go to different parts.
    places = order[splits.sorting("t", targets[order])] if stratify else order
    part = np.empty(rows, np.intp)
    part[places] = np.arange(rows) % count
    return (_parts(samples, targets, order[part[order] != k], order[part[order] == k]) for k in range(count))


@answers_slips
def leave_one_out(x: npt.ArrayLike, t: npt.ArrayLike) -> Iterator[TwoParts]:
    """Each sample in turn is the test part, all others train, in their order; N folds of N samples.

    Parameters
    ----------
    x : (N, ...)
        At least 2 samples of any dtype, which is kept; or a sparse matrix, whose parts are CSR matrices.
    t : (N, ...)
        Their targets.

    Yields
    ------
    ((x_train, t_train), (x_test, t_test))
        Copies, made one fold at a time; the test part has one row.

    Raises
    ------
    ValueError
        At the call: x and t differ in rows, or there are fewer than 2.

    Examples
    --------
    >>> x, t = np.array([[1.0], [2.0], [3.0]]), np.array([0, 1, 1])
    >>> for (x_train, t_train), (x_test, t_test) in fastnn.datasets.leave_one_out(x, t):
    ...     print(x_train.ravel(), x_test.ravel(), t_test)
    [2. 3.] [1.] [0]
    [1. 3.] [2.] [1]
    [1. 2.] [3.] [1]
    """
    samples, targets = sparse.samples("x", x), arrays.anything("t", t)
    splits.check_rows(samples, targets, False)
    rows = np.arange(samples.shape[0])
    if len(rows) < 2:
        raise ValueError(f"x: expected at least 2 samples, one to test and others to train, got {len(rows)}")
    return (_parts(samples, targets, rows[rows != n], rows[rows == n]) for n in rows)


def _parts(samples: Any, targets: npt.NDArray[Any], train: Any, test: Any) -> TwoParts:
    return (samples[train], targets[train]), (samples[test], targets[test])
