"""Batches for a network from the samples of an estimator, dense or sparse."""

from typing import Any

from fastnn.engine.engine import Batches, Engine
from fastnn.engine.samples import Samples as Rows
from fastnn.engine.workspace import NO_ORDER, NO_WEIGHTS
from fastnn.gate.arrays import Array
from fastnn.network import Network
from fastnn.optimizers import Optimizer


class Samples:
    """Samples and targets, handed to a network a few batches at a time.

    Parameters
    ----------
    x : array or sparse matrix in CSR format (N, D)
    targets : array
        As the network's loss takes them.
    """

    def __init__(self, engine: Engine, x: Any, targets: Any) -> None:
        self.engine, self.rows = engine, x.shape[0]
        self.labels, self.dense = engine.prepare_targets("y", targets, self.rows, True)
        self.x = rows_of(x, engine)

    def run(
        self,
        batches: tuple[int, int, int],
        optimizer: Optimizer | None,
        order: Array = NO_ORDER,
        weights: Array = NO_WEIGHTS,
        **options: Any,
    ) -> Batches:
        """Take batches (first, last, size) through the network, without an order as they come; see Engine.run_batches.

        weights: factors of the samples' losses, in the order of the samples.
        """
        options["weights"] = weights
        return self.engine.run_batches((self.x, self.labels, self.dense, order), optimizer, batches, **options)


def outputs(network: Network, x: Any) -> Array:
    """The network's outputs for samples, dense or sparse."""
    return network.engine.outputs_of(rows_of(x, network.engine))


def rows_of(x: Any, engine: Engine) -> Rows:
    """Finite samples as kernels take them; refuses numbers that are infinite in the network's dtype."""
    return engine.prepare_rows("X", x, check_finite=False, allow_empty=True)
