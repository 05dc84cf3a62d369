"""Splits, one-hot rows, the digits of the package, and the IDX reader; MNIST has a test file of its own."""

import gzip
import hashlib
import pathlib
import re
import struct
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import datasets
from fastnn.datasets import digits
from fastnn.errors import DatasetError

REPAIR = "delete it and load again, or replace it if it is your own copy"


def whole(sentence: str) -> str:
    return f"^{re.escape(sentence)}$"


def test_split_is_a_partition_in_the_classes_shares() -> None:
    t = np.repeat([3, 5, 9], [10, 25, 65])
    x = np.arange(100).reshape(100, 1)
    (x_train, t_train), (x_test, t_test) = datasets.train_test_split(x, t, 0.2, rng=1)
    np.testing.assert_array_equal(np.sort(np.concatenate([x_train, x_test]), axis=0), x)
    np.testing.assert_array_equal(t_train, t[x_train[:, 0]])
    np.testing.assert_array_equal(t_test, t[x_test[:, 0]])
    np.testing.assert_array_equal(np.unique(t_test, return_counts=True)[1], [2, 5, 13])
    assert (np.diff(t_train) < 0).any() and (np.diff(t_test) < 0).any()  # shuffled, not sorted by class


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=6), st.floats(0.05, 0.95), st.booleans(), st.integers(0, 2**32)
)
@settings(max_examples=60, deadline=None)
def test_split_of_any_classes(counts: list[int], fraction: float, stratify: bool, seed: int) -> None:
    t = np.repeat(np.arange(len(counts)), counts)
    rows, tested = len(t), round(len(t) * fraction)
    if tested in (0, rows):
        return
    (x_train, _), (x_test, t_test) = datasets.train_test_split(np.arange(rows), t, fraction, seed, stratify)
    assert sorted([*x_train, *x_test]) == list(range(rows))
    assert len(x_test) == tested
    if stratify:
        shares = np.array(counts) * tested / rows
        assert (np.abs(np.bincount(t_test, minlength=len(counts)) - shares) < 1).all()


def test_split_follows_the_generator() -> None:
    x, t = np.arange(50.0), np.tile([0, 1], 25)
    first = datasets.train_test_split(x, t, rng=7)
    again = datasets.train_test_split(x, t, rng=np.random.default_rng(7))
    other = datasets.train_test_split(x, t, rng=8)
    np.testing.assert_array_equal(first[1][0], again[1][0])
    np.testing.assert_array_equal(first[0][0], again[0][0])
    assert not np.array_equal(np.sort(first[1][0]), np.sort(other[1][0]))


def test_split_without_a_test_part_and_of_other_targets() -> None:
    x, t = np.zeros((4, 2, 3), np.uint8), np.eye(4)
    (x_train, t_train), (x_test, t_test) = datasets.train_test_split(x, t, 0, stratify=False)
    assert x_train.shape == (4, 2, 3) and x_train.dtype == np.uint8
    assert x_test.shape == (0, 2, 3) and t_test.shape == (0, 4)
    np.testing.assert_array_equal(np.sort(t_train, axis=0), np.sort(t, axis=0))
    assert not np.shares_memory(x_train, x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.array(1.0), [1]), "x: expected an array with a row for each sample, got a single value; pass x[None]"),
        (
            ([1, 2], [1]),
            "t: expected a row for each of the 2 samples of x, got shape (1,); pass the targets of the same samples",
        ),
        (
            ([1, 2], [[1, 0], [0, 1]]),
            "t: expected labels of shape (2,) to stratify by, got shape (2, 2); "
            "pass labels and encode them after the split, or pass stratify=False",
        ),
        (
            ([1, 2], [0, 1], 0.1),
            "test_fraction: expected a fraction that leaves both parts a sample, got 0.1 of 2 samples, "
            "which leaves the test part empty; pass more samples, or 0 for no test part",
        ),
        (
            ([1, 2], [0, 1], 0.9),
            "test_fraction: expected a fraction that leaves both parts a sample, got 0.9 of 2 samples, "
            "which leaves the training part empty; pass more samples, or 0 for no test part",
        ),
        (([1, 2], [0, 1], 1), "test_fraction: expected a finite number of at least 0 and below 1, got 1"),
        (([1, 2], [0, 1], float("nan")), "test_fraction: expected a finite number of at least 0 and below 1, got nan"),
    ],
)
def test_split_refuses(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=whole(message)):
        datasets.train_test_split(*arguments)


def test_split_refuses_a_generator_of_another_kind() -> None:
    old: Any = np.random.RandomState(0)
    with pytest.raises(TypeError, match=r"^rng: expected None, a seed of at least 0 or a np\.random\.Generator, got"):
        datasets.train_test_split([1, 2], [0, 1], 0.5, old)


