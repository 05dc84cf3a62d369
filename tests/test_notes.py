"""A network's notes: kept by files, checkpoints, ONNX models, copies and pickles; refused if they are no JSON."""

import copy
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.gate.notes import of_text
from tests.model_files import REPAIR, members, small_network, write_members

NOTES = {"classes": ["no", "yes"], "table": {"mean": 0.1, "rows": 3, "none": None, "Größe": [True, [1.5, "a"]]}}


def noted_network() -> fastnn.Network:
    network = small_network()
    network.notes.update(copy.deepcopy(NOTES))
    return network


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_keep_them(suffix: str, tmp_path: pathlib.Path) -> None:
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path, network = tmp_path / f"net{suffix}", noted_network()
    network.save(path)
    assert fastnn.load(path).notes == NOTES
    if suffix == ".npz":
        small_network().save(tmp_path / "plain.npz")
        assert set(members(path)) - set(members(tmp_path / "plain.npz")) == {"notes.json"}
        assert fastnn.load(tmp_path / "plain.npz").notes == {}


def test_checkpoints_keep_them(tmp_path: pathlib.Path) -> None:
    network, rng = noted_network(), np.random.default_rng(0)
    x, t = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))
    path = tmp_path / "run.npz"
    options: dict[str, Any] = {"progress": False, "rng": 0, "callbacks": [fastnn.Checkpoint(path)], "resume": path}
    network.fit(x, t, epochs=1, **options)
    assert fastnn.load(path).notes == NOTES
    network.fit(x, t, epochs=2, **options)
    assert network.notes == NOTES == fastnn.load(path).notes


def test_onnx_keeps_them(tmp_path: pathlib.Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = noted_network().to_onnx()
    assert fastnn.Network.from_onnx(model).notes == NOTES
    onnx.helper.set_model_props(model, {"fastnn.notes": "{"})
    with pytest.warns(UserWarning, match="^model: notes: expected JSON"):
        assert fastnn.Network.from_onnx(model).notes == {}


def test_copies_have_their_own() -> None:
    network = noted_network()
    for made in (copy.copy(network), copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert made.notes == NOTES
        made.notes["table"]["rows"] = 4
        assert network.notes == NOTES


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, float("nan"), np.float32(1), object(), b"x"])
def test_what_is_no_json_is_refused(value: Any, tmp_path: pathlib.Path) -> None:
    network = noted_network()
    network.notes["own"] = value
    with pytest.raises((TypeError, ValueError), match=r"^notes: expected dictionaries with texts as keys"):
        network.save(tmp_path / "net.npz")
    assert list(tmp_path.iterdir()) == []


def test_damaged_notes_are_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "net.npz"
    noted_network().save(path)
    for text, came in (
        (b"[]", "a JSON object, got list"),
        (b"{", "JSON, got text that is not (Expecting property name"),
    ):
        write_members(path, {**members(path), "notes.json": text})
        with pytest.raises(fastnn.ModelFileError) as caught:
            fastnn.load(path)
        assert str(caught.value).startswith(f"{path}: notes.json: notes: expected {came}")
        assert str(caught.value).endswith(REPAIR)
    write_members(path, {**members(path), "other.json": b"{}"})
    with pytest.raises(fastnn.ModelFileError, match=r"as header\.json says"):
        fastnn.load(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_of_json_are_refused(number: str) -> None:
    with pytest.raises(ValueError, match=rf"^notes: expected JSON, got text that is not .*{number}"):
        of_text(f'{{"a": [{number}]}}')


def test_notes_can_be_replaced() -> None:
    net = fastnn.Network([fastnn.Affine(2, 2)], rng=0)
    net.notes = {"classes": ["a", "b"]}
    net.notes["more"] = 1
    assert net.notes == {"classes": ["a", "b"], "more": 1}
    assert copy.deepcopy(net).notes == net.notes
    with pytest.raises(TypeError, match=r"^notes: expected a dictionary, got"):
        net.notes = ["a"]  # type: ignore[assignment]
