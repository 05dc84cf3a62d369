"""The gate for labels, probabilities, regression targets, out= and arrays that are updated in place."""

import contextlib
import re
from typing import Any

import numpy as np
import pytest

from fastnn.gate import arrays

F32, F64 = np.dtype("float32"), np.dtype("float64")
Array = np.ndarray[Any, Any]


def refused(error: type[Exception], sentence: str) -> contextlib.AbstractContextManager[Any]:
    return pytest.raises(error, match=f"^{re.escape(sentence)}$")


def is_plain(array: Array) -> bool:
    return type(array) is np.ndarray and array.flags.carray and array.dtype.isnative


def read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "value",
    [
        [0, 2, 1, 2],
        (0.0, 2.0, 1.0, 2.0),
        np.array([0, 2, 1, 2], np.uint8),
        np.array([0, 2, 1, 2], np.int32),
        np.array([0, 2, 1, 2], ">i8"),
        np.array([0, 2, 1, 2], np.uint64),
        np.array([0, 2, 1, 2], np.float16),
        np.array([0, 2, 1, 2], ">f4"),
        np.array([0, 9, 2, 9, 1, 9, 2])[::2],
        np.array([2, 1, 2, 0])[::-1],
        read_only(np.array([0, 2, 1, 2])),
    ],
)
def test_labels_are_converted(value: Any) -> None:
    labels = arrays.labels("t", value, 4, 3)
    assert is_plain(labels)
    assert labels.dtype == np.intp
    assert labels.tolist() == [0, 2, 1, 2]


def test_labels_that_are_right_are_passed_as_they_are() -> None:
    value = np.array([0, 2, 1, 2], np.intp)
    assert arrays.labels("t", value, 4, 3) is value
    frozen = read_only(value.copy())
    assert np.shares_memory(arrays.labels("t", frozen, 4, 3), frozen)
    assert arrays.labels("t", np.array([True, False]), 2, 2).tolist() == [1, 0]
    assert arrays.labels("t", [], 0, 3).shape == arrays.labels("t", np.empty(0, np.intp), 0, 3).shape == (0,)


CHECK = "check the labels, or the number of classes"


@pytest.mark.parametrize(
    ("value", "came"),
    [
        ([0, 3, 1, 7], f"got 3 at t[1]; {CHECK}"),
        (np.array([0, 1, -1, 9]), f"got -1 at t[2]; {CHECK}"),
        (np.array([0, 1, 2, -1]), f"got -1 at t[3]; {CHECK}"),
        (np.array([0, 3, 1, 2]), f"got 3 at t[1]; {CHECK}"),
        (np.array([0, 1, 2, 250], np.uint8), f"got 250 at t[3]; {CHECK}"),
        (np.array([0, 2**64 - 1, 1, 2], np.uint64), f"got 18446744073709551615 at t[1]; {CHECK}"),
        ([0, 1, 0.5, 2], f"got 0.5 at t[2]; {CHECK}"),
        ([0, np.nan, 0.5, 2], f"got nan at t[1]; {CHECK}"),
        ([0, 1, 2, np.inf], f"got inf at t[3]; {CHECK}"),
        ([0, 1, 2, -1e300], f"got -1e+300 at t[3]; {CHECK}"),
        ([1, 2, 3, 1], "got 3 at t[2]; labels start at 0, so pass np.asarray(t) - 1"),
        (np.array([1.0, 2, 3, 1]), "got 3.0 at t[2]; labels start at 0, so pass t - 1"),
        (np.array([1, 3, 4, 1]), f"got 3 at t[1]; {CHECK}"),
        (np.zeros((4, 1), int), "got shape (4, 1); pass t.ravel()"),
        (np.zeros((1, 4), int), "got shape (1, 4); pass t.ravel()"),
        (np.zeros((4, 3), int), "got shape (4, 3); from one-hot targets pass t.argmax(axis=1)"),
        (np.zeros((4, 2), int), "got shape (4, 2)"),
        (np.zeros(5, int), "got shape (5,)"),
        (np.array(1), "got shape ()"),
        ([], "got shape (0,)"),
    ],
)
def test_bad_labels(value: Any, came: str) -> None:
    with refused(ValueError, f"t: expected labels of shape (4,), integers from 0 to 2, {came}"):
        arrays.labels("t", value, 4, 3)


NUMBERED = "number the classes, for example by np.unique(t, return_inverse=True)[1]"


