"""A folder whose files are run: files that another user could have written are refused, others are not."""

import errno
import os
import pathlib
import re
import stat
import sys
import tempfile
from types import SimpleNamespace
from typing import Any

import pytest

from fastnn.system.private import PrivateFolder
from tests.other_users import OTHER_USER, as_other_user, give_away

if sys.platform != "win32":
    import grp
    import pwd

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners, modes and descriptors of folders are POSIX's")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> PrivateFolder:
    """The folder outer/middle/inner, with a file in it."""
    made = PrivateFolder(tmp_path / "outer" / "middle" / "inner")
    made.write("file", b"content")
    return made


def refused(path: pathlib.Path, sentence: str) -> None:
    with pytest.raises(PermissionError, match=f"^{re.escape(sentence)}$"):
        PrivateFolder(path)


# --- the folder and those above it ----------------------------------------------------------------


def test_it_is_made_for_the_user_alone(tmp_path: pathlib.Path) -> None:
    before = os.umask(0)
    try:
        folder = PrivateFolder(tmp_path / "outer" / "inner")
    finally:
        os.umask(before)
    assert folder.is_new and not PrivateFolder(folder.path).is_new
    folder.write("file", b"content")
    assert folder.read("file") == b"content"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"outer": 0o700, "inner": 0o700, "file": 0o600}


@pytest.mark.parametrize("name", ["outer", "outer/middle", "outer/middle/inner"])
def test_a_folder_of_another_user_is_refused_wherever_it_stands(
    name: str, folder: PrivateFolder, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = give_away(tmp_path / name, monkeypatch)
    refused(folder.path, f"{tmp_path / name} belongs to another user ({other})")
    refused(folder.path / "deeper", f"{tmp_path / name} belongs to another user ({other})")
    assert not (folder.path / "deeper").exists()


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o1777])
@pytest.mark.parametrize("name", ["outer", "outer/middle", "outer/middle/inner"])
def test_a_folder_that_others_may_write_to_is_refused(
    name: str, mode: int, folder: PrivateFolder, tmp_path: pathlib.Path
) -> None:
    (tmp_path / name).chmod(mode)
    if mode == 0o1777 and not name.endswith("inner"):  # where the sticky bit protects what is below
        assert PrivateFolder(folder.path).read("file") == b"content"
    else:
        refused(folder.path, f"others may write to {tmp_path / name}")


def group(monkeypatch: pytest.MonkeyPatch, group_name: str, members: list[str], primary: int) -> None:
    monkeypatch.setattr(pwd, "getpwuid", lambda number: SimpleNamespace(pw_name="me", pw_gid=primary))
    answer = SimpleNamespace(gr_name=group_name, gr_gid=7, gr_mem=members)
    monkeypatch.setattr(grp, "getgrgid", lambda number: answer)


