"""Model files: the same bits after loading, old or new at every moment, and nothing believed that was not checked."""

import concurrent.futures
import errno
import functools
import io
import json
import os
import pathlib
import pickle
import re
import stat
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import persistence
from fastnn.arrays import Array
from fastnn.kernels.losses import LOSSES
from fastnn.layers import LAYERS, Affine, Elu, Layer, LeakyRelu
from fastnn.network import Network
from fastnn.optimizers import OPTIMIZERS, Momentum, Optimizer
from tests.tolerances import assert_close

DATA = pathlib.Path(__file__).parent / "data"
HEADER, PARAMETERS, STATE = "header.json", "parameters.npy", "optimizer_state.npy"
REPAIR = "use an intact copy, or save the network again"
REMEDY = "pass a file saved by Network.save"

on_posix = pytest.mark.skipif(os.name != "posix", reason="permissions, pipes and fork are POSIX's")


def whole(sentence: str) -> str:
    return f"^{re.escape(sentence)}$"


def small_network(momentum: bool = True, dtype: str = "float32") -> Network:
    """Three inputs, two outputs, 26 parameters; with `momentum`, once trained, so that there is a state to keep."""
    network = Network([Affine(3, 4), LeakyRelu(0.1), Affine(4, 2)], "mean_squared_error", rng=0, dtype=dtype)
    if momentum:
        network.step(*batch("mean_squared_error"), Momentum(lr=0.1))
    return network


def batch(loss: str) -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((7, 3))
    return x, rng.integers(0, 2, 7) if loss == "softmax_cross_entropy" else rng.standard_normal((7, 2))


def bits(network: Network) -> tuple[bytes, bytes, str | None]:
    values, state, update = network.snapshot()
    return values.tobytes(), state.tobytes(), update


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "model.npz"


@pytest.fixture
def saved(path: pathlib.Path) -> pathlib.Path:
    small_network().save(path)
    return path


