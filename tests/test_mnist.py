"""MNIST: where its files are looked for, what is refused, and the download, from this machine alone."""

import gzip
import hashlib
import http.server
import os
import pathlib
import re
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastnn import datasets, folders
from fastnn.datasets import mnist
from fastnn.errors import DatasetError
from fastnn.progress import Progress

Array = npt.NDArray[Any]

REAL_MNIST = pathlib.Path(
    os.environ.get("FASTNN_DATA") or pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
)
REPAIR = "delete it and load again, or replace it if it is your own copy"
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


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """An empty cache folder, and no mirrors: no test reaches the user's files or another machine."""
    folder = tmp_path / "cache" / "mnist"
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.setattr(folders, "cache_folder", lambda name: folder.with_name(name))
    return folder


# ---- files that are there


BLANK = np.zeros((3, 28, 28), np.uint8)
LABELS_MISSING = f"6 uint8 labels, one for each image of {TRAIN_IMAGES}, got uint8 of shape (5,)"
needs_real_mnist = pytest.mark.skipif(
    not REAL_MNIST.is_dir(), reason="MNIST itself is neither in $FASTNN_DATA nor in ../shared/data/mnist"
)


def write_all(folder: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    """Two of the files plain and two packed, so that both are read."""
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
        "add what is missing, or name no folder to have MNIST downloaded"
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


# ---- the download


class Mirrors:
    """A web server on this machine: the four files, packed, under /good/, misbehaviour under other names."""

    def __init__(self) -> None:
        self.files = small_mnist()
        self.requests: list[str] = []
        self.released = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{behaviour}/"

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        _, behaviour, name = handler.path.split("/")
        self.requests.append(handler.path)
        packed = gzip.compress(self.files[name.removesuffix(".gz")], mtime=0)
        wrong = {
            "other": gzip.compress(b"other"),
            "half": packed[:20],
            "interrupted": packed[:20],
            "page": b"<html>",
        }
        content = wrong.get(behaviour, packed)
        if behaviour == "absent":
            handler.send_error(404)
        elif behaviour == "nonsense":
            handler.wfile.write(b"nonsense\r\n\r\n")
        elif behaviour == "silent":
            self.released.wait(10)
        else:
            handler.send_response(200)
            if behaviour != "unsized":
                promised = packed if behaviour == "interrupted" else content
                handler.send_header("Content-Length", str(len(promised)))
            handler.end_headers()
            handler.wfile.write(content)

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        mirrors = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirrors.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirrors]:
    served = Mirrors()
    sums = {name: hashlib.md5(content).hexdigest() for name, content in served.files.items()}
    monkeypatch.setattr(mnist, "CHECKSUMS", sums)
    yield served
    served.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_download_once(cache: pathlib.Path, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", (mirrors.url("good"), mirrors.url("absent")))
    for _ in range(2):
        (x_train, t_train), _ = datasets.load_mnist(normalize=False)
        np.testing.assert_array_equal(x_train, stored(TRAIN_IMAGES))
        np.testing.assert_array_equal(t_train, stored(TRAIN_LABELS))
    names = [f"{name}.gz" for name in mnist.CHECKSUMS]
    assert mirrors.requests == [f"/good/{name}" for name in names]
    assert sorted(path.name for path in cache.iterdir()) == sorted(names)


def test_download_fetches_only_what_is_missing(
    cache: pathlib.Path, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(cache, mirrors.files)
    (cache / TEST_LABELS).unlink()
    monkeypatch.setattr(mnist, "MIRRORS", (mirrors.url("unsized"),))
    assert datasets.load_mnist()[1][1].tolist() == stored(TEST_LABELS).tolist()
    assert mirrors.requests == [f"/unsized/{TEST_LABELS}.gz"]


BAD_MIRRORS = {
    "absent": r"HTTP Error 404: Not Found",
    "nonsense": r"nonsense\s+",
    "silent": r"timed out",
    "refused": r"<urlopen error .*refused.*>",
    "other": r"expected the MD5 [0-9a-f]{32} once unpacked, got 795f3202b17cb6bc3d4b771d8c6c9eaf",
    "interrupted": r"(expected \d+ bytes, got 20|IncompleteRead\(.*\))",
    "half": r"Compressed file ended before the end-of-stream marker was reached",
    "page": r"Not a gzipped file \(b'<h'\)",
    "long": r"expected at most 100 bytes, got more",
    "endless": r"expected the MD5 [0-9a-f]{32} once unpacked, got [0-9a-f]{32}",
}


@pytest.mark.parametrize("behaviour", BAD_MIRRORS)
def test_a_bad_mirror_is_skipped_and_leaves_nothing(
    cache: pathlib.Path, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    bad = f"http://127.0.0.1:{closed_port()}/" if behaviour == "refused" else mirrors.url(behaviour)
    if behaviour == "silent":
        monkeypatch.setattr(mnist, "TIMEOUT_SECONDS", 1)
    if behaviour == "long":
        monkeypatch.setattr(mnist, "LARGEST_DOWNLOAD", 100)
    if behaviour == "endless":  # more than the bound once unpacked: the rest is not even looked at
        monkeypatch.setattr(mnist, "LARGEST_ARRAY", mnist.CHUNK_BYTES)
        mirrors.files[TRAIN_IMAGES] += bytes(100_000)
        mnist.CHECKSUMS[TRAIN_IMAGES] = hashlib.md5(mirrors.files[TRAIN_IMAGES]).hexdigest()
    monkeypatch.setattr(mnist, "MIRRORS", (bad,))
    name = f"{TRAIN_IMAGES}.gz"
    before = re.escape(f"{name}: expected to download it into {cache}, got no good copy from {bad}{name} (")
    after = re.escape(f"); check the network and load again, or {BY_HAND}")
    with pytest.raises(DatasetError, match=f"^{before}{BAD_MIRRORS[behaviour]}{after}$"):
        datasets.load_mnist()
    assert list(cache.iterdir()) == []
    if behaviour not in ("long", "endless"):  # these two hold for every mirror
        (write_all(cache, mirrors.files) / name).unlink()
        monkeypatch.setattr(mnist, "MIRRORS", (bad, mirrors.url("good")))
        np.testing.assert_array_equal(datasets.load_mnist(normalize=False)[0][0], stored(TRAIN_IMAGES))
        assert len(list(cache.iterdir())) == 4


def test_all_mirrors_that_failed_are_named(
    cache: pathlib.Path, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = mirrors.url("absent"), mirrors.url("page")
    monkeypatch.setattr(mnist, "MIRRORS", (first, second))
    name = f"{TRAIN_IMAGES}.gz"
    message = (
        f"{name}: expected to download it into {cache}, got no good copy from "
        f"{first}{name} (HTTP Error 404: Not Found), nor from {second}{name} (Not a gzipped file (b'<h')); "
        f"check the network and load again, or {BY_HAND}"
    )
    with pytest.raises(DatasetError, match=whole(message)):
        datasets.load_mnist()


def test_an_interrupted_download_leaves_nothing(
    cache: pathlib.Path, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        assert [path.suffix for path in cache.iterdir()] == [".part"]
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist, "MIRRORS", (mirrors.url("good"),))
    monkeypatch.setattr(Progress, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        datasets.load_mnist()
    assert list(cache.iterdir()) == []


def test_a_download_is_on_the_disk_before_it_gets_its_name(mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def recorded(name: str) -> Callable[..., None]:
        real: Callable[..., None] = getattr(os, name)

        def record(*arguments: Any) -> None:
            calls.append(name)
            real(*arguments)

        return record

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, recorded(name))
    monkeypatch.setattr(mnist, "MIRRORS", (mirrors.url("good"),))
    datasets.load_mnist()
    assert calls == ["fsync", "replace"] * 4


def test_a_cached_file_that_was_damaged_later_is_named(
    cache: pathlib.Path, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", (mirrors.url("good"),))
    datasets.load_mnist()
    path = cache / f"{TEST_IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:100])
    message = f"{path}: expected an intact gzip file, got one that is cut short; {REPAIR}"
    with pytest.raises(DatasetError, match=whole(message)):
        datasets.load_mnist()
    path.unlink()
    assert datasets.load_mnist()[1][0].shape == (3, 784)


def test_no_home_folder_to_download_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "cache_folder", lambda name: None)
    message = f"folder: expected a home folder to download MNIST into, got none; {BY_HAND}"
    with pytest.raises(DatasetError, match=whole(message)):
        datasets.load_mnist()


@needs_real_mnist
def test_the_checksums_are_those_of_the_real_files() -> None:
    for name, checksum in mnist.CHECKSUMS.items():
        plain, packed = REAL_MNIST / name, REAL_MNIST / f"{name}.gz"
        content = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
        assert hashlib.md5(content).hexdigest() == checksum
