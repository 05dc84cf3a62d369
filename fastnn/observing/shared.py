"""Gradients of one loss by several arrays, evaluated when the first of them was asked for.

A network's numerical gradient asks for one array after the other, with the same function. Where the loss was observed
with stand-ins for all of them, each used once, the others' difference quotients are evaluated along with the first's.
They are given out only if everything that the function reaches is still the same: the same objects, with the same
contents, and arrays with the same bits.
"""

import builtins
import dis
import types
from typing import Any, NamedTuple

import numpy as np

from fastnn.gate.arrays import Array
from fastnn.observing.reach import Memory, Reach
from fastnn.observing.recognition import Chain
from fastnn.observing.tape import Node, NotUnderstoodError, ancestors, replaced

MOST_BYTES = 1 << 26  # of all arrays that a function reaches, which are copied
_SEES_LOCALS = {"locals", "vars", "eval", "exec", "dir", "globals", "sys", "inspect"}
_MISSING = object()


class Others(NamedTuple):
    """The quotients by arrays that were not asked for yet.

    Attributes
    ----------
    arrays, values : list of arrays
    state : State
        When f was observed.
    base : float
        The value of f.
    text : str
        What f was recognized as.
    rule : tuple
    """

    arrays: list[Array]
    values: list[Array]
    state: "State"
    base: float
    text: str
    rule: Any


def may_share(f: Any) -> bool:
    """Whether f is a function of one argument that it does not read, so that it is the same for all arrays."""
    if not isinstance(f, types.FunctionType):
        return False
    code = f.__code__
    if code.co_argcount != 1 or code.co_kwonlyargcount or code.co_flags & 0x0C:  # *arguments, **keywords
        return False
    if code.co_varnames[0] in code.co_cellvars or _SEES_LOCALS & set(code.co_names):
        return False
    return not any(_may_read(one, code.co_varnames[0]) for one in dis.get_instructions(code))


def _may_read(instruction: Any, name: str) -> bool:
    """Whether an instruction names a local variable, or is one about local variables that is not understood.

    Python 3.13 joins two of them: its argument is a pair of names.
    """
    value = instruction.argval
    if value == name or (isinstance(value, tuple) and name in value):
        return True
    is_about_locals = any(word in instruction.opname for word in ("FAST", "LOCALS"))
    names = value if isinstance(value, tuple) else (value,)
    return is_about_locals and not (names and all(isinstance(one, str) for one in names))


class State:
    """All that a function reaches at one moment, with the bits of its arrays; kept alive, as identities come again."""

    def __init__(self, reach: Reach) -> None:
        if reach.networks or sum(array.nbytes for array in reach.arrays) > MOST_BYTES:
            raise NotUnderstoodError("too much to see whether it changes")
        self.things = reach.things
        self.memory = Memory(reach)
        self.kinds = [(type(thing), _attributes(thing)) for thing in self.things]
        self.named = [_named(thing) for thing in self.things if isinstance(thing, types.FunctionType)]
        self.arrays = [(one.dtype, one.shape, one.strides, one.tobytes()) for one in reach.arrays]

    def equals(self, other: "State") -> bool:
        """Whether nothing has changed."""
        return (
            _are_all(self.things, other.things, _is_same)
            and _are_all(self.kinds, other.kinds, _is_same_kind)
            and _are_all(self.named, other.named, _holds_same)
            and all(
                _are_all(getattr(self.memory, name), getattr(other.memory, name), _holds_same)
                for name in ("dictionaries", "lists", "sets", "classes")
            )
            and _holds_same(self.memory.cells, other.memory.cells)
            and _holds_same(self.memory.globals, other.memory.globals)
            and self.arrays == other.arrays
        )


def _attributes(thing: Any) -> Any:
    """The dictionary of an object's attributes, if it has one."""
    found = None if isinstance(thing, types.FunctionType) else getattr(thing, "__dict__", None)
    return found if type(found) is dict else None


def _is_same_kind(a: Any, b: Any) -> bool:
    return a[0] is b[0] and a[1] is b[1]


def _named(function: types.FunctionType) -> list[Any]:
    """A function's code and defaults, and what it names outside of what `Reach` looks at: builtins, and libraries'."""
    found: list[Any] = [function.__code__, function.__globals__, *(function.__defaults__ or ())]
    found += [one for pair in (function.__kwdefaults__ or {}).items() for one in pair]
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        for name in code.co_names:
            value = function.__globals__.get(name, vars(builtins).get(name, _MISSING))
            found.append(value)
            modules = [value] if isinstance(value, types.ModuleType) else []
            for module in modules:  # and modules in it, such as np.random
                inside = [vars(module).get(one, _MISSING) for one in code.co_names]
                found += inside
                modules += [one for one in inside if isinstance(one, types.ModuleType) and one not in modules]
    return found


def _are_all(some: list[Any], others: list[Any], are: Any) -> bool:
    return len(some) == len(others) and all(map(are, some, others))


def _is_same(a: Any, b: Any) -> bool:
    """Whether two objects are the same, or made alike: the parts of functions and dictionaries follow by themselves."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, types.FunctionType):
        return a.__code__ is b.__code__ and a.__globals__ is b.__globals__
    return (type(a) is tuple and _holds_same(a, b)) or (type(a) is dict and not a and not b)


def _holds_same(a: Any, b: Any) -> bool:
    """Whether two dictionaries, lists or sets hold the same objects in the same order."""
    if len(a) != len(b):
        return False
    if isinstance(a, dict) and not (_holds_same(list(a), list(b)) and _holds_same(list(a.values()), list(b.values()))):
        return False
    return all(x is y for x, y in zip(a, b, strict=True))


def seen_from(root: Node, leaf: Node) -> dict[Node, Node]:
    """The nodes that depend on a leaf as nodes of a tape of this leaf alone, on which the others are constants."""
    found: dict[Node, Node] = {leaf: leaf}
    for node in ancestors(root):
        if any(one in found for one in node.inputs):
            arguments, keywords = (
                replaced(thing, Node, lambda one: found.get(one, one.value))
                for thing in (node.arguments, node.keywords)
            )
            found[node] = Node(node.name, node.function, arguments, keywords, node.value)
    return found


def numbers_of(leaves: dict[Node, Array], root: Node, seen: dict[Node, Node], chain: Chain) -> dict[Node, int]:
    """Which parameter of the chain each leaf is, of those that f uses once, as just that parameter.

    leaves: the other leaves of the tape, and their arrays. seen: from the chain's own leaf.
    """
    nodes, found = ancestors(root), {}
    for leaf, array in leaves.items():
        uses = [node for node in nodes if leaf in node.inputs]
        if len(uses) == 1 and uses[0].inputs.count(leaf) == 1 and uses[0] in seen:
            for number, parameter in enumerate(chain.parameters):
                if _is_same_memory(parameter, array):
                    found[leaf] = number
    return found


def _is_same_memory(a: Array, b: Array) -> bool:
    same = a.shape == b.shape and a.strides == b.strides and a.dtype == b.dtype
    return same and bool(np.may_share_memory(a, b)) and a.ctypes.data == b.ctypes.data
