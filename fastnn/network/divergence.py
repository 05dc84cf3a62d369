"""Where a training diverged, and what to try: for the sentence of a TrainingDivergedError."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from fastnn.gate.arrays import Array
from fastnn.network import passes
from fastnn.optimizers import Optimizer

if TYPE_CHECKING:
    from fastnn.network.network import Network

AFTER_THE_OUTPUTS = "the loss or its gradient"
LARGE = 10.0  # numbers beyond it are worth scaling


def place_of(network: "Network", x: Array) -> str:
    """The first place of a number that is not finite, for the rows x and the network as it diverged."""
    engine = network.engine
    if not np.isfinite(x).all():
        return "x"
    named, owners = {**network.params, **network.statistics}, _owners(network)
    for name, value in named.items():
        if not np.isfinite(value).all():
            return f"{name} of {owners[name]}"
    for i, output in enumerate(passes.outputs_of_rows(engine, x)):
        if not np.isfinite(output).all():
            return f"the outputs of layers[{i}], {engine.layers[i]}"
    return AFTER_THE_OUTPUTS + (", or in the batch's variances that BatchNorm takes" if network.statistics else "")


def remedy(place: str, x: Array, optimizer: Optimizer) -> str:
    """What to try."""
    if place == "x":
        return "correct the data"
    clip = "" if optimizer.clip_norm or optimizer.clip_value else ", clip gradients by the optimizer's clip_norm=1.0"
    largest = float(np.abs(x).max(initial=0.0))
    scale = f", or scale x, which has numbers up to {largest:.3g}" if largest > LARGE else ", or begin at other weights"
    return f"lower the learning rate, now {optimizer.lr:.3g}{clip}{scale}"


def _owners(network: "Network") -> dict[str, str]:
    """The layer of each parameter and statistic, by name."""
    engine, counts, owners = network.engine, Counter[str](), {}
    for i, (layer, before) in enumerate(zip(engine.layers, engine.shapes, strict=False)):
        for name in (*layer.parameters(before), *layer.statistics(before)):
            counts[name] += 1
            owners[f"{name}{counts[name]}"] = f"layers[{i}], {layer}"
    return owners
