"""MNIST: where its files are looked for, which are refused, and the arrays that they become."""

import gzip
import hashlib
import os
import pathlib
import tracemalloc
from typing import Any

import numpy as np
import pytest

from fastnn import datasets
from fastnn.datasets import mnist
from fastnn.errors import DatasetError
from tests.mnist_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    idx,
    isolated,
    small_mnist,
    stored,
    whole,
    write_all,
)

REAL_MNIST = pathlib.Path(
    os.environ.get("FASTNN_DATA") or pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
)
REPAIR = "delete it and load again, or replace it if it is your own copy"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    return isolated(monkeypatch, tmp_path)


# ---- files that are there


BLANK = np.zeros((3, 28, 28), np.uint8)
LABELS_MISSING = f"6 uint8 labels, one for each image of {TRAIN_IMAGES}, got uint8 of shape (5,)"
needs_real_mnist = pytest.mark.skipif(
    not REAL_MNIST.is_dir(), reason="MNIST itself is neither in $FASTNN_DATA nor in ../shared/data/mnist"
)


def test_load_mnist_from_a_folder(tmp_path: pathlib.Path) -> None:
    folder = write_all(tmp_path, small_mnist())
    x_train, t_train, x_test, t_test = map(stored, mnist.CHECKSUMS)
    (x, t), (x_other, t_other) = datasets.load_mnist(folder)
    np.testing.assert_array_equal(x, x_train / np.float32(255), strict=True)
    np.testing.assert_array_equal(x_other, x_test / np.float32(255), strict=True)
    np.testing.assert_array_equal(t, t_train.astype(np.int64), strict=True)
    np.testing.assert_array_equal(t_other, t_test.astype(np.int64), strict=True)
    assert x.flags.writeable and t.flags.writeable


def test_load_mnist_in_other_forms(tmp_path: pathlib.Path) -> None:
    folder = write_all(tmp_path, small_mnist())
    x_train, t_train, _, t_test = map(stored, mnist.CHECKSUMS)
    (x, t), (x_other, t_other) = datasets.load_mnist(str(folder), normalize=False, flatten=False, one_hot=True)
    np.testing.assert_array_equal(x, x_train.reshape(6, 1, 28, 28), strict=True)
    assert x_other.shape == (3, 1, 28, 28)
    np.testing.assert_array_equal(t, np.eye(10, dtype=np.float32)[t_train], strict=True)
    np.testing.assert_array_equal(t_other, np.eye(10, dtype=np.float32)[t_test], strict=True)


@pytest.mark.parametrize("given_by", ["folder", "FASTNN_DATA"])
def test_load_mnist_names_what_is_missing_and_writes_nothing_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, given_by: str
) -> None:
    folder = write_all(tmp_path / "data", small_mnist())
    monkeypatch.setenv("FASTNN_DATA", str(folder if given_by == "FASTNN_DATA" else tmp_path / "elsewhere"))
    argument = folder if given_by == "folder" else None
    assert datasets.load_mnist(argument)[0][0].shape == (6, 784)
    (folder / f"{TRAIN_IMAGES}.gz").unlink()
    (folder / TEST_LABELS).unlink()
    before = sorted(folder.iterdir())
    message = (
        f"{given_by}: expected four files, plain or .gz, in {folder}, got no {TRAIN_IMAGES}, {TEST_LABELS}; "
        "add the missing files, or name no folder to have MNIST downloaded"
    )
    with pytest.raises(DatasetError, match=whole(message)):
        datasets.load_mnist(argument)
    assert sorted(folder.iterdir()) == before


def test_load_mnist_refuses_what_is_no_path() -> None:
    number: Any = 5
    message = "folder: expected a path or None, got int; pass a string or a pathlib.Path"
    with pytest.raises(TypeError, match=whole(message)):
        datasets.load_mnist(number)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (TRAIN_IMAGES, idx(BLANK[:, 1:]), "uint8 images (N, 28, 28), got uint8 of shape (3, 27, 28)"),
        (TEST_IMAGES, idx(BLANK, code=9), "uint8 images (N, 28, 28), got int8 of shape (3, 28, 28)"),
        (TRAIN_LABELS, idx(np.zeros(5, "u1")), LABELS_MISSING),
        (TEST_LABELS, idx(np.array([1, 10, 2], "u1")), "labels from 0 to 9, got a label 10"),
    ],
)
def test_load_mnist_refuses_files_that_disagree(
    tmp_path: pathlib.Path, name: str, content: bytes, complaint: str
) -> None:
    for other, usual in small_mnist().items():
        (tmp_path / other).write_bytes(usual)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=whole(f"{tmp_path / name}: expected {complaint}; {REPAIR}")):
        datasets.load_mnist(tmp_path)


def test_load_mnist_holds_the_images_twice_at_most(tmp_path: pathlib.Path) -> None:
    folder = write_all(tmp_path, small_mnist(train=3000, test=1))
    tracemalloc.start()
    try:
        datasets.load_mnist(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    as_bytes, as_floats = 3000 * 784, 3000 * 784 * 4
    assert peak < as_bytes + as_floats + 500_000


@needs_real_mnist
def test_real_mnist() -> None:
    (x_train, t_train), (x_test, t_test) = datasets.load_mnist(REAL_MNIST)
    assert x_train.shape == (60000, 784) and t_train.shape == (60000,)
    assert x_test.shape == (10000, 784) and t_test.shape == (10000,)
    assert t_train[:5].tolist() == [5, 0, 4, 1, 9] and t_test[:5].tolist() == [7, 2, 1, 0, 4]
    assert x_train.dtype == np.float32 and x_train.min() == 0 and x_train.max() == 1
    assert abs(float(x_train.mean(dtype=np.float64)) - 0.1307) < 1e-4


@needs_real_mnist
def test_the_checksums_are_those_of_the_real_files() -> None:
    for name, checksum in mnist.CHECKSUMS.items():
        plain, packed = REAL_MNIST / name, REAL_MNIST / f"{name}.gz"
        content = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
        assert hashlib.sha256(content).hexdigest() == checksum
