"""Figures for a classifier: confusion matrix, precision, recall, F1. Imports the gate.

Labels are integers from 0 on; predictions may also be the outputs of a network, whose largest counts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import arrays
from fastnn.arrays import Array, LabelArray

MOST_CLASSES = 2**10  # where the labels alone say how many there are, a wild one must not fill the memory


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1 of each class.

    Attributes
    ----------
    precision : array (K,)
        Of the samples predicted to be of a class, the fraction that is; NaN where none is predicted.
    recall : array (K,)
        Of the samples of a class, the fraction that is predicted to be; NaN where there is none.
    f1 : array (K,)
        The harmonic mean of both, 2 TP / (2 TP + FP + FN); NaN where the class neither occurs nor is predicted.
    support : array (K,) of int
        How many samples each class has.
    """

    precision: Array
    recall: Array
    f1: Array
    support: LabelArray

    def __str__(self) -> str:
        lines = ["class  precision  recall      f1  samples"]
        for k in range(len(self.support)):
            figures = f"{self.precision[k]:>9.4f}  {self.recall[k]:>6.4f}  {self.f1[k]:>6.4f}"
            lines.append(f"{k:>5}  {figures}  {self.support[k]:>7,}")
        return "\n".join(lines)


def confusion_matrix(t: Any, predicted: Any, classes: int | None = None) -> LabelArray:
    """How many samples of each class (row) were predicted to be of each (column).

    Parameters
    ----------
    t : array (N,)
        Labels.
    predicted : array (N,) or (N, K)
        Labels, or outputs whose largest counts.
    classes : int, optional
        K; by default that of the outputs, or one more than the largest label, which is then below 2**10.

    Returns
    -------
    array (K, K) of int

    Raises
    ------
    TypeError, ValueError
        For what are no such labels or outputs, and for numbers of rows that differ.
    """
    known = MOST_CLASSES if classes is None else arrays.integer("classes", classes, minimum=1)
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
    return np.bincount(labels * known + guesses, minlength=known * known).reshape(known, known)


def classification_scores(t: Any, predicted: Any, classes: int | None = None) -> Scores:
    """Precision, recall and F1 of each class; arguments and errors are those of `confusion_matrix`.

    With TP samples rightly predicted to be of a class, FP wrongly, and FN of the class but predicted to be another:
    precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN). Source: van Rijsbergen,
    Information Retrieval, 2nd ed. (1979), chapter 7.
    """
    matrix = confusion_matrix(t, predicted, classes)
    right, support, named = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Scores(right / named, right / support, 2 * right / (support + named), support)
