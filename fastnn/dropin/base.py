"""What layers and what optimizers of both volumes share."""

from typing import Any


class Layer:
    """Something with a way forward and a way back."""

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        """The layer's outputs for its inputs; kept as far as `backward` needs it."""
        raise NotImplementedError

    def backward(self, *arguments: Any, **keywords: Any) -> Any:
        """The gradient of the loss by the inputs, of that by the outputs; those by the parameters are attributes."""
        raise NotImplementedError


class Optimizer:
    """A rule by which parameters are updated."""

    def update(self, params: Any, grads: Any) -> None:
        """One update of the parameters by their gradients, in place."""
        raise NotImplementedError
