"""The names that arguments take, for type checkers and for the command line, which knows them without the compiler.

Users' own operations are passed themselves, not by their names, where types are checked.
"""

from typing import Literal, TypeAlias

Reduction: TypeAlias = Literal["mean", "element_mean", "sum", "none"]
DifferenceMethod: TypeAlias = Literal["forward", "central", "five_point", "richardson"]
Step: TypeAlias = Literal["auto"]  # of a difference quotient, if it is no number
GradientKind: TypeAlias = Literal["analytic", "numerical"]

# <generated: python -m docs.generate>
ActivationName: TypeAlias = Literal[
    "identity", "step", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "softmax"
]
LossName: TypeAlias = Literal[
    "softmax_cross_entropy",
    "sigmoid_cross_entropy",
    "mean_squared_error",
    "absolute_error",
    "huber",
    "hinge",
    "exponential",
    "kl_divergence",
    "cross_entropy",
    "log_loss",
    "poisson",
]
OptimizerName: TypeAlias = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
# </generated>
