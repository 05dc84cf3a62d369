"""The activations that PyTorch has, too: its modules and functions beside fastnn's layers."""

from typing import Any, NamedTuple

from fastnn.layers import Elu, Gelu, Identity, Layer, LeakyRelu, Relu, Sigmoid, Silu, Softmax, Softplus, Tanh

LAST_AXIS = -1, 1, None  # of outputs (N, K)


class Row(NamedTuple):
    """An activation: its layer here, the module's class in torch.nn, and functions of the same formula.

    option: its name here and there, and the default there. fixed: an argument and the values for which the formulas are
    the same, of which the first is passed. position: of the option or the fixed argument in a function's call.
    """

    layer: type[Layer]
    module: str
    functions: tuple[str, ...]
    option: tuple[str, str, float] | None = None
    fixed: tuple[str, tuple[Any, ...]] | None = None
    position: int = 1


ROWS = (
    Row(Identity, "Identity", ()),
    Row(Relu, "ReLU", ("relu", "relu_")),
    Row(LeakyRelu, "LeakyReLU", ("leaky_relu", "leaky_relu_"), ("slope", "negative_slope", 0.01)),
    Row(Elu, "ELU", ("elu", "elu_"), ("alpha", "alpha", 1.0)),
    Row(Sigmoid, "Sigmoid", ("sigmoid", "sigmoid_")),
    Row(Tanh, "Tanh", ("tanh", "tanh_")),
    Row(Gelu, "GELU", ("gelu",), fixed=("approximate", ("none",))),
    Row(Silu, "SiLU", ("silu",)),
    Row(Softplus, "Softplus", ("softplus",), fixed=("beta", (1.0,))),
    Row(Softmax, "Softmax", ("softmax",), fixed=("dim", LAST_AXIS)),
)
