"""Inverted dropout: elements are set to 0 by chance, the others scaled so that the mean stays. Imports compile.

Which are kept is a function of a key and of the element's place in the batch alone, so it has the same bits on any
number of threads, and the way back finds it again. Source: Srivastava et al., Journal of Machine Learning Research 15
(2014), 1929-1958.
"""

from typing import Any

from fastnn.kernels.compile import formula, kernel

OFF = -1  # the key where nothing is dropped
_BITS = 0xFFFFFFFF


@formula
def _mixed(h: Any) -> Any:
    """The finalizer of MurmurHash3 (Appleby, 2011): each of 32 bits depends on all of them. In int64."""
    h = h & _BITS
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & _BITS
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & _BITS
    return h ^ (h >> 16)


@kernel
def key_of(seed: int, draw: int) -> int:
    """The key of the draw-th mask of a seed; at least 0."""
    return _mixed(_mixed(int(seed)) + 0x9E3779B1 * (int(draw) & _BITS))


@kernel
def drop(x: Any, rate: float, key: int, number: int, first: int, y: Any) -> None:
    """y = x / (1 - rate) where an element is kept, which it is with probability 1 - rate, else 0. y may be x.

    x, y (M, D), rows [first, first + M) of the batch; number: of the operation. As a gradient goes back likewise, this
    is forward and backward.
    """
    own = _mixed(int(key) + 0x85EBCA77 * int(number))
    bound = int(rate * 4294967296.0)
    scale, zero = x.dtype.type(1.0 / (1.0 - rate)), x.dtype.type(0.0)
    for n in range(x.shape[0]):
        row, out = x[n], y[n]
        start = int(first + n) * x.shape[1]
        for k in range(x.shape[1]):
            kept = _mixed(own ^ _mixed(start + k)) >= bound
            out[k] = scale * row[k] if kept else zero
