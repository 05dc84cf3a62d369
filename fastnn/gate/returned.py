"""Arrays that a user's code returned or can still reach, made safe for kernels.

A callback, a user's own loss or an array's `__array__` may do anything to the arrays that it can reach. So kernels get
private views, whose shape nobody else can change, of memory that stays in place.
"""

import weakref
from typing import Any

import numpy as np

from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array, LabelArray
from fastnn.gate.buffers import PLAIN, PLAIN_MASK


def pinned(*views: Any) -> list[weakref.ref[Array]]:
    """Weak references that keep the memory of these views in place while they live; other objects hold their own.

    NumPy resizes no array that a weak reference points to, not even with refcheck=False.
    """
    return [weakref.ref(_owner(view)) for view in views if isinstance(view, np.ndarray)]


def _owner(array: Array) -> Array:
    """The array that owns this one's memory, or the last one known."""
    base = array.base
    while base is not None:
        inner: Any = base.obj if isinstance(base, memoryview) else getattr(base, "owner", None)
        inner = base if isinstance(base, np.ndarray) else inner
        if not isinstance(inner, np.ndarray):
            break
        array, base = inner, inner.base
    return array


def targets(name: str, found: Any, rows: int, outputs: int, dtype: Any, takes_labels: bool) -> tuple[LabelArray, Array]:
    """The targets that `Loss.targets` returned, as private views.

    Raises TypeError, ValueError if they are neither (labels (rows,), empty (0, outputs)), for a kernel that takes
    labels, nor (empty (0,), dense (rows, outputs)). fastnn's own losses return one or the other.
    """
    kinds = (arrays.INTP, np.dtype(dtype))
    if not isinstance(found, tuple) or len(found) != 2:
        came = f"{checks.shown(found)}; return super().targets(...), or arrays like its own"
        raise TypeError(f"{_expected(name, rows, outputs, dtype, takes_labels)}, got {came}")
    for array, kind in zip(found, kinds, strict=True):
        if type(array) is not np.ndarray or array.dtype != kind or array.flags.num & PLAIN_MASK != PLAIN:
            came = f"a {type(array).__name__} of {getattr(array, 'dtype', 'no dtype')}"
            remedy = "return C-contiguous, writable NumPy arrays of these dtypes"
            raise TypeError(f"{_expected(name, rows, outputs, dtype, takes_labels)}, got {came}; {remedy}")
    labels, dense = (array.view() for array in found)  # array[:] would fail without axes
    if takes_labels and labels.shape == (rows,) and dense.shape == (0, outputs):
        return arrays.labels(name, labels, rows, outputs), dense
    if labels.shape != (0,) or dense.shape != (rows, outputs):
        came = f"shapes {labels.shape} and {dense.shape}; return one row for each of x"
        raise ValueError(f"{_expected(name, rows, outputs, dtype, takes_labels)}, got {came}")
    return labels, dense


def _expected(name: str, rows: int, outputs: int, dtype: Any, takes_labels: bool) -> str:
    labels = f"labels ({rows},) of intp and an empty (0, {outputs}), or " if takes_labels else ""
    dense = f"an empty (0,) of intp and {np.dtype(dtype)} targets ({rows}, {outputs})"
    return f"{name}: expected the loss's targets() to return {labels}{dense}"
