"""The lists of the elements of rows that are not 0, made once for many batches; see kernels/indexed.py."""

from fastnn.kernels.doors import Indices, Matrix, Vector, door_of_parts
from fastnn.kernels.indexed import count_elements, fill_row, list_rows
from fastnn.kernels.matmul import share


@door_of_parts
def count_part(part: int, parts: int, x: Matrix, counts: Indices) -> None:
    """counts (N,) = the elements of each row of x (N, D) that are not 0."""
    count_elements(x, share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts), counts)


@door_of_parts
def list_part(part: int, parts: int, x: Matrix, starts: Indices, pairs: Vector) -> None:
    """List the rows of x (N, D) in pairs, row n from number starts[n] on; starts (N + 1,)."""
    list_rows(x, share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts), starts, pairs)


@door_of_parts
def fill_part(part: int, parts: int, pairs: Vector, starts: Indices, numbers: Indices, x: Matrix) -> None:
    """x (N, D) = the rows of an index with these numbers (N,)."""
    for n in range(share(x.shape[0], part, parts), share(x.shape[0], part + 1, parts)):
        fill_row(pairs, starts[numbers[n]], starts[numbers[n] + 1], x[n])