@pytest.mark.parametrize(
    ("value", "came"),
    [
        (["cat", "dog"], f"got dtype <U3; {NUMBERED}"),
        (["cat", None], f"got dtype object; {NUMBERED}"),
        ([0j, 1j], f"got dtype complex128; {NUMBERED}"),
        (None, "got None; pass a NumPy array or a list of numbers"),
        (1, "got 1; pass an array of that shape"),
        (np.ma.array([0, 1]), "got a masked array; pass t.filled(0), or drop the masked rows"),
        ([[0], [1, 2]], "got a ragged list; make its rows equally long and deep"),
    ],
)
def test_what_cannot_be_labels(value: Any, came: str) -> None:
    with refused(TypeError, f"t: expected labels of shape (2,), integers from 0 to 2, {came}"):
        arrays.labels("t", value, 2, 3)


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_targets_by_rank(dtype: Any) -> None:
    labels, dense = arrays.targets("t", [2, 0, 1], 3, 3, dtype)
    assert labels.tolist() == [2, 0, 1]
    assert labels.dtype == np.intp
    assert dense.shape == (0, 3)
    assert dense.dtype == dtype
    for matrix in (np.eye(3), np.eye(3, dtype=bool), np.eye(3, dtype=np.uint8), np.eye(3).tolist(), np.eye(3).T):
        labels, dense = arrays.targets("t", matrix, 3, 3, dtype)
        assert labels.shape == (0,)
        assert labels.dtype == np.intp
        assert is_plain(dense)
        assert dense.dtype == dtype
        assert dense.tolist() == np.eye(3).tolist()
    right = np.full((2, 4), 0.25, dtype)
    assert arrays.targets("t", right, 2, 4, dtype)[1] is right
    assert arrays.targets("t", np.zeros((0, 3)), 0, 3, dtype)[1].shape == (0, 3)


BOTH = "t: expected labels of shape (4,) or probabilities of shape (4, 3), got"


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((4, 2), ""),
        ((5,), ""),
        ((4, 1), "; pass t.ravel()"),
        ((3, 4), "; pass t.T"),
        ((5, 3), ""),
        ((2, 2, 3), ""),
        ((), ""),
    ],
)
def test_targets_of_a_wrong_shape(shape: tuple[int, ...], remedy: str) -> None:
    with refused(ValueError, f"{BOTH} shape {shape}{remedy}"):
        arrays.targets("t", np.zeros(shape), 4, 3, F32)


def test_the_probabilities_of_a_single_sample() -> None:
    came = "got shape (3,); pass np.asarray(t)[None, :]"
    with refused(ValueError, f"t: expected labels of shape (1,) or probabilities of shape (1, 3), {came}"):
        arrays.targets("t", [1.0, 0.0, 0.0], 1, 3, F32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -0.25, 1.25, 255.0])
def test_what_is_no_probability(bad: float) -> None:
    value = np.eye(4, 3, dtype=F32)
    value[3] = 1 / 3
    value[1, 2] = bad
    value[2] = [np.inf, -np.inf, 7]
    remedy = "pass labels, one-hot rows or probabilities"
    with (
        np.errstate(all="raise"),
        refused(ValueError, f"t: expected probabilities from 0 to 1, got {bad} at t[1, 2]; {remedy}"),
    ):
        arrays.targets("t", value, 4, 3, F32)


@pytest.mark.parametrize(("dtype", "tolerance"), [(F32, 1e-3), (F64, 1e-6)], ids=str)
def test_rows_that_do_not_sum_to_one(dtype: Any, tolerance: float) -> None:
    value = np.full((3, 4), 0.25, dtype)
    value[1] = [0.5, 0.5 + 0.9 * tolerance, 0, 0]
    value[2] = [1 + 0.9 * tolerance, 0, 0, 0]
    assert arrays.targets("t", value, 3, 4, dtype)[1] is value
    value[1] = [0.5, 0.25, 0, 0]
    came = "got 0.75 in row 1; divide every row by its sum"
    with refused(ValueError, f"t: expected rows that sum to 1 within {tolerance}, {came}"):
        arrays.targets("t", value, 3, 4, dtype)
    value[1] = [0.5, 0.5 + 1.1 * tolerance, 0, 0]
    with pytest.raises(ValueError, match=r"^t: expected rows that sum to 1 within .* in row 1; "):
        arrays.targets("t", value, 3, 4, dtype)


def test_regression_targets() -> None:
    value = np.array([[1.0], [2.0]], F32)
    assert np.shares_memory(arrays.regression_targets("t", value, 2, 1, F32), value)
    for other in (value.ravel(), [1, 2], [1.0, 2.0], np.array([1.0, 2.0]), np.array([1, 2], np.uint8)):
        result = arrays.regression_targets("t", other, 2, 1, F32)
        assert is_plain(result)
        assert result.dtype == F32
        assert result.tolist() == [[1.0], [2.0]]
    assert arrays.regression_targets("t", [[0.1, 2.0]], 1, 2, F32)[0, 0] == np.float32(0.1)
    assert np.isnan(arrays.regression_targets("t", [np.nan], 1, 1, F32, finite=False)).all()
    assert arrays.regression_targets("t", np.zeros((0, 2)), 0, 2, F64).shape == (0, 2)


