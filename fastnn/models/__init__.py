"""Classic models: threshold neurons and the perceptron.

No logic here. Shape letters: N batch, D inputs.
"""

from fastnn.models.neuron import AND, NAND, NOT, OR, McCullochPittsNeuron, xor
from fastnn.models.perceptron import Perceptron, PerceptronHistory

__all__ = [
    "AND",
    "NAND",
    "NOT",
    "OR",
    "McCullochPittsNeuron",
    "Perceptron",
    "PerceptronHistory",
    "xor",
]
