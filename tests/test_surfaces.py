"""line_fit_losses against its twin in NumPy and the exact quadratic; its memory, bits and refusals."""

import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn.engine import threads
from fastnn.functional import surfaces
from fastnn.kernels.compile import JIT_DISABLED
from tests.shapes import Array, Guarded, numbers
from tests.tolerances import assert_close


def problem(points: int, slopes: int, intercepts: int) -> tuple[Array, Array, Array, Array]:
    sizes = (points, points, slopes, intercepts)
    x, t, w, b = (numbers(seed, size) for seed, size in enumerate(sizes))
    return x, t, w, b


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (7, 1, 5), (33, 4, 17), (50, 9, 8), (101, 5, 3)], ids=str)
def test_agrees_with_reference(shape: tuple[int, int, int]) -> None:
    arguments = problem(*shape)
    kept = [array.copy() for array in arguments]
    for array in arguments:
        array.flags.writeable = False
    losses = fastnn.line_fit_losses(*arguments)
    assert_close(losses, reference.line_fit_losses(*arguments), np.float64)
    for array, before in zip(arguments, kept, strict=True):
        np.testing.assert_array_equal(array, before)
    out = Guarded(shape[1:], np.float64)
    assert fastnn.line_fit_losses(*arguments, out=out.array) is out.array
    assert out.array.tobytes() == losses.tobytes()
    out.check()


def test_is_the_mean_squared_error_of_a_line() -> None:
    x, t, w, b = problem(12, 3, 2)
    losses = fastnn.line_fit_losses(x, t, w, b)
    for i, j in np.ndindex(losses.shape):
        expected = fastnn.mean_squared_error((w[i] * x + b[j])[:, None], t[:, None])[0]
        np.testing.assert_allclose(losses[i, j], expected, rtol=1e-14)


def test_is_a_quadratic_with_its_least_at_least_squares() -> None:
    x, t, w, b = problem(40, 6, 7)
    design = np.column_stack([x, np.ones_like(x)])
    best = np.linalg.lstsq(design, t, rcond=None)[0]
    least = fastnn.line_fit_losses(x, t, best[:1], best[1:])[0, 0]
    hessian = design.T @ design / x.size
    d = np.stack(np.meshgrid(w - best[0], b - best[1], indexing="ij"), axis=-1)
    expected = least + 0.5 * np.einsum("ijk,kl,ijl->ij", d, hessian, d)
    np.testing.assert_allclose(fastnn.line_fit_losses(x, t, w, b), expected, rtol=1e-11)


def test_points_on_the_line_lose_nothing() -> None:
    x, _, w, b = problem(31, 3, 4)
    assert fastnn.line_fit_losses(x, w[1] * x + b[2], w, b)[1, 2] == 0.0


def test_float32_and_integers_are_taken() -> None:
    x, t, w, b = problem(9, 2, 3)
    as_float32 = [array.astype(np.float32) for array in (x, t, w, b)]
    np.testing.assert_array_equal(fastnn.line_fit_losses(*as_float32), fastnn.line_fit_losses(x, t, w, b))
    np.testing.assert_array_equal(fastnn.line_fit_losses([0, 1], [1, 3], [2, 0], [1]), [[0.0], [1.0]])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_passes(value: float) -> None:
    x, t, w, b = problem(9, 3, 3)
    w[1] = value
    losses = fastnn.line_fit_losses(x, t, w, b)
    assert not np.isfinite(losses[1]).any()
    assert_close(losses, reference.line_fit_losses(x, t, w, b), np.float64)


@pytest.mark.skipif(JIT_DISABLED, reason="nothing runs on threads, and slowly")
def test_same_bits_on_any_number_of_threads_and_in_any_number_of_calls(
    chosen_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = problem(1003, 37, 29)
    assert threads.SMALL_WORK < 4 * 1003 * 37 * 29
    results = []
    for n in {1, 2, threads._LIMIT}:
        fastnn.set_num_threads(n)
        results.append(fastnn.line_fit_losses(*arguments).tobytes())
    calls, run = [], threads.run

    def counted(*parts: Any) -> Any:
        calls.append(parts)
        return run(*parts)

    monkeypatch.setattr(threads, "run", counted)
    monkeypatch.setattr(surfaces, "FLOP_PER_CALL", 4.0 * 37 * 29 * 100)
    results.append(fastnn.line_fit_losses(*arguments).tobytes())
    assert len(calls) == 11
    assert set(results) == {results[0]}


GRID = "out: expected a float64 array of shape (2, 3)"


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"x": np.ones((4, 1))}, ValueError, "x: expected a float64 array of shape (N,), got shape (4, 1); pass "),
        ({"t": np.ones(3)}, ValueError, "t: expected a float64 array of shape (4,), got shape (3,)"),
        ({"w": 1.0}, TypeError, "w: expected a float64 array of shape (I,), got 1.0"),
        ({"b": []}, ValueError, "b: expected a float64 array of shape (J,), got the empty shape (0,)"),
        ({"t": ["a"] * 4}, TypeError, "t: expected a float64 array of shape (4,), got dtype <U1"),
        ({"out": np.ones((3, 2))}, ValueError, f"{GRID}, got shape (3, 2)"),
        ({"out": np.ones((2, 3), np.float32)}, TypeError, f"{GRID}, got dtype float32"),
    ],
)
def test_refusals(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"x": np.ones(4), "t": np.ones(4), "w": np.ones(2), "b": np.ones(3), **changed}
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        fastnn.line_fit_losses(**arguments)


def test_out_must_not_overlap() -> None:
    memory = np.ones(6)
    with pytest.raises(ValueError, match=r"^out: expected memory that no input uses, got an array that overlaps x"):
        fastnn.line_fit_losses(memory, memory.copy(), np.ones(2), np.ones(3), out=memory.reshape(2, 3))
