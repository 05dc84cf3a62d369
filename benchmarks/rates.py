"""The machine's own limits: fused multiply-adds on registers alone, and copies of memory.

`python -m benchmarks.machine THREADS` measures them in a process of its own.
"""

import time
from typing import Any

import numpy as np

from fastnn.engine import threads
from fastnn.kernels import processor, simd
from fastnn.kernels.compile import kernel
from fastnn.kernels.matmul import share
from fastnn.kernels.units import entry_of_parts

# Independent chains of multiply-adds, one vector each: enough to hide the latency of an instruction, and few enough
# to stay in 16 registers together with their two factors.
CHAINS = 12
FMA_REPEATS = 2_000_000
ARRAY_BYTES = 256 * 2**20
ROUNDS = 15


@kernel
def _chains(repeats: int, factors: Any, out: Any, start: int) -> None:
    """CHAINS chains of `repeats` multiply-adds; factors (CHAINS + 1 + lanes,), out[start:] overwritten.

    The chains start at different values and then all add the same product, so that its factors stay in registers.
    """
    width = simd.lanes(factors)
    total = simd.load_tile(simd.zero_tile(factors, CHAINS, 1), factors, 0, 1, width)
    row = simd.load_tile(simd.zero_tile(factors, 1, 1), factors, CHAINS, 0, width)
    for _ in range(repeats):
        total = simd.multiply_add(total, row, factors, CHAINS + width, 0)
    simd.store_tile(total, out, start, width, width)


@entry_of_parts
def fma_chains(part: int, parts: int, repeats: int, factors: Any, out: Any) -> None:
    """The chains of each part; out (parts, CHAINS * lanes) is overwritten."""
    _chains(repeats, factors, out, part * out.shape[1])


@entry_of_parts
def copy(part: int, parts: int, a: Any, b: Any) -> None:
    """b = a, vectors of one size."""
    for i in range(share(a.size, part, parts), share(a.size, part + 1, parts)):
        b[i] = a[i]


@entry_of_parts
def triad(part: int, parts: int, a: Any, b: Any, c: Any, factor: Any) -> None:
    """c = a + factor * b, vectors of one size."""
    for i in range(share(a.size, part, parts), share(a.size, part + 1, parts)):
        c[i] = a[i] + factor * b[i]


def fma_peak(dtype: Any, n_threads: int, repeats: int = FMA_REPEATS) -> float:
    """FLOP a second of fused multiply-adds on registers: the best of some rounds."""
    lanes = processor.LANES[np.dtype(dtype)]
    factors = np.linspace(0.5, 1.0, CHAINS + 1 + lanes).astype(dtype)
    out = np.zeros((n_threads, CHAINS * lanes), dtype)
    seconds = _best(fma_chains, n_threads, repeats, factors, out)
    return 2.0 * CHAINS * lanes * repeats * n_threads / seconds


def bandwidths(n_threads: int, array_bytes: int = ARRAY_BYTES) -> dict[str, float]:
    """Bytes a second that a copy and a triad read and write, over arrays beyond the caches.

    The lines that a processor reads before it overwrites them are not counted, as in STREAM (McCalpin, 1995).
    """
    a, b, c = (np.full(array_bytes // 4, value, np.float32) for value in (1.0, 2.0, 3.0))
    copied = 2 * a.nbytes / _best(copy, n_threads, a, b)
    return {"copy": copied, "triad": 3 * a.nbytes / _best(triad, n_threads, a, b, c, np.float32(0.5))}


def _best(entry_: Any, n_threads: int, *arguments: Any) -> float:
    """The seconds of the fastest call; the first one compiles."""
    seconds = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        threads.run(entry_, np.inf, *arguments, n_threads=n_threads)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
