"""Where fastnn keeps files that it can make again: compiled kernels and downloaded data."""

import os
import pathlib
import sys


def cache_folder(name: str) -> pathlib.Path | None:
    """The user's own cache folder for `name`, or None where the user has no home. Nothing is created.

    It is never one that others may write to, such as the system's temporary folder: compiled code is read from it.
    """
    try:
        home = pathlib.Path.home()
    except RuntimeError:  # no HOME and no entry in the password database
        return None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", str(home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = str(home / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # as the XDG specification says
            base = str(home / ".cache")
    return pathlib.Path(base) / "fastnn" / name
