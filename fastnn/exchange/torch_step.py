"""The step activation as a module of PyTorch, which has none. Importing this file imports PyTorch."""

from typing import Any

import torch


class Step(torch.nn.Module):
    """1 where x > 0, else 0; its gradient is 0."""

    def forward(self, x: Any) -> Any:
        """The outputs for a tensor x."""
        return (x > 0).to(x.dtype)
