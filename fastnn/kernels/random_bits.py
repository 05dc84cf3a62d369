"""Random bits that depend only on a key and a place: the same on any number of threads."""

from typing import Any

from fastnn.kernels.compile import formula, kernel

_BITS = 0xFFFFFFFF


@formula
def mixed(h: Any) -> Any:
    """The finalizer of MurmurHash3 (Appleby, 2011): each of 32 bits depends on all of them; in int64."""
    h = h & _BITS
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & _BITS
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & _BITS
    return h ^ (h >> 16)


@kernel
def key_of(seed: int, draw: int) -> int:
    """The key of the draw-th batch of a seed; at least 0."""
    return mixed(mixed(int(seed)) + 0x9E3779B1 * (int(draw) & _BITS))
