"""Files of another user, and being another user, for tests that run as root or as anybody."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

OTHER_USER = 65534


def give_away(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Give a file, folder or link to another user: for root in fact, for others only in what os.stat reports."""
    if os.geteuid() == 0:
        os.chown(path, OTHER_USER, OTHER_USER, follow_symlinks=False)
        return OTHER_USER
    theirs, other = path.lstat(), os.geteuid() + 1

    def disguised(real: Any) -> Any:
        def call(*arguments: Any, **settings: Any) -> os.stat_result:
            status = real(*arguments, **settings)
            if (status.st_dev, status.st_ino) != (theirs.st_dev, theirs.st_ino):
                return status  # type: ignore[no-any-return]
            return os.stat_result([other if i == 4 else value for i, value in enumerate(status)])

        return call

    for name in ("stat", "fstat"):
        monkeypatch.setattr(os, name, disguised(getattr(os, name)))
    return other


@contextlib.contextmanager
def as_other_user() -> Iterator[None]:
    """Act as another user for root, to whom nothing is forbidden; others stay who they are."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(OTHER_USER)
    try:
        yield
    finally:
        os.seteuid(user)
