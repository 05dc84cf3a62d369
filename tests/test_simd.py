"""Vectors, rows and tiles against NumPy, through functions compiled here; without the compiler, the twins."""

import functools
import operator
import platform
from typing import Any

import numba
import numpy as np
import pytest

from fastnn.kernels import processor, simd
from fastnn.kernels.compile import JIT_DISABLED
from tests.shapes import DTYPES, Array, FloatType, Guarded, numbers

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_tile = pytest.mark.parametrize(("rows", "vectors"), [(1, 1), (4, 1), (3, 2), (6, 4)])


def compiled(function: Any) -> Any:
    return numba.njit(error_model="numpy")(function)


def tile_functions(rows: int, vectors: int) -> tuple[Any, Any]:
    """copy: part of x as every row of a tile; accumulate: x plus x times an element of left, a new one for each row."""

    def copy(x: Array, start: int, out: Array, to: int, step: int, count: int) -> None:
        tile = simd.zero_tile(x, rows, vectors)
        tile = simd.fill_tile(tile, simd.load_tile(simd.zero_tile(x, 1, vectors), x, start, 0, count))
        simd.store_tile(tile, out, to, step, count)

    def accumulate(x: Array, left: Array, start: int, left_step: int, out: Array, count: int) -> None:
        tile = simd.zero_tile(x, rows, vectors)
        row = simd.load_tile(simd.zero_tile(x, 1, vectors), x, 0, 0, count)
        tile = simd.multiply_add(simd.fill_tile(tile, row), row, left, start, left_step)
        simd.store_tile(tile, out, 0, x.size, count)

    return compiled(copy), compiled(accumulate)


@compiled
def add(x: Array, start: int, step: int, out: Array, count: int) -> None:
    tile = simd.fill_tile(simd.zero_tile(x, 3, 2), simd.load_tile(simd.zero_tile(x, 1, 2), x, 0, 0, count))
    simd.store_tile(simd.add_tile(tile, x, start, step, count), out, 0, out.size // 3, count)


TILES = {(rows, vectors): tile_functions(rows, vectors) for rows, vectors in [(1, 1), (4, 1), (3, 2), (6, 4)]}


# --- scalars ----------------------------------------------------------------------------------------------------------


@compiled
def fused(a: Array, b: Array, c: Array, out: Array) -> None:
    for i in range(a.size):
        out[i] = simd.fma(a[i], b[i], c[i])


@compiled
def there_and_back(x: Array, patterns: Array, out: Array) -> None:
    for i in range(x.size):
        patterns[i] = simd.bits(x[i])
        out[i] = simd.from_bits(simd.bits(x[i]))


@compiled
def nonzero(x: Array, start: int) -> Any:
    return simd.nonzero_lanes(x, start)


@compiled
def eighths(x: Array, count: int) -> Any:
    return simd.sum_of_eighths(x, count)


@compiled
def lanes_of(x: Array) -> Any:
    return simd.lanes(x)


@every_dtype
def test_fma_adds_the_whole_product(dtype: FloatType) -> None:
    step = np.ldexp(dtype(1), -np.finfo(dtype).nmant // 2 - 1)  # (1 + step)^2 has more digits than the dtype
    a = np.array([1 + step, 3.0, np.nan, np.inf, np.inf, 0.0], dtype)
    b = np.array([1 + step, -2.0, 1.0, 0.0, 1.0, 5.0], dtype)
    c = np.array([-(1 + 2 * step), 0.5, 1.0, 1.0, -np.inf, -0.0], dtype)
    out = np.full_like(a, 7)
    with np.errstate(invalid="ignore"):  # inf - inf, in plain Python
        fused(a, b, c, out)
    one_rounding = processor.HAS_FMA and not JIT_DISABLED
    assert out[0] == (step * step if one_rounding else 0)
    assert np.array_equal(out[1:], [-5.5, np.nan, np.nan, np.nan, 0.0], equal_nan=True)


@every_dtype
def test_bits_and_back(dtype: FloatType) -> None:
    info = np.finfo(dtype)
    x = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, -np.nan, info.max, info.tiny, 1e-40], dtype)
    integer = np.int32 if dtype is np.float32 else np.int64
    patterns, out = np.zeros(x.size, integer), np.zeros_like(x)
    there_and_back(x, patterns, out)
    assert np.array_equal(patterns, x.view(integer))
    assert out.tobytes() == x.tobytes()


@every_dtype
def test_nonzero_lanes(dtype: FloatType) -> None:
    lanes = processor.LANES[np.dtype(dtype)]
    x = np.zeros(2 * lanes, dtype)
    assert nonzero(x, 1) == 0
    for lane, value in ((0, 1e-45), (lanes - 1, np.nan), (1, -np.inf)):
        x[1 + lane] = dtype(value) or np.finfo(dtype).smallest_subnormal
    x[3] = -0.0 if lanes > 4 else x[3]
    assert nonzero(x, 1) == sum(1 << lane for lane in {0, 1, lanes - 1})


