"""Elementary functions, SiLU and GELU against extended precision: error bounds over the range, special values."""

import re
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from fastnn.kernels import normal, processor, softplus, vector_math
from fastnn.kernels.compile import JIT_DISABLED, entry_around, formula
from fastnn.operations.activations import gelu, silu
from tests.shapes import DTYPES, Array, FloatType

LongDouble = npt.NDArray[np.longdouble]

COUNT = 500 if JIT_DISABLED else 20_000
NAMES = ["exp", "expm1", "log", "tanh", "sigmoid", "softplus", "silu", "normal_distribution", "normal_density", "gelu"]
FUSED = processor.HAS_FMA and not JIT_DISABLED  # otherwise each multiply-add is rounded twice
BOUNDS = dict.fromkeys(NAMES, 2.0) | {"normal_distribution": 4.0, "gelu": 4.0}  # in units in the last place
UNFUSED = 1.6  # times as many where each multiply-add is rounded twice


def normal_distribution(x: LongDouble) -> LongDouble:
    """Up to 2.5 by the series of terms x^(2n + 1) / (1 3 5 ... (2n + 1)), beyond by Laplace's continued fraction."""
    magnitude = np.minimum(np.abs(x), np.longdouble(300))
    near, far = np.minimum(magnitude, np.longdouble(2.5)), np.maximum(magnitude, np.longdouble(2.5))
    term, total = near.copy(), near.copy()
    for n in range(1, 80):
        term = term * near * near / (2 * n + 1)
        total = total + term
    fraction = np.zeros_like(far)
    for n in range(250, 0, -1):
        fraction = n / (far + fraction)
    tail = np.where(magnitude < 2.5, 0.5 - normal_density(near) * total, normal_density(far) / (far + fraction))
    result: LongDouble = np.where(x > 0, 1 - tail, tail)
    return result


def normal_density(x: LongDouble) -> LongDouble:
    density: LongDouble = np.exp(-x * x / 2) / np.sqrt(2 * np.longdouble("3.14159265358979323846264338327950288"))
    return density


EXACT: dict[str, Callable[[LongDouble], LongDouble]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.where(x < 0, np.exp(-np.abs(x)), np.longdouble(1)) / (1 + np.exp(-np.abs(x))),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "silu": lambda x: x * EXACT["sigmoid"](x),
    "normal_distribution": normal_distribution,
    "normal_density": normal_density,
    "gelu": lambda x: x * normal_distribution(x),
}

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_function = pytest.mark.parametrize("name", NAMES)


def over_an_array(function: Any) -> Any:
    def apply(x: Array, y: Array) -> None:
        for i in range(x.size):
            y[i] = function(x[i])

    return entry_around(apply, apply, keep=False)


def of_activation(function: Any) -> Any:
    return formula(lambda x: function(x, x))  # which ignores its parameter


MODULES = {"normal_distribution": normal, "normal_density": normal, "softplus": softplus}
FUNCTIONS = {
    "gelu": of_activation(gelu.gelu),
    "silu": of_activation(silu.silu),
    **{name: getattr(MODULES.get(name, vector_math), name) for name in NAMES if name not in ("gelu", "silu")},
}
COMPILED = {name: over_an_array(FUNCTIONS[name]) for name in NAMES}


def applied(name: str, x: Array) -> Array:
    y = np.full_like(x, 7)
    with np.errstate(all="ignore"):  # exp overflows, in plain Python with a warning
        COMPILED[name](x, y)
    return y


def extended(dtype: FloatType) -> None:
    if np.finfo(np.longdouble).nmant < np.finfo(dtype).nmant + 10:
        pytest.skip("long double has no more digits than the dtype on this platform")


def samples(dtype: FloatType, count: int) -> Array:
    """Numbers over the whole range: even steps, even ratios, the turning points of the reduction, and limits."""
    info = np.finfo(dtype)
    limit = 110.0 if dtype is np.float32 else 760.0
    ratios = np.geomspace(float(info.smallest_subnormal), limit, count)
    turns = np.log(2) / 2 * np.arange(-4 * limit, 4 * limit, 1.0)
    small = np.random.default_rng(1).uniform(-1, 1, count)
    some = np.concatenate([np.linspace(-limit, limit, count), ratios, -ratios, turns, small]).astype(dtype)
    edges = np.concatenate([some, np.log(np.array([info.max, info.tiny, info.smallest_subnormal], dtype))])
    return np.concatenate([edges, np.nextafter(some, dtype(np.inf)), np.array([info.max, info.min, info.tiny], dtype)])


