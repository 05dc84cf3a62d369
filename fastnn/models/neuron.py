"""The threshold neuron of McCulloch and Pitts, and logic gates made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.functional import layers as functional
from fastnn.gate import arrays
from fastnn.gate.arrays import Array, LabelArray
from fastnn.gate.slips import answers_slips


@answers_slips
@dataclass(frozen=True)
class McCullochPittsNeuron:
    """y = 1 where the sum of w x is above the threshold, else 0; also 0 where it equals the threshold.

    That is step(x w - threshold), with the step of `fastnn.activation_forward`, in float64.

    Parameters
    ----------
    weights : array or sequence of float (D,)
        Kept as a tuple. A negative weight inhibits.
    threshold : float

    Raises
    ------
    TypeError, ValueError
        If they are not finite real numbers.

    Notes
    -----
    Source: McCulloch and Pitts, Bulletin of Mathematical Biophysics 5 (1943), 115-133. There an active inhibitory input
    keeps the neuron from firing whatever the others are; here, as in textbooks since, it counts as a weight below 0.

    Examples
    --------
    >>> majority = fastnn.models.McCullochPittsNeuron([1, 1, 1], threshold=1.5)
    >>> majority.predict([[1, 0, 1], [0, 0, 1]])
    array([1, 0])
    >>> corners = [[0, 0], [0, 1], [1, 0], [1, 1]]  # AND, OR, NAND and NOT are such neurons
    >>> fastnn.models.AND.predict(corners), fastnn.models.NOT.predict([[0], [1]])
    (array([0, 0, 0, 1]), array([1, 0]))
    """

    weights: Sequence[float] | Array
    threshold: float

    def __post_init__(self) -> None:
        weights = arrays.floats("weights", self.weights, ("D",), dtype="float64", rounding=True, finite=True)
        object.__setattr__(self, "weights", tuple(weights.tolist()))
        object.__setattr__(self, "threshold", arrays.real("threshold", self.threshold))

    def __call__(self, *inputs: float) -> int:
        """The output for one sample, its inputs as numbers: AND(0, 1).

        Raises
        ------
        TypeError, ValueError
            If there are not D finite real numbers.

        Examples
        --------
        >>> fastnn.models.AND(0, 1), fastnn.models.AND(1, 1), fastnn.models.NOT(0)
        (0, 1, 1)
        """
        if len(inputs) != len(self.weights):
            expected = f"inputs: expected {len(self.weights)} numbers, one for each weight"
            raise TypeError(f"{expected}, got {len(inputs)}; for an array of samples (N, D) call predict")
        numbers = [int(one) if isinstance(one, bool | np.bool_) else one for one in inputs]
        sample = [arrays.real(f"inputs[{i}]", one) for i, one in enumerate(numbers)]
        return int(self.predict(np.array([sample]))[0])

    def predict(self, x: Any) -> LabelArray:
        """The outputs for x (N, D): labels 0 and 1 (N,).

        Raises
        ------
        TypeError, ValueError
            If x is not an (N, D) array of finite real numbers.

        Examples
        --------
        >>> corners = [[0, 0], [0, 1], [1, 0], [1, 1]]
        >>> fastnn.models.OR.predict(corners), fastnn.models.NAND.predict(corners)
        (array([0, 1, 1, 1]), array([1, 1, 1, 0]))
        """
        samples = arrays.floats("x", x, ("N", len(self.weights)), dtype="float64", rounding=True, finite=True)
        return fires(samples, np.array(self.weights), -self.threshold)


def fires(x: Array, weights: Array, bias: float) -> LabelArray:
    """step(x w + b), labels (N,): 1 where above 0, else 0. x (N, D) and weights (D,) are float64, through the gate."""
    sums = functional.affine_forward(x, weights.reshape(-1, 1), np.array([bias]))
    return functional.activation_forward("step", sums, out=sums).reshape(-1).astype(np.intp)


AND = McCullochPittsNeuron((1.0, 1.0), 1.5)
OR = McCullochPittsNeuron((1.0, 1.0), 0.5)
NAND = McCullochPittsNeuron((-1.0, -1.0), -1.5)
NOT = McCullochPittsNeuron((-1.0,), -0.5)


def xor(x: Any) -> LabelArray:
    """Exclusive or of x (N, 2), zeros and ones, by two layers: AND of the outputs of OR and NAND; labels (N,).

    No single neuron computes it: no straight line separates (0, 1) and (1, 0) from (0, 0) and (1, 1).

    Raises
    ------
    TypeError, ValueError
        If x is not an (N, 2) array of finite real numbers.

    Notes
    -----
    Source: Minsky and Papert, Perceptrons (1969).

    Examples
    --------
    >>> fastnn.models.xor([[0, 0], [0, 1], [1, 0], [1, 1]])
    array([0, 1, 1, 0])
    """
    return AND.predict(np.column_stack((OR.predict(x), NAND.predict(x))))


@answers_slips
def XOR(x1: float, x2: float) -> int:  # noqa: N802, as the gates that it is made of
    """Exclusive or of two numbers, 0 or 1, as `xor` of arrays.

    Raises
    ------
    TypeError, ValueError
        If they are not finite real numbers.

    Examples
    --------
    >>> fastnn.models.XOR(0, 1), fastnn.models.XOR(1, 1)
    (1, 0)
    """
    return AND(OR(x1, x2), NAND(x1, x2))
