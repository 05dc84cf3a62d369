"""Losses of a network: small frozen descriptions, and what targets each takes. Imports the gate and the kernels' table.

Their arithmetic is in kernels/losses.py.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from fastnn import arrays
from fastnn.arrays import Array, LabelArray
from fastnn.kernels import losses as kernels
from fastnn.slips import answers_slips

Targets = tuple[LabelArray, Array]  # labels (N,) or empty, dense (N, K) or empty


@dataclass(frozen=True)
class Loss:
    """What all losses share: `name`, which is also how `Network(loss=...)` takes one with its usual parameter."""

    name: ClassVar[str] = ""
    applies: ClassVar[str] = ""  # the name of the activation that the loss applies to the outputs itself
    border: ClassVar[float | None] = None  # between two classes, where one output stands for both
    follows: ClassVar[tuple[str, ...]] = ()  # the activations whose probabilities it takes
    compares_classes: ClassVar[bool] = False  # so one output would always be right

    def __post_init__(self) -> None:
        if self.name not in kernels.LOSSES:
            raise TypeError(f"loss: expected one such as losses.Huber(), got {type(self).__name__}(); use a subclass")

    @property
    def code(self) -> int:
        """Its number in kernels/losses.py."""
        return kernels.LOSSES[self.name].code

    @property
    def parameter(self) -> float:
        """The value of its one parameter; 0 where it has none."""
        keyword = kernels.LOSSES[self.name].parameter
        return float(getattr(self, keyword)) if keyword else 0.0

    @property
    def has_kink(self) -> bool:
        """Whether its derivative jumps."""
        return kernels.LOSSES[self.name].has_kink

    @property
    def takes_labels(self) -> bool:
        """Whether labels (N,) go to the kernel as they are."""
        return False

    @property
    def takes_classes(self) -> bool:
        """Whether targets may be labels, or shares of classes that sum to 1."""
        return self.takes_labels

    @property
    def smooths_labels(self) -> bool:
        """Whether targets that were classes come out of `targets` as shares."""
        return False

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        """Targets as kernels take them; refused with TypeError or ValueError where they are none of this loss."""
        return np.empty(0, np.intp), arrays.regression_targets(name, t, rows, outputs, dtype, finite=finite)

    def options(self) -> dict[str, float]:
        """Its parameters by name."""
        return {field.name: float(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """-sum(t log softmax(y)); outputs are logits, targets labels (N,), one-hot rows or probabilities (N, K).

    Parameters
    ----------
    label_smoothing : float
        In [0, 1): targets t become (1 - s) t + s / K (Szegedy et al., 2016).
    """

    label_smoothing: float = 0.0

    name = "softmax_cross_entropy"
    applies = "softmax"
    compares_classes = True

    def __post_init__(self) -> None:
        smoothing = arrays.real("label_smoothing", self.label_smoothing, minimum=0.0, below=1.0)
        object.__setattr__(self, "label_smoothing", smoothing)

    @property
    def takes_labels(self) -> bool:
        return self.label_smoothing == 0.0

    @property
    def takes_classes(self) -> bool:
        return True

    @property
    def smooths_labels(self) -> bool:
        return self.label_smoothing > 0.0

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        labels, dense = arrays.targets(name, t, rows, outputs, dtype)
        if self.label_smoothing == 0.0:
            return labels, dense
        if labels.size:
            dense = np.zeros((rows, outputs), dtype)
            dense[np.arange(rows), labels] = 1.0
        smoothed = (1.0 - self.label_smoothing) * dense.astype(np.float64) + self.label_smoothing / outputs
        return np.empty(0, np.intp), smoothed.astype(dtype)


@dataclass(frozen=True)
class KLDivergence(Loss):
    """sum(t log(t / softmax(y))); outputs are logits, targets probabilities (N, K) or labels (N,).

    The cross entropy less the entropy of the targets: at least 0, and 0 where both agree (Kullback and Leibler, 1951).
    """

    name = "kl_divergence"
    applies = "softmax"
    compares_classes = True

    @property
    def takes_labels(self) -> bool:
        return True

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        return arrays.targets(name, t, rows, outputs, dtype)


@dataclass(frozen=True)
class SigmoidCrossEntropy(Loss):
    """-sum(t log s + (1 - t) log(1 - s)) with s = sigmoid(y); outputs are logits, targets (N, K) in [0, 1].

    For one output (N,) will do: the log loss of two classes 0 and 1.
    """

    name = "sigmoid_cross_entropy"
    applies = "sigmoid"
    border = 0.0

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        labels, dense = super().targets(name, t, rows, outputs, dtype, finite)
        _check(name, dense, (dense >= 0.0) & (dense <= 1.0), "shares from 0 to 1", "scale them, or label classes 0, 1")
        return labels, dense


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """sum((y - t)^2) / 2, targets (N, K)."""

    name = "mean_squared_error"


@dataclass(frozen=True)
class AbsoluteError(Loss):
    """sum(|y - t|), targets (N, K)."""

    name = "absolute_error"


@dataclass(frozen=True)
class Huber(Loss):
    """sum of (y - t)^2 / 2 where |y - t| <= delta, else of delta (|y - t| - delta / 2); targets (N, K) (Huber, 1964).

    Parameters
    ----------
    delta : float
        Above 0.
    """

    delta: float = 1.0

    name = "huber"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", arrays.real("delta", self.delta, above=0.0))


def _signs(loss: Loss, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
    labels, dense = Loss.targets(loss, name, t, rows, outputs, dtype, finite)
    _check(name, dense, np.abs(dense) == 1.0, "-1 or 1", f"from classes 0 and 1 pass 2 * {name} - 1")
    return labels, dense


@dataclass(frozen=True)
class Hinge(Loss):
    """sum(max(0, 1 - t y)) for targets t (N, K) of -1 and 1 (Cortes and Vapnik, 1995).

    For labels (N,) and several outputs the sum of max(0, 1 + y[k] - y[t]) over the other classes k (Weston and
    Watkins, 1999).
    """

    name = "hinge"
    border = 0.0

    @property
    def takes_labels(self) -> bool:
        return True

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        if outputs > 1 and np.ndim(t) == 1:
            return arrays.labels(name, t, rows, outputs), np.empty((0, outputs), dtype)
        return _signs(self, name, t, rows, outputs, dtype, finite)


@dataclass(frozen=True)
class Exponential(Loss):
    """sum(exp(-t y)) for targets t (N, K) of -1 and 1 (Friedman, Hastie and Tibshirani, 2000)."""

    name = "exponential"
    border = 0.0

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        return _signs(self, name, t, rows, outputs, dtype, finite)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """-sum(t log(y + offset)); outputs are probabilities, as of a last layer Softmax(), targets as of softmax's.

    From logits, `SoftmaxCrossEntropy` is exact where a probability rounds to 0, and faster.

    Parameters
    ----------
    offset : float
        At least 0. Courses write 1e-7, so that log(0) does not happen (Saito, Deep Learning from Scratch, 2016).
    """

    offset: float = 0.0

    name = "cross_entropy"
    follows = ("softmax",)
    compares_classes = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", arrays.real("offset", self.offset, minimum=0.0))

    @property
    def takes_classes(self) -> bool:
        return True

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        labels, dense = arrays.targets(name, t, rows, outputs, dtype)
        if labels.size:
            dense = np.zeros((rows, outputs), dtype)
            dense[np.arange(rows), labels] = 1.0
        return np.empty(0, np.intp), dense


@dataclass(frozen=True)
class LogLoss(Loss):
    """-sum(t log(y + offset) + (1 - t) log(1 - y + offset)); outputs are probabilities, as of a last layer Sigmoid().

    Targets (N, K) in [0, 1], for one output also (N,). From logits, `SigmoidCrossEntropy` is exact where a probability
    rounds to 0 or 1.

    Parameters
    ----------
    offset : float
        At least 0.
    """

    offset: float = 0.0

    name = "log_loss"
    border = 0.5
    follows = ("sigmoid", "softmax")

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", arrays.real("offset", self.offset, minimum=0.0))

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        return SigmoidCrossEntropy().targets(name, t, rows, outputs, dtype, finite)


LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        SoftmaxCrossEntropy,
        SigmoidCrossEntropy,
        MeanSquaredError,
        AbsoluteError,
        Huber,
        Hinge,
        Exponential,
        KLDivergence,
        CrossEntropy,
        LogLoss,
    )
}
for _class in LOSSES.values():
    answers_slips(_class)
WITHOUT_GRADIENT = {"zero_one_loss": "0-1 loss", "zero_one": "0-1 loss", "accuracy": "accuracy"}


def own_loss(loss: Loss) -> Loss:
    """A loss as fastnn's own class describes it, checked anew: what a user's class makes of it reaches no kernel."""
    kind = LOSSES[arrays.choice("loss.name", loss.name, LOSSES)]
    return kind(**{one.name: getattr(loss, one.name, one.default) for one in fields(kind)})


def check_loss(loss: Any) -> Loss:
    """A loss by its name or itself; refused if it is none."""
    if isinstance(loss, Loss) and type(loss) is not Loss:
        return loss
    if isinstance(loss, str) and loss in WITHOUT_GRADIENT:
        came = f"the {WITHOUT_GRADIENT[loss]}, whose gradient is 0 wherever there is one"
        names = ", ".join(LOSSES)
        raise ValueError(f"loss: expected one to descend on, got {came}; train on one of {names} and measure the other")
    if isinstance(loss, type) and issubclass(loss, Loss):
        raise TypeError(
            f"loss: expected a loss or its name, got the class {loss.__name__}; create one: {loss.__name__}()"
        )
    return LOSSES[arrays.choice("loss", loss, LOSSES)]()


def check_outputs(loss: Loss, last: Any, outputs: int) -> None:
    """Refuse a last layer whose outputs are not what the loss takes."""
    activation = getattr(last, "activation", "")
    if loss.applies and activation == loss.applies:
        raise ValueError(
            f"layers: expected logits from the last layer, got {last}, which the loss {loss.name} applies itself; "
            f"leave the {type(last).__name__} layer out"
        )
    if loss.follows and activation not in loss.follows:
        layers = " or ".join(f"{name.capitalize()}()" for name in loss.follows)
        remedy = "add one, or take the loss of logits, softmax_cross_entropy or sigmoid_cross_entropy"
        if activation == "sigmoid":
            remedy = "take log_loss, which also sees the outputs that should be 0"
        raise ValueError(
            f"layers: expected probabilities from the last layer, {layers}, for the loss {loss.name}, got {last}; "
            f"{remedy}"
        )
    if activation == "softmax" and outputs == 1:
        raise ValueError(
            "layers: expected at least 2 outputs for Softmax(), got 1, which would always be 1; take Sigmoid()"
        )
    if loss.compares_classes and outputs == 1:
        raise ValueError(
            f"layers: expected at least 2 outputs, one for each class, for the loss {loss.name}, got 1; for two "
            "classes 0 and 1 by one output take sigmoid_cross_entropy, for a number mean_squared_error"
        )


def _check(name: str, values: Array, good: Any, expected: str, remedy: str) -> None:
    """Refuse targets of which one is not good; NaN is left to those that ask for finite numbers."""
    bad = ~(good | np.isnan(values))
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        came = f"{float(values[place]):g} at {name}[{', '.join(map(str, place))}]"
        raise ValueError(f"{name}: expected {expected}, got {came}; {remedy}")


def weights_of(
    sample_weight: Any, class_weight: Any, labels: Array, dense: Array, shape: tuple[int, ...]
) -> Array | None:
    """The weight of each sample (N,) in float64; None where all are 1. shape: of the outputs (N, K).

    One output stands for two classes, the second where the target is 1.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(shape[0])
    if sample_weight is not None:
        weights = weights * _checked("sample_weight", sample_weight, shape[0])
    if class_weight is not None:
        if isinstance(class_weight, dict | str):
            came = f"{type(class_weight).__name__}; pass them in order of the labels"
            raise TypeError(f"class_weight: expected {max(2, shape[1])} numbers, one for each class, got a {came}")
        classes = labels if labels.size else dense.argmax(axis=1)
        if dense.shape[1] == 1 and not labels.size:
            classes = (dense[:, 0] > 0.5).astype(np.intp)
        weights = weights * _checked("class_weight", class_weight, max(2, shape[1]))[classes]
    total = float(np.sum(weights)) if np.isfinite(weights).all() else np.inf
    if not 0.0 < total < np.inf:
        name = "class_weight" if sample_weight is None else "sample_weight"
        raise ValueError(f"{name}: expected weights whose sum is above 0 and finite, got {total:g}; pass others")
    return weights


def _checked(name: str, value: Any, count: int) -> Array:
    weights = arrays.floats(name, value, (count,), dtype="float64", rounding=True, finite=True)
    if (weights < 0.0).any():
        raise ValueError(f"{name}: expected numbers of at least 0, got {weights.min():g}; pass weights")
    return weights
