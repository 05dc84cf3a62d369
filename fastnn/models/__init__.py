"""Learning rules and classic models: threshold neurons, the perceptron, Hebb's rule, the delta rule.

No logic here. Shape letters: N batch, D inputs, H outputs.
"""

from fastnn.models.neuron import AND, NAND, NOT, OR, McCullochPittsNeuron, xor
from fastnn.models.perceptron import Perceptron, PerceptronHistory
from fastnn.models.rules import delta_update, hebbian_update

__all__ = [
    "AND",
    "NAND",
    "NOT",
    "OR",
    "McCullochPittsNeuron",
    "Perceptron",
    "PerceptronHistory",
    "delta_update",
    "hebbian_update",
    "xor",
]
