"""Updates of parameters in place, for arrays, mappings of arrays and sequences of them.

The same kernels as a network's optimizers (fastnn.optimizers), which also clip gradients and keep their own state.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.engine import threads
from fastnn.engine.interpreters import on_arrays
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.operations.updates.base import FIRST, RATE, RATES, STEP
from fastnn.optimizers import SGD, AdaGrad, AdamW, Momentum, Nesterov, Optimizer, RMSProp, numbers_in

FLOP = 20.0  # of one element, about; decides only whether threads pay


def sgd_update(params: Any, grads: Any, lr: float) -> None:
    """params -= lr * grads, in place.

    Parameters
    ----------
    params, grads : array, or mapping or sequence of arrays
        With the same keys, or as many; `params` are overwritten.
    lr : float
        Learning rate, at least 0.

    Notes
    -----
    Source: Robbins and Monro, Annals of Mathematical Statistics 22 (1951), 400-407.
    """
    lr = arrays.real("lr", lr, minimum=0.0)
    numbers = np.zeros(RATES)
    numbers[RATE] = lr
    for p, g in _matched(("params", params), ("grads", grads)):
        _run(SGD, 2.0, numbers, p, g, p, p)


def momentum_update(params: Any, grads: Any, velocity: Any, lr: float, momentum: float = 0.9) -> None:
    """velocity = momentum * velocity - lr * grads, then params += velocity, both in place.

    Parameters
    ----------
    params, grads, velocity : array, or mapping or sequence of arrays
        With the same keys, or as many; `params` and `velocity` are overwritten.
    lr : float
        Learning rate, at least 0.
    momentum : float
        In [0, 1).

    Notes
    -----
    Source: Polyak, USSR Computational Mathematics and Mathematical Physics 4 (1964), 1-17.
    """
    lr, momentum = arrays.real("lr", lr, minimum=0.0), arrays.real("momentum", momentum, minimum=0.0, below=1.0)
    numbers = np.zeros(RATES)
    numbers[RATE], numbers[FIRST] = lr, momentum
    for p, g, v in _matched(("params", params), ("grads", grads), ("velocity", velocity)):
        _run(Momentum, 4.0, numbers, p, g, v, v)


def nesterov_update(params: Any, grads: Any, velocity: Any, lr: float, momentum: float = 0.9) -> None:
    """velocity = momentum * velocity - lr * grads, then params += momentum * velocity - lr * grads, both in place.

    Parameters
    ----------
    params, grads, velocity, lr, momentum
        As for `momentum_update`. The parameters are those from which the method looks ahead, grads the gradient there.

    Notes
    -----
    Source: Sutskever, Martens, Dahl and Hinton, ICML (2013), 1139-1147.
    """
    _update(Nesterov(lr, momentum), ("params", params), ("grads", grads), ("velocity", velocity))


def adagrad_update(
    params: Any, grads: Any, squares: Any, lr: float, epsilon: float = 1e-10, epsilon_inside: bool = False
) -> None:
    """squares += grads^2, then params -= lr * grads / (sqrt(squares) + epsilon), both in place.

    Parameters
    ----------
    params, grads, squares : array, or mapping or sequence of arrays
        With the same keys, or as many; `params` and `squares` are overwritten. squares begin at 0.
    lr : float
        Learning rate, at least 0.
    epsilon : float
        Above 0.
    epsilon_inside : bool
        Divide by sqrt(squares + epsilon) instead.

    Notes
    -----
    Source: Duchi, Hazan and Singer, Journal of Machine Learning Research 12 (2011), 2121-2159.
    """
    rule = AdaGrad(lr, epsilon=epsilon, epsilon_inside=epsilon_inside)
    _update(rule, ("params", params), ("grads", grads), ("squares", squares))


def rmsprop_update(
    params: Any,
    grads: Any,
    squares: Any,
    lr: float,
    decay: float = 0.99,
    epsilon: float = 1e-8,
    epsilon_inside: bool = False,
) -> None:
    """squares = decay * squares + (1 - decay) * grads^2, then params -= lr * grads / (sqrt(squares) + epsilon).

    Parameters
    ----------
    params, grads, squares, lr, epsilon, epsilon_inside
        As for `adagrad_update`.
    decay : float
        In [0, 1).

    Notes
    -----
    Source: Tieleman and Hinton, Neural Networks for Machine Learning (2012), lecture 6.5.
    """
    rule = RMSProp(lr, decay=decay, epsilon=epsilon, epsilon_inside=epsilon_inside)
    _update(rule, ("params", params), ("grads", grads), ("squares", squares))


def adam_update(
    params: Any,
    grads: Any,
    means: Any,
    squares: Any,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    epsilon_inside: bool = False,
    bias_correction: bool = True,
    weight_decay: float = 0.0,
) -> None:
    """means = beta1 * means + (1 - beta1) * grads and squares = beta2 * squares + (1 - beta2) * grads^2, in place.

    Then params -= lr * m / (sqrt(v) + epsilon), with m = means / (1 - beta1^step) and v = squares / (1 - beta2^step),
    or means and squares themselves without bias_correction. Before that, params -= lr * weight_decay * params, which
    makes it AdamW.

    Parameters
    ----------
    params, grads, means, squares : array, or mapping or sequence of arrays
        With the same keys, or as many; all but grads are overwritten. means and squares begin at 0.
    step : int
        The number of this update, from 1 on.
    lr : float
        Learning rate, at least 0.
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
        Above 0.
    epsilon_inside : bool
        Divide by sqrt(v + epsilon) instead.
    bias_correction : bool
    weight_decay : float
        At least 0.

    Notes
    -----
    Sources: Kingma and Ba, ICLR (2015); Loshchilov and Hutter, ICLR (2019).
    """
    step = arrays.integer("step", step, minimum=1)
    rule = AdamW(
        lr,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        epsilon_inside=epsilon_inside,
        bias_correction=bias_correction,
        weight_decay=weight_decay,
    )
    _update(rule, ("params", params), ("grads", grads), ("means", means), ("squares", squares), step=step)


def _update(rule: Optimizer, *groups: tuple[str, Any], step: int = 1) -> None:
    """The rule's update of arrays that belong together: parameters, gradients, then the state."""
    for p, g, *state in _matched(*groups):
        numbers = np.zeros(RATES)
        given = numbers_in(p.dtype, rule.numbers)
        numbers[: len(given)], numbers[STEP] = given, step
        first, last = state[0], state[-1]  # one twice where there is one
        _run(type(rule), FLOP, numbers, p, g, first, last)


def _run(kind: type[Optimizer], flop: float, numbers: Array, *vectors: Array) -> None:
    """The update of a kind of optimizer; flop: of one element."""
    dtype = vectors[0].dtype
    units = on_arrays.update_part.address(dtype), kind.unit.address(dtype)
    threads.run(on_arrays.update, flop * vectors[0].size, *units, numbers, *(vector.reshape(-1) for vector in vectors))


def _matched(*groups: tuple[str, Any]) -> list[tuple[Array, ...]]:
    """Arrays that belong together, all checked before the first is changed.

    Groups are (name, array or mapping or sequence of arrays). The second (grads) is only read; the others share memory
    with none, whatever their keys.
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
    """The keys of mappings, or places in sequences, of which all groups have the same; None of plain arrays."""
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
