"""The memory that training and predicting allocate."""

import gc
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from fastnn import SGD, Affine, Momentum, Network, Relu
from fastnn.engine import contention, threads
from fastnn.kernels.compile import JIT_DISABLED
from tests.shapes import Array, numbers


def network() -> Network:
    return Network([Affine(20, 16), Relu(), Affine(16, 5)], rng=0)


def batch(net: Network, rows: int) -> tuple[Array, Array]:
    return numbers(1, rows, net.inputs, dtype=net.dtype), np.arange(rows, dtype=np.intp) % net.outputs


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python allocates")
@pytest.mark.parametrize("rows", [1, 12, 600])  # the last are shared among threads
def test_a_warm_step_and_a_warm_prediction_allocate_nothing(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No arrays, and no headers of them; Python alone makes what it needs for a call.

    Now and then a launch looks for other threads; this takes an array.
    """
    monkeypatch.setattr(contention, "SECONDS_LISTED", 1e9)
    net, optimizer = network(), SGD(0.01)
    x, labels = batch(net, rows)
    out = np.empty((rows, net.outputs), np.float32)

    def work() -> Any:
        net.step(x, labels, optimizer)
        net.predict(x, out=out)

    for _ in range(3):
        work()
    _nrt_python.memsys_enable_stats()
    before = rtsys.get_allocation_stats()
    gc.collect()
    tracemalloc.start()
    try:
        work()
        first = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            work()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    after = rtsys.get_allocation_stats()
    assert (after.alloc, after.free) == (before.alloc, before.free)
    assert kept - first < 600  # one object of each call would take 1,400; the threads of xdist keep few bytes, too
    assert peak < 4_000


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python allocates")
def test_a_fit_in_float32_allocates_little() -> None:
    """Its scratch, a copy of the parameters, an order of the samples; no float64 array the size of a batch."""
    rows, batch, inputs, outputs = 1000, 250, 2000, 10
    x, t = np.ones((rows, inputs), np.float32), np.zeros(rows, int)
    net, another = (Network([Affine(inputs, outputs)], rng=0) for _ in range(2))
    another.fit(x, t, epochs=1, batch_size=batch, progress=False)  # loads the kernels
    tracemalloc.start()
    try:
        net.fit(x, t, epochs=2, batch_size=batch, progress=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    parameters = (inputs + 1) * outputs
    products = threads.get_num_threads() * 4 * (batch * 224 + 4096)  # copied panels, and gradients about to be used
    scratch = 4 * batch * (inputs + 2 * outputs) + 32 * batch + products
    assert peak < scratch + 8 * rows + 3 * 4 * parameters + 140_000  # the gate tests so many numbers at once
    assert peak < 8 * batch * inputs


def test_memory_does_not_grow() -> None:
    """Anything left behind by a step would be a block of memory, an array two; caches take up to a hundred."""
    net, blocks = network(), []
    x, labels = batch(net, 12)
    for steps in (5, 200) if JIT_DISABLED else (1000, 500):
        for _ in range(steps):
            net.step(x, labels, Momentum(0.01))
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    assert blocks[1] - blocks[0] < steps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_begin_at_a_line_of_the_cache(dtype: Any) -> None:
    """Kernels load whole vectors: each would lie on two lines."""
    for width in (3, 50, 5000):  # NumPy takes the memory of small and large arrays from different places
        net = Network([Affine(7, width), Relu(), Affine(width, 3)], rng=0, dtype=dtype)
        net.step(np.ones((5, 7), dtype), np.zeros(5, np.intp), SGD(0.1))
        workspace = net._engine.workspace
        assert workspace is not None
        names = ("values", "gradients", "tensors", "tensor_gradients", "scratch", "updates")
        assert {workspace.arrays[name].ctypes.data % 64 for name in names if workspace.arrays[name].size} == {0}
