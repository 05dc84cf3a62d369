"""The solver "lbfgs": SciPy's L-BFGS-B over the gradient of all samples."""

import itertools
import warnings
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from fastnn.engine.predictions import LARGEST_KEPT
from fastnn.gate.arrays import Array
from fastnn.network import Network
from fastnn.sklearn.batches import Samples
from fastnn.sklearn.objective import Objective
from fastnn.sklearn.settings import Settings
from fastnn.sklearn.training import DIVERGED, Examples


class FullObjective:
    """The objective of all samples, and its gradient, as functions of the vector of parameters.

    Parameters
    ----------
    network : Network
        It gets the parameters of each evaluation.
    """

    def __init__(self, network: Network, objective: Objective, alpha: float, data: Examples) -> None:
        self.engine = network.engine
        self.samples = Samples(self.engine, data.x, objective.targets(data.encoded))
        rows = self.samples.rows
        mass = float(rows) if data.weights is None else float(data.weights.sum())
        self.weights = np.empty(0) if data.weights is None else data.weights * (rows / mass)
        self.engine.penalize(alpha / mass)
        width = max(1, self.engine.columns * self.engine.values.itemsize)
        self.size = min(rows, max(1, LARGEST_KEPT // width))  # so that the memory of a batch is kept

    def __call__(self, parameters: Array) -> tuple[float, Array]:
        """The objective and its gradient at these parameters."""
        rows, loss, gradient = self.samples.rows, 0.0, np.zeros(parameters.size)
        self.engine.values[:] = parameters
        for number in range(-(-rows // self.size)):
            count = min(self.size, rows - number * self.size)
            loss += self.samples.run((number, number + 1, self.size), None, weights=self.weights)[1]
            gradient += count / rows * self.engine.gradients
        return loss / rows + self.engine.penalty(), gradient


def run(network: Network, objective: Objective, settings: Settings, data: Examples) -> tuple[int, float]:
    """Train a network in float64; return the number of iterations and the last objective."""
    full = FullObjective(network, objective, settings.alpha, data)

    numbers = itertools.count(1)

    def tell(intermediate_result: Any) -> None:
        print(f"Iteration {next(numbers)}, loss = {intermediate_result.fun:.8f}")

    found = minimize(
        full,
        network.engine.values.copy(),
        method="L-BFGS-B",
        jac=True,
        options={"maxfun": settings.max_fun, "maxiter": settings.max_iter, "gtol": settings.tol},
        callback=tell if settings.verbose else None,
    )
    if not (np.isfinite(found.x).all() and np.isfinite(found.fun)):
        raise ValueError(DIVERGED)
    network.engine.values[:] = found.x
    iterations = min(int(found.nit), settings.max_iter)
    if found.status != 0:
        what = f"lbfgs failed to converge after {iterations} iteration(s) (status={found.status}): {found.message}"
        remedy = "Increase max_iter or max_fun, or scale the data, as by sklearn.preprocessing.StandardScaler."
        warnings.warn(f"{what}. {remedy}", ConvergenceWarning, 2)
    return iterations, float(found.fun)
