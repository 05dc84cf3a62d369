"""Losses over a grid of parameters, to draw them."""

from typing import Any

import numpy as np

from fastnn.engine import threads
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.kernels import surfaces

FLOP_PER_POINT = 4  # of a point in a cell
FLOP_PER_CALL = 2e8  # on one slow thread, so that Ctrl-C is answered within 0.1 s


def line_fit_losses(x: Any, t: Any, w: Any, b: Any, *, out: Any = None) -> Array:
    """losses[i, j] = sum((w[i] x + b[j] - t)^2) / (2 N), the loss of `mean_squared_error` for lines y = w x + b.

    Each is the sum over all points, in their order and in float64; the errors equal `w[i] * x + b[j] - t` in NumPy to
    the bit.

    Parameters
    ----------
    x, t : array (N,)
        The points.
    w : array (I,)
        Slopes.
    b : array (J,)
        Intercepts.
    out : array (I, J) of float64, optional
        Receives the losses; must not overlap an input.

    Returns
    -------
    array (I, J) of float64

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape; the message says what was expected.

    Examples
    --------
    >>> x, t = np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0])  # t = 2 x + 1
    >>> fastnn.line_fit_losses(x, t, w=[1.0, 2.0], b=[0.0, 1.0]).round(4)  # 0 for w = 2, b = 1
    array([[2.3333, 0.8333],
           [0.5   , 0.    ]])
    """
    x = arrays.floats("x", x, ("N",), dtype="float64", rounding=True)
    t = arrays.floats("t", t, x.shape, dtype="float64", rounding=True)
    w = arrays.floats("w", w, ("I",), dtype="float64", rounding=True)
    b = arrays.floats("b", b, ("J",), dtype="float64", rounding=True)
    losses = arrays.output("out", out, (w.size, b.size), np.float64, (("x", x), ("t", t), ("w", w), ("b", b)))
    losses.fill(0.0)
    flop = float(FLOP_PER_POINT * losses.size)
    points = max(1, int(FLOP_PER_CALL / flop))
    for n in range(0, x.size, points):
        some = x[n : n + points]
        threads.run(surfaces.line_fit_losses, flop * some.size, some, t[n : n + points], w, b, losses)
    losses /= 2 * x.size
    return losses
