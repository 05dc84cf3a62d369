"""Machine code of the kernels that a wheel brings, compiled when the wheel was built.

A wheel has one shared library for each level of processors, x86-64-v3 and x86-64-v4, and an index with their checksums.
A library holds each unit and each door for each dtype as a C function, under a name made of the functions of which it
was compiled. It is used only if the sources of the kernels beside it are the ones that it was compiled from, if the
processor has all that the level needs, and if no setting asks for other code. A kernel that is not in the library is
compiled when it is needed.
"""

import ctypes
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from fastnn.kernels import caches, processor
from fastnn.kernels.cache import JIT_DISABLED, code_settings, is_told_by_files, sources_hash
from fastnn.system import messages

FOLDER = pathlib.Path(__file__).parent / "machine_code"
INDEX = "index.json"
# The features that each level needs, by LLVM's names; for x86-64 see section 3.1.1 of its psABI.
_V3 = "avx avx2 bmi bmi2 cx16 f16c fma lzcnt movbe popcnt sse3 sse4.1 sse4.2 ssse3"
_V4 = f"{_V3} avx512bw avx512cd avx512dq avx512f avx512vl"
LEVELS: dict[str, dict[str, str]] = {"x86_64": {"x86-64-v4": _V4, "x86-64-v3": _V3}, "aarch64": {"generic": ""}}


class Prebuilt(NamedTuple):
    """The library that this process uses and its level, or the reason why there is none."""

    library: ctypes.CDLL | None
    level: str
    reason: str = ""


def name_of(dtype: str, function: Callable[..., Any], made_of: tuple[Any, ...] = ()) -> str:
    """The name of the C function that a unit or a door is compiled to for a dtype."""
    functions = [function, *(getattr(one, "py_func", one) for one in made_of)]
    return "+".join([*(f"{one.__module__}.{one.__qualname__}" for one in functions), dtype])


def address(dtype: str, function: Callable[..., Any], made_of: tuple[Any, ...] = ()) -> int:
    """The address of the machine code of a unit or a door, or 0 where it is to be compiled."""
    library = prebuilt().library
    if library is None or not all(map(is_told_by_files, made_of)):
        return 0
    try:
        found = library[name_of(dtype, function, made_of)]
    except AttributeError:
        return 0
    return ctypes.cast(found, ctypes.c_void_p).value or 0


def index_in(folder: pathlib.Path) -> str | None:
    """The text of a folder's index; None where there is none, such as in a checkout."""
    try:
        return (folder / INDEX).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


# Read with the sources: an update of the package while this process runs must not bring it the code of others.
_INDEX = index_in(FOLDER)


@functools.cache
def prebuilt() -> Prebuilt:
    """The library for this processor."""
    if JIT_DISABLED:
        return Prebuilt(None, "", "NUMBA_DISABLE_JIT=1")
    asked = os.environ.get("FASTNN_PREBUILT", "1")
    if asked == "0":
        return Prebuilt(None, "", "FASTNN_PREBUILT=0")
    if asked not in ("", "1"):
        messages.tell(f"fastnn: FASTNN_PREBUILT: expected 0 or 1, got {asked!r}; it is taken for 1")
    if _INDEX is None:
        return Prebuilt(None, "", "this package was installed without machine code")
    found = load(FOLDER, _INDEX)
    if found.library is None:
        messages.tell(f"fastnn: the wheel's machine code is not used: {found.reason}")
    return found


def load(folder: pathlib.Path, index: str) -> Prebuilt:
    """The library of a folder for this processor, by the text of its index."""
    try:
        found = json.loads(index)
        if found["sources"] != sources_hash():
            return Prebuilt(None, "", "the kernels' sources are not the ones that it was compiled from")
        changed = [name for name, value in found["settings"].items() if code_settings()[name] != value]
        if changed:
            return Prebuilt(None, "", f"NUMBA_{changed[0]} asks for other code")
        for level, stored in found["levels"].items():
            suits = set(stored["features"].split()) <= processor.FEATURES
            if suits and stored["processor"] == processor.described():
                return Prebuilt(_opened(folder / stored["file"], stored["sha256"]), level)
    except Exception as error:  # whatever a damaged file leads to
        return Prebuilt(None, "", f"{type(error).__name__}: {error}; install the wheel again")
    return Prebuilt(None, "", f"there is none for this processor among {', '.join(found['levels'])}")


def _opened(file: pathlib.Path, checksum: str) -> ctypes.CDLL:
    if hashlib.sha256(file.read_bytes()).hexdigest() != checksum:
        raise ValueError(f"{file} is damaged")
    library = ctypes.CDLL(str(file))
    caches.tell(library)
    return library
