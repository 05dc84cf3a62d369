"""Compiled kernels from disk are run: none that another user put there, and only whole ones at every moment.

The tests need one process: files are written and read as by Numba, but with a result in the place of compiled code.
"""

import contextlib
import hashlib
import os
import pathlib
import pickle
import tempfile
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from numba.core.registry import cpu_target

from fastnn.kernels import cache
from fastnn.kernels.cache import JIT_DISABLED
from fastnn.system import files
from fastnn.system.private import PrivateFolder
from fastnn.system.waiting import Waiting
from tests.other_users import as_other_user, give_away

pytestmark = [
    pytest.mark.skipif(JIT_DISABLED, reason="without the compiler nothing is kept"),
    pytest.mark.skipif(os.name != "posix", reason="owners, modes and descriptors of folders are POSIX's"),
]
REMEDY = "FASTNN_CACHE can name a folder of your own"


def compiled_function(n_threads: int) -> int:
    """Stands for an entry: its name and its file go into the name of the kept file."""
    return n_threads


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the module's findings about the cache, before and after; rebuilding returns the kept object."""
    rebuilt = SimpleNamespace(_rebuild=lambda context, *kept: kept)
    monkeypatch.setattr(cache._internals.compiler, "CompileResult", rebuilt)
    forget()
    yield
    forget()


def forget() -> None:
    """Forget the cache, as in a new process."""
    if cache._folder_or_reason.cache_info().currsize:
        folder = cache._folder_or_reason()[0]
        if folder is not None:
            folder.close()
    for function in (cache._folder_or_reason, cache._where_kept, cache._tell_not_kept):
        function.cache_clear()
    vars(cache)["WAITING"] = Waiting()


