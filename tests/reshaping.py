"""Giving an array another shape or dtype in place, which NumPy 2.5 advises against but programs do."""

import warnings
from typing import Any


def reshape_in_place(array: Any, shape: tuple[int, ...]) -> None:
    """Set the array's shape."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)
        array.shape = shape


def retype_in_place(array: Any, dtype: Any) -> None:
    """Set the array's dtype."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting the dtype", DeprecationWarning)
        array.dtype = dtype
