"""Files of the format .safetensors: the same bits come back, other programs read them, damaged ones are refused."""

import json
import pathlib
import struct
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, BatchNorm, Dropout, Network, Relu
from tests import shapes
from tests.model_files import REMEDY, REPAIR, bits, refused, small_network, whole

safetensors = pytest.importorskip("safetensors")


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "model.SafeTensors"  # a suffix in any case


def parts(path: pathlib.Path) -> tuple[dict[str, Any], bytes]:
    """The header and the data of a file, as https://github.com/huggingface/safetensors#format describes them."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write(path: pathlib.Path, header: dict[str, Any], data: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize("optimizer", [None, fastnn.Momentum(0.1), fastnn.Adam(0.1)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_keeps_every_bit(dtype: str, optimizer: Any, path: pathlib.Path) -> None:
    net = Network([Affine(5, 6), BatchNorm(), Relu(), Dropout(0.5), Affine(6, 3)], rng=0, dtype=dtype)
    x, t = shapes.numbers(1, 8, 5), shapes.targets("labels", 8, 3, np.float64)
    if optimizer is not None:
        net.step(x, t, optimizer)
    net.params["b1"][:3] = [np.nan, -np.inf, -0.0]
    net.save(path)
    assert bits(fastnn.load(path)) == bits(net)
    renamed = path.rename(path.with_suffix(".npz"))  # the content decides
    assert bits(fastnn.load(renamed)) == bits(net)


def test_the_library_reads_the_arrays_by_name(path: pathlib.Path) -> None:
    from safetensors.numpy import load_file

    net = small_network()
    net.save(path)
    arrays = load_file(path)
    assert sorted(arrays) == ["W1", "W2", "b1", "b2", "optimizer_state"]
    for name, array in net.params.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    first = path.read_bytes()
    small_network().save(path)
    assert path.read_bytes() == first  # equal networks give equal files


def test_a_file_cut_short_at_every_length(path: pathlib.Path) -> None:
    small_network().save(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(fastnn.ModelFileError, match=whole(f"{path}: ")[:-1]):
            fastnn.load(path)


def test_other_files_are_refused(path: pathlib.Path) -> None:
    from safetensors.numpy import save_file

    save_file({"images": np.zeros(3)}, path)
    refused(path, f"expected header.json, got 'images'; {REMEDY}")
    small_network().save(path)
    header, data = parts(path)
    write(path, {**header, "more": {"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}}, data)
    names = "header.json, W1, b1, W2, b2, optimizer_state"
    with pytest.raises(fastnn.ModelFileError, match=f"expected {names}, as header.json says, got '.*more"):
        fastnn.load(path)
    for change, came in ({"dtype": "I32"}, "I32 of shape (3, 4)"), ({"shape": [4, 3]}, "F32 of shape (4, 3)"):
        write(path, {**header, "W1": {**header["W1"], **change}}, data)
        refused(path, f"W1: expected F32 of shape (3, 4), got {came}; {REPAIR}")


def test_without_the_library(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written, and an old file stays."""
    small_network().save(path)
    content = path.read_bytes()

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name="safetensors")

    monkeypatch.setattr("importlib.import_module", missing)
    remedy = 'run pip install "fastnn-kernels[safetensors]", or use a name that ends in .npz'
    for call in (small_network(momentum=False).save, fastnn.load):
        with pytest.raises(
            ImportError, match=whole(f"safetensors: expected it for a file of that format, got none; {remedy}")
        ):
            call(path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]
