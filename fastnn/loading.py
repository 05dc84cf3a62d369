"""Whether the compiler is worth loading, by what a program's work without it has taken so far. Imports nothing."""

import sys

SECONDS = 0.5  # what loading the compiler and the first kernels takes
_COMPILER = "fastnn.kernels.compile"

_spent = 0.0


def pays(seconds: float) -> bool:
    """Whether compiled code is to do some work that takes so many seconds without it: work of SECONDS may go before.

    So a short program never waits for the compiler, and a long one loses no more than SECONDS.
    """
    global _spent
    if _COMPILER in sys.modules:
        return True
    _spent += seconds
    return _spent >= SECONDS
