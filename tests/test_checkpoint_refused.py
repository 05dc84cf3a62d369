"""Damaged or malicious checkpoints are refused before anything is changed; nothing in them is executed."""

import json
import os
import pathlib
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Checkpoint, EarlyStopping, Network
from fastnn.network import saving
from tests import shapes
from tests.model_files import HEADER, bits, members, write_members

X, T = shapes.numbers(3, 26, 5, dtype=np.float32), shapes.targets("labels", 26, 3, np.float32)
TRAINING = "training.json"
REPAIR = "use an intact copy, or train anew, without resume"


def options(generator: Any = np.random.PCG64) -> dict[str, Any]:
    stopping = EarlyStopping(monitor="loss")
    optimizer, rng = fastnn.Momentum(0.1), np.random.Generator(generator(1))
    return {"epochs": 4, "batch_size": 8, "optimizer": optimizer, "callbacks": [stopping], "rng": rng}


def network() -> Network:
    return Network([Affine(5, 3)], rng=1)


@pytest.fixture
def checkpoint(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A checkpoint within the third epoch."""
    own = options()
    monkeypatch.setattr(saving.Saver, "after_epoch", lambda self, run: None)
    network().fit(X, T, **{**own, "callbacks": [*own["callbacks"], Checkpoint(path, every_batches=10)]})
    monkeypatch.undo()
    return path


def edit(path: pathlib.Path, change: Callable[[Any], object]) -> None:
    found = members(path)
    content = json.loads(found[TRAINING])
    change(content)
    write_members(path, {**found, TRAINING: json.dumps(content).encode()})


def refused(path: pathlib.Path, sentence: str, end: str = "") -> None:
    """Assert that fit refuses the file with a sentence that begins and ends so, and changes nothing."""
    net, own = network(), options()
    before, state, history = bits(net), own["rng"].bit_generator.state, net.history
    with pytest.raises(fastnn.ModelFileError, match=f"^{re.escape(str(path))}: {re.escape(sentence)}.*{end}$"):
        net.fit(X, T, resume=path, **own)
    assert (bits(net), own["rng"].bit_generator.state, net.history) == (before, state, history)


def at(*keys: Any, value: Any) -> Callable[[Any], object]:
    """Change one entry of training.json."""

    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


POSITION, GENERATOR = ("tree", "position"), ("tree", "generator")
CHANGES: list[tuple[Callable[[Any], object], str]] = [
    (at(*POSITION, "batches", value=-1), "training.json: batches: expected an integer of at least 0 and of at most 3"),
    (at(*POSITION, "batches", value=4), "training.json: batches: expected an integer of at least 0 and of at most 3"),
    (at(*POSITION, "batches", value=True), "training.json: batches: expected an integer"),
    (at(*POSITION, "samples", value=-8), "training.json: samples: expected an integer"),
    (at(*POSITION, "epochs", value=10**400), "training.json: epochs: expected an integer"),
    (at(*POSITION, "epochs", value=3), "training.json: history: expected 3 numbers of "),
    (at(*POSITION, "losses", value=float("nan")), "training.json: losses: expected a finite number, got nan"),
    (at(*POSITION, "learning_rate", value="0.1"), "training.json: learning_rate: expected a finite number"),
    (at(*POSITION, "has_ended", value="no"), "training.json: has_ended: expected True or False, got 'no'"),
    (at(*POSITION, "hook", value=1), "training.json: position: expected epochs, batches_before, "),
    (at("tree", "position", value=[]), "training.json: "),
    (at("tree", "history", value={}), "training.json: history: expected loss, accuracy, seconds, learning_rate, got "),
    (at("tree", "history", "loss", value=[1.0, 2.0]), "training.json: history: expected 2 numbers of loss, got "),
    (at(*GENERATOR, "now", "state", "state", value=-1), "training.json: state: expected an integer of at least 0"),
    (at(*GENERATOR, "now", "uinteger", value=2**100), "training.json: "),
    (at(*GENERATOR, "before_order", value=None), "training.json: generator: expected bit_generator, state, "),
    (at("tree", "files", value=3), "training.json: "),
    (at("tree", "settings", value=None), "settings: expected layers, input_shape, "),
    (at("tree", value=[]), "training.json: expected JSON that describes a training, got text that does not ("),
    (at("arrays", value=3), "training.json: expected JSON that describes a training, got text that does not ("),
    (at("arrays", "training/history/loss", value=["object", [2]]), "training.json: expected arrays of the file, got"),
    (at("arrays", "training/history/loss", value=["float64", [-2]]), "training.json: expected arrays of the file, got"),
    (at("arrays", "training/history/loss", value=["float64", [10**9]]), "training/history/loss.npy: expected 80000001"),
    (at("arrays", "W1", value=["float32", [5, 3]]), "training.json: expected the names of all arrays, got "),
    (at("arrays", "elsewhere", value=["float32", [5, 3]]), "training.json: expected arrays of the file, got "),
    (at("tree", "history", "loss", value={"$array": "W9"}), "training.json: expected JSON that describes a training, "),
]


@pytest.mark.parametrize(("change", "sentence"), CHANGES)
def test_a_training_that_cannot_be(change: Callable[[Any], object], sentence: str, checkpoint: pathlib.Path) -> None:
    edit(checkpoint, change)
    refused(checkpoint, sentence)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"tree": {}, "arrays": {}}', b"null"])
def test_a_text_that_describes_no_training(text: bytes, checkpoint: pathlib.Path) -> None:
    write_members(checkpoint, {**members(checkpoint), TRAINING: text})
    refused(checkpoint, "training.json: expected ")


def test_what_no_checkpoint_is(checkpoint: pathlib.Path) -> None:
    """The errors of parts that any network's file has speak of a checkpoint, too."""
    found = members(checkpoint)
    edit(checkpoint, at("tree", "history", value={}))
    refused(checkpoint, "training.json: history: expected loss, accuracy, seconds, learning_rate, got ; " + REPAIR)
    write_members(checkpoint, {**found, HEADER: b"{"})
    refused(checkpoint, "header.json: expected JSON, got text that is not (", REPAIR)
    write_members(checkpoint, {**found, HEADER: b"{}"})
    remedy = "pass a file saved by fastnn.Checkpoint"
    refused(checkpoint, "header.json: expected the format 'fastnn network', got None; " + remedy)
    checkpoint.write_bytes(checkpoint.read_bytes()[:200])
    came = "one that is not, or is cut short or damaged (File is not a zip file)"
    refused(checkpoint, f"expected a file written by fastnn.Checkpoint, got {came}; {REPAIR}")


@pytest.mark.parametrize(
    ("kind", "key", "value"), [(np.random.MT19937, "pos", 10**6), (np.random.Philox, "buffer_pos", -5)]
)
def test_a_place_outside_a_generators_array(kind: Any, key: str, value: int, path: pathlib.Path) -> None:
    """NumPy takes it, and would read memory that is not the array's."""
    own = options(kind)
    own["callbacks"].append(Checkpoint(path))
    network().fit(X, T, **own)
    where = ("tree", "generator", "now", *(["state"] if key == "pos" else []), key)
    edit(path, at(*where, value=value))
    before = (again := options(kind))["rng"].bit_generator.state
    with pytest.raises(
        fastnn.ModelFileError, match=f"training.json: {key}: expected an integer of at least 0 and of at"
    ):
        network().fit(X, T, resume=path, **again)
    np.testing.assert_equal(again["rng"].bit_generator.state, before)


def test_the_state_of_a_callback_that_is_not_this_networks(checkpoint: pathlib.Path) -> None:
    """Kernels would read the optimizer's state by its address."""
    where = ("tree", "callbacks", "EarlyStopping 1", "best")
    for key, value in (("state", {"$array": "training/history/loss"}), ("parameters", [1.0]), ("update", "adam")):
        found = members(checkpoint)
        edit(checkpoint, at(*where, key, value=value))
        net = network()
        before = bits(net)
        with pytest.raises(ValueError, match=r"^(state|parameters): expected float32 \(.*; pass the state of this net"):
            net.fit(X, T, resume=checkpoint, **options())
        assert bits(net) == before
        write_members(checkpoint, found)


def test_other_layers_than_the_settings_say(checkpoint: pathlib.Path) -> None:
    """A header of one network and the settings of another: its arrays would not fit."""
    found = members(checkpoint)
    other = checkpoint.with_name("other.npz")
    net = Network([Affine(5, 1)], "mean_squared_error", rng=1)
    net.step(X, np.zeros((26, 1)), fastnn.Momentum(0.1))
    net.save(other)
    own = {name: content for name, content in found.items() if name.startswith("training")}
    write_members(checkpoint, {**members(other), **own})
    refused(checkpoint, "expected the layers of its settings, got others; " + REPAIR)


def test_no_other_file_is_removed(tmp_path: pathlib.Path) -> None:
    """The file names the earlier ones, of which the last are kept; a stranger's could name anything."""
    mine, pattern, own = tmp_path / "thesis.txt", tmp_path / "run-{epoch}.npz", options()
    others = [mine, tmp_path / "run-7x.npz", tmp_path / "sub" / "run-7.npz"]
    others[2].parent.mkdir()
    for other in others:
        other.write_text("precious")
    network().fit(X, T, **{**own, "epochs": 2, "callbacks": [Checkpoint(pattern)]})
    names = [*map(str, others), str(tmp_path / "sub" / ".." / "thesis.txt")]
    edit(tmp_path / "run-2.npz", at("tree", "files", value=[names]))
    network().fit(X, T, resume=pattern, **{**options(), "callbacks": [Checkpoint(pattern)]})
    assert [other.read_text() for other in others] == 3 * ["precious"]


class Payload:
    """Unpickled, it creates a folder, as a stranger's file could."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_no_pickle_is_executed(checkpoint: pathlib.Path) -> None:
    folder, found = checkpoint.parent / "executed", members(checkpoint)
    for name in (HEADER, TRAINING, "training/history/loss.npy"):
        write_members(checkpoint, {**found, name: pickle.dumps(Payload(folder))})
        refused(checkpoint, "")
    assert not folder.exists()


def test_a_checkpoint_with_any_byte_changed_is_read_as_it_was_or_not_at_all(checkpoint: pathlib.Path) -> None:
    content, failures = checkpoint.read_bytes(), 0

    def read() -> str:
        found = saving.find(checkpoint)
        assert found is not None
        return repr((found.snapshot, found.tree))

    original = read()
    for position in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[position] ^= 0x41
        checkpoint.write_bytes(damaged)
        try:
            assert read() == original
        except fastnn.ModelFileError:
            failures += 1
    assert failures > len(content) // 10


def test_other_images_are_told_by_the_shape_in_which_they_came(path: pathlib.Path) -> None:
    x, t = shapes.numbers(3, 12, 18, dtype=np.float32).reshape(12, 2, 3, 3), np.arange(12) % 2
    layers = [fastnn.Conv2d(2, 1, 3), fastnn.Flatten(), Affine(1, 2)]
    own: dict[str, Any] = {"epochs": 2, "rng": 0, "progress": False}
    Network(layers, input_shape=(2, 3, 3), rng=0).fit(x, t, validation_data=(x, t), callbacks=[Checkpoint(path)], **own)
    again, shape = Network(layers, input_shape=(2, 3, 3), rng=0), re.escape("an array (12, 2, 3, 3) with the checksum")
    for name, changed in (("x", {"x": x + 1}), ("validation_data", {"validation_data": (x + 1, t)})):
        given: dict[str, Any] = {"x": x, "t": t, "validation_data": (x, t), **changed}
        with pytest.raises(ValueError, match=f"^{name}: expected {shape} .*, got {shape}"):
            again.fit(**given, resume=path, **own)
