"""The three matrix products: their order of additions, the memory they touch, and the same bits at any vector width."""

import ctypes
import hashlib
import itertools
import json
import mmap
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.forward import parts_of, share_of_rows
from fastnn.kernels import caches, processor
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.matmul import DEEP, ONE_CHAIN, PANEL_COLUMNS, ROW_BLOCK, chain_of, scratch_size, share
from fastnn.kernels.tiles import MAX_VECTORS
from tests import compiled
from tests.fitted import fitted_to
from tests.forked import Forks
from tests.shapes import DTYPES, PROBLEMS, SHAPES, Array, FloatType, Problem, bits, numbers

PROT_NONE = 0  # of <sys/mman.h>; not in Python's mmap

# (M, K, N) beyond one chain, one panel, one block in depth and one block of rows, each with a remainder.
BLOCKED = [(9, 331, 5), (27, 1031, 5), (25, 18, 131), (265, 11, 65)]
# Shapes whose last columns are exchanged with the rows, at one width of vectors or another.
BLOCKED += [(49, 45, 33), (70, 405, 18), (100, 17, 5), (33, 60, 41)]
BLOCKED += [] if JIT_DISABLED else [(293, 1061, 81), (7, 2 * DEEP + 5, 37), (200, DEEP + 1, 3), (325, 320, 37)]
assert ONE_CHAIN < 331 and PANEL_COLUMNS < 65 and ROW_BLOCK < 200
SMALL = caches.Caches(second=256 << 10, last_share=1 << 20)
assert caches.blocks(SMALL)[caches.DEPTH] < 1031 and caches.blocks(SMALL)[caches.LEFT_BLOCK] < 4 * 325 * 320

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
needs_mprotect = pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by Linux's mprotect here")


@pytest.fixture(autouse=True)
def small_caches() -> Iterator[None]:
    """Blocks as for a small machine, whatever this one has."""
    with fitted_to(SMALL):
        yield


def scratch(shape: tuple[int, ...], dtype: Any) -> Array:
    return np.full(shape, np.nan, dtype)


def backward_scratch(dy: Array, W: Array, need_dx: bool = True) -> int:
    dx = scratch_size(W.shape[1], W.shape[0], "right") if need_dx else 0
    return max(dx, scratch_size(dy.shape[0], dy.shape[1], "left"))


def forward(x: Array, W: Array, b: Array, y: Array | None = None) -> Array:
    """X W + b by the compiled code without threads."""
    y = np.full((len(x), W.shape[1]), np.nan, x.dtype) if y is None else y
    compiled.affine_forward(1, x, W, b, scratch((1, scratch_size(*W.shape)), x.dtype), y)
    return y


def backward(dy: Array, x: Array, W: Array) -> tuple[Array, Array, Array]:
    """dy W^T, x^T dy and the sums of dy by the compiled code without threads."""
    results = np.empty_like(x), np.empty_like(W), np.empty_like(W[0])
    compiled.affine_backward(1, dy, x, W, scratch((1, backward_scratch(dy, W)), x.dtype), np.empty((1, 3)), *results)
    return results