def members(path: pathlib.Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: pathlib.Path, contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def edit_header(path: pathlib.Path, edit: Callable[[dict[str, Any]], object]) -> None:
    contents = members(path)
    header = json.loads(contents[HEADER])
    edit(header)
    write_members(path, {**contents, HEADER: json.dumps(header).encode()})


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def refused(path: pathlib.Path, sentence: str) -> None:
    """Loading must fail with this sentence, which follows the file's name."""
    with pytest.raises(fastnn.ModelFileError, match=whole(f"{path}: {sentence}")):
        fastnn.load(path)


# ---- the same network comes back

EXAMPLES = [
    {LeakyRelu: LeakyRelu(0.3), Elu: Elu(0.7), Affine: Affine(4, 4, "zeros")}.get(k) or k() for k in LAYERS.values()
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layer", EXAMPLES, ids=str)
def test_round_trip_keeps_every_bit(layer: Layer, loss: str, dtype: str, path: pathlib.Path) -> None:
    x, t = batch(loss)
    network = Network([Affine(3, 4, init=0.5), layer, Affine(4, 2)], loss, rng=1, dtype=dtype)
    for _ in range(3):
        network.step(x, t, Momentum(lr=0.05))
    network.save(path)
    loaded = fastnn.load(path)
    assert (loaded.layers, loaded.loss_name, loaded.dtype) == (network.layers, loss, np.dtype(dtype))
    assert bits(loaded) == bits(network)
    assert loaded.predict(x).tobytes() == network.predict(x).tobytes()
    for _ in range(3):
        assert loaded.step(x, t, Momentum(lr=0.05)) == network.step(x, t, Momentum(lr=0.05))
    assert bits(loaded) == bits(network)


def test_every_layer_is_an_example() -> None:
    assert {type(layer) for layer in EXAMPLES} == set(LAYERS.values())


@pytest.mark.parametrize("optimizer", [None, *(kind() for kind in OPTIMIZERS.values())], ids=str)
def test_fit_goes_on_as_if_it_had_not_been_interrupted(optimizer: Optimizer | None, path: pathlib.Path) -> None:
    x, t = batch("mean_squared_error")
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 3, "optimizer": optimizer, "progress": False}
    network = small_network(momentum=False)
    network.fit(x, t, rng=1, **settings)
    network.save(path)
    loaded = fastnn.load(path)
    assert loaded.fit(x, t, rng=2, **settings).loss == network.fit(x, t, rng=2, **settings).loss
    assert bits(loaded) == bits(network)


def test_momentum_is_what_continued_training_needs(saved: pathlib.Path) -> None:
    """The tests above would pass without the state if it made no difference."""
    x, t = batch("mean_squared_error")
    loaded, forgetful = fastnn.load(saved), fastnn.load(saved)
    values, state, update = forgetful.snapshot()
    assert update == "momentum"
    assert np.abs(state).max() > 0
    forgetful.restore((values, 0 * state, update))
    loaded.step(x, t, Momentum(lr=0.1))
    forgetful.step(x, t, Momentum(lr=0.1))
    assert bits(loaded) != bits(forgetful)


def test_an_untrained_network_and_one_initialized_again_have_no_state(path: pathlib.Path) -> None:
    network = small_network(momentum=True)
    network.initialize(3)
    network.save(path)
    values, state, update = fastnn.load(path).snapshot()
    assert (values.tobytes(), state.shape, update) == (bits(network)[0], (0, 26), None)


def test_parameters_that_are_not_finite_are_kept(path: pathlib.Path) -> None:
    network = small_network(momentum=False)
    network.params["b1"] = [np.nan, np.inf, -np.inf, -0.0]
    network.params["W2"].view(np.uint32)[0, 0] = 0x7FC12345  # a NaN with a payload
    network.save(path)
    assert bits(fastnn.load(path)) == bits(network)


def test_history_and_threads_are_not_stored(path: pathlib.Path) -> None:
    network = Network([Affine(3, 2)], "mean_squared_error", rng=0, n_threads=2)
    network.fit(*batch("mean_squared_error"), epochs=1, progress=False)
    assert network.history is not None
    network.save(path)
    loaded = fastnn.load(path)
    assert loaded.history is None
    assert loaded.n_threads is None


def test_a_loaded_network_is_a_network_like_any_other(saved: pathlib.Path) -> None:
    loaded = fastnn.load(saved)
    loaded.params["W1"][0, 0] = 3.0
    assert loaded.params["W1"][0, 0] == 3.0
    assert loaded.params["b2"].flags.writeable
    assert loaded.summary() == small_network().summary()


# ---- the file


@pytest.mark.parametrize(("dtype", "stored"), [("float32", "<f4"), ("float64", "<f8")])
def test_the_file_is_read_by_numpy_and_little_endian(dtype: str, stored: str, path: pathlib.Path) -> None:
    network = small_network(dtype=dtype)
    network.save(path)
    with np.load(path, allow_pickle=False) as file:
        assert file.files == [HEADER, "parameters", "optimizer_state"]
        expected = np.concatenate([array.ravel() for array in network.params.values()])
        np.testing.assert_array_equal(file["parameters"], expected, strict=True)
        np.testing.assert_array_equal(file["optimizer_state"], network.snapshot()[1], strict=True)
    for name in (PARAMETERS, STATE):
        assert f"'descr': '{stored}'".encode() in members(path)[name]


def test_the_header_says_what_the_network_is(saved: pathlib.Path) -> None:
    assert json.loads(members(saved)[HEADER]) == {
        "format": "fastnn network",
        "format_version": 1,
        "fastnn_version": fastnn.__version__,
        "layers": [
            {"class": "Affine", "inputs": 3, "outputs": 4, "init": None},
            {"class": "LeakyRelu", "slope": 0.1},
            {"class": "Affine", "inputs": 4, "outputs": 2, "init": None},
        ],
        "loss": "mean_squared_error",
        "dtype": "float32",
        "parameters": [
            {"name": "W1", "shape": [3, 4]},
            {"name": "b1", "shape": [4]},
            {"name": "W2", "shape": [4, 2]},
            {"name": "b2", "shape": [2]},
        ],
        "optimizer": "momentum",
    }


def test_equal_networks_give_equal_files(tmp_path: pathlib.Path) -> None:
    small_network().save(tmp_path / "one")
    small_network().save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with zipfile.ZipFile(tmp_path / "one") as archive:
        for member in archive.infolist():
            assert (member.date_time, member.create_system) == ((1980, 1, 1, 0, 0, 0), 3)  # on every system
            assert member.external_attr >> 16 == 0o644


@pytest.mark.parametrize("name", ["model", "model.npz", "model.npz.1", "größe 模型.npz", "x" * 255])
@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_the_file_has_just_the_name_that_was_given(
    name: str, kind: Callable[[Any], Any], tmp_path: pathlib.Path
) -> None:
    small_network().save(kind(tmp_path / name))
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert bits(fastnn.load(kind(tmp_path / name))) == bits(small_network())


def test_a_relative_name(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_network().save("model.npz")
    assert bits(fastnn.load("model.npz")) == bits(small_network())
    assert os.listdir(tmp_path) == ["model.npz"]


@pytest.mark.parametrize(
    ("name", "layers", "loss", "dtype"),
    [
        (
            "network_format_1.npz",
            (
                Affine(3, 4, "he"),
                fastnn.Identity(),
                LeakyRelu(0.25),
                Affine(4, 3, 0.5),
                Elu(0.5),
                fastnn.Tanh(),
                Affine(3, 2),
                fastnn.Sigmoid(),
                fastnn.Relu(),
                fastnn.Softmax(),
            ),
            "mean_squared_error",
            "float32",
        ),
        ("network_format_1_gates.npz", (Affine(2, 2), fastnn.Step(), Affine(2, 2)), "softmax_cross_entropy", "float64"),
    ],
)
def test_files_of_format_version_1_load_for_ever(name: str, layers: tuple[Layer, ...], loss: str, dtype: str) -> None:
    """Files written by fastnn 0.1.0. They are never written again: a fastnn that cannot read them is wrong."""
    network = fastnn.load(DATA / name)
    assert (network.layers, network.loss_name, network.dtype) == (layers, loss, np.dtype(dtype))
    assert (DATA / name).stat().st_size < 3000


def test_format_version_1_predicts_as_it_did() -> None:
    network = fastnn.load(DATA / "network_format_1.npz")
    values, state, update = network.snapshot()
    k = np.arange(39)
    np.testing.assert_array_equal(values, (k * 7 % 39 - 19) / 16)
    np.testing.assert_array_equal(state, (k[None] - 19) / 32)
    assert update == "momentum"
    # by NumPy in float64
    expected = [[0.40781013508352193, 0.5921898649164781], [0.43670736370855806, 0.5632926362914419]]
    assert_close(network.predict(np.array([[0.5, -1.0, 2.0], [-0.25, 0.125, 1.0]])), expected, np.float32)

    gates = fastnn.load(DATA / "network_format_1_gates.npz")
    exclusive_or = [[0.25, -0.25], [-0.75, 0.75], [-0.75, 0.75], [0.75, -0.75]]
    np.testing.assert_array_equal(gates.predict([[0, 0], [0, 1], [1, 0], [1, 1]]), exclusive_or)
    assert (gates.snapshot()[1].shape, gates.snapshot()[2]) == ((0, 12), None)


# ---- what is not a model file


class Payload:
    """Unpickled, it creates a folder: what a stranger's file would do."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_is_refused_and_not_executed(saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    payload = Payload(tmp_path / "executed")
    pickled = pickle.dumps(payload)
    array = npy(np.array([payload], dtype=object), allow_pickle=True)
    attacks = [
        {**members(saved), name: content} for name in (HEADER, PARAMETERS, STATE) for content in (pickled, array)
    ]
    saved.write_bytes(pickled)
    with pytest.raises(fastnn.ModelFileError, match="expected a file written by Network"):
        fastnn.load(saved)
    for contents in attacks:
        write_members(saved, contents)
        with pytest.raises(fastnn.ModelFileError):
            fastnn.load(saved)
    assert not payload.folder.exists()
    pickle.loads(pickled)  # it was live
    assert payload.folder.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", b"\x93NUMPY\x01\x00", bytes(1000)])
def test_what_is_no_zip_file(content: bytes, path: pathlib.Path) -> None:
    path.write_bytes(content)
    came = "one that is not, or is cut short or damaged (File is not a zip file)"
    refused(path, f"expected a file written by Network.save, got {came}; {REPAIR}")


def test_a_file_cut_short_at_every_length(saved: pathlib.Path) -> None:
    content = saved.read_bytes()
    for length in range(len(content)):
        saved.write_bytes(content[:length])
        with pytest.raises(fastnn.ModelFileError, match=whole(f"{saved}: ")[:-1]):
            fastnn.load(saved)


def test_a_file_with_any_byte_changed_loads_as_it_was_or_not_at_all(saved: pathlib.Path) -> None:
    content, original, failures = saved.read_bytes(), bits(small_network()), 0
    for position in range(len(content)):
        for change in (0xFF, 0x01):
            damaged = bytearray(content)
            damaged[position] ^= change
            saved.write_bytes(damaged)
            try:
                assert bits(fastnn.load(saved)) == original
            except fastnn.ModelFileError:
                failures += 1
    assert failures > len(content)


def archive_refused(path: pathlib.Path, came: str) -> None:
    refused(path, f"expected an archive of {HEADER}, {PARAMETERS}, {STATE}, got {came}; {REMEDY}")


def test_members_that_are_missing_or_too_many(saved: pathlib.Path) -> None:
    contents = members(saved)
    for name in contents:
        write_members(saved, {other: contents[other] for other in contents if other != name})
        archive_refused(saved, repr(", ".join(other for other in contents if other != name)))
    write_members(saved, {**contents, "extra.npy": npy(np.zeros(1))})
    archive_refused(saved, f"'{HEADER}, {PARAMETERS}, {STATE}, extra.npy'")
    write_members(saved, {"../" + name: content for name, content in contents.items()})
    archive_refused(saved, f"'../{HEADER}, ../{PARAMETERS}, ../{STATE}'")
    write_members(saved, {})
    archive_refused(saved, "''")


def test_a_member_that_is_there_twice(saved: pathlib.Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(PARAMETERS, npy(np.zeros(26, np.float32)))
    archive_refused(saved, f"'{HEADER}, {PARAMETERS}, {STATE}, {PARAMETERS}'")


def test_another_npz_file(path: pathlib.Path) -> None:
    np.savez(path, images=np.zeros((3, 4)), labels=np.arange(3))
    archive_refused(path, "'images.npy, labels.npy'")


def test_an_encrypted_member(saved: pathlib.Path) -> None:
    content = bytearray(saved.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    saved.write_bytes(content)
    with pytest.raises(fastnn.ModelFileError, match="is encrypted, password required"):
        fastnn.load(saved)


# ---- memory


@functools.cache
def zeros_packed() -> bytes:
    """A deflated .npy member of 100 MB of zeros, within an archive of 100 kB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(PARAMETERS, persistence._npy_header(np.dtype("<f4"), (25_000_000,)) + bytes(100_000_000))
    return file.getvalue()


def packed_otherwise(name: str, largest: int, size: int, method: int = zipfile.ZIP_STORED) -> str:
    expected = f"at most {largest} bytes without compression (method 0)"
    return f"{name}: expected {expected}, got {size} bytes by method {method}; {REPAIR}"


def test_a_zip_bomb_takes_no_memory(saved: pathlib.Path) -> None:
    contents = members(saved)
    saved.write_bytes(zeros_packed())
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(HEADER, contents[HEADER])
        archive.writestr(STATE, contents[STATE])
    size = saved.stat().st_size
    assert size < 200_000
    without_memory(saved, packed_otherwise(PARAMETERS, size, 100_000_128, zipfile.ZIP_DEFLATED))


def without_memory(path: pathlib.Path, sentence: str) -> None:
    tracemalloc.start()
    try:
        refused(path, sentence)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_member_that_claims_more_than_the_file_has(saved: pathlib.Path) -> None:
    """The sizes of the parameters in the central directory, both 4 GB."""
    content, claim = bytearray(saved.read_bytes()), 0xF0000000
    start = content.rindex(b"PK\x01\x02", 0, content.rindex(PARAMETERS.encode()))
    content[start + 20 : start + 28] = claim.to_bytes(4, "little") * 2
    saved.write_bytes(content)
    without_memory(saved, packed_otherwise(PARAMETERS, len(content), claim))


def test_layers_larger_than_the_arrays(saved: pathlib.Path) -> None:
    def enlarge(header: dict[str, Any]) -> None:
        header["layers"] = [{"class": "Affine", "inputs": 10**6, "outputs": 10**6, "init": None}]
        header["parameters"] = [{"name": "W1", "shape": [10**6, 10**6]}, {"name": "b1", "shape": [10**6]}]

    edit_header(saved, enlarge)
    wanted = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000001000000,), }"
    came = "{'descr': '<f4', 'fortran_order': False, 'shape': (26,), }"
    expected = f'4000004000128 bytes that begin with "{wanted}"'
    without_memory(saved, f'{PARAMETERS}: expected {expected}, got 232 that begin with "{came}"; {REPAIR}')


