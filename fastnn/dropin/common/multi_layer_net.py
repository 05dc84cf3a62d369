"""The first volume's multi-layer perceptron (Saito, 2016, chapter 6)."""

from collections import OrderedDict
from typing import Any

import numpy as np

from fastnn.dropin.common.gradient import numerical_gradient
from fastnn.dropin.common.layers import Affine, Relu, Sigmoid, SoftmaxWithLoss

__all__ = ["Affine", "MultiLayerNet", "OrderedDict", "Relu", "Sigmoid", "SoftmaxWithLoss", "np", "numerical_gradient"]

ACTIVATIONS = {"sigmoid": Sigmoid, "relu": Relu}


class MultiLayerNet:
    """Affine layers with an activation between, the cross entropy of their softmax, and weight decay.

    Parameters
    ----------
    input_size, output_size : int
    hidden_size_list : list of int
        Widths of the hidden layers.
    activation : "relu" or "sigmoid"
    weight_init_std : "relu", "he", "sigmoid", "xavier" or a number
        The standard deviation of the initial weights: sqrt(2 / n) for the first two, sqrt(1 / n) for the others, where
        n is the number of inputs.
    weight_decay_lambda : float
        lambda in the term lambda / 2 sum(W^2) of the loss, over all weights.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: list[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: Any = "relu",
        weight_decay_lambda: float = 0,
    ) -> None:
        self.input_size, self.output_size = input_size, output_size
        self.hidden_size_list, self.hidden_layer_num = hidden_size_list, len(hidden_size_list)
        self.weight_decay_lambda = weight_decay_lambda
        self.params: dict[str, Any] = {}
        self._init_weight(weight_init_std)
        self.layers: OrderedDict[str, Any] = OrderedDict()
        self._make_layers(activation)
        self.last_layer = SoftmaxWithLoss()

    def _init_weight(self, weight_init_std: Any) -> None:
        sizes = [self.input_size, *self.hidden_size_list, self.output_size]
        for number in range(1, len(sizes)):
            self.params[f"W{number}"] = initial_weights(sizes[number - 1], sizes[number], weight_init_std)
            self.params[f"b{number}"] = np.zeros(sizes[number])

    def _make_layers(self, activation: str) -> None:
        for number in range(1, self.hidden_layer_num + 2):
            self.layers[f"Affine{number}"] = Affine(self.params[f"W{number}"], self.params[f"b{number}"])
            if number <= self.hidden_layer_num:
                self.layers[f"Activation_function{number}"] = ACTIVATIONS[activation]()

    def predict(self, x: Any) -> Any:
        """The scores (N, output_size)."""
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        """The cross entropy at the targets t, labels or one-hot rows, and the weight decay."""
        return self.last_layer.forward(self.predict(x), t) + self._decay()

    def _decay(self) -> Any:
        weights = [self.params[f"W{number}"] for number in range(1, self.hidden_layer_num + 2)]
        return sum(0.5 * self.weight_decay_lambda * np.sum(W**2) for W in weights)

    def accuracy(self, x: Any, t: Any) -> Any:
        """The fraction of samples whose largest score is the target's; t: labels or one-hot rows."""
        return fraction_right(self.predict(x), t)

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, Any]:
        """The difference quotients of the loss by all parameters, by name."""
        from fastnn.dropin import direct  # loads the compiler

        found = direct.of_network(self, x, t) if type(self) is MultiLayerNet else None
        if found is not None:
            return found
        return {name: numerical_gradient(lambda _: self.loss(x, t), array) for name, array in self.params.items()}

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        """The gradient of the loss by all parameters, by back-propagation."""
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads: dict[str, Any] = {}
        for number in range(1, self.hidden_layer_num + 2):
            layer = self.layers[f"Affine{number}"]
            grads[f"W{number}"] = layer.dW + self.weight_decay_lambda * layer.W
            grads[f"b{number}"] = layer.db
        return grads


def initial_weights(inputs: int, outputs: int, weight_init_std: Any) -> Any:
    """Normal numbers (inputs, outputs) with the standard deviation asked for, from NumPy's global generator."""
    scale = weight_init_std
    if str(weight_init_std).lower() in ("relu", "he"):
        scale = np.sqrt(2.0 / inputs)
    elif str(weight_init_std).lower() in ("sigmoid", "xavier"):
        scale = np.sqrt(1.0 / inputs)
    return scale * np.random.randn(inputs, outputs)  # noqa: NPY002 - the generator the books seed


def fraction_right(scores: Any, t: Any) -> Any:
    """The fraction of rows of scores whose largest entry is the target's; t: labels or one-hot rows."""
    labels = t if t.ndim == 1 else np.argmax(t, axis=1)
    return np.sum(np.argmax(scores, axis=1) == labels) / float(scores.shape[0])
