"""The step activation as a module of PyTorch, which has none. Importing this file imports PyTorch."""

from typing import Any

import torch


class Step(torch.nn.Module):
    """1 where x > 0, at_zero, 0 or 1, where x = 0, else 0; its gradient is 0."""

    def __init__(self, at_zero: float = 0.0) -> None:
        super().__init__()
        self.at_zero = at_zero

    def forward(self, x: Any) -> Any:
        """The outputs for a tensor x."""
        return (x >= 0 if self.at_zero else x > 0).to(x.dtype)