@pytest.fixture
def base(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The folder of FASTNN_CACHE."""
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "owner" / "base"))
    return tmp_path / "owner" / "base"


def kept(*content: Any) -> None:
    """Keep this as a compiled signature."""
    compiled = SimpleNamespace(
        library=SimpleNamespace(has_dynamic_globals=False),
        codegen=cpu_target.target_context.codegen(),
        _reduce=lambda: content,
    )
    cache.KernelCache(compiled_function, "serial").save_overload("signature", compiled)


def found() -> Any:
    """The object loaded for the signature; None if there is none."""
    return cache.KernelCache(compiled_function, "serial").load_overload("signature", cpu_target.target_context)


def the_file(base: pathlib.Path) -> pathlib.Path:
    (file,) = base.rglob("*.nbc")
    return file


class Attack:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, mark: pathlib.Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def plant(file: pathlib.Path, mark: pathlib.Path) -> None:
    """Write a file as another user could: the checksum is no secret."""
    data = pickle.dumps((None, (Attack(mark),)))
    file.write_bytes(hashlib.sha256(data).digest() + data)


def said(capsys: pytest.CaptureFixture[str], reason: str) -> bool:
    """True if one line was written, saying that nothing is kept for this reason."""
    line = f"fastnn: compiling kernels for their first use (for this process only: {reason})\n"
    assert capsys.readouterr().err == line
    return True


# --- code of somebody else ------------------------------------------------------------------------


def below_another_users_folder(base: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    other = give_away(base.parent, monkeypatch)
    return f"{base.parent} belongs to another user ({other}); {REMEDY}"


def below_a_folder_open_to_all(base: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    base.parent.chmod(0o777)
    return f"others may write to {base.parent}; {REMEDY}"


def through_a_link(base: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder,) = base.iterdir()
    folder.rename(base.with_name("elsewhere"))
    folder.symlink_to(base.with_name("elsewhere"))
    return f"{folder} is a symbolic link; {REMEDY}"


def through_another_users_link(base: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    base.rename(base.with_name("elsewhere"))
    base.symlink_to("elsewhere")
    other = give_away(base, monkeypatch)
    return f"{base} is a symbolic link of another user ({other}); {REMEDY}"


@pytest.mark.parametrize(
    "way", [below_another_users_folder, below_a_folder_open_to_all, through_a_link, through_another_users_link]
)
def test_code_that_another_user_can_put_there_is_not_run(
    way: Callable[[pathlib.Path, pytest.MonkeyPatch], str],
    base: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept("own code")
    assert found() == ("own code",)
    plant(the_file(base), tmp_path / "mark")
    forget()
    reason = way(base, monkeypatch)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert found() is None and found() is None
    assert said(capsys, reason)
    kept("own code")
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before  # no mark, and nothing written
    assert cache.kernel_cache_folder() is None


def test_a_file_of_another_user_is_not_run(
    base: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept("own code")
    plant(the_file(base), tmp_path / "mark")
    give_away(the_file(base), monkeypatch)
    assert found() is None
    assert not (tmp_path / "mark").exists()
    kept("own code")
    assert found() == ("own code",)


def test_a_folder_exchanged_between_two_loads_is_not_run(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    kept("own code")
    file = the_file(base)
    file.parent.rename(tmp_path / "moved")
    file.parent.mkdir(mode=0o700)
    plant(file, tmp_path / "mark")
    assert found() == ("own code",)
    assert not (tmp_path / "mark").exists()


def test_a_planted_file_would_have_run(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The attack itself works: a file in the user's own folder, by the user's own hand, is run."""
    kept("own code")
    plant(the_file(base), tmp_path / "mark")
    assert found() is not None
    assert (tmp_path / "mark").exists()


# --- old versions ---------------------------------------------------------------------------------


def test_nothing_is_removed_through_a_link(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.nbc").touch()
    base.mkdir(parents=True)
    (base / ("0" * 32)).symlink_to(tmp_path / "other")
    os.utime(base / ("0" * 32), (0, 0), follow_symlinks=False)
    kept("own code")
    assert (tmp_path / "other" / "precious.nbc").exists()


# --- whole at every moment ------------------------------------------------------------------------


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is full in the middle of writing a longer file."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_ends_in_the_middle_leaves_the_old_file(base: pathlib.Path) -> None:
    kept("old", bytes(100_000))
    before = the_file(base).read_bytes()
    with files_of_at_most(50_000):
        kept("new", bytes(100_000))
    assert the_file(base).read_bytes() == before
    assert os.listdir(the_file(base).parent) == [the_file(base).name]
    assert found()[0] == "old"


def test_a_write_of_another_process_does_not_show_until_it_is_whole(
    base: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(*names: Any, **folders: Any) -> None:
        seen.append(found()[0])
        real(*names, **folders)
        seen.append(found()[0])

    real = os.replace
    seen: list[str] = []
    kept("old")
    monkeypatch.setattr(os, "replace", replace)
    kept("new")
    assert seen == ["old", "new"]


def test_the_next_write_removes_what_a_killed_one_left(base: pathlib.Path) -> None:
    kept("old")
    left = the_file(base).with_name(f".fastnn-{files._machine()}-{'0' * 16}.tmp")
    left.write_bytes(b"half")  # and nobody holds its lock
    kept("new")
    assert os.listdir(left.parent) == [the_file(base).name]


# --- nowhere to write -----------------------------------------------------------------------------


def test_a_folder_that_may_only_be_read_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root, to whom no folder is read-only, acts as another user, who may trust root's files."""
    with tempfile.TemporaryDirectory() as name:
        base = pathlib.Path(name)
        monkeypatch.setenv("FASTNN_CACHE", name)
        kept("code")
        the_file(base).chmod(0o444)
        folder = the_file(base).parent
        folder.chmod(0o555)
        base.chmod(0o555)
        forget()
        try:
            with as_other_user():
                assert found() == ("code",)
                assert capsys.readouterr().err == ""
                kept("other code")
                assert found() == ("code",)
                cache._announce_compilation()
                assert said(capsys, f"{folder} cannot be written to")
        finally:
            base.chmod(0o700)
            folder.chmod(0o700)


def test_a_folder_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        base = pathlib.Path(name)
        monkeypatch.setenv("FASTNN_CACHE", str(base / "new"))
        base.chmod(0o555)
        try:
            with as_other_user():
                kept("code")
                assert found() is None
                assert said(capsys, f"[Errno 13] Permission denied: '{base / 'new'}'; {REMEDY}")
        finally:
            base.chmod(0o700)
        assert os.listdir(base) == []


def test_a_full_disk_is_spoken_of_once(
    base: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(folder: PrivateFolder, name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PrivateFolder, "write", full)
    kept("code")
    kept("code")
    line = "fastnn: compiled kernels are not kept, and the next process compiles them again: No space left on device\n"
    assert capsys.readouterr().err == line
    monkeypatch.undo()


def test_the_users_home_is_found(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("FASTNN_CACHE", "~/kernels")
    folder = cache.kernel_cache_folder()
    assert folder is not None and folder.parent == tmp_path / "kernels"
