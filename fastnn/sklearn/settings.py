"""The parameters of an estimator, checked once a fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fastnn.gate import arrays, checks
from fastnn.layers import BatchNorm, Dropout, Layer, PRelu
from fastnn.network import callbacks
from fastnn.network.checkpoint import Checkpoint
from fastnn.operations import ACTIVATIONS

SOLVERS = ("lbfgs", "sgd", "adam")
# The bounds of numbers, as `arrays.real` and `arrays.integer` take them.
REALS: dict[str, dict[str, float]] = {
    "alpha": {"minimum": 0},
    "learning_rate_init": {"above": 0},
    "power_t": {"minimum": 0},
    "tol": {"minimum": 0},
    "momentum": {"minimum": 0, "below": 1},
    "validation_fraction": {"minimum": 0, "below": 1},
    "beta_1": {"minimum": 0, "below": 1},
    "beta_2": {"minimum": 0, "below": 1},
    "epsilon": {"above": 0},
}
INTEGERS = ("max_iter", "max_fun")
FLAGS = ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping", "batch_norm")
CHOICES = {"solver": SOLVERS, "learning_rate": ("constant", "invscaling", "adaptive")}


@dataclass(frozen=True)
class Settings:
    """An estimator's parameters under their own names, but for the hidden layers; see `fastnn.sklearn.base.BaseMLP`."""

    widths: tuple[int, ...]  # of the hidden layers
    activations: tuple[Layer, ...]  # behind each of them
    rates: tuple[float, ...]  # of the dropout behind each
    solver: str
    alpha: float
    batch_size: int | None  # None: "auto"
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    tol: float
    verbose: bool
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float  # infinity: any number
    max_fun: int
    batch_norm: bool
    callbacks: Sequence[Any]
    dtype: np.dtype[Any] | None
    n_threads: int | None


def settings_of(params: Mapping[str, Any]) -> Settings:
    """The parameters, `get_params(deep=False)` of an estimator; TypeError or ValueError where one is wrong."""
    found: dict[str, Any] = {name: arrays.real(name, params[name], **bounds) for name, bounds in REALS.items()}
    found |= {name: arrays.integer(name, params[name], minimum=1) for name in INTEGERS}
    found |= {name: arrays.flag(name, params[name]) for name in FLAGS}
    found |= {name: arrays.choice(name, params[name], known) for name, known in CHOICES.items()}
    found["widths"] = _widths(params["hidden_layer_sizes"])
    layers = len(found["widths"])
    found["activations"] = tuple(map(_activation, _each("activation", params["activation"], layers)))
    rates = _each("dropout", params["dropout"], layers)
    found["rates"] = tuple(arrays.real("dropout", rate, minimum=0.0, below=1.0) for rate in rates)
    found["batch_size"] = _unless("batch_size", params["batch_size"], "auto")
    found["n_iter_no_change"] = _unless("n_iter_no_change", params["n_iter_no_change"], np.inf)
    if found["n_iter_no_change"] is None:
        found["n_iter_no_change"] = np.inf
    verbose = params["verbose"]
    found["verbose"] = bool(verbose if isinstance(verbose, bool | np.bool_) else arrays.integer("verbose", verbose, 0))
    found["callbacks"] = _callbacks(params["callbacks"])
    found["dtype"] = None if params["dtype"] is None else arrays.float_dtype("dtype", params["dtype"])
    found["n_threads"] = _unless("n_threads", params["n_threads"], None)
    if found["solver"] == "lbfgs":
        _refuse_lbfgs(found)
    return Settings(**{one.name: found[one.name] for one in fields(Settings)})


def _callbacks(given: Any) -> Any:
    """Callbacks by epoch: an estimator has no state for a checkpoint, and does not tell of batches."""
    callbacks.check(given)
    for number, one in enumerate(given):
        if isinstance(one, Checkpoint) or callbacks.by_batch([one]):
            came = f"{type(one).__name__}; pass it to Network.fit"
            raise ValueError(f"callbacks[{number}]: expected a function that is called after each epoch, got {came}")
    return given


def _widths(sizes: Any) -> tuple[int, ...]:
    listed = sizes if isinstance(sizes, Sequence | np.ndarray) and not isinstance(sizes, str) else [sizes]
    for width in listed:
        if isinstance(width, int | np.integer) and not isinstance(width, bool | np.bool_) and width <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {list(listed)}.")  # scikit-learn's words
    return tuple(arrays.integer("hidden_layer_sizes", width, minimum=1) for width in listed)


def _each(name: str, value: Any, layers: int) -> Sequence[Any]:
    """A value for each hidden layer, from a list of them or one for all."""
    if not isinstance(value, list | tuple | np.ndarray):
        return [value] * layers
    if len(value) != layers:
        came = f"{len(value)} of them; pass one for all, or a list as long as hidden_layer_sizes"
        raise ValueError(f"{name}: expected {layers}, one for each hidden layer, got {came}")
    return list(value)


def _activation(value: Any) -> Layer:
    """The layer of an activation, given by its name or as a layer such as fastnn.LeakyRelu(0.1)."""
    if isinstance(value, Layer) and value.takes_elements and not isinstance(value, BatchNorm | Dropout):
        return value
    known: dict[str, Any] = {"logistic": ACTIVATIONS["sigmoid"], **ACTIVATIONS, "prelu": PRelu}
    layer: Layer = known[arrays.choice("activation", value, known)]()
    return layer


def _unless(name: str, value: Any, other: Any) -> int | None:
    """None for the other value, else an integer of at least 1."""
    is_other = value is other or (isinstance(value, str | float) and value == other)
    return None if is_other else arrays.integer(name, value, minimum=1)


def _refuse_lbfgs(found: dict[str, Any]) -> None:
    """L-BFGS needs one loss for one set of parameters."""
    for name in ("dropout", "batch_norm"):
        given = any(found["rates"]) if name == "dropout" else found["batch_norm"]
        if given:
            reason = "as the loss is then another in each batch"
            raise ValueError(f"solver: expected 'sgd' or 'adam' with {name}, {reason}, got 'lbfgs'; leave one of them")
    if found["callbacks"]:
        came = f"{checks.shown(found['callbacks'])} with solver='lbfgs', which has no epochs"
        raise ValueError(f"callbacks: expected none, got {came}; take solver='sgd' or 'adam'")
