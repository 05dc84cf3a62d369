"""Saving and loading networks: files without pickle, written whole or not at all, and checked before use.

A model file is a zip archive that `numpy.load` opens too. Its three members are stored uncompressed:

    header.json          the network's description: see model_header
    parameters.npy       the parameters in the order of the header, each in C order: one vector (P,), little-endian
    optimizer_state.npy  the optimizer's state, (vectors, P), likewise

This is format version 4; tests/data holds files of versions 1 to 3. Anything that it cannot express, such as a new
field of a layer, takes a new version number; earlier versions stay readable.
"""

import math
import os
import pathlib
import struct
import zipfile
from typing import IO, Any

import numpy as np

from fastnn.engine.engine import Snapshot
from fastnn.errors import ModelFileError
from fastnn.gate import checks
from fastnn.gate.arrays import Array, DType
from fastnn.gate.slips import answers_slips
from fastnn.network import model_header
from fastnn.network.model_header import LARGEST_HEADER, REMEDY, REPAIR
from fastnn.network.network import Network
from fastnn.optimizers import OPTIMIZERS
from fastnn.system import files

# Suffixes of other programs' files; not .zip, as a model file is a zip archive.
OTHER_FORMATS = {
    *(".ckpt", ".csv", ".h5", ".hdf5", ".joblib", ".json", ".keras", ".mat", ".npy", ".onnx"),
    *(".pb", ".pickle", ".pkl", ".pt", ".pth", ".safetensors", ".tflite"),
}

HEADER, PARAMETERS, STATE = MEMBERS = (model_header.NAME, "parameters.npy", "optimizer_state.npy")

# Errors of reading a damaged zip archive. RuntimeError: encryption, methods unknown to zipfile, deep nesting.
DAMAGE = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, OverflowError, struct.error)


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to a file that `load` reads: layers, loss, dtype, parameters, the optimizer and its state.

    The file does not hold the history, the number of threads, or how data were prepared; if the optimizer's class is
    not fastnn's, it holds the optimizer's state but not its numbers. While another thread trains the network, the file
    holds the network as it was at one moment between two updates. The new file is written beside the old one, brought
    to the disk and then put in its place: at any moment, power failure included, `path` is the old file or the new one,
    whole. Equal networks give equal files.

    Parameters
    ----------
    network : Network
        A network of fastnn's own layers.
    path : str or os.PathLike
        The file's name, used as it is; nothing is appended. It should end in .npz, and may end in anything but the
        suffix of another format, such as .onnx or .pt. An existing file is replaced, keeping its permissions; a
        symbolic link is followed.

    Raises
    ------
    TypeError
        For anything but a network and a path, and for layers defined outside fastnn: a model file holds no code.
    ValueError
        For an empty path, one that names a device or a pipe, and one with the suffix of another format.
    OSError
        FileNotFoundError for a missing folder, IsADirectoryError for a folder, PermissionError where writing is not
        allowed, and others. The old file, if any, is left as it was.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a fastnn.Network, got {checks.shown(network)}; pass the network to save")
    target = pathlib.Path(os.path.realpath(name_to_save(path)))
    snapshot = network.engine.snapshot()
    values, state = snapshot.parameters, snapshot.state if snapshot.update else snapshot.state[:0]
    dtype = network.dtype.newbyteorder("<")
    contents: dict[str, list[Any]] = {
        HEADER: [model_header.describe(network, snapshot)],
        PARAMETERS: [_npy_header(dtype, values.shape), values.astype(dtype, copy=False)],
        STATE: [_npy_header(dtype, state.shape), state.astype(dtype, copy=False)],
    }
    try:
        if target.exists():
            open(target, "r+b").close()  # os.replace would not ask whether the file is write-protected
        with files.replacing(target) as file:
            _write(file, contents)
    except OSError as error:
        remedy = files.remedy(error, target)
        sentence = f"path: expected to be able to write {target}, got {error.strerror or error!s}; {remedy}"
        raise _restated(error, sentence) from error


@answers_slips
def load(path: str | os.PathLike[str]) -> Network:
    """Read a network that `save` wrote. It predicts, and `fit` goes on with the same optimizer, to the same bits.

    Files of earlier format versions than 3 name the optimizer without its numbers; `fit` then asks for it.

    The file may come from a stranger: nothing in it is executed, everything in it is checked, and it takes no more
    memory than its true size. Parameters may be NaN or infinite, as they may have been in the network.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        For anything but a path, and for an empty one.
    ModelFileError
        For a file that `save` did not write, that is damaged, or of a format version that this fastnn does not know.
    OSError
        FileNotFoundError for a missing file, IsADirectoryError for a folder, PermissionError, and others.
    """
    name = _file_name(path)
    try:
        file = open(name, "rb")  # noqa: SIM115 - closed below; only errors of open itself are caught here
    except OSError as error:
        remedy = f"check the name and the folder {os.path.dirname(os.path.abspath(name))}"
        sentence = f"path: expected a readable file, got {name} ({error.strerror}); {remedy}"
        raise _restated(error, sentence) from error
    with file:
        try:
            return _read(file)
        except ModelFileError as error:
            raise ModelFileError(f"{name}: {error}") from error.__cause__
        except DAMAGE as error:
            came = f"one that is not, or is cut short or damaged ({error})"
            raise ModelFileError(f"{name}: expected a file written by Network.save, got {came}; {REPAIR}") from error


