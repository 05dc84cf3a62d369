"""The gate for memory that is written to: outputs, updates in place, entries that are moved.

Such an array is never converted, because the result would be lost: it is exactly right, or refused.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from fastnn.gate import checks
from fastnn.gate.checks import FLOAT32, FLOAT64, Shape

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = np.dtype[Any]

PLAIN = 0x501  # in ndarray.flags.num: C-contiguous, aligned and writable
PLAIN_MASK = PLAIN | 1 << 31  # the last bit marks arrays that warn when asked whether they are writable


def output(
    name: str,
    out: Any,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    inputs: Sequence[tuple[str, Array]] = (),
    *,
    in_place: Sequence[str] = (),
) -> Array:
    """Memory for a result: a new array where `out` is None, otherwise `out` if it is exactly right.

    `inputs` are arrays from the gate that `out` must not overlap; it may be exactly the memory of one named
    in `in_place`. To keep several outputs apart, add each to the inputs of the next.

    Raises TypeError for anything but a plain ndarray of that dtype in native byte order; ValueError for a wrong shape,
    for memory that is not C-contiguous, aligned and writable, and for an overlap.
    """
    if out is None:
        return np.empty(shape, dtype)
    dtype = np.dtype(dtype)
    if not _is_buffer(out, shape, dtype):
        remedy = f"pass np.empty({shape}, dtype=np.{dtype.name}) or {name}=None"
        _refuse_buffer(name, out, shape, dtype, remedy)
    for other_name, other in inputs:
        # Two arrays that own their memory do not share it. Otherwise comparing bounds is exact, as both are contiguous;
        # np.shares_memory can take exponential time.
        apart = out is not other and out.flags.owndata and other.flags.owndata
        if apart or not np.may_share_memory(out, other):
            continue
        same = out.nbytes == other.nbytes and out.ctypes.data == other.ctypes.data
        if same and other_name in in_place:
            continue
        itself = f"{other_name} itself, " if other_name in in_place else ""
        came = f"an array that overlaps {other_name}; pass {itself}another array or {name}=None"
        raise ValueError(f"{name}: expected memory that no input uses, got {came}")
    return out


def three(name: str, out: Any) -> tuple[Any, Any, Any]:
    """The arrays that receive the three results of an operation backward, or None for each to allocate."""
    if not isinstance(out, list | tuple) or len(out) != 3:
        came = f"a {type(out).__name__}" + (f" of {len(out)}" if isinstance(out, list | tuple) else "")
        remedy = "pass three arrays, or None for the ones to allocate"
        raise TypeError(f"{name}: expected a tuple (dx, dW, db), got {came}; {remedy}")
    return out[0], out[1], out[2]


def zeros(name: str, count: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """A new array of zeros, or a ValueError about the argument `name` where memory does not suffice."""
    try:
        return np.zeros(shape, dtype)
    except (MemoryError, ValueError, OverflowError) as error:
        size = math.prod(shape) * np.dtype(dtype).itemsize / 2**30
        came = f"{checks.shown(count)}, for which it takes {size:,.0f} GiB"
        raise ValueError(
            f"{name}: expected a number whose result of shape {shape} fits into memory, got {came}"
        ) from error


def writable(name: str, value: Any, shape: Shape | None = None, dtype: npt.DTypeLike | None = None) -> Array:
    """`value` itself, an array about to be updated in place; never converted, as the update would be lost.

    Raises TypeError for anything but a plain ndarray of float32 or float64 (of `dtype` if given) in native byte order;
    ValueError for a wrong shape, and for memory that is not C-contiguous, aligned and writable.
    """
    wanted = None if dtype is None else np.dtype(dtype)
    if not _is_buffer(value, shape, wanted):
        _refuse_buffer(name, value, shape, wanted, "it is updated in place, so convert it yourself")
    return value


def check_apart(named: Sequence[tuple[str, Array, bool]]) -> None:
    """Refuse two arrays that overlap if either is written to.

    named: (name, contiguous array, whether it is written to); the message is about the later of the two.
    """
    # Different arrays that own their memory do not share it: no need to look where it lies.
    if len({id(array) for _, array, _ in named if array.flags.owndata}) == len(named):
        return
    starts = [array.__array_interface__["data"][0] for _, array, _ in named]
    ends = [start + array.nbytes for start, (_, array, _) in zip(starts, named, strict=True)]
    furthest: int | None = None  # among the arrays that begin before this one, the one that ends last
    furthest_written: int | None = None
    for i in sorted((i for i in range(len(named)) if starts[i] < ends[i]), key=starts.__getitem__):
        is_written = named[i][2]
        other = furthest if is_written else furthest_written
        if other is not None and ends[other] > starts[i]:
            first, second = sorted((i, other))
            came = f"an array that overlaps {named[first][0]}"
            raise ValueError(f"{named[second][0]}: expected memory of its own, got {came}; pass a copy")
        if furthest is None or ends[i] > ends[furthest]:
            furthest = i
        if is_written and (furthest_written is None or ends[i] > ends[furthest_written]):
            furthest_written = i


def perturbable(name: str, value: Any) -> Array:
    """`value` itself, an array whose entries are about to be moved and put back: of any shape, order and float dtype.

    Raises TypeError for anything but an array of real floating-point numbers; integers would swallow the step;
    ValueError for an empty array, and for memory that is not writable.
    """
    expected = f"{name}: expected an array of floats, writable and not empty"
    if isinstance(value, np.ndarray) or checks.is_sparse(value):
        checks.refuse_foreign(name, value, expected)
    remedy = f"pass np.array({name}, dtype=float)"
    if isinstance(value, Mapping):
        name = next(iter(value), "W1")
        remedy = f"pass one of them, such as params[{name!r}], or call Network.numerical_gradient, which takes all"
        raise TypeError(f"{expected}, got arrays by name; {remedy}")
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{expected}, got {checks.shown(value)}; f reads x while its entries are moved, so {remedy}")
    if value.dtype.kind == "c":
        remedy = f"pass np.real({name})"
    if value.dtype.kind != "f" or not value.dtype.isnative:
        raise TypeError(f"{expected}, got dtype {value.dtype}; {remedy}")
    if not value.size or not value.flags.writeable:
        came = "a read-only array; pass a copy" if value.size else f"shape {value.shape}"
        raise ValueError(f"{expected}, got {came}")
    return value


def _is_buffer(value: Any, shape: Shape | None, dtype: DType | None) -> TypeGuard[Array]:
    return (
        type(value) is np.ndarray
        and (value.dtype in (FLOAT32, FLOAT64) if dtype is None else value.dtype == dtype)
        and value.flags.num & PLAIN_MASK == PLAIN
        and (shape is None or checks.fits(value.shape, shape))
    )


def _refuse_buffer(name: str, value: Any, shape: Shape | None, dtype: DType | None, remedy: str) -> NoReturn:
    expected = checks.expectation(name, shape, dtype)
    if type(value) is not np.ndarray:
        raise TypeError(f"{expected}, got {checks.shown(value)}; {remedy}")
    if value.dtype not in ((FLOAT32, FLOAT64) if dtype is None else (dtype,)):
        came = value.dtype if value.dtype.kind in "SU" else value.dtype.name  # the name of <U2 is str64
        foreign = "" if value.dtype.isnative else " in foreign byte order"
        raise TypeError(f"{expected}, got dtype {came}{foreign}; {remedy}")
    if shape is not None and not checks.fits(value.shape, shape):
        raise ValueError(f"{expected}, got shape {value.shape}; {remedy}")
    aligned = "read-only" if value.flags.aligned else "not aligned"
    fault = aligned if value.flags.c_contiguous else "not C-contiguous"
    raise ValueError(f"{expected}, got one that is {fault}; {remedy}")
