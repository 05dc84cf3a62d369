"""Numerical differentiation: the difference quotient as courses teach it. Imports the gate."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import arrays
from fastnn.arrays import Array


def numerical_gradient(f: Callable[[Array], Any], x: Array, h: float = 1e-4) -> Array:
    """The gradient of f at x by central differences, (f(x + h e_i) - f(x - h e_i)) / (2 h) for each entry i.

    Parameters
    ----------
    f : callable
        Called twice for each entry with x itself, one entry of it moved; returns a number.
    x : array of float32 or float64, writable
        Each entry is put back to its own bits, also when f raises.
    h : float
        Step, above 0. In float32 a quotient with h = 1e-4 is mostly rounding: use float64.

    Returns
    -------
    array like x
    """
    x = arrays.writable("x", x)
    h = arrays.real("h", h, above=0.0)
    gradient = np.empty_like(x)
    entries, out = x.reshape(-1), gradient.reshape(-1)
    for i in range(x.size):
        kept = entries[i]
        try:
            entries[i] = kept + h
            above = f(x)
            entries[i] = kept - h
            below = f(x)
        finally:
            entries[i] = kept
        out[i] = (above - below) / (2 * h)
    return gradient
