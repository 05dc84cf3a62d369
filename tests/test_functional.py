"""Every public operation against its twin in NumPy, evaluated in float64: results, `out`, special values, threads."""

import functools
import inspect
import math
import operator
import re
from typing import Any

import numba
import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn.engine import short, threads
from fastnn.functional import images as functional_images
from fastnn.functional import layers as functional
from fastnn.functional import losses as functional_losses
from fastnn.functional import updates as functional_updates
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.operations import ACTIVATIONS
from tests.crossings import crossed
from tests.shapes import (
    DTYPES,
    OF_THREE,
    PROBLEMS,
    SHAPES,
    SMALL_SHAPE,
    THREADED_SHAPE,
    Array,
    FloatType,
    Guarded,
    Problem,
    Shape,
    bits,
    numbers,
    special_numbers,
)
from tests.tolerances import assert_close

OPERATIONS = {
    name: function
    for module in (functional, functional_images, functional_losses, functional_updates)
    for name, function in vars(module).items()
    if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
}
WITH_OUT = [label for label in PROBLEMS if "update" not in label]

every_problem = pytest.mark.parametrize("label", PROBLEMS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def problem_of(label: str, dtype: FloatType, shape: Shape = SMALL_SHAPE) -> Problem:
    return PROBLEMS[label](shape, dtype, numbers)


IN_PLACE = [label for label in WITH_OUT if problem_of(label, np.float32).in_place]


def refused(error: type[Exception], message: str) -> Any:
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def check_solution(solution: tuple[Any, ...], expected: tuple[Any, ...], dtype: FloatType) -> None:
    assert len(solution) == len(expected)
    for part, wanted in zip(solution, expected, strict=True):
        assert (part is None) == (wanted is None)
        if wanted is not None:
            assert_close(part, wanted, dtype)


# --- the operations and their twins -------------------------------------------------------------------------------


def test_the_problems_cover_every_operation() -> None:
    assert {problem_of(label, np.float32).operation for label in PROBLEMS} == set(OPERATIONS) - {"zero_one_loss"}
    for parameter in ("forward", "backward"):
        names = {problem_of(label, np.float32).options["name"] for label in PROBLEMS if label.endswith(f" {parameter}")}
        assert names == set(ACTIVATIONS) == set(reference.ACTIVATIONS)
    assert all(getattr(fastnn, name) is function for name, function in OPERATIONS.items())


@pytest.mark.parametrize("name", OPERATIONS)
def test_signatures_agree(name: str) -> None:
    def described(function: Any) -> list[tuple[Any, ...]]:
        parameters = inspect.signature(function).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]

    ours, twins = described(OPERATIONS[name]), described(getattr(reference, name))
    if name in reference.LOSSES:  # their twins give only the mean over the batch
        assert set(twins) <= set(ours)
        assert ours[:2] == twins[:2] and ours[-1] == twins[-1]
    else:
        assert ours == twins


@crossed(2, label=PROBLEMS, dtype=DTYPES, shape=SHAPES)
def test_agrees_with_reference(label: str, dtype: FloatType, shape: Shape) -> None:
    problem = problem_of(label, dtype, shape)
    expected = problem.in_float64().copy().solve(reference)
    inputs = problem.inputs()
    for array in inputs.values():
        array.flags.writeable = False
    before = bits(tuple(inputs.values()))
    solution = problem.solve(fastnn)
    check_solution(solution, expected, dtype)
    assert bits(tuple(inputs.values())) == before
    for part in problem.outputs(solution):
        assert part.flags.carray
        assert not any(np.shares_memory(part, array) for array in inputs.values())


@every_dtype
@pytest.mark.parametrize("name", ["activation_forward", "softmax"])
@pytest.mark.parametrize("shape", [(17,), (2, 3, 5), (3, 1, 1, 4)])
def test_any_rank(shape: tuple[int, ...], name: str, dtype: FloatType) -> None:
    x = numbers(1, *shape, dtype=dtype)
    named = {"name": "softmax"} if name == "activation_forward" else {}
    problem = Problem(name, {"x": x}, named)
    check_solution(problem.solve(fastnn), problem.in_float64().solve(reference), dtype)


@every_problem
def test_arrays_of_any_layout(label: str) -> None:
    problem = problem_of(label, np.float64)
    expected = bits(problem.copy().solve(fastnn))

    def strided(name: str, array: Array) -> Array:
        if name in problem.updated:
            return array.copy()
        return np.repeat(np.asfortranarray(array), 2, axis=0)[::2]

    scattered = problem._replace(arrays={name: strided(name, array) for name, array in problem.arrays.items()})
    assert bits(scattered.solve(fastnn)) == expected


