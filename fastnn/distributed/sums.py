"""The sum of the shards' gradients: a binary tree over their numbers, the same on any number of workers.

The tree's leaves are the shards. Node i of a level is the sum of the nodes 2i and 2i + 1 of the level below, as far as
there are such shards. Whoever has both nodes of a pair adds them, so the bits do not depend on who that is or when.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from fastnn.gate.arrays import Array

RANGES_IN_UNITS = 4  # of a worker's shards: a coarser unit leaves fewer nodes to send, a finer one divides more equally


class Node(NamedTuple):
    """The sum over the shards from place * 2**level on, 2**level of them or as many as there are.

    gradient: over the rows of the whole batch; None if these shards have none of its rows.
    loss, hits: sums over the rows.
    """

    level: int
    place: int
    gradient: Array | None
    loss: float
    hits: int


def added(nodes: Iterable[Node], unused: Callable[[Array], Any]) -> list[Node]:
    """The fewest nodes that tell as much as these, which are given in the order of their shards.

    The memory of a node's gradient is taken for a sum, or handed to `unused`.
    """
    found: list[Node] = []
    for node in nodes:
        found.append(node)
        while len(found) > 1 and _are_a_pair(*found[-2:]):
            right, left = found.pop(), found.pop()
            found.append(_sum(left, right, unused))
    return found


def total(nodes: Sequence[Node], unused: Callable[[Array], Any]) -> Node:
    """The sum of all shards: nodes that have no partner, as the shards end before it, are added from the right."""
    rest = list(nodes)
    while len(rest) > 1:
        right, left = rest.pop(), rest.pop()
        rest.append(_sum(left, right, unused))
    return rest[0]


def _are_a_pair(left: Node, right: Node) -> bool:
    return left.level == right.level and left.place % 2 == 0 and right.place == left.place + 1


def _sum(left: Node, right: Node, unused: Callable[[Array], Any]) -> Node:
    """The node above two nodes."""
    gradient = left.gradient if right.gradient is None else right.gradient
    if left.gradient is not None and right.gradient is not None:
        gradient = left.gradient if left.gradient.flags.writeable else left.gradient.copy()  # what came may be fixed
        gradient += right.gradient
        unused(right.gradient)
    return Node(left.level + 1, left.place // 2, gradient, left.loss + right.loss, left.hits + right.hits)


def ranges(shards: int, strengths: Sequence[int]) -> list[range]:
    """The shards of each worker, by its number of threads; the last ones of many workers have none.

    The ranges begin at multiples of a power of two, so that few nodes remain of each.
    """
    unit = 1
    while 2 * unit * RANGES_IN_UNITS * len(strengths) <= shards:
        unit *= 2
    if shards <= len(strengths):
        return [range(number, number + 1) for number in range(shards)]
    parts = itertools.accumulate(strengths)
    ends = [min(shards, unit * round(shards * part / sum(strengths) / unit)) for part in parts]
    ends[-1] = shards
    return [range(first, last) for first, last in itertools.pairwise([0, *ends])]
