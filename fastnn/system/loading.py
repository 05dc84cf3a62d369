"""Whether the compiler is worth loading, by the time that it would have saved a program so far."""

import sys

SECONDS = 0.6  # what loading the compiler and the first kernels takes
_COMPILER = "fastnn.kernels.compile"

_lost = 0.0


def pays(seconds: float) -> bool:
    """Whether to load the compiler for work that it makes faster by `seconds`: yes once SECONDS have been lost in all.

    So a program that ends earlier pays nothing, and no other one loses more than twice the time that loading takes.
    Work for which the compiler is used only if it is loaded anyway saves 0.0.
    """
    global _lost
    if _COMPILER in sys.modules:
        return True
    _lost += seconds
    return _lost >= SECONDS