def test_layers_larger_than_any_memory(saved: pathlib.Path) -> None:
    layer = {"class": "Affine", "inputs": 10**30, "outputs": 1, "init": None}
    edit_header(saved, lambda header: header.update(layers=[layer]))
    without_memory(saved, f"{HEADER}: expected layers that a memory can hold, got larger ones; {REPAIR}")


def test_a_header_too_large(saved: pathlib.Path) -> None:
    contents = members(saved)
    contents[HEADER] += b" " * 2**20
    write_members(saved, contents)
    without_memory(saved, packed_otherwise(HEADER, 2**20, len(contents[HEADER])))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_file_packed_anew(method: int, saved: pathlib.Path) -> None:
    contents = members(saved)
    write_members(saved, contents, method)
    refused(saved, packed_otherwise(HEADER, saved.stat().st_size, len(contents[HEADER]), method))
    write_members(saved, contents)
    assert bits(fastnn.load(saved)) == bits(small_network())


def npy_of(dtype: str, shape: tuple[int, ...]) -> bytes:
    return npy(np.zeros(shape, dtype))


SAID = {
    "<f4": "{'descr': '<f4', 'fortran_order': False, 'shape': (26,), }",
    ">f4": "{'descr': '>f4', 'fortran_order': False, 'shape': (26,), }",
    "<f8": "{'descr': '<f8', 'fortran_order': False, 'shape': (26,), }",
    "shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (25,), }",
    "rank": "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 26), }",
}


