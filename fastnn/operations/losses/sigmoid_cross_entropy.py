"""The cross entropy of two classes, from logits."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.compile import formula
from fastnn.kernels.small_changes import SMALL, small_expm1, small_log1p
from fastnn.kernels.softplus import softplus
from fastnn.kernels.vector_math import constant, sigmoid
from fastnn.operations.losses.base import SHARES, Loss, Targets, shares
from fastnn.operations.losses.elementwise import units_of


@formula
def sigmoid_cross_entropy(y: Any, t: Any, p: Any) -> Any:
    """-t log s - (1 - t) log(1 - s) with s = sigmoid(y), as log(1 + exp(-|y|)) + |y| times the other class's target.

    Nothing cancels; a target of 0 adds 0, whatever the logit.
    """
    zero = constant(y, 0.0)
    other = constant(y, 1.0) - t if y > zero else t
    return softplus(-abs(y)) + (other * abs(y) if other != zero else zero)


@formula
def _derivative(y: Any, t: Any, p: Any, loss: Any) -> Any:
    return sigmoid(y) - t


@formula
def _softplus_change(d: Any, y: Any) -> Any:
    """log(1 + exp(y + d)) - log(1 + exp(y)) = log(1 + s (exp(d) - 1)) with s = sigmoid(y)."""
    if abs(d) <= SMALL:
        return small_log1p(sigmoid(y) * small_expm1(d))
    return softplus(y + d) - softplus(y)


@formula
def _change(d: Any, y: Any, t: Any, p: Any) -> Any:
    """The change of t softplus(-y) + (1 - t) softplus(y)."""
    first = t * _softplus_change(-d, -y) if t != 0.0 else 0.0
    return first + ((1.0 - t) * _softplus_change(d, y) if t != 1.0 else 0.0)


@dataclass(frozen=True)
class SigmoidCrossEntropy(Loss):
    """-sum(t log s + (1 - t) log(1 - s)) with s = sigmoid(y), of logits y; targets (N, K) in [0, 1].

    For one output, targets may be (N,): the log loss of two classes 0 and 1. Nothing is clipped; the gradient is s - t.
    Source: Bishop, Pattern Recognition and Machine Learning (2006), equations 4.90 and 4.91.

    Examples
    --------
    >>> x, t = np.array([[0.0], [100.0]]), np.array([1.0, 0.0])
    >>> loss, dx = fastnn.sigmoid_cross_entropy(x, t, reduction="none")
    >>> loss.round(4), dx.ravel()  # log 2, and 100, as nothing is clipped
    (array([  0.6931, 100.    ]), array([-0.5,  1. ]))

    >>> net = fastnn.Network([fastnn.Affine(4, 1)], loss="sigmoid_cross_entropy")
    """

    name = "sigmoid_cross_entropy"
    accepts = SHARES
    applies = "sigmoid"
    border = 0.0
    target_border = 0.5
    units = units_of(sigmoid_cross_entropy, _derivative, _change)

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        return shares(name, t, rows, outputs, dtype, finite)
