"""Gradients of functions by other packages: SciPy's approx_fprime and numdifftools."""

import importlib
from typing import Any

import numba

from benchmarks.cases import Case
from benchmarks.data import Data, rosenbrock, rosenbrock_loop, some_entries
from benchmarks.peers import Target


def _function(case: Case) -> Any:
    return numba.njit(rosenbrock_loop) if case.variant == "compiled" else rosenbrock


def approx_fprime(case: Case, data: Data, threads: int) -> Target:
    """Forward differences: half the calls of central ones."""
    optimize, f, x = importlib.import_module("scipy.optimize"), _function(case), data["x"]
    return Target(lambda: optimize.approx_fprime(x, f), lambda results: [results[0][some_entries(x.size)], results[0]])


def gradient(case: Case, data: Data, threads: int) -> Target:
    """Central differences with Richardson extrapolation, by its defaults."""
    made, x = importlib.import_module("numdifftools").Gradient(_function(case)), data["x"]
    return Target(lambda: made(x), lambda results: [results[0][some_entries(x.size)], results[0]])


FACTORIES = {"scipy": {"function_gradient": approx_fprime}, "numdifftools": {"function_gradient": gradient}}
