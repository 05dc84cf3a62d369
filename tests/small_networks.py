"""Small networks, and whether two of them are alike to the bit."""

from typing import Any

import numpy as np

from fastnn import Affine, Momentum, Network, Sigmoid
from tests.shapes import numbers, targets

X = numbers(1, 12, 20, dtype=np.float32)
T = targets("labels", 12, 5, np.float32)
VALUES = numbers(2, 12, 5, dtype=np.float32)


def network(*layers: Any, **settings: Any) -> Network:
    return Network([*layers] or [Affine(20, 16), Sigmoid(), Affine(16, 5)], rng=0, **settings)


def bits(net: Network) -> bytes:
    return b"".join(value.tobytes() for value in (*net.params.values(), *net.statistics.values()))


def alike(net: Network, other: Network, t: Any = T) -> bool:
    """Whether two networks train and predict with the same bits."""
    for one in (net, other):
        one.step(X, t, Momentum(0.1))
        one.fit(X, t, epochs=2, batch_size=5, rng=0)
    return bits(net) == bits(other) and net.predict(X).tobytes() == other.predict(X).tobytes()
