"""Metrics: figures of targets and a network's outputs, for `fit(metrics=[...])` and by themselves."""

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips

if TYPE_CHECKING:
    from fastnn.network.network import Network

TOP = re.compile(r"top_([1-9]\d*)_accuracy")


@answers_slips
def r2_score(t: Any, y: Any) -> float:
    """R^2 = 1 - sum((t - y)^2) / sum((t - mean(t))^2), the mean over the columns; at most 1.

    A column whose targets are all the same counts as 1 if it is matched exactly, else as 0, as in scikit-learn.

    Parameters
    ----------
    t, y : array (N,) or (N, K)
        Targets and predictions.

    Examples
    --------
    >>> fastnn.r2_score([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])  # 1 - 1 / 2
    0.5
    """
    t, y = _values(t, y)
    errors, spread = ((t - y) ** 2).sum(axis=0), ((t - t.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(spread > 0, 1.0 - errors / spread, errors == 0).mean())


@answers_slips
def mean_absolute_error(t: Any, y: Any) -> float:
    """The mean of |t - y| over samples and columns; t and y as for `r2_score`.

    Examples
    --------
    >>> fastnn.mean_absolute_error([1.0, 2.0, 3.0], [1.0, 1.0, 5.0])  # (0 + 1 + 2) / 3
    1.0
    """
    t, y = _values(t, y)
    return float(np.abs(t - y).mean())


@answers_slips
def root_mean_squared_error(t: Any, y: Any) -> float:
    """The square root of the mean of (t - y)^2 over samples, the mean over the columns; t and y as for `r2_score`.

    Examples
    --------
    >>> round(fastnn.root_mean_squared_error([1.0, 2.0], [4.0, 6.0]), 4)  # the root of (9 + 16) / 2
    3.5355
    """
    t, y = _values(t, y)
    return float(np.sqrt(((t - y) ** 2).mean(axis=0)).mean())


@answers_slips
def top_k_accuracy(t: Any, y: Any, k: int = 5) -> float:
    """The fraction of samples with the target among the k largest outputs; of equal outputs the first is the larger.

    Parameters
    ----------
    t : array (N,), or one-hot rows (N, K)
        Labels.
    y : array (N, K)
        Outputs, such as logits.
    k : int
        At least 1.

    Examples
    --------
    >>> y = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    >>> fastnn.top_k_accuracy([1, 2], y, k=2)  # class 1 is among the two largest, class 2 is not
    0.5
    """
    y = arrays.floats("y", y, ("N", "K"), rounding=True)
    k, labels = arrays.integer("k", k, minimum=1), _labels(t, *y.shape)
    own = y[np.arange(len(y)), labels][:, None]
    larger = (y > own).sum(axis=1) + ((y == own) & (np.arange(y.shape[1]) < labels[:, None])).sum(axis=1)
    return float((larger < k).mean())


@answers_slips
def balanced_accuracy(t: Any, y: Any, border: float = 0.0) -> float:
    """The mean of the classes' recalls, so that rare classes count as much as frequent ones.

    Parameters
    ----------
    t : array (N,) or (N, K)
        Labels or one-hot rows; for one output, one of two numbers for each sample.
    y : array (N, K) or (N,)
        Outputs, of which the largest counts; a single one counts as the class of the larger targets beyond `border`.
    border : float
        0 for logits, 1/2 for probabilities.

    Examples
    --------
    >>> t, y = np.array([0, 0, 0, 0, 0, 0, 1, 1]), np.array([-1.0, -1, -1, -1, -1, -1, -1, 1])
    >>> fastnn.balanced_accuracy(t, y)  # (6 / 6 + 1 / 2) / 2; the accuracy is 7 / 8
    0.75
    """
    y, border = _outputs(y), arrays.real("border", border)
    if y.shape[1] == 1:
        labels, guesses = _two_classes(t, len(y)), (y[:, 0] > border).astype(np.intp)
    else:
        labels, guesses = _labels(t, *y.shape), y.argmax(axis=1)
    sizes, right = np.bincount(labels), np.bincount(labels[labels == guesses], minlength=int(labels.max()) + 1)
    return float((right[sizes > 0] / sizes[sizes > 0]).mean())


@answers_slips
def roc_auc(t: Any, y: Any) -> float:
    """The area under the ROC curve: how often a sample of the second class has a larger output than one of the first.

    Equal outputs count half. Source: Hanley and McNeil, Radiology 143 (1982).

    Parameters
    ----------
    t : array (N,), (N, 1) or one-hot rows (N, 2)
        Two classes, the second by the larger number. Both must occur.
    y : array (N,), (N, 1) or (N, 2)
        Outputs; of two, their difference counts.

    Examples
    --------
    >>> fastnn.roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8])  # 3 of the 4 pairs are in order
    0.75
    """
    y = _outputs(y)
    if y.shape[1] > 2:
        raise ValueError(f"y: expected outputs (N,), (N, 1) or (N, 2) of two classes, got shape {y.shape}")
    classes = _two_classes(t, len(y))
    scores = y[:, 0] if y.shape[1] == 1 else y[:, 1] - y[:, 0]
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[places]
    positive, negative = int(classes.sum()), int((1 - classes).sum())
    return float((ranks[classes == 1].sum() - positive * (positive + 1) / 2.0) / positive / negative)


METRICS: dict[str, Callable[..., float]] = {
    function.__name__: function
    for function in (r2_score, mean_absolute_error, root_mean_squared_error, balanced_accuracy, roc_auc)
}


class Metric(NamedTuple):
    """A metric that `fit` measures, with its name in the history."""

    name: str
    function: Callable[[Any, Any], Any]

    def __call__(self, t: Array, y: Array) -> float:
        """The figure; TypeError if a user's function returns anything but a number."""
        value = self.function(t, y)
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(f"metrics: expected a number from {self.name}, got {checks.shown(value)}; return a float")
        return float(value)


def metrics_of(network: "Network", given: Any, prefix: str) -> tuple[Metric, ...]:
    """The metrics that a user asks for: names, and functions of (targets, outputs)."""
    if not isinstance(given, list | tuple):
        raise TypeError(f"metrics: expected a list, got {checks.shown(given)}; pass metrics=['r2_score']")
    found = [_metric(network, f"metrics[{i}]", one, prefix) for i, one in enumerate(given)]
    names = [metric.name for metric in found]
    twice = [name for name in names if names.count(name) > 1 or name in TAKEN]
    if twice:
        raise ValueError(f"metrics: expected names of their own, got {twice[0]!r} twice; rename the function")
    return tuple(found)


ALWAYS = ("accuracy", "acc", "loss", "validation_accuracy", "validation_loss", "val_accuracy", "val_loss")
TAKEN = {"loss", "accuracy", "validation_loss", "validation_accuracy", "seconds", "learning_rate"}


def _metric(network: "Network", name: str, given: Any, prefix: str) -> Metric:
    if isinstance(given, str):
        top = TOP.fullmatch(given)
        if top is not None:
            return Metric(prefix + given, functools.partial(top_k_accuracy, k=int(top[1])))
        remedy = "; leave it out, as fit measures it in any case" if given in ALWAYS else ""
        function: Any = METRICS[arrays.choice(name, given, [*METRICS, "top_5_accuracy"], remedy)]
    else:
        function = given
    if isinstance(given, type) or not checks.can_be_called(function, 2):
        remedy = "pass one such as lambda t, y: abs(t - y).max(), or a name"
        raise TypeError(f"{name}: expected a function of (targets, outputs), got {checks.headed(given)}; {remedy}")
    own = getattr(function, "__name__", type(function).__name__)
    if function is balanced_accuracy:
        function = functools.partial(balanced_accuracy, border=network.engine.formula.border or 0.0)
    return Metric(prefix + (own if own.isidentifier() else "metric"), function)


def _values(t: Any, y: Any) -> tuple[Array, Array]:
    """Targets and predictions in float64, as columns."""
    t, y = (arrays.floats(name, value, None, dtype="float64", rounding=True) for name, value in (("t", t), ("y", y)))
    t, y = (value.reshape(-1, 1) if value.ndim == 1 else value for value in (t, y))
    if t.shape != y.shape:
        raise ValueError(f"y: expected predictions of the targets' shape {t.shape}, got {y.shape}; reshape one")
    return t, y


def _outputs(y: Any) -> Array:
    found: Array = arrays.floats("y", y, None, dtype="float64", rounding=True)
    found = found.reshape(-1, 1) if found.ndim == 1 else found
    if found.ndim != 2:
        raise ValueError(f"y: expected outputs (N,) or (N, K), got shape {found.shape}; pass a row for each sample")
    return found


def _labels(t: Any, rows: int, classes: int) -> Any:
    """Labels, also from one-hot rows."""
    values = arrays.anything("t", t)
    return arrays.labels("t", values.argmax(axis=1) if values.shape == (rows, classes) else values, rows, classes)


def _two_classes(t: Any, rows: int) -> Any:
    """0 and 1 for the smaller and the larger of two numbers, or for the columns of one-hot rows."""
    values = arrays.anything("t", t)
    values = values.argmax(axis=1) if values.shape == (rows, 2) else values.reshape(-1)
    if values.shape != (rows,):
        raise ValueError(f"t: expected one target for each of {rows} outputs, got shape {np.shape(t)}")
    found = np.unique(values)
    if len(found) != 2:
        came = f"{len(found)} different ones; measure on samples of both classes"
        raise ValueError(f"t: expected targets of two classes, got {came}")
    return (values == found[1]).astype(np.intp)
