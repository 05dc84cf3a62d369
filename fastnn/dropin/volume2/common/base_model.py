"""The base class of the second volume's models: parameters in a list, saved in a pickle as float16."""

import os
import pickle
from typing import Any

import numpy as np

from fastnn.dropin.base import Layer
from fastnn.dropin.volume2.common.config import GPU
from fastnn.dropin.volume2.common.util import to_cpu, to_gpu

__all__ = ["GPU", "BaseModel", "np", "os", "pickle", "to_cpu", "to_gpu"]


class BaseModel(Layer):
    """A model with `params` and `grads`, lists of arrays."""

    def __init__(self) -> None:
        self.params: Any = None
        self.grads: Any = None

    def save_params(self, file_name: str | None = None) -> None:
        """Write the parameters as float16 to a pickle; by default it is named after the class."""
        with open(file_name or f"{type(self).__name__}.pkl", "wb") as file:
            pickle.dump([param.astype(np.float16) for param in self.params], file)

    def load_params(self, file_name: str | None = None) -> None:
        """Read parameters, as float32, from a pickle, which can run any code: only read a file that you trust."""
        name = file_name or f"{type(self).__name__}.pkl"
        name = name.replace("/", os.sep)
        if not os.path.exists(name):
            raise OSError(f"file_name: expected a file, got {name}, which does not exist; call save_params first")
        with open(name, "rb") as file:
            values = pickle.load(file)
        for param, value in zip(self.params, values, strict=False):
            param[...] = value.astype(np.float32)