@pytest.mark.parametrize(
    ("value", "columns", "message"),
    [
        (
            np.array([1, 2]),
            3,
            "t: expected a float32 array of shape (2, 3), got integer labels of shape (2,); "
            "pass fastnn.datasets.one_hot(t, 3)",
        ),
        (np.zeros(2), 3, "t: expected a float32 array of shape (2, 3), got shape (2,)"),
        (np.zeros((3, 2)), 3, "t: expected a float32 array of shape (2, 3), got shape (3, 2); pass t.T"),
        (np.zeros(3), 1, "t: expected a float32 array of shape (2, 1), got shape (3,)"),
        ([0.0, np.inf], 1, "t: expected finite values, got inf at t[1]; correct the data, or pass check_finite=False"),
    ],
)
def test_bad_regression_targets(value: Any, columns: int, message: str) -> None:
    with refused(ValueError, message):
        arrays.regression_targets("t", value, 2, columns, F32)


def test_output_is_allocated_or_passed() -> None:
    y = arrays.output("out", None, (2, 3), F32)
    assert is_plain(y)
    assert y.shape == (2, 3)
    assert y.dtype == F32
    out = np.empty((2, 3), F32)
    x = np.zeros((2, 3), F32)
    assert arrays.output("out", out, (2, 3), "float32", (("x", x),)) is out
    assert arrays.output("out", x, (2, 3), F32, (("x", x),), in_place=("x",)) is x
    flat = x.reshape(6)
    assert arrays.output("out", flat, (6,), F32, (("x", x),), in_place=("x",)) is flat
    halves = np.empty((4, 3), F32)
    assert arrays.output("out", halves[:2], (2, 3), F32, (("x", halves[2:]),)).base is halves


def unaligned(shape: tuple[int, ...]) -> Array:
    return np.zeros(4 * int(np.prod(shape)) + 1, np.uint8)[1:].view(F32).reshape(shape)


BUFFERS: list[tuple[type[Exception], Any, str]] = [
    (TypeError, [[0.0]], "an object of type list"),
    (TypeError, 1.0, "1.0"),
    (TypeError, np.zeros((2, 3), F32).view(np.ma.MaskedArray), "an object of type MaskedArray"),
    (TypeError, np.zeros((2, 3), np.int32), "dtype int32"),
    (TypeError, np.zeros((2, 3), F64), "dtype float64"),
    (TypeError, np.zeros((2, 3), ">f4"), "dtype float32 in foreign byte order"),
    (ValueError, np.zeros((3, 2), F32), "shape (3, 2)"),
    (ValueError, np.zeros(6, F32), "shape (6,)"),
    (ValueError, np.zeros((2, 3), F32, order="F"), "one that is not C-contiguous"),
    (ValueError, np.zeros((2, 6), F32)[:, ::2], "one that is not C-contiguous"),
    (ValueError, unaligned((2, 3)), "one that is not aligned"),
    (ValueError, read_only(np.zeros((2, 3), F32)), "one that is read-only"),
    (ValueError, np.broadcast_arrays(np.zeros((2, 3), F32), np.zeros((1, 2, 3)))[0][0], "one that is read-only"),
]


@pytest.mark.parametrize(("error", "value", "came"), BUFFERS)
def test_a_buffer_that_is_not_exactly_right(error: type[Exception], value: Any, came: str) -> None:
    remedy = "pass np.empty((2, 3), dtype=np.float32) or out=None"
    with refused(error, f"out: expected a float32 array of shape (2, 3), got {came}; {remedy}"):
        arrays.output("out", value, (2, 3), F32)
    remedy = "it is updated in place, so convert it yourself"
    with refused(error, f"W: expected a float32 array of shape (2, 3), got {came}; {remedy}"):
        arrays.writable("W", value, (2, 3), F32)


def test_an_output_that_overlaps_an_input() -> None:
    memory = np.zeros(9, F32)
    x, shifted = memory[:6].reshape(2, 3), memory[3:].reshape(2, 3)
    came = "got an array that overlaps x"
    for out in (x, shifted):
        with refused(ValueError, f"out: expected memory that no input uses, {came}; pass another array or out=None"):
            arrays.output("out", out, (2, 3), F32, (("W", np.zeros(3, F32)), ("x", x)))
    remedy = "pass x itself, another array or out=None"
    for out, shape in ((shifted, (2, 3)), (memory[:3], (3,)), (memory, (9,))):
        with refused(ValueError, f"out: expected memory that no input uses, {came}; {remedy}"):
            arrays.output("out", out, shape, F32, (("x", x),), in_place=("x",))


def test_an_output_that_overlaps_a_read_only_input_behind_its_alias() -> None:
    memory = np.zeros((2, 3), F32)
    x = arrays.floats("x", read_only(memory[:]))
    with pytest.raises(ValueError, match=r"^out: expected memory that no input uses"):
        arrays.output("out", memory, (2, 3), F32, (("x", x),))


def test_writable_passes_the_array_itself() -> None:
    for dtype in (F32, F64):
        value = np.zeros((2, 3), dtype)
        assert arrays.writable("W", value) is value
        assert arrays.writable("W", value, ("D", 3), dtype) is value
    remedy = "it is updated in place, so convert it yourself"
    with refused(TypeError, f"W: expected a float32 or float64 array, got dtype int64; {remedy}"):
        arrays.writable("W", np.zeros(3, np.int64))
