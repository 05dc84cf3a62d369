"""Inputs times the scale of a network, as kernels take them."""

from typing import Any

import numpy as np

from fastnn.engine import threads
from fastnn.engine.finite import WORK
from fastnn.engine.interpreters.scaling import multiply_part
from fastnn.gate import arrays
from fastnn.gate.arrays import Array, DType

BYTE = np.dtype(np.uint8)


def check_scale(scale: Any, dtype: DType) -> float:
    """An input scale: a number above 0 that this dtype holds."""
    number = arrays.real("input_scale", scale, above=0.0)
    with np.errstate(all="ignore"):
        rounded = dtype.type(number)
    if not 0.0 < rounded < np.inf:
        came = f"{number!r}; scale the data, or use float64"
        raise ValueError(f"input_scale: expected a number whose {dtype.name} is finite and above 0, got {came}")
    return number


def is_bytes(x: Array) -> bool:
    """Whether an array holds bytes, which are yet to be scaled."""
    return x.dtype == BYTE


class InputScale:
    """The factor of a network's inputs; `is_one` if there is nothing to do.

    x becomes dtype(x) * dtype(factor): float64 is rounded to a float32 network's dtype first.
    """

    def __init__(self, factor: Any, dtype: DType) -> None:
        self.factor = check_scale(factor, dtype)
        self.rounded, self.is_one = dtype.type(self.factor), self.factor == 1.0

    def of(self, x: Array, out: Array | None = None) -> Array:
        """x, floats or bytes, times the factor, in new memory or in `out`; x itself if nothing changes."""
        if self.is_one and not is_bytes(x):
            return x
        with np.errstate(all="ignore"):
            scaled: Array = np.multiply(x, self.rounded, out=out, dtype=self.rounded.dtype)
        return scaled

    def multiply(self, x: Array, out: Array, n_threads: int | None) -> bool:
        """out = floats x, shaped alike, times the factor; tells whether all of it is finite."""
        fine, rows = np.ones(1, np.intp), (len(x), -1)
        arguments = x.reshape(rows), self.factor, out.reshape(rows), fine
        threads.run(multiply_part, WORK * x.size, *arguments, n_threads=threads.at_most(n_threads))
        return bool(fine[0])

    def check_finite(self, name: str, x: Array) -> None:
        """Refuse finite numbers whose product overflows."""
        if self.factor > 1.0 and x.size and not np.isfinite(self.of(np.abs(x).max())):
            arrays.check_finite(f"{name} * input_scale", self.of(x), arrays.CHECK_FINITE)
