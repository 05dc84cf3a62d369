"""The processor-time clocks of the threads that compiled code runs on; only Linux has them."""

import ctypes
from typing import Any

import llvmlite.binding
import numpy as np
from numba import types

from fastnn.kernels.addresses import address_of
from fastnn.kernels.units import part_unit

_ADDRESS_BYTES = 8

# POSIX.1-2001: clockid_t of a thread, by address. glibc, musl and Bionic have both; Darwin and Windows have not.
_this_thread = types.ExternalFunction("pthread_self", types.uintp())
_clock_of = types.ExternalFunction("pthread_getcpuclockid", types.int32(types.uintp, types.uintp))


def can_tell_clocks() -> bool:
    """Whether this system has the functions; compiled code that calls a missing one ends the process."""
    return all(llvmlite.binding.address_of_symbol(f.symbol) for f in (_this_thread, _clock_of))


@part_unit
def note_clock(clocks: Any, part: int, parts: int) -> None:
    """Element `part` of the table becomes the number of the clock of the thread that this runs on.

    A number is an int32: the upper half of the element is what it was.
    """
    _clock_of(_this_thread(), address_of(clocks) + _ADDRESS_BYTES * part)


def note_clocks(n_threads: int, launcher: int, clocks: Any) -> None:
    """Note the clocks of n_threads threads in clocks (n_threads,), int64; of one during a pause (launches.py).

    An entry would compile for 0.1 s longer.
    """
    code = ctypes.c_ssize_t.from_address(launcher).value
    launch = ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * 4)(code)
    launch(launcher, note_clock.address(np.dtype(np.float64)), clocks.ctypes.data, n_threads)
