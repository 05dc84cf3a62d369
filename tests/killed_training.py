"""A program that trains with checkpoints, to be killed and started again: killed_training.py FILE EPOCHS.

It prints "training" after its first epoch, and at the end a digest of all that training changes.
"""

import hashlib
import json
import sys
import time
from typing import Any

import numpy as np

import fastnn
from fastnn import Affine, BatchNorm, Checkpoint, Dropout, EarlyStopping, History, Network, Relu

ROWS, BATCH = 203, 10  # 21 batches, the last of 3
RNG = np.random.default_rng(5)
X, T = RNG.standard_normal((ROWS, 12)).astype(np.float32), RNG.integers(0, 4, ROWS)
PAUSE = 0.003  # after each epoch, so that kills hit a training that is under way


class Noise:
    """A callback with a state of its own: it changes the parameters by its own generator, every third epoch."""

    def __init__(self, pause: float = 0.0) -> None:
        self.generator, self.calls, self.pause, self.speaks = np.random.default_rng(9), 0, pause, pause > 0

    def __call__(self, network: Network, history: History) -> None:
        if self.speaks:
            print("training", flush=True)
            self.speaks = False
        time.sleep(self.pause)
        self.calls += 1
        if self.calls % 3 == 0:
            network.params["b1"] += 0.01 * self.generator.standard_normal(16)

    def state(self, network: Network) -> dict[str, Any]:
        return {"generator": self.generator.bit_generator.state, "calls": self.calls}

    def restore(self, network: Network, state: dict[str, Any]) -> None:
        self.generator.bit_generator.state, self.calls = state["generator"], state["calls"]


def train(epochs: int, path: str | None = None, pause: float = 0.0) -> str:
    """The digest of a training; with a path, one that goes on from there."""
    network = Network([Affine(12, 16), BatchNorm(), Relu(), Dropout(0.25), Affine(16, 4)], rng=1)
    generator = np.random.Generator(np.random.Philox(3))
    callbacks: list[Any] = [Noise(pause), EarlyStopping(patience=10**6, monitor="loss")]
    if path is not None:
        callbacks.insert(1, Checkpoint(path, every=2, every_batches=17))
    history = network.fit(
        X,
        T,
        epochs=epochs,
        batch_size=BATCH,
        optimizer=fastnn.Adam(0.003),
        schedule=fastnn.schedules.Warmup(3, fastnn.schedules.ReduceOnPlateau(0.8, patience=4)),
        validation_data=(X[:50], T[:50]),
        rng=generator,
        callbacks=callbacks,
        sample_weight=np.linspace(0.5, 1.5, ROWS),
        progress=False,
        resume=path,
    )
    snapshot = network.engine.snapshot()
    parts = [snapshot.parameters.tobytes(), snapshot.state.tobytes(), repr(snapshot[2:]).encode()]
    figures = {name: values for name, values in vars(history).items() if name != "seconds"}
    rest = [figures, len(history.seconds), str(generator.bit_generator.state), callbacks[0].calls]
    return hashlib.sha256(b"".join(parts) + json.dumps(rest).encode()).hexdigest()


if __name__ == "__main__":
    print(train(int(sys.argv[2]), sys.argv[1], PAUSE))
