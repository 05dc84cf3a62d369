"""Writing a file whole or not at all: old or new at every moment; leftovers of killed writers are removed."""

import errno
import hashlib
import os
import pathlib
import platform
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastnn.system import files

if sys.platform != "win32":
    import fcntl

on_posix = pytest.mark.skipif(os.name != "posix", reason="permissions, descriptors of folders and locks are POSIX's")
OTHER_MACHINE = "01234567"

# Opens a file to replace, reports it, and waits to be killed.
WRITER = f"""
import sys
sys.path.append({str(pathlib.Path(files.__file__).parent)!r})
import files

with files.replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["path", pytest.param("descriptor", marks=on_posix)])
def place(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """The arguments that name tmp_path / "file"."""
    if request.param == "path":
        yield {"path": tmp_path / "file"}
        return
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield {"path": "file", "dir_fd": descriptor}
    os.close(descriptor)


def killed_writer(path: pathlib.Path) -> None:
    run = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.kill()


def temporary(folder: pathlib.Path) -> pathlib.Path:
    (found,) = (path for path in folder.iterdir() if files.TEMPORARY.fullmatch(path.name))
    return found


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_the_old_one_until_it_is_the_new_one(
    place: dict[str, Any], durable: bool, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "file"
    for old, new in ((None, b"first"), (b"first", b"second")):
        with files.replacing(**place, durable=durable) as stream:
            stream.write(new)
            stream.flush()
            assert (file.read_bytes() if file.exists() else None) == old
        assert file.read_bytes() == new
        assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("failing", ["block", "replace"])
def test_a_write_that_fails_leaves_the_old_file(
    place: dict[str, Any], failing: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **settings: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    (tmp_path / "file").write_bytes(b"old")
    if failing == "replace":
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="full"), files.replacing(**place) as stream:
        stream.write(b"new")
        if failing == "block":
            fail()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@on_posix
def test_nobody_else_may_read_the_new_file_sooner_than_the_old(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, before = tmp_path / "file", os.umask(0)
    seen: set[int] = set()
    real = os.fsync

    def look(descriptor: int) -> None:
        seen.update(stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    try:
        with files.replacing(file):
            assert stat.S_IMODE(temporary(tmp_path).stat().st_mode) == 0o666
        for mode, given in ((0o640, None), (0o600, 0o600)):
            file.chmod(mode)
            seen.clear()
            with files.replacing(file, mode=given):
                assert stat.S_IMODE(temporary(tmp_path).stat().st_mode) == 0o600
            assert stat.S_IMODE(file.stat().st_mode) == mode
            assert seen == {mode}
    finally:
        os.umask(before)


@on_posix
def test_as_on_windows_a_file_is_closed_before_it_is_renamed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(*names: Any, **folders: Any) -> None:
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            os.fstat(descriptor)
        real(*names, **folders)

    real = os.replace
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "replace", replace)
    with files.replacing(tmp_path / "file") as stream:
        descriptor = stream.fileno()
        stream.write(b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


# --- leftovers of killed writers --------------------------------------------------------------------


@on_posix
def test_the_next_write_removes_what_a_killed_one_left(place: dict[str, Any], tmp_path: pathlib.Path) -> None:
    killed_writer(tmp_path / "another")
    assert temporary(tmp_path).read_bytes() == b"half"
    with files.replacing(**place) as stream:
        stream.write(b"whole")
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_is_being_written_is_left_alone(place: dict[str, Any], tmp_path: pathlib.Path) -> None:
    with files.replacing(tmp_path / "slow") as slow:
        slow.write(b"slow")
        with files.replacing(**place) as stream:
            stream.write(b"quick")
    assert (tmp_path / "slow").read_bytes() == b"slow"
    assert (tmp_path / "file").read_bytes() == b"quick"


def test_files_of_other_machines_are_abandoned_after_a_day(place: dict[str, Any], tmp_path: pathlib.Path) -> None:
    here = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    day = 86400
    removed = [(OTHER_MACHINE, day + 60), ("4711", day + 60), (here, day + 60)]
    kept = [(OTHER_MACHINE, 0), (OTHER_MACHINE, day - 60), ("4711", day - 60)]
    (removed if os.name == "posix" else kept).append((here, 0))
    names = {f".fastnn-{writer}-{age:016x}.tmp": age for writer, age in removed + kept}
    others = (".fastnn-x.tmp", "fastnn-1-0123456789abcdef.tmp", "other.tmp", ".fastnn-1-0.tmp")
    for name, age in (names | dict.fromkeys(others, 9 * day)).items():
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    with files.replacing(**place):
        pass
    expected = {f".fastnn-{writer}-{age:016x}.tmp" for writer, age in kept}
    assert set(os.listdir(tmp_path)) == {"file", *expected, *others}


@on_posix
def test_what_only_has_such_a_name_is_left_alone(place: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """No link is followed, no pipe is waited for, and a folder stays."""
    here = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / f".fastnn-{here}-{'0' * 16}.tmp").symlink_to(tmp_path / "precious")
    (tmp_path / f".fastnn-{here}-{'1' * 16}.tmp").mkdir()
    os.mkfifo(tmp_path / f".fastnn-{here}-{'2' * 16}.tmp")
    with files.replacing(**place):
        pass
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert (tmp_path / f".fastnn-{here}-{'1' * 16}.tmp").is_dir()


@on_posix
def test_without_locks_age_decides(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*args: Any) -> None:
        raise OSError(errno.ENOTSUP, "no locks here")

    killed_writer(tmp_path / "another")
    left = temporary(tmp_path)
    monkeypatch.setattr(fcntl, "flock", unsupported)
    for age, expected in ((0, {"file", left.name}), (2 * 86400, {"file"})):
        os.utime(left, (time.time() - age, time.time() - age))
        with files.replacing(tmp_path / "file"):
            pass
        assert set(os.listdir(tmp_path)) == expected


@on_posix
@pytest.mark.parametrize("moment", ["before the lock", "at the lock"])
def test_a_new_file_that_another_process_takes_for_abandoned_is_made_again(
    moment: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    lost: list[pathlib.Path] = []

    def flock(descriptor: int, operation: int) -> None:
        if not lost:
            lost.append(temporary(tmp_path))
            if moment == "at the lock":
                with open(lost[0], "rb") as other:
                    real(other.fileno(), operation)
                    try:
                        real(descriptor, operation)
                    finally:
                        lost[0].unlink()
            lost[0].unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.replacing(tmp_path / "file") as stream:
        stream.write(b"whole")
    assert lost
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file"]