@pytest.mark.parametrize(
    ("content", "came"),
    [
        (npy_of(">f4", (26,)), f'232 that begin with "{SAID[">f4"]}"'),
        (npy_of("<f8", (26,)), f'336 that begin with "{SAID["<f8"]}"'),
        (npy_of("<f4", (25,)), f'228 that begin with "{SAID["shape"]}"'),
        (npy_of("<f4", (1, 26)), f'232 that begin with "{SAID["rank"]}"'),
        (npy_of("<f4", (26,))[:-4], f'228 that begin with "{SAID["<f4"]}"'),
        (npy_of("<f4", (26,)) + b"more", f'236 that begin with "{SAID["<f4"]}"'),
        (b"", "0 that begin with ''"),
    ],
)
def test_an_array_that_is_not_what_the_header_says(content: bytes, came: str, saved: pathlib.Path) -> None:
    write_members(saved, {**members(saved), PARAMETERS: content})
    refused(saved, f'{PARAMETERS}: expected 232 bytes that begin with "{SAID["<f4"]}", got {came}; {REPAIR}')
    write_members(saved, {**members(saved), PARAMETERS: npy_of("<f4", (26,)), STATE: content})
    if came.startswith('232 that begin with "' + SAID["rank"]):
        assert not fastnn.load(saved).snapshot()[1].any()  # the very array that a state is
    else:
        refused(saved, f'{STATE}: expected 232 bytes that begin with "{SAID["rank"]}", got {came}; {REPAIR}')


# ---- the header


