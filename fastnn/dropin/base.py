"""The base classes of both volumes' layers and optimizers."""

from typing import Any


class Layer:
    """Anything with a pass forward and a pass back."""

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        """The layer's outputs for its inputs; the layer keeps what `backward` needs."""
        raise NotImplementedError

    def backward(self, *arguments: Any, **keywords: Any) -> Any:
        """The loss's gradient by the inputs, from that by the outputs; gradients by parameters become attributes."""
        raise NotImplementedError


class Optimizer:
    """A rule by which parameters are updated."""

    def update(self, params: Any, grads: Any) -> None:
        """One update of the parameters by their gradients, in place."""
        raise NotImplementedError
