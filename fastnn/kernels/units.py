"""Units: kernels compiled one by one as C functions, and called by their address.

An operation of a network is a few *units*: its forward, its backward, the gradient of its parameters. A unit has one
argument, a *frame*: a table of integers with the addresses and sizes of all that it works on (frames.py), whose type
says whether the numbers are float32 or float64. It returns nothing, allocates nothing and raises nothing. The
interpreters in fastnn/engine call units through the addresses in a network's plan. So an interpreter is compiled once,
a unit when the first network needs it, and nobody waits for a further operation.
"""

import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import prange, types

from fastnn.kernels import launches, openmp, prebuilt
from fastnn.kernels.addresses import FUNCTIONS, call_launcher, call_part, launch
from fastnn.kernels.compile import JIT_DISABLED, apart, compile_unit, entry_around, kernel
from fastnn.kernels.openmp import AFTER_FUNCTIONS, clock, open_region
from fastnn.kernels.views import vector_at

WORD = np.dtype(np.intp).itemsize

compiling = threading.RLock()  # also taken by a fork, which must not come between


UNITS: list["Unit"] = []


class Unit:
    """A kernel as a C function, compiled for float32 or float64 when its address is first asked for.

    Parameters
    ----------
    function : function
        It takes a frame or, with `parts`, a job, the number of a part and the number of parts.
    parts : bool
    made_of : functions
        The kernels and formulas in the function's closure; if they are fastnn's, its code may be kept on disk.
    """

    def __init__(self, function: Callable[..., None], parts: bool = False, made_of: tuple[Any, ...] = ()) -> None:
        self.function, self.parts, self.made_of = function, parts, made_of
        self.__doc__ = function.__doc__
        self._addresses: dict[Any, int] = {}
        self.libraries: dict[str, Any] = {}  # by dtype; they hold its code
        UNITS.append(self)

    @property
    def dtypes(self) -> set[str]:
        """The dtypes for which it is compiled or loaded in this process."""
        return {str(dtype) for dtype in self._addresses}

    @property
    def name(self) -> str:
        """The names of the function and of its parts."""
        return ".".join([self.function.__name__, *(one.__name__ for one in self.made_of)])

    def address(self, dtype: Any) -> int:
        """The address of its code for numbers of this dtype."""
        found = self._addresses.get(dtype)
        if found is None:
            with compiling:
                found = self._addresses.get(dtype) or self._make(dtype)
                self._addresses[dtype] = found
        return found

    def _make(self, dtype: Any) -> int:
        if JIT_DISABLED:
            FUNCTIONS.append(self.function)
            return len(FUNCTIONS) - 1
        name = str(np.dtype(dtype))
        address = prebuilt.address(name, self.function, self.made_of)
        if not address:
            frame = types.CPointer(numba.from_dtype(np.dtype(dtype)))
            arguments = (frame, types.intp, types.intp) if self.parts else (frame,)
            address, self.libraries[name] = compile_unit(self.function, arguments, self.made_of)
        return address

    def must_be_compiled(self, dtype: Any) -> bool:
        """Whether `address` will compile it or load it from the disk."""
        if JIT_DISABLED or dtype in self._addresses:
            return False
        return prebuilt.address(str(np.dtype(dtype)), self.function, self.made_of) == 0


def unit(function: Callable[[Any], None]) -> Unit:
    """Compile a module-level function of a frame as a unit."""
    return Unit(function)


def part_unit(function: Callable[[Any, int, int], None]) -> Unit:
    """Compile a module-level function of (job, part, parts) as a unit that interpreters run on several threads."""
    return Unit(function, parts=True)


def _launch(table: int, unit: int, job: int, parts: int) -> None:
    """Call a unit for each of its parts, on as many threads of OpenMP; during a pause, for one part (launches.py)."""
    state = vector_at(table + WORD * AFTER_FUNCTIONS, launches.SIZE, np.float64(0.0))
    began = clock(table)
    if launches.is_in_pause(state, began):
        call_part(unit, job, 0, 1)
        launches.note_alone(state, clock(table))
    else:
        own_ended = open_region(table, unit, job, parts)
        launches.note_region(state, parts, began, own_ended, clock(table))


def _launch_by_numba(table: int, unit: int, job: int, parts: int) -> None:
    """Call a unit for each of its parts, on as many threads of Numba's threading layer."""
    for part in prange(parts):
        call_part(unit, job, part, parts)


_table = np.zeros(AFTER_FUNCTIONS + launches.SIZE)  # the launcher's: integers, then its state
_state = _table[AFTER_FUNCTIONS:]
_launcher: list[Any] = []  # its address, and the library with its code if it was compiled here


def launcher() -> int:
    """The address of the table of the only function that starts threads, which takes this address first."""
    with compiling:
        if not _launcher:
            is_numbas, library = not openmp.is_available(), None
            function = _launch_by_numba if is_numbas else _launch
            address = prebuilt.address("", function)
            if not address:
                address, library = compile_unit(function, (types.intp,) * 4, (), parallel=is_numbas)
            integers = [address, *openmp.functions()]
            _table.view(np.intp)[: len(integers)] = integers
            _launcher.extend((int(_table.ctypes.data), library))
    return int(_launcher[0])


def launcher_code() -> tuple[str, Any]:
    """The name for prebuilt.py of the launcher of OpenMP's threads, and a library with its code."""
    return prebuilt.name_of("", _launch), compile_unit(_launch, (types.intp,) * 4, ())[1]


def launch_state() -> Any:
    """What the launcher has measured and decided, (launches.SIZE,)."""
    return _state


@kernel
def run_parts(launcher: int, unit: int, job: Any, parts: int) -> None:
    """Call a unit for each of its parts: on threads if there is the address of a launcher, else in turn."""
    if launcher != 0:
        call_launcher(launcher, unit, job, parts)
    else:
        for part in range(parts):
            call_part(unit, job, part, parts)


@kernel
def call_in_parts(launcher: int, function: Any, arguments: Any, parts: int) -> None:
    """Call function(part, parts, *arguments) for each part: on threads if there is a launcher, else in turn."""
    if launcher != 0:
        launch(launcher, function, arguments, parts)
    else:
        for part in range(parts):
            function(part, parts, *arguments)


def entry_of_parts(function: Callable[..., None]) -> Any:
    """Compile a module-level function of (part, parts, *arguments) as an entry for `threads.run`.

    It takes arrays and numbers as they are; a unit would have to find them in a table.
    """
    part_of: Any = apart(function)

    def run(n_threads: int, launcher: int, *arguments: Any) -> None:
        call_in_parts(launcher, part_of, arguments, n_threads)

    return entry_around(run, function)


def entry_of_functions(function: Callable[..., None]) -> Any:
    """As `entry_of_parts`, but the last argument is a user's function, compiled by Numba; the entry takes it first.

    The entry is compiled for each function, and not kept on disk.
    """
    part_of: Any = apart(function, calls_users=True)

    def run(n_threads: int, launcher: int, f: Any, *arguments: Any) -> None:  # among them, its type takes 0.1 ms a call
        call_in_parts(launcher, part_of, arguments + (f,), n_threads)  # noqa: RUF005

    return entry_around(run, function, keep=False)
