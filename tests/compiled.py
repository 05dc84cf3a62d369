"""The compiled operations on arrays, called without threads."""

from typing import Any

import numpy as np

from fastnn.engine.interpreters import on_arrays
from fastnn.operations.affine import affine_products


def affine_forward(parts: int, x: Any, W: Any, b: Any, scratch: Any, y: Any) -> None:
    units = on_arrays.rows_part.address(x.dtype), affine_products.address(x.dtype)
    on_arrays.affine_forward(parts, 0, *units, x, W, b, scratch, y)


def affine_backward(parts: int, dy: Any, x: Any, W: Any, scratch: Any, sums: Any, dx: Any, dW: Any, db: Any) -> None:
    part, backward = on_arrays.backward_part.address(x.dtype), affine_products.address(x.dtype) if len(dx) else 0
    gradient = affine_products.address(x.dtype)
    on_arrays.affine_backward(parts, 0, part, backward, gradient, dy, x, W, scratch, sums, dx, dW, db)


def loss(unit: Any, numbers: tuple[float, ...], y: Any, *rest: Any) -> float:
    """unit: the unit of a loss's rows; rest: the arguments of on_arrays.loss."""
    units = on_arrays.rows_part.address(y.dtype), unit.address(y.dtype)
    return float(on_arrays.loss(1, 0, *units, np.array(numbers), y, *rest))
