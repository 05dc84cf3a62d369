"""Training that goes on: two fits are one longer fit, bit for bit."""

from typing import Any

import numpy as np
import pytest

from fastnn import SGD, Adam, Affine, BatchNorm, Dropout, Momentum, Network, Relu
from fastnn.optimizers import Optimizer
from tests import shapes
from tests.test_training import parameter_bits

ROWS = 26  # the last batch of 8 is short
X = shapes.numbers(3, ROWS, 5, dtype=np.float32)
T = shapes.targets("labels", ROWS, 3, np.float32)
LAYERS = (Affine(5, 6), BatchNorm(), Relu(), Dropout(0.25), Affine(6, 3))
OPTIMIZERS = (SGD(0.2, clip_norm=0.5), Momentum(0.05, momentum=0.8), Adam(0.01, beta1=0.7))


def network(dtype: str = "float32") -> Network:
    return Network(LAYERS, rng=1, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("shuffle", [True, False])
def test_two_fits_are_one(shuffle: bool, optimizer: Optimizer, dtype: str) -> None:
    """Each epoch's order is drawn anew; the optimizer's state and the masks that Dropout draws go on."""
    whole, parts = network(dtype), network(dtype)
    options: dict[str, Any] = {"batch_size": 8, "optimizer": optimizer, "shuffle": shuffle, "progress": False}
    history = whole.fit(X, T, epochs=6, rng=np.random.default_rng(2), **options)
    generator, losses = np.random.default_rng(2), []
    for epochs in (3, 0, 3):
        losses += parts.fit(X, T, epochs=epochs, rng=generator, **options).loss
    assert parameter_bits(parts) == parameter_bits(whole)
    assert parts.statistics["mean1"].tobytes() == whole.statistics["mean1"].tobytes()
    assert losses == history.loss
