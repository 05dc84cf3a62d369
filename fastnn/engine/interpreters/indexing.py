"""The lists of the elements of rows that are not 0, made once for many batches; see kernels/indexed.py."""

from fastnn.kernels.doors import Indices, Matrix, Vector, door_of_parts
from fastnn.kernels.indexed import count_elements, list_rows
from fastnn.kernels.matmul import share


@door_of_parts
def count_part(part: int, parts: int, x: Matrix, counts: Indices) -> None:
    """counts (N,) = the elements of each row of x (N, D) that are not 0."""
    count_elements(x, share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts), counts)


@door_of_parts
def list_part(part: int, parts: int, x: Matrix, starts: Indices, pairs: Vector) -> None:
    """List the rows of x (N, D) in pairs, row n from number starts[n] on; starts (N + 1,)."""
    list_rows(x, share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts), starts, pairs)
