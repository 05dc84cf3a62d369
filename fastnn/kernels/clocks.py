"""The processor-time clocks of the threads that compiled code runs on. Linux alone has them."""

from typing import Any

import llvmlite.binding
from numba import types

from fastnn.kernels.compile import entry, prange

_ADDRESS_BYTES = 8

# POSIX.1-2001: clockid_t of a thread, by address. glibc, musl and Bionic have both; Darwin and Windows have not.
_this_thread = types.ExternalFunction("pthread_self", types.uintp())
_clock_of = types.ExternalFunction("pthread_getcpuclockid", types.int32(types.uintp, types.uintp))


def can_tell_clocks() -> bool:
    """Whether this system has the functions: compiled code that asks for one that is missing ends the process."""
    return all(llvmlite.binding.address_of_symbol(f.symbol) for f in (_this_thread, _clock_of))


@entry
def note_clocks(n_threads: int, clocks: Any) -> None:
    """clocks (n_threads,), int64, becomes the numbers of the clocks of the n_threads threads, each by itself.

    A number is an int32: the upper half of each is what it was.
    """
    for i in prange(n_threads):
        _clock_of(_this_thread(), clocks.ctypes.data + _ADDRESS_BYTES * i)
