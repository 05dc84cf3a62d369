"""Updates of parameters in plain NumPy: part of fastnn.reference.

Each changes its arrays in place; parameters, gradients and state are arrays, or mappings or sequences of arrays with
the same keys or lengths.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from .activations import Array, quiet

Arrays: TypeAlias = Array | Mapping[str, Array] | Sequence[Array]


def _matched(*groups: Arrays) -> list[tuple[Array, ...]]:
    """The matching arrays, [(p, g), ...]; the first group gives the keys or the length."""
    first: Any = groups[0]
    if isinstance(first, np.ndarray):
        return [groups]  # type: ignore[list-item]
    keys: Any = first if isinstance(first, Mapping) else range(len(first))
    return [tuple(group[key] for group in groups) for key in keys]


@quiet
def sgd_update(params: Arrays, grads: Arrays, lr: float) -> None:
    """p -= lr g in place, for one array or a mapping or sequence of arrays."""
    lr = float(lr)  # a NumPy scalar would promote float32
    for p, g in _matched(params, grads):
        p -= lr * g


@quiet
def momentum_update(params: Arrays, grads: Arrays, velocity: Arrays, lr: float, momentum: float = 0.9) -> None:
    """v = momentum v - lr g, then p += v, both in place, for arrays or mappings or sequences of arrays.
    Source: Polyak, USSR Computational Mathematics and Mathematical Physics 4 (1964), 1-17.
    """
    lr, momentum = float(lr), float(momentum)
    for p, g, v in _matched(params, grads, velocity):
        v *= momentum
        v -= lr * g
        p += v


@quiet
def nesterov_update(params: Arrays, grads: Arrays, velocity: Arrays, lr: float, momentum: float = 0.9) -> None:
    """v = momentum v - lr g, then p += momentum v - lr g (Sutskever et al., 2013)."""
    lr, momentum = float(lr), float(momentum)
    for p, g, v in _matched(params, grads, velocity):
        v *= momentum
        v -= lr * g
        p += momentum * v - lr * g


@quiet
def adagrad_update(
    params: Arrays, grads: Arrays, squares: Arrays, lr: float, epsilon: float = 1e-10, epsilon_inside: bool = False
) -> None:
    """s += g^2, then p -= lr g / (sqrt(s) + epsilon) (Duchi, Hazan and Singer, 2011)."""
    for p, g, s in _matched(params, grads, squares):
        s += g * g
        p -= float(lr) * g / _root(s, epsilon, epsilon_inside)


@quiet
def rmsprop_update(
    params: Arrays,
    grads: Arrays,
    squares: Arrays,
    lr: float,
    decay: float = 0.99,
    epsilon: float = 1e-8,
    epsilon_inside: bool = False,
) -> None:
    """s = decay s + (1 - decay) g^2, then p -= lr g / (sqrt(s) + epsilon) (Tieleman and Hinton, 2012)."""
    for p, g, s in _matched(params, grads, squares):
        s *= float(decay)
        s += (1.0 - float(decay)) * (g * g)
        p -= float(lr) * g / _root(s, epsilon, epsilon_inside)


# Thirteen parameters: arrays, then Adam's own numbers, as in fastnn.adam_update.
@quiet
def adam_update(
    params: Arrays,
    grads: Arrays,
    means: Arrays,
    squares: Arrays,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    epsilon_inside: bool = False,
    bias_correction: bool = True,
    epsilon_uncorrected: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2; p -= lr m' / (sqrt(v') + epsilon) at update `step`, from 1 on.

    m' = m / (1 - b1^step), v' = v / (1 - b2^step) with bias_correction; with epsilon_uncorrected, m' = m, v' = v
    and a rate of lr sqrt(1 - b2^step) / (1 - b1^step). Before that p -= lr weight_decay p.
    Sources: Kingma and Ba (2015); Loshchilov and Hutter (2019).
    """
    first = 1.0 - beta1**step if bias_correction else 1.0
    second = 1.0 - beta2**step if bias_correction else 1.0
    if epsilon_uncorrected:
        first, second = first / second**0.5, 1.0
    for p, g, m, v in _matched(params, grads, means, squares):
        m *= float(beta1)
        m += (1.0 - float(beta1)) * g
        v *= float(beta2)
        v += (1.0 - float(beta2)) * (g * g)
        p *= 1.0 - float(lr) * float(weight_decay)
        p -= float(lr) / first * m / _root(v / second, epsilon, epsilon_inside)


def _root(squares: Array, epsilon: float, inside: bool) -> Array:
    root: Array = np.sqrt(squares + float(epsilon)) if inside else np.sqrt(squares) + float(epsilon)
    return root
