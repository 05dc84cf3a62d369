"""What a function can reach: the places that hold an array, and a memory of all that it may change.

A function reaches what is in its closure, its defaults, its attributes and the globals that it names, the attributes of
objects, the items of dictionaries and lists, and so on from there. An object of an unknown type may have a state that
cannot be put back, so a function that reaches one is refused. Modules and functions of libraries are assumed to have no
state.
"""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import logging
import pathlib
import random
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.engine import observation
from fastnn.observing.tape import NotUnderstoodError, StandIn

ROUNDING = 1e-9  # relative; NumPy computes with a stand-in, where otherwise a kernel may
REPLACED = "fastnn.dropin."  # the modules whose objects hold the user's arrays
MOST = 20_000  # objects to look at; a function that reaches more is not worth it

_MISSING: Any = object()
# Libraries whose functions and classes are not looked into.
_LIBRARIES = {"numpy", "scipy", "matplotlib", "pandas", "torch", "numba", "sklearn", "fastnn"}
_LIBRARIES |= sys.stdlib_module_names
# Types without a state, or with effects on the outside alone.
_VALUES: tuple[Any, ...] = (int, float, complex, str, bytes, range, slice, np.generic, np.dtype, enum.Enum)
_VALUES += (type(None), type(Ellipsis))
_VALUES += (type(NotImplemented), decimal.Decimal, fractions.Fraction, pathlib.PurePath, datetime.date, datetime.time)
_VALUES += (datetime.timedelta, re.Pattern, types.ModuleType, types.CodeType, logging.Logger, np.ufunc, type(np.dot))
_INTERFACES = ("abc", "typing", "collections.abc")  # modules of base classes without a state
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
_LISTS = (list, collections.deque)
# The classes of libraries whose objects consist of their contents and attributes.
_CONTAINERS = frozenset(
    [
        *(object, dict, list, tuple, set, frozenset, np.ndarray, np.matrix, np.ma.MaskedArray),
        *(collections.deque, collections.OrderedDict, collections.defaultdict, collections.Counter),
        *(collections.UserDict, collections.UserList, collections.ChainMap),
        *(types.SimpleNamespace, argparse.Namespace),
    ]
)
# Parts of a class that only say how its objects are made or looked up.
_DESCRIPTORS: tuple[Any, ...] = (types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType)
_DESCRIPTORS += (types.MethodDescriptorType, types.ClassMethodDescriptorType, functools.cached_property)


class Place:
    """Somewhere that holds a value: an item of a dictionary or a list, or a cell of a closure."""

    __slots__ = ("container", "key")

    def __init__(self, container: Any, key: Any) -> None:
        self.container, self.key = container, key

    def holds(self, value: Any) -> bool:
        """Whether this very value is there."""
        if isinstance(self.container, types.CellType):
            return _contents(self.container) is value
        try:
            return self.container[self.key] is value
        except LookupError:
            return False

    def put(self, value: Any) -> None:
        """Put another value there."""
        if isinstance(self.container, types.CellType):
            self.container.cell_contents = value
        else:
            self.container[self.key] = value


