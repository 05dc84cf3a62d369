"""Batches for a network from the samples of an estimator, dense or sparse."""

from typing import Any

import numpy as np
from scipy.sparse import issparse

from fastnn.engine.engine import Batches, Engine
from fastnn.engine.workspace import NO_ORDER, NO_WEIGHTS
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.network import Network
from fastnn.optimizers import Optimizer

DENSE_BYTES = 1 << 24  # of sparse rows that are made dense at once, for predictions


class Samples:
    """Samples and targets, handed to a network a batch at a time. Rows of a sparse matrix become dense for their batch.

    Parameters
    ----------
    x : array or sparse matrix in CSR format (N, D)
    targets : array
        As the network's loss takes them.
    """

    def __init__(self, engine: Engine, x: Any, targets: Any) -> None:
        self.engine, self.rows = engine, x.shape[0]
        self.labels, self.dense = engine.prepare_targets("y", targets, self.rows, True)
        self.x, self.is_sparse = _in_dtype(x, engine), issparse(x)
        self._buffer = np.empty((0, engine.inputs), engine.dtype)

    def most(self, wanted: int) -> int:
        """How many batches `run` takes at once, at most `wanted`: one if they are sparse."""
        return 1 if self.is_sparse else wanted

    def run(
        self,
        batches: tuple[int, int, int],
        optimizer: Optimizer | None,
        order: Array = NO_ORDER,
        weights: Array = NO_WEIGHTS,
        **options: Any,
    ) -> Batches:
        """Take batches (first, last, size) through the network, without an order as they come; see Engine.run_batches.

        weights: factors of the samples' losses, in the order of the samples. Sparse samples come in a single batch.
        """
        first, last, size = batches
        options["weights"] = weights
        if not self.is_sparse:
            return self.engine.run_batches((self.x, self.labels, self.dense, order), optimizer, batches, **options)
        some: Any = slice(first * size, min(last * size, self.rows))
        some = order[some] if order.size else some
        parts = self.labels, self.dense, weights
        labels, dense, options["weights"] = (part[some] if len(part) else part for part in parts)
        x = self._filled(self.x[some])
        return self.engine.run_batches((x, labels, dense, NO_ORDER), optimizer, (0, 1, len(x)), **options)

    def _filled(self, rows: Any) -> Array:
        """Sparse rows as dense ones, in memory that the next batch overwrites."""
        count = rows.shape[0]
        if len(self._buffer) < count:
            self._buffer = np.empty((count, self.engine.inputs), self.engine.dtype)
        found: Array = rows.toarray(out=self._buffer[:count])
        return found


def outputs(network: Network, x: Any) -> Array:
    """The network's outputs for samples, dense or sparse."""
    x = _in_dtype(x, network.engine)
    if not issparse(x):
        return network.predict(x)
    rows = max(1, DENSE_BYTES // (x.shape[1] * x.dtype.itemsize))
    y = np.empty((x.shape[0], network.outputs), network.dtype)
    for first in range(0, len(y), rows):
        y[first : first + rows] = network.predict(x[first : first + rows].toarray())
    return y


def _in_dtype(x: Any, engine: Engine) -> Any:
    """Finite samples in the network's dtype; refuses numbers that are infinite in it."""
    options: Any = {"dtype": engine.dtype, "rounding": True, "allow_empty": True}
    if not issparse(x):
        return arrays.floats("X", x, ("N", engine.inputs), **options)
    values = arrays.floats("X.data", x.data, ("N",), **options)
    return x if values is x.data else type(x)((values, x.indices, x.indptr), shape=x.shape)
