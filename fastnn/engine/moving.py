"""An array that a user's function sees moved; whatever the function does, it comes back with its bits."""

import contextlib
import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Result = TypeVar("Result")

ONLY_READS = "f: expected a function that only reads x"
RESIZED, RESHAPED = "resized it", "changed its shape or dtype"
REFUSED = (ValueError, IndexError)  # by NumPy's assignment: of what is read-only, or of another shape
SMALL = 4096  # bytes, which are compared sooner than NumPy compares numbers
REMEDY = "pass one that works on a copy, such as lambda x: f(x.copy())"


class Moving:
    """An array x, which is written to entry by entry between calls of a function that may do anything to it.

    Attributes
    ----------
    x : array
        That the function sees.
    kept : array like x
        What x was.
    put : callable
        NumPy's own x[place] = value, without a look at what went wrong: then `move` is to do it.
    fault : str
        What the function was found to have done to x, once `put_back` has come to its end; "" for nothing.
    """

    def __init__(self, x: Array) -> None:
        self.x = x
        self.kept = np.array(x, order="K", subok=False)
        self.put: Callable[[Any, Any], None] = x.__setitem__
        if type(x) is not np.ndarray:
            self.put = functools.partial(np.ndarray.__setitem__, x)
        self.fault = ""
        self._plain = x.view(np.ndarray)  # has flags of its own: it stays writable if x becomes read-only
        self._form = x.shape, x.strides, x.dtype
        self._memory = self._where()
        self._is_back = False

    def move(self, place: Any, value: Any) -> None:
        """x[place] = value, by NumPy's own assignment, which checks that the place is still there."""
        try:
            self.put(place, value)
        except REFUSED:
            fault = self._changed_form() or ("" if self._plain.flags.writeable else "made it read-only")
            if fault:
                raise ValueError(f"{ONLY_READS}, got one that {fault}; {REMEDY}") from None
            self._plain[place] = value

    def put_back(self) -> None:
        """Give x its shape and bits back; a second time after the end of the first it does nothing."""
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
            warnings.simplefilter("ignore")  # NumPy would rather not have shapes assigned; here a function has
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
        """Whether a small array is seen at once to be what it was."""
        if self.kept.nbytes > SMALL or not self.x.flags.writeable or self._changed_form():
            return False
        return self._plain.tobytes() == self.kept.tobytes()

    def _changed_form(self) -> str:
        """What the function has done to the array itself; "" for nothing."""
        if self._where() != self._memory:
            return RESIZED  # and the plain view's memory may be gone
        return RESHAPED if (self.x.shape, self.x.strides, self.x.dtype) != self._form else ""

    def _where(self) -> tuple[int, int]:
        return self.x.__array_interface__["data"][0], self.x.nbytes


def moved(x: Array, work: Callable[[Moving], Result]) -> Result:
    """work(moving x), after which x is what it was, also after an exception and Ctrl-C.

    Raises
    ------
    ValueError
        If the work, which puts back what it moves, ends with x changed: a function wrote to it.
    """
    moving = Moving(x)
    try:
        try:
            result = work(moving)
        finally:
            moving.put_back()
    finally:
        moving.put_back()  # for Ctrl-C at the first
    if moving.fault:
        raise ValueError(f"{ONLY_READS}, got one that {moving.fault}; {REMEDY}")
    return result
