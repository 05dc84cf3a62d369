"""The part of a checkpoint beside the network: a tree of plain values and arrays, written without pickle.

`training.json` holds the tree with {"$array": name} in the place of each array, and a table of the arrays' dtypes and
shapes. An array is named by its place, such as training/history/loss. Trees consist of dictionaries with texts as keys,
lists, texts, numbers, True, False, None and arrays of numbers. Tuples become lists, NumPy's scalars Python's numbers.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.errors import ModelFileError
from fastnn.gate import checks
from fastnn.gate.arrays import Array
from fastnn.network.files.contents import TRAINING, TRAINING_ARRAYS, Contents, Reader
from fastnn.network.files.safetensors import NAMES

MARK = "$array"
REPAIR = "use an intact copy, or train anew, without resume"
GO_ON = "go on from its weights: network = fastnn.load(path), then fit without resume"
LARGEST = 2**24  # bytes of the text
PLAIN = "dictionaries, lists, texts, numbers, True, False, None and arrays of numbers"


def pack(tree: Mapping[str, Any]) -> Contents:
    """The texts and arrays of a tree."""
    arrays: dict[str, Array] = {}
    plain = _plain("", tree, arrays)
    table = {name: [array.dtype.name, list(array.shape)] for name, array in arrays.items()}
    text = json.dumps({"tree": plain, "arrays": table}).encode()
    if len(text) > LARGEST:
        remedy = "keep large lists of numbers as arrays"
        raise ValueError(
            f"callbacks: expected states whose text takes at most {LARGEST} bytes, got {len(text)}; {remedy}"
        )
    return {TRAINING: text, **arrays}


def _plain(place: str, value: Any, arrays: dict[str, Array]) -> Any:
    """A value with marks in the place of arrays, which are put into `arrays`."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or "/" in key or key == MARK:
                came = f"{checks.shown(key)} in {place or 'the state'}"
                raise TypeError(f"state: expected texts without '/' as keys, got {came}; rename it")
        return {key: _plain(f"{place}/{key}".lstrip("/"), one, arrays) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(f"{place}/{i}", one, arrays) for i, one in enumerate(value)]
    if type(value) is np.ndarray and value.dtype.name in NAMES:
        arrays[TRAINING_ARRAYS + place] = value.copy()
        return {MARK: TRAINING_ARRAYS + place}
    came = f"{checks.shown(value)} in {place}"
    raise TypeError(f"state: expected {PLAIN}, got {came}; return what can be written without pickle")


def unpack(reader: Reader) -> dict[str, Any]:
    """The tree of a checkpoint; ModelFileError for a file without one."""
    if TRAINING not in reader.texts:
        came = "one of a network alone"
        raise ModelFileError(f"expected a file written by fastnn.Checkpoint, got {came}; {GO_ON}")
    try:
        content = json.loads(reader.text(TRAINING, LARGEST).decode())
        entries = content["arrays"]
        arrays = {name: _array(reader, name, *entry) for name, entry in entries.items()}
        if {name for name in reader.arrays if name.startswith(TRAINING_ARRAYS)} != set(arrays):
            raise ModelFileError(f"{TRAINING}: expected the names of all arrays, got {checks.shown(', '.join(arrays))}")
        tree: dict[str, Any] = dict(_whole(content["tree"], arrays).items())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, ModelFileError):
            raise
        came = f"text that does not ({error})"
        raise ModelFileError(f"{TRAINING}: expected JSON that describes a training, got {came}; {REPAIR}") from error
    return tree


def _array(reader: Reader, name: str, dtype: str, shape: list[int]) -> Array:
    """An array of the table; refused before memory is taken for it if the file's own is another."""
    if dtype not in NAMES or name not in reader.arrays or not all(type(n) is int and n >= 0 for n in shape):
        raise ModelFileError(f"{TRAINING}: expected arrays of the file, got {checks.shown(name)}; {REPAIR}")
    return reader.array(name, np.dtype(dtype), tuple(shape)).astype(dtype)


def _whole(value: Any, arrays: dict[str, Array]) -> Any:
    """A value with its arrays."""
    if isinstance(value, dict):
        if value.keys() == {MARK}:
            return arrays[value[MARK]]
        return {key: _whole(one, arrays) for key, one in value.items()}
    return [_whole(one, arrays) for one in value] if isinstance(value, list) else value
