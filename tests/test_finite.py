"""Whether large arrays hold NaN or infinity."""

import numpy as np
import pytest

import fastnn
from fastnn.engine import finite
from tests.shapes import FloatType


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_one_value_anywhere_is_found(
    value: float, dtype: FloatType, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finite, "FEWEST_ELEMENTS", 100)
    x = np.full((13, 101), np.finfo(dtype).max, dtype)
    assert finite.all_finite(x, n_threads)
    assert finite.all_finite(-x, n_threads)
    for place in (0, 1, x.size // 2 - 1, x.size // 2, x.size // 2 + 1, x.size - 1):
        kept, x.flat[place] = x.flat[place], value
        assert not finite.all_finite(x, n_threads)
        x.flat[place] = kept
    assert finite.all_finite(x, n_threads)


def test_calls_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "MOST_ELEMENTS", 100)
    x = np.zeros(1001, np.float32)
    assert finite.looked_through(x, 2)
    for place in (0, 99, 100, 1000):
        x[place] = np.nan
        assert not finite.looked_through(x, 2)
        x[place] = 0.0


@pytest.mark.parametrize("n_threads", [1, 2])
def test_large_data_are_refused_with_the_place(n_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "FEWEST_ELEMENTS", 30_000)
    net = fastnn.Network([fastnn.Affine(100, 2)], rng=0, n_threads=n_threads)
    x, t = np.zeros((300, 100), np.float32), np.zeros(300, np.intp)
    x[299, 98] = np.nan
    before = {name: value.copy() for name, value in net.params.items()}
    with pytest.raises(ValueError, match=r"x: expected finite values, got nan at x\[299, 98\]; mend the data, or pass"):
        net.fit(x, t, epochs=1, progress=False)
    assert all((net.params[name] == before[name]).all() for name in before)
