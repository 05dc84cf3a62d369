"""Information, entropy and divergence of discrete distributions, in float64.

These are not losses; `fastnn.softmax_cross_entropy` is the loss of logits, with its gradient.

Examples
--------
>>> p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
>>> fastnn.information.entropy(p, base=2)  # bits
1.0
>>> round(fastnn.information.kl_divergence(p, q, base=2), 4)
0.2075
"""

import math
from typing import Any

import numpy as np

from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array


def information(p: Any, *, base: float | None = None) -> Any:
    """The information of an event of probability p, I = -log p (Shannon, 1948); infinite where p = 0.

    Parameters
    ----------
    p : float or array
        In [0, 1]; of any shape.
    base : float, optional
        The logarithm's base, above 1: 2 gives bits; e, the default, gives nats.

    Returns
    -------
    float, or a new float64 array like p

    Raises
    ------
    TypeError, ValueError
        If p or base is anything else.

    Examples
    --------
    >>> fastnn.information.information(0.125, base=2)  # three tosses of a coin
    3.0
    >>> fastnn.information.information([0.7, 0.2, 0.1]).round(2)  # nats
    array([0.36, 1.61, 2.3 ])
    """
    single = isinstance(p, int | float | np.number)
    events = np.array(arrays.real("p", p, minimum=0.0, maximum=1.0)) if single else _probabilities("p", p)
    return _result(_information(events), base)


def entropy(p: Any, axis: int = -1, *, base: float | None = None) -> Any:
    """The entropy of a distribution, H(p) = -sum_k p_k log p_k, with 0 log 0 = 0 (Shannon, 1948).

    Parameters
    ----------
    p : array (K,) or (..., K)
        Distributions along `axis`: numbers in [0, 1] whose sum is 1, within 1e-6 in float64 and 1e-3 in float32 and
        float16. They are taken as they are, not divided by their sum.
    axis : int
        The axis of the K outcomes.
    base : float, optional
        As for `information`.

    Returns
    -------
    float, or a new float64 array of the shape of p without `axis`

    Raises
    ------
    TypeError, ValueError
        If p holds anything but distributions.

    Examples
    --------
    >>> round(fastnn.information.entropy([0.7, 0.2, 0.1]), 4)
    0.8018
    >>> fastnn.information.entropy([[0.5, 0.5], [1.0, 0.0]], base=2)  # a fair coin, and a certain outcome
    array([1., 0.])
    """
    rows = _distributions("p", p, axis)
    return _result(_mean_information(rows, rows), base)


def cross_entropy(p: Any, q: Any, axis: int = -1, *, base: float | None = None) -> Any:
    """The cross-entropy of q relative to p, H(p, q) = -sum_k p_k log q_k, with 0 log 0 = 0.

    It is the mean information of outcomes that are distributed as p and taken to be distributed as q; infinite where an
    outcome has q = 0 < p. Source: Cover and Thomas, Elements of Information Theory, 2nd ed. (2006), section 5.4.

    Parameters
    ----------
    p, q : arrays of the same shape
        The true distribution, such as one-hot targets, and the assumed one, such as a network's; see `entropy`.
    axis : int
        The axis of the K outcomes.
    base : float, optional
        As for `information`.

    Returns
    -------
    float, or a new float64 array of the shape of p without `axis`

    Raises
    ------
    TypeError, ValueError
        If p or q holds anything but distributions, or if their shapes differ.

    Examples
    --------
    >>> one_hot, outputs = [0.0, 0.0, 1.0], [0.2, 0.2, 0.6]
    >>> round(fastnn.information.cross_entropy(one_hot, outputs), 4)  # -log 0.6
    0.5108
    """
    return _result(_mean_information(*_two(p, q, axis)), base)


