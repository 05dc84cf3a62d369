"""The input scale as a module of PyTorch. Importing this file imports PyTorch."""

from typing import Any

import torch


class Scale(torch.nn.Module):
    """A tensor of any dtype, such as uint8, times a number, in the dtype of the network."""

    factor: torch.Tensor

    def __init__(self, factor: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor, dtype=dtype))

    def forward(self, x: Any) -> Any:
        """The product for a tensor x."""
        return x.to(self.factor.dtype) * self.factor
