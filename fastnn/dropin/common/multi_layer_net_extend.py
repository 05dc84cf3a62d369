"""A multi-layer perceptron with dropout and batch normalization, as in the first volume (Saito, 2016, chapter 6)."""

from collections import OrderedDict
from typing import Any

import numpy as np

from fastnn.dropin.common.gradient import numerical_gradient
from fastnn.dropin.common.layers import Affine, BatchNormalization, Dropout, Relu, Sigmoid, SoftmaxWithLoss
from fastnn.dropin.common.multi_layer_net import ACTIVATIONS, MultiLayerNet, fraction_right

__all__ = [
    "Affine",
    "BatchNormalization",
    "Dropout",
    "MultiLayerNetExtend",
    "OrderedDict",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "np",
    "numerical_gradient",
]


class MultiLayerNetExtend(MultiLayerNet):
    """As MultiLayerNet, with batch normalization before each activation and dropout after it, if asked for.

    Parameters
    ----------
    input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda
        As for MultiLayerNet.
    use_dropout, use_batchnorm : bool
    dropout_ration : float
        The fraction dropped; the name is the book's.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: list[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: Any = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
    ) -> None:
        self.use_dropout, self.dropout_ration, self.use_batchnorm = use_dropout, dropout_ration, use_batchnorm
        super().__init__(input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda)

    def _make_layers(self, activation: str) -> None:
        for number in range(1, self.hidden_layer_num + 2):
            self.layers[f"Affine{number}"] = Affine(self.params[f"W{number}"], self.params[f"b{number}"])
            if number > self.hidden_layer_num:
                continue
            if self.use_batchnorm:
                width = self.hidden_size_list[number - 1]
                gamma, beta = np.ones(width), np.zeros(width)
                self.params[f"gamma{number}"], self.params[f"beta{number}"] = gamma, beta
                self.layers[f"BatchNorm{number}"] = BatchNormalization(gamma, beta)
            self.layers[f"Activation_function{number}"] = ACTIVATIONS[activation]()
            if self.use_dropout:
                self.layers[f"Dropout{number}"] = Dropout(self.dropout_ration)

    def predict(self, x: Any, train_flg: bool = False) -> Any:
        """The scores (N, output_size); with train_flg, with dropout and the batch's statistics."""
        for key, layer in self.layers.items():
            switched = "Dropout" in key or "BatchNorm" in key
            x = layer.forward(x, train_flg) if switched else layer.forward(x)
        return x

    def loss(self, x: Any, t: Any, train_flg: bool = False) -> Any:
        """The cross entropy at the targets t, labels or one-hot rows, and the weight decay."""
        return self.last_layer.forward(self.predict(x, train_flg), t) + self._decay()

    def accuracy(self, X: Any, T: Any) -> Any:
        """The fraction of samples whose largest score is the target's; T: labels or one-hot rows."""
        return fraction_right(self.predict(X, train_flg=False), T)

    def numerical_gradient(self, X: Any, T: Any) -> dict[str, Any]:
        """The difference quotients of the loss in training by all parameters, by name.

        With dropout each loss has its own mask, with batch normalization each changes the running values: the plain
        loop then evaluates them.
        """
        from fastnn.dropin import direct  # loads the compiler

        found = direct.of_network(self, X, T) if type(self) is MultiLayerNetExtend else None
        if found is not None:
            return found
        return {
            name: numerical_gradient(lambda _: self.loss(X, T, train_flg=True), self.params[name])
            for number in range(1, self.hidden_layer_num + 2)
            for name in (f"W{number}", f"b{number}", f"gamma{number}", f"beta{number}")
            if name in self.params
        }

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        """The gradient of the loss in training by all parameters, by back-propagation."""
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads: dict[str, Any] = {}
        for number in range(1, self.hidden_layer_num + 2):
            layer = self.layers[f"Affine{number}"]
            grads[f"W{number}"] = layer.dW + self.weight_decay_lambda * layer.W
            grads[f"b{number}"] = layer.db
            if f"BatchNorm{number}" in self.layers:
                normalization = self.layers[f"BatchNorm{number}"]
                grads[f"gamma{number}"], grads[f"beta{number}"] = normalization.dgamma, normalization.dbeta
        return grads