def three_ways(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """A b as a b, as (a^T)^T b and as a (b^T)^T."""
    rows, columns = len(a), b.shape[1]
    other = np.zeros((rows, columns), a.dtype)
    plain = forward(a, b, np.zeros(columns, a.dtype))
    transposed_left = backward(b, a.T.copy(), other)[1]
    transposed_right = backward(a, other, b.T.copy())[0]
    return plain, transposed_left, transposed_right


@pytest.mark.parametrize("shape", [(293, 1061, 81), (400, 1024, 130), (30, 1100, 300)], ids=str)
def test_the_caches_change_no_bits(shape: tuple[int, int, int]) -> None:
    m, k, n = (size // 8 + 1 for size in shape) if JIT_DISABLED else shape
    a, b = numbers(1, m, k, dtype=np.float32), numbers(2, k, n, dtype=np.float32)
    found = set()
    for second in (128 << 10, 512 << 10, 1 << 20, 8 << 20):
        for way in (4 << 10, 16 << 10):
            with fitted_to(caches.Caches(way, second, 4 * second, 16 * second)):
                found.add(tuple(bits(three_ways(a, b))))
    assert len(found) == 1


# --- bits -------------------------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("shape", [*SHAPES, *BLOCKED], ids=str)
def test_the_three_products_have_the_same_bits(shape: tuple[int, int, int], dtype: FloatType) -> None:
    m, k, n = shape
    a, b = numbers(1, m, k, dtype=dtype), numbers(2, k, n, dtype=dtype)
    products = three_ways(a, b)
    assert bits(products[:1]) == bits(products[1:2]) == bits(products[2:])


def summed(a: Array, b: Array, bias: Array) -> Array:
    """a b + bias step by step: chains in order of depth, added in order, each DEEP steps apart."""
    total, depth = np.zeros((len(a), b.shape[1]), a.dtype), len(b)
    for first in range(0, depth, DEEP):
        last = min(first + DEEP, depth)
        chain = int(getattr(chain_of, "py_func", chain_of)(last - first))
        some = np.zeros_like(total)
        for start in range(first, last, chain):
            sums = np.tile(bias if start == 0 else np.zeros_like(bias), (len(a), 1))
            for i in range(start, min(start + chain, last)):
                sums += np.multiply.outer(a[:, i], b[i])
            some = sums if start == first else some + sums
        total = some if first == 0 else total + some
    return total


@every_dtype
@pytest.mark.parametrize("shape", [*SHAPES, *BLOCKED], ids=str)
def test_sums_are_added_in_order(shape: tuple[int, int, int], dtype: FloatType) -> None:
    """Factors have half the digits, so that each product is exact, even in the twins, which round it."""
    m, k, n = shape
    scale = 2.0 ** (np.finfo(dtype).nmant // 2)
    a, b = (np.round(numbers(seed, *size) * scale).astype(dtype) for seed, size in ((1, (m, k)), (2, (k, n))))
    a, b = np.clip(a, -scale, scale), np.clip(b, -scale, scale)
    bias = numbers(3, n, dtype=dtype)
    total = summed(a, b, bias)
    assert bits((forward(a, b, bias),)) == bits((total,))


@every_dtype
def test_products_are_not_rounded_before_they_are_added(dtype: FloatType) -> None:
    """The twins do round them, and so do processors without the instruction."""
    step = np.ldexp(dtype(1), -np.finfo(dtype).nmant // 2 - 1)
    a = np.array([[1.0, 1 + step]], dtype)
    b = np.array([[-(1 + 2 * step)], [1 + step]], dtype)
    one_rounding = processor.HAS_FMA and not JIT_DISABLED
    for product in three_ways(a, b):
        assert product.item() == (step * step if one_rounding else 0)


@every_dtype
@pytest.mark.parametrize("vectors", [1, MAX_VECTORS])
@pytest.mark.parametrize("missing", [0, 1, 3])
def test_no_leftovers_of_scratch_are_multiplied(missing: int, vectors: int, dtype: FloatType) -> None:
    """They could be subnormal numbers, for which some processors take a hundred cycles each."""
    n, outputs, lanes = 4, 8, processor.VECTOR_BYTES // np.dtype(dtype).itemsize
    inputs = vectors * lanes - missing
    x, W, dy = np.ones((n, inputs), dtype), np.ones((inputs, outputs), dtype), np.ones((n, outputs), dtype)
    used = scratch((1, backward_scratch(dy, W)), dtype)
    results = np.empty_like(x), np.empty_like(W), np.empty_like(W[0])
    compiled.affine_backward(1, dy, x, W, used, np.empty((1, 3)), *results)
    rows = used[0, : outputs * MAX_VECTORS * lanes].reshape(outputs, -1)
    assert (rows[:, :inputs] == 1).all() and not rows[:, inputs : vectors * lanes].any()


def test_shares_are_all_rows_in_order() -> None:
    for count in (0, 1, 3, 4, 5, 17, 100, 101):
        for parts in (1, 2, 3, 16):
            starts = [_share(count, part, parts) for part in range(parts + 1)]
            assert starts[0] == 0
            assert starts[-1] == count
            assert starts == sorted(starts)
            assert all(start % 4 == 0 or start == count for start in starts)
            assert starts[1] > 0 or count == 0, "the calling thread's part tells what a region gains"


def test_each_part_of_a_prediction_has_rows() -> None:
    for rows, most in itertools.product(range(1, 100), (1, 2, 3, 8)):
        parts = parts_of(rows, most, False, False)
        starts = [_share(rows, part, parts) for part in range(parts + 1)]
        assert 1 <= parts <= most
        assert all(begin < end for begin, end in itertools.pairwise(starts))
        assert parts_of(rows, most, True, False) == most  # they share columns


def test_each_part_of_a_prediction_has_images() -> None:
    table = np.zeros((1, jobs.PLAN_COLUMNS), np.intp)
    table[0, jobs.AT_ONCE] = 7
    function = getattr(share_of_rows, "py_func", share_of_rows)
    for images, most in itertools.product(range(1, 100), (1, 2, 3, 8)):
        parts = parts_of(images, most, False, True)
        assert parts == min(images, most)
        shares = np.diff([function(table, images, part, parts) for part in range(parts + 1)])
        assert shares.sum() == images
        assert shares.min() >= 1 and shares.max() <= shares.min() + 1


def _share(count: int, part: int, parts: int) -> int:
    return int(getattr(share, "py_func", share)(count, part, parts))


# --- other processes -------------------------------------------------------------------------------------------------


def in_another_process(forks: Forks, call: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Evaluate a call of a function of this file in another process, which prints the result as JSON."""
    folders = [str(pathlib.Path(file).parents[1]) for file in (fastnn.__file__, __file__)]
    code = f"import json; from tests import test_matmul as t; print(json.dumps({call}))"
    return forks.run(code, {**os.environ, "PYTHONPATH": os.pathsep.join(folders), **environment})


def result_of(process: "subprocess.CompletedProcess[str]") -> Any:
    assert process.returncode == 0, f"exit code {process.returncode}: {process.stderr[-2000:]}"
    return json.loads(process.stdout)


class Fenced:
    """Memory between two pages; any access to these ends the process."""

    def __init__(self, capacity: int) -> None:
        page = mmap.PAGESIZE
        size = -(-capacity // page) * page
        mapping = mmap.mmap(-1, size + 2 * page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        for start in (address, address + page + size):
            if ctypes.CDLL(None).mprotect(ctypes.c_void_p(start), ctypes.c_size_t(page), PROT_NONE):
                raise OSError("mprotect failed")
        self._memory = np.frombuffer(mapping, np.uint8)[page : page + size]

    def place(self, array: Array, at_end: bool) -> Array:
        """A copy of the array that touches the page after the memory, or the page before it."""
        start = self._memory.size - array.nbytes if at_end else 0
        # A slice without elements would always begin at the start.
        placed: Array = np.ndarray(array.shape, array.dtype, self._memory.data, start)
        placed[...] = array
        return placed

    def beyond(self) -> int:
        """Read the byte after the memory; the process does not survive this."""
        return ctypes.c_ubyte.from_address(self._memory.ctypes.data + self._memory.size).value


def read_beyond() -> int:
    return Fenced(8).beyond()


def tails(dtype: FloatType) -> Iterator[tuple[int, int, int]]:
    """Shapes (N, D, H) around whole tiles: every number of rows, and columns around each number of vectors."""
    lanes = processor.LANES[np.dtype(dtype)]
    around = {max(1, vectors * lanes + extra) for vectors in range(MAX_VECTORS + 1) for extra in (-1, 0, 1)}
    rows = [1, 5] if JIT_DISABLED else [*range(1, 22), 33]
    for n in rows:
        for h in sorted(around)[:6] if JIT_DISABLED else [*sorted(around), (MAX_VECTORS + 1) * lanes + 3]:
            yield from ((n, 1, h), (n, 3, h), (h, 2, n), (2, h, n))
    for h in sorted(around):  # whose last columns are exchanged
        yield from ((2 * lanes + 1, 40, h), (40, 2 * lanes + 1, h))


def products_between_fences(dtype: FloatType) -> int:
    """The number of products of all tails, each with every array at the end and at the start of fenced memory."""
    fences = [Fenced(2**21) for _ in range(8)]
    generator = np.random.default_rng(0)
    count = 0
    for n, d, h in tails(dtype):
        shapes = ((n, d), (d, h), (h,), (n, h))
        inputs: list[Array] = [generator.integers(-9, 9, shape).astype(dtype) for shape in shapes]  # exact products
        x, W, b, dy = inputs
        expected = (x @ W + b, dy @ W.T, x.T @ dy, dy.sum(axis=0))
        for at_end in (True, False):
            fenced = [fence.place(array, at_end) for fence, array in zip(fences, inputs, strict=False)]
            results = _products_between(fences[4:], at_end, *fenced)
            assert all(np.array_equal(result, wanted) for result, wanted in zip(results, expected, strict=True))
            assert all(np.array_equal(array, before) for array, before in zip(fenced, inputs, strict=True))
            count += 1
    return count


def _products_between(fences: list[Fenced], at_end: bool, x: Array, W: Array, b: Array, dy: Array) -> list[Array]:
    def place(fence: int, *shape: int) -> Array:
        return fences[fence].place(np.full(shape, np.nan, x.dtype), at_end)

    y = forward(x, W, b, place(0, *dy.shape)).copy()
    dx, dW, db = place(0, *x.shape), place(1, *W.shape), place(2, *b.shape)
    compiled.affine_backward(1, dy, x, W, place(3, 1, backward_scratch(dy, W)), np.empty((1, 3)), dx, dW, db)
    results = [y, *(array.copy() for array in (dx, dW, db))]
    dx, dW, db = place(0, 0, x.shape[1]), place(1, *W.shape), place(2, *b.shape)
    compiled.affine_backward(1, dy, x, W, place(3, 1, backward_scratch(dy, W, False)), np.empty((1, 3)), dx, dW, db)
    assert bits((dW, db)) == bits(tuple(results[2:]))
    return results


def operations_between_fences(dtype: FloatType) -> int:
    """Do the same for the public operations that are no products; return their number."""
    fences = [Fenced(2**16) for _ in range(6)]
    count = 0
    for label, make in PROBLEMS.items():
        if label.startswith("affine"):
            continue
        for h in (1, 7, 33) if JIT_DISABLED else range(1, 68):
            for n in (1, 3):
                problem = make((n, 2, h), dtype, numbers)
                expected = bits(problem.copy().solve(fastnn))
                for at_end in (True, False):
                    assert bits(_solve_between(fences, problem, at_end, dtype)) == expected, f"{label}, {(n, h)}"
                    count += 1
    return count


def _solve_between(fences: list[Fenced], problem: Problem, at_end: bool, dtype: FloatType) -> tuple[Any, ...]:
    placed = zip(fences, problem.arrays.items(), strict=False)
    fenced = problem._replace(arrays={name: fence.place(array, at_end) for fence, (name, array) in placed})
    if problem.updated:
        return fenced.solve(fastnn)
    free = fences[len(problem.arrays) :]
    out = [
        fence.place(np.full(size, np.nan, dtype), at_end) for fence, size in zip(free, problem.results, strict=False)
    ]
    return fenced.solve(fastnn, out=problem.as_out(out))


@needs_mprotect
def test_the_fence_kills(forks: Forks) -> None:
    assert in_another_process(forks, "t.read_beyond()").returncode == -signal.SIGSEGV


@needs_mprotect
@every_dtype
def test_nothing_outside_the_arrays_is_touched(dtype: FloatType, forks: Forks) -> None:
    name = f"t.np.{np.dtype(dtype).name}"
    calls = f"[t.products_between_fences({name}), t.operations_between_fences({name})]"
    products, others = result_of(in_another_process(forks, calls))
    assert products == 2 * len(list(tails(dtype)))
    assert others > 100


# --- vector widths ----------------------------------------------------------------------------------------------------


def product_hash(dtype: FloatType) -> str:
    """A hash of the bits of the products of all shapes."""
    found = hashlib.sha256()
    for n, d, h in (*SHAPES, *BLOCKED[:3]):
        x, W, b = (numbers(i, *shape, dtype=dtype) for i, shape in enumerate([(n, d), (d, h), (h,)]))
        found.update(forward(x, W, b).tobytes())
        if dtype is np.float32:  # half the time for compiling
            for part in backward(numbers(3, n, h, dtype=dtype), x, W):
                found.update(part.tobytes())
    return found.hexdigest()


def training_hash() -> str:
    """A hash of the bits of the parameters of a network after three steps."""
    layers = [fastnn.Affine(33, 17), fastnn.Sigmoid(), fastnn.Affine(17, 50), fastnn.Relu(), fastnn.Affine(50, 10)]
    network = fastnn.Network(layers, rng=0, n_threads=1)
    x, t = numbers(1, 21, 33, dtype=np.float32), np.arange(21) % 10
    losses = [network.step(x, t, fastnn.Momentum(lr=0.1)) for _ in range(3)]
    assert losses[2] < losses[0]
    return hashlib.sha256(b"".join(array.tobytes() for array in network.params.values())).hexdigest()


# The natural width is left out, as its kernels would only be compiled again: each width has its own cache. By default
# nothing is compiled for another width; .ci/run does it where kernels change, and compares all of them in the wheel.
@pytest.mark.exhaustive
@pytest.mark.parametrize("width", [width for width in (4, 8) if 4 * width < processor.VECTOR_BYTES])
@every_dtype
def test_same_bits_at_any_vector_width(width: int, dtype: FloatType, forks: Forks) -> None:
    name = f"t.np.{np.dtype(dtype).name}"
    calls, expected = f"t.processor.VECTOR_BYTES, t.product_hash({name})", [4 * width, product_hash(dtype)]
    if dtype is np.float32:
        calls += ", t.training_hash()"
        expected.append(training_hash())
    if sys.platform == "linux" and dtype is np.float32:
        calls += f", t.products_between_fences({name})"  # other tiles than at the natural width
    got = result_of(in_another_process(forks, f"[{calls}]", FASTNN_VECTOR_WIDTH=str(width)))
    assert got[: len(expected)] == expected
