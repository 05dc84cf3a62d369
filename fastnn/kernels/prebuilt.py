"""Machine code of the kernels that a wheel brings, compiled when the wheel was built.

A wheel has one shared library for each level of processors, x86-64-v3 and x86-64-v4, and an index with their checksums.
A library holds each unit and each door for each dtype as a C function, under a name made of the functions of which it
was compiled. It is used only if the sources of the kernels beside it are the ones that it was compiled from, if the
processor has all that the level needs, and if nothing asks for other code. What it lacks is compiled when needed.
"""

import ctypes
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from fastnn.kernels import processor
from fastnn.kernels.cache import JIT_DISABLED, is_told_by_files, sources_hash

FOLDER = pathlib.Path(__file__).parent / "machine_code"
INDEX = "index.json"
# Settings that ask for other code than the wheel's; the ones about processors and vectors are seen by what they do.
SETTINGS = "NUMBA_BOUNDSCHECK", "NUMBA_LOOP_VECTORIZE", "NUMBA_OPT", "NUMBA_SLP_VECTORIZE"

# What a level needs, by LLVM's names; see the psABI of x86-64, section 3.1.1. Elsewhere the baseline is the only one.
_V3 = "avx avx2 bmi bmi2 cx16 f16c fma lzcnt movbe popcnt sse3 sse4.1 sse4.2 ssse3"
_V4 = f"{_V3} avx512bw avx512cd avx512dq avx512f avx512vl"
LEVELS: dict[str, dict[str, str]] = {"x86_64": {"x86-64-v4": _V4, "x86-64-v3": _V3}, "aarch64": {"generic": ""}}


class Prebuilt(NamedTuple):
    """The library of this process, or None, and a sentence that says which or why not."""

    library: ctypes.CDLL | None
    reason: str


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


@functools.cache
def prebuilt() -> Prebuilt:
    """The library for this processor."""
    if JIT_DISABLED or os.environ.get("FASTNN_PREBUILT", "1") == "0":
        return Prebuilt(None, "NUMBA_DISABLE_JIT=1" if JIT_DISABLED else "FASTNN_PREBUILT=0")
    asked = [f"{name}={os.environ[name]}" for name in SETTINGS if os.environ.get(name)]
    if asked:
        return Prebuilt(None, f"{', '.join(asked)} asks for other code")
    try:
        index = json.loads((FOLDER / INDEX).read_text(encoding="utf-8"))
        return _load(index)
    except FileNotFoundError:
        return Prebuilt(None, "installed without; a wheel has them")
    except Exception as error:  # a damaged file, in whatever way
        return Prebuilt(None, f"{type(error).__name__}: {error}")


def _load(index: dict[str, Any]) -> Prebuilt:
    if index["sources"] != sources_hash():
        return Prebuilt(None, "the kernels' sources have changed since the wheel was built")
    for level, stored in index["levels"].items():
        suits = set(stored["features"].split()) <= processor.FEATURES
        if suits and stored["processor"] == processor.described():
            file = FOLDER / stored["file"]
            if hashlib.sha256(file.read_bytes()).hexdigest() != stored["sha256"]:
                return Prebuilt(None, f"{file} is damaged; install the wheel again")
            return Prebuilt(ctypes.CDLL(str(file)), level)
    return Prebuilt(None, f"none for this processor among {', '.join(index['levels'])}")
