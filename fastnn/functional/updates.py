"""Updates of parameters in place, for arrays, mappings of arrays and sequences of them.

The kernels are those of a network's optimizers (fastnn.optimizers), which also clip gradients and keep their own state.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from fastnn import optimizers as _optimizers  # not to be exported
from fastnn.engine import threads
from fastnn.engine.interpreters import on_arrays
from fastnn.engine.short import DONE, LARGE, SMALL, Ways, on_threads
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.operations.updates.base import RATES, STEP

_ways = Ways()  # by class


# <generated: python -m docs.generate>
def sgd_update(params: Any, grads: Any, lr: float) -> None:
    """Stochastic gradient descent: p -= lr g.

    Source: Robbins and Monro, Annals of Mathematical Statistics 22 (1951), 400-407.

    Parameters
    ----------
    params, grads : arrays, or mappings or sequences of arrays
        With the same keys, or as many. All but grads are overwritten.
    lr : float
        The learning rate, at least 0.

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape, before anything is changed.

    Examples
    --------
    >>> params, grads = np.array([1.0, 2.0]), np.array([10.0, -10.0])
    >>> fastnn.sgd_update(params, grads, lr=0.1)
    >>> params
    array([0., 3.])
    """
    rates = (lr,)
    _update(_optimizers.SGD, rates, None, params, grads, None, None)


def momentum_update(params: Any, grads: Any, velocity: Any, lr: float, momentum: float = 0.9) -> None:
    """Gradient descent with momentum: v = momentum v - lr g, p += v.

    Source: Polyak, USSR Computational Mathematics and Mathematical Physics 4 (1964), 1-17.

    Parameters
    ----------
    params, grads, velocity : arrays, or mappings or sequences of arrays
        With the same keys, or as many. All but grads are overwritten.
    lr : float
        The learning rate, at least 0.
    momentum : float
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape, before anything is changed.

    Examples
    --------
    >>> params, grads, velocity = np.array([1.0]), np.array([10.0]), np.zeros(1)
    >>> for _ in range(2):
    ...     fastnn.momentum_update(params, grads, velocity, lr=0.1)
    ...     print(params.round(6), velocity.round(6))
    [0.] [-1.]
    [-1.9] [-1.9]
    """
    rates = lr, momentum
    _update(_optimizers.Momentum, rates, None, params, grads, velocity, None)


def nesterov_update(params: Any, grads: Any, velocity: Any, lr: float, momentum: float = 0.9) -> None:
    """Nesterov's accelerated gradient: v = momentum v - lr g, p += momentum v - lr g.

    The parameters are the point where the method looks ahead, and g is the gradient there. Source: Sutskever, Martens,
    Dahl and Hinton, ICML (2013), 1139-1147.

    Parameters
    ----------
    params, grads, velocity : arrays, or mappings or sequences of arrays
        With the same keys, or as many. All but grads are overwritten.
    lr : float
        The learning rate, at least 0.
    momentum : float
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape, before anything is changed.

    Examples
    --------
    >>> params, grads, velocity = np.array([1.0]), np.array([10.0]), np.zeros(1)
    >>> fastnn.nesterov_update(params, grads, velocity, lr=0.1)
    >>> params.round(6), velocity  # v = -0.1 * 10, p = 1 + 0.9 v - 0.1 * 10
    (array([-0.9]), array([-1.]))
    """
    rates = lr, momentum
    _update(_optimizers.Nesterov, rates, None, params, grads, velocity, None)


def adagrad_update(
    params: Any, grads: Any, squares: Any, lr: float, epsilon: float = 1e-10, epsilon_inside: bool = False
) -> None:
    """Rates scaled by the sum of all squares: s += g^2, p -= lr g / (sqrt(s) + epsilon).

    Source: Duchi, Hazan and Singer, Journal of Machine Learning Research 12 (2011), 2121-2159.

    Parameters
    ----------
    params, grads, squares : arrays, or mappings or sequences of arrays
        With the same keys, or as many. All but grads are overwritten.
    lr : float
        The learning rate, at least 0.
    epsilon : float
        Above 0.
    epsilon_inside : bool
        Divide by sqrt(s + epsilon) instead.

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape, before anything is changed.

    Examples
    --------
    >>> params, grads, squares = np.zeros(2), np.array([100.0, 0.01]), np.zeros(2)
    >>> fastnn.adagrad_update(params, grads, squares, lr=0.1)
    >>> params.round(6), squares  # the first step is lr whatever the gradient's size
    (array([-0.1, -0.1]), array([1.e+04, 1.e-04]))
    """
    rates = lr, epsilon, epsilon_inside
    _update(_optimizers.AdaGrad, rates, None, params, grads, squares, None)


def rmsprop_update(
    params: Any,
    grads: Any,
    squares: Any,
    lr: float,
    decay: float = 0.99,
    epsilon: float = 1e-08,
    epsilon_inside: bool = False,
) -> None:
    """Rates scaled by a running mean of squares: s = decay s + (1 - decay) g^2, p -= lr g / (sqrt(s) + epsilon).

    Source: Tieleman and Hinton, Neural Networks for Machine Learning (2012), lecture 6.5.

    Parameters
    ----------
    params, grads, squares : arrays, or mappings or sequences of arrays
        With the same keys, or as many. All but grads are overwritten.
    lr : float
        The learning rate, at least 0.
    decay : float
        In [0, 1).
    epsilon : float
        Above 0.
    epsilon_inside : bool
        Divide by sqrt(s + epsilon) instead.

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape, before anything is changed.

    Examples
    --------
    >>> params, grads, squares = np.zeros(1), np.array([2.0]), np.zeros(1)
    >>> fastnn.rmsprop_update(params, grads, squares, lr=0.01, decay=0.75)
    >>> params.round(6), squares  # 0.25 * 2^2; -0.01 * 2 / sqrt(1)
    (array([-0.02]), array([1.]))
    """
    rates = lr, decay, epsilon, epsilon_inside
    _update(_optimizers.RMSProp, rates, None, params, grads, squares, None)


def adam_update(
    params: Any,
    grads: Any,
    means: Any,
    squares: Any,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-08,
    epsilon_inside: bool = False,
    bias_correction: bool = True,
    epsilon_uncorrected: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Running means m = b1 m + (1 - b1) g and v = b2 v + (1 - b2) g^2; p -= lr m' / (sqrt(v') + e).

    m' = m / (1 - b1^t) and v' = v / (1 - b2^t) at the t-th update, as both begin at 0 (Kingma and Ba, 2015).

    Parameters
    ----------
    params, grads, means, squares : arrays, or mappings or sequences of arrays
        With the same keys, or as many. All but grads are overwritten.
    step : int
        The number of this update, from 1 on.
    lr : float
        The learning rate, at least 0.
    beta1 : float
        b1, in [0, 1).
    beta2 : float
        b2, in [0, 1).
    epsilon : float
        e, above 0.
    epsilon_inside : bool
        Divide by sqrt(v' + e) instead.
    bias_correction : bool
        False: m' = m and v' = v.
    epsilon_uncorrected : bool
        Take m and v themselves and lr sqrt(1 - b2^t) / (1 - b1^t), so that e counts more in the first updates: the
        second form in the paper (end of section 2), which TensorFlow and scikit-learn compute.
    weight_decay : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape, before anything is changed.

    Examples
    --------
    >>> params, grads = {"W": np.zeros(2)}, {"W": np.array([100.0, -0.01])}
    >>> means, squares = {"W": np.zeros(2)}, {"W": np.zeros(2)}
    >>> fastnn.adam_update(params, grads, means, squares, step=1, lr=0.001)
    >>> params["W"].round(6)  # the first step is lr whatever the gradient's size
    array([-0.001,  0.001])
    """
    rates = lr, beta1, beta2, epsilon, epsilon_inside, bias_correction, epsilon_uncorrected, weight_decay
    _update(_optimizers.AdamW, rates, step, params, grads, means, squares)


