"""Losses over a grid of parameters.

Parts write disjoint rows of the grid and each cell adds the points in order, so the bits do not depend on n_threads.
"""

from typing import Any

from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import RealMatrix, Reals, door_of_parts
from fastnn.kernels.matmul import share


@kernel
def _add_squares(x: Any, t: Any, w: float, b: Any, squares: Any) -> None:
    """squares[j] += ((w x[n] + b[j]) - t[n])^2, point after point. x, t (N,); b, squares (J,)."""
    for n in range(x.size):
        product, target = w * x[n], t[n]
        for j in range(b.size):
            error = product + b[j] - target
            squares[j] += error * error


@door_of_parts
def line_fit_losses(part: int, parts: int, x: Reals, t: Reals, w: Reals, b: Reals, squares: RealMatrix) -> None:
    """squares[i, j] += sum over the points of ((w[i] x[n] + b[j]) - t[n])^2. All float64.

    x, t (N,); w (I,), b (J,); squares (I, J), read and written: a long sum goes on from one call to the next.
    """
    for i in range(share(w.size, part, parts), share(w.size, part + 1, parts)):
        _add_squares(x, t, w[i], b, squares[i])