# --- paths ---


def _file_name(path: Any) -> str:
    """`path` as a string that can name a file."""
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str):
        raise TypeError(
            f"path: expected a string or an os.PathLike, got {checks.shown(path)}; pass a name such as 'digits.npz'"
        )
    if not name or "\0" in name:
        raise ValueError(f"path: expected the name of a file, got {checks.shown(name)}; pass one such as 'digits.npz'")
    if os.path.isdir(name) or name.endswith(("/", os.sep)):
        raise IsADirectoryError(
            f"path: expected the name of a file, got the folder {name}; add a name such as 'digits.npz'"
        )
    if os.path.exists(name) and not os.path.isfile(name):  # os.replace would replace it, and reading could block
        raise ValueError(f"path: expected the name of a file, got {name}, a device or a pipe; pass another name")
    return name


def name_to_save(path: Any) -> str:
    """`path` as the name of a file that `save` may write: one that does not promise another format."""
    name = _file_name(path)
    stem, suffix = os.path.splitext(name)
    if suffix.lower() in OTHER_FORMATS:
        came = f"{name!r}, a name of another format; pass {stem + '.npz'!r}"
        raise ValueError(f"path: expected the name of a file in the one format that is written, .npz, got {came}")
    return name


def _restated(error: OSError, sentence: str) -> OSError:
    """The same kind of error, with a sentence that says what to do."""
    restated = type(error)(sentence)
    restated.errno = error.errno
    return restated


# --- writing ---


def _npy_header(dtype: DType, shape: tuple[int, ...]) -> bytes:
    """The header of an array in a .npy file of version 1.0, in the one form that is written and accepted here.

    Source: numpy.lib.format, "Format Version 1.0".
    """
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    length = len(text) + 1 + -(len(text) + 11) % 64  # a newline, and spaces up to a multiple of 64 in all
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length) + text.ljust(length - 1).encode() + b"\n"


def _write(file: IO[bytes], contents: dict[str, list[Any]]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, parts in contents.items():
            member = zipfile.ZipInfo(name)  # dated 1980, so that equal networks give equal files
            member.create_system, member.external_attr = 3, 0o644 << 16  # as on Unix, wherever it is written
            with archive.open(member, "w", force_zip64=True) as stream:
                for part in parts:
                    stream.write(part)


# --- reading ---


def _read(file: IO[bytes]) -> Network:
    with zipfile.ZipFile(file) as archive:
        members = _check_members(archive.infolist(), os.fstat(file.fileno()).st_size)
        described = model_header.parse(archive.read(members[HEADER]))
        vectors = len(OPTIMIZERS[described.update].keeps) if described.update else 0
        shapes = {PARAMETERS: (described.size,), STATE: (vectors, described.size)}
        values, state = (_array(archive, members[name], described.dtype, shape) for name, shape in shapes.items())
    network = Network(
        described.layers,
        described.loss,
        dtype=described.dtype,
        rng=0,
        regularization=described.regularization,
        input_shape=described.input_shape,
    )
    counts = (described.steps, described.draws, described.seed)
    network.engine.restore(Snapshot(values, state, described.update, *counts, described.optimizer))
    return network


def _check_members(found: list[zipfile.ZipInfo], file_size: int) -> dict[str, zipfile.ZipInfo]:
    """The members by name: exactly a model file's, uncompressed, none larger than the whole file."""
    names = [member.filename for member in found]
    if sorted(names) != sorted(MEMBERS):
        came = f"{checks.shown(', '.join(names))}; {REMEDY}"
        raise ModelFileError(f"expected an archive of {', '.join(MEMBERS)}, got {came}")
    for member in found:
        largest = min(file_size, LARGEST_HEADER) if member.filename == HEADER else file_size
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > largest:
            expected = f"at most {largest} bytes without compression (method 0)"
            came = f"{member.file_size} bytes by method {member.compress_type}"
            raise ModelFileError(f"{member.filename}: expected {expected}, got {came}; {REPAIR}")
    return dict(zip(names, found, strict=True))


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, dtype: DType, shape: tuple[int, ...]) -> Array:
    """The array of a member, refused before memory is taken for it unless it has this dtype and shape."""
    expected = _npy_header(dtype.newbyteorder("<"), shape)
    size = len(expected) + math.prod(shape) * dtype.itemsize
    with archive.open(member) as stream:
        found = stream.read(len(expected))
        if found != expected or member.file_size != size:
            wanted = f"{size} bytes that begin with {checks.shown(_text(expected))}"
            came = f"{member.file_size} that begin with {checks.shown(_text(found))}"
            raise ModelFileError(f"{member.filename}: expected {wanted}, got {came}; {REPAIR}")
        values = np.frombuffer(stream.read(), dtype.newbyteorder("<"))  # at the end zipfile compares the checksum
    return values.reshape(shape).astype(dtype)


def _text(npy_header: bytes) -> str:
    """The text in a header of a .npy file."""
    return npy_header[10:].decode("latin-1").rstrip()
