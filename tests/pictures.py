"""Functions, data and networks for the tests of several pictures."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import fastnn
from fastnn.gradients.check import GradientReport

Array: TypeAlias = npt.NDArray[Any]


def bowl(x: Array) -> float:
    return float(x[0] ** 2 / 20 + x[1] ** 2)


def square(x: Array) -> float:
    return float(x[0] ** 2)


PATH = fastnn.gradient_descent(bowl, [-7.0, 2.0], 0.9, 8)[1]
X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 1.0]])
LABELS = np.array([0, 1, 1, 0, 2])
HISTORY = fastnn.History([2.0, 1.0, 0.5], [0.3, 0.5, 0.9], [2.1, 1.2, 0.8], [0.2, 0.4, 0.7], [1.0, 1.0, 1.0])


def network(inputs: int = 2, outputs: int = 3, loss: Any = "softmax_cross_entropy") -> fastnn.Network:
    return fastnn.Network([fastnn.Affine(inputs, 6), fastnn.Tanh(), fastnn.Affine(6, outputs)], loss, rng=0)


def of_filters(channels: int = 1) -> fastnn.Network:
    layers = [fastnn.Conv2d(channels, 4, (2, 3)), fastnn.Relu(), fastnn.Conv2d(4, 5, 2), fastnn.Flatten()]
    return fastnn.Network([*layers, fastnn.Affine(20, 3)], input_shape=(channels, 4, 5), rng=0)


def report() -> GradientReport:
    return fastnn.check_gradients(network(), X, LABELS)
