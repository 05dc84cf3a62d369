"""The small checks of the gate: scalars, names, dtypes, seeds and shapes.

The scalar checks take the argument's name first and return a plain Python value. They raise TypeError for a value of
the wrong kind, ValueError for one of the right kind that is not allowed.
"""

import difflib
import inspect
import itertools
import math
import numbers
from collections.abc import Callable, Collection, Iterator
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fastnn.gate.shapes import Shape as Shape
from fastnn.gate.shapes import fits as fits
from fastnn.gate.shapes import image_remedy

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
# A name that other libraries use: our names for it.
SYNONYMS = {
    "mse": ("mean_squared_error",), "mae": ("absolute_error", "mean_absolute_error"), "l1": ("absolute_error",),
    "bce": ("sigmoid_cross_entropy", "log_loss"), "binary_crossentropy": ("sigmoid_cross_entropy", "log_loss"),
    "crossentropy": ("softmax_cross_entropy", "cross_entropy"),
    "categorical_crossentropy": ("softmax_cross_entropy", "cross_entropy"),
    "sparse_categorical_crossentropy": ("softmax_cross_entropy", "cross_entropy"), "kl": ("kl_divergence",),
    "swish": ("silu",), "hardswish": ("hard_swish", "silu"), "hard_swish": ("silu",),
    "parameters": ("params",), "weights": ("params",),
    "linear": ("affine", "identity"), "dense": ("affine",), "logistic": ("sigmoid",), "erelu": ("elu",),
    "prelu": ("leaky_relu",), "lrelu": ("leaky_relu",),
    "glorot": ("xavier",), "kaiming": ("he",), "val_loss": ("validation_loss",),
    "val_accuracy": ("validation_accuracy",), "rmse": ("root_mean_squared_error",), "r2": ("r2_score",),
    "auc": ("roc_auc",), "backprop": ("analytic",),
}  # fmt: skip
UNMASK = "pass {name}.filled(0), or drop the masked rows"
OWN_CODE = ("forward", "backward", "gradient", "derivative", "value", "units", "call", "__call__")
NOT_NUMBERS = (bool, np.timedelta64)  # subclasses of int and np.integer


def integer(name: str, value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """`value` as an int within [minimum, maximum]; Python and NumPy integers, never bools or floats.

    Raises TypeError for anything that is not an integer, 3.0 and True included; ValueError for an integer out of range.
    """
    expected = f"{name}: expected an integer" + _bounds(minimum, maximum, None, None)
    if not isinstance(value, int | np.integer) or isinstance(value, NOT_NUMBERS):
        is_real = isinstance(value, float | np.floating) and math.isfinite(value)
        whole = sorted({math.floor(value), math.ceil(value)}) if is_real else []
        remedy = f"; pass {' or '.join(map(str, whole))}" if whole else ""
        raise TypeError(f"{expected}, got {shown(value)}{remedy}")
    number = int(value)
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise ValueError(f"{expected}, got {shown(number)}")
    return number


def real(
    name: str,
    value: Any,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """`value` as a finite float with minimum <= value <= maximum and above < value < below.

    Raises TypeError for anything that is not a real number: bools, strings, arrays and complex numbers included;
    ValueError for NaN, infinity, or a number out of range.
    """
    # Valid values return before a message is made: making one takes as long as a small update.
    allowed = type(value) is float or (
        isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, NOT_NUMBERS)
    )
    try:
        number = float(value) if allowed else math.nan
    except OverflowError:  # an int beyond the largest float
        number = math.inf
    too_low = (minimum is not None and number < minimum) or (above is not None and number <= above)
    too_high = (maximum is not None and number > maximum) or (below is not None and number >= below)
    if allowed and math.isfinite(number) and not too_low and not too_high:
        return number
    expected = f"{name}: expected a finite number" + _bounds(minimum, maximum, above, below)
    problem = ValueError if allowed else TypeError
    raise problem(f"{expected}, got {shown(value.item() if allowed and isinstance(value, np.generic) else value)}")


def flag(name: str, value: Any) -> bool:
    """`value`, True or False, as a bool.

    Raises TypeError for anything else: "no" would count as true.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


def function(name: str, value: Any) -> Any:
    """`value` itself, a function of x.

    Raises TypeError for anything else.
    """
    if not callable(value):
        remedy = "pass one such as lambda x: (x**2).sum()"
        raise TypeError(f"{name}: expected a function of x, got {shown(value)}; {remedy}")
    return value


def choice(name: str, value: Any, options: Collection[str], remedy: str = "") -> str:
    """`value`, one of the names in `options`.

    Raises TypeError for anything that is not a string; ValueError for an unknown name; the message lists the options
    and suggests the nearest, unless there is a remedy.
    """
    if type(value) is str and value in options:
        return value
    known = list(options)
    expected = f"{name}: expected one of " + ", ".join(map(repr, known))
    if not isinstance(value, str):
        raise TypeError(f"{expected}, got {shown(value)}{remedy}")
    if value in known:
        return value
    raise ValueError(f"{expected}, got {shown(value)}{remedy or did_you_mean(value, known)}")


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The end of a sentence about a wrong name: the nearest known one; empty where none is near."""
    by_lower_case = {one.lower(): one for one in known}
    near = [one for one in SYNONYMS.get(name.lower(), ()) if one in by_lower_case]
    near = near or difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[near[0]]!r}?" if near else ""