@pytest.mark.parametrize(
    ("group_name", "members", "primary", "listed", "trusted"),
    [
        ("me", [], 7, False, True),
        ("me", ["me"], 7, False, True),
        ("me", ["me", "you"], 7, False, False),
        ("we", [], 7, False, False),
        ("me", [], 8, False, False),
        ("me", [], 7, True, False),
    ],
)
def test_a_group_of_the_user_alone_is_the_user(
    group_name: str,
    members: list[str],
    primary: int,
    listed: bool,
    trusted: bool,
    folder: PrivateFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def list_of_users(path: str, name: str) -> bytes:
        if listed:
            return b"a list that names somebody else"
        raise OSError(errno.ENODATA, "no list")

    group(monkeypatch, group_name, members, primary)
    monkeypatch.setattr(os, "getxattr", list_of_users, raising=False)
    folder.path.parent.chmod(0o770)
    if trusted:
        assert PrivateFolder(folder.path).read("file") == b"content"
    else:
        refused(folder.path, f"others may write to {folder.path.parent}")


def test_a_folder_may_be_passed_that_must_not_be_listed() -> None:
    with tempfile.TemporaryDirectory() as name:
        outer = pathlib.Path(name)
        outer.chmod(0o711)
        if os.geteuid() == 0:
            (outer / "inner").mkdir()
            os.chown(outer / "inner", OTHER_USER, OTHER_USER)
        with as_other_user():
            if os.geteuid() != os.getuid():
                assert not os.access(outer, os.R_OK, effective_ids=True)
            PrivateFolder(outer / "inner").write("file", b"content")
        assert (outer / "inner" / "file").read_bytes() == b"content"


# --- links ----------------------------------------------------------------------------------------


def test_the_folder_itself_is_no_link(folder: PrivateFolder, tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to(folder.path)
    refused(tmp_path / "link", f"{tmp_path / 'link'} is a symbolic link")


@pytest.mark.parametrize("relative", [True, False])
def test_links_of_the_user_are_followed_and_their_targets_examined(
    relative: bool, folder: PrivateFolder, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link"
    link.symlink_to("../outer/middle" if relative else folder.path.parent)
    assert PrivateFolder(link / "inner").read("file") == b"content"
    other = give_away(tmp_path / "outer", monkeypatch)
    place = tmp_path / "links" / ".." / "outer" if relative else tmp_path / "outer"
    refused(link / "inner", f"{place} belongs to another user ({other})")


def test_a_link_of_another_user_is_refused(
    folder: PrivateFolder, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder.path.parent)
    other = give_away(link, monkeypatch)
    refused(link / "inner", f"{link} is a symbolic link of another user ({other})")


def test_a_loop_of_links_ends(tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(OSError, match="link") as caught:
        PrivateFolder(tmp_path / "link" / "inner")
    assert caught.value.errno == errno.ELOOP


def test_what_is_no_folder_is_named_with_its_whole_path(folder: PrivateFolder) -> None:
    with pytest.raises(NotADirectoryError, match=re.escape(str(folder.path / "file"))):
        PrivateFolder(folder.path / "file" / "deeper")


# --- its files ------------------------------------------------------------------------------------


def test_a_file_of_another_user_is_not_read(folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    other = give_away(folder.path / "file", monkeypatch)
    with pytest.raises(PermissionError, match=rf"file belongs to another user \({other}\)$"):
        folder.read("file")
    folder.write("file", b"mine")
    assert folder.read("file") == b"mine"


def test_a_file_that_others_may_write_to_is_not_read(folder: PrivateFolder) -> None:
    (folder.path / "file").chmod(0o602)
    with pytest.raises(PermissionError, match=r"others may write to .*file$"):
        folder.read("file")


def test_neither_links_nor_pipes_are_read(folder: PrivateFolder) -> None:
    (folder.path / "link").symlink_to("file")
    os.mkfifo(folder.path / "pipe")
    with pytest.raises(OSError, match="link"):
        folder.read("link")
    with pytest.raises(PermissionError, match=r"pipe is neither a file nor a folder$"):
        folder.read("pipe")


def test_a_folder_put_in_its_place_is_neither_read_nor_written(folder: PrivateFolder) -> None:
    folder.path.rename(folder.path.with_name("moved"))
    folder.path.mkdir()
    (folder.path / "file").write_bytes(b"foreign")
    assert folder.read("file") == b"content"
    folder.write("file", b"new")
    assert (folder.path / "file").read_bytes() == b"foreign"
    assert (folder.path.with_name("moved") / "file").read_bytes() == b"new"


def test_a_folder_that_is_opened_to_others_later_is_no_longer_read(folder: PrivateFolder) -> None:
    folder.path.chmod(0o777)
    with pytest.raises(PermissionError, match="others may write to"):
        folder.read("file")


# --- a long life ----------------------------------------------------------------------------------


def test_a_program_may_close_all_descriptors(folder: PrivateFolder, tmp_path: pathlib.Path) -> None:
    assert folder._descriptor is not None
    opened, other = os.open(tmp_path, os.O_RDONLY), folder._descriptor
    os.dup2(opened, other)  # as where a daemon closes all, and the number is then given to something else
    os.close(opened)
    try:
        assert folder.read("file") == b"content"
        assert folder._descriptor != other
        os.fstat(other)  # it was left open
    finally:
        os.close(other)


def test_a_folder_that_was_removed_is_made_again(folder: PrivateFolder) -> None:
    folder.remove(lambda name: name == "file")
    assert not folder.path.exists()
    folder.write("file", b"again")
    assert folder.read("file") == b"again"


def test_only_its_own_files_are_removed(folder: PrivateFolder) -> None:
    folder.write("letter", b"precious")
    with pytest.raises(OSError, match=str(folder.path)):
        folder.remove(lambda name: name == "file")
    assert os.listdir(folder.path) == ["letter"]


def test_no_descriptor_is_left_open(folder: PrivateFolder, tmp_path: pathlib.Path) -> None:
    def count() -> int:
        return len(os.listdir("/dev/fd"))

    before = count()
    for path in (folder.path, tmp_path / "outer", folder.path / "file" / "deeper"):
        try:
            made: Any = PrivateFolder(path)
            made.close()
            made.close()
        except OSError:
            pass
    assert count() == before


# --- without descriptors --------------------------------------------------------------------------


def test_on_windows_paths_take_their_place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    path = tmp_path / "outer" / "inner"
    folder = PrivateFolder(path)
    assert folder.is_new and folder._descriptor is None and folder.is_writable()
    folder.write("file", b"content")
    folder.write("file", b"new content")
    assert folder.read("file") == b"new content"
    assert os.listdir(path) == ["file"]
    (path / "link").symlink_to("file")
    with pytest.raises(PermissionError, match=r"link is a symbolic link$"):
        folder.read("link")
    (tmp_path / "link").symlink_to(path)
    refused(tmp_path / "link", f"{tmp_path / 'link'} is a symbolic link")
    os.utime(path, (0, 0))
    folder.mark_as_used()
    assert path.stat().st_mtime > 0
    folder.remove(lambda name: True)
    folder.close()
    assert not path.exists()
