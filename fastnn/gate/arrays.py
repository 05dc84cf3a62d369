"""The gate: the only module that accepts, converts or refuses a user's array.

Behind it every array is float32, float64 or intp, C-contiguous, aligned, in native byte order and flagged
writable, because compiled code checks nothing. What can be converted exactly is converted, with at most one
copy; the rest is refused in a sentence that says what was expected, what came and what to do.
"""

import contextlib
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from fastnn.gate import checks
from fastnn.gate.buffers import PLAIN, PLAIN_MASK
from fastnn.gate.buffers import Array as Array
from fastnn.gate.buffers import DType as DType
from fastnn.gate.buffers import check_apart as check_apart
from fastnn.gate.buffers import output as output
from fastnn.gate.buffers import perturbable as perturbable
from fastnn.gate.buffers import three as three
from fastnn.gate.buffers import writable as writable
from fastnn.gate.buffers import zeros as zeros
from fastnn.gate.checks import FLOAT32, FLOAT64, Shape
from fastnn.gate.checks import choice as choice
from fastnn.gate.checks import flag as flag
from fastnn.gate.checks import float_dtype as float_dtype
from fastnn.gate.checks import function as function
from fastnn.gate.checks import generator as generator
from fastnn.gate.checks import integer as integer
from fastnn.gate.checks import real as real
from fastnn.gate.checks import survives as survives

LabelArray: TypeAlias = npt.NDArray[np.intp]

INTP = np.dtype(np.intp)
MOST_AXES = 64  # of a NumPy array; NumPy finds no numbers in lists nested deeper
NUMBERS = {bool, int, float}
CHECK_FINITE = "check_finite"  # the option of networks' methods
FINITE_BLOCK = 1 << 17  # values tested at once, so that what np.isfinite returns stays in the cache
SUM_TOLERANCE = {"float32": 1e-3, "float64": 1e-6}  # how far the sum of a row of probabilities may be from 1


def floats(
    name: str,
    value: Any,
    shape: Shape | None = None,
    *,
    dtype: npt.DTypeLike | None = None,
    rounding: bool = False,
    finite: bool = False,
    option: str = "",
    allow_empty: bool = False,
) -> Array:
    """`value` as a float array that compiled code can take; the very same object if it is one already.

    Without `dtype`, float32 and float64 are kept, float16 becomes float32, integers and bools become float64.
    With `dtype`, the result has it: float16, bools, integers and lists are converted if every value is exact,
    float64 to float32 and back only if `rounding`, because mixing the two is nearly always a slip.
    A read-only array comes back as an alias of its memory, flagged writable, that nobody may write to.

    shape: ("N", 784) accepts any number of rows of 784; None accepts any rank from 1 up.
    rounding: allow float64 to float32, rounded to nearest, and float32 to float64. Integers must still be exact.
    finite: refuse NaN and infinity.
    option: the caller's argument that accepts them when False; the message names it.
    allow_empty: allow 0 rows; the other dimensions are never 0.
    Raises TypeError for the other float dtype, and for anything but an array of real numbers: complex, longdouble,
        object, text, dates, structured, masked, np.matrix, sparse, scalar, None, dict, set, iterator, ragged list;
        ValueError for a wrong shape, an empty array, values that `dtype` cannot hold, and NaN or infinity if `finite`.
    """
    wanted = getattr(value, "dtype", None) if dtype is None else dtype
    plain = (wanted is FLOAT32 or wanted is FLOAT64) and is_plain(value, wanted)
    if plain and (value.ndim if shape is None else checks.fits(value.shape, shape)):
        array: Array = value
    else:
        array = _convert(name, value, shape, None if dtype is None else np.dtype(dtype), rounding, allow_empty)
    if finite:
        check_finite(name, array, option)
    return array


def anything(name: str, value: Any) -> Array:
    """`value` as an array of any dtype and shape, only to be counted, sorted or moved.

    Raises TypeError for anything but an array or a list of equally long rows, and for masked arrays, np.matrix and
    sparse matrices.
    """
    return _as_array(name, value, f"{name}: expected an array")