def change(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda header: header.update(values)


def in_layer(number: int, **values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda header: header["layers"][number].update(values)


VERSION_EXPECTED = "expected the format version 1"
UPDATE_FASTNN = f"update fastnn, which is {fastnn.__version__} here"
HERE = repr(fastnn.__version__)
KNOWN_LOSSES, KNOWN_OPTIMIZERS, CLASSES = (", ".join(map(repr, table)) for table in (LOSSES, OPTIMIZERS, LAYERS))
W2 = '{"name": "W2", "shape": [4, 2]}'


WRONG_HEADERS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (change(format="other"), f"expected the format 'fastnn network', got 'other'; {REMEDY}"),
    (change(format=None), f"expected the format 'fastnn network', got None; {REMEDY}"),
    (change(format_version=2), f"{VERSION_EXPECTED}, got 2, written by fastnn {HERE}; {UPDATE_FASTNN}"),
    (
        change(format_version=2, fastnn_version="9.1", layers={}, weights=[]),
        f"{VERSION_EXPECTED}, got 2, written by fastnn '9.1'; {UPDATE_FASTNN}",
    ),
    (change(format_version=0), f"{VERSION_EXPECTED}, got 0, written by fastnn {HERE}; {UPDATE_FASTNN}"),
    (change(format_version=True), f"{VERSION_EXPECTED}, got True, written by fastnn {HERE}; {UPDATE_FASTNN}"),
    (change(format_version=1.0), f"{VERSION_EXPECTED}, got 1.0, written by fastnn {HERE}; {UPDATE_FASTNN}"),
    (change(format_version="1"), f"{VERSION_EXPECTED}, got '1', written by fastnn {HERE}; {UPDATE_FASTNN}"),
    (change(fastnn_version=1), f"fastnn_version: expected a text, got 1; {REPAIR}"),
    (change(layers={}), f"layers: expected a list, got an object of type dict; {REPAIR}"),
    (
        change(layers=[]),
        "layers: expected an Affine layer first, got an empty list; it says how many inputs there are; " + REPAIR,
    ),
    (change(layers=["Relu"]), f"layers[0]: expected an object with the field class, got 'Relu'; {REPAIR}"),
    (change(layers=[{}]), f"layers[0].class: expected one of {CLASSES}, got None; {REPAIR}"),
    (in_layer(1, **{"class": "eval"}), f"layers[1].class: expected one of {CLASSES}, got 'eval'; {REPAIR}"),
    (
        in_layer(1, **{"class": ["Relu"]}),
        f"layers[1].class: expected one of {CLASSES}, got an object of type list; {REPAIR}",
    ),
    (in_layer(0, outputs=0), f"layers[0].outputs: expected an integer of at least 1, got 0; {REPAIR}"),
    (in_layer(0, inputs=3.0), f"layers[0].inputs: expected an integer of at least 1, got 3.0; {REPAIR}"),
    (in_layer(0, inputs=True), f"layers[0].inputs: expected an integer of at least 1, got True; {REPAIR}"),
    (
        in_layer(0, init="he2"),
        f"layers[0].init: expected one of 'he', 'xavier', 'zeros', got 'he2'; did you mean 'he'?; {REPAIR}",
    ),
    (in_layer(0, init=-1), f"layers[0].init: expected a finite number of at least 0.0, got -1.0; {REPAIR}"),
    (in_layer(1, slope=None), f"layers[1].slope: expected a finite number, got None; {REPAIR}"),
    (in_layer(1, slope=float("nan")), f"layers[1].slope: expected a finite number, got nan; {REPAIR}"),
    (in_layer(1, slope=float("inf")), f"layers[1].slope: expected a finite number, got inf; {REPAIR}"),
    (in_layer(1, alpha=1.0), f"layers[1]: expected the fields class, slope, got 'class, slope, alpha'; {REPAIR}"),
    (
        lambda header: header["layers"][1].pop("slope"),
        f"layers[1]: expected the fields class, slope, got 'class'; {REPAIR}",
    ),
    (
        in_layer(2, inputs=5),
        "layers[2]: expected Affine(4, 2), as the layer before has 4 outputs, got Affine(5, 2); make the widths agree; "
        + REPAIR,
    ),
    (
        in_layer(2, outputs=3),
        'parameters[2]: expected {"name": "W2", "shape": [4, 3]}, as the layers say, got ' + f"'{W2}'; {REPAIR}",
    ),
    (change(parameters={}), f"parameters: expected a list, got an object of type dict; {REPAIR}"),
    (
        lambda header: header["parameters"].pop(),
        'parameters[3]: expected {"name": "b2", "shape": [2]}, as the layers say, got ' + f"'null'; {REPAIR}",
    ),
    (
        lambda header: header["parameters"].append("b3"),
        f"parameters[4]: expected null, as the layers say, got '\"b3\"'; {REPAIR}",
    ),
    (
        lambda header: header["parameters"][2].update(shape=[4, True]),
        f"parameters[2]: expected {W2}, as the layers say, got " + "'" + W2.replace("2]", "true]") + f"'; {REPAIR}",
    ),
    (
        lambda header: header["parameters"][2].update(name="W3"),
        f"parameters[2]: expected {W2}, as the layers say, got " + "'" + W2.replace("W2", "W3") + f"'; {REPAIR}",
    ),
    (change(loss="hinges"), f"loss: expected one of {KNOWN_LOSSES}, got 'hinges'; {REPAIR}"),
    (change(loss=0), f"loss: expected one of {KNOWN_LOSSES}, got 0; {REPAIR}"),
    (change(dtype="float16"), f"dtype: expected 'float32' or 'float64', got 'float16'; {REPAIR}"),
    (change(dtype="O"), f"dtype: expected 'float32' or 'float64', got 'O'; {REPAIR}"),
    (change(dtype=None), f"dtype: expected 'float32' or 'float64', got None; {REPAIR}"),
    (change(optimizer="adam"), f"optimizer: expected one of {KNOWN_OPTIMIZERS}, got 'adam'; {REPAIR}"),
    (change(optimizer="none"), f"optimizer: expected one of {KNOWN_OPTIMIZERS}, got 'none'; {REPAIR}"),
    (change(optimizer=[]), f"optimizer: expected one of {KNOWN_OPTIMIZERS}, got an object of type list; {REPAIR}"),
]


@pytest.mark.parametrize(("edit", "sentence"), WRONG_HEADERS, ids=[sentence[:60] for _, sentence in WRONG_HEADERS])
def test_a_header_with_a_wrong_field(
    edit: Callable[[dict[str, Any]], object], sentence: str, saved: pathlib.Path
) -> None:
    edit_header(saved, edit)
    refused(saved, f"{HEADER}: {sentence}")


FIELDS = "format, format_version, fastnn_version, layers, loss, dtype, parameters, optimizer"


@pytest.mark.parametrize("field", FIELDS.split(", ")[1:])
def test_a_header_without_a_field(field: str, saved: pathlib.Path) -> None:
    edit_header(saved, lambda header: header.pop(field))
    if field == "format_version":
        refused(saved, f"{HEADER}: {VERSION_EXPECTED}, got None, written by fastnn {HERE}; {UPDATE_FASTNN}")
    else:
        refused(saved, f"{HEADER}: expected the fields {FIELDS}, got too few or too many: '{field}'; {REPAIR}")


def test_a_header_with_another_field(saved: pathlib.Path) -> None:
    edit_header(saved, change(hook="os.system"))
    refused(saved, f"{HEADER}: expected the fields {FIELDS}, got too few or too many: 'hook'; {REPAIR}")


@pytest.mark.parametrize(
    ("text", "came"),
    [
        (b"[1, 2]", "an object of type list"),
        (b"null", "None"),
        (b"{}", "None"),
        (b'"fastnn network"', "'fastnn network'"),
    ],
)
def test_a_header_of_another_format(text: bytes, came: str, saved: pathlib.Path) -> None:
    write_members(saved, {**members(saved), HEADER: text})
    refused(saved, f"{HEADER}: expected the format 'fastnn network', got {came}; {REMEDY}")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{'format': 1}", b"\xff\xfe{}", b"[" * 100_000, b'{"format": ' + b"9" * 10_000 + b"}"]
)
def test_a_header_that_is_no_json(text: bytes, saved: pathlib.Path) -> None:
    write_members(saved, {**members(saved), HEADER: text})
    with pytest.raises(
        fastnn.ModelFileError, match=whole(f"{saved}: {HEADER}: expected JSON, got text that is not (")[:-1]
    ):
        fastnn.load(saved)


