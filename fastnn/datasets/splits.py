"""Samples split into a training and a test part, and labels as one-hot rows."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastnn.gate import arrays, checks, sparse
from fastnn.gate.slips import answers_slips

Part: TypeAlias = tuple[npt.NDArray[Any], npt.NDArray[Any]]
TwoParts: TypeAlias = tuple[Part, Part]

MOST_CLASSES = 2**20  # where the labels alone say how many there are, one wild label must not fill the memory


@answers_slips
def train_test_split(
    x: npt.ArrayLike,
    t: npt.ArrayLike,
    test_fraction: float = 0.2,
    rng: int | np.random.Generator | None = None,
    stratify: bool = True,
) -> TwoParts:
    """Shuffle the samples and split them in two; every sample lands in exactly one part.

    With `stratify`, a class of c samples gives the test part c n / N of them, rounded down or up, where n is the number
    of samples in the test part and N in both.

    Parameters
    ----------
    x : (N, ...)
        Samples of any dtype, which is kept; or a sparse matrix, whose parts are CSR matrices.
    t : (N,) or (N, ...)
        Labels, or other values that can be sorted; of any shape where `stratify` is False.
    test_fraction : float
        0 <= test_fraction < 1; the test part has n = round(test_fraction N) samples. 0 gives test arrays of
        no rows.
    rng : int, numpy.random.Generator or None
        Decides the shuffle; the same integer gives the same split. None splits differently at every call.
    stratify : bool
        Whether both parts hold the classes in equal shares.

    Returns
    -------
    ((x_train, t_train), (x_test, t_test))
        Copies; x and t are not changed. Both parts are in random order.

    Raises
    ------
    TypeError, ValueError
        x and t differ in rows, `stratify` is True and t is not (N,), an argument is out of range, or a part would be
        empty.

    Examples
    --------
    >>> x, t = np.arange(20.0).reshape(10, 2), np.array([0, 1] * 5)
    >>> (x_train, t_train), (x_test, t_test) = fastnn.datasets.train_test_split(x, t, test_fraction=0.4, rng=0)
    >>> x_train.shape, x_test.shape
    ((6, 2), (4, 2))
    >>> np.bincount(t_train), np.bincount(t_test)  # as many samples of each class
    (array([3, 3]), array([2, 2]))
    """
    samples, targets = sparse.samples("x", x), arrays.anything("t", t)
    stratify = arrays.flag("stratify", stratify)
    check_rows(samples, targets, stratify)
    rows = samples.shape[0]
    tested = _size_of_test_part(rows, arrays.real("test_fraction", test_fraction, minimum=0, below=1))
    generator = arrays.generator("rng", rng)
    order = checks.permutation("rng", generator, rows)
    if stratify:
        order = order[sorting("t", targets[order])]
    # Evenly spaced places in an order sorted by class take every class's share.
    places = (np.arange(tested) * rows + rows // 2) // max(tested, 1)
    in_test = np.zeros(rows, dtype=bool)
    in_test[places] = True
    parts = order[~in_test], order[in_test]
    train, test = (part[checks.permutation("rng", generator, len(part))] for part in parts)
    return (samples[train], targets[train]), (samples[test], targets[test])


def sorting(name: str, labels: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """The indices that sort the labels by class and keep their order in each class."""
    try:
        return np.argsort(labels, kind="stable")
    except TypeError as error:
        remedy = f"number the classes, or pass stratify=False ({error})"
        raise TypeError(f"{name}: expected labels that sort, got different kinds; {remedy}") from error


def check_rows(samples: Any, targets: npt.NDArray[Any], stratify: bool) -> None:
    """Raise ValueError if x has no rows, t has another number of rows, or t is not (N,) where needed to stratify."""
    if samples.ndim == 0:
        raise ValueError("x: expected an array with a row for each sample, got a single value; pass x[None]")
    if targets.shape[:1] != samples.shape[:1]:
        raise ValueError(
            f"t: expected a row for each of the {samples.shape[0]} samples of x, got shape {targets.shape}; "
            "pass the targets of the same samples"
        )
    if stratify and targets.ndim != 1:
        raise ValueError(
            f"t: expected labels of shape ({samples.shape[0]},) to stratify by, got shape {targets.shape}; "
            "pass labels and encode them after the split, or pass stratify=False"
        )


def _size_of_test_part(rows: int, fraction: float) -> int:
    tested = round(rows * fraction)
    if fraction > 0 and tested in (0, rows):
        empty = "test" if tested == 0 else "training"
        raise ValueError(
            f"test_fraction: expected a fraction that leaves both parts a sample, got {fraction} of {rows} "
            f"samples, which leaves the {empty} part empty; pass more samples, or 0 for no test part"
        )
    return tested


@answers_slips
def one_hot(t: npt.ArrayLike, classes: int | None = None, dtype: npt.DTypeLike = "float32") -> npt.NDArray[Any]:
    """Labels as rows of zeros with a one at the label: y[n, k] = 1 where k = t[n], else 0.

    Parameters
    ----------
    t : (N,)
        Labels: integers from 0 to classes - 1.
    classes : int or None
        K, the length of a row; None takes the largest label plus one, at most 2**20.
    dtype : "float32" or "float64"
        The dtype of the result.

    Returns
    -------
    array (N, K)

    Raises
    ------
    TypeError, ValueError
        t holds anything but such labels, or an argument is out of range.

    Examples
    --------
    >>> fastnn.datasets.one_hot([0, 2, 1])
    array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 1., 0.]], dtype=float32)
    >>> fastnn.datasets.one_hot([0, 1], classes=4).shape
    (2, 4)
    """
    kind = arrays.float_dtype("dtype", dtype)
    known = MOST_CLASSES if classes is None else arrays.integer("classes", classes, minimum=1)
    labels = arrays.labels("t", t, _rows(t), known)
    columns = known if classes is not None else int(labels.max(initial=-1)) + 1
    rows = arrays.zeros("classes", columns, (len(labels), columns), kind)
    rows[np.arange(len(labels)), labels] = 1
    return rows


def _rows(value: Any) -> int:
    try:
        return len(value)
    except TypeError:  # a single value, which the gate refuses
        return 1
