"""Snapshots of a network as trees of plain values and arrays, for callbacks that keep one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.engine.engine import Snapshot
from fastnn.gate import arrays, checks
from fastnn.network.files.header import MOST_SEED, MOST_STEPS, optimizer_entry, optimizer_of
from fastnn.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from fastnn.network.network import Network


def tree_of(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as a tree; the numbers of an optimizer of a user's class are left out."""
    tree = snapshot._asdict()
    tree["state"] = snapshot.state if snapshot.update else snapshot.state[:0]
    return {**tree, "optimizer": optimizer_entry(snapshot.optimizer)}


def snapshot_of(network: "Network", tree: Mapping[str, Any]) -> Snapshot:
    """The snapshot of a tree; TypeError, ValueError if it is none of this network, as kernels take it as it is."""
    update = tree["update"]
    if update is not None:
        arrays.choice("update", update, OPTIMIZERS)
    size, kept = network.engine.values.size, len(OPTIMIZERS[update].keeps) if update else 0
    found = {}
    for name, shape in (("parameters", (size,)), ("state", (kept, size))):
        array = tree[name]
        if not (isinstance(array, np.ndarray) and array.shape == shape and array.dtype == network.dtype):
            came = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else checks.shown(array)
            raise ValueError(f"{name}: expected {network.dtype} {shape}, got {came}; pass the state of this network")
        found[name] = array
    return Snapshot(
        **found,
        update=update,
        steps=arrays.integer("steps", tree["steps"], 0, MOST_STEPS),
        draws=arrays.integer("draws", tree["draws"], 0, MOST_STEPS),
        seed=arrays.integer("seed", tree["seed"], 0, MOST_SEED),
        optimizer=optimizer_of("optimizer", tree["optimizer"], update, network.dtype),
    )
