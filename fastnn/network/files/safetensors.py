"""The container .safetensors, by the library of that name: arrays, and texts as its metadata."""

import importlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from fastnn.errors import ModelFileError
from fastnn.gate import checks
from fastnn.gate.arrays import Array, DType
from fastnn.network.files.header import REPAIR

# The names of dtypes in the format; https://github.com/huggingface/safetensors#format.
NAMES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip


def library() -> Any:
    """The library; ImportError with a sentence that says how to install it."""
    try:
        importlib.import_module("safetensors.numpy")
    except ModuleNotFoundError as error:
        if error.name != "safetensors":  # it is installed, but lacks something itself
            raise
        remedy = 'run pip install "fastnn-kernels[safetensors]", or use a name that ends in .npz'
        raise ImportError(f"safetensors: expected it for a file of that format, got none; {remedy}") from error
    return importlib.import_module("safetensors")


def write(file: IO[bytes], contents: Mapping[str, bytes | Array]) -> None:
    """Write texts and arrays by name."""
    texts = {name: text.decode() for name, text in contents.items() if isinstance(text, bytes)}
    arrays = {name: np.ascontiguousarray(one) for name, one in contents.items() if not isinstance(one, bytes)}
    file.write(library().numpy.save(arrays, texts))


class Reader:
    """A file that is open. The library has checked that its arrays lie side by side within it."""

    def __init__(self, path: str) -> None:
        self._problem = library().SafetensorError
        try:
            self._file = library().safe_open(path, framework="numpy")
            self._texts: dict[str, str] = self._file.metadata() or {}
        except self._problem as error:
            came = f"one that is not, or is cut short or damaged ({error})"
            raise ModelFileError(f"expected a file written by Network.save, got {came}; {REPAIR}") from error
        self.shown = checks.shown(", ".join([*self._texts, *self.arrays]))  # for messages

    @property
    def texts(self) -> list[str]:
        """The names of the texts."""
        return list(self._texts)

    @property
    def arrays(self) -> list[str]:
        """The names of the arrays."""
        return list(self._file.keys())

    def text(self, name: str, largest: int) -> bytes:
        """A text of at most `largest` bytes."""
        text = self._texts[name].encode()
        if len(text) > largest:
            raise ModelFileError(f"{name}: expected at most {largest} bytes, got {len(text)}; {REPAIR}")
        return text

    def array(self, name: str, dtype: DType, shape: tuple[int, ...]) -> Array:
        """An array of just this dtype and shape."""
        part = self._file.get_slice(name)
        wanted, came = (NAMES[dtype.name], list(shape)), (part.get_dtype(), list(part.get_shape()))
        if wanted != came:
            expected = f"{name}: expected {wanted[0]} of shape {shape}"
            raise ModelFileError(f"{expected}, got {came[0]} of shape {tuple(came[1])}; {REPAIR}")
        array: Array = self._file.get_tensor(name)
        return array