@every_dtype
def test_sums_over_the_batch_are_added_in_order_in_float64(dtype: FloatType) -> None:
    dy = numbers(1, 1003, 3, dtype=dtype)
    pairs = dy[:1000].reshape(125, 8, 3)  # of a bias, eight rows pairwise
    for _ in range(3):
        pairs = pairs[:, ::2] + pairs[:, 1::2]
    sums = np.concatenate([pairs[:, 0], dy[1000:]]).cumsum(axis=0, dtype=np.float64)[-1]
    got = functional.affine_backward(dy, np.ones((1003, 2), dtype), np.ones((2, 3), dtype))
    assert bits(got[2:]) == bits((sums.astype(dtype),))
    total = functools.reduce(operator.add, (value * value / 2 for value in dy[:, 0].tolist()), 0.0)
    y = dy[:, :1].copy()
    loss = fastnn.mean_squared_error(y, np.zeros_like(y))[0]
    assert type(loss) is float
    assert loss == total / 1003 or dtype is np.float32  # in float32 the squares are rounded
    assert_close(loss, total / 1003, dtype)


# --- out ------------------------------------------------------------------------------------------------------------


@crossed(2, shape=SHAPES[::2], label=WITH_OUT, dtype=DTYPES)
def test_out_is_filled_and_nothing_around_it(shape: Shape, label: str, dtype: FloatType) -> None:
    problem = problem_of(label, dtype, shape)
    fresh = problem.solve(fastnn)
    guarded = [Guarded(result, dtype) for result in problem.results]
    solution = problem.solve(fastnn, out=problem.as_out([each.array for each in guarded]))
    assert bits(solution) == bits(fresh)
    for each, part in zip(guarded, problem.outputs(solution), strict=True):
        assert part is each.array
        each.check()


@crossed(2, shape=SHAPES, label=[label for label in PROBLEMS if "update" in label], dtype=DTYPES)
def test_updates_touch_nothing_around_the_arrays(shape: Shape, label: str, dtype: FloatType) -> None:
    problem = problem_of(label, dtype, shape)
    guarded = {name: Guarded(problem.arrays[name].shape, dtype) for name in problem.updated}
    for name, each in guarded.items():
        each.array[...] = problem.arrays[name]
    updated = problem._replace(arrays=problem.arrays | {name: each.array for name, each in guarded.items()})
    assert bits(updated.solve(fastnn)) == bits(problem.copy().solve(fastnn))
    for each in guarded.values():
        each.check()


@pytest.mark.parametrize("label", OF_THREE)
def test_some_of_three_outs(label: str) -> None:
    problem = problem_of(label, np.float32)
    dW = np.full_like(problem.arrays["W"], np.nan)
    solution = problem.solve(fastnn, out=(None, dW, None))
    assert solution[1] is dW
    assert bits(solution) == bits(problem.solve(fastnn))
    dx = np.full_like(problem.arrays["x"], np.nan)
    not_asked = problem._replace(options=problem.options | {"need_dx": False}).solve(fastnn, out=(dx, None, None))
    assert not_asked[0] is None
    assert np.isnan(dx).all()


@every_dtype
@pytest.mark.parametrize("label", IN_PLACE)
def test_in_place(label: str, dtype: FloatType) -> None:
    problem = problem_of(label, dtype, (17, 7, 33))
    fresh = bits(problem.solve(fastnn))
    own = problem.copy()
    solution = own.solve(fastnn, out=own.arrays[problem.in_place])
    assert solution[0] is own.arrays[problem.in_place]
    assert bits(solution) == fresh
    others = [name for name in problem.arrays if name != problem.in_place]
    assert all(np.array_equal(own.arrays[name], problem.arrays[name]) for name in others)


