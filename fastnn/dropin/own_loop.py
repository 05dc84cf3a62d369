"""Numerical gradients that a script defines itself: found in its source, recognised by what they do."""

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
TELLING = 100  # entries, from which it is worth a line that a loop was not recognised

# What a loop is decorated with, so that nothing is added to the script's names.
_DECORATOR = ast.parse(f"__import__({__name__!r}, fromlist=('recognised',)).recognised", mode="eval").body


def marked(source: bytes) -> Any:
    """The source, or where there are loops in it that may be numerical gradients, its tree with these decorated."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # which Python says better when it compiles it
        return source
    loops = [node for node in tree.body if isinstance(node, ast.FunctionDef) and _may_be_loop(node)]
    for node in loops:
        decorator = ast.copy_location(ast.Expr(_DECORATOR), node).value
        for part in ast.walk(decorator):
            ast.copy_location(part, node)
        node.decorator_list.append(decorator)
    return tree if loops else source


def _may_be_loop(node: ast.FunctionDef) -> bool:
    """Whether a function takes a function and something else, and calls the first one where there is a loop."""
    names = [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]
    parts = list(ast.walk(node))
    calls = [part.func.id for part in parts if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)]
    return len(names) >= 2 and names[0] in calls and any(isinstance(part, ast.For | ast.While) for part in parts)


def recognised(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, evaluated by fastnn wherever it is the book's loop; anything but a plain function as it is."""
    if not isinstance(function, types.FunctionType):  # an own decorator's result
        return function
    found: dict[int, tuple[list[Any], float | None]] = {}  # by the number of dimensions: what it read, and its step
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
                f"fastnn: {function.__name__} is the script's own, and not the book's loop, so it runs as it is; "
                "`from common.gradient import numerical_gradient` has fastnn's"
            )
        return function(*arguments)

    return loop


def _what_it_reads(function: Any) -> list[Any]:
    """The values of the globals that it names, and its own parts that may change, as its step may with them."""
    named = [function.__globals__.get(name) for name in function.__code__.co_names]
    return [function.__code__, function.__defaults__, *named]


def _is_plain(x: Any) -> bool:
    """Whether an array is one that fastnn may take, whose entries lie in the order of their indices."""
    good = type(x) is np.ndarray and x.dtype == np.float64 and x.flags.c_contiguous and x.flags.writeable
    return good and x.size > SMALL and x.ndim <= MOST_DIMENSIONS


class Probe:
    """A function of an array that keeps, for each call, whether it got the very array, how that was, and its value."""

    def __init__(self, dimensions: int) -> None:
        shape = (2,) * (dimensions - 1) + (3,)
        self.before = np.random.default_rng(20161024).normal(size=shape)
        self.before.flat[0] = 0.0  # from which a step shows all its digits
        self.array = self.before.copy()
        self.calls: list[tuple[bool, np.ndarray[Any, Any], Any]] = []

    def __call__(self, x: Any = None, *_: Any) -> Any:
        value = np.float64(np.sum(np.sin(self.array) * np.arange(1.0, self.array.size + 1).reshape(self.array.shape)))
        self.calls.append((x is self.array, self.array.copy(), value))
        return value


def step_of(function: Callable[..., Any], dimensions: int) -> float | None:
    """The step h if a function (f, x) does what the book's numerical gradient does, and nothing else; None if not.

    That is: for each entry in order f is called with x itself, the entry once moved by h and once by -h, the result has
    the quotient of the difference and 2 h, and x has its own bits again.
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
    except Exception:  # of a function that takes other arrays
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
