"""MNIST's download, from this machine alone: good and bad mirrors, and the files that are kept."""

import contextlib
import errno
import gzip
import hashlib
import http.server
import os
import pathlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fastnn import datasets
from fastnn.datasets import download, mnist
from fastnn.errors import DatasetError
from fastnn.system import folders
from fastnn.system.progress import Progress
from tests.mnist_files import (
    BY_HAND,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    isolated,
    small_mnist,
    stored,
    whole,
    write_all,
)

REPAIR = "delete it and load again, or replace it if it is your own copy"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    return isolated(monkeypatch, tmp_path)


class Mirrors:
    """A web server on this machine: the four files, packed, under /good/, misbehavior under other names."""

    def __init__(self) -> None:
        self.files = small_mnist()
        self.requests: list[str] = []
        self.released = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, behavior: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{behavior}/"

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        _, behavior, name = handler.path.split("/")
        self.requests.append(handler.path)
        packed = gzip.compress(self.files[name.removesuffix(".gz")], mtime=0)
        wrong = {"other": gzip.compress(b"other"), "half": packed[:20], "interrupted": packed[:20], "page": b"<html>"}
        content = wrong.get(behavior, packed)
        if behavior == "absent":
            handler.send_error(404)
        elif behavior == "nonsense":
            handler.wfile.write(b"nonsense\r\n\r\n")
        elif behavior == "silent":
            self.released.wait(10)
        elif "trickl" in behavior:
            self.trickle(handler, behavior)
        elif behavior.startswith("redirected"):
            addresses = {
                "redirected": self.url("good") + name,
                "redirected-to-https": self.url("good").replace("http:", "https:") + name,
            }
            handler.send_response(302)
            handler.send_header("Location", addresses[behavior])
            handler.end_headers()
        else:
            handler.send_response(200)
            if behavior != "unsized":
                promised = packed if behavior == "interrupted" else content
                handler.send_header("Content-Length", str(len(promised)))
            handler.end_headers()
            handler.wfile.write(content)

    def trickle(self, handler: http.server.BaseHTTPRequestHandler, behavior: str) -> None:
        """Send a byte every 50 ms, without end."""
        if behavior != "trickling-header":
            handler.send_response(200)
            if behavior == "trickle":
                handler.send_header("Content-Length", "1000000")
            handler.end_headers()
        with contextlib.suppress(OSError):
            while not self.released.wait(0.05):
                handler.wfile.write(b"x")

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
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in served.files.items()}
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
    "other": rf"expected the SHA-256 [0-9a-f]{{64}} once unpacked, got {hashlib.sha256(b'other').hexdigest()}",
    "interrupted": r"(expected \d+ bytes, got 20|IncompleteRead\(.*\))",
    "half": r"Compressed file ended before the end-of-stream marker was reached",
    "page": r"Not a gzipped file \(b'<h'\)",
    "long": r"expected at most 100 bytes, got more",
    "endless": r"expected the SHA-256 [0-9a-f]{64} once unpacked, got [0-9a-f]{64}",
    "trickle": r"expected the whole file within 0.5 s, got only a part of it",
    "unsized trickle": r"expected the whole file within 0.5 s, got only a part of it",
    "trickling header": r"expected the whole file within 0.5 s, got only a part of it",
    "redirected": r"expected an https address, got a redirect to http://127\.0\.0\.1:\d+/good/.*",
    "redirected to https": r"<urlopen error .*>",  # this machine has no such server, so it was followed
}


@pytest.mark.parametrize("behavior", BAD_MIRRORS)
def test_a_bad_mirror_is_skipped_and_leaves_nothing(
    cache: pathlib.Path, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, behavior: str
) -> None:
    bad = f"http://127.0.0.1:{closed_port()}/" if behavior == "refused" else mirrors.url(behavior.replace(" ", "-"))
    if behavior == "silent":
        monkeypatch.setattr(download, "SECONDS_OF_SILENCE", 0.5)
    if "trickl" in behavior:
        monkeypatch.setattr(download, "SECONDS_IN_ALL", 0.5)
    if behavior == "long":
        monkeypatch.setattr(download, "LARGEST", 100)
    if behavior == "endless":  # more than the limit once unpacked: the rest is not even looked at
        monkeypatch.setattr(mnist, "LARGEST_ARRAY", mnist.CHUNK_BYTES)
        mirrors.files[TRAIN_IMAGES] += bytes(100_000)
        mnist.CHECKSUMS[TRAIN_IMAGES] = hashlib.sha256(mirrors.files[TRAIN_IMAGES]).hexdigest()
    monkeypatch.setattr(mnist, "MIRRORS", (bad,))
    name = f"{TRAIN_IMAGES}.gz"
    before = re.escape(f"{name}: expected to download it into {cache}, got no good copy from {bad}{name} (")
    after = re.escape(f"); check the network and load again, or {BY_HAND}")
    with pytest.raises(DatasetError, match=f"^{before}{BAD_MIRRORS[behavior]}{after}$"):
        datasets.load_mnist()
    assert not cache.exists()
    if behavior not in ("long", "endless") and "trickl" not in behavior:  # its limits hold for every mirror
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
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist, "MIRRORS", (mirrors.url("good"),))
    monkeypatch.setattr(Progress, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        datasets.load_mnist()
    assert not cache.exists()


def test_a_download_that_cannot_be_kept_is_not_blamed_on_the_network(
    cache: pathlib.Path, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(mnist, "MIRRORS", (mirrors.url("good"),))
    monkeypatch.setattr(os, "fsync", full)
    reason = f"{os.strerror(errno.ENOSPC)}; free some space, or choose another folder, or {BY_HAND}"
    message = f"{cache / TRAIN_IMAGES}.gz: expected to be able to write it, got {reason}"
    with pytest.raises(DatasetError, match=whole(message)):
        datasets.load_mnist()
    assert list(cache.iterdir()) == []


def test_a_download_is_on_the_disk_before_it_gets_its_name(mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def recorded(name: str) -> Callable[..., None]:
        real: Callable[..., None] = getattr(os, name)

        def record(*arguments: Any, **settings: Any) -> None:
            calls.append(name)
            real(*arguments, **settings)

        return record

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, recorded(name))
    monkeypatch.setattr(mnist, "MIRRORS", (mirrors.url("good"),))
    datasets.load_mnist()
    folder = ["fsync"] if os.name == "posix" else []
    assert calls == ["fsync", "replace", *folder] * 4


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
