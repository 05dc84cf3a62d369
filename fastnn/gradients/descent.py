"""Gradient descent on any function, as courses teach it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.names import DifferenceMethod, Step
from fastnn.gate.slips import answers_slips
from fastnn.gradients.numerical import numerical_gradient


@answers_slips
def gradient_descent(
    f: Callable[[Array], Any],
    init_x: Any,
    lr: float = 0.01,
    step_num: int = 100,
    *,
    gradient: Callable[[Array], Any] | None = None,
    stop: Callable[[Array], Any] | float | None = None,
    h: float | Step = 1e-4,
    method: DifferenceMethod = "central",
) -> tuple[Array, Array]:
    """Minimize f by steps against its gradient: x = x - lr * gradient of f at x.

    Parameters
    ----------
    f : callable
        As for `numerical_gradient`.
    init_x : array
        Where to start; it is not changed.
    lr : float
        Learning rate, above 0.
    step_num : int
        The largest number of steps.
    gradient : callable, optional
        The analytic gradient, x -> array like x, in place of the numerical one.
    stop : callable or float, optional
        A condition on x, asked after each step, that ends the descent; or a number: the descent ends once all entries
        of the gradient are smaller in magnitude.
    h : float or "auto"
        Step of the difference quotient, as for `numerical_diff`.
    method : str
        As for `numerical_diff`.

    Returns
    -------
    x : array like init_x
        The last position.
    path : array (steps + 1, *shape)
        All positions, from init_x to x.

    Raises
    ------
    TrainingDivergedError
        If a position is not finite or, with the numerical gradient, so far away that h is lost in rounding.

    Notes
    -----
    Source: Cauchy, Comptes rendus 25 (1847), 536-538.

    Examples
    --------
    >>> x, path = fastnn.gradient_descent(lambda x: (x**2).sum(), np.array([-3.0, 4.0]), lr=0.1)
    >>> path.shape, x.round(6) + 0.0
    ((101, 2), array([0., 0.]))
    >>> x, path = fastnn.gradient_descent(lambda x: x @ x, [1.2], lr=0.3, stop=lambda x: x @ x < 0.01)
    >>> path.ravel().round(5)
    array([1.2   , 0.48  , 0.192 , 0.0768])
    """
    f, x = arrays.function("f", f), np.array(arrays.floats("init_x", init_x))
    if gradient is not None:
        arrays.function("gradient", gradient)
    lr = arrays.real("lr", lr, above=0.0)
    step_num = arrays.integer("step_num", step_num, minimum=0)
    tolerance = None if stop is None or callable(stop) else arrays.real("stop", stop, minimum=0.0)
    path = [x.copy()]
    for step in range(1, step_num + 1):
        if gradient is None and step > 1 and not isinstance(h, str) and np.spacing(np.abs(x).max()) > h:
            came = f"{np.abs(x).max():g} after step {step - 1}"
            raise TrainingDivergedError(
                f"x: expected positions where a step of h = {h:g} is not lost in rounding, got {came}; lower the "
                "learning rate"
            )
        slope = (
            numerical_gradient(f, x, h, method=method) if gradient is None else arrays.anything("gradient", gradient(x))
        )
        if slope.shape != x.shape:
            raise ValueError(f"gradient: expected an array of shape {x.shape}, got {slope.shape}; return one like x")
        if tolerance is not None and np.abs(slope).max() < tolerance:
            break
        x -= lr * slope
        if not np.isfinite(x).all():
            raise TrainingDivergedError(
                f"x: expected finite positions, got NaN or infinity after step {step}; lower the learning rate"
            )
        path.append(x.copy())
        if callable(stop) and stop(x):
            break
    return x, np.array(path)
