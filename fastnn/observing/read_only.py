"""Arrays that cannot be written to while a function is observed."""

from typing import Any

import numpy as np

from fastnn.observing.tape import NotUnderstoodError


def _comes_back(array: Any) -> bool:
    """Whether NumPy lets a writable array become writable again: its memory's owner tells."""
    base = array
    while isinstance(base, np.ndarray) and not base.flags.owndata and base.base is not None:
        base = base.base
    if isinstance(base, np.ndarray):
        return base.flags.owndata and base.flags.writeable
    try:
        return not memoryview(base).readonly
    except TypeError:
        return False


class ReadOnly:
    """A context in which arrays cannot be written to; refuses one that NumPy would not make writable again."""

    def __init__(self, arrays: list[Any]) -> None:
        self.arrays = [array for array in arrays if array.flags.writeable]
        for array in self.arrays:
            if not _comes_back(array):
                reason = "that could not be made writable again after observation, such as pickle.load gives"
                raise NotUnderstoodError(f"it reaches an array {array.shape} {reason}; copy it: W = W.copy()")

    def __enter__(self) -> None:
        try:
            for array in self.arrays:
                array.flags.writeable = False
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        pending = self.arrays
        while pending:  # a view can be made writable only after its base
            left = []
            for array in pending:
                try:
                    array.flags.writeable = True
                except ValueError:
                    left.append(array)
            if len(left) == len(pending):
                break
            pending = left
