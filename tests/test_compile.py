"""Compiling kernels, tried on a tiny package with kernels of its own, in fresh processes."""

from typing import Any

import numpy as np

from fastnn.kernels import compile as compiling
from tests.compiled_package import RESULTS, Package


def test_fastmath_keeps_nan_and_infinity() -> None:
    assert not compiling.FASTMATH & {"nnan", "ninf", "fast"}


def test_every_dispatcher_has_the_same_options(package: Package) -> None:
    script = """
import json
from fastnn.kernels import callee, caller, compile as compiling

dispatchers = [callee.increased32, callee.scaled32, caller.increase, caller.total]
assert callee.scaled32.targetoptions["forceinline"]
assert compiling.ENTRIES == [caller.increase, caller.total]
names = ("nogil", "error_model", "fastmath", "boundscheck", "nopython")
print(json.dumps([[one.targetoptions[name] for name in names] for one in dispatchers]))
"""
    options, errors = package.run(script)
    fastmath = sorted(compiling.FASTMATH) or False
    assert options == [[True, "numpy", fastmath, None, True]] * 4
    assert errors == ""
    assert not package.cache.exists()  # importing an entry leaves the disk alone


def test_by_dtype_in_plain_python_looks_at_the_first_argument() -> None:
    def first(x: Any, y: Any) -> tuple[str, Any, Any]:
        return "float32", x, y

    def second(x: Any, y: Any) -> tuple[str, Any, Any]:
        return "float64", x, y

    made: Any = compiling.by_dtype(first, second)
    chosen = getattr(made, "py_func", made)
    assert chosen(np.float32(1), 2.0) == ("float32", 1, 2)
    assert chosen(np.float64(1), np.float32(2)) == ("float64", 1, 2)
    assert chosen(1.5, 0.0) == ("float64", 1.5, 0)


def test_without_the_compiler_entries_are_plain_python(package: Package) -> None:
    report, errors = package.run(NUMBA_DISABLE_JIT="1")
    assert report == {"results": RESULTS}
    assert errors == ""
    assert not package.cache.exists()