def kl_divergence(p: Any, q: Any, axis: int = -1, *, base: float | None = None) -> Any:
    """The divergence of q from p, KL(p || q) = sum_k p_k log(p_k / q_k) = H(p, q) - H(p) (Kullback and Leibler, 1951).

    It is not symmetric, exactly 0 where p equals q, and infinite where an outcome has q = 0 < p.

    Parameters
    ----------
    p, q : arrays of the same shape
        As for `cross_entropy`.
    axis : int
        The axis of the K outcomes.
    base : float, optional
        As for `information`.

    Returns
    -------
    float, or a new float64 array of the shape of p without `axis`

    Raises
    ------
    TypeError, ValueError
        If p or q holds anything but distributions, or if their shapes differ.

    Examples
    --------
    >>> p, q = [0.5, 0.5], [0.25, 0.75]
    >>> round(fastnn.information.kl_divergence(p, q), 4), round(fastnn.information.kl_divergence(q, p), 4)
    (0.1438, 0.1308)
    >>> fastnn.information.kl_divergence(p, p)
    0.0
    """
    true, assumed = _two(p, q, axis)
    some = true > 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(some, (assumed - true) / np.where(some, true, 1.0), 0.0)
        # With q = p (1 + r), p log(p / q) - p + q = p (r - log(1 + r)), at least 0; these sum to the divergence.
        small = r * r * (1 / 2 - r * (1 / 3 - r * (1 / 4 - r * (1 / 5 - r / 6))))
        terms = np.where(some, true * np.where(np.abs(r) < 1e-3, small, r - np.log1p(r)), assumed)
    return _result(terms.sum(axis=-1), base)


def _information(p: Array) -> Array:
    with np.errstate(divide="ignore"):
        return 0.0 - np.log(p)  # -log p would turn certainty into -0.0


def _mean_information(p: Array, q: Array) -> Array:
    """-sum_k p_k log q_k over the last axis."""
    terms: Array = np.zeros(p.shape)
    np.multiply(p, _information(q), out=terms, where=p > 0)
    return np.asarray(terms.sum(axis=-1))


def _unit(base: float | None) -> float:
    """How many nats one unit of information of this base has."""
    return 1.0 if base is None else math.log(arrays.real("base", base, above=1.0))


def _result(nats: Array, base: float | None) -> Any:
    values = nats / _unit(base)
    return values if nats.ndim else float(values)


def _probabilities(name: str, value: Any) -> Array:
    """`value`, of any shape, in float64; values that rounding moved above 1 are put back."""
    array = arrays.floats(name, value)
    inside = (array >= 0) & (array <= 1 + arrays.SUM_TOLERANCE[array.dtype.name])  # False for NaN
    if not inside.all():
        came = checks.place(name, array, int(inside.argmin()))
        raise ValueError(f"{name}: expected probabilities from 0 to 1, got {came}; pass probabilities, not logits")
    return np.minimum(array, 1.0, dtype=np.float64)


def _distributions(name: str, value: Any, axis: int) -> Array:
    """`value` as distributions along the last axis."""
    if np.isscalar(value) and not isinstance(value, str):
        remedy = f"for two outcomes pass [{name}, 1 - {name}]"
        raise TypeError(
            f"{name}: expected a distribution of shape (K,) or (..., K), got {checks.shown(value)}; {remedy}"
        )
    array = arrays.floats(name, value)
    axis = arrays.integer("axis", axis, minimum=-array.ndim, maximum=array.ndim - 1)
    tolerance = arrays.SUM_TOLERANCE[array.dtype.name]
    rows = np.moveaxis(_probabilities(name, array), axis, -1)
    sums = rows.sum(axis=-1)
    good = np.abs(sums - 1) <= tolerance
    if not good.all():
        came = sums.flat[int(good.argmin())]
        remedy = f"divide by {name}.sum(axis={axis}, keepdims=True)"
        raise ValueError(f"{name}: expected a sum of 1 within {tolerance} along axis {axis}, got {came}; {remedy}")
    return rows


def _two(p: Any, q: Any, axis: int) -> tuple[Array, Array]:
    true, assumed = _distributions("p", p, axis), _distributions("q", q, axis)
    if np.shape(p) != np.shape(q):
        raise ValueError(f"q: expected the shape of p, {np.shape(p)}, got {np.shape(q)}; pass np.broadcast_to(q, ...)")
    return true, assumed
