"""Gradients of one loss by several arrays, evaluated when the first of them was asked for.

A network's numerical gradient asks for one array after the other, with the same function. Where the loss was observed
with stand-ins for all of them, each used once, the others' difference quotients are evaluated along with the first's.
They are given out only if everything that the function reaches is known, and still the same; see state.py.
"""

import dis
import types
import weakref
from typing import Any, NamedTuple

import numpy as np

from fastnn.gate.arrays import Array
from fastnn.observing.recognition import Chain
from fastnn.observing.state import State
from fastnn.observing.tape import Node, ancestors, replaced

_SEES_LOCALS = {"locals", "vars", "eval", "exec", "dir", "globals", "sys", "inspect"}


class Others(NamedTuple):
    """The quotients by arrays that were not asked for yet.

    Attributes
    ----------
    arrays : list of weak references
    values : list of arrays
    first : weak reference
        To the array that was asked for.
    state : State
        When f was observed.
    base : float
        The value of f.
    text : str
        What f was recognized as.
    rule : tuple
    """

    arrays: list[weakref.ref[Array]]
    values: list[Array]
    first: weakref.ref[Array]
    state: State
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
    """Which parameter of the chain each leaf is that f uses once, as just that parameter.

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