def shared_dtype(*values: Any) -> DType | None:
    """The dtype of the first float32 or float64 array, which integers beside it take on; None if there is none."""
    for value in values:
        dtype = getattr(value, "dtype", None)
        if dtype is FLOAT32 or dtype is FLOAT64:
            return dtype
    return None


def is_plain(value: Any, dtype: Any) -> TypeGuard[Array]:
    """Whether this is a non-empty array that compiled code can take as it is: the gate's shortest way."""
    return (
        type(value) is np.ndarray and value.dtype is dtype and value.flags.num & PLAIN_MASK == PLAIN and value.size > 0
    )


def labels(name: str, value: Any, rows: int, classes: int) -> LabelArray:
    """`value` as class labels: an intp array of shape (rows,) with 0 <= label < classes.

    Integers, bools and whole floats are accepted, as arrays or lists.

    Raises TypeError for anything but an array of real numbers; ValueError for a wrong shape, and for the first label
    that is not whole (NaN included) or out of range.
    """
    # One pass over the labels: read as unsigned, a negative one is huge.
    if is_plain(value, INTP) and value.shape == (rows,) and value.view(np.uintp).max() < classes:
        return value
    expected = f"{name}: expected labels of shape ({rows},), integers from 0 to {classes - 1}"
    array, expression = _as_array(name, value, expected, (rows,)), checks.expression_for(name, value)
    if not _is_real(array.dtype):
        remedy = f"number the classes, for example by np.unique({name}, return_inverse=True)[1]"
        raise TypeError(f"{expected}, got dtype {array.dtype}; {remedy}")
    if array.shape != (rows,):
        remedy = checks.shape_remedy(expression, array.shape, (rows,))
        if array.shape == (rows, classes) and classes > 1:
            remedy = f"; from one-hot targets pass {expression}.argmax(axis=1)"
        raise ValueError(f"{expected}, got shape {array.shape}{remedy}")
    whole = array == np.floor(array) if array.dtype.kind == "f" else np.ones(rows, dtype=bool)
    good = whole & (array >= 0) & (array < classes)  # before the cast, which could wrap
    if not good.all():
        first = int(good.argmin())
        remedy = checks.label_remedy(expression, array, classes)
        raise ValueError(f"{expected}, got {array[first]} at {name}[{first}]; {remedy}")
    return _plain(array, INTP)


def targets(name: str, value: Any, rows: int, classes: int, dtype: npt.DTypeLike) -> tuple[LabelArray, Array]:
    """The targets of a classifier: labels (rows,), or a one-hot or probability matrix (rows, classes).

    Returns (labels, empty (0, classes)) or (empty (0,), matrix); the rank alone decides which. The matrix is
    rounded to `dtype`. Nothing in it is below 0, nothing above 1 and every row sums to 1, the latter two
    within 1e-3 in float32 and 1e-6 in float64.

    Raises TypeError for anything but an array of real numbers; ValueError for a wrong shape, a bad label (see
    `labels`), and the first row that is no probability distribution.
    """
    dtype = np.dtype(dtype)
    expected = f"{name}: expected labels of shape ({rows},) or probabilities of shape ({rows}, {classes})"
    actual = _as_array(name, value, expected, (rows,)).shape
    if actual == (rows,):
        return labels(name, value, rows, classes), np.empty((0, classes), dtype)
    if actual != (rows, classes):
        text = checks.expression_for(name, value)
        remedy = checks.shape_remedy(text, actual, (rows,)) or checks.shape_remedy(text, actual, (rows, classes))
        raise ValueError(f"{expected}, got shape {actual}{remedy}")
    dense = floats(name, value, (rows, classes), dtype=dtype, rounding=True, allow_empty=rows == 0)
    _check_probabilities(name, dense)
    return np.empty(0, INTP), dense


