"""Figures for a classifier: confusion matrix, precision, recall, F1.

Labels are integers from 0; predictions may also be a network's outputs, the largest of which counts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.gate.arrays import Array, LabelArray
from fastnn.gate.slips import answers_slips
from fastnn.system import html

MOST_CLASSES = 2**10  # where the labels alone say how many there are, one wild label must not fill the memory


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1 of each class.

    Attributes
    ----------
    precision : array (K,)
        The fraction of the samples predicted to be of a class that are; NaN where none is predicted.
    recall : array (K,)
        The fraction of the samples of a class that are predicted to be; NaN where there is none.
    f1 : array (K,)
        The harmonic mean of the two, 2 TP / (2 TP + FP + FN); NaN where the class neither occurs nor is predicted.
    support : array (K,) of int
        How many samples each class has.

    Examples
    --------
    >>> scores = fastnn.classification_scores(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    >>> scores.recall, scores.precision.round(3), scores.f1.round(3)
    (array([0.5, 1. ]), array([1.   , 0.667]), array([0.667, 0.8  ]))
    """

    precision: Array
    recall: Array
    f1: Array
    support: LabelArray

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        figures = zip(self.precision, self.recall, self.f1, self.support, strict=True)
        rows = [[str(k), *(f"{one:.4f}" for one in row[:3]), f"{row[3]:,}"] for k, row in enumerate(figures)]
        return html.table(["class", "precision", "recall", "f1", "samples"], rows)

    def __str__(self) -> str:
        lines = ["class  precision  recall      f1  samples"]
        for k in range(len(self.support)):
            figures = f"{self.precision[k]:>9.4f}  {self.recall[k]:>6.4f}  {self.f1[k]:>6.4f}"
            lines.append(f"{k:>5}  {figures}  {self.support[k]:>7,}")
        return "\n".join(lines)


@answers_slips
def confusion_matrix(t: Any, predicted: Any, classes: int | None = None) -> LabelArray:
    """How many samples of each class (row) were predicted to be of each (column).

    Parameters
    ----------
    t : array (N,)
        Labels.
    predicted : array (N,) or (N, K)
        Labels, or outputs, the largest of which counts.
    classes : int, optional
        K; by default the number of outputs, or one more than the largest label and at most 2**10.

    Returns
    -------
    array (K, K) of int

    Raises
    ------
    TypeError, ValueError
        For anything but such labels or outputs, and if the numbers of rows differ.

    Examples
    --------
    >>> t, predicted = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0])
    >>> fastnn.confusion_matrix(t, predicted)
    array([[1, 1, 0],
           [0, 2, 0],
           [1, 0, 0]])
    """
    known = MOST_CLASSES if classes is None else arrays.integer("classes", classes, minimum=1)
    predicted, t = (_seen(name, value) for name, value in (("predicted", predicted), ("t", t)))
    _check_columns(t, predicted)
    if np.ndim(predicted) == 2:
        outputs = arrays.floats("predicted", predicted, ("N", "K" if classes is None else known), finite=True)
        guesses, known = outputs.argmax(axis=1), outputs.shape[1]
    else:
        guesses = arrays.labels("predicted", predicted, np.size(predicted), known)
    if np.ndim(t) == 1 and np.size(t) != len(guesses):
        came = f"{np.size(t)} labels for {len(guesses)} predictions"
        raise ValueError(f"t: expected as many labels as predictions, got {came}; pass those of the same samples")
    if len(guesses) == 0:
        raise ValueError("predicted: expected at least one sample, got none; pass labels (N,) or outputs (N, K)")
    labels = arrays.labels("t", t, len(guesses), known)
    if classes is None and np.ndim(predicted) != 2:
        known = 1 + int(max(labels.max(initial=0), guesses.max(initial=0)))
    matrix = arrays.zeros("classes", known, (known, known), np.intp)
    if known <= MOST_CLASSES:
        np.add(matrix, np.bincount(labels * known + guesses, minlength=known * known).reshape(matrix.shape), out=matrix)
    else:  # mostly zeros, which need no memory until they are read
        np.add.at(matrix, (labels, guesses), 1)
    return matrix


def _seen(name: str, value: Any) -> Any:
    """`value` as an array if it is a list or the like; a single number is refused later."""
    return value if np.isscalar(value) or value is None else arrays.anything(name, value)


def _check_columns(t: Any, predicted: Any) -> None:
    """Refuse one column, whose largest output would always be the first, and outputs given as labels."""
    shape, rows = np.shape(predicted), len(predicted) if np.ndim(predicted) else 0
    if len(shape) == 2 and shape[1] == 1:
        remedy = "predicted.ravel()" if predicted.dtype.kind in "biu" else "predicted.ravel() > 0.5, or > 0 of logits,"
        what = "labels" if predicted.dtype.kind in "biu" else "outputs of one unit"
        expected = "predicted: expected labels (N,) or outputs (N, K) of at least 2 classes"
        raise ValueError(f"{expected}, got shape {shape}; for {what} pass {remedy.rstrip(',')}")
    if np.ndim(t) == 2 and np.shape(t)[1] > 1 and len(shape) == 1:
        remedy = "from one-hot targets pass t.argmax(axis=1); outputs come second"
        raise ValueError(f"t: expected labels of shape ({rows},), got shape {np.shape(t)}; {remedy}")


@answers_slips
def classification_scores(t: Any, predicted: Any, classes: int | None = None) -> Scores:
    """Precision, recall and F1 of each class; arguments and errors as for `confusion_matrix`.

    With TP samples rightly predicted to be of a class, FP wrongly, and FN of the class but predicted to be another:
    precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN). Source: van Rijsbergen,
    Information Retrieval, 2nd ed. (1979), chapter 7.

    Examples
    --------
    >>> t, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
    >>> scores = fastnn.classification_scores(t, predicted)
    >>> scores.precision.round(3), scores.recall.round(3)
    (array([0.5  , 0.667]), array([0.5  , 0.667]))
    """
    matrix = confusion_matrix(t, predicted, classes)
    right, support, named = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Scores(right / named, right / support, 2 * right / (support + named), support)
