"""Numerical gradients that a script defines itself: found in its source, recognized by their behavior."""

import ast
import contextlib
import functools
import io
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.observing.attempt import SMALL
from fastnn.observing.reach import Memory, RandomStates, Reach
from fastnn.observing.tape import NotUnderstoodError
from fastnn.system import messages

MOST_DIMENSIONS = 4  # of the probe, which has 2 or 3 entries along each
TELLING = 100  # entries, from which a loop that is not recognized is worth a line

# The decorator of a loop, written so that it adds nothing to the script's names.
_DECORATOR = ast.parse(f"__import__({__name__!r}, fromlist=('recognized',)).recognized", mode="eval").body


def marked(source: bytes) -> Any:
    """The source or, if loops in it may be numerical gradients, its tree with these decorated."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # Python's own message, when it compiles the file, is better
        return source
    loops = [node for node in tree.body if isinstance(node, ast.FunctionDef) and _may_be_loop(node)]
    for node in loops:
        decorator = ast.copy_location(ast.Expr(_DECORATOR), node).value
        for part in ast.walk(decorator):
            ast.copy_location(part, node)
        node.decorator_list.append(decorator)
    return tree if loops else source


def _may_be_loop(node: ast.FunctionDef) -> bool:
    """Whether a function takes a function and another argument, calls the first and contains a loop."""
    names = [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]
    parts = list(ast.walk(node))
    calls = [part.func.id for part in parts if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)]
    return len(names) >= 2 and names[0] in calls and any(isinstance(part, ast.For | ast.While) for part in parts)


def recognized(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, evaluated by fastnn wherever it is the book's loop; anything but a plain function unchanged."""
    if not isinstance(function, types.FunctionType):  # the result of the script's own decorator
        return function
    found: dict[int, tuple[list[Any], float | None]] = {}  # by the number of dimensions: its globals then, and its step
    told: list[str] = []

    @functools.wraps(function)
    def loop(*arguments: Any, **keywords: Any) -> Any:
        if keywords or len(arguments) != 2 or not _is_plain(arguments[1]):
            return function(*arguments, **keywords)
        f, x = arguments
        reads = _what_it_reads(function)
        before, h = found.get(x.ndim, ([], None))
        if len(before) != len(reads) or any(a is not b for a, b in zip(before, reads, strict=True)):
            h = step_of(function, x.ndim)
            found[x.ndim] = reads, h
        if h is not None:
            from fastnn.dropin.common.gradient import with_step

            return with_step(f, x, h)
        if x.size >= TELLING and not told and "grad" in function.__name__:
            told.append(function.__name__)
            messages.tell(
                f"fastnn: {function.__name__} is the script's own and not the book's loop, so it runs unchanged; "
                "`from common.gradient import numerical_gradient` has fastnn's"
            )
        return function(*arguments)

    return loop


def _what_it_reads(function: Any) -> list[Any]:
    """The values of the globals that the function names and its parts that may change: its step may depend on them."""
    named = [function.__globals__.get(name) for name in function.__code__.co_names]
    return [function.__code__, function.__defaults__, *named]


def _is_plain(x: Any) -> bool:
    """Whether fastnn may take an array: its entries lie in the order of their indices."""
    good = type(x) is np.ndarray and x.dtype == np.float64 and x.flags.c_contiguous and x.flags.writeable
    return good and x.size > SMALL and x.ndim <= MOST_DIMENSIONS


class Probe:
    """A function of an array that records for each call whether it got that array, the array's state, and its value."""

    def __init__(self, dimensions: int) -> None:
        shape = (2,) * (dimensions - 1) + (3,)
        self.before = np.random.default_rng(20161024).normal(size=shape)
        self.before.flat[0] = 0.0  # a step from 0 shows all its digits
        self.array = self.before.copy()
        self.calls: list[tuple[bool, np.ndarray[Any, Any], Any]] = []

    def __call__(self, x: Any = None, *_: Any) -> Any:
        value = np.float64(np.sum(np.sin(self.array) * np.arange(1.0, self.array.size + 1).reshape(self.array.shape)))
        self.calls.append((x is self.array, self.array.copy(), value))
        return value


def step_of(function: Callable[..., Any], dimensions: int) -> float | None:
    """The step h if a function (f, x) does the same as the book's numerical gradient and nothing else; None if not.

    For each entry in order it must call f with x itself, the entry moved by h and then by -h, put the difference over 2
    h into the result, and give x its bits back.
    """
    probe, output = Probe(dimensions), io.StringIO()
    try:
        reach = Reach(function)
        before, states = Memory(reach), RandomStates(reach)
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), np.errstate(all="ignore"):
                result = function(probe, probe.array)
            same = Memory(reach).equals(before)
        finally:
            before.restore()
            drew = states.restore()
    except NotUnderstoodError:
        return None
    except Exception:  # the function takes other arrays
        return None
    if drew or not same or output.getvalue() or len(probe.calls) != 2 * probe.array.size:
        return None
    return _step(probe, result)


def _step(probe: Probe, result: Any) -> float | None:
    x, h = probe.before, float(probe.calls[0][1].flat[0])
    if not (h > 0.0 and np.isfinite(h) and type(result) is np.ndarray and result.dtype == x.dtype):
        return None
    wanted = np.empty_like(x)
    for entry in range(x.size):
        pair = probe.calls[2 * entry : 2 * entry + 2]
        for sign, (is_array, seen, _) in zip((1.0, -1.0), pair, strict=True):
            moved = x.copy()
            moved.flat[entry] = float(x.flat[entry]) + sign * h
            if not (is_array and np.array_equal(seen, moved)):
                return None
        wanted.flat[entry] = (pair[0][2] - pair[1][2]) / (2 * h)
    same = result.shape == x.shape and np.allclose(result, wanted, rtol=1e-14, atol=0.0)
    return h if same and probe.array.tobytes() == x.tobytes() else None
