"""Penalties on activations: heads of a `MultiTask` that make its trunk's outputs sparse."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips


@dataclass(frozen=True)
class ActivationPenalty:
    """The base class of penalties on activations h (N, H), N samples of H units; or h (N, C, H, W)."""

    def loss(self, h: Any, *, check_finite: bool = True) -> float:
        """The penalty on activations h (N, H); NaN and infinity are refused unless check_finite=False.

        Examples
        --------
        >>> fastnn.models.SparseL1(0.5).loss([[1.0, -2.0], [0.0, 3.0]])  # 0.5 (3 + 3) / 2
        1.5
        """
        return self._loss(self._activations(h, check_finite))

    def gradient(self, h: Any, *, check_finite: bool = True) -> Array:
        """The gradient of the penalty by h, a new array of its shape and dtype; refuses what `loss` does.

        Examples
        --------
        >>> fastnn.models.SparseL1(0.5).gradient([[1.0, -2.0], [0.0, 3.0]])
        array([[ 0.25, -0.25],
               [ 0.  ,  0.25]])
        """
        return self._gradient(self._activations(h, check_finite))

    def _loss(self, h: Array) -> float:
        raise NotImplementedError

    def _gradient(self, h: Array) -> Array:
        raise NotImplementedError

    def _activations(self, h: Any, check_finite: bool) -> Array:
        is_wanted = arrays.flag("check_finite", check_finite)
        given = arrays.floats("h", h, finite=is_wanted, option=arrays.CHECK_FINITE)
        if given.ndim < 2:
            raise ValueError(f"h: expected activations (N, H), got shape {given.shape}; pass a row for each sample")
        return given


@answers_slips
@dataclass(frozen=True)
class SparseL1(ActivationPenalty):
    """weight times the mean over the samples of sum |h|: activations that help little become 0.

    Parameters
    ----------
    weight : float
        At least 0.

    Notes
    -----
    The gradient is weight sign(h) / N, 0 at h = 0. Sources: Olshausen and Field, Nature 381 (1996), 607-609;
    Tibshirani (1996).

    Examples
    --------
    >>> penalty = fastnn.models.SparseL1(0.5)
    >>> h = np.array([[1.0, -2.0], [0.0, 3.0]])
    >>> penalty.loss(h)  # 0.5 (3 + 3) / 2
    1.5
    >>> penalty.gradient(h)
    array([[ 0.25, -0.25],
           [ 0.  ,  0.25]])
    """

    weight: float = 1e-3

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", arrays.real("weight", self.weight, minimum=0.0))

    def _loss(self, h: Array) -> float:
        return self.weight * float(np.abs(h).sum(dtype=np.float64)) / len(h)

    def _gradient(self, h: Array) -> Array:
        gradient: Array = np.sign(h) * h.dtype.type(self.weight / len(h))
        return gradient


@answers_slips
@dataclass(frozen=True)
class SparseKL(ActivationPenalty):
    """weight times the sum over the units of KL(rate || m), where m is a unit's mean activation over the samples.

    KL(r || m) = r log(r / m) + (1 - r) log((1 - r) / (1 - m)) is 0 at m = r, and grows beyond all bounds towards 0 and
    1. So each unit is on for a share `rate` of the samples, as for a part that only some of them have.

    Parameters
    ----------
    rate : float
        The mean activation that each unit should have, above 0 and below 1.
    weight : float
        At least 0.

    Notes
    -----
    The gradient by h is weight / N ((1 - r) / (1 - m) - r / m), the same for all samples of a unit. Activations are
    from 0 to 1, as Sigmoid gives them. In training m is the mean of a batch, which is near that of all samples only if
    batches are not small. Source: Ng, Sparse autoencoder, CS294A lecture notes, Stanford (2011).

    Examples
    --------
    >>> penalty = fastnn.models.SparseKL(0.5, weight=1.0)
    >>> penalty.loss([[0.25, 0.5], [0.75, 0.5]])  # both means are 0.5
    0.0
    >>> h = np.array([[0.1, 0.5], [0.3, 0.5]])  # 0.5 log(0.5 / 0.2) + 0.5 log(0.5 / 0.8)
    >>> round(penalty.loss(h), 4)
    0.2231
    >>> penalty.gradient(h).round(4)
    array([[-0.9375,  0.    ],
           [-0.9375,  0.    ]])
    """

    rate: float = 0.05
    weight: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", arrays.real("rate", self.rate, above=0.0, below=1.0))
        object.__setattr__(self, "weight", arrays.real("weight", self.weight, minimum=0.0))

    def _loss(self, h: Array) -> float:
        if self.weight == 0.0:  # where the divergence is infinite, too
            return 0.0
        rate, means = self.rate, _means(h)
        with np.errstate(divide="ignore"):  # infinity at 0 and 1
            units = rate * np.log(rate / means) + (1.0 - rate) * np.log((1.0 - rate) / (1.0 - means))
        return self.weight * float(units.sum())

    def _gradient(self, h: Array) -> Array:
        if self.weight == 0.0:
            return np.zeros_like(h)
        means = _means(h)
        with np.errstate(divide="ignore"):
            slopes = (1.0 - self.rate) / (1.0 - means) - self.rate / means
        gradient = np.empty_like(h)
        gradient[...] = self.weight / len(h) * slopes
        return gradient

    def _activations(self, h: Any, check_finite: bool) -> Array:
        given, remedy = super()._activations(h, check_finite), "end the layers before it in Sigmoid(), or take SparseL1"
        arrays.check_values("h", given, ~((given < 0.0) | (given > 1.0)), "activations from 0 to 1", remedy)
        return given


def _means(h: Array) -> Array:
    means: Array = h.mean(axis=0, dtype=np.float64)
    return means
