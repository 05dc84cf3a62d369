"""CSVLogger: its lines are the history, also where a training goes on, and what it refuses."""

import csv
import os
import pathlib
from typing import Any

import pytest

import fastnn
from fastnn import Affine, Checkpoint, CSVLogger, History, Network
from tests.checkpoints import T, X, killed_after
from tests.model_files import whole

OPTIONS: dict[str, Any] = {"epochs": 4, "batch_size": 8, "rng": 2, "progress": False}


def network() -> Network:
    return Network([Affine(5, 3)], rng=1)


def read(path: pathlib.Path) -> dict[str, list[float]]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


@pytest.mark.parametrize("validated", [True, False])
def test_the_file_holds_the_history(validated: bool, tmp_path: pathlib.Path) -> None:
    """All digits, and nothing of an earlier file or fit."""
    path, seen = tmp_path / "log.csv", []
    path.write_text("old\n")
    logger = CSVLogger(path)
    more: dict[str, Any] = {"validation_data": (X, T)} if validated else {}
    for _ in range(2):
        watch: Any = lambda net, history: seen.append(len(path.read_text().splitlines()))  # noqa: E731
        history = network().fit(X, T, callbacks=[logger, watch], **OPTIONS, **more)
        assert read(path) == {"epoch": [1, 2, 3, 4], **history.to_dict()}
    assert seen == 2 * [2, 3, 4, 5]


def test_the_lines_of_epochs_before_a_kill(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs after the checkpoint were written before the kill, the last one by half."""
    path, checkpoint = tmp_path / "log.csv", Checkpoint(tmp_path / "run.npz", every=2)
    with killed_after(1, monkeypatch):
        network().fit(X, T, callbacks=[CSVLogger(path), checkpoint], **OPTIONS)
    with open(path, "a") as file:
        file.write("3,0.5,0.5,0.5,0.1\n4,0.")
    history = network().fit(X, T, callbacks=[CSVLogger(path), checkpoint], resume=tmp_path / "run.npz", **OPTIONS)
    assert read(path) == {"epoch": [1, 2, 3, 4], **history.to_dict()}


def test_what_is_refused(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "logs"
    with pytest.raises(TypeError, match=r"^path: expected a string or an os.PathLike, got 5; pass a name such as "):
        CSVLogger(5)  # type: ignore[arg-type]
    message = f"path: expected a file in a folder that is there, got {folder}/log.csv; create the folder {folder} first"
    net = network()
    with pytest.raises(FileNotFoundError, match=whole(message)):
        net.fit(X, T, callbacks=[CSVLogger(folder / "log.csv")], **OPTIONS)
    assert net.history is None
    with pytest.raises(ValueError, match=r"^callbacks: expected callbacks that several networks can share, got a CSV"):
        fastnn.cross_validate(lambda rng: network(), X, T, callbacks=[CSVLogger(tmp_path / "log.csv")])
    assert os.listdir(tmp_path) == []


def test_a_history_as_a_dictionary() -> None:
    history = History(loss=[2.0, 1.0], seconds=[0.5, 0.25], learning_rate=[0.1, 0.1])
    copied = history.to_dict()
    assert copied == {"loss": [2.0, 1.0], "seconds": [0.5, 0.25], "learning_rate": [0.1, 0.1]}
    copied["loss"].append(3.0)
    assert history.loss == [2.0, 1.0]
    assert History().to_dict() == {}