def ulps(y: Array, exact: LongDouble) -> LongDouble:
    """|y - exact| in units of the last place of the dtype at the exact value; infinite for a wrong infinity."""
    info = np.finfo(y.dtype)
    _, exponent = np.frexp(exact)
    unit = np.ldexp(np.longdouble(1), np.maximum(exponent - 1, info.minexp) - info.nmant)
    overflowed = np.abs(exact) >= np.longdouble(info.max) * (1 + np.longdouble(info.epsneg) / 2)
    wanted = np.where(overflowed, np.copysign(np.longdouble(np.inf), exact), exact)
    with np.errstate(invalid="ignore"):
        return np.where(y == wanted, 0, np.abs(y - wanted) / unit)


@pytest.mark.parametrize("count", [COUNT, pytest.param(10 * COUNT, marks=pytest.mark.exhaustive)])
@every_dtype
@every_function
def test_error_bound(name: str, dtype: FloatType, count: int) -> None:
    extended(dtype)
    x = np.abs(samples(dtype, count)) if name == "log" else samples(dtype, count)
    x = x[::20] if name in ("normal_distribution", "gelu") else x  # their exact values take hundreds of operations
    with np.errstate(all="ignore"):
        errors = ulps(applied(name, x), EXACT[name](x.astype(np.longdouble)))
    worst = int(np.argmax(errors))
    bound = BOUNDS[name] * (1.0 if FUSED else UNFUSED)
    assert errors[worst] <= bound, f"{errors[worst]:.3f} units in the last place at x = {x[worst]!r}"


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes")
def test_gelu_near_its_worst_places() -> None:
    """Every float32 around these; a scan of all up to 14.6 found the largest error, 3.35, at the first."""
    extended(np.float32)
    for place in (1.4322536, 0.007759353, 7.868459):
        middle = int(np.float32(place).view(np.uint32))
        x = -np.arange(middle - 10_000, middle + 10_000, dtype=np.uint32).view(np.float32)
        errors = ulps(applied("gelu", x), EXACT["gelu"](x.astype(np.longdouble)))
        assert errors.max() <= BOUNDS["gelu"] * (1.0 if FUSED else UNFUSED), (place, errors.max())


@every_dtype
def test_special_values(dtype: FloatType) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, 1e4, -1e4, 1e30, -1e30], dtype)
    log = np.log(np.array([tiny, 1e4, 1e30], dtype))
    expected = {
        "exp": [np.nan, np.nan, np.inf, 0.0, 1.0, 1.0, 1.0, 1.0, np.inf, 0.0, np.inf, 0.0],
        "expm1": [np.nan, np.nan, np.inf, -1.0, 0.0, 0.0, tiny, -tiny, np.inf, -1.0, np.inf, -1.0],
        "log": [np.nan, np.nan, np.inf, np.nan, -np.inf, -np.inf, log[0], np.nan, log[1], np.nan, log[2], np.nan],
        "tanh": [np.nan, np.nan, 1.0, -1.0, 0.0, 0.0, tiny, -tiny, 1.0, -1.0, 1.0, -1.0],
        "sigmoid": [np.nan, np.nan, 1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 1.0, 0.0, 1.0, 0.0],
        "softplus": [np.nan, np.nan, np.inf, 0.0, *[np.log(dtype(2))] * 4, 1e4, 0.0, 1e30, 0.0],
        "silu": [np.nan, np.nan, np.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 1e4, 0.0, 1e30, 0.0],
        "normal_distribution": [np.nan, np.nan, 1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 1.0, 0.0, 1.0, 0.0],
        "normal_density": [np.nan, np.nan, 0.0, 0.0, *[1 / np.sqrt(2 * np.pi)] * 4, 0.0, 0.0, 0.0, 0.0],
        "gelu": [np.nan, np.nan, np.inf, 0.0, 0.0, 0.0, tiny, 0.0, 1e4, 0.0, 1e30, 0.0],
    }
    signed = ["expm1", "tanh", "silu", "gelu"]  # at zero
    for name in NAMES:
        assert np.array_equal(applied(name, x), np.array(expected[name], dtype), equal_nan=True), name
        assert name not in signed or np.signbit(applied(name, x[4:6])).tolist() == [False, True], name


