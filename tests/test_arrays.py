"""The gate: arrays that it passes untouched or converts, and the exact sentence for each one that it refuses."""

import contextlib
import gc
import pathlib
import re
import weakref
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.extra.numpy as hypothesis_numpy
import numpy as np
import pytest
import scipy.sparse
from hypothesis import strategies

from fastnn.gate import arrays
from tests.crossings import crossed

F32, F64 = np.dtype("float32"), np.dtype("float64")
Array = np.ndarray[Any, Any]


def refused(error: type[Exception], sentence: str) -> contextlib.AbstractContextManager[Any]:
    return pytest.raises(error, match=f"^{re.escape(sentence)}$")


def is_plain(array: Array, dtype: Any) -> bool:
    """Whether compiled code can take it."""
    return type(array) is np.ndarray and array.flags.carray and array.dtype == dtype


class Shelf:
    """An object that is no array but can be read as one, like a data frame or a tensor."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if isinstance(self.array, Exception):
            raise self.array
        return self.array


class Subclass(Array):
    """An ndarray subclass that means nothing special."""


def unaligned(array: Array) -> Array:
    buffer = np.empty(array.nbytes + 1, np.uint8)[1:]
    copy = buffer.view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def read_only(array: Array) -> Array:
    copy = array.copy(order="K")
    copy.flags.writeable = False
    return copy


LAYOUTS: dict[str, Callable[[Array], Any]] = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "broadcast": lambda a: np.broadcast_to(a, (1, *a.shape))[0],
    "broadcast that warns": lambda a: np.broadcast_arrays(a, a[None])[0][0],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "read-only": read_only,
    "read-only Fortran": lambda a: read_only(np.asfortranarray(a)),
    "subclass": lambda a: a.view(Subclass),
    "__array__": Shelf,
    "list": lambda a: a.tolist(),
    "tuple of arrays": tuple,
}
NUMBERS = ("float16", "float32", "float64", "bool", "int8", "uint8", "int16", "int32", "int64", "uint64")


@crossed(3, layout=LAYOUTS, given=NUMBERS, dtype=[None, F32, F64])
def test_what_is_exact_is_converted(layout: str, given: str, dtype: Any) -> None:
    values = np.array([[0, 1, 0], [1, 1, 0]] if given == "bool" else [[0, 1, 7], [100, 3, 5]], dtype=given)
    value = LAYOUTS[layout](values)
    before = values.copy()
    result = arrays.floats("x", value, ("N", 3), dtype=dtype, rounding=True, finite=True)
    kept = F32 if given in ("float16", "float32") and layout != "list" else F64
    assert is_plain(result, dtype or kept)
    assert result.tolist() == before.tolist()
    assert values.tobytes() == before.tobytes()


KINDS: dict[str, str] = {  # dtype: the message's words for it, and the remedy; empty where it is accepted
    "float16": "",
    "float32": "",
    "float64": "",
    "int64": "",
    "bool": "",
    "complex128": "dtype {}; pass np.real(x)",
    "longdouble": "dtype {}; if it holds numbers pass np.array(x, dtype=np.float64)",
    "object": "dtype {}; if it holds numbers pass np.array(x, dtype=np.float64)",
    "U4": "dtype {}; if it holds numbers pass np.array(x, dtype=np.float64)",
    "S4": "dtype {}; if it holds numbers pass np.array(x, dtype=np.float64)",
    "datetime64[s]": "dtype {}; if it holds numbers pass np.array(x, dtype=np.float64)",
    "f8,f8": "a structured array; pass one field at a time",
}
CLASSES: dict[str, tuple[type, str]] = {
    "ndarray": (np.ndarray, ""),
    "subclass": (Subclass, ""),
    "matrix": (np.matrix, "a np.matrix; pass np.asarray(x)"),
    "masked": (np.ma.MaskedArray, "a masked array; pass x.filled(0), or drop the masked rows"),
}
SHAPES: dict[tuple[int, int], str] = {
    (4, 3): "",
    (3, 4): "shape (3, 4); pass x.T",
    (4, 2): "shape (4, 2)",
    (0, 3): "the empty shape (0, 3); every dimension must be at least 1",
}
FLAGS = (False, True)


@crossed(8, kind=KINDS, cls=CLASSES, shape=SHAPES, order="CF", endian="<>", frozen=FLAGS, bad=FLAGS)
def test_every_array_ends_in_an_answer_or_in_its_sentence(
    kind: str, cls: str, shape: tuple[int, int], order: Any, endian: Any, frozen: bool, bad: bool
) -> None:
    dtype = np.dtype(kind).newbyteorder(endian)
    value = np.zeros(shape, dtype, order=order)
    has_nan = bad and kind.startswith("float") and value.size > 0
    if has_nan:
        value[1, 1] = np.nan
    value.flags.writeable = not frozen
    value = value.view(CLASSES[cls][0])
    came = CLASSES[cls][1] or KINDS[kind].format(dtype) or SHAPES[shape]
    if came:
        error = ValueError if came == SHAPES[shape] else TypeError
        sentence = f"x: expected a float32 or float64 array of shape (N, 3), got {came}"
    elif has_nan:
        error = ValueError
        sentence = "x: expected finite values, got nan at x[1, 1]; correct the data"
    else:
        result = arrays.floats("x", value, ("N", 3), finite=True)
        assert is_plain(result, F32 if kind in ("float16", "float32") else F64)
        assert result.shape == shape
        assert not result.any()
        return
    with refused(error, sentence):
        arrays.floats("x", value, ("N", 3), finite=True)


ANY = "x: expected a float32 or float64 array, got"
SINGLE = "; for a single sample pass x[None, :]"
NUMBER_LIST = "pass a NumPy array or a list of numbers"
ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("value", "came"),
    [
        (None, f"None; {NUMBER_LIST}"),
        ("abc", f"'abc'; {NUMBER_LIST}"),
        ({"a": 1.0}, f"an object of type dict; {NUMBER_LIST}"),
        ({1.0}, f"an object of type set; {NUMBER_LIST}"),
        (np.ndarray, f"<class 'numpy.ndarray'>; {NUMBER_LIST}"),
        (iter([1.0]), "an object of type list_iterator; pass list(x)"),
        ((i for i in range(3)), "an object of type generator; pass list(x)"),
        (3.0, "3.0; pass np.array([x])"),
        (np.float32(3), "np.float32(3.0); pass np.array([x])"),
        (True, "True; pass np.array([x])"),
        (scipy.sparse.csr_matrix(np.eye(2)), "a sparse matrix; use x.toarray()"),
        (scipy.sparse.coo_array(np.eye(2)), "a sparse matrix; use x.toarray()"),
        ([[1.0], [2.0, 3.0]], "a ragged list; make its rows equally long and deep"),
        ([1.0, [2.0]], "a ragged list; make its rows equally long and deep"),
        (ENDLESS, "a ragged list; make its rows equally long and deep"),
        ([1.0, None], "dtype object; if it holds numbers pass np.array(x, dtype=np.float64)"),
        ([2**64], "dtype object; if it holds numbers pass np.array(x, dtype=np.float64)"),
        (["1", "2"], "dtype <U1; if it holds numbers pass np.array(x, dtype=np.float64)"),
        ([1j], "dtype complex128; pass np.real(x)"),
        (
            Shelf(RuntimeError("it is on another device")),
            "an object of type Shelf that NumPy cannot read (it is on another device); pass an array",
        ),
    ],
)
def test_what_is_no_array_of_numbers(value: Any, came: str) -> None:
    with refused(TypeError, f"{ANY} {came}"):
        arrays.floats("x", value)


@pytest.mark.parametrize(
    ("actual", "shape", "text", "remedy"),
    [
        ((784,), ("N", 784), "(N, 784)", SINGLE),
        ((784,), ("N", "D"), "(N, D)", f"{SINGLE}, for samples of one number pass x[:, None]"),
        ((28, 28), ("N", 28, 28), "(N, 28, 28)", "; for a single sample pass x[None, :, :]"),
        ((5,), (1, 5), "(1, 5)", "; pass x[None, :]"),
        ((5,), (5, 1), "(5, 1)", "; pass x[:, None]"),
        ((5,), ("D", "H"), "(D, H)", ""),
        ((7, 28, 28), ("N", 784), "(N, 784)", "; pass x.reshape(len(x), -1)"),
        ((50, 784), (784, 50), "(784, 50)", "; pass x.T"),
        ((1, 5), (5,), "(5,)", "; pass x.ravel()"),
        ((5, 1), ("N",), "(N,)", "; pass x.ravel()"),
        ((2, 5), ("N",), "(N,)", ""),
        ((4,), (5,), "(5,)", ""),
        ((), ("N",), "(N,)", "; for a single sample pass x[None]"),
        ((0,), ("N", 0), "(N, 0)", ""),
    ],
)
def test_a_wrong_shape_and_its_remedy(actual: tuple[int, ...], shape: Any, text: str, remedy: str) -> None:
    value = np.zeros(actual)
    with refused(ValueError, f"{ANY[:-5]} of shape {text}, got shape {actual}{remedy}"):
        arrays.floats("x", value, shape)
    if remedy:
        mended = eval(remedy.rpartition("pass ")[2], {"x": value})
        assert arrays.floats("x", mended, shape).size == value.size


def test_the_remedy_for_a_list_makes_it_an_array_first() -> None:
    came = "got shape (3,); for a single sample pass np.asarray(x)[None, :]"
    with refused(ValueError, f"x: expected a float32 or float64 array of shape (N, 3), {came}"):
        arrays.floats("x", [1.0, 2.0, 3.0], ("N", 3))


def test_scalar_and_empty_arrays() -> None:
    with refused(ValueError, f"{ANY} shape (); pass x.reshape(1)"):
        arrays.floats("x", np.array(3.0))
    with refused(ValueError, f"{ANY} the empty shape (0,); every dimension must be at least 1"):
        arrays.floats("x", [])
    which = "every dimension but the first must be at least 1"
    with refused(ValueError, f"{ANY} the empty shape (2, 0); {which}"):
        arrays.floats("x", np.zeros((2, 0)), allow_empty=True)
    assert arrays.floats("x", np.zeros((0, 3)), ("N", 3), allow_empty=True, finite=True).shape == (0, 3)


@pytest.mark.parametrize(("given", "wanted"), [(F32, F64), (F64, F32)], ids=str)
def test_the_other_float_dtype_is_refused_unless_rounding(given: Any, wanted: Any) -> None:
    value = np.full((2, 3), 0.1, dtype=given)
    expected = f"W: expected a {wanted} array of shape (2, H), got {given}"
    for array in (value, value.astype(given.newbyteorder(">")), value.view(Subclass)):
        with refused(TypeError, f"{expected}; pass W.astype(np.{wanted})"):
            arrays.floats("W", array, (2, "H"), dtype=wanted)
    with refused(TypeError, f"{expected}; pass np.asarray(W).astype(np.{wanted})"):
        arrays.floats("W", Shelf(value), (2, "H"), dtype=wanted)
    rounded = arrays.floats("W", value, (2, "H"), dtype=wanted, rounding=True)
    assert is_plain(rounded, wanted)
    assert (rounded == value.astype(wanted)).all()


def test_a_value_that_overflows_float32_is_refused_but_not_infinity() -> None:
    value = np.array([[1.0, np.inf], [np.nan, -1e39]])
    message = "x: expected a float32 array, got -1e+39 at x[1, 1], which overflows; rescale x or use float64"
    with np.errstate(all="raise"), refused(ValueError, message):
        arrays.floats("x", value, dtype=F32, rounding=True)
    value[1, 1] = 1e-60
    rounded = arrays.floats("x", value, dtype=F32, rounding=True)
    np.testing.assert_array_equal(rounded, np.array([[1.0, np.inf], [np.nan, 0.0]], F32))


@pytest.mark.parametrize(
    ("value", "dtype", "came"),
    [
        ([1, 2**24 + 1], F32, "16777217 at x[1]"),
        (np.array([[2**24, -(2**24) - 1]], np.int32), F32, "-16777217 at x[0, 1]"),
        (np.array([[1], [2**53 + 1]]), F64, "9007199254740993 at x[1, 0]"),
        (np.array([[1], [2**53 + 1]]), None, "9007199254740993 at x[1, 0]"),
        (np.array([2**63 - 1]), F64, "9223372036854775807 at x[0]"),
        (np.array([2**64 - 1], np.uint64), F64, "18446744073709551615 at x[0]"),
        ([0.5, 2**53 + 1], F64, "9007199254740993 at x[1]"),
        ([-1, 2**63 + 1], None, "9223372036854775809 at x[1]"),
        ([[0.5, np.nan], [np.inf, 0.1]], F32, "0.1 at x[1, 1]"),
        ([1e300], F32, "1e+300 at x[0]"),
    ],
)
def test_a_conversion_that_is_not_exact(value: Any, dtype: Any, came: str) -> None:
    target = dtype or F64
    expected = f"x: expected values that {target} holds exactly"
    with refused(ValueError, f"{expected}, got {came}; to round them pass np.array(x, dtype=np.{target})"):
        arrays.floats("x", value, dtype=dtype)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([2**24, -(2**24), 2**40, 3 * 2**60], F32),
        (np.array([-(2**63), 2**62, 2**53], np.int64), F64),
        (np.array([2**63], np.uint64), F64),
        ([0.5, 2**60, np.nan, np.inf], F64),
        ([0.5, -0.25, np.nan, np.inf], F32),
        (range(5), F32),
    ],
)
def test_large_but_exact_values_pass(value: Any, dtype: Any) -> None:
    pairs = zip(arrays.floats("x", value, dtype=dtype).tolist(), np.array(value, object).tolist(), strict=True)
    assert all(got == given or (got != got and given != given) for got, given in pairs)  # as Python's numbers


def test_integers_must_be_exact_even_where_floats_may_be_rounded() -> None:
    message = "x: expected values that float32 holds exactly, got 16777217 at x[0]; "
    with refused(ValueError, message + "to round them pass np.array(x, dtype=np.float32)"):
        arrays.floats("x", np.array([2**24 + 1]), dtype=F32, rounding=True)
    assert arrays.floats("x", [0.1], dtype=F32, rounding=True)[0] == np.float32(0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 5, arrays.FINITE_BLOCK - 1, arrays.FINITE_BLOCK, -1])
def test_the_first_value_that_is_not_finite(bad: float, position: int) -> None:
    value = np.zeros((2, arrays.FINITE_BLOCK // 2 + 3), F32)
    value.flat[position] = bad
    value.flat[-1] = bad
    row, column = np.argwhere(~np.isfinite(value))[0]
    came = f"got {bad} at x[{row}, {column}]; correct the data"
    for option, more in (("", ""), ("anything", ", or pass anything=False")):
        with refused(ValueError, f"x: expected finite values, {came}{more}"):
            arrays.floats("x", value, finite=True, option=option)
    assert arrays.floats("x", value) is value


def test_finite_values_whose_sum_overflows_pass() -> None:
    value = np.full(1000, np.finfo(F32).max, F32)
    assert arrays.floats("x", value, finite=True) is value


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_an_array_that_is_right_is_passed_as_it_is(dtype: Any) -> None:
    value = np.ones((4, 3), dtype)
    for wanted in (None, dtype, dtype.type, dtype.name):
        assert arrays.floats("x", value, ("N", 3), dtype=wanted, finite=True) is value
    assert arrays.floats("x", value) is value
    assert arrays.floats("x", value, (4, "D"), dtype=dtype, rounding=True, allow_empty=True) is value


def test_a_read_only_array_is_aliased_without_a_copy() -> None:
    value = read_only(np.arange(6.0).reshape(2, 3))
    alias = arrays.floats("x", value, ("N", 3))
    assert is_plain(alias, F64)
    assert alias is not value
    assert alias.ctypes.data == value.ctypes.data
    assert np.shares_memory(alias, value)
    assert alias.shape == value.shape
    assert not value.flags.writeable


def test_an_alias_keeps_the_memory_alive() -> None:
    value = read_only(np.arange(100_000.0))
    owner = weakref.ref(value)
    alias = arrays.floats("x", value)
    del value
    gc.collect()
    assert owner() is not None
    assert (alias == np.arange(100_000.0)).all()
    del alias
    gc.collect()
    assert owner() is None


def test_a_memory_mapped_file_is_neither_copied_nor_closed(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "x.npy"
    np.save(file, np.arange(6, dtype=F32).reshape(2, 3))
    mapped = np.load(file, mmap_mode="r")
    alias = arrays.floats("x", mapped, ("N", 3), dtype=F32, finite=True)
    assert is_plain(alias, F32)
    assert np.shares_memory(alias, mapped)
    del mapped
    gc.collect()
    assert alias.tolist() == [[0, 1, 2], [3, 4, 5]]


@strategies.composite
def laid_out(draw: Callable[[Any], Any]) -> Array:
    """A float array of any size, byte order and layout."""
    dtype = draw(hypothesis_numpy.floating_dtypes(endianness="?", sizes=(16, 32, 64)))
    shape = hypothesis_numpy.array_shapes(min_dims=1, max_dims=4, max_side=6)
    array: Array = draw(hypothesis_numpy.arrays(dtype, shape))
    array = array.transpose(draw(strategies.permutations(range(array.ndim))))
    steps = strategies.sampled_from([-2, -1, 1, 2])
    array = array[tuple(slice(None, None, draw(steps)) for _ in range(array.ndim))]
    if draw(strategies.booleans()):
        array = unaligned(array)
    array.flags.writeable = draw(strategies.booleans())
    return array


@hypothesis.given(laid_out(), strategies.sampled_from([None, F32, F64]))
def test_any_layout_comes_out_equal_contiguous_and_native(value: Array, dtype: Any) -> None:
    before = value.copy()
    target = dtype or (F64 if value.dtype.itemsize == 8 else F32)
    with np.errstate(all="ignore"):
        expected = value.astype(target)
    if (np.isinf(expected) & np.isfinite(value)).any():
        with pytest.raises(ValueError, match=r"which overflows; rescale x or use float64$"):
            arrays.floats("x", value, dtype=dtype, rounding=True)
    else:
        result = arrays.floats("x", value, dtype=dtype, rounding=True)
        assert is_plain(result, target)
        np.testing.assert_array_equal(result, expected, strict=True)
    assert value.tobytes() == before.tobytes()
