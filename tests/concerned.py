"""Test files that a change concerns, for `.ci/run`: `git diff --name-only A B | python -m tests.concerned`.

A test file is concerned if it has changed, or a file of tests that it imports, or a folder of fastnn that it names.
What these folders import in turn does not count: their own tests look at that.
"""

import ast
import functools
import inspect
import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import fastnn

TESTS = pathlib.Path(__file__).parent


@functools.cache
def homes(file: pathlib.Path) -> set[str]:
    """The homes of what a file takes from fastnn and from tests."""
    return set(map(home, names(file)))


def names(file: pathlib.Path) -> Iterator[str]:
    """What a file takes: fastnn.gate.arrays, fastnn.Network, tests.shapes.numbers."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("fastnn", "tests"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "fastnn":
            yield f"fastnn.{node.attr}"


def home(name: str) -> str:
    """The file of tests, or the folder or file in fastnn, from which a name comes: fastnn/network of fastnn.Network."""
    package, first, *rest = name.split(".")
    if package == "fastnn" and not rest:
        found: Any = getattr(fastnn, first, fastnn)
        module = found.__name__ if inspect.ismodule(found) else getattr(found, "__module__", "fastnn")
        first = [*module.split("."), "__init__"][1]
    return f"{package}/{first}" if package == "fastnn" else f"tests/{first}.py"


def sources(file: pathlib.Path) -> set[str]:
    """The homes of all that a file of tests names, and of all that its helpers name."""
    found, waiting = {f"tests/{file.name}"}, [file]
    while waiting:
        more = homes(waiting.pop()) - found
        found |= more
        waiting += [TESTS.parent / one for one in more if one.startswith("tests/") and (TESTS.parent / one).exists()]
    return found


def concerned(changed: Iterable[str]) -> list[str]:
    """The test files that these changed files concern; a file of fastnn stands for its folder."""
    paths = set(changed)
    paths |= {"/".join(pathlib.PurePosixPath(path).with_suffix("").parts[:2]) for path in paths}
    return [f"tests/{file.name}" for file in sorted(TESTS.glob("test_*.py")) if sources(file) & paths]


if __name__ == "__main__":
    print(*concerned(sys.stdin.read().split()), sep="\n")
