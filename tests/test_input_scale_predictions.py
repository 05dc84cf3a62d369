"""Predictions whose floats are scaled by kernels: the same bits as by data that were multiplied before."""

import copy
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.engine import at_once
from fastnn.kernels.compile import JIT_DISABLED
from tests.test_input_scale import SCALE, data_of, every_dtype, pair_of, same


@every_dtype
@pytest.mark.parametrize("shape", [(3, 20), (300, 20), (30, 2, 2, 5)])
def test_floats_that_are_scaled_by_kernels(shape: tuple[int, ...], dtype: Any) -> None:
    layers = [fastnn.Flatten(), fastnn.Affine(20, 4)] if len(shape) > 2 else [fastnn.Affine(20, 4)]
    net, other = (
        fastnn.Network(layers, rng=0, dtype=dtype, input_scale=one, input_shape=shape[1:]) for one in (SCALE, 1.0)
    )
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    x.flat[:3] = 0.0, -0.0, np.finfo(dtype).tiny
    before, expected = x.copy(), other.predict(x * dtype(SCALE))
    for _ in range(3):  # the later times by one call, if rows are few
        same(net.predict(x), expected)
        same(net.predict(x, out=np.empty_like(expected)), expected)
    same(x, before)
    for bad in (np.nan, -np.inf):
        x[-1, ..., 0] = bad

        for out in (None, np.full_like(expected, 7.0)):
            with pytest.raises(ValueError, match=rf"^x: expected finite values, got {bad} at x\[{shape[0] - 1}, "):
                net.predict(x, out=out)
            assert out is None or (out == 7.0).all()
        same(net.predict(x, check_finite=False), other.predict(x * dtype(SCALE), check_finite=False))


def test_few_rows_of_a_network_with_a_scale() -> None:
    """What is no array of such rows goes the long way, and a copy that learns has the parameters of its own."""
    net, other = pair_of(np.float32)
    x, scaled, _ = data_of("float32", np.float32, 2)
    for _ in range(2):
        expected = other.predict(scaled)
        for found in (net.predict(x), net.predict(x.tolist()), net.predict(np.asfortranarray(x))):
            same(found, expected)
        same(copy.deepcopy(net).predict(x), expected)
        with pytest.raises(ValueError, match=r"x: expected a float32 array of shape \(N, 20\), got shape \(2, 19\)"):
            net.predict(np.ascontiguousarray(x[:, 1:]))
        with pytest.raises(ValueError, match=r"out: .*overlap"):
            net.predict(x, out=x.reshape(-1)[:8].reshape(2, 4))
        net.params["b2"][...], other.params["b2"][...] = 3.0, 3.0
    assert JIT_DISABLED or at_once.predict(net.engine, x, None) is not None
