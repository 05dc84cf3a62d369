"""Checkpoints: a training goes on to the same bits from every file of a run, whatever its kind."""

import os
import pathlib
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Checkpoint, EarlyStopping, History, Network, schedules
from fastnn.optimizers import OPTIMIZER_CLASSES
from tests.checkpoints import OPTIONS, ROWS, T, X, killed_after, network, outcome, resumed, uninterrupted
from tests.model_files import bits

# --- the same bits


def test_every_file_of_a_run_leads_to_its_end(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files within epochs, after them, and the last one."""
    expected, files = uninterrupted(), 0
    for files in range(1, 9):
        assert resumed(files, path, monkeypatch) == expected
        path.unlink()
    with pytest.raises(AssertionError, match="fewer files"):
        resumed(files + 1, path, monkeypatch)


class Halves:
    """A schedule with a state: each call halves the rate, whatever the epoch is."""

    def __init__(self) -> None:
        self.factor = 2.0

    def __call__(self, epoch: int, history: History) -> float:
        self.factor /= 2
        return self.factor

    def state(self, net: Network) -> dict[str, Any]:
        return {"factor": self.factor}

    def restore(self, net: Network, state: dict[str, Any]) -> None:
        self.factor = state["factor"]


KINDS: list[dict[str, Any]] = [
    *({"optimizer": kind(lr=0.01)} for kind in OPTIMIZER_CLASSES.values()),
    *({"generator": lambda kind=kind: np.random.Generator(kind(4))} for kind in (
        np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM
    )),
    {"schedule": schedules.ReduceOnPlateau(0.5, patience=1)},
    {"schedule": schedules.Warmup(2, schedules.Cosine(4)), "shuffle": False},
    {"schedule": lambda epoch, history: 1.0 / (1 + epoch)},
    {"dtype": "float64", "sample_weight": np.linspace(0.5, 1.0, ROWS)},
    {"class_weight": [1.0, 2.0, 0.5], "validation_data": (X[:9], T[:9])},
]  # fmt: skip


@pytest.mark.parametrize("options", KINDS, ids=lambda options: "-".join(map(str, options)))
@pytest.mark.parametrize("files", [2, 4])  # after the second of four batches, and after the second epoch
def test_every_kind_of_training_goes_on(
    files: int, options: dict[str, Any], path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resumed(files, path, monkeypatch, **options) == uninterrupted(**options)


@pytest.mark.parametrize("files", [1, 3, 5])
def test_schedules_and_callbacks_with_a_state(files: int, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def both() -> list[Any]:
        return [EarlyStopping(patience=9, monitor="loss"), EarlyStopping(patience=2, monitor="validation_loss")]

    def options() -> dict[str, Any]:
        return {"schedule": Halves(), "callbacks": both, "validation_data": (X, T[::-1].copy())}

    expected = uninterrupted(**options())
    with killed_after(files, monkeypatch):
        own = options()
        callbacks = [*own.pop("callbacks")(), Checkpoint(path, every_batches=3)]
        network().fit(X, T, callbacks=callbacks, **OPTIONS, **own)
    own, other = options(), network()
    history = other.fit(X, T, callbacks=own.pop("callbacks")(), resume=path, **OPTIONS, **own)
    assert outcome(other, history) == expected


def test_numerical_gradients_go_on(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fitted(**options: Any) -> tuple[Any, ...]:
        net = Network([Affine(5, 3)], rng=1)
        return outcome(net, net.fit(X, T, gradient="numerical", **OPTIONS, **options))

    with killed_after(2, monkeypatch):
        fitted(callbacks=[Checkpoint(path, every_batches=3)])
    assert fitted(resume=path) == fitted()


def test_a_generator_is_put_back_in_place(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what the program draws from it after the training is the same, too."""
    whole_run, other = np.random.default_rng(4), np.random.default_rng(4)
    network().fit(X, T, **{**OPTIONS, "rng": whole_run})
    with killed_after(3, monkeypatch):
        network().fit(X, T, callbacks=[Checkpoint(path)], **{**OPTIONS, "rng": np.random.default_rng(4)})
    network().fit(X, T, resume=path, **{**OPTIONS, "rng": other})
    assert whole_run.random(3).tolist() == other.random(3).tolist()


def test_a_finished_run_is_not_trained_again(path: pathlib.Path) -> None:
    """The history and the best epoch come back."""
    stopping, again = EarlyStopping(patience=1, monitor="loss"), EarlyStopping(patience=1, monitor="loss")
    net, other, options = network(), network(), {**OPTIONS, "optimizer": fastnn.SGD(5.0), "epochs": 50}
    history = net.fit(X, T, callbacks=[stopping, Checkpoint(path)], resume=path, **options)
    assert history.epochs < 50
    content, seconds = path.read_bytes(), history.seconds
    history = other.fit(X, T, callbacks=[again, Checkpoint(path)], resume=path, **options)
    assert (bits(other), history.seconds, other.history) == (bits(net), seconds, history)
    assert (again.best_epoch, again.stopped_epoch) == (stopping.best_epoch, stopping.stopped_epoch)
    assert path.read_bytes() == content


def test_epochs_may_grow(path: pathlib.Path) -> None:
    network().fit(X, T, callbacks=[Checkpoint(path)], **{**OPTIONS, "epochs": 2})
    net = network()
    assert outcome(net, net.fit(X, T, resume=path, **OPTIONS)) == uninterrupted()


def test_the_optimizer_is_that_of_the_file(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_after(2, monkeypatch):
        network().fit(X, T, callbacks=[Checkpoint(path)], **OPTIONS)
    net = network()
    history = net.fit(X, T, resume=path, **{**OPTIONS, "optimizer": None})
    assert outcome(net, history) == uninterrupted()


def test_another_generator_without_a_seed_goes_on(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_after(2, monkeypatch):
        network().fit(X, T, callbacks=[Checkpoint(path)], **OPTIONS)
    net = network()
    assert outcome(net, net.fit(X, T, resume=path, **{**OPTIONS, "rng": None})) == uninterrupted()


# --- initial_epoch


def test_epochs_are_counted_from_the_initial_one(path: pathlib.Path) -> None:
    asked: list[tuple[int, int]] = []

    def schedule(epoch: int, history: History) -> float:
        asked.append((epoch, history.epochs))
        return 1.0

    history = network().fit(X, T, initial_epoch=2, schedule=schedule, **OPTIONS)
    assert asked == [(2, 0), (3, 1)] and history.epochs == 2
    assert network().fit(X, T, initial_epoch=4, **OPTIONS).epochs == 0
    with pytest.raises(ValueError, match=r"^initial_epoch: expected an integer of at least 0, got -1$"):
        network().fit(X, T, initial_epoch=-1, **OPTIONS)
    count = "epochs counts the epochs that are done, too, so for 4 more pass epochs=9"
    with pytest.raises(ValueError, match=f"^initial_epoch: expected an integer of at most epochs, 4, got 5; {count}$"):
        network().fit(X, T, initial_epoch=5, **OPTIONS)
    pattern = str(path.with_name("{epoch}.npz"))
    network().fit(X, T, initial_epoch=2, callbacks=[Checkpoint(pattern, keep=None)], **OPTIONS)
    assert sorted(os.listdir(path.parent)) == ["3.npz", "4.npz"]
    assert network().fit(X, T, initial_epoch=2, resume=pattern, **{**OPTIONS, "epochs": 6}).epochs == 4


def test_a_warm_up_ends_before_a_history_that_begins_later() -> None:
    then: list[int] = []

    def later(epoch: int, history: History) -> float:
        then.append(history.epochs)
        return 1.0

    warmup = schedules.Warmup(3, later)
    network().fit(X, T, initial_epoch=2, schedule=warmup, **{**OPTIONS, "epochs": 6})
    assert then == [0, 0, 1, 2]  # epoch 2 is the last of the warm-up
