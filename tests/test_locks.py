"""A user's code runs under no lock of a network: it may ask other networks, in other threads."""

import threading
from typing import Any

import numpy as np
import pytest

from fastnn import SGD, Affine, Network
from fastnn.losses import MeanSquaredError
from tests.shapes import numbers

X, T = numbers(1, 10, 3), np.zeros((10, 2))
SECONDS = 20.0


@pytest.mark.parametrize("asked", ["targets", "numbers"])
def test_two_networks_that_ask_one_another(asked: str) -> None:
    """Each thread is inside its own network's step while it asks the other network for a gradient."""
    meeting = threading.Barrier(2)
    partner: dict[int, Network] = {}

    def ask() -> None:
        other = partner.pop(threading.get_ident(), None)
        if other is not None:
            meeting.wait(SECONDS)
            other.gradient(X, T)

    class AskingError(MeanSquaredError):
        def targets(self, *arguments: Any, **named: Any) -> Any:
            if asked == "targets":
                ask()
            return super().targets(*arguments, **named)

    class Optimizer(SGD):
        @property
        def numbers(self) -> tuple[float, ...]:
            if asked == "numbers":
                ask()
            return super().numbers

    first, second = (Network([Affine(3, 2)], loss=AskingError(), rng=seed, dtype="float64") for seed in (0, 1))

    def step(net: Network, other: Network) -> None:
        partner[threading.get_ident()] = other
        net.step(X, T, Optimizer(0.1))

    first.step(X, T, SGD(0.1))  # compiles
    workers = [threading.Thread(target=step, args=pair, daemon=True) for pair in ((first, second), (second, first))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(SECONDS)
    assert not any(worker.is_alive() for worker in workers)
    assert not partner  # both did ask