# </generated>


def _update(kind: Any, rates: tuple[Any, ...], step: int | None, *vectors: Any) -> None:
    """The update of a class of optimizers with these rates; vectors: parameters, gradients, then the state, None."""
    found = None
    try:
        number = 0.0 if step is None else float(step) if type(step) is int and step > 0 else math.nan
        numbers, _ = _numbers(kind, vectors[0].dtype, *rates)
        if number >= 0.0:
            found = _ways[kind].call(numbers, number, *vectors)
            found = on_threads(found, _ways[kind], numbers, number, *vectors)
    except (AttributeError, TypeError, ValueError, OverflowError):  # the gate says what is wrong
        pass
    if found == DONE:
        return
    names = "params", "grads", *kind.keeps
    if found == LARGE:
        rows = [vectors[: len(names)]]
    else:
        number = 0.0 if step is None else float(arrays.integer("step", step, minimum=1))
        rows = _matched(*zip(names, vectors, strict=False))
    try:
        kept = [_numbers(kind, row[0].dtype, *rates) for row in rows]  # all before the first array changes
    except TypeError:  # an array has no hash; the class refuses it
        kept = [_numbers.__wrapped__(kind, row[0].dtype, *rates) for row in rows]
    for (first, *rest), (numbers, each) in zip(rows, kept, strict=True):
        given = [first, *rest, *rest[-1:] * (3 - len(rest))]  # if it keeps fewer than two
        units = on_arrays.update_part.address(first.dtype), kind.unit.address(first.dtype)
        arguments = (*units, each, len(rest))
        threads.run(on_arrays.update, each * first.size, math.inf, *arguments, numbers, number, *given)
        if found != LARGE:
            _ways[kind].learn_up_to(SMALL, on_arrays.update, first.dtype, *arguments)


