"""Whether a network predicts what its source computes: compared on random rows, it shows what reading cannot see."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.gate.arrays import Array
from fastnn.layers import Step

# Some rows are large, so that a bound on the values shows.
SCALES = np.array([1.0, 1.0, 1.0, 1.0, 8.0, 8.0, 64.0])
# Relative to the largest output of a row. In float32 a library may round products to TF32 or bfloat16.
TOLERANCES = {"float32": 1e-2, "float64": 1e-6}
ABSOLUTE = 1e-3  # times the tolerance: outputs that cancel to 0
REMEDY = (
    "leave out what its layers do not tell (code of its own, hooks, a replaced method), or pass plain layers; if "
    "rounding makes the difference, convert it to float64 first"
)


def check_agreement(
    network: Any, name: str, computed: Callable[[Array], Any], last: Callable[[Array], Any] | None = None
) -> None:
    """Refuse a network that predicts something else than its source computes for the same rows.

    A network with a Step is not compared: rounding may take its inputs over the border. name: the source, for messages.
    computed: the source, as a function of an array of rows that it may overwrite. last: what it does to the network's
    outputs.
    """
    if any(isinstance(layer, Step) for layer in network.layers):
        return
    drawn = np.random.default_rng(0).standard_normal((len(SCALES), *network.input_shape))
    x = (drawn * SCALES.reshape(-1, *[1] * len(network.input_shape))).astype(network.dtype)
    try:
        theirs = np.asarray(computed(x.copy()))
    except Exception as error:  # whatever code of the source raises
        came = f"{type(error).__name__} ({error}); make it take such rows"
        raise ValueError(f"{name}: expected outputs for random rows of the shape {x.shape}, got {came}") from error
    # A subclass may predict otherwise; Network's own method is compared.
    kind = next(one for one in reversed(type(network).__mro__) if hasattr(one, "predict"))
    ours = kind.predict(network, x)
    ours = ours if last is None else last(ours)
    expected = f"{name}: expected something that computes what its layers tell"
    if theirs.shape != ours.shape:
        came = f"outputs of the shape {theirs.shape}, not {ours.shape}, for random rows of the shape {x.shape}"
        raise ValueError(f"{expected}, got {came}; {REMEDY}")
    differs = _differs(ours, theirs, TOLERANCES[network.dtype.name])
    if differs.any():
        place = tuple(int(i) for i in np.argwhere(differs)[0])
        came = f"{theirs[place]:.6g}, not {ours[place]:.6g}, as output {list(place[1:])} of a random row"
        raise ValueError(f"{expected}, got {came}; {REMEDY}")


def _differs(ours: Array, theirs: Array, tolerance: float) -> Array:
    """Where outputs differ by more than rounding; NaN and infinity, as of overflow, are not told apart."""
    finite = np.isfinite(ours) & np.isfinite(theirs)
    rows = np.where(finite, np.abs(theirs.astype(np.float64)), 0.0)
    scale = rows.max(axis=tuple(range(1, rows.ndim)), keepdims=True) + ABSOLUTE
    with np.errstate(all="ignore"):
        far = np.abs(theirs.astype(np.float64) - ours) > tolerance * scale
    differs: Array = np.where(finite, far, np.isfinite(ours) != np.isfinite(theirs))
    return differs