@every_dtype
@pytest.mark.parametrize("count", [0, 8, 16, 40, 1000])
def test_sum_of_eighths(dtype: FloatType, count: int) -> None:
    """The sum has the same bits as by hand, in float64; elements after it are not read."""
    x = np.random.default_rng(count).standard_normal(count + 3).astype(dtype)
    x[count:] = np.nan
    sixteenths = [  # sum() is more exact from Python 3.12 on
        functools.reduce(operator.add, x[k:count:16].astype(np.float64).tolist(), 0.0) for k in range(16)
    ]
    a, b, c, d, e, f, g, h = (sixteenths[k] + sixteenths[k + 8] for k in range(8))
    assert eighths(x, count) == ((a + b) + (c + d)) + ((e + f) + (g + h))
    x[count // 2] = np.nan
    assert count == 0 or np.isnan(eighths(x, count))


@every_dtype
def test_lanes(dtype: FloatType) -> None:
    x = np.zeros(1, dtype)
    assert lanes_of(x) == processor.LANES[x.dtype] == processor.VECTOR_BYTES // x.itemsize


# --- vectors ----------------------------------------------------------------------------------------------------------


@every_dtype
@every_tile
def test_every_count_moves_its_elements_and_no_others(rows: int, vectors: int, dtype: FloatType) -> None:
    copy, _ = TILES[rows, vectors]
    lanes = processor.LANES[np.dtype(dtype)]
    for count in range(1, lanes + 1):
        width = (vectors - 1) * lanes + count
        x = numbers(1, 3 + width, dtype=dtype)
        guarded = Guarded((rows * (width + 5),), dtype)
        copy(x, 3, guarded.array, 2, width + 5, count)
        got = guarded.array.reshape(rows, width + 5)
        assert np.array_equal(got[:, 2 : 2 + width], np.tile(x[3:], (rows, 1)))
        assert np.isnan(got[:, :2]).all()
        assert np.isnan(got[:, 2 + width :]).all()
        guarded.check()


@every_dtype
@every_tile
def test_multiply_add_walks_by_any_step(rows: int, vectors: int, dtype: FloatType) -> None:
    _, accumulate = TILES[rows, vectors]
    lanes = processor.LANES[np.dtype(dtype)]
    for count in (1, lanes):
        x: Array = np.arange(1, (vectors - 1) * lanes + count + 1).astype(dtype)
        left: Array = (np.arange(40) - 20).astype(dtype)  # small integers: exact, in one rounding or two
        for start, left_step in ((0, 1), (3, 6), (7, 0), (39, -1)):
            guarded = Guarded((rows, x.size), dtype)
            accumulate(x, left, start, left_step, guarded.array, count)
            factors = left[start + left_step * np.arange(rows)]
            assert np.array_equal(guarded.array, x + factors[:, None] * x)
            guarded.check()


@every_dtype
def test_add_tile(dtype: FloatType) -> None:
    lanes = processor.LANES[np.dtype(dtype)]
    for count in range(1, lanes + 1):
        width = lanes + count
        x = numbers(1, 1 + 3 * (width + 2), dtype=dtype)
        guarded = Guarded((3, width), dtype)
        add(x, 1, width + 2, guarded.array, count)
        assert np.array_equal(guarded.array, x[:width] + x[1:].reshape(3, width + 2)[:, :width])
        guarded.check()


@every_dtype
def test_special_values_stay_in_their_lane(dtype: FloatType) -> None:
    copy, accumulate = TILES[4, 1]
    lanes = processor.LANES[np.dtype(dtype)]
    x = np.resize(np.array([np.nan, 1.0, np.inf, -0.0], dtype), lanes)
    out = np.zeros((4, lanes), dtype)
    copy(x, 0, out, 0, lanes, lanes)
    assert out.tobytes() == np.tile(x, (4, 1)).tobytes()
    accumulate(x, np.ones(4, dtype), 0, 1, out, lanes)
    assert np.array_equal(out, np.tile(2 * x, (4, 1)), equal_nan=True)


# --- the machine ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "asked", "expected"),
    [
        ({"avx512f", "avx2", "fma"}, "", 64),
        ({"avx512f", "avx2", "fma"}, "16", 64),
        ({"avx512f", "avx2", "fma"}, "8", 32),
        ({"avx512f", "avx2", "fma"}, "4", 16),
        ({"avx2", "fma"}, "", 32),
        ({"avx2", "fma"}, "16", 32),
        ({"avx2", "fma"}, "4", 16),
        ({"neon"}, "", 16),
        (set(), "8", 16),
    ],
)
def test_width_of_vectors(features: set[str], asked: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_VECTOR_WIDTH", asked)
    assert processor.vector_bytes(features) == expected


def test_a_width_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_VECTOR_WIDTH", "5")
    with pytest.warns(UserWarning, match="^FASTNN_VECTOR_WIDTH: expected 4, 8 or 16, got '5', which is ignored$"):
        assert processor.vector_bytes({"avx2", "fma"}) == 32


def test_features_are_those_numba_compiles_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(numba.config, "CPU_FEATURES", "+avx2,-avx512f,+fma")
    assert processor.features() == {"avx2", "fma"}
    monkeypatch.setattr(numba.config, "CPU_FEATURES", None)
    monkeypatch.setattr(numba.config, "CPU_NAME", "generic")
    assert processor.features() == set()
    monkeypatch.setattr(numba.config, "CPU_NAME", None)
    monkeypatch.setattr(numba.core.codegen, "get_host_cpu_features", lambda: "+avx2,-avx512f")
    assert processor.features() == {"avx2"}
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert processor.features() == {"avx2", "neon", "fma"}
