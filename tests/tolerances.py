"""The one table of tolerances, and the one comparison of floating-point results.

A test that needs other tolerances than the table passes them to `assert_close` and says why on that line.
"""

import numpy as np
import numpy.typing as npt

# dtype: (rtol, atol). About 80 and 4500 roundings of the result, and atol for sums of order 1 that cancel.
TOLERANCE: dict[type, tuple[float, float]] = {np.float32: (1e-5, 1e-6), np.float64: (1e-12, 1e-13)}


def assert_close(
    actual: npt.ArrayLike,
    expected: npt.ArrayLike,
    dtype: npt.DTypeLike | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Fail unless shape, dtype, NaN and infinities agree and |actual - expected| <= atol + rtol |expected|.

    dtype: the dtype that `actual` must have, and whose row of TOLERANCE applies; None means the dtype of `expected`,
    which may otherwise be wider, as a float64 oracle is. A Python float, such as a loss, has no dtype to check.
    """
    required = np.dtype(dtype) if dtype is not None else np.asarray(expected).dtype
    got, want = np.asarray(actual), np.asarray(expected)
    assert got.shape == want.shape, f"expected shape {want.shape}, got {got.shape}"
    assert type(actual) is float or got.dtype == required, f"expected dtype {required}, got {got.dtype}"
    table_rtol, table_atol = TOLERANCE[required.type]
    rtol = table_rtol if rtol is None else rtol
    atol = table_atol if atol is None else atol

    got, want = got.astype(np.float64), want.astype(np.float64)
    special = ~(np.isfinite(got) & np.isfinite(want))
    same = (np.isnan(got) & np.isnan(want)) | (got == want)  # inf == inf, -inf == -inf
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(got - want)
        allowed = atol + rtol * np.abs(want)
        good = np.where(special, same, difference <= allowed)
        excess = np.where(good, -np.inf, np.where(special, np.inf, difference - allowed))
    if not good.all():
        worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
        raise AssertionError(
            f"{np.count_nonzero(~good)} of {good.size} entries differ; worst at {tuple(map(int, worst))}: "
            f"expected {want[worst]}, got {got[worst]}, off by {difference[worst]:.3g}, allowed {allowed[worst]:.3g}"
        )