def float_dtype(name: str, value: Any) -> np.dtype[Any]:
    """np.dtype("float32") or np.dtype("float64"), from its name, its scalar type or the dtype itself.

    Raises TypeError for anything else; Python's float is float64.
    """
    for dtype in (FLOAT32, FLOAT64):
        if value is dtype.type or (isinstance(value, np.dtype) and value == dtype):
            return dtype
        if isinstance(value, str) and value == dtype.name:
            return dtype
    if value is float:
        return FLOAT64
    raise TypeError(f"{name}: expected 'float32' or 'float64', got {shown(value)}")


def generator(name: str, value: Any) -> np.random.Generator:
    """A random generator: `value` itself, a new one from the seed `value`, or an unpredictable one for None.

    Raises TypeError for anything else, np.random.RandomState and np.random itself included; ValueError for a negative
    seed.
    """
    expected = f"{name}: expected None, a seed of at least 0 or a np.random.Generator"
    if isinstance(value, np.random.Generator):
        return value
    if value is not None and (not isinstance(value, int | np.integer) or isinstance(value, NOT_NUMBERS)):
        raise TypeError(f"{expected}, got {shown(value)}; pass np.random.default_rng(seed)")
    if value is not None and value < 0:
        raise ValueError(f"{expected}, got {shown(int(value))}; pass one such as 0")
    return np.random.default_rng(value)


def permutation(name: str, generator: np.random.Generator, count: int) -> npt.NDArray[np.intp]:
    """A new order of the numbers from 0 to count - 1 that this generator draws; see `order_of`."""
    return order_of(f"{name}.permutation({count})", generator.permutation(count), count)


def order_of(name: str, drawn: Any, count: int) -> npt.NDArray[np.intp]:
    """A copy of an order that a generator has drawn.

    Raises ValueError where it does not hold each number from 0 to count - 1 once: kernels would read rows that are not
    there.
    """
    expected = f"{name}: expected each number from 0 to {count - 1} once"
    remedy = "pass a np.random.Generator whose methods are NumPy's own"
    if type(drawn) is not np.ndarray or drawn.dtype.kind not in "iu" or drawn.shape != (count,):
        came = f"{drawn.dtype} of shape {drawn.shape}" if type(drawn) is np.ndarray else shown(drawn)
        raise ValueError(f"{expected}, got {came}; {remedy}")
    order, seen = drawn.astype(np.intp), np.zeros(count, np.bool_)
    if count and order.view(np.uintp).max() < count:
        seen[order] = True
    if not seen.all():
        raise ValueError(f"{expected}, got others; {remedy}")
    return order


def refuse_own_code(name: str, value: Any, kind: type[Any], remedy: str) -> None:
    """Refuse an object whose class computes anew what `kind` does: kernels would go on computing kind's."""
    for own in itertools.takewhile(lambda one: one is not kind, type(value).__mro__):
        found = [method for method in OWN_CODE if method in vars(own) and not own.__module__.startswith("fastnn.")]
        if found:
            came = f"{own.__name__} with {found[0]} of its own, which nothing would call"
            raise TypeError(f"{name}: expected a class that computes what {kind.__name__} does, got {came}; {remedy}")


