"""An array whose entries are moved for a user's function; whatever the function does, it gets its bits back."""

import contextlib
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Result = TypeVar("Result")

ONLY_READS = "f: expected a function that only reads x"
RESIZED, RESHAPED = "resized it", "changed its shape or dtype"
REFUSED = (ValueError, IndexError)  # NumPy's errors for assignments to a read-only array, or one of another shape
SMALL = 4096  # bytes, which compare faster than NumPy's numbers
REMEDY = "pass one that works on a copy, such as lambda x: f(x.copy())"


class _OwnAssignment:
    """Assigns to an array of a subclass as NumPy itself does."""

    def __init__(self, x: Array) -> None:
        self._x = x

    def __setitem__(self, place: Any, value: Any) -> None:
        np.ndarray.__setitem__(self._x, place, value)


class Moving:
    """An array x that is written to entry by entry between calls of a function that may do anything to it.

    Attributes
    ----------
    x : array
        The array that the function sees.
    kept : array like x
        A copy of the original x.
    target : x, or an object that stands for it
        target[place] = value is NumPy's own assignment to x, without a remedy for errors; for that call `move`.
    fault : str
        What the function did to x, set by `put_back`; "" for nothing.
    """

    def __init__(self, x: Array) -> None:
        self.x = x
        self.kept = np.array(x, order="K", subok=False)
        self.target: Any = x if type(x) is np.ndarray else _OwnAssignment(x)
        self.fault = ""
        self._plain = x.view(np.ndarray)  # with its own flags: it stays writable if x becomes read-only
        self._form = x.shape, x.strides, x.dtype
        self._memory = self._where()
        self._is_back = False

    def move(self, place: Any, value: Any) -> None:
        """x[place] = value, by NumPy's own assignment, which checks that the place exists."""
        try:
            self.target[place] = value
        except REFUSED:
            fault = self._changed_form() or ("" if self._plain.flags.writeable else "made it read-only")
            if fault:
                raise ValueError(f"{ONLY_READS}, got one that {fault}; {REMEDY}") from None
            self._plain[place] = value

    def put_back(self) -> None:
        """Give x its shape and bits back; a second call does nothing."""
        if self._is_back:
            return
        if self._is_untouched():
            self._is_back = True
            return
        x, (shape, strides, dtype), fault = self.x, self._form, self._changed_form()
        if self._where() == self._memory:
            if not fault and not np.array_equal(self._plain, self.kept, equal_nan=True):
                fault = "wrote to it"
            self._plain[...] = self.kept
        with warnings.catch_warnings(), contextlib.suppress(ValueError, AttributeError):
            warnings.simplefilter("ignore")  # NumPy warns of assigned shapes
            x.flags.writeable = True
            if fault == RESIZED:
                x.dtype = dtype  # type: ignore[misc]
                x.resize(shape, refcheck=False)
                x[...] = self.kept
            elif fault == RESHAPED:
                x.dtype, x.shape, x.strides = dtype, shape, strides  # type: ignore[misc]
        self.fault = self.fault or fault
        self._is_back = True

    def _is_untouched(self) -> bool:
        """Whether a small array is quickly seen to be unchanged."""
        if self.kept.nbytes > SMALL or not self.x.flags.writeable or self._changed_form():
            return False
        return self._plain.tobytes() == self.kept.tobytes()

    def _changed_form(self) -> str:
        """The function's change of the array itself; "" for none."""
        if self._where() != self._memory:
            return RESIZED  # and the plain view's memory may be gone
        return RESHAPED if (self.x.shape, self.x.strides, self.x.dtype) != self._form else ""

    def _where(self) -> tuple[int, int]:
        return self.x.__array_interface__["data"][0], self.x.nbytes


def moved(x: Array, work: Callable[[Moving], Result]) -> Result:
    """work(moving x), after which x is unchanged, even after an exception or Ctrl-C.

    Raises ValueError if x is changed after the work, which puts back what it moves: the function wrote to x.
    """
    moving = Moving(x)
    try:
        try:
            result = work(moving)
        finally:
            moving.put_back()
    finally:
        moving.put_back()  # for Ctrl-C during the first call
    if moving.fault:
        raise ValueError(f"{ONLY_READS}, got one that {moving.fault}; {REMEDY}")
    return result