@every_dtype
@every_function
def test_an_element_has_the_same_bits_in_a_vector_and_alone(name: str, dtype: FloatType) -> None:
    x = np.random.default_rng(2).uniform(-30, 30, 200).astype(dtype)
    whole = applied(name, x)
    for first, last in ((0, 1), (1, 4), (4, 21), (21, 86), (86, 200)):
        assert applied(name, x[first:last].copy()).tobytes() == whole[first:last].tobytes()


@pytest.mark.skipif(JIT_DISABLED or not {"avx2"} <= processor.FEATURES, reason="looks for instructions of AVX2")
@every_dtype
@every_function
def test_loops_are_vectorized(name: str, dtype: FloatType) -> None:
    """Multiply-adds of whole registers: packed (p), single (s) or double (d), on ymm or zmm."""
    applied(name, np.ones(1, dtype))
    kind = "s" if dtype is np.float32 else "d"
    of_dtype = [s for s in COMPILED[name].signatures if s[0].dtype.name == np.dtype(dtype).name]
    signature = next(s for s in of_dtype if s[0].layout == "C")
    assert re.search(rf"vfn?m(add|sub)\d+p{kind}\s.*%[yz]mm", COMPILED[name].inspect_asm(signature))


def test_functions_for_float32_alone_within_their_limits() -> None:
    """Those of losses: for positive normal numbers and for moderate exponents, without the care that others need."""
    extended(np.float32)
    bound = 2.0 if FUSED else 2.0 * UNFUSED
    x = samples(np.float32, COUNT)
    positive = np.abs(x[np.isfinite(x) & (np.abs(x) >= np.finfo(np.float32).tiny)])
    normal_logarithms = over_an_array(vector_math.log_of_normal_32)
    y = np.empty_like(positive)
    normal_logarithms(positive, y)
    logarithms = np.log(positive.astype(np.longdouble))
    assert ulps(y, logarithms).max() <= bound

    @formula
    def difference(x: Any) -> Any:
        return vector_math.less_log_32(np.float32(3.0), x)

    over_an_array(difference)(positive, y)  # no cancellation beyond the sum's own: half a unit of log sqrt(2), and 2
    exact = 3 - logarithms
    assert np.all(np.abs(y - exact) <= bound * np.float32(2.0**-24) * np.maximum(np.abs(exact), 0.5) * 2)

    moderate = np.concatenate([x[np.abs(x) < 84], np.array([0.0, 83.99, -83.99, 0.55, -0.55], np.float32)])
    wide, y = moderate.astype(np.longdouble), np.empty_like(moderate)
    over_an_array(vector_math.exp_of_moderate_32)(moderate, y)
    assert ulps(y, np.exp(wide)).max() <= bound
    for one, which, wanted in ((0, 0, np.exp(wide)), (1, 0, np.expm1(wide)), (1, 1, _excess(wide))):
        over_an_array(_exp_less(np.float32(one), which))(moderate, y)
        large = np.abs(wide) > 1e-15  # below, the square is subnormal
        assert ulps(y, wanted)[large].max() <= (bound if which == 0 else 4 * bound), (one, which)


def _exp_less(one: Any, which: int) -> Any:
    return formula(lambda u: vector_math.exp_less_32(u, one)[which])


def _excess(u: LongDouble) -> LongDouble:
    """exp(u) - 1 - u, by its series where the difference would cancel."""
    term, total = u * u / 2, np.zeros_like(u)
    near = np.abs(u) < 1
    term = np.where(near, term, 0)
    for n in range(3, 30):
        total = total + term
        term = term * u / n
    result: LongDouble = np.where(near, total, np.expm1(u) - u)
    return result


@every_dtype
def test_constant_has_the_dtype_of_its_argument(dtype: FloatType) -> None:
    def tenth(x: Array, y: Array) -> None:
        for i in range(x.size):
            y[i] = vector_math.constant(x[i], 0.1) - dtype(0.1)

    y = np.ones(1)
    numba.njit(tenth)(np.zeros(1, dtype), y)
    assert y[0] == 0  # in float32, 0.1 rounded to float32 minus the same