def test_one_hot() -> None:
    np.testing.assert_array_equal(datasets.one_hot([2, 0]), np.array([[0, 0, 1], [1, 0, 0]], np.float32))
    wide = datasets.one_hot(np.array([1], np.uint8), classes=4, dtype="float64")
    np.testing.assert_array_equal(wide, [[0.0, 1.0, 0.0, 0.0]])
    assert datasets.one_hot([1]).dtype == np.float32 and wide.dtype == np.float64
    assert datasets.one_hot(np.empty(0, int), 10).shape == (0, 10)
    assert datasets.one_hot(np.empty(0, int)).shape == (0, 0)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 3], 3, "t: expected labels of shape (2,), integers from 0 to 2, got 3 at t[1]; "),
        ([0, -1], None, "t: expected labels of shape (2,), integers from 0 to 1048575, got -1 at t[1]; "),
        ([2**40], None, "t: expected labels of shape (1,), integers from 0 to 1048575, got 1099511627776 at t[0]; "),
        ([0.0, 0.5], 2, "t: expected labels of shape (2,), integers from 0 to 1, got 0.5 at t[1]; "),
        ([[0, 1]], 2, "t: expected labels of shape (1,), integers from 0 to 1, got shape (1, 2)"),
        (7, 9, "t: expected labels of shape (1,), integers from 0 to 8, got "),
        ([0], 0, "classes: expected an integer of at least 1, got 0"),
    ],
)
def test_one_hot_refuses(labels: Any, classes: int | None, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(message)):  # the remedy is the gate's
        datasets.one_hot(labels, classes)


# ---- the digits


def test_digits_are_those_of_the_source() -> None:
    with np.load(digits.FILE, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    assert images.shape == (1797, 8, 8) and images.dtype == np.uint8 and images.max() == 16
    # the counts are those that the UCI repository states for the test set
    np.testing.assert_array_equal(np.bincount(labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    page = digits.FILE.with_name("DIGITS.md").read_text(encoding="utf-8")
    for array in (images, labels):
        assert hashlib.sha256(array.tobytes()).hexdigest() in page


def test_digits_equal_scikit_learns_copy() -> None:
    source = pytest.importorskip("sklearn.datasets", reason="scikit-learn, whose copy is compared, is not installed")
    copy = source.load_digits()
    with np.load(digits.FILE, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["images"], copy.images)
        np.testing.assert_array_equal(file["labels"], copy.target)


def test_load_digits() -> None:
    (x_train, t_train), (x_test, t_test) = datasets.load_digits()
    assert x_train.shape == (1438, 64) and t_train.shape == (1438,)
    assert x_test.shape == (359, 64) and t_test.shape == (359,)
    assert x_train.dtype == x_test.dtype == np.float32 and t_train.dtype == t_test.dtype == np.int64
    assert x_train.min() == 0 and x_train.max() == 1
    counts = np.bincount(np.concatenate([t_train, t_test]))
    assert (np.abs(np.bincount(t_test) - counts * 359 / 1797) < 1).all()
    # every sample once, each beside its own label
    with np.load(digits.FILE, allow_pickle=False) as file:
        source = np.column_stack([file["images"].reshape(-1, 64), file["labels"]])
    loaded = np.column_stack([np.concatenate([x_train, x_test]) * 16, np.concatenate([t_train, t_test])])
    np.testing.assert_array_equal(np.unique(loaded, axis=0), np.unique(source, axis=0))
    assert len(np.unique(source, axis=0)) == 1797


def test_load_digits_is_reproducible() -> None:
    first, again, other = (datasets.load_digits(rng=3), datasets.load_digits(rng=3), datasets.load_digits(rng=4))
    np.testing.assert_array_equal(first[0][0], again[0][0])
    np.testing.assert_array_equal(first[1][1], again[1][1])
    assert not np.array_equal(first[0][0], other[0][0])


def test_load_digits_in_other_forms() -> None:
    (x, t), (x_test, t_test) = datasets.load_digits(0, normalize=False, one_hot=True, dtype="float64")
    labels = datasets.load_digits(0)[0][1]
    assert x.shape == (1797, 64) and x.dtype == np.float64 and x.max() == 16
    assert t.dtype == np.float64
    np.testing.assert_array_equal(t, np.eye(10)[labels])
    assert x_test.shape == (0, 64) and t_test.shape == (0, 10)
    images = datasets.load_digits(0, normalize=False, dtype="float64", flatten=False)
    assert images[0][0].shape == (1797, 1, 8, 8) and images[1][0].shape == (0, 1, 8, 8)
    np.testing.assert_array_equal(images[0][0].reshape(1797, 64), x)
    with pytest.raises(TypeError, match=whole("dtype: expected 'float32' or 'float64', got 'float16'")):
        datasets.load_digits(dtype="float16")


# ---- the IDX reader


def idx(array: npt.NDArray[Any]) -> bytes:
    """An IDX file by the format's description, written independently of the reader."""
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (0, 28, 28)])
@pytest.mark.parametrize("packed", [False, True])
def test_read_idx(tmp_path: pathlib.Path, dtype: str, shape: tuple[int, ...], packed: bool) -> None:
    array = (np.arange(np.prod(shape)).reshape(shape) - (0 if dtype == "u1" else 3)).astype(dtype)
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    read = datasets.read_idx(str(path))
    np.testing.assert_array_equal(read, array, strict=True)
    assert read.dtype.isnative and read.flags.carray


GOOD = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))
NO_IDX = "an IDX file, which begins with 00 00, its type and its rank"


