"""Steps on single samples: the update by an outer product, which goes ahead to the next sample of a run."""

import itertools
from typing import Any

import numpy as np
import pytest

from fastnn import SGD, Affine, Dropout, Flatten, Network, PRelu, Relu
from fastnn.engine import threads
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.matmul import DEEP

# One panel, several, and too narrow or too wide ones; chains of the product that end within the rows.
WIDTHS = [(7, 19, 3), (784, 50, 10), (401, 70, 3), (40, 256, 7), (70, 300, 4), (5, 8, 3), (20, 4)]
ROWS = 4 if JIT_DISABLED else 20


def layers_of(widths: tuple[int, ...], *between: Any) -> list[Any]:
    """Affine layers of these widths, with others between any two."""
    affine = [Affine(*pair) for pair in itertools.pairwise(widths)]
    return [*itertools.chain.from_iterable((one, *between) for one in affine[:-1]), affine[-1]]


def trained(
    widths: tuple[int, ...], dtype: Any, x: Any, t: Any, how: str, layers: Any = None, n_threads: Any = None
) -> bytes:
    """The parameters after an epoch of a network with ReLU, or of these layers."""
    net = Network(layers_of(widths, Relu()) if layers is None else layers, rng=0, dtype=dtype, n_threads=n_threads)
    if how == "steps":
        for n in range(len(x)):
            net.step(x[n : n + 1], t[n : n + 1], SGD(0.01))
    else:
        optimizer = SGD(0.01, clip_value=1e30) if how == "gradients" else SGD(0.01)  # clipped ones are no outer product
        net.fit(x, t, epochs=1, batch_size=1, optimizer=optimizer, shuffle=how == "shuffled", rng=3, progress=False)
    assert all(np.isfinite(value).all() for value in net.params.values())
    return b"".join(value.tobytes() for value in net.params.values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("zeros", [0.0, 0.8])
def test_a_run_is_steps(widths: tuple[int, ...], dtype: Any, zeros: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the same as gradients that are computed first, and on any number of threads."""
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((ROWS, widths[0])).astype(dtype), rng.integers(0, widths[-1], ROWS)
    x[rng.random(x.shape) < zeros] = 0.0
    found = {how: trained(widths, dtype, x, t, how) for how in ("steps", "run", "gradients")}
    assert found["run"] == found["steps"] == found["gradients"]
    monkeypatch.setattr(threads, "SMALL_WORK", 0)
    assert trained(widths, dtype, x, t, "run") == found["run"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("between", [[], [PRelu()], [Flatten()], [Dropout(0.2)], [Relu(), PRelu()]], ids=str)
def test_a_run_is_steps_whatever_follows_the_first_layer(between: list[Any], dtype: Any) -> None:
    """An operation that has parameters reads the first one's outputs for its gradient."""
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((ROWS, 30)).astype(dtype), rng.integers(0, 3, ROWS)
    layers = layers_of((30, 20, 20, 3), *between)
    run, steps = (trained((30, 20, 20, 3), dtype, x, t, how, layers) for how in ("run", "steps"))
    assert run == steps


@pytest.mark.skipif(JIT_DISABLED, reason="takes long without the compiler")
@pytest.mark.parametrize("inputs", [DEEP, DEEP + 4000])
def test_sums_of_many_inputs_are_nested_in_a_run_too(inputs: int) -> None:
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((8, inputs)).astype(np.float32), rng.integers(0, 3, 8)
    run, steps = (trained((inputs, 20, 3), np.float32, x, t, how, n_threads=1) for how in ("run", "steps"))
    assert run == steps


def test_a_run_follows_the_order() -> None:
    """The sample to which an update goes ahead is the next one in the order of the epoch."""
    rng = np.random.default_rng(2)
    x, t = rng.standard_normal((ROWS, 30)).astype(np.float32), rng.integers(0, 3, ROWS)
    order = np.random.default_rng(3).permutation(ROWS)
    assert trained((30, 20, 3), "float32", x, t, "shuffled") == trained(
        (30, 20, 3), "float32", x[order], t[order], "run"
    )