@functools.lru_cache(maxsize=64, typed=True)
def _numbers(kind: Any, dtype: Any, *rates: Any) -> tuple[Array, float]:
    """The numbers that an update's unit reads, and the work of an element, which decides only whether threads pay.

    They are kept, as checking them takes longer than a small update.
    """
    names = [one.name for one in fields(kind) if not one.kw_only]
    numbers = np.zeros(RATES)
    numbers[:STEP] = _optimizers.numbers_in(dtype, kind(**dict(zip(names, rates, strict=True))).numbers)
    return numbers, (6.0 if hasattr(kind, "epsilon") else 2.0 + len(kind.keeps)) * float(np.dtype(dtype).itemsize) / 4.0


def _matched(*groups: tuple[str, Any]) -> list[tuple[Array, ...]]:
    """The matching arrays, all checked before the first is changed.

    Groups are (name, array or mapping or sequence of arrays). The second (grads) is only read; the others must share
    memory with none, whatever their keys.
    """
    keys = _keys(groups)
    texts = [""] if keys is None else [f"[{key!r}]" for key in keys]
    rows = [groups] if keys is None else [[(name, group[key]) for name, group in groups] for key in keys]
    matched = [_matched_arrays(text, row) for text, row in zip(texts, rows, strict=True)]
    arrays.check_apart(
        [
            (name + text, row[i], i != 1)
            for i, (name, _) in enumerate(groups)
            for text, row in zip(texts, matched, strict=True)
        ]
    )
    return matched


def _keys(groups: Sequence[tuple[str, Any]]) -> list[Any] | None:
    """The keys of mappings or places in sequences, which all groups share; None for plain arrays."""
    first_name, first = groups[0]
    if not isinstance(first, Mapping | list | tuple):
        return None
    keys = list(first) if isinstance(first, Mapping) else list(range(len(first)))
    for name, group in groups[1:]:
        if not isinstance(group, Mapping if isinstance(first, Mapping) else (list, tuple)):
            came = type(group).__name__
            raise TypeError(f"{name}: expected a {type(first).__name__} like {first_name}, got {came}; pass both alike")
        got = list(group) if isinstance(group, Mapping) else list(range(len(group)))
        if set(got) != set(keys):
            raise ValueError(f"{name}: expected the keys of {first_name}, {keys}, got {got}; pass one array for each")
    return keys


def _matched_arrays(key: str, groups: Sequence[tuple[str, Any]]) -> tuple[Array, ...]:
    """One array of each group, of the shape and dtype of the first."""
    first = arrays.writable(groups[0][0] + key, groups[0][1])
    matched = [first]
    for i, (name, value) in enumerate(groups[1:]):
        matched.append(
            arrays.floats(name + key, value, first.shape, dtype=first.dtype, allow_empty=True)
            if i == 0
            else arrays.writable(name + key, value, first.shape, first.dtype)
        )
    return tuple(matched)