def regression_targets(
    name: str, value: Any, rows: int, columns: int, dtype: npt.DTypeLike, finite: bool = True
) -> Array:
    """Targets of shape (rows, columns), rounded to `dtype`; for one column, shape (rows,) is accepted too.

    Raises TypeError, ValueError as `floats`.
    """
    shape: Shape = (rows, columns)
    expected = checks.expectation(name, shape, np.dtype(dtype))
    array = _as_array(name, value, expected, shape)
    if array.shape == (rows,) and columns > 1 and array.dtype.kind in "biu":
        remedy = f"pass fastnn.datasets.one_hot({name}, {columns})"
        raise ValueError(f"{expected}, got integer labels of shape ({rows},); {remedy}")
    if array.shape == (rows,) and columns == 1:
        shape = (rows,)
    options: Any = {"finite": finite, "option": CHECK_FINITE, "allow_empty": rows == 0}
    return floats(name, value, shape, dtype=dtype, rounding=True, **options).reshape(rows, columns)


class _WritableAlias:
    """A read-only array's memory, described as writable. NumPy keeps this object, and it keeps the array."""

    def __init__(self, array: Array) -> None:
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}
        self.owner = array


def _convert(
    name: str, value: Any, shape: Shape | None, dtype: DType | None, rounding: bool, allow_empty: bool
) -> Array:
    """The long way through `floats`: everything but the test for finite values."""
    expected = checks.expectation(name, shape, dtype)
    array, expression = _as_array(name, value, expected, shape), checks.expression_for(name, value)
    given = array.dtype
    if not _is_real(given):
        checks.refuse_table(name, value, expected)
        if isinstance(value, list | tuple) and all(map(checks.is_sparse, value)):
            raise TypeError(f"{expected}, got a list of sparse matrices; pass scipy.sparse.vstack({name})")
        checks.refuse_dtype(name, given, expected, dtype)
    checks.check_shape(expression, array.shape, shape, expected, allow_empty)
    target = FLOAT32 if (given.char in "ef" if dtype is None else dtype.char == "f") else FLOAT64
    exact = isinstance(value, list | tuple | range) and not rounding
    if given.kind == "f" and given.char not in ("e", target.char) and not (rounding or exact):
        raise TypeError(f"{expected}, got {given.name}; pass {expression}.astype(np.{target.name})")
    converted = _plain(array, target)
    if given.kind in "iu" or exact:
        _check_exact(name, array, converted)
    elif given.char == "d" and target.char == "f":
        overflowed = np.isinf(converted) & np.isfinite(array)
        if overflowed.any():
            came = checks.place(name, array, int(overflowed.argmax()))
            raise ValueError(f"{expected}, got {came}, which overflows; rescale {name} or use float64")
    return converted


def _as_array(name: str, value: Any, expected: str, shape: Shape | None = None) -> Array:
    """`value` as a plain ndarray of any dtype, without a copy if there is an array inside."""
    if type(value) is np.ndarray:
        return value
    checks.refuse_foreign(name, value, expected, shape)
    is_list = isinstance(value, list | tuple | range)
    with contextlib.suppress(RecursionError):  # lists nested too deep, which NumPy refuses
        if is_list and _holds_masked(value):
            raise TypeError(f"{expected}, got a list with masked values; {checks.UNMASK.format(name='each')}")
    try:
        # The memory of another library's array; NumPy alone would take one that knows DLPack alone for one object.
        is_foreign = hasattr(type(value), "__dlpack__") and not hasattr(type(value), "__array__")
        array = np.from_dlpack(value) if is_foreign else np.asarray(value)
    except (BufferError, TypeError, ValueError, RuntimeError) as error:  # from NumPy, or the object's own __array__
        unreadable = f"{checks.shown(value)} that NumPy cannot read ({error}); pass an array"
        came = "a ragged list; make its rows equally long and deep" if is_list else unreadable
        raise TypeError(f"{expected}, got {came}") from error
    if is_list and array.dtype == FLOAT64 and (np.abs(array) >= 2.0**53).any():
        # In a list with fractions, NumPy has rounded large integers without a word.
        _check_exact(name, np.asarray(value, dtype=object), array)
    return array


