"""The network of the book's chapter 4 on the drop-in's functions, in a module of its own as in a user's script.

The drop-in recognizes a loss only if it knows everything that the loss may reach, globals of its module included.
"""

from typing import Any

import numpy as np

from fastnn.dropin.common.functions import cross_entropy_error, sigmoid, softmax
from fastnn.dropin.common.gradient import numerical_gradient


class TwoLayerNet:
    """Two affine layers with a sigmoid between them and softmax at the end."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params

    def predict(self, x: Any) -> Any:
        z = sigmoid(np.dot(x, self.params["W1"]) + self.params["b1"])
        return softmax(np.dot(z, self.params["W2"]) + self.params["b2"])

    def loss(self, x: Any, t: Any) -> Any:
        return cross_entropy_error(self.predict(x), t)

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, Any]:
        return {name: numerical_gradient(lambda W: self.loss(x, t), array) for name, array in self.params.items()}
