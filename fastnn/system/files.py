"""Writing a file whole or not at all, whatever happens meanwhile.

A new file is written under a temporary name beside the old one and then takes its name. A process that is killed
meanwhile leaves the temporary file; whoever writes into that folder next removes it.
"""

import contextlib
import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from typing import IO

if sys.platform != "win32":
    import fcntl

# A temporary file is named after its machine, by a hash (in earlier versions, by the number of the process).
TEMPORARY = re.compile(r"\.fastnn-([0-9a-f]+)-[0-9a-f]{16}\.tmp")
SECONDS_UNTIL_ABANDONED = 86400.0

_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str], dir_fd: int | None = None, mode: int | None = None, durable: bool = True
) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of `path` when the block ends, and vanishes if the block raises.

    path: the file to replace or to create. A symbolic link is replaced itself, not its target.
    dir_fd: the descriptor of the folder that holds `path`, then a bare name; for systems that have such descriptors.
    mode: the permissions of the new file. None takes those of the old one, or the usual ones where there is none.
    durable: True brings the file to the disk before it takes the name: after a power failure, too, `path` is the old
        file or the new one, whole. False leaves that to the system.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path)
    remove_abandoned(folder, dir_fd)
    kept = _permissions(path, dir_fd) if mode is None else mode
    # Nobody may read the new file before it has the permissions of the old one.
    temporary, descriptor = _create(folder, dir_fd, 0o666 if kept is None else 0o600)
    closed_before = sys.platform == "win32"  # which cannot rename an open file; elsewhere closing ends the lock
    try:
        with open(descriptor, "w+b", closefd=closed_before) as file:
            yield file
            file.flush()
            if kept is not None:
                os.chmod(descriptor if os.chmod in os.supports_fd else temporary, kept)
            if durable:
                os.fsync(descriptor)
        os.replace(temporary, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    finally:
        with contextlib.suppress(OSError):  # usually gone by now; an earlier error matters more
            os.unlink(temporary, dir_fd=dir_fd)
        if not closed_before:
            os.close(descriptor)
    if durable:
        _synchronize_folder(folder, dir_fd)


def try_folder(folder: str) -> None:
    """Create a file in a folder and remove it; OSError where that fails."""
    temporary, descriptor = _create(folder, None, 0o600)
    os.close(descriptor)
    with contextlib.suppress(FileNotFoundError):  # removed by another process, as nobody held it
        os.unlink(temporary)


def remove_abandoned(folder: str, dir_fd: int | None = None) -> None:
    """Remove the temporary files whose writers are gone. Where that fails, nothing is said."""
    with contextlib.suppress(OSError), os.scandir((folder or ".") if dir_fd is None else dir_fd) as entries:
        for entry in entries:
            match = TEMPORARY.fullmatch(entry.name)
            if match is None:
                continue
            with contextlib.suppress(OSError):  # gone by now, being written, or somebody else's
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > SECONDS_UNTIL_ABANDONED:
                    os.unlink(entry.path, dir_fd=dir_fd)
                elif match[1] == _machine():  # file systems that machines share need not share locks
                    _remove_unlocked(entry.path, dir_fd)


def remedy(error: OSError, path: str | os.PathLike[str]) -> str:
    """How to mend what kept `path` from being written."""
    folder = os.path.dirname(path)
    if isinstance(error, FileNotFoundError) and not os.path.isdir(folder):
        return f"create the folder {folder} first"
    if isinstance(error, NotADirectoryError):
        return f"choose another folder, as {folder} is not one"
    if isinstance(error, PermissionError):
        return "choose a file and a folder that you may write to"
    remedies = {
        errno.ENOSPC: "free some space, or choose another folder",
        errno.EDQUOT: "free some space, or choose another folder",
        errno.ELOOP: "remove the loop of symbolic links, or choose another name",
        errno.ENAMETOOLONG: "choose a shorter name",
        errno.EROFS: "choose a folder on a disk that may be written to",
        errno.EFBIG: "choose another folder, on a disk that takes files of this size",
        errno.EIO: "choose another folder, and have the disk of this one examined",
    }
    return remedies.get(error.errno or 0, "choose another folder")


def _permissions(path: str, dir_fd: int | None) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(path, dir_fd=dir_fd).st_mode)
    return None


def _create(folder: str, dir_fd: int | None, mode: int) -> tuple[str, int]:
    """A new temporary file, locked where the system can: its name and its descriptor.

    The system itself drops the lock when the last process that has the file open ends, however it ends.
    """
    while True:
        name = os.path.join(folder, f".fastnn-{_machine()}-{secrets.token_hex(8)}.tmp")
        descriptor = os.open(name, _NEW_FILE, mode, dir_fd=dir_fd)
        if sys.platform == "win32":
            return name, descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = os.fstat(descriptor).st_nlink == 0
        except OSError as error:  # without locks a file is abandoned when it is old
            taken = isinstance(error, BlockingIOError)
        if not taken:
            return name, descriptor
        os.close(descriptor)  # another process took it for abandoned before it was locked


def _remove_unlocked(path: str, dir_fd: int | None) -> None:
    """Remove a temporary file that nobody is writing; OSError where somebody is, or where there are no locks."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path, dir_fd=dir_fd)
    finally:
        os.close(descriptor)


@functools.cache
def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _synchronize_folder(folder: str, dir_fd: int | None) -> None:
    """Bring the new name to the disk where the system can; Windows and some network file systems cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY, dir_fd=dir_fd)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def reading(path: str, name: str = "path") -> Iterator[IO[bytes]]:
    """The file at `path`, opened; OSError with a sentence that says what to do, for an argument of this name."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below; only errors of open itself are caught here
    except OSError as error:
        advice = f"check the name and the folder {os.path.dirname(os.path.abspath(path))}"
        raise restated(error, f"{name}: expected a readable file, got {path} ({error.strerror}); {advice}") from error
    with file:
        yield file


def restated(error: OSError, sentence: str) -> OSError:
    """The same kind of error, with a sentence that says what to do."""
    made = type(error)(sentence)
    made.errno = error.errno
    return made