def _holds_masked(value: Any, depth: int = MOST_AXES) -> bool:
    """Whether a list holds masked arrays; NumPy would drop their masks without a word."""
    kinds = set() if isinstance(value, range) else set(map(type, value)) - NUMBERS
    if not kinds:
        return False
    if not depth:
        raise RecursionError
    if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds):
        return True
    is_nested = any(issubclass(kind, list | tuple) for kind in kinds)
    return is_nested and any(_holds_masked(item, depth - 1) for item in value if isinstance(item, list | tuple))


def _plain(array: Array, dtype: DType) -> Array:
    """`array` in this dtype, C-contiguous, aligned, native and flagged writable; no copy if it is that already."""
    with np.errstate(all="ignore"):  # the caller looks for what overflowed
        plain = array.astype(dtype, order="C", copy=not array.flags.aligned)
    if plain.dtype is not dtype:  # an equal one, such as pickles bring; compiled code tells dtypes by their addresses
        plain = plain.view(dtype)
    if plain.flags.num & PLAIN_MASK == PLAIN:
        return plain
    # To Numba a read-only array is another type, for which every kernel would be compiled once more. Nor is a
    # copy needed: kernels never write to their inputs.
    return np.asarray(_WritableAlias(plain))


def _is_real(dtype: DType) -> bool:
    """Whether the dtype is bool, an integer, float16, float32 or float64, in any byte order."""
    return dtype.kind in "biu" or dtype.char in "efd"


def _check_exact(name: str, array: Array, converted: Array) -> None:
    """Refuse the first number that the conversion rounded; in an object array only integers are looked at."""
    digits = np.finfo(converted.dtype).nmant + 1
    if array.dtype.kind == "b" or (array.dtype.kind in "iu" and np.iinfo(array.dtype).bits <= digits):
        return
    if array.dtype.kind == "f":
        suspects = (converted != array) & ~np.isnan(array)
    else:  # comparing as above would convert the integers first, and find nothing changed
        suspects = np.abs(converted) >= 2.0**digits
    for position in np.flatnonzero(suspects):
        number = array.flat[position]
        is_integer = isinstance(number, int | np.integer)
        if array.dtype.kind == "f" or (is_integer and int(number) != int(converted.flat[position])):
            expected = f"{name}: expected values that {converted.dtype.name} holds exactly"
            remedy = f"to round them pass np.array({name}, dtype=np.{converted.dtype.name})"
            raise ValueError(f"{expected}, got {checks.place(name, array, int(position))}; {remedy}")


def check_finite(name: str, array: Array, option: str = "") -> None:
    """Refuse NaN and infinity; `array` has come through the gate. For `option` see `floats`."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, FINITE_BLOCK):
        finite = np.isfinite(flat[start : start + FINITE_BLOCK])
        if not finite.all():
            came = checks.place(name, array, start + int(finite.argmin()))
            remedy = "correct the data" + (f", or pass {option}=False" if option else "")
            raise ValueError(f"{name}: expected finite values, got {came}; {remedy}")


def check_values(name: str, array: Array, good: npt.NDArray[np.bool_], expected: str, remedy: str) -> None:
    """Refuse the first value that is not good; `array` has come through the gate."""
    if not good.all():
        came = checks.place(name, array, int(good.argmin()))
        raise ValueError(f"{name}: expected {expected}, got {came}; {remedy}")


def _check_probabilities(name: str, dense: Array) -> None:
    tolerance = SUM_TOLERANCE[dense.dtype.name]
    with np.errstate(all="ignore"):  # inf - inf
        sums = dense.sum(axis=1)
    inside = (dense.min(axis=1) >= 0) & (dense.max(axis=1) <= 1 + tolerance)  # False for NaN
    good = inside & (np.abs(sums - 1) <= tolerance)
    if good.all():
        return
    row = int(good.argmin())
    if inside[row]:
        came = f"{sums[row]} in row {row}; divide every row by its sum"
        raise ValueError(f"{name}: expected rows that sum to 1 within {tolerance}, got {came}")
    came = checks.place(name, dense, int(((dense >= 0) & (dense <= 1 + tolerance)).argmin()))
    remedy = "pass labels, one-hot rows or probabilities"
    raise ValueError(f"{name}: expected probabilities from 0 to 1, got {came}; {remedy}")
