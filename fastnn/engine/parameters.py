"""Parameters (or gradients) by name: views into one flat vector; and a copy of all that training changes."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.layers import Layer
from fastnn.operations.base import Shape
from fastnn.optimizers import Optimizer


class Parameters(Mapping[str, Array]):
    """The parameters (or gradients) of a network by name: W1, b1, W2, ... Each is a view into one flat vector.

    Writing into a view, or assigning `params["W1"] = array` (copied, same shape), changes the network.
    """

    def __init__(self, vector: Array, places: dict[str, tuple[int, tuple[int, ...]]], name: str = "params") -> None:
        self._vector, self._places, self._name = vector, places, name

    def __getitem__(self, name: str) -> Array:
        start, shape = self._place(name)
        return self._vector[start : start + int(np.prod(shape))].reshape(shape)

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, arrays_by_name: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **named: Any) -> None:
        """Assign several, as to a dictionary; none if one of them does not fit."""
        found = [(self[name], name, value) for name, value in dict(arrays_by_name, **named).items()]
        taken = [
            (view, arrays.floats(f"{self._name}[{name!r}]", value, view.shape, dtype=view.dtype, rounding=True))
            for view, name, value in found
        ]
        apart = [value.copy() if np.may_share_memory(value, self._vector) else value for _, value in taken]
        for (view, _), value in zip(taken, apart, strict=True):
            view[...] = value

    def copy(self) -> dict[str, Array]:
        """New arrays by name, which `update` takes back."""
        return {name: value.copy() for name, value in self.items()}

    def __delitem__(self, name: str) -> None:
        self._place(name)
        raise TypeError(
            f"{self._name}: expected all of them to stay, got del {self._name}[{name!r}]; assign to "
            f"{self._name}[{name!r}][...], or make another network"
        )

    def _place(self, name: str) -> tuple[int, tuple[int, ...]]:
        if name not in self._places:
            if not self._places:
                raise KeyError(f"{self._name}: expected no name, as there are none in this network, got {name!r}")
            expected = f"{self._name}: expected one of {', '.join(self._places)}"
            raise KeyError(f"{expected}, got {name!r}; pass one of these names")
        return self._places[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, (_, shape) in self._places.items())
        size = sum(math.prod(shape) for _, shape in self._places.values())
        return f"<{size:,} {self._vector.dtype} numbers{': ' * bool(shapes)}{shapes}>"


def by_layer(layers: Sequence[Layer], shape: Shape, named: Mapping[str, Array]) -> list[dict[str, Array]]:
    """The arrays of each layer by their names without a number, for inputs of this shape; `named`: all by name."""
    counts, found = Counter[str](), []
    for layer in layers:
        own = {}
        for key in (*layer.parameters(shape), *layer.statistics(shape)):
            counts[key] += 1
            own[key] = named[f"{key}{counts[key]}"]
        found.append(own)
        shape = layer.shape_of_output(shape)
    return found


class Views:
    """Makes views by name into vectors like that of the parameters, in a third of the time that a mapping takes."""

    def __init__(self, places: dict[str, tuple[int, tuple[int, ...]]]) -> None:
        self._ranges = [
            (name, slice(start, start + math.prod(shape)), None if len(shape) == 1 else shape)
            for name, (start, shape) in places.items()
        ]

    def __call__(self, vector: Array) -> dict[str, Array]:
        """The views by name."""
        return {
            name: vector[some] if shape is None else vector[some].reshape(shape) for name, some, shape in self._ranges
        }


class Snapshot(NamedTuple):
    """A copy of everything that training changes: the parameters, the optimizer's state, and the counters."""

    parameters: Array  # (P,)
    state: Array  # (vectors, P)
    update: str | None  # the name of the update that the state belongs to
    steps: int  # updates that the state has seen
    draws: int  # masks that dropout has made
    seed: int  # of dropout's masks
    optimizer: Optimizer | None  # the one of the last update, without a schedule's factor


# NumPy's large arrays begin 16 bytes after one, so that every vector that kernels load lies on two lines: a step of
# 128 x 784-256-10 on one thread takes 1.01 times as long there with vectors of 64 bytes, 1.06 with vectors of 32; one
# of 256 x 1024-1024-1024-10 takes 1.02 and 1.01 times as long.
LINE = 64


def zeros_on_lines(size: int, dtype: np.dtype[Any]) -> Array:
    """A vector of `size` zeros that begins at a line of the cache; the base of views of it is the vector itself."""
    whole = np.zeros(size + LINE // dtype.itemsize, dtype)
    start = -whole.ctypes.data % LINE // dtype.itemsize
    return np.asarray(whole.data[start : start + size])


def vector(size: int, dtype: np.dtype[Any]) -> Array:
    """A vector of `size` zeros for the parameters."""
    try:
        return zeros_on_lines(size, dtype)
    except (MemoryError, ValueError) as error:  # ValueError: beyond the address space
        came = f"{size:,} of them, {size * dtype.itemsize / 2**30:,.0f} GiB"
        sentence = f"layers: expected parameters that fit into memory, got {came}; use narrower layers"
        raise MemoryError(sentence) from error
