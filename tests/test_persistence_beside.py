"""Model files, pickles and copies made while another thread trains the network: each is of one moment."""

import copy
import pathlib
import pickle
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Momentum, Network, Relu, TrainingDivergedError
from fastnn.engine.engine import Snapshot
from fastnn.kernels.compile import JIT_DISABLED
from tests import shapes
from tests.model_files import bits

STEPS, WIDTH = (40, 20) if JIT_DISABLED else (3000, 1000)  # long enough for several files
X, T = shapes.numbers(1, 2, 20, dtype=np.float32), np.arange(2)
MOMENTUM = Momentum(1e-3)


def network() -> Network:
    """Large enough that its parameters cannot be copied while the other thread stands still."""
    return Network([Affine(20, WIDTH), Relu(), Affine(WIDTH, 10)], rng=0, n_threads=1)


def moment(net: Network) -> tuple[int, int]:
    """The number of updates, and a hash of all that training changes."""
    return net.engine.snapshot().steps, hash(bits(net))


def beside(work: Callable[[], object], take: Callable[[], object]) -> None:
    """Copy the state again and again while a thread works."""
    thread, interval = threading.Thread(target=work), sys.getswitchinterval()
    sys.setswitchinterval(1e-4)  # else the thread may have ended before it is looked at
    thread.start()
    try:
        while thread.is_alive():
            take()
    finally:
        sys.setswitchinterval(interval)
        thread.join()


def by_file(net: Network, path: pathlib.Path) -> Network:
    net.save(path)
    return fastnn.load(path)


def by_pickle(net: Network, path: pathlib.Path) -> Network:
    copied: Network = pickle.loads(pickle.dumps(net))
    return copied


def by_copy(net: Network, path: pathlib.Path) -> Network:
    return copy.deepcopy(net)


@pytest.mark.parametrize("way", [by_file, by_pickle, by_copy])
def test_what_is_kept_beside_training_is_of_one_moment(
    way: Callable[[Network, pathlib.Path], Network], path: pathlib.Path
) -> None:
    """Parameters, state and counts belong to the same step: the same steps alone give them all."""
    net, alone, found = network(), network(), []

    def train(net: Network) -> None:
        for _ in range(STEPS):
            net.step(X, T, MOMENTUM)

    for one in (net, alone):  # before the thread, as this compiles
        one.step(X, T, MOMENTUM)
    beside(lambda: train(net), lambda: found.append(moment(way(net, path))))
    moments = {moment(alone)}
    for _ in range(STEPS):
        alone.step(X, T, MOMENTUM)
        moments.add(moment(alone))
    assert bits(net) == bits(alone)
    assert len({steps for steps, _ in found}) > 1  # it was beside
    assert not [steps for steps, content in found if (steps, content) not in moments]


def test_what_has_diverged_is_in_no_file(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is saved between the steps that diverge and the return to the last finite parameters."""
    net = network()
    saver, restore = threading.Thread(target=lambda: net.save(path)), net.engine.restore

    def restore_beside_save(saved: Snapshot) -> None:
        assert not np.isfinite(net.engine.values).all()
        if saver.ident is None:  # the batches are taken once more, to see where they diverge
            saver.start()
        saver.join(0.1)  # it does not finish within this time, as it waits
        assert saver.is_alive()
        restore(saved)

    monkeypatch.setattr(net.engine, "restore", restore_beside_save)
    with pytest.raises(TrainingDivergedError):
        net.fit(1000 * X, T, optimizer=SGD(1e38), batch_size=1, progress=False)  # the first update overflows
    saver.join()
    loaded = fastnn.load(path)
    assert np.isfinite(loaded.engine.values).all()
    assert bits(loaded) == bits(net)
