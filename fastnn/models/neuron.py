"""The neuron of McCulloch and Pitts, with a threshold or any activation, and logic gates made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.functional import layers as functional
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array, LabelArray
from fastnn.gate.attributes import Answering
from fastnn.gate.slips import answers_slips
from fastnn.layers import Activation, Step
from fastnn.operations import ACTIVATIONS


@answers_slips
@dataclass(frozen=True)
class McCullochPittsNeuron(Answering):
    """y = f(sum of w x - threshold), in float64. With the usual f, a step, y = 1 where the sum is above the threshold.

    Then y = 0 where the sum equals the threshold, and 1 with the activation Step(at_zero=1).

    Parameters
    ----------
    weights : array or sequence of float (D,)
        Kept as a tuple. A negative weight inhibits.
    threshold : float
    activation : layer or str
        f, as a layer such as `fastnn.Step(at_zero=1)`, or by its name in `fastnn.activation_forward`, such as
        "sigmoid"; kept as a layer. Not Softmax, which takes several numbers.

    Raises
    ------
    TypeError, ValueError
        If weights and threshold are not finite real numbers, or the activation is none of single numbers.

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
    >>> smooth = fastnn.models.McCullochPittsNeuron([2, 1], threshold=1, activation="sigmoid")
    >>> smooth.predict([[0.5, 0], [1, 1]]).round(3)  # sigmoid(0) and sigmoid(2)
    array([0.5  , 0.881])
    """

    weights: Sequence[float] | Array
    threshold: float
    activation: Activation | str = Step()  # noqa: RUF009, as layers are constants

    def __post_init__(self) -> None:
        weights = arrays.floats("weights", self.weights, ("D",), dtype="float64", rounding=True, finite=True)
        object.__setattr__(self, "weights", tuple(weights.tolist()))
        object.__setattr__(self, "threshold", arrays.real("threshold", self.threshold))
        object.__setattr__(self, "activation", _activation(self.activation))

    def __call__(self, *inputs: float) -> Any:
        """The output for one sample, its inputs as numbers, AND(0, 1): an int of a step, a float of others.

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
        return self.predict(np.array([sample]))[0].item()

    def predict(self, x: Any) -> Any:
        """The outputs for x (N, D): labels 0 and 1 (N,) of a step, float64 (N,) of other activations.

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
        weights, chosen = np.array(self.weights), _activation(self.activation)
        if isinstance(chosen, Step):
            return fires(samples, weights, -self.threshold, chosen.at_zero)
        return _outputs(samples, weights, -self.threshold, chosen)


def fires(x: Array, weights: Array, bias: float, at_zero: float = 0.0) -> LabelArray:
    """step(x w + b), labels (N,): 1 where above 0, else 0. x (N, D) and weights (D,) are float64, through the gate."""
    return _outputs(x, weights, bias, Step(at_zero)).astype(np.intp)


def _outputs(x: Array, weights: Array, bias: float, chosen: Activation) -> Array:
    """f(x w + b), float64 (N,)."""
    sums = functional.affine_forward(x, weights.reshape(-1, 1), np.array([bias])).reshape(-1)
    options = {chosen.option: chosen.parameter} if chosen.option else {}
    return functional.activation_forward(chosen.activation, sums, out=sums, **options)


def _activation(given: Any) -> Activation:
    """The layer of an activation of single numbers, given as such or by its name."""
    if isinstance(given, str):
        return _activation(ACTIVATIONS[arrays.choice("activation", given, ACTIVATIONS)]())
    if isinstance(given, Activation) and given.takes_elements:
        return given
    expected = "activation: expected an activation of single numbers, such as fastnn.Sigmoid() or its name"
    raise TypeError(f"{expected}, got {given if isinstance(given, Activation) else checks.shown(given)}; pass another")


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
    outputs: LabelArray = AND.predict(np.column_stack((OR.predict(x), NAND.predict(x))))
    return outputs


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
    return int(AND(OR(x1, x2), NAND(x1, x2)))
