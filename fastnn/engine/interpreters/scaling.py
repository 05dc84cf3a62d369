"""Rows of floats times the scale of a network's inputs, with a look whether the products are finite."""

from typing import Annotated, Any

from fastnn.kernels.doors import Indices, Matrix, door, door_of_parts
from fastnn.kernels.ground import DONE, OWN, Kind
from fastnn.kernels.matmul import share
from fastnn.kernels.rows import scale_elements
from fastnn.kernels.views import elements

REFUSED = 1


@door_of_parts
def multiply_part(part: int, parts: int, x: Matrix, scale: float, y: Matrix, fine: Indices) -> None:
    """y (N, D) = x times the scale; fine[0] becomes 0 if a product is NaN or infinite."""
    first, last = share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts)
    if not scale_elements(elements(x[first:last]), x.dtype.type(scale), elements(y[first:last])):
        fine[0] = 0


@door
def multiply(
    n_threads: int, launcher: int, most: int, columns: int, scale: float,
    x: Matrix, y: Annotated[Any, Kind(OWN, 2, "x", True)],
) -> int:  # fmt: skip
    """y (N, D) = x times the scale; REFUSED if a product is NaN or infinite, for other columns, or more rows."""
    if x.shape[1] != columns or x.shape[0] == 0 or x.shape[0] > most:
        return REFUSED
    return DONE if scale_elements(elements(x), x.dtype.type(scale), elements(y)) else REFUSED
