"""Adam, and AdamW with decoupled weight decay."""

import math
from dataclasses import dataclass
from typing import Any

from fastnn.gate import arrays
from fastnn.kernels.units import unit
from fastnn.operations.updates import base
from fastnn.operations.updates.base import Optimizer, grads, params, rates, root, state

UNCORRECTED_EPSILON = 2.0  # the number CORRECTED; 1 corrects by the formula of the class


@unit
def adam_update(frame: Any) -> None:
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr m' / root(v').

    m' = m / (1 - b1^t) and v' = v / (1 - b2^t) at update t, or m and v without bias correction; with an uncorrected
    epsilon both corrections are factors of lr. Before that, AdamW's decoupled weight decay: p -= lr decay p.
    """
    p, g, m, v, numbers = params(frame), grads(frame), state(frame, 0), state(frame, 1), rates(frame)
    first, second, inside = (
        p.dtype.type(numbers[base.FIRST]),
        p.dtype.type(numbers[base.SECOND]),
        numbers[base.INSIDE] != 0.0,
    )
    # 1 - b in float64, rounded once: from a rounded b, it is off by a thousandth in float32.
    add_first, add_second = p.dtype.type(1.0 - numbers[base.FIRST]), p.dtype.type(1.0 - numbers[base.SECOND])
    mean_scale, square_scale = 1.0, 1.0
    if numbers[base.CORRECTED] != 0.0:
        mean_scale = 1.0 / (1.0 - numbers[base.FIRST] ** numbers[base.STEP])
        square_scale = 1.0 / (1.0 - numbers[base.SECOND] ** numbers[base.STEP])
    if numbers[base.CORRECTED] == UNCORRECTED_EPSILON:
        mean_scale, square_scale = mean_scale / math.sqrt(square_scale), 1.0
    rate, scale = p.dtype.type(numbers[base.RATE] * mean_scale), p.dtype.type(square_scale)
    kept, epsilon = p.dtype.type(1.0 - numbers[base.RATE] * numbers[base.DECAY]), p.dtype.type(numbers[base.EPSILON])
    for i in range(p.size):
        m[i] = first * m[i] + add_first * g[i]
        v[i] = second * v[i] + add_second * (g[i] * g[i])
        p[i] = kept * p[i] - rate * m[i] / root(scale * v[i], epsilon, inside)


@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Running means m = b1 m + (1 - b1) g and v = b2 v + (1 - b2) g^2; p -= lr m' / (sqrt(v') + e).

    m' = m / (1 - b1^t) and v' = v / (1 - b2^t) at the t-th update, as both begin at 0 (Kingma and Ba, 2015).

    Parameters
    ----------
    lr : float
        The learning rate, at least 0.
    clip_value, clip_norm : float, optional
        As for `Optimizer`.
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

    Examples
    --------
    >>> params, grads = {"W": np.zeros(2)}, {"W": np.array([100.0, -0.01])}
    >>> means, squares = {"W": np.zeros(2)}, {"W": np.zeros(2)}
    >>> fastnn.adam_update(params, grads, means, squares, step=1, lr=0.001)
    >>> params["W"].round(6)  # the first step is lr whatever the gradient's size
    array([-0.001,  0.001])

    >>> net, x, t = fastnn.Network([fastnn.Affine(3, 2)], rng=0), np.ones((1, 3)), np.array([0])
    >>> net.step(x, t, fastnn.Adam(lr=0.001)) > net.loss(x, t)  # the loss before and after
    True
    """

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_inside: bool = False
    bias_correction: bool = True
    epsilon_uncorrected: bool = False

    update = "adam"
    unit = adam_update
    keeps = ("means", "squares")
    counts = True
    in_unit_interval = ("beta1", "beta2")
    above_zero = ("epsilon",)
    flags = ("epsilon_inside", "bias_correction", "epsilon_uncorrected")

    def _own(self) -> dict[int, float]:
        return {
            base.FIRST: self.beta1,
            base.SECOND: self.beta2,
            base.EPSILON: self.epsilon,
            base.INSIDE: self.epsilon_inside,
            base.CORRECTED: self.bias_correction and (UNCORRECTED_EPSILON if self.epsilon_uncorrected else 1.0),
        }


@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr weight_decay p before Adam's update (Loshchilov and Hutter, 2019).

    Weights and biases decay alike. Its state and its other parameters are Adam's, so one can go on where the other
    stopped.

    Parameters
    ----------
    weight_decay : float
        At least 0.

    Examples
    --------
    >>> net, x, t = fastnn.Network([fastnn.Affine(3, 2)], rng=0), np.ones((1, 3)), np.array([0])
    >>> net.step(x, t, fastnn.AdamW(lr=0.001, weight_decay=0.01)) > net.loss(x, t)  # the loss before and after
    True
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "weight_decay", arrays.real("weight_decay", self.weight_decay, minimum=0.0))

    def _own(self) -> dict[int, float]:
        return {**super()._own(), base.DECAY: self.weight_decay}
