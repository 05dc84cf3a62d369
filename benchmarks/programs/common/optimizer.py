"""Updates of lists of arrays."""

from typing import Any


class SGD:
    """p -= lr g."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def update(self, params: Any, grads: Any) -> None:
        for p, g in zip(params, grads, strict=True):
            p -= self.lr * g
