"""Standardize: columns shifted and scaled to mean 0 and deviation 1, as learned on one part."""

from typing import Any

import numpy as np

from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips


@answers_slips
class Standardize:
    """z = (x - mean) / deviation by column, with the mean and the standard deviation of the samples passed to `fit`.

    Fit it on the training part alone and transform both parts: statistics of the test part would leak into the result.
    A column that does not vary is only shifted. Source: Hastie, Tibshirani and Friedman, The Elements of Statistical
    Learning, 2nd ed. (2009), section 7.10.2.

    Attributes
    ----------
    mean, deviation : float64 array (D,)
        Set by `fit`; the deviation divides by N, not N - 1, and is 1 where the samples do not vary.

    Examples
    --------
    >>> x_train = np.array([[1.0, 10.0], [3.0, 10.0]])
    >>> scale = fastnn.datasets.Standardize().fit(x_train)
    >>> scale.mean, scale.deviation
    (array([ 2., 10.]), array([1., 1.]))
    >>> scale.transform(np.array([[5.0, 10.0]]))
    array([[3., 0.]])
    """

    mean: Array
    deviation: Array

    def __init__(self) -> None:
        """Make one that has learned nothing yet."""

    def fit(self, x: Any) -> "Standardize":
        """Learn mean and deviation from x (N, D), in float64; returns itself.

        Raises
        ------
        TypeError, ValueError
            If x is not an (N, D) array of finite real numbers with at least one row.

        Examples
        --------
        >>> scale = fastnn.datasets.Standardize().fit([[0.0], [2.0], [4.0]])
        >>> scale.mean, scale.deviation.round(3)
        (array([2.]), array([1.633]))
        """
        samples = arrays.floats("x", x, ("N", "D"), finite=True).astype(np.float64)
        scale = np.abs(samples).max(axis=0)
        scale[scale == 0] = 1.0
        samples /= scale  # squares of large numbers stay finite
        deviation = samples.std(axis=0)
        # A constant column's deviation is the rounding of its mean, which must not be scaled up to 1.
        varies = samples.min(axis=0) != samples.max(axis=0)
        self.mean, self.deviation = samples.mean(axis=0) * scale, np.where(varies, deviation * scale, 1.0)
        return self

    def transform(self, x: Any) -> Array:
        """(x - mean) / deviation of x (N, D) as a new array of its dtype; float64 where x holds integers.

        Raises
        ------
        RuntimeError
            Before `fit`.
        TypeError, ValueError
            If x is not an (N, D) array of finite real numbers with as many columns as `fit` saw.

        Examples
        --------
        >>> x_train, x_test = np.array([[0.0], [4.0]]), np.array([[2.0], [8.0]])
        >>> scale = fastnn.datasets.Standardize().fit(x_train)
        >>> scale.transform(x_train), scale.transform(x_test)
        (array([[-1.],
               [ 1.]]), array([[0.],
               [3.]]))
        """
        if not hasattr(self, "mean"):
            raise RuntimeError("Standardize: not fitted; call fit(x_train) first")
        samples = arrays.floats("x", x, ("N", len(self.mean)), finite=True, allow_empty=True)
        result: Array = ((samples - self.mean) / self.deviation).astype(samples.dtype)
        return result

    def __repr__(self) -> str:
        return f"Standardize(columns={len(self.mean)})" if hasattr(self, "mean") else "Standardize()"