class Reach:
    """All that `f` reaches, found once.

    Attributes
    ----------
    dictionaries, lists, sets : list
        The dictionaries include those of objects' attributes.
    globals : list of (dict, name)
        Names that do not exist yet are included.
    classes : list of type
    cells : list of closure cells
    arrays : list of arrays
    fixed : list of tuples and frozen sets
    generators : list of random generators
    networks : list of Network
    """

    def __init__(self, f: Any, most: int = MOST) -> None:
        self.dictionaries: list[dict[Any, Any]] = []
        self.lists: list[Any] = []
        self.globals: list[tuple[dict[str, Any], str]] = []
        self.cells: list[types.CellType] = []
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.fixed: list[Any] = []
        self.sets: list[set[Any]] = []
        self.generators: list[Any] = []
        self.classes: list[type] = []
        self.networks: list[Any] = []
        self._seen: dict[int, Any] = {}  # by identity; kept alive, as an identity may be used again
        pending: collections.deque[Any] = collections.deque([f])
        while pending:
            thing = pending.popleft()
            if id(thing) in self._seen or isinstance(thing, _VALUES):
                continue
            self._seen[id(thing)] = thing
            if len(self._seen) > most:
                count = f"more than {MOST:,}" if most >= MOST else "too many"
                raise NotUnderstoodError(f"it reaches {count} objects")
            pending.extend(self._parts(thing))

    def _parts(self, thing: Any) -> Iterator[Any]:
        """File an object under its kind, and yield its parts."""
        if isinstance(thing, types.FunctionType):
            yield from self._parts_of_function(thing)
        elif isinstance(thing, type):
            yield from self._parts_of_class(thing)
        elif isinstance(thing, types.MethodType):
            yield from ((thing.__self__,), thing.__func__)
        elif isinstance(thing, types.BuiltinFunctionType | types.MethodWrapperType):
            yield (thing.__self__,)  # the list of `some.append`; a function's module
        elif isinstance(thing, functools.partial):
            yield from (thing.func, thing.args, thing.keywords, thing.__dict__)
        elif isinstance(thing, _GENERATORS):
            self.generators.append(thing)
        elif observation.is_network(thing):  # its own state is observed by its losses
            self.networks.append(thing)
        else:
            yield from self._parts_of_object(thing)

    def _parts_of_object(self, thing: Any) -> Iterator[Any]:
        """An object's items, attributes and class."""
        kind = type(thing)
        if hasattr(kind, "__next__"):
            raise NotUnderstoodError(f"it reaches an iterator, a {kind.__name__}")
        bases = [base for base in kind.__mro__ if base not in _CONTAINERS and base.__module__ not in _INTERFACES]
        if any(_is_of_library(base) or vars(base).get("__slots__") for base in bases):
            raise NotUnderstoodError(f"it reaches a {kind.__name__}, whose state is unknown")
        if isinstance(thing, np.ndarray):
            self.arrays.append(thing)
            yield tuple(thing.ravel().tolist()) if thing.dtype.hasobject else ()
        elif isinstance(thing, dict):
            self.dictionaries.append(thing)
            yield from thing.values()
        elif isinstance(thing, list | tuple | set | frozenset | collections.deque):
            kept: Any = self.lists if isinstance(thing, _LISTS) else self.sets if isinstance(thing, set) else self.fixed
            kept.append(thing)
            yield from thing
        attributes = getattr(thing, "__dict__", None)
        if isinstance(attributes, dict):
            yield attributes
        yield kind

    def _parts_of_class(self, kind: type) -> Iterator[Any]:
        for base in kind.__mro__:
            if _is_of_library(base) or base in self.classes:
                continue
            self.classes.append(base)
            yield type(base)
            for name, value in vars(base).items():
                if isinstance(value, staticmethod | classmethod):
                    yield value.__func__
                elif isinstance(value, property):
                    yield from (value.fget, value.fset)
                elif isinstance(value, types.FunctionType) or not (
                    name.startswith(("__", "_abc_impl")) or isinstance(value, _DESCRIPTORS)
                ):
                    yield value

    def _parts_of_function(self, function: types.FunctionType) -> Iterator[Any]:
        own = function.__module__ or ""
        if _is_of_library(function) and not own.startswith(REPLACED):
            return
        for cell in function.__closure__ or ():
            self.cells.append(cell)
            if _contents(cell) is not _MISSING:
                yield _contents(cell)
        if _is_of_library(function):
            return
        yield from (function.__defaults__, function.__kwdefaults__, function.__dict__)
        codes = [function.__code__]
        while codes:
            code = codes.pop()
            codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
            for name in code.co_names:
                value = function.__globals__.get(name, _MISSING)
                if value is _MISSING and name in sys.modules:  # f may import it
                    value = sys.modules[name]
                self.globals.append((function.__globals__, name))
                if not isinstance(value, types.ModuleType):
                    yield from () if value is _MISSING else (value,)
                elif value.__name__.partition(".")[0] not in _LIBRARIES:
                    self.globals += [(vars(value), other) for other in code.co_names]
                    yield from (vars(value)[other] for other in code.co_names if other in vars(value))

    def places(self, array: Any) -> list[Place]:
        """The places that hold this very array."""
        found = [Place(d, key) for d in self.dictionaries for key, value in d.items() if value is array]
        found += [Place(some, i) for some in self.lists for i, value in enumerate(some) if value is array]
        found += [Place(cell, None) for cell in self.cells if _contents(cell) is array]
        names = {(id(d), name): (d, name) for d, name in self.globals if d.get(name) is array}
        return found + [Place(d, name) for d, name in names.values()]

    def views(self, array: Any) -> list[Any]:
        """The other arrays that share the array's memory; all can be replaced. Refuse it where nothing can stand in."""
        views = [other for other in self.arrays if other is not array and np.may_share_memory(other, array)]
        for one in (array, *views):
            what = "the array" if one is array else "a view of the array"
            if any(value is one for thing in self.fixed for value in thing):
                raise NotUnderstoodError(f"a tuple or a default holds {what}")
            if any(value is one for kind in self.classes for value in vars(kind).values()):
                raise NotUnderstoodError(f"a class holds {what}")
        if any(np.may_share_memory(network.engine.values, array) for network in self.networks):
            raise NotUnderstoodError("a network holds the array")
        return views


