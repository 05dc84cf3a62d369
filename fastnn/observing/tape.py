"""A stand-in for an array that writes down what NumPy does with it.

It computes like the array, by NumPy's own protocols (NEP 13 and NEP 18), and each operation becomes a node of a tape.
The tape can be evaluated again with other values in place of any node; so `recognition` finds out what a part of it
computes, however it was written.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

# Operations of the drop-in's layers of images: (images, W, b, stride=, pad=) and (images, pool_h=, pool_w=, stride=).
CONVOLUTION, MAX_POOL = "convolution", "max_pool"


class NotUnderstoodError(Exception):
    """The function cannot be written down or recognized."""


class Node:
    """One operation: `function` called with `arguments`, in which nodes stand for their values."""

    __slots__ = ("arguments", "constants", "function", "inputs", "keywords", "name", "value")

    def __init__(
        self, name: str, function: Callable[..., Any] | None, arguments: Any, keywords: dict[str, Any], value: Any
    ) -> None:
        self.name, self.function, self.arguments, self.keywords, self.value = name, function, arguments, keywords, value
        self.inputs: list[Node] = []  # the nodes among the arguments
        self.constants: list[Any] = []  # the other arguments
        for leaf in leaves((arguments, keywords)):
            (self.inputs if isinstance(leaf, Node) else self.constants).append(leaf)


def leaves(thing: Any) -> list[Any]:
    """The leaves of nested tuples, lists and dictionaries."""
    if isinstance(thing, tuple | list):
        return [leaf for part in thing for leaf in leaves(part)]
    if isinstance(thing, dict):
        return [leaf for part in thing.values() for leaf in leaves(part)]
    return [thing]


def replaced(thing: Any, kind: type, value: Callable[[Any], Any]) -> Any:
    """A copy of nested tuples, lists and dictionaries with value(leaf) for each leaf of a kind."""
    if isinstance(thing, kind):
        return value(thing)
    if isinstance(thing, tuple | list):
        return type(thing)([replaced(part, kind, value) for part in thing])
    if isinstance(thing, dict):
        return {key: replaced(part, kind, value) for key, part in thing.items()}
    return thing


def evaluate(node: Node, values: dict[Node, Any]) -> Any:
    """The value of a node if other nodes have the given values."""
    known = dict(values)
    pending = [node]
    while pending:
        last = pending[-1]
        missing = [one for one in last.inputs if one not in known]
        if last in known or last.function is None:
            if last not in known:
                known[last] = last.value
            pending.pop()
        elif missing:
            pending += missing
        else:
            arguments = replaced(last.arguments, Node, known.__getitem__)
            keywords = replaced(last.keywords, Node, known.__getitem__)
            known[last] = last.function(*arguments, **keywords)
            pending.pop()
    return known[node]


def ancestors(node: Node, cut: tuple[Node, ...] = ()) -> list[Node]:
    """The node and all that it depends on down to `cut`, in order of evaluation."""
    order: list[Node] = []
    seen: set[Node] = set()
    pending = [(node, False)]
    while pending:
        one, done = pending.pop()
        if done:
            order.append(one)
        elif one not in seen:
            seen.add(one)
            pending.append((one, True))
            if one not in cut:
                pending += [(source, False) for source in one.inputs]
    return order


def _item(array: Any, key: Any) -> Any:
    return array[key]


def _with_item(array: Any, key: Any, value: Any) -> Any:
    changed = array.copy()
    changed[key] = value
    return changed


def _method(array: Any, name: str, *arguments: Any, **keywords: Any) -> Any:
    return getattr(array, name)(*arguments, **keywords)


# Methods of arrays that return another array or a number, and change nothing.
METHODS = {
    "astype", "clip", "cumsum", "flatten", "max", "mean", "min", "prod", "ravel", "repeat", "reshape", "round",
    "squeeze", "std", "sum", "swapaxes", "take", "transpose", "var",
}  # fmt: skip


class Family:
    """Stand-ins for arrays that share memory; fixed if the memory must not change."""

    def __init__(self, is_fixed: bool = False) -> None:
        self.members: list[StandIn] = []
        self.is_fixed = is_fixed


class StandIn(np.lib.mixins.NDArrayOperatorsMixin):
    """Computes like the array that it stands for, and keeps the node that made it."""

    def __init__(self, node: Node, family: "Family | None" = None) -> None:
        self._node = node
        self.is_stale = False
        self.family = Family() if family is None else family
        self.family.members.append(self)

    @property
    def node(self) -> Node:
        """The node that made it."""
        if self.is_stale:
            raise NotUnderstoodError("an array that was changed through another one that shares its memory")
        return self._node

    def change(self, node: Node) -> None:
        """Make it stand for its array after a change in place; others that share its memory become unusable."""
        if self.family.is_fixed:
            raise NotUnderstoodError("a change of the array, or of one that existed before")
        for other in self.family.members:
            other.is_stale = other is not self
        self._node, self.family.members = node, [self]

    @property
    def shape(self) -> Any:
        """As of the array."""
        return self.node.value.shape

    @property
    def ndim(self) -> Any:
        """As of the array."""
        return self.node.value.ndim

    @property
    def size(self) -> Any:
        """As of the array."""
        return self.node.value.size

    @property
    def dtype(self) -> Any:
        """As of the array."""
        return self.node.value.dtype

    @property
    def T(self) -> "StandIn":  # noqa: N802 - NumPy's name
        """The array with its axes reversed."""
        return record("transpose", np.transpose, (self,), {})

    def copy(self, order: str = "C") -> "StandIn":
        """A stand-in that may be changed in place."""
        return StandIn(self.node)

    def __len__(self) -> int:
        return len(self.node.value)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        out = keywords.pop("out", None)
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if method not in ("__call__", "reduce") or ufunc.nout != 1 or "where" in keywords:
            raise NotUnderstoodError(f"{ufunc.__name__}.{method} of the array")
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        result = record(name, function, inputs, keywords)
        if out is None:
            return result
        if not (isinstance(out[0], StandIn) and out[0].shape == result.shape):
            raise NotUnderstoodError(f"{ufunc.__name__} into another array")
        if out[0].dtype != result.dtype:
            raise NotUnderstoodError(f"{ufunc.__name__} into an array of another type")
        out[0].change(result.node)
        return out[0]

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        if "out" in keywords:
            raise NotUnderstoodError(f"{function.__name__} into another array")
        if function in (np.shape, np.ndim, np.size):
            return function(*replaced(arguments, StandIn, lambda one: one.node.value), **keywords)
        return record(function.__name__, function, tuple(arguments), dict(keywords))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise NotUnderstoodError("a conversion of the array")

    def __getitem__(self, key: Any) -> "StandIn":
        return record("getitem", _item, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        self.change(record("setitem", _with_item, (self, key, value), {}).node)

    def dot(self, other: Any) -> "StandIn":
        """The product with another array."""
        return record("dot", np.dot, (self, other), {})

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return lambda *arguments, **keywords: record(name, _method, (self, name, *arguments), keywords)
        if name.startswith("__array_"):  # NumPy asks for these without saying what for
            raise NotUnderstoodError("another array's method takes the array, as in X.dot(W); write np.dot(X, W)")
        raise NotUnderstoodError(f"the array's attribute {name}")

    def __iter__(self) -> Any:
        raise NotUnderstoodError("a loop over the array")

    def __bool__(self) -> bool:
        raise NotUnderstoodError("a decision that depends on the array")

    def __float__(self) -> float:
        raise NotUnderstoodError("a conversion to a number")

    __int__ = __index__ = __complex__ = __float__

    def __repr__(self) -> str:
        return f"<stand-in for an array {self.node.value.shape}>"


def stand_in(array: Any) -> StandIn:
    """A stand-in for the array that is perturbed."""
    return StandIn(Node("the array", None, (), {}, array), Family(is_fixed=True))


class Forbidden(StandIn):
    """In the place of a view of the array: it must not be used."""

    @property
    def node(self) -> Node:
        """Refused."""
        raise NotUnderstoodError("another array shares the array's memory")


def forbidden(array: Any) -> Forbidden:
    """A stand-in for an array that shares memory with one that is perturbed."""
    return Forbidden(Node("a view of the array", None, (), {}, array), Family(is_fixed=True))


def are_observed(*values: Any) -> bool:
    """Whether one of the values is a stand-in."""
    return any(isinstance(value, StandIn) for value in values)


def _node_of(value: StandIn) -> Node:
    return value.node


def record(name: str, function: Callable[..., Any], arguments: Any, keywords: dict[str, Any]) -> StandIn:
    """Call a function with the values and write it down with the nodes, as the operation `name`."""
    given = leaves((arguments, keywords))
    arguments = replaced(arguments, StandIn, _node_of)
    keywords = replaced(keywords, StandIn, _node_of)
    value = function(
        *replaced(arguments, Node, lambda node: node.value), **replaced(keywords, Node, lambda node: node.value)
    )
    if not isinstance(value, np.ndarray | np.generic):
        raise NotUnderstoodError(f"{name} of the array, which gives a {type(value).__name__}")
    node = Node(name, function, arguments, keywords, value)
    family: Family | None = None
    for source in given:
        if isinstance(source, StandIn) and np.may_share_memory(value, source.node.value):
            family = source.family
        elif isinstance(source, np.ndarray) and np.may_share_memory(value, source):
            family = Family(is_fixed=True)
    return StandIn(node, family)


def depends_only_on(node: Node, source: Node) -> None:
    """Refuse a node that depends on the array other than through `source`."""
    if any(one.function is None for one in ancestors(node, (source,)) if one is not source):
        raise NotUnderstoodError("a way from the array past a layer")


def is_number(value: Any) -> bool:
    """Whether a constant is a real number, or an array of such."""
    return np.asarray(value).dtype.kind in "fiu"
