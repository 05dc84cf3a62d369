"""The hook of hatchling that puts machine code into a wheel.

`python -m build` compiles all kernels (fastnn/prebuild.py), which takes one to two minutes. A wheel that pip makes to
install it gets none, as nobody should wait for that: its kernels are compiled when they are needed.
FASTNN_COMPILE_WHEEL=1 and 0 decide otherwise, such as 0 for installers that are not pip.
"""

import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "fastnn/kernels/machine_code"
MACHINES = ("aarch64", "x86_64")  # as kernels/prebuilt.LEVELS, which cannot be imported here


def is_asked_for() -> bool:
    """Whether a wheel that is built now gets machine code: on Linux with glibc, and where something can link it."""
    if platform.libc_ver()[0] != "glibc" or platform.machine() not in MACHINES:
        return False
    asked = os.environ.get("FASTNN_COMPILE_WHEEL")
    if asked in ("0", "1"):
        return asked == "1"
    is_pip = "PIP_BUILD_TRACKER" in os.environ
    has_compiler = bool(os.environ.get("CC")) or any(map(shutil.which, ("cc", "gcc", "clang")))
    if not (is_pip or has_compiler):
        print("fastnn: no C compiler, so the wheel gets no machine code", file=sys.stderr)
    return has_compiler and not is_pip


class MachineCode(BuildHookInterface[Any]):
    """Adds the folder that prebuild.py writes, and the platform to the wheel's name."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the environment needs that builds the wheel: all that fastnn needs."""
        return list(self.metadata.core.dependencies) if is_asked_for() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say which files the wheel gets."""
        if version != "standard" or not is_asked_for():  # "editable" otherwise
            return
        self._folder = tempfile.TemporaryDirectory()
        command = [sys.executable, "-m", "fastnn.prebuild", self._folder.name]
        own = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        subprocess.run(command, cwd=self.root, env=own | {"PYTHONPATH": self.root}, check=True)
        for file in pathlib.Path(self._folder.name).iterdir():
            build_data["force_include"][str(file)] = f"{PLACE}/{file.name}"
        build_data["pure_python"] = False
        # The machine code needs nothing of the C library that glibc 2.17 does not have.
        build_data["tag"] = f"py3-none-manylinux_2_17_{platform.machine()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
