"""The activations that PyTorch has, too: its modules and functions beside fastnn's layers."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fastnn.layers import Elu, Gelu, Identity, Layer, LeakyRelu, Relu, Sigmoid, Silu, Softmax, Softplus, Tanh

LAST_AXIS = -1, 1, None  # of outputs (N, K)
EXACT = 20.0  # from there on, PyTorch's Softplus of x is x to rounding


class Fixed(NamedTuple):
    """An argument for some of whose values the formulas are the same: its value here, and whether one is allowed."""

    name: str
    value: Any
    allows: Callable[[Any], bool]


class Row(NamedTuple):
    """An activation: its layer here, the module's class in torch.nn, and functions of the same formula.

    names: of a function's arguments after the tensor, by position. option: its name here and there, and the default
    there. fixed: arguments for which only some values are fastnn's formula.
    """

    layer: type[Layer]
    module: str
    functions: tuple[str, ...]
    names: tuple[str, ...] = ()
    option: tuple[str, str, float] | None = None
    fixed: tuple[Fixed, ...] = ()


ROWS = (
    Row(Identity, "Identity", ()),
    Row(Relu, "ReLU", ("relu", "relu_"), ("inplace",)),
    Row(
        LeakyRelu, "LeakyReLU", ("leaky_relu", "leaky_relu_"), ("negative_slope", "inplace"),
        ("slope", "negative_slope", 0.01),
    ),
    Row(Elu, "ELU", ("elu", "elu_"), ("alpha", "inplace"), ("alpha", "alpha", 1.0)),
    Row(Sigmoid, "Sigmoid", ("sigmoid", "sigmoid_")),
    Row(Tanh, "Tanh", ("tanh", "tanh_")),
    Row(Gelu, "GELU", ("gelu",), fixed=(Fixed("approximate", "none", lambda value: value == "none"),)),
    Row(Silu, "SiLU", ("silu",), ("inplace",)),
    Row(
        Softplus, "Softplus", ("softplus",), ("beta", "threshold"),
        fixed=(
            Fixed("beta", 1.0, lambda value: value == 1.0), Fixed("threshold", EXACT, lambda value: value >= EXACT),
        ),
    ),
    Row(Softmax, "Softmax", ("softmax",), ("dim",), fixed=(Fixed("dim", -1, LAST_AXIS.__contains__),)),
)  # fmt: skip
