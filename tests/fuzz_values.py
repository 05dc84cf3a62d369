"""Bad values, and classes and generators with unexpected answers, as a careless program passes or assigns them.

Used by fuzz_attributes.py.
"""

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import SGD, Adam, Affine, EarlyStopping, Regularization, Relu, schedules
from fastnn.losses import Huber


class UsersError(Exception):
    """Raised by a user's own code."""


class Lying(int):
    """Compares and converts as it likes."""

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return False

    def __index__(self) -> int:
        return 10**6

    def __int__(self) -> int:
        return -5


class LyingFloat(float):
    def __float__(self) -> float:
        return float("nan")

    def __lt__(self, other: object) -> bool:
        return False


class LyingText(str):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("adam")


class Sub(np.ndarray[Any, Any]):
    """An array of a class of its own."""


class Arrays:
    """A different array at each look."""

    def __init__(self) -> None:
        self.looks = 0

    def __array__(self, *_: Any, **__: Any) -> Any:
        self.looks += 1
        return np.ones((self.looks, 5))


class Raising:
    """An object that refuses every operation."""

    def __getattr__(self, name: str) -> Any:
        raise UsersError(name)

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise UsersError


def read_only(array: Any) -> Any:
    array.setflags(write=False)
    return array


VALUES: list[Callable[[], Any]] = [
    *(lambda value=value: value for value in (None, True, False, 0, 1, 2, -1, 7, 2**31, 2**63, -(2**63), 10**30)),
    *(lambda value=value: value for value in (0.5, -0.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"))),
    *(lambda value=value: value for value in ("", "adam", "sgd", "relu", "no", "validation_loss", b"x", 1j, ())),
    *(lambda kind=kind: kind() for kind in (list, dict, set, object, Raising, Arrays, EarlyStopping, Relu)),
    *(lambda kind=kind: kind for kind in (int, SGD, Affine, np.float32)),
    *(lambda kind=kind: kind(3) for kind in (Lying, LyingFloat, LyingText, np.int8, np.float16, np.uint64, np.array)),
    *(lambda shape=shape: np.ones(shape, np.float32) for shape in ((0,), (1,), (5,), (6, 5), (5, 6), (3, 1, 2), ())),
    *(lambda kind=kind: np.ones((6, 5), kind) for kind in ("f8", "f2", ">f4", "i8", "O", "U3", "c8", "?")),
    lambda: np.full((6, 5), np.nan, np.float32),
    lambda: read_only(np.ones((6, 5), np.float32)),
    lambda: np.ones((6, 5), np.float32).view(Sub),
    lambda: np.ones((12, 10), np.float32)[::2, ::2],
    lambda: np.asfortranarray(np.ones((6, 5), np.float32)),
    lambda: np.ma.array(np.ones((6, 5)), mask=True),
    lambda: np.zeros(6, np.intp),
    lambda: np.full(6, 2**40),
    lambda: [1, "x", None],
    lambda: [[1.0, 2.0], [3.0]],
    lambda: lambda *_, **__: None,
    lambda: lambda *_, **__: 0.5,
    lambda: Adam(0.1),
    lambda: Huber(0.1),
    lambda: Regularization(l2=0.1),
    lambda: schedules.Cosine(3),
    lambda: [Affine(5, 1000), Affine(1000, 3)],
    lambda: memoryview(bytearray(20)),
]


class Mood(random.Random):
    """Decides at random, and keeps the arrays that it has seen, so that they can be changed later."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.kept: list[Any] = []

    def bad(self) -> Any:
        """One of the values."""
        return self.choice(VALUES)()

    def distorted(self, right: Any) -> Any:
        """The right value, or nearly, or another one."""
        if isinstance(right, np.ndarray):
            self.kept.append(right)
        kind = self.randrange(10)
        if kind < 3:
            return right
        if kind == 3:
            return self.bad()
        if isinstance(right, np.ndarray):
            return self.choice(ARRAYS)(right)
        if isinstance(right, tuple) and right:
            place = self.randrange(len(right))
            return (*right[:place], self.distorted(right[place]), *right[place + self.choice([0, 1, 1, 1]) :])
        if isinstance(right, bool) or not isinstance(right, int | float | str):
            return self.bad() if self.random() < 0.3 else right
        if isinstance(right, str):
            return self.choice(["sgd", "momentum", "adam", "relu", "prelu", "mean_squared_error", "hinge", right])
        return self.choice([right + 1, right * 16, -right, 0, 1, 2**40, float("nan"), float(right)])


ARRAYS: list[Callable[[Any], Any]] = [
    lambda array: array + 1,
    lambda array: array * 2**40,
    lambda array: array[:-1].copy(),
    lambda array: array[1:],
    lambda array: array[..., :2].copy(),
    lambda array: np.zeros_like(array),
    lambda array: array.reshape(-1, 1),
    lambda array: array.ravel(),
    lambda array: array.reshape(array.shape[::-1]),
    lambda array: array.astype(np.float64),
    lambda array: array.astype(np.int64),
    lambda array: np.asfortranarray(array),
    lambda array: np.array(0.0, array.dtype),
    lambda array: np.zeros(0, array.dtype),
    lambda array: read_only(array.copy()),
    lambda array: array.view(Sub),
]
# Attributes that a network reads from its parts.
READ = {"inputs", "outputs", "parameter", "parameters", "activation", "rate", "momentum", "epsilon", "slope", "code"}
READ |= {"targets", "takes_labels", "name", "numbers", "update", "lr", "l1", "l2", "data"}
MAIN = ("outputs", "targets", "numbers", "parameters")


def other(kind: type, mood: Mood) -> Any:
    """A class derived from this one; some of its attributes and methods now and then give other answers."""
    names = [name for name in dir(kind) if not name.startswith("_")]
    if mood.random() < 0.2:
        names += ["__dict__", "__class__", "__post_init__"]
    elif mood.random() < 0.8:
        names = [name for name in names if name in READ] or names
    odd = mood.sample(names, min(len(names), mood.randint(1, 2)))
    odd += [name for name in MAIN if name in names and mood.random() < 0.6]
    share = mood.choice([0.1, 0.5, 1.0])
    others = [name for name in ("__repr__", "__str__", "__eq__", "__hash__") if mood.random() < 0.05]

    def answer(self: Any, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name not in odd or mood.random() > share:
            return found
        if callable(found):
            return lambda *args, **options: mood.distorted(found(*args, **options))
        return mood.distorted(found)

    body: dict[str, Any] = {"__getattribute__": answer, **{name: lambda *_: mood.bad() for name in others}}
    derived: Any = type(f"Other{kind.__name__}", (kind,), body)
    return dataclasses.dataclass(frozen=True, eq=False, repr=False)(derived) if mood.random() < 0.3 else derived


class OtherGenerator(np.random.Generator):
    """A generator whose methods return values that NumPy's do not."""

    mood: Mood

    def permutation(self, x: Any, axis: int = 0) -> Any:
        return self.mood.distorted(np.random.Generator(self.bit_generator).permutation(x))

    def shuffle(self, x: Any, axis: int = 0) -> None:
        super().shuffle(x)
        if self.mood.random() < 0.5:
            x[...] = np.resize(np.asarray(x) + 3, x.shape)

    def integers(self, *args: Any, **options: Any) -> Any:
        return self.mood.distorted(super().integers(*args, **options))

    def standard_normal(self, *args: Any, **options: Any) -> Any:
        return self.mood.distorted(super().standard_normal(*args, **options))

    def random(self, *args: Any, **options: Any) -> Any:
        return self.mood.distorted(super().random(*args, **options))

    def choice(self, *args: Any, **options: Any) -> Any:
        return self.mood.distorted(super().choice(*args, **options))

    def spawn(self, n_children: int) -> Any:
        children = [other_generator(self.mood) for _ in range(n_children)]
        return children if self.mood.random() < 0.8 else self.mood.bad()


def other_generator(mood: Mood) -> OtherGenerator:
    """A new one."""
    generator = OtherGenerator(np.random.PCG64(mood.randrange(100)))
    generator.mood = mood
    return generator