def moved_over(array: Array, result: tuple[int, ...], dtype: FloatType) -> tuple[Array, Array]:
    """A copy of the array, and an array for a result that begins 8 bytes later in the same memory."""
    size = math.prod(result) * np.dtype(dtype).itemsize
    memory = np.zeros((max(array.nbytes, 8 + size) + 7) // 8 * 8, np.uint8)
    copy = memory[: array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy, memory[8 : 8 + size].view(dtype).reshape(result)


@every_dtype
@pytest.mark.parametrize("label", WITH_OUT)
def test_out_that_overlaps_an_input_is_refused(label: str, dtype: FloatType) -> None:
    problem = problem_of(label, dtype)
    for name, array in problem.arrays.items():
        for position, result in enumerate(problem.results):
            copy, out = moved_over(array, result, dtype)
            outs = [np.empty(shape, dtype) for shape in problem.results]
            outs[position] = out
            number = position + 3 - len(outs)
            out_name = f"out[{number}]" if problem.operation in OF_THREE else "out"
            itself = f"{name} itself, " if name == problem.in_place else ""
            message = (
                f"{out_name}: expected memory that no input uses, got an array that overlaps {name}; "
                f"pass {itself}another array or {out_name}=None"
            )
            overlapping = problem._replace(arrays=problem.arrays | {name: copy})
            with refused(ValueError, message):
                overlapping.solve(fastnn, out=problem.as_out(outs))
            assert np.array_equal(copy, array)


def test_outs_that_overlap_each_other_are_refused() -> None:
    problem = problem_of("affine_backward", np.float32, (5, 5, 5))
    same = np.empty((5, 5), np.float32)
    for number, out in ((1, (same, same, None)), (2, (None, same, same[2]))):
        message = (
            f"out[{number}]: expected memory that no input uses, got an array that overlaps out[{number - 1}]; "
            f"pass another array or out[{number}]=None"
        )
        with refused(ValueError, message):
            problem.solve(fastnn, out=out)


@pytest.mark.parametrize(
    ("out", "came"), [(np.empty((5, 5)), "a ndarray"), ((None, None), "a tuple of 2"), ([None] * 4, "a list of 4")]
)
@pytest.mark.parametrize("label", OF_THREE)
def test_out_that_is_not_three(label: str, out: Any, came: str) -> None:
    message = f"out: expected a tuple (dx, dW, db), got {came}; pass three arrays, or None for the ones to allocate"
    with refused(TypeError, message):
        problem_of(label, np.float64).solve(fastnn, out=out)


# --- special values ---------------------------------------------------------------------------------------------------


@every_dtype
@every_problem
def test_special_values_as_in_numpy(label: str, dtype: FloatType) -> None:
    problem = PROBLEMS[label]((17, 10, 9), dtype, special_numbers)
    with np.errstate(all="ignore"):
        expected = problem.in_float64().copy().solve(reference)
    check_solution(problem.solve(fastnn), expected, dtype)


@every_dtype
@pytest.mark.parametrize("name", ["identity", "relu", "leaky_relu", "elu", "tanh"])
def test_subnormals_are_kept(name: str, dtype: FloatType) -> None:
    x: Array = np.arange(1, 40).astype(dtype)
    x *= np.finfo(dtype).smallest_subnormal
    assert np.array_equal(functional.activation_forward(name, x), x)
    if name != "relu":
        options = {"slope": 1.0} if name == "leaky_relu" else {}
        slope_of_1 = functional.activation_forward(name, -x, **options)
        assert np.array_equal(slope_of_1, -x)
    params = x.copy()
    functional_updates.sgd_update(params, x, 1.0)
    assert not params.any()


# --- threads --------------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, float, tuple[Any, ...]]]:
    """The recorded calls of entries, (entry, work, arguments before the call), with scratch for 16 threads."""
    made: list[tuple[Any, float, tuple[Any, ...]]] = []

    def run(entry: Any, work: float, *arguments: Any, n_threads: int | None = None) -> Any:
        made.append((entry, work, own(arguments)))
        return entry(1, 0, *arguments)

    monkeypatch.setattr(threads, "run", run)
    monkeypatch.setattr(threads, "get_num_threads", lambda: 16)
    monkeypatch.setattr(short, "free_threads", lambda: 0)  # no short way on threads
    return made


def own(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.copy() if isinstance(each, np.ndarray) else each for each in arguments)


@every_dtype
@every_problem
def test_same_bits_for_any_number_of_threads(
    label: str, dtype: FloatType, calls: list[tuple[Any, float, tuple[Any, ...]]]
) -> None:
    problem_of(label, dtype, THREADED_SHAPE).solve(fastnn)
    ((entry, work, arguments),) = calls
    assert JIT_DISABLED or work >= threads.SMALL_WORK
    seen = set()
    for n_threads in (1, 2, 3, 16):
        given_arguments = own(arguments)
        returned = entry(n_threads, 0, *given_arguments)
        scratch = {
            "affine_forward": (3,),
            "affine_backward": (4, 5),
            "conv2d_forward": (0,),
            "conv2d_backward": (0,),
            "loss": (9, 11),
        }.get(entry.__name__, ())
        seen.add(tuple(bits((returned, *(a for i, a in enumerate(given_arguments) if i not in scratch)))))
    assert len(seen) == 1


@pytest.mark.skipif(JIT_DISABLED, reason="starts no threads without the compiler")
@every_dtype
@every_problem
def test_same_bits_by_set_num_threads(label: str, dtype: FloatType, chosen_threads: None) -> None:
    solutions = []
    for n_threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        fastnn.set_num_threads(n_threads)
        solutions.append(bits(problem_of(label, dtype, THREADED_SHAPE).solve(fastnn)))
    assert solutions[0] == solutions[1]


def test_updates_refuse_what_their_optimizers_refuse() -> None:
    p, g, m, v = (np.ones(3, np.float32) for _ in range(4))
    with refused(ValueError, "step: expected an integer of at least 1, got 0"):
        functional_updates.adam_update(p, g, m, v, 0, 0.1)
    with pytest.raises(ValueError, match=r"^beta1: expected a finite number of at least 0.0 and below 1.0, got 1.0"):
        functional_updates.adam_update(p, g, m, v, 1, 0.1, beta1=1.0)
    with pytest.raises(ValueError, match=r"^optimizer: expected an epsilon above 0, got 1e-50, which is 0 in float32"):
        functional_updates.rmsprop_update(p, g, v, 0.1, epsilon=1e-50)
    assert (p == 1).all() and (m == 1).all() and (v == 1).all()
