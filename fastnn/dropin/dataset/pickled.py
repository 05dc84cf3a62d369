"""The file mnist.pkl that the first volume's own load_mnist leaves, read without running anything in it.

A pickle is a program, which may call whatever it names. Here it can only name the functions by which NumPy pickles
arrays, and it gets classes that merely keep their arguments; anything else is refused.
"""

import math
import os
import pickle
import pickletools
from typing import IO, Any

import numpy as np

LARGEST = 2**28  # bytes of a file; the book's has 55e6
KEYS = ("train_img", "train_label", "test_img", "test_label")
MOST = 1000  # operations of a pickle, and objects that it may refer back to; the book's has about 80
PIXELS, CLASSES = 784, 10
TEXT = {"BINUNICODE", "SHORT_BINUNICODE"}
OPERATIONS = TEXT | {
    *("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BININT", "BININT1", "BININT2", "SHORT_BINBYTES", "BINBYTES", "BYTEARRAY8"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}


class Kept:
    """The parts of an array: (version, shape, dtype, whether in Fortran order, bytes)."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class KeptBuffer(Kept):
    """The parts of an array in protocol 5."""

    def __init__(self, data: Any, dtype: Any, shape: Any, order: Any) -> None:
        self.state = (1, shape, dtype, order != "C", data)


class KeptType:
    """The name of a dtype."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        pass  # the byte order, which "u1" does not have


ADMITTED = {
    ("numpy", "ndarray"): Kept,
    ("numpy", "dtype"): KeptType,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Kept for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): KeptBuffer for core in ("core", "_core")},
}


class Unpickler(pickle.Unpickler):
    """An unpickler that gives the classes above for NumPy's names and refuses all others."""

    def find_class(self, module: str, name: str) -> Any:
        """The class for a name in the pickle."""
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None


def read(path: str) -> list[np.ndarray[Any, Any]]:
    """Images (N, 784) and labels (N,) for training, then for testing, all uint8.

    Raises
    ------
    ValueError
        If the file holds anything else.
    """
    if os.path.getsize(path) > LARGEST:
        raise ValueError(f"expected at most {LARGEST:,} bytes, got {os.path.getsize(path):,}")
    try:
        with open(path, "rb") as file:
            _check(file)
            file.seek(0)
            content = Unpickler(file).load()
    except OSError:
        raise
    except Exception as error:  # anything that a damaged pickle causes
        raise ValueError(f"expected a pickle of arrays alone, got one that does not load ({error})") from error
    if not isinstance(content, dict) or set(content) != set(KEYS):
        raise ValueError(f"expected a dictionary of {', '.join(KEYS)}, got another {type(content).__name__}")
    arrays = [_array(content[key]) for key in KEYS]
    for images, labels in (arrays[:2], arrays[2:]):
        good = images.shape == (len(labels), PIXELS) and labels.ndim == 1 and labels.max(initial=0) < CLASSES
        if not good:
            raise ValueError(f"expected images (N, {PIXELS}) and labels (N,), got {images.shape} and {labels.shape}")
    return arrays


def _check(file: IO[bytes]) -> None:
    """Refuse operations that four arrays do not need, numbers that would reserve memory, and keys that are not text.

    A tuple that holds another one twice, and so on, is short to write and takes forever to hash as a key.
    """
    stack: list[str] = []  # the operation that put each object there
    memo: dict[Any, str] = {}
    for count, (operation, number, _) in enumerate(pickletools.genops(file)):
        name = operation.name
        is_large = type(number) is int and not -LARGEST < number < (MOST if "PUT" in name else LARGEST)
        if count > MOST or is_large or name not in OPERATIONS:
            raise ValueError(f"{name} {number}, after {count} operations")
        if name == "MEMOIZE" or "PUT" in name:
            memo[len(memo) if name == "MEMOIZE" else number] = stack[-1]
        elif "GET" in name:
            stack.append(memo[number])
        else:
            before = operation.stack_before
            start = len(stack) - len(before)
            if pickletools.markobject in before:
                mark = len(stack) - 1 - stack[::-1].index("MARK")
                start = mark - before.index(pickletools.markobject)
            taken = stack[start:]
            del stack[start:]
            # SETITEM's key comes after the dictionary, those of SETITEMS after a mark.
            keys = taken[{"SETITEM": 1, "SETITEMS": 2}[name] :: 2] if "SETITEM" in name else []
            if not TEXT.issuperset(keys):
                raise ValueError("a key that is not text")
            stack += [name] * len(operation.stack_after)


def _array(kept: Any) -> np.ndarray[Any, Any]:
    state = kept.state if isinstance(kept, Kept) else None
    if not isinstance(state, tuple) or len(state) != 5:
        raise ValueError(f"expected an array, got a {type(kept).__name__}")
    _, shape, dtype, is_fortran, data = state
    known = isinstance(dtype, KeptType) and dtype.name == "u1" and is_fortran in (False, 0)
    sizes = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    if not (known and sizes and isinstance(data, bytes | bytearray) and len(data) == math.prod(shape)):
        raise ValueError("expected arrays of uint8 in order")
    return np.frombuffer(data if isinstance(data, bytearray) else bytearray(data), np.uint8).reshape(shape)
