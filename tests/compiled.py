"""The compiled operations on arrays, called without threads."""

import math
from typing import Any

from fastnn.engine.interpreters import on_arrays
from fastnn.operations.affine import affine_products


def affine_forward(parts: int, x: Any, W: Any, b: Any, scratch: Any, y: Any) -> None:
    units = on_arrays.rows_part.address(x.dtype), affine_products.address(x.dtype)
    on_arrays.affine_forward(parts, 0, math.inf, *units, scratch, x, W, b, y)


def affine_backward(parts: int, dy: Any, x: Any, W: Any, scratch: Any, sums: Any, dx: Any, dW: Any, db: Any) -> None:
    part, backward = on_arrays.backward_part.address(x.dtype), affine_products.address(x.dtype) if len(dx) else 0
    gradient = affine_products.address(x.dtype)
    units = part, backward, gradient
    on_arrays.affine_backward(parts, 0, math.inf, *units, scratch, sums, dy, x, W, dx if len(dx) else x, dW, db)
