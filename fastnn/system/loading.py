"""Whether the compiler is worth loading, by what it would have saved a program so far."""

import sys

SECONDS = 0.6  # what loading the compiler and the first kernels takes
_COMPILER = "fastnn.kernels.compile"

_lost = 0.0


def pays(seconds: float) -> bool:
    """Whether compiled code is to do some work, by which it saves so many seconds: SECONDS may be lost before.

    So a program that ends before that pays nothing, and no other one loses more than twice what loading takes. Work
    that is loaded for, but does not pay for it, saves 0.0.
    """
    global _lost
    if _COMPILER in sys.modules:
        return True
    _lost += seconds
    return _lost >= SECONDS
