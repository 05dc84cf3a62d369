"""Learning rules and classic models: threshold neurons, the perceptron, Hebb's rule, memories, multi-task learning.

For networks of several layers back-propagation is `fastnn.Network.fit`: standard back-propagation, one
update after each sample, is fit(..., batch_size=1); accumulated back-propagation, one update for the mean gradient of
all samples, is fit(..., batch_size=None). Shape letters: N batch, D inputs, H outputs, K targets of a sample.

Examples
--------
>>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 1])
>>> perceptron = fastnn.models.Perceptron()
>>> perceptron.fit(x, t).converged, perceptron.predict(x)
(True, array([0, 1, 1, 1]))
>>> fastnn.models.xor(x)
array([0, 1, 1, 0])
"""

from typing import TYPE_CHECKING, Any

from fastnn.gate import attributes, foreign_names
from fastnn.models.boltzmann import RestrictedBoltzmannMachine
from fastnn.models.hopfield import HopfieldNetwork
from fastnn.models.linear_regression import LinearRegression
from fastnn.models.logistic_regression import LogisticRegression
from fastnn.models.multi_task import MultiTask
from fastnn.models.neuron import AND, NAND, NOT, OR, XOR, McCullochPittsNeuron, xor
from fastnn.models.perceptron import Perceptron, PerceptronHistory
from fastnn.models.pretraining import pretrain
from fastnn.models.rules import delta_update, hebbian_update
from fastnn.models.sparsity import SparseKL, SparseL1

__all__ = [
    "AND", "NAND", "NOT", "OR", "XOR", "HopfieldNetwork", "LinearRegression", "LogisticRegression",
    "McCullochPittsNeuron", "MultiTask", "Perceptron", "PerceptronHistory", "RestrictedBoltzmannMachine", "SparseKL",
    "SparseL1", "delta_update", "hebbian_update", "pretrain", "xor",
]  # fmt: skip

if not TYPE_CHECKING:  # to type checkers it would make every name one of this module

    def __getattr__(name: str) -> Any:
        raise attributes.of_module(__name__, name, __all__, foreign_names.OF_PACKAGE)