@pytest.mark.parametrize(
    ("content", "expected", "got"),
    [
        (b"", NO_IDX, "the bytes '' at its beginning"),
        (GOOD[:3], NO_IDX, "the bytes '00 00 08' at its beginning"),
        (b"<html>", NO_IDX, "the bytes '3c 68 74 6d' at its beginning"),
        (b"\0\0\x0a\x02" + GOOD[4:], NO_IDX, "the bytes '00 00 0a 02' at its beginning"),
        (b"\0\0\x08\x00", NO_IDX, "the bytes '00 00 08 00' at its beginning"),
        (b"\0\0\x08\xff" + bytes(2000), NO_IDX, "the bytes '00 00 08 ff' at its beginning"),
        (GOOD[:9], "2 dimensions in the header", "the end of the file"),
        (GOOD[:-1], "6 bytes of values for the shape (2, 3)", "only 5"),
        (GOOD + b"!", "6 bytes of values for the shape (2, 3)", "more"),
        (
            struct.pack(">BBBB3I", 0, 0, 8, 3, 0, 2**32 - 1, 2**32 - 1),
            "at most 1073741824 bytes of values",
            "a header with the shape (0, 4294967295, 4294967295)",
        ),
        (
            struct.pack(">BBBB2I", 0, 0, 14, 2, 2**14, 2**14),
            "at most 1073741824 bytes of values",
            "a header with the shape (16384, 16384)",
        ),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_read_idx_refuses(tmp_path: pathlib.Path, content: bytes, expected: str, got: str, packed: bool) -> None:
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    with pytest.raises(DatasetError, match=whole(f"{path}: expected {expected}, got {got}; {REPAIR}")):
        datasets.read_idx(path)


def damaged_middle(packed: bytes) -> bytes:
    return packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]  # the checksum that gzip keeps


@pytest.mark.parametrize(
    ("packed", "got"),
    [
        (b"<html>", "one that does not unpack (Not a gzipped file (b'<h'))"),
        (gzip.compress(GOOD, mtime=0)[:-9], "one that is cut short"),
        (gzip.compress(GOOD, mtime=0)[:5], "one that is cut short"),
        (gzip.compress(GOOD, mtime=0) + b"!", "one that does not unpack (Not a gzipped file (b'!'))"),
    ],
)
def test_read_idx_refuses_a_damaged_gzip_file(tmp_path: pathlib.Path, packed: bytes, got: str) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(packed)
    with pytest.raises(DatasetError, match=whole(f"{path}: expected an intact gzip file, got {got}; {REPAIR}")):
        datasets.read_idx(path)


def test_read_idx_refuses_a_wrong_gzip_checksum(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(damaged_middle(gzip.compress(GOOD, mtime=0)))
    message = f"{path}: expected an intact gzip file, got one that does not unpack (CRC check failed "
    with pytest.raises(DatasetError, match="^" + re.escape(message)):
        datasets.read_idx(path)


def test_read_idx_of_an_absent_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "absent"
    message = f"{path}: expected a readable file, got [Errno 2] No such file or directory: '{path}'; check the path"
    with pytest.raises(DatasetError, match=whole(message)):
        datasets.read_idx(path)


def test_read_idx_unpacks_no_more_than_was_promised(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(50_000_000), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="got more; "):
            datasets.read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_read_idx_of_any_bytes_is_an_array_or_a_dataset_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    packed = data.draw(st.booleans())
    content = bytearray(gzip.compress(GOOD, mtime=0) if packed else GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / ("mutated.gz" if packed else "mutated")
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert datasets.read_idx(path).nbytes <= len(GOOD)
    except DatasetError as error:
        assert str(error).startswith(f"{path}: expected ")
