"""Where compiled kernels are kept between processes.

Numba's own cache will not do: it notices a change in an entry's file but not in the files of the kernels that the entry
calls, it raises an exception for a damaged file or a folder that it cannot write to, and two processes that compile at
once can leave an index that names the wrong code. Here a folder belongs to one state of *all* kernel files, a file
holds one compiled signature with its checksum, and a file that cannot be read is compiled again. Its content is
unpickled and run, so it must not come from anybody else: `fastnn.system.private` sees to that.
"""

import contextlib
import functools
import hashlib
import inspect
import os
import pathlib
import pickle
import re
import sys
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numpy as np

from fastnn.system import messages
from fastnn.system.folders import cache_folder
from fastnn.system.private import PrivateFolder
from fastnn.system.waiting import WAITING

# With NUMBA_DISABLE_JIT=1 every kernel is the plain Python function.
JIT_DISABLED: bool = bool(vars(numba.config)["DISABLE_JIT"])

_PACKAGE = pathlib.Path(__file__).parents[1]
_CODE_SETTINGS = ("BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "OPT", "SLP_VECTORIZE", "USING_SVML")

# Undocumented parts of Numba, all of them used below; untyped.
_internals: Any = numba.core

COMPILED = ("kernels", "operations", "engine/interpreters")  # fastnn's folders of compiled code
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_HASH_LENGTH = 32
_SECONDS_KEPT = 30 * 24 * 3600
_OLD_FOLDER = re.compile(f"[0-9a-f]{{{_HASH_LENGTH}}}")
_OWN_FILE = re.compile(r".*\.nbc.*|\.fastnn-.*\.tmp")  # temporary files included
_TIME_OF_IMPORT = time.time()


@functools.cache
def kernel_set_hash() -> str:
    """Return a hash of everything that decides the kernels' code, apart from the processor."""
    for file in _sources():
        _file_hash(file)  # it must not have been edited
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    return _hash(sources_hash(), versions, code_settings(), os.environ.get("FASTNN_VECTOR_WIDTH"))


def code_settings() -> dict[str, str]:
    """Settings of Numba that change the code that it makes from the same source."""
    return {name: str(getattr(numba.config, name, None)) for name in _CODE_SETTINGS}


@functools.cache
def sources_hash() -> str:
    """Return a hash of the sources of all kernels."""
    return _hash([(file.relative_to(_PACKAGE).as_posix(), _content_hash(file)) for file in _sources()])


def _sources() -> list[pathlib.Path]:
    return sorted(file for folder in COMPILED for file in (_PACKAGE / folder).rglob("*.py"))


def kernel_cache_folder() -> pathlib.Path | None:
    """Return the folder of this version's compiled kernels, or None if they are kept in memory only.

    FASTNN_CACHE=0 keeps nothing on disk, FASTNN_CACHE=<folder> keeps it there instead of in the user's cache
    folder (the default, also FASTNN_CACHE=1). The folder is created, for the user alone. If somebody else could write
    to it or exchange it, it is not used, and the line that announces compilation says why. Folders of other versions
    that were not used for 30 days are removed.
    """
    folder = _folder_or_reason()[0]
    return None if folder is None else folder.path


def is_empty() -> bool:
    """Whether kernels are kept on disk, and none of this version was when this process began."""
    folder = _folder_or_reason()[0]
    return folder is not None and folder.is_new


@functools.cache
def _folder_or_reason() -> tuple[PrivateFolder | None, str]:
    """The folder for compiled kernels, or None and the reason."""
    chosen = os.environ.get("FASTNN_CACHE", "")
    base = cache_folder("kernels") if chosen in {"", "1"} else pathlib.Path(os.path.expanduser(chosen)).absolute()
    if JIT_DISABLED or chosen == "0":
        return None, f"FASTNN_CACHE={chosen}"
    if base is None:
        return None, "the user has no home folder; FASTNN_CACHE can name another"
    try:
        folder = PrivateFolder(base / kernel_set_hash())
    except PermissionError as error:  # somebody else's, or open to others
        return None, f"{error}; FASTNN_CACHE can name a folder of your own"
    except OSError as error:  # nowhere to write, or the sources cannot be read or have changed
        return None, str(error)
    folder.mark_as_used()
    if folder.is_new:
        _remove_unused(base)
    return folder, ""


def _remove_unused(base: pathlib.Path) -> None:
    """Remove kernels of versions that were not used for long, and nothing but files written here."""
    names = []
    with contextlib.suppress(OSError):
        names = os.listdir(base)
    for name in filter(_OLD_FOLDER.fullmatch, names):
        with contextlib.suppress(OSError):  # such as a link, somebody else's, or gone by now
            if (base / name).lstat().st_mtime < time.time() - _SECONDS_KEPT:
                folder = PrivateFolder(base / name)
                try:
                    folder.remove(lambda file: _OWN_FILE.fullmatch(file) is not None)
                finally:
                    folder.close()


def is_told_by_files(formula: Any) -> bool:
    """Whether a formula may be kept: what it compiles to is told by the files whose hash names the folder.

    A user's is not, as it may read anything, nor is one that holds anything but such formulas in its closure. Where a
    function was written is told by its globals: functools.wraps gives a user's function the `__module__` of fastnn's.
    """
    function = getattr(formula, "py_func", formula)
    if not isinstance(function, FunctionType):
        return False
    folders = tuple(f"fastnn.{folder.replace('/', '.')}." for folder in COMPILED)
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    return str(function.__globals__.get("__name__")).startswith(folders) and all(map(is_told_by_files, held))


class KernelCache(getattr(_internals.caching, "NullCache", object)):  # type: ignore[misc]
    """The compiled signatures of one dispatcher on disk; called by Numba under its compiler lock."""

    def __init__(self, function: Callable[..., Any], variant: str, made_of: tuple[Any, ...] = ()) -> None:
        self._function, self._variant, self._made_of = function, variant, made_of

    @property
    def cache_path(self) -> str:
        return str(kernel_cache_folder())

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the compiled code of a signature, or None, upon which Numba compiles it."""
        try:
            return self._load(signature, target_context)
        except Exception:  # absent, truncated, or not as this version of Numba expects it
            _announce_compilation()
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep the compiled code of a signature where that is possible."""
        try:
            self._save(signature, compiled)
        except FileNotFoundError:  # nothing is kept, or the folder has gone
            pass
        except OSError as error:  # such as a full disk
            _tell_not_kept(error.strerror or str(error))
        except Exception:  # whatever another version of Numba may lead to
            pass

    def _load(self, signature: Any, target_context: Any) -> Any:
        folder, name = self._place(signature, target_context.codegen())
        stored = folder.read(name)
        checksum, data = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
        if hashlib.sha256(data).digest() != checksum:
            raise ValueError("damaged file")
        needs, reduced = pickle.loads(data)
        _provide(needs, target_context)
        return _internals.compiler.CompileResult._rebuild(target_context, *reduced)

    def _save(self, signature: Any, compiled: Any) -> None:
        if compiled.library.has_dynamic_globals:  # addresses of this process
            return
        data = _internals.serialize.dumps((_needs(compiled), compiled._reduce()))
        folder, name = self._place(signature, compiled.codegen)
        folder.write(name, hashlib.sha256(data).digest() + data)

    def _place(self, signature: Any, codegen: Any) -> tuple[PrivateFolder, str]:
        """Return the folder and the file of a signature; their names together say all that decides the code."""
        folder, function = _folder_or_reason()[0], self._function
        held = [cell.cell_contents for cell in function.__closure__ or ()]
        others = [one for one in held if not isinstance(one, str)]  # a text says what a door's function declares
        if folder is None or len(others) != len(self._made_of):  # held by a closure, in no file
            raise FileNotFoundError("not kept on disk")
        functions = [function, *(getattr(one, "py_func", one) for one in self._made_of)]
        places = [(one.__module__, one.__qualname__, one.__code__.co_firstlineno) for one in functions]
        sources = [_file_hash(pathlib.Path(inspect.getfile(one))) for one in functions]
        key = _hash(places, sources, str(signature), codegen.magic_tuple())
        name = ".".join(one.__name__ for one in functions)
        return folder, f"{name}.{self._variant}.{key}.nbc"


def _needs(compiled: Any) -> tuple[list[Any], list[str]] | None:
    """The outside names that machine code calls, and functions that register them. None: unknown."""
    module = getattr(compiled.library, "_final_module", None)
    if module is None:
        return None
    things = [*module.functions, *module.global_variables]
    names = [thing.name for thing in things if thing.is_declaration and not thing.name.startswith("llvm.")]
    return list(compiled.reload_init), sorted(names)


def _provide(needs: tuple[list[Any], list[str]] | None, target_context: Any) -> None:
    """Register these names before the code is linked, as a missing name would end the process.

    Numba would load everything that it can compile, and SciPy: 0.3 to 0.7 s for nothing that compiled code needs.
    """
    if needs is not None:
        register, names = needs
        _internals.runtime.rtsys.initialize(target_context)
        for function in register:
            function()
        if all(llvmlite.binding.address_of_symbol(name) for name in names):
            return
    target_context.refresh()


@functools.cache
def _tell_not_kept(reason: str) -> None:
    """Take back, once, that kernels are kept."""
    if _where_kept()[1]:
        messages.tell(f"fastnn: compiled kernels are not kept, and the next process compiles them again: {reason}")


def _announce_compilation() -> None:
    where, is_kept = _where_kept()
    WAITING.tell(where, is_kept)


@functools.cache  # it does not change, but by compiling
def _where_kept() -> tuple[str, bool]:
    """Where compiled kernels are kept, or why they are not, and whether they are."""
    folder, reason = _folder_or_reason()
    if folder is not None and not folder.is_writable():
        reason = f"{folder.path} cannot be written to"
    if folder is None or reason:
        return f"for this process only: {reason}", False
    return f"kept in {folder.path}", True


def _hash(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:_HASH_LENGTH]


@functools.cache
def _file_hash(file: pathlib.Path) -> str:
    """Return a hash of a file, which must be as it was when it was imported: that is what gets compiled."""
    if file.stat().st_mtime > _TIME_OF_IMPORT:
        raise OSError(f"{file} was edited after it was imported")
    return _content_hash(file)


@functools.cache
def _content_hash(file: pathlib.Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
