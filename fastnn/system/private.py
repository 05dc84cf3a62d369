"""A folder whose files only the user or root can have written, because the code that is kept there is run.

Every folder from the root down is examined, as sshd does before it believes a file of keys: it belongs to the user or
to root, and nobody else may write to it. A folder with the sticky bit, such as /tmp, is the exception: all may write
there, but nobody may remove or rename another's files, so that a folder below it is as safe as its own owner and mode.

The way down is walked by descriptors, each name opened below the folder that was just examined, and the folder stays
open: nothing that is exchanged between two looks at a path makes a difference.

Windows has neither such descriptors nor such modes. There the folders of a user's profile are the user's own, and only
links in the place of the folder or of a file are refused.
"""

import contextlib
import os
import pathlib
import stat
import sys
from collections.abc import Callable

from fastnn.system import files

LINKS_FOLLOWED = 40  # as many as Linux follows

if sys.platform != "win32":
    import errno
    import grp
    import pwd

    _FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    _ON_THE_WAY = _FOLDER | getattr(os, "O_PATH", os.O_RDONLY)  # a folder may be passed that must not be listed
    _FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class PrivateFolder:
    """A folder to read from and write to. It and the missing folders above it are created for the user alone.

    path: an absolute path. Symbolic links on the way are followed if the user or root made them, and their targets are
        examined likewise; the folder itself must not be a link.
    is_new: whether the folder was created.
    Raises PermissionError if somebody else could have written there. Reading and writing raise it, too, should that
        change; OSError if the folder cannot be opened or created.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.is_new = not path.exists()
        self._descriptor: int | None = None
        self._identity: tuple[int, int] | None = None
        self._place()

    def read(self, name: str) -> bytes:
        """The content of a file, if nobody else can have written it."""
        place = self.path / name
        if sys.platform == "win32":
            _refuse_link(place)
            return place.read_bytes()
        descriptor = os.open(name, _FILE, dir_fd=self._place())
        with open(descriptor, "rb") as file:
            _examine(descriptor, str(place))
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all, in the place of the one that was there."""
        descriptor = self._place()
        path = self.path / name if descriptor is None else name
        with files.replacing(path, dir_fd=descriptor, mode=0o600, durable=False) as file:
            file.write(content)

    def is_writable(self) -> bool:
        """Whether files can be written there."""
        return os.access(self.path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)

    def mark_as_used(self) -> None:
        """Set the time of the folder's last change to now, where that is allowed."""
        with contextlib.suppress(OSError):
            os.utime(self._place() or self.path)

    def remove(self, belongs: Callable[[str], bool]) -> None:
        """Remove the files whose names `belongs` accepts, and the folder if nothing else is in it."""
        descriptor = self._place()
        folder = self.path if descriptor is None else descriptor
        for name in filter(belongs, os.listdir(folder)):
            os.unlink(self.path / name if descriptor is None else name, dir_fd=descriptor)
        os.rmdir(self.path)

    def close(self) -> None:
        """Close the folder; it is opened again when it is used."""
        if self._descriptor is not None and self._is_open():
            os.close(self._descriptor)
        self._descriptor = self._identity = None

    def _is_open(self) -> bool:
        """Whether the descriptor is still the folder's; a daemon, for one, closes all when it starts."""
        with contextlib.suppress(OSError):
            status = os.fstat(-1 if self._descriptor is None else self._descriptor)
            return (status.st_dev, status.st_ino) == self._identity
        return False

    def _place(self) -> int | None:
        """The folder's descriptor, None on Windows. A folder that is gone is made anew."""
        if sys.platform == "win32":
            self.path.mkdir(parents=True, exist_ok=True)
            _refuse_link(self.path)
            return None
        if self._descriptor is None or not self._is_open() or os.fstat(self._descriptor).st_nlink == 0:
            self.close()
            self._descriptor = _walk(str(self.path))
            status = os.fstat(self._descriptor)
            self._identity = (status.st_dev, status.st_ino)
        else:
            _examine(self._descriptor, str(self.path))
        return self._descriptor


def _refuse_link(path: pathlib.Path) -> None:
    """Refuse symbolic links and the junctions of Windows."""
    status = path.lstat()
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    if stat.S_ISLNK(status.st_mode) or (junction is not None and getattr(status, "st_reparse_tag", 0) == junction):
        raise PermissionError(f"{path} is a symbolic link")


def _walk(path: str) -> int:
    """Open a folder, from the root down."""
    here, waiting, links = "/", _steps(path), 0
    descriptor = os.open(here, _ON_THE_WAY)
    try:
        while waiting:
            _examine(descriptor, here, passed=True)
            name = waiting.pop()
            here = os.path.join(here, name)
            if stat.S_ISLNK(_status(name, here, descriptor).st_mode):
                links += 1
                if not waiting:
                    raise PermissionError(f"{here} is a symbolic link")
                if links > LINKS_FOLLOWED:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(name, dir_fd=descriptor)
                waiting += _steps(target)
                name, here = ("/", "/") if target.startswith("/") else (".", os.path.dirname(here))
            below = _opened(name, here, descriptor)
            os.close(descriptor)
            descriptor = below
        _examine(descriptor, here)
        return os.open(".", _FOLDER | os.O_RDONLY, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _steps(path: str) -> list[str]:
    """The names along the path, the first one last."""
    return [name for name in reversed(path.split("/")) if name]


def _status(name: str, place: str, folder: int) -> os.stat_result:
    """The status of an entry. A missing one is created as a folder; a link must have a trusted owner."""
    try:
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # another process was quicker
                os.mkdir(name, 0o700, dir_fd=folder)
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        raise _named(error, place) from error
    if stat.S_ISLNK(status.st_mode) and not _is_trusted(status.st_uid):
        raise PermissionError(f"{place} is a symbolic link of another user ({status.st_uid})")
    return status


def _opened(name: str, place: str, folder: int) -> int:
    try:
        return os.open(name, _ON_THE_WAY, dir_fd=folder)
    except OSError as error:
        raise _named(error, place) from error


def _named(error: OSError, place: str) -> OSError:
    """The same error about the whole path instead of its last name."""
    return type(error)(error.errno, error.strerror, place)


# --- who else could have written there ---


def _examine(descriptor: int, place: str, passed: bool = False) -> None:
    """Refuse a file or a folder that somebody else could change; `passed`: a folder on the way to another."""
    status = os.fstat(descriptor)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise PermissionError(f"{place} is neither a file nor a folder")
    if not _is_trusted(status.st_uid):
        raise PermissionError(f"{place} belongs to another user ({status.st_uid})")
    if status.st_mode & 0o022 and not (passed and status.st_mode & stat.S_ISVTX) and _is_shared(status, descriptor):
        raise PermissionError(f"others may write to {place}")


def _is_trusted(user: int) -> bool:
    return user in (0, os.geteuid())


def _is_shared(status: os.stat_result, descriptor: int) -> bool:
    """Whether somebody else can write to a file that all, or a group, may write to.

    Many systems give each user a group of the same name, and make new files writable for it. Here, as in Debian's sshd,
    such a group counts as the user.
    """
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(status.st_gid)
    except KeyError:
        return True
    is_own = group.gr_name == user.pw_name and group.gr_gid == user.pw_gid and set(group.gr_mem) <= {user.pw_name}
    if status.st_mode & 0o002 or not is_own:
        return True
    if sys.platform == "linux":  # with an access control list, the group's mode stands for all of it
        with contextlib.suppress(OSError):
            os.getxattr(f"/proc/self/fd/{descriptor}", "system.posix_acl_access")
            return True
    return False