def check_shape(
    expression: str, actual: tuple[int, ...], shape: Shape | None, expected: str, allow_empty: bool
) -> None:
    """Refuse an array that is not of `shape` (None: any rank from 1 up) or is empty; `allow_empty` allows 0 rows."""
    if shape is None and not actual:
        raise ValueError(f"{expected}, got shape (); pass {expression}.reshape(1)")
    if shape is not None and not fits(actual, shape):
        raise ValueError(f"{expected}, got shape {actual}{shape_remedy(expression, actual, shape)}")
    if 0 in (actual[1:] if allow_empty else actual):
        which = "every dimension but the first" if allow_empty else "every dimension"
        raise ValueError(f"{expected}, got the empty shape {actual}; {which} must be at least 1")


def shape_remedy(expression: str, actual: tuple[int, ...], shape: Shape) -> str:
    """How to turn `actual` into `shape`, as the end of a sentence; empty where there is no obvious way."""
    size = math.prod(actual)
    if size == 0:
        return ""
    if of_images := image_remedy(expression, actual, shape):
        return of_images
    if fits((1, *actual), shape) and shape[0] in ("N", 1):
        single = f"pass {expression}[None{', :' * len(actual)}]"
        if shape[0] != "N":
            return f"; {single}"
        several = (
            f", for samples of one number pass {expression}[:, None]"
            if len(actual) == 1 and fits((1,), shape[1:])
            else ""
        )
        return f"; for a single sample {single}{several}"
    if fits((*actual, 1), shape) and shape[-1] == 1:
        return f"; pass {expression}[{':, ' * len(actual)}None]"
    if len(actual) == 2 and fits(actual[::-1], shape):
        return f"; pass {expression}.T"
    if len(shape) == 1 and max(actual, default=1) == size and fits((size,), shape):
        return f"; pass {expression}.ravel()"
    if len(actual) == 2 < len(shape):
        sizes, letters = ", ".join(map(str, shape[1:])), [one for one in shape[1:] if isinstance(one, str)]
        known = math.prod(one for one in shape[1:] if not isinstance(one, str))
        if letters and actual[1] % known == 0:
            return f"; pass {expression}.reshape(-1, {sizes}) with your own {' and '.join(letters)}"
        return f"; pass {expression}.reshape(-1, {sizes})" if actual[1] == known else ""
    if len(shape) == 2 < len(actual):
        flat, columns = f"{expression}.reshape(len({expression}), -1)", size // actual[0]
        if fits((actual[0], columns), shape):
            return f"; pass {flat}"
        return f"; {flat} makes rows of {columns} numbers, for as many inputs" if fits(actual[:1], shape[:1]) else ""
    return ""


def label_remedy(expression: str, labels: npt.NDArray[Any], classes: int) -> str:
    """How to turn these numbers into labels from 0 to classes - 1."""
    values = np.unique(labels).astype(np.float64)
    if classes == 1:
        return "for two classes take two outputs, or one with the loss sigmoid_cross_entropy"
    if np.array_equal(values, [-1, 1]):
        return f"for signs pass ({expression} + 1) // 2"
    if values[0] >= 1 and values[-1] == classes and (values == np.floor(values)).all():
        return f"labels start at 0, so pass {expression} - 1"
    return "check the labels, or the number of classes"


def expression_for(name: str, value: Any) -> str:
    """How a remedy writes the argument: only arrays have methods such as .ravel()."""
    return name if isinstance(value, np.ndarray) else f"np.asarray({name})"


def expectation(name: str, shape: Shape | None, dtype: np.dtype[Any] | None) -> str:
    """The beginning of a message about an array, up to what came."""
    kind = "float32 or float64" if dtype is None else dtype.name
    if shape is None:
        return f"{name}: expected a {kind} array"
    sizes = f"{shape[0]}," if len(shape) == 1 else ", ".join(map(str, shape))
    return f"{name}: expected a {kind} array of shape ({sizes})"


def survives(name: str, expected: str, value: float, limit: float, dtype: np.dtype[Any], remedy: str) -> None:
    """Refuse a number that the dtype rounds to a limit which it must not reach."""
    if dtype.type(value) == limit:
        raise ValueError(f"{name}: expected {expected}, got {float(value)!r}, which is {limit:g} in {dtype}; {remedy}")


def can_be_called(value: Any, arguments: int) -> bool:
    """Whether `value` can be called with this number of arguments; True for a callable that does not tell."""
    if not callable(value):
        return False
    try:
        inspect.signature(value).bind(*range(arguments))
    except TypeError:
        return False
    except ValueError:  # some functions written in C
        return True
    return True


