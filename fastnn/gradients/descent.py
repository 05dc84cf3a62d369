"""Gradient descent on any function, as courses teach it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.names import DifferenceMethod, Step
from fastnn.gate.slips import answers_slips
from fastnn.gradients.evaluation import number
from fastnn.gradients.numerical import numerical_gradient


@answers_slips
def gradient_descent(
    f: Callable[[Array], Any],
    init_x: Any,
    lr: float = 0.01,
    step_num: int = 100,
    *,
    schedule: Callable[[int, Any], float] | None = None,
    maximize: bool = False,
    gradient: Callable[[Array], Any] | None = None,
    stop: Callable[[Array], Any] | float | None = None,
    h: float | Step = 1e-4,
    method: DifferenceMethod = "central",
) -> tuple[Any, Array]:
    """Minimize f by steps against its gradient: x = x - lr * gradient of f at x.

    Parameters
    ----------
    f : callable
        As for `numerical_gradient`; a function of a float if init_x is a number.
    init_x : array or float
        Where to start; it is not changed.
    lr : float
        Learning rate, above 0.
    step_num : int
        The largest number of steps.
    schedule : callable, optional
        One of `fastnn.schedules`, or a function, called as schedule(step, history) before each step, counted from 0;
        the step's learning rate is the result, at least 0, times lr. history.loss holds f before each step until then,
        with the other sign where f is maximized, so f is called once more for each step.
    maximize : bool
        Gradient ascent: x = x + lr * gradient of f at x.
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
    x : array like init_x, or float
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
    >>> halved = fastnn.schedules.StepDecay(every=1, factor=0.5)  # lr 0.25, 0.125, 0.0625
    >>> fastnn.gradient_descent(lambda x: x**2, 1.0, lr=0.25, step_num=3, schedule=halved)[1].round(4)
    array([1.    , 0.5   , 0.375 , 0.3281])
    >>> x, path = fastnn.gradient_descent(lambda x: 3 - (x - 2) ** 2, 0.0, lr=0.1, maximize=True)
    >>> round(x, 6)
    2.0
    """
    f, is_number = arrays.function("f", f), _is_number(init_x)
    start = init_x.item() if is_number and isinstance(init_x, np.ndarray) else init_x
    x = np.array([arrays.real("init_x", start)] if is_number else arrays.floats("init_x", start))
    if gradient is not None:
        arrays.function("gradient", gradient)
    if is_number:
        f, stop = _of_entry(f), _of_entry(stop) if callable(stop) else stop
        gradient = None if gradient is None else _derivative(gradient)
    rates = _Rates(f, schedule, -1.0 if arrays.flag("maximize", maximize) else 1.0)
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
        x -= rates.factor(step - 1, x) * lr * slope
        if not np.isfinite(x).all():
            raise TrainingDivergedError(
                f"x: expected finite positions, got NaN or infinity after step {step}; lower the learning rate"
            )
        path.append(x.copy())
        if callable(stop) and stop(x):
            break
    positions = np.array(path)
    return (float(x[0]), positions[:, 0]) if is_number else (x, positions)


def _is_number(init_x: Any) -> bool:
    """Whether the descent starts at a number, not at an array."""
    return isinstance(init_x, int | float | np.number) or (type(init_x) is np.ndarray and init_x.ndim == 0)


def _of_entry(f: Any) -> Any:
    """A function of an array of one number, from one of the number."""
    return lambda x: f(float(x[0]))


def _derivative(gradient: Any) -> Any:
    """The same of a derivative, which is a number, too."""
    return lambda x: np.array([arrays.real("gradient", gradient(float(x[0])))])


class _Rates:
    """The factors of a schedule, with the sign of the steps: 1 to minimize, -1 to maximize."""

    def __init__(self, f: Callable[[Array], Any], schedule: Any, sign: float) -> None:
        self.f, self.sign, self.schedule = f, sign, schedule
        if schedule is not None:
            from fastnn.network import history, requests  # here, as networks import this folder

            requests.check_schedule("schedule", schedule)
            self.history = history.History()

    def factor(self, step: int, x: Array) -> float:
        """The factor of this step, counted from 0, from x."""
        if self.schedule is None:
            return self.sign
        factor = arrays.real(f"schedule(step={step}, history)", self.schedule(step, self.history), minimum=0.0)
        self.history.loss.append(self.sign * number(self.f(x.copy())))
        return self.sign * factor
