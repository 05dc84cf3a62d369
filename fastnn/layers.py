"""Layers: small frozen descriptions of what a network is made of. They hold no arrays and compute nothing.

`fastnn.network` turns a list of them into a plan. Imports the gate, initializers and the kernels' tables.
"""

from dataclasses import dataclass, fields
from typing import Any

from fastnn import arrays, initializers
from fastnn.kernels.activations import ACTIVATIONS
from fastnn.slips import answers_slips

WIDEST = 2**31 - 1  # so that the size of a layer's weights is an int64


@dataclass(frozen=True)
class Layer:
    """What all layers share."""

    def __str__(self) -> str:
        given = ", ".join(
            repr(getattr(self, field.name)) for field in fields(self) if getattr(self, field.name) is not None
        )
        return f"{type(self).__name__}({given})"

    def parameters(self, width: int) -> dict[str, tuple[int, ...]]:
        """The names and shapes of its parameters, where it has so many outputs."""
        return {}


@dataclass(frozen=True)
class Affine(Layer):
    """y = x W + b, with W (inputs, outputs) and b (outputs,).

    Parameters
    ----------
    inputs, outputs : int
        Widths D and H, from 1 to 2^31 - 1.
    init : str or float
        How W begins: "he", "xavier", "zeros" or a standard deviation. None: "he" before an activation of the ReLU
        family, else "xavier". b begins at 0.
    """

    inputs: int
    outputs: int
    init: str | float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", arrays.integer("inputs", self.inputs, 1, WIDEST))
        object.__setattr__(self, "outputs", arrays.integer("outputs", self.outputs, 1, WIDEST))
        if self.init is not None:
            object.__setattr__(self, "init", initializers.check("init", self.init))

    def parameters(self, width: int) -> dict[str, tuple[int, ...]]:
        """W (inputs, outputs) and b (outputs,)."""
        return {"W": (self.inputs, self.outputs), "b": (self.outputs,)}


@dataclass(frozen=True)
class Activation(Layer):
    """What activation layers share: `activation`, the name of their formula in fastnn.functional.activation_forward."""

    activation = ""

    @property
    def parameter(self) -> float:
        """The value of the activation's one parameter; 0 where it has none."""
        keyword = ACTIVATIONS[self.activation].parameter
        return float(getattr(self, keyword)) if keyword else 0.0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise TypeError(f"layer: expected one such as Relu(), got {type(self).__name__}(); use a subclass")
        keyword = ACTIVATIONS[self.activation].parameter
        if keyword:
            object.__setattr__(self, keyword, arrays.real(keyword, getattr(self, keyword)))


@dataclass(frozen=True)
class Identity(Activation):
    """y = x."""

    activation = "identity"


@dataclass(frozen=True)
class Step(Activation):
    """y = 1 where x > 0, else 0. Its derivative is 0: layers before it learn nothing by gradients."""

    activation = "step"


@dataclass(frozen=True)
class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))."""

    activation = "sigmoid"


@dataclass(frozen=True)
class Tanh(Activation):
    """y = tanh(x)."""

    activation = "tanh"


@dataclass(frozen=True)
class Relu(Activation):
    """y = max(0, x)."""

    activation = "relu"


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """y = x where x > 0, else slope x."""

    slope: float = 0.01

    activation = "leaky_relu"


@dataclass(frozen=True)
class PRelu(Layer):
    """y = x where x > 0, else slope x, with a slope for each unit that is trained like a weight (He et al., 2015).

    Its parameters are `slope1` (outputs,), `slope2`, ... Regularization leaves them alone.

    Parameters
    ----------
    slope : float
        Where all slopes begin.
    """

    slope: float = 0.25

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", arrays.real("slope", self.slope))

    def parameters(self, width: int) -> dict[str, tuple[int, ...]]:
        """slope (width,)."""
        return {"slope": (width,)}


@dataclass(frozen=True)
class Elu(Activation):
    """y = x where x > 0, else alpha (exp(x) - 1)."""

    alpha: float = 1.0

    activation = "elu"


@dataclass(frozen=True)
class Gelu(Activation):
    """y = x Phi(x) with the standard normal distribution Phi, (1 + erf(x / sqrt(2))) / 2."""

    activation = "gelu"


@dataclass(frozen=True)
class Silu(Activation):
    """y = x / (1 + exp(-x))."""

    activation = "silu"


@dataclass(frozen=True)
class Softplus(Activation):
    """y = log(1 + exp(x))."""

    activation = "softplus"


@dataclass(frozen=True)
class Softmax(Activation):
    """y = exp(x) / sum(exp(x)) over each row. As a classifier's last layer use the loss softmax_cross_entropy."""

    activation = "softmax"


@dataclass(frozen=True)
class Dropout(Layer):
    """In training y = x / (1 - rate) or, with probability `rate`, 0; otherwise y = x.

    Drawn anew for each element of each batch, by `Network.step` and `fit`. `predict`, `loss`, `gradient` and gradient
    checks drop nothing (Srivastava et al., 2014).

    Parameters
    ----------
    rate : float
        The fraction that is dropped, in [0, 1).
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", arrays.real("rate", self.rate, minimum=0.0, below=1.0))


@dataclass(frozen=True)
class BatchNorm(Layer):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, unit by unit (Ioffe and Szegedy, 2015).

    In training, which is `Network.step` and `fit`, mean and biased variance are those of the batch, and of both a
    running value is kept: running = momentum running + (1 - momentum) that of the batch, whose variance is made
    unbiased by N / (N - 1). A last batch of one row is left out. `predict`, `loss`, `gradient` and gradient checks go
    by the running values.

    Its parameters are `gamma1` and `beta1` (outputs,), which begin at 1 and 0; the running values are
    `network.statistics["mean1"]` and `["variance1"]`, which begin at 0 and 1. Regularization leaves them alone. An
    Affine layer before it needs no bias, which moves nothing.

    Parameters
    ----------
    momentum : float
        In [0, 1). PyTorch's `momentum` is 1 minus this one.
    epsilon : float
        Above 0.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        object.__setattr__(self, "momentum", arrays.real("momentum", self.momentum, minimum=0.0, below=1.0))
        object.__setattr__(self, "epsilon", arrays.real("epsilon", self.epsilon, above=0.0))

    def parameters(self, width: int) -> dict[str, tuple[int, ...]]:
        """gamma and beta (width,)."""
        return {"gamma": (width,), "beta": (width,)}


RELU_FAMILY = (Relu, LeakyRelu, PRelu, Elu, Gelu, Silu, Softplus)

# By class name, for model files and the command line.
LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        Affine,
        Identity,
        Step,
        Sigmoid,
        Tanh,
        Relu,
        LeakyRelu,
        PRelu,
        Elu,
        Gelu,
        Silu,
        Softplus,
        Softmax,
        Dropout,
        BatchNorm,
    )
}
for _class in LAYERS.values():
    answers_slips(_class)
ACTIVATION_LAYERS = {layer.activation: layer for layer in LAYERS.values() if issubclass(layer, Activation)}


def own_layer(layer: Layer) -> Layer:
    """A layer as fastnn's own class describes it, checked anew: what a user's class makes of it reaches no kernel."""
    if isinstance(layer, Activation):
        kind: type[Layer] = ACTIVATION_LAYERS[arrays.choice("layer.activation", layer.activation, ACTIVATION_LAYERS)]
    else:
        kind = next(own for own in LAYERS.values() if isinstance(layer, own))
    values: dict[str, Any] = {one.name: getattr(layer, one.name, one.default) for one in fields(kind)}
    return kind(**values)