def shown(value: Any) -> str:
    """The value in a few words: small plain values as they are written, all others by their type."""
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to write out very long ones
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float | complex | str | type | np.dtype | np.generic):
        text = repr(value)
        return text if len(text) <= 80 else text[:77] + "..."
    return f"an object of type {type(value).__name__}"


def headed(value: Any, otherwise: Callable[[Any], str] = shown) -> str:
    """A Python function by its name and arguments, anything else as `shown` or by another function."""
    if inspect.isfunction(value):
        return f"the function {value.__name__}{inspect.signature(value)}"
    return otherwise(value)


def place(name: str, array: npt.NDArray[Any], position: int) -> str:
    """The value at a position in C order, and where it is: "nan at x[3, 7]"."""
    index = ", ".join(map(str, np.unravel_index(position, array.shape)))
    return f"{array.flat[position]} at {name}[{index}]"


def _bounds(minimum: float | None, maximum: float | None, above: float | None, below: float | None) -> str:
    limits = (("of at least", minimum), ("above", above), ("of at most", maximum), ("below", below))
    texts = [f"{words} {limit}" for words, limit in limits if limit is not None]
    return " " + " and ".join(texts) if texts else ""


def refuse_dtype(name: str, dtype: np.dtype[Any], expected: str, wanted: np.dtype[Any] | None) -> NoReturn:
    """Raise a TypeError for an array's dtype that holds no real numbers; wanted: the dtype that does, if one alone."""
    target = "float64" if wanted is None else wanted.name
    came, remedy = f"dtype {dtype}", f"if it holds numbers pass np.array({name}, dtype=np.{target})"
    if dtype.kind == "c":
        remedy = f"pass np.real({name})"
    elif dtype.fields is not None:
        came, remedy = "a structured array", "pass one field at a time"
    raise TypeError(f"{expected}, got {came}; {remedy}")


def refuse_table(name: str, table: Any, expected: str) -> None:
    """Refuse a DataFrame whose columns have no common dtype of numbers: say which are none."""
    kinds: Any = getattr(table, "dtypes", None)
    if not hasattr(kinds, "items"):
        return
    columns = {str(column): str(kind) for column, kind in kinds.items()}
    texts = [column for column, kind in columns.items() if kind in ("object", "category", "string", "str")]
    if texts:
        came = f"a DataFrame with columns that hold no numbers, {', '.join(map(repr, texts[:5]))}"
        remedy = f"encode them, as by pandas.get_dummies({name}, dtype=float)"
    else:
        came = f"a DataFrame with columns of the types {', '.join(sorted(set(columns.values())))}"
        remedy = f"pass {name}.astype(float)"
    raise TypeError(f"{expected}, got {came}; {remedy}")


def is_sparse(value: Any) -> bool:
    """Whether this is a sparse matrix, of SciPy's or alike."""
    return hasattr(value, "toarray") and hasattr(value, "nnz")


def refuse_foreign(name: str, value: Any, expected: str, shape: Shape | None = None) -> None:
    """Refuse anything that is neither an array nor a list nor, to NumPy, an array of numbers."""
    if isinstance(value, list | tuple | range):
        return
    came, remedy = shown(value), "pass a NumPy array or a list of numbers"
    if isinstance(value, np.ma.MaskedArray):
        came, remedy = "a masked array", UNMASK.format(name=name)
    elif isinstance(value, np.matrix):
        came, remedy = "a np.matrix", f"pass np.asarray({name})"
    elif is_sparse(value):
        came, remedy = "a sparse matrix", f"use {name}.toarray()"
    elif isinstance(value, numbers.Number | np.generic):
        if shape is None or all(size == 1 or isinstance(size, str) for size in shape):
            rank = 1 if shape is None else len(shape)
            remedy = f"pass np.array({'[' * rank}{name}{']' * rank})"
        else:
            remedy = "pass an array of that shape"
    elif isinstance(value, Iterator):
        remedy = f"pass list({name})"
    elif (
        hasattr(type(value), "__array__")
        or hasattr(type(value), "__dlpack__")
        or isinstance(getattr(value, "__array_interface__", 0), dict)
    ):
        return
    raise TypeError(f"{expected}, got {came}; {remedy}")
