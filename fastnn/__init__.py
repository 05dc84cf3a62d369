"""fastnn: neural-network kernels on the CPU, at the speed the hardware allows and as simple as NumPy."""

import ast
import functools
import importlib.util
import pathlib
from typing import Any

from fastnn.version import __version__ as __version__


@functools.cache
def _places() -> dict[str, str]:
    """The module of each public name, read from `__init__.pyi`, which type checkers read, too."""
    rows = ast.parse(pathlib.Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    return {each.name: str(row.module) for row in rows if isinstance(row, ast.ImportFrom) for each in row.names}


def _place_inside(name: str) -> str:
    """The end of a sentence about a name that one of the public packages and modules has; empty where none has."""
    folder = pathlib.Path(__file__).parent
    for package in ("datasets", "models"):
        rows = ast.parse((folder / package / "__init__.py").read_text(encoding="utf-8")).body
        if name in {each.name for row in rows if isinstance(row, ast.ImportFrom) for each in row.names}:
            return f"; it is {package}.{name}"
    for module in ("losses", "schedules"):
        text = (folder / f"{module}.py").read_text(encoding="utf-8")
        if f" import {name} as {name}\n" in text or f"\nclass {name}:\n" in text:
            return f"; it is {module}.{name}"
    return ""


def __getattr__(name: str) -> Any:
    """A public name or a submodule, when first asked for: importing the compiler takes 0.3 s."""
    if name == "__all__":
        return sorted(_places())
    place = _places().get(name, __name__)
    if place != __name__:
        globals()[name] = getattr(importlib.import_module(place), name)
        return globals()[name]
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    problem = f"module {__name__!r} has no attribute {name!r}"
    if not name.startswith("_"):
        from fastnn.gate import attributes, checks  # here, as they import NumPy

        problem += attributes.of_package(name) or _place_inside(name) or checks.did_you_mean(name, _places())
    raise AttributeError(problem, name=name)


def __dir__() -> list[str]:
    return sorted(_places())
