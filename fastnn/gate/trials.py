"""Trials of a user's functions: at some numbers, for values that are finite and derivatives that are right."""

import keyword
import math
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fastnn.gate import arrays, checks

# Where a user's functions are tried: both sides of 0, small, usual and large; no likely kink is among them.
TRIED = (-20.0, -2.9, -1.1, -0.43, -0.013, 0.017, 0.31, 0.87, 2.7, 15.0)
TARGETS = (0.0, 1.0, -1.3)
STEP = 1e-5
TOLERANCE = 1e-4  # of a derivative to its difference quotient, relative to the largest of both and 1
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def named(name: str, numbers: Any, fewest: int, most: int, taken: set[str], **limits: float) -> dict[str, float]:
    """The names of parameters or rates with their usual numbers."""
    if not isinstance(numbers, Mapping) or not fewest <= len(numbers) <= most:
        expected = f"{name}: expected a mapping of {fewest} to {most} names to numbers"
        came = f"one of {len(numbers)}" if isinstance(numbers, Mapping) else checks.shown(numbers)
        raise TypeError(f'{expected}, got {came}; pass one such as {{"beta": 0.9}}')
    for key in numbers:
        if not isinstance(key, str) or not NAME.fullmatch(key):
            raise ValueError(f"{name}: expected lower-case identifiers, got {checks.shown(key)}; pass another name")
        if keyword.iskeyword(key) or key in taken:
            owner = "Python" if keyword.iskeyword(key) else "fastnn"
            raise ValueError(
                f"{name}: expected names that are not taken, got {key!r}, which {owner} uses; pass another name"
            )
    return {key: arrays.real(f"{name}[{key!r}]", number, **limits) for key, number in numbers.items()}


def numbers_of(name: str, numbers: Any, fewest: int = 1) -> tuple[float, ...]:
    """Finite numbers, at least so many."""
    found = tuple(numbers) if isinstance(numbers, Iterable) and not isinstance(numbers, str) else None
    if found is None or len(found) < fewest:
        came = checks.shown(numbers)
        raise TypeError(f"{name}: expected a tuple of numbers, got {came}; pass one such as (0.1, 0.5)")
    return tuple(arrays.real(f"{name}[{i}]", number) for i, number in enumerate(found))


def pairs_of(at: Any) -> list[tuple[float, ...]]:
    """The outputs and targets at which a loss is tried."""
    if at is None:
        return [(y, t) for t in TARGETS for y in TRIED]
    given = list(at) if isinstance(at, Iterable) else at
    if isinstance(given, list) and given and all(isinstance(one, tuple) and len(one) == 2 for one in given):
        return [numbers_of(f"at[{i}]", pair) for i, pair in enumerate(given)]
    return [(y, t) for t in (0.0, 1.0) for y in numbers_of("at", given)]


class _Identity:
    """An object that equals itself alone."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def source_of(function: Any) -> Any:
    """What a function computes by: its code, and the values that it names, other functions' as well.

    Two are equal only if the functions compute the same.
    """
    return _source_of(function, ())


def _source_of(value: Any, around: tuple[Any, ...]) -> Any:
    value = getattr(value, "py_func", value)
    if not isinstance(value, types.FunctionType):
        return (type(value), repr(value)) if isinstance(value, int | float | str | None) else _Identity(value)
    if value in around:  # it calls itself
        return around.index(value)
    inside = (*around, value)
    held = [cell.cell_contents for cell in value.__closure__ or ()]
    named = [value.__globals__[name] for name in value.__code__.co_names if name in value.__globals__]
    return value.__code__, *(_source_of(one, inside) for one in (*held, *named, *(value.__defaults__ or ())))


def try_update(update: Any, p: float, g: float, s: Any, rates: tuple[float, ...]) -> None:
    """Refuse an update that does not return (p, s)."""
    found, came = _called(update, (p, g, s, rates))
    value, kept = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
    each = kept if isinstance(s, tuple) and isinstance(kept, tuple) else (kept,)
    if not _is_finite(value) or len(each) != np.size(s) or not all(map(_is_finite, each)):
        what = "a tuple of 2 numbers" if isinstance(s, tuple) else "a number (0.0 if state=0)"
        raise ValueError(f"update: expected (p, s), finite, where s is {what}, got {came} for {p=}, {g=}; return both")


def try_slopes(f: Any, derivative: Any, of: str, at: tuple[float, ...]) -> None:
    """Refuse derivatives by x and by parameters that are not the difference quotients of f."""
    finite("f", f, of, at)
    found, came = _called(derivative, at)
    if not isinstance(found, tuple) or len(found) != len(at):
        expected = f"derivative: expected a tuple of {len(at)} numbers, by {of}"
        raise ValueError(f"{expected}, got {came}; return one number for each")
    for i, one in enumerate(of.split(", ")):
        slope = finite(f"derivative by {one}", lambda *_, i=i: found[i], of, at)
        compare(f"derivative by {one}", slope, f, of, at, i)


def _called(function: Callable[..., Any], at: tuple[Any, ...]) -> tuple[Any, str]:
    """What a function returns, and that in words; None and the exception where it raises one, as of math.log(-1.0)."""
    try:
        found = function(*at)
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
    return found, str(found) if isinstance(found, tuple) else checks.shown(found)


def _point(of: str, at: tuple[float, ...]) -> str:
    return ", ".join(f"{one} = {number:g}" for one, number in zip(of.split(", "), at, strict=True))


def _is_finite(number: Any) -> bool:
    return isinstance(number, float | int | np.floating | np.integer) and math.isfinite(number)


def finite(name: str, function: Callable[..., Any], of: str, at: tuple[float, ...]) -> float:
    """A function's value at some numbers; refused if it is not a finite number."""
    found, came = _called(function, at)
    if not _is_finite(found):
        remedy = "mend the function, or pass at=(...), where it is to be tried"
        raise ValueError(f"{name}: expected a finite number at {_point(of, at)}, got {came}; {remedy}")
    return float(found)


def compare(name: str, slope: float, f: Any, of: str, at: tuple[float, ...], i: int) -> None:
    """Refuse a derivative by argument i that is not the difference quotient."""
    step = STEP * max(1.0, abs(at[i]))
    above, below = (finite("f", f, of, (*at[:i], at[i] + d, *at[i + 1 :])) for d in (step, -step))
    quotient = (above - below) / (2 * step)
    if not abs(slope - quotient) <= TOLERANCE * max(1.0, abs(quotient), abs(slope)):
        expected = f"{name}: expected the derivative, {quotient:.6g} at {_point(of, at)} by a difference quotient"
        raise ValueError(f"{expected}, got {slope:.6g}; mend the derivative or the function")