def test_the_reason_is_chained(saved: pathlib.Path) -> None:
    write_members(saved, {**members(saved), HEADER: b"{"})
    with pytest.raises(fastnn.ModelFileError) as caught:
        fastnn.load(saved)
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


def test_the_order_of_fields_and_members_is_free(saved: pathlib.Path) -> None:
    contents = members(saved)
    header = json.loads(contents[HEADER], object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    write_members(saved, {**dict(reversed(contents.items())), HEADER: json.dumps(header, indent=2).encode()})
    assert bits(fastnn.load(saved)) == bits(small_network())


def test_a_combination_that_network_refuses(saved: pathlib.Path) -> None:
    """Field by field this header is right."""
    edit_header(
        saved,
        lambda header: header.update(loss="softmax_cross_entropy", layers=[*header["layers"], {"class": "Softmax"}]),
    )
    with pytest.raises(fastnn.ModelFileError, match="leave the Softmax layer out"):
        fastnn.load(saved)


# ---- paths


@pytest.mark.parametrize("call", [small_network().save, fastnn.load])
def test_what_is_no_path(call: Callable[[Any], Any], tmp_path: pathlib.Path) -> None:
    message = "path: expected a string or an os.PathLike, got 5; pass a name such as 'digits.npz'"
    with pytest.raises(TypeError, match=whole(message)):
        call(5)
    message = "path: expected a string or an os.PathLike, got an object of type bytes; pass a name such as 'digits.npz'"
    with pytest.raises(TypeError, match=whole(message)):
        call(b"model.npz")
    for name in ("", "model\0.npz"):
        message = f"path: expected the name of a file, got {name!r}; pass one such as 'digits.npz'"
        with pytest.raises(ValueError, match=whole(message)):
            call(name)
    for folder in (tmp_path, f"{tmp_path}/model/"):
        message = f"path: expected the name of a file, got the folder {folder}; add a name such as 'digits.npz'"
        with pytest.raises(IsADirectoryError, match=whole(message)):
            call(folder)
    assert list(tmp_path.iterdir()) == []


@on_posix
@pytest.mark.parametrize("call", [small_network().save, fastnn.load])
def test_a_pipe_is_neither_replaced_nor_waited_for(call: Callable[[Any], Any], path: pathlib.Path) -> None:
    os.mkfifo(path)
    message = f"path: expected the name of a file, got {path}, a device or a pipe; pass another name"
    with pytest.raises(ValueError, match=whole(message)):
        call(path)
    assert path.is_fifo()


def test_load_a_missing_file(path: pathlib.Path) -> None:
    reason = f"{os.strerror(errno.ENOENT)} for {path}; check the name and the folder {path.parent}"
    with pytest.raises(FileNotFoundError, match=whole(f"path: expected a readable file, got {reason}")) as caught:
        fastnn.load(path)
    assert caught.value.errno == errno.ENOENT


def save_refused(error: type[OSError], number: int, path: pathlib.Path, remedy: str, network: Network) -> None:
    message = f"path: expected to be able to write {path}, got {os.strerror(number)}; {remedy}"
    with pytest.raises(error, match=whole(message)) as caught:
        network.save(path)
    assert caught.value.errno == number


def test_save_into_a_folder_that_is_not_there(tmp_path: pathlib.Path) -> None:
    remedy = f"create the folder {tmp_path / 'models'} first"
    save_refused(FileNotFoundError, errno.ENOENT, tmp_path / "models" / "model.npz", remedy, small_network())
    assert list(tmp_path.iterdir()) == []


def test_save_into_what_is_no_folder(saved: pathlib.Path) -> None:
    remedy = "free some space, or choose another folder"
    save_refused(NotADirectoryError, errno.ENOTDIR, saved / "model.npz", remedy, small_network())


@pytest.fixture
def locked() -> Iterator[pathlib.Path]:
    """A folder into which this process may not write, with a file that it may not write to either."""
    with tempfile.TemporaryDirectory() as name:
        folder, user = pathlib.Path(name), os.geteuid()
        small_network().save(folder / "model.npz")
        (folder / "model.npz").chmod(0o444)
        folder.chmod(0o555)
        if user == 0:  # to whom nothing is forbidden
            os.seteuid(65534)
        yield folder
        os.seteuid(user)
        folder.chmod(0o700)


@on_posix
def test_save_into_a_folder_that_is_not_writable(locked: pathlib.Path) -> None:
    remedy = "choose a file and a folder that you may write to"
    save_refused(PermissionError, errno.EACCES, locked / "new.npz", remedy, small_network())


@on_posix
def test_save_over_a_file_that_is_write_protected(locked: pathlib.Path) -> None:
    remedy = "choose a file and a folder that you may write to"
    os.seteuid(os.getuid())
    locked.chmod(0o777)
    if os.geteuid() == 0:
        os.seteuid(65534)
    save_refused(PermissionError, errno.EACCES, locked / "model.npz", remedy, small_network(momentum=False))
    assert bits(fastnn.load(locked / "model.npz")) == bits(small_network())


@on_posix
def test_load_a_file_that_is_not_readable(locked: pathlib.Path) -> None:
    path = locked / "model.npz"
    os.seteuid(os.getuid())
    path.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    reason = f"{os.strerror(errno.EACCES)} for {path}; check the name and the folder {locked}"
    with pytest.raises(PermissionError, match=whole(f"path: expected a readable file, got {reason}")):
        fastnn.load(path)


# ---- what cannot be saved


@dataclass(frozen=True)
class Relu(fastnn.Relu):  # the name of fastnn's own
    """A layer defined outside fastnn."""


def test_a_layer_from_elsewhere_is_refused(path: pathlib.Path) -> None:
    network = Network([Affine(3, 2), Relu()], "mean_squared_error", rng=0)
    came = f"Relu of the module {__name__}"
    remedy = "a model file holds no code: use one of fastnn's layers"
    message = f"network.layers[1]: expected one of {', '.join(LAYERS)}, got {came}; {remedy}"
    with pytest.raises(TypeError, match=whole(message)):
        network.save(path)
    assert not path.exists()


def test_what_is_no_network_is_refused(path: pathlib.Path) -> None:
    not_a_network: Any = {"W1": np.zeros(3)}
    message = "network: expected a fastnn.Network, got an object of type dict; pass the network to save"
    with pytest.raises(TypeError, match=whole(message)):
        persistence.save(not_a_network, path)


def test_a_description_that_load_would_refuse_is_not_saved(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network()
    network.save(path)
    size = len(members(path)[HEADER])
    path.unlink()
    monkeypatch.setattr(persistence, "LARGEST_HEADER", size - 1)
    came = f"3 layers that take {size}; use fewer layers"
    with pytest.raises(
        ValueError, match=whole(f"network: expected a description of at most {size - 1} bytes, got {came}")
    ):
        network.save(path)
    assert not path.exists()


# ---- whole or not at all


def no_space(*args: Any, **settings: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half_written(file: Any, contents: Any) -> None:
    file.write(b"PK\x03\x04 and not much more")
    no_space()


def interrupted(*args: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize(
    ("owner", "name", "failing"),
    [
        (persistence, "_write", half_written),
        (os, "fsync", no_space),
        (os, "replace", no_space),
        (os, "fsync", interrupted),
    ],
)
def test_a_failing_save_leaves_everything_as_it_was(
    existing: bool, owner: Any, name: str, failing: Any, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = small_network(), small_network(momentum=False)
    if existing:
        old.save(path)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        if failing is interrupted:
            with pytest.raises(KeyboardInterrupt):
                new.save(path)
        else:
            remedy = "free some space, or choose another folder"
            save_refused(OSError, errno.ENOSPC, path, remedy, new)
    assert os.listdir(path.parent) == ([path.name] if existing else [])
    if existing:
        assert bits(fastnn.load(path)) == bits(old)
    new.save(path)
    assert bits(fastnn.load(path)) == bits(new)


@pytest.mark.parametrize("failing", range(6))
def test_a_disk_that_is_full_after_some_writes(
    failing: int, saved: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, with the failure inside zipfile, which then tries to close its archive."""
    writes = iter(range(failing))

    def write(self: Any, data: Any) -> Any:
        if next(writes, None) is None:
            no_space()
        return original(self, data)

    original = zipfile._ZipWriteFile.write  # type: ignore[attr-defined]
    monkeypatch.setattr(zipfile._ZipWriteFile, "write", write)  # type: ignore[attr-defined]
    new = small_network(momentum=False)
    if failing < 5:
        save_refused(OSError, errno.ENOSPC, saved, "free some space, or choose another folder", new)
        assert bits(fastnn.load(saved)) == bits(small_network())
    else:  # five pieces are all that there are
        new.save(saved)
        assert bits(fastnn.load(saved)) == bits(new)
    assert os.listdir(saved.parent) == [saved.name]


def test_the_file_is_on_the_disk_before_it_takes_the_name(saved: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append(("fsync", "folder" if is_folder else os.fstat(descriptor).st_size))
        fsync(descriptor)

    def record_replace(source: Any, target: Any) -> None:
        events.append(("replace", target.name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    small_network().save(saved)
    expected: list[Any] = [("fsync", saved.stat().st_size), ("replace", saved.name)]
    assert events[:2] == expected
    assert os.name != "posix" or events[2:] == [("fsync", "folder")]


# Kills a child at random moments of its saves; prints what the file was after each kill, and the files that are left.
KILLS = """
import collections, json, os, random, signal, sys, time
import fastnn

path, folder = sys.argv[1], os.path.dirname(sys.argv[1])
networks = {name: fastnn.Network([fastnn.Affine(300, 300)], rng=seed) for seed, name in enumerate(("one", "two"))}
vectors = {network.snapshot()[0].tobytes(): name for name, network in networks.items()}
networks["one"].save(path)
found, moments = collections.Counter(), random.Random(0)
for _ in range(40):
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(begun, b"!")
            while True:
                networks["two"].save(path)
                networks["one"].save(path)
        finally:
            os._exit(1)
    os.read(ready, 1)
    time.sleep(moments.uniform(0.0, 0.02))
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        raise SystemExit("the child did not save")
    os.close(ready)
    os.close(begun)
    found[vectors[fastnn.load(path).snapshot()[0].tobytes()]] += 1
print(json.dumps([found, os.listdir(folder)]))
"""


@on_posix
def test_a_killed_process_leaves_the_old_file_or_the_new(path: pathlib.Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(fastnn.__file__).parents[1])}
    run = [sys.executable, "-c", KILLS, str(path)]
    child = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert child.returncode == 0, child.stderr
    found, left = json.loads(child.stdout)
    assert sum(found.values()) == 40
    assert set(found) == {"one", "two"}
    left.remove(path.name)
    assert left  # so some kills hit a save at work
    assert all(persistence.TEMPORARY.fullmatch(name) for name in left)
    long_ago = time.time() - 3600
    for name in left:
        os.utime(path.with_name(name), (long_ago, long_ago))
    small_network().save(path)
    assert os.listdir(path.parent) == [path.name]


def test_saves_at_the_same_time_do_not_disturb_one_another(path: pathlib.Path) -> None:
    networks = [small_network(), small_network(momentum=False)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for save in [pool.submit(network.save, path) for network in 20 * networks]:
            save.result()
            assert bits(fastnn.load(path)) in map(bits, networks)
    assert os.listdir(path.parent) == [path.name]


def test_only_abandoned_temporary_files_are_removed(path: pathlib.Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    hour, day = 3600, 86400
    removed = [(os.getpid(), day + hour), (child.pid, day + hour)]
    kept = [(os.getpid(), 0), (os.getpid(), day - hour), (child.pid, 0)]
    (removed if os.name == "posix" else kept).extend([(child.pid, hour), (10**15, hour)])
    names = {f".fastnn-{process}-{age:016x}.tmp": age for process, age in removed + kept}
    others = (".fastnn-x.tmp", "fastnn-1-0123456789abcdef.tmp", "other.tmp", ".fastnn-1-0.tmp")
    strangers = dict.fromkeys(others, 9 * day)
    for name, age in (names | strangers).items():
        path.with_name(name).write_bytes(b"")
        os.utime(path.with_name(name), (time.time() - age, time.time() - age))
    small_network().save(path)
    expected = {f".fastnn-{process}-{age:016x}.tmp" for process, age in kept}
    assert set(os.listdir(path.parent)) == expected | set(strangers) | {path.name}


@on_posix
def test_new_files_get_the_usual_permissions_and_old_ones_keep_theirs(path: pathlib.Path) -> None:
    before = os.umask(0o027)
    try:
        small_network().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        small_network().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(before)


@on_posix
def test_a_symbolic_link_stays_one(path: pathlib.Path) -> None:
    target = path.parent / "models" / "latest.npz"
    target.parent.mkdir()
    path.symlink_to(target)  # of a file that is not there yet
    for network in (small_network(), small_network(momentum=False)):
        network.save(path)
        assert path.is_symlink()
        assert bits(fastnn.load(target)) == bits(network)
    assert os.listdir(target.parent) == [target.name]
