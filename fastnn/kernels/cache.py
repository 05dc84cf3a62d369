"""Where compiled kernels are kept between processes.

Imports numba, llvmlite (for its version), numpy and folders.

Why not Numba's own cache: it notices a change in the file of an entry but not in the files of the kernels
that the entry calls, it stops with an exception where it finds a damaged file or nowhere to write, and two
processes that compile at once can leave an index that names the wrong code. Here a folder belongs to one
state of *all* kernel files, a file holds one compiled signature together with its checksum, and whatever
cannot be read is compiled again.
"""

import contextlib
import functools
import hashlib
import inspect
import os
import pathlib
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import llvmlite
import numba
import numpy as np

from fastnn.folders import cache_folder

# With NUMBA_DISABLE_JIT=1 every kernel is the plain Python function.
JIT_DISABLED: bool = bool(vars(numba.config)["DISABLE_JIT"])

# Settings of Numba that change the code it makes from the same source.
_CODE_SETTINGS = ("BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "OPT", "SLP_VECTORIZE", "USING_SVML")

# What Numba does not document, all of it used below; untyped.
_internals: Any = numba.core

_CHECKSUM_BYTES = hashlib.sha256().digest_size
_HASH_LENGTH = 32
_SECONDS_KEPT = 30 * 24 * 3600
_TIME_OF_IMPORT = time.time()


@functools.cache
def kernel_set_hash() -> str:
    """Return a hash of all that decides what the kernels compile to, apart from the processor."""
    files = sorted(pathlib.Path(__file__).parent.glob("*.py"))
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    settings = [str(getattr(numba.config, name, None)) for name in _CODE_SETTINGS]
    contents = [(file.name, _file_hash(file)) for file in files]
    return _hash(contents, versions, settings, os.environ.get("FASTNN_VECTOR_WIDTH"))


def kernel_cache_folder() -> pathlib.Path | None:
    """Return the folder of this version's compiled kernels, or None where they are kept in memory only.

    FASTNN_CACHE=0 keeps nothing on disk, FASTNN_CACHE=<folder> keeps it there instead of in the user's cache
    folder (the default, also FASTNN_CACHE=1). The folder is created, for the user alone. Folders of other
    versions that were not used for 30 days are removed.
    """
    return _folder_or_reason()[0]


@functools.cache
def _folder_or_reason() -> tuple[pathlib.Path | None, str]:
    """The folder for compiled kernels, or None and why there is none."""
    chosen = os.environ.get("FASTNN_CACHE", "")
    base = cache_folder("kernels") if chosen in {"", "1"} else pathlib.Path(chosen).absolute()
    if JIT_DISABLED or chosen == "0":
        return None, f"FASTNN_CACHE={chosen}"
    if base is None:
        return None, "the user has no home folder; FASTNN_CACHE can name another"
    try:
        folder = base / kernel_set_hash()
        is_new = not folder.exists()
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(folder):
            return None, f"others may write to {folder}"
    except OSError as error:  # nowhere to write, or the sources cannot be read or have changed
        return None, str(error)
    with contextlib.suppress(OSError):
        os.utime(folder)  # marks it as used
    if is_new:
        _remove_unused(base)
    return folder, ""


def _is_private(folder: pathlib.Path) -> bool:
    """Whether nobody but the user (and root) can write there. Cached code is unpickled and run."""
    if sys.platform == "win32":
        return True  # the mode says nothing there; folders of a user's profile are the user's own
    status = folder.stat()
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022


def _remove_unused(base: pathlib.Path) -> None:
    """Remove the kernels of versions not used for long, and nothing that was not written here."""
    for folder in base.glob("[0-9a-f]" * _HASH_LENGTH):
        with contextlib.suppress(OSError):  # such as another process removing it at the same time
            if folder.lstat().st_mtime < time.time() - _SECONDS_KEPT:
                for file in folder.glob("*.nbc*"):
                    file.unlink()
                folder.rmdir()


class KernelCache(getattr(_internals.caching, "NullCache", object)):  # type: ignore[misc]
    """The compiled signatures of one dispatcher on disk; called by Numba under its compiler lock."""

    def __init__(self, function: Callable[..., Any], variant: str) -> None:
        self._function, self._variant = function, variant

    @property
    def cache_path(self) -> str:
        return str(kernel_cache_folder())

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the compiled code of a signature, or None: then Numba compiles it."""
        try:
            target_context.refresh()
            return self._load(signature, target_context)
        except Exception:  # absent, truncated, or not as this version of Numba expects it
            _announce_compilation()
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep the compiled code of a signature where that is possible."""
        with contextlib.suppress(Exception):  # such as a full disk
            self._save(signature, compiled)

    def _load(self, signature: Any, target_context: Any) -> Any:
        stored = self._file(signature, target_context.codegen()).read_bytes()
        checksum, data = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
        if hashlib.sha256(data).digest() != checksum:
            raise ValueError("damaged file")
        return _internals.compiler.CompileResult._rebuild(target_context, *pickle.loads(data))

    def _save(self, signature: Any, compiled: Any) -> None:
        if compiled.library.has_dynamic_globals:  # addresses of this process
            return
        data = _internals.serialize.dumps(compiled._reduce())
        file = self._file(signature, compiled.codegen)
        descriptor, unfinished = tempfile.mkstemp(prefix=file.name, dir=file.parent)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(hashlib.sha256(data).digest() + data)
            os.replace(unfinished, file)
        except BaseException:
            os.unlink(unfinished)
            raise

    def _file(self, signature: Any, codegen: Any) -> pathlib.Path:
        """Return the file of a signature; its name says what its folder's does not."""
        folder, function = kernel_cache_folder(), self._function
        if folder is None or function.__closure__ is not None:  # what a closure holds is in no file
            raise FileNotFoundError("not kept on disk")
        place = (function.__module__, function.__qualname__, function.__code__.co_firstlineno)
        source = _file_hash(pathlib.Path(inspect.getfile(function)))
        key = _hash(place, source, str(signature), codegen.magic_tuple())
        return folder / f"{function.__name__}.{self._variant}.{key}.nbc"


@functools.cache  # once in a process
def _announce_compilation() -> None:
    folder, reason = _folder_or_reason()
    if folder is not None and not os.access(folder, os.W_OK):
        reason = f"{folder} cannot be written to"
    where = f"for this process only: {reason}" if reason else f"once; kept in {folder}"
    if sys.stderr is not None:  # a program without a console has none
        print(f"fastnn: compiling kernels for this machine ({where})", file=sys.stderr)


def _hash(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:_HASH_LENGTH]


@functools.cache
def _file_hash(file: pathlib.Path) -> str:
    """Return a hash of a file, which must be as it was when it was imported: that is what gets compiled."""
    if file.stat().st_mtime > _TIME_OF_IMPORT:
        raise OSError(f"{file} was edited after it was imported")
    return hashlib.sha256(file.read_bytes()).hexdigest()
