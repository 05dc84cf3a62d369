"""Helpers for the tests of MNIST: small files in its format, and a cache folder of their own."""

import gzip
import pathlib
import re
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastnn.datasets import mnist
from fastnn.system import folders

Array = npt.NDArray[Any]

BY_HAND = "put the four files, plain or .gz, into a folder and pass folder= or set FASTNN_DATA"
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = mnist.CHECKSUMS


def whole(sentence: str) -> str:
    return f"^{re.escape(sentence)}$"


def idx(array: Array, code: int = 8) -> bytes:
    """An IDX file of bytes; `code` is the type that its header states."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


def small_mnist(train: int = 6, test: int = 3) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    arrays = {}
    for prefix, count in (("train", train), ("t10k", test)):
        arrays[f"{prefix}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = rng.integers(0, 10, count).astype(np.uint8)
    return {name: idx(array) for name, array in arrays.items()}


def write_all(folder: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    """Write two of the files plain and two packed, so that both kinds are read."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if "images" in name:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def stored(name: str) -> Array:
    """The pixels, a row for each image, or the labels of one of the small files."""
    content = np.frombuffer(small_mnist()[name], np.uint8)
    return content[16:].reshape(-1, 784) if "images" in name else content[8:]


def isolated(monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path) -> pathlib.Path:
    """An empty cache folder below `folder`, and no mirrors: no test reaches the user's files or another machine."""
    cache = folder / "cache" / "mnist"
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.setattr(folders, "cache_folder", lambda name: cache.with_name(name))
    return cache