def _is_of_library(thing: Any) -> bool:
    """Whether a class or a function belongs to Python, or to a library that is not looked into.

    The replaced modules' classes are looked into: their objects hold the user's arrays.
    """
    module = thing.__module__ or ""
    if not isinstance(module, str):  # Cython's functions
        return True
    return is_library(module) and not (isinstance(thing, type) and module.startswith(REPLACED))


def is_library(module: str) -> bool:
    """Whether a module of this name belongs to Python, or to a library that is not looked into."""
    return module.partition(".")[0] in _LIBRARIES


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


class Memory:
    """The state at one moment of all that a function reaches, without arrays' values and random generators' states."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.dictionaries = [dict(one) for one in reach.dictionaries]
        self.lists = [list(one) for one in reach.lists]
        self.cells = [_contents(cell) for cell in reach.cells]
        self.globals = [d.get(name, _MISSING) for d, name in reach.globals]
        self.classes = [dict(vars(kind)) for kind in reach.classes]
        self.sets = [set(one) for one in reach.sets]

    def restore(self) -> None:
        """Put everything back."""
        for now, before in zip(self.reach.dictionaries, self.dictionaries, strict=True):
            if not (len(now) == len(before) and all(key in now and now[key] is before[key] for key in before)):
                now.clear()
                now.update(before)
        for some, kept in zip(self.reach.lists, self.lists, strict=True):
            if not (len(some) == len(kept) and all(a is b for a, b in zip(some, kept, strict=True))):
                some.clear()
                some.extend(kept)
        for cell, contents in zip(self.reach.cells, self.cells, strict=True):
            if contents is not _MISSING and _contents(cell) is not contents:
                cell.cell_contents = contents
        for (namespace, name), value in zip(self.reach.globals, self.globals, strict=True):
            if value is _MISSING:
                namespace.pop(name, None)
            elif namespace.get(name, _MISSING) is not value:
                namespace[name] = value
        for kind, attributes in zip(self.reach.classes, self.classes, strict=True):
            for name in set(vars(kind)) - set(attributes):
                delattr(kind, name)
            for name, value in attributes.items():
                if vars(kind).get(name, _MISSING) is not value:
                    setattr(kind, name, value)
        for one, members in zip(self.reach.sets, self.sets, strict=True):
            one.clear()
            one.update(members)

    def equals(self, other: "Memory") -> bool:
        """Whether everything is as at another moment, to rounding where a stand-in was used.

        Then each call of the function leaves the same state.
        """
        names = ("dictionaries", "lists", "cells", "globals", "classes")
        same = all(_is_equal(getattr(self, name), getattr(other, name)) for name in names)
        return same and self.sets == other.sets


class RandomStates:
    """The states of all random generators that a function may draw from, at one moment."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.global_states = _global_states()
        self.generators = [_state(generator) for generator in reach.generators]

    def restore(self) -> bool:
        """Put them back; return whether one was used."""
        now, before = _global_states(), self.global_states
        # Tuples are compared as a whole: one by one, 625 numbers take a millisecond.
        same = now[1] == before[1] and now[0][2:] == before[0][2:] and np.array_equal(now[0][1], before[0][1])
        if same and _is_equal([_state(generator) for generator in self.reach.generators], self.generators):
            return False
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])
        for generator, state in zip(self.reach.generators, self.generators, strict=True):
            _set_state(generator, state)
        return True


def _global_states() -> tuple[Any, Any]:
    """The states of NumPy's global generator, whose words are the second item, and of Python's."""
    return np.random.get_state(), random.getstate()  # noqa: NPY002 - the one that scripts draw from


def _state(generator: Any) -> Any:
    """The state of a random generator of NumPy's, old or new, or of Python's."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, np.random.RandomState) else generator.getstate()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)


def _is_equal(a: Any, b: Any, depth: int = 6) -> bool:
    """Whether two values are the same as far as a function's result goes."""
    if a is b:
        return True
    if isinstance(b, StandIn):  # left by the first call; the second has replaced it
        return False
    if isinstance(a, StandIn):
        value = a.node.value
        return value is b or (np.shape(value) == np.shape(b) and bool(np.allclose(value, b, ROUNDING, ROUNDING, True)))
    if depth == 0 or type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        same = a.shape == b.shape and a.dtype == b.dtype
        return same and bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_is_equal(a[key], b[key], depth - 1) for key in a)
    if isinstance(a, list | tuple | collections.deque):
        return len(a) == len(b) and all(_is_equal(x, y, depth - 1) for x, y in zip(a, b, strict=True))
    if isinstance(a, int | float | complex | str | bytes | np.generic):
        return bool(a == b) or bool(a != a and b != b)
    return isinstance(a, types.FunctionType | types.MethodType | types.CodeType | types.GetSetDescriptorType)
