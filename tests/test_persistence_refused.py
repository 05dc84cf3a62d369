"""Damaged, foreign or malicious model files are refused, without running their code or filling the memory."""

import functools
import io
import os
import pathlib
import pickle
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.gate import checks
from fastnn.network.files import npz
from tests.model_files import (
    HEADER,
    MEMBERS,
    ONE_VECTOR,
    PARAMETERS,
    REMEDY,
    REPAIR,
    STATE,
    as_format_4,
    bits,
    edit_header,
    members,
    refused,
    small_network,
    whole,
    write_members,
)


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


W1 = PARAMETERS[0]


# ---- files that are no model files


class Payload:
    """Unpickled, it creates a folder, as a stranger's file could."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_is_refused_and_not_executed(saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    payload = Payload(tmp_path / "executed")
    pickled = pickle.dumps(payload)
    array = npy(np.array([payload], dtype=object), allow_pickle=True)
    attacks = [{**members(saved), name: content} for name in MEMBERS for content in (pickled, array)]
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


@pytest.mark.parametrize("version", [4, 5])
def test_members_that_are_missing_or_too_many(version: int, saved: pathlib.Path) -> None:
    if version == 4:
        as_format_4(saved)
    contents = members(saved)
    for name in contents:
        write_members(saved, {other: contents[other] for other in contents if other != name})
        archive_refused(saved, contents, *(other for other in contents if other != name))
    for more in ("extra.npy", "training.txt", "training/1.npy", *([] if version == 5 else ["training.json"])):
        write_members(saved, {**contents, more: npy(np.zeros(1))})
        archive_refused(saved, contents, *contents, more)
    write_members(saved, {"../" + name: content for name, content in contents.items()})
    archive_refused(saved, {}, *("../" + name for name in contents))
    write_members(saved, {})
    archive_refused(saved, {})


def archive_refused(path: pathlib.Path, wanted: Any, *came: str) -> None:
    names = ", ".join([HEADER, *(name.removesuffix(".npy") for name in wanted if name != HEADER)])
    expected = f"expected {names}, as {HEADER} says" if HEADER in came else f"expected {HEADER}"
    refused(path, f"{expected}, got {checks.shown(', '.join(came))}; {REMEDY}")


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_that_is_there_twice(name: str, saved: pathlib.Path) -> None:
    content = members(saved)[name]
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(name, content)
    came = checks.shown(", ".join([*MEMBERS, name]))
    refused(saved, f"expected an archive with one member of each name, got {came}; {REMEDY}")


def test_another_npz_file(path: pathlib.Path) -> None:
    np.savez(path, images=np.zeros((3, 4)), labels=np.arange(3))
    archive_refused(path, {}, "images.npy", "labels.npy")


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
        archive.writestr(W1, npz.npy_header(np.dtype("<f4"), (25_000_000,)) + bytes(100_000_000))
    return file.getvalue()


def packed_otherwise(name: str, largest: int, size: int, method: int = zipfile.ZIP_STORED) -> str:
    expected = f"at most {largest} bytes without compression (method 0)"
    return f"{name}: expected {expected}, got {size} bytes by method {method}; {REPAIR}"


def test_a_zip_bomb_takes_no_memory(saved: pathlib.Path) -> None:
    contents = members(saved)
    saved.write_bytes(zeros_packed())
    with zipfile.ZipFile(saved, "a") as archive:
        for name in (HEADER, *PARAMETERS[1:], STATE):
            archive.writestr(name, contents[name])
    size = saved.stat().st_size
    assert size < 200_000
    without_memory(saved, packed_otherwise(W1, size, 100_000_128, zipfile.ZIP_DEFLATED))


def without_memory(path: pathlib.Path, sentence: str) -> None:
    tracemalloc.start()
    try:
        refused(path, sentence)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_member_that_claims_more_than_the_file_has(saved: pathlib.Path) -> None:
    """The sizes of one array in the central directory, both 4 GB."""
    content, claim = bytearray(saved.read_bytes()), 0xF0000000
    start = content.rindex(b"PK\x01\x02", 0, content.rindex(W1.encode()))
    content[start + 20 : start + 28] = claim.to_bytes(4, "little") * 2
    saved.write_bytes(content)
    without_memory(saved, packed_otherwise(W1, len(content), claim))


def test_layers_larger_than_the_arrays(saved: pathlib.Path) -> None:
    def enlarge(header: dict[str, Any]) -> None:
        header.update(
            input_shape=[10**6], layers=[{"class": "Affine", "inputs": 10**6, "outputs": 10**6, "init": None}]
        )
        header["parameters"] = [{"name": "W1", "shape": [10**6, 10**6]}, {"name": "b1", "shape": [10**6]}]

    edit_header(saved, enlarge)
    contents = members(saved)
    write_members(saved, {name: contents[name] for name in (HEADER, *PARAMETERS[:2], STATE)})
    wanted = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    came = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"
    expected = f'4000000000128 bytes that begin with "{wanted}"'
    without_memory(saved, f'{W1}: expected {expected}, got 176 that begin with "{came}"; {REPAIR}')


def test_members_that_share_their_bytes(saved: pathlib.Path) -> None:
    """Each claims to lie within the file, but copies of all would take more memory than the file has bytes."""
    content, claimed, at = bytearray(saved.read_bytes()), 0, 0
    claim = len(content) // 3
    while (at := content.find(b"PK\x01\x02", at + 1)) > 0:
        content[at + 20 : at + 28] = claim.to_bytes(4, "little") * 2
        claimed += claim
    saved.write_bytes(content)
    expected = f"expected members of at most {len(content)} bytes together, as the file has no more"
    without_memory(saved, f"{expected}, got {claimed}; {REPAIR}")


def test_layers_larger_than_any_memory(saved: pathlib.Path) -> None:
    layer = {"class": "Affine", "inputs": 2**31 - 1, "outputs": 2**31 - 1, "init": None}
    edit_header(saved, lambda header: header.update(input_shape=[2**31 - 1], layers=[layer] * 3))
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
    as_format_4(saved)
    write_members(saved, {**members(saved), ONE_VECTOR: content})
    refused(saved, f'{ONE_VECTOR}: expected 232 bytes that begin with "{SAID["<f4"]}", got {came}; {REPAIR}')
    write_members(saved, {**members(saved), ONE_VECTOR: npy_of("<f4", (26,)), STATE: content})
    if came.startswith('232 that begin with "' + SAID["rank"]):
        assert not fastnn.load(saved).engine.snapshot()[1].any()  # the very array that a state is
    else:
        refused(saved, f'{STATE}: expected 232 bytes that begin with "{SAID["rank"]}", got {came}; {REPAIR}')
