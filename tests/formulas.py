"""Activations and their derivatives as formulas of one number, with which the NumPy reference is compared."""

import math
from collections.abc import Callable

# name: (f(x, p), f'(x, p)) of one number; p is the slope or alpha
FORMULAS: dict[str, tuple[Callable[[float, float], float], Callable[[float, float], float]]] = {
    "identity": (lambda x, p: x, lambda x, p: 1.0),
    "step": (lambda x, p: 1.0 if x > 0 else p if x == 0 else 0.0, lambda x, p: 0.0),
    "sigmoid": (lambda x, p: 1 / (1 + math.exp(-x)), lambda x, p: math.exp(-x) / (1 + math.exp(-x)) ** 2),
    "tanh": (lambda x, p: math.tanh(x), lambda x, p: 1 / math.cosh(x) ** 2),
    "relu": (lambda x, p: x if x > 0 else 0.0, lambda x, p: 1.0 if x > 0 else 0.0),
    "leaky_relu": (lambda x, p: x if x > 0 else p * x, lambda x, p: 1.0 if x > 0 else p),
    "elu": (lambda x, p: x if x > 0 else p * math.expm1(x), lambda x, p: 1.0 if x > 0 else p * math.exp(x)),
    "gelu": (
        lambda x, p: 0.5 * x * math.erfc(-x / math.sqrt(2)),
        lambda x, p: 0.5 * math.erfc(-x / math.sqrt(2)) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
    "silu": (
        lambda x, p: x / (1 + math.exp(-x)),
        lambda x, p: (1 + math.exp(-x) + x * math.exp(-x)) / (1 + math.exp(-x)) ** 2,
    ),
    "softplus": (lambda x, p: math.log1p(math.exp(-abs(x))) + max(x, 0.0), lambda x, p: 1 / (1 + math.exp(-x))),
}
# Values of the one parameter p, where a formula has it.
VALUES = {"step": (0.0, 1.0), "leaky_relu": (-0.5, 0.0, 2.5), "elu": (-0.5, 0.0, 2.5)}
