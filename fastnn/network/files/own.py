"""A check that a user's own operations still give the numbers that they gave when a file was written.

A file holds the names of operations, not their code, so another function of the same name would change the network
without a word.
"""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn.errors import ModelFileError
from fastnn.gate import checks
from fastnn.operations import MADE

NAME = "own_operations.json"
LARGEST = 2**20  # bytes of the text
RTOL, ATOL = 1e-9, 1e-12  # for the last digits of another machine's functions
REMEDY = "define it as it was then, or use the file's parameters in a new network"


def to_text(used: Iterable[Any]) -> bytes:
    """The points at which own operations among these were tried, and their results; empty without any."""
    kinds = {kind.__name__: kind for kind in map(type, used) if kind in MADE}
    tried = {name: _tried(*kind.tried) for name, kind in kinds.items()}
    return json.dumps(tried).encode() if tried else b""


def _tried(function: Any, points: Iterable[Any]) -> list[Any]:
    return [[point, _numbers(function(*point))] for point in points]


def check(text: bytes, used: Iterable[Any]) -> None:
    """Refuse operations that give other numbers than the file says; ModelFileError, also for a damaged text."""
    kinds = {kind.__name__: kind for kind in map(type, used) if kind in MADE}
    try:
        noted = {
            str(name): [(_tuples(point), _numbers(result)) for point, result in rows] for name, rows in _object(text)
        }
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{NAME}: expected points and results by name, got others ({error})") from error
    for name in kinds.keys() & noted.keys():
        function = kinds[name].tried[0]
        for point, result in noted[name]:
            now = _now(function, point)
            if isinstance(now, str) or len(now) != len(result) or not np.allclose(now, result, rtol=RTOL, atol=ATOL):
                was = f"{function.__name__}{point} = {_shown(result)}, as when the file was written"
                raise ModelFileError(f"{NAME}: expected your own {name} to have {was}, got {_shown(now)}; {REMEDY}")


def _shown(result: list[float] | str) -> str:
    """A result as a message shows it."""
    return result if isinstance(result, str) else ", ".join(f"{number:.17g}" for number in result)


def _object(text: bytes) -> Iterable[tuple[str, Any]]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError(checks.shown(found))
    return found.items()


def _tuples(value: Any) -> Any:
    """Lists, also inner ones, as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _now(function: Any, point: Any) -> list[float] | str:
    """The result at a point, or an error's text."""
    try:
        return _numbers(function(*point))
    except Exception as error:  # a user's code may raise anything
        return f"{type(error).__name__}: {error}"


def _numbers(value: Any) -> list[float]:
    """The numbers in nested tuples, or a single one."""
    return [one for part in value for one in _numbers(part)] if isinstance(value, list | tuple) else [float(value)]
