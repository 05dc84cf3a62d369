"""A training that is killed at random moments and started again ends with the bits of one that was not."""

import os
import pathlib
import random
import signal
import subprocess
import sys

import pytest

import fastnn
from fastnn.network.files import contents, training_state
from tests import killed_training

LONGEST = 0.12  # seconds from a training's first epoch to the kill


def killed_and_started_again(kills: int, epochs: int, path: pathlib.Path) -> tuple[list[tuple[int, int]], str]:
    """Where the file stood after each kill, epochs and batches, and the digest of the training left alone at last."""
    folder = pathlib.Path(fastnn.__file__).parents[1]
    command = [sys.executable, "-m", "tests.killed_training", str(path), str(epochs)]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    moments, places = random.Random(kills), []
    for number in range(kills + 1):
        with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "training\n"
            if number < kills:
                try:
                    process.wait(moments.uniform(0.0, LONGEST))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL  # it had not finished
                places.append(place_of(path))
            else:
                output, _ = process.communicate(timeout=120)
    return places, output.strip()


def place_of(path: pathlib.Path) -> tuple[int, int]:
    """The epochs and the batches of the next one that a file holds."""
    if not path.exists():
        return 0, 0
    with contents.opened(str(path)) as reader:
        position = training_state.unpack(reader)["position"]
    return position["epochs"], position["batches"]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(
    ("kills", "suffix"),
    [(3, "npz"), *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in ((50, "npz"), (5, "safetensors")))],
)
def test_kills_do_not_change_a_bit(kills: int, suffix: str, tmp_path: pathlib.Path) -> None:
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    epochs, path = 30 + 30 * kills, tmp_path / f"run.{suffix}"
    places, digest = killed_and_started_again(kills, epochs, path)
    assert len(places) == kills and places == sorted(places) and (0, 0) < places[-1] < (epochs, 0)
    assert kills < 50 or len({batches for _, batches in places}) > 5  # within epochs
    assert digest == killed_training.train(epochs)
    assert os.listdir(tmp_path) == [path.name]  # and no temporary file is left
