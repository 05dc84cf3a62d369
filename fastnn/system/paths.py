"""Names of files that a user passes, and errors of reading and writing them that say what to do."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import IO, Any

from fastnn.gate import checks
from fastnn.system import files

SAFETENSORS = ".safetensors"
# Suffixes of other programs' files; not .zip, as a model file is a zip archive.
OTHER_FORMATS = {
    *(".ckpt", ".csv", ".h5", ".hdf5", ".joblib", ".json", ".keras", ".mat", ".npy", ".onnx"),
    *(".pb", ".pickle", ".pkl", ".pt", ".pth", ".tflite"),
}


def file_name(path: Any) -> str:
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
    """`path` as the name of a file that may be written: one that does not promise another format."""
    name = file_name(path)
    stem, suffix = os.path.splitext(name)
    if suffix.lower() in OTHER_FORMATS:
        came = f"{name!r}, a name of another format; pass {stem + '.npz'!r}"
        raise ValueError(
            f"path: expected the name of a file in a format that is written, .npz or .safetensors, got {came}"
        )
    return name


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path`, whole or not at all; a symbolic link is followed.

    Raises what `file_name` raises, and OSError with a sentence that says what to do.
    """
    target = pathlib.Path(os.path.realpath(file_name(path)))
    try:
        if target.exists():
            open(target, "r+b").close()  # os.replace would not ask whether the file is write-protected
        with files.replacing(target) as file:
            yield file
    except OSError as error:
        raise _unwritable(error, target) from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse, before the work, a file that `writing` could not write as things stand."""
    target = pathlib.Path(os.path.realpath(file_name(path)))
    try:
        if target.exists():
            open(target, "r+b").close()
        files.try_folder(str(target.parent))
    except OSError as error:
        raise _unwritable(error, target) from error


@contextlib.contextmanager
def appending(path: str) -> Iterator[IO[bytes]]:
    """The file at `path`, opened to be made longer; OSError with a sentence that says what to do."""
    try:
        with open(path, "ab") as file:
            yield file
    except OSError as error:
        raise _unwritable(error, path) from error


def _unwritable(error: OSError, path: str | pathlib.Path) -> OSError:
    """The same kind of error, for a file that cannot be written."""
    remedy = files.remedy(error, path)
    return files.restated(
        error, f"path: expected to be able to write {path}, got {error.strerror or error!s}; {remedy}"
    )
