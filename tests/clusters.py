"""A small network, its data, and clusters of processes to train it on, for the tests of distributed training."""

from typing import Any

import numpy as np

import fastnn
from tests import shapes

N, D, K = 200, 6, 3
X, T = shapes.numbers(1, N, D, dtype=np.float32), shapes.targets("labels", N, K, np.float32)
OPTIONS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 48,
    "shards": 4,
    "optimizer": fastnn.Momentum(0.1),
    "progress": False,
}


def network(dtype: Any = "float32") -> fastnn.Network:
    layers = [fastnn.Affine(D, 8), fastnn.Tanh(), fastnn.Affine(8, K)]
    return fastnn.Network(layers, rng=0, dtype=dtype, regularization=fastnn.Regularization(l2=0.01))


def parameter_bits(trained: fastnn.Network) -> list[bytes]:
    return shapes.bits(tuple(trained.params.values()))


def expected(client: Any, **changes: Any) -> tuple[list[bytes], list[float]]:
    """The bits of the parameters after a training, and its losses."""
    from fastnn.distributed import fit

    trained = network()
    history = fit(trained, (X, T), client, **{**OPTIONS, **changes})
    return parameter_bits(trained), history.loss


def cluster_of(workers: int, **options: Any) -> Any:
    """Workers that are processes."""
    import distributed

    make: Any = distributed.LocalCluster
    given = {"threads_per_worker": 1, "dashboard_address": ":0", "processes": True, **options}
    return make(n_workers=workers, **given)
